"""The pictures of a drawing in pixels, for terminals that draw real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from tuiae.ui.render.holes import Hole, holes_in
from tuiae.ui.render.images import Pixels, as_rgb, resample
from tuiae.ui.render.palette import RGB

CELL = (8, 16)
"""Pixels of a cell, across and down: the terminal scales, and more would only take longer to send."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """One picture and the cells that it covers, from the corner of the panel."""

    pixels: Pixels
    left: int
    top: int
    columns: int
    rows: int

    def same(self, other: Sheet | None) -> bool:
        """Whether another one looks the same, in the same place."""
        return other is not None and (
            (self.left, self.top, self.columns, self.rows) == (other.left, other.top, other.columns, other.rows)
            and np.array_equal(self.pixels, other.pixels)
        )


def sheets_of(drawing: Text, ground: RGB) -> list[Sheet]:
    """The pictures that a drawing in the mode `none` left room for: one sheet for rows of them with no words between,
    for each sheet is sent by itself. `ground` is the colour between pictures."""
    lines = [_cells(line.plain) for line in drawing.split("\n", allow_blank=True)]
    parts: list[list[Hole]] = []
    for _, row in groupby(holes_in(drawing), key=lambda hole: hole.top):
        band = list(row)
        if parts and _joins(parts[-1], band, lines):
            parts[-1] += band
        else:
            parts.append(band)
    return [_sheet(holes, ground) for holes in parts]


def _cells(line: str) -> str:
    """A line with a character for each of its cells."""
    return "".join(char.ljust(cell_len(char)) for char in line if cell_len(char))


def _edges(holes: Sequence[Hole]) -> tuple[int, int, int, int]:
    """Left, right, top and bottom; right and bottom are the first cells beyond."""
    return (
        min(hole.left for hole in holes),
        max(hole.left + hole.columns for hole in holes),
        min(hole.top for hole in holes),
        max(hole.top + hole.rows for hole in holes),
    )


def _joins(above: Sequence[Hole], below: Sequence[Hole], lines: Sequence[str]) -> bool:
    """Whether one picture can cover both rows without covering words."""
    left, right, _, bottom = _edges(above)
    other_left, other_right, top, _ = _edges(below)
    between = "".join(line[left:right] for line in lines[bottom:top])
    return (left, right) == (other_left, other_right) and not between.strip()


def _sheet(holes: Sequence[Hole], ground: RGB) -> Sheet:
    across, down = CELL
    left, right, top, bottom = _edges(holes)
    pixels = np.full(((bottom - top) * down, (right - left) * across, 3), ground, np.uint8)
    for hole in holes:
        x, y = (hole.left - left) * across, (hole.top - top) * down
        # A pixel stays free below: it parts pictures that stand on each other.
        size = (hole.columns * across, hole.rows * down - 1)
        pixels[y : y + size[1], x : x + size[0]] = resample(as_rgb(hole.image), *size)
    return Sheet(pixels, left, top, right - left, bottom - top)
