"""A value that keys and the mouse move along a line, said in words."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive

from tuiae.ui.keys import SLIDER
from tuiae.ui.render.slider import draw_slider, share_at
from tuiae.ui.widgets.panel import PicturePanel


class Slider(PicturePanel):
    """A number from `low` to `high`; who uses it takes `Moved` and shows what became of it."""

    BINDINGS = [key.binding for key in SLIDER]

    ascii_only: reactive[bool] = reactive(False)

    class Moved(Message):
        """Somebody wants another value."""

        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

    def __init__(self, title: str, figure: Callable[[float], str], step: float, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._figure = figure
        self._step = step
        self.value, self.low, self.high = 0.0, 0.0, 1.0

    def show(self, value: float, low: float, high: float, title: str, words: str) -> None:
        """Stand at a value between two others, and say below what it means."""
        self.value, self.low, self.high = value, low, high
        self.set_title(title, words)
        self.changed()

    def watch_ascii_only(self) -> None:
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        share = (self.value - self.low) / ((self.high - self.low) or 1)
        return draw_slider(share, width, self._figure(self.value), self.ascii_only or self.terminal.ascii)

    def action_slide(self, steps: int) -> None:
        """By so many steps."""
        self._want(self.value + steps * self._step)

    def action_slide_to(self, share: float) -> None:
        """To one of the ends, or between."""
        self._want(self.low + share * (self.high - self.low))

    def _want(self, value: float) -> None:
        value = min(max(value, self.low), self.high)
        if value != self.value:
            self.post_message(self.Moved(value))

    # The mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self._slide_under(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button:
            self._slide_under(event)

    def on_mouse_up(self) -> None:
        self.release_mouse()

    def _slide_under(self, event: events.MouseEvent) -> None:
        column = event.get_content_offset_capture(self).x
        share = share_at(column, self.content_size.width, self._figure(self.value))
        if share is not None:
            self.action_slide_to(share)
