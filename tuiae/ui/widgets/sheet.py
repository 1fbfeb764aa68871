"""A real picture over the cells of a panel, by textual-image."""

from __future__ import annotations

from typing import Any

from textual.widget import Widget

from tuiae.ui.render.sheet import Sheet
from tuiae.ui.terminal.mode import Graphics


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
