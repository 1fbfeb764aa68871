"""Forks: a run that goes on from a checkpoint of another one, with other settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuiae.config import SET, RunConfig, build_config, settings_of
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.runs.checkpoints import Moment, adopt_checkpoint, read_moment
from tuiae.runs.history import need_config
from tuiae.runs.layout import RunPaths
from tuiae.runs.writer import create_run

_SECTIONS = ("training.", "noise.", "checkpoint.", "samples.")
_KEYS = ("name", "model.dropout")
CHANGEABLE = "training.*, noise.*, checkpoint.*, samples.*, model.dropout and name"
"""What a fork may change, in words; everything else decides which images there are or which shapes weights have."""


def fork_config(
    source: RunPaths, checkpoint: Path, overrides: Mapping[str, Any], asker: str | Mapping[str, str] = SET
) -> RunConfig:
    """The config of a fork: what was in force at the parent's checkpoint, edits included, with overrides on top.

    `asker` as for `build_config`.

    Raises:
        ConfigError: the parent's config cannot be read, an override is wrong, or not a fork's to change.
    """
    parent = need_config(source, read_moment(checkpoint).step)
    config = build_config(parent.model_dump(mode="json"), dict(overrides), source=str(source.config), asker=asker)
    check_fork(source, checkpoint, config)
    return config


def check_fork(source: RunPaths, checkpoint: Path, config: RunConfig) -> tuple[str, ...]:
    """The keys in which a fork of this config differs from what was in force at the parent's checkpoint.

    Raises:
        ConfigError: it changes the network or the images, or has nothing left to train.
    """
    moment = read_moment(checkpoint)
    parent = need_config(source, moment.step)
    before, after = settings_of(parent), settings_of(config)
    changed = tuple(key for key in after if after[key] != before[key])
    for key in changed:
        if not _may_change(key, parent):
            cause = f"{key} = {after[key]!r}: a fork keeps its parent's network and images ({before[key]!r})"
            raise ConfigError(cause, f"it may change {CHANGEABLE}; for the rest start a new run")
    if config.training.epochs <= moment.epoch:
        done = int(moment.epoch)
        cause = f"training.epochs = {config.training.epochs}: {source.id} has done {done} epochs by step {moment.step}"
        raise ConfigError(cause, f"raise it, e.g. training.epochs={2 * done}, or fork an earlier checkpoint")
    return changed


def _may_change(key: str, parent: RunConfig) -> bool:
    if key == "training.seed":
        # It also draws which images are held out: with another one they would have been trained on.
        return parent.data.validation == "test"
    return key in _KEYS or key.startswith(_SECTIONS)


def fork_run(source: RunPaths, checkpoint: Path, config: RunConfig, root: Path, argv: list[str]) -> RunPaths:
    """Make a run whose first checkpoint is `checkpoint` of `source`, for a worker to go on with.

    Raises:
        ConfigError: the config is not one for a fork of it (see `check_fork`).
        TrainingError: the checkpoint is damaged, or was deleted meanwhile.
        UnknownRunError: the runs directory cannot be written.
    """
    changed = check_fork(source, checkpoint, config)
    moment = read_moment(checkpoint)
    parent = {"run": source.id, "step": moment.step, "epoch": moment.epoch, "changed": list(changed)}
    made_from = {"preset": read_json(source.meta).get("preset") or need_config(source).name, "parent": parent}
    return create_run(config, root, argv, meta=made_from, fill=lambda run: take_over(checkpoint, run))


def take_over(checkpoint: Path, run: RunPaths) -> Moment:
    """Let a run that is being made begin with a checkpoint of another one; for `create_run`."""
    adopt_checkpoint(checkpoint, run)
    return read_moment(checkpoint)
