"""The training loop: one run, from its first step or its newest checkpoint to its last."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from tuiae.data.batches import batch_end, epoch_order
from tuiae.models.activations import set_dropout
from tuiae.models.geometry import check_batch
from tuiae.models.layers import ModelOutput
from tuiae.runs.checkpoints import MODEL, STATE
from tuiae.runs.control import MEASURED
from tuiae.runs.writer import RunWriter
from tuiae.training.checkpoint import TrainState, freeze, prune, restore_newest, save_checkpoint, spoilt
from tuiae.training.control import AutoPause, EditQueue, EditRequest, Mailbox, edits_in, steps_in
from tuiae.training.device import release_memory
from tuiae.training.evaluate import PLANE_POINTS, CodeUse, Evaluation, evaluate, sample, sample_index
from tuiae.training.objective import Objective, Totals
from tuiae.training.optimizer import build_optimizer
from tuiae.training.ranks import Word
from tuiae.training.report import Reporter
from tuiae.training.setup import Parts
from tuiae.training.step import TrainingStep


class Trainer:
    """One training: its parts, its state, and what it writes. The config in force changes with edits.

    Raises ConfigError for batches that the network cannot train on.
    """

    def __init__(self, parts: Parts, writer: RunWriter, mailbox: Mailbox) -> None:
        self.parts, self.writer, self.mailbox = parts, writer, mailbox
        self.config = parts.config
        batch = self.config.training.batch_size
        fewest = check_batch(self.config.model, parts.train.image_shape, batch, len(parts.train))
        self.fewest = fewest if parts.sharded else max(fewest, parts.ranks.size)  # cards all need an image
        optimizer = build_optimizer(parts.model.parameters(), self.config.training, parts.device)
        self.state = TrainState(optimizer, Totals(parts.device, Objective(self.config, parts.model).names))
        self._watched = sample_index(parts.test.labels, self.config.samples.count)
        self._seen: list[ModelOutput] = []  # by the last evaluation, as far as a sample shows their codes
        self.background = BackgroundWriter(self._note_unwritten)
        self._beginning = restore_newest(
            writer.run,
            parts.model,
            self.state,
            self.config.training,
            len(parts.train),
            lambda text: writer.event("warning", text=text),
        )
        self.report = Reporter(parts, writer, self.state, self.fewest)
        usual = batch_end(0, batch, len(parts.train), self.fewest)
        self.training_step = TrainingStep(parts, self.state, self.report.recent, usual, self._warn)
        self._edits = EditQueue(writer, self.config, self.state.step)
        self._adopt_edits()
        if parts.ranks.size > 1:
            frozen = freeze(parts.model, self.state)
            parts.ranks.tell(Word.WEIGHTS, text=frozen[MODEL])
            parts.ranks.tell(Word.STATE, text=frozen[STATE])
        self._auto_pause = AutoPause(writer, mailbox) if self.config.training.auto_pause else None
        self._pause_at: int | None = None  # the step after which single steps are over
        self._stepping = False  # out of a pause and into it again, by single steps

    def run(self) -> str:
        """Train to the last epoch or until told to stop; returns `finished` or `stopped`. Raises TrainingError for a
        loss that is no longer finite; the last good checkpoint stands."""
        try:
            ending = self._train()
            self.background.finish()
        finally:
            self.background.close()
        return ending

    def _train(self) -> str:
        # Longer than other functions, so that the order of an epoch is seen at once.
        state = self.state
        text = "; ".join(filter(None, (self._beginning.text, self.training_step.manner)))
        self.writer.event("start", step=state.step, epoch=self.report.epochs_done(), text=text)
        self.report.progress(now=True, state="running", phase="training")
        if self._beginning.fresh and state.position == 0:
            self.sample()  # what the network makes of the images before this run trains it
        self.parts.model.train()
        while self._has_epochs_left():
            order = self.parts.train.place(epoch_order(len(self.parts.train), self.config.training.seed, state.epoch))
            while state.position < len(order):
                if self._obey() == "stop":
                    self.report.tick()
                    self.save(("last",))
                    self.report.progress()
                    return "stopped"
                self.step(order)
                if self.report.live_is_due():
                    self.training_step.check_finite()
                    self.report.live()

            self.training_step.check_finite()
            training, last = self.config.training, state.epoch + 1 == self.config.training.epochs
            test = self._evaluate() if last or (state.epoch + 1) % training.evaluate_every == 0 else None
            state.end_epoch()
            stale = test is not None and self._is_stale(test.metrics["loss"])
            last = last or stale
            sampled = last or state.epoch % self.config.samples.every == 0
            saved = last or state.epoch % self.config.checkpoint.every == 0
            if sampled or saved:
                self.background.wait()  # no more than one of each is ever waiting to be written
            if sampled:
                self.sample(None if test is None else test.confusion)
            if saved:
                self.save(("last",) if test is None else state.checkpoint_names(test.metrics["loss"]))
            self.report.tick()
            state.epoch_seconds = 0.0  # what sampling and saving took is no part of the next epoch
            if test is not None:
                self.report.progress()
                if self._auto_pause is not None:
                    self._auto_pause.look(state.epoch, state.step)
            if stale:
                break
        return "finished"

    def step(self, order: torch.Tensor) -> None:
        """Take one optimizer step on the next batch of an epoch's order (N,)."""
        state, training = self.state, self.config.training
        end = batch_end(state.position, training.batch_size, len(order), self.fewest)
        self.parts.ranks.tell(Word.STEP, state.epoch, state.position, end, state.step)
        self.training_step(order[state.position : end], self.report.epochs_done())
        state.step += 1
        state.position = end

    # Evaluating, sampling, saving.

    def _evaluate(self) -> Evaluation:
        """Read the epoch's sums and evaluate: a point on every curve."""
        state = self.state
        train = state.totals.read()  # host/device sync, once an epoch
        self.report.tick()
        speed = {"images_per_second": self.report.throughput() or 0.0}
        use, parts, self._seen = CodeUse(), self.parts, []
        plain = self.config.noise.kind == "none" and not self.config.model.is_custom

        def look(start: int, clean: torch.Tensor, shown: torch.Tensor, output: ModelOutput) -> None:
            use.add(output)
            if plain and start < PLANE_POINTS:
                self._seen.append(output._replace(reconstruction=None))

        test = clean = evaluate(parts, parts.test, on_batch=look)
        if parts.train is not parts.test:
            clean = evaluate(parts, parts.train, limit=len(parts.test))
        if not math.isfinite(test.metrics["loss"]):
            raise self.training_step.divergence()
        self.report.tick()
        speed["epoch_seconds"] = state.epoch_seconds
        splits = {"train": train, "test": test.metrics, "train-eval": clean.metrics, "speed": speed, "code": use.read()}
        self.report.epoch(state.epoch + 1, splits)
        return test

    def _is_stale(self, loss: float) -> bool:
        """Whether early stopping is due (training.patience).

        A rate that rises has hardly begun to train, and a beta that rises lifts the loss that is measured at its end.
        """
        state, patience = self.state, self.config.training.patience
        if state.epoch < self.config.rising_epochs:
            state.lowest, state.stale = math.inf, 0  # as an earlier version may have counted
            return False
        state.stale = 0 if loss < state.lowest else state.stale + 1
        state.lowest = min(state.lowest, loss)
        if not patience or state.stale < patience:
            return False
        text = f"stopped early: the test loss has not fallen below {state.lowest:.5g} in {patience} evaluations"
        self.writer.event("warning", epoch=state.epoch, step=state.step, text=text)
        return True

    def sample(self, confusion: np.ndarray | None = None) -> None:
        """Have what the panels show written in the background."""
        arrays, self._seen = sample(self.parts, self._watched, seen=self._seen), []
        if confusion is not None:
            arrays["confusion"] = confusion
        epoch = self.state.epoch
        self.background.submit(Write(f"the sample of epoch {epoch}", lambda: self.writer.sample(epoch, **arrays)))

    def save(self, names: tuple[str, ...], kept: bool = False) -> None:
        """Have a checkpoint written in the background, under these names; raises TrainingError for weights that are
        not finite."""
        state, run, keep = self.state, self.writer.run, self.config.checkpoint.keep
        self.training_step.check_finite()
        # The last step before a save can spoil the weights of a loss that was still a number.
        if spoilt(self.parts.model.state_dict()):  # host/device sync
            raise self.training_step.divergence()
        step, epoch, done = state.step, state.epoch, self.report.epochs_done()
        contents = freeze(self.parts.model, state)

        def write() -> None:
            self.writer.sync()  # what this checkpoint remembers is not measured again
            save_checkpoint(run, step, done, contents, names, kept)
            prune(run, keep)
            self.writer.event("checkpoint", epoch=epoch, step=step)

        self.background.submit(Write(f"the checkpoint of step {step}", write, frozenset(names), kept))

    def _note_unwritten(self, what: str, error: OSError | None) -> None:
        """Say what the disk does not take, and that it has taken everything."""
        self.writer.note_unwritten("samples and checkpoints", error)
        words = "all is written again" if error is None else f"cannot write {what}: {error.strerror}; it is tried again"
        self.writer.event("warning", text=words)

    # Commands and edits.

    def _obey(self) -> str:
        """Carry out what was asked for at this step boundary; returns `stop` where that is for the caller to do."""
        self._change(self._edits.due(self.state.step))
        if self._pause_at == self.state.step:
            self._show_step()
            self.mailbox.ask("pause")
        commands, paused = self.mailbox.take(), False
        while commands:
            words = [command["command"] for command in commands]
            self._change(edits_in(commands))
            if "save" in words and "stop" not in words:
                self.save(("last",), kept=True)
                self.background.wait()
                if self.background.idle:
                    self._record(f"checkpoint saved at step {self.state.step} on request: it is kept")
            # The last word counts, and a stop ends a pause.
            said = [word for word in words if word in ("pause", "resume", "step")]
            if said:
                steps = steps_in(commands) if said[-1] == "step" else 0
                self._pause_at = self.state.step + steps if steps else None
            else:
                said = ["pause" if paused else "resume"]
            if paused != (paused := said[-1] == "pause" and "stop" not in words):
                self._stepping = said[-1] == "step" or (paused and self._stepping)
                self._pause(paused)
            if "stop" in words:
                return "stop"
            commands = self.mailbox.wait(self.parts.ranks.check) if paused else []
        return ""

    def _pause(self, paused: bool) -> None:
        """Say that the training pauses and what it holds meanwhile, or that it goes on."""
        held = ""
        if paused:
            self.report.tick()
            if not self._stepping:
                self.training_step.forget_graph()
            held = release_memory(self.parts.device)
        self.report.progress(now=True, state="paused" if paused else "running")
        word = "paused" if paused else "resumed"
        if self._stepping:  # without words: hundreds of steps would push everything else out of the history
            self.writer.event("command", step=self.state.step, epoch=self.report.epochs_done(), clock=word)
        else:
            self._record(f"{word} at step {self.state.step}{held}")
        if not paused:
            self.report.skip_time()

    def _show_step(self) -> None:
        """Publish what single steps have changed: a live point and, within an epoch, what the network makes of the
        images now. After an epoch its own sample shows that."""
        self.training_step.check_finite()
        self.report.live()
        step, done = self.state.step, self.report.epochs_done()
        if self.state.position or self.state.epoch % self.config.samples.every:
            arrays = sample(self.parts, self._watched, codes=False)
            what = f"the pictures after step {step}"
            self.background.submit(Write(what, lambda: self.writer.step_sample(step, done, **arrays)))
        self.background.wait()
        self.report.skip_time()

    def _warn(self, text: str) -> None:
        """Put into the run's history what somebody should know."""
        self.writer.event("warning", step=self.state.step, epoch=self.report.epochs_done(), text=text)

    def _record(self, text: str) -> None:
        """Put a command that was carried out into the run's history."""
        self.writer.event("command", step=self.state.step, epoch=self.report.epochs_done(), text=text)

    def _has_epochs_left(self) -> bool:
        """Whether to go on; after the last epoch edits are looked for once more, because one may give more epochs."""
        if self.state.epoch >= self.config.training.epochs:
            self._change([*self._edits.due(self.state.step), *edits_in(self.mailbox.take_edits())])
        return self.state.epoch < self.config.training.epochs

    def _change(self, requests: list[EditRequest]) -> None:
        """Put edits in force, as far as they are valid."""
        for request in requests:
            if self._edits.decide(request, self.state.step, self.report.epochs_done()):
                self._adopt_edits()
                if request.key in MEASURED:
                    self.state.forget_best()
                self.report.progress(now=True)

    def _adopt_edits(self) -> None:
        """Train, measure and report by the config that the edits have made, from here on."""
        self.config = config = self._edits.config
        self.writer.status(edited=self._edits.edited)
        self.parts = self.report.parts = replace(self.parts, config=config)
        self.parts.ranks.tell(Word.CONFIG, text=config.model_dump_json().encode())
        self.training_step.adopt(self.parts)
        set_dropout(self.parts.model, config.model.dropout)


