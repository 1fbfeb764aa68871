"""Checkpoints: the state of a training at one step, durable before it is named, verified before it is used."""

from __future__ import annotations

import io
import math
import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tuiae.config import ARGUMENTS, SET, TrainingSection, settings_of, typed
from tuiae.errors import ConfigError, TrainingError
from tuiae.files import fsync_directory, is_count, make_way, read_json, replace_file, replace_json, replace_text
from tuiae.runs.checkpoints import (
    KEPT,
    MANIFEST,
    MODEL,
    PARENT,
    STATE,
    all_checkpoints,
    describe_file,
    pointed,
    read_position,
    verify,
)
from tuiae.runs.paths import SCHEMA, RunPaths, need_run
from tuiae.runs.reader import read_config
from tuiae.runs.snapshot import Parent, read_parent
from tuiae.training.objective import Totals
from tuiae.training.optimizer import is_gathered_for, restore_optimizer

_COUNTS, _NUMBERS = ("epoch", "position", "step", "stale"), ("best", "lowest", "seconds", "epoch_seconds")
_COUNTERS = (*_COUNTS, *_NUMBERS)


@dataclass
class TrainState:
    """What the next step depends on beside the weights: counters, the optimizer, the sums of the epoch under way."""

    optimizer: torch.optim.Optimizer
    totals: Totals
    epoch: int = 0  # epochs completed
    position: int = 0  # images of the current epoch already used
    step: int = 0  # optimizer steps in all
    best: float = math.inf  # lowest test loss of a checkpoint
    lowest: float = math.inf  # lowest test loss of all
    stale: int = 0  # evaluations since then
    seconds: float = 0.0  # training time so far, pauses left out
    epoch_seconds: float = 0.0  # of it, in the epoch under way

    def end_epoch(self) -> None:
        """Count an epoch whose last image was used."""
        self.epoch, self.position = self.epoch + 1, 0
        self.totals.reset()

    def checkpoint_names(self, loss: float) -> tuple[str, ...]:
        """What a checkpoint with this test loss is called; the next best has to be lower."""
        best = loss < self.best
        self.best = min(self.best, loss)
        return ("last", "best") if best else ("last",)

    def forget_best(self) -> None:
        """Start the search for the best anew: the test loss measures something else from here on."""
        self.best = self.lowest = math.inf
        self.stale = 0

    def dump(self) -> dict[str, Any]:
        """Everything but the weights, as tensors and numbers; random states of torch's default generators included,
        but for CUDA's, which is seeded before each step."""
        device = self.totals.sums.device
        saved: dict[str, Any] = {
            "optimizer": self.optimizer.state_dict(),
            "totals": self.totals.sums.cpu(),
            "rng": torch.get_rng_state(),
            **{name: getattr(self, name) for name in _COUNTERS},
        }
        if device.type == "mps":
            saved["mps_rng"] = torch.mps.get_rng_state()
        return saved

    def takes(self, saved: dict[str, Any], fresh_optimizer: bool = False) -> bool:
        """Returns whether `saved` has all that `restore` needs; a `fresh_optimizer` takes nothing of another's."""
        sums, rng, gathered = (saved.get(name) for name in ("totals", "rng", "optimizer"))
        return (
            isinstance(sums, torch.Tensor)
            and sums.shape == self.totals.sums.shape
            and _is_random_state(rng)
            and all(is_count(saved.get(name, 0)) and saved.get(name, 0) >= 0 for name in _COUNTS)
            and all(isinstance(saved.get(name, 0.0), (int, float)) for name in _NUMBERS)
            and (fresh_optimizer or is_gathered_for(self.optimizer, gathered))
        )

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue exactly where `dump` was taken (on the same kind of device, bit for bit on the CPU)."""
        device = self.totals.sums.device
        if "optimizer" in saved:
            restore_optimizer(self.optimizer, saved["optimizer"])
        self.totals.sums.copy_(saved["totals"])
        torch.set_rng_state(saved["rng"])
        if device.type == "mps" and "mps_rng" in saved:
            torch.mps.set_rng_state(saved["mps_rng"])
        for name in _COUNTERS:
            setattr(self, name, saved.get(name, getattr(self, name)))
        if self.position == 0:
            self.epoch_seconds = 0.0  # what was saved at the end of an epoch is that epoch's


def _is_random_state(saved: Any) -> bool:
    try:
        torch.Generator().set_state(saved)
    except (TypeError, RuntimeError):
        return False
    return True


def freeze(model: torch.nn.Module, state: TrainState) -> dict[str, bytes]:
    """The files of a checkpoint, by name, as they are at this step."""
    buffer = io.BytesIO()
    torch.save(state.dump(), buffer)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    known: set[int] = set()
    for name, tensor in tensors.items():
        if (storage := tensor.untyped_storage().data_ptr()) in known:
            tensors[name] = tensor.clone()  # what two layers of a custom network share is written for each
        known.add(storage)
    return {MODEL: save_tensors(tensors), STATE: buffer.getvalue()}


def save_checkpoint(
    run: RunPaths, step: int, epoch: float, contents: Mapping[str, bytes], names: tuple[str, ...], kept: bool = False
) -> None:
    """Write what was frozen as `weights/step-NNNNNN/` and point the names (`last`, `best`) at it; `kept` ones stay.

    Raises UnknownRunError for a run that was deleted, and OSError on a full disk; earlier checkpoints stand.
    """
    need_run(run)
    folder = run.weights / f"step-{step:06d}"
    if not verify(folder):
        draft = run.weights / f".{folder.name}.{os.getpid()}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        make_way(run.weights, os.path.isdir)
        run.weights.mkdir(exist_ok=True)  # and not the run, if it was deleted this moment
        draft.mkdir()
        try:
            for name, content in contents.items():
                replace_file(draft / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
            files = {name: describe_file(content) for name, content in contents.items()}
            replace_json(draft / MANIFEST, {"v": SCHEMA, "step": step, "epoch": epoch, "files": files})
            fsync_directory(draft)
            shutil.rmtree(folder, ignore_errors=True)
            make_way(folder, os.path.isdir)
            os.rename(draft, folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        fsync_directory(run.weights)
    if kept:
        (folder / KEPT).touch()
    for name in names:
        make_way(run.weights / name)
        replace_text(run.weights / name, folder.name + "\n")
    fsync_directory(run.weights)  # before the checkpoints that these named until now are deleted


def prune(run: RunPaths, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, the best, those asked for, and what a fork began from; called after
    the new one is durable."""
    named = {pointed(run, name) for name in ("best", "last", PARENT)}
    for folder in all_checkpoints(run)[keep:]:
        if folder.name not in named and not (folder / KEPT).exists():
            shutil.rmtree(folder, ignore_errors=True)


