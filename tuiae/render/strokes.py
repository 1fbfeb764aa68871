"""Lines in cells: fine ones, broken ones and dotted ones, of as few points as show."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.text import Text

from tuiae.render import axes
from tuiae.render.curves import DASHES, LINE, Line, Series, clip, means
from tuiae.render.dot_canvas import Canvas

SIGNS = {LINE: "━", DASHES: "╍"}
ASCII_SIGNS = {LINE: "*", DASHES: "."}
"""What draws them, and stands for them in a legend, where there is ASCII alone."""
SIGN_CELLS = 16  # between two signs of one line
DASH = 3  # cells: two drawn, one left out
_RAW_WIDTH, _RAW_HEIGHT, _RAW_LINES = 30, 6, 2
"""Cells from which the measured points show behind a smoothed line or a mean, and with how many lines at most."""

Limits2 = tuple[axes.Limits, axes.Limits]
Points = tuple[Series, Series]
"""x and y."""


def reduce_series(x: Series, y: Series, columns: int) -> tuple[Series, Series]:
    """At most the lowest and the highest point of each of `columns` equal parts of x, in order of x.

    `x` is sorted and finite. Short series come back as they are, so no extreme is ever lost.
    """
    if columns <= 0 or len(x) <= 2 * columns:
        return x, y
    span = x[-1] - x[0]
    column = np.minimum(((x - x[0]) / span * columns).astype(int), columns - 1) if span else np.zeros(len(x), int)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    part = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(x)))
    kept = []
    for extreme in (np.minimum, np.maximum):
        found = np.flatnonzero(y == extreme.reduceat(y, starts)[part])
        kept.append(found[np.diff(part[found], prepend=-1) > 0])  # the first of equals
    places = np.unique(np.concatenate(kept))
    return x[places], y[places]


def draw_lines(lines: Sequence[Line], size: tuple[int, int], limits: Limits2, ascii_only: bool = False) -> list[Text]:
    """The points of lines alone, (columns, rows) of them, without frame, ticks or background."""
    width, height = size
    canvas = Canvas(size, limits, ascii_only)
    ways = [_way(line, limits[0], width) for line in lines]
    raw = [(line, behind) for line, (_, behind) in zip(lines, ways, strict=True) if behind is not None]
    if width >= _RAW_WIDTH and height >= _RAW_HEIGHT and len(raw) <= _RAW_LINES:
        for line, behind in raw:
            canvas.line(*reduce_series(*behind, width), f"dim {line.curve.color}", ".")
    shown = [(line, _style(line), way) for line, (way, _) in zip(lines, ways, strict=True)]
    for line, style, (x, y) in shown:
        marker = line.curve.marker
        if marker == LINE and len(x) > 1:
            canvas.line(*reduce_series(x, y, width), style, "." if line.curve.sign else ASCII_SIGNS[LINE])
        elif marker == DASHES and len(x) > 1:
            canvas.dots(*dashes(x, y, limits[0], width), style, "." if line.curve.sign else ASCII_SIGNS[DASHES])
        else:
            sign = line.curve.sign or ("•" if marker in SIGNS else marker)
            canvas.signs(*dots(x, y, limits[0], width), sign, style)
    signed = [(line, style, xy) for line, style, xy in shown if line.curve.sign and len(xy[0]) > 1]
    for place, (line, style, (x, y)) in enumerate(signed):
        canvas.signs(*signs(x, y, limits[0], width, place / len(signed)), line.curve.sign, style)
    return canvas.rows()


def _way(line: Line, window: axes.Limits, width: int) -> tuple[Points, Points | None]:
    """What of a line to draw in a window of x, and what of it lies behind that, where there is something.

    Of a training there are more points than cells, a band of noise under which other lines are lost: it is drawn in the
    mean, before the band.
    """
    way = clip(line.x, line.y, window)
    if line.raw is not None:
        return way, clip(line.x, line.raw, window)
    if line.curve.split != "train" or len(way[0]) <= width:
        return way, None
    return means(line.x, line.y, window, width), None if line.curve.faint else way


def _style(line: Line) -> str:
    return f"dim {line.curve.color}" if line.curve.faint else line.curve.color


def dashes(x: Series, y: Series, limits: axes.Limits, width: int) -> tuple[Series, Series]:
    """A broken line as fine as braille: the points and the way between them, on two cells of every three."""
    if len(x) <= 2 * width:
        # Four places a dot column, so that a steep way is not torn.
        columns = np.linspace(x[0], x[-1], 8 * width)
        x, y = columns, np.interp(columns, x, y)
    else:
        x, y = reduce_series(x, y, 2 * width)
    drawn = axes.positions(x, limits, width, 2) % DASH != DASH - 1
    return x[drawn], y[drawn]


def dots(x: Series, y: Series, limits: axes.Limits, width: int) -> tuple[Series, Series]:
    """A dotted line: a short series and the way between its points, on every second column."""
    if len(x) < 2:
        return x, y
    step = (limits[1] - limits[0]) / max(width - 1, 1) * 2
    first, last = math.ceil((x[0] - limits[0]) / step - 1e-9), math.floor((x[-1] - limits[0]) / step + 1e-9)
    columns = limits[0] + np.arange(first, last + 1) * step
    if len(x) <= 2 * width:
        return columns, np.interp(columns, x, y)
    near = np.abs((x - limits[0]) / step - np.round((x - limits[0]) / step)) <= 0.25
    return reduce_series(x[near], y[near], width // 2)


def signs(x: Series, y: Series, limits: axes.Limits, width: int, shift: float) -> tuple[Series, Series]:
    """Where a line bears its sign: a few places at equal distances, moved by a share of the distance; one at least."""
    step = (limits[1] - limits[0]) * SIGN_CELLS / max(width, 1)
    places = np.arange(limits[0] + shift * step, limits[1], step)
    places = places[(places >= x[0]) & (places <= x[-1])]
    if not len(places):
        places = np.array([(x[0] + x[-1]) / 2])
    return places, np.interp(places, x, y)
