"""A panel for whatever a pure function draws of pictures."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text

from tuiae.ui.render.text import clean, in_mode, paragraph
from tuiae.ui.widgets.sheet import SheetPanel

Drawing = Callable[[int, int, str], Text]
"""(width, height, mode) -> at most so many cells; mode is what pictures are made of."""


class DrawingPanel(SheetPanel):
    """Draws what it was shown last."""

    def __init__(self, title: str, *, empty: str = "", id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._default = title
        self._empty = empty
        self._resting = ""
        self._drawing: Drawing | None = None

    def show(self, drawing: Drawing, note: str = "", title: str = "") -> None:
        """Replace the drawing; `note` goes into the lower frame, `title` above this one drawing."""
        self._drawing = drawing
        self.set_title(title or self._default, note)
        self.changed()

    def clear(self, message: str = "") -> None:
        """Forget the drawing, and say why there is none."""
        self._drawing, self._empty = None, clean(message)
        self.set_title(self._default)
        self.changed()

    def rest(self, message: str) -> None:
        """Say why the drawing does not count for now; with `` it shows again, or what was shown meanwhile."""
        if message != self._resting:
            self._resting = message
            self.changed()

    def drawing(self, width: int, height: int) -> Text:
        drawing = self._drawing
        if drawing is None or self._resting:
            return in_mode(paragraph(self._resting or self._empty, width, height), self.mode)
        text = drawing(width, height, self.mode)
        return in_mode(text, self.mode)
