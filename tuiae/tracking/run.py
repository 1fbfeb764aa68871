"""`tuiae.track`: a training loop of somebody's own writes a run directory, and hears what is asked of it there.

Whatever happens to the record, the loop goes on: nothing here waits for a disk or a device, and nothing raises once the
run has begun. `warnings` says, once, what could not be recorded.
"""

from __future__ import annotations

import atexit
import dataclasses
import math
import os
import re
import signal
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

import numpy as np

from tuiae.errors import ConfigError, RunHeldError, TrainingError, TuiaeError, UnknownRunError
from tuiae.files import as_number, open_append, read_json
from tuiae.runs.control import Value
from tuiae.runs.labels import LONGEST_NAME, relabel
from tuiae.runs.paths import RunPaths, is_tracked, runs_dir
from tuiae.runs.process import RunLock
from tuiae.runs.query import find_run
from tuiae.runs.reader import is_written_elsewhere
from tuiae.runs.writer import create_tracked
from tuiae.tracking.arrays import (
    MOST_CODES,
    MOST_IMAGES,
    as_classes,
    as_counts,
    as_pictures,
    as_points,
    hold,
    hold_number,
)
from tuiae.tracking.recorder import BATCHES, Recorder

RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "LOCAL_RANK")
"""Where launchers say which of several processes this is, the widest first."""
PAUSE_SECONDS = 0.2  # between looks of a loop that pauses: Ctrl-C ends it at once
CLOSE_SECONDS = 30.0  # for a disk to take what is left
LAST_SECONDS = 5.0  # the same, where a signal ends the program: who sent it kills what stays
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a program which does nothing about them."""
MOST_SETTINGS, MOST_TEXT = 1000, 200
T = TypeVar("T")


def track(
    name: str | os.PathLike[str] = "run",
    config: Any = None,
    *,
    epochs: int = 0,
    steps_per_epoch: int = 0,
    tags: Sequence[str] = (),
    resume: str | os.PathLike[str] | None = None,
    rank: int | None = None,
) -> TrackedRun:
    """Begin a run that this program trains: `tuiae` lists it, draws it, pauses, stops and edits it.

    `name` becomes a part of its id; with a folder before it, `folder/name`, the run lies in that folder and not among
    all others. `config` is a mapping, a dataclass or a namespace, whatever keys it has. `epochs` is how many there will
    be, by default the `epochs` of the config; with the `steps_per_epoch` the first epoch is drawn to scale. `resume` is
    a tracked run to go on with, by its id or its path: points that lie beyond the first new one are dropped.

    Of several processes (torchrun, srun, mpirun; `rank` where they do not say) only that of rank 0 records. In all
    others nothing is done: their `should_stop` is False, so let rank 0 tell them.

    Where no run can be written, on a full disk, the loop runs untracked and `warnings` says why. Raises ConfigError for
    what is wrong with the arguments, UnknownRunError for a run that is not there, RunHeldError for one that is written.
    """
    # Longer than other functions by what it has to say of its arguments.
    named = _rank() if rank is None else rank
    if named:
        return TrackedRun(None, None)
    settings = flatten(config)
    planned = settings.get("epochs", settings.get("training.epochs"))
    epochs = epochs or (planned if isinstance(planned, int) else 0)
    if resume is not None:
        return _go_on(resume, epochs, steps_per_epoch)
    folder, title = os.path.split(os.fspath(name))
    root = Path(folder).expanduser().absolute() if folder else runs_dir()
    if folder and not root.is_dir():
        raise ConfigError(f"{root} is no folder for runs", "make it first, or give a name alone")
    short = short_name(title)
    if not short:
        raise ConfigError(f"name {title!r}: a run's name needs a letter or a digit", "choose another name")
    try:
        run = create_tracked(short, root, sys.argv, tags, settings=settings, epochs=epochs)
        if short != title:
            relabel(run, name=title)
        return _begin(run, epochs, steps_per_epoch)
    except (UnknownRunError, OSError) as error:
        _warn(f"the loop runs untracked: {error}")
        return TrackedRun(None, None)


def short_name(title: str) -> str:
    """The part of a run's id that stands for a name of whatever characters; empty without a letter or a digit."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", title).strip("-_")[:LONGEST_NAME]


