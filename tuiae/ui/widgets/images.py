"""Inputs, corrupted inputs and reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.color import Color
from textual.reactive import reactive
from textual.widget import Widget

from tuiae.ui.render.grid import ROOMY, ImageRow, drawable, fit, image_grid
from tuiae.ui.render.sheet import image_sheet
from tuiae.ui.render.text import centred, clean
from tuiae.ui.terminal.mode import Pictures
from tuiae.ui.widgets.panel import PicturePanel
from tuiae.ui.widgets.sheet import sheet_widget, show_sheet


class ImagesPanel(PicturePanel):
    """A grid of pictures, one kind a row."""

    mode: reactive[Pictures] = reactive("blocks")
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
        self._sheet: Widget | None = None
        """Where the terminal draws real pictures, what shows them."""

    def compose(self) -> ComposeResult:
        if self.terminal.graphics:
            self._sheet = sheet_widget(self.terminal.graphics)
            yield self._sheet

    def on_mount(self) -> None:
        self.mode = self.best

    @property
    def best(self) -> Pictures:
        """What shows pictures best on this terminal."""
        return "none" if self.terminal.graphics else self.terminal.pictures

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
        self._show_sheet()

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

    def watch_mode(self) -> None:
        self.changed()
        self._show_sheet()

    def watch_error(self) -> None:
        self._retitle()
        self.changed()
        self._show_sheet()

    def on_resize(self) -> None:
        self._retitle()
        self._show_sheet()

    def _show_sheet(self) -> None:
        if self._sheet is not None:
            real = self.mode == "none" and self._rows
            ground = Color.parse(self.app.theme_variables["background"]).rgb
            show_sheet(
                self._sheet, image_sheet(self._wanted(), *self.content_size, self._captions, ground) if real else None
            )

    def toggle_error(self) -> None:
        """Show the errors, or not, whatever room there is."""
        self.error = not self._shown_error()

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

    def draw(self, width: int, height: int) -> Text:
        if not self._rows:
            return centred(self._empty, width, height)
        return image_grid(self._wanted(), width, height, self.mode, self._captions)
