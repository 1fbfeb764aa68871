"""The loop."""

from __future__ import annotations

import math

import numpy as np
import torch

from tuiae.data.augment import augment
from tuiae.data.batches import epoch_order, seeded
from tuiae.data.noise import corrupt
from tuiae.errors import TrainingError
from tuiae.runs.writer import RunWriter
from tuiae.training.checkpoint import find_checkpoint, load_state, load_weights, prune, save_checkpoint
from tuiae.training.evaluate import Evaluation, evaluate, sample, sample_index
from tuiae.training.objective import Score, Totals, build_objective
from tuiae.training.optim import build_optimizer, can_skip_on_device, learning_rate, ramp
from tuiae.training.precision import autocast
from tuiae.training.report import Mailbox, Reporter
from tuiae.training.setup import Parts
from tuiae.training.state import TrainState

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
        self._resume()
        self.report = Reporter(parts, writer, self.state)

    def run(self) -> str:
        """Train to the last epoch or until told to stop; returns `finished` or `stopped`.

        Raises:
            TrainingError: the loss is no longer finite; the last good checkpoint stands.
        """
        state = self.state
        self.writer.event("start", step=state.step, epoch=state.epoch, text=self._opening())
        self.report.progress(now=True, state="running", phase="training")
        if state.step == 0:
            self._sample(confusion=None)  # what the untrained network makes of the images
        self.parts.model.train()
        while state.epoch < self.config.training.epochs:
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

    def _opening(self) -> str:
        state = self.state
        return f"resumed at epoch {state.epoch}, step {state.step}" if state.step else "training from the first step"

    def _resume(self) -> None:
        """Continue from the newest whole checkpoint, if there is one."""
        folder = find_checkpoint(self.writer.run)
        if folder is not None:
            self.parts.model.load_state_dict(load_weights(folder))
            self.state.restore(load_state(folder), self.parts)

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
            f"the loss is no longer a number at step {self.state.step + 1} (epoch {self.state.epoch + 1})",
            "lower training.learning_rate; the last good checkpoint is kept",
        )

    def _check_weights(self) -> None:
        """The last step before a save can spoil the weights of a loss that was still a number."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.parts.model.parameters()):  # host/device sync
            self._diverge()

    def _obey(self) -> str:
        """Carry out what was asked for at this step boundary; `stop` is for the caller."""
        commands = self.mailbox.take()
        while commands:
            if "stop" in commands:
                return "stop"
            if "save" in commands:
                self._save(("last",))
                self.writer.event("command", text=f"checkpoint saved at step {self.state.step} on request")
            if "pause" not in commands:
                return ""
            commands = self._pause()
        return ""

    def _pause(self) -> list[str]:
        """Stand still; what ends the pause is returned, still as a pause when it was only a save."""
        self.report.tick()
        self.report.progress(now=True, state="paused")
        self.writer.event("command", text=f"paused at step {self.state.step}")
        commands = self.mailbox.wait_while_paused()
        if "resume" in commands or "stop" in commands:
            self.report.progress(now=True, state="running")
            self.writer.event("command", text=f"resumed at step {self.state.step}")
            commands = [command for command in commands if command != "resume"]
        else:
            commands = [*commands, "pause"]
        self.report.skip_time()
        return commands

    def _stop(self) -> str:
        self.report.tick()
        self._check_finite()
        self._save(("last",))
        self.report.progress()
        return "stopped"

    def _end_epoch(self) -> str:
        """Evaluate, sample, save, as far as each is due; `stale` when the test loss has not fallen for too long."""
        state, training = self.state, self.config.training
        self._check_finite()
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
        self._fail_with_heartbeat()
        return "stale" if stale else ""

    def _measure(self) -> Evaluation:
        """Read the epoch's sums and evaluate: a point on every curve."""
        state = self.state
        train = state.totals.read()  # host/device sync, once an epoch
        self.report.tick()
        speed = {"images_per_second": self.report.throughput() or 0.0}
        test = evaluate(self.parts, self.parts.test)
        clean = evaluate(self.parts, self.parts.train, limit=len(self.parts.test))
        if not math.isfinite(test.metrics["loss"]):
            self._diverge()
        self.report.tick()
        speed["epoch_seconds"] = state.epoch_seconds
        self.report.epoch(
            state.epoch + 1, {"train": train, "test": test.metrics, "train-eval": clean.metrics, "speed": speed}
        )
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

    def _fail_with_heartbeat(self) -> None:
        if self.writer.heartbeat_error is not None:
            raise self.writer.heartbeat_error

    def _sample(self, confusion: np.ndarray | None) -> None:
        arrays = sample(self.parts, self._watched)
        if confusion is not None:
            arrays["confusion"] = confusion
        self.writer.sample(self.state.epoch, **arrays)

    def _save(self, names: tuple[str, ...]) -> None:
        state = self.state
        self._check_weights()
        epoch = self.report.epochs_done()
        save_checkpoint(self.writer.run, state.step, epoch, self.parts.model, state.dump(self.parts), names)
        prune(self.writer.run, self.config.checkpoint.keep)
        self.writer.event("checkpoint", epoch=state.epoch, step=state.step)
