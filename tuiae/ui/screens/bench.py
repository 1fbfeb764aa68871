"""The open run on images that one draws or chooses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.timer import Timer

from tuiae.explore.client import Reply
from tuiae.explore.protocol import Answer, Classification, Confused, NoiseCurve, Opened, Picture, Reconstruction, Worst
from tuiae.render.explorer import class_name
from tuiae.ui.inquiry import BENCH_SLOT, STEP, BenchInquiry, NoiseChoice
from tuiae.ui.keys import APP, BENCH
from tuiae.ui.screens.base import AskingScreen
from tuiae.ui.screens.dialogs import LineDialog
from tuiae.ui.session import Session
from tuiae.ui.widgets.bench_view import BenchView, Slider
from tuiae.ui.widgets.images import StripPanel
from tuiae.ui.widgets.sketch import SketchPanel

ASKING_SECONDS = 0.1  # until it is said that an answer takes its time
HINT = "draw with the mouse, or with arrows and space  ·  t a test image  ·  ? all keys"

NO_RUN_NEEDED = (*(key.action for key in APP), "back", "zoom", "next_view")
"""Actions that are not about a network."""


@dataclass(frozen=True)
class Picked:
    """The test image that was put on the canvas last."""

    index: int = 0
    dataset: str = ""


class BenchScreen(AskingScreen):
    """Images through the network."""

    MODE = "bench"
    NAME = "bench"
    SLOT = BENCH_SLOT
    BINDINGS = [key.binding for key in BENCH]
    AUTO_FOCUS = "#canvas"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.inquiry: BenchInquiry = BenchInquiry(session.explorer, time.monotonic)
        self._random = np.random.default_rng()
        self._picked = Picked()
        self._drawn = False
        self._strip: Worst | Confused | None = None
        self._slow: Timer | None = None
        self._troubled = self._reveal = False
        self._cell_of: Path | None = None
        """The run whose confusion cell was chosen."""

    def compose_body(self) -> ComposeResult:
        yield BenchView()

    @property
    def view(self) -> BenchView:
        return self.query_one(BenchView)

    @property
    def main_panel(self) -> SketchPanel:
        return self.view.canvas

    def clear(self, message: str) -> None:
        self._strip = None
        super().clear(message)

    def run_opened(self) -> None:
        if self._cell_of != self.session.path:
            self.inquiry.cell = None
        super().run_opened()

    def show_confused(self, true: int, predicted: int) -> None:
        """Show the test images of one class that the open run's classifier takes for another."""
        self.inquiry.cell, self._cell_of = (true, predicted), self.session.path
        self._reveal = True
        self.inquiry.strip()

    def is_enabled(self, action: str) -> bool:
        return super().is_enabled(action) and (action in NO_RUN_NEEDED or self.session.path is not None)

    # The explorer

    def replied(self, reply: Reply) -> None:
        self.inquiry.answered(reply.question)
        if not self.inquiry.asking:
            self._hush()
        if reply.error is not None:
            self._troubled = True
            self.message.tell(self.sentence(reply.error), "bad")
            self.view.explain(reply.error.cause)
            if reply.slot == f"{BENCH_SLOT}strip":
                self.view.strip.clear(reply.error.cause)
            return
        if self._troubled:
            self._troubled = False
            self.message.release()
            self.message.hint(HINT)
        if isinstance(reply.answer, Opened):
            if reply.answer.run == str(self.session.path):
                self._open(reply.answer)
        elif self.inquiry.opened is not None and reply.answer is not None:  # else of the run that was open before
            self._show(reply.answer, reply)

    def _open(self, opened: Opened) -> None:
        """Ask this checkpoint what was asked of the one before."""
        first = self.inquiry.opened is None
        self.inquiry.opened = opened
        self.view.show_opened(opened)
        if first:
            self.message.release()
            self.message.hint(HINT)
            self._begin(opened)
        self._try()
        snapshot = self.session.snapshot
        self.inquiry.measure(live=snapshot is not None and snapshot.status.live)

    def _begin(self, opened: Opened) -> None:
        """The noise of its training, and an image: what is on the canvas, if it is one of this network's."""
        self.inquiry.noise = self._trained or NoiseChoice()
        self.view.show_noise(self.inquiry.noise, self._trained)
        sketch = self.view.canvas.sketch
        fits = sketch is not None and sketch.image.shape == opened.shape
        if not fits or (not self._drawn and self._picked.dataset != self._dataset):
            self._picked = Picked(0, self._dataset)
            self.view.canvas.clear()
            self.inquiry.image(0)

    @property
    def _dataset(self) -> str:
        config = self.session.snapshot.config if self.session.snapshot is not None else None
        return config.data.dataset if config is not None else ""

    @property
    def _trained(self) -> NoiseChoice | None:
        config = self.session.snapshot.config if self.session.snapshot is not None else None
        return NoiseChoice.of(config.noise) if config is not None else None

    def _show(self, answer: Answer, reply: Reply) -> None:
        view = self.view
        if isinstance(answer, Picture):
            self._put(answer.index, answer.label, answer.image)
        elif isinstance(answer, Reconstruction):
            view.show_reconstruction(answer, reply.arguments["images"][0])
        elif isinstance(answer, Classification):
            view.show_classes(answer)
        elif isinstance(answer, NoiseCurve):
            view.show_curve(answer)
        elif isinstance(answer, (Worst, Confused)):
            self._strip = answer
            view.show_strip(answer)
            if isinstance(answer, Confused) and self._reveal:
                self._reveal = False
                view.side.reveal("images")

    def _put(self, index: int, label: int, image: np.ndarray) -> None:
        """A test image onto the canvas."""
        opened = self.inquiry.opened
        name = class_name(label, opened.classes) if opened is not None else ""
        self._picked, self._drawn = Picked(index, self._dataset), False
        self.view.label = label
        self.view.canvas.show(image, f"test image {index:,}{' · ' if name else ''}{name}")
        self._try()

    def _try(self) -> None:
        """Ask about what is on the canvas."""
        sketch = self.view.canvas.sketch
        if sketch is not None:
            self.inquiry.try_out(sketch.pixels)
            if self.inquiry.asking and self._slow is None:
                self._slow = self.set_timer(ASKING_SECONDS, lambda: self.view.show_asking(True))

    def _hush(self) -> None:
        if self._slow is not None:
            self._slow.stop()
            self._slow = None
            self.view.show_asking(False)

    # Image and noise

    @on(SketchPanel.Drawn)
    def _image_drawn(self) -> None:
        self._drawn = True
        self.view.label = -1
        self._try()

    @on(Slider.Moved)
    def _noise_moved(self, event: Slider.Moved) -> None:
        self._take_noise(self.inquiry.noise.at(event.value))

    def _take_noise(self, noise: NoiseChoice) -> None:
        other_kind = noise.kind != self.inquiry.noise.kind
        self.inquiry.noise = noise
        self.view.show_noise(noise, self._trained)
        self._try()
        if other_kind:
            self.inquiry.curve()

    @on(StripPanel.Taken)
    def _picture_taken(self, event: StripPanel.Taken) -> None:
        if self._strip is None or event.place >= len(self._strip.images):
            return  # it was chosen from pictures that others have taken the place of since
        label = self._strip.true if isinstance(self._strip, Confused) else int(self._strip.labels[event.place])
        self._put(int(self._strip.indices[event.place]), label, self._strip.images[event.place])

    # Keys

    def action_test(self, step: int) -> None:
        """Another test image, so many after the one that was shown last."""
        if not self.waits() and self.inquiry.opened is not None:
            index = (self._picked.index + step) % self.inquiry.opened.tests
            self._picked = Picked(index, self._dataset)
            self.inquiry.image(index)

    def action_random_test(self) -> None:
        """Any test image."""
        if not self.waits() and self.inquiry.opened is not None:
            self.action_test(int(self._random.integers(self.inquiry.opened.tests)))

    def action_jump(self) -> None:
        """The test image of a number."""
        opened = self.inquiry.opened
        if self.waits() or opened is None:
            return
        last = opened.tests - 1

        def check(text: str) -> str:
            known = text.strip().isdecimal() and int(text) <= last
            return "" if known else f"there is no image {text.strip() or 'without a number'}: 0 to {last:,}"

        def take(text: str | None) -> None:
            if text is not None:
                self.action_test(int(text) - self._picked.index)

        self.app.push_screen(LineDialog("test image", f"Its number, 0 to {last:,}.", "", check), take)

    def action_kind(self) -> None:
        """Another kind of noise."""
        if not self.waits():
            self._take_noise(self.inquiry.noise.following())

    def action_level(self, steps: int) -> None:
        """More noise, or less."""
        if not self.waits():
            self._take_noise(self.inquiry.noise.at(self.inquiry.noise.level + steps * STEP))

    def action_draw_noise(self) -> None:
        """The same noise, drawn anew."""
        if not self.waits():
            self._take_noise(self.inquiry.noise.other_draw())

    def action_tool(self, name: str) -> None:
        """Use one of the tools on the canvas."""
        canvas = self.view.canvas
        if canvas.sketch is None and self.waits():
            return
        if name == "undo" and not canvas.can_undo:
            self.message.remark("nothing to undo")
        canvas.use(name)

    def action_worst(self) -> None:
        """The worst images again, after those of a confusion cell."""
        if not self.waits():
            self.inquiry.cell = None
            self.inquiry.strip()
