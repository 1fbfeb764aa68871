"""Inputs, corrupted inputs and reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.text import Text
from textual.reactive import reactive

from tuiae.ui.render.grid import ImageRow, image_grid
from tuiae.ui.render.text import centred, clean
from tuiae.ui.widgets.panel import Panel


class ImagesPanel(Panel):
    """A grid of pictures, one kind a row."""

    mode: reactive[Literal["blocks", "ascii"]] = reactive("blocks")

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

    def show(self, rows: Sequence[ImageRow], captions: Sequence[str] | None = None, note: str = "") -> None:
        """Replace the pictures: (label, (N, C, H, W) uint8) a row; `note` goes into the lower frame."""
        self._rows, self._captions, self._note = rows, captions, note
        self.set_title(self._title, note)
        self.changed()

    def rename(self, title: str) -> None:
        """Say in the frame what kind of pictures these are."""
        self._title = title
        self.set_title(title, self._note)

    def set_empty(self, message: str) -> None:
        """What to say while there is nothing to show."""
        self._empty = clean(message)
        self.changed()

    def watch_mode(self) -> None:
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        if not self._rows:
            return centred(self._empty, width, height)
        return image_grid(self._rows, width, height, self.mode, self._captions)
