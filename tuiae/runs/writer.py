"""The writing side of a run directory; one process at a time, the holder of its lock."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tuiae import __version__
from tuiae.config import RunConfig, dump_config
from tuiae.config.document import fingerprint, parse_toml
from tuiae.errors import TuiaeError, UnknownRunError
from tuiae.files import LineFile, read_json, replace_file, replace_json, replace_text
from tuiae.runs.checkpoints import adopt_checkpoint
from tuiae.runs.labels import check_tags
from tuiae.runs.paths import CONFIG_DIGEST, SCHEMA, RunPaths, is_gone, need_run, new_run_id
from tuiae.runs.process import process_start

HEARTBEAT_SECONDS = 1.0


def create_run(
    config: RunConfig,
    root: Path,
    argv: list[str],
    tags: Sequence[str] = (),
    *,
    meta: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
) -> RunPaths:
    """Make a run directory in state `starting`; it appears whole or not at all.

    `argv` is the command line that asked for it, `meta` more for its meta.json, such as where it comes from, and
    `checkpoint` one of another run with which it begins. Raises ConfigError for a word that is no tag, UnknownRunError
    where the runs directory cannot be written, and TrainingError as `adopt_checkpoint`.
    """
    about = {**describe_machine(argv), "tags": check_tags(tags), **(meta or {})}
    try:
        root.mkdir(parents=True, exist_ok=True)
        run = RunPaths(root / new_run_id(config.name))
        draft = RunPaths(root / f".{run.id}.tmp")
        draft.root.mkdir()
        try:
            _fill(draft, config, about, checkpoint)
            os.rename(draft.root, run.root)
        except BaseException:
            shutil.rmtree(draft.root, ignore_errors=True)
            raise
    except OSError as error:
        hint = "free some space, or point TUIAE_RUNS_DIR at a directory that you may write"
        raise UnknownRunError(f"cannot write runs to {root}: {error.strerror or error}", hint) from error
    return run


def _fill(draft: RunPaths, config: RunConfig, about: Mapping[str, Any], checkpoint: Path | None) -> None:
    """Write the first files of a run directory."""
    for folder in (draft.samples, draft.weights, draft.control):
        folder.mkdir()
    position = adopt_checkpoint(checkpoint, draft) if checkpoint else None
    begun = {"epoch": int(position.epoch), "step": position.step} if position else {}
    status = {"v": SCHEMA, "state": "starting", "heartbeat": time.time(), "epochs": config.training.epochs, **begun}
    text = dump_config(config)
    for path in (draft.config, draft.config_copy):
        replace_text(path, text)
    replace_json(draft.meta, {**about, CONFIG_DIGEST: fingerprint(parse_toml(text))})
    replace_json(draft.status, status)


@contextmanager
def removed_unless_started(run: RunPaths) -> Iterator[None]:
    """Remove a run that was just made where its worker, started inside, cannot be: it would look about to begin."""
    try:
        yield
    except (TuiaeError, KeyboardInterrupt):
        shutil.rmtree(run.root, ignore_errors=True)
        raise


def describe_machine(argv: list[str]) -> dict[str, Any]:
    """Versions, host and commit: the facts needed to repeat or doubt a result. Does not import torch."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        torch_version = "not installed"
    return {
        "v": SCHEMA,
        "tuiae": __version__,
        "torch": torch_version,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "created": time.time(),
        "argv": argv,
        "git_commit": read_commit(Path(__file__).parents[2]),
    }


def read_commit(checkout: Path) -> str:
    """The commit of a checkout in hexadecimal; empty outside one, without a commit, and without git."""
    command = ["git", f"--git-dir={checkout / '.git'}", "rev-parse", "--quiet", "--verify", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


class RunWriter:
    """Events, status, samples. A thread keeps the heartbeat, so that a long phase does not look like a death."""

    def __init__(self, run: RunPaths) -> None:
        self.run = run
        self._events = LineFile(run.events)
        self._sequence = _last_sequence(run.events)
        self._status: dict[str, Any] = {
            **read_json(run.status),
            "v": SCHEMA,
            "pid": os.getpid(),
            "process_start": process_start(os.getpid()),
            "host": socket.gethostname(),
            "error": None,
        }
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        self.heartbeat_error: OSError | None = None
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heart.start()

    def event(self, kind: str, **fields: Any) -> None:
        """Append one record; the file is the run's history and is never rewritten."""
        with self._mutex:
            self._sequence += 1
            self._events.append({"v": SCHEMA, "seq": self._sequence, "time": time.time(), "kind": kind, **fields})

    def status(self, *, now: bool = False, **fields: Any) -> None:
        """Change status fields; they are written with the next heartbeat, or at once with `now`."""
        with self._mutex:
            self._status.update(fields)
            if now:
                self._write_status()

    def sample(self, epoch: int, **arrays: np.ndarray) -> None:
        """Store the sample of an epoch (0: before training) and record the event. Raises UnknownRunError for a run that
        was deleted, and OSError."""
        need_run(self.run)
        self.run.samples.mkdir(exist_ok=True)  # and not the run, if it was deleted this moment
        replace_file(self.run.sample(epoch), lambda file: np.savez(file, allow_pickle=False, **arrays))
        self.event("sample", epoch=epoch)

    def check_heart(self) -> None:
        """Raise the error that kept the heartbeat from being written: its thread cannot."""
        if self.heartbeat_error is not None:
            raise self.heartbeat_error

    def close(self, state: str, error: dict[str, Any] | None = None) -> None:
        """Record how the run ended; after this nothing is written any more."""
        self._ended.set()
        self._heart.join()
        try:
            words = f"{state}: {error['cause']}" if error else state
            self.event("end", state=state, error=error, text=words)
            self._events.sync()
        finally:
            # On a full disk one of the two may still get through, and the status is what readers go by.
            self._events.close()
            self.status(now=True, state=state, error=error)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                with self._mutex:
                    self._write_status()
            except OSError as error:
                # The loop looks here and fails with a sentence; a thread has nobody to tell.
                self.heartbeat_error = error

    def _write_status(self) -> None:
        if is_gone(self.run):
            return  # what was deleted stays deleted
        self._status["heartbeat"] = time.time()
        replace_json(self.run.status, self._status)


def _last_sequence(path: Path) -> int:
    """The highest sequence number in the tail of the event file, so that a resumed run counts on."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            return int(json.loads(line)["seq"])
        except (ValueError, KeyError, TypeError):
            continue
    return 0
