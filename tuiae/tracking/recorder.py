"""The thread that writes what a tracked loop hands over, and hears what is asked of it.

The loop puts tuples into a queue and reads a few fields; all else, from tensors to a full disk, is this thread's.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tuiae.errors import ConfigError
from tuiae.files import open_append
from tuiae.runs import control
from tuiae.runs.control import Value, check_setting, describe_edit
from tuiae.runs.paths import RunPaths, is_gone
from tuiae.runs.writer import RunWriter, live_interval

TICK_SECONDS = 0.1  # between looks at the queue and at control/
MOST_WAITING = 20_000  # batches in the queue: beyond, theirs are dropped, and never what stands for an epoch
GUESS = 50  # steps: half of the first epoch, as long as nobody knows how many it has
EVALUATIONS = ("test", "val", "valid", "validation", "eval", "dev")
"""Splits that curves call test: the first of them that a run has."""
BATCHES = ("train", "live")


class Place:
    """Where values stand: steps that go on from epoch to epoch, and epochs done, the one under way as a fraction."""

    def __init__(self, known: Mapping[str, Any], length: int = 0) -> None:
        """`length` is the number of steps of an epoch, if the program says it; `known` is what an earlier process of
        the run left, as `record`."""
        self.step = int(known.get("step", 0))
        self.epoch = float(known.get("epoch", 0.0))
        self._declared = length
        self._length = length or int(known.get("length", 0))
        self._first: int | None = known.get("first")  # the number of the first epoch: 0, or 1 for those who count so
        self._base = 0  # steps of the epochs before, where a loop counts them anew in each
        self._restarts = bool(known.get("restarts"))
        self._raw = -1
        self._index: int | None = None
        self._began = self.step
        self._gap = 1  # steps between two batches that were told

    @property
    def record(self) -> dict[str, Any]:
        """What the next process of this run goes on from."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "length": self._length,
            "first": self._first,
            "restarts": self._restarts,
        }

    @property
    def length(self) -> int:
        """Steps of an epoch; 0 while nobody knows."""
        return self._length

    @property
    def index(self) -> int:
        """The epoch under way, from 0."""
        return 0 if self._index is None else self._index

    @property
    def names_epochs(self) -> bool:
        """Whether the loop says which epoch it is in."""
        return self._index is not None

    @property
    def is_whole(self) -> bool:
        """Whether the epoch under way is over, as far as that is known."""
        return self.names_epochs and self.epoch >= self.index + 1

    def batch(self, step: int | None, epoch: float | None) -> bool:
        """Go to where a batch was; returns whether an epoch began with it."""
        index = self._epoch_of(epoch)
        begins = index is not None and index != self._index
        self._count(step, index, begins)
        if index is None:
            if self._index is None:
                self.epoch = float(self.step)  # a loop without epochs is shown by its steps
            return False
        if begins:
            if self._index is not None and not self._declared and self.step > self._began:
                self._length = self.step - self._began
            self._index, self._began = index, self.step
        self.epoch = float(epoch) if isinstance(epoch, float) else index + self._share()
        return begins

    def evaluation(self, step: int | None, epoch: float | None) -> None:
        """Go to where something was measured, after the batches before it."""
        index = self._epoch_of(epoch)
        if index is None:
            self.step = max(self.step, step or 0)
            if self._index is None:
                self.epoch = float(self.step)
        elif isinstance(epoch, float):
            self._index, self.epoch = index, epoch
        elif index != self._index:
            self._index, self._began, self.epoch = index, self.step + 1, index + 1.0
        else:
            if step is not None:
                self.step = max(self.step, step + self._base)
            if not self._length:
                self._length = self._done  # what is measured first is measured at the end of an epoch
            # The last batches of an epoch may not have been told.
            self.epoch = index + (1.0 if self._done + self._gap > self._length else self._share())

    def _epoch_of(self, epoch: float | None) -> int | None:
        """The number of an epoch from 0; of a fraction, the one under way."""
        if epoch is None:
            return None
        if isinstance(epoch, float):
            return max(math.ceil(epoch) - 1, 0)
        if self._first is None:
            self._first = 1 if epoch == 1 else 0
        return max(epoch - self._first, 0)

    def _count(self, step: int | None, index: int | None, begins: bool) -> None:
        if step is None:
            self.step += 1
            return
        if step < self._raw and (begins or index is None):
            self._base, self._restarts = self.step + 1 - step, True
        elif self._raw < 0 and self._restarts and index is not None:
            self._base = index * self._length  # another process counted anew in each epoch too
        now = max(step + self._base, 0)
        self._gap = max(now - self.step, 1) if self._raw >= 0 else 1
        self.step = max(now, self.step) if self._raw >= 0 else now  # a process that goes on may begin at an earlier one
        self._raw = step

    @property
    def _done(self) -> int:
        return self.step - self._began + 1

    def _share(self) -> float:
        return min(self._done / self._length, 1.0) if self._length else self._done / (self._done + GUESS)


