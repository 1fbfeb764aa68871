"""Following a run to its end, in front of it or from another terminal: the same reader as the dashboard's."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.text import Text

from tuiae.cli.output import Output
from tuiae.cli.tables import show_result
from tuiae.errors import ExitCode, RunHeldError, TrainingError, UnknownRunError, from_record
from tuiae.render.text import count, duration, figure, number, of_epochs
from tuiae.runs import control
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths, is_gone, unwritable
from tuiae.runs.process import Interrupt, stop_worker
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.removal import discard_untrained
from tuiae.runs.snapshot import Snapshot, Status

# How a training ended: in words, and in the exit code.

LEAVE_SECONDS = 5.0


def conclude(
    run: RunPaths,
    snapshot: Snapshot,
    output: Output,
    process: subprocess.Popen[bytes] | None = None,
    *,
    fresh: bool = False,
) -> ExitCode:
    """Say how a run ended, in words and in the exit code."""
    check_ending(run, snapshot, process, fresh=fresh)
    if output.json:
        output.document(summarise(snapshot))
    else:
        show_result(snapshot, output)
    if snapshot.status.state == "stopped":
        output.note(f"stopped early; go on with: tuiae resume {run.id}", "yellow")
        return ExitCode.STOPPED
    return ExitCode.OK


def check_ending(
    run: RunPaths, snapshot: Snapshot, process: subprocess.Popen[bytes] | None = None, *, fresh: bool = False
) -> None:
    """Raises TuiaeError for a run that did not end with a checkpoint saved."""
    state = snapshot.status.state
    if is_gone(run):
        raise TrainingError(f"{run.id} is gone: its directory was deleted or moved", "`tuiae run` starts another one")
    if state == "failed":
        _raise_failure(run, snapshot, fresh=fresh)
    if state == "unknown" and process is None:
        hint = f"see {run.status}; `tuiae resume {run.id}` goes on from its newest checkpoint"
        raise UnknownRunError(f"how {run.id} stands cannot be read", hint)
    if state not in ("finished", "stopped"):
        code = None if process is None else _exit_code(process)
        if code == ExitCode.HELD:
            raise _held(run)
        how = f"the worker died (signal {-code})" if code is not None and code < 0 else "the worker died"
        raise TrainingError(f"{run.id}: {how}", f"see {run.log}, and go on with `tuiae resume {run.id}`")


def check_begun(run: RunPaths, process: subprocess.Popen[bytes]) -> None:
    """Raises TuiaeError where our worker has ended before the run's status was its own: what that says is older."""
    code = process.poll()
    if code is None or read_status(run).pid == process.pid:
        return
    if code == ExitCode.HELD:
        raise _held(run)
    last = RunReader(run.root).read_all().log[-1:]
    raise TrainingError(": ".join((f"the worker of {run.id} could not begin", *last)), f"see {run.log}")


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """How a worker ended whose pulse is gone; its last threads may be leaving still."""
    try:
        return process.wait(LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _held(run: RunPaths) -> RunHeldError:
    return RunHeldError(f"{run.id} is held by another process", f"`tuiae attach {run.id}` watches it")


def _raise_failure(run: RunPaths, snapshot: Snapshot, *, fresh: bool) -> None:
    """Turn what the worker recorded back into the error that it was."""
    record: dict[str, Any] = dict(snapshot.status.error or {})
    if fresh:
        discard_untrained(run)
    raise from_record(record, hint=f"see {run.log}")


# A run that stands still while its worker lives: letting it go on, and saying so.

ANSWER_SECONDS = 5.0


def end_pause(run: RunPaths, overrides: Mapping[str, Any]) -> None:
    """Let a paused run go on, as the dashboard does, and give its worker a moment to hear of it.

    Raises:
        RunHeldError: other epochs are asked for, which is an edit, or another device. UnknownRunError: not ours to
        write.
    """
    device, epochs = overrides.get("training.device"), overrides.get("training.epochs")
    if device is not None:
        change = f"`tuiae stop {run.id}`, then `tuiae resume {run.id} --device {device}`"
        raise RunHeldError(f"{run.id} is paused, and its worker keeps its device", change)
    if epochs is not None:
        change = f"`tuiae edit {run.id} training.epochs={epochs}`, then `tuiae resume {run.id}`"
        raise RunHeldError(f"{run.id} is paused, and its worker keeps its number of epochs", change)
    try:
        control.send(run, "resume")
    except OSError as error:
        raise unwritable(run, error, "resume") from error
    deadline = time.monotonic() + ANSWER_SECONDS
    while read_status(run).state == "paused" and time.monotonic() < deadline:
        time.sleep(0.02)


def pause_line(run_id: str, before: str, status: Status) -> str:
    """What to tell of a run whose state was another one `before`; nothing where no pause begins or ends."""
    if status.state == before or not status.live:
        return ""
    if status.state == "paused":
        return f"paused at step {status.step}; `tuiae resume {run_id}` lets it go on"
    return "running again" if before == "paused" else ""


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
