"""A sweep: one preset trained with every combination of values and every seed, and its results."""

from __future__ import annotations

import itertools
import json
import math
import re
import time
import tomllib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from tuiae.config import (
    ARGUMENTS,
    NAME_PATTERN,
    NAME_WORDS,
    SEED,
    RunConfig,
    Section,
    build_config,
    did_you_mean,
    dump_config,
    known_keys,
    parse_value,
    read_document,
    short_keys,
    value_text,
)
from tuiae.config.document import parse_toml
from tuiae.config.presets import find_packaged, find_preset
from tuiae.errors import ConfigError, UnknownRunError, in_plain_words
from tuiae.files import make_directory, replace_text, writable_advice
from tuiae.runs.labels import PRUNED, check_tags
from tuiae.runs.paths import REPORTS
from tuiae.runs.snapshot import HIGHER_IS_BETTER, Snapshot
from tuiae.studies.compare import Entry, RunGroup, measure_of, own_noise
from tuiae.studies.jobs import Job
from tuiae.studies.places import Resources

# The sweep file: its schema, and the combinations of values that it stands for.

MOST = 10_000  # combinations; a typing mistake makes millions
KINDS = {"grid": "grid", "rows": "list", "random": "random", "search": "search"}
"""Field -> its name in the file."""
SWEEP = "sweep-"
"""What the files of a sweep beside the reports begin with; those of a work have its name."""
PRESET_SUFFIX = ".preset.toml"
NO_RANGE = "no range: write { low = 1e-4, high = 1e-1, log = true } or { choices = [16, 32] }"

Values = dict[str, Any]
"""Dotted keys of a config with the values of one combination."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Some = Annotated[list[Any], Field(min_length=1)]


class Range(Section):
    """A range to draw from, evenly or evenly in the logarithm; draws are whole numbers where both ends are."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"low = {self.low}, high = {self.high}: low must be below high, and above 0 for log")
        return self


class Choices(Section):
    """A list to draw from."""

    choices: Some


def _kind_of_draw(spec: Any) -> str | None:
    return ("choices" if "choices" in spec else "range") if isinstance(spec, dict) else None


