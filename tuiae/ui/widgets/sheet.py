"""Real pictures over the cells of a panel, by textual-image."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.color import Color
from textual.reactive import reactive
from textual.widget import Widget

from tuiae.ui.render.holes import without_holes
from tuiae.ui.render.sheet import Sheet, sheets_of
from tuiae.ui.terminal.mode import Graphics, Pictures
from tuiae.ui.widgets.panel import PicturePanel


class SheetPanel(PicturePanel):
    """A panel with pictures in it: in cells, or as the terminal draws them."""

    mode: reactive[Pictures] = reactive("blocks")

    def __init__(self, title: str = "", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._sheets: list[tuple[Widget, Sheet | None]] = []
        """Where the terminal draws real pictures, what shows them, and what it shows."""

    def on_mount(self) -> None:
        self.mode = self.best

    @property
    def best(self) -> Pictures:
        """What shows pictures best on this terminal."""
        return "none" if self.terminal.graphics else self.terminal.pictures

    def drawing(self, width: int, height: int) -> Text:
        """The drawing for so many cells, in the mode; panels override it."""
        raise NotImplementedError

    def draw(self, width: int, height: int) -> Text:
        drawing = self.drawing(width, height)
        return without_holes(drawing) if self.mode == "none" else drawing

    def watch_mode(self) -> None:
        self.changed()

    def changed(self) -> None:
        super().changed()
        self._show_sheets()

    def on_resize(self) -> None:
        self._show_sheets()

    def _show_sheets(self) -> None:
        """Put a picture where its cells are; what looks the same is not sent again."""
        if not self.is_attached or not self.terminal.graphics:
            return
        sheets: list[Sheet] = []
        if self.mode == "none" and self.content_size.area:
            ground = Color.parse(self.app.theme_variables["background"]).rgb
            sheets = sheets_of(self.drawing(*self.content_size), ground)
        while len(self._sheets) < len(sheets):
            widget = sheet_widget(self.terminal.graphics)
            self._sheets.append((widget, None))
            self.mount(widget)
        for place, (widget, shown) in enumerate(self._sheets):
            sheet = sheets[place] if place < len(sheets) else None
            if sheet is None or not sheet.same(shown):
                show_sheet(widget, sheet)
                self._sheets[place] = widget, sheet


def sheet_widget(graphics: Graphics) -> Widget:
    """An empty picture for this protocol."""
    from textual_image.widget import SixelImage, TGPImage  # an extra; it was there when the protocol was chosen

    widget: Widget = SixelImage() if graphics == "sixel" else TGPImage()
    widget.styles.position = "absolute"
    return widget


def show_sheet(widget: Any, sheet: Sheet | None) -> None:
    """Put a picture where its cells are, or none."""
    widget.display = sheet is not None
    if sheet is None:
        return
    from PIL import Image  # only where there are real pictures, and not before the first paint

    widget.styles.offset = (sheet.left, sheet.top)
    widget.styles.width, widget.styles.height = sheet.columns, sheet.rows
    widget.image = Image.fromarray(sheet.pixels)
