"""Commands to a worker while it trains, in `control/`, and the settings that may be edited.

A command is a small file renamed into `control/`, which the worker consumes at a step boundary. An edit is the command
`set`, recorded in the history once it is in force; a run's config.toml stays what it was at the start, and the config
in force is that one with the run's edits on top.
"""

from __future__ import annotations

import errno
import getpass
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuiae.config import CUSTOM, RunConfig, build_config, did_you_mean, settings_of
from tuiae.errors import ConfigError
from tuiae.files import (
    MAX_COUNT,
    MAX_EPOCH,
    MAX_TIME,
    as_number,
    is_count,
    make_way,
    open_append,
    read_json,
    replace_json,
)
from tuiae.runs.paths import RunPaths, unwritable
from tuiae.runs.process import ERROR, kill_worker, terminate_worker

if TYPE_CHECKING:
    from tuiae.runs.snapshot import Status

COMMANDS = ("pause", "resume", "step", "stop", "save", "set")
"""`step` takes `steps`, after which the run pauses (again). `set` takes `key`, one of EDITABLE, and its new `value`."""


def send(run: RunPaths, command: str, **arguments: Any) -> None:
    """Leave a command, one of COMMANDS, for the run's worker; a `stop` that cannot be written becomes a signal.

    Raises:
        UnknownRunError: the worker does not hear of it.
    """
    if command not in COMMANDS:
        raise ValueError(f"unknown command {command!r}")
    # The name carries the order; a random tail keeps two senders of one nanosecond apart.
    name = f"{time.time_ns():020d}-{secrets.token_hex(2)}.json"
    try:
        make_way(run.control, os.path.isdir)
        run.control.mkdir(exist_ok=True)
        replace_json(run.control / name, {"command": command, "from": os.getpid(), "by": this_user(), **arguments})
        if not _is_ours(run, run.control / name):
            (run.control / name).unlink()
            raise PermissionError(errno.EACCES, "it belongs to another user")
    except OSError as error:
        if command != "stop" or not terminate_worker(run):
            raise unwritable(run, error, "edit" if command == "set" else command) from error


def _is_ours(run: RunPaths, path: Path) -> bool:
    """Returns whether a command comes from the user whose run it is, or from root; nobody else's is obeyed, whatever
    the permissions of `control/`. Some file systems give everything to one owner, who is not us."""
    try:
        return os.lstat(path).st_uid in (0, os.geteuid(), os.stat(run.root).st_uid)
    except OSError:
        return False


