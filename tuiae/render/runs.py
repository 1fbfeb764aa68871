"""The list of runs: its columns, their order, what fits, one run as a line; and the details of one run beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from statistics import fmean
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from tuiae.images import short_name
from tuiae.render import palette
from tuiae.render.status import (
    SIGNS,
    Fact,
    draw_facts,
    failure_words,
    settings_facts,
    speed_text,
    state_text,
    time_text,
)
from tuiae.render.table import GAP, TableColumn, table_line
from tuiae.render.text import (
    MISSING,
    ago,
    clean,
    count,
    figure,
    join_lines,
    levels,
    lines_of,
    number,
    of_epochs,
    shorten,
    shorten_middle,
    wrapped,
)
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import undated

HUGE = 1e300  # beyond it, differences of floats overflow
MARK, PIN, NOTED = "◆", "★", "✎"
"""Before a run that is selected; before one that stays on top; of one that has a note."""
MARKS = 3  # cells before the first column
LEAST_TITLE = 16  # cells: `conv_256-lr-a3f9`
MOST_TITLE = 44
NARROW_TITLE = 32  # where other columns need the room more; an id with a name of 12 letters is whole
BROAD = 140  # cells from which they do not
ESSENTIAL = ("state", "epoch", "test loss", "best")
"""Columns for which a title gives up cells: 80 columns have room for them whatever runs are called."""
SHORTENED = ("preset", "tags")
"""Columns whose words may be cut to the cells that are left, at least LEAST_WORDS."""
LEAST_WORDS = 8
OPTIONAL = ("tags", "note")
"""Columns that are there where a run has any."""
NAMED = 3  # directories that are no runs, of however many


@dataclass(frozen=True, kw_only=True)
class RunColumn(TableColumn):
    """A column of the list; its width is the most that it takes until `place_columns` gives it one."""

    words: Callable[[RunRow, float], str]
    """The words of its cell for a run, at a time in seconds since the epoch."""
    order: Callable[[RunRow], Any] | None = None
    """The value that it is sorted by, else its words; those without any go last whichever way."""
    style: Callable[[RunRow], str] = lambda row: ""
    falling: bool = False
    """Whether the highest comes first when one begins to sort by it."""
    dated: bool = True
    """Whether ids begin with their date."""


@dataclass(frozen=True)
class Sort:
    """By which column; without one the newest run comes first."""

    key: str = ""
    falling: bool = False


def _age(row: RunRow, now: float) -> str:
    if row.status.live:
        return "now"
    return ago(max(0.0, now - row.status.heartbeat)) if row.status.heartbeat else MISSING


def _state_rank(row: RunRow) -> int:
    return list(SIGNS).index(row.status.state) if row.status.state in SIGNS else len(SIGNS)


@lru_cache(maxsize=8192)
def _safe(text: str) -> str:
    """External words in a cell; cleaning each of a thousand runs again at every look would show."""
    return clean(text, MOST_TITLE) or MISSING


@lru_cache(maxsize=8192)
def _title(text: str, dated: bool = True) -> str:
    words = clean(text)
    return shorten_middle(words if dated else undated(words), MOST_TITLE) or MISSING


def passed_over_words(names: Sequence[str]) -> str:
    """`2 directories here are no runs: old, tmp`; nothing where there is none."""
    if not names:
        return ""
    what = "1 directory here is no run" if len(names) == 1 else f"{count(len(names))} directories here are no runs"
    return f"{what}: {shorten(', '.join(clean(name, NARROW_TITLE) for name in names[:NAMED]), MOST_TITLE)}"


def device_word(device: str) -> str:
    """`cpu` of `cpu, 2 threads`, `cuda:0` of `cuda:0 NVIDIA H100`."""
    return device.partition(",")[0].partition(" ")[0]


_COLUMNS = (
    RunColumn(
        "run", MOST_TITLE, words=lambda row, now: _title(row.title),
        order=lambda row: _title(row.title, False).casefold(), style=lambda row: "bold" if row.name else "",
    ),
    RunColumn(
        "state", 10, rank=1, words=lambda row, now: state_text(row.status.state).plain, order=_state_rank,
        style=lambda row: str(state_text(row.status.state).style),
    ),
    RunColumn("preset", 22, rank=8, words=lambda row, now: _safe(row.preset)),
    RunColumn("dataset", 15, rank=7, words=lambda row, now: _safe(short_name(row.dataset))),
    RunColumn("model", 11, rank=10, words=lambda row, now: _safe(row.model)),
    RunColumn(
        "epoch", 13, True, 2, words=lambda row, now: of_epochs(row.status.epoch, row.status.epochs),
        order=lambda row: row.status.epoch, falling=True,
    ),
    RunColumn(
        "test loss", 9, True, 3, words=lambda row, now: number(row.status.test_loss),
        order=lambda row: row.status.test_loss,
    ),
    RunColumn("best", 9, True, 4, words=lambda row, now: number(row.best), order=lambda row: row.best),
    RunColumn(
        "accuracy", 8, True, 9, words=lambda row, now: figure("accuracy", row.status.test_accuracy),
        order=lambda row: row.status.test_accuracy, falling=True,
    ),
    RunColumn("age", 6, True, 5, words=_age, order=lambda row: -row.status.heartbeat or None),
    RunColumn("device", 8, rank=6, words=lambda row, now: _safe(device_word(row.status.device))),
    RunColumn("tags", 34, rank=11, words=lambda row, now: clean(" ".join(row.tags)), style=lambda row: "dim"),
    RunColumn("note", 4, rank=5, words=lambda row, now: NOTED if row.note else ""),
)  # fmt: skip
COLUMNS = {column.name: column for column in _COLUMNS}


def place_columns(rows: Sequence[RunRow], width: int) -> tuple[RunColumn, ...]:
    """The columns that fit into so many cells, each as wide as its widest cell, the most telling ones first."""
    shown = [one for one in COLUMNS.values() if one.name not in OPTIONAL or any(one.words(row, 0.0) for row in rows)]
    sizes = {column.name: _natural(column, rows) for column in shown}
    essential = MARKS + sum(sizes[name] + GAP for name in ESSENTIAL)
    widest = MOST_TITLE if width >= BROAD else NARROW_TITLE
    whole, short = sizes["run"], max([len("run"), *(cell_len(_title(row.title, False)) for row in rows)])
    sizes["run"] = min(whole, widest, max(width - essential, LEAST_TITLE))
    if sizes["run"] < whole:
        sizes["run"] = min(sizes["run"], short)
    free, chosen = width - MARKS + GAP, set()
    for column in sorted(shown, key=lambda column: column.rank):
        if column.name in SHORTENED and sizes[column.name] + GAP > free > LEAST_WORDS + GAP:
            sizes[column.name] = free - GAP
        if sizes[column.name] + GAP <= free:
            chosen.add(column.name)
            free -= sizes[column.name] + GAP
    title = min(sizes["run"] + free, whole)
    dated = title == whole and all(cell_len(row.title) <= MOST_TITLE for row in rows)
    sizes["run"] = title if dated else min(title, short)
    placed = (column for column in shown if column.name in chosen)
    return tuple(replace(one, width=sizes[one.name], dated=dated or one.name != "run") for one in placed)


def _natural(column: RunColumn, rows: Sequence[RunRow]) -> int:
    """Cells of the widest cell; numbers have a width of their own, so that the table stands still while they move."""
    head = cell_len(column.name)
    if column.name == "state" or (column.right and column.name != "epoch"):
        return max(head, column.width)
    return min(max([head, *(cell_len(words) for words in {column.words(row, 0.0) for row in rows})]), column.width)


def arrange(rows: Iterable[RunRow], sort: Sort) -> tuple[RunRow, ...]:
    """The runs in order: pinned ones first, then by the column, those without a value last, equal ones newest first."""
    ordered = sorted(rows, key=lambda row: row.id, reverse=True)
    column = COLUMNS.get(sort.key)
    if column is not None:
        order = column.order or (lambda row: column.words(row, 0.0).casefold())
        known = [(order(row), row) for row in ordered if order(row) not in (None, "", MISSING)]
        known.sort(key=itemgetter(0), reverse=sort.falling)
        ordered = [*(row for _, row in known), *(row for row in ordered if order(row) in (None, "", MISSING))]
    return tuple(sorted(ordered, key=lambda row: not row.pinned))


def next_sort(sort: Sort, shown: Sequence[str]) -> Sort:
    """The next column to sort by, and after the last none."""
    keys = ["", *shown]
    return sort_by(keys[(keys.index(sort.key) + 1) % len(keys)] if sort.key in keys else "")


def sort_by(key: str, before: Sort | None = None) -> Sort:
    """Sort by a column; the other way round when it was the one before."""
    if before is not None and before.key == key:
        return Sort(key, not before.falling)
    return Sort(key, COLUMNS[key].falling if key in COLUMNS else False)


def header_line(placed: Sequence[RunColumn], sort: Sort) -> Text:
    """The names of the columns, an arrow behind the one that they are sorted by: up when values rise."""
    arrow = "↓" if sort.falling else "↑"
    line = Text(" " * MARKS, end="", no_wrap=True)
    for column in placed:
        here = column.name == sort.key
        # Else between columns, so that none keeps cells for an arrow that it does not have.
        inside = here and not column.right and cell_len(column.name) + 2 <= column.width
        style = "bold not dim" if here else ""
        line.append_text(table_line([Text(f"{column.name} {arrow}" if inside else column.name, style)], [column]))
        line.append(arrow if here and not inside else " ", style).append(" " * (GAP - 1))
    return line


def run_line(row: RunRow, placed: Sequence[RunColumn], now: float, selected: bool) -> Text:
    """One run: its marks, then its cells; the name of a selected run is bold and coloured."""
    marked = f"bold {palette.SKY}"
    line = Text(end="", no_wrap=True).append(MARK if selected else " ", marked)
    line.append(PIN if row.pinned else " ", palette.YELLOW).append(" ")
    cells = []
    for column in placed:
        words = column.words(row, now) if column.dated else _title(row.title, False)
        title = column.name == "run"
        style = marked if selected and title else column.style(row)
        cells.append(Text(shorten_middle(words, column.width) if title else words, style))
    return line.append_text(table_line(cells, placed)).append(" " * GAP)


def column_at(placed: Sequence[RunColumn], x: int) -> str:
    """The column at so many cells from the left; empty between and beyond them."""
    left = MARKS
    for column in placed:
        if left <= x < left + column.width + GAP:
            return column.name
        left += column.width + GAP
    return ""


_PLAIN = ("run", "name", "state", "dataset", "model", "epoch", "test loss", "accuracy", "age", "tags")


def plain_table(rows: Sequence[RunRow], now: float) -> tuple[list[str], list[list[str]], list[str]]:
    """The runs as lines without a dashboard: the columns, with names and tags where there are any; a line of cells for
    each run; and which of the columns are numbers."""
    there = {"name": any(row.name for row in rows), "tags": any(row.tags for row in rows)}
    names = [name for name in _PLAIN if there.get(name, True)]
    lines = []
    for row in rows:
        own = {"run": clean(row.id, 60), "name": clean(row.name, 40)}
        lines.append([own[name] if name in own else COLUMNS[name].words(row, now) for name in names])
    return names, lines, [name for name, column in COLUMNS.items() if column.right]


def draw_details(row: RunRow, width: int, height: int, now: float, ascii_only: bool = False) -> Text:
    """Facts of a run, its test loss as a line of blocks, its error and its note, for so many cells."""
    if width <= 0 or height <= 0:
        return Text(end="")
    state = state_text(row.status.state)
    if not row.status.live and row.status.heartbeat:
        state.append(f" · {_age(row, now)} ago", "dim")
    name = [Text(clean(row.id, width), "dim")] if row.name else []
    lines = [Text(clean(row.title, width), "bold"), *name, state, Text()]
    if row.status.error:
        lines += [*wrapped(failure_words(row.status), width, palette.BAD, 6), Text()]
    if row.trend:
        lines += [Text("test loss", "dim"), Text(spark(row.trend, width, ascii_only), palette.TEST), Text()]
    facts = _facts(row)
    lines += lines_of(draw_facts(facts, width, len(facts)))
    if row.parent:
        lines += [Text(), Text("forked from", "dim"), *wrapped(clean(row.parent), width)]
    if row.tags:
        lines += [Text(), *wrapped(clean(" ".join(row.tags)), width, "dim", 3)]
    if row.note:
        lines += [Text(), Text("note", "dim")]
        lines += [line for part in row.note.splitlines() for line in wrapped(clean(part), width) or [Text()]]
    return join_lines(lines[:height])


def _facts(row: RunRow) -> list[Fact]:
    status = row.status
    facts = [
        ("epoch", of_epochs(status.epoch, status.epochs), ""),
        ("test loss", number(status.test_loss), ""),
        ("best", number(row.best), ""),
        ("accuracy", figure("accuracy", status.test_accuracy), ""),
        ("time", time_text(status), ""),
        ("speed", speed_text(status), ""),
        ("device", status.device or MISSING, ""),
        *_settings(row.settings),
    ]
    return [*facts, ("host", row.host, "")] if row.host else facts


def _settings(settings: Mapping[str, Any]) -> list[Fact]:
    """The settings that matter; none where the config cannot be read."""
    if not settings:
        return [("config", "damaged, or not of this version", palette.CAUTION)]
    hidden, encoder = ", ".join(map(str, settings["model.hidden"])), settings["model.encoder_run"]
    model, *others = settings_facts(settings)
    return [
        ("preset", settings["name"], ""),
        ("dataset", settings["data.dataset"], ""),
        model,
        *([("hidden", hidden, "")] if hidden and settings["model.family"] in ("dense", "vae") else []),
        *others,
        *([("encoder", encoder, "")] if encoder else []),
    ]


def spark(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """A line of blocks, one for each value or for the mean of several; logarithmic where all are above zero."""
    if not values or width <= 0:
        return ""
    size = max(1, -(-len(values) // width))
    bounded = [min(max(value, -HUGE), HUGE) for value in values]
    means = [fmean(bounded[start : start + size]) for start in range(0, len(values), size)]
    scaled = [math.log(value) for value in means] if min(means) > 0 else means
    low, high = min(scaled), max(scaled)
    return levels([(value - low) / ((high - low) or 1.0) for value in scaled], ascii_only)
