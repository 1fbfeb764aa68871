"""Where an axis puts its ticks and how it writes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Limits = tuple[float, float]


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
    if whole:
        step = max(round(step), 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


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


LEAST_DECADES = 0.7


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


def tick_labels(values: Sequence[float]) -> list[str]:
    """The same number of decimals for all, as few as say what each is; exponents for extremes."""
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
    """Each power written on its own: `0.01`, `5`, `2e-5`."""
    return [_short(f"{10**tick:.3g}") for tick in ticks]


def _short(number: str) -> str:
    """`3e9` for 3e+09."""
    return number.replace("e+", "e").replace("e-0", "e-").replace("e0", "e")


def _mantissa(values: Sequence[float]) -> int:
    return next((n for n in range(4) if len({f"{value:.{n}e}" for value in values}) == len(values)), 4)


def _thousands(value: float) -> str:
    unit, size = ("M", 1e6) if abs(value) >= 1e6 else ("k", 1e3)
    return f"{value / size:g}{unit}" if value else "0"


def positions(values: NDArray[np.float64], limits: Limits, cells: int, dots: int) -> NDArray[np.int64]:
    """The cell of each value, 0 at the low end, among cells of so many braille dots.

    A canvas rounds to dots, so what stands in whole cells has to be placed by them to stay beside the line.
    """
    low, high = limits
    found = np.floor(np.round(0.5 + (cells * dots - 1) * (values - low) / (high - low), 8))
    return found.astype(np.int64) // dots


def position(value: float, limits: Limits, cells: int, dots: int) -> int:
    """The cell of one value."""
    return int(positions(np.array(value), limits, cells, dots))


def tick_line(ticks: Sequence[tuple[int, str]], width: int) -> str:
    """Labels centred on their columns; what would collide is left out."""
    line = ""
    for column, label in ticks:
        start = min(max(column - (len(label) - 1) // 2, 0), width - len(label))
        if start >= len(line) + (2 if line else 0):
            line = line.ljust(start) + label
    return line