def this_user() -> str:
    """The current user, as user@host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        # A container may run under a number that has no name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def take(run: RunPaths) -> list[dict[str, Any]]:
    """Consume the waiting commands, oldest first; unknown ones and those of other users are removed and ignored."""
    taken = []
    for path in sorted(run.control.glob("[!.]*.json")):
        record = read_json(path) if _is_ours(run, path) else {}
        try:
            path.unlink()
        except OSError:
            # A directory, or gone already: carrying it out would mean to do so again at every step.
            continue
        if record.get("command") in COMMANDS:
            taken.append(record)
    return taken


def waited(run: RunPaths, command: str) -> float | None:
    """For how many seconds the oldest command of this kind has waited for the worker; None where none waits."""
    sent = []
    for path in run.control.glob("[!.]*.json"):
        with suppress(OSError):
            if read_json(path).get("command") == command:
                sent.append(os.stat(path).st_mtime)
    return max(0.0, time.time() - min(sent)) if sent else None


def end_worker(run: RunPaths, status: Status) -> None:
    """As `kill_worker`; the run's log says who did it. What has waited for the worker goes: a run that has not begun
    would obey a stop when it is resumed."""
    kill_worker(run, status)
    with suppress(OSError), open_append(run.log) as log:
        log.write(f"{ERROR}killed by {this_user()}\n".encode())
    take(run)


# Edits.

Value = int | float


EDITABLE = {
    "training.learning_rate": "learning rate",
    "noise.level": "noise level",
    "training.beta": "beta",
    "model.dropout": "dropout",
    "training.epochs": "epochs",
}
"""The keys that may be changed while a run trains, and their names for people."""


def _no_effect(config: RunConfig, key: str) -> str:
    """The reason why an edit of this key would change nothing in a run of this config; empty without a reason."""
    model = config.model
    if key == "noise.level" and config.noise.kind == "none":
        return "this run trains without noise"
    if key == "training.beta" and not model.is_variational:
        return f"a {model.family} model has no KL term"
    if key == "model.dropout" and model.family == CUSTOM:
        return "a custom network has what its file says"
    if key == "model.dropout" and model.family == "vae" and not model.hidden:
        return "a vae without hidden layers has no dropout"
    if key == "model.dropout" and config.is_classifier and model.freeze and model.head == "linear":
        return "a linear head on a frozen encoder has no dropout"
    return ""


MEASURED = ("noise.level", "training.beta")
"""Keys that change what the test loss measures: values from before an edit and from after it are not to be compared."""


@dataclass(frozen=True)
class Edit:
    """One change, in force for every optimizer step after `step` of them were done."""

    time: float
    step: int
    epoch: float
    """Epochs done, the one under way as a fraction."""
    key: str
    old: Value
    new: Value
    by: str = ""
    """Who asked."""
    plan: int | None = None
    """Which edit of the run that it replays this one repeats."""

    @property
    def words(self) -> str:
        """The edit and its time in words."""
        return f"{self.key} went from {self.old:g} to {self.new:g} at step {self.step:,}"


def offered(config: RunConfig) -> tuple[str, ...]:
    """The keys that can be edited in a run of this config."""
    return tuple(key for key in EDITABLE if not _no_effect(config, key))


def propose(config: RunConfig, key: str, value: Any, done: int = 0) -> RunConfig:
    """The config after an edit of the one in force, when `done` epochs are done. Raises ConfigError in the words of the
    command line."""
    if key not in EDITABLE:
        cause = f"{key} cannot be changed while a run trains{did_you_mean(key, list(EDITABLE))}"
        raise ConfigError(cause, f"these can: {', '.join(EDITABLE)}; `tuiae fork` changes others")
    if reason := _no_effect(config, key):
        # A fork keeps its parent's network, and with it what cannot be changed here, noise aside.
        others = f"these can be changed: {', '.join(offered(config))}"
        begins = f"tuiae fork RUN --set noise.kind=gaussian --set noise.level={value}"
        hint = f"a fork can begin some: {begins}" if key == "noise.level" else others
        raise ConfigError(f"{key} = {value!r}: {reason}", hint)
    changed = build_config(config.model_dump(mode="json"), {key: value}, asker="")
    if key == "training.epochs" and changed.training.epochs <= done:
        raise ConfigError(f"training.epochs = {value}: {done} are done", f"give {done + 1} or more, or stop the run")
    return changed


def label_of(key: str) -> str:
    """What people read of an editable key: a name of ours, or of a tracked run the key itself."""
    return EDITABLE.get(key, key)


def check_setting(settings: Mapping[str, Value], key: str, value: Any) -> Value:
    """The value for one of the settings that a tracked run takes edits of, a whole number where it has been one. Raises
    ConfigError in the words of the command line."""
    if key not in settings:
        known = ", ".join(settings) or "none: it asks by run.setting(NAME, VALUE) for what may be changed"
        raise ConfigError(f"{key} is nothing that this program lets be changed", f"these are: {known}")
    number, whole = as_number(value), isinstance(settings[key], int)
    if number is None or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number"
        raise ConfigError(f"{key} = {value!r}: should be {kind}", f"it is {settings[key]!r} now")
    return int(number) if whole else number


def describe_edit(key: str, old: Value, new: Value, step: int, epoch: float, by: str) -> dict[str, Any]:
    """The fields of the event that records an edit."""
    text = f"{label_of(key)} from {old} to {new} at step {step}, asked by {by}"
    return {"key": key, "old": old, "new": new, "step": step, "epoch": epoch, "by": by, "text": text}


def value_of(config: RunConfig, key: str) -> Value:
    """The value of an editable key."""
    value: Value = settings_of(config)[key]
    return value


def as_edit(record: Mapping[str, Any]) -> Edit | None:
    """An edit from an event or a plan; None for anything else."""
    key, step, by, plan = (record.get(name) for name in ("key", "step", "by", "plan"))
    made, epoch = as_number(record.get("time"), MAX_TIME), as_number(record.get("epoch"), MAX_EPOCH)
    own = record.get("own") is True  # a setting of a tracked run, which has its own names and may be negative
    values = [as_number(record.get(name), None if own else MAX_COUNT) for name in ("old", "new")]
    if (
        not isinstance(key, str)
        or not (own or key in EDITABLE)
        or not is_count(step)
        or epoch is None
        or None in values
    ):
        return None
    who = by if isinstance(by, str) else ""
    return Edit(made or 0.0, step, epoch, key, record["old"], record["new"], who, plan if is_count(plan) else None)


def read_plan(meta: Mapping[str, Any]) -> tuple[Edit, ...]:
    """The edits that a replay has to make, from its meta.json; empty for other runs."""
    replay = meta.get("replay")
    entries = replay.get("edits") if isinstance(replay, dict) else None
    records = enumerate(entries if isinstance(entries, list) else [])
    return tuple(edit for i, one in records if isinstance(one, dict) and (edit := as_edit({**one, "plan": i})))


def as_plan(edits: Iterable[Edit]) -> list[dict[str, Any]]:
    """Edits in the form that `read_plan` reads."""
    return [{**asdict(edit), "plan": None} for edit in edits]


def apply_edits(config: RunConfig, edits: Iterable[Edit]) -> RunConfig:
    """A config with edits on top, in the order of their steps; like the worker, it skips an edit that does not fit."""
    # A run that went back to a checkpoint may have got new edits at steps before those of old ones.
    for edit in sorted(edits, key=lambda edit: edit.step):
        try:
            config = propose(config, edit.key, edit.new)
        except ConfigError:
            continue
    return config
