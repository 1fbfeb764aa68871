"""Looking for garbage while nobody waits for an answer."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

from textual._time import get_time
from textual.app import App
from textual.timer import Timer

LOOK_SECONDS = 1.0  # between looks whether there is something to do and nobody at the keys
AFTER_SECONDS = 0.15  # after a key: its answer is drawn, and the next one is seldom there yet
YOUNGER = 10  # collections of what is younger until everything is looked through, as Python has it
NEVER = 1_000_000


class IdleCollector:
    """Everything is looked through between two keys, and not when Python would: once in fifteen keys that took 40 ms
    on the way to the answer (50,000 objects younger than the first paint, beside a training on two cores)."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._timer: Timer | None = None
        self._pressed = 0.0

    def begin(self) -> None:
        """Set aside what there is now, which stays, and look for garbage in what comes from here on."""
        gc.freeze()
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, NEVER)
        gc.enable()
        self._timer = self._app.set_interval(LOOK_SECONDS, partial(self._collect, LOOK_SECONDS))

    def pressed(self) -> None:
        """A key or a button of the mouse was pressed."""
        self._pressed = get_time()
        if self._timer is not None and self.is_due:
            self._app.set_timer(AFTER_SECONDS, partial(self._collect, AFTER_SECONDS))

    @property
    def is_due(self) -> bool:
        return gc.get_count()[2] >= YOUNGER

    def _collect(self, rest: float) -> None:
        """Unless a key was pressed within so many seconds."""
        if self.is_due and get_time() - self._pressed >= rest:
            gc.collect()
