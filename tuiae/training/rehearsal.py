"""The dry run: what a run would cost in parameters, memory and seconds, measured on a few of its own steps."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tuiae.config import RunConfig
from tuiae.data.batches import ImageSet, batch_end, epoch_order
from tuiae.errors import CodeFailedError, DataError, TrainingError, TuiaeError
from tuiae.files import temporary_folder
from tuiae.kernels import named
from tuiae.models.custom import TRACED, TRY_SECONDS, CustomNetwork
from tuiae.models.networks import Network
from tuiae.preflight import Checked, check, occasions
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.control import Mailbox
from tuiae.training.device import (
    describe_shortage,
    first_line,
    free_memory,
    give_back_memory,
    is_out_of_memory,
)
from tuiae.training.evaluate import evaluate, evaluation_batch
from tuiae.training.loop import Trainer
from tuiae.training.setup import find_device, set_up

WARM_STEPS = 2  # beside the one that is measured for memory: the first ones choose kernels and grow buffers
TIMED_SECONDS = 0.5
FEWEST_STEPS, MOST_STEPS = 3, 50
PROFILED_STEPS = 8
EVALUATED_BATCHES = 4
MEGA, GIGA = 1e6, 1e9


class Abandoned(Exception):  # noqa: N818 - nothing went wrong
    """A dry run was interrupted: its result is no longer wanted."""


@dataclass(frozen=True)
class DryRun:
    """What a run would cost. Seconds and MB (10^6 bytes) are estimates, from a few steps on this machine as busy as it
    was."""

    device: str
    precision: str
    reason: str
    """Why this precision, where the config leaves it to the machine."""
    shards: int
    """Parts of a batch, each computed by one core; 0 where PyTorch splits each operation."""
    parameters: dict[str, int]
    """Of each part: encoder, decoder, head, and log_variance of a variational code; of a custom network its own."""
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
    evaluation_mb: float
    """At the height of an evaluation, with all that stays; 0 where that is not known, off CUDA."""
    step_seconds: float
    evaluation_seconds: float
    epoch_seconds: float
    """Training, and the evaluation of an epoch that has one."""
    writing_seconds: float
    """A sample and a checkpoint, written beside the training."""
    total_seconds: float
    """All epochs, samples and checkpoints included."""
    warnings: tuple[str, ...]
    shares: dict[str, float]
    """PARTS -> its share of a step's time on one core; empty unless asked for, and on a GPU. The loss has none where it
    is found on the way forward."""


PARTS = ("data", "random numbers", "forward", "loss", "backward", "optimizer", "Python")


def dry_run(
    config: RunConfig, root: Path, interrupted: Callable[[], bool] = lambda: False, profiled: bool = False
) -> DryRun:
    """Take a few steps on the first batch of the data, in a directory that is gone afterwards.

    Random states of the CPU and of CUDA are afterwards what they were. `interrupted` is asked between batches. A few
    steps more tell where their time goes if they are to be `profiled`.

    Raises Abandoned where `interrupted` said so, TrainingError where the batch failed, DataError for images that would
    have to be downloaded first, and whatever else the run would fail with.
    """
    checked = check(config, root)
    if not checked.dataset.ready:
        name = checked.dataset.name
        hint = f"`tuiae data fetch {name}` downloads it, and so does starting the run"
        raise DataError(f"{name} is not on this machine yet: there is no batch to try", hint)
    device = find_device(config)
    _check_memory(checked, device)
    cards = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(cards), temporary_folder("tuiae-dry-run-") as folder:
            return _rehearse(checked, root, folder, interrupted, profiled)
    except (TuiaeError, Abandoned) as error:
        traceback.clear_frames(error.__traceback__)  # they hold the network and the images
        if isinstance(error, CodeFailedError):
            error.hint = error.hint.removesuffix(TRACED)
        raise
    except Exception as error:  # whatever a network, a driver or an allocator raises becomes a sentence
        traceback.clear_frames(error.__traceback__)
        if not is_out_of_memory(error):
            cause = f"the dry batch failed: {type(error).__name__}: {first_line(error)}"
            raise TrainingError(cause, "the run would fail the same way") from error
        batch = min(config.training.batch_size, checked.dataset.train or config.training.batch_size)
        smaller = f"lower training.batch_size (now {batch})" if batch > 1 else _smaller(config)
        cause = describe_shortage(error, f" in a dry batch of {batch} image{'s' if batch > 1 else ''}")
        raise TrainingError(cause, f"{smaller}, or choose another device") from error
    finally:
        give_back_memory(device)


def explain_shortage(error: Exception, trainer: Trainer | None) -> TrainingError:
    """The error for a training whose memory ran out: what was asked for, and a batch of which a step is seen to fit."""
    hint = "lower training.batch_size"
    if trainer is not None:
        traceback.clear_frames(error.__traceback__)  # they hold the batch that did not fit
        fits = _fitting_batch(trainer)
        hint += f" (now {trainer.config.training.batch_size}{f'; {fits} fits' if fits else ''})"
    return TrainingError(describe_shortage(error), f"{hint}, or choose another device")


def _fitting_batch(trainer: Trainer) -> int:
    """The largest half, quarter, ... of the batch whose step fits into what is free on a GPU now; 0 where none does.
    Elsewhere 0: a system that lends more memory than it has would end this process. Nothing trained here is saved."""
    parts, size = trainer.parts, trainer.config.training.batch_size // 2
    trainer.training_step.captured = None  # its graph keeps what a step of the whole batch takes
    while parts.device.type == "cuda" and size >= trainer.fewest:
        try:
            give_back_memory(parts.device)
            for _ in range(2):  # the second one holds the gradients of the first
                trainer.training_step(parts.train.place(torch.arange(min(size, len(parts.train)))), 0.0)
        except Exception as error:  # noqa: BLE001 - whatever it is, this size is none to advise
            traceback.clear_frames(error.__traceback__)
            size //= 2
        else:
            return size
    return 0


_REMEMBERED = {"adam": 2, "adamw": 2, "rmsprop": 1, "sgd": 0}
"""Optimizer -> numbers that it keeps for each weight, without momentum."""


def _check_memory(checked: Checked, device: torch.device) -> None:
    """Refuse what cannot fit: a system that lends more memory than it has would end the process, or another one."""
    training = checked.config.training
    copies = 2 + _REMEMBERED[training.optimizer] + bool(training.momentum and training.optimizer == "sgd")
    needed, free = 4 * copies * (checked.parameters or 0), free_memory(device)
    if needed > free:
        raise TrainingError(
            f"out of memory: {checked.parameters:,} parameters take {needed / GIGA:.1f} GB with gradients and what "
            f"{training.optimizer} keeps, and {free / GIGA:.1f} GB are free",
            f"{_smaller(checked.config)}, or choose another device",
        )


def _smaller(config: RunConfig) -> str:
    """The advice to take a smaller network, by the keys that it has."""
    own = {"dense": "hidden" if config.model.hidden else "", "strided-conv": "channels"}
    more = own.get(config.model.encoder_family, "")
    return f"lower model.latent{f' or model.{more}' if more else ''}"


def _rehearse(checked: Checked, root: Path, folder: Path, interrupted: Callable[[], bool], profiled: bool) -> DryRun:
    def give_up_if_asked(*_: object) -> None:
        if interrupted():
            raise Abandoned

    # What pauses a training has no place in a few steps of it.
    training = checked.config.training.model_copy(update={"auto_pause": False})
    config = checked.config.model_copy(update={"training": training})
    parts = set_up(config, root, give_up_if_asked)
    warnings = tuple(dict.fromkeys((*checked.warnings, *parts.notes)))  # some are known only from the pixels
    run = create_run(config, folder, [])
    with ExitStack() as stack:
        writer = RunWriter(run)
        stack.callback(writer.close, "stopped")
        trainer = Trainer(parts, writer, Mailbox(run, lambda: False))
        stack.callback(trainer.background.close)
        try:
            custom = parts.model if isinstance(parts.model, CustomNetwork) else None
            with custom.in_time(TRY_SECONDS) if custom is not None else nullcontext():
                return _Rehearsal(trainer, give_up_if_asked).measure(warnings, profiled)
        except Exception as error:
            if parts.device.type == "cuda" and is_out_of_memory(error):
                raise explain_shortage(error, trainer) from error
            raise


class _Rehearsal:
    """A training that stays at its first batch, but for one step on its last; `between` is called between batches, and
    may raise."""

    def __init__(self, trainer: Trainer, between: Callable[[], None]) -> None:
        self._trainer, self._between = trainer, between
        self._parts = trainer.parts
        training = trainer.config.training
        order = self._parts.train.place(epoch_order(len(self._parts.train), training.seed, 0))
        before_last = (trainer.report.steps_per_epoch - 1) * training.batch_size
        self._first = order[: batch_end(0, training.batch_size, len(order), trainer.fewest)]
        self._last = order[before_last:]

    def measure(self, warnings: tuple[str, ...], profiled: bool) -> DryRun:
        """Everything, the memory first, while nothing else has been allocated."""
        # Longer than other functions: each figure stands once, in the order of what people read.
        parts, trainer, config = self._parts, self._trainer, self._trainer.config
        parts.model.train()
        peak, loss = self._peak()
        for batch in (self._last, *[self._first] * (WARM_STEPS - 1)):
            self._step(batch)
        steps_per_epoch = trainer.report.steps_per_epoch
        step_seconds = self._time_steps()
        on_card = parts.device.type == "cuda"
        if on_card:
            give_back_memory(parts.device)
            torch.cuda.reset_peak_memory_stats(parts.device)
        evaluation_seconds = self._time_evaluation()
        # Reserved, for the graph of a step holds its memory between steps, and the allocator calls that free.
        evaluation_peak = torch.cuda.max_memory_reserved(parts.device) if on_card else 0
        wait = trainer.background.wait  # until the disk has it
        sample_seconds = self._time(trainer.sample, wait)
        save_seconds = self._time(lambda: trainer.save(("last",)), wait)
        epochs, train_seconds = config.training.epochs, steps_per_epoch * step_seconds
        return DryRun(
            device=parts.place,
            precision=parts.config.training.precision,
            reason=parts.reason,
            shards=parts.config.shards if parts.sharded else 0,
            parameters=count_parts(parts.model),
            trained=sum(weights.numel() for weights in parts.model.parameters() if weights.requires_grad),
            images=len(parts.train),
            batch_size=len(self._first),
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            loss=loss,
            data_mb=(_resident_bytes(parts.train) + _resident_bytes(parts.test)) / MEGA,
            weights_mb=_bytes(parts.model.parameters()) / MEGA,
            state_mb=self._state_bytes() / MEGA,
            peak_mb=peak / MEGA,
            evaluation_mb=evaluation_peak / MEGA,
            step_seconds=step_seconds,
            evaluation_seconds=evaluation_seconds,
            epoch_seconds=train_seconds + evaluation_seconds,
            writing_seconds=sample_seconds + save_seconds,
            total_seconds=epochs * train_seconds
            + occasions(epochs, config.training.evaluate_every) * evaluation_seconds
            + occasions(epochs, config.samples.every) * sample_seconds
            + occasions(epochs, config.checkpoint.every) * save_seconds,
            warnings=warnings,
            shares=self._shares() if profiled and parts.device.type == "cpu" else {},
        )

    def _step(self, batch: Tensor) -> None:
        """One step, on a batch of an epoch's order."""
        self._between()
        self._trainer.state.position = 0
        self._trainer.step(batch)

    def _peak(self) -> tuple[int, float]:
        """Bytes at the height of a step, and the loss of the first one. Bytes are measured on CUDA; elsewhere weights,
        optimizer, and what the step keeps for its gradients, with the largest of it twice more: its gradient beside
        the one that it is worked out from."""
        device = self._parts.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        weights = list(self._parts.model.parameters())
        own = {tensor.untyped_storage().data_ptr() for tensor in weights}
        kept: dict[int, int] = {}  # bytes by storage, as several tensors may share one

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            # The whole batch in this thread, where the hooks are: with enough cores all shards are there at once.
            self._trainer.training_step.gradient.compute_by_layers(self._first, len(self._first), 0)
        self._step(self._first)
        self._trainer.training_step.check_finite()
        loss = self._trainer.state.totals.read()["loss"]
        if device.type == "cuda":
            self._step(self._first)  # with the optimizer's state there from the beginning
            return torch.cuda.max_memory_allocated(device), loss
        return _bytes(weights) + self._state_bytes() + sum(kept.values()) + 2 * max(kept.values(), default=0), loss

    def _state_bytes(self) -> int:
        """Bytes of gradients and of what the optimizer remembers."""
        gradients = [weights for weights in self._parts.model.parameters() if weights.requires_grad]
        remembered = [value for entry in self._trainer.state.optimizer.state.values() for value in entry.values()]
        return _bytes(gradients) + _bytes(value for value in remembered if isinstance(value, Tensor))

    def _time_steps(self) -> float:
        self._synchronize()
        began, steps = time.perf_counter(), 0
        while steps < FEWEST_STEPS or (steps < MOST_STEPS and time.perf_counter() - began < TIMED_SECONDS):
            self._step(self._first)
            steps += 1
        self._synchronize()
        return (time.perf_counter() - began) / steps

    def _shares(self) -> dict[str, float]:
        """What a step's time on one core goes to, of PARTS: of the quickest one, which nobody interrupted."""
        from torch.profiler import ProfilerActivity, profile, record_function

        ranges: list[record_function] = []

        def enter(*_: object) -> None:
            ranges.append(record_function(FORWARD))
            ranges[-1].__enter__()

        def leave(*_: object) -> None:
            ranges.pop().__exit__(None, None, None)

        model = self._parts.model
        hooks = (model.register_forward_pre_hook(enter), model.register_forward_hook(leave))
        with self._parts.cores.alone(), named(KERNEL), profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(PROFILED_STEPS):
                with record_function(STEP):
                    self._step(self._first)
        for hook in hooks:
            hook.remove()
        steps = [event for event in profiler.events() or () if event.name == STEP]
        return share_out(min(steps, key=lambda step: step.cpu_time_total))

    def _time_evaluation(self) -> float:
        """Of the test split and as many training images, from a few batches of it: one alone keeps one core busy."""
        test, train = len(self._parts.test), len(self._parts.train)
        some = min(EVALUATED_BATCHES * evaluation_batch(self._parts), test)
        self._time(lambda: evaluate(self._parts, self._parts.test, limit=some))  # warm
        seconds = self._time(lambda: evaluate(self._parts, self._parts.test, limit=some))
        return seconds * (test + min(test, train)) / some

    def _time(self, *actions: Callable[[], object]) -> float:
        self._between()
        self._synchronize()
        began = time.perf_counter()
        for action in actions:
            action()
        self._synchronize()
        return time.perf_counter() - began

    def _synchronize(self) -> None:
        if self._parts.device.type != "cpu":
            torch.accelerator.synchronize(self._parts.device)


