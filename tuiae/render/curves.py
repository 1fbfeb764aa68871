"""Curves as data: what of a series can be drawn, smoothed, and the part of it that a window shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.render import axes, palette

LINE = "braille"
DASHES = "dashes"
SMOOTHING = {"": 0.0, "light": 0.6, "strong": 0.9}
"""Name -> weight of what came before, as on TensorBoard's slider."""
_FORGOTTEN = 1e-6  # a point that weighs less is left out of a mean

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
    split: str = ""
    """`train` or `test`, for those who look at one of them alone; a curve without shows with both."""
    steps: NDArray[Any] | None = None
    """The training step of each point, where it is known."""
    faint: bool = False
    """Drawn to compare with, such as the parent of a forked run."""
    latest: float | None = None
    """What a legend says of it, where that is not its last point, such as the mean over an epoch that is done."""
    span: axes.Limits | None = None
    """The x axis that it shares with curves of other plots; None where it has its own."""


@dataclass(frozen=True, eq=False)
class Line:
    """A curve ready to be drawn: finite points only, ordered by x; what costs by the point is done."""

    curve: Curve
    x: Series
    y: Series
    """As drawn: smoothed, and base-10 logarithms on a log axis."""
    raw: Series | None
    """The same without smoothing; None where nothing is smoothed."""
    values: Series
    """As measured."""
    steps: NDArray[Any] | None
    left_out: int
    """Points that a log axis cannot show."""


def train_and_test(
    x: Sequence[NDArray[Any]],
    y: Sequence[NDArray[Any]],
    steps: Sequence[NDArray[Any] | None] = (None, None),
) -> tuple[Curve, Curve]:
    """The two curves of one run, told apart by marker as well as by colour."""
    train = Curve("train", x[0], y[0], palette.TRAIN, LINE, split="train", steps=steps[0])
    return train, Curve("test", x[1], y[1], palette.TEST, DASHES, split="test", steps=steps[1])


