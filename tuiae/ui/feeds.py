"""What the dashboard reads while it is open: one thread a feed, which looks again and again and posts what is new.

A `Feed` is the thread. A generator says what it reads, and how often: there is one for the open run, the list of runs,
compared runs, and the parent of a fork. Messages hold immutable values; no thread touches a widget.
"""

from __future__ import annotations

import operator
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from textual.message import Message

from tuiae.runs.diagnosis import Finding, diagnose
from tuiae.runs.listing import RunLister, RunRow, to_compare
from tuiae.runs.reader import RunReader, read_sample, read_step_sample
from tuiae.runs.snapshot import Sample, Snapshot

if TYPE_CHECKING:
    from tuiae.studies.compare import Comparison
    from tuiae.studies.seeds import SeedBand

Looks: TypeAlias = Generator[tuple[Message | None, float | None], bool | None, None]
"""Yields after each look what to post, or None, and the seconds until the next one; None waits for `hurry`. It is sent
whether the next look was asked for, and returns when there is nothing more to read."""


@dataclass
class FeedFailed(Message):
    """A feed has ended with an unexpected error."""

    error: Exception


class Feed:
    """Posts what `looks` finds, in a thread that begins with the first `hurry` or `resume`, until it is closed."""

    def __init__(self, looks: Looks, post: Callable[[Message], object], name: str) -> None:
        self._looks, self._post, self._name = looks, post, name
        self._asked = threading.Event()
        self._watched = threading.Event()
        self._watched.set()
        self._closed = False
        self._thread: threading.Thread | None = None

    def hurry(self) -> None:
        """Look at once, unless the feed is paused: something was asked of a worker, or changed here."""
        self._asked.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name=self._name, daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Look no more until `resume`: nobody sees what is made of it."""
        self._watched.clear()

    def resume(self) -> None:
        """Look at once, and go on."""
        self.hurry()
        self._watched.set()

    def close(self) -> None:
        """Look no more; a look that has begun posts nothing."""
        self._closed = True
        self._asked.set()
        self._watched.set()

    def _follow(self) -> None:
        try:
            self._go_on_looking()
        except Exception as error:  # noqa: BLE001 - whoever is told decides
            self._post(FeedFailed(error))

    def _go_on_looking(self) -> None:
        asked = None
        with suppress(StopIteration):
            while not self._closed:
                self._asked.clear()
                message, rest = self._looks.send(asked)
                if message is not None and not self._closed:
                    self._post(message)
                asked = self._asked.wait(rest)
                self._watched.wait()


class FeedMessage(Message):
    """What a feed posts: in a burst only the newest of a kind is delivered."""

    def can_replace(self, message: Message) -> bool:
        return type(message) is type(self)


# The open run

EAGER_SECONDS = 0.1  # between looks while a run has just been opened: the first point should show at once
EAGER_FOR = 3.0
CALM_SECONDS = 1.0  # between looks afterwards
PIECE_SECONDS, LONGEST_PIECE = 0.25, 2.0  # of a long history, each twice the one before, between two drawings of it
BESIDE_SHARE, BESIDE_SECONDS = 0.0125, (2.0, 5.0)
"""Where a training works on the cores that draw it: the share of one core that looks may take, and the least and most
seconds between two. A look takes 22 ms of CPU at 80x24, 38 at 120x40, 75 at 200x60; all threads of a training wait for
it."""
PICTURE_SECONDS = 2.0  # between pictures, which cost the most to draw


def seconds_beside(used: float) -> float:
    """Seconds to leave a training alone on these cores, after `used` seconds of CPU since the last look."""
    least, most = BESIDE_SECONDS
    return min(max(used / BESIDE_SHARE, least), most)


@dataclass
class RunChanged(FeedMessage):
    """The open run is not what it was; `findings` are what its curves say, the most serious first."""

    snapshot: Snapshot
    sample: Sample | None
    findings: tuple[Finding, ...]


def follow_run(path: Path) -> Looks:
    """The run at `path`: closely at first and after a look was asked for, then calmly, less often beside a training."""
    reader = RunReader(path)
    last: Snapshot | None = None
    sample: Sample | None = None
    stepped: Sample | None = None  # newer pictures, of which nothing was measured
    sample_time = 0.0
    used, eager_until, piece = time.process_time(), time.monotonic() + EAGER_FOR, PIECE_SECONDS
    while True:
        snapshot, now = reader.poll(piece), time.monotonic()
        piece = min(2 * piece, LONGEST_PIECE) if reader.behind else PIECE_SECONDS
        status, fresh = snapshot.status, None
        newest, step = snapshot.samples[-1] if snapshot.samples else None, snapshot.stepped
        is_due = status.state != "running" or now - sample_time >= PICTURE_SECONDS
        if newest is not None and is_due and (sample is None or sample.epoch != newest):
            fresh, sample_time = read_sample(reader.run, newest), now
            sample = fresh or sample
        if step is None:
            stepped = None
        elif is_due and (stepped is None or stepped.step != step):
            fresh, sample_time = read_step_sample(reader.run, step, newest or 0), now
            stepped = fresh or stepped
        message = None
        if snapshot is not last or fresh is not None:
            last = snapshot
            message = RunChanged(snapshot, stepped or sample, diagnose(snapshot, sample))
        before, used = used, time.process_time()
        if reader.behind:
            rest = 0.0  # a long history comes in pieces
        elif now < eager_until:
            rest = EAGER_SECONDS
        elif status.state == "running" and status.device.startswith("cpu"):
            rest = seconds_beside(used - before)
        else:
            rest = CALM_SECONDS
        if (yield message, rest):
            eager_until = time.monotonic() + EAGER_FOR


# The list of runs

LIST_SECONDS = 2.0  # between looks
LISTED_SECONDS = 1.0  # that a look takes for histories, before it shows those that it has read
FIRST_PAINT_SECONDS = 0.15
FIRST_RUNS = 60  # that a tall screen shows: they need not wait for the other thousand


@dataclass
class RunsListed(FeedMessage):
    """The runs as they are now, newest first; `complete` once every one of them was read.

    `passed_over` are the names of what lies among the runs and is no run; `running` are the tags of studies whose
    process lives, with what it said last.
    """

    rows: tuple[RunRow, ...]
    complete: bool
    passed_over: tuple[str, ...] = ()
    running: Mapping[str, str] = field(default_factory=dict)


def follow_list(root: Path, *, histories: bool = True) -> Looks:
    """All runs below `root`: the first ones, then every one, then with `histories` what needs their events as well."""
    from tuiae.reproduce.state import running_studies  # the first paint need not wait for it

    lister = RunLister(root)
    last = lister.rows(most=FIRST_RUNS)
    # Reading the others keeps the interpreter busy: what is there already is painted before.
    yield RunsListed(last, complete=False), FIRST_PAINT_SECONDS
    told, deep, running = False, False, dict[str, str]()
    asked: bool | None = True
    while True:
        rows = lister.rows(histories=histories and deep, whole=asked is not False, within=LISTED_SECONDS)
        before, running = running, running_studies(root)
        # Unchanged runs are the same objects: nothing needs to be compared by what it holds.
        same = told and bool(rows) and len(rows) == len(last) and all(map(operator.is_, rows, last))
        message = None if same and running == before else RunsListed(rows, True, lister.passed_over, running)
        last, told = rows, True
        asked = yield message, 0.0 if lister.behind or not deep else LIST_SECONDS
        deep = True


# Compared runs


@dataclass
class CompareChanged(FeedMessage):
    """Some run of a comparison is not what it was."""

    paths: tuple[Path, ...]
    comparison: Comparison


STUDY_SECONDS = 5.0  # between looks whether a study that is compared has more runs


def follow_comparison(paths: tuple[Path, ...], study: str = "") -> Looks:
    """These runs; those of a `study` together with what comes of it."""
    from tuiae.studies.compare import CompareReader  # the dashboard opens without comparisons

    last: Comparison | None = None
    reader, runs, looked = CompareReader(paths), paths, time.monotonic()
    lister = RunLister(paths[0].parent)
    while True:
        if study and time.monotonic() - looked >= STUDY_SECONDS:
            every, looked = [row for row in lister.rows(whole=False) if row.study == study], time.monotonic()
            if len(every) > len(runs):
                runs = tuple(row.path for row in to_compare(every))
                reader = CompareReader(runs)
        comparison = reader.poll()
        moved, last = comparison is not last, comparison
        # A long history comes in pieces, and the next one is waiting already.
        rest = EAGER_SECONDS if moved and not comparison.live else CALM_SECONDS
        yield CompareChanged(paths, comparison) if moved else None, rest


# The other seeds of the open run

SEEDS_AFTER, SEEDS_SECONDS = 2.0, 20.0
"""Until the first look, which reads the configs of all runs: what is waited for comes first. And between two."""


@dataclass
class SeedsRead(FeedMessage):
    """There are other seeds of the run at `path`, or more of them than there were."""

    path: Path
    band: SeedBand


def follow_seeds(path: Path) -> Looks:
    """The finished runs that differ from one in nothing but the seed."""
    yield None, SEEDS_AFTER
    from tuiae.studies.seeds import SeedReader  # the dashboard opens without comparisons

    reader, last = SeedReader(path), None
    while True:
        band = reader.poll()
        told, last = band is not last, band
        yield SeedsRead(path, band) if told and band is not None else None, SEEDS_SECONDS


# The run that the open one was forked from

PARENT_SECONDS = 2.0  # between looks: its curve is there to compare with, and may be a little behind


@dataclass
class ParentRead(FeedMessage):
    """The parent of the run at `child` is not what it was."""

    child: Path
    parent: Snapshot


def follow_parent(child: Path, parent: Path) -> Looks:
    """The whole history of a run's parent, and what is new of it until it ends."""
    reader = RunReader(parent)
    last: Snapshot | None = None
    while last is None or last.status.live:
        before, last = last, reader.read_all()
        yield ParentRead(child, last) if last is not before else None, PARENT_SECONDS
