"""The loop."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch.nn import Parameter

from tuiae.config import RunConfig, TrainingSection
from tuiae.data.batches import augment, corrupt, epoch_order, seeded
from tuiae.errors import TrainingError
from tuiae.runs.diagnosis import DIVERGED
from tuiae.runs.edits import MEASURED
from tuiae.runs.writer import RunWriter
from tuiae.training.checkpoint import freeze, prune, save_checkpoint
from tuiae.training.control import EditDesk, Request, Watch, requests_in, set_dropout
from tuiae.training.evaluate import CodeUse, Evaluation, evaluate, sample, sample_index
from tuiae.training.objective import Score, Totals, build_objective
from tuiae.training.report import Mailbox, Reporter, stands_still
from tuiae.training.setup import Parts, autocast
from tuiae.training.state import TrainState, take_up

# What a training writes while it goes on.


class Disk:
    """Carries out writes one after the other in a thread: until a disk promises to keep a checkpoint, small networks
    could train for a tenth of an epoch (6 fsyncs took 5 to 17 ms, an epoch of dense_64 300 ms).

    What went wrong is raised by the next `wait`.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._pending: deque[Future[None]] = deque()

    def do(self, write: Callable[[], None]) -> None:
        """Write, some time after everything that was handed over before."""
        self._pending.append(self._thread.submit(write))

    def wait(self) -> None:
        """Until everything is written.

        Raises:
            OSError: the disk is full, or whatever else a write met.
        """
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """End the thread once it has written what it was given."""
        self._thread.shutdown()


# Optimizers and learning-rate schedules by name.

Build = Callable[[list[Parameter], TrainingSection, bool], torch.optim.Optimizer]


def _adam(parameters: list[Parameter], section: TrainingSection, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        parameters, lr=section.learning_rate, weight_decay=section.weight_decay, fused=fused or None
    )


def _adamw(parameters: list[Parameter], section: TrainingSection, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameters, lr=section.learning_rate, weight_decay=section.weight_decay, fused=fused or None
    )


def _sgd(parameters: list[Parameter], section: TrainingSection, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters,
        lr=section.learning_rate,
        momentum=section.momentum,
        weight_decay=section.weight_decay,
        fused=fused or None,
    )