class _Ranges(Section):
    """What each key is drawn from, and the seed of the draws."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[
        str,
        Annotated[
            Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
            Discriminator(_kind_of_draw, custom_error_type="no_range", custom_error_message=NO_RANGE),
        ],
    ]

    seed: Seed = 0

    @property
    def ranges(self) -> Mapping[str, Range | Choices]:
        """Dotted key -> what it is drawn from."""
        return self.__pydantic_extra__


class Draws(_Ranges):
    """`[random]`: how many combinations to draw, and what each key is drawn from."""

    draws: int = Field(ge=1, le=MOST)

    @property
    def combinations(self) -> Iterable[Values]:
        columns = {key: self._draw(key, spec) for key, spec in self.ranges.items()}
        return ({key: column[index] for key, column in columns.items()} for index in range(self.draws))

    def _draw(self, key: str, spec: Range | Choices) -> list[Any]:
        """Each key has its own generator, so that more draws, or another key, do not change the earlier draws."""
        generator = np.random.default_rng([self.seed, zlib.crc32(key.encode())])
        if isinstance(spec, Choices):
            return [spec.choices[int(generator.integers(len(spec.choices)))] for _ in range(self.draws)]
        return [_between(spec, float(generator.random())) for _ in range(self.draws)]


class SearchSpace(_Ranges):
    """`[search]`: how many trials to make of what, each chosen by what came of those before it."""

    trials: int = Field(ge=1, le=MOST)
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["none", "asha", "median"] = "none"
    """Which trainings end early: by successive halving, those that are not among the best quarter after 1, 4, 16...
    evaluations; or those that are worse than the median of the others."""
    metric: str = ""
    """On test images; by default what a sweep is ranked by."""
    direction: Literal["", "minimize", "maximize"] = ""
    """By default the one in which the metric is better."""

    @property
    def combinations(self) -> Iterable[Values]:
        """Not trials: each end of each range once, so that what is wrong with one is said before anything trains."""
        ends = {
            key: spec.choices if isinstance(spec, Choices) else [spec.low, spec.high]
            for key, spec in self.ranges.items()
        }
        first = {key: found[0] for key, found in ends.items()}
        return (first | {key: value} for key, found in ends.items() for value in found)


def rounded(value: float) -> float:
    """The value with the four digits that people read."""
    return float(f"{value:.4g}")


def _between(span: Range, share: float) -> int | float:
    """The value at a share of the way from low to high, `rounded`."""
    low, high = span.low, span.high
    whole = isinstance(low, int) and isinstance(high, int)
    # Each whole number has a strip of the same width, from half below it to half above.
    start, end = (low - 0.5, high + 0.5) if whole else (low, high)
    if span.log:
        value = math.exp(math.log(start) + share * (math.log(end) - math.log(start)))
    else:
        value = start + share * (end - start)
    return min(max(round(value) if whole else rounded(value), low), high)


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
    random: Draws | None = None
    search: SearchSpace | None = None
    resources: Resources = Resources()

    @cached_property
    def combinations(self) -> list[Values]:
        """What is tried, each combination once."""
        grid = self.grid or {}
        every: Iterable[Values] = (dict(zip(grid, row, strict=True)) for row in itertools.product(*grid.values()))
        drawn = self.random or self.search
        every = self.rows or (drawn.combinations if drawn else every)
        return list({json.dumps(one, sort_keys=True, default=str): one for one in every}.values())

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        given = [name for field, name in KINDS.items() if getattr(self, field) is not None]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of grid, list, random and search, not {' and '.join(given) or 'none of them'}"
            )
        size = math.prod(map(len, self.grid.values())) if self.grid else 0
        if self.grid is not None and not 1 <= size <= MOST:
            allowed = f"1 to {MOST:,} combinations, not {size:,}" if size else "at least one key"
            raise ValueError(f"grid: {allowed}; give each key a few values, or use random")
        for drawn in filter(None, (self.random, self.search)):
            if not drawn.ranges:
                example = '"model.latent" = { choices = [16, 32] }'
                raise ValueError(f"{given[0]}: no key to draw; write e.g. {example}")
        if self.search is not None and self.search.pruner != "none" and len(self.seeds) > 1:
            raise ValueError("search: a pruner ends single trainings: give one seed, or pruner = 'none'")
        swept = {key for values in self.combinations for key in values}
        for key in sorted(swept & set(self.settings)):
            raise ValueError(f"{key} stands in [set] and in {given[0]}: leave it in one of them")
        if self.seeds and "training.seed" in swept | set(self.settings):
            raise ValueError("training.seed beside seeds: leave one of them")
        if any(values.get("model.encoder_run") == "last" for values in (self.settings, *self.combinations)):
            raise ValueError("model.encoder_run = 'last' means another run once one has started: give the run's id")
        return self


def read_sweep_file(path: Path) -> SweepFile:
    """Read and check the document, which has the name of its file where it has none; raises ConfigError, which names
    file, key and what is allowed."""
    document = read_document(path, "sweep")
    document.setdefault("name", path.stem)
    for name in {"set", *KINDS.values()} & set(document):
        document[name] = _dotted(document[name])
    return _check_file(document, str(path))


def _check_file(document: Mapping[str, Any], source: str) -> SweepFile:
    """Raises ConfigError, whose lines begin with `source`, where the document has one."""
    try:
        return SweepFile.model_validate(document)
    except ValidationError as error:
        lines = [
            f"{source}: {reason}" if source else reason for reason in map(_reason, error.errors(include_url=False))
        ]
        hint = "presets/sweeps/code_size.toml shows the format" if source else ""
        raise ConfigError("\n".join(lines), hint) from error


def _dotted(value: Any) -> Any:
    """Tables of sections and arguments as dotted keys: without quotes `model.latent = 16` and `model.arguments.width =
    16` mean the same as with them."""
    if isinstance(value, list):
        return [_dotted(item) for item in value]
    if not isinstance(value, dict):
        return value
    flat: Values = {}
    for key, item in value.items():
        # A table of choices alone says what `key` as a whole is drawn from.
        if key in (*RunConfig.model_fields, ARGUMENTS) and isinstance(item, dict) and item.keys() - {"choices"}:
            flat |= _dotted({f"{key}.{leaf}": leaf_value for leaf, leaf_value in item.items()})
        else:
            flat[key] = item
    return flat


def _reason(item: Any) -> str:
    """A mistake in a line: key, value, what is allowed."""
    key = ".".join(str(part) for part in item["loc"] if part not in ("range", "choices"))
    match item["type"]:
        case "value_error":
            return f"{key}: {item['ctx']['error']}" if key else str(item["ctx"]["error"])
        case "extra_forbidden":
            known = [field.alias or name for name, field in SweepFile.model_fields.items()]
            return f"unknown key '{key}'{did_you_mean(key, known)}"
        case "no_range" if "." not in (word := str(item["loc"][-1])):
            table = SearchSpace if item["loc"][0] == "search" else Draws
            return f"unknown key '{key}'{did_you_mean(word, [*table.model_fields, *known_keys()])}"
        case "missing":
            return f"the key '{key}' is missing"
        case "string_pattern_mismatch":
            return f"{key} = {item['input']!r}: allowed: {NAME_WORDS}"
    return f"{key} = {item['input']!r}: {in_plain_words(item['msg'])}"


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
    """In a search, first the ends of its ranges, and later its trials."""
    resources: Resources
    search: SearchSpace | None
    combine: Callable[[Values], Combination]
    """Makes the jobs of a combination of values."""
    subject: Mapping[str, Any]
    """What the runs are of, in JSON: preset, what is set, seeds."""

    @property
    def tag(self) -> str:
        return f"sweep:{self.name}"

    @property
    def jobs(self) -> list[Job]:
        return [job for combination in self.combinations for job in combination.jobs]

    @property
    def ranked_by(self) -> str:
        """`loss` or `accuracy` on test images, or a search's metric; empty where none is one measure in all runs, of
        the same images under the same noise."""
        if self.search is not None and self.search.metric:
            return self.search.metric
        configs = [job.config for job in self.jobs]
        if self.unlike:
            return ""
        if all(config.is_classifier for config in configs):
            return "accuracy"
        if any(config.is_classifier for config in configs):
            return ""
        return "loss" if len({measure_of(config, "loss") for config in configs}) == 1 else "accuracy"

    @property
    def unlike(self) -> str:
        """Says that runs are measured on different images, or under different noise; else empty."""
        configs = [job.config for job in self.jobs]
        if len({(config.data.dataset, config.data.classes) for config in configs}) > 1:
            return "the figures are of different images"
        return own_noise(configs)


find_sweep = partial(find_packaged, "sweep")


def load_sweep(path: Path) -> Sweep:
    """Read a sweep file and build every config of it, one for each seed or with the preset's own.

    Raises ConfigError, which names the file, the key, the value and what is allowed.
    """
    file = read_sweep_file(path)
    beside = path.parent / file.preset
    preset = beside if beside.is_file() else find_preset(file.preset)
    return _resolve(file, read_document(preset), path, str(preset))


def _resolve(file: SweepFile, document: Mapping[str, Any], path: Path | None, preset: str) -> Sweep:
    """The sweep that a file stands for, around the document of its preset; without a `path` it is not written yet."""
    made_from, asker = document.get("name"), str(path or "")
    document = {**document, "name": file.name}
    keys = tuple(dict.fromkeys(key for values in file.combinations for key in values))
    short = short_keys(keys)
    seeds: list[Values] = [{SEED: seed} for seed in dict.fromkeys(file.seeds)] or [{}]

    def combine(values: Values) -> Combination:
        label = " ".join(f"{short[key]}={value_text(value)}" for key, value in values.items()) or "preset"
        labels = [f"{label} seed={seed[SEED]}" if len(file.seeds) > 1 else label for seed in seeds]
        merged = [{**file.settings, **values, **seed} for seed in seeds]
        try:
            configs = [build_config(document, one, source=preset, asker=asker) for one in merged]
        except ConfigError as error:
            # A mistake between keys names no file: the values are each right, and wrong together.
            named = not asker or error.cause.startswith((asker, preset))
            raise ConfigError(error.cause if named else f"{asker}: {label}: {error.cause}", error.hint) from error
        made = partial(Job, preset=made_from if isinstance(made_from, str) else "")
        return Combination(label, values, tuple(map(made, labels, configs)))

    built, tags = tuple(map(combine, file.combinations)), tuple(check_tags(file.tags))
    check_tags((f"sweep:{file.name}",))
    subject = {"preset": document, "set": file.settings, "seeds": file.seeds}
    return Sweep(file.name, path or Path(), tags, keys, built, file.resources, file.search, combine, subject)


# A sweep of which there is no file yet: values around a config.


def read_values(text: str) -> list[Any]:
    """The values in `4 8 16`, `0.1, 0.2`, `adam, sgd` or `[32], [64, 32]`."""
    try:
        return list(parse_toml(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        words = text.split(",") if "," in text else text.split()
        return [parse_value(word) for word in words if word.strip()]


_SPAN = re.compile(r"(?<![\w.-])(\d{1,18})(?:-|\.\.)(\d{1,18})(?![\w.-])")


def read_seeds(text: str) -> list[Any]:
    """As `read_values`, and every number from one to another in `0-4` or `0..4`."""
    between = ", " if "," in text else " "

    def every(found: re.Match[str]) -> str:
        low, high = sorted((int(found[1]), int(found[2])))
        return between.join(map(str, range(low, high + 1))) if high < low + MOST else found[0]

    return read_values(_SPAN.sub(every, text))


def plan_sweep(config: RunConfig, name: str, grid: Mapping[str, Sequence[Any]], seeds: Sequence[Any]) -> Sweep:
    """Every combination of values around a config, with every seed. Raises ConfigError, a sentence for each mistake."""
    file = _check_file(_document(name, name, grid, seeds, ()), "")
    return _resolve(file, config.model_dump(mode="json"), None, "")


def _document(
    name: str, preset: str, grid: Mapping[str, Sequence[Any]], seeds: Sequence[Any], tags: Sequence[str]
) -> dict[str, Any]:
    values = {key: list(values) for key, values in grid.items()}
    return {"name": name, "preset": preset, "seeds": list(seeds), "tags": list(tags), "grid": values}


def write_sweep(
    root: Path,
    config: RunConfig,
    name: str,
    grid: Mapping[str, Sequence[Any]],
    seeds: Sequence[int],
    tags: Sequence[str] = (),
) -> Path:
    """Keep such a sweep as a file beside the reports, with its preset: `tuiae sweep` of it trains what is missing. Its
    runs get the `tags` as well.

    Raises:
        UnknownRunError: the runs directory cannot be written.
    """
    import tomli_w

    path = sweep_path(root, name)
    preset = path.with_suffix(PRESET_SUFFIX)
    document = _document(name, preset.name, grid, seeds, tags)
    try:
        make_directory(path.parent)
        replace_text(preset, dump_config(config))
        replace_text(path, f"# Written by the dashboard on {time.strftime('%Y-%m-%d')}.\n{tomli_w.dumps(document)}")
    except OSError as error:
        cause = f"cannot write {path}: {error.strerror or error}"
        raise UnknownRunError(cause, writable_advice(error, "TUIAE_RUNS_DIR")) from error
    return path


def is_another(
    root: Path, config: RunConfig, name: str, grid: Mapping[str, Sequence[Any]], seeds: Sequence[int]
) -> bool:
    """Returns whether the dashboard wrote a sweep of this name that has other runs."""
    path = sweep_path(root, name)
    if not path.is_file():
        return False
    try:
        known, preset = read_document(path, "sweep"), path.with_suffix(PRESET_SUFFIX).read_text("utf-8")
    except (ConfigError, OSError):
        return True
    return (known.get("grid"), known.get("seeds"), preset) != (grid, seeds, dump_config(config))


def sweep_path(root: Path, name: str) -> Path:
    """Where the file of a sweep lies that the dashboard wrote."""
    return root / REPORTS / f"{SWEEP}{name}.toml"


# What came of it.


@dataclass(frozen=True)
class SweepRow:
    """A combination and its finished runs, one a seed."""

    combination: Combination
    runs: RunGroup
    pruned: bool = False
    """Whether a search ended one of them early."""

    @property
    def finished(self) -> int:
        """How many runs have finished."""
        return len(self.runs.entries)

    @property
    def complete(self) -> bool:
        """Whether every seed has finished."""
        return self.finished == len(self.combination.jobs)


def rows(sweep: Sweep, snapshots: Mapping[str, Snapshot]) -> tuple[SweepRow, ...]:
    """One row a combination, from the snapshots of the existing runs by job label."""
    found = []
    for combination in sweep.combinations:
        runs = [(job.label, snapshots[job.label]) for job in combination.jobs if job.label in snapshots]
        pruned = any(run.state == PRUNED for _, run in runs)
        ended = tuple(Entry(label, label, run) for label, run in runs if run.status.state == "finished")
        found.append(SweepRow(combination, RunGroup(combination.label, combination.label, ended), pruned))
    return tuple(found)


def best_row(sweep: Sweep, found: tuple[SweepRow, ...]) -> SweepRow | None:
    """The row with the best mean among those whose seeds have all finished; None where rows cannot be ranked."""
    metric = sweep.ranked_by
    means = [(final.mean, row) for row in found if metric and row.complete and (final := row.runs.final(metric))]
    pick = max if metric in HIGHER_IS_BETTER else min
    return pick(means, key=lambda pair: pair[0])[1] if means else None
