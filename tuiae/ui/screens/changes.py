"""Changing a training while it runs, or in a fork of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from textual import on
from textual.app import ComposeResult
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
from tuiae.runs.lineage import config_at, fork_config, need_config
from tuiae.runs.paths import RunPaths, need_run
from tuiae.runs.reader import read_status
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.screens.dialogs import Answer, Dialog
from tuiae.ui.session import NothingToDoError
from tuiae.ui.widgets.form import Choice, NumberInput, typed

MOST_FORK_NAME = 43  # characters of a run's name with which its fork's begins: a name takes 48


class ChangeDialog(Dialog[Answer]):
    """Fields for settings; below them stands what they would do."""

    TITLE, HINT = "", ""

    def __init__(self, question: str, filled: dict[str, str]) -> None:
        super().__init__()
        self._question = question
        self._filled = filled
        """The keys that have a field, with what it says as long as nobody has changed it."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog changes") as dialog:
            dialog.border_title, dialog.border_subtitle = self.TITLE, self.HINT
            yield Label(Content(self._question), classes="question")
            with Grid(id="edits"):
                yield from self.compose_fields()
            yield Static(classes="wrong")

    def compose_fields(self) -> ComposeResult:
        """A label and a field for each setting."""
        for key, text in self._filled.items():
            yield Label(EDITABLE[key])
            field = NumberInput(_id(key))
            field.value = text
            yield field

    def field(self, key: str) -> NumberInput:
        """The field of one of the keys."""
        return self.query_one(f"#{_id(key)}", NumberInput)

    def value(self, key: str) -> Any:
        """What the field of a key says.

        Raises:
            ConfigError: nothing that can be a value.
        """
        return parse_override(f"{key}={self.field(key).value.strip()}")[1]

    def read(self) -> tuple[Answer, str, str]:
        """The answer that the fields give, what that would do, and a kind for `judge`.

        Raises:
            TuiaeError: why they cannot be taken.
        """
        raise NotImplementedError

    @on(Input.Changed)
    def check(self) -> Answer | None:
        """Say what the fields would do, or why they cannot be taken; returns the answer that they give."""
        try:
            answer, words, kind = self.read()
        except TuiaeError as error:
            self.judge(str(error))
            return None
        self.judge(words, kind)
        return answer

    @on(Input.Submitted)
    def _take(self) -> None:
        if (answer := self.check()) is not None:
            self.dismiss(answer)


def ask_edit(screen: BaseScreen) -> None:
    """Ask what to change in the training of the open run, and ask that of its worker.

    Raises:
        NothingToDoError: no run is live here.
    """
    snapshot = screen.session.snapshot
    if snapshot is None or not snapshot.status.live or snapshot.current_config is None:
        raise NothingToDoError("no run is live here; f forks a stopped one with other settings")

    def change(changes: dict[str, Any]) -> None:
        if changes:
            screen.session.edit(changes)
            screen.message.hint("asked: it is in force from the next step on", "good")

    screen.show_dialog(EditDialog(snapshot.current_config, snapshot.status.epoch), change)


class EditDialog(ChangeDialog[dict[str, Any]]):
    """What may be changed while a run trains; the answer holds the keys that were changed."""

    TITLE, HINT = "change the training", "enter applies · escape cancels"

    def __init__(self, config: RunConfig, epoch: int) -> None:
        """`config` is in force now, `epoch` whole ones are over."""
        question = "In force from the next step on. Every change is kept in the run's history."
        super().__init__(question, {key: typed(value_of(config, key)) for key in offered(config)})
        self._config, self._epoch = config, epoch

    def read(self) -> tuple[dict[str, Any], str, str]:
        changes: dict[str, Any] = {}
        after = self._config
        for key in self._filled:
            value = self.value(key)
            if value != value_of(self._config, key):
                after = propose(after, key, value, self._epoch)
                changes[key] = value
        words = ", ".join(f"{EDITABLE[key]} becomes {value}" for key, value in changes.items())
        warnings = warn_of_change(self._config, after, self._epoch)
        return changes, "; but ".join((words, *warnings)), "-doubtful" if warnings else "-fine"


