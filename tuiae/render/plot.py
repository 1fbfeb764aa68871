"""Every plot, drawn by plotext: lines, bands and points in cells, with round ticks on evenly spaced rows.

plotext draws by the point (some 15 microseconds each), takes coordinates as they are (a loss of 1e307 would be drawn
dot by dot, all the way), lets lines that share a cell share its colour, and puts its own ticks on values like 0.0734.
So a series is placed on dots and thinned to a minimum and a maximum a column first; what lies behind is a figure of
its own; and ticks are given. Colours go through as numbers and come back as styles of rich: whoever filters or drops
colours meets those of the palette.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette, ticks
from tuiae.render.dots import ACROSS, DOWN, bounded, dashes, dots_between, signs, thin
from tuiae.render.text import clean
from tuiae.render.ticks import HUGE, Axis, Dots, Scale, Values, span, widened

AXIS = "dim"
LEAST_WIDTH, LEAST_HEIGHT = 12, 4
"""Cells below which the axes go and the points alone remain."""
ALL_MARKED, SIGNS_ALONE, SOME_MARKED = 4, 2, 8
"""Cells between measured points from which each of them bears a sign; where that is all of a line of signs; and at
least between the signs of a dashed line of more points."""
FLAT = 2  # cells of a column that a line may take for another to give way to it there
_EIGHTHS = " ▏▎▍▌▋▊▉█"
LONE = "•"
"""The sign of a line of one point."""
FAR = 1e6
"""Lengths of an axis beyond which a point is drawn as if it were there."""
BLANK, BRAILLE = ord(" "), 0x2800
BANDS = ":/\\"
"""What stands for the shades of bands where there is ASCII alone: dots, and lines that rise or fall."""
BITS = np.array([[1, 8], [2, 16], [4, 32], [64, 128]])
"""The bits of the dots of a braille cell, (rows, columns)."""
ASCII_STROKES = {"solid": "*", "dashed": "."}

Stroke: TypeAlias = Literal["solid", "dashed", "dotted", "points", ""]
Run: TypeAlias = tuple[str, int]
"""Characters of a line that share a style, and the number of that style."""


@dataclass(frozen=True, eq=False)
class PlotSeries:
    """Points in order of x, and how they are drawn. Points that are not finite are left out, as are those that are not
    positive where an axis is logarithmic."""

    x: NDArray[Any]
    y: NDArray[Any]
    color: str = palette.TRAIN
    stroke: Stroke = "solid"
    sign: str = ""
    """The character of dotted lines and of points; on a solid or dashed line it stands now and then."""
    marks: tuple[NDArray[Any], NDArray[Any]] | None = None
    """x and y of the measured points of a dashed or dotted line, on which signs stand where they are few."""
    behind: tuple[NDArray[Any], NDArray[Any]] | None = None
    """The measured points, x and y, of which this line is a mean: drawn dim behind all lines."""
    band: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None
    """x, lowest and highest y of what this line is a mean of: shaded between them, behind everything."""
    faint: bool = False
    """Drawn dim and behind the others."""
    bold: bool = False


@dataclass(frozen=True)
class PlotFrame:
    """Where the points of a plot are, in cells, and what they stand for; and what its axes say."""

    x: Scale
    y: Scale
    left: int = 0
    """Cells before the first column."""
    axed: bool = False
    """Whether there is room for axes."""
    x_ticks: tuple[tuple[int, str], ...] = ()
    """Column and words of each."""
    y_ticks: tuple[tuple[int, str], ...] = ()
    """Row from the top, and words."""
    name: str = ""
    """The name of the x axis."""

    @property
    def columns(self) -> int:
        return self.x.cells

    @property
    def rows(self) -> int:
        return self.y.cells

    def column(self, x: float) -> int:
        """The column of an x; beyond either end where it is out of sight."""
        return self.x.cell(x)

    def row(self, y: float) -> int:
        """The row of a y, 0 at the top."""
        return self.rows - 1 - self.y.cell(y)

    def place(self, column: float) -> float:
        """The x in the middle of a column; half a column less is where it begins."""
        return self.x.value(column)


@dataclass(frozen=True)
class Plot:
    """A drawing without cursor and marks, which cost nothing to lay over it."""

    frame: PlotFrame
    lines: tuple[Text, ...]
    """The rows of the frame first, then the x axis and its labels."""

    def around(self, rows: Sequence[Text]) -> Plot:
        """The axes of this plot around rows that are drawn already, one for each of its frame."""
        frame = self.frame
        whole = [line[: frame.left].append_text(row) for line, row in zip(self.lines, rows, strict=False)]
        return Plot(frame, (*whole, *self.lines[frame.rows :]))

    def overlay(
        self,
        marks: Sequence[tuple[float, str]] = (),
        cursor: float | None = None,
        chosen: tuple[float, float] | None = None,
    ) -> list[Text]:
        """The lines with marks (x and a character), a cursor at an x, and the ends of a range that is being chosen."""
        frame, lines = self.frame, [line.copy() for line in self.lines]
        rows = lines[: frame.rows]
        for x, sign in marks:
            if 0 <= frame.column(x) < frame.columns:
                _stand(rows, frame, x, "┊", f"not dim {palette.CAUTION}")
                put(rows[0], frame.left + frame.column(x), sign, f"not dim bold {palette.CAUTION}")
        for x in (*(chosen or ()), *(() if cursor is None else (cursor,))):
            if 0 <= frame.column(x) < frame.columns:
                _stand(rows, frame, x, "│", f"not dim {palette.SKY}", through="reverse")
        if chosen and len(lines) > frame.rows:
            first, last = sorted(min(max(frame.column(x), 0), frame.columns - 1) for x in chosen)
            rule = "━" * (last - first + 1)
            put(lines[frame.rows], frame.left + first, rule, f"not dim bold {palette.SKY}")
        return lines


def draw_plot(
    series: Sequence[PlotSeries], width: int, height: int, x: Axis, y: Axis, ascii_only: bool = False
) -> Plot:
    """Series in `height` lines of at most `width` cells, on the background that is there; no lines where there is no
    point to draw, or no room. Arrows at the ends of the y axis say that lines go on beyond its limits.

    `ascii_only` draws lines with characters of ASCII; axes and signs are left to `text.to_ascii`.
    """
    known = [found for one in series if len((found := _finite(one, x.log, y.log)).x)]
    if not known or width <= 0 or height <= 0:
        return Plot(PlotFrame(Scale((0.0, 1.0), 0, ACROSS), Scale((0.0, 1.0), 0, DOWN)), ())
    across = x.limits or span([one.x for one in known])
    all_y = span([y for one in known for y in _heights(one)])
    frame = lay_out(width, height, replace(x, limits=across), replace(y, limits=y.limits or all_y))
    measured = [(one, one.behind) for one in known if one.behind is not None]
    faint = [
        replace(one, x=points[0], y=points[1], stroke="solid", sign="", faint=True, marks=None)
        for one, points in measured
    ]
    drawn = [*faint, *(one for one in known if one.faint), *(one for one in known if not one.faint)]
    bands = [one for one in known if one.band is not None]
    styles = [AXIS, *map(_style, drawn), *(f"dim {one.color}" for one in bands)]
    lines = _texts(_draw(drawn, bands, frame, ascii_only), styles, frame)
    if frame.axed and y.limits is not None:
        beyond = (all_y[1] > frame.y.limits[1], 0, "↑"), (all_y[0] < frame.y.limits[0], frame.rows - 1, "↓")
        for row, sign in ((row, sign) for there, row, sign in beyond if there):
            put(lines[row], frame.left - 1, sign, AXIS)
    return Plot(frame, tuple(lines))


def draw_axes(frame: PlotFrame) -> Plot:
    """The axes of a frame, around nothing yet."""
    rows = build((), frame, axes=True) if frame.axed else [[("", 0)]] * frame.rows
    return Plot(frame, tuple(_texts(rows, [AXIS], frame)))


def lay_out(width: int, height: int, x: Axis, y: Axis, dots: tuple[int, int] = (ACROSS, DOWN)) -> PlotFrame:
    """The frame of a plot whose axes have limits; those of y are widened so that its ticks fall on rows."""
    across, up = widened(x.limits or (0.0, 1.0), x.log), widened(y.limits or (0.0, 1.0), y.log)
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return PlotFrame(Scale(across, width, dots[0], x.log), Scale(up, height, dots[1], y.log))
    rows = height - 2
    up, values, labels = ticks.y_ticks(up, rows, dots[1], y)
    vertical = Scale(up, rows, dots[1], y.log)
    left = max(map(cell_len, labels)) + 2 if labels else 1
    horizontal = Scale(across, width - left, dots[0], x.log)
    y_ticks = tuple((rows - 1 - vertical.cell(value), label) for value, label in zip(values, labels, strict=True))
    x_ticks = tuple((horizontal.cell(value), label) for value, label in ticks.x_ticks(across, horizontal.cells, x))
    return PlotFrame(horizontal, vertical, left, True, x_ticks, y_ticks, clean(x.name))


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


def put(line: Text, column: int, words: str, style: str) -> None:
    """Words over what is there, in the styles that it has; up to their end it has one character a cell."""
    end = column + cell_len(words)
    line.pad_right(max(end - len(line), 0))
    head, covered, tail = line.divide([column, end])
    covered.plain = words
    covered.stylize(style)
    whole = head.append_text(covered).append_text(tail)
    line.plain, line.spans = whole.plain, whole.spans


def _stand(rows: Sequence[Text], frame: PlotFrame, x: float, sign: str, style: str, through: str = "") -> None:
    """An upright line: its sign where nothing is drawn, and a style on what is."""
    column = frame.left + frame.column(x)
    for row in rows:
        if row.plain[column : column + 1].strip():
            if through:
                row.stylize(through, column, column + 1)
        else:
            put(row, column, sign, style)


# Points on dots


def _finite(series: PlotSeries, log_x: bool, log_y: bool) -> PlotSeries:
    """The points that can be drawn, within what floats can subtract."""
    x, y = _drawable(series.x, series.y, log_x, log_y)
    behind = None if series.behind is None else _drawable(*series.behind, log_x, log_y)
    band = None if series.band is None else _drawable_band(*series.band, log_x, log_y)
    marks = None if series.marks is None else _drawable(*series.marks, log_x, log_y)
    return replace(series, x=x, y=y, behind=behind if behind and len(behind[0]) else None, band=band, marks=marks)


def _heights(series: PlotSeries) -> list[Values]:
    """Every y that a series has something at."""
    behind, band = series.behind or (), series.band or ()
    return [series.y, *behind[1:], *band[1:]]


def _drawable(x: NDArray[Any], y: NDArray[Any], log_x: bool, log_y: bool) -> tuple[Values, Values]:
    length = min(len(x), len(y))
    x, y = np.asarray(x[:length], np.float64), np.asarray(y[:length], np.float64)
    kept = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log_x)) & ((y > 0) | (not log_y))
    return np.clip(x[kept], -HUGE, HUGE), np.clip(y[kept], -HUGE, HUGE)


def _drawable_band(
    x: NDArray[Any], low: NDArray[Any], high: NDArray[Any], log_x: bool, log_y: bool
) -> tuple[Values, Values, Values] | None:
    """The part of a band whose both edges can be drawn."""
    kept = np.isfinite(low + high) & ((low > 0) | (not log_y))
    (places, lowest), (_, highest) = (_drawable(x[kept], edge[kept], log_x, log_y) for edge in (low, high))
    return (places, lowest, highest) if len(places) else None


def shade(frame: PlotFrame, band: tuple[Values, Values, Values], ascii_only: bool, kind: int = 0) -> NDArray[np.uint32]:
    """The characters, (rows, columns), of every second dot between the edges of a band; `kind` is a place in BANDS, so
    that bands which meet are told apart without colours too."""
    x, low, high = (frame.x.places(band[0]), *(frame.y.places(edge, FAR) for edge in band[1:]))
    across, up = np.arange(frame.columns * ACROSS), np.arange(frame.rows * DOWN)[::-1, None]
    scale = frame.x.dots / ACROSS, frame.y.dots / DOWN
    edges = [np.interp(across * scale[0], x, edge) / scale[1] for edge in (low, high)]
    inside = (up >= edges[0]) & (up <= edges[1]) & (across * scale[0] >= x[0]) & (across * scale[0] <= x[-1])
    drawn = (across + up) % 2 == 0, (across - up) % 4 < 2, (across + up) % 4 < 2
    dots = inside & drawn[0 if ascii_only else kind]  # a thin band has not a dot of a line in every cell
    cells = (dots.reshape(frame.rows, DOWN, frame.columns, ACROSS) * BITS[:, None, :]).sum((1, 3))
    return np.where(cells > 0, ord(BANDS[kind]) if ascii_only else BRAILLE + cells, BLANK).astype(np.uint32)


def marked(series: PlotSeries, frame: PlotFrame) -> tuple[PlotSeries, tuple[Dots, Dots]]:
    """A series as it is drawn, and where signs stand on its measured points.

    Of a dashed line that is all of them where they are few, else every so-and-so-many-th. A line of signs has them
    there and nowhere else where they are few, and dashes between them where they are fewer.
    """
    if series.marks is None:
        return series, (np.zeros(0, np.int64), np.zeros(0, np.int64))
    x, y = frame.x.places(series.marks[0]), frame.y.places(series.marks[1], FAR)
    low, high = frame.x.limits
    inside = np.flatnonzero((series.marks[0] >= low) & (series.marks[0] <= high))
    apart = math.inf if len(inside) < 2 else (x[inside[-1]] - x[inside[0]]) / frame.x.dots / (len(inside) - 1)
    if series.stroke == "dotted":
        inside = inside[: len(inside) * (apart >= SIGNS_ALONE)]
        if apart >= SIGNS_ALONE:
            series = replace(series, stroke="dashed" if apart >= ALL_MARKED else "", sign="")
    elif apart < ALL_MARKED:  # counted from the first point of all, so that a window that moves does not change them
        inside = inside[inside % math.ceil(SOME_MARKED / max(apart, 1e-9)) == 0]
    return series, (x[inside], y[inside])


# plotext


@cache
def _plotext() -> tuple[Any, Any]:
    """plotext, and a terminal of its own making that limits no figure to its size, whatever that is.

    The import takes 0.2 s, most of it for its manual: what draws nothing does not pay for it.
    """
    import plotext

    return plotext, type(plotext.terminal)().limit(False, False)


@dataclass(frozen=True, eq=False)
class PlotSignal:
    """Points on dots as plotext takes them."""

    number: int
    x: Dots
    y: Dots
    marker: str
    joined: NDArray[np.bool_] | None = None
    """Whether a line leads to each from the one before; None for points alone."""


def _draw(
    series: Sequence[PlotSeries], bands: Sequence[PlotSeries], frame: PlotFrame, ascii_only: bool
) -> list[list[Run]]:
    """The lines of a plot. Each series is a figure of its own, over those before it and over all bands, but dashes
    between signs give way where they share a cell with a solid line; signs are over all of them."""
    known, marks = zip(*(marked(one, frame) for one in series), strict=True)
    ways = [bounded(frame.x.places(one.x), frame.y.places(one.y, FAR), frame.rows * frame.y.dots) for one in known]
    placed = [(number, one, *way) for number, (one, way) in enumerate(zip(known, ways, strict=True), 1)]
    signed = [one for one in placed if one[1].sign and one[1].stroke in ("solid", "dashed") and len(one[2]) > 1]
    shifts = [place / len(signed) for place in range(len(signed))]
    above = [PlotSignal(n, *signs(x, y, shift), one.sign) for shift, (n, one, x, y) in zip(shifts, signed, strict=True)]
    bearing = zip(series, marks, strict=True)
    above += [PlotSignal(n, x, y, one.sign or LONE) for n, (one, (x, y)) in enumerate(bearing, 1) if len(x)]
    chars = np.full((frame.rows, frame.columns), BLANK, np.uint32)
    numbers, kept = np.zeros(chars.shape, np.int64), np.zeros(chars.shape, bool)
    shades = [
        (shade(frame, one.band, ascii_only, place % len(BANDS)), np.full(chars.shape, len(series) + 1 + place))
        for place, one in enumerate(bands)
        if one.band is not None
    ]

    def lay(drawn: NDArray[np.uint32], of: Dots, there: NDArray[np.bool_]) -> None:
        np.copyto(chars, drawn, where=there)
        np.copyto(numbers, of, where=there)

    for drawn, of in shades:
        lay(drawn, of, drawn != BLANK)
    for number, one, x, y in (one for one in placed if one[1].stroke):
        drawn, of = _cells(build([_stroke(frame, number, one, x, y, ascii_only)], frame, axes=False))
        there = drawn != BLANK
        lay(drawn, of, there & ~kept if one.stroke == "dashed" and one.marks is not None else there)
        if one.stroke == "solid" and not one.faint:
            kept |= there & (there.sum(axis=0) <= FLAT)
    for signal in above:
        drawn, of = _cells(build([signal], frame, axes=False))
        lay(drawn, of, drawn != BLANK)
    around = build([], frame, axes=True) if frame.axed else [[("", 0)]] * frame.rows
    heads = [("".join(text for text, _ in runs)[: frame.left], 0) for runs in around[: frame.rows]]
    rows = [[head, *_joined(*row)] for head, row in zip(heads, zip(chars, numbers, strict=True), strict=True)]
    return [*rows, *around[frame.rows :]]


def _stroke(frame: PlotFrame, number: int, series: PlotSeries, x: Dots, y: Dots, ascii_only: bool) -> PlotSignal:
    """What of a series to hand over."""
    if series.stroke in ("points", "dotted") or len(x) < 2:
        places = (x, y) if series.stroke == "points" else dots_between(x, y, 2 * frame.x.dots)
        return PlotSignal(number, *places, series.sign or LONE)
    x, y = thin(x, y, frame.x.dots)
    joined = np.ones(len(x), bool)
    if series.stroke == "dashed":
        x, y, joined = dashes(x, y)
    quiet = series.sign or series.faint or series.stroke == "dashed"
    return PlotSignal(number, x, y, ASCII_STROKES["dashed" if quiet else "solid"] if ascii_only else "braille", joined)


def build(signals: Sequence[PlotSignal], frame: PlotFrame, axes: bool) -> list[list[Run]]:
    """The lines of a figure, with axes or of the points alone; 0 is the number of what belongs to axes."""
    plotext, terminal = _plotext()
    figure = type(plotext.figure)(terminal)
    figure.plot_size(frame.columns + frame.left * axes, frame.rows + 2 * axes)
    figure.canvas("default")
    figure.axes(axes, pixel=plotext.pixel(foreground=0))
    figure.axes(False, side=1)
    across = [(column + 0.5, words) for column, words in frame.x_ticks]
    up = [(frame.rows - row - 0.5, f"{words} ") for row, words in frame.y_ticks]
    for axis, cells, given in (("x", frame.columns, across), ("y", frame.rows, up)):
        ruler = figure.ruler(axis, 0).lim(0, cells).alignment(lim="edge").pixel(plotext.pixel(foreground=0))
        ruler.ticks(*zip(*given, strict=True)) if axes and given else ruler.frequency(0)
    for signal in signals:
        x, y = (signal.x + 0.5) / frame.x.dots, (signal.y + 0.5) / frame.y.dots
        marker = plotext.marker(signal.marker, plotext.pixel(foreground=signal.number))
        drawn = figure.signal(x.tolist(), y.tolist(), marker=marker)
        for place in () if signal.joined is None else np.flatnonzero(signal.joined).tolist():
            drawn.line(place)
        figure.draw(drawn)
    return [_runs(line) for line in figure.build().string().splitlines()]


_PIECE = re.compile(r"\x1b\[0m((?:\x1b\[[\d;]+m)*)([^\x1b]+)")
_NUMBER = re.compile(r"38;5;(\d+)m")


def _runs(line: str) -> list[Run]:
    """A line of plotext's as its runs of equal colour."""
    found = [(_NUMBER.search(codes), text) for codes, text in _PIECE.findall(line)]
    return [(text, int(number[1]) if number else 0) for number, text in found]


