"""What the Bench screen asks the explorer, and how often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.explore.answers import Opened
from tuiae.explore.client import Explorer
from tuiae.ui.inquiry import REFRESH_SECONDS, REST
from tuiae.ui.noise_choice import NoiseChoice

SLOT = "bench:"
"""Before the slots of its questions: another screen's answers are not for this one."""
QUIET = 1.0  # seconds since the last change by hand: no stroke waits for new weights
SLOW_SECONDS = 20.0  # between measurements over the test images of a training, which take a core for a while
CURVE_IMAGES = 1000  # test images of the curve: enough to see it, and there within seconds
SHOWN = 48  # worst images, or those of a confusion cell

Clock = Callable[[], float]


class BenchInquiry:
    """One run as it is asked about: an image under a noise, and what is measured over all test images."""

    def __init__(self, explorer: Explorer, clock: Clock) -> None:
        self._explorer = explorer
        self._clock = clock
        self.noise = NoiseChoice()
        self.cell: tuple[int, int] | None = None
        """(true, predicted) of the images to show instead of the worst."""
        self.forget()

    def forget(self) -> None:
        """Another run is to be asked about."""
        self.opened: Opened | None = None
        self._asked = self._measured = self._tried = float("-inf")
        self._took = 0.0
        self._looking = False
        self._measured_of = ""
        self._pending: set[str] = set()

    def _ask(self, question: str, **arguments: Any) -> None:
        self._explorer.ask(question, slot=SLOT + question, **arguments)

    @property
    def wait(self) -> float:
        """Seconds until the run may be looked at again; 0 when it may be now."""
        rested = self._asked + max(REFRESH_SECONDS, REST * self._took)
        return max(rested - self._clock(), self._tried + QUIET - self._clock(), 0.0)

    def open(self, path: Path) -> None:
        """Ask for the newest checkpoint."""
        self._asked = self._clock()
        self._looking = self.opened is not None  # the first look also waits for the explorer to be there
        self._ask("open", run=str(path))

    def image(self, index: int) -> None:
        """Ask for a test image."""
        self._ask("image", index=index)

    # One image

    def try_out(self, image: NDArray[np.uint8]) -> None:
        """Ask what becomes of an image (C, H, W) under the noise chosen, and what it is taken for."""
        if self.opened is None or image.shape != self.opened.shape:
            return
        questions = ["classify"] if len(self.opened.classes) > 1 or not self.opened.is_autoencoder else []
        questions += ["reconstruct"] if self.opened.is_autoencoder else []
        self._tried = self._clock()
        for question in reversed(questions):
            self._pending.add(question)
            self._ask(question, images=image[None], **self.noise.question)

    def answered(self, question: str) -> None:
        """A question about the image is no longer open."""
        self._pending.discard(question)
        if self._looking and question in ("classify", "open") and not self._pending:
            self._took = self._clock() - self._asked
            self._looking = question == "open"  # what comes after may have to encode images first

    @property
    def asking(self) -> bool:
        """Whether something about the image is still to be answered."""
        return bool(self._pending)

    # All test images

    def measure(self, live: bool) -> None:
        """Ask for the curve and the strip of pictures of this checkpoint, of a training only now and then."""
        opened, now = self.opened, self._clock()
        if opened is None or opened.checkpoint == self._measured_of:
            return
        if live and now - self._measured < SLOW_SECONDS:
            return
        self._measured, self._measured_of = now, opened.checkpoint
        self.curve()
        self.strip()

    def curve(self) -> None:
        """Ask for the error at each level of the kind of noise."""
        if self.opened is not None:
            self._ask("noise_curve", kind=self.noise.kind, levels=self.noise.levels, count=CURVE_IMAGES)

    def strip(self) -> None:
        """Ask for the worst images, or for those of the chosen cell."""
        if self.opened is None:
            return
        if self.cell is None or self.opened.is_autoencoder:
            self._explorer.ask("worst", slot=SLOT + "strip", count=SHOWN)
        else:
            true, predicted = self.cell
            self._explorer.ask("confused", slot=SLOT + "strip", true=true, predicted=predicted, count=SHOWN)

    def try_again(self) -> None:
        """After the explorer went away: start it anew with the next question."""
        self._explorer.revive()
        self._asked = self._measured = float("-inf")
        self._measured_of = ""
        self._pending.clear()
