"""Runs that other trackers recorded, as runs of one's own: TensorBoard's event files, W&B's offline files.

Read are their scalars, by their own packages: event files through TensorBoard's EventAccumulator, and the records
of W&B by its protobuf classes. How these lie in a `.wandb` file, the blocks of LevelDB's log, is read here, because W&B
has no reader for that in Python any more.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuiae.errors import ConfigError
from tuiae.files import as_number, is_count, read_json
from tuiae.integrations.names import SPLITS, split_and_metric
from tuiae.runs.events import LIVE_POINTS
from tuiae.runs.labels import relabel
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.writer import create_tracked
from tuiae.tracking.recorder import Recorder
from tuiae.tracking.run import flatten, short_name

EVENTS, OFFLINE = "events.out.tfevents.", ".wandb"
INSTALL = "pip install 'tuiae[import]'"
_SPLIT_FOLDERS = {word for words in SPLITS.values() for word in words}


@dataclass
class OldPoint:
    """Values that were logged together; `epoch` as their program counted, if it did."""

    time: float
    step: int | None
    split: str
    values: dict[str, float]
    epoch: int | None = None


@dataclass
class OldRun:
    """A run of another tracker."""

    name: str
    source: Path
    tracker: str
    points: list[OldPoint] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    state: str = "finished"


def find_old_runs(path: Path) -> Iterator[OldRun]:
    """The runs in a file or below a folder, each as it is read.

    Raises ConfigError where there are none, and where the package that reads them is not installed.
    """
    folders: dict[Path, dict[Path, str]] = {}
    offline = [path] if path.suffix == OFFLINE else []
    for folder, names, files in os.walk(path) if path.is_dir() else ():
        names.sort()
        here = Path(folder)
        offline += sorted(here / name for name in files if name.endswith(OFFLINE))
        if any(name.startswith(EVENTS) for name in files):
            # Keras writes what it measures of each split into a folder of its own.
            split = here.name.lower() if here.name.lower() in _SPLIT_FOLDERS and here != path else ""
            folders.setdefault(here.parent if split else here, {})[here] = split
    if path.is_file() and path.name.startswith(EVENTS):
        folders[path.parent] = {path: ""}
    if not folders and not offline:
        cause = f"{path}: no run of TensorBoard or W&B is there"
        raise ConfigError(cause, f"give a folder with {EVENTS}* files or offline-run-* folders")
    for place, parts in folders.items():
        yield read_tensorboard(place, parts)
    for file in offline:
        yield read_wandb(file)


# TensorBoard


def read_tensorboard(folder: Path, parts: Mapping[Path, str]) -> OldRun:
    """A run of the scalars in event files; `parts` are the folders that hold them, with the split of each if its name
    says one."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, TENSORS, EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as missing:
        raise ConfigError(
            "event files are read by the package tensorboard, which is not installed", INSTALL
        ) from missing
    told: list[tuple[str, str, float, int, float]] = []  # split of the folder, tag, time, step, value
    for part, split in parts.items():
        known = EventAccumulator(str(part), size_guidance={SCALARS: 0, TENSORS: 0}).Reload()
        for tag in known.Tags()[SCALARS]:
            told += [(split, tag, one.wall_time, one.step, one.value) for one in known.Scalars(tag)]
        for tag in known.Tags()[TENSORS]:
            for one in known.Tensors(tag):
                value = make_ndarray(one.tensor_proto)
                if value.size == 1 and value.dtype.kind in "fiu":
                    told.append((split, tag, one.wall_time, one.step, float(value.item())))
    return OldRun(folder.name, folder.absolute(), "tensorboard", _together(told))


def _together(told: Sequence[tuple[str, str, float, int, float]]) -> list[OldPoint]:
    """Scalars as points: what was logged of one split at one step. The tag `epoch`, as Lightning writes it, says in
    which epoch a step is; the steps of tags such as `epoch_loss` are epochs, as Keras counts them."""
    epochs = {step: int(value) for _, tag, _, step, value in told if tag == "epoch"}
    rows: dict[tuple[int, str, bool], OldPoint] = {}
    for folder, tag, when, step, value in told:
        if tag == "epoch" or tag.endswith("_vs_iterations"):
            continue
        split, metric = split_and_metric(tag)
        split, by_epoch = folder or split, tag.startswith("epoch_")
        row = rows.setdefault((step, split, by_epoch), OldPoint(when, None if by_epoch else step, split, {}))
        row.values[metric], row.time = value, max(row.time, when)
        row.epoch = step if by_epoch else epochs.get(step)
    return _in_order(rows.values())


