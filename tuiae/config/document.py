"""TOML in and out, and overrides on top."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tuiae.config.mistakes import explain, known_keys
from tuiae.config.schema import RunConfig
from tuiae.errors import ConfigError

SET = "--set"
_LOOSE_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
"""`.001`, `5.` and `01.5`, which are numbers everywhere but in TOML."""


def load_config(path: Path, overrides: dict[str, Any] | None = None, asker: str | Mapping[str, str] = SET) -> RunConfig:
    """Read a preset, put the overrides (dotted key -> value) on top, and validate; `asker` as in `build_config`.

    Raises:
        ConfigError: unreadable file, malformed TOML, unknown key or value out of range; says which.
    """
    return build_config(read_document(path), overrides, source=str(path), asker=asker)


def read_document(path: Path) -> dict[str, Any]:
    """Parse a TOML file without validating it.

    Raises:
        ConfigError: with file and line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin with a mark
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}", "mend that line") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a UTF-8 text file", "give a preset in TOML") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "`tuiae presets` lists the presets") from error


def build_config(
    document: dict[str, Any],
    overrides: dict[str, Any] | None = None,
    source: str = "config",
    asker: str | Mapping[str, str] = SET,
) -> RunConfig:
    """Validate a parsed document with overrides on top.

    Messages about the document begin with `source`, those about an override with `asker`, which may be one for each
    key; those that it leaves out were asked for by `--set`.

    Raises:
        ConfigError: naming source, key, value and what is allowed.
    """
    merged: dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    for key, value in (overrides or {}).items():
        _put(merged, key, value)
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        askers = {key: asker if isinstance(asker, str) else asker.get(key, SET) for key in overrides or {}}
        raise ConfigError(explain(error, source, askers), "") from error


def parse_override(text: str, asker: str = SET) -> tuple[str, Any]:
    """Split `training.epochs=5` into a dotted key and a TOML value; a bare word is a string,
    but for `.5`. `asker` is the option that
    asks for it, empty where there is none.

    Raises:
        ConfigError: no equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        asked = f"{asker} " if asker else ""
        raise ConfigError(f"{asked}{text}: not KEY=VALUE", f"write e.g. {asked}training.epochs=5")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        word = value.strip()
        return key.strip(), float(word) if _LOOSE_NUMBER.fullmatch(word) else word


def dump_config(config: RunConfig) -> str:
    """The complete TOML document of a config; `build_config` of it gives the same config back."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json"))


def settings_of(config: RunConfig) -> dict[str, Any]:
    """Every dotted key of a config with its value."""
    flat: dict[str, Any] = {}
    for key, value in config.model_dump(mode="json").items():
        flat |= {f"{key}.{leaf}": item for leaf, item in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _put(document: dict[str, Any], dotted: str, value: Any) -> None:
    section, dot, key = dotted.partition(".")
    if not dot:
        document[section] = value
        return
    table = document.setdefault(section, {})
    if not isinstance(table, dict):
        tables = dict.fromkeys(name.partition(".")[0] for name in known_keys() if "." in name)
        hint = f"the tables are {', '.join(tables)}: [training] in a file, training.epochs=5 for --set"
        raise ConfigError(f"{dotted}: '{section}' is not a table", hint)
    table[key] = value
