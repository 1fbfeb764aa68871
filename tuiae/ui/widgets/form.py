"""The form: what the next run will be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
from textual.widgets import Button, Input, Label

from tuiae.config import NOISE_KINDS, RunConfig, parse_value, settings_of, typed
from tuiae.config.presets import DEFAULT
from tuiae.data.registry import DatasetInfo
from tuiae.errors import TuiaeError
from tuiae.preflight import Checked
from tuiae.render.text import shorten
from tuiae.runs.labels import Label as RunLabel
from tuiae.source import UntrustedCodeError
from tuiae.ui.draft import (
    BESIDE_CHOICE,
    FIELDS_OF,
    MODELS,
    NAME_CELLS,
    NUMBERS,
    OTHERS,
    OWN_PLACES,
    Draft,
    dataset_options,
    field_of,
    find_model,
    in_short,
    models_on,
    offered_datasets,
    readiness,
    refusal,
)
from tuiae.ui.keys import BACK_KEY
from tuiae.ui.terminal.screen_diff import Lasting
from tuiae.ui.widgets.fields import Choice, FoldedForm, NumberInput, follow_arrow, named

BRINGS_BACK = f"{BACK_KEY} brings back what the form asked for"


class ConfigForm(Lasting, Vertical):
    """Fields for what is changed most; everything else comes from a preset, from the config of a run, or from the list
    of all settings.

    A thread checks what they say after every change: whether it can run, and what Start would do. While a run is open
    the form is one line, unless the focus is in it.
    """

    ALLOW_MAXIMIZE = True
    BORDER_TITLE = "configure the next run"
    BINDINGS = [
        Binding("escape", "screen.leave_form", "Panels"),
    ]

    class Edited(Message):
        """A field changed; the form's `overrides` say what it asks for."""

    class Folded(Message):
        """It has become one line, or has opened."""

    @dataclass
    class PlaceWanted(Message):
        """A folder or a file of the user's own is to be named."""

        prefix: str

    @dataclass
    class Answered(Message):
        """The form changed what the user did not, or refused what the user did; `kind` is one of the message line's."""

        text: str
        kind: str

    @dataclass
    class CheckEnded(Message):
        """What Start would do, or why it can do nothing; `kind` is one of the message line."""

        text: str
        kind: str

    _models = MODELS
    _encoder_run = ""
    _devices: tuple[str, ...] = ("auto", "cpu")
    _found: tuple[dict[str, Any], Checked | None] = {}, None
    """What the fields said at the last check that ended, and what it found."""
    _suggested = ""
    """A name for the next run, made of what differs."""
    _changed = False
    """Whether it asks for something else than it was filled with."""
    _run_is_open = False

    def __init__(self, draft: Draft, devices: Callable[[], list[str] | None], key: str = "") -> None:
        """`devices` says what this machine has, None while nobody knows; `key` opens the form where it is one line."""
        super().__init__(id="form")
        self.draft = draft
        self._known_devices = devices
        self._key = key
        self._datasets = tuple(offered_datasets())
        self._dataset = self._datasets[0].name
        self._offered: list[tuple[Any, str]] = []
        self._more: dict[str, Any] = {}
        """Settings that no field says, by dotted key."""

    def on_mount(self) -> None:
        if recalled := self.draft.recall():
            config, others = recalled
            self._fill(config)
            with self.prevent(Input.Changed):
                for name, field in OTHERS.items():
                    self.query_one(f"#{field}", Input).value = others.get(name, "")
            self.post_message(self.Edited())
        else:
            self.load_preset(DEFAULT)

    def compose(self) -> ComposeResult:
        numbers = {label: NumberInput(field_of(key)) for label, key in NUMBERS}
        more = Button("", id="all_settings", compact=True)
        more.styles.line_pad = 0
        name, tags = (Input(id=field, compact=True, classes="wide") for field in OTHERS.values())
        tags.placeholder = "words, for a study"
        fields = (
            ("preset", Choice("preset", [(Text(name), name) for name in self.draft.presets])),
            ("model", Choice("model", named(MODELS))),
            *((label, numbers[label]) for label in ("code", "resize")),
            ("dataset", Choice("dataset", dataset_options(self._datasets, self._dataset))),
            ("noise", Horizontal(Choice("noise", named(NOISE_KINDS)), NumberInput("noise-level"), classes="wide")),
            ("device", Choice("device", named(self._devices))),
            *((label, numbers[label]) for label in ("epochs", "batch", "rate", "seed")),
            ("more", more),
            ("name", name),
            ("tags", tags),
        )
        yield FoldedForm(id="folded")
        with Grid(id="fields"):
            for label, field in fields:
                yield Label(label)
                yield field
        with Horizontal(id="buttons"):
            yield Button("Start", id="start", compact=True)

    # One line while a run is open

    def open_run(self, is_open: bool) -> None:
        """Be one line from now on while the focus is elsewhere, or whole whatever has it."""
        self._run_is_open = is_open
        self._fold()

    def enter(self, field: str = "preset") -> None:
        """Show all fields, with the focus in one of them, or on Start."""
        self._be_folded(False)
        self.query_one(f"#{field}").focus()
        self.recheck()  # the message was of the open run while nobody was here

    @property
    def is_entered(self) -> bool:
        """Whether the focus is in it."""
        return self.screen.focused is not None and self in self.screen.focused.ancestors

    def _fold(self) -> None:
        # With the terminal's the focus goes and comes back, and what is clicked stays where it is.
        if (
            self.is_attached
            and self.app.app_focus
            and not (self.is_entered and isinstance(self.screen.focused, Button))
        ):
            self._be_folded(self._run_is_open and not self.is_entered)

    def _be_folded(self, folded: bool) -> None:
        if folded != self.has_class("-folded"):
            self.set_class(folded, "-folded")
            self.post_message(self.Folded())

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _frame(self, event: DescendantFocus | DescendantBlur) -> None:
        """Show by the frame that the focus is within; `:focus-within` styles every field anew at each of its steps."""
        self.set_class(isinstance(event, DescendantFocus), "-entered", update=False)
        self.app.stylesheet.update_nodes([self])
        self.call_later(self._follow_focus)  # once it is where it goes

    def _follow_focus(self) -> None:
        if self.is_attached and self.app.app_focus:
            self._fold()
            self._tell_readiness()

    def _choice(self, name: str) -> Choice:
        return self.query_one(f"#{name}", Choice)

    def load_preset(self, name: str) -> None:
        """Begin anew from a preset."""
        is_aside = self.draft.put_aside(self.overrides)
        try:
            config = self.draft.load_preset(name)
        except TuiaeError as error:
            self._choice("preset").value = self.draft.origin  # what filled the form last
            self.post_message(self.Answered(str(error), "bad"))
            return
        self._fill(config)
        self.post_message(self.Edited())
        if is_aside:
            self.post_message(self.Answered(BRINGS_BACK, "good"))

    def take(self, config: RunConfig, path: Path) -> bool:
        """Begin anew from the config of a run, whose file lies at `path`; returns whether that took the place of what
        somebody had changed."""
        is_aside = self.draft.put_aside(self.overrides)
        self.draft.take(config, path)
        self.forget_name()
        self._fill(self.draft.base)
        self.recheck()
        return is_aside

    def ask(self, changes: Mapping[str, Any]) -> RunConfig:
        """The config that the fields ask for, with changes on top.

        Raises:
            ConfigError: it cannot be.
        """
        return self.draft.ask({**self.overrides, **changes})

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change settings, by dotted key, whether they have a field or not; raises as `ask`."""
        self._fill(self.ask(changes))
        self.recheck()

    def _fill(self, config: RunConfig) -> None:
        """Show a config; nothing is posted, as nobody edited anything."""
        self._found = {}, None  # the same fields may stand on other settings now
        settings = settings_of(config)
        with self.prevent(Input.Changed):
            self._choice("noise").value = config.noise.kind
            self._choose_model(config)
            self.choose_dataset(config.data.dataset)
            self._choose_device(config.training.device)
            self.query_one("#noise-level", NumberInput).value = typed(config.noise.level)
            for _, key in NUMBERS:
                self.query_one(f"#{field_of(key)}", NumberInput).value = typed(settings[key])
        said = {**settings_of(self.draft.base), **self._said()}
        self._more = {key: value for key, value in settings.items() if key not in said or value != said[key]}
        self._show_changes()

    def bring_back(self) -> None:
        """Ask again for what it asked for before it was filled anew; the next time for what it asks for now."""
        if (asked := self.draft.bring_back(self.overrides)) is not None:
            self._fill(asked)
            self.post_message(self.Edited())
        else:
            self.post_message(self.Answered("nothing was filled in over what somebody had changed", "quiet"))

    def _show_changes(self) -> None:
        """Show whether the form asks for something else than it was filled with, how many settings without a field
        that are, and the name that follows."""
        self._changed = bool(self.draft.changed(self.overrides))
        more = len(self.draft.changed({key: value for key, value in self._more.items() if key not in FIELDS_OF}))
        every = len(settings_of(self.draft.base))
        words = f"{more} changed of all {every}: O" if more else f"all {every} settings: O"
        self.query_one("#all_settings", Button).label = words
        with suppress(TuiaeError):  # of what cannot be there is no name
            self._suggested = self.draft.name_for(self.ask({}))
            name = self.query_one(f"#{OTHERS['name']}", Input)
            name.placeholder = shorten(self._suggested, max(NAME_CELLS, name.content_size.width - 1))
        offered = self.draft.options(self._changed, self._choice("preset").size.width - BESIDE_CHOICE)
        if offered != self._offered or self._choice("preset").value != self.draft.origin:
            self._offered = offered
            self._choice("preset").offer(offered, self.draft.origin)
        origin = f"{self.draft.origin}{' changed' * self._changed}"
        for folded in self.query(FoldedForm):  # which is gone before the form when the screen closes
            tags = self.query_one(f"#{OTHERS['tags']}", Input).value
            said = (origin, str(self._choice("model").value), self._dataset, f"tags {tags}" if tags.strip() else "")
            folded.say(self._key, filter(None, said))

    def on_key(self, event: Key) -> None:
        follow_arrow(event, self.query("Choice, Input, Button"))

    @property
    def overrides(self) -> dict[str, Any]:
        """What the form asks for, by dotted key."""
        return {**self._said(), **self._more}

    def _said(self) -> dict[str, Any]:
        """What the fields say, by dotted key."""
        found: dict[str, Any] = {
            **self._models[str(self._choice("model").value)],
            "data.dataset": self._dataset,
            "noise.kind": self._choice("noise").value,
            "noise.level": self._read("noise-level"),
            "training.device": self._choice("device").value,
        }
        return found | {key: self._read(field_of(key)) for _, key in NUMBERS}

    def _read(self, field: str) -> Any:
        text = self.query_one(f"#{field}", NumberInput).value.strip()
        return parse_value(text) if text else ""

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
        self._models = {**self._models, **models_on(config.model.encoder_run)}
        self._offer_models(find_model(self._models, config))

    def choose_dataset(self, name: str) -> None:
        """Choose a set by name; a folder or a file that is not in the list yet is added."""
        self._dataset = name
        self._choice("dataset").offer(dataset_options(self._datasets, name), name)

    def show_datasets(self, datasets: Sequence[DatasetInfo]) -> None:
        """Take a newer list: something was fetched or imported meanwhile."""
        if tuple(datasets) != self._datasets:
            self._datasets = tuple(datasets)
            self.choose_dataset(self._dataset)

    def show_devices(self, devices: Sequence[str]) -> None:
        """Offer the devices that this machine turned out to have."""
        self._devices = ("auto", *(name.split()[0] for name in devices))
        self._choose_device(str(self._choice("device").value))

    def _choose_device(self, device: str) -> None:
        self._choice("device").offer(named(dict.fromkeys((*self._devices, device))), device)

    @on(Choice.Chosen)
    @on(Input.Changed)
    def _edited(self, event: Choice.Chosen | Input.Changed) -> None:
        event.stop()
        if event.value != event.control.value:
            return  # it has another value by now
        field, value = event.control.id, event.value
        if field == "preset" and value not in self.draft.presets:
            if self.draft.put_aside(self.overrides):
                self.post_message(self.Answered(BRINGS_BACK, "good"))
            self._fill(self.draft.base)
            self.post_message(self.Edited())
        elif field == "preset":
            self.load_preset(value)
        elif field == "dataset" and value in OWN_PLACES:
            self.choose_dataset(self._dataset)
            self.post_message(self.PlaceWanted(value))
        else:
            self._dataset = value if field == "dataset" else self._dataset
            self._more = {key: value for key, value in self._more.items() if FIELDS_OF.get(key) != field}
            self.post_message(self.Edited())
            if field == "model":
                self._mind_noise()

    def _mind_noise(self) -> None:
        """Take the noise that the form was filled with out of a classifier, which is to tell clean images apart, and
        put it back for an autoencoder; what somebody chose stays."""
        base, noise, level = self.draft.base, self._choice("noise"), self.query_one("#noise-level", NumberInput)
        filled, none = (base.noise.kind, typed(base.noise.level)), ("none", typed(0.0))
        to_classifier = "classifier" in str(self._choice("model").value)
        was, now = (filled, none) if to_classifier else (none, filled)
        if base.is_classifier or (noise.value, level.value) != was or filled[0] == "none":
            return
        noise.value = now[0]
        with self.prevent(Input.Changed):
            level.value = now[1]
        why = f"a classifier learns clean images, not those of {self.draft.origin} with {filled[0]} noise"
        again = f"noise is {filled[0]} {filled[1]} again, as in {self.draft.origin}"
        self.post_message(self.Answered(f"noise is none now: {why}" if to_classifier else again, "good"))

    # What the fields ask for, and whether it can run

    @property
    def checked(self) -> Checked | None:
        """The result of checking the fields as they are; None where they cannot run, or were not checked yet."""
        asked, found = self._found
        return found if asked == self.overrides else None

    def check_now(self) -> Checked:
        """The config that the fields ask for at this moment; raises a TuiaeError where it cannot run."""
        return self.draft.check(self.overrides, self._known_devices(), None)

    def label(self) -> RunLabel:
        """What the run is to be called, and its tags; raises ConfigError for a name or a tag that cannot be."""
        name, tags = (self.query_one(f"#{field}", Input).value for field in OTHERS.values())
        return self.draft.label(self.overrides, name, tags)

    @on(NumberInput.Refused)
    def _refuse(self, event: NumberInput.Refused) -> None:
        text = f"no number has {event.letter} in it · escape leaves the form, and letters are keys again"
        self.post_message(self.Answered(text, "quiet"))

    @on(Input.Submitted)
    def _go_on(self, event: Input.Submitted) -> None:
        """Take the name that the empty field suggests; else go on to the next field."""
        if event.input.id == OTHERS["name"] and not event.value:
            event.input.value = self._suggested
            event.input.action_end()
        else:
            self.screen.focus_next()

    def forget_name(self) -> None:
        """Forget the name, which was that of one run; what is asked for stays."""
        self.query_one(f"#{OTHERS['name']}", Input).value = ""

    def command(self) -> str:
        """The `tuiae run` line that does what the fields say.

        Raises:
            ConfigError: they say nothing that can run.
        """
        return self.draft.command(self.overrides)

    def save_preset(self, name: str) -> str:
        """Keep what the fields say as a preset, choose it, and say what it is called.

        Raises:
            ConfigError: the fields or the name will not do.
        """
        preset = self.draft.save(self.overrides, name)
        self._fill(self.draft.base)
        self.recheck()
        return preset.name

    @on(Edited)
    def recheck(self) -> None:
        """Check again: a field was edited, or what there is to train on or with is not what it was."""
        self._check(self.overrides)

    @work(exclusive=True)
    async def _check(self, asked: dict[str, Any]) -> None:
        """Check in a thread: a folder of pictures may take its time to look through. A newer check ends this one."""
        others = {name: self.query_one(f"#{field}", Input).value for name, field in OTHERS.items()}
        checked: Checked | None = None
        problem: TuiaeError | None = None
        try:
            checked = await asyncio.to_thread(self.draft.check, asked, self._known_devices(), others)
        except TuiaeError as error:
            problem = error
        if not (start := self.query("#start")):
            return  # the dashboard was left meanwhile
        self._show_changes()
        try:
            self.label()
        except TuiaeError as error:
            checked, problem = None, error
        self._found = asked, checked
        start.first(Button).disabled = checked is None and not isinstance(problem, UntrustedCodeError)
        if checked is None:
            self.border_subtitle, *said = refusal(problem)
            self.post_message(self.CheckEnded(*said))
        else:
            self.border_subtitle = in_short(checked)
            self._tell_readiness()

    def _tell_readiness(self) -> None:
        """Say what Start would do, if the last check found that it can, and by which key from where the focus is."""
        if (checked := self._found[1]) is not None:
            focused = self.screen.focused
            typed = self.is_entered and focused is not None and focused.check_consume_key("r", "r")
            self.post_message(self.CheckEnded(*readiness(checked, "esc, then r" if typed else "r")))
