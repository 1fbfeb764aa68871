"""How the test loss of a run went, for lists of many: read once, then only what is new."""

from __future__ import annotations

import math

from tuiae.runs.layout import RunPaths
from tuiae.runs.tail import Tail, parse_event

POINTS = 48  # of a trend: more than a sparkline has cells
_TELLING = (b'"split":"test"', b'"kind":"start"')


class LossTrend:
    """Follows the test losses of one run; of a long history it parses only the lines that hold them."""

    def __init__(self, run: RunPaths) -> None:
        self._tail = Tail(run.events)
        self._losses: list[tuple[float, float]] = []  # step, loss
        self.best: float | None = None
        self.points: tuple[float, ...] = ()

    def poll(self) -> bool:
        """Read what is new; whether anything of the trend changed."""
        found = False
        while lines := self._tail.poll():
            if self._tail.restarted:
                self._losses.clear()
            taken = [self._take(line) for line in lines if any(mark in line for mark in _TELLING)]
            found |= any(taken)
            if not self._tail.behind:
                break
        if found:
            values = [loss for _, loss in self._losses]
            self.best = min(values, default=None)
            self.points = thin(values)
        return found

    def _take(self, line: bytes) -> bool:
        record = parse_event(line)
        step = record.get("step") if record else None
        if record is None or not isinstance(step, (int, float)):
            return False
        if record["kind"] == "start":
            # A resumed worker repeats what came after its checkpoint; the repeated part counts.
            self._losses = [point for point in self._losses if point[0] <= step]
            return True
        values = record.get("values")
        loss = values.get("loss") if record["kind"] == "metric" and isinstance(values, dict) else None
        if not isinstance(loss, (int, float)) or not math.isfinite(loss):
            return False
        self._losses.append((step, float(loss)))
        return True


def thin(values: list[float], most: int = POINTS) -> tuple[float, ...]:
    """At most so many of the values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return tuple(values)
    return tuple(values[round(index * (len(values) - 1) / (most - 1))] for index in range(most))