def _in_order(points: Any) -> list[OldPoint]:
    """By step or epoch, batches before evaluations; an epoch that is not said is the one of the point before."""
    ordered = sorted(
        points, key=lambda one: (one.epoch or 0, one.step or 0, one.split not in ("train", "training", "tr"))
    )
    last = None
    for one in ordered:
        last = one.epoch = one.epoch if one.epoch is not None else last
    return ordered


# W&B

BLOCK, HEADER = 1 << 15, 7
FULL, FIRST, LAST = 1, 2, 4
MAGIC = b":W&B"


def read_wandb(file: Path) -> OldRun:
    """A run of an offline file; of one whose writer was killed what it has."""
    try:
        from wandb.proto.wandb_internal_pb2 import Record
    except ImportError as missing:
        raise ConfigError(
            "offline files of W&B are read by the package wandb, which is not installed", INSTALL
        ) from missing
    name = file.stem.removeprefix("run-")
    old = OldRun(name, file.absolute(), "wandb", state="stopped")
    config: dict[str, Any] = {}
    for content in _records(file):
        record = Record()
        try:
            record.ParseFromString(content)
        except Exception:  # noqa: BLE001 - protobuf raises an error of its own for what is torn
            break
        kind = record.WhichOneof("record_type")
        if kind == "run":
            old.name, old.tags = record.run.display_name or name, tuple(record.run.tags)
            config |= _items(record.run.config.update)
        elif kind == "config":
            config |= _items(record.config.update)
        elif kind == "exit":
            old.state = "finished" if not record.exit.exit_code else "failed"
        elif kind == "history":
            old.points += _row(_items(record.history.item))
    old.settings = flatten({key: value for key, value in config.items() if not key.startswith("_")})
    old.points = _in_order(old.points)
    return old


def _items(items: Any) -> dict[str, Any]:
    """The values of a record by key, nested ones with dots."""
    found = {}
    for item in items:
        with suppress(ValueError):
            found[".".join(item.nested_key) or item.key] = json.loads(item.value_json)
    return found


def _row(values: Mapping[str, Any]) -> list[OldPoint]:
    """What one call logged, as a point for each split."""
    step, when, epoch = values.get("_step"), as_number(values.get("_timestamp")), as_number(values.get("epoch"))
    rows: dict[str, OldPoint] = {}
    for key, value in values.items():
        number = as_number(value)
        if number is None or key.startswith("_") or key == "epoch":
            continue
        split, metric = split_and_metric(key)
        row = rows.setdefault(split, OldPoint(when or 0.0, step if is_count(step) else None, split, {}))
        row.values[metric], row.epoch = number, None if epoch is None else int(epoch)
    return [*rows.values()]


def _records(file: Path) -> Iterator[bytes]:
    """The records in blocks of LevelDB's log, up to the first that is not whole."""
    content = file.read_bytes()
    if not content.startswith(MAGIC):
        raise ConfigError(f"{file} is no offline file of W&B", "it begins with other bytes; is it whole?")
    place, parts = HEADER, b""
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:  # the end of a block that has no room for another header
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        body = content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if not kind or len(body) < length:
            return
        parts = body if kind in (FULL, FIRST) else parts + body
        if kind in (FULL, LAST):
            yield parts


# Writing


def import_run(old: OldRun, root: Path) -> RunPaths | None:
    """Write an old run into a runs directory, in its place by date; None where it is there already.

    Raises ConfigError where nothing was measured in it, and as `create_tracked`.
    """
    source = {"from": old.tracker, "path": str(old.source)}
    if any(read_json(run.meta).get("imported") == source for run in list_runs(root)):
        return None
    if not old.points:
        raise ConfigError(f"{old.source} holds no scalars", "what a run measures is what is imported")
    times = [point.time for point in old.points if point.time]
    began, ended = min(times, default=None), max(times, default=None)
    run = create_tracked(
        short_name(old.name) or old.tracker,
        root,
        sys.argv,
        [f"from:{old.tracker}"],
        settings=old.settings,
        began=began,
        meta={"imported": source},
    )
    if short_name(old.name) != old.name:
        relabel(run, name=old.name[:80])
    recorder = Recorder(run, {}, 0, 0, lambda kind, text: None)
    recorder.origin = f"imported from {old.tracker}: {old.source}"
    every = -(-len(old.points) // LIVE_POINTS)
    for number, point in enumerate(old.points):
        recorder.record(point.time, point.step, point.epoch, point.split, point.values)
        if number % every == 0:
            recorder.write_live()
    recorder.finish(old.state, began, ended)
    return run