def _rmsprop(parameters: list[Parameter], section: TrainingSection, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(
        parameters, lr=section.learning_rate, momentum=section.momentum, weight_decay=section.weight_decay
    )


OPTIMIZERS: dict[str, Build] = {"adam": _adam, "adamw": _adamw, "sgd": _sgd, "rmsprop": _rmsprop}


def build_optimizer(
    parameters: Iterable[Parameter], section: TrainingSection, device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer over the parameters that train; fused kernels where PyTorch has them (one launch a step)."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    return OPTIMIZERS[section.optimizer](trainable, section, device.type in ("cpu", "cuda"))


def can_skip_on_device(optimizer: torch.optim.Optimizer, device: torch.device) -> bool:
    """Whether the optimizer can leave its step out on the device when told to through `found_inf`.

    This is how PyTorch's GradScaler stops a fused optimizer without waiting for the device.
    """
    fused = any(group.get("fused") for group in optimizer.param_groups)
    return device.type == "cuda" and fused


def _step(section: TrainingSection, epoch: float) -> float:
    return section.step_factor ** (epoch // section.step_epochs)


def _cosine(section: TrainingSection, epoch: float) -> float:
    """Source: Loshchilov and Hutter, SGDR (2017), without restarts."""
    done = (epoch - section.warmup) / max(section.epochs - section.warmup, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))


SCHEDULES: dict[str, Callable[[TrainingSection, float], float]] = {
    "constant": lambda section, epoch: 1.0,
    "step": _step,
    "cosine": _cosine,
}
"""config.Schedule -> (section, epochs done, the current one as a fraction) -> factor of the learning rate."""


def learning_rate(section: TrainingSection, epoch: float) -> float:
    """The learning rate of the step that begins after `epoch` epochs: a pure function, so that a resumed training needs
    nothing but its position."""
    factor = SCHEDULES[section.schedule](section, epoch)
    return section.learning_rate * factor * ramp(epoch, section.warmup)


def ramp(epoch: float, length: float) -> float:
    """0 at the first step, 1 once `length` epochs are done, a straight line between."""
    return min(1.0, epoch / length) if length else 1.0


STEP_NOISE = 0x5EED  # keeps the corruption of training steps apart from everything else that is seeded
STEP_AUGMENTATION = 0xA06


class Fit:
    """One training from its first step, or from its newest checkpoint, to its last."""

    def __init__(self, parts: Parts, writer: RunWriter, mailbox: Mailbox) -> None:
        self.parts, self.writer, self.mailbox = parts, writer, mailbox
        self.config = parts.config
        optimizer = build_optimizer(parts.model.parameters(), self.config.training, parts.device)
        self._objective = build_objective(self.config, training=True)
        totals = Totals(parts.device, self._objective.names)
        self.state = TrainState(optimizer, totals, diverged=torch.zeros((), device=parts.device))
        self._watched = sample_index(parts.test.labels, self.config.samples.count)
        self._noisy = self.config.noise.kind != "none"
        self._skips_on_device = can_skip_on_device(optimizer, parts.device)
        self._disk = Disk()
        self._beginning = take_up(writer.run, parts, self.state)
        self.report = Reporter(parts, writer, self.state)
        self._desk = EditDesk(writer, self.config, self.state.step)
        self._adopt(self._desk.config)
        self._watch = Watch(writer, mailbox) if self.config.training.auto_pause else None

    def run(self) -> str:
        """Train to the last epoch or until told to stop; returns `finished` or `stopped`.

        Raises:
            TrainingError: the loss is no longer finite; the last good checkpoint stands.
        """
        try:
            ending = self._train()
            self._disk.wait()
        finally:
            self._disk.close()
        return ending

    def _train(self) -> str:
        state = self.state
        self.writer.event("start", step=state.step, epoch=self.report.epochs_done(), text=self._beginning.text)
        self.report.progress(now=True, state="running", phase="training")
        if self._beginning.fresh and state.position == 0:
            self._sample(confusion=None)  # what the network makes of the images before this run trains it
        self.parts.model.train()
        while self._has_epochs_left():
            order = self.parts.train.place(epoch_order(len(self.parts.train), self.config.training.seed, state.epoch))
            while state.position < len(order):
                if self._obey() == "stop":
                    return self._stop()
                self._step(order)
                if self.report.live_is_due():
                    self._check_finite()
                    self.report.live()
            if self._end_epoch() == "stale":
                break
        return "finished"

    def _has_epochs_left(self) -> bool:
        """Whether to go on; at the end one last look is taken, because an edit may give more epochs."""
        if self.state.epoch >= self.config.training.epochs:
            self._change([*self._desk.due(self.state.step), *requests_in(self.mailbox.take_edits())])
        return self.state.epoch < self.config.training.epochs

    def _adopt(self, config: RunConfig) -> None:
        """Train, measure and report by this config from here on."""
        self.config = config
        self.parts = self.report.parts = replace(self.parts, config=config)
        self._objective = build_objective(config, training=True)
        set_dropout(self.parts.model, config.model.dropout)

    def _step(self, order: torch.Tensor) -> None:
        state, training = self.state, self.config.training
        clean, labels = self._draw(order)
        generator = seeded(self.parts.device, training.seed, STEP_NOISE, state.step) if self._noisy else None
        self._anneal()
        with autocast(training.precision, self.parts.device):
            output = self.parts.model(corrupt(clean, self.config.noise, generator))
            score = self._objective(output, clean, labels)
        state.optimizer.zero_grad(set_to_none=True)
        score.loss.backward()
        self._guard(score)
        if training.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.parts.model.parameters(), training.clip_norm)
        state.optimizer.step()
        weighted = score.weighted(len(clean))
        state.totals.add(weighted)
        self.report.recent.add(weighted)
        state.step += 1
        state.position += len(clean)

    def _draw(self, order: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The next batch, augmented: what a reconstruction is compared with is what was given, moved or mirrored."""
        state, training = self.state, self.config.training
        images, labels = self.parts.train.take(order[state.position : state.position + training.batch_size])
        if training.flip or training.shift:
            generator = seeded(self.parts.device, training.seed, STEP_AUGMENTATION, state.step)
            images = augment(images, training.flip, training.shift, generator)
        return images, labels

    def _anneal(self) -> None:
        """Set the learning rate and beta of this step."""
        training, epoch = self.config.training, self.report.epochs_done()
        rate = learning_rate(training, epoch)
        for group in self.state.optimizer.param_groups:
            group["lr"] = rate
        self._objective.beta = training.beta * ramp(epoch, training.beta_warmup)

    def _guard(self, score: Score) -> None:
        """Keep a loss that is no number out of the weights.

        A CUDA device is told to leave out this step and all later ones, and is asked only when a live point is due;
        elsewhere looking costs nothing, or cannot be avoided.
        """
        if not self._skips_on_device:
            if not math.isfinite(score.loss.item()):  # host/device sync
                self._diverge()
            return
        torch.maximum(self.state.diverged, (~torch.isfinite(score.loss.detach())).float(), out=self.state.diverged)
        self.state.optimizer.found_inf = self.state.diverged  # type: ignore[attr-defined]

    def _check_finite(self) -> None:
        if self._skips_on_device and self.state.diverged.item():  # host/device sync
            self._diverge()

    def _diverge(self) -> None:
        raise TrainingError(
            f"{DIVERGED} at step {self.state.step + 1} (epoch {self.state.epoch + 1})",
            "lower training.learning_rate",
        )

    def _obey(self) -> str:
        """Carry out what was asked for at this step boundary; `stop` is for the caller."""
        self._change(self._desk.due(self.state.step))
        commands, paused = self.mailbox.take(), False
        while commands:
            words = [command["command"] for command in commands]
            self._change(requests_in(commands))
            if "save" in words and "stop" not in words:
                self._save(("last",), kept=True)
                self._disk.wait()
                text = f"checkpoint saved at step {self.state.step} on request: it is kept"
                self.writer.event("command", **self._moment, text=text)
            if paused != (paused := stands_still(words, paused)):
                self._hold(paused)
            if "stop" in words:
                return "stop"
            commands = self.mailbox.wait() if paused else []
        return ""

    def _hold(self, paused: bool) -> None:
        """Stand still, or go on."""
        if paused:
            self.report.tick()
        self.report.progress(now=True, state="paused" if paused else "running")
        text = f"{'paused' if paused else 'resumed'} at step {self.state.step}"
        self.writer.event("command", **self._moment, text=text)
        if not paused:
            self.report.skip_time()

    @property
    def _moment(self) -> dict[str, float]:
        return {"step": self.state.step, "epoch": self.report.epochs_done()}

    def _change(self, requests: list[Request]) -> None:
        """Put edits in force, as far as they are fit to."""
        for request in requests:
            if self._desk.decide(request, self.state.step, self.report.epochs_done()):
                self._adopt(self._desk.config)
                if request.key in MEASURED:
                    self.state.forget_best()
                self.report.progress(now=True)

    def _stop(self) -> str:
        self.report.tick()
        self._save(("last",))
        self.report.progress()
        return "stopped"

    def _end_epoch(self) -> str:
        """Evaluate, sample, save, as far as each is due; `stale` when the test loss has not fallen for too long."""
        state, training = self.state, self.config.training
        self._check_finite()
        self._disk.wait()  # no more than an epoch is ever waiting to be written
        last = state.epoch + 1 == training.epochs
        test = self._measure() if last or (state.epoch + 1) % training.evaluate_every == 0 else None
        state.epoch, state.position = state.epoch + 1, 0
        state.totals.reset()
        stale = test is not None and self._is_stale(test.metrics["loss"])
        last = last or stale
        if last or state.epoch % self.config.samples.every == 0:
            self._sample(None if test is None else test.confusion)
        if last or state.epoch % self.config.checkpoint.every == 0:
            self._save(("last",) if test is None else state.checkpoint_names(test.metrics["loss"]))
        self.report.tick()
        state.epoch_seconds = 0.0  # what sampling and saving took is no part of the next epoch
        if test is not None:
            self.report.progress()
            if self._watch is not None:
                self._watch.look(state.epoch, state.step)
        self.writer.check_heart()
        return "stale" if stale else ""

    def _measure(self) -> Evaluation:
        """Read the epoch's sums and evaluate: a point on every curve."""
        state = self.state
        train = state.totals.read()  # host/device sync, once an epoch
        self.report.tick()
        speed = {"images_per_second": self.report.throughput() or 0.0}
        use = CodeUse()
        test = evaluate(self.parts, self.parts.test, watch=lambda start, clean, shown, output: use.add(output))
        clean = evaluate(self.parts, self.parts.train, limit=len(self.parts.test))
        if not math.isfinite(test.metrics["loss"]):
            self._diverge()
        self.report.tick()
        speed["epoch_seconds"] = state.epoch_seconds
        splits = {"train": train, "test": test.metrics, "train-eval": clean.metrics, "speed": speed, "code": use.read()}
        self.report.epoch(state.epoch + 1, splits)
        return test

    def _is_stale(self, loss: float) -> bool:
        """Whether early stopping is due (training.patience)."""
        state, patience = self.state, self.config.training.patience
        state.stale = 0 if loss < state.lowest else state.stale + 1
        state.lowest = min(state.lowest, loss)
        if not patience or state.stale < patience:
            return False
        text = f"stopped early: the test loss has not fallen below {state.lowest:.5g} in {patience} evaluations"
        self.writer.event("warning", epoch=state.epoch, step=state.step, text=text)
        return True

    def _sample(self, confusion: np.ndarray | None) -> None:
        arrays = sample(self.parts, self._watched)
        if confusion is not None:
            arrays["confusion"] = confusion
        epoch = self.state.epoch
        self._disk.do(lambda: self.writer.sample(epoch, **arrays))

    def _save(self, names: tuple[str, ...], kept: bool = False) -> None:
        state, run, keep = self.state, self.writer.run, self.config.checkpoint.keep
        self._check_finite()
        # The last step before a save can spoil the weights of a loss that was still a number.
        if not all(bool(parameter.isfinite().all()) for parameter in self.parts.model.parameters()):  # host/device sync
            self._diverge()
        step, epoch, done = state.step, state.epoch, self.report.epochs_done()
        contents = freeze(self.parts.model, state.dump(self.parts))

        def write() -> None:
            save_checkpoint(run, step, done, contents, names, kept)
            prune(run, keep)
            self.writer.event("checkpoint", epoch=epoch, step=step)

        self._disk.do(write)
