"""How a training ended: in words, and in the exit code."""

from __future__ import annotations

import subprocess
from typing import Any

from tuiae.console.output import Output
from tuiae.console.tables import show_result
from tuiae.errors import ExitCode, RunHeldError, TrainingError, UnknownRunError, from_record
from tuiae.runs.layout import RunPaths, is_gone
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.removal import discard_unbegun
from tuiae.runs.snapshot import Snapshot
from tuiae.runs.summary import summarise

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
        discard_unbegun(run)
    raise from_record(record, hint=f"see {run.log}")
