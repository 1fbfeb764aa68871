"""Commands to one training: `tuiae run`, `fork`, `resume`, `attach`, `stop`, `edit`."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from tuiae.cli.output import Output, dataset_progress, run_progress
from tuiae.cli.runs import show_curves, show_result
from tuiae.config import SET, RunConfig, build_config, parse_override, read_document
from tuiae.config.presets import find_preset
from tuiae.data.datasets import prepare
from tuiae.errors import ConfigError, ExitCode, RunHeldError, TrainingError, TuiaeError, UnknownRunError, from_record
from tuiae.files import read_json
from tuiae.images import differences
from tuiae.machine import LEAVING
from tuiae.preflight import (
    check,
    check_asked,
    check_device,
    check_same_images,
    current_images,
    warn_of_change,
    warn_of_rise,
)
from tuiae.render.status import cost_facts
from tuiae.runs.checkpoints import all_checkpoints, need_checkpoint, newest_position, read_position
from tuiae.runs.control import Edit, propose, send
from tuiae.runs.labels import check_tags, read_tags
from tuiae.runs.lineage import changes, fork_config, fork_run, need_config, plan_replay, replay_run
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths, is_gone, is_run, list_runs, runs_dir, unwritable
from tuiae.runs.process import (
    Interrupt,
    StandbyWorker,
    describe_death,
    is_held,
    requeue_advice,
    resume_elsewhere,
    start_worker,
)
from tuiae.runs.reader import RunReader, is_original, read_config, read_images, read_status
from tuiae.runs.removal import discard_untrained
from tuiae.runs.snapshot import Snapshot, Status
from tuiae.runs.writer import create_run, removed_unless_started
from tuiae.studies.jobs import is_busy, usefulness

POLL_SECONDS = 0.1
LEAVE_SECONDS = 5.0  # for the last threads of a worker that has ended
ANSWER_SECONDS = 120.0  # for a worker to stop or to edit: a step of the slowest model takes seconds
WAKE_SECONDS = 5.0  # for a paused worker to go on
EVERYWHERE = ("auto", "cpu")  # values of training.device that every machine has


# What was asked for on top of a config.


@dataclass(frozen=True)
class Overrides:
    """Values in place of a config's own."""

    values: dict[str, Any]
    """By dotted key."""
    askers: dict[str, str]
    """The flag that set each key, where it was not `--set`; a message about its value begins with the flag."""


def overrides_of(flags: Mapping[str, Any], noise: str | None = None, settings: Sequence[str] = ()) -> Overrides:
    """The flags that were given, by the key that they are named for, then `--noise`; `--set` has the last word.

    Raises:
        ConfigError: a setting that is not KEY=VALUE, or a level of noise without a kind.
    """
    values = {key: value for key, value in flags.items() if value is not None}
    askers = {key: f"--{key.rpartition('.')[2]}" for key in values}
    if noise is not None:
        values |= parse_noise(noise)
        askers |= dict.fromkeys(("noise.kind", "noise.level"), "--noise")
    given = dict(map(parse_override, settings))
    return Overrides(values | given, {key: asker for key, asker in askers.items() if key not in given})


def parse_noise(text: str) -> dict[str, Any]:
    """`--noise KIND[:LEVEL]` by dotted keys; raises ConfigError for a level without a kind."""
    kind, _, level = text.partition(":")
    if kind.replace(".", "", 1).isdecimal():
        raise ConfigError(f"--noise {text}: a level needs a kind", f"KIND:LEVEL, such as salt-pepper:{kind}")
    return {"noise.kind": kind, **(dict([parse_override(f"noise.level={level}")]) if level else {})}


# Starting. What can fail for the user fails before a run exists.


