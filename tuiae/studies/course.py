"""Where a run's course is not what its settings say: edited on its way, forked from another run, ended early."""

from __future__ import annotations

from collections.abc import Mapping

from tuiae.runs.edits import Edit
from tuiae.runs.snapshot import Snapshot
from tuiae.studies.labels import value_text

CUT_SHORT = ("stopped", "failed", "lost")
MOST_EDITS = 3


def course(snapshot: Snapshot, names: Mapping[str, str]) -> tuple[str, ...]:
    """What is to be said behind a run's name; `names` are of runs that have a shorter one than their id."""
    changes, parent = edited(snapshot), snapshot.parent
    forked = ""
    if parent is not None:
        keys = f" ({', '.join(map(_leaf, parent.changed))} changed)" if parent.changed else ""
        forked = f"was forked at epoch {_epoch(parent.epoch)} of {names.get(parent.run, parent.run)}{keys}"
    return tuple(filter(None, (ending(snapshot), f"was edited while it trained: {changes}" if changes else "", forked)))


def ending(snapshot: Snapshot) -> str:
    """`stopped at epoch 641`; empty for a run that trains still or that was to end there."""
    status, config = snapshot.status, snapshot.current_config
    if status.state in CUT_SHORT:
        return f"{status.state} at epoch {status.epoch}"
    patient = status.state == "finished" and config is not None and config.training.patience
    return f"ended early at epoch {status.epoch}" if patient and status.epoch < (status.epochs or 0) else ""


def edited(snapshot: Snapshot, key: str = "") -> str:
    """`learning_rate 0.002 → 50 at epoch 183`, of one key or of all; empty where nothing was edited."""
    made = [edit for edit in snapshot.edits if edit.step <= snapshot.status.step and key in ("", edit.key)]
    more = len(made) - MOST_EDITS
    return ", ".join(map(_edit, made[:MOST_EDITS])) + (f" and {more} more" if more > 0 else "")


def _edit(edit: Edit) -> str:
    return f"{_leaf(edit.key)} {value_text(edit.old)} → {value_text(edit.new)} at epoch {_epoch(edit.epoch)}"


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _epoch(epoch: float) -> str:
    return f"{round(epoch, 2):g}"
