"""Several runs beside each other: what differs, what came of it, and how far seeds spread. Reads, never trains."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from statistics import fmean, stdev
from string import digits

import numpy as np
from numpy.typing import NDArray

from tuiae.config import CUSTOM, VARIATIONAL, RunConfig, short_key, value_text
from tuiae.images import CHANGED, ImageRecord
from tuiae.runs.control import Edit
from tuiae.runs.labels import called
from tuiae.runs.paths import RunPaths, undated
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.snapshot import HIGHER_IS_BETTER, NOTHING, Best, Sample, Series, Snapshot
from tuiae.source import split_code
from tuiae.studies.labels import (
    SettingDifference,
    differences,
    letters,
    own_differences,
    recipe,
    recipe_labels,
    run_labels,
)

# Where a run did not go as its settings say: it was edited, forked from another run, or ended early.

CUT_SHORT = ("stopped", "failed", "lost")
MOST_EDITS = 3


def deviations(snapshot: Snapshot, names: Mapping[str, str]) -> tuple[str, ...]:
    """How a run departed from its settings, put behind its name; `names` are of runs that have a shorter
    one than their id."""
    changes, parent = edited(snapshot), snapshot.parent
    found = [ending(snapshot), f"was edited while it trained: {changes}" if changes else ""]
    if parent is not None:
        keys = f" ({', '.join(map(short_key, parent.changed))} changed)" if parent.changed else ""
        found.append(f"was forked at epoch {_epoch(parent.epoch)} of {names.get(parent.run, parent.run)}{keys}")
    found += [f"went on {note.text}" for note in snapshot.notes if note.text.startswith(CHANGED)]
    return tuple(filter(None, found))


def ending(snapshot: Snapshot) -> str:
    """`stopped at epoch 641`; empty for a run that still trains or that ended as planned."""
    status, config = snapshot.status, snapshot.current_config
    if status.state in CUT_SHORT:
        return f"{snapshot.state} at epoch {status.epoch}"
    patient = status.state == "finished" and config is not None and config.training.patience
    return f"ended early at epoch {status.epoch}" if patient and status.epoch < (status.epochs or 0) else ""


def edited(snapshot: Snapshot, key: str = "") -> str:
    """`learning_rate 0.002 → 50 at epoch 183`, of one key or of all; empty where nothing was edited."""
    made = [edit for edit in snapshot.edits if edit.step <= snapshot.status.step and key in ("", edit.key)]
    return _listed(list(map(_edit, made)), MOST_EDITS)


def _listed(words: Sequence[str], most: int = 6) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def _edit(edit: Edit) -> str:
    return f"{short_key(edit.key)} {value_text(edit.old)} → {value_text(edit.new)} at epoch {_epoch(edit.epoch)}"


def _epoch(epoch: float) -> str:
    return f"{round(epoch, 2):g}"


MOST_CURVES = 8
"""Curves that can still be told apart in one plot."""
METRIC_NAMES = {"kl": "KL", "wrong_pixels": "wrong pixels", "wrong_pixels_max": "most wrong pixels"}


def metric_name(metric: str) -> str:
    """What a metric is called in a sentence."""
    return METRIC_NAMES.get(metric, metric)


Values = NDArray[np.float64]
UNRANKED = ("kl",)
"""A part of a loss that is traded for another: its lowest value is no merit."""
RunNow = tuple[Snapshot, Sample | None]
"""A run as it is now, with its newest readable sample."""


@dataclass(frozen=True)
class Entry:
    """One run of a comparison; `key` is its group's letter, with a number where the group has several runs."""

    key: str
    label: str
    snapshot: Snapshot
    sample: Sample | None = None

    def series(self, split: str, metric: str) -> Series | None:
        return self.snapshot.series.get((split, metric))

    def final(self, metric: str, split: str = "test") -> float | None:
        """The last value; None when there is none or it is not a finite number."""
        value = self.snapshot.latest(split, metric)
        return value if value is not None and math.isfinite(value) else None

    def best(self, metric: str, split: str = "test") -> Best | None:
        return self.snapshot.best(split, metric)

    def best_value(self, metric: str) -> float | None:
        best = self.best(metric)
        return best.value if best else None


