"""The formats in which a run leaves, and how files of theirs come to be; its curves as tables. No torch here."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tuiae.config import RunConfig
from tuiae.errors import ConfigError, MissingLibraryError
from tuiae.files import as_number, fsync_directory
from tuiae.machine import lasting_imports
from tuiae.render.curves import places
from tuiae.render.pixels import Sheet, sample_rows
from tuiae.render.text import clean
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.snapshot import Snapshot
from tuiae.source import of_run, split_code

PARTS = ("whole", "encoder", "decoder")
EVENTS = "events.out.tfevents."
"""How the names of TensorBoard's files begin."""
NEEDS_EXTRA = "pip install 'tuiae[export]'"


@dataclass(frozen=True)
class Export:
    """What is asked for of a run."""

    run: RunPaths
    checkpoint: str = "last"
    """`last`, `best`, or the step of one that was kept."""
    part: str = "whole"
    """One of PARTS."""

    def need_layers(self, config: RunConfig, to: str) -> None:
        """Raises ConfigError for a network that a file of the user's own makes, which no `to` can hold."""
        if config.model.is_custom:
            file = split_code(of_run(config, self.run.root).model.code)[0]
            cause = f"no {to} can be written: the network of {self.run.id} is your own code, kept in {file}"
            weights = f"`tuiae export {self.run.id} --to safetensors` writes its weights"
            raise ConfigError(cause, f"use that file, and load the weights into it: {weights}")


@dataclass(frozen=True)
class Format:
    """A format: how its files end, and who writes them."""

    suffix: str
    write: Callable[[Export, Path], Sequence[str]]
    """Writes to a path, of which nothing is there yet; returns what is to be said of it. More files may stand beside
    it."""
    needs: str = ""
    """A module of the extra `export`."""
    of_weights: bool = False
    """Whether it holds a checkpoint."""
    of_parts: bool = False
    """Whether it can hold a part of the network alone."""


def check(to: str, checkpoint: str | None, part: str | None) -> Format:
    """The format of a name; raises ConfigError where there is none, where an option does not go with it, or where its
    library is not installed."""
    if to not in FORMATS:
        raise ConfigError(f"--to {to} is not known", f"one of {', '.join(FORMATS)}")
    found = FORMATS[to]
    if part is not None and part not in PARTS:
        raise ConfigError(f"--part {part} is not known", f"one of {', '.join(PARTS)}")
    for option, given, takes in (("--checkpoint", checkpoint, "of_weights"), ("--part", part, "of_parts")):
        if given is not None and not getattr(found, takes):
            others = ", ".join(name for name, one in FORMATS.items() if getattr(one, takes))
            raise ConfigError(f"{option} does not go with --to {to}", f"it is for {others}")
    if found.needs and find_spec(found.needs) is None:
        raise MissingLibraryError(f"--to {to} needs {found.needs}", NEEDS_EXTRA)
    return found


@contextmanager
def placing(target: Path, force: bool) -> Iterator[Path]:
    """A path to write to, in a folder of its own beside the target; at the end of the block everything in that folder
    is put beside the target, durable before it is visible. After an error nothing is left.

    Raises:
        ConfigError: there is something of that name, and no `force`; or nothing can be written there.
    """
    folder = target.absolute().parent
    if not target.name:
        raise ConfigError(f"{target} names no file", "name one, in that folder perhaps")
    _check_free(target, force)
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=folder))
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror or error}", "name a file elsewhere") from error
    try:
        yield work / target.name
        made = sorted(work.iterdir())
        for path in made:
            _check_free(folder / path.name, force)
        for path in made:
            _put(path, folder / path.name)
        fsync_directory(folder)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror or error}", "name a file elsewhere") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_free(path: Path, force: bool) -> None:
    """Raise ConfigError where something is in the way that is not to be replaced; a folder is replaced only where
    nothing but event files is in it."""
    if not os.path.lexists(path):
        return
    if path.is_dir() and any(not one.is_dir() and not one.name.startswith(EVENTS) for one in path.rglob("*")):
        raise ConfigError(f"{path} is a folder with other files in it", "-o FILE writes somewhere else")
    if not force:
        raise ConfigError(f"{path} is there already", "--force replaces it, -o FILE writes another")


def _put(made: Path, target: Path) -> None:
    """Put what was made in place of a target, and of what is there."""
    for path in [made, *made.rglob("*")] if made.is_dir() else [made]:
        fsync_directory(path)  # of a file as well
    if made.is_dir() and target.is_dir() and not target.is_symlink():
        os.rename(target, made.with_name(f"{made.name}.before"))  # goes with the folder of the work
    os.replace(made, target)


# Curves as tables, in the long form: a line for each value.

COLUMNS = ("run", "split", "epoch", "step", "time", "metric", "value")


