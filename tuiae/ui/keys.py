"""Every key of the dashboard, in one table: bindings, footer and help are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True)
class Key:
    """A key, the action it calls, its name in the footer (empty: not there), and what the help says."""

    key: str
    action: str
    label: str
    help: str

    @property
    def binding(self) -> Binding:
        shown = {"question_mark": "?"}.get(self.key)
        return Binding(self.key, self.action, self.label or self.help, show=bool(self.label), key_display=shown)


LIVE = (
    Key("r", "start", "Start", "start a run from the form"),
    Key("p", "pause", "Pause", "pause the run, or let it go on"),
    Key("x", "stop", "Stop", "save and stop the run"),
    Key("w", "save", "Save", "write a checkpoint now"),
    Key("R", "resume", "", "go on with a stopped run from its last checkpoint"),
    Key("v", "next_view", "View", "next panel, where the screen is too small for all"),
    Key("z", "zoom", "", "the focused panel on the whole screen, and back"),
    Key("i", "pictures", "Pictures", "pictures in half-block cells or in ASCII"),
    Key("e", "fill_form", "", "put the open run's settings into the form"),
)
APP = (
    Key("1", "show_runs", "Runs", "all runs, live and finished"),
    Key("2", "show_live", "", "the open run"),
    Key("question_mark", "help", "Help", "these keys"),
    Key("q", "ask_quit", "Quit", "leave; a live run may go on"),
)
RUNS = (
    Key("enter", "open", "Open", "open the run under the cursor"),
    Key("escape", "back", "Back", "back to the open run"),
)
ELSEWHERE = (
    ("tab, shift+tab", "next and previous field or panel"),
    ("enter, arrows", "open a list and choose; press a button"),
    ("escape", "leave a field or a list"),
    ("ctrl+p", "every action, by name"),
)