MOST_FAILURES = 3  # checkpoints in a row that cannot be written, until a run fails
RETRY_SECONDS = 1.0  # between attempts once there is nothing left to train


@dataclass(frozen=True)
class Write:
    """A sample or a checkpoint that is to be written."""

    what: str
    """As a sentence names it."""
    write: Callable[[], None]
    names: frozenset[str] = frozenset()
    """What a checkpoint will be called; empty for a sample."""
    kept: bool = False
    """Whether somebody asked for this checkpoint."""

    def replaces(self, older: Write) -> bool:
        """Returns whether a checkpoint that waits is not needed any more once this one is there."""
        return bool(older.names) and older.names <= self.names and not older.kept


class BackgroundWriter:
    """Carries out writes one after the other in a thread: until a disk promises to keep a checkpoint, small networks
    could train for a tenth of an epoch (6 fsyncs took 5 to 17 ms, an epoch of dense_64 300 ms).

    What a disk does not take waits in memory and is tried again before the next write, in its order: no checkpoint is
    there without the samples before it. `tell` hears of the first that has to wait and, without an error, of the last.
    """

    def __init__(self, tell: Callable[[str, OSError | None], None]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._pending: deque[Future[None]] = deque()
        self._tell = tell
        self._waiting: list[Write] = []  # the thread's own
        self._error: OSError | None = None
        self._failures = 0

    @property
    def idle(self) -> bool:
        """Whether all is written, after a `wait`."""
        return not self._waiting

    def submit(self, write: Write) -> None:
        """Write, some time after everything that was handed over before."""
        self._pending.append(self._thread.submit(self._carry_out, write))

    def wait(self) -> None:
        """Until everything was tried; raises OSError where the disk took none of the last three checkpoints, and
        whatever else a write met."""
        while self._pending:
            self._pending.popleft().result()
        if self._error is not None and self._failures >= MOST_FAILURES:
            self._error.add_note(f"{self._failures} checkpoints in a row could not be written")
            raise self._error

    def finish(self) -> None:
        """Until everything is written; raises as `wait`. The last checkpoint is tried three times."""
        self.wait()
        while not self.idle:
            time.sleep(RETRY_SECONDS)
            self._pending.append(self._thread.submit(self._try, counts=True))
            self.wait()

    def close(self) -> None:
        """End the thread once it has tried what it was given."""
        self._thread.shutdown()

    def _carry_out(self, write: Write) -> None:
        self._waiting = [older for older in self._waiting if not write.replaces(older)]
        self._waiting.append(write)
        self._try(counts=bool(write.names))

    def _try(self, counts: bool) -> None:
        """Write what waits, as far as the disk takes it; whether a failure `counts` as a checkpoint's."""
        while self._waiting:
            one = self._waiting[0]
            try:
                one.write()
            except OSError as error:
                self._failures += counts
                if self._error is None:
                    self._tell(one.what, error)
                self._error = error
                return
            del self._waiting[0]
            if not self._waiting and self._error is not None:
                self._tell(one.what, None)
        self._error, self._failures = None, 0
