"""The immutable values that a reader hands out, safe to pass between threads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from tuiae.config import RunConfig
from tuiae.files import MAX_COUNT, MAX_EPOCH, MAX_TIME, as_number, is_count
from tuiae.images import ImageRecord
from tuiae.runs.control import Edit, Value, apply_edits
from tuiae.runs.labels import PRUNED
from tuiae.runs.paths import LIVE_STATES


@dataclass(frozen=True)
class Position:
    """A position in a run: of a checkpoint, or of the start of a worker."""

    step: int
    epoch: float
    """Epochs done, the one under way as a fraction."""


@dataclass(frozen=True)
class Parent:
    """The run and the position from which a fork began."""

    run: str
    """Its id; the run itself may be gone."""
    step: int
    epoch: float
    """Epochs done, the one under way as a fraction."""
    changed: tuple[str, ...] = ()
    """The dotted keys in which the fork differs from what was in force there."""
    highest_rate: float | None = None
    """The highest learning rate that was in force until then, in the parent's parents too; None in older files."""


def read_parent(meta: Mapping[str, Any]) -> Parent | None:
    """The parent in a meta.json; None for a run that is not a fork, and for an entry that is not valid."""
    found = meta.get("parent")
    if not isinstance(found, dict):
        return None
    run, step, changed = (found.get(key) for key in ("run", "step", "changed"))
    epoch = as_number(found.get("epoch"), MAX_EPOCH)
    if not isinstance(run, str) or not is_count(step) or epoch is None:
        return None
    keys = changed if isinstance(changed, list) else []
    rate = as_number(found.get("highest_rate"))
    return Parent(run, step, epoch, tuple(key for key in keys if isinstance(key, str)), rate)


Key = tuple[str, str]  # split, metric: ("test", "loss")
Count = Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=MAX_TIME)]


@dataclass(frozen=True)
class Status:
    """The status of a run; unknown fields are None."""

    state: str = "unknown"
    phase: str = ""
    epoch: Count = 0
    """Epochs that are over."""
    epochs: Count = 0
    epochs_done: Amount | None = None
    """The one under way as a fraction of them; None before the first, and in the files of older versions."""
    step: Count = 0
    steps_per_epoch: Count = 0
    images_per_second: Amount | None = None
    eta: Amount | None = None
    elapsed: Amount | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    device: str = ""
    card: str = ""
    """The UUIDs of the GPUs that it trains on, a blank between two."""
    memory: Amount | None = None
    pid: Count = 0
    process_start: str = ""
    tuiae: str = ""
    """The version of tuiae that its worker is of; empty in the files of older ones."""
    host: str = ""
    heartbeat: Amount = 0.0
    trouble: str = ""
    """What the worker cannot write at this moment, and tries again."""
    error: Mapping[str, str | int] | None = None
    """Why it failed."""
    refusal: Mapping[str, str | int] | None = None
    """Why the last worker that was to go on with it could not begin, with that worker's `pid`."""
    silent: Count = 0
    """Whole minutes for which the worker of a live run has not written this: the reader says it, and no file."""
    settings: Mapping[str, Value] | None = None
    """Of a tracked run, what its program lets others edit, as it is now; None of a run that tuiae trains."""
    edited: Mapping[str, Value] | None = None
    """Dotted keys of the config that edits have given another value than it has, and their values now."""

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES

    @property
    def tracked(self) -> bool:
        """Whether a program of somebody's own trains the run."""
        return self.settings is not None

    @property
    def share(self) -> float | None:
        """The share of its epochs that a run has done, 0 to 1; None before it trains.

        Not by its steps: a fork may have begun with batches of another size.
        """
        if not self.epochs or (self.epochs_done is None and not self.steps_per_epoch):
            return None
        done = self.epoch if self.epochs_done is None else self.epochs_done
        return min(max(done / self.epochs, 0.0), 1.0)


HIGHER_IS_BETTER = ("accuracy", "psnr", "ssim")
"""Metrics of which the highest value is the best; of all others it is the lowest."""


@dataclass(frozen=True)
class Best:
    """The best value of a curve and the first epoch that reached it."""

    value: float
    epoch: float


