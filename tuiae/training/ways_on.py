"""What to do about a training that failed, by what its run has left."""

from __future__ import annotations

from tuiae.runs.checkpoints import find_checkpoint
from tuiae.runs.history import config_at, read_edits
from tuiae.runs.layout import RunPaths

RAISED = ("training.learning_rate", "training.beta")
"""Keys that an edit can drive a training apart by raising."""


def after_divergence(run: RunPaths) -> str:
    """A step that avoids the divergence: resuming repeats it, edits and all."""
    config = config_at(run)
    rate = 0.0 if config is None else config.training.learning_rate
    if find_checkpoint(run) is None:
        return f"lower training.learning_rate (now {rate:g}), or set training.clip_norm; it saved no checkpoint before"
    edit = next((edit for edit in reversed(read_edits(run)) if edit.key in RAISED), None)
    undone = edit is not None and isinstance(edit.old, int | float) and edit.old < edit.new
    setting = f"{edit.key}={edit.old}" if edit and undone else f"training.learning_rate={rate / 10:g}"
    return f"go on from its last good checkpoint otherwise: tuiae fork {run.id} --from last --set {setting}"


def resume_words(run: RunPaths) -> str:
    """How a run is gone on with once what stopped it is mended."""
    if find_checkpoint(run) is None:
        return f"begin again at the first step, there is no checkpoint: tuiae resume {run.id}"
    return f"go on from the last checkpoint: tuiae resume {run.id}"
