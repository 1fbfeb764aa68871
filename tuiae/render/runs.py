"""The list of runs: its columns, their order, what fits, a run or a study as a line; and the details of one of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from tuiae.config import (
    ARGUMENTS,
    RunConfig,
    did_you_mean,
    dotted_keys,
    keys_named,
    settings_of,
    short_keys,
    value_text,
)
from tuiae.errors import ConfigError
from tuiae.files import as_number
from tuiae.images import short_name
from tuiae.render import palette
from tuiae.render.status import SIGNS, age_text, speed_text, state_in_list, state_sign
from tuiae.render.table import GAP, TableColumn, draw_table, filled, table_line
from tuiae.render.text import MISSING, clean, count, duration, figure, number, of_epochs, shorten, shorten_middle
from tuiae.runs.listing import Line, RunRow, StudyRow, ids_inside
from tuiae.runs.paths import undated
from tuiae.runs.query import ALSO
from tuiae.runs.snapshot import HIGHER_IS_BETTER

MARK, PIN, NOTED = "◆", "★", "✎"
"""Before a run that is selected; before one that stays on top; of one that has a note."""
OPENED, FOLDED = "▾", "▸"
"""Before a study whose runs show, and before one whose runs do not."""
FIRST = ("run", "state")
"""Columns that always show."""
MARKS = 3  # cells before the first column
LEAST_TITLE = 16  # cells: `conv_256-lr-a3f9`
MOST_TITLE = 44
LONGEST_TITLE = 100  # where no other column needs the room
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

    rank: int = 4  # of one that somebody chose: behind how a run stands, before what it is
    words: Callable[[RunRow, float], str]
    """The words of its cell for a run, at a time in seconds since the epoch."""
    of_study: Callable[[StudyRow, float], str] | None = None
    """The words for a study, if they are not what all its runs share."""
    order: Callable[[RunRow], Any] | None = None
    """The value that it is sorted by, else its words; those without any go last whichever way."""
    style: Callable[[RunRow], str] = lambda row: ""
    falling: bool = False
    """Whether the highest comes first when one begins to sort by it."""
    dated: bool = True
    """Whether ids begin with their date."""


@dataclass(frozen=True)
class Sort:
    """The column that runs are sorted by; without one the newest run comes first."""

    key: str = ""
    falling: bool = False


def _lowest(study: StudyRow, value: Callable[[RunRow], float | None]) -> str:
    known = [found for row in study.runs if (found := value(row)) is not None]
    return number(min(known)) if known and study.is_one_measure else MISSING


def _highest_accuracy(study: StudyRow) -> str:
    return figure("accuracy", max((row.status.test_accuracy or 0.0 for row in study.runs), default=0.0) or None)


def _state_rank(row: RunRow) -> int:
    return list(SIGNS).index(row.status.state) if row.status.state in SIGNS else len(SIGNS)


_clean = lru_cache(maxsize=1 << 16)(clean)


@lru_cache(maxsize=1 << 16)
def _safe(text: str) -> str:
    """External words in a cell; cleaning each of ten thousand runs again at every look would show."""
    return clean(text, MOST_TITLE) or MISSING


@lru_cache(maxsize=1 << 16)
def _safe_title(text: str) -> str:
    return shorten_middle(clean(text), LONGEST_TITLE) or MISSING


def _title(row: RunRow, dated: bool = True, inside: bool = False) -> str:
    """Its name, else of a run of a study what varies there, behind the study's name unless `inside` it, else its id."""
    if row.name or not row.varies:
        return _safe_title(row.name or (row.id if dated else undated(row.id)))
    return _safe_title(row.varies if inside else f"{row.study.partition(':')[2]} {row.varies}")


def passed_over_words(names: Sequence[str]) -> str:
    """`2 directories here are no runs: old, tmp`; nothing where there is none."""
    if not names:
        return ""
    what = "1 directory here is no run" if len(names) == 1 else f"{count(len(names))} directories here are no runs"
    return f"{what}: {shorten(', '.join(clean(name, NARROW_TITLE) for name in names[:NAMED]), MOST_TITLE)}"


