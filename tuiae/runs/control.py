"""Commands to a worker: small files renamed into `control/`, consumed at a step boundary."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import time
from typing import Any

from tuiae.files import read_json, replace_json
from tuiae.runs.paths import RunPaths

COMMANDS = ("pause", "resume", "stop", "save", "set")
"""`set` takes `key` and `value`, as in `runs.edits`."""


def send(run: RunPaths, command: str, **arguments: Any) -> None:
    """Leave a command for the run's worker.

    Raises:
        ValueError: not one of COMMANDS.
        OSError: the run directory is not writable.
    """
    if command not in COMMANDS:
        raise ValueError(f"unknown command {command!r}")
    run.control.mkdir(exist_ok=True)
    # The name carries the order; a random tail keeps two senders of one nanosecond apart.
    name = f"{time.time_ns():020d}-{secrets.token_hex(2)}.json"
    replace_json(run.control / name, {"command": command, "from": os.getpid(), "by": this_user(), **arguments})


def this_user() -> str:
    """Who asks, as user@host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        # A container may run under a number that has no name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def take(run: RunPaths) -> list[dict[str, Any]]:
    """Consume the waiting commands, oldest first; what is no known command is removed and passed over."""
    try:
        names = sorted(name for name in os.listdir(run.control) if name.endswith(".json") and not name.startswith("."))
    except OSError:
        return []
    taken = []
    for name in names:
        path = run.control / name
        record = read_json(path)
        try:
            path.unlink()
        except OSError:
            # A directory, or gone already: carrying it out would mean to do so again at every step.
            continue
        if record.get("command") in COMMANDS:
            taken.append(record)
    return taken