@dataclass(frozen=True)
class Spread:
    """A figure over the seeds of a group: `n` runs have it; `std` is the sample's, given from two runs on."""

    n: int
    mean: float
    min: float
    max: float
    std: float | None


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and spread of the measured values; None without any."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(len(known), fmean(known), min(known), max(known), stdev(known) if len(known) > 1 else None)


@dataclass(frozen=True)
class RunGroup:
    """Runs whose configs differ in nothing but name and seed, each with a seed of its own."""

    key: str
    label: str
    entries: tuple[Entry, ...]

    def final(self, metric: str) -> Spread | None:
        return spread(entry.final(metric) for entry in self.entries)

    def best(self, metric: str) -> Spread | None:
        return spread(entry.best_value(metric) for entry in self.entries)


@dataclass(frozen=True)
class Comparison:
    """Several runs as they are now, group by group in the order in which they were named."""

    entries: tuple[Entry, ...]
    groups: tuple[RunGroup, ...]
    differences: tuple[SettingDifference, ...]
    """Values in the order of `entries`."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """Id of a run from which one of these was forked -> what it is called."""

    @property
    def configs(self) -> list[RunConfig]:
        """The configs that can be read."""
        return [config for entry in self.entries if (config := entry.snapshot.current_config) is not None]

    @property
    def datasets(self) -> tuple[str, ...]:
        """The different sets of images, each by the name of its dataset; with the keys of its runs, where several have
        one name."""
        members: dict[str, list[Entry]] = {}
        keys = image_keys([entry.snapshot for entry in self.entries])
        for key, entry in zip(keys, self.entries, strict=True):
            if key:
                members.setdefault(key, []).append(entry)
        names = [found[0].snapshot.config.data.dataset for found in members.values() if found[0].snapshot.config]
        if len(set(names)) == len(names):
            return tuple(names)
        runs = [_listed([entry.key for entry in found]) for found in members.values()]
        return tuple(f"{name} ({which})" for name, which in zip(names, runs, strict=True))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics on test images, loss and accuracy first."""
        runs = [entry.snapshot for entry in self.entries]
        names = {name for run in runs for split, name in run.series if split == "test" and not run.repeats_loss(name)}
        first = [name for name in ("loss", "accuracy") if name in names]
        return (*first, *sorted(names - set(first)))

    @property
    def seeded(self) -> bool:
        """Whether some group has several runs, so that there is a spread to show."""
        return len(self.groups) < len(self.entries)

    @property
    def live(self) -> bool:
        return any(entry.snapshot.status.live for entry in self.entries)


def compare(runs: Sequence[RunNow]) -> Comparison:
    """Label, group and order runs."""
    recipes = _group_names([snapshot for snapshot, _ in runs])
    places = {name: index for index, name in enumerate(dict.fromkeys(recipes))}
    order = sorted(range(len(runs)), key=lambda index: places[recipes[index]])
    runs, recipes = [runs[index] for index in order], [recipes[index] for index in order]
    configs = [snapshot.current_config for snapshot, _ in runs]
    ids = [undated(snapshot.id) if snapshot.tracked is not None else snapshot.id for snapshot, _ in runs]
    group_labels = recipe_labels(configs, ids)
    labels = run_labels(group_labels, configs, ids, [snapshot.name for snapshot, _ in runs])
    entries: list[Entry] = []
    groups: list[RunGroup] = []
    for name, place in places.items():
        members = [index for index, other in enumerate(recipes) if other == name]
        letter = letters(place)
        keys = [f"{letter}{number}" for number in range(1, len(members) + 1)] if len(members) > 1 else [letter]
        found = tuple(Entry(key, labels[i], *runs[i]) for key, i in zip(keys, members, strict=True))
        label = group_labels[members[0]] if len(members) > 1 else labels[members[0]]
        groups.append(RunGroup(letter, label, found))
        entries += found
    own = [entry.snapshot.tracked for entry in entries]
    unlike = differences(configs) or (own_differences(own) if all(one is not None for one in own) else ())
    parents = {
        one.parent.run: called(RunPaths(one.path.parent / one.parent.run)) for one, _ in runs if one.parent is not None
    }
    return Comparison(tuple(entries), tuple(groups), unlike, parents)


