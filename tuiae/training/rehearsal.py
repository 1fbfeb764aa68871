"""A few steps of a training, taken to measure them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tuiae.data.batches import ImageSet, epoch_order
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.evaluate import BATCH, evaluate
from tuiae.training.fit import Fit
from tuiae.training.report import Mailbox
from tuiae.training.setup import Parts

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
