"""Following a run from the dashboard: a thread makes immutable values and posts them; it never touches a widget."""

from __future__ import annotations

import operator
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from tuiae.runs.diagnosis import Finding, diagnose
from tuiae.runs.listing import RunLister, RunRow
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.snapshot import Sample, Snapshot

if TYPE_CHECKING:
    from tuiae.studies.compare import CompareReader, Comparison

EAGER_SECONDS = 0.1  # between polls while a run has just been opened: the first point should show at once
EAGER_FOR = 3.0
CALM_SECONDS = 1.0  # between polls afterwards
BESIDE_SHARE, BESIDE_SECONDS = 0.0125, (2.0, 5.0)
"""The same where a training works on the cores that draw it: the share of one that looks may take, between how many
seconds. A look takes 22 ms of CPU at 80x24, 38 at 120x40 and 75 at 200x60; all threads of a training wait for it."""
PICTURE_SECONDS = 2.0  # between pictures, which cost the most to draw


def seconds_beside(used: float) -> float:
    """How long not to look at a training on these cores after so many seconds of CPU since the last look."""
    least, most = BESIDE_SECONDS
    return min(max(used / BESIDE_SHARE, least), most)


class RunChanged(Message):
    """A run is not what it was at the last message."""

    def __init__(self, snapshot: Snapshot, sample: Sample | None, findings: tuple[Finding, ...]) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.sample = sample
        self.findings = findings

    def can_replace(self, message: Message) -> bool:
        """In a burst only the newest counts."""
        return isinstance(message, RunChanged)


class RunFeed:
    """Polls one run until closed."""

    def __init__(self, path: Path, post: Callable[[Message], object]) -> None:
        self.path = path
        self._reader = RunReader(path)
        self._post = post
        self._closed = threading.Event()
        self._wake = threading.Event()
        self._eager_until = time.monotonic() + EAGER_FOR
        self._sample: Sample | None = None
        self._sample_read = 0.0
        self._used = time.process_time()
        self._thread = threading.Thread(target=self._follow, name="feed", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Look closely for a while: something was just asked of the worker."""
        self._eager_until = time.monotonic() + EAGER_FOR
        self._wake.set()

    def close(self) -> None:
        """Stop polling."""
        self._closed.set()
        self._wake.set()

    def _follow(self) -> None:
        last: Snapshot | None = None
        while not self._closed.is_set():
            snapshot = self._reader.poll()
            fresh = self._refresh_sample(snapshot)
            if (snapshot is not last or fresh) and not self._closed.is_set():
                self._post(RunChanged(snapshot, self._sample, diagnose(snapshot, self._sample)))
                last = snapshot
            if self._reader.behind:
                continue  # a long history, in pieces
            self._wake.wait(self._rest(snapshot))
            self._wake.clear()

    def _rest(self, snapshot: Snapshot) -> float:
        """Seconds until the next poll."""
        before, self._used = self._used, time.process_time()
        if time.monotonic() < self._eager_until:
            return EAGER_SECONDS
        status = snapshot.status
        beside = status.state == "running" and status.device.startswith("cpu")
        return seconds_beside(self._used - before) if beside else CALM_SECONDS

    def _refresh_sample(self, snapshot: Snapshot) -> bool:
        """Read the newest sample when it is time for it; whether there is a new one."""
        newest = snapshot.samples[-1] if snapshot.samples else None
        if newest is None or (self._sample is not None and self._sample.epoch == newest):
            return False
        now = time.monotonic()
        if snapshot.status.live and now - self._sample_read < PICTURE_SECONDS:
            return False
        sample = read_sample(self._reader.run, newest)
        self._sample_read = now
        if sample is None:
            return False
        self._sample = sample
        return True


# Listing runs for the dashboard: one thread looks again and again, and posts what changed.

LOOK_SECONDS = 2.0
FIRST_PAINT_SECONDS = 0.15
FIRST = 60  # runs that a tall screen shows: they need not wait for the other thousand


class RunsListed(Message):
    """The runs as they are now, newest first; `complete` once every one of them was read."""

    def __init__(self, rows: tuple[RunRow, ...], complete: bool) -> None:
        super().__init__()
        self.rows = rows
        self.complete = complete

    def can_replace(self, message: Message) -> bool:
        """In a burst only the newest counts."""
        return isinstance(message, RunsListed)


Make = Callable[[tuple[RunRow, ...], bool], Message | None]
"""What to post of the runs at one look, and whether all were read; None when nothing changed. Called in the thread."""


def listed() -> Make:
    """A maker of RunsListed, one whenever some run is not what it was."""
    last: tuple[RunRow, ...] | None = None
    whole = False

    def make(rows: tuple[RunRow, ...], complete: bool) -> Message | None:
        nonlocal last, whole
        # Unchanged runs are the same objects: nothing needs to be compared by what it holds.
        same = last is not None and len(rows) == len(last) and all(map(operator.is_, rows, last))
        known = same and complete and whole
        last, whole = rows, complete
        return None if known and rows else RunsListed(rows, complete)

    return make


class ListFeed:
    """Looks at the runs while somebody looks at what is made of them."""

    def __init__(self, root: Path, post: Callable[[Message], object], make: Make, *, histories: bool = True) -> None:
        self._lister = RunLister(root)
        self._post, self._make, self._histories = post, make, histories
        self._wake = threading.Event()
        self._watched = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Names of what lies among the runs and is none."""
        return self._lister.passed_over

    def resume(self) -> None:
        """Look now, and from now on."""
        self._watched.set()
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="runs", daemon=True)
            self._thread.start()

    def hurry(self) -> None:
        """Look again at once: something was just changed."""
        self._wake.set()

    def pause(self) -> None:
        """Leave the directory alone until it is looked at again."""
        self._watched.clear()

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._watched.set()
        self._wake.set()

    def _follow(self) -> None:
        self._tell(self._lister.rows(most=FIRST), complete=False)
        # Reading the others keeps the interpreter busy: what is there already is painted before.
        self._wake.clear()
        self._wake.wait(FIRST_PAINT_SECONDS)
        self._tell(self._lister.rows())
        while not self._closed:
            self._wake.clear()
            self._tell(self._lister.rows(histories=self._histories))
            self._wake.wait(LOOK_SECONDS)
            self._watched.wait()

    def _tell(self, rows: tuple[RunRow, ...], complete: bool = True) -> None:
        message = self._make(rows, complete)
        if message is not None and not self._closed:
            self._post(message)


