"""The reading side of a run directory. No reader raises on what a file holds."""

from __future__ import annotations

import math
import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tuiae.config import RunConfig, settings_of
from tuiae.config.document import fingerprint, parse_toml, read_alike
from tuiae.errors import ConfigError, TrainingError
from tuiae.files import MAX_EPOCH, MAX_TIME, as_number, is_count, open_regular, read_bytes, read_json
from tuiae.images import ImageRecord, absolute, read_record, with_dataset
from tuiae.runs.control import Edit, as_edit
from tuiae.runs.events import (
    LIVE_POINTS,
    METRIC,
    Metric,
    Points,
    Reached,
    Tail,
    TrainingClock,
    as_metric,
    parse_event,
)
from tuiae.runs.labels import read_label, tags_of
from tuiae.runs.paths import CONFIG_DIGEST, GONE, RunPaths, find_obstacle, is_gone, is_run, is_tracked
from tuiae.runs.process import ERROR, is_alive
from tuiae.runs.snapshot import SAMPLE_ARRAYS, Key, Note, Sample, Series, Snapshot, Status, read_histograms

MAX_NOTES = 200
MAX_LOG = 500
STALE_SECONDS = 60.0  # a heartbeat is due every second; NFS may lag by half a minute
START_SECONDS = 60.0  # a cold worker needs a few seconds until it first speaks
NO_CONFIG = "its config.toml is damaged, missing or of another version"
"""The words for a run whose config cannot be read."""
ERRORS = {"error", "refusal"}
"""Fields of a status that hold an error as a record, which is of texts and whole numbers."""


def read_status(run: RunPaths) -> Status:
    """The status with the reader's verdict: `lost` when the state is live and the process is not, with the error that
    the process left in its log."""
    try:
        status = _STATUS.decode(read_bytes(RunPaths.status.of(run)))
    except (OSError, ValueError, RecursionError):
        status = _damaged_status(read_json(run.status))
    if status.live and not _has_pulse(status):
        words = last_words(run, status.heartbeat)
        error = TrainingError(f"the worker died: {words}").record() if words else None
        return replace(status, state="lost", error=error)
    silent = _silent_minutes(status) if status.live and status.heartbeat else 0
    return status if status.silent == silent else replace(status, silent=silent)


def _damaged_status(record: Mapping[str, Any]) -> Status:
    """What can be taken of a status that is not as a worker writes it."""
    values = {key: value for key, value in record.items() if key in _DEFAULTS and _fits(key, value)}
    for key in ERRORS & values.keys():
        values[key] = values[key] and {name: one for name, one in values[key].items() if isinstance(one, (str, int))}
    return Status(**values)


