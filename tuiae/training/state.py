"""The one explicit state of a training: what a checkpoint holds is what the next step depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from tuiae.files import read_json
from tuiae.runs.checkpoints import PARENT, find_checkpoint, pointed
from tuiae.runs.paths import RunPaths
from tuiae.runs.snapshot import Parent, read_parent
from tuiae.training.checkpoint import load_state, load_weights
from tuiae.training.objective import Totals
from tuiae.training.setup import Parts


@dataclass
class TrainState:
    """Counters, the optimizer, and the sums of the epoch under way."""

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
    diverged: torch.Tensor = field(default_factory=lambda: torch.zeros(()))

    def checkpoint_names(self, loss: float) -> tuple[str, ...]:
        """What a checkpoint with this test loss is called; the next best has to be lower."""
        best = loss < self.best
        self.best = min(self.best, loss)
        return ("last", "best") if best else ("last",)

    def forget_best(self) -> None:
        """Begin anew to look for the best: the test loss measures something else from here on."""
        self.best = self.lowest = math.inf
        self.stale = 0

    def dump(self, parts: Parts) -> dict[str, Any]:
        """Everything but the weights, as tensors and numbers."""
        saved: dict[str, Any] = {
            "optimizer": self.optimizer.state_dict(),
            "totals": self.totals.sums.cpu(),
            "rng": torch.get_rng_state(),
            **{name: getattr(self, name) for name in _COUNTERS},
        }
        if parts.device.type == "cuda":
            saved["cuda_rng"] = torch.cuda.get_rng_state(parts.device)
        elif parts.device.type == "mps":
            saved["mps_rng"] = torch.mps.get_rng_state()
        return saved

    def restore(self, saved: dict[str, Any], parts: Parts) -> None:
        """Continue exactly where `dump` was taken (on the same kind of device, bit for bit on the CPU)."""
        if "optimizer" in saved:
            restore_optimizer(self.optimizer, saved["optimizer"])
        self.totals.sums.copy_(saved["totals"])
        torch.set_rng_state(saved["rng"])
        if parts.device.type == "cuda" and "cuda_rng" in saved:
            torch.cuda.set_rng_state(saved["cuda_rng"], parts.device)
        elif parts.device.type == "mps" and "mps_rng" in saved:
            torch.mps.set_rng_state(saved["mps_rng"])
        for name in _COUNTERS:
            setattr(self, name, saved.get(name, getattr(self, name)))
        if self.position == 0:
            self.epoch_seconds = 0.0  # what was saved at the end of an epoch is that epoch's


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Take over what an optimizer has gathered; its settings stay the config's, which a fork may have changed."""
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
        for parameter in group["params"]:
            gathered = optimizer.state.get(parameter, {})
            _lay_out(gathered, parameter, bool(own.get("fused")))
            # RMSprop makes room for its momentum at its first step alone.
            if own.get("momentum") and "square_avg" in gathered and "momentum_buffer" not in gathered:
                gathered["momentum_buffer"] = torch.zeros_like(parameter)


def _lay_out(gathered: dict[str, Any], parameter: torch.Tensor, fused: bool) -> None:
    """Put what was gathered for a parameter where this optimizer looks for it: it may have been gathered on another
    device, or with the weights in another order."""
    for name, value in gathered.items():
        if name == "step":
            # load_state_dict goes by whether the optimizer that was saved was fused.
            gathered[name] = value.to(parameter.device if fused else "cpu", torch.float32)
        elif value.shape == parameter.shape and value.stride() != parameter.stride():
            # Fused kernels on a CPU pair numbers by their place in memory, and say nothing.
            gathered[name] = torch.empty_like(parameter).copy_(value)


_COUNTERS = ("epoch", "position", "step", "best", "lowest", "stale", "seconds", "epoch_seconds")


# Where a training begins: with its first step, with its newest checkpoint, or with one of its parent.

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
