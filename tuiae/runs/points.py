"""What a reader collects, grown in place: a poll costs what is new, not what there is."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from tuiae.runs.snapshot import Series


class Points:
    """The points of one curve. A Series taken from it keeps its values while more points come."""

    def __init__(self, most: int | None = None) -> None:
        """At most so many points are kept: when there are more, the older half is thinned."""
        self._table = np.empty((64, 3))
        self._count = 0
        self._most = most

    def append(self, step: int, epoch: float, value: float) -> None:
        if self._count == self._most:
            half = self._count // 2
            self._replace(np.concatenate([thin(self._table[:half]), self._table[half : self._count]]))
        if self._count == len(self._table):
            # A new table, so that the series taken before keep theirs.
            self._table = np.concatenate([self._table, np.empty_like(self._table)])
        self._table[self._count] = step, epoch, value
        self._count += 1

    def drop_after(self, step: int) -> bool:
        """Forget what lies beyond a step; whether anything did."""
        table = self._table[: self._count]
        kept = table[table[:, 0] <= step]
        if len(kept) == len(table):
            return False
        self._replace(kept)
        return True

    def _replace(self, kept: np.ndarray) -> None:
        self._table = np.concatenate([kept, np.empty((64, 3))])
        self._count = len(kept)

    def series(self) -> Series:
        steps, epochs, values = self._table[: self._count].T
        return Series(steps.astype(np.int64), epochs, values)


def thin(table: np.ndarray) -> np.ndarray:
    """The lowest and the highest of every four points, (N, 3) by step with the value last; the first and the last of
    all stay, and a gap stays where a whole four is one."""
    whole = len(table) // 4 * 4
    values = table[:whole, 2].reshape(-1, 4)
    first = np.arange(0, whole, 4)
    lowest = first + np.where(np.isnan(values), np.inf, values).argmin(axis=1)
    highest = first + np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
    return table[np.unique(np.concatenate([[0], lowest, highest, np.arange(whole, len(table)), [len(table) - 1]]))]


class Epochs:
    """Epochs of which something is there, in order, each once; they nearly always come in order."""

    def __init__(self) -> None:
        self._epochs: list[int] = []

    def add(self, epoch: int) -> None:
        place = bisect_left(self._epochs, epoch)
        if place == len(self._epochs) or self._epochs[place] != epoch:
            self._epochs.insert(place, epoch)

    def as_tuple(self) -> tuple[int, ...]:
        return tuple(self._epochs)
