"""Presets: where they lie, what each one teaches, and finding one by name or path."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tuiae.config import NAME_PATTERN, NAME_WORDS, RunConfig, did_you_mean, dump_config
from tuiae.errors import ConfigError
from tuiae.files import make_directory, read_bytes, replace_text, writable_advice

DEFAULT = "quickstart"
BEST = "best"
OWN = "my"


@dataclass(frozen=True)
class Preset:
    """A preset file and the first sentence of its comment."""

    name: str
    path: Path
    teaches: str


def presets_dir() -> Path:
    """The directory of presets: in an installed package `tuiae/presets`, else at the top of the checkout."""
    inside = Path(__file__).parents[1] / "presets"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "presets"


def own_presets_dir() -> Path:
    """Where the user's own presets are kept: TUIAE_PRESETS_DIR, else the user's configuration directory."""
    override = os.environ.get("TUIAE_PRESETS_DIR")
    if override:
        return Path(override).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_config_dir("tuiae")) / "presets"


def list_presets() -> list[Preset]:
    """Every preset that came with the package, the default one first, the best recipes, and the user's own last."""
    folders = {"": presets_dir(), f"{BEST}/": presets_dir() / BEST, f"{OWN}/": own_presets_dir()}
    return [
        Preset(f"{group}{path.stem}", path, _first_sentence(path))
        for group, folder in folders.items()
        for path in sorted(folder.glob("*.toml"), key=lambda path: (path.stem != DEFAULT, path.stem))
        if not path.is_fifo()  # which may never give anything
    ]


def check_preset_name(name: str) -> None:
    """Raises ConfigError for a name that a config cannot have."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"preset name {name!r}: allowed: {NAME_WORDS}", "choose another")


def save_preset(config: RunConfig, name: str, comment: str) -> Preset:
    """Keep a config as a preset of the user's own, with a comment above it, in place of one of that name. Raises
    ConfigError for a name that no config may have, or a directory that cannot be written."""
    check_preset_name(name)
    path = own_presets_dir() / f"{name}.toml"
    try:
        make_directory(path.parent)
        document = dump_config(config.model_copy(update={"name": name}))
        replace_text(path, "".join(f"# {line}\n" for line in comment.splitlines()) + document)
    except OSError as error:
        cause = f"cannot write {path}: {error.strerror or error}"
        raise ConfigError(cause, writable_advice(error, "TUIAE_PRESETS_DIR")) from error
    return Preset(f"{OWN}/{name}", path, _first_sentence(path))


def _first_sentence(path: Path) -> str:
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return "cannot be read"  # of the user's own: choosing it says why
    comment = (line[1:].strip() for line in takewhile(lambda line: line.startswith("#"), lines))
    return " ".join(comment).split(". ")[0].rstrip(".")


def find_preset(text: str) -> Path:
    """A path, or the name of a preset with or without `presets/` and `.toml`, so that the README's commands work from
    any directory; raises ConfigError where there is neither."""
    path = Path(os.path.expanduser(text))
    # A pipe is read once, as in `tuiae run <(sed ... preset.toml)`.
    if os.path.isfile(path) or (os.path.exists(path) and stat.S_ISFIFO(os.stat(path).st_mode)):
        return path
    presets = {preset.name: preset.path for preset in list_presets()}
    name = text.removeprefix("./").removeprefix("presets/").removesuffix(".toml")
    if name in presets:
        return presets[name]
    if text and os.path.isdir(path):  # Path.is_dir fails over a name of 5,000 letters
        raise ConfigError(f"{text} is a directory, and no preset", "give a TOML file, such as the config.toml of a run")
    kind = "file" if text.endswith(".toml") or text.startswith((".", "~", os.sep)) else "preset"
    hint = "`tuiae presets` lists them" if kind == "preset" else "`tuiae presets` lists what has a name"
    raise ConfigError(f"{text}: no such {kind}{did_you_mean(path.stem, list(presets))}", hint)


def packaged(kind: str) -> list[str]:
    """Names of the files that came with the package, of kind `sweep` or `work`."""
    return sorted(path.stem for path in (presets_dir() / f"{kind}s").glob("*.toml"))


def find_packaged(kind: str, text: str) -> Path:
    """A path, or the name of a sweep or work that came with the package, from whatever directory.

    Raises:
        ConfigError: no such file and no such name.
    """
    path, folder, names = Path(text).expanduser(), presets_dir() / f"{kind}s", packaged(kind)
    if text in names:
        return folder / f"{text}.toml"
    if os.path.isfile(path):  # Path.is_file fails over a name of 5,000 letters
        return path
    if path.suffix == ".toml" and path.parent.name in ("", folder.name) and path.stem in names:
        return folder / path.name
    hint = f"give a file, or one that came with tuiae: {', '.join(names)}"
    raise ConfigError(f"{text}: no such {kind}{did_you_mean(path.stem, names)}", hint)
