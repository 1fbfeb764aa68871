"""A sweep: one preset, trained with every combination of values and every seed; and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuiae.config import RunConfig, build_config, did_you_mean, read_document
from tuiae.errors import ConfigError
from tuiae.preset_files import find_preset, presets_dir
from tuiae.runs.snapshot import Snapshot
from tuiae.runs.tags import check_tags
from tuiae.studies.compare import Spread, spread
from tuiae.studies.labels import SEED, short_keys, value_text
from tuiae.studies.plan import Job
from tuiae.studies.sweep_file import SweepFile, Values, read_sweep_file


@dataclass(frozen=True)
class Combination:
    """Values that are tried together, one job for each seed."""

    label: str
    values: Mapping[str, Any]
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Sweep:
    """A sweep file, resolved: every config is complete and valid."""

    name: str
    path: Path
    tags: tuple[str, ...]
    keys: tuple[str, ...]
    combinations: tuple[Combination, ...]

    @property
    def tag(self) -> str:
        return f"sweep:{self.name}"

    @property
    def jobs(self) -> list[Job]:
        return [job for combination in self.combinations for job in combination.jobs]

    @property
    def ranked_by(self) -> str:
        """`loss` or `accuracy` on test images; empty where neither is one measure in all runs."""
        configs = [job.config for job in self.jobs]
        if all(config.is_classifier for config in configs):
            return "accuracy"
        if any(config.is_classifier for config in configs):
            return ""
        return "loss" if len({_measure(config) for config in configs}) == 1 else "accuracy"


@dataclass(frozen=True)
class Row:
    """What came of a combination, over its seeds: final figures on test images of the runs that have finished."""

    combination: Combination
    finished: int
    loss: Spread | None
    accuracy: Spread | None

    def figure(self, metric: str) -> Spread | None:
        return self.accuracy if metric == "accuracy" else self.loss


def find_sweep(text: str) -> Path:
    """A path, or the name of a sweep that came with the package, from whatever directory.

    Raises:
        ConfigError: no such file and no such sweep.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path
    folder = presets_dir() / "sweeps"
    names = sorted(found.stem for found in folder.glob("*.toml"))
    if path.suffix in ("", ".toml") and path.parent.name in ("", "sweeps") and path.stem in names:
        return folder / f"{path.stem}.toml"
    hint = f"give a sweep file, or one that came with tuiae: {', '.join(names)}"
    raise ConfigError(f"{text}: no such sweep{did_you_mean(path.stem, names)}", hint)


def load_sweep(path: Path) -> Sweep:
    """Read a sweep file and build every config of it.

    Raises:
        ConfigError: naming the file, the key, the value and what is allowed.
    """
    file, combinations = read_sweep_file(path)
    beside = path.parent / file.preset
    preset = beside if beside.is_file() else find_preset(file.preset)
    document = {**read_document(preset), "name": file.name}
    keys = tuple(dict.fromkeys(key for values in combinations for key in values))
    short = short_keys(keys)
    built = []
    for values in combinations:
        words = [f"{short[key]}={value_text(value)}" for key, value in values.items()]
        label = " ".join(words) or "preset"
        jobs = tuple(
            Job(f"{label} seed={seed[SEED]}" if len(file.seeds) > 1 else label, config)
            for seed, config in _configs(file, document, values, path, preset, label)
        )
        built.append(Combination(label, values, jobs))
    tags = tuple(check_tags(file.tags))
    check_tags((f"sweep:{file.name}",))
    return Sweep(file.name, path, tags, keys, tuple(built))


def _configs(
    file: SweepFile, document: dict[str, Any], values: Values, path: Path, preset: Path, label: str
) -> list[tuple[Values, RunConfig]]:
    """The config of each seed, or of the preset's own."""
    seeds: list[Values] = [{SEED: seed} for seed in dict.fromkeys(file.seeds)] or [{}]
    try:
        return [
            (seed, build_config(document, {**file.settings, **values, **seed}, source=str(preset), asker=str(path)))
            for seed in seeds
        ]
    except ConfigError as error:
        # A mistake between keys names no file: the values are each right, and wrong together.
        named = error.cause.startswith((str(path), str(preset)))
        raise ConfigError(error.cause if named else f"{path}: {label}: {error.cause}", error.hint) from error


def rows(sweep: Sweep, snapshots: Mapping[str, Snapshot]) -> tuple[Row, ...]:
    """One row a combination, from the snapshots of the runs that are there, by job label."""
    found = []
    for combination in sweep.combinations:
        runs = [snapshots[job.label] for job in combination.jobs if job.label in snapshots]
        ended = [run for run in runs if run.status.state == "finished"]
        loss, accuracy = (spread(_final(run, metric) for run in ended) for metric in ("loss", "accuracy"))
        found.append(Row(combination, len(ended), loss, accuracy))
    return tuple(found)


def best_row(sweep: Sweep, found: tuple[Row, ...]) -> Row | None:
    """The row with the best mean among those whose seeds have all finished; None where that cannot be said."""
    metric = sweep.ranked_by
    whole = [row for row in found if row.finished == len(row.combination.jobs)]
    means = [(figure.mean, row) for row in whole if metric and (figure := row.figure(metric)) is not None]
    if not means:
        return None
    pick = max if metric == "accuracy" else min
    return pick(means, key=lambda pair: pair[0])[1]


def _final(run: Snapshot, metric: str) -> float | None:
    value = run.latest("test", metric)
    return value if value is not None and math.isfinite(value) else None


def _measure(config: RunConfig) -> tuple[Any, ...]:
    """What the test loss is a measure of: losses of different kinds have different units."""
    training = config.training
    return training.loss, (config.model.family, training.beta) if config.model.is_variational else ""
