"""The writing side of a run directory; one process at a time, the holder of its lock."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tuiae import __version__
from tuiae.config import RunConfig, dump_config
from tuiae.config.document import fingerprint, parse_toml
from tuiae.errors import RunHeldError, TuiaeError, UnknownRunError
from tuiae.files import (
    LineFile,
    as_number,
    fsync_directory,
    is_count,
    make_directory,
    make_way,
    open_regular,
    overwrite_json,
    read_json,
    replace_file,
    replace_json,
    replace_text,
    writable_advice,
)
from tuiae.images import ImageRecord, with_absolute_path
from tuiae.runs.checkpoints import adopt_checkpoint
from tuiae.runs.events import parse_event
from tuiae.runs.labels import check_tags
from tuiae.runs.paths import CONFIG_DIGEST, LIVE_STATES, SCHEMA, RunPaths, is_gone, need_run, new_run_id, tell_lists
from tuiae.runs.process import process_start
from tuiae.runs.reader import STALE_SECONDS
from tuiae.source import kept, read_source, trust

HEARTBEAT_SECONDS = 1.0
LIVE_SECONDS = 0.2  # between live points; each one waits for the device
MOST_LIVE_SECONDS = 10.0
LIVE_POINTS = 5000  # until they come farther apart: more than any screen has columns
DRAFT = re.compile(r"\.\d{8}-\d{6}-.*\.(tmp|deleted)")
OLD_SECONDS = 3600.0  # a draft is written within seconds


def create_run(
    config: RunConfig,
    root: Path,
    argv: list[str],
    tags: Sequence[str] = (),
    *,
    meta: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
    images: ImageRecord | None = None,
) -> RunPaths:
    """Make a run directory in state `starting`; it appears whole or not at all.

    `argv` is the command line that asked for it, and `meta` holds more for its meta.json, such as its parent. A run can
    begin from a `checkpoint` of another run; `images` are then those that the other run trained on. Raises ConfigError
    for a word that is no tag, UnknownRunError where the runs directory cannot be written, and TrainingError as
    `adopt_checkpoint`, ConfigError as `read_source`.
    """
    about = {**describe_machine(argv), "tags": check_tags(tags), **(meta or {})}

    def fill(draft: RunPaths) -> None:
        _fill(draft, _with_own_code(draft, with_absolute_path(config)), about, checkpoint)
        if images is not None:
            write_images(draft, images)

    return _make_run(config.name, root, fill)


def create_tracked(
    name: str,
    root: Path,
    argv: list[str],
    tags: Sequence[str] = (),
    *,
    settings: Mapping[str, Any],
    epochs: int = 0,
    began: float | None = None,
    meta: Mapping[str, Any] | None = None,
) -> RunPaths:
    """Make a run directory, in state `starting`, for a program of somebody's own. `settings` are its own by dotted key,
    of JSON's kinds; `began` is when it did, if not now, in seconds since the epoch; `meta` holds more for its
    meta.json. Raises as `create_run`."""
    about = {**describe_machine(argv, Path.cwd()), "tags": check_tags(tags), **(meta or {})}
    status = {"v": SCHEMA, "state": "starting", "heartbeat": time.time(), "epochs": epochs, "settings": {}}

    def fill(draft: RunPaths) -> None:
        for folder in (draft.samples, draft.control):
            folder.mkdir()
        replace_json(draft.tracked, {"v": SCHEMA, "settings": settings})
        replace_json(draft.meta, about if began is None else {**about, "created": began})
        replace_json(draft.status, status)

    return _make_run(name, root, fill, began)


def _make_run(name: str, root: Path, fill: Callable[[RunPaths], None], began: float | None = None) -> RunPaths:
    """A run directory with what `fill` writes into its draft."""
    try:
        make_directory(root)
        _remove_run_drafts(root)
        run = RunPaths(root / new_run_id(name, began))
        while run.root.exists():  # somebody made one in this very second, and drew the same number
            run = RunPaths(root / new_run_id(name, began))
        draft = RunPaths(root / f".{run.id}.tmp")
        draft.root.mkdir(mode=0o700)  # for its user alone; who wants to share it may open it
        try:
            fill(draft)
            os.rename(draft.root, run.root)
        except BaseException:
            shutil.rmtree(draft.root, ignore_errors=True)
            raise
    except OSError as error:
        cause = f"cannot write runs to {root}: {error.strerror or error}"
        raise UnknownRunError(cause, writable_advice(error, "TUIAE_RUNS_DIR")) from error
    return run


def _with_own_code(draft: RunPaths, config: RunConfig) -> RunConfig:
    """The config with a copy of its file in the run, if a custom network is made by one: whoever makes a run lets that
    file run. Raises ConfigError as `read_source` and as `trust`."""
    if not config.model.is_custom:
        return config
    source = read_source(config.model)
    trust(source)
    draft.code.mkdir()
    replace_file(draft.code / source.file, lambda file: file.write(source.content))
    return kept(config)


def _remove_run_drafts(root: Path) -> None:
    """Remove what those who were killed left of runs that they were making, or deleting."""
    for name in os.listdir(root):
        if DRAFT.fullmatch(name) and is_old(root / name):
            shutil.rmtree(root / name, ignore_errors=True)


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


def settle_config(run: RunPaths, config: RunConfig) -> None:
    """Put the config of a run that has not trained yet in place of the one that left something to the machine. At every
    moment both files say what the run began with, the one or the other."""
    text, meta = dump_config(config), read_json(run.meta)
    digest = fingerprint(parse_toml(text))
    replace_json(run.meta, {**meta, CONFIG_DIGEST: [meta.get(CONFIG_DIGEST), digest]})
    for path in (run.config, run.config_copy):
        replace_text(path, text)
    replace_json(run.meta, {**meta, CONFIG_DIGEST: digest})


def write_images(run: RunPaths, record: ImageRecord, before: ImageRecord | None = None) -> None:
    """Record which images a run trains on from here on, and those that it trained on before, if these are others."""
    earlier = read_json(run.images).get("earlier")
    known = [*(earlier if isinstance(earlier, list) else []), *([] if before is None else [asdict(before)])]
    replace_json(run.images, {"v": SCHEMA, **asdict(record), "earlier": known})


def live_interval(trained: float) -> float:
    """Seconds from a live point to the next in a run that has trained for so many: the history of a day holds 28,000
    of them and not 432,000, which no screen can tell apart. What is measured after an epoch is kept whole."""
    return min(max(LIVE_SECONDS, trained / LIVE_POINTS), MOST_LIVE_SECONDS)


@contextmanager
def removed_unless_started(run: RunPaths) -> Iterator[None]:
    """Remove a run that was just made where its worker, started inside, cannot be: it would look about to begin."""
    try:
        yield
    except (TuiaeError, KeyboardInterrupt):
        shutil.rmtree(run.root, ignore_errors=True)
        raise


BEAT_SECONDS = 5.0


@contextmanager
def alone(root: Path, tag: str) -> Iterator[Callable[[], None]]:
    """No two processes carry out one study, the runs of a tag, on a folder: both would make the same runs. What is
    yielded is called again and again to show other hosts, which may not see this one's locks, that it goes on.

    Raises:
        RunHeldError: somebody else does. UnknownRunError: the runs directory cannot be written.
    """
    path, seen = root / f".{tag.replace(':', '-')}.lock", 0.0
    try:
        make_directory(root)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        cause = f"cannot write to {root}: {error.strerror or error}"
        raise UnknownRunError(cause, writable_advice(error, "TUIAE_RUNS_DIR")) from error

    def beat() -> None:
        nonlocal seen
        if time.time() - seen > BEAT_SECONDS:
            seen = time.time()
            record = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "heartbeat": seen})
            with suppress(OSError):  # the disk is full for the moment
                os.pwrite(lock, record.ljust(512).encode(), 0)

    try:
        if who := _holder(path, lock):
            raise RunHeldError(f"{tag} is carried out by {who}", "wait for it, or stop it; what it did is kept")
        beat()
        try:
            yield beat
        finally:
            os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _holder(path: Path, lock: int) -> str:
    """Who else carries out the study of a lock file, in words; empty where nobody does: then the lock is taken."""
    other, is_held = read_json(path), False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        is_held = True
    except OSError:
        pass  # a network's file system may have no locks
    if other.get("host") not in (None, socket.gethostname()):
        is_held |= abs(time.time() - (as_number(other.get("heartbeat")) or 0.0)) < STALE_SECONDS
    return f"process {other.get('pid', '?')} on {other.get('host', 'another host')}" if is_held else ""


def describe_machine(argv: list[str], checkout: Path = Path(__file__).parents[2]) -> dict[str, Any]:
    """Versions, host and commit, the latter of the program's `checkout`: the facts needed to repeat or doubt a result.
    Does not import torch."""
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
        "git_commit": read_commit(checkout),
    }


def read_commit(checkout: Path) -> str:
    """The commit of a checkout in hexadecimal; empty outside one, without a commit, and without git."""
    command = ["git", f"--git-dir={checkout / '.git'}", "rev-parse", "--quiet", "--verify", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


class RunWriter:
    """Events, status, samples. A thread keeps the heartbeat, so that a long phase does not look like a death.

    Events and status that the disk does not take are tried again with every heartbeat, and the status says so.
    """

    def __init__(self, run: RunPaths) -> None:
        """Raises OSError where nothing can be written to the run."""
        self.run = run
        remove_drafts(run)
        self._events = LineFile(run.events)
        self._sequence = _last_sequence(run.events)
        self._status: dict[str, Any] = {
            **read_json(run.status),
            "v": SCHEMA,
            "pid": os.getpid(),
            "process_start": process_start(os.getpid()),
            "tuiae": __version__,
            "host": socket.gethostname(),
            "error": None,
            "refusal": None,
        }
        if self._status.get("state") not in LIVE_STATES:
            tell_lists(run)
        self._unwritten: dict[str, str] = {}
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heart.start()

    def event(self, kind: str, **fields: Any) -> None:
        """Append one record; the file is the run's history and is never rewritten."""
        with self._mutex:
            self._sequence += 1
            record = {"v": SCHEMA, "seq": self._sequence, "time": time.time(), "kind": kind, **fields}
            self._try(lambda: self._events.append(record))

    def status(self, *, now: bool = False, **fields: Any) -> None:
        """Change status fields; they are written with the next heartbeat, or at once with `now`."""
        with self._mutex:
            self._status.update(fields)
            if now:
                with suppress(OSError):  # the next heartbeat tries again
                    self._write_status()

    def note_unwritten(self, what: str, error: OSError | None) -> None:
        """Let the status say what the disk does not take at this moment; without an `error`, that it does again."""
        if error is None:
            self._unwritten.pop(what, None)
        else:
            self._unwritten[what] = error.strerror or str(error)

    @property
    def trouble(self) -> str:
        """What the disk does not take at this moment, in words; empty where it takes everything."""
        missing = dict(self._unwritten)
        reason = next(iter(missing.values()), "")
        return f"{reason}: {', '.join(missing)} wait to be written" if missing else ""

    def sample(self, epoch: int, **arrays: np.ndarray) -> None:
        """Store the sample of an epoch (0: before training) and record the event. Raises UnknownRunError for a run that
        was deleted, and OSError."""
        self._store(self.run.sample(epoch), arrays)
        self.event("sample", epoch=epoch)

    def step_sample(self, step: int, epoch: float, **arrays: np.ndarray) -> None:
        """Store what the network makes of the images after a single step within an epoch, in place of what was there
        of an earlier one; raises as `sample`."""
        self._store(self.run.step_sample, arrays)
        self.event("sample", step=step, epoch=float(epoch))

    def _store(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        need_run(self.run)
        make_way(self.run.samples, os.path.isdir)
        self.run.samples.mkdir(exist_ok=True)  # and not the run, if it was deleted this moment
        make_way(path)
        replace_file(path, lambda file: np.savez(file, allow_pickle=False, **arrays))

    def sync(self) -> None:
        """Make everything that was written so far durable: what a checkpoint remembers is never measured again.

        Raises OSError where something still waits.
        """
        with self._mutex:
            self._events.flush()
        self._events.sync()
        if self.run.samples.is_dir():
            fsync_directory(self.run.samples)

    def close(self, state: str, error: dict[str, Any] | None = None, heartbeat: float | None = None) -> None:
        """Record how the run ended, by `heartbeat` if that was not now; after this nothing is written any more. Raises
        OSError where not even the status can say it."""
        words = f"{state}: {error['cause']}" if error else state
        self._end(words, {**self._status, "state": state, "error": error}, error, heartbeat)

    def withdraw(self, before: dict[str, Any], refusal: dict[str, Any]) -> None:
        """Leave a run that could not be gone on with as it was `before`, by its status, and record why; raises as
        `close`."""
        words = f"{before.get('state')} as before, it could not go on: {refusal['cause']}"
        self._end(words, {**before, "refusal": {**refusal, "pid": os.getpid()}}, refusal, before.get("heartbeat"))

    def _end(
        self, words: str, status: dict[str, Any], error: dict[str, Any] | None, heartbeat: float | None = None
    ) -> None:
        self._ended.set()
        self._heart.join()
        self.event("end", state=status.get("state"), error=error, text=words)
        with suppress(OSError):  # what is not on the disk by now was not in a checkpoint either
            self.sync()
        self._events.close()
        with self._mutex:
            self._status = status
            self._write_status(heartbeat)

    def _try(self, write: Callable[[], object]) -> None:
        """Write events; what the disk does not take waits for the next time."""
        try:
            write()
        except OSError as error:
            self.note_unwritten("events", error)
        else:
            self.note_unwritten("events", None)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            with self._mutex, suppress(OSError):  # the next one tries again
                self._try(self._events.flush)
                self._write_status()

    def _write_status(self, heartbeat: float | None = None) -> None:
        if is_gone(self.run):
            return  # what was deleted stays deleted
        self._status |= {"heartbeat": time.time() if heartbeat is None else heartbeat, "trouble": self.trouble}
        try:
            replace_json(self.run.status, self._status)
        except OSError:
            overwrite_json(self.run.status, self._status)


def remove_drafts(run: RunPaths) -> None:
    """Remove the drafts that a worker of this run left when it was killed: only the holder of its lock writes these.
    Commands and labels come from others too: of theirs only old drafts go."""
    files = (run.status, run.images, run.meta, run.config, run.config_copy)
    ours = ("weights/.*.tmp", "samples/.*.tmp", *(f".{file.name}.*.tmp" for file in files))
    for pattern in (*ours, ".*.tmp", "control/.*.tmp"):
        for draft in run.root.glob(pattern):
            if pattern not in ours and not is_old(draft):
                continue
            if draft.is_dir() and not draft.is_symlink():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                with suppress(OSError):
                    draft.unlink()


def is_old(path: Path) -> bool:
    """Returns whether nobody has written to a draft for an hour."""
    try:
        return time.time() - path.stat().st_mtime > OLD_SECONDS
    except OSError:
        return False


def _last_sequence(path: Path) -> int:
    """The highest sequence number in the tail of the event file, so that a resumed run counts on."""
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
        lines = file.read(65536).splitlines()
    records = (parse_event(line) or {} for line in reversed(lines))
    return next((number for record in records if is_count(number := record.get("seq"))), 0)
