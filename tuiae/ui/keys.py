"""Every key of the dashboard, in one table: bindings, footer, help and command palette are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from textual.actions import parse
from textual.binding import Binding
from textual.keys import format_key

from tuiae.runs.paths import GONE
from tuiae.runs.snapshot import Status

if TYPE_CHECKING:
    from tuiae.render.curves import Look

NAME, HIDE = "name", "hide"


@dataclass(frozen=True)
class Key:
    """A key and the action that it calls."""

    key: str
    """The key by Textual's name; of several, with commas between them, the first one is shown."""
    action: str
    label: str
    """Its name in the footer, however narrow that is; empty where it may be left out."""
    help: str
    """What the help and the command palette say of it."""
    more: str = ""
    """Its name in the footer where there is room."""
    face: str = ""
    """What stands for it and the keys beside it, such as `arrows`."""
    later: bool = False
    """Whether the others of its screen come before it where there is room."""
    also: str = ""
    """Other words that people look for it by."""
    afar: str = ""
    """What the palette does with it from another screen. Usually it goes there and presses it. NAME: it goes there and
    names the key, because one has to see what it acts on. HIDE: it does not offer it."""

    @property
    def name(self) -> str:
        """Its name in the footer; empty: it is not there."""
        return self.label or self.more

    @property
    def printed(self) -> str:
        """What stands for it where keys are shown."""
        return self.face or shown(self.key)

    @property
    def binding(self) -> Binding:
        printed = self.printed if self.printed != self.key else None
        return Binding(self.key, self.action, self.name or self.help, bool(self.name), printed, tooltip=self.help)


def shown(key: str) -> str:
    """What is printed on a key, of several on the first."""
    first = key.partition(",")[0]
    character = format_key(first)
    return character if len(character) == 1 and character.isascii() else first


