"""A plot of curves: axes, marks and a cursor around the points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from tuiae.render import axes, palette
from tuiae.render.curves import Curve, Frame, Line, Series, clip, prepare, x_limits
from tuiae.render.legend import Mark, place_text
from tuiae.render.strokes import Limits2, draw_lines
from tuiae.render.text import centred, clean, join_lines

EMPTY = "waiting for the first point"
NOT_POSITIVE = "no value above 0 for a logarithmic axis"
_AXIS = "dim"
_LEAST_WIDTH, _LEAST_HEIGHT = 12, 4
"""Cells below which the axes go and the points alone remain."""
_BEGUN_EPOCHS, _BEGUN_SHARE, _PRESSED = 1.0, 0.02, 2.5
"""What counts as the beginning of a training: so many epochs and such a share of them; and how many times as high as
all that follows it has to make the y axis before it is left out of it."""


@dataclass(frozen=True)
class Plot:
    """A drawing without cursor and marks, which cost nothing to lay over it."""

    frame: Frame
    lines: tuple[Text, ...]
    """The rows of the frame first, then the x axis and its labels."""


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
    lines = [prepare(curve, log) for curve in curves]
    limits = x_limits(lines)
    if width <= 0 or height <= 0 or limits is None:
        return centred(empty, width, height)
    head = [Text(clean(title, width), "bold", end="")] if title and height > _LEAST_HEIGHT else []
    plot = lay_out(lines, width, height - len(head), limits, x_label, log, ascii)
    return join_lines([*head, *plot.lines])


def lay_out(
    lines: Sequence[Line],
    width: int,
    height: int,
    window: axes.Limits,
    x_label: str = "epoch",
    log: bool = False,
    ascii_only: bool = False,
) -> Plot:
    """What of the lines is inside a window of x, in `height` rows of `width` cells; the y axis follows what shows.

    There is a point in the lines.
    """
    x_range = _widened([np.array(window)], pad=0, widen=1)
    whole = y_range = _y_range(lines, x_range, log)
    if x_label == "epoch" and not log:
        y_range = _settled(lines, x_range, whole)
    lowest, highest = _y_range(lines, x_range, log, pad=0)
    limits, beyond = (x_range, y_range), (highest > y_range[1], lowest < y_range[0])
    return in_axes(
        lambda cells: draw_lines(lines, cells, limits, ascii_only), (width, height), limits, x_label, log, beyond=beyond
    )


def _y_range(lines: Sequence[Line], window: axes.Limits, log: bool = False, pad: float = 0.04) -> axes.Limits:
    """What the y axis has to span for all that a window of x shows."""
    shown = [clip(line.x, line.y, window)[1] for line in lines]
    raw = [clip(line.x, line.raw, window)[1] for line in lines if line.raw is not None]
    inside = [values for values in (*shown, *raw) if len(values)]
    return _widened(inside, pad=pad, widen=0.2 if log else 0) if inside else (0.0, 1.0)


def _settled(lines: Sequence[Line], window: axes.Limits, whole: axes.Limits) -> axes.Limits:
    """The y axis of what comes after the first epoch, where its batches stand so far off that they would press the rest
    flat; they then come in from beyond the frame. Who zooms in on them, or takes a logarithmic axis, sees them whole.
    """
    low, high = window
    start = max(_BEGUN_EPOCHS, low + _BEGUN_SHARE * (high - low))
    if start <= low or high - start < 2 * (start - low):
        return whole
    later = _y_range(lines, (start, high))
    return later if whole[1] - whole[0] > _PRESSED * (later[1] - later[0]) else whole


def in_axes(
    draw: Callable[[tuple[int, int]], list[Text]],
    size: tuple[int, int],
    limits: Limits2,
    x_label: str = "epoch",
    log: bool = False,
    ticks: Sequence[tuple[float, str]] = (),
    beyond: tuple[bool, bool] = (False, False),
) -> Plot:
    """Axes around what `draw` makes of so many cells; `ticks` are those of x where they are not to be found here, and
    `beyond` is whether lines go on above and below the frame."""
    (width, height), (x_range, y_range) = size, limits
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return Plot(Frame(x_range, y_range, 0, width, height), tuple(draw(size)))
    y_values, labels = _y_ticks(y_range, height, log)
    gutter = max((len(label) for label in labels), default=0) + 1
    frame = Frame(x_range, y_range, gutter + 1, width - gutter - 1, height - 2)
    marks = {
        frame.rows - 1 - axes.position(value, y_range, frame.rows, 4): label
        for value, label in zip(y_values, labels, strict=True)
    }
    rows, ends = [], {row: sign for row, sign, there in zip((0, frame.rows - 1), "↑↓", beyond, strict=True) if there}
    for row, points in enumerate(draw((frame.columns, frame.rows))):
        axis = f"{marks.get(row, ''):>{gutter - 1}} {ends.get(row, '┤' if row in marks else '│')}"
        rows.append(Text(end="", no_wrap=True).append(axis, _AXIS).append_text(points))
    return Plot(frame, (*rows, *_foot(x_range, frame.columns, gutter, x_label, ticks)))


def overlay(
    plot: Plot,
    marks: Sequence[Mark] = (),
    cursor: float | None = None,
    chosen: tuple[float, float] | None = None,
) -> list[Text]:
    """The lines of a plot with marks, a cursor at an x, and the ends of a range of x that is being chosen."""
    frame, lines = plot.frame, [line.copy() for line in plot.lines]
    rows = lines[: frame.rows]
    for mark in marks:
        if 0 <= frame.column(mark.epoch) < frame.columns:
            _stand(rows, frame, mark.epoch, "┊", f"not dim {palette.CAUTION}")
            _put(rows[0], frame.left + frame.column(mark.epoch), mark.sign, f"not dim bold {palette.CAUTION}")
    for place in (*(chosen or ()), *(() if cursor is None else (cursor,))):
        if 0 <= frame.column(place) < frame.columns:
            _stand(rows, frame, place, "│", f"not dim {palette.SKY}", through="reverse")
    if chosen and len(lines) > frame.rows:
        first, last = sorted(min(max(frame.column(place), 0), frame.columns - 1) for place in chosen)
        _put(lines[frame.rows], frame.left + first, "━" * (last - first + 1), f"not dim bold {palette.SKY}")
    return lines


def in_sight(marks: Sequence[Mark], limits: axes.Limits) -> tuple[Mark, ...]:
    """Marks where they are seen once everything is shown: one beyond the points stands at the end and says where from.

    Where epochs are short, nothing is plotted of the first half of the first one.
    """
    low, high = limits
    placed = []
    for mark in marks:
        if low <= mark.epoch <= high:
            placed.append(mark)
        else:
            words = f"{mark.text} at epoch {place_text(mark.epoch)}"
            placed.append(replace(mark, epoch=min(max(mark.epoch, low), high), text=words))
    return tuple(placed)


def marks_near(plot: Plot, marks: Sequence[Mark], place: float) -> list[Mark]:
    """The marks that stand in the column of a place."""
    return [mark for mark in marks if plot.frame.column(mark.epoch) == plot.frame.column(place)]


def _stand(rows: Sequence[Text], frame: Frame, x: float, sign: str, style: str, through: str = "") -> None:
    """An upright line: its sign where nothing is drawn, and a style on what is."""
    column = frame.left + frame.column(x)
    for row in rows:
        if row.plain[column : column + 1].strip(" \u2800"):
            if through:
                row.stylize(through, column, column + 1)
        else:
            _put(row, column, sign, style)


def _put(line: Text, column: int, words: str, style: str) -> None:
    """Words over what is there, one cell a character."""
    plain = line.plain.ljust(column + len(words))
    line.plain = plain[:column] + words + plain[column + len(words) :]
    line.stylize(style, column, column + len(words))


def _y_ticks(limits: axes.Limits, height: int, log: bool) -> tuple[list[float], list[str]]:
    """A tick for about every fourth line, never so many that they are read rather than seen."""
    if log:
        values = axes.enough(partial(axes.log_ticks, limits), min(max(height // 3, 2), 10), height - 2)
        return values, axes.log_labels(values)
    values = axes.enough(partial(axes.linear_ticks, limits), min(height // 4 + 1, 8), height - 2)
    return values, axes.tick_labels(values)


def _foot(
    limits: axes.Limits, width: int, gutter: int, name: str, given: Sequence[tuple[float, str]] = ()
) -> list[Text]:
    """The x axis and its labels."""
    values = axes.linear_ticks(limits, max(width // 10, 1), whole=limits[1] - limits[0] >= 1)
    labels = axes.tick_labels(values)
    if given:
        values, labels = [value for value, _ in given], [label for _, label in given]
    columns = [axes.position(value, limits, width, 2) for value in values]
    rule = "".join("┬" if column in columns else "─" for column in range(width))
    ticks = list(zip(columns, labels, strict=True))
    name = clean(name)
    before = f"{name if cell_len(name) <= gutter else '':<{gutter}} "
    words = axes.tick_line(ticks, width)
    return [Text(f"{'':{gutter}}└{rule}", _AXIS, end=""), Text(before + words, _AXIS, end="")]


def _widened(series: Sequence[Series], pad: float, widen: float) -> axes.Limits:
    """Lowest and highest of all, a little apart; a single value gets room around or after it."""
    low, high = float(min(values.min() for values in series)), float(max(values.max() for values in series))
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        around = widen or abs(low) * 0.1 or 0.5
        return (low - around, low + around) if pad else (low, low + around)
    return low - pad * (high - low), high + pad * (high - low)
