"""A canvas: a mouse or a pen moved by keys draws on it, at the resolution at which a network takes images."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive

from tuiae.ui.keys import CANVAS
from tuiae.ui.render.canvas import draw_canvas, lay_out_canvas
from tuiae.ui.render.text import centred, clean, in_mode
from tuiae.ui.sketch import BRUSHES, Sketch, Spot
from tuiae.ui.terminal.mode import Pictures
from tuiae.ui.widgets.panel import PicturePanel

MOST_UNDONE = 100
CHANGES: dict[str, Callable[[Sketch], Sketch]] = {
    "clear": Sketch.cleared,
    "invert": Sketch.inverted,
    "centre": Sketch.centred,
}
"""Tool -> what it makes of the whole image."""
_ERASER_BUTTON = 3


class CanvasPanel(PicturePanel):
    """Draws with the mouse, and with a pen that the arrows move while it has the focus."""

    BINDINGS = [key.binding for key in CANVAS]

    mode: reactive[Pictures] = reactive("blocks")

    class Drawn(Message):
        """The image is another one, by hand."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__("canvas", id=id)
        self.sketch: Sketch | None = None
        self.brush = "medium"
        self.erasing = False
        self._before: list[Sketch] = []
        self._pen: Spot = (0.0, 0.0)
        self._pen_down = False
        self._mouse: Spot | None = None
        self._empty = ""
        self._shown_name = ""

    # What is on it

    def on_mount(self) -> None:
        self.mode = self.terminal.pictures

    def show(self, image: NDArray[np.uint8], name: str) -> None:
        """Put a picture (C, H, W) on it, with its name in the frame; undo brings back what was there."""
        if self.sketch is not None and self.sketch.image.shape == image.shape:
            self._remember()
        else:
            self._before = []
            self._pen = (image.shape[2] // 2 + 0.5, image.shape[1] // 2 + 0.5)
        self.sketch = Sketch.of(image)
        self._pen_down = False
        self.rename(name)

    def explain(self, message: str) -> None:
        """What to say while there is nothing to draw on."""
        self._empty = clean(message)
        self.changed()

    def clear(self) -> None:
        """Have nothing to draw on, as images of another run are of another size."""
        self.sketch, self._before, self._pen_down = None, [], False
        self.rename("")

    def rename(self, name: str) -> None:
        """Say in the frame what is on it."""
        self._shown_name = name
        self._retitle()
        self.changed()

    def _retitle(self) -> None:
        tool = "eraser" if self.erasing else "brush"
        pen = " · pen down" if self._pen_down else ""
        self.set_title(f"canvas · {self._shown_name}" if self._shown_name else "canvas", f"{self.brush} {tool}{pen}")

    def watch_mode(self) -> None:
        self.changed()

    def on_focus(self) -> None:
        self.changed()

    def on_blur(self) -> None:
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        if self.sketch is None:
            return in_mode(centred(self._empty, width, height), self.mode)
        state = "erase" if self.erasing else "down" if self._pen_down else "up"
        pen = self._pen if self.has_focus else None
        return in_mode(draw_canvas(self.sketch.pixels, width, height, self.mode, pen, state), self.mode)

    # Changing it

    def _remember(self) -> None:
        if self.sketch is not None:
            self._before = [*self._before[1 - MOST_UNDONE :], self.sketch]

    def _become(self, sketch: Sketch, name: str = "drawn", rows: range | None = None) -> None:
        self.sketch, self._shown_name = sketch, name
        self._retitle()
        if rows is None:
            self.changed()
        else:
            self.changed_at(rows)
        self.post_message(self.Drawn())

    def _line(self, start: Spot, end: Spot, erase: bool) -> None:
        """Draw, and paint no more lines than those that it touched."""
        if self.sketch is None:
            return
        layout = lay_out_canvas(self.sketch.size, *self.content_size)
        rows = None
        if layout is not None:
            reach = BRUSHES["bold"][0] + BRUSHES["bold"][1] * max(self.sketch.size) + 1
            low, high = min(start[1], end[1]) - reach, max(start[1], end[1]) + reach
            rows = range(layout.cell(0, low)[1], layout.cell(0, high)[1] + 1)
        self._become(self.sketch.stroke(start, end, self.brush, erase), rows=rows)

    def action_pen(self, across: int, down: int) -> None:
        """Move the pen by pixels; it draws while it is down."""
        if self.sketch is None:
            return
        width, height = self.sketch.size
        x, y = self._pen
        self._pen = (min(max(x + across, 0.5), width - 0.5), min(max(y + down, 0.5), height - 0.5))
        if self._pen_down and self._pen != (x, y):
            self._line((x, y), self._pen, self.erasing)
        self.changed()

    def action_dot(self) -> None:
        """Put the pen down, which makes a dot, or lift it."""
        if self.sketch is None:
            return
        self._pen_down = not self._pen_down
        if self._pen_down:
            self._remember()
            self._line(self._pen, self._pen, self.erasing)
        self._retitle()
        self.changed()

    @property
    def can_undo(self) -> bool:
        return bool(self._before)

    def use(self, tool: str) -> None:
        """One of the tools."""
        if tool == "brush":
            names = list(BRUSHES)
            self.brush = names[(names.index(self.brush) + 1) % len(names)]
        elif tool == "eraser":
            self.erasing = not self.erasing
        elif tool == "undo" and self._before:
            *self._before, last = self._before
            self._pen_down = False
            self._become(last)
        elif tool in CHANGES and self.sketch is not None:
            self._remember()
            self._become(CHANGES[tool](self.sketch))
        self._retitle()
        self.changed()

    # The mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if (spot := self._spot(event)) is not None:
            self.capture_mouse()
            self._remember()
            self._pen_down = False
            self._follow(spot, event.button)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._mouse is not None and event.button and (spot := self._spot(event)) is not None:
            self._follow(spot, event.button)

    def on_mouse_up(self) -> None:
        self._mouse = None
        self.release_mouse()

    def _follow(self, spot: Spot, button: int) -> None:
        """A line from where the mouse was last, because it reports only some of the places that it passes."""
        start, self._mouse = self._mouse or spot, spot
        self._line(start, spot, self.erasing or button == _ERASER_BUTTON)

    def _spot(self, event: events.MouseEvent) -> Spot | None:
        """Where the mouse is on the image; a terminal that reports cells means their middle."""
        if self.sketch is None:
            return None
        layout = lay_out_canvas(self.sketch.size, *self.content_size)
        if layout is None:
            return None
        x, y = event.pointer_x - self.gutter.left, event.pointer_y - self.gutter.top
        return layout.spot(*(math.floor(at) + 0.5 if at == math.floor(at) else at for at in (x, y)))
