"""The run that the form describes, before there is one: where it came from, and whether it can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuiae.config import RunConfig, build_config, read_document
from tuiae.data.registry import EMBEDDED_SETS, DatasetInfo, list_datasets
from tuiae.errors import TuiaeError
from tuiae.preflight import Checked, check
from tuiae.preset_files import list_presets
from tuiae.ui.render.text import count


class Draft:
    """A document, from a preset or a run, that the form's fields override."""

    def __init__(self, runs_root: Path) -> None:
        self._root = runs_root
        self._presets = {preset.name: preset.path for preset in list_presets()}
        self._document: dict[str, Any] = {}

    @property
    def presets(self) -> list[str]:
        """Their names, the default one first."""
        return list(self._presets)

    def load_preset(self, name: str) -> RunConfig:
        """Begin anew from a preset.

        Raises:
            ConfigError: somebody broke the file.
        """
        document = read_document(self._presets[name])
        config = build_config(document, source=name)
        self._document = document
        return config

    def take(self, config: RunConfig) -> None:
        """Begin anew from the config of a run."""
        self._document = config.model_dump(mode="json")

    def check(self, overrides: dict[str, Any], devices: list[str] | None) -> tuple[Checked | None, str]:
        """The config that would run, or the sentence that says why none would: the command line's own."""
        try:
            config = build_config(self._document, overrides, source="preset", asker="")
            return check(config, self._root, devices), ""
        except TuiaeError as error:
            return None, str(error).replace("\n", " · ")


def readiness(checked: Checked) -> tuple[str, str]:
    """What Start would do, and how good that is: `good` or `caution`."""
    info, config = checked.dataset, checked.config
    if checked.warnings:
        return f"r starts, but {checked.warnings[0]}", "caution"
    if not info.ready:
        return f"r starts with a download: {info.name} is not on this machine yet", "caution"
    size = config.data.image_size or (f"{info.shape[1]}x{info.shape[2]}" if info.shape else "their own size")
    images = f"{count(info.train)} + {count(info.test)} images of {size if info.shape else 'their own size'}"
    return f"r starts {config.model.family}, code {config.model.latent}, on {images}", "good"


def offered_datasets() -> list[DatasetInfo]:
    """What there is to train on; where the data directory cannot be read, what needs none: the check says why."""
    try:
        return list_datasets()
    except TuiaeError:
        return list(EMBEDDED_SETS)