def run_preset(
    preset: str,
    overrides: Overrides,
    output: Output,
    *,
    tags: Sequence[str] = (),
    replayed: RunPaths | None = None,
    dry: bool = False,
    go_on: bool = False,
    detach: bool = False,
) -> ExitCode:
    """Train a preset: check it, prepare its images, start a worker and follow it; if `dry`, only show the costs.

    With `replayed` the run gets the edits that were made to that one. With `go_on` the same command continues the run
    that it began before.

    Raises:
        TuiaeError: what is wrong with preset, overrides, tags or images; no run was made.
    """
    path, root = find_preset(preset), runs_dir()
    document = read_document(path)
    config = build_config(document, overrides.values, source=str(path), asker=overrides.askers)
    if is_run(path.parent) and not is_original(RunPaths(path.parent), path):
        output.warn([f"{path} is not what {path.parent.name} began with: this is another training"])
    check_asked(overrides.values, overrides.askers, config, root)
    check_tags(tags)
    if go_on and replayed is not None:
        raise ConfigError("--continue and --replay do not go together", "`tuiae resume RUN` goes on with a replay")
    config = make_ready(config, root, output)
    if dry:
        _show_cost(config, root, output)
        return ExitCode.OK
    if replayed is None:
        if go_on and (begun := find_begun(config, tags, root)) is not None:
            return _go_on(begun, output, detach=detach)
        meta = {"preset": str(document.get("name") or config.name)}
        return _set_off(lambda: create_run(config, root, sys.argv, tags, meta=meta), output, detach=detach)
    replay = plan_replay(replayed, config)
    output.warn((*replay.warnings, *_warn_of_other_images(replayed, config)))
    return _set_off(lambda: replay_run(replay, config, root, sys.argv, tags), output, detach=detach)


def _warn_of_other_images(replayed: RunPaths, config: RunConfig) -> tuple[str, ...]:
    """The warning that a replay makes the edits of a run of other images."""
    before, now = read_images(replayed), current_images(config)
    what = "; ".join(differences(before, now)) if before is not None and now is not None else ""
    return (f"{replayed.id} trained on other images than {config.data.dataset} has now: {what}",) if what else ()


def start_fork(
    source: RunPaths,
    start: str,
    overrides: Overrides,
    output: Output,
    *,
    detach: bool = False,
    other_images: bool = False,
) -> ExitCode:
    """Continue from a checkpoint of a run with other settings, as a run of its own.

    Raises:
        ConfigError: an override is wrong, or a fork cannot change it. NoCheckpointError: no such checkpoint.
        OtherImagesError: the images are others now, and not `other_images`.
    """
    checkpoint, root = need_checkpoint(source, start), runs_dir()
    config = fork_config(source, checkpoint, overrides.values, overrides.askers)
    # The checkpoint holds the encoder: the run that it was taken from may be gone.
    make_ready(build_config(config.model_dump(mode="json"), {"model.encoder_run": ""}), root, output)
    if not other_images:
        check_same_images(source, _again("fork", source, start, overrides))
    moment = read_position(checkpoint)
    output.warn(warn_of_rise(need_config(source, moment.step), config, moment.epoch))
    make = partial(fork_run, source, checkpoint, config, root, sys.argv)
    return _set_off(make, output, detach=detach, other_images=other_images)


def _again(command: str, run: RunPaths, start: str, overrides: Overrides) -> str:
    """The command line that asks for the same."""
    words = [f"{overrides.askers.get(key, f'{SET} {key}')}={value}" for key, value in overrides.values.items()]
    return " ".join(["tuiae", command, run.id, *([f"--from {start}"] if start else []), *words])


def make_ready(config: RunConfig, root: Path, output: Output) -> RunConfig:
    """Check a config and prepare its images; returns the config as it can run."""
    devices = None if config.training.device in EVERYWHERE else _list_devices()
    checked = check(config, root, devices)
    output.warn(checked.warnings)
    with dataset_progress(output) as report:
        dataset = prepare(checked.config.data.dataset, checked.config.data.image_size, progress=report)
    output.warn(dataset.notes)
    return checked.config


def _list_devices() -> list[str]:
    """The devices of this machine. Imports torch: for an accelerator that was asked for by name."""
    from tuiae.training.setup import list_devices

    return list_devices()


def _set_off(make: Callable[[], RunPaths], output: Output, *, detach: bool, other_images: bool = False) -> ExitCode:
    # A signal from here on is for the run.
    with (interrupt := Interrupt()).listening():
        run = make()
        with removed_unless_started(run):
            process = start_worker(run, other_images=other_images)
        if not detach:
            output.note(f"run {run.id}")
        return follow_to_end(run, output, process, interrupt, detach=detach, fresh=True)


def _show_cost(config: RunConfig, root: Path, output: Output) -> None:
    """Try a few steps in a worker's environment, and show what they cost; makes no run.

    Raises:
        TuiaeError: what the run would fail with.
    """
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


