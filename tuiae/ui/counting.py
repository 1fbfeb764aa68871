"""Which actions a run takes as it stands; the line of keys shows no others."""

from __future__ import annotations

from tuiae.runs.layout import GONE
from tuiae.runs.snapshot import Status

WHILE_LIVE = ("pause", "stop", "save", "edit")
"""Actions that reach a worker."""
OF_A_RUN = (*WHILE_LIVE, "resume", "fork", "fill_form")
"""Actions that depend on the run."""
OVER = ("finished", GONE, "unknown")
"""States in which nothing is left to go on with."""


def run_takes(action: str, status: Status | None, kept: bool) -> bool:
    """Whether one of these actions does something to a run that stands like that; None without a run.

    `kept` says that it has a checkpoint.
    """
    if status is None:
        return False
    if action in WHILE_LIVE:
        return status.live
    if action == "resume":
        return not status.live and status.state not in OVER
    return kept or action != "fork"
