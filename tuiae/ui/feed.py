"""Following a run from the dashboard: a thread makes immutable values and posts them; it never touches a widget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from textual.message import Message

from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.snapshot import Sample, Snapshot

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

    def __init__(self, snapshot: Snapshot, sample: Sample | None) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.sample = sample

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
                self._post(RunChanged(snapshot, self._sample))
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
