"""What the terminal can show, in one small value that the app has and panels ask."""

from __future__ import annotations

import logging
import os
import re
import select
import termios
import time
import tty
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from rich.console import Console
from textual.theme import Theme

from tuiae.errors import ConfigError, TuiaeError
from tuiae.render import palette

Colors: TypeAlias = Literal["truecolor", "256", "16", "none"]
Pictures: TypeAlias = Literal["blocks", "shades", "ascii", "none"]
"""What pictures are made of; none where the terminal draws them itself."""
Graphics: TypeAlias = Literal["", "sixel", "kitty"]

AUTO = "auto"
COLORS: tuple[Colors, ...] = ("truecolor", "256", "16", "none")
_BY_RICH: dict[str | None, Colors] = {"truecolor": "truecolor", "256": "256", "standard": "16", "windows": "16"}
"""Rich's name of a colour system, which Textual's variable takes as well -> ours."""


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
    forced = _BY_RICH.get(environ.get("TEXTUAL_COLOR_SYSTEM", ""))
    if forced is not None:
        return forced
    console = Console(force_terminal=True, legacy_windows=False, _environ=dict(environ))
    return _BY_RICH.get(console.color_system, "16")  # of a dumb terminal too: it moves its cursor, so that it is none


def mode_of(app: Any) -> TerminalMode:
    """The mode of an app that has one; any other shows everything."""
    mode = getattr(app, "terminal_mode", None)
    return mode if isinstance(mode, TerminalMode) else TerminalMode()


# Real pictures: which protocol the terminal understands, asked before the dashboard takes the terminal over.

SECONDS = 2.0  # for the answers, which every terminal gives; over a slow line they take their time
_QUERY = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c\x1b[5n"
"""May I send a kitty picture; which terminal are you; are you well. Terminals answer in order, and the last always."""
_LAST = b"\x1b[0n"
_KITTY = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL = b"4"  # among the attributes of a terminal (DEC VT340 and after)


class GraphicsError(TuiaeError):
    """Pictures were asked for, and the extra or the terminal's support is not there."""


def with_graphics(mode: TerminalMode, input_fd: int, output_fd: int) -> TerminalMode:
    """The mode, with the protocol to draw pictures by.

    Raises:
        GraphicsError: textual-image is not installed, or the terminal knows neither protocol.
    """
    if mode.ascii or mode.colors != "truecolor":
        # Kitty's pictures are named by colours.
        raise GraphicsError("--graphics needs a terminal of all colours", "go without --graphics, --ascii and --colors")
    # It would say on the terminal what it could not find out.
    logging.getLogger("textual_image").addHandler(logging.NullHandler())
    try:
        # Now, because it asks the terminal as well while it is imported, and the dashboard would take the answers.
        import textual_image.widget  # noqa: F401
    except ImportError:
        hint = "pip install 'tuiae[graphics]', or go without --graphics"
        raise GraphicsError("--graphics needs textual-image", hint) from None
    found = protocol_in(ask(input_fd, output_fd))
    if not found:
        hint = "go without --graphics; tmux and screen pass none on"
        raise GraphicsError("this terminal says that it can draw neither kitty nor sixel pictures", hint)
    return replace(mode, graphics=found)


def ask(input_fd: int, output_fd: int, seconds: float = SECONDS) -> bytes:
    """Everything that the terminal answers, up to the answer to the last question, so that nothing is left behind."""
    before = termios.tcgetattr(input_fd)
    answer, end = b"", time.monotonic() + seconds
    try:
        tty.setcbreak(input_fd, termios.TCSANOW)
        os.write(output_fd, _QUERY)
        while not answer.endswith(_LAST) and (left := end - time.monotonic()) > 0:
            if select.select([input_fd], [], [], left)[0]:
                answer += os.read(input_fd, 1024)
    finally:
        termios.tcsetattr(input_fd, termios.TCSANOW, before)
    return answer


def protocol_in(answer: bytes) -> Graphics:
    """What the answers say; kitty's pictures first, because they stay where text is drawn."""
    if _KITTY.search(answer):
        return "kitty"
    attributes = _ATTRIBUTES.search(answer)
    return "sixel" if attributes and _SIXEL in attributes[1].split(b";") else ""


# Two themes, dark and light, of one palette that stays apart for colour-blind eyes.

DARK = Theme(
    name="tuiae",
    primary="#56B4E9",
    secondary="#8A93A0",
    accent="#56B4E9",
    success="#1DB88A",
    warning="#E69F00",
    error="#E8743B",
    foreground="#D8DEE6",
    background="#0E1116",
    surface="#161B22",
    panel="#1C232C",
    dark=True,
)
LIGHT = Theme(
    name="tuiae-light",
    primary="#00639C",
    secondary="#5B6470",
    accent="#00639C",
    success="#006B4A",
    warning="#8A5200",
    error="#AD3A08",
    foreground="#1B2129",
    background="#FAFAF8",
    surface="#F0F1F2",
    panel="#E6E9EC",
    dark=False,
)
BY_CHOICE = {"dark": DARK.name, "light": LIGHT.name}
CHOICES = ("auto", *BY_CHOICE)

ON_LIGHT: Mapping[str, str] = {
    palette.SKY: "#00639C",
    palette.ORANGE: "#8A5200",
    palette.GREEN: "#006B4A",
    palette.YELLOW: "#6B6000",
    palette.BLUE: "#3A45A8",
    palette.VERMILLION: "#AD3A08",
    palette.PURPLE: "#96326C",
    palette.GREY: "#5B6470",
    palette.PINK: "#C0225F",
    palette.BROWN: "#6E4B1E",
}
"""The colours of drawings on a light background: the same hues, dark enough for text (contrast 4.5 and more)."""


def choose_theme(choice: str, remembered: str, environ: Mapping[str, str]) -> str:
    """The name of a theme: what was asked for, else what was chosen before, else what COLORFGBG says of the terminal.

    Raises:
        ConfigError: there is no such theme.
    """
    if choice in BY_CHOICE:
        return BY_CHOICE[choice]
    if choice not in ("", "auto"):
        raise ConfigError(f"--theme {choice} is not known", f"one of {', '.join(CHOICES)}")
    if not choice and remembered:
        return remembered
    # `foreground;background` in the 16 colours, as rxvt, Konsole and others set it.
    background = environ.get("COLORFGBG", "").rpartition(";")[2]
    is_light = background.isdigit() and int(background) in (7, *range(9, 16))
    return BY_CHOICE["light" if is_light else "dark"]
