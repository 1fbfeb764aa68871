"""Presets: where they lie, what each one teaches, and finding one by name or path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tuiae.config import did_you_mean
from tuiae.errors import ConfigError

DEFAULT = "quickstart"
BEST = "best"


@dataclass(frozen=True)
class Preset:
    """A preset file and the first sentence of its comment."""

    name: str
    path: Path
    teaches: str


def presets_dir() -> Path:
    """Beside this file in an installed package, at the top of the checkout otherwise."""
    inside = Path(__file__).with_name("presets")
    return inside if inside.is_dir() else Path(__file__).parents[1] / "presets"


def list_presets() -> list[Preset]:
    """Every preset that came with the package, the default one first and our own best recipes last."""
    paths = sorted(presets_dir().glob("*.toml"), key=lambda path: (path.stem != DEFAULT, path.stem))
    best = sorted((presets_dir() / BEST).glob("*.toml"))
    return [
        *(Preset(path.stem, path, _first_sentence(path)) for path in paths),
        *(Preset(f"{BEST}/{path.stem}", path, _first_sentence(path)) for path in best),
    ]


def _first_sentence(path: Path) -> str:
    comment = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line[1:].strip())
    return " ".join(comment).split(". ")[0].rstrip(".")


def find_preset(text: str) -> Path:
    """A path, or the name of a preset with or without `presets/` and `.toml`, so that the README's commands work from
    any directory.

    Raises:
        ConfigError: no such file and no such preset.
    """
    path = Path(os.path.expanduser(text))
    if os.path.isfile(path):
        return path
    presets = {preset.name: preset.path for preset in list_presets()}
    name = text.removeprefix("./").removeprefix("presets/").removesuffix(".toml")
    if name in presets:
        return presets[name]
    raise ConfigError(f"{text}: no such preset{did_you_mean(path.stem, list(presets))}", "`tuiae presets` lists them")
