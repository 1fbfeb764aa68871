"""The `tuiae run` line that does what a run did."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuiae.config import load_config, settings_of
from tuiae.errors import ConfigError
from tuiae.preset_files import list_presets

MOST_SETTINGS = 8  # beyond, the run's own document says it shorter


def run_line(settings: Mapping[str, Any], run: Path) -> str:
    """`tuiae run PRESET --set KEY=VALUE …` where the run came of a preset, else `tuiae run RUN/config.toml`."""
    preset = next((preset for preset in list_presets() if preset.name == settings.get("name")), None)
    if preset is not None:
        try:
            usual = settings_of(load_config(preset.path))
        except ConfigError:
            usual = {}  # somebody broke the file since
        changed = {key: value for key, value in settings.items() if usual.get(key) != value}
        if usual and len(changed) <= MOST_SETTINGS:
            words = [f"{key}={_value(value)}" for key, value in changed.items()]
            return shlex.join(["tuiae", "run", preset.name, *(part for word in words for part in ("--set", word))])
    return shlex.join(["tuiae", "run", str(run / "config.toml")])


def _value(value: Any) -> str:
    """A value as TOML reads it; a word stands without quotes."""
    return value if isinstance(value, str) and value else json.dumps(value)
