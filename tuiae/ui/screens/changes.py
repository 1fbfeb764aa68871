"""Changing a training while it runs, or in a fork of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Grid
from textual.content import Content
from textual.events import Key
from textual.widgets import Button, Input, Label, Static

from tuiae.config import RunConfig, counted, list_settings, parse_value, typed
from tuiae.errors import ConfigError, TrainingError, TuiaeError
from tuiae.preflight import warn_of_change
from tuiae.render.text import clean
from tuiae.runs.advice import BEST, NOW, START, Remedy
from tuiae.runs.checkpoints import all_checkpoints, no_checkpoint, pointed, read_position
from tuiae.runs.control import EDITABLE, Value, check_setting, label_of, offered, propose, value_of
from tuiae.runs.diagnosis import Finding
from tuiae.runs.labels import read_label
from tuiae.runs.lineage import config_at, fork_config, fork_may_change, need_config, no_config
from tuiae.runs.paths import RunPaths, need_run
from tuiae.runs.reader import read_status
from tuiae.source import argument_settings, of_run
from tuiae.studies.labels import name_of_fork
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.screens.dialogs import Answer, ChoiceDialog, Dialog, LineDialog
from tuiae.ui.screens.settings import SettingsDialog
from tuiae.ui.session import NothingToDoError
from tuiae.ui.widgets.fields import Choice, NumberInput, follow_arrow

EPOCHS = "training.epochs"


class ChangeDialog(Dialog[Answer]):
    """Fields for settings; below them stands what they would do."""

    KIND, TITLE, HINT = "changes", "", ""

    def __init__(self, question: str, filled: dict[str, str], advised: Mapping[str, Any] | None = None) -> None:
        """The fields begin with the values that are `advised`, by dotted key."""
        super().__init__()
        self._question, self._advised = question, advised or {}
        self._filled = filled
        """The keys that have a field, with what it says as long as nobody has changed it."""

    def compose(self) -> ComposeResult:
        with self.frame(self.KIND, self.TITLE, self.HINT):
            yield Label(Content(self._question), classes="question")
            with Grid(id="edits"):
                yield from self.compose_fields()
            yield Static(classes="wrong")

    def compose_fields(self) -> ComposeResult:
        """A label and a field for each setting."""
        for key, text in self._filled.items():
            yield Label(label_of(key))
            field = NumberInput(_id(key), keeps_letters=False)
            field.value = text
            yield field

    def on_mount(self) -> None:
        if chosen := [key for key in self._filled if key in self._advised]:
            for key in chosen:
                self.field(key).value = typed(self._advised[key])
            self.field(chosen[0]).focus()

    def on_key(self, event: Key) -> None:
        follow_arrow(event, self.query("#edits Choice, #edits Input, #edits Button"))

    def field(self, key: str) -> NumberInput:
        """The field of one of the keys."""
        return self.query_one(f"#{_id(key)}", NumberInput)

    def value(self, key: str) -> Any:
        """What the field of a key says."""
        return parse_value(self.field(key).value)

    def read(self) -> tuple[Answer, str, str]:
        """The answer that the fields give, what that would do, and a kind for `judge`.

        Raises:
            TuiaeError: why they cannot be taken. NothingToDoError: what is still missing.
        """
        raise NotImplementedError

    @on(Input.Changed)
    def check(self) -> Answer | None:
        """Say what the fields would do, or why they cannot be taken; returns the answer that they give."""
        try:
            answer, words, kind = self.read()
        except NothingToDoError as missing:
            self.judge(str(missing), "-doubtful")
            return None
        except TuiaeError as error:
            self.judge(str(error))
            return None
        self.judge(words, kind)
        return answer

    @on(Input.Submitted)
    def _take(self) -> None:
        if (answer := self.check()) is not None:
            self.dismiss(answer)


def ask_edit(screen: BaseScreen, advised: Mapping[str, Any] | None = None) -> None:
    """Ask what to change in the training of the open run, with what is `advised` filled in; ask that of its worker.

    Raises:
        NothingToDoError: no run is live here.
    """
    snapshot = screen.session.snapshot
    tracked = snapshot is not None and snapshot.tracked is not None
    if snapshot is None or not snapshot.status.live or (snapshot.current_config is None and not tracked):
        ended = "its program has ended: there is no training to change"
        raise NothingToDoError(ended if tracked else "no run is live here; f forks a stopped one with other settings")
    if tracked and not snapshot.status.settings:
        raise NothingToDoError("its program lets nothing be changed: it asks for that with run.setting(NAME, VALUE)")

    def change(changes: dict[str, Any]) -> None:
        now = screen.session.snapshot
        if changes and now is not None and now.path == snapshot.path and not (now.status.live or tracked):
            ask_fork(screen, RunPaths(now.path), "", changes)  # it ended meanwhile, and the dialog said so
        elif changes:
            screen.session.edit(changes)
            words = ", ".join(f"{label_of(key)} {typed(value)}" for key, value in changes.items())
            screen.message.hint(f"asked for {words}, from the next step on", "good")

    if snapshot.current_config is None:
        screen.show_dialog(TrackedEditDialog(snapshot.status.settings or {}), change)
    else:
        screen.show_dialog(EditDialog(snapshot.current_config, snapshot.status.epoch, advised), change)


class EditDialog(ChangeDialog[dict[str, Any]]):
    """What may be changed while a run trains; the answer holds the keys that were changed."""

    TITLE, HINT = "change the training", "enter applies · escape cancels"
    _ended = False

    def __init__(self, config: RunConfig, epoch: int, advised: Mapping[str, Any] | None = None) -> None:
        """`config` is in force now, `epoch` whole ones are over."""
        question = "In force from the next step on. Every change is kept in the run's history."
        super().__init__(question, {key: typed(value_of(config, key)) for key in offered(config)}, advised)
        self._config, self._epoch = config, epoch

    def run_ended(self) -> None:
        """Say that there is no training to change any more; what was typed goes into a fork, nothing closes the
        dialog."""
        self._ended = True
        if (answer := self.check()) == {}:
            self.dismiss(answer)

    def read(self) -> tuple[dict[str, Any], str, str]:
        changes: dict[str, Any] = {}
        after = self._config
        for key in self._filled:
            value = self.value(key)
            if value != value_of(self._config, key):
                after = propose(after, key, value, self._epoch)
                changes[key] = value
        words = ", ".join(f"{EDITABLE[key]} becomes {value}" for key, value in changes.items())
        if self._ended:
            return changes, f"the run has ended: enter takes this into a fork of it ({words})", "-doubtful"
        warnings = warn_of_change(self._config, after, self._epoch)
        return changes, "; but ".join((words, *warnings)), "-doubtful" if warnings else "-fine"


class TrackedEditDialog(ChangeDialog[dict[str, Any]]):
    """What the loop of a tracked run lets be changed; the answer holds the settings that were changed."""

    TITLE, HINT = EditDialog.TITLE, EditDialog.HINT

    def __init__(self, settings: Mapping[str, Value]) -> None:
        question = "Its loop takes them at its next step. Every change is kept in the run's history."
        super().__init__(question, {key: typed(value) for key, value in settings.items()})
        self._settings = settings

    def run_ended(self) -> None:
        """Close: there is nothing that could take what was typed."""
        self.dismiss()

    def read(self) -> tuple[dict[str, Any], str, str]:
        wanted = {key: check_setting(self._settings, key, self.value(key)) for key in self._filled}
        changes = {key: value for key, value in wanted.items() if value != self._settings[key]}
        return changes, ", ".join(f"{key} becomes {value:g}" for key, value in changes.items()), "-fine"


def ask_resume(screen: BaseScreen, run: RunPaths, done: int, advised: int) -> None:
    """Ask up to which epoch a run that has `done` its epochs is to train on, and let it."""

    def check(text: str) -> None:
        if not text.strip().isdecimal() or int(text) <= done:
            raise ConfigError(f"{clean(text, 40)}: a whole number above {done}, the epochs that it has done")

    def resume(text: str) -> None:
        screen.train_on(lambda others: screen.session.resume(run.root, others, int(text)))

    question = "The same run trains on, from its last checkpoint. Its last epoch, counted from the first one:"
    screen.show_dialog(LineDialog("train on", question, str(advised), check), resume)


def find_beginning(run: RunPaths, where: str | int) -> str:
    """The checkpoint at which a fork that follows an advice begins, as the dialog calls it; empty where none is."""
    if where == START:
        return ""
    if isinstance(where, str):
        name = "best" if where == BEST else "last"
        return name if pointed(run, name) else ""
    steps = [int(folder.name[5:]) for folder in all_checkpoints(run)]
    return str(max((step for step in steps if step <= where), default=""))


def ask_fork(screen: BaseScreen, source: RunPaths, begin: str = "", advised: Mapping[str, Any] | None = None) -> None:
    """Ask from which checkpoint of a run its fork goes on and what it changes, with an advice filled in; start it, and
    show it.

    Raises:
        UnknownRunError: the run is gone. ConfigError: it has no config to go by. TrainingError: it has no checkpoint.
    """
    need_run(source)
    need_config(source, step=-1)
    if not all_checkpoints(source):
        raise no_checkpoint(source)

    def fork(chosen: tuple[str, RunConfig], other_images: bool) -> None:
        screen.session.fork(source, *chosen, other_images)
        screen.app.switch_mode("live")

    dialog = ForkDialog(source, begin, advised)
    screen.show_dialog(dialog, lambda chosen: screen.train_on(partial(fork, chosen)))


class ForkDialog(ChangeDialog[tuple[str, RunConfig]]):
    """From which checkpoint, and with which other settings; the answer is the checkpoint's name and the config."""

    TITLE, HINT = "fork", "enter starts it · escape cancels"
    BINDINGS = [Binding("O", "all_settings", show=False)]

    def __init__(self, run: RunPaths, begin: str = "", advised: Mapping[str, Any] | None = None) -> None:
        """The checkpoint `begin` is offered to go on from."""
        question = f"A run of its own that goes on from a checkpoint of {clean(read_label(run).name or run.id, 60)}."
        question += " That one trains on beside it." if read_status(run).live else ""
        question += "\nIts network and its images stay: for another code, F on Live fills the form from it."
        config = config_at(run)
        super().__init__(question, dict.fromkeys(offered(config) if config is not None else (), ""), advised)
        self._run, self._begin = run, begin
        self._more = {key: value for key, value in self._advised.items() if key not in self._filled}
        """Settings without a field that were changed, by dotted key."""

    def compose_fields(self) -> ComposeResult:
        yield Label("checkpoint")
        yield Choice("checkpoint", self._checkpoints())
        yield Label("name")
        yield Input(id="fork-name", compact=True)
        yield from super().compose_fields()
        yield Label("more")
        more = Button("", id="fork-settings", compact=True)
        more.styles.line_pad = 0  # it begins where the fields do
        yield more

    def on_mount(self) -> None:
        self.query_one("#checkpoint").focus()
        if self._begin:
            self.query_one("#checkpoint", Choice).value = self._begin_named()
        self._checkpoint_chosen()
        self._count_more()

    def _begin_named(self) -> str:
        """The checkpoint to begin from, by the name that the list has for it: a pointed one has no step there."""
        offered = [name for _, name in self._checkpoints()]
        same = (name for name in offered if self._folder(name) == self._folder(self._begin))
        return self._begin if self._begin in offered else next(same, offered[0])

    # Settings without a field

    @on(Button.Pressed)
    def action_all_settings(self) -> None:
        """Change any setting that a fork may change."""
        folder = self._folder(self.checkpoint)

        def ask(changes: Mapping[str, Any]) -> RunConfig:
            return of_run(fork_config(self._run, folder, {**self.overrides, **changes}, asker=""), self._run.root)

        try:
            config = ask({})
        except TuiaeError as error:
            self.judge(str(error))
            return
        every = (*list_settings(), *argument_settings(config))
        keys = [setting.key for setting in every if fork_may_change(setting.key)]
        base = config_at(self._run, read_position(folder).step) or config
        self.app.push_screen(SettingsDialog("settings of the fork", config, base, ask, keys), self._change)

    def _change(self, changes: Mapping[str, Any] | None) -> None:
        for key, value in (changes or {}).items():
            if key == "name":
                self.query_one("#fork-name", Input).value = value
            elif key in self._filled:
                self.field(key).value = typed(value)
            else:
                self._more[key] = value
        self._count_more()
        self.check()

    def _count_more(self) -> None:
        count = len(self._more)
        words = f"{counted(count, 'more setting')} changed" if count else "all that a fork may change"
        self.query_one("#fork-settings", Button).label = f"{words}: O"

    def _checkpoints(self) -> list[tuple[str, str]]:
        """Words and name of each checkpoint; `last` and `best` are names, because a live run moves them."""
        named = [name for name in ("last", "best") if pointed(self._run, name)]
        known = {pointed(self._run, name) for name in named}
        steps = [str(int(folder.name[5:])) for folder in all_checkpoints(self._run) if folder.name not in known]
        described = []
        for name in (*named, *steps):
            moment = read_position(self._folder(name))
            note = "" if name.isdecimal() else f"{name}: "
            described.append((f"{note}epoch {round(moment.epoch, 2):g}, step {moment.step:,}", name))
        return described

    def _folder(self, name: str) -> Path:
        return self._run.weights / (pointed(self._run, name) or f"step-{int(name):06d}")

    @property
    def checkpoint(self) -> str:
        """The name or the step of the chosen checkpoint."""
        return str(self.query_one("#checkpoint", Choice).value)

    @on(Choice.Chosen)
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
        """What is asked for, by dotted key."""
        name = self.query_one("#fork-name", Input).value.strip()
        return {**({"name": name} if name else {}), **{key: self.value(key) for key in self._filled}, **self._more}

    def read(self) -> tuple[tuple[str, RunConfig], str, str]:
        folder = self._folder(self.checkpoint)
        if not folder.is_dir():  # a live run keeps a few
            raise TrainingError(f"{folder.name} is no longer kept", "choose another checkpoint")
        config, moment = fork_config(self._run, folder, self.overrides, asker=""), read_position(folder)
        self.query_one("#fork-name", Input).placeholder = name_of_fork(self._run, folder, config)
        words = f"it goes on up to epoch {config.training.epochs}"
        before = config_at(self._run, moment.step)
        warnings = warn_of_change(before or config, config, moment.epoch)
        return (self.checkpoint, config), "; but ".join((words, *warnings)), "-doubtful" if warnings else "-fine"


