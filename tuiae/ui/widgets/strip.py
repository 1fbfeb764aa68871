"""A strip of pictures with a cursor: one of them is chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive

from tuiae.ui.keys import STRIP
from tuiae.ui.render.strip import draw_strip, lay_out_strip
from tuiae.ui.render.text import centred, clean, in_mode
from tuiae.ui.widgets.sheet import SheetPanel


class StripPanel(SheetPanel):
    """Pictures and two words for each; Enter or a click takes one."""

    BINDINGS = [key.binding for key in STRIP]

    cursor: reactive[int] = reactive(0)

    class Taken(Message):
        """A picture was chosen."""

        def __init__(self, place: int) -> None:
            super().__init__()
            self.place = place

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._default = self._title = title
        self._images: NDArray[np.uint8] = np.zeros((0, 1, 1, 1), np.uint8)
        self._captions: list[tuple[str, str]] = []
        self._empty = ""
        self.answered = False
        """Whether it shows what was asked for, which may be no picture at all."""

    def show(self, images: NDArray[np.uint8], captions: list[tuple[str, str]], title: str, note: str) -> None:
        """Replace the pictures (N, C, H, W)."""
        self._images, self._captions, self.answered = images, captions, True
        self.cursor = min(self.cursor, max(len(images) - 1, 0)) if title == self._title else 0
        self._title = title
        self.set_title(title, note)
        self.changed()

    def clear(self, message: str) -> None:
        """Forget the pictures, and say why there are none."""
        self._images, self._captions, self.answered = self._images[:0], [], False
        self._title = self._default
        self.set_title(self._title)
        self.explain(message)

    def explain(self, message: str) -> None:
        """What to say while there are none."""
        self._empty = clean(message)
        self.changed()

    def watch_cursor(self) -> None:
        self.changed()

    on_focus = on_blur = watch_cursor

    def drawing(self, width: int, height: int) -> Text:
        if not len(self._images):
            text = centred(self._empty, width, height)
        else:
            text = draw_strip(self._images, self._captions, width, height, self.mode, self.cursor, self.has_focus)
        return in_mode(text, self.mode)

    def action_walk(self, steps: int) -> None:
        """The cursor by so many pictures."""
        self.cursor = min(max(self.cursor + steps, 0), max(len(self._images) - 1, 0))

    def action_take(self) -> None:
        """Choose the picture at the cursor."""
        if len(self._images):
            self.post_message(self.Taken(self.cursor))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or not len(self._images):
            return
        layout = lay_out_strip(self._images.shape[-2:], len(self._images), *self.content_size, self.cursor)
        place = layout.index_at(*offset) if layout is not None else None
        if place is not None:
            self.cursor = place
            self.action_take()
