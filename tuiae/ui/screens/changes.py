"""Changing a training while it runs, or in a fork of it."""

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
from tuiae.runs.checkpoints import all_checkpoints, no_checkpoint, pointed, read_position
from tuiae.runs.control import EDITABLE, offered, propose, value_of
from tuiae.runs.labels import read_label
from tuiae.runs.lineage import config_at, fork_config
from tuiae.runs.paths import RunPaths, need_run
from tuiae.runs.reader import read_status
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.screens.dialogs import Dialog
from tuiae.ui.session import NothingToDoError
from tuiae.ui.widgets.form import Choice, NumberInput, typed

MOST_FORK_NAME = 43  # characters of a run's name with which its fork's begins: a name takes 48


def ask_edit(screen: BaseScreen) -> None:
    """Ask what to change in the training of the open run, and ask that of its worker.

    Raises:
        NothingToDoError: no run is live here.
    """
    snapshot = screen.session.snapshot
    if snapshot is None or not snapshot.status.live or snapshot.current_config is None:
        raise NothingToDoError("no run is live here; f forks a stopped one with other settings")

    def change(changes: dict[str, Any] | None) -> None:
        if changes and screen.attempt(screen.session.edit, changes):
            screen.message.hint("asked: it is in force from the next step on", "good")

    screen.app.push_screen(EditDialog(snapshot.current_config, snapshot.status.epoch), change)


class EditDialog(Dialog[dict[str, Any]]):
    """What may be changed while a run trains; dismissed with the keys that were changed, nothing when escaped."""

    BINDINGS = [Binding("escape", "dismiss({})", "Cancel", show=False)]

    def __init__(self, config: RunConfig, epoch: int) -> None:
        """`config` is in force now, `epoch` whole ones are over."""
        super().__init__()
        self._config, self._epoch = config, epoch

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog changes") as dialog:
            dialog.border_title = "change the training"
            dialog.border_subtitle = "enter applies · escape cancels"
            question = "In force from the next step on. Every change is kept in the run's history."
            yield Label(question, classes="question")
            with Grid(id="edits"):
                for key in offered(self._config):
                    yield Label(EDITABLE[key])
                    field = NumberInput(_id(key))
                    field.value = typed(value_of(self._config, key))
                    yield field
            yield Static(classes="wrong")

    def read(self) -> tuple[dict[str, Any], RunConfig]:
        """The keys whose field says something else than what is in force, and the config with them.

        Raises:
            ConfigError: a value that cannot be taken.
        """
        changes: dict[str, Any] = {}
        after = self._config
        for key in offered(self._config):
            text = self.query_one(f"#{_id(key)}", NumberInput).value.strip()
            value = parse_override(f"{key}={text}")[1]
            if value != value_of(self._config, key):
                after = propose(after, key, value, self._epoch)
                changes[key] = value
        return changes, after

    @on(Input.Changed)
    def _check(self) -> None:
        """Say what would change, or why it cannot."""
        try:
            changes, after = self.read()
        except TuiaeError as error:
            show_verdict(self, str(error))
        else:
            words = ", ".join(f"{EDITABLE[key]} becomes {value}" for key, value in changes.items())
            warnings = warn_of_change(self._config, after)
            show_verdict(self, "; but ".join((words, *warnings)), "-doubtful" if warnings else "-fine")

    @on(Input.Submitted)
    def _take(self) -> None:
        try:
            self.dismiss(self.read()[0])
        except TuiaeError as error:
            show_verdict(self, str(error))


def ask_fork(screen: BaseScreen, source: RunPaths, name: str) -> None:
    """Ask from which checkpoint of a run its fork goes on and what it changes; start it, and show it.

    Raises:
        UnknownRunError: the run is gone. TrainingError: it has no checkpoint.
    """
    need_run(source)
    if not all_checkpoints(source):
        raise no_checkpoint(source)

    def fork(chosen: tuple[str, RunConfig] | None) -> None:
        if chosen is not None and screen.attempt(screen.session.fork, source, *chosen):
            screen.app.switch_mode("live")

    screen.app.push_screen(ForkDialog(source, f"{name[:MOST_FORK_NAME]}-fork"), fork)


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
            if read_status(self._run).live:
                question += " That one trains on beside it."
            yield Label(Content(question), classes="question")
            with Grid(id="edits"):
                yield Label("checkpoint")
                yield Choice("checkpoint", self._checkpoints())
                yield Label("name")
                yield Input(self._fork_name, id="fork-name", compact=True)
                for key in self._keys:
                    yield Label(EDITABLE[key])
                    yield NumberInput(_id(key))
                yield Label("others")
                yield Input(placeholder="key=value, such as training.batch_size=64", id="fork-settings", compact=True)
            yield Static(classes="wrong")

    def on_mount(self) -> None:
        self.query_one(f"#{_id(self._keys[0])}" if self._keys else "#fork-settings").focus()
        self._checkpoint_chosen()

    def _checkpoints(self) -> list[tuple[str, str]]:
        """Words and name of each checkpoint; `last` and `best` are names, because a live run moves them."""
        named = [name for name in ("last", "best") if pointed(self._run, name)]
        known = {pointed(self._run, name) for name in named}
        steps = [str(int(folder.name[5:])) for folder in all_checkpoints(self._run) if folder.name not in known]
        described = []
        for name in (*named, *steps):
            moment = read_position(self._folder(name))
            note = "" if name.isdecimal() else f"{name}: "
            described.append((f"{note}epoch {moment.epoch:g}, step {moment.step:,}", name))
        return described

    def _folder(self, name: str) -> Path:
        return self._run.weights / (pointed(self._run, name) or f"step-{int(name):06d}")

    @property
    def checkpoint(self) -> str:
        """The name or the step of the chosen checkpoint."""
        return str(self.query_one("#checkpoint", Choice).value)

    def _fill(self) -> None:
        """Fill the fields that nobody has changed with what was in force at the chosen checkpoint, and enough epochs to
        train on."""
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
    def _checkpoint_chosen(self) -> None:
        self._fill()
        self._check()

    @on(Input.Changed)
    def _check(self) -> None:
        """Say what would start, or why nothing can."""
        folder = self._folder(self.checkpoint)
        try:
            if not folder.is_dir():  # a live run keeps a few
                raise TrainingError(f"{folder.name} is no longer kept", "choose another checkpoint")
            self._config = fork_config(self._run, folder, self.overrides, asker="")
        except TuiaeError as error:
            self._config = None
            show_verdict(self, str(error))
        else:
            show_verdict(self, f"{self._config.name} goes on up to epoch {self._config.training.epochs}", "-fine")

    @on(Input.Submitted)
    def _take(self) -> None:
        self._check()
        if self._config is not None:
            self.dismiss((self.checkpoint, self._config))


def show_verdict(dialog: Dialog[Any], words: str, how: str = "") -> None:
    """Say below the fields what they would do; `how` is `-fine`, `-doubtful`, or empty for what cannot be taken."""
    line = dialog.query_one(".wrong", Static)
    line.set_classes(f"wrong {how}")
    line.update(Content(clean(words, 300)))


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
