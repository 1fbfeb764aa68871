"""What ended a training, in words: the cause, and the command that goes on. Nothing here imports torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuiae.config import RunConfig
from tuiae.errors import DeviceError, RankLostError, TrainingError, TuiaeError
from tuiae.files import FULL
from tuiae.runs.advice import clip_advice
from tuiae.runs.checkpoints import all_checkpoints, find_checkpoint, pointed, read_position, verify
from tuiae.runs.control import Edit
from tuiae.runs.diagnosis import DIVERGED
from tuiae.runs.evidence import raises_of
from tuiae.runs.lineage import config_at, read_edits
from tuiae.runs.paths import RunPaths, gone, is_gone

if TYPE_CHECKING:
    from tuiae.training.loop import Trainer


def resume_elsewhere(run: RunPaths) -> str:
    """The hint for a run whose device this machine does not have."""
    return f"go on here on another one: tuiae resume {run.id} --device cpu"


def requeue_advice(run: RunPaths) -> str:
    """How a run that a signal stopped goes on under SLURM; empty elsewhere."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job:
        return ""
    line = f"`tuiae run ... --continue` in it, or `tuiae resume {run.id}`, goes on with this run"
    return f"SLURM job {job}: `scontrol requeue {job}` runs its script again; {line}"


def explain(error: Exception, run: RunPaths, trainer: Trainer | None = None) -> TuiaeError:
    """Whatever ended a training as an error with a cause, a hint and an exit code."""
    if is_gone(run):
        return gone(run)
    if isinstance(error, DeviceError) and all_checkpoints(run):
        return DeviceError(error.cause, resume_elsewhere(run))
    if isinstance(error, RankLostError):
        return TrainingError(error.cause, _resume_advice(run))
    if isinstance(error, TuiaeError):
        return _explain_divergence(error.cause, run) if error.cause.startswith(DIVERGED) else error
    from tuiae.training.device import explain_cuda, first_line, is_out_of_memory
    from tuiae.training.rehearsal import explain_shortage

    if is_out_of_memory(error):
        return explain_shortage(error, trainer)
    if (known := explain_cuda(error)) is not None:
        return type(known)(known.cause, f"{_resume_advice(run)}, with --device on another one")
    notes = "".join(f": {note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, OSError) and error.errno in FULL:
        return TrainingError(f"no space left for {run.root}{notes}", f"free some, then {_resume_advice(run)}")
    if isinstance(error, OSError):
        cause = f"{error.filename or run.root}: {error.strerror}{notes}"
        return TrainingError(cause, f"fix that, then {_resume_advice(run)}")
    return TrainingError(f"{type(error).__name__}: {first_line(error)}", f"the traceback is in {run.log}")


def _explain_divergence(cause: str, run: RunPaths) -> TrainingError:
    """The error for a divergence: the edit that led to it, if one did, and a command that avoids it. Resuming alone
    would repeat it, edits and all."""
    config = config_at(run) or RunConfig()
    if raises := raises_of(config, read_edits(run)):
        return TrainingError(f"{cause}, after {raises[-1].words}", _take_back_edit(raises[-1], run))
    rate = config.training.learning_rate
    hint = f"lower training.learning_rate (now {rate:g}), or {clip_advice(config)[0]}; it saved no checkpoint before"
    if find_checkpoint(run) is not None:
        again = f"tuiae fork {run.id} --from last --set training.learning_rate={rate / 10:g}"
        hint = f"continue from its last good checkpoint at a lower rate: {again}"
    return TrainingError(cause, hint)


def _take_back_edit(edit: Edit, run: RunPaths) -> str:
    """The command that continues from before an edit, as far as checkpoints go back."""
    whole = [folder for folder in all_checkpoints(run) if verify(folder)]
    if not whole:
        return f"it saved no checkpoint: begin again without that edit, tuiae run {run.config}"
    before = next((folder for folder in whole if read_position(folder).step <= edit.step), None)
    words = "go back to before that edit" if before else "it kept no checkpoint from before that edit: take it back"
    names = {pointed(run, "best"): "best", whole[0].name: "last"}
    start = "last" if before is None else names.get(before.name, str(read_position(before).step))
    return f"{words}, tuiae fork {run.id} --from {start} --set {edit.key}={edit.old}"


def _resume_advice(run: RunPaths) -> str:
    """How to continue a run once what stopped it is fixed."""
    if find_checkpoint(run) is None:
        return f"begin again at the first step, there is no checkpoint: tuiae resume {run.id}"
    return f"continue from the last checkpoint: tuiae resume {run.id}"
