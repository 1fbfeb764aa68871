"""One line of a log, made safe and lightly coloured."""

from __future__ import annotations

import re

from rich.text import Text

from tuiae.ui.render import palette
from tuiae.ui.render.text import clean

LIMIT = 2000
"""Cells kept of one line; a progress bar without line ends can be megabytes."""

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
    "{epoch} {train} {test}",
)
"""The same in fewer cells, each form with both losses."""


def fit_line(line: Text, width: int) -> Text:
    """A line of the log in so many cells, where it is one that can be said shorter."""
    found = _EPOCH.fullmatch(line.plain) if line.cell_len > width else None
    if found is None:
        return line
    forms = [form.format_map(found.groupdict()) for form in _SHORTER]
    return Text(next((form for form in forms if len(form) <= width), forms[-1]), no_wrap=True, end="")


def log_line(line: str) -> Text:
    """The line without control characters: its time dim, its first word of warning or error in colour.

    Indentation stays; of a progress bar that rewrites its line, the last state.
    """
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
