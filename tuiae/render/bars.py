"""One bar for each value of something, from zero, with the figure behind it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette
from tuiae.render.plot import PlotFrame, PlotSignal, build
from tuiae.render.text import clean, join_lines, shorten
from tuiae.render.ticks import Scale

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LONGEST_LABEL = 24

Bar = tuple[str, float, str]
"""A label, a length that is not negative, and the words behind the bar."""


def draw_bars(bars: Sequence[Bar], width: int, ascii_only: bool = False) -> Text:
    """A line for each bar, the longest as long as there is room for; lengths compare, all start at zero."""
    labels = [shorten(clean(label), _LONGEST_LABEL) for label, _, _ in bars]
    head = max(map(cell_len, labels), default=0)
    room = max(width - head - max((cell_len(words) for _, _, words in bars), default=0) - 3, 1)
    longest = max((length for _, length, _ in bars), default=0.0) or 1.0
    drawn = bar_rows([length / longest for _, length, _ in bars], room, ascii_only, least=1)
    lines = []
    for label, row, (_, _, words) in zip(labels, drawn, bars, strict=True):
        line = Text(" " * (head - cell_len(label)) + label + "  ")
        lines.append(line.append(row, palette.SKY).append(f" {words}"))
    return join_lines(lines)


def bar_rows(shares: Sequence[float], room: int, ascii_only: bool = False, least: int = 0) -> list[str]:
    """Shares of `room` cells, each a bar: to an eighth of a cell and so many eighths at least; in ASCII to a cell."""
    if not shares or room <= 0:
        return [""] * len(shares)
    signals, top = [], len(shares) - 1
    for row, share in enumerate(shares):
        eighths = max(round(share * room * 8), least)
        if ascii_only:
            eighths = 8 * max(round(share * room), min(least, 1))
        whole, rest = divmod(eighths, 8)
        level = np.full(2, top - row)
        if whole:
            ends, joined = np.array([0, whole - 1]), np.array([False, True])
            signals.append(PlotSignal(1, ends, level, "#" if ascii_only else _EIGHTHS[8], joined))
        if rest:
            signals.append(PlotSignal(1, np.array([whole]), level[:1], _EIGHTHS[rest]))
    frame = PlotFrame(Scale((0.0, 1.0), room, 1), Scale((0.0, 1.0), len(shares), 1))
    return ["".join(text for text, _ in runs).rstrip() for runs in build(signals, frame, axes=False)]
