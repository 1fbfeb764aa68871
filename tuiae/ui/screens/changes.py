"""Dialogs that change a training: while it runs, or on a branch of its own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.widgets import Input, Label, Select, Static

from tuiae.config import RunConfig, parse_override
from tuiae.errors import ConfigError, TrainingError, TuiaeError
from tuiae.preflight import warn_of_change
from tuiae.render.text import clean
from tuiae.runs.checkpoints import all_checkpoints, pointed, read_position
from tuiae.runs.control import EDITABLE, offered, propose, value_of
from tuiae.runs.labels import read_label
from tuiae.runs.lineage import config_at, fork_config
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import read_status
from tuiae.ui.screens.dialogs import Dialog
from tuiae.ui.widgets.form import Choice, NumberInput, typed


class EditDialog(Dialog[dict[str, Any]]):
    """What may be changed while a run trains; dismissed with the keys that were changed, nothing when escaped."""

    BINDINGS = [Binding("escape", "dismiss({})", "Cancel", show=False)]

    def __init__(self, config: RunConfig, done: int, key: str = "") -> None:
        """`config` is in force now, `done` epochs are over; the field of `key` has the focus."""
        super().__init__()
        self._config, self._done, self._first = config, done, key

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog changes") as dialog:
            dialog.border_title = "change the training"
            dialog.border_subtitle = "enter applies · escape cancels"
            yield Label(
                "In force from the next step on. Every change is kept in the run's history.", classes="question"
            )
            with Grid(id="edits"):
                for key in offered(self._config):
                    yield Label(EDITABLE[key].label)
                    field = NumberInput(_id(key))
                    field.value = typed(value_of(self._config, key))
                    yield field
            yield Static(classes="wrong")

    def on_mount(self) -> None:
        if self._first:
            self.query_one(f"#{_id(self._first)}").focus()

    @property
    def changes(self) -> dict[str, Any]:
        """Keys whose field says something else than what is in force.

        Raises:
            ConfigError: a value that cannot be taken.
        """
        changed: dict[str, Any] = {}
        for key in offered(self._config):
            text = self.query_one(f"#{_id(key)}", NumberInput).value.strip()
            value = parse_override(f"{key}={text}")[1]
            if value != value_of(self._config, key):
                propose(self._config, key, value, self._done)
                changed[key] = value
        return changed

    @on(Input.Changed)
    def _look(self) -> None:
        try:
            changes = self.changes
            words = ", ".join(f"{EDITABLE[key].label} becomes {value}" for key, value in changes.items())
            after = self._config
            for key, value in changes.items():
                after = propose(after, key, value, self._done)
        except TuiaeError as error:
            self._say(str(error), "")
        else:
            warnings = warn_of_change(self._config, after)
            self._say("; but ".join((words, *warnings)), "-doubtful" if warnings else "-fine")

    @on(Input.Submitted)
    def _take(self) -> None:
        try:
            self.dismiss(self.changes)
        except TuiaeError as error:
            self._say(str(error), "")

    def _say(self, words: str, how: str) -> None:
        """`how` is `-fine`, `-doubtful`, or empty for what cannot be taken."""
        line = self.query_one(".wrong", Static)
        for name in ("-fine", "-doubtful"):
            line.set_class(name == how, name)
        line.update(Content(clean(words, 300)))


class ForkDialog(Dialog[tuple[str, RunConfig] | None]):
    """From which checkpoint, and with which other settings; dismissed with the checkpoint's name and the config."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(self, run: RunPaths, name: str) -> None:
        """`name` is offered as the fork's."""
        super().__init__()
        self._run, self._fork_name = run, name
        config = config_at(run)
        self._keys = offered(config) if config is not None else ()
        self._filled = dict.fromkeys(self._keys, "")
        """What the fields say that nobody has changed."""
        self._config: RunConfig | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog changes") as dialog:
            dialog.border_title = "fork"
            dialog.border_subtitle = "enter starts it · escape cancels"
            source = clean(read_label(self._run).name or self._run.id, 60)
            question = f"A run of its own that goes on from a checkpoint of {source}."
            yield Label(Content(question + self._beside()), classes="question")
            with Grid(id="edits"):
                yield Label("checkpoint")
                yield Choice("checkpoint", self._offered())
                yield Label("name")
                yield Input(self._fork_name, id="fork-name", compact=True)
                for key in self._keys:
                    yield Label(EDITABLE[key].label)
                    yield NumberInput(_id(key))
                yield Label("others")
                yield Input(placeholder="key=value, such as training.batch_size=64", id="fork-settings", compact=True)
            yield Static(classes="wrong")

    def on_mount(self) -> None:
        self.query_one(f"#{_id(self._keys[0])}" if self._keys else "#fork-settings").focus()
        self._fill()
        self.look()

    def _beside(self) -> str:
        return " That one trains on beside it." if read_status(self._run).live else ""

    def _offered(self) -> list[tuple[str, str]]:
        """What to go on from; `last` and `best` are names, because a live run moves them."""
        named = [name for name in ("last", "best") if pointed(self._run, name)]
        known = {pointed(self._run, name) for name in named}
        steps = [folder.name[5:] for folder in all_checkpoints(self._run) if folder.name not in known]
        return [(self._describe(name), name) for name in [*named, *(str(int(step)) for step in steps)]]

    def _describe(self, name: str) -> str:
        moment = read_position(self._folder(name))
        note = f"{name}: " if not name.isdecimal() else ""
        return f"{note}epoch {moment.epoch:g}, step {moment.step:,}"

    def _folder(self, name: str) -> Path:
        return self._run.weights / (pointed(self._run, name) or f"step-{int(name):06d}")

    @property
    def checkpoint(self) -> str:
        """The name or the step of the chosen checkpoint."""
        return str(self.query_one("#checkpoint", Choice).value)

    def _fill(self) -> None:
        """Let the fields that nobody has changed say what was in force at the chosen checkpoint, and enough epochs for
        something to be left to do."""
        moment = read_position(self._folder(self.checkpoint))
        config = config_at(self._run, moment.step)
        if config is None:
            return
        for key in self._keys:
            value = value_of(config, key)
            text = typed(2 * int(moment.epoch) if key == "training.epochs" and value <= moment.epoch else value)
            field = self.query_one(f"#{_id(key)}", NumberInput)
            if field.value == self._filled[key]:
                with self.prevent(Input.Changed):
                    field.value = text
            self._filled[key] = text

    @property
    def overrides(self) -> dict[str, Any]:
        """What the fields ask for, by dotted key.

        Raises:
            ConfigError: a word without an equals sign, or one for which there is a field.
        """
        fields = {"name": "fork-name", **{key: _id(key) for key in self._keys}}
        others = read_settings(self.query_one("#fork-settings", Input).value)
        if twice := next((key for key in others if key in fields), ""):
            raise ConfigError(f"{twice} has a field of its own", "say it there")
        texts = {key: self.query_one(f"#{field}", Input).value.strip() for key, field in fields.items()}
        numbers = {key: parse_override(f"{key}={texts[key]}")[1] for key in self._keys}
        return {"name": texts["name"], **numbers, **others}

    @on(Select.Changed)
    def _chosen(self) -> None:
        self._fill()
        self.look()

    @on(Input.Changed)
    def look(self) -> None:
        """Say what would start, or why nothing can."""
        line = self.query_one(".wrong", Static)
        try:
            self._config = fork_config(self._run, self._present(), self.overrides, asker="")
        except TuiaeError as error:
            self._config = None
            words = str(error)
        else:
            words = f"{self._config.name} goes on up to epoch {self._config.training.epochs}"
        line.set_class(self._config is not None, "-fine")
        line.update(Content(clean(words, 300)))

    def _present(self) -> Path:
        """The chosen checkpoint, if it is still there: a live run keeps a few."""
        folder = self._folder(self.checkpoint)
        if not folder.is_dir():
            raise TrainingError(f"{folder.name} is no longer kept", "choose another checkpoint")
        return folder

    @on(Input.Submitted)
    def _take(self) -> None:
        self.look()
        if self._config is not None:
            self.dismiss((self.checkpoint, self._config))


def read_settings(line: str) -> Mapping[str, Any]:
    """`key=value key=value` as overrides.

    Raises:
        ConfigError: a word without an equals sign.
    """
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()  # an open quote: somebody is still typing
    return dict(parse_override(word, asker="") for word in words)


def _id(key: str) -> str:
    return f"edit-{key.replace('.', '-')}"
