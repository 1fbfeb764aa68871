"""Listing runs for the dashboard: one thread looks again and again, and posts what changed."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from pathlib import Path

from textual.message import Message

from tuiae.runs.listing import RunLister, RunRow

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
