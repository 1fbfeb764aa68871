"""Reports of the loop to the run directory: live points, epoch metrics, throughput and remaining time."""

from __future__ import annotations

import sys
import time

from tuiae.data.batches import count_batches
from tuiae.runs.writer import LIVE_SECONDS, RunWriter, live_interval
from tuiae.training.checkpoint import TrainState
from tuiae.training.device import memory_megabytes
from tuiae.training.objective import Totals
from tuiae.training.setup import Parts

STEADY_SECONDS = 1.0  # of an epoch before its throughput is told, and of a worker before its remaining time is


class Reporter:
    """Counts the training time, and writes status, events and the worker's log for the step of `state`."""

    def __init__(self, parts: Parts, writer: RunWriter, state: TrainState, fewest: int) -> None:
        """`fewest` images make a batch."""
        self.parts, self._writer, self._state = parts, writer, state
        self._batch = parts.config.training.batch_size
        self.steps_per_epoch = count_batches(self._batch, len(parts.train), fewest)
        self.recent = Totals(parts.device, state.totals.names)  # sums since the last live point
        self._next_live = self._next_memory = 0.0
        self._began = (state.step, state.seconds)
        """Step and seconds at the first live point of this worker: the steps before it warm up."""
        self._mark = time.monotonic()

    def tick(self) -> None:
        """Count the time since the last tick as training time."""
        now = time.monotonic()
        self._state.seconds += now - self._mark
        self._state.epoch_seconds += now - self._mark
        self._mark = now

    def skip_time(self) -> None:
        """Forget the time since the last tick: it was a pause."""
        self._mark = time.monotonic()

    def live_is_due(self) -> bool:
        return time.monotonic() >= self._next_live

    def live(self) -> None:
        """Write a live point: means over the batches since the last one."""
        state = self._state
        values = self.recent.read()  # host/device sync
        self.recent.reset()
        self.tick()
        if values:  # a single step may have been followed by a point of its own
            self._writer.event("metric", split="live", step=state.step, epoch=self.epochs_done(), values=values)
        if not self._next_live:
            self._began = (state.step, state.seconds)
        self.progress()
        # Counted from the end, so that a slow device is not kept busy with being asked.
        self._next_live = time.monotonic() + live_interval(state.seconds)

    def epochs_done(self) -> float:
        """Epochs done, the current one as a fraction."""
        return self._state.epoch + self._state.position / max(1, len(self.parts.train))

    def throughput(self) -> float | None:
        """Training images a second in the epoch under way."""
        state = self._state
        return state.position / state.epoch_seconds if state.position and state.epoch_seconds else None

    def progress(self, now: bool = False, **fields: object) -> None:
        """Write the status as of this step, with `fields` added; `now` does not wait for the next regular writing."""
        state, epochs = self._state, self.parts.config.training.epochs
        # Of the epoch under way once it says something; until then the last epoch's stands.
        rate = self.throughput() if state.epoch_seconds >= STEADY_SECONDS else None
        if now or time.monotonic() >= self._next_memory:  # to ask the system takes as long as a step of the glyphs
            fields["memory"] = round(memory_megabytes(self.parts.device), 1)
            self._next_memory = time.monotonic() + LIVE_SECONDS
        self._writer.status(
            now=now,
            epoch=state.epoch,
            epochs=epochs,
            epochs_done=round(self.epochs_done(), 6),
            step=state.step,
            steps_per_epoch=self.steps_per_epoch,
            elapsed=round(state.seconds, 3),
            eta=self._remaining(),
            **({"images_per_second": round(rate, 1)} if rate else {}),
            **fields,
        )

    def _remaining(self) -> float | None:
        """Seconds to the last epoch at the pace of this worker, evaluation included; None until that is steady."""
        state = self._state
        # Counted from the epoch under way: a fork may have begun with batches of another size.
        epochs = self.parts.config.training.epochs - state.epoch
        left = epochs * self.steps_per_epoch - -(-state.position // self._batch)
        if not left:
            return 0.0
        steps, seconds = (now - then for now, then in zip((state.step, state.seconds), self._began, strict=True))
        return round(seconds / steps * left, 1) if steps and seconds >= STEADY_SECONDS else None

    def epoch(self, epoch: int, splits: dict[str, dict[str, float]]) -> None:
        """Write end-of-epoch values by split: events for the curves, and a line in the worker's log."""
        state = self._state
        for split, values in splits.items():
            self._writer.event("metric", split=split, step=state.step, epoch=epoch, values=values)
        self._writer.status(
            test_loss=splits["test"]["loss"],
            test_accuracy=splits["test"]["accuracy"],
            images_per_second=round(splits["speed"]["images_per_second"], 1),
        )
        words = [f"epoch {epoch:,}/{self.parts.config.training.epochs:,}"]
        for split in ("train", "test"):
            words.append(f"{split} {splits[split]['loss']:#.4g}, {splits[split]['accuracy']:.2%}")
        words.append(f"{splits['speed']['epoch_seconds']:.2f} s")
        sys.stdout.write(" · ".join(words) + "\n")
        sys.stdout.flush()
