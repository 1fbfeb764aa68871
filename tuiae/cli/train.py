"""`tuiae run`, `fork`, `resume`, `attach`, `stop`: starting a worker, following it, and saying how it ended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from tuiae.cli.follow import LEAVE_SECONDS, check_begun, check_ending, conclude, end_pause, follow
from tuiae.cli.output import Output
from tuiae.config import RunConfig, build_config
from tuiae.data.dataset import DOWNLOADING, OnProgress
from tuiae.data.datasets import prepare
from tuiae.errors import ConfigError, ExitCode, RunHeldError, TrainingError
from tuiae.preflight import check, check_device
from tuiae.render.status import cost_facts
from tuiae.runs import control
from tuiae.runs.checkpoints import need_checkpoint, newest_position
from tuiae.runs.labels import check_tags
from tuiae.runs.lineage import changes, fork_config, fork_run, need_config, plan_replay, replay_run
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths, unwritable
from tuiae.runs.process import StandbyWorker, is_held, resume_elsewhere, start_worker
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.writer import create_run, removed_unless_started

# How much of a dataset has come, beside its bar.


class Amount(ProgressColumn):
    """`3.1/9.9 MB` of a download, `10,000/70,000 images` of what is prepared, nothing where the end is not known."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = DownloadColumn()

    def render(self, task: Task) -> Text:
        if task.description.startswith(DOWNLOADING):
            return self._bytes.render(task)
        if task.total is None:
            return Text()
        return Text(f"{task.completed:,.0f}/{task.total:,.0f} images", "progress.download")


STOP_SECONDS = 120.0  # a step of the slowest model here takes seconds, its save less
_EVERYWHERE = ("auto", "cpu")
"""Values of training.device that every machine has."""


def start(
    config: RunConfig,
    root: Path,
    output: Output,
    *,
    detach: bool,
    tags: Sequence[str] = (),
    replayed: RunPaths | None = None,
    preset: str = "",
) -> ExitCode:
    """Check, prepare the images, start a worker and follow it; what can fail for the user fails before a run exists.

    With `replayed` the run gets the edits that were made to that one. `preset` is the name of what it is made from.
    """
    check_tags(tags)
    config = make_ready(config, root, output)
    if replayed is None:
        run = create_run(config, root, sys.argv, tags, meta={"preset": preset or config.name})
    else:
        replay = plan_replay(replayed, config)
        for warning in replay.warnings:
            output.note(f"note: {warning}", "yellow")
        run = replay_run(replay, config, root, sys.argv, tags)
    return _set_off(run, output, detach=detach)


def fork(
    source: RunPaths,
    start: str,
    overrides: Mapping[str, Any],
    askers: Mapping[str, str],
    root: Path,
    output: Output,
    *,
    detach: bool,
) -> ExitCode:
    """Go on from a checkpoint of a run with other settings, as a run of its own; `askers` as for `build_config`.

    Raises:
        ConfigError: an override is wrong, or not a fork's to change. TrainingError: no such checkpoint.
    """
    checkpoint = need_checkpoint(source, start)
    config = fork_config(source, checkpoint, overrides, askers)
    # The checkpoint holds the encoder: the run that it was taken from may be gone.
    make_ready(build_config(config.model_dump(mode="json"), {"model.encoder_run": ""}), root, output)
    return _set_off(fork_run(source, checkpoint, config, root, sys.argv), output, detach=detach)


def make_ready(config: RunConfig, root: Path, output: Output) -> RunConfig:
    """The config as it can run, its images prepared."""
    devices = None if config.training.device in _EVERYWHERE else _ask_devices()
    checked = check(config, root, devices)
    for warning in checked.warnings:
        output.note(f"note: {warning}", "yellow")
    with reporting(output) as report:
        prepare(checked.config.data.dataset, checked.config.data.image_size, progress=report)
    return checked.config


def _set_off(run: RunPaths, output: Output, *, detach: bool) -> ExitCode:
    with removed_unless_started(run):
        process = start_worker(run)
    if detach:
        return _detached(run, output)
    output.note(f"run {run.id}")
    return _see_through(run, process, output, fresh=True)


def resume(
    run: RunPaths, overrides: Mapping[str, Any], askers: Mapping[str, str], output: Output, *, detach: bool
) -> ExitCode:
    """Go on from the newest checkpoint; a paused run is let go on by its own worker.

    `overrides` may hold training.epochs, which stays, and training.device, for this worker alone; `askers` as for
    `build_config`.

    Raises:
        RunHeldError: it is still running. ConfigError: it is already finished. UnknownRunError: not ours to write.
        DeviceError: this machine has no such device. TrainingError: no worker can be started.
    """
    if read_status(run).state == "paused":
        end_pause(run, overrides)
        return _detached(run, output) if detach else attach(run, output)
    try:
        process = _go_on(run, overrides, askers)
    except OSError as error:
        raise unwritable(run, error, "resume") from error
    _await_start(run, process)
    if detach:
        return _detached(run, output)
    return _see_through(run, process, output, fresh=False)


