"""Which part of a plot shows and where its cursor stands, as values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tuiae.ui.render import axes
from tuiae.ui.render.curve_lines import Line, neighbour, x_limits

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
