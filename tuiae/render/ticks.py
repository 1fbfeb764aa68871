"""An axis: the way from values to cells and back, where its ticks stand and how they are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tuiae.render import Kind

Values: TypeAlias = NDArray[np.float64]
Dots: TypeAlias = NDArray[np.int64]
Limits: TypeAlias = tuple[float, float]

HUGE = 1e300
"""What is larger is drawn as if it were this: beyond it, differences of floats overflow."""
CLOSE, BETWEEN_TICKS, MOST_CLOSE = (6, 7, 8), 4, 8
"""Columns from tick to tick of an x axis whose words are short enough to leave so many between them; and how many
ticks may stand so close."""
LEAST_X_TICKS = 2  # where there is room for them
LOG_PAD = 0.04  # of the height of a logarithmic axis, beyond either end
LEAST_DECADES = 0.7
_STEPS: dict[float, float] = {1: 0, 1.5: 0.35, 2: 0, 2.5: 0.1, 3: 0.4, 4: 0.15, 5: 0, 6: 0.45, 8: 0.3, 10: 0, 20: 0}
"""Factors of a power of ten between ticks on rows, and how strange each looks, in shares of the height of a plot."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_TIMES = (1, 2, 5, 10, 15, 30, *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)), *(_HOUR * n for n in (1, 2, 3, 6, 12)))
"""Round seconds up to a day."""
_LOG_TIMES = (0.01, 0.1, 1, 10, _MINUTE, 10 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 10 * _DAY, 100 * _DAY)
"""Round seconds on a logarithmic axis, about as far apart as powers of ten."""


@dataclass(frozen=True)
class Axis:
    """What an axis shows of the values, and how its ticks are written."""

    limits: Limits | None = None
    """The first and last value to show; y adds what makes its ticks fall on rows. None for all that is drawn."""
    kind: Kind = "number"
    log: bool = False
    name: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    """Value and words of each tick; without, round values are found."""
    most: float = math.inf
    """What no value can exceed, such as 100 %: no tick that is found stands above it."""


@dataclass(frozen=True)
class Scale:
    """The way from values to cells along an axis, and back."""

    limits: Limits
    """The values of the first and the last dot."""
    cells: int
    dots: int
    """In a cell."""
    log: bool = False

    def places(self, values: NDArray[Any], beyond: float = 1) -> Dots:
        """The dot of each finite value, 0 at the low end; at most `beyond` lengths of the axis beyond either end."""
        low, high = self._along(np.asarray(self.limits, np.float64)).tolist()
        share = (self._along(np.asarray(values, np.float64)) - low) / (high - low)
        last = self.cells * self.dots - 1
        return np.floor(np.round(0.5 + last * np.clip(share, -beyond, 1 + beyond), 8)).astype(np.int64)

    def cell(self, value: float) -> int:
        """The cell of a value; negative, or `cells` and more, where it is out of sight."""
        return int(self.places(np.array(value))) // self.dots

    def value(self, cell: float) -> float:
        """The value in the middle of a cell; half a cell less is where it begins."""
        low, high = self._along(np.asarray(self.limits, np.float64)).tolist()
        last = max(self.cells * self.dots - 1, 1)
        found = low + (self.dots * cell + (self.dots - 1) / 2) / last * (high - low)
        return self._back(found)

    def zoomed(self, factor: float, around: float) -> Limits:
        """Limits `factor` times as far apart: a value in sight stays where it is, another one comes to the middle."""
        low, high, at = self._along(np.array([*self.limits, around], np.float64)).tolist()
        share = (at - low) / (high - low) if low <= at <= high else 0.5
        start = at - share * factor * (high - low)
        return self._back(start), self._back(start + factor * (high - low))

    def shifted(self, share: float) -> Limits:
        """Limits moved by a share of what lies between them."""
        low, high = self._along(np.asarray(self.limits, np.float64)).tolist()
        return self._back(low + share * (high - low)), self._back(high + share * (high - low))

    def _along(self, values: Values) -> Values:
        """Values as distances along the axis."""
        return np.log10(np.clip(values, 1 / HUGE, HUGE)) if self.log else np.clip(values, -HUGE, HUGE)

    def _back(self, place: float) -> float:
        """The value at a distance along the axis."""
        return float(10.0**place if self.log else place)


def span(parts: Sequence[Values]) -> Limits:
    """The lowest and the highest of all values."""
    return float(min(values.min() for values in parts)), float(max(values.max() for values in parts))


def widened(limits: Limits, log: bool) -> Limits:
    """Limits far enough apart; a single value gets room around it."""
    low, high = (float(min(max(value, 1 / HUGE if log else -HUGE), HUGE)) for value in limits)
    if log:
        return (low, high) if high > low * (1 + 1e-9) else (low / 1.6, low * 1.6)
    if high - low > 1e-12 * max(abs(low), abs(high), 1e-200):
        return low, high
    around = abs(low) * 0.1 if abs(low) > 1e-200 else 0.5
    return low - around, low + around


