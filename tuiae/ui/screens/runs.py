"""All runs, to open one of them or to compare several."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import DataTable, Static

from tuiae.runs.listing import RunLister, RunRow
from tuiae.ui.keys import RUNS
from tuiae.ui.render.status import MARK_CELLS, RUN_COLUMNS, RUN_NUMBERS, marked, run_cells, run_columns, run_name
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.session import Session

REFRESH_SECONDS = 2.0
WIDE = 110  # columns from which every column of the table fits but the tags
WIDEST = 140
NARROW_COLUMNS = ("run", "state", "epoch", "test loss")


class RunsListed(Message):
    """The runs as they are now, newest first."""

    def __init__(self, rows: tuple[RunRow, ...]) -> None:
        super().__init__()
        self.rows = rows


class RunTable(DataTable[Text]):
    """Its Enter comes before the screen's, so it has the screen's name for it."""

    BINDINGS = [Binding(key.key, f"screen.{key.action}", key.label) for key in RUNS if key.key == "enter"]


class RunsScreen(BaseScreen):
    """A table that keeps its cursor, and what is selected, while runs come and go."""

    NAME = "all runs"
    BINDINGS = [key.binding for key in RUNS]

    class Opened(Message):
        """A run was chosen."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    class CompareWanted(Message):
        """Lay these runs beside each other."""

        def __init__(self, paths: Sequence[Path]) -> None:
            super().__init__()
            self.paths = tuple(paths)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._lister = RunLister(session.root)
        self._paths: dict[str, Path] = {}
        self._layout: tuple[list[str], dict[str, int]] = ([], {})
        self._selected: dict[str, None] = {}  # in the order of selection

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            yield RunTable(cursor_type="row", zebra_stripes=False)
            yield Static(id="empty")

    def on_mount(self) -> None:
        self.set_interval(REFRESH_SECONDS, self.refresh_rows)

    def on_screen_resume(self) -> None:
        self.refresh_rows()

    def on_resize(self) -> None:
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """List the runs in a thread: a directory on NFS may take its time."""
        if self.is_current:
            threading.Thread(target=lambda: self.post_message(RunsListed(self._lister.rows())), daemon=True).start()

    @on(RunsListed)
    def _listed(self, event: RunsListed) -> None:
        table = self.query_one(DataTable)
        table.display = bool(event.rows)
        table.border_title = f"runs · {len(event.rows)}"
        empty = self.query_one("#empty", Static)
        empty.display = not event.rows
        empty.update(Text(f"no runs in {self.session.root} yet\n\n2 goes to the form, r starts one", justify="center"))
        names: tuple[str, ...] = NARROW_COLUMNS if self.size.width < WIDE else RUN_COLUMNS[:-1]
        if self.size.width >= WIDEST:
            names = run_columns(event.rows)
        self._paths = {row.path.name: row.path for row in event.rows}
        self._selected = {name: None for name in self._selected if name in self._paths}
        cells = {row.path.name: _cells(row, names) for row in event.rows}
        widths = {name: max(cell_len(name), *(line[name].cell_len for line in cells.values()), 0) for name in names}
        for name in self._selected:
            cells[name]["run"] = marked(cells[name]["run"], widths["run"])
        widths["run"] += MARK_CELLS
        self._count_selected()
        if (list(cells), widths) != self._layout:
            self._rebuild(table, cells, widths)
            return
        for run_id, line in cells.items():
            for name, cell in line.items():
                if table.get_cell(run_id, name) != cell:
                    table.update_cell(run_id, name, cell)

    def _rebuild(self, table: DataTable[Text], cells: dict[str, dict[str, Text]], widths: dict[str, int]) -> None:
        """Runs came or went, or widths changed: fill the table anew, and leave the cursor on its run.

        The widths are given: left to itself, a table that was cleared of its columns may keep those of the headers.
        """
        before = self._layout[0]
        under = before[table.cursor_row] if table.is_valid_row_index(table.cursor_row) else ""
        table.clear(columns=True)
        self._layout = (list(cells), widths)
        for name, width in widths.items():
            table.add_column(Text(name, justify="right" if name in RUN_NUMBERS else "left"), key=name, width=width)
        for run_id, line in cells.items():
            table.add_row(*line.values(), key=run_id)
        if under in cells:
            table.move_cursor(row=list(cells).index(under))
        table.focus()

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.post_message(self.Opened(self._paths[str(event.row_key.value)]))

    def action_open(self) -> None:
        """Open the run under the cursor."""
        self.query_one(DataTable).action_select_cursor()

    def action_select(self) -> None:
        """Select the run under the cursor for a comparison, or take it out again, and go to the next."""
        table = self.query_one(DataTable)
        if not table.is_valid_row_index(table.cursor_row):
            return
        name = self._layout[0][table.cursor_row]
        if name in self._selected:
            del self._selected[name]
        else:
            self._selected[name] = None
        room = self._layout[1]["run"] - MARK_CELLS
        table.update_cell(name, "run", marked(run_name(name), room) if name in self._selected else run_name(name))
        table.action_cursor_down()
        self.message.forget_trouble()
        self._count_selected()

    def _count_selected(self) -> None:
        number = len(self._selected)
        words = f"{number} selected · c compares them" if number > 1 else f"{number} selected · space selects more"
        self.message.hint(words if number else "space selects runs, c compares them", "quiet")

    def action_compare(self) -> None:
        """Lay the selected runs beside each other."""
        if len(self._selected) < 2:
            told = "one run is selected" if self._selected else "no run is selected"
            self.message.insist(f"{told}: select two or more with space, then press c", "caution")
            return
        self.post_message(self.CompareWanted([self._paths[name] for name in self._selected]))

    def action_back(self) -> None:
        """Back to the open run."""
        self.app.switch_mode("live")


def _cells(row: RunRow, columns: tuple[str, ...]) -> dict[str, Text]:
    cells = dict(zip(RUN_COLUMNS, run_cells(row, time.time()), strict=True))
    for name in RUN_NUMBERS:
        cells[name].justify = "right"
    return {name: cells[name] for name in columns}
