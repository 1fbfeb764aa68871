"""All runs: to find one, to open or compare some, to name, tag, note, pin, resume, fork or delete them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import DescendantBlur, DescendantFocus
from textual.message import Message
from textual.widgets import Input, Static

from tuiae.render.runs import next_sort, passed_over_words, sort_by
from tuiae.render.text import clean
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import check_runs_dir
from tuiae.runs.query import HELP, parse_query
from tuiae.ui.feeds import Feed, RunsListed, follow_list
from tuiae.ui.keys import ON_RUN, RUNS, run_takes
from tuiae.ui.screens.managing import Removing, Steering
from tuiae.ui.session import Session
from tuiae.ui.widgets.tables import LineTable, RunDetails, RunTable

MARK_CELLS = 3
OF_A_ROW = ("open", "choose", "select", "select_all", "rename", "tags", "note", "pin", "delete", "copy")
"""Actions on the run under the cursor."""


class RunsScreen(Steering, Removing):
    """A table that keeps its cursor, and what is selected, while runs come and go."""

    MODE = "runs"
    NAME = "all runs"
    BINDINGS = [key.binding for key in RUNS]
    AUTO_FOCUS = "#runs"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (110, "-wide"), (176, "-broad")]

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
        self._feed = Feed(follow_list(session.root), self.post_message, "runs")
        self._passed_over: tuple[str, ...] = ()
        self._listed = False

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            with Horizontal(id="list"):
                yield RunTable()
                yield RunDetails(id="details")
            yield Static("reading the runs…", id="empty")
            yield Input(placeholder=HELP, id="filter", compact=True)

    @property
    def table(self) -> RunTable:
        return self.query_one(RunTable)

    def is_enabled(self, action: str) -> bool:
        row = self.table.row_under
        if action in ON_RUN:
            return row is not None and run_takes(action, row.status, bool(row.settings))
        if action == "compare":
            return len(self.table.rows) > 1
        if action in ("find", "sort"):
            return bool(self.table.rows)
        return super().is_enabled(action) and (row is not None or action not in OF_A_ROW)

    def _keys_may_change(self) -> None:
        """Which keys count follows from the run under the cursor, and from there being runs at all."""
        row = self.table.row_under
        self.keys_depend(min(len(self.table.rows), 2), row and (row.status.state, bool(row.settings)))

    # What is listed

    @on(RunsListed)
    def _take_rows(self, event: RunsListed) -> None:
        self._listed = self._listed or event.complete
        self._passed_over = event.passed_over
        # Which words are tags or whole values, these runs may say otherwise than those that were there.
        self.table.query_words = parse_query(self.query_one("#filter", Input).value, event.rows)
        self.table.take(event.rows)
        self._show()

    def _show(self) -> None:
        """What stands around the table follows from what it shows."""
        table = self.table
        shown, every = len(table.shown), len(table.rows)
        words = self.query_one("#filter", Input).value.strip()
        self.query_one("#list").display = bool(shown)
        empty = self.query_one("#empty", Static)
        empty.display = not shown
        if not every and self._listed:
            self.attempt(check_runs_dir, self.session.root)
            empty.update(
                Text(f"no runs in {self.session.root} yet\n\n2 goes to the form, r starts one", justify="center")
            )
        elif every and not shown:
            empty.update(
                Text(f"none of {every} runs is found by\n{clean(words, 60)}\n\nescape shows all", justify="center")
            )
        self.query_one(RunDetails).show(table.row_under)
        self._keys_may_change()
        self._hint()

    def _entitle(self) -> None:
        """Say of how many runs this is the list, and how many are selected."""
        table = self.table
        shown, every = len(table.shown), f"{len(table.rows)}{'' if self._listed else '…'}"
        title = f"runs · {shown} of {every}" if self.query_one("#filter", Input).value.strip() else f"runs · {every}"
        if table.selected:
            title += f" · {len(table.selected)} selected"
            hidden = len(table.selected) - len(table.chosen)
            title += f", {hidden} not shown" if hidden else ""
        table.border_title = title
        words = ("" if table.sort.key else "newest first", passed_over_words(self._passed_over))
        table.border_subtitle = Content(" · ".join(word for word in words if word))

    @on(DescendantFocus, "#filter")
    @on(DescendantBlur, "#filter")
    def _hint(self) -> None:
        self._entitle()
        number = len(self.table.chosen)
        if problem := self.table.query_words.problem:
            self.message.hint(problem, "caution")
        elif self.query_one("#filter").has_focus:
            self.message.hint("text or key:value · enter takes the filter, escape drops it")
        elif number:
            words = "c compares them" if number > 1 else "space selects more"
            self.message.hint(f"{number} selected · {words}")
        else:
            self.message.hint("space selects runs, c compares them · / finds · s sorts · D deletes")

    @on(LineTable.Moved)
    def _moved(self, event: LineTable.Moved) -> None:
        if not isinstance(event, LineTable.Chosen):
            self.query_one(RunDetails).show(self.table.row_under)
            self._keys_may_change()

    @on(LineTable.Chosen)
    def _chosen(self, event: LineTable.Chosen) -> None:
        self._on_row(lambda row: self.post_message(self.Opened(row.path)))

    @on(LineTable.Pointed)
    def _pointed(self, event: LineTable.Pointed) -> None:
        if event.row < 0:
            key = self.table.column_at(event.x)
            if key:
                self._sort(lambda: sort_by(key, self.table.sort))
        elif event.x < MARK_CELLS:
            self.table.move_to(event.row)
            self.table.toggle(self.table.under)
            self._hint()
        else:
            self.table.press_row(event.row)

    # Finding and ordering

    def action_find(self) -> None:
        """Type what to find."""
        self.minimize()  # the field stands below the table
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    @on(Input.Changed, "#filter")
    def _typed(self, event: Input.Changed) -> None:
        self.message.release()
        self.table.query_words = parse_query(event.value, self.table.rows)
        self.table.rearrange()
        self._show()

    @on(Input.Submitted, "#filter")
    def _found(self) -> None:
        self.query_one("#filter").display = bool(self.query_one("#filter", Input).value.strip())
        self.table.focus()

    @property
    def main_panel(self) -> RunTable:
        return self.table

    def action_back(self) -> None:
        """Show all again; with nothing left out, back to the open run."""
        field = self.query_one("#filter", Input)
        if field.display and self.maximized is None:
            field.value = ""
            field.display = False
            self.table.focus()
        else:
            super().action_back()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort(lambda: next_sort(self.table.sort, self.table.columns))

    def action_reverse(self) -> None:
        """The other way round."""
        self._sort(lambda: replace(self.table.sort, falling=not self.table.sort.falling))

    def _sort(self, order: Callable[[], Any]) -> None:
        self.table.order(order())
        self._entitle()
        sort = self.table.sort
        words = f"by {sort.key}, {'highest' if sort.falling else 'lowest'} first" if sort.key else "newest first"
        self.message.release()
        self.message.hint(words)

    # Selecting

    def _on_row(self, act: Callable[[RunRow], Any]) -> None:
        """Do something to the run under the cursor, if there is one; what is wrong with it is said."""
        row = self.table.row_under
        if row is not None:
            self.message.release()
            self.attempt(act, row)

    @property
    def meant(self) -> tuple[RunRow, ...]:
        """The selected runs of those that show, else the one under the cursor."""
        under = self.table.row_under
        return self.table.chosen or ((under,) if under is not None else ())

    def action_open(self) -> None:
        """Open the run under the cursor."""
        self.table.action_choose()

    def action_select(self) -> None:
        """Select the run under the cursor, or take it out again, and go to the next."""
        if self.table.under:
            self.table.toggle(self.table.under)
            self.table.action_move(1)
            self.message.release()
            self._hint()

    def action_select_all(self) -> None:
        """Select all that are shown; when they are already, none."""
        shown = [row.id for row in self.table.shown]
        rest = [run_id for run_id in shown if run_id not in self.table.selected]
        self.table.toggle(*(rest or shown))
        self.message.release()
        self._hint()

    def action_compare(self) -> None:
        """Lay the selected runs beside each other, those that show."""
        chosen = self.table.chosen
        if len(chosen) < 2:
            told = "one run is selected" if chosen else "no run is selected"
            told += " of those that show" if len(self.table.selected) > len(chosen) else ""
            self.message.tell(f"{told}: select two or more with space, then press c", "caution")
            return
        self.post_message(self.CompareWanted([row.path for row in chosen]))