def device_word(device: str) -> str:
    """`cpu` of `cpu, 2 threads`, `cuda:0` of `cuda:0 NVIDIA H100`."""
    return device.partition(",")[0].partition(" ")[0]


def _model(row: RunRow) -> str:
    frozen = row.model == "classifier" and row.settings.get("model.freeze") and row.settings.get("model.encoder_run")
    return f"{row.model}, frozen" if frozen else _safe(row.model)


_COLUMNS = (
    RunColumn(
        "run", MOST_TITLE, rank=0, words=lambda row, now: _title(row),
        order=lambda row: _title(row, False).casefold(),
    ),
    RunColumn(
        "state", 10, rank=1, words=lambda row, now: state_in_list(row.status).plain, order=_state_rank,
        style=lambda row: str(state_in_list(row.status).style),
    ),
    RunColumn("preset", 22, rank=10, words=lambda row, now: _safe(row.made_from)),
    RunColumn("dataset", 15, rank=8, words=lambda row, now: _safe(short_name(row.dataset))),
    RunColumn("model", 18, rank=7, words=lambda row, now: _model(row)),
    RunColumn(
        "epoch", 13, True, rank=2, words=lambda row, now: of_epochs(row.status.epoch, row.status.epochs),
        order=lambda row: row.status.epoch, falling=True,
    ),
    RunColumn(
        "test loss", 9, True, rank=3, words=lambda row, now: number(row.status.test_loss),
        of_study=lambda study, now: _lowest(study, lambda row: row.status.test_loss),
        order=lambda row: row.status.test_loss,
    ),
    RunColumn(
        "best", 9, True, rank=5, words=lambda row, now: number(row.best), order=lambda row: row.best,
        of_study=lambda study, now: _lowest(study, lambda row: row.best),
    ),
    RunColumn(
        "accuracy", 8, True, rank=11, words=lambda row, now: figure("accuracy", row.status.test_accuracy),
        of_study=lambda study, now: _highest_accuracy(study), order=lambda row: row.status.test_accuracy, falling=True,
    ),
    RunColumn(
        "age", 6, True, rank=6, words=age_text, order=lambda row: -row.status.heartbeat or None,
        of_study=lambda study, now: age_text(study.newest, now),
    ),
    RunColumn("device", 8, rank=9, words=lambda row, now: _safe(device_word(row.status.device))),
    RunColumn("tags", 34, rank=12, words=lambda row, now: _clean(" ".join(row.tags)), style=lambda row: "dim"),
    RunColumn("note", 4, rank=6, words=lambda row, now: NOTED if row.note else "", of_study=lambda study, now: ""),
)  # fmt: skip
COLUMNS = {column.name: column for column in _COLUMNS}


OTHERS = {
    column.name: column
    for column in (
        RunColumn(
            "time", 9, True, words=lambda row, now: duration(row.status.elapsed), order=lambda row: row.status.elapsed
        ),
        RunColumn(
            "speed", 15, True, words=lambda row, now: speed_text(row.status), falling=True,
            order=lambda row: row.status.images_per_second,
        ),
        RunColumn("host", 16, words=lambda row, now: _safe(row.host)),
        RunColumn("parent", 30, words=lambda row, now: _safe(undated(row.parent))),
    )
}  # fmt: skip
"""Columns that are there only where somebody chose them, as those of settings and metrics are."""
SETTINGS = {key if short in ("loss", *COLUMNS) else short: key for key, short in short_keys(dotted_keys()).items()}
"""Name of the column of each setting -> its dotted key, which it goes by where another column has its name."""
_DEFAULTS = settings_of(RunConfig())
_ARGUMENT = f"{ARGUMENTS.partition('.')[2]}."
"""How the name of the column of an argument of a custom network begins."""


def _setting_named(word: str) -> str:
    """The column of the one setting that a word names, by whichever of its names; else the word."""
    keys = keys_named(word)
    return next((name for name, key in SETTINGS.items() if keys == [key]), word)


