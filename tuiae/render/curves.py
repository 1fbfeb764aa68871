"""Curves: what of a series can be drawn, smoothed, and the plot of the part of it that a window shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuiae.render import UNITS, palette
from tuiae.render.plot import LEAST_HEIGHT, LONE, Plot, PlotSeries, Stroke, draw_plot
from tuiae.render.text import centred, clean, join_lines
from tuiae.render.ticks import HUGE, Axis, Limits, labels, span
from tuiae.runs.snapshot import Series as Recorded

SMOOTHING = {"": 0.0, "light": 0.6, "strong": 0.9}
"""Name -> weight of what came a hundredth of the x axis before, as on TensorBoard's slider: there, one point before."""
EMPTY = "waiting for the first point"
NOT_POSITIVE = "no value above 0 for a logarithmic axis"
_BEGUN_EPOCHS, _BEGUN_SHARE, _PRESSED = 1.0, 0.02, 2.5
"""What counts as the beginning of a training: so many epochs and such a share of them; and how many times as high as
all that follows it has to make the y axis before it is left out of it."""
_RAW_WIDTH, _RAW_HEIGHT, _RAW_LINES = 36, 8, 2
"""Cells from which the measured points show behind a smoothed line or a mean, and with how many lines at most."""

Series = NDArray[np.float64]
Points = tuple[Series, Series]
"""x and y."""
Way = tuple[Points, Points | None]
"""What of a line to draw, and what lies behind it."""


@dataclass(frozen=True)
class Look:
    """How curves are drawn."""

    unit: str = "epoch"
    """The name of the x axis: what it counts."""
    log_x: bool = False
    log_y: bool = False
    smoothing: str = ""
    """A name in SMOOTHING."""
    split: str = ""
    """`train` or `test` to see it alone."""


@dataclass(frozen=True)
class Curve:
    """One line of a plot."""

    label: str
    x: NDArray[Any]
    """Epochs, of a training."""
    y: NDArray[Any]
    color: str = palette.TRAIN
    stroke: Stroke = "solid"
    sign: str = ""
    """The character of a dotted line; on other lines it stands now and then, where many are told apart."""
    split: str = ""
    """`train` or `test`, for those who look at one of them alone; a curve without shows with both."""
    clock: Recorded | None = None
    """The clock of its run, which says where epochs stand on axes of steps and of time; None without a training."""
    faint: bool = False
    """Series to compare with, such as the parent of a forked run."""
    group: str = ""
    """What stands in a legend once before all faint curves of a kind: `parent`."""
    band: tuple[NDArray[Any], NDArray[Any]] | None = None
    """The lowest and the highest y at each x of the curves that this one is the mean of."""
    latest: float | None = None
    """What a legend says of it, where that is not its last point, such as the mean over an epoch that is done."""
    span: Limits | None = None
    """The x axis that it shares with curves of other plots; None where it has its own."""
    most: float = math.inf
    """What no y can exceed, such as 100 %: the axis has no tick above it."""


@dataclass(frozen=True)
class Mark:
    """Something that happened on the way: an edit, a fork, a worker that went on."""

    x: float
    """The epoch; once it is placed, where that is on the axis."""
    sign: str
    """One character."""
    text: str
    short: str = ""
    """The same in a word or two; empty where it cannot be said shorter."""


@dataclass(frozen=True, eq=False)
class Line:
    """A curve ready to be drawn: finite points only, ordered by x; what costs by the point is done."""

    curve: Curve
    x: Series
    y: Series
    """The values as they are drawn: smoothed."""
    raw: Series | None
    """The same without smoothing; None where nothing is smoothed."""
    values: Series
    """The values as they were measured."""
    band: Points | None
    """The lowest and the highest y of what it is the mean of, smoothed as it is."""
    span: Limits | None
    """The x axis of its plot, where it shares that of others."""
    left_out: int
    """Points that a log axis cannot show."""


def train_and_test(
    x: Sequence[NDArray[Any]], y: Sequence[NDArray[Any]], clock: Recorded | None = None
) -> tuple[Curve, Curve]:
    """The two curves of one run, told apart by stroke as well as by colour."""
    train = Curve("train", x[0], y[0], palette.TRAIN, split="train", clock=clock)
    return train, Curve("test", x[1], y[1], palette.TEST, "dashed", split="test", clock=clock)


def without_dashes(curve: Curve) -> Curve:
    """The same for a screen without colours or fine dots, where a broken line upon another is not told from it: it is
    one of signs there."""
    return replace(curve, stroke="dotted", sign=LONE) if curve.stroke == "dashed" and not curve.sign else curve


