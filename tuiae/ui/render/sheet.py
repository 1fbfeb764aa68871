"""The pictures of a grid as one picture in pixels, for terminals that draw real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuiae.ui.render.grid import CaptionRow, ImageRow, drawable, fit
from tuiae.ui.render.images import Pixels, as_rgb, resample
from tuiae.ui.render.palette import RGB

CELL = (8, 16)
"""Pixels of a cell, across and down: the terminal scales, and more would only take longer to send."""


@dataclass(frozen=True)
class Sheet:
    """One picture and the cells that it covers, from the corner of the panel."""

    pixels: Pixels
    left: int
    top: int
    columns: int
    rows: int


def image_sheet(
    rows: Sequence[ImageRow], width: int, height: int, captions: Sequence[str] | None, ground: RGB
) -> Sheet | None:
    """What `image_grid` draws in the same cells, without its words; None when nothing fits."""
    rows = drawable(rows)
    words: list[CaptionRow] = [("", captions)] if captions else []
    layout = fit(rows, width, height, words) if rows and width > 0 and height > 0 else None
    if layout is None:
        return None
    across, down = CELL
    columns = layout.shown * (layout.columns + 1) - 1
    lines = len(rows) * layout.rows + (len(rows) - 1) * layout.gap
    pixels = np.full((lines * down, columns * across, 3), ground, np.uint8)
    for row, (_, images) in enumerate(rows):
        top = row * (layout.rows + layout.gap) * down
        for place, image in enumerate(images[: layout.shown]):
            left = place * (layout.columns + 1) * across
            size = (layout.columns * across, layout.rows * down - 1)
            pixels[top : top + size[1], left : left + size[0]] = resample(as_rgb(image.transpose(1, 2, 0)), *size)
    left = (width - layout.gutter - columns) // 2 + layout.gutter
    return Sheet(pixels, left, (height - lines - len(words)) // 2, columns, lines)
