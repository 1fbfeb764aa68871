"""Which part of a plot shows and where its cursor stands, as values; the points at a place and beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tuiae.render.curves import Line, epoch_at, places, x_limits
from tuiae.render.plot import PlotFrame
from tuiae.render.ticks import Limits
from tuiae.runs.snapshot import Series as Recorded


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


NEWEST = math.inf
"""A cursor there stands on the newest point, and goes with it."""


@dataclass(frozen=True)
class View:
    """The window on the x axis and the cursor in it."""

    width: float | None = None
    """The width of the window; None shows everything."""
    end: float | None = None
    """Where the window ends; None is the newest point, whatever comes."""
    cursor: float | None = None

    def window(self, limits: Limits) -> Limits:
        """The part of `limits` that shows."""
        if self.width is None or self.width >= limits[1] - limits[0]:
            return limits
        end = limits[1] if self.end is None else min(self.end, limits[1])
        return end - self.width, end

    def over(self, limits: Limits, low: float, high: float) -> View:
        """The same with a window from low to high, moved so that it lies within `limits`."""
        width = high - low
        if width >= limits[1] - limits[0]:
            return replace(self, width=None, end=None)
        end = max(high, limits[0] + width)
        return replace(self, width=width, end=None if end >= limits[1] else end)

    def zoomed(self, lines: Sequence[Line], factor: float, anchor: float | None = None, log: bool = False) -> View:
        """A window `factor` times as wide, on a logarithmic axis where `log`, around `anchor`, the cursor or the newest
        point; the same where fewer than two points of every line would remain."""
        limits = x_limits(lines)
        if limits is None:
            return self
        low, high = self.window(limits)
        wanted = next((place for place in (anchor, self.cursor) if place is not None), high)
        around = min(max(wanted, low), high)
        if log:
            return self.selecting(lines, around * (low / around) ** factor, around * (high / around) ** factor)
        return self.selecting(lines, around - (around - low) * factor, around + (high - around) * factor)

    def selecting(self, lines: Sequence[Line], low: float, high: float) -> View:
        """A window from low to high; the same as before where fewer than two points of every line are in it."""
        limits = x_limits(lines)
        if limits is None or max((_count(line, low, high) for line in lines), default=0) < 2:
            return self
        return self.over(limits, low, high)

    def carried(self, clock: Recorded | None, unit: str, new: str, before: Limits, now: Limits) -> View:
        """The same window and cursor on an axis of a new unit; its limits were `before` and are `now`."""

        def moved(place: float) -> float:
            return float(places(clock, new, np.array(epoch_at(clock, unit, place))))

        low, high = self.window(before)
        view = replace(self, cursor=self.cursor if self.cursor in (None, NEWEST) else moved(self.cursor))
        return view if self.width is None else view.over(now, moved(low), now[1] if self.end is None else moved(high))

    def at(self, lines: Sequence[Line]) -> float | None:
        """The x of the cursor; None without one, or without points."""
        limits = x_limits(lines)
        return None if self.cursor is None or limits is None else min(max(self.cursor, limits[0]), limits[1])

    def moved(self, lines: Sequence[Line], frame: PlotFrame, columns: int) -> View:
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
