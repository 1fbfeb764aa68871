"""Replays: a run repeated with the edits that were made to it, each at its step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuiae.config import RunConfig, settings_of
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.runs.checkpoints import PARENT, find_checkpoint
from tuiae.runs.edits import Edit, as_plan, propose
from tuiae.runs.fork import check_fork, take_over
from tuiae.runs.history import need_config, read_script
from tuiae.runs.layout import RunPaths
from tuiae.runs.parent import read_parent
from tuiae.runs.writer import create_run

_HARMLESS = ("name", "training.device", "checkpoint.every", "checkpoint.keep", "samples.count", "samples.every")
"""Keys that change neither what an edit does nor when it comes."""


@dataclass(frozen=True)
class Replay:
    """What is to be repeated, known to go with the config that it was asked for."""

    source: RunPaths
    edits: tuple[Edit, ...]
    checkpoint: Path | None
    """What a replayed fork begins from."""
    warnings: tuple[str, ...] = ()


def plan_replay(source: RunPaths, config: RunConfig) -> Replay:
    """The edits of a run for a new one of this config.

    Raises:
        ConfigError: an edit does not go with the config, or the source is a fork and the config not one for it.
        TrainingError: the source is a fork, and what it began from is gone.
    """
    edits = read_script(source)
    current = config
    for edit in edits:
        try:
            current = propose(current, edit.key, edit.new, done=int(edit.epoch))
        except ConfigError as error:
            cause = f"the edits of {source.id} do not go with this config: at step {edit.step}, {error.cause}"
            raise ConfigError(cause, f"give the run's own: {source.config}") from error
    checkpoint = None
    if read_parent(read_json(source.meta)) is not None:
        checkpoint = find_checkpoint(source, PARENT)
        assert checkpoint is not None  # asked for by name, it is there or raises
        check_fork(source, checkpoint, config)
    return Replay(source, edits, checkpoint, _warnings(source, config))


def _warnings(source: RunPaths, config: RunConfig) -> tuple[str, ...]:
    before, after = settings_of(need_config(source, step=-1)), settings_of(config)
    changed = [key for key in after if after[key] != before[key] and key not in _HARMLESS]
    if not changed:
        return ()
    return (f"{', '.join(changed)} differ from {source.id}: its edits come at the same steps of another training",)


def replay_run(replay: Replay, config: RunConfig, root: Path, argv: list[str], tags: Sequence[str] = ()) -> RunPaths:
    """Make a run that carries the edits of another one, for a worker to train.

    Raises:
        ConfigError: a word that is no tag. TrainingError: the checkpoint of a fork was deleted meanwhile.
        UnknownRunError: the runs directory cannot be written.
    """
    checkpoint = replay.checkpoint
    meta: dict[str, Any] = {"replay": {"run": replay.source.id, "edits": as_plan(replay.edits)}}
    if checkpoint is None:
        return create_run(config, root, argv, tags, meta=meta)
    found: Mapping[str, Any] = read_json(replay.source.meta)
    meta["parent"] = found.get("parent")
    return create_run(config, root, argv, tags, meta=meta, fill=lambda run: take_over(checkpoint, run))
