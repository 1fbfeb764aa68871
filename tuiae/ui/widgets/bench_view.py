"""The body of the Bench screen: what goes into the network on the left, what it makes of it on the right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual import events, getters
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message

from tuiae.explore.protocol import Classification, Confused, NoiseCurve, Opened, Reconstruction, Worst
from tuiae.render.chrome import draw_slider, share_at
from tuiae.render.explorer import (
    best_class,
    confused_captions,
    confused_title,
    draw_noise_curve,
    draw_shares,
    draw_tried,
    draw_verdict,
    worst_captions,
)
from tuiae.ui.keys import SLIDER
from tuiae.ui.questions import STEP, NoiseChoice
from tuiae.ui.widgets.chrome import ViewBar, Views
from tuiae.ui.widgets.images import DrawingPanel, StripPanel
from tuiae.ui.widgets.panel import PointedPanel
from tuiae.ui.widgets.sketch import SketchPanel


class Slider(PointedPanel):
    """A number from `low` to `high` that keys and the mouse move; it changes once its user has taken `Moved`."""

    BINDINGS = [key.binding for key in SLIDER]

    @dataclass
    class Moved(Message):
        """Somebody wants another value."""

        value: float

    def __init__(self, title: str, figure: Callable[[float], str], step: float, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._figure = figure
        self._step = step
        self.value, self.low, self.high = 0.0, 0.0, 1.0

    def show(self, value: float, low: float, high: float, title: str, words: str) -> None:
        """Show a value between two others, a title, and below it in words what it means."""
        self.value, self.low, self.high = value, low, high
        self.set_title(title, words)
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        share = (self.value - self.low) / ((self.high - self.low) or 1)
        return draw_slider(share, width, self._figure(self.value), self.mode == "ascii")

    def action_slide(self, steps: int) -> None:
        """Ask for a value so many steps higher."""
        self._want(self.value + steps * self._step)

    def action_slide_to(self, share: float) -> None:
        """Ask for the value at a share, 0 to 1, of the line."""
        self._want(self.low + share * (self.high - self.low))

    def _want(self, value: float) -> None:
        value = min(max(value, self.low), self.high)
        if value != self.value:
            self.post_message(self.Moved(value))

    def pointed(self, event: events.MouseEvent) -> None:
        column = event.get_content_offset_capture(self).x
        share = share_at(column, self.content_size.width, self._figure(self.value))
        if share is not None:
            self.action_slide_to(share)


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

    strip = getters.query_one(StripPanel)
    side = getters.query_one(BenchSide)
    canvas = getters.query_one(SketchPanel)

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
            yield SketchPanel(id="canvas")
            yield Slider("noise", self._figure, STEP, id="noise")
            yield DrawingPanel("classes", id="classes")
        yield BenchSide(id="bench-side")

    def _figure(self, level: float) -> str:
        return self._noise.at_level(level).figure

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
        """Say why there is no answer yet."""
        if self._opened is None:
            self._panel("tried").clear(message)
        if self.canvas.sketch is None:
            self.canvas.explain(message)

    def show_opened(self, opened: Opened) -> None:
        """Take the checkpoint from which answers come now."""
        self._opened = opened
        if self._curve is None:
            self._panel("noise-curve").clear(MEASURING)
        if not self.strip.answered:
            self.strip.explain(MEASURING)
        self.set_class(not opened.is_autoencoder, "-classifier")
        self.query_one(ViewBar).offer("class", opened.is_autoencoder)

    def show_noise(self, noise: NoiseChoice, trained: NoiseChoice | None) -> None:
        """Show the noise that is put on images; `trained` is the noise of the training."""
        if noise.kind != self._noise.kind:
            self._curve = None
            self._panel("noise-curve").clear(MEASURING)
        self._noise, self._trained = noise, trained
        self.query_one(Slider).show(noise.level, 0.0, noise.top, f"noise · {noise.kind}", noise.text)
        self._show_curve()

    def show_reconstruction(self, answer: Reconstruction, clean: NDArray[np.uint8]) -> None:
        """Show what became of an image (C, H, W)."""
        self._panel("tried").show(partial(draw_tried, answer, clean), self._step)

    def show_classes(self, answer: Classification) -> None:
        """Show what an image is taken for."""
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
        """Show the error at each level of noise."""
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
        """Show pictures to choose from."""
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
        """Say whether an answer is on its way."""
        self._panel("tried").border_subtitle = "asking…" if asking else self._step
