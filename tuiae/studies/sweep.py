"""A sweep: one preset trained with every combination of values and every seed, and its results."""

from __future__ import annotations

import itertools
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from tuiae.config import NAME_PATTERN, NAME_WORDS, RunConfig, Section, build_config, did_you_mean, read_document
from tuiae.config.presets import find_preset, presets_dir
from tuiae.errors import ConfigError
from tuiae.runs.labels import check_tags
from tuiae.runs.snapshot import HIGHER_IS_BETTER, Snapshot
from tuiae.studies.compare import Entry, Group, measure_of
from tuiae.studies.jobs import Job
from tuiae.studies.labels import SEED, short_keys, value_text

# The sweep file: its schema, and the combinations of values that it stands for.

MOST = 10_000  # combinations; a typing mistake makes millions
KINDS = ("grid", "list", "random")

Values = dict[str, Any]
"""Dotted keys of a config with the values of one combination."""
Count = Annotated[int, Field(ge=1, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Some = Annotated[list[Any], Field(min_length=1)]


class Range(Section):
    """A range to draw from, evenly or evenly in the logarithm; draws are whole numbers where both ends are."""

    low: int | float
    high: int | float
    log: bool = False


class Choices(Section):
    """A list to draw from."""

    choices: Some


class SweepFile(Section):
    """The document as it is written, before its dotted keys are checked."""

    model_config = ConfigDict(strict=False)

    name: str = Field(pattern=NAME_PATTERN)
    preset: Annotated[str, Field(min_length=1)]
    seeds: tuple[Seed, ...] = ()
    tags: tuple[str, ...] = ()
    settings: Values = Field(default={}, alias="set")
    grid: dict[str, Some] | None = None
    rows: list[Values] | None = Field(default=None, alias="list", min_length=1)
    random: Values | None = None


def read_sweep_file(path: Path) -> tuple[SweepFile, list[Values]]:
    """The document and its combinations, each once.

    Raises:
        ConfigError: naming the file, the key and what is allowed.
    """
    document = read_document(path)
    for name in ("set", *KINDS):
        if name in document:
            document[name] = _dotted(document[name])
    try:
        file = SweepFile.model_validate(document)
    except ValidationError as error:
        raise _refused(error, str(path)) from error
    given = [name for name in KINDS if name in document]
    if len(given) != 1:
        found = "none of them" if not given else " and ".join(given)
        raise ConfigError(f"{path}: exactly one of grid, list and random, not {found}", "leave one, or write another")
    combinations = list({json.dumps(one, sort_keys=True, default=str): one for one in _combine(file, path)}.values())
    _check_overlap(file, combinations, given[0], path)
    return file, combinations


def _dotted(value: Any) -> Any:
    """Tables of sections as dotted keys: `model.latent = 16` without quotes means the same as with them."""
    if isinstance(value, list):
        return [_dotted(item) for item in value]
    if not isinstance(value, dict):
        return value
    flat: Values = {}
    for key, item in value.items():
        nested = isinstance(item, dict) and key in RunConfig.model_fields
        flat |= {f"{key}.{leaf}": leaf_value for leaf, leaf_value in item.items()} if nested else {key: item}
    return flat


def _combine(file: SweepFile, path: Path) -> Iterable[Values]:
    if file.rows is not None:
        return file.rows
    if file.random is not None:
        return _draw_all(file.random, path)
    grid = file.grid or {}
    size = math.prod(len(values) for values in grid.values())
    if not grid or size > MOST:
        allowed = f"1 to {MOST:,} combinations, not {size:,}" if grid else "at least one key"
        raise ConfigError(f"{path}: grid: {allowed}", "give each key a few values, or use random")
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _draw_all(table: Values, path: Path) -> Iterable[Values]:
    """Each key draws from its own generator, so that more draws, or another key, do not change the earlier draws."""
    draws = _part(Count, table.get("draws"), f"{path}: random.draws")
    seed = _part(Seed, table.get("seed", 0), f"{path}: random.seed")
    keys = [key for key in table if key not in ("draws", "seed")]
    if not keys:
        raise ConfigError(f"{path}: random: no key to draw", 'write e.g. "model.latent" = { choices = [16, 32] }')
    columns = {key: _draw(key, table[key], draws, seed, path) for key in keys}
    return ({key: column[index] for key, column in columns.items()} for index in range(draws))


def _draw(key: str, spec: Any, draws: int, seed: int, path: Path) -> list[Any]:
    asker = f"{path}: random: {key}"
    if not isinstance(spec, dict):
        raise ConfigError(
            f"{asker} = {spec!r}: no range", "write { low = 1e-4, high = 1e-1, log = true } or { choices = [16, 32] }"
        )
    generator = np.random.default_rng([seed, zlib.crc32(key.encode())])
    if "choices" in spec:
        choices = _part(Choices, spec, asker).choices
        return [choices[int(generator.integers(len(choices)))] for _ in range(draws)]
    span = _part(Range, spec, asker)
    if not span.low < span.high or (span.log and span.low <= 0):
        raise ConfigError(
            f"{asker}: low = {span.low}, high = {span.high}: low must be below high, and above 0 for log", ""
        )
    return [_between(span, float(generator.random())) for _ in range(draws)]


def _between(span: Range, share: float) -> int | float:
    """The value at a share of the way from low to high; a float with the four digits that people read."""
    low, high = span.low, span.high
    whole = isinstance(low, int) and isinstance(high, int)
    # Each whole number has a strip of the same width, from half below it to half above.
    start, end = (low - 0.5, high + 0.5) if whole else (low, high)
    if span.log:
        value = math.exp(math.log(start) + share * (math.log(end) - math.log(start)))
    else:
        value = start + share * (end - start)
    return min(max(round(value) if whole else float(f"{value:.4g}"), low), high)


def _part(kind: Any, value: Any, asker: str) -> Any:
    """Validate a part of the document by itself."""
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise _refused(error, asker) from error


def _check_overlap(file: SweepFile, combinations: list[Values], kind: str, path: Path) -> None:
    swept = {key for values in combinations for key in values}
    for key in sorted(swept & set(file.settings)):
        raise ConfigError(f"{path}: {key} stands in [set] and in {kind}", "leave it in one of them")
    if file.seeds and "training.seed" in swept | set(file.settings):
        raise ConfigError(f"{path}: training.seed beside seeds", "leave one of them")
    for values in (file.settings, *combinations):
        if values.get("model.encoder_run") == "last":
            raise ConfigError(
                f"{path}: model.encoder_run = 'last' would mean another run once one has started", "give the run's id"
            )


def _refused(error: ValidationError, asker: str) -> ConfigError:
    """One line a mistake: key, value, what is allowed."""
    lines = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        told = f"{key} = {item['input']!r}" if key else f"{item['input']!r}"
        line = f"{told}: {item['msg'].lower().replace('input ', '')}"
        if item["type"] == "extra_forbidden":
            known = [field.alias or name for name, field in SweepFile.model_fields.items()]
            line = f"unknown key '{key}'{did_you_mean(key, known)}"
        elif item["type"] == "missing":
            line = f"the key '{key}' is missing"
        elif item["type"] == "string_pattern_mismatch":
            line = f"{told}: allowed: {NAME_WORDS}"
        lines.append(f"{asker}: {line}")
    return ConfigError("\n".join(lines), "presets/sweeps/code_size.toml shows the format")


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
        return "loss" if len({measure_of(config, "loss") for config in configs}) == 1 else "accuracy"


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


# What came of it.


@dataclass(frozen=True)
class SweepRow:
    """A combination and its finished runs, one a seed."""

    combination: Combination
    runs: Group

    @property
    def finished(self) -> int:
        """How many runs have finished."""
        return len(self.runs.entries)

    @property
    def complete(self) -> bool:
        """Returns whether every seed has finished."""
        return self.finished == len(self.combination.jobs)


def rows(sweep: Sweep, snapshots: Mapping[str, Snapshot]) -> tuple[SweepRow, ...]:
    """One row a combination, from the snapshots of the existing runs by job label."""
    found = []
    for combination in sweep.combinations:
        runs = [(job.label, snapshots[job.label]) for job in combination.jobs if job.label in snapshots]
        ended = tuple(Entry(label, label, run) for label, run in runs if run.status.state == "finished")
        found.append(SweepRow(combination, Group(combination.label, combination.label, ended)))
    return tuple(found)


def best_row(sweep: Sweep, found: tuple[SweepRow, ...]) -> SweepRow | None:
    """The row with the best mean among those whose seeds have all finished; None where rows cannot be ranked."""
    metric = sweep.ranked_by
    means = [(final.mean, row) for row in found if metric and row.complete and (final := row.runs.final(metric))]
    pick = max if metric in HIGHER_IS_BETTER else min
    return pick(means, key=lambda pair: pair[0])[1] if means else None
