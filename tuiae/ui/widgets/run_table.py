"""The runs of a list as lines: filtered, in order, the selected ones marked."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text
from textual.binding import Binding

from tuiae.runs.listing import RunRow
from tuiae.runs.query import Query
from tuiae.ui.keys import RUNS
from tuiae.ui.render.run_list import Placed, Sort, arrange, column_at, header_line, place_columns, run_line
from tuiae.ui.widgets.line_table import LineTable


class RunTable(LineTable):
    """What shows of all runs follows from a query, an order and the room that there is."""

    # Its Enter comes before the screen's, so it has the screen's name for it.
    BINDINGS = [Binding(key.key, f"screen.{key.action}", key.label) for key in RUNS if key.key == "enter"]

    def __init__(self) -> None:
        super().__init__("runs", id="runs")
        self.rows: tuple[RunRow, ...] = ()
        """Every run, newest first."""
        self.query_words = Query()
        self.sort = Sort()
        self.selected: dict[str, None] = {}
        """Ids, in the order of selection."""
        self._shown: tuple[RunRow, ...] = ()
        self._placed: tuple[Placed, ...] = ()
        self._laid_out: tuple[tuple[RunRow, ...], int] = ((), 0)

    @property
    def shown(self) -> tuple[RunRow, ...]:
        """The runs that the query finds, in order."""
        return self._shown

    @property
    def chosen(self) -> tuple[RunRow, ...]:
        """The selected runs of those that show, newest first."""
        shown = {row.id for row in self._shown}
        return tuple(row for row in self.rows if row.id in self.selected and row.id in shown)

    @property
    def row_under(self) -> RunRow | None:
        """The run that the cursor stands on."""
        return self._shown[self.cursor] if self.cursor < len(self._shown) else None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(one.column.key for one in self._placed)

    def take(self, rows: Sequence[RunRow]) -> None:
        """The runs as they are now; only lines that differ are drawn again."""
        self.rows = tuple(rows)
        if self.selected:
            there = {row.id for row in rows}
            self.selected = {name: None for name in self.selected if name in there}
        self.rearrange()

    def rearrange(self) -> None:
        """Find, order and lay out again; where nothing but values changed, their lines alone are drawn."""
        before, placed = {row.id: row for row in self._shown}, self._placed
        self._shown = arrange(self.query_words.find(self.rows), self.sort)
        room = (self.rows, self.room)
        if room[0] is not self._laid_out[0] or room[1] != self._laid_out[1]:
            self._laid_out, self._placed = room, place_columns(*room)
        keys = tuple(row.id for row in self._shown)
        if keys == self.keys and placed == self._placed:
            self.redraw([row.id for row in self._shown if before[row.id] is not row], self._draw)
        else:
            self.show(keys, self._draw, lambda width: header_line(self._placed, self.sort))

    def order(self, sort: Sort) -> None:
        """Another order."""
        self.sort = sort
        self.rearrange()
        self.refresh()

    def toggle(self, *ids: str) -> None:
        """Select these runs, or not any longer."""
        for run_id in ids:
            if run_id in self.selected:
                del self.selected[run_id]
            else:
                self.selected[run_id] = None
        self.redraw(ids, self._draw)

    def column_at(self, x: int) -> str:
        """The column so many cells from the left."""
        return column_at(self._placed, x)

    def _draw(self, row: int, width: int) -> Text:
        run = self._shown[row]
        return run_line(run, self._placed, time.time(), run.id in self.selected)

    def on_resize(self) -> None:
        self.rearrange()
