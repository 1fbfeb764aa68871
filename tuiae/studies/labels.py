"""Differences between the configs of runs, and a short label for each run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuiae.config import NAME, QUIET, ROUNDING, SEED, RunConfig, settings_of, short_keys, value_text
from tuiae.runs.checkpoints import read_position
from tuiae.runs.labels import MOST_NAME, keys_in_name, made_name, named_for, read_label, relabel
from tuiae.runs.lineage import fork_run, need_config
from tuiae.runs.paths import RunPaths, undated

# Settings that have an effect in some runs alone; in the others they stand with their defaults and change nothing.

_EFFECTS: tuple[tuple[Callable[[RunConfig], bool], tuple[str, ...]], ...] = (
    (lambda config: config.noise.kind != "none", ("noise.level",)),
    (lambda config: config.noise.kind == "uniform", ("noise.probability",)),
    (
        lambda config: config.is_classifier,
        ("model.encoder", "model.encoder_run", "model.freeze", "model.head", "training.label_smoothing"),
    ),
    (lambda config: not config.is_classifier, ("training.loss",)),
    (lambda config: not (config.is_classifier or config.model.is_custom), ("model.output", "model.output_dropout")),
    (lambda config: config.model.is_custom, ("model.code", "model.code_sha256")),
    (
        lambda config: not config.model.is_custom,
        ("model.latent", "model.activation", "model.code_activation"),
    ),
    (lambda config: config.is_classifier or not config.model.is_custom, ("model.dropout", "model.initialisation")),
    (lambda config: config.model.encoder_family == "dense", ("model.hidden",)),
    (
        lambda config: config.model.encoder_family == "strided-conv",
        ("model.channels", "model.kernel", "model.stride", "model.norm"),
    ),
    (lambda config: config.model.is_variational, ("training.beta", "training.beta_warmup")),
    (lambda config: config.training.optimizer in ("sgd", "rmsprop"), ("training.momentum",)),
    (lambda config: config.training.schedule == "step", ("training.step_epochs", "training.step_factor")),
    (lambda config: config.training.schedule == "step" and config.training.warmup > 0, ("training.step_from",)),
    (lambda config: False, tuple(f"training.{key}" for key in ROUNDING)),
)
WHERE = {key: has_effect for has_effect, keys in _EFFECTS for key in keys}
"""Dotted key -> whether it has any effect in a run of a config."""


def applies(key: str, config: RunConfig) -> bool:
    """Returns whether a dotted key has any effect in a run of this config."""
    return key not in WHERE or WHERE[key](config)


MOST_IN_LABEL = 4
"""Differing keys up to which a label lists them; beyond, names say more."""


@dataclass(frozen=True)
class SettingDifference:
    """One dotted key, and its value in each run; None where a run has no use for it, or its config cannot be read."""

    key: str
    values: tuple[Any, ...]


def recipe(config: RunConfig) -> str:
    """A key that runs of one group share: every setting that has an effect, but not the seed and the name."""
    settings = settings_of(config).items()
    return json.dumps({key: value for key, value in settings if key not in (SEED, NAME) and applies(key, config)})


def differences(configs: Sequence[RunConfig | None]) -> tuple[SettingDifference, ...]:
    """The keys in which configs differ and that have an effect in one of them, in the order of the config."""
    known = [(config, settings_of(config)) if config is not None else None for config in configs]
    every = [pair for pair in known if pair is not None]
    keys = dict.fromkeys(key for _, settings in every for key in settings)
    unlike = [key for key in keys if len({json.dumps(settings.get(key)) for _, settings in every}) > 1]
    if len(unlike) > 1 and NAME in unlike:
        unlike.remove(NAME)  # it says no more than what it is made of
    rows = [
        SettingDifference(
            key, tuple(pair[1].get(key) if pair is not None and applies(key, pair[0]) else None for pair in known)
        )
        for key in unlike
    ]
    return tuple(row for row in rows if any(value is not None for value in row.values))


def own_differences(settings: Sequence[Mapping[str, Any] | None]) -> tuple[SettingDifference, ...]:
    """The settings in which tracked runs differ, in their programs' order."""
    known = [one or {} for one in settings]
    keys = dict.fromkeys(key for one in known for key in one)
    rows = [SettingDifference(key, tuple(one.get(key) for one in known)) for key in keys]
    return tuple(row for row in rows if len({json.dumps(value) for value in row.values}) > 1)


def recipe_labels(configs: Sequence[RunConfig | None], ids: Sequence[str]) -> list[str]:
    """One label for each config: what differs, such as `latent=128`, seeds and names left aside.

    Where nothing differs it is the run's name; where too much does, the name and what differs among those of that name.
    A run whose config cannot be read goes by its id.
    """
    words = _words(configs)
    if max((len(found) for found in words), default=0) <= MOST_IN_LABEL:
        return [
            " ".join(found) or (config.name if config else run_id)
            for found, config, run_id in zip(words, configs, ids, strict=True)
        ]
    labels = list(ids)
    for name in {config.name for config in configs if config is not None}:
        places = [place for place, config in enumerate(configs) if config is not None and config.name == name]
        for place, found in zip(places, _words([configs[place] for place in places]), strict=True):
            labels[place] = " ".join([name, *found])
    return labels