# Continuing.


def resume_run(
    run: RunPaths, overrides: Overrides, output: Output, *, detach: bool = False, other_images: bool = False
) -> ExitCode:
    """Continue from the newest checkpoint; the worker of a paused run continues it.

    `overrides` may hold training.epochs, which stays, and training.device, for this worker alone.

    Raises:
        OtherImagesError: the images are others now, and not `other_images`.
        RunHeldError: it is still running. ConfigError: it is already finished. UnknownRunError: not ours to write.
        DeviceError: this machine has no such device. TrainingError: no worker can be started.
    """
    if read_status(run).state == "paused":
        _end_pause(run, overrides.values)
        return follow_to_end(run, output, detach=detach)
    with (interrupt := Interrupt()).listening():
        try:
            process = _start_again(run, overrides, output, other_images)
        except OSError as error:
            raise unwritable(run, error, "resume") from error
        # Until then the status is an earlier worker's.
        _wait_until(lambda: process.poll() is not None or read_status(run).pid == process.pid, math.inf)
        _check_begun(run, process)
        return follow_to_end(run, output, process, interrupt, detach=detach)


def find_begun(config: RunConfig, tags: Sequence[str], root: Path) -> RunPaths | None:
    """The run that a command with this config and these tags began, forks and replays left out: a finished one first,
    then a live one, then the one that came furthest."""
    found = []
    for run in list_runs(root):
        meta = read_json(run.meta)
        if not {"parent", "replay"} & {*meta} and {*tags} <= {*read_tags(meta)} and read_config(run) == config:
            found.append(run)
    return max(found, key=lambda run: usefulness(read_status(run)), default=None)


def _go_on(run: RunPaths, output: Output, *, detach: bool) -> ExitCode:
    """Continue a run; one that another process trains is waited for, and a finished one shown."""
    with (interrupt := Interrupt()).listening():
        while is_busy(run) and not detach and read_status(run).state != "finished":
            output.note(f"{run.id} is held by another process: waiting for its end")
            if _follow(run, output, None, interrupt)[1]:
                return ExitCode.HELD
            _wait_until(lambda: bool(interrupt.count) or not is_busy(run), LEAVE_SECONDS)
    if read_status(run).state == "finished" or is_busy(run):
        return follow_to_end(run, output, detach=detach)
    return resume_run(run, Overrides({}, {}), output, detach=detach)


def _end_pause(run: RunPaths, overrides: Mapping[str, Any]) -> None:
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
    send(run, "resume")
    _wait_until(lambda: read_status(run).state != "paused", WAKE_SECONDS)


def _start_again(run: RunPaths, overrides: Overrides, output: Output, other_images: bool) -> subprocess.Popen[bytes]:
    # A worker that has written its last status needs a moment to leave.
    _wait_until(lambda: not is_held(run) or read_status(run).live, LEAVE_SECONDS)
    if is_held(run):
        raise RunHeldError(f"{run.id} is still running", f"watch it with `tuiae attach {run.id}`, or stop it first")
    config = wanted = need_config(run)
    if overrides.values:
        wanted = build_config(config.model_dump(mode="json"), overrides.values, asker=overrides.askers)
    status = read_status(run)
    # The status may be ahead: the last save failed, or its worker was killed during it.
    done = status.epoch if status.state == "finished" else int(newest_position(run).epoch)
    if done >= wanted.training.epochs:
        raise _nothing_left(run.id, done, config.training.epochs, wanted.training.epochs)
    device = wanted.training.device
    if device not in EVERYWHERE:
        asked = "training.device" in overrides.values
        check_device(device, _list_devices(), *(() if asked else (resume_elsewhere(run),)))
    if not other_images:
        check_same_images(run, _again("resume", run, "", overrides))
    output.warn(warn_of_change(config, wanted, done))
    # The worker records the changes, and not before it can train: of a run that was refused they would be untrue.
    return start_worker(run, asked=changes(config, wanted), other_images=other_images)


def _nothing_left(run_id: str, done: int, planned: int, wanted: int) -> ConfigError:
    if done < planned:
        hint = f"`tuiae resume {run_id}` continues to epoch {planned}; --epochs names the last epoch, not how many more"
        return ConfigError(f"{run_id} has done {done} epochs already: nothing is left up to epoch {wanted}", hint)
    hint = f"ask for more, counted from the first: tuiae resume {run_id} --epochs {2 * done}"
    return ConfigError(f"{run_id} has done its {done} epochs", hint)