def places(clock: Recorded | None, unit: str, epochs: NDArray[Any]) -> Series:
    """Where epochs stand on an axis of this unit; NaN where the run does not tell."""
    if unit not in ("step", "time"):
        return np.asarray(epochs, np.float64)
    if clock is None or not len(clock.epochs):
        return np.full(np.shape(epochs), np.nan)
    return np.interp(epochs, clock.epochs, clock.steps if unit == "step" else clock.values)


def epoch_at(clock: Recorded | None, unit: str, place: float) -> float:
    """The epoch that stands there."""
    if clock is None or unit not in ("step", "time"):
        return place
    return float(np.interp(place, clock.steps if unit == "step" else clock.values, clock.epochs))


def tells(clock: Recorded | None, unit: str) -> bool:
    """Returns whether a run tells where its epochs stand on an axis of this unit."""
    if unit not in ("step", "time"):
        return True
    ends = places(clock, unit, clock.epochs[[0, -1]]) if clock is not None and len(clock.epochs) else np.zeros(2)
    return bool(ends[1] > ends[0])


def tellable(curves: Sequence[Curve], look: Look) -> Look:
    """The look that these curves can have: where no run tells what the x axis should count, it counts epochs."""
    clocks = [curve.clock for curve in curves if len(curve.x)]
    return look if not clocks or any(tells(clock, look.unit) for clock in clocks) else replace(look, unit="epoch")


