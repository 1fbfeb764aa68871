"""All runs: to find one, to open or compare some, to name, tag, note, pin, resume, fork or delete them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.text import Text
from textual import getters, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import DescendantBlur, DescendantFocus, ScreenResume
from textual.widgets import Input, Static

from tuiae.config import counted
from tuiae.render.runs import FIRST, OPTIONAL, USUAL, Sort, column_of, columns_to_choose, next_sort, sort_by
from tuiae.render.text import clean
from tuiae.reproduce.state import stop_process, study_of
from tuiae.runs import control
from tuiae.runs.checkpoints import all_checkpoints
from tuiae.runs.labels import relabel
from tuiae.runs.lineage import config_at, no_config, repeat_line
from tuiae.runs.listing import STOPPING, Line, RunRow, StudyRow, to_compare
from tuiae.runs.paths import RunPaths, check_runs_dir, need_run, undated
from tuiae.runs.query import HELP, parse_query
from tuiae.runs.reader import read_status
from tuiae.studies.sweep import SWEEP
from tuiae.ui.feeds import Feed, RunsListed, follow_list
from tuiae.ui.keys import ON_RUN, RUNS, name_now, run_takes
from tuiae.ui.screens.base import BaseScreen, on_chosen
from tuiae.ui.screens.changes import ask_fork
from tuiae.ui.screens.managing import (
    ColumnsDialog,
    ask_kill,
    ask_name,
    ask_note,
    ask_tags,
    change_labels,
    delete_after_question,
    stop_runs,
)
from tuiae.ui.screens.sweeping import RESUMING, ask_sweep, pace_of, resume_sweep
from tuiae.ui.session import NothingToDoError, Session, pause_word
from tuiae.ui.terminal.app import TerminalApp
from tuiae.ui.widgets.tables import LineTable, RunDetails, RunTable

MARK_CELLS = 3  # at the beginning of a row, where a click selects it
LEAST_DETAILS, MOST_DETAILS = 7, 18  # lines below the list for the details, their frame included
WANTED_DETAILS = 10  # for which a long list scrolls
AROUND_ROWS = 3  # lines of the list beside its rows
AGE_SECONDS = 10.0  # between drawings of ages: list and details say the same
LEAST_ROWS = 14  # that a list keeps where it scrolls so that the details have room below it
ON_LINE = ("open", "select", "select_all", "tags", "pin", "delete", "sweep")
"""Actions on the run under the cursor, or on those of the study."""
ON_ROW = ("rename", "note", "copy")
"""Actions on the run under the cursor."""


def on_run(act: Callable[[RunsScreen, RunRow], object]) -> Callable[[RunsScreen], None]:
    """An action on the run under the cursor, which says so of a study."""
    action = on_chosen(act)

    def acts(screen: RunsScreen) -> None:
        if screen.table.study_under is not None:
            screen.message.tell("this is for one run: enter shows those of the study", "caution")
        action(screen)

    return acts


class RunsScreen(BaseScreen):
    """A table that keeps its cursor, and what is selected, while runs come and go."""

    MODE = "runs"
    NAME = "all runs"
    BINDINGS = [key.binding for key in RUNS]
    AUTO_FOCUS = "#runs"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (110, "-wide"), (176, "-broad")]

    app = getters.app(TerminalApp)
    table = getters.query_one(RunTable)
    main_panel = table
    filter = getters.query_one("#filter", Input)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.feed: Feed = Feed(follow_list(session.root), self.post_message, "runs")
        self._all_read = False
        self._on_study = False
        self._passed_over: tuple[str, ...] = ()
        self._sought = ""
        """The line of what was started or opened elsewhere, to which the cursor goes as soon as it is there."""
        self._opened = ""
        """The run that was open when this screen was shown last."""

    def on_mount(self) -> None:
        self._show_columns(self.app.setting("columns", ""))
        self.set_interval(AGE_SECONDS, self._show_ages)

    def _show_ages(self) -> None:
        """Draw again what says how long ago something was."""
        if self.is_current:
            self.table.refresh()
            self.query_one(RunDetails).changed()

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            with Horizontal(id="list"):
                yield RunTable("runs", id="runs")
                yield RunDetails(id="details")
            yield Static("reading the runs…", id="empty")
            yield Input(placeholder=HELP, id="filter", compact=True)

    def is_enabled(self, action: str) -> bool:
        action = action.removeprefix("screen.")  # those of the table's own keys
        row, line = self.chosen, self.table.line_under
        if action == "unfold(False)":
            return self.table.folds
        if action == "group":
            return not self.table.grouped or any(isinstance(one, StudyRow) for one in self.table.lines)
        if action == "stop" and isinstance(line, StudyRow):
            return line.trains or any(run.status.live for run in line.runs)
        if action == "resume" and isinstance(line, StudyRow):
            lacks = line.missing or line.unfinished
            return bool(lacks) and line.is_sweep and (line.stops or not line.trains)
        if action in ON_RUN:
            return row is not None and run_takes(action, row.status, bool(row.settings))
        if action in ("compare", "find", "sort"):
            return len(self._to_compare) > 1 if action == "compare" else bool(self.table.rows)
        if action in ON_ROW or action in ON_LINE:
            return (row if action in ON_ROW else line) is not None
        return super().is_enabled(action)

    def name_of(self, action: str) -> str:
        table = self.table
        match action.removeprefix("screen."):
            case "open" if table.study_under is not None:
                return "Fold" if table.study_under.opened else "Unfold"
            case "select" if table.selects(table.runs_under):
                return "Unselect"
            case "select_all" if table.selects(table.shown):
                return "None"
            case "group" if table.grouped:
                return "Ungroup"
            case "pin" if all(run.pinned for run in self.meant):
                return "Unpin"
            case "back" if self.filter.display and self.filter.value.strip():
                return "Show all"
        return name_now(action, self.chosen.status.state if self.chosen is not None else "")

    # What is listed

    @on(ScreenResume)
    def _seek_opened(self) -> None:
        """Go to the run that was opened or started meanwhile."""
        opened = self.session.path.name if self.session.path is not None else ""
        if opened != self._opened:
            self._opened = self._sought = opened
            self._go_to_started()

    @on(RunsListed)
    def _take_rows(self, event: RunsListed) -> None:
        self._all_read = self._all_read or event.complete
        self._passed_over = event.passed_over
        self.table.query_words = parse_query(self.filter.value, event.rows)  # what a word means follows from the runs
        for study, words in self.session.failed_studies().items():
            self.message.tell(f"{study.removeprefix(SWEEP)} has failed: {words}", "bad")
        self.table.running = event.running
        self.table.take(event.rows)
        self._go_to_started()
        self._show()

    def show_started(self, tag: str, words: str) -> None:
        """Say that a study was started, and go to its line."""
        self._sought = f"/{tag}"
        self.message.tell(words, "good")
        self._go_to_started()
        self.feed.hurry()

    def _go_to_started(self) -> None:
        if self._sought in self.table.keys:
            self.table.move_to(self.table.keys.index(self._sought))
            self._sought = ""
        elif self.filter.value and any(f"/{row.study}" == self._sought for row in self.table.rows):
            with self.prevent(Input.Changed):
                self.filter.value = ""  # it hides what was started
            self.filter.display = False
            self.table.query_words = parse_query("", self.table.rows)
            self.table.rearrange()
            self._go_to_started()

    def on_key(self) -> None:
        self._sought = ""  # somebody goes elsewhere meanwhile

    def _show(self) -> None:
        """Show around the table what follows from it."""
        shown, every = len(self.table.shown), len(self.table.rows)
        if bool(shown) and not self.query_one("#list").display:
            self.call_after_refresh(self._place_details)  # it has a size again by then
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
        self._place_details()
        self._show_row()
        self._hint()

    def on_resize(self) -> None:
        super().on_resize()
        self.call_after_refresh(self._place_details)

    def _place_details(self) -> None:
        """Below the list where that leaves lines free, whatever a filter hides; else beside it where it is broad, and
        below a list that scrolls where that is high enough."""
        around, details = self.query_one("#list"), self.query_one(RunDetails)
        height, rows = around.size.height - AROUND_ROWS, self.table.usual_lines
        if not self.has_class("-broad"):
            rows = min(rows, max(height - WANTED_DETAILS, LEAST_ROWS))
        free, least = height - rows, WANTED_DETAILS if self.has_class("-broad") else LEAST_DETAILS
        around.set_class(free >= least, "-below")
        details.styles.height = min(free, MOST_DETAILS) if free >= least else "1fr"

    @on(LineTable.Moved)
    def _show_row(self) -> None:
        """Show what follows from the run or the study under the cursor."""
        line = self.table.line_under
        self.query_one(RunDetails).show(line)
        if isinstance(line, StudyRow) is not self._on_study:
            self._hint()

    @on(DescendantFocus, "#filter")
    @on(DescendantBlur, "#filter")
    def _hint(self) -> None:
        """Say in the frame and in the message what can be done with what shows."""
        self.table.entitle(self._all_read, bool(self.filter.value.strip()), self._passed_over)
        number, study = len(self.table.chosen), self.table.study_under
        self._on_study = study is not None
        if problem := self.table.query_words.problem:
            self.message.hint(problem, "caution")
        elif self.filter.has_focus:
            self.message.hint("text or key:value · enter takes the filter, escape drops it · OR, NOT and ( ) as well")
        elif number:
            self.message.hint(f"{number} selected · {'c compares them' if number > 1 else 'space selects more'}")
        elif study is not None:
            fold_words = "folds" if study.opened else "unfolds"
            self.message.hint(
                f"enter {fold_words} {study.name}{self._keys_of(study)} · c compares its runs · D deletes them"
            )
        else:
            self.message.hint("space selects runs, c compares them · / finds · s sorts · D deletes")

    def _keys_of(self, study: StudyRow) -> str:
        """What stops a study, or goes on with it, behind a dot; empty where nothing does."""
        if study.trains and not study.stops:
            return " · x saves and stops it"
        return " · R goes on with it" if self.is_enabled("resume") else ""

    @on(LineTable.Pointed)
    def _clicked(self, event: LineTable.Pointed) -> None:
        if event.row < 0:
            if key := self.table.column_at(event.x):
                self._sort(sort_by(key, self.table.sort))
            return
        is_study = isinstance(self.table.lines[event.row], StudyRow)
        if event.x < MARK_CELLS or is_study:
            self.table.move_to(event.row)
        if event.x < MARK_CELLS:
            self.action_select()
        elif is_study:
            self._open()
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

    def action_columns(self) -> None:
        """Choose which settings and metrics show; they are remembered."""
        chosen = [column.name for column in self.table.wanted if column.name not in FIRST]
        dialog = ColumnsDialog(columns_to_choose(self.table.rows), chosen)
        self.show_dialog(dialog, self._take_columns)

    def _take_columns(self, names: str) -> None:
        before = {column.name for column in self.table.wanted}
        self._show_columns(names)
        self.app.remember(columns=names)
        self.table.rearrange()
        self.table.refresh()
        self._show()
        placed = {*self.table.columns, *OPTIONAL, *before}
        if lacking := [column.name for column in self.table.wanted if column.name not in placed]:
            self.message.tell(f"no room here for {', '.join(lacking)}: a wider terminal, or fewer columns", "caution")

    def _show_columns(self, names: str) -> None:
        """The columns of these names, or the usual ones; a metric that was chosen once may be one of no run now."""
        self.table.wanted = tuple(map(column_of, (*FIRST, *names.split(",")))) if names else USUAL

    # Selecting

    @property
    def chosen(self) -> RunRow | None:
        return self.table.row_under

    @property
    def meant(self) -> tuple[RunRow, ...]:
        """The selected runs of those that show, else the one under the cursor, or those of the study there."""
        return self.table.chosen or self.table.runs_under

    def action_select(self) -> None:
        """Select the run under the cursor, or all of the study, or take them out again."""
        if runs := self.table.runs_under:
            self.table.toggle(*(run.id for run in runs))
            self.message.release()
            self._hint()

    def action_select_all(self) -> None:
        """Select all that are shown; when they are already, none."""
        self.table.toggle(*(row.id for row in self.table.shown))
        self.message.release()
        self._hint()

    @property
    def _to_compare(self) -> tuple[RunRow, ...]:
        """The selected runs of those that show, else those of the study."""
        study = self.table.study_under
        return self.table.chosen or (study.runs if study is not None else ())

    def action_compare(self) -> None:
        """Lay the selected runs beside each other, those that show; with none selected those of the study."""
        chosen = self._to_compare
        if len(chosen) > 1:
            study = self.table.study_under
            whole = study is not None and not self.table.chosen and len(study.runs) == len(study.every)
            self.session.compare([row.path for row in to_compare(chosen)], study.tag if study and whole else "")
            self.app.switch_mode("compare")
            return
        told = "one run is selected" if chosen else "no run is selected"
        told += " of those that show" if len(self.table.selected) > len(chosen) else ""
        self.message.tell(f"{told}: select two or more with space, then press c", "caution")

    # Studies

    def action_unfold(self, opened: bool) -> None:
        """Show the runs of the study under the cursor, or fold them together."""
        self.table.unfold(opened)
        self._show()

    def action_group(self) -> None:
        """The runs of each study below one line of it, or all runs among each other."""
        self.table.group(not self.table.grouped)
        self._show()
        self.message.remark(
            "the runs of a study stand together" if self.table.grouped else "every run stands by itself"
        )

    # The run under the cursor

    def action_open(self) -> None:
        self.table.action_choose()

    @on(LineTable.Chosen)
    def _open(self) -> None:
        if self.table.study_under is not None:
            self.table.unfold()
            self._show()
        elif self.chosen is not None:
            self.message.release()
            self.open_run(self.chosen.path)

    @on_run
    def action_pause(self, row: RunRow) -> None:
        """Pause the run under the cursor, or let it go on."""
        status = read_status(RunPaths(row.path))
        if not status.live:
            raise NothingToDoError(f"{row.title} is {status.state}: only a run that trains can pause")
        word = pause_word(status.state)
        control.send(RunPaths(row.path), word)
        self.tell_asked(word, row.title)
        self.feed.hurry()

    def action_stop(self) -> None:
        """Let the run under the cursor save and stop, or all those of the study and what starts them."""
        self.message.release()
        if (line := self.table.line_under) is not None:
            self.attempt(self._stop, line)

    def _stop(self, line: Line) -> None:
        if isinstance(line, StudyRow) and stop_process(self.session.root, study_of(line.tag)):
            self.workers.cancel_group(self, RESUMING)
            self.message.tell(f"{line.name} {STOPPING} · R goes on with it", "good")
        else:
            rows, name = (line.runs, line.name) if isinstance(line, StudyRow) else ((line,), line.title)
            stop_runs(self, rows, name)
        self.feed.hurry()

    @on_run
    def action_kill(self, row: RunRow) -> None:
        """Kill the worker of the run under the cursor, which does not answer, after a question."""
        ask_kill(self, RunPaths(row.path), row.title)

    def action_sweep(self) -> None:
        """Ask which settings to vary around those of the run under the cursor, or of the best one of the study."""
        line = self.table.line_under
        row = line.best_run() or line.newest if isinstance(line, StudyRow) else line
        if row is not None:
            self.message.release()
            self.attempt(self._sweep, row)

    def _sweep(self, row: RunRow) -> None:
        run = RunPaths(row.path)
        config = config_at(run)
        if config is None:
            raise no_config(run)
        name = row.name or row.varies or undated(row.id)
        ask_sweep(self, config, name, pace_of(row.status, name))

    def action_resume(self) -> None:
        """Go on with the run under the cursor, or with the sweep."""
        study = self.table.study_under
        if study is None:
            self._resume()
        else:
            self.message.release()
            self.attempt(resume_sweep, self, study)
            self.feed.hurry()

    @on_chosen
    def _resume(self, row: RunRow) -> None:
        """Go on with the run under the cursor from its last checkpoint, and open it."""
        if row.status.live:
            raise NothingToDoError(f"{row.title} is {row.status.state} already: Enter opens it")

        def resume(other_images: bool) -> None:
            self.session.resume(row.path, other_images)
            self.app.switch_mode("live")

        self.train_on(resume)

    @on_run
    def action_fork(self, row: RunRow) -> None:
        """Go on from a checkpoint of the run under the cursor with changed settings."""
        source = RunPaths(row.path)
        need_run(source)
        if not all_checkpoints(source) and not row.status.tracked:
            raise NothingToDoError(f"nothing to fork: {row.title} has no checkpoint to go on from")
        ask_fork(self, source)

    @on_run
    def action_copy(self, row: RunRow) -> None:
        """Copy the command that repeats the run under the cursor."""
        self.copy(repeat_line(RunPaths(row.path)))

    # Labels, and deleting

    action_rename = on_run(ask_name)
    action_note = on_run(ask_note)

    def action_tags(self) -> None:
        """The tags of one run, or tags to add to and take from all that are selected."""
        if rows := self.meant:
            ask_tags(self, rows)

    def action_pin(self) -> None:
        """Keep runs on top, or not any longer."""
        pinned = not all(row.pinned for row in self.meant)
        told = f"{counted(len(self.meant), 'run')} {'pinned' if pinned else 'unpinned'}"
        change_labels(self, self.meant, lambda run: relabel(run, pinned=pinned), told)

    def action_delete(self) -> None:
        """Delete the selected runs, or the one under the cursor, after a question."""
        self.message.release()
        if self.meant and not any(worker.group == "delete" and not worker.is_finished for worker in self.workers):
            self._delete(self.meant)

    @work(group="delete")
    async def _delete(self, rows: Sequence[RunRow]) -> None:
        await delete_after_question(self, rows, self.table.rows)
        self.feed.hurry()