APP = (
    Key("1", "show('runs')", "Runs", "all runs", also="list table history experiments"),
    Key("2", "show('live')", "", "the open run", "Live", later=True, also="training dashboard curves form"),
    Key("3", "show('latent')", "", "its codes", "Latent", later=True, also="latent space codes map pca t-sne"),
    Key("4", "show('bench')", "", "try it on images", "Bench", later=True, also="draw digit noise canvas play"),
    Key("5", "show('compare')", "", "runs beside each other", "Compare", later=True, also="overlay diff sweep"),
    Key("6", "show('works')", "", "the published works", "Works", later=True, also="papers reproduce claims verdicts"),
    Key("T", "other_theme", "", "dark, or light", "Theme", later=True, also="theme colours colors light dark mode"),
    Key("ctrl+l", "redraw", "", "draw everything again", also="refresh repaint screen"),
    Key("question_mark", "help", "Help", "these keys", also="keys shortcuts bindings manual"),
    Key("q", "ask_quit", "Quit", "leave", also="quit exit close bye detach"),
)
KEPT = ("help", "ask_quit")
"""Actions whose keys always show, at the end of the footer."""
NEEDED = ("next_view",)
"""Actions whose keys always show, in their places: without this one most panels are never found."""
FORM_KEY, BACK_KEY = "o", "U"
NEXT_RUN = (
    Key("r", "start", "Start", "start what the form says", also="run train begin launch new", afar=NAME),
    Key(FORM_KEY, "open_form", "", "open the form", "Form", also="configure edit fields settings next", afar=NAME),
    Key(
        "O",
        "all_settings",
        "",
        "all settings, to find by words",
        "Settings",
        later=True,
        also="every option hyperparameter key learning rate lr batch size seed loss optimizer schedule",
    ),
    Key("c", "check", "", "a few steps: what it costs", "Check", also="preflight cost dry try memory parameters time"),
    Key("W", "sweep", "", "a sweep around it", "Sweep", later=True, also="grid search hyperparameters study vary"),
    Key(
        "A",
        "auto_pause",
        "",
        "let it pause itself, or not",
        "Auto-pause",
        later=True,
        also="automatic divergence overfitting watch",
    ),
    Key("F", "fill_form", "", "form from the open run", "Fill", later=True, also="copy settings config"),
    Key(BACK_KEY, "bring_back", "", "what the form said before", "Form before", later=True, also="undo revert restore"),
    Key("S", "save_preset", "", "keep the form as a preset", "Preset", later=True, also="settings", afar=NAME),
    Key("Y", "copy_command", "", "copy its `tuiae run` line", "Copy", later=True, also="cli shell", afar=NAME),
)
ADVICE_KEY = "u"
OPEN_RUN = (
    Key("p", "pause", "Pause", "pause, or go on", also="hold continue wait"),
    Key("space", "step", "Step", "one step, while it is paused", also="single batch advance debug next"),
    Key("x", "stop", "Stop", "save and stop", also="end cancel kill abort"),
    Key("K", "kill", "", "kill its worker: asks first", "Kill", later=True, also="sigkill hang frozen", afar=NAME),
    Key("w", "save", "Save", "write a checkpoint", also="checkpoint weights store"),
    Key("e", "edit", "Edit", "change it while it trains", also="learning rate lr noise beta dropout epochs settings"),
    Key("f", "fork", "", "fork from a checkpoint", "Fork", also="branch clone settings"),
    Key(ADVICE_KEY, "take_advice", "", "try what the curves advise", "Advice", also="diagnosis finding remedy fix"),
    Key("R", "resume", "", "go on where it stopped", "Resume", also="continue restart again"),
)
SHOWING = (
    Key("v", "next_view", "View", "next panel, on small screens", also="tab switch layout", afar=HIDE),
    Key("z", "zoom", "", "one panel alone, and back", "Alone", also="zoom maximize full screen fullscreen", afar=HIDE),
    Key("slash", "app.find_run", "", "find a run in the list", also="search filter query"),
    Key("m", "next_metric", "", "next metric beside the loss", "Metric", also="accuracy loss kl error curve plot"),
    Key("s", "look('smoothing')", "", "smoothing: off, some, strong", "Smooth", also="smooth ema average curve plot"),
    Key("y", "look('log_y')", "", "logarithmic y axis, or not", "Log", also="log scale y axis curve plot"),
    Key("a", "look('unit')", "", "x axis: epochs, steps, time", "Axis", later=True, also="seconds curve plot"),
    Key("l", "look('log_x')", "", "logarithmic x axis, or not", "Log x", later=True, also="log scale curve plot"),
    Key("t", "look('split')", "", "train and test, or one", "Split", also="apart together overlay validation plot"),
    Key("h", "histograms", "", "histograms of weights, or not", "Histograms", also="weights gradients codes spread"),
    Key("N", "network", "", "the layers of its network", "Network", later=True, also="architecture model shapes"),
    Key("M", "spread", "", "its other seeds: mean and band", "Seeds", also="spread deviation variance band mean runs"),
    Key("g", "machine", "", "cores, memory and cards", "Machine", also="gpu cpu ram hardware device usage"),
    Key("d", "errors", "", "row of errors, or not", "Errors", also="difference residual pictures images"),
    Key("n", "normalise", "", "confusion: counts or shares", also="normalise normalize percent rows matrix"),
    Key("P", "save_sheet", "", "save the pictures as PNG", "PNG", later=True, also="export image file screenshot"),
    Key("b", "resize_pictures(1)", "", "larger pictures, and fewer", "Larger", later=True, also="bigger size images"),
    Key("B", "resize_pictures(-1)", "", "smaller pictures, and more", "Smaller", later=True, also="size images mosaic"),
    Key("left_square_bracket", "walk(-1)", "", "the pictures before", later=True, also="previous image example"),
    Key("right_square_bracket", "walk(1)", "", "the pictures after", "Next picture", later=True, also="image example"),
    Key("i", "pictures", "", "pictures: blocks or ASCII", also="half blocks characters images", afar=HIDE),
    Key("comma", "sample(-1)", "", "the sample before", "Before", also="scrub timeline back previous epoch history"),
    Key("full_stop", "sample(1)", "", "the sample after", "After", also="scrub timeline forward next epoch history"),
    Key("less_than_sign", "sample('first')", "", "the first sample", also="scrub timeline beginning epoch history"),
    Key(
        "greater_than_sign,end", "sample('newest')", "", "back to the newest", "Newest", also="scrub timeline live now"
    ),
)
LIVE = (*NEXT_RUN, *OPEN_RUN, *SHOWING)


def _as_on_live(*actions: str) -> tuple[Key, ...]:
    """The keys of Live with these actions, for another screen where they do the same."""
    return tuple(key for key in LIVE if key.action in actions)