def _group_names(snapshots: Sequence[Snapshot]) -> list[str]:
    """A key of the group of each run. No group has a seed twice: a fork or a repeat says nothing about seeds."""
    names, seen = [], Counter[tuple[str, int]]()
    for snapshot, images in zip(snapshots, image_keys(snapshots), strict=True):
        config = snapshot.current_config
        if config is None:
            names.append(snapshot.id)
            continue
        place = (f"{recipe(config)} {images}", config.training.seed)
        names.append(f"{place[0]} {seen[place]}")
        seen[place] += 1
    return names


def image_keys(snapshots: Sequence[Snapshot]) -> list[str]:
    """A key of the images of each run; empty where its config cannot be read. What is not recorded is taken for what
    another run of that dataset has."""
    recorded: dict[str, str] = {}
    for one in snapshots:
        if one.config is not None and one.images is not None:
            recorded.setdefault(one.config.data.dataset, _image_key(one.images))
    keys = []
    for one in snapshots:
        name = one.config.data.dataset if one.config is not None else ""
        keys.append(_image_key(one.images) if one.images is not None and name else recorded.get(name, name))
    return keys


def _image_key(images: ImageRecord) -> str:
    return " ".join((images.digest, *images.classes))


# Curves


def shows_means(comparison: Comparison) -> bool:
    """Returns whether groups have one curve each where nobody chose: there are several of them, or too many runs."""
    return comparison.seeded and (len(comparison.groups) > 1 or len(comparison.entries) > MOST_CURVES)


def choose_curves(comparison: Comparison, metric: str, means: bool | None = None) -> tuple[tuple[RunGroup, ...], str]:
    """The runs, or where `means` the groups, that get a curve each, and a line that says which where not every run
    does; of too many the best."""
    means = shows_means(comparison) if means is None else means and comparison.seeded
    runs = tuple(RunGroup(entry.key, entry.label, (entry,)) for entry in comparison.entries)
    every = tuple(line for line in (comparison.groups if means else runs) if _has_curve(line, metric))
    said = "means over seeds" if means else ""
    if len(every) <= MOST_CURVES:
        return every, f"curves: {said}" if said else ""
    ranked = not unranked(comparison, metric)
    chosen = sorted(_best_first(every, metric, ranked)[:MOST_CURVES])
    words = f"{MOST_CURVES} of {len(every)} {'groups' if means else 'runs'}"
    words = f"the best {words} by test {metric_name(metric)}" if ranked else words
    some = "some of each group" if len(comparison.groups) <= MOST_CURVES and comparison.seeded and not means else ""
    return tuple(every[place] for place in chosen), f"curves: {', '.join(filter(None, (said, words, some)))}"


def _has_curve(line: RunGroup, metric: str) -> bool:
    return any(name == metric for entry in line.entries for _, name in entry.snapshot.series)


def _best_first(lines: Sequence[RunGroup], metric: str, ranked: bool) -> list[int]:
    """The places of lines, the best first where they can be ranked, but the first of every group of runs before the
    second of any."""
    sign = -1 if metric in HIGHER_IS_BETTER else 1
    values = [sign * best.mean if ranked and (best := line.best(metric)) else math.inf for line in lines]
    seen, turns = Counter[str](), dict[int, int]()
    for place in (order := np.argsort(values, kind="stable").tolist()):
        group = lines[place].key.rstrip(digits)
        turns[place] = seen[group]
        seen[group] += 1
    return sorted(order, key=lambda place: turns[place])