# Following several runs from the dashboard: a thread makes immutable values and posts them.


class CompareChanged(Message):
    """Some run of a comparison is not what it was."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self.comparison = comparison

    def can_replace(self, message: Message) -> bool:
        """In a burst only the newest counts."""
        return isinstance(message, CompareChanged)


class CompareFeed:
    """Polls a reader until closed.

    Only one feed at a time may use it: `before`, which used it and is closed, may still be within a look.
    """

    def __init__(
        self, reader: CompareReader, post: Callable[[Message], object], before: CompareFeed | None = None
    ) -> None:
        self._reader = reader
        self._before = before._thread if before is not None else None
        self._post = post
        self._closed = threading.Event()
        self._thread: threading.Thread = threading.Thread(target=self._follow, name="compare", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop polling."""
        self._closed.set()

    def _follow(self) -> None:
        if self._before is not None:
            self._before.join()
            self._before = None
        last: Comparison | None = None
        while not self._closed.is_set():
            comparison = self._reader.poll()
            moved = comparison is not last
            if moved and not self._closed.is_set():
                self._post(CompareChanged(comparison))
                last = comparison
            # A long history comes in pieces, and the next one is waiting already.
            self._closed.wait(EAGER_SECONDS if moved and not comparison.live else CALM_SECONDS)


# Following the run that the open one was forked from, as long as it trains.

PARENT_LOOK_SECONDS = 2.0  # its curve is there to compare with: it may be a little behind


class ParentRead(Message):
    """The parent of a run is not what it was at the last message."""

    def __init__(self, child: Path, parent: Snapshot) -> None:
        super().__init__()
        self.child = child
        self.parent = parent

    def can_replace(self, message: Message) -> bool:
        """In a burst only the newest counts."""
        return isinstance(message, ParentRead)


class ParentFeed:
    """Reads the history of a run's parent, and what is new of it until it ends or the feed is closed."""

    def __init__(self, child: Path, parent: Path, post: Callable[[Message], object]) -> None:
        self._child = child
        self._reader = RunReader(parent)
        self._post = post
        self._closed = threading.Event()
        threading.Thread(target=self._follow, name="parent", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _follow(self) -> None:
        last: Snapshot | None = None
        while not self._closed.is_set():
            snapshot = self._reader.read_all()
            if snapshot is not last and not self._closed.is_set():
                self._post(ParentRead(self._child, snapshot))
            last = snapshot
            if not snapshot.status.live:
                return
            self._closed.wait(PARENT_LOOK_SECONDS)


# Reading stored samples of a run off the screen's thread: the latest wish wins.

KEPT = 16  # samples: one goes to and fro


class SampleRead(Message):
    """A sample that was asked for; None when its file is missing or torn."""

    def __init__(self, path: Path, epoch: int, sample: Sample | None) -> None:
        super().__init__()
        self.path = path
        self.epoch = epoch
        self.sample = sample

    def can_replace(self, message: Message) -> bool:
        """In a burst only the last counts."""
        return isinstance(message, SampleRead)


class SampleFeed:
    """Reads samples of one run until closed; its thread starts with the first wish."""

    def __init__(self, path: Path, post: Callable[[Message], object]) -> None:
        self.path = path
        self._post = post
        self._wanted: int | None = None
        self._closed = False
        self._change = threading.Condition()
        self._kept: OrderedDict[int, Sample] = OrderedDict()
        self._thread: threading.Thread | None = None

    def want(self, epoch: int | None) -> None:
        """Ask for the sample of an epoch; a wish that was not begun is dropped, and with None nothing is wanted."""
        with self._change:
            self._wanted = epoch
            if self._thread is None and epoch is not None:
                self._thread = threading.Thread(target=self._serve, name="samples", daemon=True)
                self._thread.start()
            self._change.notify()

    def close(self) -> None:
        """Read no more."""
        with self._change:
            self._closed = True
            self._change.notify()

    def _serve(self) -> None:
        while True:
            with self._change:
                while self._wanted is None and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                epoch, self._wanted = self._wanted, None
            if epoch is not None:
                self._post(SampleRead(self.path, epoch, self._read(epoch)))

    def _read(self, epoch: int) -> Sample | None:
        sample = self._kept.get(epoch) or read_sample(RunPaths(self.path), epoch)
        if sample is not None:
            self._kept[epoch] = sample
            self._kept.move_to_end(epoch)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return sample
