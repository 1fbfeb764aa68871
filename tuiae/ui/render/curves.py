"""Curves in cells: plotext draws the points, the axes and the legend are our own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.ui.render import axes, palette
from tuiae.ui.render.text import centred, clean, join_lines, number

LINE = "braille"
DASHES = "dashes"
SIGNS = {LINE: "━", DASHES: "╍"}
ASCII_SIGNS = {LINE: "*", DASHES: "."}
"""What draws them, and stands for them in a legend, where there is ASCII alone."""
SIGN_CELLS = 16  # between two signs of one line
LEGEND_LABEL = 36  # cells
DASH = 3  # cells: two drawn, one left out
EMPTY = "waiting for the first point"
_AXIS = "dim"
_LEAST_WIDTH, _LEAST_HEIGHT = 12, 4
"""Cells below which the axes go and the points alone remain."""

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One line of a plot."""

    label: str
    x: NDArray[Any]
    y: NDArray[Any]
    color: str = palette.TRAIN
    marker: str = LINE
    """`braille` for a fine line, `dashes` for a broken one, or the one character of a dotted one."""
    sign: str = ""
    """A character that stands on a fine line now and then, where many lines are told apart."""


def train_and_test(x: Sequence[NDArray[Any]], y: Sequence[NDArray[Any]]) -> tuple[Curve, Curve]:
    """The two curves of one run, told apart by marker as well as by colour."""
    train = Curve("train", x[0], y[0], palette.TRAIN, LINE)
    return train, Curve("test", x[1], y[1], palette.TEST, DASHES)


def finite(curve: Curve, log: bool = False) -> tuple[Series, Series]:
    """The points that can be drawn, ordered by x; on a log axis the positive ones, as base-10 logarithms."""
    length = min(len(curve.x), len(curve.y))
    x, y = np.asarray(curve.x[:length], np.float64), np.asarray(curve.y[:length], np.float64)
    keep = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not log))
    order = np.argsort(x[keep], kind="stable")
    x, y = x[keep][order], y[keep][order]
    return x, np.log10(y) if log else y


def reduce_series(x: Series, y: Series, columns: int) -> tuple[Series, Series]:
    """At most the lowest and the highest point of each of `columns` equal parts of x, in order of x.

    `x` is sorted and finite. Short series come back as they are, so no extreme is ever lost.
    """
    if columns <= 0 or len(x) <= 2 * columns:
        return x, y
    span = x[-1] - x[0]
    column = np.minimum(((x - x[0]) / span * columns).astype(int), columns - 1) if span else np.zeros(len(x), int)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    kept: list[int] = []
    for start, end in zip(starts, [*starts[1:], len(x)], strict=True):
        part = y[start:end]
        kept += sorted({int(start + part.argmin()), int(start + part.argmax())})
    return x[kept], y[kept]


def legend(curves: Sequence[Curve], width: int | None = None, ascii: bool = False) -> Text:  # noqa: A002
    """`━ train 0.01230   ╍ test 0.01310`: each curve's sign, name and last finite value.

    Where the width lacks, names keep their first word, then the values of curves that bear signs go, and then an
    ellipsis ends the line.
    """
    words = [clean(curve.label, LEGEND_LABEL) for curve in curves]
    first = [word.partition(" ")[0] for word in words]
    shorter = ((first, False, 3), (first, False, 1)) if any(curve.sign for curve in curves) else ()
    for names, values, gap in ((words, True, 3), (first, True, 3), *shorter):
        text = _legend(curves, names, values, " " * gap, ascii)
        if width is None or text.cell_len <= width:
            break
    if width is not None:
        text.truncate(width, overflow="ellipsis")
    return text


