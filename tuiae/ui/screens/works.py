"""The published works: what they claim, what came of it here, and running them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from rich.text import Text
from textual import getters, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tuiae.errors import DataError
from tuiae.render.works import (
    LEGEND,
    done_words,
    draw_about,
    draw_claims,
    draw_trainings,
    expected_words,
    missing_words,
    work_line,
)
from tuiae.reproduce.state import WorkReader, WorkState, start_work, stop_process
from tuiae.reproduce.work import find_work, list_works
from tuiae.runs.listing import RunRow
from tuiae.ui.feeds import Feed, FeedMessage, Looks, RunsListed, follow_list
from tuiae.ui.keys import WORKS
from tuiae.ui.screens.base import BaseScreen, on_chosen
from tuiae.ui.screens.dialogs import ChoiceDialog
from tuiae.ui.session import NothingToDoError, Session
from tuiae.ui.widgets.chrome import ViewBar, Views
from tuiae.ui.widgets.panel import Panel
from tuiae.ui.widgets.tables import LineTable, TablePanel


@dataclass
class WorksRead(FeedMessage):
    """The works as they are now."""

    states: tuple[WorkState, ...]


def follow_works(root: Path) -> Looks:
    """The works and the runs that belong to them, once every run was read."""
    reader = WorkReader(root, [find_work(name) for name in list_works()])
    states: tuple[WorkState, ...] | None = None
    rows: tuple[RunRow, ...] | None = None
    for listed, rest in follow_list(root, histories=False):
        if isinstance(listed, RunsListed) and listed.complete:
            rows = listed.rows
        before, states = states, reader.states(rows) if rows is not None else None
        yield WorksRead(states) if states is not None and states != before else None, rest


class WorkAbout(Panel):
    """What the chosen work is, and how far it is."""

    BORDER_TITLE = "about"
    can_focus = False

    _state: WorkState | None = None

    def show(self, state: WorkState | None) -> None:
        """Show a work; None shows nothing."""
        if state != self._state:
            self._state = state
            self.set_title(state.name if state else self.BORDER_TITLE)
            self.changed()

    def draw(self, width: int, height: int) -> Text:
        return draw_about(self._state, width, height, time.time())


class WorkView(Views):
    """Works, claims and trainings; on a small screen one of them at a time."""

    MAIN_PANELS = {"works": "#works", "claims": "#claims", "trainings": "#trainings"}

    trainings = getters.query_one("#trainings", LineTable)
    works = getters.query_one("#works", LineTable)

    _states: Mapping[str, WorkState] = {}

    def compose(self) -> ComposeResult:
        yield ViewBar(self.MAIN_PANELS)
        with Horizontal(id="work-parts"):
            with Vertical(id="work-list"):
                works = LineTable("works", id="works")
                works.border_subtitle = LEGEND
                yield works
                yield WorkAbout(id="about")
            with Vertical(id="work-found"):
                yield TablePanel("claims", id="claims")
                yield LineTable("trainings", id="trainings")

    @property
    def chosen(self) -> WorkState | None:
        """The work under the cursor."""
        return self._states.get(self.works.under)

    def show(self, states: tuple[WorkState, ...]) -> None:
        """Show the works as they are now."""
        names = tuple(state.name for state in states)
        before, self._states = self._states, {state.name: state for state in states}
        if names != self.works.keys:
            self.works.show(names, lambda row, width: work_line(self._states[names[row]], width))
            self.show_chosen()
            return
        changed = [name for name in names if before[name] != self._states[name]]
        self.works.redraw(changed)
        if self.works.under in changed:
            self.show_chosen()

    def show_chosen(self) -> None:
        """Show claims and trainings of the work under the cursor."""
        state = self.chosen
        self.query_one(WorkAbout).show(state)
        claims = self.query_one("#claims", TablePanel)
        claims.border_title = f"claims · {len(state.claims)}" if state else "claims"
        claims.show(lambda width: draw_claims(state, width))
        table, runs = self.trainings, state.runs if state else ()
        table.border_title = done_words(state) if state else "trainings"
        drawn = lru_cache(maxsize=1)(partial(draw_trainings, runs))
        table.show([run.label for run in runs], lambda row, width: drawn(width)[row + 1], lambda width: drawn(width)[0])


class WorksScreen(BaseScreen):
    """Works, claims, verdicts; a work runs as a process of its own, which leaving the dashboard does not end."""

    MODE = "works"
    BINDINGS = [key.binding for key in WORKS]
    AUTO_FOCUS = "#works"

    view = getters.query_one(WorkView)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.feed: Feed = Feed(follow_works(session.root), self.post_message, "works")
        self._children: list[subprocess.Popen[bytes]] = []

    def compose_body(self) -> ComposeResult:
        yield WorkView(id="body")

    def on_mount(self) -> None:
        self.message.hint("reading the works…")

    @property
    def chosen(self) -> WorkState | None:
        return self.view.chosen

    # What shows

    @on(WorksRead)
    def _take(self, event: WorksRead) -> None:
        # A child that has ended stays a zombie until somebody looks.
        self._children = [child for child in self._children if child.poll() is None]
        self.view.show(event.states)
        self._hint()

    @on(LineTable.Moved, "#works")
    def _moved(self) -> None:
        self.message.release()
        self.view.show_chosen()
        self._hint()

    def is_enabled(self, action: str) -> bool:
        state = self.chosen
        if action == "stop":
            return state is not None and state.running
        if action == "run":
            return state is not None and not state.running and not state.problem
        if action == "choose" and self.focused is self.view.trainings:
            return self._training(self.view.trainings.under) is not None
        return super().is_enabled(action)

    def name_of(self, action: str) -> str:
        state, at_trainings = self.chosen, self.focused is self.view.trainings
        if action == "choose" and not at_trainings:
            return "Trainings"
        if action == "back" and at_trainings:
            return "Works"
        if action == "run" and state is not None and 0 < state.full.missing < len(state.runs):
            return "Go on"
        return super().name_of(action)

    def _training(self, label: str) -> RunRow | None:
        """The run of one of the trainings; None where it has none."""
        state = self.chosen
        return next((run.row for run in state.runs if run.label == label), None) if state else None

    def _hint(self) -> None:
        state = self.chosen
        if state is None:
            return
        if state.problem:
            self.message.hint(state.problem, "bad")
        elif state.running:
            self.message.hint(f"{state.name} runs in the background, whether or not tuiae is open · x stops it", "good")
        elif state.lacks:
            commands = " and ".join(lacking.commands[0] for lacking in state.lacks)
            self.message.hint(f"{missing_words(state.lacks)}: {commands}", "caution")
        else:
            self.message.hint(f"r runs {state.name}: {expected_words(state.full)} · enter opens a training")

    @on(LineTable.Pointed)
    def _pointed(self, event: LineTable.Pointed) -> None:
        if event.row >= 0:
            event.table.press_row(event.row)

    @on(LineTable.Chosen, "#works")
    def _chosen_work(self) -> None:
        self.minimize()
        self._turn_to("trainings")

    @on(LineTable.Chosen, "#trainings")
    def _chosen_training(self, event: LineTable.Chosen) -> None:
        row = self._training(event.key)
        if row is None:
            self.message.tell(f"{event.key} has not run yet: r runs what is missing")
        else:
            self.open_run(row.path)

    def action_back(self) -> None:
        """From the trainings to the works, and from those to the open run."""
        if self.maximized is None and self.focused is self.view.trainings:
            self._turn_to("works")
        else:
            super().action_back()

    def _turn_to(self, view: str) -> None:
        """Put the focus on one of the lists, which may have to come in sight first."""
        self.view.reveal(view)
        self.view.main_panel.focus()

    # Running

    @on_chosen
    def action_run(self, state: WorkState) -> None:
        """Run the chosen work, or go on with it."""
        if state.problem:
            return  # which the message says
        if state.running:
            raise NothingToDoError(f"{state.name} runs already: x stops it")
        for lacking in state.lacks:
            if not lacking.can_be_fetched:
                raise DataError(missing_words([lacking]), f"`{lacking.commands[-1]}` brings it here")
        left = f"{state.full.missing} of {len(state.runs)} trainings, " if state.full.missing else ""
        whole, quick = (
            ("Download, then the whole", "Download, then a quick") if state.lacks else ("The whole", "A quick")
        )
        answers = [
            ("full", f"{whole} work: {left}{expected_words(state.full)}"),
            ("quick", f"{quick} try, which is no verdict: {expected_words(state.quick)}"),
            ("cancel", "Cancel"),
        ]
        question = f"{state.name} runs in the background, with its log beside the runs. What is done is kept."
        if state.lacks:
            carried = " and ".join(lacking.commands[-1] for lacking in state.lacks)
            question += f"\n\n{missing_words(state.lacks)}, and downloaded first. Without a network:\n{carried}"
        self.show_dialog(ChoiceDialog("run a work", question, answers), lambda answer: self._run(state, answer))

    def _run(self, state: WorkState, answer: str) -> None:
        self._children.append(start_work(self.session.root, find_work(state.name), quick=answer == "quick"))
        self.message.tell(f"{state.name} starts; it goes on when you leave", "good")
        self.feed.hurry()

    @on_chosen
    def action_stop(self, state: WorkState) -> None:
        """Stop the chosen work: its trainings save, and r goes on later."""
        if not stop_process(self.session.root, state.name):
            raise NothingToDoError(f"{state.name} is not running")
        self.message.tell(f"{state.name} saves and stops; r goes on with it", "caution")
        self.feed.hurry()