@cache
def column_of(name: str) -> RunColumn:
    """The column of a name: one of the list's own, of a setting, or else of a metric on test images."""
    if (own := COLUMNS.get(name) or OTHERS.get(name)) is not None:
        return own
    key = f"model.{name}" if name.startswith(_ARGUMENT) else SETTINGS.get(name := _setting_named(name))
    if key is None:
        metric = name.replace(" ", "_")

        def found(row: RunRow) -> str:
            setting = row.settings_now.get(name) if row.status.tracked and metric not in row.metrics else None
            return figure(metric, row.metrics.get(metric)) if setting is None else _safe(value_text(setting))

        return RunColumn(
            name, 9, True, words=lambda row, now: found(row), falling=metric in HIGHER_IS_BETTER,
            order=lambda row: row.metrics.get(metric, as_number(row.settings_now.get(name))),
        )  # fmt: skip

    def value_in(row: RunRow) -> Any:
        """The value in a run; a tracked one may have it under a name without a section."""
        return row.settings_now.get(key, row.settings_now.get(name) if row.status.tracked else None)

    def words(row: RunRow, now: float = 0.0) -> str:
        return _safe(value_text(value_in(row), key))

    def order(row: RunRow) -> tuple[bool, float, str] | None:
        value = value_in(row)
        number = as_number(value)
        return None if value is None else (number is None, number or 0.0, words(row))

    return RunColumn(name, 20, as_number(_DEFAULTS.get(key)) is not None, words=words, order=order)


def columns_to_choose(rows: Iterable[RunRow]) -> list[str]:
    """The names of all columns beside the name and the state, those of the metrics that the runs have included, of
    the arguments of custom networks, and of the settings that tracked runs have alone."""
    rows = tuple(rows)
    own = {key: None for row in rows if row.status.tracked for key in row.settings if key not in SETTINGS.values()}
    arguments = {key.partition(".")[2]: None for row in rows for key in row.settings if key.startswith(f"{ARGUMENTS}.")}
    metrics = {name.replace("_", " "): None for row in rows for name in row.metrics if name not in ("loss", "accuracy")}
    named = [name for name in COLUMNS if name not in FIRST]
    return [*named, *OTHERS, *sorted(metrics), *SETTINGS, *sorted(arguments), *own]


USUAL = tuple(COLUMNS.values())


def find_columns(names: Iterable[str], rows: Sequence[RunRow]) -> tuple[RunColumn, ...]:
    """The name, the state, and the columns that somebody asked for, by the names of the list or of the config.

    Raises:
        ConfigError: there is no such column.
    """
    there = columns_to_choose(rows)
    spelled = {f"model.{name}": name for name in there if name.startswith(_ARGUMENT)}
    spelled |= {name.replace(" ", "_"): name for name in there}
    found = dict.fromkeys(FIRST)
    for name in names:
        own = "test loss" if name == "loss" else spelled.get(name.replace(" ", "_"))
        known = own or _setting_named(ALSO.get(name, name))
        if name in LABELS:
            continue  # which show wherever there are any
        if known not in (*there, *FIRST):
            cause = f"no column '{name}'{did_you_mean(name, there)}"
            raise ConfigError(cause, "every setting is one, as latent or seed, every metric, and best, time, host")
        found[known] = None
    return tuple(map(column_of, found))