def _go_on(resume: str | os.PathLike[str], epochs: int, steps_per_epoch: int) -> TrackedRun:
    path = Path(os.fspath(resume)).expanduser()
    run = RunPaths(path.absolute()) if is_tracked(RunPaths(path)) else find_run(str(resume), runs_dir())
    if not is_tracked(run):
        raise ConfigError(f"{run.id} was trained by tuiae, and by no program of its own", f"tuiae resume {run.id}")
    try:
        return _begin(run, epochs, steps_per_epoch)
    except OSError as error:
        _warn(f"the loop runs untracked: {run.root} cannot be written: {error.strerror or error}")
        return TrackedRun(None, None)


def _begin(run: RunPaths, epochs: int, steps_per_epoch: int) -> TrackedRun:
    """Take the lock of a run, and start its recorder; raises RunHeldError, and OSError."""
    lock = RunLock(run)
    if not lock.acquire() or is_written_elsewhere(run):
        lock.close()
        raise RunHeldError(f"{run.id} is held by another process", f"`tuiae attach {run.id}` watches it")
    known = read_json(run.status)
    before = known.get("epochs")
    said: set[str] = set()

    def warn(kind: str, text: str) -> None:
        if kind not in said:
            said.add(kind)
            _warn(text)

    recorder = Recorder(run, known, epochs or (before if isinstance(before, int) else 0), steps_per_epoch, warn)
    recorder.start()
    return TrackedRun(recorder, lock)


def _rank() -> int:
    """The number of this process among those that train together, by the first variable that says it; 0 alone."""
    found = (os.environ.get(name, "") for name in RANKS)
    return next((int(word) for word in found if word.isdecimal()), 0)


