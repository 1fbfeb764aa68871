"""What the Latent screen asks the explorer, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.config import NoiseSection
from tuiae.explore.client import Explorer
from tuiae.explore.protocol import Opened
from tuiae.render.code_map import Point
from tuiae.render.text import percent

# Which noise is put on an image.

KINDS = ("gaussian", "salt-pepper", "mask", "uniform")
TOP = 1.0
STEP = 0.05
SHARES = ("salt-pepper", "mask")
"""Kinds whose level is a share of the pixels."""
POINTS = 11
"""Levels at which a curve is measured."""


@dataclass(frozen=True)
class NoiseChoice:
    """A kind and its level; level 0 is no noise, of whatever kind."""

    kind: str = "gaussian"
    level: float = 0.0
    top: float = TOP
    """The highest level that is offered."""
    seed: int = 0

    @classmethod
    def of(cls, section: NoiseSection) -> NoiseChoice:
        """What a run was trained with."""
        if section.kind == "none":
            return cls()
        return cls(section.kind, section.level, max(section.level, TOP))

    def following(self) -> NoiseChoice:
        """The next kind, and after the last the first; the level stays where it is offered."""
        kind = KINDS[(KINDS.index(self.kind) + 1) % len(KINDS)]
        return replace(self, kind=kind, top=TOP, level=min(self.level, TOP))

    def at(self, level: float) -> NoiseChoice:
        """Another level, on its grid and in its range."""
        steps = round(level / STEP)
        return replace(self, level=min(max(round(steps * STEP, 10), 0.0), self.top))

    def other_draw(self) -> NoiseChoice:
        """The same noise, drawn anew."""
        return replace(self, seed=self.seed + 1)

    @property
    def words(self) -> str:
        """What the level means."""
        if not self.level:
            return "no noise"
        return WORDS[self.kind].format(share=percent(self.level, 0), level=f"{self.level:.2f}")

    @property
    def figure(self) -> str:
        """The level in a few cells."""
        return percent(self.level, 0) if self.kind in SHARES else f"{self.level:.2f}"

    @property
    def question(self) -> dict[str, Any]:
        """Arguments of the questions about an image."""
        return {"kind": self.kind, "level": self.level, "seed": self.seed}

    @property
    def levels(self) -> tuple[float, ...]:
        """Where the curve of this kind is measured."""
        return tuple(round(self.top * index / (POINTS - 1), 10) for index in range(POINTS))


WORDS = {
    "gaussian": "standard deviation {level}",
    "salt-pepper": "{share} of pixels black or white",
    "mask": "{share} of pixels black",
    "uniform": "pixels move by up to {level}",
}


# Which plane of a code the Latent screen shows.


@dataclass(frozen=True)
class PlaneChoice:
    """A choice among the planes that a code of so many numbers has."""

    latent: int = 2
    by: str = ""
    """As the explorer takes it: empty is the code itself or its principal components, then `axes` and `tsne`."""
    axes: tuple[int, int] = (0, 1)

    @property
    def planes(self) -> tuple[str, ...]:
        if self.latent == 1:
            return ("",)
        return ("", "tsne") if self.latent == 2 else ("", "axes", "tsne")

    def following(self) -> PlaneChoice:
        """The next plane, and after the last the first."""
        planes = self.planes
        return replace(self, by=planes[(planes.index(self.by) + 1) % len(planes)])

    def turned(self, which: int) -> PlaneChoice:
        """Another number of the code on the axis across (0) or up (1); never twice the same."""
        if self.latent < 3:
            return self
        own, other = self.axes[which], self.axes[1 - which]
        if self.by == "axes":
            own = (own + 1) % self.latent
        if own == other:
            own = (own + 1) % self.latent
        return replace(self, by="axes", axes=(own, other) if which == 0 else (other, own))

    def of(self, latent: int) -> PlaneChoice:
        """For a code of another width."""
        return self if latent == self.latent else PlaneChoice(latent)

    @property
    def question(self) -> dict[str, Any]:
        """Arguments of the question `codes`."""
        return {"by": self.by, **({"axes": self.axes} if self.by == "axes" else {})}


SLOT = "latent:"
"""Before the slots of its questions: another screen's answers are not for this one."""
EXTRA = SLOT + "extra"
"""The slot of what stands beside the map."""
REFRESH_SECONDS = 2.0  # between looks at a training: each encodes 2,000 images beside it
REST = 8.0
"""Times as long as the last look took: a training keeps its cores, and a large network is looked at less often."""


