"""One bar for each value of something, from zero, with the figure behind it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette
from tuiae.render.text import clean, join_lines, shorten

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LONGEST_LABEL = 24

Bar = tuple[str, float, str]
"""A label, a length that is not negative, and the words behind the bar."""


def draw_bars(bars: Sequence[Bar], width: int) -> Text:
    """A line for each bar, the longest as long as there is room for; lengths compare, all start at zero."""
    labels = [shorten(clean(label), _LONGEST_LABEL) for label, _, _ in bars]
    head = max(map(cell_len, labels), default=0)
    room = max(width - head - max((cell_len(words) for _, _, words in bars), default=0) - 3, 1)
    longest = max((length for _, length, _ in bars), default=0.0) or 1.0
    lines = []
    for label, (_, length, words) in zip(labels, bars, strict=True):
        line = Text(" " * (head - cell_len(label)) + label + "  ")
        lines.append(line.append(bar(length / longest, room, least=1), palette.SKY).append(f" {words}"))
    return join_lines(lines)


def bar(share: float, room: int, least: int = 0) -> str:
    """A share of `room` cells, to an eighth of a cell, and so many eighths at least."""
    eighths = max(round(share * room * 8), least)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")
