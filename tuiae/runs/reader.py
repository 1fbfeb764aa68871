"""The reading side of a run directory. No reader raises on what a file holds."""

from __future__ import annotations

import math
import socket
import time
import tomllib
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from tuiae.config import RunConfig, build_config
from tuiae.errors import ConfigError
from tuiae.runs.files import read_json
from tuiae.runs.layout import RunPaths
from tuiae.runs.process import is_alive
from tuiae.runs.snapshot import Key, Note, Sample, Series, Snapshot, Status
from tuiae.runs.tail import Tail, parse_event

STALE_SECONDS = 60.0  # a heartbeat is due every second; NFS may lag by half a minute
START_SECONDS = 60.0  # a cold worker needs a few seconds until it first speaks
MAX_NOTES = 200
MAX_LOG = 500


def read_status(run: RunPaths) -> Status:
    """The status with the reader's verdict: `lost` when the state is live and the process is not."""
    record = read_json(run.status)
    known = {field.name: field for field in fields(Status)}
    values = {key: value for key, value in record.items() if key in known and _fits(value, known[key].default)}
    status = Status(**values)
    if status.live and not _has_pulse(status):
        return replace(status, state="lost")
    return status


def _fits(value: Any, default: Any) -> bool:
    """Whether a value from a file has the kind that the field promises; what does not is left at its default."""
    if default is None:
        return value is None or isinstance(value, (int, float, dict))
    if isinstance(default, (float, int)):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, type(default))


def _has_pulse(status: Status) -> bool:
    silent = time.time() - status.heartbeat
    if not status.pid:
        return silent < START_SECONDS
    if status.host == socket.gethostname():
        return is_alive(int(status.pid), status.process_start)
    return silent < STALE_SECONDS


def read_config(run: RunPaths) -> RunConfig | None:
    """The run's config, or None when it is missing, torn, or of a schema that this version does not know."""
    try:
        return build_config(tomllib.loads(run.config.read_text(encoding="utf-8")))
    except (OSError, ValueError, ConfigError):
        return None


def read_sample(run: RunPaths, epoch: int) -> Sample | None:
    """The sample of an epoch, or None when it is not there or not whole."""
    try:
        with np.load(run.sample(epoch), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    classes = tuple(str(name) for name in arrays.pop("classes", ()))
    known = {field.name for field in fields(Sample)}
    return Sample(epoch=epoch, classes=classes, **{key: value for key, value in arrays.items() if key in known})


class RunReader:
    """Follows one run; every poll reads only what is new and gives the next Snapshot."""

    def __init__(self, path: Path) -> None:
        self.run = RunPaths(path)
        self._events = Tail(self.run.events)
        self._log = Tail(self.run.log)
        self._config: RunConfig | None = None
        self._snapshot: Snapshot | None = None
        self._forget()

    def _forget(self) -> None:
        self._points: dict[Key, list[tuple[int, float, float]]] = {}
        self._series: dict[Key, Series] = {}
        self._changed: set[Key] = set()
        self._samples: set[int] = set()
        self._checkpoints: set[int] = set()
        self._notes: list[Note] = []
        self._log_lines: list[str] = []

    def poll(self) -> Snapshot:
        """The run as it is now; the same object again when nothing changed."""
        fresh = self._read_events() | self._read_log()
        status = read_status(self.run)
        last = self._snapshot
        if last is not None and not fresh and replace(status, heartbeat=last.status.heartbeat) == last.status:
            return last
        self._config = self._config or read_config(self.run)
        self._snapshot = Snapshot(
            id=self.run.id,
            path=self.run.root,
            config=self._config,
            meta=read_json(self.run.meta),
            status=status,
            series=self._build_series(),
            samples=tuple(sorted(self._samples)),
            notes=tuple(self._notes),
            log=tuple(self._log_lines),
            checkpoints=tuple(sorted(self._checkpoints)),
        )
        return self._snapshot

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
        return bool(lines)

    def _read_log(self) -> bool:
        lines = [line.decode("utf-8", "replace") for line in self._log.poll() if line.strip()]
        self._log_lines = (self._log_lines + lines)[-MAX_LOG:]
        return bool(lines)

    def _take(self, record: dict[str, Any]) -> None:
        kind = record["kind"]
        if kind == "metric":
            self._take_metric(record)
        elif kind in ("sample", "checkpoint") and isinstance(record.get("epoch"), int):
            (self._samples if kind == "sample" else self._checkpoints).add(record["epoch"])
        elif kind == "start" and isinstance(record.get("step"), int):
            self._drop_after(record["step"])
        if isinstance(record.get("text"), str):
            when = record.get("time")
            note = Note(float(when) if isinstance(when, (int, float)) else 0.0, kind, record["text"])
            self._notes = [*self._notes, note][-MAX_NOTES:]

    def _take_metric(self, record: dict[str, Any]) -> None:
        step, epoch, split, values = (record.get(key) for key in ("step", "epoch", "split", "values"))
        if not (isinstance(step, int) and isinstance(epoch, (int, float)) and isinstance(values, dict)):
            return
        for name, value in values.items():
            # JSON has no NaN; a diverged value is written as null and shown as a gap.
            number = float(value) if isinstance(value, (int, float)) else math.nan
            key = (str(split), str(name))
            self._points.setdefault(key, []).append((step, float(epoch), number))
            self._changed.add(key)

    def _drop_after(self, step: int) -> None:
        """A resumed worker repeats what came after its checkpoint; the repeated part counts."""
        for key, points in self._points.items():
            kept = [point for point in points if point[0] <= step]
            if len(kept) != len(points):
                self._points[key] = kept
                self._changed.add(key)

    def _build_series(self) -> dict[Key, Series]:
        for key in self._changed:
            table = np.array(self._points[key], dtype=np.float64).reshape(-1, 3)
            self._series[key] = Series(table[:, 0].astype(np.int64), table[:, 1], table[:, 2])
        self._changed.clear()
        return dict(self._series)