def count_parts(model: Network) -> dict[str, int]:
    """The parameters of each part of a network; of a custom one those that its class names, and those beside them."""
    whole = model.network if isinstance(model, CustomNetwork) else model
    counted = {name: sum(map(Tensor.numel, part.parameters())) for name, part in whole.named_children()}
    beside = sum(map(Tensor.numel, whole.parameters(recurse=False)))
    return counted | ({"others": beside} if beside else {})


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _resident_bytes(images: ImageSet) -> int:
    """Bytes of a split that stays on an accelerator; on the CPU it is a memory map that all workers share."""
    return len(images) * prod(images.image_shape) if images.resident and images.device.type != "cpu" else 0


FORWARD, STEP, KERNEL = "tuiae::forward", "tuiae::step", "kernel::"
_RANDOM = ("draw", "random_", "bernoulli", "uniform", "rand", "normal_", "dropout")
_OPTIMIZER = ("_fused_", "_foreach_")
_BACKWARD = "autograd::engine::evaluate_function"
_DENSE = {"dense_forward": "forward", "dense_score": "loss", "dense_backward": "backward"}


def share_out(step: Any) -> dict[str, float]:
    """The shares, of PARTS, of a step that the profiler has followed in one thread: what comes before a forward pass is
    data, what follows it is loss, until backward passes begin."""
    found = dict.fromkeys(PARTS, 0.0)
    stage = "data"

    def book(event: Any, part: str) -> None:
        name = event.name.removeprefix("aten::").removeprefix(KERNEL)
        part = "random numbers" if name.startswith(_RANDOM) else "optimizer" if name.startswith(_OPTIMIZER) else part
        found[part] += event.self_cpu_time_total
        for child in event.cpu_children:
            book(child, part)

    for event in sorted(step.cpu_children, key=lambda event: event.time_range.start):
        if event.name == FORWARD:
            book(event, "forward")
            stage = "loss"
        elif part := _DENSE.get(event.name.removeprefix(KERNEL)):
            book(event, part)
            stage = "data" if part == "backward" else part  # PyTorch's activations come between them
        elif event.name.startswith(_BACKWARD) or event.name.endswith("_backward"):
            book(event, "backward")
            stage = "data"
        else:
            book(event, stage)
    found["Python"] = step.self_cpu_time_total
    total = sum(found.values())
    return {part: time / total for part, time in found.items()}
