"""The form: what the next run will be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Grid, Horizontal, Vertical
from textual.events import DescendantBlur, DescendantFocus, Key
from textual.message import Message
from textual.widgets import Button, Input, Label, Select

from tuiae.config import ENCODERS, FAMILIES, NOISE_KINDS, RunConfig, parse_override
from tuiae.config.presets import DEFAULT
from tuiae.data.registry import DatasetInfo
from tuiae.errors import TuiaeError
from tuiae.preflight import Checked
from tuiae.render.text import clean, count
from tuiae.runs.paths import LIVE_STATES
from tuiae.ui.draft import Draft, offered_datasets, readiness
from tuiae.ui.terminal.mode import mode_of
from tuiae.ui.terminal.screen_diff import Lasting


def classifier(run_id: str, frozen: bool = False) -> dict[str, Any]:
    """Asks for a classifier, on the encoder of a run where there is a `run_id`."""
    return {"model.family": "classifier", "model.encoder_run": run_id, "model.freeze": frozen}


MODELS: dict[str, dict[str, Any]] = {
    **{family: {"model.family": family, "model.encoder_run": ""} for family in FAMILIES if family != "classifier"},
    **{f"classifier · {encoder}": {"model.encoder": encoder, **classifier("")} for encoder in ENCODERS},
}
"""What each model of the list asks for."""


def models_on(run_id: str) -> dict[str, dict[str, Any]]:
    """Classifiers on the encoder of a run, trained further or kept as it is; none without a run."""
    name = clean(run_id).split("-", 2)[-1]
    on_run = {f"classifier on {name}": classifier(run_id), f"classifier on {name}, frozen": classifier(run_id, True)}
    return on_run if run_id else {}


NUMBERS = (
    ("code", "model.latent"),
    ("resize", "data.image_size"),
    ("epochs", "training.epochs"),
    ("batch", "training.batch_size"),
    ("rate", "training.learning_rate"),
    ("seed", "training.seed"),
)
OWN_FOLDER = "folder:"


class NumberInput(Input):
    """A field for a number: it takes the characters of numbers and lets every other key through to the screen."""

    def __init__(self, field: str) -> None:
        super().__init__(id=field, compact=True, select_on_focus=True, classes="number")

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return character is not None and character in "0123456789.eE-+_"

    def on_key(self, event: Key) -> None:
        # Input would insert every printable character; not stopped, what is in no number bubbles to the bindings.
        if event.is_printable and not self.check_consume_key(event.key, event.character):
            event.prevent_default()


class Choice(Select[str], inherit_bindings=False):
    """A compact list to choose from; arrows go on to the next field, as in the fields for numbers."""

    BINDINGS = [Binding("enter,space", "show_overlay", "Show menu", show=False)]

    def __init__(self, field: str, options: Sequence[tuple[Any, str]]) -> None:
        self._offered = tuple(options)
        super().__init__(self._offered, allow_blank=False, compact=True, id=field)

    def set_options(self, options: Iterable[tuple[Any, str]]) -> None:
        """Replace the options, each with its value."""
        self._offered = tuple(options)
        super().set_options(self._offered)

    def on_select_overlay_update_selection(self, event: Any) -> None:
        """Tell of what stood there already, too: a preset that is chosen again brings its values back."""
        if self._offered[event.option_index][1] == self.value:
            self.post_message(self.Changed(self, self.value))

    def offer(self, options: Iterable[tuple[Any, str]], value: str) -> None:
        """Replace the options and choose one, without telling it as a change made by the user."""
        with self.prevent(Select.Changed):
            self.set_options(options)
            self.value = value


def named(names: Iterable[str]) -> list[tuple[Any, str]]:
    """Options for a list of names. Text, because only in a Text does an open list find what is typed."""
    return [(Text(name), name) for name in names]


class ConfigForm(Lasting, Vertical):
    """Fields for what is changed most; everything else comes from a preset, or from the config of a run.

    A thread checks what they say after every change: whether it can run, and what Start would do.
    """

    ALLOW_MAXIMIZE = True
    BORDER_TITLE = "configure the next run"
    BINDINGS = [
        Binding("up", "go(-1)", "Field above", show=False),
        Binding("down", "go(1)", "Field below", show=False),
        Binding("escape", "screen.leave_form", "Leave the form", show=False),
    ]

    class Edited(Message):
        """A field changed; the form's `overrides` say what it asks for."""

    class FolderWanted(Message):
        """A folder of the user's own is to be named."""

    @dataclass
    class CheckEnded(Message):
        """What Start would do, or why it can do nothing; `kind` is one of the message line."""

        text: str
        kind: str

    @dataclass
    class Broken(Message):
        """A preset cannot be read; the form stays as it was."""

        problem: str

    auto_pause = False
    """Whether the run pauses by itself when training spoils what was learned. It has a key and no field."""
    _models = MODELS
    _encoder_run = ""
    _devices: tuple[str, ...] = ("auto", "cpu")
    _found: tuple[dict[str, Any], Checked | None] = {}, None
    """What the fields said at the last check that ended, and what it found."""

    def __init__(self, draft: Draft, devices: Callable[[], list[str] | None]) -> None:
        """`devices` says what this machine has, None while nobody knows."""
        super().__init__(id="form")
        self._draft = draft
        self._known_devices = devices
        self._preset = draft.presets[0]
        self._datasets = tuple(offered_datasets())
        self._dataset = self._datasets[0].name

    def on_mount(self) -> None:
        self.load_preset(DEFAULT)

    def compose(self) -> ComposeResult:
        code, resize, *others = ((label, NumberInput(_id(key))) for label, key in NUMBERS)
        fields = (
            ("preset", Choice("preset", named(self._draft.presets))),
            ("model", Choice("model", named(MODELS))),
            code,
            ("dataset", Choice("dataset", self._dataset_options())),
            resize,
            ("noise", Horizontal(Choice("noise", named(NOISE_KINDS)), NumberInput("noise-level"))),
            ("device", Choice("device", named(self._devices))),
            *others,
        )
        with Grid(id="fields"):
            for label, field in fields:
                yield Label(label)
                yield field
        with Horizontal(id="buttons"):
            yield Button("Start", id="start", compact=True, variant="success")
            for word in ("Pause", "Stop", "Save"):
                yield Button(word, id=word.lower(), compact=True)

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _frame(self, event: DescendantFocus | DescendantBlur) -> None:
        """Show by the frame that the focus is within; `:focus-within` styles every field anew at each of its steps."""
        self.set_class(isinstance(event, DescendantFocus), "-entered", update=False)
        self.app.stylesheet.update_nodes([self])

    def _choice(self, name: str) -> Choice:
        return self.query_one(f"#{name}", Choice)

    def load_preset(self, name: str) -> None:
        """Begin anew from a preset."""
        try:
            config = self._draft.load_preset(name)
        except TuiaeError as error:
            with self.prevent(Select.Changed):  # of what is chosen again: the preset that filled the form last
                self._choice("preset").value = self._preset
            self.post_message(self.Broken(str(error)))
            return
        self._fill(config, name)
        self.post_message(self.Edited())

    def take(self, config: RunConfig, path: Path) -> None:
        """Begin anew from the config of a run, whose file lies at `path`."""
        self._draft.take(config, path)
        self._fill(config, config.name)
        self.post_message(self.Edited())

    def _fill(self, config: RunConfig, preset: str = "") -> None:
        """Show a config; nothing is posted, as nobody edited anything."""
        self._found = {}, None  # the same fields may stand on other settings now
        self.auto_pause = config.training.auto_pause
        if preset in self._draft.presets:
            self._preset = preset
        with self.prevent(Select.Changed, Input.Changed):
            self._choice("preset").value = self._preset
            self._choice("noise").value = config.noise.kind
            self._choose_model(config)
            self.choose_dataset(config.data.dataset)
            self._choose_device(config.training.device)
            self.query_one("#noise-level", NumberInput).value = typed(config.noise.level)
            for _, key in NUMBERS:
                section, _, name = key.partition(".")
                number = getattr(getattr(config, section), name)
                self.query_one(f"#{_id(key)}", NumberInput).value = typed(number)

    def action_go(self, places: int) -> None:
        """Focus the field so many places below; after the last comes the first."""
        fields = [widget for widget in self.query("Choice, NumberInput, Button") if widget.focusable]
        if self.screen.focused in fields:
            fields[(fields.index(self.screen.focused) + places) % len(fields)].focus()

    @property
    def overrides(self) -> dict[str, Any]:
        """What the fields say, by dotted key."""
        found: dict[str, Any] = {
            **self._models[str(self._choice("model").value)],
            "data.dataset": self._dataset,
            "noise.kind": self._choice("noise").value,
            "noise.level": self._read("noise-level"),
            "training.device": self._choice("device").value,
            "training.auto_pause": self.auto_pause,
        }
        return found | {key: self._read(_id(key)) for _, key in NUMBERS}

    def _read(self, field: str) -> Any:
        text = self.query_one(f"#{field}", NumberInput).value.strip()
        return parse_override(f"value={text}")[1] if text else ""

    def offer_encoder(self, run_id: str) -> None:
        """Offer classifiers on the encoder of the open run; none when `run_id` is empty."""
        if run_id != self._encoder_run:
            self._encoder_run = run_id
            self._offer_models(str(self._choice("model").value))

    def _offer_models(self, chosen: str) -> None:
        self._models = {**MODELS, **models_on(self._encoder_run), chosen: self._models[chosen]}
        self._choice("model").offer(named(self._models), chosen)

    def _choose_model(self, config: RunConfig) -> None:
        """Choose what a config asks for; a classifier on a run that is not open is added."""
        model = config.model
        self._models = {**self._models, **models_on(model.encoder_run)}
        asked = {f"model.{key}": getattr(model, key) for key in ("family", "encoder", "encoder_run", "freeze")}
        if not model.encoder_run:
            asked["model.freeze"] = False  # of random weights only a preset can say so
        self._offer_models(next(name for name, wants in self._models.items() if wants.items() <= asked.items()))

    def choose_dataset(self, name: str) -> None:
        """Choose a set by name; a folder that is not in the list yet is added."""
        self._dataset = name
        self._choice("dataset").offer(self._dataset_options(), name)

    def show_datasets(self, datasets: Sequence[DatasetInfo]) -> None:
        """Take a newer list: something was fetched or imported meanwhile."""
        if tuple(datasets) != self._datasets:
            self._datasets = tuple(datasets)
            self.choose_dataset(self._dataset)

    def _dataset_options(self) -> list[tuple[Any, str]]:
        absent = {False: "  not here yet", True: ""}
        names = [(Text.assemble(info.name, (absent[info.ready], "dim")), info.name) for info in self._datasets]
        is_other = self._dataset not in {info.name for info in self._datasets}  # a folder, or a set that is gone
        own = [(Text(clean(self._dataset, 60)), self._dataset)] if is_other else []
        return [*names, *own, (Text("folder of pictures…"), OWN_FOLDER)]

    def show_devices(self, devices: Sequence[str]) -> None:
        """Offer the devices that this machine turned out to have."""
        self._devices = ("auto", *(name.split()[0] for name in devices))
        self._choose_device(str(self._choice("device").value))

    def _choose_device(self, device: str) -> None:
        self._choice("device").offer(named(dict.fromkeys((*self._devices, device))), device)

    @on(Select.Changed)
    @on(Input.Changed)
    def _edited(self, event: Select.Changed | Input.Changed) -> None:
        event.stop()
        field, value = event.control.id, str(event.value)
        if field == "preset":
            self.load_preset(value)
        elif field == "dataset" and value == OWN_FOLDER:
            self.choose_dataset(self._dataset)
            self.post_message(self.FolderWanted())
        else:
            self._dataset = value if field == "dataset" else self._dataset
            self.post_message(self.Edited())

    # What the fields ask for, and whether it can run

    def show_controls(self, state: str) -> None:
        """Let those buttons be pressed that a run in this state takes; without colours the others are in brackets."""
        live, bare = state in LIVE_STATES, mode_of(self.app).colors == "none"
        words = {"pause": "Go on" if state == "paused" else "Pause", "stop": "Stop", "save": "Save"}
        for name, word in words.items():
            button = self.query_one(f"#{name}", Button)
            button.disabled = not live
            button.label = f"({word})" if bare and not live else word
            button.styles.line_pad = int(not bare or live)  # or the brackets have no room

    @property
    def checked(self) -> Checked | None:
        """What was found of the fields as they are; None where they cannot run, or were not checked yet."""
        asked, found = self._found
        return found if asked == self.overrides else None

    def check_now(self) -> Checked | None:
        """The config that the fields ask for at this moment, if it can run."""
        return self._draft.check(self.overrides, self._known_devices())[0]

    def command(self) -> str:
        """The `tuiae run` line that does what the fields say.

        Raises:
            ConfigError: they say nothing that can run.
        """
        return self._draft.command(self.overrides)

    def save_preset(self, name: str) -> str:
        """Keep what the fields say as a preset, choose it, and say what it is called.

        Raises:
            ConfigError: the fields or the name will not do.
        """
        preset = self._draft.save(self.overrides, name)
        self._preset = preset.name
        self._choice("preset").offer(named(self._draft.presets), preset.name)
        self._found = {}, None  # what was found has the name of the preset before
        self.recheck()
        return preset.name

    @on(Edited)
    def recheck(self) -> None:
        """Check again: a field was edited, or what there is to train on or with is not what it was."""
        self._check(self.overrides)

    @work(exclusive=True)
    async def _check(self, asked: dict[str, Any]) -> None:
        """Check in a thread: a folder of pictures may take its time to look through. A newer check ends this one."""
        checked, problem = await asyncio.to_thread(self._draft.check, asked, self._known_devices())
        self._found = asked, checked
        if not (start := self.query("#start")):
            return  # the dashboard was left meanwhile
        start.first(Button).disabled = checked is None
        if checked is None:
            self.border_subtitle = "cannot start"
            self.post_message(self.CheckEnded(problem, "bad"))
            return
        size = "" if checked.parameters is None else f"{count(checked.parameters)} parameters"
        self.border_subtitle = " · ".join(filter(None, (size, "pauses itself" * self.auto_pause)))
        self.post_message(self.CheckEnded(*readiness(checked)))


def typed(value: float) -> str:
    """A number as somebody would type it; read again it is the very same, else a field nobody touched would change
    it."""
    return str(value).removesuffix(".0")


def _id(key: str) -> str:
    return key.replace(".", "-")