RUNS = (
    Key("enter", "open", "Open", "open the run, unfold a study", afar=NAME),
    Key("space", "select", "Select", "select, or not", afar=NAME),
    Key("right", "unfold(True)", "", "show the runs of a study", also="expand open group sweep", afar=NAME),
    Key("left", "unfold(False)", "", "fold them together", "Fold", also="collapse close group sweep", afar=NAME),
    Key("g", "group", "", "studies folded, or all runs", "Group", later=True, also="sweep fold flat tree"),
    Key("a", "select_all", "", "select all shown, or none", "All", afar=NAME),
    Key("slash", "find", "Find", "find by words, key:value", also="search filter query"),
    Key("s", "sort", "", "sort by the next column", "Sort"),
    Key("S", "reverse", "", "the other way round"),
    Key(
        "C", "columns", "", "which columns show", "Columns", later=True, also="settings metrics table fields", afar=NAME
    ),
    Key("c", "compare", "Compare", "compare the selected", also="overlay beside diff"),
    Key("N,f2", "rename", "", "give it a name", "Name", also="rename label title", afar=NAME),
    Key("t", "tags", "", "its tags", "Tags", also="label group", afar=NAME),
    Key("n", "note", "", "write a note", "Note", also="comment remember", afar=NAME),
    Key("asterisk", "pin", "", "keep on top, or not", "Pin", also="favourite favorite star top", afar=NAME),
    Key("D,delete", "delete", "", "delete, after a question", "Delete", also="remove erase trash", afar=NAME),
    Key("R", "resume", "Resume", "go on with it", also="continue restart again", afar=NAME),
    Key("f", "fork", "", "fork it, with changes", "Fork", also="branch clone checkpoint settings", afar=NAME),
    Key("W", "sweep", "", "a sweep around its settings", "Sweep", also="grid search study vary", afar=NAME),
    Key("y", "copy", "", "copy its command", "Copy", also="command line cli clipboard shell reproduce", afar=NAME),
    *_as_on_live("pause"),
    Key("x", "stop", "Stop", "save and stop it, or a sweep", also="end cancel quit abort interrupt", afar=NAME),
    *_as_on_live("kill", "zoom"),
    Key("escape", "back", "Back", "all again; to the open run", afar=HIDE),
)
LATENT = (
    Key("left", "move(-1, 0)", "", "cursor left by 1", "Move", face="arrows", afar=HIDE),
    *(
        Key(f"{modifier}{key}", f"move({across * cells}, {down * cells})", "", f"cursor {key} by {cells}", afar=HIDE)
        for modifier, cells in (("", 1), ("shift+", 4), ("ctrl+", 12))
        for key, across, down in (("left", -1, 0), ("right", 1, 0), ("up", 0, -1), ("down", 0, 1))
        if (modifier, key) != ("", "left")
    ),
    Key("a", "plane", "Plane", "next plane; t-SNE too", also="pca t-sne tsne projection principal components map"),
    Key("left_square_bracket", "plane(0)", "", "next code number, across", "Axes", face="[ ]", later=True),
    Key("right_square_bracket", "plane(1)", "", "next code number, up"),
    Key("b", "mark", "Mark", "mark; a way between two", also="interpolation interpolate between points morph"),
    Key("n", "prior", "", "samples of the prior", "Prior", also="generate sample random vae"),
    Key("d", "decode_plane", "Decode", "the plane, decoded", also="manifold grid vae generate"),
    Key("plus,equals_sign", "nearer(1)", "", "closer", "Closer"),
    Key("minus", "nearer(-1)", "", "farther away", "Farther"),
    Key("c", "next_class", "", "one class alone, the next", "Class", also="filter label digit"),
    Key("enter", "again", "", "ask the explorer again", also="retry reload refresh weights", afar=HIDE),
    *(key for key in LIVE if key.action.startswith("sample(")),
    *_as_on_live("next_view", "zoom", "app.find_run", "pictures", "save_sheet", "pause"),
    Key("escape", "back", "Back", "back, step by step", afar=HIDE),
)
BENCH = (
    Key("t,full_stop", "test(1)", "Image", "next test image", also="digit picture next"),
    Key("comma", "test(-1)", "", "the test image before", "Before"),
    Key("r", "test('any')", "", "any test image", "Any", also="random digit picture"),
    Key("slash", "jump", "", "a test image by its number", "Number", also="go index digit picture"),
    Key("k", "noise('kind')", "Noise", "another kind of noise", also="corruption gaussian salt pepper mask"),
    Key("h", "tool('ink')", "Ink", "another colour of ink", also="hue colours colors paint palette"),
    Key("plus,equals_sign", "noise('more')", "", "more noise", "More", also="corruption stronger"),
    Key("minus", "noise('less')", "", "less noise", "Less", also="corruption weaker"),
    Key("n", "noise('anew')", "", "the noise, drawn anew", "Anew", also="corruption seed random"),
    Key("c,delete", "tool('clear')", "Clear", "clear the canvas", also="erase empty draw new"),
    Key("u", "tool('undo')", "", "undo the last stroke", "Undo"),
    Key("g", "tool('grab')", "", "ink of the colour under the pen", "Grab", also="pick pipette dropper colour color"),
    Key("e", "tool('eraser')", "", "eraser, or brush", "Eraser", also="draw pen rubber"),
    Key("b", "tool('brush')", "", "another brush size", "Brush", also="draw pen thick thin"),
    Key("I", "tool('invert')", "", "dark for light", "Invert", also="negative colours colors"),
    Key("C", "tool('centre')", "", "centre and scale as MNIST", "Centre"),
    Key("w", "worst", "", "the worst images again", "Worst", also="error hardest mistakes"),
    Key("ctrl+r", "again", "", "ask the explorer again", also="retry reload refresh weights", afar=HIDE),
    *_as_on_live("next_view", "zoom", "pictures", "save_sheet", "pause"),
    Key("escape", "back", "Back", "back to the open run", afar=HIDE),
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
    Key("left", "walk(-1)", "Walk", "show the picture before", face="arrows"),
    Key("right", "walk(1)", "", "show the next picture"),
    Key("enter", "take", "", "show this one again", "Take"),
)
WORKS = (
    Key("r", "run", "Run", "run the work, or go on", also="reproduce train start paper", afar=NAME),
    Key("x", "stop", "Stop", "save and stop it", also="end cancel kill abort", afar=NAME),
    *_as_on_live("next_view", "zoom", "app.find_run", "pause"),
    Key("escape", "back", "Back", "back to the open run", afar=HIDE),
)
COMPARE = (
    Key("m", "next_metric", "Metric", "next metric", also="accuracy loss kl error curve plot"),
    Key("k", "next_setting", "Setting", "next setting of the summary", also="sweep hyperparameter key"),
    Key("y", "look('log_y')", "Log", "logarithmic y, or not", also="log scale y axis curve plot"),
    Key("M", "spread", "Seeds", "means over seeds, or each run", also="spread deviation variance band mean group"),
    *_as_on_live("next_view", "zoom", "app.find_run", "pictures", "pause"),
    *_as_on_live("look('smoothing')", "look('unit')", "look('log_x')"),
    Key("escape", "back", "Back", "back to the list", afar=HIDE),
)
CURVES = (
    Key("left", "move(-1)", "Cursor", "cursor back: what was there", face="arrows", also="read value point plot"),
    Key("right", "move(1)", "", "cursor on"),
    Key("shift+left", "move(-10)", "", "ten columns back"),
    Key("shift+right", "move(10)", "", "ten columns on"),
    Key("end", "newest", "", "cursor on the newest point", "Last"),
    Key("plus,equals_sign", "zoom_x(0.5)", "", "closer, around the cursor", "Closer", also="zoom in closer plot"),
    Key("minus", "zoom_x(2)", "", "farther away", "Farther", also="zoom out plot"),
    Key("up", "zoom_y(0.5)", "", "closer in y, at the cursor", "Zoom y", face="up down", also="range scale plot"),
    Key("down", "zoom_y(2)", "", "farther away in y", also="range scale zoom out plot"),
    Key("shift+up", "shift_y(0.25)", "", "up, once y is zoomed", also="range pan plot"),
    Key("shift+down", "shift_y(-0.25)", "", "down, once y is zoomed", also="range pan plot"),
    Key("0", "zoom_all", "", "all of it again", "All", also="zoom reset whole plot"),
    Key("escape", "leave_cursor", "", "no cursor"),
)
IMAGES = (
    Key("left", "screen.walk(-1)", "", "the pictures before", face="arrows"),
    Key("right", "screen.walk(1)", "", "the pictures after"),
    Key("plus,equals_sign", "screen.resize_pictures(1)", "", "larger, and fewer"),
    Key("minus", "screen.resize_pictures(-1)", "", "smaller, and more"),
)
CONFUSION = (
    Key("left", "move(0, -1)", "Cell", "cursor to another class", face="arrows"),
    Key("right", "move(0, 1)", "", "cursor to another class"),
    Key("up", "move(-1, 0)", "", "cursor to another class"),
    Key("down", "move(1, 0)", "", "cursor to another class"),
    Key("enter", "choose_cell", "Images", "the images of a cell", also="mistakes pictures drill"),
    Key("escape", "leave_cursor", "", "no cursor"),
)
HISTOGRAMS = (
    Key("up", "move(-1, 0)", "Layer", "the layer above", face="arrows"),
    Key("down", "move(1, 0)", "", "the layer below"),
    Key("left", "move(0, -1)", "", "its weights"),
    Key("right", "move(0, 1)", "", "their gradients"),
)
MOVING = (
    ("tab", "next field, next panel"),
    ("enter", "open, press"),
    ("escape", "close a list"),
    ("ctrl+p", "all by name"),
)
"""What the help says of keys that are not from this table."""
FILTER = (
    ("word", "in name, model, tags, note"),
    ("key:x", "any setting: latent:8"),
    (">= !=", "loss:<0.01 accuracy:>93"),
    ("a OR b", "one of them"),
    ("NOT a", "none of that; -a, too"),
    ("( )", "what belongs together"),
)
"""What the help says of the words that find runs."""
OF_WORKS = (("enter", "the trainings of a work"), ("enter", "there: the run, on Live"))
"""What the help says of the key that chooses in the lists of Works."""


