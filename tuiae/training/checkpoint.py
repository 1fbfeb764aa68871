"""Checkpoints: one moment each, durable before it is named, verified before it is used."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tuiae.files import fsync_directory, replace_file, replace_json, replace_text
from tuiae.runs.checkpoints import (
    KEPT,
    MANIFEST,
    MODEL,
    PARENT,
    STATE,
    all_checkpoints,
    find_checkpoint,
    pointed,
    verify,
)
from tuiae.runs.paths import SCHEMA, RunPaths, need_run

__all__ = [
    "MANIFEST",
    "MODEL",
    "STATE",
    "all_checkpoints",
    "find_checkpoint",
    "load_state",
    "load_weights",
    "pointed",
    "prune",
    "save_checkpoint",
    "verify",
]


def freeze(model: torch.nn.Module, state: dict[str, Any]) -> dict[str, bytes]:
    """The files of a checkpoint as they are at this moment, by name.

    `state` is everything but the weights that the next step depends on: tensors, numbers, strings.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    return {MODEL: save_tensors(tensors), STATE: buffer.getvalue()}


def save_checkpoint(
    run: RunPaths, step: int, epoch: float, contents: Mapping[str, bytes], names: tuple[str, ...], kept: bool = False
) -> None:
    """Write what was frozen as `weights/step-NNNNNN/` and point the names (`last`, `best`) at it; `kept` ones stay.

    Raises:
        UnknownRunError: the run was deleted. OSError: disk full; earlier checkpoints stand.
    """
    need_run(run)
    folder = run.weights / f"step-{step:06d}"
    if not verify(folder):
        draft = run.weights / f".{folder.name}.{os.getpid()}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        run.weights.mkdir(exist_ok=True)  # and not the run, if it was deleted this moment
        draft.mkdir()
        try:
            _write_files(draft, step, epoch, contents)
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(draft, folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        fsync_directory(run.weights)
    if kept:
        (folder / KEPT).touch()
    for name in names:
        replace_text(run.weights / name, folder.name + "\n")


def _write_files(folder: Path, step: int, epoch: float, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        replace_file(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    files = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()}
    replace_json(folder / MANIFEST, {"v": SCHEMA, "step": step, "epoch": epoch, "files": files})


def prune(run: RunPaths, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, the best, those asked for, and what a fork began from; called after
    the new one is durable.

    Drafts go too: they are what a worker that was killed while saving left behind.
    """
    for draft in run.weights.glob(".step-*.tmp"):
        shutil.rmtree(draft, ignore_errors=True)
    named = {pointed(run, name) for name in ("best", "last", PARENT)}
    for folder in all_checkpoints(run)[keep:]:
        if folder.name not in named and not (folder / KEPT).exists():
            shutil.rmtree(folder, ignore_errors=True)


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The model's tensors by name, on the CPU."""
    return load_tensors((folder / MODEL).read_bytes())


def load_state(folder: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given as `state`; nothing in the file is executed."""
    return dict(torch.load(folder / STATE, map_location="cpu", weights_only=True))
