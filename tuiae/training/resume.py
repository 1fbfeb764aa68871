"""Where a training begins: with its first step, with its newest checkpoint, or with one of its parent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from tuiae.files import read_json
from tuiae.runs.checkpoints import PARENT, find_checkpoint, pointed
from tuiae.runs.layout import RunPaths
from tuiae.runs.parent import Parent, read_parent
from tuiae.training.checkpoint import load_state, load_weights
from tuiae.training.setup import Parts
from tuiae.training.state import TrainState

FIRST = "training from the first step"


@dataclass(frozen=True)
class Beginning:
    """What a worker found."""

    text: str
    """As the run's history says it."""
    fresh: bool
    """Whether the run has trained nothing of its own yet."""


def take_up(run: RunPaths, parts: Parts, state: TrainState) -> Beginning:
    """Put the newest whole checkpoint, if there is one, into the network and the state."""
    folder = find_checkpoint(run)
    if folder is None:
        return Beginning(FIRST, fresh=True)
    parts.model.load_state_dict(load_weights(folder))
    saved = load_state(folder)
    parent = read_parent(read_json(run.meta))
    if parent is not None and pointed(run, PARENT) == folder.name:
        words = _leave_parent(saved, parts, parent)
        state.restore(saved, parts)
        _begin_anew(state, parts, parent)
        return Beginning(f"forked from {parent.run} at epoch {state.epoch}, step {state.step}{words}", fresh=True)
    state.restore(saved, parts)
    words = f"resumed at epoch {state.epoch}, step {state.step}" if state.step else FIRST
    return Beginning(words, fresh=state.step == 0)


def _leave_parent(saved: dict[str, Any], parts: Parts, parent: Parent) -> str:
    """Drop what another optimizer gathered; what the history says of that."""
    if "training.optimizer" not in parent.changed:
        return ""
    saved.pop("optimizer", None)
    return f"; {parts.config.training.optimizer} begins with a state of its own, its parent had another optimizer"


def _begin_anew(state: TrainState, parts: Parts, parent: Parent) -> None:
    """Leave behind what belongs to the parent alone: its best, its time, and the sums of an epoch that it trained
    otherwise."""
    state.forget_best()
    state.seconds = 0.0
    state.totals.reset()
    if "training.seed" in parent.changed:
        torch.manual_seed(parts.config.training.seed)
