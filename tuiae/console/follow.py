"""Following a run to its end, in front of it or from another terminal: the same reader as the dashboard's."""

from __future__ import annotations

import subprocess
import time

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.text import Text

from tuiae.console.output import Output
from tuiae.console.pauses import pause_line
from tuiae.runs.interrupt import Interrupt
from tuiae.runs.layout import RunPaths
from tuiae.runs.process import stop_worker
from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Snapshot
from tuiae.ui.render.text import count, duration, figure, number, of_epochs

POLL_SECONDS = 0.1
CATCH_UP = 20  # epochs told of a run that is followed from the middle


def follow(run: RunPaths, output: Output, process: subprocess.Popen[bytes] | None = None) -> tuple[Snapshot, bool]:
    """Show a run until it ends; returns its last snapshot, and whether it was left running.

    With its own `process` an interrupt stops the run (and a second one leaves it to finish its save); otherwise it only
    ends the following.
    """
    reader, interrupt = RunReader(run.root), Interrupt()
    display: Display = LiveDisplay(output) if output.lively else PlainDisplay(output)
    asked = False
    with interrupt.listening(), display:
        while True:
            # The process is looked at first: what it wrote before it ended is then in the snapshot.
            ended = process is not None and process.poll() is not None
            snapshot = reader.poll()
            display.show(snapshot)
            if not snapshot.status.live or ended:
                snapshot = reader.read_all()
                display.show(snapshot)
                return snapshot, False
            if interrupt.count and (process is None or interrupt.count > 1):
                return snapshot, True
            if interrupt.count and process is not None and not asked:
                asked = True
                stop_worker(run, process)
                display.say("stopping: saving at the next step (Ctrl-C again to leave it to that)")
            time.sleep(POLL_SECONDS)


class Display:
    """Shows snapshots as they come; this one shows nothing."""

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def show(self, snapshot: Snapshot) -> None:
        """Take the next snapshot."""

    def say(self, text: str) -> None:
        """Tell something beside the run's own figures."""


class PlainDisplay(Display):
    """A line for each phase, each pause and each epoch, appended, never redrawn."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told: int | None = None
        self._phase = ""
        self._state = ""

    def show(self, snapshot: Snapshot) -> None:
        phase = snapshot.status.phase.rstrip("0123456789% ")
        if phase and phase != self._phase and snapshot.status.live:
            self._phase = phase
            self._output.note(phase)
        change, self._state = pause_line(snapshot.id, self._state, snapshot.status), snapshot.status.state
        paused = self._state == "paused"
        if change and not paused:
            self._output.note(change)
        series = snapshot.series.get(("test", "loss"))
        done = len(series.values) if series else 0
        for index in range(self._begin(snapshot, done) if self._told is None else self._told, done):
            self._output.note(epoch_line(snapshot, index))
        self._told = done
        if change and paused:  # after what it did before it
            self._output.note(change)

    def _begin(self, snapshot: Snapshot, done: int) -> int:
        """Where to begin in a run that has so many evaluations behind it, which is said: they are not new."""
        start = max(0, done - CATCH_UP)
        if done:
            first, last = (_epoch(snapshot, index) for index in (start, done - 1))
            self._output.note(f"so far: epoch {first}" if first == last else f"so far: epochs {first} to {last}")
        return start

    def say(self, text: str) -> None:
        self._output.note(text)


class LiveDisplay(Display):
    """One redrawn line with a bar over the whole run, and the last epoch's figures."""

    def __init__(self, output: Output) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}"),
            console=output.progress,
        )
        self._task = self._progress.add_task("starting", total=None, figures="")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, snapshot: Snapshot) -> None:
        share = snapshot.status.share
        self._progress.update(
            self._task,
            description=_doing(snapshot, share is not None),
            total=None if share is None else 1.0,
            completed=share or 0.0,
            figures="" if share is None else _figures(snapshot),
        )

    def say(self, text: str) -> None:
        # Through the display's own console, which keeps the redrawn line below it.
        self._progress.console.print(Text(text, "yellow"))


def _doing(snapshot: Snapshot, training: bool) -> str:
    status = snapshot.status
    if not training:
        return status.phase or status.state
    epoch = min(status.epoch + 1, status.epochs) if status.live else status.epoch
    return f"{status.state}  epoch {epoch}/{status.epochs}"


def _figures(snapshot: Snapshot) -> str:
    status = snapshot.status
    left = f"ETA {duration(status.eta)}" if status.live else duration(status.elapsed)
    losses = (snapshot.latest("live" if status.live else "train", "loss"), snapshot.latest("test", "loss"))
    rate = f"{count(round(status.images_per_second))} images/s" if status.images_per_second else ""
    return f"train {number(losses[0])}  test {number(losses[1])}  {rate}  {left}"


def epoch_line(snapshot: Snapshot, index: int) -> str:
    """One epoch in one line: `epoch 3/10  train loss 0.0312 acc 94.10%  test loss ...  12,345 images/s  1.20s`."""
    parts = [f"epoch {of_epochs(_epoch(snapshot, index), snapshot.status.epochs)}"]
    for split in ("train", "test"):
        loss, accuracy = (_at(snapshot, split, name, index) for name in ("loss", "accuracy"))
        parts.append(f"{split} loss {number(loss)} acc {figure('accuracy', accuracy)}")
    rate, seconds = (_at(snapshot, "speed", name, index) for name in ("images_per_second", "epoch_seconds"))
    parts.append("" if rate is None else f"{count(round(rate))} images/s")
    parts.append("" if seconds is None else f"{seconds:.2f}s")
    return "  ".join(part for part in parts if part)


def _epoch(snapshot: Snapshot, index: int) -> int:
    """The epoch of an evaluation: not every one has to be evaluated."""
    series = snapshot.series.get(("test", "loss"))
    return int(series.epochs[index]) if series is not None and index < len(series.epochs) else index + 1


def _at(snapshot: Snapshot, split: str, name: str, index: int) -> float | None:
    series = snapshot.series.get((split, name))
    return float(series.values[index]) if series is not None and index < len(series.values) else None