def seed_curve(series: Sequence[Series]) -> tuple[Series, tuple[Values, Values]]:
    """The mean of curves over the epochs that all have reached, and the lowest and the highest value there."""
    unique = [np.unique(one.epochs, return_index=True) for one in series]
    epochs = reduce(np.intersect1d, [found for found, _ in unique])
    values = np.array(
        [one.values[first[np.searchsorted(found, epochs)]] for one, (found, first) in zip(series, unique, strict=True)]
    )
    return Series(np.zeros(len(epochs), np.int64), epochs, values.mean(0)), (values.min(0), values.max(0))


def mean_clock(clocks: Sequence[Series]) -> Series:
    """When the runs of a group reached an epoch, on average."""
    known = [clock for clock in clocks if len(clock.epochs)]
    if len(known) < 2:
        return known[0] if known else NOTHING
    epochs = np.unique(np.concatenate([clock.epochs for clock in known]))
    steps, seconds = (
        np.mean([np.interp(epochs, clock.epochs, getattr(clock, name)) for clock in known], axis=0)
        for name in ("steps", "values")
    )
    return Series(steps, epochs, seconds)


# Cautions before the figures are read


def cautions(comparison: Comparison, metric: str) -> tuple[str, ...]:
    """Warnings about runs that are not comparable, not readable, or still training."""
    datasets = comparison.datasets
    shown = [name for name in dict.fromkeys((metric, "accuracy")) if name == metric or name in comparison.metrics]
    said = [_measured(comparison, name) for name in shown]
    said.append(f"figures are of different images: {', '.join(datasets)}" if len(datasets) > 1 else "")
    said.append(own_noise(comparison.configs))
    torn = [
        entry.key
        for entry in comparison.entries
        if entry.snapshot.current_config is None and entry.snapshot.tracked is None
    ]
    if torn:
        said.append(f"{_listed(torn)}: config not readable; compared by figures alone")
    without = [entry.key for entry in comparison.entries if entry.best(metric) is None]
    if without and len(without) < len(comparison.entries):
        said.append(f"{_listed(without)}: no test {metric} yet")
    live = [entry.key for entry in comparison.entries if entry.snapshot.status.live]
    if live:
        ending = "still trains: its" if len(live) == 1 else "still train: their"
        said.append(f"{_listed(live)} {ending} final values may change")
    keys = {**comparison.parents, **{entry.snapshot.id: entry.key for entry in comparison.entries}}
    said += [f"{entry.key} {words}" for entry in comparison.entries for words in deviations(entry.snapshot, keys)]
    return tuple(words for words in said if words)


def measures(comparison: Comparison, metric: str) -> tuple[str, ...]:
    """The measures that a metric stands for in these runs: losses of different kinds have different units."""
    if metric not in ("loss", "reconstruction", "accuracy"):
        return ()
    return tuple(dict.fromkeys(measure_of(config, metric) for config in comparison.configs))


def measure_of(config: RunConfig, metric: str) -> str:
    """The measure that `loss`, `reconstruction` or `accuracy` stands for in runs of this config."""
    training = config.training
    if metric == "accuracy":
        return "share of images" if config.is_classifier else "share of pixels"
    if config.is_classifier:
        return "cross-entropy"
    if config.model.family == CUSTOM and metric == "loss":
        file, name = split_code(config.model.code)
        return f"that of {name} in {Path(file).name}"
    if config.model.family not in VARIATIONAL or metric == "reconstruction":
        return training.loss
    return f"{training.loss} + {training.beta:g} KL"


def _measured(comparison: Comparison, metric: str) -> str:
    kinds = measures(comparison, metric)
    if len(kinds) < 2:
        return ""
    others = [name for name in comparison.metrics if name not in ("loss", "accuracy")]
    shared = [name for name in others if all(entry.best(name) is not None for entry in comparison.entries)]
    other = f"; one measure for all: {shared[0]}" if shared and metric == "loss" else ""
    return f"{metric} is not the same measure in all ({' / '.join(kinds)}){other}"


