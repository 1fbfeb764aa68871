"""Lists in a frame: the tail of a log, tables of any length with a cursor, small tables, and all runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Region, Size, Spacing
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from tuiae.render.runs import (
    USUAL,
    RunColumn,
    Sort,
    arrange,
    column_at,
    columns_of,
    header_line,
    passed_over_words,
    place_columns,
    run_line,
)
from tuiae.render.status import draw_details
from tuiae.render.text import lines_of
from tuiae.runs.listing import Line, RunRow, StudyRow, fold, ids_inside, key_of
from tuiae.runs.query import Query
from tuiae.ui.keys import RUNS
from tuiae.ui.terminal.screen_diff import Lasting
from tuiae.ui.widgets.panel import FRAME, THIN_SCROLLBAR, Panel, strip_of

RowText = Callable[[int, int], Text]
"""(row, width) -> the line of a row, for `width` cells."""
Draw = Callable[[int], Text]
"""width -> the line above all rows, or a whole table, for `width` cells."""


class LineTable(Lasting, ScrollView, can_focus=True):
    """Rows with a key each, and a cursor that stays on its key while rows come, go and change places.

    Only the lines that show are ever made. Textual's lists measure all of them first: with 1,000 rows of 12 cells on
    160 columns a DataTable took 190 ms to fill anew where this took 60, an OptionList 140 where this took 15.
    """

    ALLOW_MAXIMIZE = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {"line-table--header", "line-table--cursor"}
    DEFAULT_CSS = (
        "LineTable {" + FRAME + THIN_SCROLLBAR + "overflow-x: hidden; padding: 0;"
        "& > .line-table--header { color: $foreground 65%; }"
        "& > .line-table--cursor { background: $accent 20%; }"
        "&:focus > .line-table--cursor { background: $accent 30%; text-style: bold; }"
        "}"
    )
    BINDINGS = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end", "move(1000000)", "Last", show=False),
        Binding("enter", "choose", "Open"),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)

    @dataclass
    class TableMessage(Message):
        """Something happened in a table."""

        table: LineTable

        @property
        def control(self) -> LineTable:
            return self.table

    class Moved(TableMessage):
        """The cursor stands on another key, or on none."""

        def can_replace(self, message: Message) -> bool:
            """While a key is held down only the last place counts."""
            return isinstance(message, LineTable.Moved) and message.table is self.table

    @dataclass
    class Chosen(TableMessage):
        """A row was chosen: Enter, or a click where the cursor stands."""

        key: str

    @dataclass
    class Pointed(TableMessage):
        """The mouse was pressed on the header (row -1) or on a row, `x` cells from the left."""

        row: int
        x: int

    _header: Draw | None = None
    _line: RowText
    keys: tuple[str, ...] = ()
    _under = ""

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = title

    # What is shown

    def show(self, keys: Sequence[str], line: RowText, header: Draw | None = None) -> None:
        """Replace the rows or their order: the cursor goes where its key went, else stays at its height."""
        self.keys, self._line, self._header = tuple(keys), line, header
        # The width only keeps Textual from offering to scroll sideways.
        self.virtual_size = Size(self.scrollable_content_region.width, len(self.keys) + self._head)
        here = self._under in self.keys
        self.cursor = self.keys.index(self._under) if here else min(self.cursor, max(len(self.keys) - 1, 0))
        self._land()
        self.call_after_refresh(self._keep_in_view)
        self.refresh()

    def redraw(self, keys: Iterable[str]) -> None:
        """Draw these rows again; their keys and their order are as they were."""
        changed = set(keys)
        for row, key in enumerate(self.keys):
            if key in changed:
                self._refresh_row(row)

    @property
    def _head(self) -> int:
        """Lines above the rows."""
        return int(self._header is not None)

    @property
    def under(self) -> str:
        """The key that the cursor stands on; empty where there is none."""
        return self.keys[self.cursor] if self.cursor < len(self.keys) else ""

    # Drawing

    def render_line(self, y: int) -> Strip:
        """The header, or one visible row."""
        width, line_width = self.scrollable_content_region.width, self.line_width
        row = y - self._head + int(self.scroll_y)
        style, text = self.rich_style, None
        if self._header is not None and y == 0:
            text, style = self._header(line_width), self.get_component_rich_style("line-table--header")
        elif row < len(self.keys):
            text = self._line(row, line_width)
            if row == self.cursor:
                style = self.get_component_rich_style("line-table--cursor")
        if text is None:
            return Strip.blank(width, style)
        strip = strip_of(text, self.app.console).crop(0, line_width)
        return strip.adjust_cell_length(width).apply_style(style)

    def _refresh_row(self, row: int) -> None:
        y = row + self._head - int(self.scroll_y)
        if self._head <= y < self.scrollable_content_region.height:
            self.refresh(Region(0, y, self.scrollable_content_region.width, 1))

    def watch_cursor(self, before: int, cursor: int) -> None:
        self._refresh_row(before)
        self._refresh_row(cursor)

    # Moving

    def move_to(self, row: int) -> None:
        """Put the cursor on a row, or on the nearest one that there is."""
        self.cursor = max(0, min(row, len(self.keys) - 1))
        self._land()
        self._keep_in_view()

    def _land(self) -> None:
        if self.under != self._under:
            self._under = self.under
            self.post_message(self.Moved(self))

    def _keep_in_view(self) -> None:
        line = Region(0, self.cursor + self._head, 1, 1)
        self.scroll_to_region(line, spacing=Spacing(top=self._head), animate=False)

    on_resize = _keep_in_view

    @property
    def line_width(self) -> int:
        """Cells of a line; one stays free, so that no line touches the scrollbar."""
        return max(self.scrollable_content_region.width - 1, 0)

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by pages."""
        self.move_to(self.cursor + by * (self.scrollable_content_region.height - self._head))

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.under:
            self.post_message(self.Chosen(self, self.under))

    def on_click(self, event: events.Click) -> None:
        """Tell where the mouse was pressed; who uses the table decides what follows."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        row = -1 if offset.y < self._head else offset.y - self._head + int(self.scroll_y)
        if row >= len(self.keys):
            return
        event.stop()
        self.post_message(self.Pointed(self, row, offset.x))

    def press_row(self, row: int) -> None:
        """Move the cursor to a row; where it stands there already, choose the row."""
        if row == self.cursor:
            self.action_choose()
        else:
            self.move_to(row)


class TableText(Lasting, Widget):
    """What a function draws for the width that the layout gives, in as many lines as that takes: hidden it has no
    width, and what comes meanwhile is drawn when it shows."""

    DEFAULT_CSS = "TableText { width: 1fr; height: auto; text-wrap: nowrap; }"

    _draw: Draw | None = None
    _drawn: tuple[int, Text] = -1, Text()
    """The width, and what was drawn for it."""

    def show(self, draw: Draw | None) -> None:
        """Replace the table; None shows nothing."""
        self._draw, self._drawn = draw, (-1, Text())
        self.refresh(layout=True)

    def _fitting(self, width: int) -> Text:
        if self._draw is None or width <= 1:
            return Text()
        if self._drawn[0] != width:
            self._drawn = width, self._draw(width - 1)  # so that no line touches the scrollbar
        return self._drawn[1]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(lines_of(self._fitting(width)))

    def render(self) -> Content:
        return Content.from_rich_text(self._fitting(self.content_size.width))


class TablePanel(Lasting, VerticalScroll, can_focus=True):
    """A small table that a pure function draws for the width that there is; it scrolls when it is long."""

    ALLOW_MAXIMIZE = True
    DEFAULT_CSS = "TablePanel {" + FRAME + THIN_SCROLLBAR + "}"

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = title

    def compose(self) -> ComposeResult:
        yield TableText()

    def show(self, draw: Draw | None) -> None:
        """Replace the table; None shows nothing."""
        self.query_one(TableText).show(draw)


class RunTable(LineTable):
    """All runs as lines: those that a query finds, in an order, the selected ones marked."""

    # Its own keys come before the screen's, so they have the screen's names for what they do.
    BINDINGS = [
        Binding(key.key, f"screen.{key.action}", key.label or key.more, show=key.key != "right")
        for key in RUNS
        if key.key in ("enter", "left", "right")
    ]

    rows: tuple[RunRow, ...] = ()
    """Every run, newest first."""
    shown: tuple[RunRow, ...] = ()
    """The runs that the query finds, in order, those of folded studies included."""
    lines: tuple[Line, ...] = ()
    """What shows."""
    query_words = Query()
    sort = Sort()
    wanted: tuple[RunColumn, ...] = USUAL
    """The columns that show where there is room."""
    running: Mapping[str, str] = {}
    """Tags of studies whose process lives, and what it said last."""
    grouped = True
    """Whether the runs of a study stand together, below a line of it."""
    selected: frozenset[str] = frozenset()
    """Ids."""
    usual_lines = 0
    """How many lines show without a query."""
    _unfolded: frozenset[str] = frozenset()
    _folded_here: frozenset[str] = frozenset()
    """Studies that somebody folded while a query is in force, which unfolds all."""
    _ran: frozenset[str] = frozenset()
    _by_id: Mapping[str, RunRow] = {}
    """The runs that the query finds."""
    _every: tuple[Line, ...] = ()
    """All runs and studies, by which columns are as wide as they are whatever is folded."""
    _members: frozenset[str] = frozenset()
    _placed: tuple[RunColumn, ...] = ()
    _fitted: tuple[object, ...] = ()
    """What the columns were placed for."""

    @property
    def chosen(self) -> tuple[RunRow, ...]:
        """The selected runs of those that show, newest first."""
        return tuple(self._by_id[one] for one in sorted(self.selected & self._by_id.keys(), reverse=True))

    @property
    def line_under(self) -> Line | None:
        """The run or the study that the cursor stands on."""
        return self.lines[self.cursor] if self.cursor < len(self.lines) else None

    @property
    def row_under(self) -> RunRow | None:
        """The run that the cursor stands on."""
        return line if isinstance(line := self.line_under, RunRow) else None

    @property
    def study_under(self) -> StudyRow | None:
        """The study that the cursor stands on."""
        return line if isinstance(line := self.line_under, StudyRow) else None

    @property
    def runs_under(self) -> tuple[RunRow, ...]:
        """The run that the cursor stands on, or those of the study."""
        line = self.line_under
        return line.runs if isinstance(line, StudyRow) else () if line is None else (line,)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column.name for column in self._placed)

    def take(self, rows: Sequence[RunRow]) -> None:
        """Take the runs as they are now; only lines that differ are drawn again."""
        before, self.rows = self.rows, tuple(rows)
        alike = len(before) == len(rows) and all(
            new is old or _cells(new) == _cells(old) for new, old in zip(rows, before, strict=True)
        )
        if not alike or self._ran != self.running.keys():  # else only figures have moved: columns stay as wide
            self._ran = frozenset(self.running)
            self.selected &= {row.id for row in rows}
            self._every = self._fold(self.rows, frozenset(row.study for row in rows))
        self.rearrange()

    def _fold(self, rows: Sequence[RunRow], opened: frozenset[str]) -> tuple[Line, ...]:
        by_value = not self.sort.key
        return fold(rows, self.rows, opened, self.running, by_value) if self.grouped else tuple(rows)

    def rearrange(self) -> None:
        """Find, order and lay out again; where only values changed, only their lines are drawn."""
        before, placed = self.lines, self._placed
        self.shown = arrange(self.query_words.find(self.rows), self.sort, self.wanted)
        self._by_id = {row.id: row for row in self.shown}
        opened = self._unfolded
        if self.query_words.test is not None:
            opened = frozenset(row.study for row in self.shown) - self._folded_here
        else:
            self._folded_here = frozenset()
        self.lines = self._fold(self.shown, opened)
        if self.query_words.test is None:
            self.usual_lines = len(self.lines)
        self._members = ids_inside(self.lines)
        asked = columns_of(self.query_words.ranges)
        fitted = (id(self._every), self.line_width, self.wanted, asked)
        if fitted != self._fitted:  # else somebody types a query: 2,000 runs take 40 ms
            self._fitted, self._placed = fitted, place_columns(self._every, self.line_width, self.wanted, asked)
        keys = tuple(map(key_of, self.lines))
        if keys == self.keys and placed == self._placed:
            self.redraw(key_of(line) for line, old in zip(self.lines, before, strict=True) if line is not old)
        else:
            self.show(keys, self._draw, lambda width: header_line(self._placed, self.sort))

    def selects(self, runs: Sequence[RunRow]) -> bool:
        """Returns whether all of these are selected; False of none."""
        return bool(runs) and len(runs) <= len(self.selected) and all(run.id in self.selected for run in runs)

    @property
    def folds(self) -> bool:
        """Whether the cursor stands on a run below its study, which can be folded from there."""
        return (row := self.row_under) is not None and row.id in self._members

    def unfold(self, opened: bool | None = None) -> None:
        """Show the runs of the study at the cursor, or no longer, or the other of the two; its run folds it, too."""
        line = self.line_under
        tag = "" if line is None else line.tag if isinstance(line, StudyRow) else line.study
        study = next((one for one in self.lines if isinstance(one, StudyRow) and one.tag == tag), None)
        wanted = opened if opened is not None or study is None else not study.opened
        if study is None or study.opened == wanted or (line is not study and wanted):
            return
        self.move_to(self.keys.index(study.key))
        if self.query_words.test is not None:
            self._folded_here ^= {tag}
        else:
            self._unfolded ^= {tag}
        self.rearrange()

    def group(self, grouped: bool) -> None:
        """Let the runs of a study stand together, or among all others."""
        self.grouped = grouped
        self._every = self._fold(self.rows, frozenset(row.study for row in self.rows))
        self.rearrange()

    def entitle(self, complete: bool, filtered: bool, passed_over: Sequence[str]) -> None:
        """Say in the frame how many runs there are and are selected; `passed_over` names what is no run."""
        shown, every = len(self.shown), f"{len(self.rows)}{'' if complete else '…'}"
        title = f"runs · {shown} of {every}" if filtered else f"runs · {every}"
        if self.selected:
            title += f" · {len(self.selected)} selected"
            hidden = len(self.selected) - len(self.chosen)
            title += f", {hidden} not shown" if hidden else ""
        self.border_title = title
        words = ("" if self.sort.key else "newest first", passed_over_words(passed_over))
        self.border_subtitle = Content(" · ".join(word for word in words if word))

    def order(self, sort: Sort) -> None:
        """Show the runs in another order."""
        self.sort = sort
        self.rearrange()
        self.refresh()

    def toggle(self, *ids: str) -> None:
        """Select these runs; where all of them are selected already, none of them."""
        rest = set(ids) - self.selected
        self.selected = self.selected | rest if rest else self.selected - set(ids)
        self.redraw({*ids, *(line.key for line in self.lines if isinstance(line, StudyRow))})

    def column_at(self, x: int) -> str:
        """The column at `x` cells from the left."""
        return column_at(self._placed, x)

    def _draw(self, row: int, width: int) -> Text:
        line = self.lines[row]
        ids = {run.id for run in line.runs} if isinstance(line, StudyRow) else {line.id}
        return run_line(line, self._placed, time.time(), ids <= self.selected, self._members)

    def on_resize(self) -> None:
        self.rearrange()


def _cells(row: RunRow) -> tuple[object, ...]:
    """What of a run makes columns wide."""
    status = row.status
    words = row.id, row.name, row.note, row.tags, row.varies, row.pinned, status.device
    return *words, id(row.settings), status.epochs, len(str(status.epoch))


class RunDetails(Panel):
    """What the list has no room for of the run or the study at its cursor."""

    BORDER_TITLE = "run"
    can_focus = False

    _row: Line | None = None

    def show(self, row: Line | None) -> None:
        """Show a run or a study, or nothing; the same again costs nothing."""
        if row is not self._row:
            self._row = row
            self.border_title = "study" if isinstance(row, StudyRow) else "run"
            self.changed()

    def draw(self, width: int, height: int) -> Text:
        if self._row is None:
            return Text(end="")
        return draw_details(self._row, width, height, time.time(), self.terminal.ascii)
