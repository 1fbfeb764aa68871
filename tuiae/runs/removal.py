"""Deleting runs: only real run directories inside the runs directory that no process writes."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path

from tuiae.errors import ConfigError, ExitCode, RunHeldError, UnknownRunError
from tuiae.files import read_bytes
from tuiae.runs.checkpoints import PARENT, pointed
from tuiae.runs.events import parse_event
from tuiae.runs.labels import Label, read_label
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import RunPaths, is_run, unwritable
from tuiae.runs.process import RunLock
from tuiae.runs.reader import read_status


def size_of(run: RunPaths) -> int:
    """The bytes that deleting a run frees; unreadable files count as nothing, and links are not followed."""
    total = 0
    for folder, _, names in os.walk(run.root):
        for name in names:
            with suppress(OSError):  # a live worker replaces its files; the next one is counted in its place
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def dependents(going: Collection[str], rows: Collection[RunRow]) -> tuple[str, ...]:
    """One sentence for each remaining run that was made from a run to be deleted; `going` are ids."""
    said = []
    for row in rows:
        encoder, parent = row.settings.get("model.encoder_run"), row.parent.partition(" at epoch ")[0]
        if row.id in going or not {encoder, parent} & {*going}:
            continue
        source = "it" if len(going) == 1 else encoder if encoder in going else parent
        built = f"was built on {source}, and cannot be repeated without it"
        said.append(f"{row.title} {built if encoder in going else f'was forked from {source}'}")
    return tuple(said)


def discard_untrained(run: RunPaths) -> bool:
    """Remove a run that failed before it trained anything, over its config or its data; returns whether it was removed.

    Only for the process that has just made the run: an older one may belong to somebody.
    """
    status = read_status(run)
    code = (status.error or {}).get("exit_code")
    if status.state != "failed" or code not in (ExitCode.USAGE, ExitCode.DATA) or not _is_empty(run):
        return False
    shutil.rmtree(run.root, ignore_errors=True)
    return True


def _is_empty(run: RunPaths) -> bool:
    """Returns whether a run holds nothing but the record of how it ended, and the name that it was started with; a fork
    has a checkpoint of its parent."""
    begun, label = pointed(run, PARENT), read_label(run)
    if label != Label(name=label.name) or any(run.samples.glob("*.npz")):
        return False
    if any(folder.name != begun for folder in run.weights.glob("step-*")):
        return False
    try:
        records = [parse_event(line) for line in read_bytes(run.events).splitlines()]
    except OSError:
        return False
    # Before its start a worker may have said something of cards and of the precision.
    return all(record is not None and record["kind"] in ("warning", "command", "end") for record in records)


def check_removable(run: RunPaths, root: Path) -> None:
    """Check that `delete_run` may delete a run. Raises ConfigError for a link, UnknownRunError for no run of this runs
    directory, RunHeldError for one in training."""
    if run.root.is_symlink():
        raise ConfigError(f"{run.id} is a link to a run elsewhere", "remove the link with `rm`, and nothing else goes")
    if os.path.realpath(run.root.parent) != os.path.realpath(root) or not is_run(run.root):
        raise UnknownRunError(f"{run.root} is no run of {root}", "`tuiae runs` lists what can be deleted")
    status = read_status(run)
    if status.live:
        raise RunHeldError(f"{run.id} is {status.state}", f"stop it first: `tuiae stop {run.id}`")


def delete_run(run: RunPaths, root: Path) -> None:
    """Delete a run for good. It gets a hidden name first, under its lock, so that no list shows half of it. Raises as
    `check_removable`, and UnknownRunError where it is not ours to delete."""
    check_removable(run, root)
    # A name of 255 bytes is as long as a file system takes, and a character has up to four.
    hidden = root / f".{run.id[:60]}.{secrets.token_hex(2)}.deleted"
    try:
        with closing(RunLock(run)) as lock:
            if not lock.acquire():
                raise RunHeldError(f"{run.id} is held by another process", f"stop it first: `tuiae stop {run.id}`")
            os.rename(run.root, hidden)
        shutil.rmtree(hidden)
    except OSError as error:
        left = f"; what is left of it is in {hidden}" if hidden.exists() else ""
        cause = f"cannot delete {run.id}: {error.strerror or error}{left}"
        raise UnknownRunError(cause, unwritable(run, error, "delete").hint) from error
