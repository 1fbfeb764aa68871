"""What the terminal can show, in one small value that the app has and panels ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from rich.console import Console

from tuiae.errors import ConfigError

Colors: TypeAlias = Literal["truecolor", "256", "16", "none"]
Pictures: TypeAlias = Literal["blocks", "shades", "ascii", "none"]
"""What pictures are made of; none where the terminal draws them itself."""
Graphics: TypeAlias = Literal["", "sixel", "kitty"]

AUTO = "auto"
COLORS: tuple[Colors, ...] = ("truecolor", "256", "16", "none")
_RICH: dict[str | None, Colors] = {
    "truecolor": "truecolor",
    "256": "256",
    "standard": "16",
    "windows": "16",
    None: "16",  # it moves its cursor, so that it is no dumb one
}
_NAMES: dict[str, Colors] = {"truecolor": "truecolor", "256": "256", "standard": "16", "windows": "16"}


@dataclass(frozen=True)
class TerminalMode:
    """How to draw on this terminal."""

    colors: Colors = "truecolor"
    ascii: bool = False
    """Whether no character above 127 may be sent."""
    graphics: Graphics = ""
    """The protocol for real pictures, where the user asked for them and the terminal knows one."""

    @property
    def pictures(self) -> Pictures:
        """What pictures are made of: half blocks are two colours a cell, which take a palette to be told apart."""
        if self.ascii:
            return "ascii"
        return "blocks" if self.colors in ("truecolor", "256") else "shades"


def choose_mode(colors: str, ascii_only: bool, environ: Mapping[str, str]) -> TerminalMode:
    """What was asked for by `--colors` and `--ascii`; `auto` asks NO_COLOR, TEXTUAL_COLOR_SYSTEM, COLORTERM and TERM.

    Raises:
        ConfigError: there is no such number of colours.
    """
    if colors == AUTO:
        return TerminalMode(_detect(environ), ascii_only)
    for known in COLORS:
        if colors == known:
            return TerminalMode(known, ascii_only)
    raise ConfigError(f"--colors {colors} is not known", f"one of {', '.join((AUTO, *COLORS))}")


def _detect(environ: Mapping[str, str]) -> Colors:
    if environ.get("NO_COLOR"):
        return "none"
    forced = _NAMES.get(environ.get("TEXTUAL_COLOR_SYSTEM", ""))
    if forced is not None:
        return forced
    console = Console(force_terminal=True, legacy_windows=False, _environ=dict(environ))
    return _RICH.get(console.color_system, "16")


def mode_of(app: Any) -> TerminalMode:
    """The mode of an app that has one; any other shows everything."""
    mode = getattr(app, "terminal_mode", None)
    return mode if isinstance(mode, TerminalMode) else TerminalMode()