def noise_words(config: RunConfig) -> str:
    """The noise under which a run of this config is trained and measured: `gaussian 0.3`."""
    noise = config.noise
    if noise.kind == "none" or not noise.level:
        return "no noise"
    some = noise.kind == "uniform" and noise.probability < 1
    return f"{noise.kind} {noise.level:g}" + (f" with probability {noise.probability:g}" if some else "")


OWN_NOISE = "each run is measured under its own noise"
SAME_NOISE = "`tuiae eval RUN --noise-levels` measures all under the same"
MOST_NOISES = 4


def own_noise(configs: Iterable[RunConfig]) -> str:
    """Says that runs were measured under different noise, and what measures them under the same; else empty."""
    kinds = [*dict.fromkeys(map(noise_words, configs))]
    which = f"{', '.join(kinds[:MOST_NOISES])}{', …' * (len(kinds) > MOST_NOISES)}"
    return f"{OWN_NOISE} ({which}): {SAME_NOISE}, Bench shows it of one" if len(kinds) > 1 else ""


def unranked(comparison: Comparison, metric: str) -> str:
    """Why a better value does not mean a better run, in a sentence; empty where it does."""
    if metric in UNRANKED:
        return f"a low {metric_name(metric)} is no merit by itself"
    if len(measures(comparison, metric)) > 1:
        return f"{metric_name(metric)} is not the same measure in all"
    if len(comparison.datasets) > 1:
        return "the figures are of different images"
    return f"{OWN_NOISE}; {SAME_NOISE}" if own_noise(comparison.configs) else ""


Figure = tuple[str, Callable[[RunGroup], Spread | None]]


def group_figures(comparison: Comparison, metric: str) -> tuple[Figure, ...]:
    """The figures shown of a group: final and best of the metric, and of loss and accuracy."""
    names = [name for name in dict.fromkeys((metric, "loss", "accuracy")) if name in comparison.metrics]
    kinds = (("final", RunGroup.final), ("best", RunGroup.best))
    return tuple((f"{kind} {name}", partial(take, metric=name)) for name in names for kind, take in kinds)


# Following several runs at once, live or finished.

PICTURE_SECONDS = 2.0  # between samples of a live run: reading and drawing them costs the most


class CompareReader:
    """Polls several runs; every poll reads only what is new."""

    def __init__(self, paths: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._runs = [_Followed(path, clock) for path in paths]
        self._compared: list[RunNow] = []
        self._comparison: Comparison | None = None

    def poll(self) -> Comparison:
        """The runs as they are now; the same object again when nothing changed."""
        return self._compare([run.read(whole=False) for run in self._runs])

    def read_all(self) -> Comparison:
        """The whole history of every run."""
        return self._compare([run.read(whole=True) for run in self._runs])

    def _compare(self, runs: list[RunNow]) -> Comparison:
        # By identity: a snapshot that says nothing new is the same object.
        same = [tuple(map(id, run)) for run in runs] == [tuple(map(id, run)) for run in self._compared]
        if self._comparison is None or not same:
            self._comparison = compare(runs)
        self._compared = runs
        return self._comparison


class _Followed:
    """One run and its newest readable sample."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._reader = RunReader(path)
        self._clock = clock
        self._sample: Sample | None = None
        self._looked = -PICTURE_SECONDS

    def read(self, whole: bool) -> RunNow:
        """The run as it is now, its whole history or what is new of it; of a live run no newest sample at each call."""
        snapshot = self._reader.read_all() if whole else self._reader.poll()
        due = whole or not snapshot.status.live or self._clock() - self._looked >= PICTURE_SECONDS
        newest = snapshot.samples[-1] if snapshot.samples and due else None
        if newest is not None and (self._sample is None or self._sample.epoch != newest):
            self._looked = self._clock()
            self._sample = read_sample(self._reader.run, newest) or self._sample
        return snapshot, self._sample
