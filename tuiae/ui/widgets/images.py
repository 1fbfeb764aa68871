"""Inputs, corrupted inputs and reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.reactive import reactive

from tuiae.ui.render.grid import ROOMY, ImageRow, drawable, fit, image_grid
from tuiae.ui.render.text import centred, clean
from tuiae.ui.widgets.sheet import SheetPanel


class ImagesPanel(SheetPanel):
    """A grid of pictures, one kind a row."""

    error: reactive[bool | None] = reactive(None)
    """Whether the row of errors shows, where it fits at all; None shows it where pictures stay good to see with it."""

    def __init__(
        self,
        title: str = "reconstructions",
        *,
        empty: str = "no images yet",
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(title, id=id)
        self._title = title
        self._empty = empty
        self._rows: Sequence[ImageRow] = ()
        self._captions: Sequence[str] | None = None
        self._note = ""
        self._error: tuple[ImageRow, str] | None = None

    def show(
        self,
        rows: Sequence[ImageRow],
        captions: Sequence[str] | None = None,
        note: str = "",
        error: tuple[ImageRow, str] | None = None,
    ) -> None:
        """Replace the pictures: (label, (N, C, H, W) uint8) a row; `note` goes into the lower frame.

        `error` is one more row, and the scale on which it is drawn in words.
        """
        self._rows, self._captions, self._note, self._error = rows, captions, note, error
        self._retitle()
        self.changed()

    def _retitle(self) -> None:
        """What these pictures are; the scale of the errors is said only while they show."""
        scale = self._error[1] if self._error is not None and self._shown_error() else ""
        self.set_title(self._title, " · ".join(words for words in (scale, self._note) if words))

    def rename(self, title: str) -> None:
        """Say in the frame what kind of pictures these are."""
        self._title = title
        self._retitle()

    def set_empty(self, message: str) -> None:
        """What to say while there is nothing to show."""
        self._empty = clean(message)
        self.changed()

    def watch_error(self) -> None:
        self._retitle()
        self.changed()

    def on_resize(self) -> None:
        self._retitle()

    def toggle_error(self) -> bool:
        """Show the errors, or not, whatever room there is; whether there are any."""
        self.error = not self._shown_error()
        return self._error is not None

    def _shown_error(self) -> bool:
        """Whether the errors are wanted, and there is room for them."""
        rows = drawable(self._rows)
        if self.error is False or self._error is None or not rows:
            return False
        words = [("", self._captions)] if self._captions else []
        layout = fit([*rows, self._error[0]], *self.content_size, words)
        least = min(ROOMY, (rows[0][1].shape[2] + 1) // 2)
        return layout is not None and (bool(self.error) or layout.rows >= least)

    def _wanted(self) -> Sequence[ImageRow]:
        return [*self._rows, self._error[0]] if self._error is not None and self._shown_error() else self._rows

    def drawing(self, width: int, height: int) -> Text:
        if not self._rows:
            return centred(self._empty, width, height)
        return image_grid(self._wanted(), width, height, self.mode, self._captions)
