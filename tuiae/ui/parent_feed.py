"""Following the run that the open one was forked from, as long as it trains."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from textual.message import Message

from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Snapshot

LOOK_SECONDS = 2.0  # its curve is there to compare with: it may be a little behind


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
            self._closed.wait(LOOK_SECONDS)
