"""The log of a run: what happened to it and what its worker printed, in order, made safe and lightly coloured."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence
from itertools import accumulate

from rich.text import Text

from tuiae.render import palette
from tuiae.render.status import note_line
from tuiae.render.text import clean
from tuiae.runs.snapshot import Note

LIMIT = 2000
"""Cells kept of one line; a progress bar without line ends can be megabytes."""

_DATED = re.compile(r"(?<![\w/-])\d{8}-\d{6}-(?=\w)")
"""How the id of a run begins, but in a path."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\S+|\[?\d\d:\d\d:\d\d\S*")
_LEVELS = (
    (re.compile(r"\b(error|failed|fatal|traceback)\b|\w+Error\b", re.IGNORECASE), palette.BAD),
    (re.compile(r"\b(warn|warning)\b|\w+Warning\b", re.IGNORECASE), palette.CAUTION),
)


_EPOCH = re.compile(
    r"epoch (?P<epoch>[\d,/]+) · train (?P<train>\S+), (?P<right>\S+%) · test (?P<test>\S+), (?P<hit>\S+%) · \S+ s"
)
"""What a worker prints after each epoch."""
_SHORTER = (
    "epoch {epoch} · train {train}, {right} · test {test}, {hit}",
    "{epoch} · train {train} {right} · test {test} {hit}",
    "{epoch} · train {train} · test {test}",
    "{epoch} train {train} test {test}",
    "{epoch} {train} {test}",
)
"""The same in fewer cells, each form with both losses."""
SHORTEST = "epoch, train, test"
"""What the numbers of the shortest form are."""


def fit_line(line: Text, width: int) -> Text:
    """A line of the log in `width` cells, where it can be said in fewer words."""
    forms = _forms(line) if line.cell_len > width else ()
    if not forms:
        return line
    return Text(next((form for form in forms if len(form) <= width), forms[-1]), no_wrap=True, end="")


def is_shortest(line: Text, width: int) -> bool:
    """Returns whether only the form without words has room for a line."""
    forms = _forms(line) if line.cell_len > width else ()
    return bool(forms) and all(len(form) > width for form in forms[:-1])


def _forms(line: Text) -> Sequence[str]:
    """A line about an epoch in fewer and fewer words; nothing for any other."""
    found = _EPOCH.fullmatch(line.plain)
    return [form.format_map(found.groupdict()) for form in _SHORTER] if found is not None else ()


def log_line(line: str) -> Text:
    """The line without control characters: its time dim, its first word of warning or error in colour.

    Indentation stays; of a progress bar that rewrites its line, the last state; of the id of a run what tells it apart.
    """
    line = _DATED.sub("", line)
    line = line.rstrip("\r\n").rpartition("\r")[2][: 4 * LIMIT].expandtabs(4)
    indent = " " * (len(line) - len(line.lstrip(" ")))
    text = Text(indent + clean(line, LIMIT), no_wrap=True, end="")
    if time := _TIME.match(text.plain):
        text.stylize("dim", 0, time.end())
    for pattern, color in _LEVELS:
        if found := pattern.search(text.plain):
            text.stylize(f"bold {color}", found.start(), found.end())
            break
    return text


_EPOCH_NUMBER = re.compile(r"epoch ([\d,]+)/")


def log_lines(notes: Sequence[Note], printed: Sequence[str]) -> list[str]:
    """Both as they were seen at one look, in the order in which they came.

    A worker prints without the time; the lines of its epochs tell what was before and after. Where they begin again at
    an earlier epoch, another worker has gone on from a checkpoint. How a run ended comes after all that it printed.
    """
    lines: list[str] = []
    waiting, epochs, last = deque(notes), [_epoch(line) for line in printed], 0.0
    # A line without an epoch of its own belongs to that of the line that has the next.
    *bounds, _ = reversed([*accumulate(epochs[::-1], lambda later, own: own or later, initial=0.0)])
    for line, own, bound in zip(printed, epochs, bounds, strict=True):
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
    found = _EPOCH_NUMBER.match(line)
    return float(found[1].replace(",", "")) if found else 0.0


def _was_before(waiting: Sequence[Note], bound: float) -> bool:
    """Returns whether the first of what happened was before the end of an epoch; 0 is one that is not printed yet."""
    first = waiting[0]
    if first.kind == "end" and len(waiting) == 1:
        return False
    return first.epoch is None or first.epoch < (bound or math.inf)
