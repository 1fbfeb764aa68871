"""All runs: to find one, to open or compare some, to name, tag, note, pin, resume, fork or delete them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.text import Text
from textual import getters, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import DescendantBlur, DescendantFocus
from textual.widgets import Input, Static

from tuiae.render.runs import Sort, next_sort, sort_by
from tuiae.render.text import clean
from tuiae.runs import control
from tuiae.runs.checkpoints import all_checkpoints
from tuiae.runs.labels import relabel
from tuiae.runs.lineage import repeat_line
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import RunPaths, check_runs_dir, need_run
from tuiae.runs.query import HELP, parse_query
from tuiae.runs.reader import read_status
from tuiae.ui.feeds import Feed, RunsListed, follow_list
from tuiae.ui.keys import ON_RUN, RUNS, run_takes
from tuiae.ui.screens.base import BaseScreen, on_chosen
from tuiae.ui.screens.changes import ask_fork
from tuiae.ui.screens.managing import ask_name, ask_note, ask_tags, change_labels, delete_after_question
from tuiae.ui.session import NothingToDoError, Session, pause_word
from tuiae.ui.widgets.tables import LineTable, RunDetails, RunTable

MARK_CELLS = 3  # at the beginning of a row, where a click selects it
ON_ROW = ("open", "choose", "select", "select_all", "rename", "tags", "note", "pin", "delete", "copy")
"""Actions on the run under the cursor."""


class RunsScreen(BaseScreen):
    """A table that keeps its cursor, and what is selected, while runs come and go."""

    MODE = "runs"
    NAME = "all runs"
    BINDINGS = [key.binding for key in RUNS]
    AUTO_FOCUS = "#runs"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (110, "-wide"), (176, "-broad")]

    table = getters.query_one(RunTable)
    main_panel = table
    filter = getters.query_one("#filter", Input)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.feed: Feed = Feed(follow_list(session.root), self.post_message, "runs")
        self._all_read = False
        self._passed_over: tuple[str, ...] = ()

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            with Horizontal(id="list"):
                yield RunTable("runs", id="runs")
                yield RunDetails(id="details")
            yield Static("reading the runs…", id="empty")
            yield Input(placeholder=HELP, id="filter", compact=True)

    def is_enabled(self, action: str) -> bool:
        row = self.chosen
        if action in ON_RUN:
            return row is not None and run_takes(action, row.status, bool(row.settings))
        if action == "compare":
            return len(self.table.rows) > 1
        if action in ("find", "sort"):
            return bool(self.table.rows)
        return super().is_enabled(action) and (row is not None or action not in ON_ROW)

    # What is listed

    @on(RunsListed)
    def _take_rows(self, event: RunsListed) -> None:
        self._all_read = self._all_read or event.complete
        self._passed_over = event.passed_over
        # Which words are tags or whole values follows from the runs.
        self.table.query_words = parse_query(self.filter.value, event.rows)
        self.table.take(event.rows)
        self._show()

    def _show(self) -> None:
        """Show around the table what follows from it."""
        shown, every = len(self.table.shown), len(self.table.rows)
        self.query_one("#list").display = bool(shown)
        empty = self.query_one("#empty", Static)
        empty.display = not shown
        if not every and self._all_read:
            self.attempt(check_runs_dir, self.session.root)
            words = f"no runs in {self.session.root} yet\n\n2 goes to the form, r starts one"
            empty.update(Text(words, justify="center"))
        elif every and not shown:
            words = f"none of {every} runs is found by\n{clean(self.filter.value.strip(), 60)}\n\nescape shows all"
            empty.update(Text(words, justify="center"))
        self._show_row()
        self._hint()

    @on(LineTable.Moved)
    def _show_row(self) -> None:
        """Show what follows from the run under the cursor."""
        row = self.chosen
        self.query_one(RunDetails).show(row)
        self.update_keys(min(len(self.table.rows), 2), row and (row.status.state, bool(row.settings)))

    @on(DescendantFocus, "#filter")
    @on(DescendantBlur, "#filter")
    def _hint(self) -> None:
        """Say in the frame and in the message what can be done with what shows."""
        self.table.entitle(self._all_read, bool(self.filter.value.strip()), self._passed_over)
        number = len(self.table.chosen)
        if problem := self.table.query_words.problem:
            self.message.hint(problem, "caution")
        elif self.filter.has_focus:
            self.message.hint("text or key:value · enter takes the filter, escape drops it")
        elif number:
            self.message.hint(f"{number} selected · {'c compares them' if number > 1 else 'space selects more'}")
        else:
            self.message.hint("space selects runs, c compares them · / finds · s sorts · D deletes")

    @on(LineTable.Pointed)
    def _clicked(self, event: LineTable.Pointed) -> None:
        if event.row < 0:
            if key := self.table.column_at(event.x):
                self._sort(sort_by(key, self.table.sort))
        elif event.x < MARK_CELLS:
            self.table.move_to(event.row)
            self.table.toggle(self.table.under)
            self._hint()
        else:
            self.table.press_row(event.row)

    # Finding and ordering

    def action_find(self) -> None:
        self.minimize()  # the field stands below the table
        self.filter.display = True
        self.filter.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.message.release()
        self.table.query_words = parse_query(event.value, self.table.rows)
        self.table.rearrange()
        self._show()

    @on(Input.Submitted, "#filter")
    def _filter_taken(self) -> None:
        self.filter.display = bool(self.filter.value.strip())
        self.table.focus()

    def action_back(self) -> None:
        """Show all again; with nothing left out, back to the open run."""
        if self.filter.display and self.maximized is None:
            self.filter.value = ""
            self.filter.display = False
            self.table.focus()
        else:
            super().action_back()

    def action_sort(self) -> None:
        self._sort(next_sort(self.table.sort, self.table.columns))

    def action_reverse(self) -> None:
        """The other way round."""
        self._sort(replace(self.table.sort, falling=not self.table.sort.falling))

    def _sort(self, sort: Sort) -> None:
        self.table.order(sort)
        self.message.release()
        self._hint()
        order = f"by {sort.key}, {'highest' if sort.falling else 'lowest'} first" if sort.key else "newest first"
        self.message.hint(order)

    # Selecting

    @property
    def chosen(self) -> RunRow | None:
        return self.table.row_under

    @property
    def meant(self) -> tuple[RunRow, ...]:
        """The selected runs of those that show, else the one under the cursor."""
        return self.table.chosen or (() if self.chosen is None else (self.chosen,))

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
        if len(chosen) > 1:
            self.session.compare([row.path for row in chosen])
            self.app.switch_mode("compare")
            return
        told = "one run is selected" if chosen else "no run is selected"
        told += " of those that show" if len(self.table.selected) > len(chosen) else ""
        self.message.tell(f"{told}: select two or more with space, then press c", "caution")

    # The run under the cursor

    def action_open(self) -> None:
        self.table.action_choose()

    @on(LineTable.Chosen)
    @on_chosen
    def _open(self, row: RunRow) -> None:
        self.open_run(row.path)

    @on_chosen
    def action_pause(self, row: RunRow) -> None:
        """Pause the run under the cursor, or let it go on."""
        status = read_status(RunPaths(row.path))
        if not status.live:
            raise NothingToDoError(f"{row.title} is {status.state}: only a run that trains can pause")
        word = pause_word(status.state)
        control.send(RunPaths(row.path), word)
        self.tell_asked(word, row.title)
        self.feed.hurry()

    @on_chosen
    def action_resume(self, row: RunRow) -> None:
        """Go on with the run under the cursor from its last checkpoint, and open it."""
        if row.status.live:
            raise NothingToDoError(f"{row.title} is {row.status.state} already: Enter opens it")

        def resume(other_images: bool) -> None:
            self.session.resume(row.path, other_images)
            self.app.switch_mode("live")

        self.train_on(resume)

    @on_chosen
    def action_fork(self, row: RunRow) -> None:
        """Go on from a checkpoint of the run under the cursor with changed settings."""
        source = RunPaths(row.path)
        need_run(source)
        if not all_checkpoints(source):
            raise NothingToDoError(f"nothing to fork: {row.title} has no checkpoint to go on from")
        ask_fork(self, source)

    @on_chosen
    def action_copy(self, row: RunRow) -> None:
        """Copy the command that repeats the run under the cursor."""
        self.copy(repeat_line(RunPaths(row.path)))

    # Labels, and deleting

    action_rename = on_chosen(ask_name)
    action_note = on_chosen(ask_note)

    def action_tags(self) -> None:
        """The tags of one run, or tags to add to and take from all that are selected."""
        if rows := self.meant:
            ask_tags(self, rows)

    def action_pin(self) -> None:
        """Keep runs on top, or not any longer."""
        pinned = not all(row.pinned for row in self.meant)
        change_labels(self, self.meant, lambda run: relabel(run, pinned=pinned))

    def action_delete(self) -> None:
        """Delete the selected runs, or the one under the cursor, after a question."""
        self.message.release()
        if self.meant and not any(worker.group == "delete" and not worker.is_finished for worker in self.workers):
            self._delete(self.meant)

    @work(group="delete")
    async def _delete(self, rows: Sequence[RunRow]) -> None:
        await delete_after_question(self, rows, self.table.rows)
        self.feed.hurry()