def _go_on(run: RunPaths, overrides: Mapping[str, Any], askers: Mapping[str, str]) -> subprocess.Popen[bytes]:
    if not _is_free(run):
        raise RunHeldError(f"{run.id} is still running", f"watch it with `tuiae attach {run.id}`, or stop it first")
    config = need_config(run)
    wanted = build_config(config.model_dump(mode="json"), dict(overrides), asker=askers) if overrides else config
    status = read_status(run)
    # The status may be ahead: the last save failed, or its worker was killed during it.
    done = status.epoch if status.state == "finished" else int(newest_position(run).epoch)
    if done >= wanted.training.epochs:
        raise _done_already(run.id, done, config.training.epochs, wanted.training.epochs)
    word = wanted.training.device
    if word not in _EVERYWHERE:
        check_device(word, _ask_devices(), *(() if "training.device" in overrides else (resume_elsewhere(run),)))
    # The worker notes them in the history, and not before it can train: of a run that was refused it would be untrue.
    return start_worker(run, asked=changes(config, wanted))


def _done_already(run_id: str, done: int, meant: int, wanted: int) -> ConfigError:
    if done < meant:
        hint = f"`tuiae resume {run_id}` goes on to epoch {meant}; --epochs names the last epoch, not how many more"
        return ConfigError(f"{run_id} stands at epoch {done} already: nothing to do up to epoch {wanted}", hint)
    hint = f"give more, counted from the first: tuiae resume {run_id} --epochs {2 * done}"
    return ConfigError(f"{run_id} has done its {done} epochs", hint)


def _is_free(run: RunPaths) -> bool:
    """Whether nobody writes the run; a worker that has said its last word gets the moment that it needs to leave."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while is_held(run):
        if read_status(run).live or time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _await_start(run: RunPaths, process: subprocess.Popen[bytes]) -> None:
    """Wait until the status is the new worker's and no longer how the run ended before; raises TuiaeError where it
    never is."""
    while process.poll() is None and read_status(run).pid != process.pid:
        time.sleep(0.02)
    check_begun(run, process)


def attach(run: RunPaths, output: Output) -> ExitCode:
    """Follow a run that goes on by itself; Ctrl-C ends the following, not the run."""
    snapshot, left = follow(run, output)
    if left:
        output.note(f"left running; come back with `tuiae attach {run.id}`")
        return ExitCode.OK
    return conclude(run, snapshot, output)


def stop(run: RunPaths, output: Output) -> ExitCode:
    """Ask a run to save and stop, and wait until it has.

    Raises:
        TrainingError: it did not answer in time. TuiaeError: it failed, or its worker died.
    """
    if read_status(run).live:
        _send_stop(run)
        deadline = time.monotonic() + STOP_SECONDS
        while (status := read_status(run)).live:
            if time.monotonic() > deadline:
                raise TrainingError(f"{run.id} has not stopped for {STOP_SECONDS:.0f} s", f"kill -9 {status.pid}")
            time.sleep(0.05)
    snapshot = RunReader(run.root).read_all()
    check_ending(run, snapshot)
    if output.json:
        output.document(summarise(snapshot))
    output.line(f"{run.id}: {snapshot.status.state}")
    return ExitCode.OK


def _send_stop(run: RunPaths) -> None:
    try:
        control.send(run, "stop")
    except OSError as error:
        raise unwritable(run, error, "stop") from error


def _detached(run: RunPaths, output: Output) -> ExitCode:
    if output.json:
        output.document({"run": run.id, "dir": str(run.root), "state": read_status(run).state})
    output.line(run.id)
    output.note(f"watch it with `tuiae attach {run.id}`, stop it with `tuiae stop {run.id}`")
    return ExitCode.OK


def _see_through(run: RunPaths, process: subprocess.Popen[bytes], output: Output, *, fresh: bool) -> ExitCode:
    """Follow our worker; a `fresh` run was made by this very command."""
    snapshot, left = follow(run, output, process)
    if left:
        output.note(f"the worker is saving; go on later with `tuiae resume {run.id}`", "yellow")
        return ExitCode.STOPPED
    return conclude(run, snapshot, output, process, fresh=fresh)


def _ask_devices() -> list[str]:
    """Imports torch: only worth it when an accelerator is asked for by name."""
    from tuiae.training.setup import list_devices

    return list_devices()


@contextmanager
def reporting(output: Output) -> Iterator[OnProgress]:
    """A progress bar for downloads and decoding; on no terminal, a line for each phase."""
    if not output.lively:
        told: set[str] = set()

        def tell(phase: str, done: int, total: int) -> None:
            if phase not in told:
                told.add(phase)
                output.note(phase)

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), Amount())
    with Progress(*columns, console=output.progress, transient=True) as progress:
        tasks: dict[str, Any] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(phase, total=total or None)
            progress.update(tasks[phase], completed=done, total=total or None)

        yield show


# `tuiae run --dry-run`: what a run would cost.


def show_cost(config: RunConfig, root: Path, output: Output) -> None:
    """Try a few steps in a worker's environment, and show what they cost; no run is made.

    Raises:
        TuiaeError: what the run would fail with.
    """
    config = make_ready(config, root, output)
    # A process like the run's own: its threads and its allocator are set where it starts, and a batch that takes all
    # memory takes it and not this one.
    worker = StandbyWorker()
    try:
        cost = worker.dry_run(config, root)
    finally:
        worker.dismiss()
        worker.process.wait()
    if output.json:
        output.document({"name": config.name, "dataset": config.data.dataset, **cost})
        return
    output.line(f"{config.name} on {config.data.dataset}: a dry run, nothing is kept", "bold")
    for label, value, style in cost_facts(cost):
        output.line(Text(f"{label:<12}", "dim").append(value, style))