@dataclass(frozen=True)
class ScreenKeys:
    """Keys by the headings that they have in the help: those of a screen, and those of its panels, which work while the
    panel has the focus."""

    own: Mapping[str, tuple[Key, ...]]
    panels: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    more: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """What else its help explains, by heading."""


SCREENS: Mapping[str, ScreenKeys] = {
    "runs": ScreenKeys({"the list of runs": RUNS}, more={"in the filter": FILTER}),
    "live": ScreenKeys(
        {"the next run": NEXT_RUN, "the open run": OPEN_RUN, "what shows": SHOWING},
        {
            "on curves": CURVES,
            "on the pictures": IMAGES,
            "on the confusion matrix": CONFUSION,
            "on histograms": HISTOGRAMS,
        },
    ),
    "latent": ScreenKeys({"the map of codes": LATENT}),
    "bench": ScreenKeys(
        {"the bench": BENCH}, {"on the canvas": CANVAS, "on the noise": SLIDER, "on the strip of pictures": STRIP}
    ),
    "compare": ScreenKeys({"the comparison": COMPARE}, {"on curves": CURVES}),
    "works": ScreenKeys({"the works": WORKS}, more={"in the lists": OF_WORKS}),
}
"""The screens by name, in the order of their digits. The module of that name in ui/screens has the class."""