# Reading. The digests of a checkpoint say that it is as it was written; what was written may still be of no use.


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The model's tensors by name, on the CPU. Raises TrainingError for a file that holds none, and OSError."""
    return _parse(folder / MODEL, load_tensors)


def load_state(folder: Path) -> dict[str, Any]:
    """What `TrainState.dump` gave; nothing in the file is executed. Raises as `load_weights`."""
    read = torch.load
    return _parse(folder / STATE, lambda held: dict(read(io.BytesIO(held), map_location="cpu", weights_only=True)))


def _parse(path: Path, parse: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
    held = path.read_bytes()
    try:
        return parse(held)
    except Exception as error:  # safetensors, zipfile and pickle raise whatever they trip over
        raise TrainingError(f"{path.parent.name} is damaged: {path.name} cannot be read", ANOTHER) from error


ANOTHER = "take another checkpoint"


def misfit(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> str:
    """How weights differ from those of a network, in words; empty where they fit."""
    own = model.state_dict()
    for name in sorted(own.keys() ^ weights.keys()):
        return f"{name} is in {'this network' if name in own else 'these weights'} alone"
    for name, tensor in own.items():
        if weights[name].shape != tensor.shape:
            return f"{name} is {tuple(weights[name].shape)} and not {tuple(tensor.shape)}"
        if weights[name].dtype.is_floating_point != tensor.dtype.is_floating_point:
            return f"{name} holds {weights[name].dtype} and not {tensor.dtype}"
    return ""


def spoilt(weights: Mapping[str, torch.Tensor]) -> str:
    """Which weights are not finite, in words; empty where all are."""
    names = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    others = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return f"{names[0]}{others} not finite" if names else ""


_Contents = tuple[dict[str, torch.Tensor], dict[str, Any]]


def _usable(folder: Path, model: torch.nn.Module, state: TrainState, images: int, fresh_optimizer: bool) -> _Contents:
    """The weights and the state of a checkpoint; raises TrainingError where this training cannot go on with them."""
    weights, saved = load_weights(folder), load_state(folder)
    cause = misfit(model, weights) or spoilt(weights)
    named = read_position(folder)
    matches = (saved.get("step"), saved.get("epoch")) == (named.step, int(named.epoch))
    if not cause and not (matches and state.takes(saved, fresh_optimizer)):
        cause = f"{STATE} is not the state of this training"
    if not cause and saved.get("position", 0) > images:
        cause = f"it is {saved['position']:,} images into an epoch of {images:,}"
    if cause:
        raise TrainingError(f"{folder.name} is of no use: {cause}", ANOTHER)
    return weights, saved


class Beginning(NamedTuple):
    """Where a worker begins: with the first step, with the run's newest checkpoint, or with one of its parent."""

    text: str
    """As the run's history says it."""
    fresh: bool
    """Whether the run has trained nothing of its own yet."""


FROM_START = "training from the first step"
ASIDE = "damaged-"
"""What stands before the step in the name of a checkpoint that was of no use."""


def restore_newest(
    run: RunPaths,
    model: torch.nn.Module,
    state: TrainState,
    training: TrainingSection,
    images: int,
    warn: Callable[[str], object],
) -> Beginning:
    """Put the newest checkpoint that is of use to a training on so many `images`, if there is one, into the network and
    the state.

    `warn` is told of each that is passed over; one whose digests are right gets another name, so that nobody takes it
    for the newest again. Raises TrainingError where there are some and none is of use, and for a fork without its
    beginning; ConfigError for one whose arguments make other weights than its parent has.
    """
    # Longer than other functions, so that every way in which a checkpoint is passed over is seen at once.
    parent = read_parent(read_json(run.meta))
    useless: list[tuple[Path, TrainingError]] = []
    damaged: list[str] = []
    for folder in all_checkpoints(run):
        if not verify(folder):
            damaged.append(f"{folder.name} is damaged")
            warn(f"{damaged[-1]}; it is passed over")
            continue
        begun = parent if pointed(run, PARENT) == folder.name else None
        other = begun is not None and "training.optimizer" in begun.changed
        try:
            if begun is not None:
                _check_arguments(run, begun, model, folder)
            weights, saved = _usable(folder, model, state, images, other)
        except TrainingError as error:
            useless.append((folder, error))
            continue
        for worse, why in useless:
            aside = worse.with_name(f"{ASIDE}{worse.name[5:]}")
            shutil.rmtree(aside, ignore_errors=True)  # of an earlier time
            os.rename(worse, aside)
            warn(f"{why.cause}; it is passed over")
        model.load_state_dict(weights)
        if begun is not None:
            return _restore_parent(saved, begun, state, training)
        state.restore(saved)
        text = f"resumed at epoch {state.epoch}, step {state.step}" if state.step else FROM_START
        return Beginning(text, fresh=state.step == 0)
    if useless or damaged or parent is not None:
        cause, *_ = (*(why.cause for _, why in useless), *damaged, "the checkpoint that this fork began from is gone")
        anew = f"train it anew: tuiae run {run.config}"
        again = anew if parent is None else f"fork {parent.run} from another one"
        raise TrainingError(f"{cause}, and there is no other", again)
    return Beginning(FROM_START, fresh=True)


def _check_arguments(run: RunPaths, parent: Parent, model: torch.nn.Module, folder: Path) -> None:
    """Raise ConfigError where a fork gives a custom network arguments with which it has other weights than the parent's
    checkpoint: only the network itself tells which of them do that."""
    asked = [key for key in parent.changed if key.startswith(ARGUMENTS)]
    if not asked or not (cause := misfit(model, load_weights(folder))):
        return
    config, source = read_config(run), RunPaths(run.root.parent / parent.run)
    known = {} if config is None else settings_of(config)
    words = [f"{key}={typed(known[key])}" for key in asked if key in known]
    anew = ["tuiae", "run", str(source.config), *(part for word in words for part in (SET, word))]
    what = " ".join(words) or ARGUMENTS
    raise ConfigError(
        f"{what} changes the shapes of the weights, and a fork keeps those of its parent: {cause}",
        f"start a new run instead{f': {shlex.join(anew)}' if source.config.exists() else ''}",
    )


def _restore_parent(saved: dict[str, Any], parent: Parent, state: TrainState, training: TrainingSection) -> Beginning:
    """Go on from a parent's state without what belongs to the parent alone: its best, its time, the sums of an epoch
    that it trained otherwise, and what another optimizer gathered."""
    words = ""
    if "training.optimizer" in parent.changed:
        saved.pop("optimizer", None)
        words = f"; {training.optimizer} begins with a state of its own, its parent had another optimizer"
    state.restore(saved)
    state.forget_best()
    state.seconds = 0.0
    state.totals.reset()
    if "training.seed" in parent.changed:
        torch.manual_seed(training.seed)
    return Beginning(f"forked from {parent.run} at epoch {state.epoch}, step {state.step}{words}", fresh=True)
