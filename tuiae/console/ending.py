"""How a training ended: in words, and in the exit code."""

from __future__ import annotations

import subprocess
from typing import Any

from tuiae.console.output import Output
from tuiae.console.tables import show_result
from tuiae.errors import ExitCode, RunHeldError, TrainingError, UnknownRunError, from_record
from tuiae.runs.layout import RunPaths, is_gone
from tuiae.runs.removal import discard_unbegun
from tuiae.runs.snapshot import Snapshot
from tuiae.runs.summary import summarise


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
        code = process.poll() if process is not None else None
        if code == ExitCode.HELD:
            raise RunHeldError(f"{run.id} is held by another process", f"`tuiae attach {run.id}` watches it")
        how = f"the worker died (signal {-code})" if code is not None and code < 0 else "the worker died"
        raise TrainingError(f"{run.id}: {how}", f"see {run.log}, and go on with `tuiae resume {run.id}`")


def _raise_failure(run: RunPaths, snapshot: Snapshot, *, fresh: bool) -> None:
    """Turn what the worker recorded back into the error that it was."""
    record: dict[str, Any] = dict(snapshot.status.error or {})
    if fresh:
        discard_unbegun(run)
    raise from_record(record, hint=f"see {run.log}")