def _cells(rows: Sequence[Sequence[Run]]) -> tuple[NDArray[np.uint32], Dots]:
    """Characters and numbers, (rows, columns) of each."""
    runs = [run for row in rows for run in row]
    chars = np.frombuffer("".join(text for text, _ in runs).encode("utf-32-le"), np.uint32)
    numbers = np.repeat([number for _, number in runs], [len(text) for text, _ in runs]).astype(np.int64)
    return chars.reshape(len(rows), -1), numbers.reshape(len(rows), -1)


def _joined(chars: NDArray[np.uint32], numbers: Dots) -> list[Run]:
    """One row of cells as runs."""
    text = chars.tobytes().decode("utf-32-le")
    ends = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(text)]
    return [(text[start:end], int(numbers[start])) for start, end in pairwise(ends)]


def _style(series: PlotSeries) -> str:
    return f"{'dim ' if series.faint else 'bold ' if series.bold else ''}{series.color}"


def _texts(rows: Sequence[Sequence[Run]], styles: Sequence[str], frame: PlotFrame) -> list[Text]:
    """Lines whose numbers have become styles; the name of the x axis stands before its labels or else behind them,
    where it fits."""
    lines = [Text(end="", no_wrap=True) for _ in rows]
    for line, runs in zip(lines, rows, strict=True):
        for text, number in runs:
            line.append(text, styles[number] if text.strip() else "")
        line.rstrip()
    if frame.axed and frame.name:
        words, name = lines[-1].plain, cell_len(frame.name)
        before, behind = len(words) - len(words.lstrip()), frame.left + frame.columns - len(words)
        if name < max(before, behind):
            put(lines[-1], 0 if name < before else len(words) + behind - name, frame.name, AXIS)
    return lines