# What the curves advise

Anew = Callable[[RunPaths, RunConfig, Remedy], None]
"""Asks for a new run of a config with a remedy in it."""


def ask_remedy(screen: BaseScreen, findings: Sequence[Finding], anew: Anew) -> None:
    """Try what findings about the open run advise; where that is several things, ask which.

    Raises:
        ConfigError: the run has no config to go by.
    """
    snapshot = screen.session.snapshot
    remedies = [remedy for finding in findings for remedy in finding.remedies]
    if snapshot is None or not remedies:
        return
    run, config = RunPaths(snapshot.path), snapshot.current_config
    if config is None:
        raise no_config(run)
    live = snapshot.status.live

    def attempt(remedy: Remedy) -> None:
        way, begin = way_of(run, config, remedy, live)
        if way == "edit":
            ask_edit(screen, remedy.changes)
        elif way == "resume":
            ask_resume(screen, run, snapshot.status.epoch, remedy.changes[EPOCHS])
        elif way == "fork":
            ask_fork(screen, run, begin, remedy.changes)
        else:
            anew(run, config, remedy)

    if len(remedies) == 1:
        attempt(remedies[0])
        return
    answers = [(f"remedy-{place}", _offer(one, *way_of(run, config, one, live))) for place, one in enumerate(remedies)]
    question = "\n".join(clean(str(finding), 400) for finding in findings if finding.remedies)
    dialog = ChoiceDialog("what to try", question, answers)
    screen.show_dialog(dialog, lambda answer: attempt(remedies[int(answer.rpartition("-")[2])]))


