"""What the loop tells the run directory, and what the run directory tells the loop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tuiae.runs import control
from tuiae.runs.layout import RunPaths
from tuiae.runs.writer import RunWriter
from tuiae.training.device import memory_megabytes
from tuiae.training.objective import Totals
from tuiae.training.setup import Parts
from tuiae.training.state import TrainState

LIVE_SECONDS = 0.2  # between live points; each one waits for the device
MAIL_SECONDS = 0.1  # between looks at the control directory
PAUSE_SECONDS = 0.05
STEADY_SECONDS = 1.0  # of an epoch, before its throughput is told


class Mailbox:
    """Commands and the termination signal, looked at between steps."""

    def __init__(self, run: RunPaths, terminated: Callable[[], bool]) -> None:
        self._run = run
        self._terminated = terminated
        self._next_look = 0.0

    def take(self) -> list[str]:
        """The commands that have come since the last look."""
        if self._terminated():
            return ["stop"]
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + MAIL_SECONDS
        return [str(command["command"]) for command in control.take(self._run)]

    def wait_while_paused(self) -> list[str]:
        """Sleep until a command ends the pause; what else came meanwhile is returned with it."""
        while True:
            commands = self.take()
            if "resume" in commands or "stop" in commands or "save" in commands:
                return commands
            time.sleep(PAUSE_SECONDS)


class Reporter:
    """Live points, epoch metrics, throughput and the time that is left."""

    def __init__(self, parts: Parts, writer: RunWriter, state: TrainState) -> None:
        self._parts, self._writer, self._state = parts, writer, state
        self._batch = parts.config.training.batch_size
        self.steps_per_epoch = -(-len(parts.train) // self._batch)
        self._recent = Totals(parts.device, state.totals.names)
        self._next_live = 0.0
        self._began = (state.step, state.seconds)
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

    @property
    def recent(self) -> Totals:
        """Sums since the last live point."""
        return self._recent

    def live_is_due(self) -> bool:
        return time.monotonic() >= self._next_live

    def live(self) -> None:
        """One live point: means over the batches since the last one."""
        state = self._state
        values = self._recent.read()  # host/device sync
        self._recent.reset()
        self.tick()
        self._writer.event("metric", split="live", step=state.step, epoch=self.epochs_done(), values=values)
        self.progress()
        # Counted from the end, so that a slow device is not kept busy with being asked.
        self._next_live = time.monotonic() + LIVE_SECONDS

    def epochs_done(self) -> float:
        """Epochs done, the current one as a fraction."""
        return self._state.epoch + self._state.position / max(1, len(self._parts.train))

    def throughput(self) -> float | None:
        """Training images a second in the epoch under way."""
        state = self._state
        return state.position / state.epoch_seconds if state.position and state.epoch_seconds else None

    def progress(self, now: bool = False, **fields: object) -> None:
        """The status as of this step."""
        state, epochs = self._state, self._parts.config.training.epochs
        # Of the epoch under way once it says something; until then the last epoch's stands.
        rate = self.throughput() if state.epoch_seconds >= STEADY_SECONDS else None
        self._writer.status(
            now=now,
            epoch=state.epoch,
            epochs=epochs,
            step=state.step,
            steps_per_epoch=self.steps_per_epoch,
            elapsed=round(state.seconds, 3),
            eta=self._remaining(),
            memory=round(memory_megabytes(self._parts.device), 1),
            **({"images_per_second": round(rate, 1)} if rate else {}),
            **fields,
        )

    def _remaining(self) -> float | None:
        """Seconds to the last epoch at the pace since this worker began, evaluation included."""
        steps, seconds = self._state.step - self._began[0], self._state.seconds - self._began[1]
        left = self._parts.config.training.epochs * self.steps_per_epoch - self._state.step
        return round(seconds / steps * left, 1) if steps else None

    def epoch(self, epoch: int, splits: dict[str, dict[str, float]]) -> None:
        """End-of-epoch values by split: events for the curves, and a line in the worker's log."""
        state = self._state
        for split, values in splits.items():
            self._writer.event("metric", split=split, step=state.step, epoch=epoch, values=values)
        self._writer.status(
            test_loss=splits["test"]["loss"],
            test_accuracy=splits["test"]["accuracy"],
            images_per_second=round(splits["speed"]["images_per_second"], 1),
        )
        words = [f"epoch {epoch}/{self._parts.config.training.epochs}"]
        for split in ("train", "test"):
            words.append(f"{split} {splits[split]['loss']:.5g}, {splits[split]['accuracy']:.2%}")
        words.append(f"{splits['speed']['epoch_seconds']:.2f} s")
        sys.stdout.write(" · ".join(words) + "\n")
        sys.stdout.flush()