ALL: tuple[Key, ...] = (
    *APP,
    *chain.from_iterable(
        keys for screen in SCREENS.values() for keys in (*screen.own.values(), *screen.panels.values())
    ),
)
_BY_BINDING = {(one, key.action, key.help): key for key in ALL for one in key.key.split(",")}


def find_key(binding: Binding) -> Key | None:
    """The key that a binding was made of; None of one that is not from this table."""
    return _BY_BINDING.get((binding.key, binding.action, binding.tooltip))


def argument(action: str) -> Any:
    """The first argument of an action: 1 of `walk(1)`."""
    return parse(action)[2][0]


# Keys that depend on how a run stands.

WHILE_LIVE = ("pause", "stop", "save", "edit", "kill")
"""Actions that need a run's worker."""
ON_RUN = (*WHILE_LIVE, "step", "resume", "fork", "fill_form")
"""Actions that depend on how the run stands."""
OF_WEIGHTS = ("save", "resume", "fork", "fill_form")
"""Actions that a tracked run has no use for: its weights and its config are its own program's."""
OVER = ("finished", GONE)
"""States in which a run cannot be resumed."""


def run_takes(action: str, status: Status | None, has_checkpoint: bool) -> bool:
    """Returns whether one of ON_RUN does something to a run of this status; None is no run."""
    if status is None or (status.tracked and action in OF_WEIGHTS):
        return False
    if action == "edit" and status.tracked and not status.settings:
        return False
    if action in WHILE_LIVE:
        return status.live
    if action == "step":
        return status.state == "paused"
    if action == "resume":
        return not status.live and status.state not in OVER
    return has_checkpoint or action != "fork"


def name_now(action: str, state: str) -> str:
    """What an action on a run in this state is called, where that is not its name in the table; else empty."""
    return "Go on" if action == "pause" and state == "paused" else ""


def look_now(action: str, look: Look) -> str:
    """What an action on plots is called whose axes are as they are, where that is not its name in the table."""
    linear = {"look('log_y')": look.log_y and "Linear", "look('log_x')": look.log_x and "Linear x"}
    return linear.get(action) or ""