def _check_begun(run: RunPaths, process: subprocess.Popen[bytes]) -> None:
    """Raise TuiaeError where our worker ended before it wrote a status: what the status says is older."""
    code, status = process.poll(), read_status(run)
    if code is None or status.pid == process.pid:
        return
    _check_refusal(status, process)
    if code == ExitCode.HELD:
        raise _held_by_another(run)
    last = RunReader(run.root).read_all().log[-1:]
    raise TrainingError(": ".join((f"the worker of {run.id} could not begin", *last)), f"see {run.log}")


def _check_refusal(status: Status, process: subprocess.Popen[bytes] | None) -> None:
    """Raise TuiaeError where our worker could not go on with a run, and left it as it was."""
    if process is not None and status.refusal is not None and status.refusal.get("pid") == process.pid:
        raise from_record(status.refusal)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds, and return whether it came to that in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# Following


def follow_to_end(
    run: RunPaths,
    output: Output,
    process: subprocess.Popen[bytes] | None = None,
    interrupt: Interrupt | None = None,
    *,
    detach: bool = False,
    fresh: bool = False,
) -> ExitCode:
    """Follow a run to its end and say how it ended, in words and in the exit code; if `detach`, leave it at once.

    Ctrl-C, as noted by `interrupt`, stops our own worker, `process`; without one it ends the following, not the run.
    Neither does a hang-up end it. A `fresh` run was made by this very command.
    """
    if detach:
        if output.json:
            output.document({"run": run.id, "dir": str(run.root), "state": read_status(run).state})
        output.line(run.id)
        output.note(f"watch it with `tuiae attach {run.id}`, stop it with `tuiae stop {run.id}`")
        return ExitCode.OK
    began = time.time()
    interrupt = interrupt or Interrupt()
    snapshot, left = _follow(run, output, process, interrupt)
    if left and interrupt.last in LEAVING:
        with suppress(OSError, TuiaeError):  # the terminal may be gone
            output.note(f"{run.id} goes on; come back with `tuiae attach {run.id}`")
        sys.exit(128 + interrupt.last)
    if left and process is None:
        output.note(f"left running; come back with `tuiae attach {run.id}`")
        return ExitCode.OK
    if left:
        output.note(f"the worker is saving; continue later with `tuiae resume {run.id}`", "yellow")
        return ExitCode.STOPPED
    output.warn(note.text for note in snapshot.notes if note.kind == "warning" and note.time >= began)
    _check_ending(run, snapshot, process, fresh=fresh)
    if output.json:
        output.document(summarise(snapshot))
    else:
        show_result(snapshot, output)
        show_curves(snapshot, output)
    if snapshot.status.state == "stopped":
        output.note(f"stopped early; continue with: tuiae resume {run.id}", "yellow")
        if interrupt.count and (advice := requeue_advice(run)):
            output.note(advice)
        return ExitCode.STOPPED
    return ExitCode.OK


def _follow(
    run: RunPaths, output: Output, process: subprocess.Popen[bytes] | None, interrupt: Interrupt
) -> tuple[Snapshot, bool]:
    """Show a run until it ends; returns its last snapshot, and whether it was left running.

    With its own `process` an interrupt stops the run (and a second Ctrl-C leaves it to finish its save); otherwise, and
    where the terminal goes away, it only ends the following.
    """
    reader, asked = RunReader(run.root), False
    leaving = [number for number in LEAVING if signal.getsignal(number) != signal.SIG_IGN]  # as under nohup
    with interrupt.listening(*leaving), run_progress(output) as show:
        while True:
            # The process is looked at first: what it wrote before it ended is then in the snapshot.
            ended = process is not None and process.poll() is not None
            snapshot = reader.poll()
            if not snapshot.status.live or ended:
                snapshot = reader.read_all()
                show(snapshot)
                return snapshot, False
            if interrupt.count and (process is None or interrupt.insists or interrupt.last in LEAVING):
                return snapshot, True
            show(snapshot)
            if interrupt.count and process is not None and not asked:
                asked = True
                process.terminate()
                output.note("stopping: saving at the next step (Ctrl-C again not to wait for it)", "yellow")
            time.sleep(POLL_SECONDS)


