"""The points of curves while a history is read: they grow, are thinned, and go where a resumed worker repeats them."""

from __future__ import annotations

import math
from array import array

import numpy as np

from tuiae.runs.snapshot import Series

LIVE_POINTS = 16_384  # an hour of them; of older ones every second goes, and never the extremes
OUTLINE_POINTS = 4096


class Points:
    """The points of one curve. A Series taken from it keeps its values while more points come."""

    def __init__(self, most: int | None = None) -> None:
        """Keep at most `most` points: when there are more, the older half is thinned.

        A curve without a limit has an outline once it is long.
        """
        self._numbers = array("d")  # step, epoch and value, point after point
        self._most = most
        self._outline: Points | None = None

    def __len__(self) -> int:
        return len(self._numbers) // 3

    def append(self, step: float, epoch: float, value: float) -> None:
        self.extend(np.array([(step, epoch, value)], float))

    def extend(self, table: np.ndarray) -> None:
        """Add points, (N, 3) by step with the value last: the same as one after the other."""
        limit = OUTLINE_POINTS if self._most is None else self._most
        while len(table):
            if len(self) == limit and self._most is None:
                self._outline = Points(OUTLINE_POINTS)
                self._outline._numbers = self._numbers[:]
            elif len(self) == limit:
                known, half = self._table(), len(self) // 2
                self._replace(np.concatenate([thin(known[:half]), known[half:]]))
            room = limit - len(self) if len(self) < limit else len(table)
            part, table = table[:room], table[room:]
            self._numbers.frombytes(part.tobytes())
            if self._outline is not None:
                self._outline.extend(part)

    def drop_after(self, step: float) -> bool:
        """Forget the points beyond a step; returns whether there were any."""
        table = self._table()
        kept = table[table[:, 0] <= step]
        self._replace(kept)
        if self._outline is not None:
            self._outline.drop_after(step)
        return len(kept) < len(table)

    def _table(self) -> np.ndarray:
        return np.array(self._numbers).reshape(-1, 3)

    def _replace(self, table: np.ndarray) -> None:
        self._numbers = array("d", table.tobytes())

    def series(self) -> Series:
        steps, epochs, values = self._table().T
        outline = self._outline.series() if self._outline and len(self) > OUTLINE_POINTS else None
        return Series(steps.astype(np.int64), epochs, values, outline)


def thin(table: np.ndarray) -> np.ndarray:
    """The lowest and the highest of every four points, (N, 3) by step with the value last; the first and the last of
    all stay, and a gap stays where a whole four is one."""
    whole = len(table) // 4 * 4
    values = table[:whole, 2].reshape(-1, 4)
    first = np.arange(0, whole, 4)
    lowest = first + np.where(np.isnan(values), np.inf, values).argmin(axis=1)
    highest = first + np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
    kept = np.zeros(len(table), bool)
    kept[lowest] = kept[highest] = kept[whole:] = kept[:1] = kept[-1:] = True
    return table[kept]


class TrainingClock:
    """When epochs were reached, in seconds of training."""

    def __init__(self) -> None:
        self.points = Points(LIVE_POINTS)
        self._last = 0.0
        self._began: float | None = None  # the time at which no second would have passed

    def start(self, step: float, epoch: float, time: float) -> None:
        """Note that a worker began there, or went on after a pause: the time before it does not count."""
        self.points.drop_after(step)
        series = self.points.series()
        self._last = float(series.values[-1]) if len(series.values) else 0.0
        self._began = time - self._last
        self.points.append(step, epoch, self._last)

    def reach(self, table: np.ndarray) -> None:
        """Note that steps were reached, (N, 3) with epochs and times; clocks that were set back stand still."""
        if len(table) and self._began is None:
            self.start(*table[0].tolist())
            table = table[1:]
        if len(table) and self._began is not None:
            seconds = table[:, 2] - self._began
            elapsed = np.fmax(np.fmax.accumulate(seconds), self._last)
            self._last = float(elapsed[-1])
            self.points.extend(np.column_stack((table[:, :2], np.where(np.isnan(seconds), math.nan, elapsed))))
