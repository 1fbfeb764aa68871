"""A value on a line between its ends, and the same in words."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from tuiae.ui.render import palette
from tuiae.ui.render.text import shorten

LEAST = 8
"""Cells of a line that shows anything."""
GAP = 2
_SIGNS = (("├", "━", "●", "─", "┤"), ("|", "=", "O", "-", "|"))


def track(width: int, words: str) -> int:
    """Cells of the line, its ends included; 0 where only the words have room."""
    room = width - cell_len(words) - GAP
    return room if room >= LEAST else 0


def draw_slider(share: float, width: int, words: str, ascii_only: bool = False) -> Text:
    """`├━━━━●─────┤  30% of the pixels`, the knob at a share of the way."""
    if width <= 0:
        return Text()
    line = Text(end="", no_wrap=True)
    cells = track(width, words)
    if cells:
        start, before, knob, after, end = _SIGNS[ascii_only]
        place = round(share * (cells - 3))
        line.append(start, "dim").append(before * place, palette.SKY).append(knob, f"bold {palette.SKY}")
        line.append(after * (cells - 3 - place), "dim").append(end + " " * GAP, "dim")
    return line.append(shorten(words, width - line.cell_len), "bold")


def share_at(column: int, width: int, words: str) -> float | None:
    """The share of the way that a column of the drawing stands for; None beside the line."""
    cells = track(width, words)
    if not cells or column >= cells + GAP:
        return None
    return min(max((column - 1) / (cells - 3), 0.0), 1.0)