def points(snapshot: Snapshot) -> Iterator[tuple[str, str, float, int, float, str, float]]:
    """Every value of every curve by COLUMNS, curve after curve. `time` is in seconds of training since the start; it
    and the value are NaN where they are not known."""
    run = clean(snapshot.id)
    for (split, metric), series in sorted(snapshot.series.items()):
        split, metric = clean(split), clean(metric)
        times = places(snapshot.clock, "time", series.epochs)
        for epoch, step, time, value in zip(
            *(column.tolist() for column in (series.epochs, series.steps, times, series.values)), strict=True
        ):
            yield run, split, epoch, step, time, metric, value


def write_points(snapshot: Snapshot, file: Any) -> None:
    """Write the points as CSV; what is not finite is empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run, split, epoch, step, time, metric, value in points(snapshot):
        when = f"{time:.3f}" if math.isfinite(time) else ""
        writer.writerow((run, split, f"{epoch:.10g}", step, when, metric, repr(value) if math.isfinite(value) else ""))


def _write_csv(export: Export, path: Path) -> Sequence[str]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        write_points(_measured(export.run), file)
    return ()


def _write_parquet(export: Export, path: Path) -> Sequence[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    snapshot = _measured(export.run)
    columns: list[Sequence[Any]] = [*zip(*points(snapshot), strict=True)]
    word, number = pa.dictionary(pa.int32(), pa.string()), pa.float64()
    kinds = (word, word, number, pa.int64(), number, word, number)
    arrays = [
        pa.array([None if isinstance(one, float) and not math.isfinite(one) else one for one in column], kind)
        for column, kind in zip(columns, kinds, strict=True)
    ]
    about = {} if snapshot.config is None else {"config": json.dumps(snapshot.config.model_dump(mode="json"))}
    pq.write_table(pa.table(arrays, COLUMNS, metadata={"run": snapshot.id, **about}), path)
    return ()


def _measured(run: RunPaths) -> Snapshot:
    """A run with its curves; raises ConfigError where it has none yet."""
    snapshot = RunReader(run.root).read_all()
    if not snapshot.series:
        raise ConfigError(f"{run.id} has no curves: nothing was measured", "let it train for an epoch first")
    return snapshot


# TensorBoard: a folder, in it one for each split, so that the curves of a metric lie upon each other.


def _write_tensorboard(export: Export, path: Path) -> Sequence[str]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    snapshot = _measured(export.run)
    begun = as_number(snapshot.meta.get("created")) or 0.0
    name = f"{EVENTS}{begun:010.0f}.{snapshot.id}"  # as theirs: the time, and then what tells them apart

    def moment(seconds: float) -> float:
        return begun + (seconds if math.isfinite(seconds) else 0.0)

    events: dict[str, list[Any]] = {}
    for _, split, _, step, time, metric, value in points(snapshot):
        summary = Summary(value=[Summary.Value(tag=metric, simple_value=value)])
        events.setdefault(split, []).append(Event(wall_time=moment(time), step=step, summary=summary))
    for epoch in snapshot.samples:
        if (sample := read_sample(export.run, epoch)) is None or not (rows := sample_rows(sample)):
            continue
        sheet = Sheet("images", [images for _, images in rows])
        height, width, _ = sheet.pixels.shape
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=sheet.png)
        summary = Summary(value=[Summary.Value(tag="images", image=image)])
        at, time = (float(places(snapshot.clock, unit, np.array(float(epoch)))) for unit in ("step", "time"))
        event = Event(wall_time=moment(time), step=int(at) if math.isfinite(at) else epoch, summary=summary)
        events.setdefault("samples", []).append(event)
    for split, found in events.items():
        (path / split).mkdir(parents=True)
        _write_events(path / split / name, [Event(wall_time=begun, file_version="brain.Event:2"), *found])
    return ()


def _write_events(path: Path, events: Sequence[Any]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    with io.BytesIO() as buffer:
        writer = RecordWriter(buffer)
        for event in events:
            writer.write(event.SerializeToString())
        path.write_bytes(buffer.getvalue())


# What needs torch or many words is in modules of its own, imported when it is asked for.


def _by(module: str, name: str) -> Callable[[Export, Path], Sequence[str]]:
    def write(export: Export, path: Path) -> Sequence[str]:
        with lasting_imports():
            writer = getattr(import_module(f"tuiae.exports.{module}"), name)
        words: Sequence[str] = writer(export, path)
        return words

    return write


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", _by("weights", "write_onnx"), "onnxscript", of_weights=True, of_parts=True),
    "torch-export": Format(".pt2", _by("weights", "write_torch_export"), of_weights=True, of_parts=True),
    "safetensors": Format(".safetensors", _by("weights", "write_safetensors"), of_weights=True, of_parts=True),
    "script": Format(".py", _by("script", "write_script")),
    "tensorboard": Format("-tensorboard", _write_tensorboard, "tensorboard"),
    "csv": Format(".csv", _write_csv),
    "parquet": Format(".parquet", _write_parquet, "pyarrow"),
}
"""By the word after `--to`."""
