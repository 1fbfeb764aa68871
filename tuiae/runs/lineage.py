"""A run's config as it changed, and what is made from a run: forks, replays, the command line that repeats it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuiae.config import ARGUMENTS, SET, RunConfig, build_config, load_config, parse_value, settings_of, typed
from tuiae.config.presets import list_presets
from tuiae.errors import ConfigError
from tuiae.files import read_bytes, read_json
from tuiae.runs.checkpoints import PARENT, need_checkpoint, read_position
from tuiae.runs.control import Edit, apply_edits, as_edit, as_plan, propose, read_plan
from tuiae.runs.events import Tail, parse_event
from tuiae.runs.labels import named_for
from tuiae.runs.paths import OWN_PROGRAM, RunPaths, is_tracked, runs_dir
from tuiae.runs.reader import is_original, read_config, read_images
from tuiae.runs.snapshot import Parent, Status, read_parent
from tuiae.runs.writer import create_run
from tuiae.source import check_trust, of_run

# The config in force: config.toml with the edits on top.


def read_edits(run: RunPaths) -> tuple[Edit, ...]:
    """The edits that a run's history records, in order."""
    # Most lines are live points: looking for two words is cheaper than parsing them.
    lines = [line for line in Tail(run.events).lines() if b'"command"' in line and b'"key"' in line]
    records = (record for line in lines if (record := parse_event(line)) and record["kind"] == "command")
    return tuple(edit for record in records if (edit := as_edit(record)))


def config_at(run: RunPaths, step: int | None = None) -> RunConfig | None:
    """The config in force at a step, or with every edit; None where there is no config to read."""
    config = read_config(run)
    if config is None:
        return None
    return apply_edits(config, (edit for edit in read_edits(run) if step is None or edit.step <= step))


def need_config(run: RunPaths, step: int | None = None) -> RunConfig:
    """`config_at` of a run that must have one; raises ConfigError that says why it cannot be read."""
    config = config_at(run, step)
    if config is None:
        raise no_config(run)
    return config


def check_code(run: RunPaths, command: str = "") -> None:
    """Raises UntrustedCodeError where the network of a run is code that this user has not started, with the `command`
    that would let it run; ConfigError where that file cannot be read."""
    if (config := config_at(run)) is not None:
        check_trust(of_run(config, run.root), command)


def no_config(run: RunPaths) -> ConfigError:
    """The error for a run whose config cannot be used; its hint says how to put it back."""
    if is_tracked(run):
        again = f"start that program again; with tuiae.track(resume={run.id!r}) it goes on with these curves"
        return ConfigError(f"{run.id} was tracked: {OWN_PROGRAM}", again)
    whole, copied = is_original(run, run.config), is_original(run, run.config_copy)
    copy = shlex.join(["cp", str(run.config_copy), str(run.config)])
    try:
        read_bytes(run.config)
    except OSError as error:
        hint = f"put it back: {copy}" if copied else "is it there, and yours to read?"
        return ConfigError(f"{run.config}: {error.strerror or error}", hint)
    if whole:
        return ConfigError(f"{run.config}: not a config of this version", "start the run again from its preset")
    again = f"what it says now would be a run of its own: {run_command(str(run.config), {})}"
    cause = f"{run.config} is damaged or was changed: it is not what the run began with"
    return ConfigError(cause, f"put it back: {copy}; {again}" if copied else again)


def resolve_config(
    run: RunPaths, overrides: Mapping[str, Any], asker: str | Mapping[str, str] = SET, step: int | None = None
) -> RunConfig:
    """The config in force at a step, or with every edit, with overrides (dotted key -> value) on top.
    `asker` as for `build_config`. Raises ConfigError as that and as `need_config`."""
    document = need_config(run, step).model_dump(mode="json")
    return build_config(document, dict(overrides), source=str(run.config), asker=asker)


def changes(before: RunConfig, after: RunConfig) -> dict[str, Any]:
    """The dotted keys in which one config differs from another, with its values."""
    old, new = settings_of(before), settings_of(after)
    found = {key: value for key, value in new.items() if key not in old or value != old[key]}
    if old.keys() <= new.keys():
        return found
    plain = {key: value for key, value in found.items() if not key.startswith(f"{ARGUMENTS}.")}
    return {**plain, ARGUMENTS: dict(after.model.arguments)}  # some of them went, which no value of theirs says


def changes_to_set(before: RunConfig, after: RunConfig) -> dict[str, Any]:
    """The `changes` without the name, where the other changes lead to that name."""
    found = changes(before, after)
    if named_for(after.model_copy(update={"name": before.name}), before) == after:
        found.pop("name", None)
    return found


