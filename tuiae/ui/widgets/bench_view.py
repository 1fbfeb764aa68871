"""The body of the Bench screen: what goes into the network on the left, what it makes of it on the right."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tuiae.explore.answers import Classification, Confused, NoiseCurve, Opened, Reconstruction, Worst
from tuiae.ui.noise_choice import STEP, NoiseChoice
from tuiae.ui.render.bench import (
    confused_captions,
    confused_title,
    draw_noise_curve,
    draw_tried,
    draw_verdict,
    worst_captions,
)
from tuiae.ui.render.shares import best_class, draw_shares
from tuiae.ui.widgets.canvas import CanvasPanel
from tuiae.ui.widgets.drawing import DrawingPanel
from tuiae.ui.widgets.sheet import SheetPanel
from tuiae.ui.widgets.slider import Slider
from tuiae.ui.widgets.strip import StripPanel
from tuiae.ui.widgets.views import ViewBar, Views

TRIED = "reconstruction"
MEASURING = "measuring…"


class BenchSide(Views):
    """What the network makes of the image, and how it does on others; on a small screen one of them at a time."""

    MAIN_PANELS = {"result": "#tried", "class": "#shares", "curve": "#noise-curve", "images": "#strip"}

    def compose(self) -> ComposeResult:
        yield ViewBar(tuple(self.MAIN_PANELS))
        yield DrawingPanel(TRIED, id="tried")
        yield DrawingPanel("classes", id="shares")
        yield DrawingPanel("error against noise", id="noise-curve")
        yield StripPanel("worst test images", id="strip")


class BenchView(Horizontal):
    """Canvas, noise and classes; result, curve and pictures."""

    def __init__(self) -> None:
        super().__init__(id="body")
        self._opened: Opened | None = None
        self._curve: NoiseCurve | None = None
        self._noise = NoiseChoice()
        self._trained: NoiseChoice | None = None
        self.label = -1
        """The class of the image on the canvas; -1 when nobody knows."""

    def compose(self) -> ComposeResult:
        with Vertical(id="bench-left"):
            yield CanvasPanel(id="canvas")
            yield Slider("noise", self._figure, STEP, id="noise")
            yield DrawingPanel("classes", id="classes")
        yield BenchSide(id="bench-side")

    def _figure(self, level: float) -> str:
        return self._noise.at(level).figure

    @property
    def canvas(self) -> CanvasPanel:
        return self.query_one(CanvasPanel)

    @property
    def side(self) -> BenchSide:
        return self.query_one(BenchSide)

    @property
    def strip(self) -> StripPanel:
        return self.query_one(StripPanel)

    def _panel(self, name: str) -> DrawingPanel:
        return self.query_one(f"#{name}", DrawingPanel)

    # What is shown

    def clear(self, message: str) -> None:
        """Forget what a run made of images, and say why there is nothing."""
        self._opened = self._curve = None
        for panel in self.query(DrawingPanel):
            panel.clear()
        self.strip.clear("")
        self.explain(message)

    def explain(self, message: str) -> None:
        """What to say where an answer is still to come."""
        if self._opened is None:
            self._panel("tried").clear(message)
        if self.canvas.sketch is None:
            self.canvas.explain(message)

    def show_opened(self, opened: Opened) -> None:
        """Answers come from this checkpoint now."""
        self._opened = opened
        if self._curve is None:
            self._panel("noise-curve").clear(MEASURING)
        if not self.strip.answered:
            self.strip.explain(MEASURING)
        self.set_class(not opened.is_autoencoder, "-classifier")
        self.query_one(ViewBar).offer("class", opened.is_autoencoder)

    def show_noise(self, noise: NoiseChoice, trained: NoiseChoice | None) -> None:
        """The noise that is put on images, and the one of the training."""
        if noise.kind != self._noise.kind:
            self._curve = None
            self._panel("noise-curve").clear(MEASURING)
        self._noise, self._trained = noise, trained
        self.query_one(Slider).show(noise.level, 0.0, noise.top, f"noise · {noise.kind}", noise.words)
        self._show_curve()

    def show_reconstruction(self, answer: Reconstruction, clean: NDArray[np.uint8]) -> None:
        """What became of an image (C, H, W)."""
        self._panel("tried").show(partial(draw_tried, answer, clean), self._step)

    def show_classes(self, answer: Classification) -> None:
        """What an image is taken for."""
        if self._opened is None:
            return
        names = self._opened.classes
        if answer.by == "classifier":
            drawing = partial(draw_verdict, answer, names, label=self.label)
            title = f"taken for {best_class(answer.shares[0], names)}"
            self._panel("tried").show(drawing, self._step, title)
            return
        for panel in (self._panel("classes"), self._panel("shares")):
            panel.show(
                lambda width, height, mode: draw_shares(
                    answer.shares[0], names, width, height, mode == "ascii", self.label
                ),
                f"labels of the {answer.neighbours} nearest codes",
                f"near {best_class(answer.shares[0], names)}",
            )

    @property
    def _step(self) -> str:
        return f"step {self._opened.step:,}" if self._opened is not None else ""

    def show_curve(self, curve: NoiseCurve) -> None:
        """The error at each level."""
        self._curve = curve
        self._show_curve()

    def _show_curve(self) -> None:
        if self._curve is None or self._curve.kind != self._noise.kind:
            return
        known = self._trained
        trained = known.level if known is not None and (known.kind == self._noise.kind or not known.level) else None
        self._panel("noise-curve").show(
            partial(draw_noise_curve, self._curve, self._noise.level, trained),
            f"{self._curve.images:,} test images",
            f"error against {self._noise.kind} noise",
        )

    def show_strip(self, answer: Worst | Confused) -> None:
        """Pictures to take."""
        if self._opened is None:
            return
        names, note = self._opened.classes, "arrows and enter, or a click, take one"
        if isinstance(answer, Worst):
            self.strip.show(answer.images, worst_captions(answer, names), "worst test images", note)
            if not len(answer.images):
                self.strip.explain("it takes no test image for another class")
        else:
            title = confused_title(answer, names)
            self.strip.show(answer.images, confused_captions(answer), title, "w the worst again · " + note)
            if not len(answer.images):
                self.strip.explain("no test image is taken so by the weights of the newest checkpoint")

    def show_asking(self, asking: bool) -> None:
        """Say that an answer takes its time."""
        self._panel("tried").border_subtitle = "asking…" if asking else self._step

    @property
    def ascii_only(self) -> bool:
        """Whether everything is drawn without any character above 127."""
        return self.canvas.mode == "ascii"

    @ascii_only.setter
    def ascii_only(self, wanted: bool) -> None:
        self.canvas.mode = "ascii" if wanted else self.canvas.terminal.pictures
        self.query_one(Slider).ascii_only = wanted
        for panel in self.query(SheetPanel):
            panel.mode = "ascii" if wanted else panel.best
