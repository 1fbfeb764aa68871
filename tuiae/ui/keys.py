"""Every key of the dashboard, in one table: bindings, footer and help are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

from tuiae.runs.paths import GONE
from tuiae.runs.snapshot import Status

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
    "plus": "+",
    "equals_sign": "=",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}
"""Keys by what is printed on them."""


@dataclass(frozen=True)
class Key:
    """A key, the action it calls, its name in the footer (empty: not there), and what the help says."""

    key: str
    action: str
    label: str
    help: str
    more: str = ""
    """Its name in the footer where room is left for it."""
    face: str = ""
    """What stands for it and for others beside it, such as `arrows`."""
    later: bool = False
    """Whether the others of its screen come before it where room is left."""

    @property
    def binding(self) -> Binding:
        words, shows = self.name or self.help, bool(self.name)
        return Binding(self.key, self.action, words, shows, self._display, tooltip=self.help)

    @property
    def name(self) -> str:
        """Its name in the footer."""
        return self.label or self.more

    @property
    def _display(self) -> str | None:
        return self.face or (shown(self.key) if shown(self.key) != self.key else None)


APP = (
    Key("1", "show('runs')", "Runs", "all runs"),
    Key("2", "show('live')", "", "the open run", "Live", later=True),
    Key("3", "show('latent')", "", "its codes", "Latent", later=True),
    Key("4", "show('bench')", "", "try it on images", "Bench", later=True),
    Key("5", "show('compare')", "", "runs beside each other", "Compare", later=True),
    Key("6", "show('works')", "", "the published works", "Works", later=True),
    Key("T", "other_theme", "", "dark, or light", "Theme", later=True),
    Key("ctrl+l", "redraw", "", "draw everything again"),
    Key("question_mark", "help", "Help", "these keys"),
    Key("q", "ask_quit", "Quit", "leave"),
)
KEPT = ("help", "ask_quit")
"""Actions whose keys show however narrow the footer is, at its end."""
NEEDED = ("next_view",)
"""Actions whose keys show however narrow the footer is, in their places: else most panels are never found."""
NEXT_RUN = (
    Key("r", "start", "Start", "start what the form says"),
    Key("c", "check", "", "a few steps: what it costs", "Check"),
    Key("A", "auto_pause", "", "let it pause itself, or not"),
    Key("F", "fill_form", "", "form from the open run", "Fill", later=True),
    Key("S", "save_preset", "", "keep the form as a preset", "Preset", later=True),
    Key("Y", "copy_command", "", "copy its `tuiae run` line", "Copy", later=True),
)
OPEN_RUN = (
    Key("p", "pause", "Pause", "pause, or go on"),
    Key("x", "stop", "Stop", "save and stop"),
    Key("w", "save", "Save", "write a checkpoint"),
    Key("e", "edit", "Edit", "change it while it trains"),
    Key("f", "fork", "", "fork from a checkpoint", "Fork"),
    Key("R", "resume", "", "go on where it stopped", "Resume"),
)
SEEN = (
    Key("v", "next_view", "View", "next panel, on small screens"),
    Key("z", "zoom", "", "one panel alone, and back", "Alone"),
    Key("slash", "app.find_run", "", "find a run in the list"),
    Key("m", "next_metric", "", "next metric beside the loss", "Metric"),
    Key("s", "look('smoothing')", "", "smoothing: off, some, strong", "Smooth"),
    Key("y", "look('log_scale')", "", "logarithmic axis, or not", "Log"),
    Key("t", "look('split')", "", "train and test, or one", "Split"),
    Key("g", "machine", "", "cores, memory and cards", "Machine"),
    Key("d", "errors", "", "row of errors, or not", "Errors"),
    Key("n", "normalise", "", "confusion: counts or shares"),
    Key("i", "pictures", "", "pictures: blocks or ASCII"),
    Key("comma", "sample(-1)", "", "the sample before", "Before"),
    Key("full_stop", "sample(1)", "", "the sample after", "After"),
    Key("less_than_sign", "first_sample", "", "the first sample"),
    Key("greater_than_sign,end", "newest_sample", "", "back to the newest", "Newest"),
)
LIVE = (*NEXT_RUN, *OPEN_RUN, *SEEN)
RUNS = (
    Key("enter", "open", "Open", "open the run"),
    Key("space", "select", "Select", "select, or not"),
    Key("a", "select_all", "", "select all shown, or none", "All"),
    Key("slash", "find", "Find", "find by words, key:value"),
    Key("s", "sort", "", "sort by the next column", "Sort"),
    Key("S", "reverse", "", "the other way round"),
    Key("c", "compare", "Compare", "compare the selected"),
    Key("N", "rename", "", "give it a name", "Name"),
    Key("f2", "rename", "", ""),
    Key("t", "tags", "", "its tags", "Tags"),
    Key("n", "note", "", "write a note", "Note"),
    Key("asterisk", "pin", "", "keep on top, or not", "Pin"),
    Key("D", "delete", "", "delete, after a question", "Delete"),
    Key("delete", "delete", "", ""),
    Key("R", "resume", "", "go on with it", "Resume"),
    Key("f", "fork", "", "fork it, with changes", "Fork"),
    Key("y", "copy", "", "copy its command", "Copy"),
    *(key for key in LIVE if key.action in ("pause", "zoom")),
    Key("escape", "back", "Back", "all again; to the open run"),
)
LATENT = (
    Key("left", "move(-1, 0)", "", "cursor left by 1", "Move", face="arrows"),
    *(
        Key(f"{modifier}{key}", f"move({across * cells}, {down * cells})", "", f"cursor {key} by {cells}")
        for modifier, cells in (("", 1), ("shift+", 4), ("ctrl+", 12))
        for key, across, down in (("left", -1, 0), ("right", 1, 0), ("up", 0, -1), ("down", 0, 1))
        if (modifier, key) != ("", "left")
    ),
    Key("a", "plane", "Plane", "next plane; t-SNE too"),
    Key("left_square_bracket", "axis(0)", "", "next code number, across", "Axes", face="[ ]", later=True),
    Key("right_square_bracket", "axis(1)", "", "next code number, up"),
    Key("b", "mark", "Mark", "mark; a way between two"),
    Key("n", "prior", "", "samples of the prior", "Prior"),
    Key("d", "decode_plane", "Decode", "the plane, decoded"),
    Key("plus", "nearer(1)", "", "closer", "Closer"),
    Key("equals_sign", "nearer(1)", "", ""),
    Key("minus", "nearer(-1)", "", "farther away", "Farther"),
    Key("c", "next_class", "", "one class alone, the next", "Class"),
    Key("enter", "again", "", "ask the explorer again"),
    *(key for key in LIVE if key.action.endswith("sample") or key.action.startswith("sample(")),
    *(key for key in LIVE if key.action in ("next_view", "zoom", "app.find_run", "pictures", "pause")),
    Key("escape", "back", "Back", "back, step by step"),
)
BENCH = (
    Key("t", "test(1)", "Image", "next test image"),
    Key("full_stop", "test(1)", "", ""),
    Key("comma", "test(-1)", "", "the test image before", "Before"),
    Key("r", "random_test", "", "any test image", "Any"),
    Key("slash", "jump", "", "a test image by its number", "Number"),
    Key("k", "kind", "Noise", "another kind of noise"),
    Key("plus", "level(1)", "", "more noise", "More"),
    Key("equals_sign", "level(1)", "", ""),
    Key("minus", "level(-1)", "", "less noise", "Less"),
    Key("n", "draw_noise", "", "the noise, drawn anew", "Anew"),
    Key("c", "tool('clear')", "Clear", "clear the canvas"),
    Key("delete", "tool('clear')", "", ""),
    Key("u", "tool('undo')", "Undo", "undo the last stroke"),
    Key("e", "tool('eraser')", "", "eraser, or brush", "Eraser"),
    Key("b", "tool('brush')", "", "another brush size", "Brush"),
    Key("I", "tool('invert')", "", "dark for light", "Invert"),
    Key("C", "tool('centre')", "", "centre and scale as MNIST", "Centre"),
    Key("w", "worst", "", "the worst images again", "Worst"),
    Key("ctrl+r", "again", "", "ask the explorer again"),
    *(key for key in LIVE if key.action in ("next_view", "zoom", "pictures", "pause")),
    Key("escape", "back", "Back", "back to the open run"),
)
CANVAS = (
    Key("left", "pen(-1, 0)", "", "pen left", "Pen", face="arrows"),
    Key("right", "pen(1, 0)", "", "pen right"),
    Key("up", "pen(0, -1)", "", "pen up"),
    Key("down", "pen(0, 1)", "", "pen down"),
    Key("space", "dot", "Draw", "draw, or lift the pen"),
)
SLIDER = (
    Key("left", "slide(-1)", "Level", "less", face="arrows"),
    Key("right", "slide(1)", "", "more"),
    Key("home", "slide_to(0)", "", "none"),
    Key("end", "slide_to(1)", "", "the most"),
)
STRIP = (
    Key("left", "walk(-1)", "", "the picture before", "Choose", face="arrows"),
    Key("right", "walk(1)", "", "the next picture"),
    Key("enter", "take", "Take", "put it on the canvas"),
)
WORKS = (
    Key("r", "run", "Run", "run the work, or go on"),
    Key("x", "stop", "Stop", "save and stop it"),
    *(key for key in LIVE if key.action in ("next_view", "zoom", "app.find_run", "pause")),
    Key("escape", "back", "Back", "back to the open run"),
)
COMPARE = (
    Key("m", "next_metric", "Metric", "next metric"),
    Key("k", "next_setting", "Setting", "next setting of the summary"),
    Key("y", "look('log_scale')", "Log", "logarithmic, or not"),
    *(key for key in LIVE if key.key == "s"),
    *(key for key in LIVE if key.action in ("next_view", "zoom", "app.find_run", "pictures", "pause")),
    Key("escape", "back", "Back", "back to the list"),
)
CURVES = (
    Key("left", "move(-1)", "Cursor", "cursor back: what was there", face="arrows"),
    Key("right", "move(1)", "", "cursor on"),
    Key("shift+left", "move(-10)", "", "ten columns back"),
    Key("shift+right", "move(10)", "", "ten columns on"),
    Key("end", "newest", "", "cursor on the newest point", "Last"),
    Key("plus,equals_sign", "zoom_x(0.5)", "", "closer, around the cursor", "Closer"),
    Key("minus", "zoom_x(2)", "", "farther away", "Farther"),
    Key("0", "zoom_all", "", "all of it again", "All"),
    Key("escape", "leave_cursor", "", "no cursor"),
)
CONFUSION = (
    Key("left", "move(0, -1)", "Cell", "cursor to another class", face="arrows"),
    Key("right", "move(0, 1)", "", "cursor to another class"),
    Key("up", "move(-1, 0)", "", "cursor to another class"),
    Key("down", "move(1, 0)", "", "cursor to another class"),
    Key("enter", "choose_cell", "Images", "the images of a cell"),
    Key("escape", "leave_cursor", "", "no cursor"),
)
ALL = (*APP, *LIVE, *RUNS, *LATENT, *BENCH, *CANVAS, *SLIDER, *STRIP, *COMPARE, *WORKS, *CURVES, *CONFUSION)
ELSEWHERE = (
    ("tab", "next field, next panel"),
    ("enter", "open, press"),
    ("escape", "close a list"),
    ("ctrl+p", "all by name"),
)


def shown(key: str) -> str:
    """A key as people know it."""
    return SHOWN.get(key, key)


def find_key(binding: Binding) -> Key | None:
    """What a binding was made of; None of one that is not from here."""
    return _KNOWN.get((binding.key, binding.action, binding.tooltip))


_KNOWN = {(one, key.action, key.help): key for key in ALL for one in key.key.split(",")}


# Which actions a run takes as it stands; the line of keys shows no others.

WHILE_LIVE = ("pause", "stop", "save", "edit")
"""Actions that reach a worker."""
OF_A_RUN = (*WHILE_LIVE, "resume", "fork", "fill_form")
"""Actions that depend on the run."""
OVER = ("finished", GONE, "unknown")
"""States in which nothing is left to go on with."""


def run_takes(action: str, status: Status | None, kept: bool) -> bool:
    """Whether one of these actions does something to a run that stands like that; None without a run.

    `kept` says that it has a checkpoint.
    """
    if status is None:
        return False
    if action in WHILE_LIVE:
        return status.live
    if action == "resume":
        return not status.live and status.state not in OVER
    return kept or action != "fork"
