"""The run that the form describes, before there is one: where it came from, and whether it can run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tuiae.config import RunConfig, build_config, load_config, read_document
from tuiae.config.presets import Preset, list_presets, save_preset
from tuiae.data.registry import EMBEDDED_SETS, DatasetInfo, list_datasets
from tuiae.errors import TuiaeError
from tuiae.preflight import Checked, check
from tuiae.render.text import count
from tuiae.runs.lineage import changes, run_line


class Draft:
    """A document from a preset or a run; methods take `overrides`, which the form's fields say."""

    def __init__(self, runs_root: Path) -> None:
        self._root = runs_root
        self._presets = {preset.name: preset.path for preset in list_presets()}
        self._document: dict[str, Any] = {}
        self._source = ""
        self._written = RunConfig()
        """What the file at the source says."""

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
        self._document, self._source, self._written = document, name, config
        return config

    def take(self, config: RunConfig, path: Path) -> None:
        """Begin anew from the config in force of a run; its file at `path` says what it began with."""
        self._document, self._source = config.model_dump(mode="json"), str(path)
        try:
            self._written = load_config(path)
        except TuiaeError:
            self._written = config  # it was deleted meanwhile; the form still knows what it said

    def command(self, overrides: dict[str, Any]) -> str:
        """The `tuiae run` line that does the same without a screen."""
        wanted = build_config(self._document, overrides, source="preset", asker="")
        return run_line(self._source, changes(self._written, wanted))

    def save(self, overrides: dict[str, Any], name: str) -> Preset:
        """Keep what the form asks for as a preset of the user's own, and go on from that.

        Raises:
            ConfigError: it cannot run, or the name will not do.
        """
        config = build_config(self._document, overrides, source="preset", asker="")
        comment = f"Saved from the dashboard on {time.strftime('%Y-%m-%d')}, after {Path(self._source).name}."
        preset = save_preset(config, name, comment)
        self._presets[preset.name] = preset.path
        self.load_preset(preset.name)
        return preset

    def check(self, overrides: dict[str, Any], devices: list[str] | None) -> tuple[Checked | None, str]:
        """The config that would run, or the sentence that says why none would: the command line's own."""
        try:
            config = build_config(self._document, overrides, source="preset", asker="")
            return check(config, self._root, devices), ""
        except TuiaeError as error:
            return None, str(error).replace("\n", " · ")


def readiness(checked: Checked) -> tuple[str, str]:
    """What Start would do, and the kind of message that this is: `good` or `caution`."""
    info, config = checked.dataset, checked.config
    if checked.warnings:
        more = f" (+{len(checked.warnings) - 1} more: c)" if len(checked.warnings) > 1 else ""
        return f"r starts, but {checked.warnings[0]}{more}", "caution"
    if not info.ready:
        return f"r starts with a download: {info.name} is not on this machine yet", "caution"
    resized = config.data.image_size
    height, width = (resized, resized) if resized else info.shape[1:] if info.shape else (0, 0)
    size = f"{height}x{width}" if height else "their own size"
    images = f"{count(info.train)} + {count(info.test)} images of {size}"
    return f"r starts {config.model.family}, code {config.model.latent}, on {images}", "good"


def offered_datasets() -> list[DatasetInfo]:
    """The datasets; where the data directory cannot be read, those that need none (the check says why)."""
    try:
        return list_datasets()
    except TuiaeError:
        return list(EMBEDDED_SETS)
