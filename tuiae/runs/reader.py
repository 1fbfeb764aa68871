"""The reading side of a run directory. No reader raises on what a file holds."""

from __future__ import annotations

import math
import socket
import time
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from tuiae.config import RunConfig, build_config
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.runs.edits import Edit, as_edit
from tuiae.runs.labels import read_label
from tuiae.runs.layout import GONE, RunPaths, is_gone
from tuiae.runs.points import Epochs, Points
from tuiae.runs.process import is_alive
from tuiae.runs.progress import Progress
from tuiae.runs.snapshot import SAMPLE_AXES, Key, Note, Sample, Series, Snapshot, Status
from tuiae.runs.tail import Tail, parse_event
from tuiae.runs.values import as_number, is_count

STALE_SECONDS = 60.0  # a heartbeat is due every second; NFS may lag by half a minute
START_SECONDS = 60.0  # a cold worker needs a few seconds until it first speaks
MAX_NOTES = 200
MAX_LOG = 500
LIVE_POINTS = 16_384  # an hour of them; of older ones every second goes, and never the extremes


def read_status(run: RunPaths) -> Status:
    """The status with the reader's verdict: `lost` when the state is live and the process is not."""
    record = read_json(run.status)
    known = {field.name: field for field in fields(Status)}
    values = {key: value for key, value in record.items() if key in known and _fits(key, value, known[key].default)}
    status = Status(**values)
    if status.live and not _has_pulse(status):
        return replace(status, state="lost")
    return status


def _fits(key: str, value: Any, default: Any) -> bool:
    """Whether a value from a file has the kind that the field promises; what does not is left at its default."""
    if default is None:
        return value is None or (isinstance(value, dict) if key == "error" else as_number(value) is not None)
    if isinstance(default, (float, int)):
        return as_number(value) is not None and (isinstance(default, float) or is_count(value))
    return isinstance(value, type(default))


def _has_pulse(status: Status) -> bool:
    silent = time.time() - status.heartbeat
    if not status.pid:
        return silent < START_SECONDS
    if status.host == socket.gethostname():
        return is_alive(status.pid, status.process_start)
    return silent < STALE_SECONDS


NO_CONFIG = "its configuration cannot be read"
"""What is said of a run without one."""


