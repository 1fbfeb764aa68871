"""Following several runs from the dashboard: a thread makes immutable values and posts them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual.message import Message

from tuiae.studies.compare import Comparison
from tuiae.studies.compare_reader import CompareReader
from tuiae.ui.feed import CALM_SECONDS, EAGER_SECONDS


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
