"""The list of runs: its columns, their order, what fits, one run as a line; and the details of one run beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from textwrap import wrap
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette
from tuiae.render.status import SIGNS, Fact, draw_facts, settings_facts, state_text
from tuiae.render.text import (
    MISSING,
    ago,
    clean,
    count,
    duration,
    figure,
    join_lines,
    number,
    of_epochs,
    shorten,
    shorten_middle,
)
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import undated

MARK, PIN, NOTED = "◆", "★", "✎"
"""Before a run that is selected; before one that stays on top; of one that has a note."""
GAP = 2  # cells between columns
MARKS = 3  # cells before the first one
LEAST_TITLE = 16  # cells: `conv_256-lr-a3f9`
MOST_TITLE = 44
NARROW_TITLE = 32  # where other columns need the room more; an id with a name of 12 letters is whole
NAMED = 3  # foreign directories, of however many
BROAD = 140  # cells from which they do not
ESSENTIAL = ("state", "epoch", "test loss", "best")
"""Columns for which a title gives up cells: 80 columns have room for them whatever runs are called."""
SHORTENED = ("preset", "tags")
"""Columns whose words may be cut to what room is left."""
LEAST_WORDS = 8  # cells of them
UP, DOWN = "↑", "↓"


@dataclass(frozen=True)
class Column:
    """What one column shows, and how it is sorted by: None goes last whichever way."""

    key: str
    words: Callable[[RunRow, float], str]
    order: Callable[[RunRow], Any]
    most: int
    """Cells at most."""
    rank: int
    """The lower, the longer it stays when room is short."""
    style: Callable[[RunRow], str] = lambda row: ""
    right: bool = False
    falling: bool = False
    """Whether the highest comes first when one begins to sort by it."""


@dataclass(frozen=True)
class Sort:
    """By which column; without one the newest run comes first."""

    key: str = ""
    falling: bool = False


@dataclass(frozen=True)
class ColumnPlace:
    """A column where it stands: its width in cells."""

    column: Column
    width: int
    dated: bool = True
    """Whether ids begin with their date."""


def _age(row: RunRow, now: float) -> str:
    status = row.status
    if status.live:
        return "now"
    return ago(max(0.0, now - status.heartbeat)) if status.heartbeat else MISSING


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
    Column(
        "run", lambda row, now: _title(row.title), lambda row: _title(row.title, False).casefold(), MOST_TITLE, 0,
        style=lambda row: "bold" if row.name else "",
    ),
    Column(
        "state", lambda row, now: state_text(row.status.state).plain, _state_rank, 10, 1,
        style=lambda row: str(state_text(row.status.state).style),
    ),
    Column("preset", lambda row, now: _safe(row.preset), lambda row: row.preset.casefold() or None, 22, 8),
    Column("dataset", lambda row, now: _safe(row.dataset), lambda row: row.dataset.casefold() or None, 15, 7),
    Column("model", lambda row, now: _safe(row.model), lambda row: row.model or None, 11, 10),
    Column(
        "epoch", lambda row, now: of_epochs(row.status.epoch, row.status.epochs), lambda row: row.status.epoch, 13, 2,
        right=True, falling=True,
    ),
    Column(
        "test loss", lambda row, now: number(row.status.test_loss), lambda row: row.status.test_loss, 9, 3,
        right=True,
    ),
    Column("best", lambda row, now: number(row.best), lambda row: row.best, 9, 4, right=True),
    Column(
        "accuracy", lambda row, now: figure("accuracy", row.status.test_accuracy), lambda row: row.status.test_accuracy,
        8, 9, right=True, falling=True,
    ),
    Column("age", _age, lambda row: -row.status.heartbeat or None, 6, 5, right=True),
    Column(
        "device", lambda row, now: _safe(device_word(row.status.device)),
        lambda row: device_word(row.status.device) or None, 8, 6,
    ),
    Column(
        "tags", lambda row, now: clean(" ".join(row.tags)), lambda row: " ".join(row.tags).casefold() or None, 34, 11,
        style=lambda row: "dim",
    ),
    Column("note", lambda row, now: NOTED if row.note else "", lambda row: not row.note, 4, 5),
)  # fmt: skip
COLUMNS = {column.key: column for column in _COLUMNS}


def place_columns(rows: Sequence[RunRow], width: int) -> tuple[ColumnPlace, ...]:
    """The columns that fit into so many cells, each as wide as its widest cell, the most telling ones first."""
    shown = [column for column in _COLUMNS if _worth_showing(column, rows)]
    natural = {column.key: _natural(column, rows) for column in shown}
    essential = MARKS + sum(natural[key] + GAP for key in ESSENTIAL)
    widest = MOST_TITLE if width >= BROAD else NARROW_TITLE
    whole, short = natural["run"], max([len("run"), *(cell_len(_title(row.title, False)) for row in rows)])
    natural["run"] = min(whole, widest, max(width - essential, LEAST_TITLE))
    if natural["run"] < whole:
        natural["run"] = min(natural["run"], short)
    room, chosen = width - MARKS + GAP, []
    for column in sorted(shown, key=lambda column: column.rank):
        if column.key in SHORTENED and natural[column.key] + GAP > room > LEAST_WORDS + GAP:
            natural[column.key] = room - GAP
        if natural[column.key] + GAP <= room:
            chosen.append(column.key)
            room -= natural[column.key] + GAP
    title = min(natural["run"] + room, whole)
    dated = title == whole and all(cell_len(row.title) <= MOST_TITLE for row in rows)
    natural["run"] = title if dated else min(title, short)
    placed = [column for column in shown if column.key in chosen]
    return tuple(ColumnPlace(column, natural[column.key], dated or column.key != "run") for column in placed)


def _worth_showing(column: Column, rows: Sequence[RunRow]) -> bool:
    """Tags and notes have a column where there are any."""
    if column.key == "tags":
        return any(row.tags for row in rows)
    return column.key != "note" or any(row.note for row in rows)


def _natural(column: Column, rows: Sequence[RunRow]) -> int:
    """Cells of the widest cell; numbers have a width of their own, so that the table stands still while they move."""
    head = cell_len(column.key)
    if column.key == "state" or (column.right and column.key != "epoch"):
        return max(head, column.most)
    return min(max([head, *(cell_len(words) for words in {column.words(row, 0.0) for row in rows})]), column.most)


def arrange(rows: Iterable[RunRow], sort: Sort) -> tuple[RunRow, ...]:
    """In order: pinned runs first, then by the column, what has no value last, equal ones newest first."""
    ordered = sorted(rows, key=lambda row: row.id, reverse=True)
    column = COLUMNS.get(sort.key)
    if column is not None:
        known = [row for row in ordered if column.order(row) is not None]
        # Stable and reversed at once would turn equal ones round.
        known.sort(key=column.order)
        if sort.falling:
            known = [row for _, group in _groups(known, column.order) for row in group]
        ordered = [*known, *(row for row in ordered if column.order(row) is None)]
    return (*(row for row in ordered if row.pinned), *(row for row in ordered if not row.pinned))


def _groups(rows: list[RunRow], order: Callable[[RunRow], Any]) -> Iterator[tuple[Any, list[RunRow]]]:
    """Runs of equal value, the last group first."""
    return reversed([(value, list(group)) for value, group in groupby(rows, order)])


def next_sort(sort: Sort, shown: Sequence[str]) -> Sort:
    """The next column to sort by, and after the last none."""
    keys = ["", *shown]
    return sort_by(keys[(keys.index(sort.key) + 1) % len(keys)] if sort.key in keys else "")


def sort_by(key: str, before: Sort | None = None) -> Sort:
    """Sort by a column; the other way round when it was the one before."""
    if before is not None and before.key == key:
        return Sort(key, not before.falling)
    return Sort(key, COLUMNS[key].falling if key in COLUMNS else False)


def header_line(placed: Sequence[ColumnPlace], sort: Sort) -> Text:
    """The names of the columns, an arrow behind the one that they are sorted by: up when values rise."""
    arrow = DOWN if sort.falling else UP
    line = Text(" " * MARKS, end="", no_wrap=True)
    for one in placed:
        key = one.column.key
        if key != sort.key:
            _append(line, key, one, "")
        elif one.column.right or cell_len(key) + 2 > one.width:
            # Between columns, so that none keeps room for an arrow that it does not have.
            _append(line, key, one, "bold not dim")
            line.right_crop(GAP)
            line.append(arrow, "bold not dim").append(" " * (GAP - 1))
        else:
            _append(line, f"{key} {arrow}", one, "bold not dim")
    return line


def run_line(row: RunRow, placed: Sequence[ColumnPlace], now: float, selected: bool) -> Text:
    """One run: its marks, then its cells; the name of a selected run is bold and coloured."""
    line = Text(MARK if selected else " ", f"bold {palette.SKY}", end="", no_wrap=True)
    line = Text(end="", no_wrap=True).append_text(line).append(PIN if row.pinned else " ", palette.YELLOW).append(" ")
    for one in placed:
        style = f"bold {palette.SKY}" if selected and one.column.key == "run" else one.column.style(row)
        _append(line, one.column.words(row, now) if one.dated else _title(row.title, False), one, style)
    return line


def _append(line: Text, words: str, one: ColumnPlace, style: str) -> None:
    words = shorten_middle(words, one.width) if one.column.key == "run" else shorten(words, one.width)
    room = " " * (one.width - cell_len(words))
    if one.column.right:
        line.append(room).append(words, style)
    else:
        line.append(words, style).append(room)
    line.append(" " * GAP)


def column_at(placed: Sequence[ColumnPlace], x: int) -> str:
    """The column at so many cells from the left; empty between and beyond them."""
    left = MARKS
    for one in placed:
        if left <= x < left + one.width + GAP:
            return one.column.key
        left += one.width + GAP
    return ""


_PLAIN = ("run", "name", "state", "dataset", "model", "epoch", "test loss", "accuracy", "age", "tags")


def plain_columns(rows: Sequence[RunRow]) -> tuple[str, ...]:
    """The columns worth printing: names and tags when there are any."""
    there = {"name": any(row.name for row in rows), "tags": any(row.tags for row in rows)}
    return tuple(name for name in _PLAIN if there.get(name, True))


def plain_cells(rows: Sequence[RunRow], now: float) -> Iterator[list[str]]:
    """The cells of each run, by `plain_columns`."""
    names = plain_columns(rows)
    for row in rows:
        own = {"run": clean(row.id, 60), "name": clean(row.name, 40)}
        yield [own[name] if name in own else COLUMNS[name].words(row, now) for name in names]


def plain_numbers() -> tuple[str, ...]:
    return tuple(column.key for column in _COLUMNS if column.right)


LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.-=+*%#"


def draw_details(row: RunRow, width: int, height: int, now: float, ascii_only: bool = False) -> Text:
    """Facts of a run, its test loss as a line of blocks, its error and its note, for so many cells."""
    if width <= 0 or height <= 0:
        return Text(end="")
    lines = [*_head(row, width, now), Text()]
    if row.status.error and row.status.state == "failed":
        words = "; ".join(
            clean(row.status.error.get(key, "")) for key in ("cause", "hint") if row.status.error.get(key)
        )
        lines += [*(Text(line, palette.BAD) for line in wrap(words, width)[:6]), Text()]
    if row.trend:
        lines += [Text("test loss", "dim"), Text(spark(row.trend, width, ascii_only), palette.TEST), Text()]
    facts = _facts(row)
    lines += list(draw_facts(facts, width, len(facts)).split("\n"))
    if row.parent:
        lines += [Text(), Text("forked from", "dim"), *(Text(line) for line in wrap(clean(row.parent), width))]
    if row.tags:
        lines += [Text(), *(Text(line, "dim") for line in wrap(clean(" ".join(row.tags)), width)[:3])]
    if row.note:
        lines += [Text(), Text("note", "dim")]
        lines += [Text(line) for part in row.note.splitlines() for line in wrap(clean(part), width) or [""]]
    return join_lines(lines[:height])


def _head(row: RunRow, width: int, now: float) -> list[Text]:
    status = row.status
    words = state_text(status.state)
    if not status.live and status.heartbeat:
        words.append(f" · {ago(max(0.0, now - status.heartbeat))} ago", "dim")
    lines = [Text(clean(row.title, width), "bold")]
    if row.name:
        lines.append(Text(clean(row.id, width), "dim"))
    return [*lines, words]


def _facts(row: RunRow) -> list[Fact]:
    status = row.status
    left = f" · {duration(status.eta)} left" if status.live and status.eta is not None else ""
    facts = [
        ("epoch", of_epochs(status.epoch, status.epochs), ""),
        ("test loss", number(status.test_loss), ""),
        ("best", number(row.best), ""),
        ("accuracy", figure("accuracy", status.test_accuracy), ""),
        ("time", duration(status.elapsed) + left, ""),
        ("speed", f"{count(round(status.images_per_second))} images/s" if status.images_per_second else MISSING, ""),
        ("device", status.device or MISSING, ""),
        *_settings(row.settings),
    ]
    return [*facts, ("host", row.host, "")] if row.host else facts


def _settings(settings: Mapping[str, Any]) -> list[Fact]:
    """The settings that matter; none where the config cannot be read."""
    if not settings:
        return [("config", "not one of this version", palette.CAUTION)]
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
    means = [sum(part) / len(part) for part in (values[start : start + size] for start in range(0, len(values), size))]
    scaled = [math.log(value) for value in means] if min(means) > 0 else means
    low, high = min(scaled), max(scaled)
    levels = ASCII_LEVELS if ascii_only else LEVELS
    span = (high - low) or 1.0
    return "".join(levels[round((value - low) / span * (len(levels) - 1))] for value in scaled)