class Inquiry:
    """One run as it is asked about: which checkpoint, which plane, and what is shown beside the map."""

    def __init__(self, explorer: Explorer, clock: Callable[[], float]) -> None:
        self._explorer = explorer
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Another run is to be asked about."""
        self.opened: Opened | None = None
        self.choice = PlaneChoice()
        self.seed = 0
        self._extra: tuple[str, dict[str, Any]] | None = None
        self._asked = float("-inf")
        self._began = self._took = 0.0

    def _ask(self, question: str, slot: str = "", **arguments: Any) -> None:
        self._explorer.ask(question, slot=SLOT + (slot or question), **arguments)

    @property
    def wait(self) -> float:
        """Seconds until the run may be looked at again; 0 when it may be now."""
        return max(self._asked + max(REFRESH_SECONDS, REST * self._took) - self._clock(), 0.0)

    def open(self, path: Path) -> None:
        """Ask for the newest checkpoint; its codes follow when it is there."""
        self._asked = self._began = self._clock()
        self._ask("open", run=str(path))

    def take(self, opened: Opened) -> None:
        """A checkpoint is open: ask for its codes."""
        if self.opened is None:  # importing torch and opening the images is not what a look takes
            self._began = self._clock()
        self.opened = opened
        self.choice = self.choice.of(opened.latent)
        self.codes()

    def codes(self) -> None:
        """Ask for the codes on the chosen plane."""
        self._ask("codes", **self.choice.question)

    def arrived(self) -> None:
        """The codes are here."""
        if self.choice.by != "tsne":  # which follows no training
            self._took = self._clock() - self._began

    def place(self, point: Point | None) -> None:
        """Ask what stands at a point."""
        if point is not None and self.opened is not None:
            self._ask("at", x=point[0], y=point[1])

    def extra(self, question: str, **arguments: Any) -> None:
        """Ask for what stands beside the map, now and of every checkpoint that follows."""
        self._extra = (question, arguments)
        self.extra_again()

    def extra_again(self) -> None:
        """Ask for it of another checkpoint."""
        if self._extra is not None and self.opened is not None:
            self._ask(self._extra[0], slot=EXTRA.removeprefix(SLOT), **self._extra[1])

    def drop_extra(self) -> None:
        """Nothing stands beside the map any more."""
        self._extra = None

    def choose(self, choice: PlaneChoice) -> bool:
        """Show another plane; whether it is another."""
        changed = choice != self.choice
        self.choice = choice
        if changed and self.opened is not None:
            self._began = self._clock()
            self.codes()
        return changed

    def try_again(self) -> None:
        """After the explorer went away: start it anew with the next question."""
        self._explorer.revive()
        self._asked = float("-inf")


# What the Bench screen asks the explorer, and how often.

BENCH_SLOT = "bench:"
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
        self._explorer.ask(question, slot=BENCH_SLOT + question, **arguments)

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
            self._explorer.ask("worst", slot=BENCH_SLOT + "strip", count=SHOWN)
        else:
            true, predicted = self.cell
            self._explorer.ask("confused", slot=BENCH_SLOT + "strip", true=true, predicted=predicted, count=SHOWN)

    def try_again(self) -> None:
        """After the explorer went away: start it anew with the next question."""
        self._explorer.revive()
        self._asked = self._measured = float("-inf")
        self._measured_of = ""
        self._pending.clear()