def _legend(curves: Sequence[Curve], names: Sequence[str], values: bool, gap: str, ascii_only: bool) -> Text:
    text = Text(no_wrap=True, end="", overflow="ellipsis")
    for index, (curve, name) in enumerate(zip(curves, names, strict=True)):
        _, y = finite(curve)
        sign = curve.sign or (ASCII_SIGNS if ascii_only else SIGNS).get(curve.marker, curve.marker)
        text.append(gap if index else "").append(sign, f"bold {curve.color}")
        text.append(f"{' ' if len(gap) > 1 else ''}{name}")
        if values:
            text.append(" ").append(number(float(y[-1]) if len(y) else None), "bold")
    return text


def draw_curves(
    curves: Sequence[Curve],
    width: int,
    height: int,
    title: str = "",
    x_label: str = "epoch",
    log: bool = False,
    empty: str = EMPTY,
    ascii: bool = False,  # noqa: A002
) -> Text:
    """The plot, exactly `height` lines of at most `width` cells, on the background that is there.

    Without a single point it is the words `empty`. `ascii` draws the points with characters of ASCII.
    """
    points = [finite(curve, log) for curve in curves]
    if width <= 0 or height <= 0 or not any(len(x) for x, _ in points):
        return centred(empty, width, height)
    x_limits = _limits([x for x, _ in points], pad=0, widen=1)
    y_limits = _limits([y for _, y in points], pad=0.04, widen=0.2 if log else 0)
    head = [Text(clean(title, width), "bold", end="")] if title and height > _LEAST_HEIGHT else []
    height -= len(head)
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return join_lines(head + _canvas(curves, points, (width, height), (x_limits, y_limits), ascii))
    y_values, labels = _y_ticks(y_limits, height, log)
    gutter = max((len(label) for label in labels), default=0) + 1
    size = (width - gutter - 1, height - 2)
    canvas = _canvas(curves, points, size, (x_limits, y_limits), ascii)
    marks = {
        size[1] - 1 - axes.position(value, y_limits, size[1], 4): label
        for value, label in zip(y_values, labels, strict=True)
    }
    lines = []
    for row, points_line in enumerate(canvas):
        axis = f"{marks.get(row, ''):>{gutter - 1}} {'┤' if row in marks else '│'}"
        lines.append(Text(end="").append(axis, _AXIS).append_text(points_line))
    return join_lines(head + lines + _foot(x_limits, size[0], gutter, x_label))