def _warn(text: str) -> None:
    """Say something once; also where warnings are errors, which must not end a training."""
    try:
        warnings.warn(f"tuiae: {text}", RuntimeWarning, stacklevel=2)
    except RuntimeWarning:
        sys.stderr.write(f"tuiae: {text}\n")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """The settings in a config of whatever kind by dotted key, with values that JSON has; others as their words."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    elif config is not None and not isinstance(config, Mapping):
        config = getattr(config, "__dict__", {})
    flat: dict[str, Any] = {}
    for key, value in (config or {}).items():
        if isinstance(value, Mapping) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
            flat |= flatten(value, f"{prefix}{key}.")
        elif not str(key).startswith("_"):
            flat[f"{prefix}{key}"[:MOST_TEXT]] = _plain(value)
        if len(flat) > MOST_SETTINGS:
            break
    return flat


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value[:MOST_TEXT]]
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)[:MOST_TEXT]


class TrackedRun:
    """A run that a program of one's own writes. As a context manager it says how the loop ended; else `finish` does, or
    the end of the program."""

    def __init__(self, recorder: Recorder | None, lock: RunLock | None) -> None:
        """Without a recorder nothing is done: another process records, or none can."""
        self._recorder, self._lock, self._process = recorder, lock, os.getpid()
        self.id = recorder.run_paths.id if recorder is not None else ""
        """The id of the run; empty where nothing is recorded."""
        self.path = recorder.run_paths.root if recorder is not None else None
        """The run directory; None where nothing is recorded."""
        self._before: dict[int, Any] = {}
        if recorder is not None:
            atexit.register(self._exit)
            _leave_to_parent(self)
            self._listen()

    @property
    def _active(self) -> Recorder | None:
        """The recorder, in the process that began the run: a forked one, as of a data loader, never writes."""
        return self._recorder if self._process == os.getpid() else None

    # What the loop tells.

    def log(self, *, step: int | None = None, epoch: float | None = None, split: str = "train", **values: Any) -> None:
        """Record values by name: numbers, or tensors of one number, which no device is asked for here.

        `split` is `train` for batches, whose means over each epoch are recorded too; anything else is an evaluation,
        and the first one that a run has is what curves call test. `epoch` is the number of the one under way, as
        `range` counts, or a float: epochs done, with a fraction. Without a step they are counted; without epochs the
        run is shown by its steps.
        """
        recorder = self._active
        if recorder is None:
            return
        held = {}
        for name, value in values.items():
            try:
                if value is not None:
                    held[name] = hold_number(value)
            except Exception as error:  # noqa: BLE001 - a value that is no number must not end a training
                recorder.warn(f"value {name}", f"{name} is not recorded: {error}")
        try:
            at = None if step is None else int(step)
            if epoch is not None:
                epoch = float(epoch) if isinstance(epoch, float) else int(epoch)
            hand = recorder.hand_batch if split in BATCHES else recorder.hand
            hand("log", time.time(), at, epoch, split, held)
        except Exception as error:  # noqa: BLE001 - as above: a step or an epoch may be anything
            recorder.warn(f"log {error}", f"not recorded: {error}")

    def images(self, inputs: Any, reconstructions: Any = None, *, noisy: Any = None, **labels: Any) -> None:
        """Record pictures of this epoch: up to 64 of (N, H, W), (N, C, H, W) or (N, H, W, C), floats 0 to 1 or whole
        numbers 0 to 255. `labels` and `predictions` (N,) say what they are, `classes` what these are called."""
        given = {"inputs": inputs, "reconstructions": reconstructions, "noisy": noisy}
        names = labels.pop("classes", ())

        def make(held: Mapping[str, Any]) -> dict[str, np.ndarray]:
            arrays: dict[str, np.ndarray] = {name: as_pictures(held[name]) for name in given if name in held}
            classes = tuple(map(str, names))
            for name in ("labels", "predictions"):
                if name in held:
                    arrays[name], classes = as_classes(held[name], classes)
            return arrays | _names(classes)

        self._hand_sample({**given, **labels}, MOST_IMAGES, make)

    def codes(self, codes: Any, labels: Any = None, *, classes: Sequence[str] = ()) -> None:
        """Record codes (N, latent) of this epoch, up to 2,000, and their labels (N,), numbers or names."""

        def make(held: Mapping[str, Any]) -> dict[str, np.ndarray]:
            count = len(held["codes"])
            found, names = as_classes(held.get("labels", np.zeros(count, np.int32)), classes)
            return {"codes": as_points(held["codes"], found), "code_labels": found[:count], **_names(names)}

        self._hand_sample({"codes": codes, "labels": labels}, MOST_CODES, make)

    def confusion(self, matrix: Any, classes: Sequence[str] = ()) -> None:
        """Record the confusion matrix (classes, classes) of this epoch, rows the true class."""
        self._hand_sample(
            {"matrix": matrix}, None, lambda held: {"confusion": as_counts(held["matrix"]), **_names(classes)}
        )

    def _hand_sample(self, given: Mapping[str, Any], most: int | None, make: Any) -> None:
        recorder = self._active
        if recorder is None:
            return
        try:
            held = {name: hold(values, most) for name, values in given.items() if values is not None}
            recorder.hand("sample", lambda: make(held))
        except Exception as error:  # noqa: BLE001 - pictures that cannot be taken must not end a training
            recorder.warn(f"sample {error}", f"not recorded: {error}")

    # What the loop asks.

    def should_stop(self) -> bool:
        """Returns whether somebody pressed x. While the run is paused this waits until it goes on, which is the pause:
        call it between two steps."""
        recorder = self._active
        if recorder is None or recorder.stopped:
            return recorder is not None
        left = recorder.steps_left
        if left is None:
            return False
        if left > 0:
            recorder.steps_left = left - 1
            return False
        recorder.hand("state", "paused")
        while recorder.steps_left == 0 and not recorder.stopped and recorder.is_alive():
            recorder.changed.wait(PAUSE_SECONDS)
            recorder.changed.clear()
        if recorder.steps_left is not None and recorder.steps_left > 0:
            recorder.steps_left -= 1
        recorder.hand("state", "running")
        return recorder.stopped

    def setting(self, name: str, value: T) -> T:
        """A number that may be edited while the loop runs: `value`, or what somebody put in its place."""
        recorder = self._active
        number: Value | None = None
        with suppress(TypeError, ValueError, AttributeError):
            number = value if type(value) in (int, float) else value.item()  # type: ignore[attr-defined,assignment]
        if recorder is None:
            return value
        if isinstance(number, bool) or as_number(number) is None:
            recorder.warn(f"setting {name}", f"setting {name!r}: {value!r} is no number, and cannot be edited")
            return value
        edited = recorder.edits.get(name)
        recorder.settings[name] = number if edited is None else edited  # type: ignore[assignment]
        if edited is None:
            return value
        kind: Any = type(value)
        return kind(edited) if kind.__module__ in ("builtins", "numpy") else edited  # type: ignore[return-value]

    # The end.

    def finish(self, error: BaseException | None = None) -> None:
        """Say that the loop has ended, or by which error; what comes after is not recorded. A second call does
        nothing."""
        self._finish(error, CLOSE_SECONDS)

    def _finish(self, error: BaseException | None, patience: float) -> None:
        recorder = self._active
        if recorder is None or self._lock is None:
            return
        self._recorder = None
        atexit.unregister(self._exit)
        self._listen_no_more()
        state, record = _ending(error, recorder)
        if record is not None and error is not None:
            with suppress(OSError), open_append(recorder.run_paths.log) as log:
                log.write("".join(traceback.format_exception(error)).encode(errors="replace"))
        if not recorder.close(state, record, patience):
            recorder.warn("slow", f"the disk of {recorder.run_paths.root} does not answer: the end is not recorded")
        self._lock.close()

    def __enter__(self) -> TrackedRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.finish(error)

    def _exit(self) -> None:
        """The program ends; the interpreter remembers an error that ended it."""
        error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
        self.finish(error)

    # Signals that would end the program are let through once the run says so; where the program has handlers of its own
    # these are left alone. Python calls a handler between two of its instructions, as it does for Ctrl-C.

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                before = signal.getsignal(number)
                if before is signal.SIG_DFL or getattr(before, "__func__", None) is TrackedRun._end_by:
                    self._before[number] = before
                    signal.signal(number, self._end_by)

    def _listen_no_more(self) -> None:
        for number in self._before:
            left: Any = signal.getsignal(number)
            while getattr(left, "__func__", None) is TrackedRun._end_by and left.__self__._active is None:
                left = left.__self__._before[number]
            with suppress(ValueError):  # another thread than the main one cannot
                if left != signal.getsignal(number):
                    signal.signal(number, left)

    def _end_by(self, number: int, frame: FrameType | None) -> None:
        """Say that a signal ended the loop, and let it end the program."""
        if (recorder := self._active) is not None:
            recorder.hand("note", f"its program was ended by {signal.Signals(number).name}", "warning")
            self._finish(KeyboardInterrupt(), LAST_SECONDS)
        before = self._before[number]
        if callable(before):  # of another run of this program
            before(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _leave(self) -> None:
        """Let go of the lock in a forked process: else it would hold the run after its parent has died."""
        self._listen_no_more()
        if self._lock is not None and self._recorder is not None:
            self._lock.close()
            self._lock = None


def _leave_to_parent(run: TrackedRun) -> None:
    known = weakref.ref(run)

    def leave() -> None:
        if (found := known()) is not None:
            found._leave()

    os.register_at_fork(after_in_child=leave)


def _names(classes: Sequence[str]) -> dict[str, np.ndarray]:
    return {"classes": np.array([str(name) for name in classes])} if len(classes) else {}


def _ending(error: BaseException | None, recorder: Recorder) -> tuple[str, dict[str, Any] | None]:
    """The state in which a loop ended, and the record of its error."""
    if isinstance(error, SystemExit) and not error.code:
        error = None
    if error is None:
        return ("stopped" if recorder.stopped else "finished"), None
    if isinstance(error, KeyboardInterrupt):
        return "stopped", None
    if isinstance(error, TuiaeError):
        return "failed", error.record()
    words = traceback.format_exception_only(error)[-1].strip()
    frames = traceback.extract_tb(error.__traceback__)
    where = f"raised in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    return "failed", TrainingError(words[:MOST_TEXT], where).record()
