"""All runs, to open one of them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from tuiae.runs.listing import RunLister, RunRow
from tuiae.ui.keys import RUNS
from tuiae.ui.render.status import RUN_COLUMNS, RUN_NUMBERS, run_cells

REFRESH_SECONDS = 2.0
WIDE = 110  # columns from which every column of the table fits
NARROW_COLUMNS = ("run", "state", "epoch", "test loss")


class RunsListed(Message):
    """The runs as they are now, newest first."""

    def __init__(self, rows: tuple[RunRow, ...]) -> None:
        super().__init__()
        self.rows = rows


class RunTable(DataTable[Text]):
    """Its Enter comes before the screen's, so it has the screen's name for it."""

    BINDINGS = [Binding(key.key, f"screen.{key.action}", key.label) for key in RUNS if key.key == "enter"]


class RunsScreen(Screen[None]):
    """A table that keeps its cursor while runs come and go."""

    BINDINGS = [key.binding for key in RUNS]

    class Opened(Message):
        """A run was chosen."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._lister = RunLister(root)
        self._paths: dict[str, Path] = {}
        self._layout: tuple[list[str], dict[str, int]] = ([], {})

    def compose(self) -> ComposeResult:
        yield Static(Text.assemble((" tuiae", "bold"), "  all runs"), id="title")
        yield RunTable(cursor_type="row", zebra_stripes=False)
        yield Static(id="empty")
        yield Footer(show_command_palette=False)

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
        empty.update(Text(f"no runs in {self._root} yet\n\n2 goes to the form, r starts one", justify="center"))
        names = NARROW_COLUMNS if self.size.width < WIDE else RUN_COLUMNS
        cells = {row.path.name: _cells(row, names) for row in event.rows}
        widths = {name: max(cell_len(name), *(line[name].cell_len for line in cells.values()), 0) for name in names}
        self._paths = {row.path.name: row.path for row in event.rows}
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

    def action_back(self) -> None:
        """Back to the open run."""
        self.app.switch_mode("live")


def _cells(row: RunRow, columns: tuple[str, ...]) -> dict[str, Text]:
    cells = dict(zip(RUN_COLUMNS, run_cells(row, time.time()), strict=True))
    for name in RUN_NUMBERS:
        cells[name].justify = "right"
    return {name: cells[name] for name in columns}
