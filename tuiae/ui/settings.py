"""What the dashboard remembers of its user from one day to the next; a missing or broken file is no settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_config_path

from tuiae.files import read_json, replace_json


@dataclass(frozen=True)
class Settings:
    """One user's choices; empty where none was made."""

    theme: str = ""


def settings_file() -> Path:
    """`settings.json` in the user's configuration directory (XDG_CONFIG_HOME)."""
    return Path(user_config_path("tuiae")) / "settings.json"


def load_settings(path: Path) -> Settings:
    """What was saved; values that are not text are left out."""
    saved = read_json(path)
    known = {name: saved[name] for name in asdict(Settings()) if isinstance(saved.get(name), str)}
    return Settings(**known)


def save_settings(settings: Settings, path: Path) -> None:
    """Keep the choices.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_json(path, asdict(settings))
