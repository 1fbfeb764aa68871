"""A run's config with changes on top, known before torch is imported."""

from __future__ import annotations

from typing import Any

from tuiae.config import RunConfig, build_config
from tuiae.errors import ConfigError
from tuiae.runs.history import config_at
from tuiae.runs.layout import RunPaths


def resolve_config(run: RunPaths, overrides: dict[str, Any], asker: str = "--set") -> RunConfig:
    """The config of a run, its edits included, with overrides (dotted key -> value) on top.

    Raises:
        ConfigError: the config is of another version, or an override is wrong; then the message begins with `asker`.
    """
    config = config_at(run)
    if config is None:
        raise ConfigError(f"{run.config}: not a config of this version", "evaluate it with the version that wrote it")
    return build_config(config.model_dump(mode="json"), overrides, source=str(run.config), asker=asker)
