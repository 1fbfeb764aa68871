"""A few steps of a training, taken to measure them."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tuiae.config import RunConfig
from tuiae.data.batches import ImageSet, epoch_order
from tuiae.errors import DataError, TrainingError, TuiaeError
from tuiae.preflight import Checked, check, occasions
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.evaluate import BATCH, evaluate
from tuiae.training.loop import Fit
from tuiae.training.report import Mailbox
from tuiae.training.setup import (
    Parts,
    describe_device,
    free_memory,
    give_back_memory,
    is_out_of_memory,
    resolve_device,
    set_up,
)

WARM_STEPS = 2  # beside the one that is measured for memory: the first ones choose kernels and grow buffers
TIMED_SECONDS = 0.5
FEWEST_STEPS, MOST_STEPS = 3, 50

Look = Callable[[], None]
"""Asked between batches; raises Abandoned."""


class Abandoned(Exception):  # noqa: N818 - nothing went wrong
    """There is something better to do."""


@dataclass(frozen=True)
class Measured:
    """What a few steps showed: counts, bytes and seconds, in the words of `DryRun`."""

    parameters: dict[str, int]
    trained: int
    steps_per_epoch: int
    loss: float
    data: int
    weights: int
    state: int
    peak: int
    step_seconds: float
    evaluation_seconds: float
    sample_seconds: float
    save_seconds: float


def rehearse(parts: Parts, folder: Path, look: Look) -> Measured:
    """Train on the first batch again and again, evaluate, sample and save once, in a run below `folder`."""
    run = create_run(parts.config, folder, [])
    writer = RunWriter(run)
    try:
        return _Rehearsal(parts, writer, Mailbox(run, lambda: False), look).measure()
    finally:
        writer.close("stopped")


class _Rehearsal(Fit):
    """A training that stays at its first batch."""

    def __init__(self, parts: Parts, writer: RunWriter, mailbox: Mailbox, look: Look) -> None:
        super().__init__(parts, writer, mailbox)
        self._look = look
        order = epoch_order(len(parts.train), self.config.training.seed, 0)
        self._first = parts.train.place(order[: self.config.training.batch_size])

    def measure(self) -> Measured:
        """Everything, the memory first, while nothing else has been allocated."""
        try:
            return self._measure_all()
        finally:
            self._disk.close()

    def _measure_all(self) -> Measured:
        parts = self.parts
        parts.model.train()
        peak, loss = self._peak()
        for _ in range(WARM_STEPS):
            self._again()
        return Measured(
            parameters={name: _count(part) for name, part in parts.model.named_children()},
            trained=sum(weights.numel() for weights in parts.model.parameters() if weights.requires_grad),
            steps_per_epoch=self.report.steps_per_epoch,
            loss=loss,
            data=_resident(parts.train) + _resident(parts.test),
            weights=_bytes(parts.model.parameters()),
            state=self._state(),
            peak=peak,
            step_seconds=self._time_steps(),
            evaluation_seconds=self._time_evaluation(),
            sample_seconds=self._time(lambda: self._written(lambda: self._sample(confusion=None))),
            save_seconds=self._time(lambda: self._written(lambda: self._save(("last",)))),
        )

    def _written(self, store: Callable[[], None]) -> None:
        """Store something, and wait until the disk has it."""
        store()
        self._disk.wait()

    def _again(self) -> None:
        """One step, on the first batch."""
        self._look()
        self.state.position = 0
        self._step(self._first)

    def _peak(self) -> tuple[int, float]:
        """Bytes at the height of a step, and the loss of the first one. Bytes are measured on CUDA; elsewhere weights,
        optimizer, and what the step keeps for its gradients, with the largest of it twice more: its gradient beside
        the one that it is worked out from."""
        device = self.parts.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        kept = _Kept(self.parts.model)
        with torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor):
            self._again()
        self._check_finite()
        loss = self.state.totals.read()["loss"]
        if device.type == "cuda":
            self._again()  # with the optimizer's state there from the beginning
            return torch.cuda.max_memory_allocated(device), loss
        sizes = list(kept.sizes.values())
        return _bytes(self.parts.model.parameters()) + self._state() + sum(sizes) + 2 * max(sizes, default=0), loss

    def _state(self) -> int:
        """Bytes of gradients and of what the optimizer remembers."""
        gradients = [weights for weights in self.parts.model.parameters() if weights.requires_grad]
        remembered = [value for entry in self.state.optimizer.state.values() for value in entry.values()]
        return _bytes(gradients) + _bytes(value for value in remembered if isinstance(value, Tensor))

    def _time_steps(self) -> float:
        self._wait()
        began, steps = time.perf_counter(), 0
        while steps < FEWEST_STEPS or (steps < MOST_STEPS and time.perf_counter() - began < TIMED_SECONDS):
            self._again()
            steps += 1
        self._wait()
        return (time.perf_counter() - began) / steps

    def _time_evaluation(self) -> float:
        """Of the test split and as many training images, from one batch of it."""
        test, train = len(self.parts.test), len(self.parts.train)
        batch = min(BATCH, test)
        self._time(lambda: evaluate(self.parts, self.parts.test, limit=batch))  # warm
        seconds = self._time(lambda: evaluate(self.parts, self.parts.test, limit=batch))
        return seconds * (test + min(test, train)) / batch

    def _time(self, action: Callable[[], object]) -> float:
        self._look()
        self._wait()
        began = time.perf_counter()
        action()
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self.parts.device.type != "cpu":
            torch.accelerator.synchronize(self.parts.device)


class _Kept:
    """Tensors that a step keeps for its gradients, weights left out, each storage once."""

    def __init__(self, model: nn.Module) -> None:
        self._weights = {weights.untyped_storage().data_ptr() for weights in model.parameters()}
        self.sizes: dict[int, int] = {}

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self.sizes[storage.data_ptr()] = storage.nbytes()
        return tensor


def _count(part: nn.Module) -> int:
    return sum(weights.numel() for weights in part.parameters())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _resident(images: ImageSet) -> int:
    """Bytes of a split that stays on an accelerator; on the CPU it is a memory map that all workers share."""
    pixels = len(images)
    for size in images.image_shape:
        pixels *= size
    return pixels if images.resident and images.device.type != "cpu" else 0


# What a run would cost, found out by taking a few of its own steps: parameters, memory, seconds.

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
