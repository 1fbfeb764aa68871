"""The history of a run, `events.jsonl`, as it grows: new lines, their records, and what these add up to, which is the
points of curves, the position and the clock.

A resumed worker repeats what came after its checkpoint; the repeated part counts.
"""

from __future__ import annotations

import errno
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import numpy as np

from tuiae.files import MAX_COUNT, MAX_EPOCH, MAX_TIME, as_number, is_count, open_regular, parse_json
from tuiae.runs.paths import RunPaths
from tuiae.runs.snapshot import Position, Series, Status

CHUNK = 1 << 20  # bytes a poll reads at most: lines take several times their size while they are taken apart
LONGEST_LINE = 4 << 20
"""Bytes of an unended line that are kept: one without an end is garbage, or a log of which the last words count."""
LIVE_POINTS = 16_384  # an hour of them; of older ones every second goes, and never the extremes
OUTLINE_POINTS = 4096


# Lines and their records


class Tail:
    """New complete lines since the last poll.

    The file is reopened each time, because an open handle on NFS can lag for half a minute. A torn last line waits
    for its end; a file that shrank or was replaced is read again from the start, and `restarted` says so. `moved`
    says whether the poll read anything, which can be the middle of a line; `behind`, whether there is more to read.
    """

    restarted = moved = behind = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._identity: tuple[int, int] | None = None
        self._rest = b""

    def poll(self) -> list[bytes]:
        """The new lines, without their ends."""
        return self.read().split(b"\n")[:-1]

    def read(self) -> bytes:
        """The new lines as they stand there."""
        self.restarted = self.moved = self.behind = False
        try:
            with open_regular(self.path) as file:
                stat = os.fstat(file.fileno())
                identity = (stat.st_dev, stat.st_ino)
                if stat.st_size < self._offset or (self._identity is not None and identity != self._identity):
                    self._offset, self._rest, self.restarted = 0, b"", True
                self._identity = identity
                if self._offset < stat.st_size and (begins := _skip_hole(file, self._offset)) > self._offset:
                    self._offset, self._rest = begins, b"\0"
                file.seek(self._offset)
                data = file.read(min(CHUNK, max(stat.st_size - self._offset, 0)))
        except OSError:
            return b""
        self._offset += len(data)
        self.moved = bool(data) or self.restarted
        self.behind = len(data) == CHUNK
        lines, end, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest[-LONGEST_LINE:]
        return lines + end

    def lines(self) -> Iterator[bytes]:
        """Poll until everything is read."""
        yield from self.poll()
        while self.behind:
            yield from self.poll()


def _skip_hole(file: BinaryIO, offset: int) -> int:
    """Where a sparse file holds data again: its holes read as gigabytes of zeros."""
    try:
        return os.lseek(file.fileno(), offset, os.SEEK_DATA)
    except OSError as error:
        return os.fstat(file.fileno()).st_size if error.errno == errno.ENXIO else offset


def parse_event(line: bytes) -> dict[str, Any] | None:
    """A record with a kind, or None for garbage, NUL blocks and anything else that is no JSON object."""
    try:
        record = parse_json(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("kind"), str) else None


class Metric(msgspec.Struct, tag_field="kind", tag="metric", gc=False):
    """A metric event; values that are no numbers are NaN or None."""

    split: str
    step: Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)]
    epoch: Annotated[float, msgspec.Meta(ge=0, le=MAX_EPOCH)]
    values: dict[str, float | None]
    time: Annotated[float, msgspec.Meta(ge=0, le=MAX_TIME)] = math.nan


METRIC = msgspec.json.Decoder(Metric)
"""Reads what is as a worker writes it: a million lines took a second, where `json` alone took three."""


def as_metric(record: dict[str, Any]) -> Metric | None:
    """A metric from a record that anybody may have written; None without a step, an epoch and values."""
    step, values = record.get("step"), record.get("values")
    epoch, time = as_number(record.get("epoch"), MAX_EPOCH), as_number(record.get("time"), MAX_TIME)
    if not is_count(step) or epoch is None or not isinstance(values, dict):
        return None
    numbers = {str(name): as_number(value) for name, value in values.items()}
    return Metric(str(record.get("split")), step, epoch, numbers, math.nan if time is None else time)


# What follows from them


@dataclass
class Reached:
    """How far a run is by its events; the status lags behind them, because it is written once a second."""

    step: int = 0
    epoch: int = 0
    """Epochs that are over."""
    epochs_done: float | None = None
    """The one under way as a fraction of them."""
    resumes: tuple[Position, ...] = ()
    """Where later workers went on from a checkpoint."""
    _first: int | None = None

    def start(self, step: int, epoch: float) -> None:
        """Note that a worker began at this step and epoch; later points will be repeated."""
        self.step, self.epoch, self.epochs_done = step, int(epoch), epoch
        if self._first is None:
            self._first = step
        elif step > self._first:
            self.resumes = (*(resume for resume in self.resumes if resume.step < step), Position(step, epoch))

    def reach(self, step: int, epoch: float, whole: bool) -> None:
        """Note that a value was measured there; `whole` says that it was at the end of the epoch.

        A live point at a whole number is the last of its epoch, which is still to be evaluated.
        """
        self.step = max(self.step, step)
        self.epoch = max(self.epoch, int(epoch) if whole else math.ceil(epoch) - 1)
        self.epochs_done = max(self.epochs_done or 0.0, epoch)

    def brought_to(self, status: Status) -> Status:
        """The status with the newer of both positions."""
        done = max((known for known in (status.epochs_done, self.epochs_done) if known is not None), default=None)
        step, epoch = max(status.step, self.step), max(status.epoch, self.epoch)
        return replace(status, step=step, epoch=epoch, epochs_done=done)


