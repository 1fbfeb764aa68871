"""The last thing that happens to a line before it is sent: fewer characters, fewer colours, another theme's colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from rich.color import Color as RichColor
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

from tuiae.render.palette import GREYS, RGB, ink_on, luminance, rgb
from tuiae.render.text import to_ascii
from tuiae.ui.terminal.mode import TerminalMode

# The nearest colour where a terminal has only so many.
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


def _nearest(palette: NDArray[np.int64], color: RGB) -> int:
    """The place of the nearest colour in a palette, by the eye's weights for red, green and blue."""
    return int((((palette - np.array(color)) * _WEIGHTS) ** 2).sum(axis=1).argmin())


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
