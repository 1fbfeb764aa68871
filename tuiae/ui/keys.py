"""Every key of the dashboard, in one table: bindings, footer and help are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

SHOWN = {
    "question_mark": "?",
    "slash": "/",
    "asterisk": "*",
    "plus,equals_sign": "+",
    "minus": "-",
    "comma": ",",
    "full_stop": ".",
    "less_than_sign": "<",
    "greater_than_sign,end": ">",
}
"""Keys by what is printed on them."""


@dataclass(frozen=True)
class Key:
    """A key, the action it calls, its name in the footer (empty: not there), and what the help says."""

    key: str
    action: str
    label: str
    help: str

    @property
    def binding(self) -> Binding:
        display = shown(self.key) if shown(self.key) != self.key else None
        return Binding(self.key, self.action, self.label or self.help, show=bool(self.label), key_display=display)


APP = (
    Key("1", "show('runs')", "Runs", "all runs"),
    Key("2", "show('live')", "", "the open run"),
    Key("3", "show('latent')", "", "its codes"),
    Key("4", "show('bench')", "", "try it on images"),
    Key("5", "show('compare')", "", "runs beside each other"),
    Key("6", "show('works')", "", "the published works"),
    Key("T", "other_theme", "", "dark, or light"),
    Key("ctrl+l", "redraw", "", "draw everything again"),
    Key("question_mark", "help", "Help", "these keys"),
    Key("q", "ask_quit", "Quit", "leave"),
)
LIVE = (
    Key("r", "start", "Start", "start what the form says"),
    Key("p", "pause", "Pause", "pause, or go on"),
    Key("x", "stop", "Stop", "save and stop"),
    Key("w", "save", "Save", "write a checkpoint"),
    Key("e", "edit", "Edit", "change the training as it runs"),
    Key("f", "fork", "", "fork from a checkpoint"),
    Key("R", "resume", "", "go on from the last checkpoint"),
    Key("v", "next_view", "View", "next panel, on small screens"),
    Key("m", "next_metric", "", "next metric, right of the loss"),
    Key("z", "zoom", "", "one panel alone, and back"),
    Key("i", "pictures", "", "pictures: blocks or ASCII"),
    Key("F", "fill_form", "", "form from the open run"),
    Key("S", "save_preset", "", "keep the form as a preset"),
    Key("Y", "copy_command", "", "copy its `tuiae run` line"),
    Key("s", "look('smoothing')", "", "smoothing: off, light, strong"),
    Key("y", "look('log_scale')", "", "logarithmic axis, or not"),
    Key("t", "look('split')", "", "train and test, or one"),
    Key("d", "errors", "", "row of errors, or not"),
    Key("n", "normalise", "", "confusion: counts or shares"),
    Key("comma", "sample(-1)", "", "the sample before"),
    Key("full_stop", "sample(1)", "", "the sample after"),
    Key("less_than_sign", "first_sample", "", "the first sample"),
    Key("greater_than_sign,end", "newest_sample", "", "back to the newest"),
)
RUNS = (
    Key("enter", "open", "Open", "open the run"),
    Key("space", "select", "Select", "select, or not"),
    Key("a", "select_all", "", "select all shown, or none"),
    Key("slash", "find", "Find", "find by words, key:value"),
    Key("s", "sort", "", "sort by the next column"),
    Key("S", "reverse", "", "the other way round"),
    Key("c", "compare", "Compare", "compare the selected"),
    Key("N", "rename", "", "give it a name"),
    Key("f2", "rename", "", ""),
    Key("t", "tags", "", "its tags"),
    Key("n", "note", "", "write a note"),
    Key("asterisk", "pin", "", "keep on top, or not"),
    Key("D", "delete", "", "delete, after a question"),
    Key("delete", "delete", "", ""),
    Key("R", "resume", "", "go on with it"),
    Key("f", "fork", "", "fork it, with changes"),
    Key("y", "copy", "", "copy its command"),
    Key("escape", "back", "Back", "show all; back to the open run"),
)
LATENT = (Key("escape", "back", "Back", "back to the open run"),)
BENCH = (Key("escape", "back", "Back", "back to the open run"),)
WORKS = (
    Key("r", "run", "Run", "run the work, or go on"),
    Key("x", "stop", "Stop", "save and stop it"),
    *(key for key in LIVE if key.action in ("next_view", "zoom")),
    Key("escape", "back", "Back", "back to the open run"),
)
COMPARE = (
    Key("m", "next_metric", "Metric", "next metric"),
    Key("l", "look('log_scale')", "Log", "logarithmic, or not"),
    *(key for key in LIVE if key.key in ("s", "y")),
    *(key for key in LIVE if key.action in ("next_view", "zoom", "pictures")),
    Key("escape", "back", "Back", "back to the list"),
)
CURVES = (
    Key("left", "move(-1)", "", "cursor back: what was measured"),
    Key("right", "move(1)", "", "cursor on"),
    Key("shift+left", "move(-10)", "", "ten columns back"),
    Key("shift+right", "move(10)", "", "ten columns on"),
    Key("end", "newest", "", "cursor on the newest point"),
    Key("plus,equals_sign", "zoom_x(0.5)", "", "closer, around the cursor"),
    Key("minus", "zoom_x(2)", "", "further away"),
    Key("0", "zoom_all", "", "all of it again"),
    Key("escape", "leave_cursor", "", "no cursor"),
)
CONFUSION = (
    Key("left", "move(0, -1)", "", "cursor to another class"),
    Key("right", "move(0, 1)", "", "cursor to another class"),
    Key("up", "move(-1, 0)", "", "cursor to another class"),
    Key("down", "move(1, 0)", "", "cursor to another class"),
    Key("enter", "choose_cell", "", "the images of a cell"),
    Key("escape", "leave_cursor", "", "no cursor"),
)
ALL = (*APP, *LIVE, *RUNS, *LATENT, *BENCH, *COMPARE, *WORKS, *CURVES, *CONFUSION)
ELSEWHERE = (
    ("tab", "next field"),
    ("enter", "open, press"),
    ("escape", "close a list"),
    ("ctrl+p", "all by name"),
    ("arrows", "cursor that reads out"),
    ("+ -", "zoom curves; 0: all"),
)


def shown(key: str) -> str:
    """A key as people know it."""
    return SHOWN.get(key, key)
