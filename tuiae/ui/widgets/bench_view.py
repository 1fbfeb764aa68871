"""The body of the Bench screen: what goes into the network on the left, what it makes of it on the right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual import events, getters
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message

from tuiae.explore.protocol import Classification, Confused, NoiseCurve, OpenedRun, Reconstruction, Worst
from tuiae.render.chrome import draw_slider, share_at
from tuiae.render.explorer import (
    best_class,
    confused_captions,
    confused_title,
    draw_noise_curve,
    draw_shares,
    draw_tried,
    draw_verdict,
    lay_out_bench,
    worst_captions,
)
from tuiae.render.pixels import Sheet, error_pictures
from tuiae.ui.keys import SLIDER
from tuiae.ui.questions import STEP, NoiseChoice
from tuiae.ui.widgets.chrome import ViewBar, Views
from tuiae.ui.widgets.images import DrawingPanel, StripPanel
from tuiae.ui.widgets.panel import PointedPanel
from tuiae.ui.widgets.sketch import SketchPanel


class Slider(PointedPanel):
    """The level of the noise, which keys and the mouse move; it changes once its user has taken `Moved`."""

    BINDINGS = [key.binding for key in SLIDER]

    @dataclass
    class Moved(Message):
        """Somebody wants another level."""

        level: float

    noise = NoiseChoice()

    def show(self, noise: NoiseChoice) -> None:
        """Show a level, and below it in words what it means."""
        self.noise = noise
        self.set_title(f"noise · {noise.kind}", noise.text)
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        return draw_slider(self.noise.level / self.noise.top, width, self.noise.figure, self.mode == "ascii")

    def action_slide(self, steps: int) -> None:
        """Ask for a level that is `steps` higher."""
        self._want(self.noise.level + steps * STEP)

    def action_slide_to(self, share: float) -> None:
        """Ask for the level at a share, 0 to 1, of the line."""
        self._want(share * self.noise.top)

    def _want(self, level: float) -> None:
        level = min(max(level, 0.0), self.noise.top)
        if level != self.noise.level:
            self.post_message(self.Moved(level))

    def pointed(self, event: events.MouseEvent) -> None:
        column = event.get_content_offset_capture(self).x
        share = share_at(column, self.content_size.width, self.noise.figure)
        if share is not None:
            self.action_slide_to(share)


TRIED = "reconstruction"
MEASURING = "measuring…"


class BenchSide(Views):
    """What the network makes of the image, and how it does on others; on a small screen one of them at a time."""

    MAIN_PANELS = {"result": "#tried", "class": "#shares", "curve": "#noise-curve", "images": "#strip"}

    def compose(self) -> ComposeResult:
        yield ViewBar(self.MAIN_PANELS)
        with Vertical(id="bench-tried"):
            yield DrawingPanel(TRIED, id="tried")
        yield DrawingPanel("classes", id="shares")
        with Horizontal(id="bench-below"):
            yield DrawingPanel("error against noise", id="noise-curve")
            yield StripPanel(id="strip")


class BenchView(Horizontal):
    """Canvas, noise and classes; result, curve and pictures."""

    strip = getters.query_one(StripPanel)
    side = getters.query_one(BenchSide)
    canvas = getters.query_one(SketchPanel)
    slider = getters.query_one(Slider)

    label = -1
    """The class of the image on the canvas; -1 when nobody knows."""
    _opened: OpenedRun | None = None
    _curve: NoiseCurve | None = None
    _trained: NoiseChoice | None = None
    _tried: Sequence[NDArray[np.uint8]] = ()
    """The image on the canvas and what the network was given and made of it, (C, H, W) each."""

    def compose(self) -> ComposeResult:
        with Vertical(id="bench-left"):
            yield SketchPanel(id="canvas")
            yield Slider("noise", id="noise")
            yield DrawingPanel("classes", id="classes")
        yield BenchSide(id="bench-side")

    def on_resize(self) -> None:
        """Give pictures the cells in which they show as they are, where there is room for that and for the rest."""
        sizes = None
        if self._opened is not None and self.screen.has_class("-wide") and self.screen.has_class("-tall"):
            sizes = lay_out_bench(self._opened.shape, *self.size, with_classes=self._opened.is_autoencoder)
        self.set_class(sizes is not None, "-own")
        self.query_one("#bench-left").styles.width = sizes[0] if sizes else None
        self.query_one("#bench-tried").styles.height = sizes[1] if sizes else None

    def _panel(self, name: str) -> DrawingPanel:
        return self.query_one(f"#{name}", DrawingPanel)

    # What is shown

    def clear(self, message: str) -> None:
        """Forget what a run made of images, and say why there is nothing."""
        self._opened = self._curve = None
        self._tried = ()
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

    def show_opened(self, opened: OpenedRun) -> None:
        """Take the checkpoint from which answers come now."""
        self._opened = opened
        if self._curve is None:
            self._panel("noise-curve").clear(MEASURING)
        if not self.strip.answered:
            self.strip.explain(MEASURING)
        self.set_class(not opened.is_autoencoder, "-classifier")
        self.query_one(ViewBar).offer("class", opened.is_autoencoder)
        self.on_resize()

    def show_noise(self, noise: NoiseChoice, trained: NoiseChoice | None) -> None:
        """Show the noise that is put on images; `trained` is the noise of the training."""
        if noise.kind != self.slider.noise.kind:
            self._curve = None
            self._panel("noise-curve").clear(MEASURING)
        self._trained = trained
        self.slider.show(noise)
        self._show_curve()

    def show_reconstruction(self, answer: Reconstruction, clean: NDArray[np.uint8]) -> None:
        """Show what became of an image (C, H, W)."""
        made = answer.reconstructions[0]
        self._tried = clean, answer.noisy[0], made, error_pictures(made[None], clean[None])[0][0]
        self._panel("tried").show(partial(draw_tried, answer, clean), self._step)

    def show_classes(self, answer: Classification) -> None:
        """Show what an image is taken for."""
        if self._opened is None:
            return
        names, shares = self._opened.classes, answer.shares[0]
        if answer.by == "classifier":
            self._tried = (answer.noisy[0],)
            drawing = partial(draw_verdict, answer, names, label=self.label)
            self._panel("tried").show(drawing, self._step, f"taken for {best_class(shares, names)}")
            return

        def draw(width: int, height: int, mode: str) -> Text:
            return draw_shares(shares, names, width, height, mode == "ascii", self.label)

        note = f"the {answer.neighbours} nearest codes"
        for name in ("classes", "shares"):
            self._panel(name).show(draw, note, f"near {best_class(shares, names)}")

    @property
    def _step(self) -> str:
        opened = self._opened
        if opened is None:
            return ""
        at = opened.asked if not opened.kept else None
        return f"{'' if at is None else f'weights of epoch {at:,} · '}step {opened.step:,}"

    def show_curve(self, curve: NoiseCurve) -> None:
        """Show the error at each level of noise."""
        self._curve = curve
        self._show_curve()

    def _show_curve(self) -> None:
        curve, noise, known = self._curve, self.slider.noise, self._trained
        if curve is None or curve.kind != noise.kind:
            return
        trained = known.level if known is not None and (known.kind == noise.kind or not known.level) else None
        drawing = partial(draw_noise_curve, curve, noise.level, trained)
        self._panel("noise-curve").show(drawing, f"{curve.images:,} test images", f"error against {noise.kind} noise")

    def show_strip(self, answer: Worst | Confused) -> None:
        """Show pictures to choose from."""
        if self._opened is None:
            return
        names = self._opened.classes
        if isinstance(answer, Worst):
            self.strip.explain("it takes no test image for another class")
            self.strip.show(answer.images, worst_captions(answer, names), self.strip.BORDER_TITLE)
        else:
            self.strip.explain("no test image is taken so by these weights")
            title = confused_title(answer, names)
            self.strip.show(answer.images, confused_captions(answer), title, "w the worst again", answer.total)

    @property
    def sheet(self) -> Sheet | None:
        """The pictures of the strip while it has the focus, else the image with what became of it."""
        strip, step = self.strip, self._opened.checkpoint if self._opened is not None else ""
        if strip.has_focus and len(strip.images):
            return Sheet.of_many(f"{'-'.join(re.findall('[a-z0-9]+', strip.title.lower()))}-{step}", strip.images)
        if not self._tried:
            return None
        shown = np.stack(np.broadcast_arrays(*self._tried))
        return Sheet(f"bench-{step}", [shown])

    def show_asking(self, asking: bool) -> None:
        """Say whether an answer is on its way."""
        self._panel("tried").border_subtitle = "asking…" if asking else self._step
