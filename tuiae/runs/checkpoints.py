"""Which checkpoints a run has and whether they are whole; their contents are read in `training/` and `explore/`."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from tuiae.config import did_you_mean
from tuiae.errors import NoCheckpointError, TrainingError
from tuiae.files import (
    MAX_EPOCH,
    as_number,
    fsync_directory,
    is_count,
    open_regular,
    read_bytes,
    read_json,
    replace_text,
)
from tuiae.runs.paths import LIVE_STATES, OWN_PROGRAM, RunPaths, is_tracked
from tuiae.runs.reader import read_status
from tuiae.runs.snapshot import Position

MODEL, STATE, MANIFEST = "model.safetensors", "state.pt", "manifest.json"
KEPT = "kept"
"""An empty file in a checkpoint that somebody asked for: it stays as long as the run does."""
PARENT = "parent"
"""The name of the checkpoint that a fork began from; it is kept, so that the fork can be repeated."""


def read_position(folder: Path) -> Position:
    """The step and epoch of a checkpoint; of a damaged one, the step in its name."""
    manifest = read_json(folder / MANIFEST)
    step, epoch = manifest.get("step"), as_number(manifest.get("epoch"), MAX_EPOCH)
    named = folder.name.removeprefix("step-")
    return Position(step if is_count(step) else int(named) if _is_step(named) else 0, epoch or 0.0)


def newest_position(run: RunPaths) -> Position:
    """The position at which a resumed worker begins."""
    folder = find_checkpoint(run)
    return read_position(folder) if folder else Position(0, 0.0)


def all_checkpoints(run: RunPaths) -> list[Path]:
    """Every checkpoint directory, newest step first, whole or not."""
    folders = [path for path in run.weights.glob("step-*") if _is_step(path.name[5:])]
    return sorted(folders, key=lambda path: int(path.name[5:]), reverse=True)


def kept_epochs(run: RunPaths) -> tuple[float, ...]:
    """The epochs at which the checkpoints were taken that a run still has, in order."""
    return tuple(sorted(read_position(folder).epoch for folder in all_checkpoints(run)))


def checkpoint_of_epoch(run: RunPaths, epoch: float) -> Path | None:
    """The checkpoint that was taken nearest to the end of an epoch; None where none is within half an epoch of it."""
    away = {folder: abs(read_position(folder).epoch - epoch) for folder in all_checkpoints(run)}
    nearest = min(away, key=away.__getitem__, default=None)
    return nearest if nearest is not None and away[nearest] <= 0.5 else None


def _is_step(text: str) -> bool:
    return text.isdecimal() and len(text) < 19


def pointed(run: RunPaths, name: str) -> str:
    """The folder that `last`, `best` or `parent` names; empty when it names none."""
    try:
        folder = read_bytes(run.weights / name).decode(errors="replace").strip()
    except OSError:
        return ""
    return folder if _is_step(folder.removeprefix("step-")) else ""


def describe_file(content: bytes) -> dict[str, Any]:
    """What the manifest of a checkpoint holds of each of its files."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def verify(folder: Path) -> bool:
    """Returns whether every file of a checkpoint is there with the size and the digest of its manifest."""
    files = read_json(folder / MANIFEST).get("files")
    return isinstance(files, dict) and all(_is_whole(folder / name, files.get(name)) for name in (MODEL, STATE))


def _is_whole(path: Path, described: Any) -> bool:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not isinstance(described, dict) or described.get("size") != size:
                return False  # without reading what may be gigabytes
            return bool(described == {"size": size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()})
    except OSError:
        return False


def find_checkpoint(run: RunPaths) -> Path | None:
    """The newest whole checkpoint; None where there is none."""
    folders = all_checkpoints(run)
    found = next((folder for folder in folders if verify(folder)), None)
    # A worker that keeps few may have deleted them while they were looked at, but never before a newer one is whole.
    return find_checkpoint(run) if found is None and all_checkpoints(run) != folders else found


def need_checkpoint(run: RunPaths, name: str = "last") -> Path:
    """The checkpoint that a name (`last`, `best`, `parent`, a step) means; `last` is the newest whole one. Raises
    NoCheckpointError where there is none of that name, and TrainingError where it is damaged."""
    if name == "last":
        if (newest := find_checkpoint(run)) is None:
            raise no_checkpoint(run)
        return newest
    named = pointed(run, name)
    folder = run.weights / (named or (f"step-{int(name):06d}" if _is_step(name) else ""))
    if folder == run.weights or not verify(folder):
        if pointed(run, name) != named:
            return need_checkpoint(run, name)  # a worker deletes what was the best once another one is
        raise _unfit(run, name, folder)
    return folder


def _unfit(run: RunPaths, name: str, folder: Path) -> TrainingError:
    """The error for a name without a whole checkpoint: `folder` is damaged, was deleted, or never existed."""
    kept = ", ".join(path.name[5:].lstrip("0") or "0" for path in all_checkpoints(run)) or "none"
    names = [known for known in ("last", "best", PARENT) if known != name and (known == "last" or pointed(run, known))]
    damaged = folder != run.weights and folder.is_dir()
    if pointed(run, name):
        cause = f"{folder.name}, the checkpoint '{name}' of {run.id}, {'is damaged' if damaged else 'was deleted'}"
    else:
        cause = f"{run.id} has no whole checkpoint '{name}'{did_you_mean(name, names)}"
    kind = TrainingError if damaged else NoCheckpointError
    return kind(cause, f"steps kept: {kept}; or use {' or '.join(names)}")


def no_checkpoint(run: RunPaths) -> NoCheckpointError:
    """The error for a run without weights; its hint says whether to wait for them or how to train them again."""
    if is_tracked(run):
        return NoCheckpointError(f"{run.id} was tracked: {OWN_PROGRAM}", "this needs a run that tuiae trained")
    state = read_status(run).state
    if state in LIVE_STATES:
        return NoCheckpointError(f"{run.id} has no checkpoint yet", "let it train for an epoch first")
    cause = f"{run.id} has no checkpoint: none was written, or its weights were deleted"
    again = f"tuiae run {run.config}" if state == "finished" else f"tuiae resume {run.id}"
    return NoCheckpointError(cause, f"train it from the first step: {again}")


def adopt_checkpoint(folder: Path, run: RunPaths) -> Position:
    """Give a run the checkpoint of another one as its own first, named `last` and `parent`; returns when it was taken.

    The files are shared where the file system can: nobody writes into a checkpoint, they are replaced whole. Raises
    TrainingError where it was damaged or deleted meanwhile, and OSError.
    """
    copy = run.weights / folder.name
    copy.mkdir()
    for name in (MODEL, STATE, MANIFEST):
        try:
            os.link(folder / name, copy / name)
        except FileNotFoundError:
            break
        except OSError:
            # Another file system, or one without hard links.
            shutil.copyfile(folder / name, copy / name)
    if not verify(copy):
        raise TrainingError(f"{folder} is not whole any more", "take another checkpoint")
    fsync_directory(copy)
    for name in ("last", PARENT):
        replace_text(run.weights / name, folder.name + "\n")
    return read_position(copy)
