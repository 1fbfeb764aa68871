"""What to do about a training that failed, by what its run has left."""

from __future__ import annotations

from tuiae.errors import TrainingError
from tuiae.runs.blame import named
from tuiae.runs.checkpoints import all_checkpoints, find_checkpoint, pointed, read_moment, verify
from tuiae.runs.edits import Edit
from tuiae.runs.history import config_at, read_edits
from tuiae.runs.layout import RunPaths

RAISED = ("training.learning_rate", "training.beta")
"""Keys that an edit can drive a training apart by raising."""


def explain_divergence(cause: str, run: RunPaths) -> TrainingError:
    """What went before a divergence, and a step that avoids it: resuming repeats it, edits and all."""
    raises = [edit for edit in read_edits(run) if edit.key in RAISED and edit.new > edit.old]
    if not raises:
        return TrainingError(cause, _milder(run))
    edit = raises[-1]
    return TrainingError(f"{cause}, after {named(edit)}", _without(edit, run))


def _milder(run: RunPaths) -> str:
    config = config_at(run)
    rate = 0.0 if config is None else config.training.learning_rate
    if find_checkpoint(run) is None:
        return f"lower training.learning_rate (now {rate:g}), or set training.clip_norm; it saved no checkpoint before"
    setting = f"training.learning_rate={rate / 10:g}"
    return f"go on from its last good checkpoint otherwise: tuiae fork {run.id} --from last --set {setting}"


def _without(edit: Edit, run: RunPaths) -> str:
    """The way back to before an edit, as far as checkpoints go back."""
    whole = [folder for folder in all_checkpoints(run) if verify(folder)]
    if not whole:
        return f"it saved no checkpoint: begin again without that edit, tuiae run {run.config}"
    before = next((folder for folder in whole if read_moment(folder).step <= edit.step), None)
    words = "go back to before that edit" if before else "it kept no checkpoint from before that edit: take it back"
    names = {pointed(run, "best"): "best", whole[0].name: "last"}
    start = "last" if before is None else names.get(before.name, str(read_moment(before).step))
    return f"{words}, tuiae fork {run.id} --from {start} --set {edit.key}={edit.old}"


def resume_words(run: RunPaths) -> str:
    """How a run is gone on with once what stopped it is mended."""
    if find_checkpoint(run) is None:
        return f"begin again at the first step, there is no checkpoint: tuiae resume {run.id}"
    return f"go on from the last checkpoint: tuiae resume {run.id}"