def _y_ticks(limits: axes.Limits, height: int, log: bool) -> tuple[list[float], list[str]]:
    """A tick for about every fourth line, never so many that they are read rather than seen."""
    if log:
        values = axes.log_ticks(limits, most=min(max(height // 3, 2), 10))
        return values, axes.log_labels(values)
    values = axes.linear_ticks(limits, most=min(height // 4 + 1, 8))
    return values, axes.tick_labels(values)


def _foot(limits: axes.Limits, width: int, gutter: int, name: str) -> list[Text]:
    """The x axis and its labels."""
    values = axes.linear_ticks(limits, max(width // 10, 1), whole=limits[1] - limits[0] >= 1)
    columns = [axes.position(value, limits, width, 2) for value in values]
    rule = "".join("┬" if column in columns else "─" for column in range(width))
    ticks = list(zip(columns, axes.tick_labels(values), strict=True))
    name = clean(name)
    before = f"{name if cell_len(name) <= gutter else '':<{gutter}} "
    words = axes.tick_line(ticks, width)
    return [Text(f"{'':{gutter}}└{rule}", _AXIS, end=""), Text(before + words, _AXIS, end="")]


def _limits(series: Sequence[Series], pad: float, widen: float) -> axes.Limits:
    """Lowest and highest of all, a little apart; a single value gets room around or after it."""
    every = np.concatenate([values for values in series if len(values)])
    low, high = float(every.min()), float(every.max())
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        around = widen or abs(low) * 0.1 or 0.5
        return (low - around, low + around) if pad else (low, low + around)
    return low - pad * (high - low), high + pad * (high - low)


def _canvas(
    curves: Sequence[Curve],
    points: Sequence[tuple[Series, Series]],
    size: tuple[int, int],
    limits: tuple[axes.Limits, axes.Limits],
    ascii_only: bool,
) -> list[Text]:
    """The points alone, drawn by plotext without frame, ticks or background."""
    from textual_plotext import Plot  # 0.1 s that the first paint does without

    width, height = size
    plot = Plot()
    plot.theme("textual-clear")
    plot.plotsize(width, height)
    plot._set_size(width, height)  # plotsize stops at the size of the terminal it thinks it is in
    plot.xaxes(False, False)
    plot.yaxes(False, False)
    plot.xfrequency(0)
    plot.yfrequency(0)
    plot.xlim(*limits[0])
    plot.ylim(*limits[1])
    for curve, (x, y) in zip(curves, points, strict=True):
        if ascii_only and curve.marker in ASCII_SIGNS and len(x) > 1:
            way = reduce_series(x, y, width) if curve.marker == LINE else dashes(x, y, limits[0], width)
            draw = plot.plot if curve.marker == LINE else plot.scatter
            _add(draw, in_cells(way, limits, size), "." if curve.sign else ASCII_SIGNS[curve.marker], curve.color)
        elif curve.marker == LINE and len(x) > 1:
            _add(plot.plot, reduce_series(x, y, width), LINE, curve.color)
        elif curve.marker == DASHES and len(x) > 1:
            _add(plot.scatter, dashes(x, y, limits[0], width), LINE, curve.color)
        elif len(x):
            spots = in_cells(dots(x, y, limits[0], width), limits, size)
            _add(plot.scatter, spots, curve.sign or ("•" if curve.marker in SIGNS else curve.marker), curve.color)
    signed = [(curve, xy) for curve, xy in zip(curves, points, strict=True) if curve.sign and len(xy[0]) > 1]
    for place, (curve, (x, y)) in enumerate(signed):
        spots = in_cells(signs(x, y, limits[0], width, place / len(signed)), limits, size)
        _add(plot.scatter, spots, curve.sign, curve.color)
    lines = [Text.from_ansi(line) for line in plot.build().split("\n")[:height]]
    return [Text(line.plain, spans=line.spans, no_wrap=True, end="") for line in lines]


def _add(draw: Any, points: tuple[Series, Series], marker: str, color: str) -> None:
    draw(points[0].tolist(), points[1].tolist(), marker=marker, color=palette.rgb(color))


def dashes(x: Series, y: Series, limits: axes.Limits, width: int) -> tuple[Series, Series]:
    """A broken line as fine as braille: the points and the way between them, on two cells of every three."""
    if len(x) <= 2 * width:
        # Four places a dot column, so that a steep way is not torn.
        columns = np.linspace(x[0], x[-1], 8 * width)
        x, y = columns, np.interp(columns, x, y)
    else:
        x, y = reduce_series(x, y, 2 * width)
    cell = np.array([axes.position(value, limits, width, 2) for value in x])
    drawn = cell % DASH != DASH - 1
    return x[drawn], y[drawn]


def dots(x: Series, y: Series, limits: axes.Limits, width: int) -> tuple[Series, Series]:
    """A dotted line: every point of a short series and the way between them, on every second column."""
    if len(x) < 2:
        return x, y
    step = (limits[1] - limits[0]) / max(width - 1, 1) * 2
    first, last = math.ceil((x[0] - limits[0]) / step - 1e-9), math.floor((x[-1] - limits[0]) / step + 1e-9)
    columns = limits[0] + np.arange(first, last + 1) * step
    if len(x) <= width // 2:
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


def in_cells(
    points: tuple[Series, Series], limits: tuple[axes.Limits, axes.Limits], size: tuple[int, int]
) -> tuple[Series, Series]:
    """The points moved to the middle of the cells that a braille dot in their place would be in."""
    moved = []
    for values, (low, high), cells, dots_a_cell in zip(points, limits, size, (2, 4), strict=True):
        found = [axes.position(value, (low, high), cells, dots_a_cell) for value in values]
        moved.append(low + np.array(found) * ((high - low) / max(cells - 1, 1)))
    return moved[0], moved[1]