def y_ticks(limits: Limits, rows: int, dots: int, axis: Axis) -> tuple[Limits, list[float], list[str]]:
    """Limits, values and words of the ticks of a y axis: one for about every fourth row."""
    if axis.ticks:
        return limits, [value for value, _ in axis.ticks], [words for _, words in axis.ticks]
    if not axis.log:
        limits, values = on_rows(limits, rows, dots, axis.most)
        return limits, values, labels(values, axis.kind)
    low, high = (math.log10(value) for value in limits)
    pad, end = LOG_PAD * (high - low), math.log10(HUGE)
    low, high = max(low - pad, -end), min(high + pad, end)
    powers = enough(partial(log_ticks, (low, high)), min(max(rows // 3, 2), 10), rows)
    return (10.0**low, 10.0**high), [10.0**power for power in powers], log_labels(powers)


def x_ticks(limits: Limits, columns: int, axis: Axis) -> list[tuple[float, str]]:
    """Value and words of each tick of an x axis: one for about every tenth column, and more where words are short."""
    most = max(columns // 10, 1)
    if axis.ticks:
        return list(axis.ticks)
    if axis.log and axis.kind == "time":
        times = log_time_ticks(limits, most)
        return [(time, labels([time], "time")[0]) for time in times]
    if axis.log:
        powers = log_ticks((math.log10(limits[0]), math.log10(limits[1])), most)
        return list(zip((10.0**power for power in powers), log_labels(powers), strict=True))
    whole = axis.kind == "step" or (axis.kind == "epoch" and limits[1] - limits[0] >= 1)
    round_values = partial(linear_ticks, limits, whole=whole)
    if axis.kind == "time":
        round_values = partial(time_ticks, limits)
    values = round_values(most)
    for apart in CLOSE if axis.kind != "time" else ():
        close = round_values(max(columns // apart, 1))
        longest = max(map(len, labels(close, axis.kind)), default=0)
        if len(close) <= MOST_CLOSE and longest <= apart - BETWEEN_TICKS:
            values = close
            break
    if len(values) < LEAST_X_TICKS and columns >= 24:
        # Up to twice as many, none of which is left out: 20 and 60 without 40 look like a mistake.
        closer = (
            found for count in range(most + 1, 2 * most + 1) if len(found := round_values(count)) >= LEAST_X_TICKS
        )
        values = next(closer, []) or enough(round_values, most, LEAST_X_TICKS)
    return list(zip(values, labels(values, axis.kind), strict=True))


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5 x 10^n that cuts `span` into at most `most` pieces."""
    rough = span / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def linear_ticks(limits: Limits, most: int, whole: bool = False) -> list[float]:
    """Round values inside the limits, about `most` of them; whole numbers for epochs and steps."""
    low, high = limits
    if not high > low:
        return [low]
    step = nice_step(high - low, most)
    return _multiples(limits, max(round(step), 1) if whole else step)


def _multiples(limits: Limits, step: float) -> list[float]:
    first, last = math.ceil(limits[0] / step - 1e-9), math.floor(limits[1] / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def time_ticks(limits: Limits, most: int) -> list[float]:
    """Round seconds, minutes, hours or days inside limits in seconds."""
    span = limits[1] - limits[0]
    if span < most:
        return linear_ticks(limits, most)
    step = next((step for step in _TIMES if span / step <= most), 0) or _DAY * nice_step(span / _DAY, most)
    return _multiples(limits, step)


def log_time_ticks(limits: Limits, most: int) -> list[float]:
    """Round times inside limits in seconds, all above 0, for a logarithmic axis."""
    inside = [time for time in _LOG_TIMES if limits[0] <= time <= limits[1]]
    return inside[:: math.ceil(len(inside) / most)] if len(inside) > 1 else time_ticks(limits, most)


def log_ticks(limits: Limits, most: int) -> list[float]:
    """Powers of ten inside the limits (base-10 logarithms), joined by 2 and 5 of each where there is room."""
    low, high = limits
    if high - low < LEAST_DECADES:
        # Too little of a decade for round powers: round values, where they lie.
        return [math.log10(value) for value in linear_ticks((10**low, 10**high), most) if value > 0]
    decades = range(math.floor(low), math.ceil(high) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [math.log10(factor) + decade for decade in decades for factor in factors]
        inside = [tick for tick in ticks if low - 1e-9 <= tick <= high + 1e-9]
        if len(inside) <= most:
            return inside
    return inside[:: math.ceil(len(inside) / max(most, 1))]


def enough(ticks: Callable[[int], list[float]], most: int, rows: int) -> list[float]:
    """`ticks` of about `most`, or of more of them until three stand in so many rows, two where there are few rows.

    One tick says nothing of the scale.
    """
    wanted, room = 3 if rows >= 5 else 2, max((rows + 1) // 2, 2)
    found = ticks(most)
    for finer in (ticks(count) for count in range(most + 1, 2 * rows + 2)):
        if len(found) >= wanted:
            break
        spread = finer[:: max(math.ceil((len(finer) - 1) / (room - 1)), 1)]
        found = max(found, spread, key=len)
    return found


def on_rows(limits: Limits, rows: int, dots: int, most: float = math.inf) -> tuple[Limits, list[float]]:
    """Limits around these, of the first and the last dot of `rows` rows, and round ticks, each in the middle of a row
    and all as many rows apart: where rows lie unevenly between ticks, an even axis looks warped. None above `most`."""
    low, high = limits
    if rows < 3:
        return limits, enough(partial(linear_ticks, limits), 1, rows)
    last, middle = (rows * dots - 1) / dots, (dots - 1) / 2 / dots  # in rows: of the last dot, and of a row's middle
    best: tuple[float, float, int, int] | None = None
    for apart in range(1 if rows < 7 else 2, min(rows - 1, 8) + 1):
        rough = (high - low) / last * apart
        power = 10.0 ** math.floor(math.log10(rough))
        for factor in _STEPS:
            row = factor * power / apart  # the value of a row
            start = math.floor(low / row + middle + 1e-9)
            slack = math.floor(start - middle + last - high / row + 1e-9)
            if slack < 0:
                continue
            for first in range(start - slack if low < 0 else max(start - slack, min(start, 0)), start + 1):
                top = min(first + rows - 1, math.floor(most / row + 1e-9)) if most < math.inf else first + rows - 1
                ticks = top // apart - (first - 1) // apart
                strange = _strangeness(apart, rows, ticks, factor) + 0.02 * abs(first - start + slack / 2)
                best = min(best or (math.inf, 0.0, 0, 0), (row * last / (high - low) + strange, row, first, apart))
    assert best is not None  # a step of twice the span always fits
    _, row, first, apart = best
    values = [round((first + place) / apart) * row * apart for place in range(rows) if (first + place) % apart == 0]
    values = [value for value in values if value <= most * (1 + 1e-9)]
    return ((first - middle) * row, (first - middle + last) * row), values


def _strangeness(apart: int, rows: int, ticks: int, factor: float) -> float:
    """What speaks against ticks at this distance, in shares of the height: an unusual step, few of them, many."""
    few = (9.0, 3.0, 0.0 if rows < 5 else 1.0, 0.0)[min(ticks, 3)]
    crowded = 0.2 if apart == 1 and rows > 3 else 0.0
    return few + crowded + 0.05 * abs(apart - (2 if rows < 9 else 3 if rows < 15 else 4)) + _STEPS[factor]


def labels(values: Sequence[float], kind: Kind = "number") -> list[str]:
    """The same number of decimals for all, as few as say what each is; exponents for extremes."""
    if kind == "time":
        long = max(values, default=0) >= _MINUTE
        return [time_text(value) for value in values] if long else [f"{words}s" for words in labels(values)]
    largest = max((abs(value) for value in values), default=0)
    gaps = [abs(b - a) for a, b in pairwise(values)] or [largest or 1]
    decimals = max(-math.floor(math.log10(min(gaps)) + 1e-9), 0)
    if any(abs(round(value, decimals) - value) > 0.01 * min(gaps) for value in values):
        decimals += 1  # 0.005 and 0.015 are 0.01 apart
    if 1e5 <= largest < 1e9 and all(value % 1000 == 0 for value in values):
        return [_thousands(value) for value in values]
    if decimals > 5 or largest >= 1e7:
        return [_short(f"{value:.{_mantissa(values)}e}") if value else "0" for value in values]
    if len(values) == 1:  # no neighbour says how many decimals: 0.95 must not read 1.0
        return [f"{values[0]:,.4g}"]
    return [f"{value:,.{decimals}f}" for value in values]


def log_labels(ticks: Sequence[float]) -> list[str]:
    """Each power written on its own: `0.01`, `5`, `1,000`, `100k`, `2e-5`; those that are equally far apart as on a
    linear axis."""
    values = [10**tick for tick in ticks]
    gaps = [after - before for before, after in pairwise(values)]
    if len(gaps) > 1 and max(gaps) < 1.01 * min(gaps):
        return labels(values)
    return [_written(value) for value in values]


def _written(value: float) -> str:
    if 1e3 <= value < 1e9:
        return f"{value:,.0f}" if value < 1e5 else _thousands(value)
    return _short(f"{value:.3g}")


def _short(number: str) -> str:
    """`3e9` for 3e+09."""
    return number.replace("e+", "e").replace("e-0", "e-").replace("e0", "e")


def _mantissa(values: Sequence[float]) -> int:
    """Decimals of a mantissa that tell values apart, and each as it is."""
    near = 0.01 * min((abs(b - a) for a, b in pairwise(values)), default=math.inf)
    return next((n for n in range(4) if all(abs(float(f"{value:.{n}e}") - value) <= near for value in values)), 4)


def _thousands(value: float) -> str:
    unit, size = ("M", 1e6) if abs(value) >= 1e6 else ("k", 1e3)
    return f"{value / size:g}{unit}" if value else "0"


def time_text(seconds: float) -> str:
    """`0:30`, `1:30:00`, and from a day on `2d`, `2d 12h`."""
    minutes, second = divmod(round(seconds), _MINUTE)
    hours, minute = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d" + (f" {hours % 24}h" if hours % 24 else "")
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