class Points:
    """The points of one curve. A Series taken from it keeps its values while more points come: these are written behind
    the part of the arrays that it shows."""

    def __init__(self, most: int | None = None) -> None:
        """Keep at most `most` points: when there are more, the older half is thinned.

        A curve without a limit has an outline once it is long.
        """
        self._columns: tuple[np.ndarray, ...] = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        """Steps, epochs and values, each with room for more."""
        self._length = 0
        self._most = most
        self._outline: Points | None = None

    def __len__(self) -> int:
        return self._length

    def append(self, step: float, epoch: float, value: float) -> None:
        self.extend(np.array([(step, epoch, value)], float))

    def extend(self, table: np.ndarray) -> None:
        """Add points, (N, 3) by step with the value last: the same as one after the other."""
        limit = OUTLINE_POINTS if self._most is None else self._most
        while len(table):
            if len(self) == limit and self._most is None:
                self._outline = Points(OUTLINE_POINTS)
                self._outline._replace(self._table())
            elif len(self) == limit:
                known, half = self._table(), len(self) // 2
                self._replace(np.concatenate([thin(known[:half]), known[half:]]))
            room = limit - len(self) if len(self) < limit else len(table)
            part, table = table[:room], table[room:]
            self._write(part)
            if self._outline is not None:
                self._outline.extend(part)

    def drop_after(self, step: float) -> bool:
        """Forget the points beyond a step; returns whether there were any."""
        table = self._table()
        kept = table[table[:, 0] <= step]
        if self._outline is not None:
            self._outline.drop_after(step)
        if len(kept) == len(table):
            return False
        self._replace(kept)
        return True

    def _table(self) -> np.ndarray:
        return np.column_stack([column[: self._length] for column in self._columns])

    def _replace(self, table: np.ndarray) -> None:
        """Begin anew in other arrays: a Series may show these."""
        self._columns, self._length = tuple(column[:0] for column in self._columns), 0
        self._write(table)

    def _write(self, table: np.ndarray) -> None:
        """Add points behind the others; where there is no room left, in larger arrays."""
        end = self._length + len(table)
        if end > len(self._columns[0]):
            more = len(table) + self._length // 4
            self._columns = tuple(
                np.concatenate([column[: self._length], np.zeros(more, column.dtype)]) for column in self._columns
            )
        for column, values in zip(self._columns, table.T, strict=True):
            column[self._length : end] = values
        self._length = end

    def series(self) -> Series:
        steps, epochs, values = (column[: self._length] for column in self._columns)
        for shown in (steps, epochs, values):
            shown.flags.writeable = False
        outline = self._outline.series() if self._outline and len(self) > OUTLINE_POINTS else None
        return Series(steps, epochs, values, outline)


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


# What a list shows of it

TREND_POINTS = 48  # more than a sparkline has cells
_MARKS = (b'"split":"test"', b'"kind":"start"')


def _places(text: bytes, mark: bytes) -> Iterator[int]:
    at = -1
    while (at := text.find(mark, at + 1)) >= 0:
        yield at


class LossTrend:
    """Follows the test losses of one run: reads what is new, and parses only the lines that hold one."""

    def __init__(self, run: RunPaths) -> None:
        self._tail = Tail(run.events)
        self._losses: list[tuple[float, float]] = []  # step, loss
        self._last: Mapping[str, Any] = {}

    @property
    def metrics(self) -> Mapping[str, float]:
        """The figures of the last evaluation on test images."""
        numbers = {str(name): as_number(value) for name, value in self._last.items()}
        return {sys.intern(name): value for name, value in numbers.items() if value is not None}

    def poll(self) -> tuple[float | None, tuple[float, ...]]:
        """Read what is new; returns the lowest loss and the trend: at most TREND_POINTS losses, evenly spaced."""
        while lines := self._tail.read():
            if self._tail.restarted:
                self._losses.clear()
            # By their places, without taking all lines apart: of 10,000 runs that takes a second instead of two.
            places = {lines.rfind(b"\n", 0, at) + 1 for mark in _MARKS for at in _places(lines, mark)}
            for at in sorted(places):
                self._take(parse_event(lines[at : lines.index(b"\n", at)]) or {})
            if not self._tail.behind:
                break
        values = [loss for _, loss in self._losses]
        if len(values) <= TREND_POINTS:
            return min(values, default=None), tuple(values)
        spread = (round(index * (len(values) - 1) / (TREND_POINTS - 1)) for index in range(TREND_POINTS))
        return min(values), tuple(values[index] for index in spread)

    def _take(self, record: Mapping[str, Any]) -> None:
        kind, step, values = record.get("kind"), record.get("step"), record.get("values")
        if not isinstance(step, (int, float)):
            return
        if kind == "start":
            # A resumed worker repeats what came after its checkpoint; the repeated part counts.
            self._losses = [point for point in self._losses if point[0] <= step]
        elif kind == "metric" and isinstance(values, dict):
            self._last = values
            if (loss := as_number(values.get("loss"))) is not None:
                self._losses.append((step, loss))
