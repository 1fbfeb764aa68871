"""`tuiae reproduce WORK` as a process of its own: started, found again by whoever looks later, and interrupted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tuiae.errors import RunHeldError, UnknownRunError
from tuiae.files import read_json, replace_json
from tuiae.runs.paths import REPORTS
from tuiae.runs.process import is_alive, process_start

TAIL = 4096  # bytes of the log in which its last line is looked for


@dataclass(frozen=True)
class WorkProcess:
    """Who runs a work, and since when."""

    pid: int
    start: str
    """As the system words it: with the pid it names one process for good."""
    host: str
    quick: bool
    since: float

    @property
    def alive(self) -> bool:
        return self.host == socket.gethostname() and is_alive(self.pid, self.start)


def log_path(root: Path, work: str) -> Path:
    return root / REPORTS / f"{work}.log"


def _record_path(root: Path, work: str) -> Path:
    return root / REPORTS / f"{work}.process.json"


def find_process(root: Path, work: str) -> WorkProcess | None:
    """The process that was last started for a work here, whether or not it still lives; None without one."""
    record = read_json(_record_path(root, work))
    try:
        return WorkProcess(
            int(record["pid"]),
            str(record["start"]),
            str(record["host"]),
            record["quick"] is True,
            float(record["since"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def start_work(root: Path, path: Path, *, quick: bool) -> subprocess.Popen[bytes]:
    """Run the work of a file, or go on, in a session of its own, so that neither Ctrl-C nor a hang-up reaches it.

    Raises:
        RunHeldError: it runs already. UnknownRunError: the runs directory cannot be written.
    """
    work = path.stem
    before = find_process(root, work)
    if before is not None and before.alive:
        raise RunHeldError(f"{work} runs already", "x stops it; what is done is kept")
    log, record = log_path(root, work), _record_path(root, work)
    command = [sys.executable, "-m", "tuiae.cli", "reproduce", *(["--quick"] if quick else []), "--plain", str(path)]
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "TUIAE_RUNS_DIR": str(root)},
            )
        found = {"pid": process.pid, "start": process_start(process.pid), "host": socket.gethostname()}
        replace_json(record, {"v": 1, **found, "quick": quick, "since": time.time()})
    except OSError as error:
        raise UnknownRunError(
            f"cannot run {work} in {root}: {error.strerror or error}", "is the runs directory yours to write?"
        ) from error
    return process


def stop_work(root: Path, work: str) -> bool:
    """Interrupt a work as Ctrl-C would, so that its trainings save and a later start goes on; False when none runs.

    Raises:
        UnknownRunError: it belongs to somebody else.
    """
    found = find_process(root, work)
    if found is None or not found.alive:
        return False
    try:
        os.kill(found.pid, signal.SIGINT)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise UnknownRunError(f"{work} was started by another user", "stop it as that user") from error
    return True


def last_words(root: Path, work: str) -> str:
    """The last line of a work's log; empty when there is none."""
    try:
        with open(log_path(root, work), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