def place_columns(
    lines: Sequence[Line], width: int, columns: Sequence[RunColumn] = USUAL, asked: Sequence[str] = ()
) -> tuple[RunColumn, ...]:
    """The columns that fit into so many cells, each as wide as its widest cell, the most telling ones first. Those
    that are `asked` for, which need not be among them, come before."""
    there = {column.name for column in columns}
    columns = [*columns, *(column_of(name) for name in asked if name not in there)]
    columns = [replace(column, rank=1) if column.name in asked else column for column in columns]
    rows, members = [line for line in lines if isinstance(line, RunRow)], ids_inside(lines)
    shown = [one for one in columns if one.name not in OPTIONAL or any(one.words(row, 0.0) for row in rows)]
    sizes = {column.name: _natural(column, lines) for column in shown}
    titles = {dated: [_line_title(line, dated, members) for line in lines] for dated in (True, False)}
    whole, short = (max([len("run"), *map(cell_len, titles[dated])]) for dated in (True, False))
    wanted = {*asked, *(ESSENTIAL[:-1] if asked else ESSENTIAL)}  # the best value, or what somebody asks for
    essential = MARKS + sum(sizes[name] + GAP for name in wanted if name in sizes)
    widest = MOST_TITLE if width >= BROAD else NARROW_TITLE
    sizes["run"] = min(whole, widest, max(width - essential, LEAST_TITLE))
    if sizes["run"] < whole:
        sizes["run"] = min(sizes["run"], short)
    free, chosen = width - MARKS + GAP, set()
    for column in sorted(shown, key=lambda column: column.rank):
        if column.name == "tags":  # what tells runs apart comes before what some of them share
            more = max(min(free - LEAST_WORDS - GAP, whole - sizes["run"]), 0)
            sizes["run"], free = sizes["run"] + more, free - more
        if column.name in SHORTENED and sizes[column.name] + GAP > free > LEAST_WORDS + GAP:
            sizes[column.name] = free - GAP
        if sizes[column.name] + GAP <= free:
            chosen.add(column.name)
            free -= sizes[column.name] + GAP
    title = min(sizes["run"] + free, whole)
    dated = title == whole and all(cell_len(row.title) <= LONGEST_TITLE for row in rows)
    sizes["run"] = title if dated else min(title, short)
    placed = (column for column in shown if column.name in chosen)
    return tuple(replace(one, width=sizes[one.name], dated=dated or one.name != "run") for one in placed)


def columns_of(keys: Iterable[str]) -> tuple[str, ...]:
    """The names of the columns that show what keys of a query mean, of those that have one."""
    names = {key: name for name, key in SETTINGS.items()} | {"loss": "test loss"}
    known = [names.get(key, key) for key in keys]
    return tuple(name for name in dict.fromkeys(known) if name in COLUMNS or name in SETTINGS)


def _line_title(line: Line, dated: bool, members: Collection[str], width: int = 0) -> str:
    """What stands for a run or a study; with a `width`, the name of the study gives way to how many its runs are."""
    if isinstance(line, StudyRow):
        sign, name, number = OPENED if line.opened else FOLDED, _safe_title(line.name), line.number
        if 0 < width < cell_len(f"{sign} {name} · {number}"):
            number = number.removesuffix(" runs")
            name = shorten_middle(name, max(width - cell_len(f"{sign}  · {number}"), 1))
        return f"{sign} {name} · {number}"
    return f"  {_title(line, dated, True)}" if line.id in members else _title(line, dated)


def _natural(column: RunColumn, lines: Sequence[Line]) -> int:
    """Cells of the widest cell; numbers have a width of their own, so that the table stands still while they move."""
    head = cell_len(column.name)
    if column.name == "state" or (column.right and column.name not in ("epoch", *SETTINGS)):
        return max(head, column.width)
    return min(max([head, *(cell_len(words) for words in {_words(column, line, 0.0) for line in lines})]), column.width)


def _words(column: RunColumn, line: Line, now: float) -> str:
    if isinstance(line, RunRow):
        return column.words(line, now)
    if column.of_study is not None:
        return column.of_study(line, now)
    # What a run does not say yet, such as its device, makes no difference.
    said = {column.words(row, now) for row in line.runs} - {MISSING}
    if len(said) > 1:
        return "" if column.right else "several"
    return next(iter(said), MISSING)


def arrange(rows: Iterable[RunRow], sort: Sort, columns: Iterable[RunColumn] = USUAL) -> tuple[RunRow, ...]:
    """The runs in order: pinned ones first, then by the column, those without a value last, equal ones newest first."""
    ordered = sorted(rows, key=lambda row: row.id, reverse=True)
    column = next((column for column in columns if column.name == sort.key), None)
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


