"""Lists of runs: one row each, read again only when it can have changed."""

from __future__ import annotations

import errno
import math
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tuiae.config import RunConfig, settings_of
from tuiae.files import as_number, read_json
from tuiae.runs.labels import read_label, tags_of
from tuiae.runs.paths import REPORTS, RunPaths, is_run, list_names
from tuiae.runs.reader import Tail, parse_event, read_config, read_status
from tuiae.runs.snapshot import Snapshot, Status, read_parent

POINTS = 48  # of a trend: more than a sparkline has cells
_PARSED = (b'"split":"test"', b'"kind":"start"')
SPLITS = ("train/", "train-eval/", "test/")


class LossTrend:
    """Follows the test losses of one run: reads what is new, and parses only the lines that hold one."""

    def __init__(self, run: RunPaths) -> None:
        self._tail = Tail(run.events)
        self._losses: list[tuple[float, float]] = []  # step, loss

    def poll(self) -> tuple[float | None, tuple[float, ...]]:
        """Read what is new; returns the lowest loss and the trend: at most POINTS losses, evenly spaced."""
        while lines := self._tail.poll():
            if self._tail.restarted:
                self._losses.clear()
            for line in lines:
                if any(mark in line for mark in _PARSED):
                    self._take(parse_event(line) or {})
            if not self._tail.behind:
                break
        values = [loss for _, loss in self._losses]
        if len(values) <= POINTS:
            return min(values, default=None), tuple(values)
        spread = (round(index * (len(values) - 1) / (POINTS - 1)) for index in range(POINTS))
        return min(values), tuple(values[index] for index in spread)

    def _take(self, record: Mapping[str, Any]) -> None:
        kind, step, values = record.get("kind"), record.get("step"), record.get("values")
        if not isinstance(step, (int, float)):
            return
        if kind == "start":
            # A resumed worker repeats what came after its checkpoint; the repeated part counts.
            self._losses = [point for point in self._losses if point[0] <= step]
        elif kind == "metric" and isinstance(values, dict) and (loss := as_number(values.get("loss"))) is not None:
            self._losses.append((step, loss))


@dataclass(frozen=True)
class RunRow:
    """One line of a list; empty words where the config cannot be read."""

    path: Path
    status: Status
    dataset: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    preset: str = ""
    name: str = ""
    """The display name, empty where nobody gave one."""
    note: str = ""
    pinned: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Every dotted key of the config."""
    host: str = ""
    parent: str = ""
    """The run that it was forked from, and where."""
    best: float | None = None
    """Lowest test loss; None while the history was not read."""
    trend: tuple[float, ...] = ()
    """Test losses from the first to the last, thinned."""

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def title(self) -> str:
        """The name to show: the display name, else the id."""
        return self.name or self.path.name


@dataclass
class _Known:
    """What was read of a run, and the times of the files that it came from."""

    stamp: tuple[int, int]
    row: RunRow
    trend: LossTrend | None = None
    read: tuple[int, int] = (-1, -1)
    """The stamp at which the events were read: a worker that writes any writes its status as well."""


class RunLister:
    """Lists the runs again and again. Of each run it looks at the times of two files, and reads only what changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, _Known] = {}
        self.passed_over: tuple[str, ...] = ()
        """Names of directories beside the runs that are no runs, as they were at the last look."""

    def rows(self, *, histories: bool = False, most: int | None = None) -> tuple[RunRow, ...]:
        """Every run, or so `most`, newest first. An unchanged run is the same object as in the last answer.

        `histories`: read the events too, for `best` and `trend`; the first time this is what takes long.
        """
        names = list_names(self._root)
        rows: list[RunRow] = []
        for name in names:
            if most is not None and len(rows) == most:
                return tuple(rows)
            if (row := self._row(name, histories)) is not None:
                rows.append(row)
        there = {row.id for row in rows}
        others = (name for name in names if name not in there and name != REPORTS)
        self.passed_over = tuple(name for name in others if not _is_file(self._root / name))
        if len(self._known) > len(rows):
            self._known = {name: known for name, known in self._known.items() if name in there}
        return tuple(rows)

    def _row(self, name: str, histories: bool) -> RunRow | None:
        run = RunPaths(self._root / name)
        stamp = (_changed(run.status), _changed(run.label))
        known = self._known.get(name)
        if known is None or known.stamp != stamp or known.row.status.live:
            if (known is None or not stamp[0]) and not is_run(run.root):
                return None
            row = _read(run, known.row if known and known.row.settings else None)
            if known is None:
                known = self._known[name] = _Known(stamp, row)
            elif row != known.row:
                known.row = row
            known.stamp = stamp
        if histories:
            self._read_history(run, known)
        return known.row

    def _read_history(self, run: RunPaths, known: _Known) -> None:
        if known.stamp == known.read and not known.row.status.live:
            return
        known.read = known.stamp
        known.trend = known.trend or LossTrend(run)
        best, trend = known.trend.poll()
        if (best, trend) != (known.row.best, known.row.trend):
            known.row = replace(known.row, best=best, trend=trend)