def _check_ending(
    run: RunPaths, snapshot: Snapshot, process: subprocess.Popen[bytes] | None = None, *, fresh: bool = False
) -> None:
    """Raise TuiaeError for a run that did not end with a checkpoint saved."""
    state = snapshot.status.state
    _check_refusal(snapshot.status, process)
    if is_gone(run):
        raise TrainingError(f"{run.id} is gone: its directory was deleted or moved", "`tuiae run` starts another one")
    if state == "failed":
        if fresh:
            discard_untrained(run)
        raise from_record(snapshot.status.error or {}, hint=f"see {run.log}")
    if state == "unknown" and process is None:
        hint = f"see {run.status}; `tuiae resume {run.id}` continues from its newest checkpoint"
        raise UnknownRunError(f"the status of {run.id} cannot be read", hint)
    if state not in ("finished", "stopped"):
        code = None
        if process is not None:
            with suppress(subprocess.TimeoutExpired):  # its last threads may not leave
                code = process.wait(LEAVE_SECONDS)
        if code == ExitCode.HELD:
            raise _held_by_another(run)
        go_on = "continue" if all_checkpoints(run) else "begin again at the first step"
        hint = f"see {run.log}, and {go_on} with `tuiae resume {run.id}`"
        raise TrainingError(f"{run.id}: {describe_death(run, code)}", hint)


def _held_by_another(run: RunPaths) -> RunHeldError:
    """The error for a run that another process writes."""
    return RunHeldError(f"{run.id} is held by another process", f"`tuiae attach {run.id}` watches it")


# Stopping and editing.


def stop_run(run: RunPaths, output: Output) -> None:
    """Ask a run to save and stop, and wait until it has.

    Raises:
        TrainingError: it did not answer in time. TuiaeError: it failed, or its worker died.
    """
    if read_status(run).live:
        send(run, "stop")
        if not _wait_until(lambda: not read_status(run).live, ANSWER_SECONDS):
            kill = f"kill -9 {read_status(run).pid}"
            raise TrainingError(f"{run.id} has not stopped within {ANSWER_SECONDS:.0f} s", kill)
    snapshot = RunReader(run.root).read_all()
    _check_ending(run, snapshot)
    if output.json:
        output.document(summarise(snapshot))
    output.line(f"{run.id}: {snapshot.status.state}")


def edit_run(run: RunPaths, settings: Sequence[str], output: Output) -> None:
    """Ask a live run's worker for each `key=value`, and wait until all are in force.

    Raises:
        ConfigError: the run is not live, or a setting that cannot be changed so; nothing was asked then.
        TrainingError: the worker did not answer in time. UnknownRunError: somebody else's run.
    """
    reader = RunReader(run.root)
    snapshot = reader.read_all()
    before = snapshot.current_config
    if before is None or not snapshot.status.live:
        cause = f"{run.id} is {snapshot.status.state}: there is no training to change"
        raise ConfigError(cause, "`tuiae fork` continues from a checkpoint with other settings")
    config, wanted = before, dict(map(parse_override, settings))
    for key, value in wanted.items():
        config = propose(config, key, value, snapshot.status.epoch)
    for key, value in wanted.items():
        send(run, "set", key=key, value=value)
    output.warn(warn_of_change(before, config, snapshot.status.epoch))
    made = _await_edits(reader, len(snapshot.edits), config, len(wanted))
    if output.json:
        output.document([{"key": one.key, "old": one.old, "new": one.new, "step": one.step} for one in made])
    for one in made:
        output.line(f"{one.key}: {one.old} -> {one.new} at step {one.step}")


def _await_edits(reader: RunReader, known: int, config: RunConfig, asked: int) -> tuple[Edit, ...]:
    """The edits after the first `known` ones, once there are as many as were asked for or `config` is in force."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        snapshot = reader.poll()
        made = snapshot.edits[known:]
        if len(made) >= asked or snapshot.current_config == config:
            return made
        if not snapshot.status.live:
            raise TrainingError(f"{snapshot.id} ended before it was changed", "continue it with `tuiae resume`")
        if time.monotonic() > deadline:
            cause = f"{snapshot.id} has not answered within {ANSWER_SECONDS:.0f} s"
            raise TrainingError(cause, f"see {reader.run.log}")
        time.sleep(0.05)