def run_line(
    line: Line, placed: Sequence[RunColumn], now: float, selected: bool, members: Collection[str] = ()
) -> Text:
    """A run or a study: its marks, then its cells; the name of a selected one is bold and coloured. `members` are the
    runs that stand behind the lines of their studies."""
    marked = f"bold {palette.SKY}"
    drawn = Text(end="", no_wrap=True).append(MARK if selected else " ", marked)
    drawn.append(PIN if isinstance(line, RunRow) and line.pinned else " ", palette.YELLOW).append(" ")
    cells = []
    for column in placed:
        if column.name == "run":
            style = marked if selected else column.style(line) if isinstance(line, RunRow) else "bold"
            cells.append(
                Text(shorten_middle(_line_title(line, column.dated, members, column.width), column.width), style)
            )
        elif isinstance(line, StudyRow) and column.name == "state":
            signs = [(f"{state_sign(state)[0]}{many} ", state_sign(state)[1]) for state, many in line.states.items()]
            cells.append(Text.assemble(*signs))
            cells[-1].rstrip()
        else:
            cells.append(Text(_words(column, line, now), column.style(line) if isinstance(line, RunRow) else ""))
    return drawn.append_text(table_line(cells, placed)).append(" " * GAP)


def column_at(placed: Sequence[RunColumn], x: int) -> str:
    """The column at `x` cells from the left; empty between and beyond them."""
    left = MARKS
    for column in placed:
        if left <= x < left + column.width + GAP:
            return column.name
        left += column.width + GAP
    return ""


LABELS = ("name", "varies")
"""Columns that the lines without a dashboard have wherever a run has them."""
_PLAIN = ("run", *LABELS, "state", "dataset", "model", "epoch", "test loss", "accuracy", "age", "tags")


def plain_table(
    rows: Sequence[RunRow], now: float, wanted: Sequence[RunColumn] = ()
) -> tuple[list[str], list[list[str]], list[str]]:
    """The runs as lines without a dashboard: the usual columns, of which names, what varies in a study and tags show
    where there are any, or those that are `wanted`; a line of cells for each run; and which of the columns are numbers.
    """
    own: dict[str, Callable[[RunRow, float], str]] = {
        "run": lambda row, now: clean(row.id, 60),
        "name": lambda row, now: shorten_middle(clean(row.name), 40),
        "varies": lambda row, now: clean(row.varies, 60),
    }
    there = {"name": any(row.name for row in rows), "varies": any(row.varies for row in rows)}
    there["tags"] = any(row.tags for row in rows)
    names = ["run", *LABELS, *(column.name for column in wanted if column.name != "run")] if wanted else _PLAIN
    shown = [name for name in names if there.get(name, True)]
    cells = [own.get(name) or column_of(name).words for name in shown]
    right = [name for name in shown if name not in own and column_of(name).right]
    return shown, [[words(row, now) for words in cells] for row in rows], right


_RANKS = {name: rank for rank, name in enumerate(("run", "state", "test loss", "epoch", *LABELS, "age", "dataset"))}
_LEAST = {"name": 16, "varies": 16, "tags": LEAST_WORDS}


def terminal_table(rows: Sequence[RunRow], now: float, width: int, wanted: Sequence[RunColumn] = ()) -> list[Text]:
    """What `plain_table` has in lines of `width` cells, one a run: ids stay whole, but for their date, without which
    they find the run as well; a name and what varies in a study share a column; names give way, then columns go, of
    those that are not `wanted` the least telling first."""
    names, cells, right = plain_table(rows, now, wanted)
    if all(label in names for label in LABELS):
        called, varies = (names.index(label) for label in LABELS)
        for row in cells:
            row[called] = row[called] or row[varies]
            del row[varies]
        del names[varies]
    asked = {column.name for column in wanted}
    columns = []
    for name, column in zip(names, zip(*cells, strict=True), strict=True):
        words = map(undated, column) if name == "run" else column
        rank = 1 if name in asked else _RANKS.get(name, len(_RANKS))
        least = _LEAST.get(name, 0)
        columns.append(filled(name, map(Text, words), name in right, rank, least, names=name in LABELS))
    return draw_table(columns, width)