def _silent_minutes(status: Status) -> int:
    """A worker that was stopped, or hangs, lives and writes nothing; one that waits for cores is late by seconds."""
    return int(max(0.0, time.time() - status.heartbeat) // 60)


def is_written_elsewhere(run: RunPaths) -> bool:
    """Returns whether a run has a worker other than this process, as far as its status tells. A lock does not tell
    where its file was deleted, or where hosts that share a directory do not share their locks."""
    status = read_status(run)
    return status.live and bool(status.pid) and (status.pid, status.host) != (os.getpid(), socket.gethostname())


_STATUS = msgspec.json.Decoder(Status)
"""Reads what is as a worker writes it, in a third of the time."""
_DEFAULTS = {field.name: field.default for field in fields(Status)}


def _fits(key: str, value: Any) -> bool:
    """Returns whether a value from a file has the type of its field; if not, the field keeps its default."""
    default = _DEFAULTS[key]
    if isinstance(default, str):
        return isinstance(value, str)
    if key in ("settings", "edited"):
        return value is None or (isinstance(value, dict) and all(as_number(one) is not None for one in value.values()))
    if key in ERRORS:
        return value is None or isinstance(value, dict)
    if default is None or isinstance(default, float):
        most = None if key in ("test_loss", "test_accuracy") else MAX_TIME
        return (value is None and default is None) or as_number(value, most) is not None
    return is_count(value)


def _has_pulse(status: Status) -> bool:
    """Returns whether the process that wrote a status still lives, as far as this host can tell."""
    silent = abs(time.time() - status.heartbeat)  # a clock may have been set in between, by years
    if not status.pid and not status.process_start:
        return silent < START_SECONDS
    if status.host == socket.gethostname():
        return is_alive(status.pid, status.process_start, status.heartbeat)
    return silent < STALE_SECONDS


# What a worker left in its log that could not record its end.

SIGNALLED = {
    signal.SIGBUS: "a file that it had open, such as the prepared images, became shorter, or its disk failed",
    signal.SIGKILL: "killed by somebody, or by the system because memory ran out",
}
"""What it means when a worker dies of a signal that it cannot answer."""
FATAL = "Fatal Python error: "
LOG_BYTES = 1 << 18  # of the end of a log that are looked at
TRACE = (" ", "Thread ", "Current thread", "Extension modules: ")
"""How the lines begin that faulthandler writes below such an error."""


def last_words(run: RunPaths, seen: float) -> str:
    """What ended a worker that could not record it, by the end of its log, since the worker was `seen` alive (seconds
    since the epoch): a fatal signal, or an error; empty where the log has none."""
    tail, written = _log_tail(run)
    _, found, after = tail.rpartition(FATAL)
    reason, *trace = after.splitlines() or [""]
    # An earlier worker's end is older than the signs of life of this one, and followed by what this one printed.
    if written < seen - 1:
        return ""
    if found and all(not line or line.startswith(TRACE) for line in trace):
        return f"{reason}: {SIGNALLED[signal.SIGBUS]}" if reason == "Bus error" else reason
    errors = (line for line in reversed(tail.splitlines()[-2:]) if line.startswith(ERROR))  # and why it is not recorded
    return next(errors, "").removeprefix(ERROR)


def _log_tail(run: RunPaths) -> tuple[str, float]:
    """The end of a run's log, and when it was written to (seconds since the epoch); empty and 0 where there is none."""
    try:
        with open_regular(run.log) as log:
            status = os.fstat(log.fileno())
            log.seek(max(0, status.st_size - LOG_BYTES))
            return log.read(LOG_BYTES).decode(errors="replace"), status.st_mtime
    except OSError:
        return "", 0.0


def first_traceback(run: RunPaths) -> str:
    """The end of a run's log from the first traceback there on; empty where it has none."""
    _, head, rest = _log_tail(run)[0].partition("Traceback (most recent call last):\n")
    return head + rest


def describe_death(run: RunPaths, code: int | None) -> str:
    """A sentence about the end of a worker that could not record it, from its exit code (None: unknown), its log and
    its disk."""
    words = ["the worker died"]
    if code is None and (said := last_words(run, as_number(read_json(run.status).get("heartbeat")) or 0.0)):
        words.append(said)
    if code is not None and code < 0:
        words[0] += f" (signal {-code})"
        words += [SIGNALLED[number] for number in SIGNALLED if number == -code]
    if obstacle := find_obstacle(run):
        words.append(f"{run.root} cannot be written: {obstacle}")
    return ": ".join(words)


# The other files of a run.


def read_config(run: RunPaths) -> RunConfig | None:
    """The run's config, or None when it is missing, not what the run began with, or of a schema that this version does
    not know."""
    return found[0] if (found := read_settings(run)) is not None else None


def read_settings(run: RunPaths, meta: Mapping[str, Any] | None = None) -> tuple[RunConfig, Mapping[str, Any]] | None:
    """`read_config` with every setting of it by its dotted key; `meta.json` is read where `meta` is not given."""
    try:
        config, settings, digest = read_alike(read_bytes(RunPaths.config.of(run)).decode())
    except (OSError, ValueError, RecursionError, ConfigError):
        return None
    if not _began_with(read_json(run.meta) if meta is None else meta, digest):
        return None
    dataset = config.data.dataset
    # Older versions kept a folder's path as it was given: a worker has recorded since where that is.
    record = read_images(run) if absolute(dataset) != dataset else None
    if record is None:
        return config, settings
    config = with_dataset(config, record.dataset)
    return config, settings_of(config)


def read_tracked(run: RunPaths) -> dict[str, Any] | None:
    """The settings of a tracked run by dotted key, values of JSON's kinds, empty where they cannot be read; None of a
    run that tuiae trains."""
    if not is_tracked(run):
        return None
    found = read_json(run.tracked).get("settings")
    known = found.items() if isinstance(found, dict) else ()
    return {key: value for key, value in known if not isinstance(value, dict)}


def read_images(run: RunPaths) -> ImageRecord | None:
    """The record of the images that a run trains on; None of runs of older versions, and where it is not whole."""
    return read_record(read_json(run.images))


def is_original(run: RunPaths, config: Path) -> bool:
    """Returns whether a file says what a run began with. Runs of older versions do not tell: there any TOML may."""
    try:
        return _began_with(read_json(run.meta), fingerprint(parse_toml(read_bytes(config).decode())))
    except (OSError, ValueError, RecursionError):
        return False


def _began_with(meta: Mapping[str, Any], digest: str) -> bool:
    known = meta.get(CONFIG_DIGEST)
    return digest in known if isinstance(known, list) else not isinstance(known, str) or digest == known


def read_sample(run: RunPaths, epoch: int) -> Sample | None:
    """The sample of an epoch, or None when it is not there or not whole."""
    return _read_arrays(run.sample(epoch), epoch)


def read_step_sample(run: RunPaths, step: int, epoch: int) -> Sample | None:
    """The pictures after a single step of the epoch that follows `epoch`, or None as `read_sample`."""
    sample = _read_arrays(run.step_sample, epoch)
    return None if sample is None else replace(sample, step=step)


def _read_arrays(path: Path, epoch: int) -> Sample | None:
    try:
        with open_regular(path) as content, np.load(content, allow_pickle=False) as file:
            if sum(entry.file_size for entry in file.zip.infolist()) > os.fstat(content.fileno()).st_size:
                return None  # packed, as no writer of ours does: a few bytes could become gigabytes
            arrays = {name: file[name] for name in file.files}
    except Exception:  # noqa: BLE001 - zipfile and NumPy raise whatever their parsers trip over, a dozen kinds in all
        return None
    classes = arrays.get("classes", np.empty(0))
    names = tuple(str(name) for name in classes) if classes.ndim == 1 else ()
    fit = {key: values for key, values in arrays.items() if key in SAMPLE_ARRAYS and SAMPLE_ARRAYS[key].holds(values)}
    codes, labels = fit.get("codes"), fit.get("code_labels")
    if codes is not None and (codes.shape[1] != 2 or labels is None or len(labels) != len(codes)):
        del fit["codes"]
        fit.pop("code_labels", None)
    if (counts := fit.get("confusion")) is not None and counts.shape[0] != counts.shape[1]:
        del fit["confusion"]
    return Sample(epoch=epoch, classes=names, histograms=read_histograms(arrays), **fit)


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    """The values as an array: JSON has no NaN, a diverged value is written as null and shown as a gap."""
    found = list(values)
    try:
        return np.fromiter(found, float, len(found))
    except TypeError:
        return np.array(found, float)


def _alike(values: list[dict[str, float | None]]) -> list[tuple[tuple[str, ...], list[dict[str, float | None]]]]:
    """The values, one after the other with the same names together; nearly always all have the same."""
    if len(names := set(map(tuple, values))) == 1:
        return [(names.pop(), values)]
    return [(tuple(kind), list(some)) for kind, some in groupby(values, tuple)]


class RunReader:
    """Follows one run; every poll reads only what is new and gives the next Snapshot."""

    def __init__(self, path: Path) -> None:
        self.run = RunPaths(path)
        self._events = Tail(self.run.events)
        self._log = Tail(self.run.log)
        self._config: RunConfig | None = None
        self._tracked: dict[str, Any] | None = None
        self._snapshot: Snapshot | None = None
        self._log_lines: list[str] = []
        self._forget()

    def _forget(self) -> None:
        self._points: dict[Key, Points] = {}
        self._series: dict[Key, Series] = {}
        self._changed: set[Key] = set()
        self._samples: set[int] = set()
        self._stepped: int | None = None
        self._checkpoints: set[int] = set()
        self._notes: list[Note] = []
        self._edits: list[Edit] = []
        self._reached = Reached()
        self._clock = TrainingClock()
        self._metrics: list[Metric] = []  # read, and not yet in the curves

    def poll(self, within: float = 0.0) -> Snapshot:
        """The run as it is now; the same object as before when nothing changed. A long history comes in pieces: they
        are read `within` so many seconds, and at least one is."""
        # In the order in which the worker's words age: what a later file says is never older than an earlier one's.
        deadline = time.monotonic() + within
        fresh = self._read_log() | self._read_events()
        while self._events.behind and time.monotonic() < deadline:
            fresh |= self._read_events()
        status = self._reached.brought_to(read_status(self.run))
        last = self._snapshot
        if is_gone(self.run) and not is_run(self.run.root):
            status = replace(last.status if last is not None else status, state=GONE)
        label = read_label(self.run)
        if last is not None and not fresh:
            before = replace(last.status, heartbeat=status.heartbeat)
            if (label.name, status) == (last.name, before) and label.tags in (None, last.tags):
                return last
        self._config = self._config or read_config(self.run)
        self._tracked = self._tracked or read_tracked(self.run)
        self._snapshot = Snapshot(
            id=self.run.id,
            path=self.run.root,
            config=self._config,
            meta=(meta := read_json(self.run.meta)),
            status=status,
            series=self._build_series(),
            samples=tuple(sorted(self._samples)),
            stepped=self._stepped,
            notes=tuple(self._notes),
            log=tuple(self._log_lines),
            checkpoints=tuple(sorted(self._checkpoints)),
            edits=tuple(self._edits),
            resumes=self._reached.resumes,
            clock=self._clock.points.series(),
            name=label.name,
            images=read_images(self.run),
            tracked=self._tracked,
            tags=tags_of(self.run, meta, label),
        )
        return self._snapshot

    @property
    def behind(self) -> bool:
        """Whether the last poll left a part of the history for the next one."""
        return self._events.behind

    def read_all(self) -> Snapshot:
        """Read the whole history: what a report or `tuiae show` wants."""
        snapshot = self.poll(math.inf)
        while (following := self.poll(math.inf)) is not snapshot:
            snapshot = following
        return snapshot

    def _read_events(self) -> bool:
        lines = self._events.poll()
        if self._events.restarted:
            self._forget()
        decode, keep = METRIC.decode, self._metrics.append
        for line in lines:
            try:
                keep(decode(line))
            except (ValueError, RecursionError):
                if (record := parse_event(line)) is not None:
                    self._take(record)
        self._draw_metrics()
        return self._events.moved

    def _read_log(self) -> bool:
        lines = [line.decode("utf-8", "replace") for line in self._log.poll() if line.strip()]
        before = [] if self._log.restarted else self._log_lines
        self._log_lines = (before + lines)[-MAX_LOG:]
        return self._log.moved

    def _take(self, record: dict[str, Any]) -> None:
        kind = record["kind"]
        if kind in ("start", "command"):
            self._draw_metrics()  # these change what counts of the metrics before them
        if kind == "metric" and (metric := as_metric(record)) is not None:
            self._metrics.append(metric)
        elif kind == "sample" and is_count(record.get("epoch")):
            self._samples.add(record["epoch"])
            self._stepped = None
        elif kind == "sample" and is_count(record.get("step")):
            self._stepped = record["step"]
        elif kind == "checkpoint" and is_count(record.get("step")):
            self._checkpoints.add(record["step"])
        elif kind == "start" and is_count(step := record.get("step")):
            # A resumed worker repeats what came after its checkpoint; the repeated part counts.
            self._changed |= {key for key, points in self._points.items() if points.drop_after(step)}
            self._checkpoints = {saved for saved in self._checkpoints if saved <= step}
            self._stepped = None
            self._reached.start(step, as_number(record.get("epoch"), MAX_EPOCH) or 0.0)
        elif kind == "command" and (edit := as_edit(record)) is not None:
            self._edits.append(edit)
        time, epoch = as_number(record.get("time"), MAX_TIME), as_number(record.get("epoch"), MAX_EPOCH)
        step, text = record.get("step"), ""
        if isinstance(record.get("text"), str):
            text = record["text"]
            self._notes = [*self._notes, Note(time or 0.0, kind, text, epoch)][-MAX_NOTES:]
        if is_count(step) and epoch is not None:
            now = math.nan if time is None else time
            if kind == "start" or text.startswith("resumed at") or record.get("clock") == "resumed":
                self._clock.start(step, epoch, now)
            elif text.startswith("paused at") or record.get("clock") == "paused":
                self._clock.reach(np.array([(step, epoch, now)]))

    def _draw_metrics(self) -> None:
        """Put the metrics that were read into curves, position and clock, as tables: one by one took far longer."""
        if not (metrics := self._metrics[:]):
            return
        self._metrics.clear()
        columns = [
            np.fromiter(map(attrgetter(name), metrics), float, len(metrics)) for name in ("step", "epoch", "time")
        ]
        moments, splits = np.column_stack(columns), [*map(attrgetter("split"), metrics)]
        place = {split: number for number, split in enumerate(dict.fromkeys(splits))}
        places = np.fromiter(map(place.__getitem__, splits), int, len(splits))
        for split, number in place.items():
            own = np.flatnonzero(places == number)
            marks, drawn = moments[own, :2], 0
            step, epoch = marks.max(0).tolist()
            self._reached.reach(int(step), epoch, whole=split != "live")
            for names, values in _alike([metrics[row].values for row in own.tolist()]):
                table = _numbers(chain.from_iterable(map(dict.values, values))).reshape(len(values), len(names))
                part, drawn = marks[drawn : drawn + len(values)], drawn + len(values)
                for name, column in zip(names, table.T, strict=True):
                    points = self._points.setdefault((split, name), Points(LIVE_POINTS if split == "live" else None))
                    points.extend(np.column_stack((part, column)))
                    self._changed.add((split, name))
        self._clock.reach(moments[np.isin(places, [place[split] for split in ("live", "test") if split in place])])

    def _build_series(self) -> dict[Key, Series]:
        self._series |= {key: points.series() for key, points in self._points.items() if key in self._changed}
        self._changed.clear()
        return dict(self._series)
