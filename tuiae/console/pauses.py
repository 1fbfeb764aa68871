"""A run that stands still while its worker lives: letting it go on, and saying so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tuiae.errors import RunHeldError
from tuiae.runs import control
from tuiae.runs.layout import RunPaths, unwritable
from tuiae.runs.reader import read_status
from tuiae.runs.snapshot import Status

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
