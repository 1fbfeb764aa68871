"""What a run would cost, found out by taking a few of its own steps: parameters, memory, seconds."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tuiae.config import RunConfig
from tuiae.errors import DataError, TrainingError, TuiaeError
from tuiae.preflight import Checked, check
from tuiae.preflight_warnings import occasions
from tuiae.training.device import (
    describe_device,
    free_memory,
    give_back_memory,
    is_out_of_memory,
    resolve_device,
)
from tuiae.training.rehearsal import Abandoned, rehearse
from tuiae.training.setup import set_up

MEGA, GIGA = 1e6, 1e9


@dataclass(frozen=True)
class DryRun:
    """Plain numbers. Seconds and MB (10^6 bytes) are estimates, from a few steps on this machine as busy as it was."""

    device: str
    parameters: dict[str, int]
    """Of each part: encoder, decoder, head, and log_variance of a variational code."""
    trained: int
    """Parameters that are not frozen."""
    images: int
    """Training images."""
    batch_size: int
    """Images of the batch that was tried."""
    epochs: int
    steps_per_epoch: int
    loss: float
    """Of the untrained network on that batch."""
    data_mb: float
    """Images kept on an accelerator for the whole training."""
    weights_mb: float
    state_mb: float
    """Gradients and the optimizer's state."""
    peak_mb: float
    """Of one training step, all of the above included; measured on CUDA, elsewhere worked out from what the step
    keeps for its gradients."""
    step_seconds: float
    evaluation_seconds: float
    epoch_seconds: float
    """Training, and the evaluation of an epoch that has one."""
    total_seconds: float
    """All epochs, samples and checkpoints included."""
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def dry_run(config: RunConfig, root: Path, interrupted: Callable[[], bool] = lambda: False) -> DryRun:
    """Take a few steps on the first batch of the data, in a directory that is gone afterwards.

    Random states of the CPU and of CUDA are afterwards what they were. `interrupted` is asked between batches.

    Raises:
        ConfigError, DeviceError, DataError: what the run would fail with; DataError also where the images would have to
            be downloaded first.
        TrainingError: the batch failed, for want of memory or otherwise.
        Abandoned: `interrupted` said so.
    """
    checked = check(config, root)
    if not checked.dataset.ready:
        name = checked.dataset.name
        hint = f"`tuiae data fetch {name}` downloads it, and so does starting the run"
        raise DataError(f"{name} is not on this machine yet: there is no batch to try", hint)
    device = resolve_device(config.training.device)
    _check_room(checked, device)
    cards = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(cards), tempfile.TemporaryDirectory(prefix="tuiae-dry-run-") as folder:
            return _measure(checked, root, Path(folder), interrupted)
    except (TuiaeError, Abandoned) as error:
        traceback.clear_frames(error.__traceback__)  # they hold the network and the images
        raise
    except Exception as error:  # whatever a network, a driver or an allocator raises becomes a sentence
        traceback.clear_frames(error.__traceback__)
        raise _failure(error, config.training.batch_size) from error
    finally:
        give_back_memory(device)


def _check_room(checked: Checked, device: torch.device) -> None:
    """Refuse what cannot fit: a system that lends more memory than it has would end the process, or another one."""
    training = checked.config.training
    copies = 2 + _REMEMBERED[training.optimizer] + bool(training.momentum and training.optimizer == "sgd")
    needed, free = 4 * copies * (checked.parameters or 0), free_memory(device)
    if needed > free:
        raise TrainingError(
            f"out of memory: {checked.parameters:,} parameters take {needed / GIGA:.1f} GB with gradients and what "
            f"{training.optimizer} keeps, and {free / GIGA:.1f} GB are free",
            "lower model.latent or model.hidden, or choose another device",
        )


_REMEMBERED = {"adam": 2, "adamw": 2, "rmsprop": 1, "sgd": 0}
"""Optimizer -> numbers that it keeps for each weight, without momentum."""


def _failure(error: Exception, batch: int) -> TrainingError:
    if is_out_of_memory(error):
        hint = f"lower training.batch_size (now {batch}), or choose another device"
        return TrainingError(f"out of memory in a dry batch of {batch} images", hint)
    return TrainingError(f"the dry batch failed: {type(error).__name__}: {error}", "the run would fail the same way")


def _measure(checked: Checked, root: Path, folder: Path, interrupted: Callable[[], bool]) -> DryRun:
    def look(*_: object) -> None:
        if interrupted():
            raise Abandoned

    # What pauses a training has no place in a few steps of it.
    training = checked.config.training.model_copy(update={"auto_pause": False})
    config = checked.config.model_copy(update={"training": training})
    parts = set_up(config, root, look)
    seen = rehearse(parts, folder, look)
    evaluations, samples, saves = (occasions(training.epochs, every) for every in _intervals(config))
    epoch = seen.steps_per_epoch * seen.step_seconds
    return DryRun(
        device=describe_device(parts.device),
        parameters=seen.parameters,
        trained=seen.trained,
        images=len(parts.train),
        batch_size=min(training.batch_size, len(parts.train)),
        epochs=training.epochs,
        steps_per_epoch=seen.steps_per_epoch,
        loss=seen.loss,
        data_mb=seen.data / MEGA,
        weights_mb=seen.weights / MEGA,
        state_mb=seen.state / MEGA,
        peak_mb=seen.peak / MEGA,
        step_seconds=seen.step_seconds,
        evaluation_seconds=seen.evaluation_seconds,
        epoch_seconds=epoch + seen.evaluation_seconds,
        total_seconds=training.epochs * epoch
        + evaluations * seen.evaluation_seconds
        + samples * seen.sample_seconds
        + saves * seen.save_seconds,
        warnings=checked.warnings,
    )


def _intervals(config: RunConfig) -> tuple[int, int, int]:
    return config.training.evaluate_every, config.samples.every, config.checkpoint.every