def ask_fork(screen: BaseScreen, source: RunPaths) -> None:
    """Ask from which checkpoint of a run its fork goes on and what it changes; start it, and show it.

    Raises:
        UnknownRunError: the run is gone. ConfigError: it has no config to go by. TrainingError: it has no checkpoint.
    """
    need_run(source)
    name = need_config(source, step=-1).name
    if not all_checkpoints(source):
        raise no_checkpoint(source)

    def fork(chosen: tuple[str, RunConfig], other_images: bool) -> None:
        screen.session.fork(source, *chosen, other_images)
        screen.app.switch_mode("live")

    dialog = ForkDialog(source, f"{name[:MOST_FORK_NAME]}-fork")
    screen.show_dialog(dialog, lambda chosen: screen.train_on(partial(fork, chosen)))


class ForkDialog(ChangeDialog[tuple[str, RunConfig]]):
    """From which checkpoint, and with which other settings; the answer is the checkpoint's name and the config."""

    TITLE, HINT = "fork", "enter starts it · escape cancels"

    def __init__(self, run: RunPaths, name: str) -> None:
        """`name` is offered as the fork's."""
        question = f"A run of its own that goes on from a checkpoint of {clean(read_label(run).name or run.id, 60)}."
        question += " That one trains on beside it." if read_status(run).live else ""
        config = config_at(run)
        super().__init__(question, dict.fromkeys(offered(config) if config is not None else (), ""))
        self._run, self._fork_name = run, name

    def compose_fields(self) -> ComposeResult:
        yield Label("checkpoint")
        yield Choice("checkpoint", self._checkpoints())
        yield Label("name")
        yield Input(self._fork_name, id="fork-name", compact=True)
        yield from super().compose_fields()
        yield Label("others")
        yield Input(placeholder="key=value, such as training.batch_size=64", id="fork-settings", compact=True)

    def on_mount(self) -> None:
        first = next(map(_id, self._filled), "fork-settings")
        self.query_one(f"#{first}").focus()
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

    @on(Select.Changed)
    def _checkpoint_chosen(self) -> None:
        """Fill the fields that nobody has changed with what was in force at the chosen checkpoint, and enough epochs to
        train on."""
        moment = read_position(self._folder(self.checkpoint))
        config = config_at(self._run, moment.step)
        if config is None:
            return
        for key, before in self._filled.items():
            value = value_of(config, key)
            text = typed(2 * int(moment.epoch) if key == "training.epochs" and value <= moment.epoch else value)
            if self.field(key).value == before:
                with self.prevent(Input.Changed):
                    self.field(key).value = text
            self._filled[key] = text
        self.check()

    @property
    def overrides(self) -> dict[str, Any]:
        """What the fields ask for, by dotted key.

        Raises:
            ConfigError: a word without an equals sign, or one for which there is a field.
        """
        others = read_settings(self.query_one("#fork-settings", Input).value)
        if twice := next((key for key in others if key in ("name", *self._filled)), ""):
            raise ConfigError(f"{twice} has a field of its own", "say it there")
        name = self.query_one("#fork-name", Input).value.strip()
        return {"name": name, **{key: self.value(key) for key in self._filled}, **others}

    def read(self) -> tuple[tuple[str, RunConfig], str, str]:
        folder = self._folder(self.checkpoint)
        if not folder.is_dir():  # a live run keeps a few
            raise TrainingError(f"{folder.name} is no longer kept", "choose another checkpoint")
        config, moment = fork_config(self._run, folder, self.overrides, asker=""), read_position(folder)
        words = f"{config.name} goes on up to epoch {config.training.epochs}"
        before = config_at(self._run, moment.step)
        warnings = warn_of_change(before or config, config, moment.epoch)
        return (self.checkpoint, config), "; but ".join((words, *warnings)), "-doubtful" if warnings else "-fine"


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