@dataclass(frozen=True)
class Series:
    """One curve; each array (points,)."""

    steps: np.ndarray
    epochs: np.ndarray
    """Where a value belongs on the axis; fractional for live points."""
    values: np.ndarray
    outline: Series | None = None
    """A bounded number of its points, with its extremes and all of the newest; None where the curve itself will do."""

    @property
    def last(self) -> float | None:
        return float(self.values[-1]) if len(self.values) else None

    def best(self, metric: str) -> Best | None:
        """The best value of a curve of this metric, the first among equals; None without a finite value."""
        scores = self.values if metric in HIGHER_IS_BETTER else -self.values
        finite = np.flatnonzero(np.isfinite(scores))
        if not len(finite):
            return None
        index = finite[scores[finite].argmax()]
        return Best(float(self.values[index]), float(self.epochs[index]))


NOTHING = Series(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Note:
    """A warning, an error or a phase, as a line for people."""

    time: float
    kind: str
    text: str
    epoch: float | None = None
    """Epochs done at that moment, where it is known."""


@dataclass(frozen=True)
class Snapshot:
    """A run as it was at one poll."""

    id: str
    path: Path
    config: RunConfig | None
    meta: Mapping[str, Any]
    status: Status
    series: Mapping[Key, Series]
    samples: tuple[int, ...] = ()
    """The epochs of the stored samples, ascending."""
    stepped: int | None = None
    """The step after which there are newer pictures: the run was taken through an epoch by single steps."""
    notes: tuple[Note, ...] = ()
    log: tuple[str, ...] = ()
    checkpoints: tuple[int, ...] = ()
    """The steps at which weights were saved, ascending; a run keeps only some of them."""
    edits: tuple[Edit, ...] = ()
    """Each once, as they were made; a run that went back to a checkpoint makes those beyond its step again."""
    resumes: tuple[Position, ...] = ()
    """Where later workers went on from a checkpoint."""
    clock: Series = NOTHING
    """When epochs were reached: the values are seconds of training since the start, pauses and the time between two
    workers left out; NaN where the history has no times."""
    name: str = ""
    """What its users call it, if they gave it a name."""
    images: ImageRecord | None = None
    """The images that it trains on; None where that is not recorded."""
    tracked: Mapping[str, Any] | None = None
    """The settings of a tracked run by dotted key, as its program named them; None of a run that tuiae trains."""
    tags: tuple[str, ...] = ()

    @property
    def own_settings(self) -> Mapping[str, Any]:
        """The settings of a tracked run as they are now, edits included."""
        return {**(self.tracked or {}), **(self.status.settings or {})}

    @property
    def state(self) -> str:
        """The state for people. A `pruned` run was stopped by a search: its last figures say little of its settings."""
        stopped = self.status.state == "stopped"
        return PRUNED if stopped and PRUNED in self.tags else self.status.state

    @property
    def image_words(self) -> str:
        """The recorded images, of a run with a config as it uses them; empty without a record."""
        if self.images is None:
            return ""
        return self.images.used(self.config.data) if self.config is not None else self.images.words

    @property
    def title(self) -> str:
        """The name to show: the display name, else the id."""
        return self.name or self.id

    def latest(self, split: str, metric: str) -> float | None:
        series = self.series.get((split, metric))
        return series.last if series else None

    def repeats_loss(self, metric: str) -> bool:
        """Returns whether this is the mse of a run whose loss it is."""
        mse, loss = (self.series.get(("test", name)) for name in ("mse", self.main_metric))
        return metric == "mse" and mse is not None and loss is not None and np.array_equal(mse.values, loss.values)

    def best(self, split: str, metric: str) -> Best | None:
        """The best value so far; None where nothing finite was measured."""
        series = self.series.get((split, metric))
        return series.best(metric) if series else None

    @cached_property
    def current_config(self) -> RunConfig | None:
        """The config in force: `config` is what the run began with, and edits come on top."""
        if self.config is None:
            return None
        return apply_edits(self.config, (edit for edit in self.edits if edit.step <= self.status.step))

    @property
    def main_metric(self) -> str:
        """What is shown first: the loss, or of a tracked run without one the first metric of its evaluations, else of
        its training."""
        names = [name for split in ("test", "train", "live") for part, name in self.series if part == split]
        return names[0] if self.tracked is not None and names and "loss" not in names else "loss"

    @property
    def parent(self) -> Parent | None:
        """The parent of a fork; None for other runs."""
        return read_parent(self.meta)


WEIGHTS, GRADIENTS, CODE_VALUES = "weights", "gradients", "code"


@dataclass(frozen=True)
class Histogram:
    """How some values were spread after an epoch."""

    what: str
    """WEIGHTS of a layer, their GRADIENTS in the last step of the epoch, or CODE_VALUES of test images."""
    layer: str
    """The name of its module, such as `encoder.1`; empty of codes."""
    low: float
    high: float
    counts: np.ndarray
    """(bins,), of equal width from `low` to `high`; what lies beyond is counted in the outermost ones."""


@dataclass(frozen=True)
class Sample:
    """The arrays that the panels show for one epoch; None where the run does not have them.

    `inputs`, `noisy`, `reconstructions`: uint8 (N, C, H, W). `labels`, `predictions`: (N,). `confusion`: (classes,
    classes), rows the true class. `codes`, `code_labels`: (M, 2) and (M,) of uncorrupted test images; wider codes lie
    along their first two principal components, a code of one number against its class. `unit_kl`: (latent,) of
    variational autoencoders, the mean KL of each unit of the code over those images, in nats.
    """

    epoch: int
    step: int | None = None
    """The step after which pictures within an epoch were made; `epoch` is then the last with a sample."""
    inputs: np.ndarray | None = None
    noisy: np.ndarray | None = None
    reconstructions: np.ndarray | None = None
    labels: np.ndarray | None = None
    predictions: np.ndarray | None = None
    confusion: np.ndarray | None = None
    codes: np.ndarray | None = None
    code_labels: np.ndarray | None = None
    unit_kl: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    """The histograms of a run with `samples.histograms`."""


@dataclass(frozen=True)
class ArrayKind:
    """What an array of a sample is: its dimensions, the letters of its type, the lowest and the highest value."""

    dimensions: int
    types: str
    low: float = -math.inf
    high: float = math.inf

    def holds(self, values: np.ndarray) -> bool:
        """Returns whether an array from a file is one."""
        fits = values.ndim == self.dimensions and values.dtype.kind in self.types
        return fits and bool(self.types == "f" or ((values >= self.low) & (values <= self.high)).all())


SAMPLE_ARRAYS = {
    **dict.fromkeys(("inputs", "noisy", "reconstructions"), ArrayKind(4, "u", 0, 255)),
    **dict.fromkeys(("labels", "predictions", "code_labels"), ArrayKind(1, "iu", -1, 2**13)),
    "confusion": ArrayKind(2, "iu", 0, 1e9),
    "codes": ArrayKind(2, "f"),
    "unit_kl": ArrayKind(1, "f"),
}
"""The arrays of a Sample, by name."""

MOST_HISTOGRAMS, MOST_BINS = 1024, 256


def read_histograms(arrays: Mapping[str, np.ndarray]) -> tuple[Histogram, ...]:
    """The histograms in the arrays of a sample: `histogram_names` (N,), `WHAT LAYER` each, `histogram_ranges` (N, 2)
    and `histogram_counts` (N, bins); none where they do not fit each other."""
    names, ranges, counts = (arrays.get(f"histogram_{name}", np.empty(0)) for name in ("names", "ranges", "counts"))
    fits = (
        (names.ndim, ranges.ndim, counts.ndim) == (1, 2, 2)
        and (names.dtype.kind, ranges.dtype.kind) == ("U", "f")
        and counts.dtype.kind in "iu"
        and len(names) == len(ranges) == len(counts) <= MOST_HISTOGRAMS
        and ranges.shape[1] == 2
        and 0 < counts.shape[1] <= MOST_BINS
    )
    if not fits:
        return ()
    found = []
    for name, (low, high), bins in zip(names.tolist(), ranges.tolist(), counts, strict=True):
        what, _, layer = name.partition(" ")
        if what in (WEIGHTS, GRADIENTS, CODE_VALUES) and -math.inf < low < high < math.inf and bins.min() >= 0:
            found.append(Histogram(what, layer, low, high, bins))
    return tuple(found)


def ago(seconds: float) -> str:
    """A time that has passed, in whole units of the largest that fits: `42 s`, `3 min`, `5 h`, `12 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(seconds, 0.0))} s"
