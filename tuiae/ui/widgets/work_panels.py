"""The works at the left, the claims and the trainings of one of them at the right."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache, partial

from rich.text import Text
from textual import getters
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tuiae.render.works import LEGEND, done_words, draw_about, draw_claims, draw_trainings, work_line
from tuiae.reproduce.state import WorkState
from tuiae.ui.widgets.chrome import ViewBar, Views
from tuiae.ui.widgets.panel import Panel
from tuiae.ui.widgets.tables import LineTable, TablePanel


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