def way_of(run: RunPaths, config: RunConfig, remedy: Remedy, live: bool) -> tuple[str, str]:
    """Where a remedy is tried: in an `edit`, in the same run that is to `resume`, a `fork` or a new `run`; and the
    checkpoint from which a fork goes on."""
    if remedy.begin == NOW and live and remedy.changes.keys() <= set(offered(config)):
        return "edit", ""
    if remedy.begin == NOW and not live and remedy.changes.keys() == {EPOCHS} and pointed(run, "last"):
        return "resume", ""
    begin = find_beginning(run, remedy.begin) if all(map(fork_may_change, remedy.changes)) else ""
    return "fork" if begin else "run", begin


def _offer(remedy: Remedy, way: str, begin: str) -> str:
    """`dropout 0.2 in this training`: a remedy and where it would be tried."""
    where = f"step {int(begin):,}" if begin.isdecimal() else f"its {begin} checkpoint"
    places = {
        "edit": "in this training",
        "resume": "in this run",
        "fork": f"in a fork from {where}",
        "run": "in a new run",
    }
    return f"{clean(remedy.words, 60)} {places[way]}"


def _id(key: str) -> str:
    return "edit-" + re.sub(r"[^A-Za-z0-9_.]", lambda found: f"-{ord(found[0]):x}-", key).replace(".", "-")
