"""What happened to a run and what its worker printed, as one log."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence

from tuiae.runs.snapshot import Note
from tuiae.ui.render.status import note_line

_EPOCH = re.compile(r"epoch ([\d,]+)/")


def log_lines(notes: Sequence[Note], printed: Sequence[str]) -> list[str]:
    """Both as they were seen at one look, in the order in which they came.

    A worker prints without the time; the lines of its epochs tell what was before and after. Where they begin again at
    an earlier epoch, another worker has gone on from a checkpoint. How a run ended comes after all that it printed.
    """
    lines: list[str] = []
    waiting, epochs, last = deque(notes), [_epoch(line) for line in printed], 0.0
    for line, own, bound in zip(printed, epochs, _bounds(epochs), strict=True):
        began_again = bool(own) and own <= last
        last = own or last
        while waiting and (began_again or _was_before(waiting, bound)):
            note = waiting.popleft()
            began_again = began_again and note.kind != "start"
            lines.append(note_line(note))
        lines.append(line)
    return [*lines, *map(note_line, waiting)]


def _epoch(line: str) -> float:
    """Which epoch a line is of; 0 for others."""
    found = _EPOCH.match(line)
    return float(found[1].replace(",", "")) if found else 0.0


def _bounds(epochs: Sequence[float]) -> list[float]:
    """The epoch that each line belongs to: without one of its own, that of the line that has the next."""
    bounds, later = [], 0.0
    for own in reversed(epochs):
        later = own or later
        bounds.append(later)
    return bounds[::-1]


def _was_before(waiting: Sequence[Note], bound: float) -> bool:
    """Whether the first of what happened was before the end of an epoch; 0 is one that is not printed yet."""
    first = waiting[0]
    if first.kind == "end" and len(waiting) == 1:
        return False
    return first.epoch is None or first.epoch < (bound or math.inf)
