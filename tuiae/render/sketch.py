"""An image to draw on: as large as an area of cells lets it be, with square pixels, and a pen above it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.text import Text

from tuiae.render import palette
from tuiae.render.pixels import Pixels, draw_picture, resample
from tuiae.render.plot import put
from tuiae.render.text import centred, join_lines

LEAST = 3
"""Lines below which nothing can be drawn."""
CRISP = 0.75
"""Share of the largest size from which a smaller one with pixels of whole width, which are sharp, is taken."""
PENS = {"up": ("○", "o"), "down": ("●", "*"), "erase": ("✕", "x")}
"""State of the pen -> its sign, and that of a terminal without more than ASCII."""


FRAMES = (("▁", "▔", "▕", "▏"), ("_", "-", "|", "|"))
"""Signs above, below, before and after an image; then in ASCII."""


@dataclass(frozen=True)
class CanvasLayout:
    """The place of an image of `width` x `height` pixels in an area; a cell is one dot wide and two high."""

    width: int
    height: int
    columns: int
    """Dots, and cells, across."""
    dots: int
    """Dots down."""
    left: int
    top: int

    @property
    def rows(self) -> int:
        """Lines that it takes."""
        return (self.dots + 1) // 2

    def spot(self, column: float, row: float) -> tuple[float, float]:
        """The place on the image of a place in the area, both in units of theirs; beyond the edge is beyond it."""
        return (column - self.left) * self.width / self.columns, (row - self.top) * 2 * self.height / self.dots

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Column and row in the area of a place on the image."""
        column = math.floor(x * self.columns / self.width)
        row = math.floor(y * self.dots / self.height / 2)
        return self.left + min(max(column, 0), self.columns - 1), self.top + min(max(row, 0), self.rows - 1)


def lay_out_canvas(size: tuple[int, int], width: int, height: int) -> CanvasLayout | None:
    """The largest layout of an image of size (width, height) in an area of cells; None where there is no room."""
    largest = min(width / size[0], 2 * height / size[1])
    scale = math.floor(largest) if math.floor(largest) >= CRISP * largest else largest
    columns, dots = math.floor(size[0] * scale), math.floor(size[1] * scale)
    if columns < 1 or dots < 2 * LEAST - 1:
        return None
    return CanvasLayout(*size, columns, dots, (width - columns) // 2, (height - (dots + 1) // 2) // 2)


def draw_canvas(
    image: Pixels, width: int, height: int, mode: str, pen: tuple[float, float] | None = None, pen_state: str = "up"
) -> Text:
    """An image (C, H, W), and the pen at (x, y) of it."""
    layout = lay_out_canvas((image.shape[2], image.shape[1]), width, height)
    if layout is None:
        return centred("too small to draw", width, height)
    large = resample(image.transpose(1, 2, 0), layout.columns, layout.dots)
    lines = draw_picture(large, layout.columns, layout.rows, mode)
    if pen is not None:
        column, row = layout.cell(*pen)
        sign, style = PENS[pen_state][mode == "ascii"], f"bold {palette.VERMILLION}"
        put(lines[row - layout.top], column - layout.left, sign, style)
    return join_lines(_framed(lines, layout, width, height, mode == "ascii"))


def _framed(lines: list[Text], layout: CanvasLayout, width: int, height: int, ascii_only: bool) -> list[Text]:
    """The image in its place; a fine frame where it fits, because black paper ends nowhere on a dark screen."""
    above, below, before, after = FRAMES[ascii_only] if layout.left else ("", "", "", "")
    left = " " * max(layout.left - 1, 0)
    after = after if width > layout.left + layout.columns else ""
    placed = [Text(left, end="").append(before, "dim").append_text(line).append(after, "dim") for line in lines]
    head = [Text()] * layout.top
    if head and above:
        head[-1] = Text(f"{left} {above * layout.columns}", "dim", end="")
    foot = [Text(f"{left} {below * layout.columns}", "dim", end="")] if below else []
    return [*head, *placed, *foot][:height]