def _words(configs: Sequence[RunConfig | None]) -> list[list[str]]:
    """For each config, `key=value` of what differs; empty for one that cannot be read."""
    rows = telling(differences(configs))
    short = short_keys([row.key for row in rows])
    return [
        [f"{short[row.key]}={_told(row, place)}" for row in rows if row.values[place] is not None]
        for place in range(len(configs))
    ]


def _told(row: SettingDifference, place: int) -> str:
    """A value as a label has it: of a digest what tells it from another."""
    text = value_text(row.values[place])
    return text[:SHOWN_DIGITS] if row.key == "model.code_sha256" else text


SHOWN_DIGITS = 8
UNNAMED = ("training.device", "training.devices", "training.auto_pause")
"""Keys that say where and how carefully a run trains, not what."""


def suggest_name(before: RunConfig, after: RunConfig, called: str = "") -> str:
    """A name for a run, made of what differs from the config that it is made from, such as `quickstart epochs=9` or
    `dense_32-digits epochs=9`; the name alone where nothing does. `called` is what stands for its own name."""
    named = after if called else named_for(after, before)
    said = (*UNNAMED, *keys_in_name(after)) if not called and named.name == made_name(after) else UNNAMED
    if after.is_classifier and after.noise.kind == "none":  # as usual, whatever its encoder was trained on
        said = (*said, "noise.kind", "noise.level")
    rows = [row for row in telling(differences([before, after])) if row.key not in said]
    short = short_keys([row.key for row in rows])
    again = tuple(f"{short[row.key]}=" for row in rows)  # of a fork of a fork, whose own value takes its place
    words = [" ".join(word for word in called.split(" ") if not word.startswith(again)) or named.name]
    for row in rows:
        value = row.values[1]
        if row.key == "model.encoder_run" and value:
            words.append(f"on {undated(value)}")
        elif value is not None:
            words.append(f"{short[row.key]}={value_text(value)}")
    if before.training.seed != after.training.seed:
        words.append(f"seed={after.training.seed}")
    name = ""
    while words and len(longer := f"{name} {words[0]}".strip()) <= MOST_NAME:
        name = longer
        words.pop(0)
    return name


def name_of_fork(source: RunPaths, checkpoint: Path, config: RunConfig) -> str:
    """What a fork of this config is called: as its parent, with what differs from it, or with where it begins; its own
    name where it has one. Raises ConfigError where the parent has no config to go by."""
    moment = read_position(checkpoint)
    before = need_config(source, moment.step)
    if config.name != before.name:
        return config.name
    parent = read_label(source).name or before.name
    name = suggest_name(before, config, parent)
    begins = f" from epoch {round(moment.epoch, 2):g}"
    return name if name != parent else parent[: MOST_NAME - len(begins)].rstrip() + begins


def make_fork(source: RunPaths, checkpoint: Path, config: RunConfig, root: Path, argv: list[str]) -> RunPaths:
    """A fork for a worker to go on with, called so that it can be told from its parent; raises as `fork_run`."""
    name = name_of_fork(source, checkpoint, config)
    run = fork_run(source, checkpoint, config, root, argv)
    if name != config.name:
        relabel(run, name=name)
    return run


def telling(rows: Sequence[SettingDifference]) -> list[SettingDifference]:
    """The differences that can change results: not seed or name, nor keys without influence on results."""
    named = [row for row in rows if row.key not in (SEED, NAME)]
    return [row for row in named if not row.key.startswith(QUIET)] or named


def run_labels(
    recipes: Sequence[str], configs: Sequence[RunConfig | None], ids: Sequence[str], names: Sequence[str]
) -> list[str]:
    """A label for each run: its own name; without one the recipe's label and, where seeds differ, the seed. Labels that
    are still the same get the end of the run's id."""
    seeds = {config.training.seed for config in configs if config is not None}
    labels = [
        name or (f"{label} seed={config.training.seed}" if config is not None and len(seeds) > 1 else label)
        for label, config, name in zip(recipes, configs, names, strict=True)
    ]
    count = Counter(labels)
    tails = [run_id.rpartition("-")[2] for run_id in ids]
    return [
        f"{label} ({tail})" if count[label] > 1 and label != run_id else label
        for label, tail, run_id in zip(labels, tails, ids, strict=True)
    ]


def letters(index: int) -> str:
    """A, B, … Z, AA, AB: short names for columns and curves."""
    return (letters(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)
