"""All runs, to open one of them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from tuiae.runs.layout import RunPaths, list_runs
from tuiae.runs.reader import read_config, read_status
from tuiae.runs.snapshot import Status
from tuiae.ui.keys import RUNS
from tuiae.ui.render.status import state_text
from tuiae.ui.render.text import clean, duration

REFRESH_SECONDS = 2.0
COLUMNS = ("run", "state", "dataset", "model", "epoch", "age")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    path: Path
    status: Status
    dataset: str
    model: str


class RunsListed(Message):
    """The runs as they are now, newest first."""

    def __init__(self, rows: tuple[Row, ...]) -> None:
        super().__init__()
        self.rows = rows


class RunLister:
    """Reads the list; what cannot change any more (configs, ended runs) is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[int, Row]] = {}

    def rows(self) -> tuple[Row, ...]:
        return tuple(self._row(run) for run in list_runs(self._root))

    def _row(self, run: RunPaths) -> Row:
        try:
            stamp = run.status.stat().st_mtime_ns
        except OSError:
            stamp = 0
        known = self._known.get(run.id)
        if known is not None and known[0] == stamp and not known[1].status.live:
            return known[1]
        config = read_config(run)
        row = Row(
            run.root,
            read_status(run),
            config.data.dataset if config else "–",
            config.model.family if config else "–",
        )
        self._known[run.id] = (stamp, row)
        return row


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

    def compose(self) -> ComposeResult:
        yield Static(Text.assemble((" tuiae", "bold"), "  all runs"), id="title")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static(id="empty")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for name in COLUMNS:
            table.add_column(name, key=name)
        self.set_interval(REFRESH_SECONDS, self.refresh_rows)

    def on_screen_resume(self) -> None:
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """List the runs in a thread: a directory on NFS may take its time."""
        if self.is_current:
            threading.Thread(target=lambda: self.post_message(RunsListed(self._lister.rows())), daemon=True).start()

    @on(RunsListed)
    def _listed(self, event: RunsListed) -> None:
        table = self.query_one(DataTable)
        table.display = bool(event.rows)
        empty = self.query_one("#empty", Static)
        empty.display = not event.rows
        empty.update(Text(f"no runs in {self._root} yet\n\n2 goes to the form, r starts one", justify="center"))
        ids = [row.path.name for row in event.rows]
        if ids != list(self._paths):
            self._rebuild(table, event.rows)
            return
        for row in event.rows:
            for name, cell in zip(COLUMNS, _cells(row), strict=True):
                if table.get_cell(row.path.name, name) != cell:
                    table.update_cell(row.path.name, name, cell)

    def _rebuild(self, table: DataTable[Text], rows: tuple[Row, ...]) -> None:
        """Runs came or went: fill the table anew, and leave the cursor on its run."""
        under = list(self._paths)[table.cursor_row] if table.is_valid_row_index(table.cursor_row) else ""
        table.clear()
        self._paths = {row.path.name: row.path for row in rows}
        for row in rows:
            table.add_row(*_cells(row), key=row.path.name)
        if under in self._paths:
            table.move_cursor(row=list(self._paths).index(under))
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


def _cells(row: Row) -> list[Text]:
    status = row.status
    age = duration(max(0.0, time.time() - status.heartbeat)) if status.heartbeat else "–"
    return [
        Text(clean(row.path.name, 60)),
        state_text(status.state),
        Text(clean(row.dataset, 30)),
        Text(clean(row.model)),
        Text(f"{status.epoch}/{status.epochs}", justify="right"),
        Text("now" if status.live else age, justify="right"),
    ]