def read_config(run: RunPaths) -> RunConfig | None:
    """The run's config, or None when it is missing, torn, or of a schema that this version does not know."""
    try:
        return build_config(tomllib.loads(run.config.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, ConfigError):
        return None


def read_sample(run: RunPaths, epoch: int) -> Sample | None:
    """The sample of an epoch, or None when it is not there or not whole."""
    try:
        with np.load(run.sample(epoch), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception:  # noqa: BLE001 - zipfile and NumPy raise whatever their parsers trip over, a dozen kinds in all
        return None
    classes = arrays.get("classes", np.empty(0))
    names = tuple(str(name) for name in classes) if classes.ndim == 1 else ()
    fit = {key: array for key, array in arrays.items() if _is_fit(key, array)}
    codes, labels = fit.get("codes"), fit.get("code_labels")
    if codes is not None and (codes.shape[1] != 2 or labels is None or len(labels) != len(codes)):
        fit = {key: array for key, array in fit.items() if key not in ("codes", "code_labels")}
    return Sample(epoch=epoch, classes=names, **fit)


def _is_fit(key: str, array: np.ndarray) -> bool:
    """Whether an array has the dimensions that the panels draw, and numbers in it."""
    return array.ndim == SAMPLE_AXES.get(key) and array.dtype.kind in "buif"


class RunReader:
    """Follows one run; every poll reads only what is new and gives the next Snapshot."""

    def __init__(self, path: Path) -> None:
        self.run = RunPaths(path)
        self._events = Tail(self.run.events)
        self._log = Tail(self.run.log)
        self._config: RunConfig | None = None
        self._snapshot: Snapshot | None = None
        self._log_lines: list[str] = []
        self._forget()

    def _forget(self) -> None:
        self._points: dict[Key, Points] = {}
        self._series: dict[Key, Series] = {}
        self._changed: set[Key] = set()
        self._samples = Epochs()
        self._checkpoints = Epochs()
        self._notes: list[Note] = []
        self._edits: list[Edit] = []
        self._progress = Progress()

    def poll(self) -> Snapshot:
        """The run as it is now; the same object again when nothing changed."""
        # In the order in which the worker's words age: what a later file says is never older than an earlier one's.
        fresh = self._read_log() | self._read_events()
        status = self._progress.on(read_status(self.run))
        last = self._snapshot
        if is_gone(self.run) and not self.run.status.exists():
            status = replace(last.status if last is not None else status, state=GONE)
        name = read_label(self.run).name
        same = (
            last is not None and name == last.name and replace(status, heartbeat=last.status.heartbeat) == last.status
        )
        if last is not None and same and not fresh:
            return last
        self._config = self._config or read_config(self.run)
        self._snapshot = Snapshot(
            id=self.run.id,
            path=self.run.root,
            config=self._config,
            meta=read_json(self.run.meta),
            status=status,
            series=self._build_series(),
            samples=self._samples.as_tuple(),
            notes=tuple(self._notes),
            log=tuple(self._log_lines),
            checkpoints=self._checkpoints.as_tuple(),
            edits=tuple(self._edits),
            resumes=self._progress.resumes,
            name=name,
        )
        return self._snapshot

    @property
    def behind(self) -> bool:
        """Whether the last poll left some of the history for the next one."""
        return self._events.behind

    def read_all(self) -> Snapshot:
        """Poll until the whole history is read: what a report or `tuiae show` wants."""
        snapshot = self.poll()
        while (following := self.poll()) is not snapshot:
            snapshot = following
        return snapshot

    def _read_events(self) -> bool:
        lines = self._events.poll()
        if self._events.restarted:
            self._forget()
        for line in lines:
            record = parse_event(line)
            if record is not None:
                self._take(record)
        return self._events.moved

    def _read_log(self) -> bool:
        lines = [line.decode("utf-8", "replace") for line in self._log.poll() if line.strip()]
        before = [] if self._log.restarted else self._log_lines
        self._log_lines = (before + lines)[-MAX_LOG:]
        return self._log.moved

    def _take(self, record: dict[str, Any]) -> None:
        kind = record["kind"]
        if kind == "metric":
            self._take_metric(record)
        elif kind in ("sample", "checkpoint") and is_count(record.get("epoch")):
            (self._samples if kind == "sample" else self._checkpoints).add(record["epoch"])
        elif kind == "start" and is_count(record.get("step")):
            self._drop_after(record["step"])
            self._progress.start(record["step"], as_number(record.get("epoch")) or 0.0)
        elif kind == "command" and (edit := as_edit(record)) is not None:
            self._edits.append(edit)
        if isinstance(record.get("text"), str):
            note = Note(as_number(record.get("time")) or 0.0, kind, record["text"], as_number(record.get("epoch")))
            self._notes = [*self._notes, note][-MAX_NOTES:]

    def _take_metric(self, record: dict[str, Any]) -> None:
        step, epoch, split, values = (record.get(key) for key in ("step", "epoch", "split", "values"))
        epoch = as_number(epoch)
        if not is_count(step) or epoch is None or not isinstance(values, dict):
            return
        self._progress.reach(step, epoch, whole=split != "live")
        for name, value in values.items():
            # JSON has no NaN; a diverged value is written as null and shown as a gap.
            number = as_number(value)
            key = (str(split), str(name))
            if key not in self._points:
                self._points[key] = Points(LIVE_POINTS if split == "live" else None)
            self._points[key].append(step, epoch, math.nan if number is None else number)
            self._changed.add(key)

    def _drop_after(self, step: int) -> None:
        """A resumed worker repeats what came after its checkpoint; the repeated part counts."""
        self._changed |= {key for key, points in self._points.items() if points.drop_after(step)}

    def _build_series(self) -> dict[Key, Series]:
        for key in [key for key in self._points if key in self._changed]:
            self._series[key] = self._points[key].series()
        self._changed.clear()
        return dict(self._series)
