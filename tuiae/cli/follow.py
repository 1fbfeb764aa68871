"""Following a run to its end, as `tuiae run` and `attach` do, and commands to its worker: `pause`, `stop`, `edit`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

from tuiae.cli.output import Output, run_progress
from tuiae.cli.runs import findings, show_curves, show_result
from tuiae.config import RunConfig, parse_override
from tuiae.errors import ConfigError, ExitCode, RunHeldError, TrainingError, TuiaeError, UnknownRunError, from_record
from tuiae.machine import LEAVING, Interrupt
from tuiae.preflight import warn_of_change
from tuiae.render.text import count, harmless, number
from tuiae.runs.checkpoints import all_checkpoints
from tuiae.runs.control import Edit, check_setting, end_worker, propose, send, waited
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths, is_gone, is_tracked
from tuiae.runs.reader import RunReader, describe_death, first_traceback, read_status
from tuiae.runs.removal import discard_untrained
from tuiae.runs.snapshot import Snapshot, Status
from tuiae.training.failure import requeue_advice

POLL_SECONDS = 0.1
LEAVE_SECONDS = 5.0  # for the last threads of a worker that has ended
KILL_SECONDS = 20.0  # after a stop was asked for, by whomever, before `--kill` ends the worker
ANSWER_SECONDS = 120.0  # for a worker to stop or to edit: a step of the slowest model takes seconds


def check_refusal(status: Status, process: subprocess.Popen[bytes] | None) -> None:
    """Raise TuiaeError where our worker could not go on with a run, and left it as it was."""
    if process is not None and status.refusal is not None and status.refusal.get("pid") == process.pid:
        raise from_record(status.refusal)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds, and return whether it came to that in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


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
    # Longer than other functions, so that every way in which a command ends is seen at once.
    if detach:
        if output.json:
            output.document({"run": run.id, "dir": str(run.root), "state": read_status(run).state})
        output.line(run.id)
        output.note(f"watch it with `tuiae attach {run.id}`, stop it with `tuiae stop {run.id}`")
        return ExitCode.OK
    interrupt = interrupt or Interrupt()
    snapshot, left = follow(run, output, process, interrupt)
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
    _check_ending(run, snapshot, process, fresh=fresh)
    if output.json:
        output.document(summarise(snapshot))
    else:
        show_result(snapshot, output)
        show_curves(snapshot, output)
        for finding in findings(snapshot):
            output.line(f"finding: {finding}", "yellow")
    if snapshot.status.state == "stopped" and snapshot.tracked is None:
        output.note(f"stopped early; continue with: tuiae resume {run.id}", "yellow")
        if interrupt.count and (advice := requeue_advice(run)):
            output.note(advice)
    return ExitCode.STOPPED if snapshot.status.state == "stopped" else ExitCode.OK


def follow(
    run: RunPaths, output: Output, process: subprocess.Popen[bytes] | None, interrupt: Interrupt
) -> tuple[Snapshot, bool]:
    """Show a run until it ends, and what it warns of meanwhile; returns its last snapshot, and whether it was left
    running.

    With its own `process` an interrupt stops the run (and a second Ctrl-C leaves it to finish its save); otherwise, and
    where the terminal goes away, it only ends the following.
    """
    reader, asked, began = RunReader(run.root), False, time.time()
    leaving = [number for number in LEAVING if signal.getsignal(number) != signal.SIG_IGN]  # as under nohup
    with interrupt.listening(*leaving), run_progress(output) as show:
        while True:
            # The process is looked at first: what it wrote before it ended is then in the snapshot.
            ended = process is not None and process.poll() is not None
            snapshot = reader.poll()
            if over := ended or not snapshot.status.live:
                snapshot = reader.read_all()
            output.warn(note.text for note in snapshot.notes if note.kind == "warning" and note.time >= began)
            if over:
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
    check_refusal(snapshot.status, process)
    if is_gone(run):
        raise TrainingError(f"{run.id} is gone: its directory was deleted or moved", "`tuiae run` starts another one")
    if state == "failed":
        error = from_record(snapshot.status.error or {}, hint=f"see {run.log}")
        if fresh:
            error.add_note(harmless(first_traceback(run)))  # --debug shows it; the log may be gone
            discard_untrained(run)
        raise error
    if state == "unknown" and process is None:
        hint = f"see {run.status}; `tuiae resume {run.id}` continues from its newest checkpoint"
        raise UnknownRunError(f"the status of {run.id} cannot be read", hint)
    if state not in ("finished", "stopped"):
        code = None
        if process is not None:
            with suppress(subprocess.TimeoutExpired):  # its last threads may not leave
                code = process.wait(LEAVE_SECONDS)
        if code == ExitCode.HELD:
            raise held_by_another(run)
        if is_tracked(run):
            raise TrainingError(f"{run.id}: its program is gone", _way_on(run))
        raise TrainingError(f"{run.id}: {describe_death(run, code)}", f"see {run.log}, and {_way_on(run)}")


def _way_on(run: RunPaths) -> str:
    """What to do with a run that has lost its worker, or its program."""
    if is_tracked(run):
        return f"start it again with tuiae.track(resume={run.id!r})"
    go_on = "continue" if all_checkpoints(run) else "begin again at the first step"
    return f"{go_on} with `tuiae resume {run.id}`"


def held_by_another(run: RunPaths) -> RunHeldError:
    """The error for a run that another process writes."""
    return RunHeldError(f"{run.id} is held by another process", f"`tuiae attach {run.id}` watches it")


def pause_run(run: RunPaths, steps: int, output: Output) -> None:
    """Ask a live run to pause, after `steps` where there are any, and wait until it has.

    Raises:
        ConfigError: the run is not live. TrainingError: it did not answer in time, or its worker died.
    """
    before = read_status(run)
    if not before.live:
        hint = "start its program again" if is_tracked(run) else "`tuiae resume` goes on with a run that was stopped"
        raise ConfigError(f"{run.id} is {before.state}: there is no training to pause", hint)
    if steps:
        send(run, "step", steps=steps)
    else:
        send(run, "pause")

    began = known = before.step if steps else -1
    deadline = time.monotonic() + ANSWER_SECONDS
    while (status := read_status(run)).live and not (status.state == "paused" and status.step != began):
        if status.step != known:
            known, deadline = status.step, time.monotonic() + ANSWER_SECONDS  # many steps take their time
        if time.monotonic() > deadline:
            raise TrainingError(f"{run.id} has not answered within {ANSWER_SECONDS:.0f} s", _where_to_look(run))
        time.sleep(0.02)
    snapshot = RunReader(run.root).read_all()
    if snapshot.status.state != "paused":
        _check_ending(run, snapshot)
    status, loss = snapshot.status, snapshot.latest("live", "loss")
    if output.json:
        output.document({"run": run.id, "state": status.state, "step": status.step, "live_loss": loss})
    output.line(f"{run.id}: {status.state} at step {count(status.step)}, loss {number(loss)}")


def _where_to_look(run: RunPaths) -> str:
    """What to look at where a run does not answer."""
    return "its loop answers where it calls should_stop() or setting()" if is_tracked(run) else f"see {run.log}"


def stop_run(run: RunPaths, output: Output, *, kill: bool = False) -> ExitCode:
    """Ask a run to save and stop, and wait until it has; with `kill`, end a worker that does not answer.

    Raises:
        TrainingError: it did not answer in time. TuiaeError: it failed, or its worker died by itself.
    """
    killed = False
    if read_status(run).live:
        before = waited(run, "stop") or 0.0
        with suppress(UnknownRunError) if kill else nullcontext():
            send(run, "stop")
        patience = max(KILL_SECONDS - before, 0.0) if kill else ANSWER_SECONDS
        if not wait_until(lambda: not read_status(run).live, patience):
            if not kill:
                ends = "its program" if is_tracked(run) else "its worker, and what came after its last checkpoint"
                hint = f"`tuiae stop --kill {run.id}` ends {ends}"
                raise TrainingError(f"{run.id} has not stopped within {ANSWER_SECONDS:.0f} s", hint)
            end_worker(run, read_status(run))
            wait_until(lambda: not read_status(run).live, LEAVE_SECONDS)
            killed = read_status(run).state == "lost"
    snapshot = RunReader(run.root).read_all()
    if not killed:
        _check_ending(run, snapshot)
    if output.json:
        output.document(summarise(snapshot))
    output.line(f"{run.id}: {'killed, as it did not answer' if killed else snapshot.status.state}")
    if killed:
        output.note(_way_on(run))
    return ExitCode.TRAINING if killed else ExitCode.OK


def edit_run(run: RunPaths, settings: Sequence[str], output: Output) -> None:
    """Ask a live run's worker for each `key=value`, and wait until all are in force.

    Raises:
        ConfigError: the run is not live, or a setting that cannot be changed so; nothing was asked then.
        TrainingError: the worker did not answer in time. UnknownRunError: somebody else's run.
    """
    reader = RunReader(run.root)
    snapshot = reader.read_all()
    before, wanted = snapshot.current_config, dict(map(parse_override, settings))
    if not snapshot.status.live or (before is None and snapshot.tracked is None):
        cause = f"{run.id} is {snapshot.status.state}: there is no training to change"
        hint = (
            "start its program again"
            if is_tracked(run)
            else "`tuiae fork` continues from a checkpoint with other settings"
        )
        raise ConfigError(cause, hint)
    if before is None:
        _edit_tracked(reader, snapshot, wanted, output)
        return
    config = before
    for key, value in wanted.items():
        config = propose(config, key, value, snapshot.status.epoch)
    for key, value in wanted.items():
        send(run, "set", key=key, value=value)
    output.warn(warn_of_change(before, config, snapshot.status.epoch))
    _show_edits(_await_edits(reader, len(snapshot.edits), config, len(wanted)), output)


def _edit_tracked(reader: RunReader, snapshot: Snapshot, wanted: Mapping[str, Any], output: Output) -> None:
    """`edit_run` of a tracked run, whose loop says what may be changed."""
    current = snapshot.status.settings or {}
    values = {key: check_setting(current, key, value) for key, value in wanted.items()}
    changed = {key: value for key, value in values.items() if value != current[key]}
    for key, value in changed.items():
        send(reader.run, "set", key=key, value=value)
    _show_edits(_await_edits(reader, len(snapshot.edits), None, len(changed)), output)


def _show_edits(made: Sequence[Edit], output: Output) -> None:
    if output.json:
        output.document([{"key": one.key, "old": one.old, "new": one.new, "step": one.step} for one in made])
    for one in made:
        output.line(f"{one.key}: {one.old} -> {one.new} at step {one.step}")


def _await_edits(reader: RunReader, known: int, config: RunConfig | None, asked: int) -> tuple[Edit, ...]:
    """The edits after the first `known` ones, once there are as many as were asked for or `config` is in force."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        snapshot = reader.poll()
        made = snapshot.edits[known:]
        if len(made) >= asked or (config is not None and snapshot.current_config == config):
            return made
        if not snapshot.status.live:
            hint = "start its program again" if is_tracked(reader.run) else "continue it with `tuiae resume`"
            raise TrainingError(f"{snapshot.id} ended before it was changed", hint)
        if time.monotonic() > deadline:
            cause = f"{snapshot.id} has not answered within {ANSWER_SECONDS:.0f} s"
            raise TrainingError(cause, _where_to_look(reader.run))
        time.sleep(0.05)
