"""How cells are written: colours and attributes, and the shortest way from one to another."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rich.color import Color, ColorType
from rich.style import Style
from textual.strip import SGR_STYLES

from tuiae.ui.render.palette import GREYS

LINES = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 12
"""Attributes that show on a blank: underline, reverse, struck, double underline, overline; others do not."""


class Pen(NamedTuple):
    """How cells are written: bits of SGR attributes, and parameters of the colours, empty for the terminal's own."""

    attributes: int = 0
    color: str | None = ""
    """None on a blank, where no colour shows."""
    background: str = ""
    link: str = ""


PLAIN = Pen()


@lru_cache(maxsize=16384)
def pens_of(style: Style | None) -> tuple[Pen, Pen]:
    """The pen for characters of a style, and the one for blanks, where less shows and so less must be changed."""
    if style is None:
        return PLAIN, PLAIN._replace(color=None)
    attributes = style._attributes & style._set_attributes
    pen = Pen(attributes, _parameters(style.color, True), _parameters(style.bgcolor, False), style.link or "")
    return pen, pen if attributes & LINES or pen.link else Pen(0, None, pen.background)


def _parameters(color: Color | None, foreground: bool) -> str:
    if color is None or color.is_default:
        return ""
    triplet = color.triplet
    if color.type is ColorType.TRUECOLOR and triplet is not None and triplet.red == triplet.green == triplet.blue:
        number = _GREY_NUMBERS.get(triplet.red)
        # The same colour in half of the bytes.
        if number is not None:
            return f"{38 if foreground else 48};5;{number}"
    return ";".join(color.get_ansi_codes(foreground))


_GREY_NUMBERS = {level: 232 + place for place, level in enumerate(GREYS)} | {0: 16, 255: 231}


@lru_cache(maxsize=16384)
def change(before: Pen, after: Pen) -> str:
    """The shorter of two sequences that make one pen of another: what differs, or everything after a reset."""
    fresh = _codes(PLAIN, after)
    ways = [["", *fresh] if fresh else [""]]
    if not before.attributes & ~after.attributes:
        ways.append(_codes(before, after))
    sequences = [f"\x1b[{';'.join(way)}m" if way else "" for way in ways]
    return min(reversed(sequences), key=len)


def _codes(before: Pen, after: Pen) -> list[str]:
    added = after.attributes & ~before.attributes
    codes = [code for bit, code in enumerate(SGR_STYLES) if added >> bit & 1]
    if after.color != before.color:
        codes.append(after.color or "39")
    if after.background != before.background:
        codes.append(after.background or "49")
    return codes