def _is_file(path: Path) -> bool:
    """Returns whether a path is a file, or a link that leads in a circle, and to no run."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        return error.errno == errno.ELOOP


def _changed(path: Path) -> int:
    """The time of the last write to a file, in nanoseconds; 0 when it is not there."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _read(run: RunPaths, row: RunRow | None) -> RunRow:
    """A row from the files. A config that was read before is kept: it only changes while a worker is started."""
    status, label, meta = read_status(run), read_label(run), None
    if row is None or row.status.epochs != status.epochs:
        config, meta = read_config(run), read_json(run.meta)
        host, parent = meta.get("host"), read_parent(meta)
        row = RunRow(
            run.root,
            status,
            dataset=config.data.dataset if config else "",
            model=config.model.family if config else "",
            preset=preset_of(config, meta) if config else "",
            settings={sys.intern(key): value for key, value in settings_of(config).items()} if config else {},
            parent=f"{parent.run} at epoch {parent.epoch:g}" if parent else "",
            host=host if isinstance(host, str) else "",
            best=row.best if row else None,
            trend=row.trend if row else (),
        )
    tags = tags_of(run, meta, label)
    return replace(row, status=status, name=label.name, note=label.note, pinned=label.pinned, tags=tags)


def preset_of(config: RunConfig, meta: Mapping[str, Any]) -> str:
    """The preset a run was made from: the name in its config, unless the run was started under another name."""
    preset = meta.get("preset")
    return preset if isinstance(preset, str) and preset else config.name


def summarise(snapshot: Snapshot) -> dict[str, Any]:
    """A run as one JSON object, which `--json` prints.

    `metrics` holds the values of the last epoch and `history` one list a metric, both keyed `split/metric`: `train` is
    measured while training, dropout and all; `train-eval` and `test` with dropout off. JSON has no NaN: it is null.
    """
    known = {f"{split}/{name}": _plain(values.values) for (split, name), values in snapshot.series.items()}
    series = {key: values for key, values in known.items() if key.startswith(SPLITS)}
    status, run = snapshot.status, RunPaths(snapshot.path)
    label = read_label(run)
    return {
        "run": snapshot.id,
        "dir": str(snapshot.path),
        "name": label.name,
        "note": label.note,
        "tags": list(tags_of(run, snapshot.meta, label)),
        "state": status.state,
        "device": status.device,
        "epochs": status.epoch,
        "steps": status.step,
        "metrics": {key: values[-1] for key, values in series.items() if values},
        "history": series,
        "epoch_seconds": known.get("speed/epoch_seconds", []),
        "images_per_second": known.get("speed/images_per_second", []),
        "parent": asdict(snapshot.parent) if snapshot.parent else None,
        "edits": [asdict(edit) for edit in snapshot.edits],
        "error": dict(status.error) if status.error else None,
        "refusal": dict(status.refusal) if status.refusal else None,
        "images": asdict(snapshot.images) if snapshot.images else None,
    }


def _plain(values: Any) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
