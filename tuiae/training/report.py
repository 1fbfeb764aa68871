"""What the loop tells the run directory, and what the run directory tells the loop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from tuiae.runs import control
from tuiae.runs.paths import RunPaths, need_run
from tuiae.runs.writer import RunWriter
from tuiae.training.objective import Totals
from tuiae.training.setup import Parts, memory_megabytes
from tuiae.training.state import TrainState

LIVE_SECONDS = 0.2  # between live points; each one waits for the device
MAIL_SECONDS = 0.1  # between looks at the control directory
PAUSE_SECONDS = 0.05
STEADY_SECONDS = 1.0  # of an epoch, before its throughput is told


class Mailbox:
    """Commands and the termination signal, looked at between steps; and whether anybody can still find the run."""

    def __init__(self, run: RunPaths, terminated: Callable[[], bool]) -> None:
        self._run = run
        self._terminated = terminated
        self._next_look = 0.0
        self._kept: list[dict[str, Any]] = []

    def ask(self, command: str) -> None:
        """A command of the training's own, taken at the next step boundary."""
        self._kept.append({"command": command})
        self._next_look = 0.0

    def take(self) -> list[dict[str, Any]]:
        """The commands that have come since the last look.

        Raises:
            UnknownRunError: the run was deleted; nobody could stop it any more.
        """
        ended = [{"command": "stop"}] if self._terminated() else []
        if not ended and not self._kept and time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + MAIL_SECONDS
        need_run(self._run)
        kept, self._kept = self._kept, []
        return [*kept, *control.take(self._run), *ended]

    def take_edits(self) -> list[dict[str, Any]]:
        """The edits that have come, looked for at once; what else came waits for the next `take`."""
        commands = control.take(self._run)
        self._kept += [command for command in commands if command["command"] != "set"]
        return [command for command in commands if command["command"] == "set"]

    def wait(self) -> list[dict[str, Any]]:
        """Sleep until a command comes."""
        while not (commands := self.take()):
            time.sleep(PAUSE_SECONDS)
        return commands


def stands_still(commands: Sequence[str], paused: bool) -> bool:
    """Whether a training stands still after these commands; the last word counts, and a stop ends a pause."""
    for command in commands:
        paused = command == "pause" if command in ("pause", "resume", "stop") else paused
    return paused and "stop" not in commands


class Reporter:
    """Live points, epoch metrics, throughput and the time that is left."""

    def __init__(self, parts: Parts, writer: RunWriter, state: TrainState) -> None:
        self.parts, self._writer, self._state = parts, writer, state
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
        return self._state.epoch + self._state.position / max(1, len(self.parts.train))

    def throughput(self) -> float | None:
        """Training images a second in the epoch under way."""
        state = self._state
        return state.position / state.epoch_seconds if state.position and state.epoch_seconds else None

    def progress(self, now: bool = False, **fields: object) -> None:
        """The status as of this step."""
        state, epochs = self._state, self.parts.config.training.epochs
        # Of the epoch under way once it says something; until then the last epoch's stands.
        rate = self.throughput() if state.epoch_seconds >= STEADY_SECONDS else None
        self._writer.status(
            now=now,
            epoch=state.epoch,
            epochs=epochs,
            epochs_done=round(self.epochs_done(), 6),
            step=state.step,
            steps_per_epoch=self.steps_per_epoch,
            elapsed=round(state.seconds, 3),
            eta=self._remaining(),
            memory=round(memory_megabytes(self.parts.device), 1),
            **({"images_per_second": round(rate, 1)} if rate else {}),
            **fields,
        )

    def _remaining(self) -> float | None:
        """Seconds to the last epoch at the pace since this worker began, evaluation included."""
        steps, seconds = self._state.step - self._began[0], self._state.seconds - self._began[1]
        # Counted from the epoch under way: a fork may have begun with batches of another size.
        epochs = self.parts.config.training.epochs - self._state.epoch
        left = epochs * self.steps_per_epoch - -(-self._state.position // self._batch)
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
        words = [f"epoch {epoch:,}/{self.parts.config.training.epochs:,}"]
        for split in ("train", "test"):
            words.append(f"{split} {splits[split]['loss']:#.4g}, {splits[split]['accuracy']:.2%}")
        words.append(f"{splits['speed']['epoch_seconds']:.2f} s")
        sys.stdout.write(" · ".join(words) + "\n")
        sys.stdout.flush()
