"""What the terminal can show: a small value that the app has and panels ask, themes, and filters of its lines."""

from __future__ import annotations

import logging
import os
import re
import select
import termios
import time
import tty
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.color import Color as RichColor
from rich.color_triplet import ColorTriplet
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

from tuiae.errors import ConfigError, TuiaeError
from tuiae.render import palette
from tuiae.render.palette import GREYS, RGB, ink_on, luminance, rgb
from tuiae.render.text import to_ascii

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


# The nearest colour where a terminal has only 256 or 16.
#
# Rich's `Color.downgrade` serves worse. In 256 colours it makes black of all dark surfaces, by which panels, cursor and
# selection are told apart, because it takes tinted greys to the cube; in 16 it writes green as cyan and pink as white.

_STEPS = (0, 95, 135, 175, 215, 255)
_WEIGHTS = np.array([0.30, 0.59, 0.11]) ** 0.5
_CUBE = np.array([(red, green, blue) for red in _STEPS for green in _STEPS for blue in _STEPS])
_PALETTE_256 = np.concatenate([_CUBE, np.array(GREYS)[:, None].repeat(3, axis=1)])
"""What terminals draw for 16 to 255."""
_ALL_256, _GREYS_256 = np.arange(16, 256), np.array([16, *range(232, 256), 231])
_DARK_8 = "#000000 #cd3131 #0dbc79 #cd8c00 #2472c8 #bc3fbc #11a8cd #c8c8c8"
_LIGHT_8 = "#666666 #e8743b #23d18b #f0e442 #5696ea #d670d6 #56bee9 #ffffff"
_PALETTE_16 = np.array([rgb(color) for color in f"{_DARK_8} {_LIGHT_8}".split()])
"""What terminals draw for 0 to 15, roughly: every user's theme has its own."""


@lru_cache(maxsize=8192)
def nearest_256(color: RGB) -> int:
    """The number, 16 to 255, of the nearest colour; a grey is always taken from black, the ramp and white."""
    numbers = _GREYS_256 if color[0] == color[1] == color[2] else _ALL_256
    return int(numbers[_nearest(_PALETTE_256[numbers - 16], color)])


def nearest_16(color: RGB) -> int:
    """The number, 0 to 15, of the nearest colour."""
    return _nearest(_PALETTE_16, color)


def _nearest(colors: NDArray[np.int64], color: RGB) -> int:
    """The place of the nearest of some colours, by the eye's weights for red, green and blue."""
    return int((((colors - np.array(color)) * _WEIGHTS) ** 2).sum(axis=1).argmin())


# The last thing that happens to a line before it is sent: fewer characters, fewer colours, another theme's colours.

_APART = 1.35
"""Contrast from which a background is meant to be seen, and is kept where there are few colours or none."""
_STRONG = 1.6
"""Contrast of a background from which it becomes reverse video where there are no colours."""
_FAINT = 3.6
"""Contrast of text below which it becomes dim where there are no colours."""


def filters_for(mode: TerminalMode, renamed: Mapping[str, str], background: RGB) -> list[LineFilter]:
    """What a terminal of this mode needs, in order.

    `renamed` are colours of drawings, by their hex code on a dark screen, and what they are in the theme; `background`
    is the theme's, which says whether another one is a mark.
    """
    filters: list[LineFilter] = []
    if renamed:
        names = {RichColor.parse(drawn).triplet: RichColor.parse(shown) for drawn, shown in renamed.items()}
        filters.append(Restyled(partial(_renamed, names)))
    if mode.colors in REDUCED:
        filters.append(Restyled(partial(REDUCED[mode.colors], background)))
    if mode.ascii:
        filters.append(Ascii())
    return filters


class Ascii(LineFilter):
    """No character above 127, each cell as wide as it was."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.text.isascii() else Segment(to_ascii(segment.text), segment.style, segment.control)
            for segment in segments
        ]


class Restyled(LineFilter):
    """Another style for each style, text as it was."""

    def __init__(self, restyle: Callable[[Style], Style]) -> None:
        super().__init__()
        self._restyle = restyle

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            Segment(text, None if style is None else self._restyle(style), control) for text, style, control in segments
        ]


def _renamed(names: Mapping[ColorTriplet | None, RichColor], style: Style) -> Style:
    color = style.color and names.get(style.color.triplet)
    return style + Style(color=color) if color else style


@lru_cache(maxsize=4096)
def _in_256(screen: RGB, style: Style) -> Style:
    """The nearest of the 240 colours that every such terminal has alike: the cube and the ramp of greys."""
    color, bgcolor = (
        RichColor.from_ansi(nearest_256(known)) if known is not None else None
        for known in (_rgb(style.color), _rgb(style.bgcolor))
    )
    return style + Style(color=color, bgcolor=bgcolor)


@lru_cache(maxsize=4096)
def _in_16(screen: RGB, style: Style) -> Style:
    """The terminal's own colours: its background under all that stands on the screen's, strong marks in colour."""
    fore, back = _rgb(style.color), _rgb(style.bgcolor)
    if back is None or contrast(back, screen) < _APART:
        bgcolor = None if style.bgcolor is None else RichColor.default()
        color = None if fore is None else _ink_16(fore, back or screen)
        return style + Style(color=color, bgcolor=bgcolor)
    ink = RichColor.from_ansi(0 if ink_on(back) == (0, 0, 0) else 15)
    return style + Style(color=None if fore is None else ink, bgcolor=RichColor.from_ansi(nearest_16(back)))


def _ink_16(fore: RGB, back: RGB) -> RichColor:
    """Text on the terminal's own background, whichever that is: neutral colours as the terminal writes, or grey."""
    if max(fore) - min(fore) < 40:
        return RichColor.default() if contrast(fore, back) >= _FAINT else RichColor.from_ansi(8)
    return RichColor.from_ansi(nearest_16(fore))


@lru_cache(maxsize=4096)
def _without_colour(screen: RGB, style: Style) -> Style:
    """No colour at all: strong backgrounds reversed, faint text dim, so that focus and selection can still be seen."""
    fore, back = _rgb(style.color), _rgb(style.bgcolor)
    reverse = bool(style.reverse) != (back is not None and contrast(back, screen) >= _STRONG)
    faint = fore is not None and contrast(fore, back or screen) < _FAINT and not reverse and not style.bold
    return Style(
        bold=style.bold,
        italic=style.italic,
        underline=style.underline,
        strike=style.strike,
        reverse=reverse or None,
        dim=(faint or bool(style.dim)) or None,
        meta=style.meta or None,
    )


REDUCED: Mapping[str, Callable[[RGB, Style], Style]] = {"256": _in_256, "16": _in_16, "none": _without_colour}
"""Colours of a terminal -> (background of the screen, style) -> the style to show instead."""


def contrast(one: RGB, other: RGB) -> float:
    """WCAG contrast of two colours, 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _rgb(color: RichColor | None) -> RGB | None:
    """A colour as three numbers; None for none and for the terminal's own."""
    if color is None or color.is_default:
        return None
    red, green, blue = color.get_truecolor()
    return red, green, blue
