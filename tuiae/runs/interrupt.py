"""Ctrl-C while one waits for runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupt:
    """Ctrl-C and SIGTERM while following, counted; the loop decides what they mean."""

    def __init__(self) -> None:
        self.count = 0

    def _note(self, number: int, frame: object) -> None:
        self.count += 1

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count signals instead of dying of them, for as long as the block lasts."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self._note) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