def prepare(curve: Curve, log: bool = False, smoothing: str = "") -> Line:
    """What of a curve can be drawn; `smoothing` is a name in SMOOTHING."""
    length = min(len(curve.x), len(curve.y))
    x, y = np.asarray(curve.x[:length], np.float64), np.asarray(curve.y[:length], np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    kept = np.flatnonzero(known & (y > 0) if log else known)
    left_out = int(known.sum()) - len(kept)
    if (np.diff(x[kept]) < 0).any():
        kept = kept[np.argsort(x[kept], kind="stable")]
    x, values = x[kept], y[kept]
    smooth = smoothed(values, SMOOTHING[smoothing])
    raw = None if smooth is values else values
    if log:
        smooth, raw = np.log10(smooth), None if raw is None else np.log10(raw)
    steps = None if curve.steps is None else np.asarray(curve.steps)[:length][kept]
    return Line(curve, x, smooth, raw, values, steps, left_out)


def finite(curve: Curve, log: bool = False) -> tuple[Series, Series]:
    """The points that can be drawn, ordered by x; on a log axis the positive ones, as base-10 logarithms."""
    line = prepare(curve, log)
    return line.x, line.y


def smoothed(values: Series, weight: float) -> Series:
    """The exponential moving average with bias correction (Kingma and Ba, 2015, section 3), as TensorBoard smooths.

    A mean of each value and all before it, each of which weighs `weight` times what its successor does.
    """
    if weight <= 0 or len(values) < 2:
        return values
    reach = min(math.ceil(math.log(_FORGOTTEN) / math.log(weight)), len(values))
    weights = weight ** np.arange(reach)
    total = np.cumsum(weights)[np.minimum(np.arange(len(values)), reach - 1)]
    return np.convolve(values, weights)[: len(values)] / total


def clip(x: Series, y: Series, window: axes.Limits) -> tuple[Series, Series]:
    """The part of a line inside a window of x, cut where it enters and leaves it."""
    low, high = window
    first, last = int(np.searchsorted(x, low, "left")), int(np.searchsorted(x, high, "right"))
    if first == 0 and last == len(x):
        return x, y
    before = [low] if 0 < first < len(x) and x[first] > low else []
    after = [high] if 0 < last < len(x) and x[last - 1] < high else []
    inside = np.concatenate([before, x[first:last], after])
    ends = np.interp(before + after, x, y)
    return inside, np.concatenate([ends[: len(before)], y[first:last], ends[len(before) :]])


def bucket(points: int, most: int) -> int:
    """Of how many neighbours to take the mean, that at most `most` remain: a power of two, so that what is drawn of the
    past stays while points are added."""
    return 1 << (max(points - 1, 0) // most).bit_length()


def means(x: Series, y: Series, window: axes.Limits, most: int) -> tuple[Series, Series]:
    """At most `most` means of as many neighbours each, in their middle, inside a window of x.

    Neighbours are counted from the first point of all, so that a window that moves does not change them.
    """
    low, high = window
    first, last = int(np.searchsorted(x, low, "left")), int(np.searchsorted(x, high, "right"))
    size = bucket(last - first, most)
    first, last = first - first % size, min(last + -last % size, len(x))
    starts = np.arange(0, last - first, size)
    lengths = np.diff(starts, append=last - first)
    middles, values = (np.add.reduceat(series[first:last], starts) / lengths for series in (x, y))
    return clip(middles, values, window)


def x_limits(lines: Sequence[Line]) -> axes.Limits | None:
    """The first and the last x of all, and of what they share their axis with; None without a point."""
    ends = [line.curve.span or (line.x[0], line.x[-1]) for line in lines if len(line.x)]
    return (float(min(first for first, _ in ends)), float(max(last for _, last in ends))) if ends else None


def on_one_axis(*plots: Sequence[Curve]) -> tuple[tuple[Curve, ...], ...]:
    """The curves of several plots, all on the x axis that shows every point of every plot."""
    ends = [found for curves in plots if (found := x_limits([prepare(curve) for curve in curves]))]
    if not ends:
        return tuple(tuple(curves) for curves in plots)
    span = min(first for first, _ in ends), max(last for _, last in ends)
    return tuple(tuple(replace(curve, span=span) for curve in curves) for curves in plots)


def index_at(line: Line, place: float) -> int | None:
    """Which point stands at a place or last before it; None before the first."""
    index = int(np.searchsorted(line.x, place, "right")) - 1
    return index if index >= 0 else None


def nearest(lines: Sequence[Line], place: float) -> float:
    """The x of the point that is nearest to a place; the place itself where there is none."""
    found = []
    for line in lines:
        index = int(np.searchsorted(line.x, place))
        found += line.x[max(index - 1, 0) : index + 1].tolist()
    return min(found, key=lambda x: abs(x - place), default=place)


def neighbour(lines: Sequence[Line], place: float, beyond: float, forward: bool) -> float | None:
    """The first point after `place` that is not before `beyond`, or backwards the last before it that is not after."""
    found = []
    for x in (line.x for line in lines):
        if forward:
            found += x[max(np.searchsorted(x, place, "right"), np.searchsorted(x, beyond)) :][:1].tolist()
        else:
            found += x[: min(np.searchsorted(x, place), np.searchsorted(x, beyond, "right"))][-1:].tolist()
    return (min if forward else max)(found, default=None)


# Which part of a plot shows and where its cursor stands, as values.

NEWEST = math.inf
"""A cursor there stands on the newest point, and goes with it."""


@dataclass(frozen=True)
class Frame:
    """Where the points of a plot are, in cells, and what they stand for."""

    x: axes.Limits
    y: axes.Limits
    left: int
    """Cells before the first column."""
    columns: int
    rows: int

    def column(self, x: float) -> int:
        """The column of an x; beyond either end where it is out of sight."""
        return axes.position(x, self.x, self.columns, 2)

    def place(self, column: float) -> float:
        """The x in the middle of a column; half a column less is where it begins."""
        low, high = self.x
        return low + (2 * column + 0.5) / max(2 * self.columns - 1, 1) * (high - low)


@dataclass(frozen=True)
class View:
    """The window on the x axis and the cursor in it."""

    width: float | None = None
    """Of the window; None shows everything."""
    end: float | None = None
    """Where the window ends; None is the newest point, whatever comes."""
    cursor: float | None = None

    def window(self, limits: axes.Limits) -> axes.Limits:
        """The part of `limits` that shows."""
        if self.width is None or self.width >= limits[1] - limits[0]:
            return limits
        end = limits[1] if self.end is None else min(self.end, limits[1])
        return end - self.width, end

    def over(self, limits: axes.Limits, low: float, high: float) -> View:
        """The same with a window from low to high, moved so that it lies within `limits`."""
        width = high - low
        if width >= limits[1] - limits[0]:
            return replace(self, width=None, end=None)
        end = max(high, limits[0] + width)
        return replace(self, width=width, end=None if end >= limits[1] else end)

    def zoomed(self, lines: Sequence[Line], factor: float, anchor: float | None = None) -> View:
        """A window `factor` times as wide, around `anchor`, the cursor or the newest point; the same where fewer than
        two points of every line would remain."""
        limits = x_limits(lines)
        if limits is None:
            return self
        low, high = self.window(limits)
        wanted = next((place for place in (anchor, self.cursor) if place is not None), high)
        around = min(max(wanted, low), high)
        return self.selecting(lines, around - (around - low) * factor, around + (high - around) * factor)

    def selecting(self, lines: Sequence[Line], low: float, high: float) -> View:
        """A window from low to high; the same as before where fewer than two points of every line are in it."""
        limits = x_limits(lines)
        if limits is None or max((_count(line, low, high) for line in lines), default=0) < 2:
            return self
        return self.over(limits, low, high)

    def at(self, lines: Sequence[Line]) -> float | None:
        """The x of the cursor; None without one, or without points."""
        limits = x_limits(lines)
        return None if self.cursor is None or limits is None else min(max(self.cursor, limits[0]), limits[1])

    def moved(self, lines: Sequence[Line], frame: Frame, columns: int) -> View:
        """The cursor on the next point that stands so many columns on (back where negative), and the window with it.

        The first move shows it, on the newest point.
        """
        place, limits = self.at(lines), x_limits(lines)
        if place is None or limits is None:
            return replace(self, cursor=NEWEST)
        forward, column = columns > 0, frame.column(place) + columns
        # Every point of a column counts: forward from where it begins, backward from where it ends.
        found = neighbour(lines, place, frame.place(column - 0.5 if forward else column + 0.5), forward)
        found = limits[forward] if found is None else found
        low, high = self.window(limits)
        shift = min(found - low, 0.0) + max(found - high, 0.0)
        placed = replace(self, cursor=NEWEST if found >= limits[1] else found)
        return placed.over(limits, low + shift, high + shift) if shift else placed


def _count(line: Line, low: float, high: float) -> int:
    return int(np.searchsorted(line.x, high, "right") - np.searchsorted(line.x, low, "left"))