def prepare(curve: Curve, look: Look = Look()) -> Line:
    """What of a curve can be drawn."""
    length = min(len(curve.x), len(curve.y))
    x, y = places(curve.clock, look.unit, curve.x[:length]), np.asarray(curve.y[:length], np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    kept = np.flatnonzero(known & ((x > 0) | (not look.log_x)) & ((y > 0) | (not look.log_y)))
    left_out = int(known.sum()) - len(kept)
    if (np.diff(x[kept]) < 0).any():
        kept = kept[np.argsort(x[kept], kind="stable")]
    x, values = x[kept], y[kept]
    bounded = np.clip(values, -HUGE, HUGE)  # beyond, sums overflow
    span = None
    if curve.span is not None:
        low, high = places(curve.clock, look.unit, np.array(curve.span)).tolist()
        span = (low, high) if low > 0 or not look.log_x else None
    way = _along(x, span, look)
    smooth = smoothed(way, bounded, SMOOTHING[look.smoothing])
    raw = None if smooth is bounded else bounded
    band = None if curve.band is None else _edges(curve.band, kept, y, way, look)
    return Line(curve, x, smooth, raw, values, band, span, left_out)


def _edges(
    band: tuple[NDArray[Any], NDArray[Any]], kept: NDArray[np.intp], y: Series, way: Series, look: Look
) -> Points:
    """The edges of a band at the points of its line that are kept; where one cannot be shown it is the line."""
    low, high = (np.asarray(edge, np.float64)[: len(y)] for edge in band)
    low, high = (np.where(np.isfinite(edge) & ((edge > 0) | (not look.log_y)), edge, y)[kept] for edge in (low, high))
    weight = SMOOTHING[look.smoothing]
    return smoothed(way, np.clip(low, -HUGE, HUGE), weight), smoothed(way, np.clip(high, -HUGE, HUGE), weight)


def _along(x: Series, span: Limits | None, look: Look) -> Series:
    """Places as shares of the way along an axis from its first point to its last, of this line alone without a span."""
    if not len(x):
        return x
    way, (low, high) = (np.log(part) if look.log_x else part for part in (x, np.array(span or (x[0], x[-1]))))
    return (way - low) / ((high - low) or 1.0)


def smoothed(way: Series, values: Series, weight: float) -> Series:
    """The exponential moving mean of the line through points, which has forgotten how it began.

    `way` are their places, in shares of the axis. What lies a hundredth of it back counts `weight` times as much,
    however many points that are: so sparse and dense measurements of the same are smoothed alike (Eckner, Algorithms
    for unevenly spaced time series, EMA with linear interpolation), and the weights of what there is add up to one
    (Kingma and Ba, 2015, section 3).
    """
    if weight <= 0 or len(values) < 2:
        return values
    steps = np.diff(way) * -100 * math.log(weight)
    share = -np.expm1(-steps)  # of the mean at the end of a step that the step itself makes
    mean = np.divide(share, steps, out=np.ones_like(steps), where=steps > 0)
    made = (1 - mean) * values[1:] + (mean - 1 + share) * values[:-1]
    growth = np.exp(np.cumsum(steps) - steps.sum())
    sums, weights = np.cumsum(growth * made), np.cumsum(growth * share)
    return np.append(values[:1], np.divide(sums, weights, out=values[1:].copy(), where=weights > 0))


def clip(x: Series, y: Series, window: Limits) -> tuple[Series, Series]:
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


def means(x: Series, y: Series, window: Limits, most: int, log: bool = False) -> tuple[Series, Series]:
    """At most `most` means of as many neighbours each, in their middle, inside a window of x; on a logarithmic axis, of
    neighbours in as wide a part of it.

    Neighbours are counted from the first point of all, so that a window that moves does not change them.
    """
    low, high = window
    first, last = int(np.searchsorted(x, low, "left")), int(np.searchsorted(x, high, "right"))
    if log:
        fineness = math.floor(math.log2(most / max(math.log2(high / low), 1e-9)))
        starts = np.flatnonzero(np.diff(np.floor(np.log2(x[first:last]) * 2.0**fineness), prepend=-math.inf))
    else:
        size = bucket(last - first, most)
        first, last = first - first % size, min(last + -last % size, len(x))
        starts = np.arange(0, last - first, size)
    lengths = np.diff(starts, append=last - first)
    middles, values = (np.add.reduceat(series[first:last], starts) / lengths for series in (x, y))
    return clip(middles, values, window)


def x_limits(lines: Sequence[Line]) -> Limits | None:
    """The first and the last x of all, and of what they share their axis with; None without a point."""
    ends = [line.span or (line.x[0], line.x[-1]) for line in lines if len(line.x)]
    return (float(min(first for first, _ in ends)), float(max(last for _, last in ends))) if ends else None


def on_one_axis(*plots: Sequence[Curve]) -> tuple[tuple[Curve, ...], ...]:
    """The curves of several plots, all on the x axis that shows every point of every plot."""
    ends = [found for curves in plots if (found := x_limits([prepare(curve) for curve in curves]))]
    if not ends:
        return tuple(tuple(curves) for curves in plots)
    span = min(first for first, _ in ends), max(last for _, last in ends)
    return tuple(tuple(replace(curve, span=span) for curve in curves) for curves in plots)


# Plots


def draw_curves(
    curves: Sequence[Curve],
    width: int,
    height: int,
    title: str = "",
    look: Look = Look(),
    ascii: bool = False,  # noqa: A002
) -> Text:
    """The plot, exactly `height` lines of at most `width` cells, on the background that is there.

    `ascii` draws with characters of ASCII.
    """
    lines = [prepare(curve, look) for curve in curves]
    limits = x_limits(lines)
    if width <= 0 or height <= 0 or limits is None:
        return centred(NOT_POSITIVE if any(line.left_out for line in lines) else EMPTY, width, height)
    head = [Text(clean(title, width), "bold", end="")] if title and height > LEAST_HEIGHT else []
    plot = lay_out(lines, width, height - len(head), limits, look, ascii)
    return join_lines([*head, *plot.lines])


def lay_out(
    lines: Sequence[Line],
    width: int,
    height: int,
    window: Limits,
    look: Look = Look(),
    ascii_only: bool = False,
    heights: Limits | None = None,
) -> Plot:
    """What of the lines is inside a window of x, in `height` rows of `width` cells; the y axis shows `heights`, or
    follows what shows.

    There is a point in the lines.
    """
    ways = _ways(lines, width, height, window, look)
    heights = heights or _settled(lines, ways, window, look)
    drawn = [
        PlotSeries(*way, curve.color, curve.stroke, curve.sign, _marks(line), behind, _band(line, window), curve.faint)
        for line, curve, (way, behind) in zip(lines, (line.curve for line in lines), ways, strict=True)
    ]
    x = Axis(window, UNITS.get(look.unit, "number"), look.log_x, look.unit)
    most = max(line.curve.most for line in lines)
    return draw_plot(drawn, width, height, x, Axis(heights, log=look.log_y, most=most), ascii_only)


def _ways(lines: Sequence[Line], width: int, height: int, window: Limits, look: Look) -> list[Way]:
    ways = [_way(line, window, width, look.log_x) for line in lines]
    roomy = width >= _RAW_WIDTH and height >= _RAW_HEIGHT
    if not roomy or sum(behind is not None for _, behind in ways) > _RAW_LINES:
        return [(way, None) for way, _ in ways]
    return ways


def heights_of(
    lines: Sequence[Line], width: int, height: int, window: Limits, look: Look = Look()
) -> tuple[Limits | None, Limits | None]:
    """The lowest and the highest y of what is drawn, None where nothing is; and those that the y axis shows, where the
    beginning of a run would press the rest flat."""
    ways = _ways(lines, width, height, window, look)
    drawn = [part for line, way in zip(lines, ways, strict=True) for part in _drawn(line, *way, window)]
    every = span([y for _, y in drawn if len(y)]) if any(len(y) for _, y in drawn) else None
    return every, _settled(lines, ways, window, look) if every else None


def _drawn(line: Line, way: Points, behind: Points | None, window: Limits) -> list[Points]:
    """The points of a line, or what lies behind it, and the edges of its band."""
    band = _band(line, window)
    return [behind or way, *([] if band is None else [(band[0], band[1]), (band[0], band[2])])]


def _way(line: Line, window: Limits, width: int, log: bool) -> Way:
    """What of a line to draw in a window of x, and what of it lies behind that, where there is something.

    Of a training there are more points than cells, a band of noise under which other lines are lost: it is drawn in the
    mean, before the band.
    """
    way = clip(line.x, line.y, window)
    if line.raw is not None:
        return way, clip(line.x, line.raw, window)
    if line.curve.split != "train" or len(way[0]) <= width:
        return way, None
    return means(line.x, line.y, window, width, log), None if line.curve.faint else way


def _marks(line: Line) -> Points | None:
    """The points on which signs stand of a broken line, where it is none of a run behind."""
    broken = line.curve.stroke in ("dashed", "dotted") and len(line.x) > 1
    return (line.x, line.y) if broken and not line.curve.faint else None


def _band(line: Line, window: Limits) -> tuple[Series, Series, Series] | None:
    """The part of a line's band in a window of x: x, lowest and highest y."""
    if line.band is None:
        return None
    low, high = (clip(line.x, edge, window) for edge in line.band)
    return *low, high[1]


def _settled(lines: Sequence[Line], ways: Sequence[Way], window: Limits, look: Look) -> Limits | None:
    """The y axis of what comes after the first epoch of a run, where its batches stand so far off that they would press
    the rest flat: they then come in from beyond the frame. None where they do not.

    A fork begins anew, in the middle of its parent, of which as much counts as the fork is long. Who zooms in on a
    beginning, or takes a logarithmic axis, sees it whole; and the newest value of a line is always in sight.
    """
    if look.unit not in UNITS or look.log_x or look.log_y:
        return None
    (low, high), unit = window, look.unit
    runs = [(id(line.curve.clock), line.curve.faint) for line in lines]
    begun: dict[tuple[int, bool], list[float]] = {}  # where the first epoch of a run begins and ends
    for run, line in ((run, line) for run, line in zip(runs, lines, strict=True) if len(line.x)):
        epoch = math.floor(epoch_at(line.curve.clock, unit, float(line.x[0])))
        ends = places(line.curve.clock, unit, np.array([epoch, epoch + _BEGUN_EPOCHS])).tolist()
        begun[run] = min(ends, begun.get(run, ends))
    begins = min((float(line.x[0]) for line in lines if len(line.x) and not line.curve.faint), default=low)
    whole, later = [], []
    for run, line, way in zip(runs, lines, ways, strict=True):
        if not len(way[0][0]):
            continue
        origin, end = begun[run]
        start = max(end, low + _BEGUN_SHARE * (high - low))
        from_start = start <= low or (origin <= low and high - start < 2 * (start - low))
        for x, y in _drawn(line, *way, window):
            counts = (x >= start) | from_start
            if line.curve.faint:
                counts &= x >= 2 * begins - high
            counts[-1] = True
            whole.append(y)
            later.append(y[counts])
    all_y, settled = span(whole), span(later)
    return settled if all_y[1] - all_y[0] > _PRESSED * (settled[1] - settled[0]) else None


def place_text(x: float, unit: str = "") -> str:
    """A place on the x axis: `12`, `12.43`, `104.5`, `0.125`, of a time `1:30` or `12.4s`; of steps a whole number."""
    if unit == "time":
        return labels([x], "time")[0]
    whole = unit == "step" or x == round(x)
    return f"{x:,.0f}" if whole else f"{x:,.2f}".rstrip("0").rstrip(".") if abs(x) >= 10 else f"{x:.3g}"