class Means:
    """Means of values that come by name."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, count + 1

    def take(self) -> dict[str, float]:
        """The means since the last call; empty where nothing came."""
        sums, self._sums = self._sums, {}
        return {name: total / count for name, (total, count) in sums.items()}


class Recorder(threading.Thread):
    """Writes one run. Whoever hands over never waits, but for `close`."""

    def __init__(self, run: RunPaths, known: Mapping[str, Any], epochs: int, length: int, warn: Callable[..., None]):
        """`known` is the status before; `warn` takes a kind and a sentence, of which each kind is said once."""
        super().__init__(name="tuiae", daemon=True)
        self.run_paths = run
        self.queue: deque[tuple[Any, ...]] = deque()
        self.dropped = 0
        self.settings: dict[str, Value] = {}
        """What the loop asks for, with the values in force."""
        self.edits: dict[str, Value] = {}
        """The values that somebody put in place of the loop's own."""
        self.steps_left: int | None = None
        """Steps until the loop pauses: none left is a pause, None is no end."""
        self.stopped = False
        """Whether somebody asked the loop to stop, or its run is gone."""
        self.changed = threading.Event()
        """Set when something was asked; a loop that pauses waits for it."""
        self._writer, self.warn, self._epochs = RunWriter(run), warn, epochs
        place = known.get("place")
        self._place = Place(place if isinstance(place, dict) else {}, length)
        self._resumed = bool(known.get("pid"))
        self.origin = "tracked: a program of its own trains"
        """What the history says of where the run comes from."""
        self._begun = False
        self._test = str(place.get("test", "")) if isinstance(place, dict) else ""
        self._live, self._mean = Means(), Means()
        self._written: Mapping[str, float] = {}  # the newest means of batches, for the log
        self._when = time.time()  # the newest value came
        self._next_live = 0.0
        self._sample: dict[str, np.ndarray] = {}
        self._sample_epoch: int | None = None
        self._sample_waits = False
        self._elapsed = float(known.get("elapsed") or 0.0)
        self._from, self._mark, self._paused = (self._elapsed, self._place.epoch), time.monotonic(), False
        self._closing = threading.Event()
        self._ending: tuple[str, dict[str, Any] | None] = ("finished", None)
        self._writer.status(
            now=True, state="running", phase="", epochs=epochs, eta=None, settings={}, heartbeat=time.time()
        )

    # What the loop calls.

    def hand(self, *item: Any) -> None:
        """Take something to write."""
        self.queue.append(item)

    def hand_batch(self, *item: Any) -> None:
        """Take the values of a batch, unless too many wait."""
        if len(self.queue) < MOST_WAITING:
            self.queue.append(item)
        else:
            self.dropped += 1

    def close(self, state: str, error: dict[str, Any] | None, patience: float) -> bool:
        """Write what waits and how the run ended; returns whether that was done in so many seconds."""
        self._ending = state, error
        self._closing.set()
        self.join(patience)
        return not self.is_alive()

    def finish(self, state: str, began: float | None, ended: float | None) -> None:
        """Write the end of a run that was recorded here and now, without the thread, and took place at another time."""
        self._elapsed, self._mark = (ended or 0.0) - (began or 0.0), time.monotonic()
        self._from = (self._elapsed, self._place.epoch)
        self._ending = state, None
        self.end(ended)

    # The thread.

    def run(self) -> None:
        while not self._closing.wait(TICK_SECONDS):
            self._guarded(self._look)
        self._guarded(self._look)
        self._guarded(self.end)

    def _guarded(self, act: Callable[..., object], *arguments: Any) -> None:
        """Do something whose failure is said and ends nothing: the loop goes on whatever becomes of its record."""
        try:
            act(*arguments)
        except OSError as error:
            self.warn("disk", f"{self.run_paths.root} cannot be written: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001 - said by `warn`; a record that fails must not end a training
            self.warn(f"{type(error).__name__} {error}", f"not recorded: {error}")

    def _look(self) -> None:
        if is_gone(self.run_paths):
            self.warn("gone", f"{self.run_paths.id} was deleted or moved: the loop goes on, and nothing is recorded")
            self.queue.clear()
            self.steps_left = None  # nobody is left to say that it goes on
            self.changed.set()
            return
        self._guarded(self._obey)
        handlers: dict[str, Callable[..., None]] = {
            "log": self.record,
            "sample": self._add_sample,
            "state": self._note_state,
            "note": self._note,
        }
        for _ in range(len(self.queue)):  # and no more: a loop may hand over as fast as this goes
            kind, *rest = self.queue.popleft()
            self._guarded(handlers[kind], *rest)
        if time.monotonic() >= self._next_live:
            self.write_live()
        if self._sample_waits:
            self._write_sample()
        if self.dropped:
            self.warn("dropped", "batches come faster than they can be written: some are left out of the curves")
        if trouble := self._writer.trouble:
            self.warn("disk", f"{self.run_paths.root}: {trouble}; it is tried again, and the loop goes on")
        self._progress()

    def end(self, heartbeat: float | None = None) -> None:
        """Write how the run ended, by `heartbeat` if that was not now."""
        self.write_live()
        if self._place.is_whole or (self._ending[0] == "finished" and not self.stopped):
            self._close_epoch()
        if self.dropped:
            self._writer.event(
                "warning", text=f"{self.dropped:,} batches were left out: they came too fast to be written"
            )
        if is_gone(self.run_paths):
            return
        state, error = self._ending
        if state == "finished" and not self._epochs:
            self._epochs = math.ceil(self._place.epoch)
        self._progress()
        self._writer.close(state, error, heartbeat)

    # Curves.

    def record(self, when: float, step: int | None, epoch: float | None, split: str, values: Mapping[str, Any]) -> None:
        """Take values that were measured `when` (seconds since the epoch), at a step and an epoch as a loop counts."""
        numbers = {}
        for name, value in values.items():
            try:
                numbers[name] = float(value)
            except Exception as error:  # noqa: BLE001 - whatever a framework raises for its own numbers
                self.warn(f"value {name}", f"{name} is not recorded, it is no number: {error}")
        index, self._when = self._place.index, when
        if split in BATCHES:
            last = self._place.step
            if self._place.batch(step, epoch):
                self._close_epoch(index, last)
            self._begin()
            self._live.add(numbers)
            if split == "train" and self._place.names_epochs:
                self._mean.add(numbers)
            if self._place.is_whole and (self._place.length == 1 or isinstance(epoch, float)):
                self._close_epoch()
            return
        self._place.evaluation(step, epoch)
        self._begin()
        self.write_live()
        if self._place.is_whole:
            self._close_epoch()
        self._metric(self._split_of(split), numbers)
        if self._split_of(split) == "test":
            self._writer.status(test_loss=numbers.get("loss"), test_accuracy=numbers.get("accuracy"))

    def _split_of(self, split: str) -> str:
        """The name of a split in the record: the first evaluation is `test`, whatever it is called."""
        if split in EVALUATIONS:
            self._test = self._test or split
            return "test" if split == self._test else "test-set" if split == "test" else split
        return split

    def _begin(self) -> None:
        """Record where this process begins, once that is known: what an earlier one recorded beyond is dropped."""
        if self._begun:
            return
        self._begun, place = True, self._place
        step, epoch, text = 0, 0.0, self.origin
        if self._resumed:
            step, epoch = max(place.step - 1, 0), max(place.epoch - 1 / (place.length or 1), 0.0)
            text = f"goes on at step {step:,}"
        self._writer.event("start", time=self._when, step=step, epoch=round(epoch, 6), text=text)

    def _metric(self, split: str, values: Mapping[str, float]) -> None:
        step, epoch = self._place.step, round(self._place.epoch, 6)
        self._writer.event("metric", time=self._when, split=split, step=step, epoch=epoch, values=values)
        if split == "test":
            self._tell(values)

    def write_live(self) -> None:
        """Write the means of the batches since the last time as a live point."""
        if values := self._live.take():
            self._metric("live", values)
            self._written = self._written if self._place.names_epochs else values
            self._next_live = time.monotonic() + live_interval(self._elapsed)

    def _close_epoch(self, index: int | None = None, step: int | None = None) -> None:
        """Write the means of an epoch, the one under way or an earlier one that ended at a step."""
        if values := self._mean.take():
            place = self._place
            epoch = (place.index if index is None else index) + 1
            step = place.step if step is None else step
            self._written = values
            self._writer.event("metric", time=self._when, split="train", step=step, epoch=epoch, values=values)

    def _tell(self, values: Mapping[str, float]) -> None:
        """A line of the log after an evaluation."""
        shown = {"train": self._written, "test": values}
        words = [f"{split} {_figures(of)}" for split, of in shown.items() if of]
        of_all = f"/{self._epochs:,}" if self._epochs else ""
        with open_append(self.run_paths.log) as log:
            log.write((" · ".join([f"epoch {self._place.epoch:g}{of_all}", *words]) + "\n").encode())

    def _note(self, text: str, kind: str) -> None:
        self._writer.event(kind, step=self._place.step, epoch=self._place.epoch, text=text)

    def _progress(self) -> None:
        """Say in the status how far the loop is."""
        now, place = time.monotonic(), self._place
        if not self._paused:
            self._elapsed += now - self._mark
        self._mark = now
        spent, done = self._elapsed - self._from[0], place.epoch - self._from[1]
        left = self._epochs - place.epoch
        eta = round(spent / done * left, 1) if self._epochs and done > 0 and left > 0 else None
        self._writer.status(
            epoch=int(place.epoch),
            epochs=self._epochs,
            epochs_done=round(place.epoch, 6) if self._begun else None,
            step=place.step,
            steps_per_epoch=place.length,
            elapsed=round(self._elapsed, 3),
            eta=eta,
            settings=dict(self.settings),
            place={**place.record, "test": self._test},
        )

    # Pictures, codes, confusion.

    def take_sample(self, make: Callable[[], dict[str, np.ndarray]]) -> None:
        """Take arrays for the sample of the epoch under way, and write it at once; empty ones say nothing."""
        if made := make():
            self._add_sample(lambda: made)
            self._write_sample()

    def _add_sample(self, make: Callable[[], dict[str, np.ndarray]]) -> None:
        """Add arrays to the sample of the epoch under way."""
        epoch = math.ceil(round(self._place.epoch, 6))
        if epoch != self._sample_epoch:
            if self._sample_waits:
                self._write_sample()
            self._sample, self._sample_epoch = {}, epoch
        self._sample |= make()
        self._sample_waits = True

    def _write_sample(self) -> None:
        """Write the sample; where the disk does not take it, it is tried again as long as it is the newest."""
        self._begin()
        try:
            self._writer.sample(self._sample_epoch or 0, **self._sample)
        except OSError as error:
            self._writer.note_unwritten("samples", error)
        else:
            self._writer.note_unwritten("samples", None)
            self._sample_waits = False

    # What is asked of the loop.

    def _obey(self) -> None:
        for command in control.take(self.run_paths):
            word = command["command"]
            if word == "set":
                self._edit(command)
            elif word == "stop":
                self.stopped = True
            elif word in ("pause", "resume"):
                self.steps_left = 0 if word == "pause" else None
            elif word == "step":
                steps = command.get("steps")
                self.steps_left = steps if isinstance(steps, int) and steps > 0 else 1
            else:
                self._note(f"not done: a checkpoint is its own program's to write, and {word} asks for one", "warning")
            self.changed.set()

    def _edit(self, command: Mapping[str, Any]) -> None:
        key, by = str(command.get("key")), str(command.get("by", "somebody"))
        try:
            value = check_setting(self.settings, key, command.get("value"))
        except ConfigError as error:
            self._note(f"not changed: {error}", "warning")
            return
        old = self.settings[key]
        self.edits[key] = self.settings[key] = value
        fields = describe_edit(key, old, value, self._place.step, round(self._place.epoch, 6), by)
        self._writer.event("command", own=True, **fields)
        self._writer.status(now=True, settings=dict(self.settings))

    def _note_state(self, state: str) -> None:
        """Say that the loop pauses, or goes on."""
        self._progress()
        self._paused = state == "paused"
        self.write_live()
        self._writer.status(now=True, state=state)
        self._note(f"{'paused' if self._paused else 'resumed'} at step {self._place.step:,}", "command")


def _figures(values: Mapping[str, float]) -> str:
    """`0.0123, 97.1%`: loss and accuracy, else the first two of what there is."""
    first = [f"{values['loss']:.4g}"] if "loss" in values else []
    first += [f"{values['accuracy']:.2%}"] if "accuracy" in values else []
    return ", ".join(first or [f"{name} {value:.4g}" for name, value in [*values.items()][:2]])