class EditedRuns:
    """Knows which runs were edited; reads a history again only when the run's status has changed since."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Status, bool]] = {}

    def has(self, path: Path, status: Status) -> bool:
        """Returns whether the run of a directory, with this status, records any edit."""
        known = self._known.get(path)
        if known is None or (known[0] != status and not known[1]):
            known = self._known[path] = (status, bool(read_edits(RunPaths(path))))
        return known[1]


# Forks: a run that goes on from a checkpoint of another one, with other settings.

_SECTIONS = ("training.", "noise.", "checkpoint.", "samples.")
_KEYS = ("name", "model.dropout", ARGUMENTS)
CHANGEABLE = "training.*, noise.*, checkpoint.*, samples.*, model.dropout, model.arguments.* and name"
"""What a fork may change, in words; everything else decides which images there are or which shapes weights have."""


def fork_may_change(key: str) -> bool:
    """Returns whether a fork may differ in a setting from its parent, whatever the config of that says."""
    return key in _KEYS or key.startswith((*_SECTIONS, f"{ARGUMENTS}."))


def fork_config(
    source: RunPaths, checkpoint: Path, overrides: Mapping[str, Any], asker: str | Mapping[str, str] = SET
) -> RunConfig:
    """The config of a fork: what was in force at the parent's checkpoint, edits included, with overrides on top.
    `asker` as for `build_config`. Raises ConfigError as `resolve_config` and as `check_fork`."""
    config = resolve_config(source, overrides, asker, read_position(checkpoint).step)
    check_fork(source, checkpoint, config)
    return config


def check_fork(source: RunPaths, checkpoint: Path, config: RunConfig) -> tuple[str, ...]:
    """The keys in which a fork of this config differs from what was in force at the parent's checkpoint. Raises
    ConfigError where it changes the network or the images, or has nothing left to train."""
    position = read_position(checkpoint)
    parent = need_config(source, position.step)
    changed = changes(parent, config)
    for key, value in changed.items():
        # The seed also draws which images are held out: with another one they would have been trained on.
        held_out = key == "training.seed" and not isinstance(parent.data.validation, str)
        if held_out or not fork_may_change(key):
            there = settings_of(parent).get(key)
            cause = f"{key} = {value!r}: a fork keeps its parent's network and images, where it is {there!r}"
            anew = f"tuiae run {shlex.quote(str(source.config))} --set {key}={shlex.quote(typed(value))}"
            raise ConfigError(cause, f"it may change {CHANGEABLE}; for the rest start a new run, as: {anew}")
    if config.training.epochs <= position.epoch:
        done, step = int(position.epoch), position.step
        cause = f"training.epochs = {config.training.epochs}: {source.id} has done {done} epochs by step {step}"
        raise ConfigError(cause, f"raise it, e.g. training.epochs={2 * done}, or fork an earlier checkpoint")
    return tuple(changed)


def fork_run(source: RunPaths, checkpoint: Path, config: RunConfig, root: Path, argv: list[str]) -> RunPaths:
    """Make a run whose first checkpoint is `checkpoint` of `source`, for a worker to go on with; raises as
    `check_fork` and as `create_run`."""
    position, changed = read_position(checkpoint), check_fork(source, checkpoint, config)
    rate = _highest_rate(source, position.step)
    parent = asdict(Parent(source.id, position.step, position.epoch, changed, rate))
    config = of_run(config, source.root)
    made_from = {"preset": read_json(source.meta).get("preset") or need_config(source).name, "parent": parent}
    return create_run(config, root, argv, meta=made_from, checkpoint=checkpoint, images=read_images(source))


def _highest_rate(run: RunPaths, step: int) -> float:
    """The highest learning rate in force up to a step of a run, before it was forked too."""
    rates = [need_config(run, at).training.learning_rate for at in (-1, step)]
    rates += [edit.new for edit in read_edits(run) if edit.key == "training.learning_rate" and edit.step < step]
    parent = read_parent(read_json(run.meta))
    return max(*rates, (parent and parent.highest_rate) or 0.0)


# Replays: a run repeated with the edits that were made to it, each at its step.

_HARMLESS = (
    "name",
    "training.device",
    "training.devices",
    "checkpoint.every",
    "checkpoint.keep",
    "samples.count",
    "samples.every",
)
"""Keys that change neither what an edit does nor when it comes."""


@dataclass(frozen=True)
class Replay:
    """The edits to repeat, checked against the config of the new run."""

    source: RunPaths
    edits: tuple[Edit, ...]
    checkpoint: Path | None
    """What a replayed fork begins from."""
    warnings: tuple[str, ...] = ()


def all_edits(run: RunPaths) -> tuple[Edit, ...]:
    """Every edit of a run by step: those it made and, in a replay, those still to come."""
    made = read_edits(run)
    return tuple(sorted((*made, *coming_edits(run, made)), key=lambda edit: edit.step))


def coming_edits(run: RunPaths, made: Sequence[Edit]) -> list[Edit]:
    """The edits that a replay still has to make beside those that it made."""
    done = {edit.plan for edit in made}
    return [edit for edit in read_plan(read_json(run.meta)) if edit.plan not in done]


def plan_replay(source: RunPaths, config: RunConfig) -> Replay:
    """The edits of a run for a new one of this config. Raises ConfigError where they do not go together, and
    TrainingError where what a fork began from is gone."""
    edits, current = all_edits(source), config
    for edit in edits:
        try:
            current = propose(current, edit.key, edit.new, done=int(edit.epoch))
        except ConfigError as error:
            cause = f"the edits of {source.id} do not go with this config: at step {edit.step}, {error.cause}"
            raise ConfigError(cause, f"give the run's own: {source.config}") from error
    checkpoint = None
    if read_parent(read_json(source.meta)) is not None:
        checkpoint = need_checkpoint(source, PARENT)
        check_fork(source, checkpoint, config)
    changed = ", ".join(key for key in changes(need_config(source, step=-1), config) if key not in _HARMLESS)
    warning = f"{changed} differ from {source.id}: its edits come at the same steps of another training"
    return Replay(source, edits, checkpoint, (warning,) if changed else ())


def replay_run(replay: Replay, config: RunConfig, root: Path, argv: list[str], tags: Sequence[str] = ()) -> RunPaths:
    """Make a run that carries the edits of another one, for a worker to train; raises as `create_run`."""
    meta: dict[str, Any] = {"replay": {"run": replay.source.id, "edits": as_plan(replay.edits)}}
    if replay.checkpoint is not None:
        meta["parent"] = read_json(replay.source.meta).get("parent")
    images = read_images(replay.source) if replay.checkpoint is not None else None
    return create_run(config, root, argv, tags, meta=meta, checkpoint=replay.checkpoint, images=images)


# The command line that does again what a run did.

MOST_SETTINGS = 8  # beyond, the run's own document says it shorter


def repeat_line(run: RunPaths) -> str:
    """`tuiae run PRESET --set KEY=VALUE …` where the run came of a preset, else `tuiae run RUN/config.toml`; of a fork
    `tuiae fork PARENT --from STEP --set KEY=VALUE …`. With `--replay RUN` where edits were made to it, or where the
    fork's parent no longer has that checkpoint: the fork has it. Raises as `need_config`."""
    config = need_config(run, step=-1)  # as it began: edits are repeated, each at its step
    named = run.id if run.root.parent == runs_dir() else str(run.root)
    replay = named if all_edits(run) else ""
    parent = read_parent(read_json(run.meta))
    if parent is not None:
        source = RunPaths(run.root.parent / parent.run)
        if not replay and (source.weights / f"step-{parent.step:06d}").is_dir():
            settings = settings_of(config)
            words = _set({key: settings[key] for key in parent.changed if key in settings})
            known = source.id if named == run.id else str(source.root)
            return shlex.join(["tuiae", "fork", known, "--from", str(parent.step), *words])
        return run_command(str(run.config), {}, named)
    begun = str(read_json(run.meta).get("preset") or config.name)
    # The file that made its network may be another by now; the run has the one that did.
    preset, changed = ("", {}) if config.model.is_custom else _nearest_preset(config, begun)
    if preset and len(changed) <= MOST_SETTINGS:
        return run_command(preset, changed, replay)
    return run_command(str(run.config), {}, replay)


def run_command(source: str, changed: Mapping[str, Any], replay: str = "") -> str:
    """`tuiae run SOURCE --set KEY=VALUE …`, with `--replay` where a run is given."""
    return shlex.join(["tuiae", "run", source, *_set(changed), *(("--replay", replay) if replay else ())])


def _nearest_preset(config: RunConfig, name: str) -> tuple[str, dict[str, Any]]:
    """The preset of this name that differs least from the config, and the differences; an empty name without one."""
    found: list[tuple[str, dict[str, Any]]] = []
    for preset in list_presets():
        if name == preset.path.stem:
            try:
                found.append((preset.name, changes_to_set(load_config(preset.path), config)))
            except ConfigError:
                continue  # somebody broke the file since
    return min(found, key=lambda pair: len(pair[1]), default=("", {}))


def _set(changed: Mapping[str, Any]) -> list[str]:
    return [word for key, value in changed.items() for word in (SET, f"{key}={_value(value)}")]


def _value(value: Any) -> str:
    """A value in the form that `--set` takes: a bare word where that is read as one, else TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {json.dumps(one)}' for key, one in value.items())}}}"
    bare = isinstance(value, str) and bool(value) and parse_value(value) == value
    return value if bare else json.dumps(value)
