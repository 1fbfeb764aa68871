"""Runs that other trackers recorded, as runs of one's own: TensorBoard's event files, W&B's offline files.

They are read by their own packages: event files through TensorBoard's EventAccumulator, with their images and
hyperparameters, and the records of W&B by its protobuf classes. How these lie in a `.wandb` file, the blocks of
LevelDB's log, is read here, because W&B has no reader for that in Python any more.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.errors import ConfigError
from tuiae.files import as_number, is_count, read_json
from tuiae.integrations.names import SPLITS, split_and_metric
from tuiae.runs.events import LIVE_POINTS
from tuiae.runs.labels import relabel
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.writer import create_tracked
from tuiae.tracking.arrays import as_classes, as_pictures
from tuiae.tracking.recorder import EVALUATIONS, Recorder
from tuiae.tracking.run import flatten, short_name

PNG = b"\x89PNG"
MOST_SAMPLES = 100  # steps of a tag, spread over all of them
BEFORE = ("input", "inputs", "original", "originals", "target", "targets")
AFTER = ("reconstruction", "reconstructions", "recon", "reconstructed", "output", "outputs")
"""How tags end whose pictures belong together."""
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
class OldPicture:
    """A picture that was logged, encoded as it was."""

    time: float
    step: int
    tag: str
    content: bytes


@dataclass
class OldRun:
    """A run of another tracker."""

    name: str
    source: Path
    tracker: str
    points: list[OldPoint] = field(default_factory=list)
    pictures: list[OldPicture] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    state: str = "finished"

    @property
    def is_session(self) -> bool:
        """Whether it holds hyperparameters, and one value at most of whatever was measured."""
        return bool(self.settings) and not self.pictures and len({point.step for point in self.points}) <= 1

    def take(self, session: OldRun) -> None:
        """Take the hyperparameters of a session, and its values as an evaluation at the end."""
        self.settings = {**self.settings, **session.settings}
        epoch = self.points[-1].epoch if self.points else None
        split = next((point.split for point in self.points if point.split in EVALUATIONS), "test")
        for point in session.points:
            named = {name.removeprefix("hparam_"): value for name, value in point.values.items()}
            values = {split_and_metric(name)[1]: value for name, value in named.items()}
            self.points.append(OldPoint(point.time, None, split, values, epoch))


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
    told: set[Path] = set()
    for place, parts in folders.items():
        if place in told:
            continue
        old = read_tensorboard(place, parts)
        # PyTorch's writer puts hyperparameters, and what came of them, into a folder of their own within the run's.
        for inner in (other for other in folders if other.parent == place):
            if (session := read_tensorboard(inner, folders[inner])).is_session:
                old.take(session)
                told.add(inner)
        yield old
    for file in offline:
        yield read_wandb(file)


# TensorBoard


def read_tensorboard(folder: Path, parts: Mapping[Path, str]) -> OldRun:
    """A run of the scalars, images and hyperparameters in event files; `parts` are the folders that hold them, with the
    split of each if its name says one."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, TENSORS, EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as missing:
        raise ConfigError(
            "event files are read by the package tensorboard, which is not installed", INSTALL
        ) from missing
    told: list[tuple[str, str, float, int, float]] = []  # split of the folder, tag, time, step, value
    old = OldRun(folder.name, folder.absolute(), "tensorboard")
    for part, split in parts.items():
        known = EventAccumulator(str(part), size_guidance={SCALARS: 0, TENSORS: 0, IMAGES: MOST_SAMPLES}).Reload()
        old.settings = {**old.settings, **_hyperparameters(known)}
        for tag in known.Tags()[IMAGES]:
            for one in known.Images(tag):
                old.pictures.append(OldPicture(one.wall_time, one.step, tag, one.encoded_image_string))
        for tag in known.Tags()[SCALARS]:
            told += [(split, tag, one.wall_time, one.step, one.value) for one in known.Scalars(tag)]
        for tag in known.Tags()[TENSORS]:
            for one in known.Tensors(tag):
                value = make_ndarray(one.tensor_proto)
                if value.size == 1 and value.dtype.kind in "fiu":
                    told.append((split, tag, one.wall_time, one.step, float(value.item())))
                elif value.dtype.kind in "OS" and value.ndim == 1 and len(value) > 2:  # width, height, images
                    shown = [OldPicture(one.wall_time, one.step, tag, bytes(content)) for content in value[2:]]
                    old.pictures += [picture for picture in shown if picture.content.startswith(PNG)]
    old.points = _together(told)
    return old


def _hyperparameters(known: Any) -> dict[str, Any]:
    """What an event file says of the settings of its run."""
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    with suppress(KeyError):  # there are none
        data = HParamsPluginData.FromString(known.PluginTagToContent("hparams")[SESSION_START_INFO_TAG])
        found = {
            key: getattr(value, value.WhichOneof("kind")) for key, value in data.session_start_info.hparams.items()
        }
        return flatten({key: int(value) if is_whole(value) else value for key, value in found.items()})
    return {}


def is_whole(value: Any) -> bool:
    """Returns whether a float is a whole number: hyperparameters know no others than floats."""
    return isinstance(value, float) and value.is_integer() and abs(value) < 2**53


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
    if not old.points and not old.pictures:
        raise ConfigError(f"{old.source} holds no scalars and no images", "what a run measures is what is imported")
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
    steps: dict[int, list[OldPicture]] = {}
    for picture in old.pictures:
        steps.setdefault(picture.step, []).append(picture)
    samples = sorted(steps.values(), key=lambda shown: shown[0].time, reverse=True)
    for number, point in enumerate(old.points):
        while samples and samples[-1][0].time < point.time:
            recorder.take_sample(partial(_as_sample, samples.pop()))
        recorder.record(point.time, point.step, point.epoch, point.split, point.values)
        if number % every == 0:
            recorder.write_live()
    while samples:
        recorder.take_sample(partial(_as_sample, samples.pop()))
    recorder.finish(old.state, began, ended)
    return run


def _as_sample(shown: Sequence[OldPicture]) -> dict[str, NDArray[Any]]:
    """The pictures of a step as a sample: inputs and reconstructions where the tags say so, else each with its tag. Of
    several sizes the one that most have."""
    read = [(picture.tag, found) for picture in shown if (found := _read_picture(picture.content)) is not None]
    size = Counter(found.shape for _, found in read).most_common(1)[0][0] if read else ()
    tags = [tag for tag, found in read if found.shape == size]
    pictures = np.array([found for _, found in read if found.shape == size])
    if not len(pictures):
        return {}
    pictures = as_pictures(pictures)[: len(tags)]
    ends = [tag.lower().replace("_", "/").rpartition("/")[2] for tag in tags[: len(pictures)]]
    before, after = ([place for place, end in enumerate(ends) if end in words] for words in (BEFORE, AFTER))
    if before and len(before) == len(after) == len(ends) / 2:
        return {"inputs": pictures[before], "reconstructions": pictures[after]}
    labels, classes = as_classes(tags[: len(pictures)])
    return {"inputs": pictures, "labels": labels, "classes": np.array(classes)}


def _read_picture(content: bytes) -> NDArray[np.uint8] | None:
    """(H, W, 3); None where it is no picture."""
    from PIL import Image

    with suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return np.array(Image.open(io.BytesIO(content)).convert("RGB"))
    return None
