"""The command line that does again what a run did."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from tuiae.config import RunConfig, load_config, parse_override, settings_of
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.preset_files import list_presets
from tuiae.runs.history import need_config, read_script
from tuiae.runs.layout import RunPaths, runs_dir
from tuiae.runs.parent import Parent, read_parent

MOST_SETTINGS = 8  # beyond, the run's own document says it shorter


def repeat_line(run: RunPaths) -> str:
    """`tuiae run PRESET --set KEY=VALUE …` where the run came of a preset, else `tuiae run RUN/config.toml`; of a fork
    `tuiae fork PARENT --from STEP --set KEY=VALUE …`. With `--replay RUN` where edits were made to it, or where the
    fork's parent no longer has that checkpoint: the fork has it.

    Raises:
        ConfigError: the run's config cannot be read.
    """
    config = need_config(run, step=-1)  # as it began: edits are repeated, each at its step
    named = run.id if run.root.parent == runs_dir() else str(run.root)
    replay = named if read_script(run) else ""
    parent = read_parent(read_json(run.meta))
    if parent is not None:
        source = RunPaths(run.root.parent / parent.run)
        if not replay and (source.weights / f"step-{parent.step:06d}").is_dir():
            return _fork_line(source.id if named == run.id else str(source.root), parent, config)
        return run_line(str(run.config), {}, named)
    preset, changed = _nearest_preset(config)
    if preset and len(changed) <= MOST_SETTINGS:
        return run_line(preset, changed, replay)
    return run_line(str(run.config), {}, replay)


def run_line(source: str, changed: Mapping[str, Any], replay: str = "") -> str:
    """`tuiae run SOURCE --set KEY=VALUE …`, with `--replay` where a run is given."""
    return shlex.join(["tuiae", "run", source, *_set(changed), *(("--replay", replay) if replay else ())])


def changes(before: RunConfig, after: RunConfig) -> dict[str, Any]:
    """The dotted keys in which one config differs from another, with its values."""
    old = settings_of(before)
    return {key: value for key, value in settings_of(after).items() if value != old[key]}


def _fork_line(source: str, parent: Parent, config: RunConfig) -> str:
    settings = settings_of(config)
    changed = {key: settings[key] for key in parent.changed if key in settings}
    return shlex.join(["tuiae", "fork", source, "--from", str(parent.step), *_set(changed)])


def _nearest_preset(config: RunConfig) -> tuple[str, dict[str, Any]]:
    """The preset of the config's name that differs least from it, and in what; without one an empty name."""
    found: list[tuple[str, dict[str, Any]]] = []
    for preset in list_presets():
        if config.name == preset.path.stem:
            try:
                found.append((preset.name, changes(load_config(preset.path), config)))
            except ConfigError:
                continue  # somebody broke the file since
    return min(found, key=lambda pair: len(pair[1]), default=("", {}))


def _set(changed: Mapping[str, Any]) -> list[str]:
    return [word for key, value in changed.items() for word in ("--set", f"{key}={_value(value)}")]


def _value(value: Any) -> str:
    """A value as `--set` takes it: bare words where they are read as such, all else as TOML writes it."""
    bare = isinstance(value, str) and bool(value) and parse_override(f"key={value}")[1] == value
    return value if bare else json.dumps(value)
