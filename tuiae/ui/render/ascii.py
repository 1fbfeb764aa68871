"""Text for terminals that show nothing beyond ASCII, cell for cell as wide as it was."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len

UNKNOWN = "?"


def _each(signs: str, ascii_sign: str) -> dict[str, str]:
    return dict.fromkeys(signs, ascii_sign)


_LIKE = {
    # Frames; double ones mark the focus, so that they are not drawn as the others are.
    **_each("─━╌┄┈╍┅┉╴╶╸╺⎯‐‑‒–—―−▔🮂", "-"),
    **_each("│┃╎┆┊╏┇┋╵╷╹╻▏▕▎▊▌▐▍▋▉¦", "|"),
    **_each("┌┐└┘┏┓┗┛╭╮╰╯├┤┬┴┼┠┨┯┷┣┫┳┻╋╠╣╦╩╬┡┩┢┪", "+"),
    **_each("═", "="),
    **_each("║", "#"),
    **_each("╔╗╚╝", "#"),
    "╱": "/",
    "╲": "\\",
    "╳": "x",
    # Shades and blocks.
    **_each("█▓■▇▆▅◼▮", "#"),
    **_each("▒▄▃", "+"),
    **_each("░", "."),
    **_each("▀", '"'),
    **_each("▂▁⎽", "_"),
    # Arrows and triangles.
    **_each("→▶▸►⇒➜❯›»", ">"),
    **_each("←◀◂◄⇐❮‹«", "<"),
    **_each("↑▲▴⇑△▵", "^"),
    **_each("↓▼▾⇓▽▿", "v"),
    **_each("↔⇔", "-"),
    **_each("⏎↵", "<"),
    # Signs; those that tell curves apart differ here too.
    "▪": "#",
    "◦": "@",
    **_each("●◉★✱◆", "*"),
    **_each("○◌◯°◇□☐▢•", "o"),
    **_each("✓✔", "v"),
    **_each("✗✘✕✖×", "x"),
    **_each("‖", "="),
    "◐": "~",
    "✎": "n",
    **_each("…⋯∼≈", "~"),
    "·": "-",  # between two things that are said: a full stop would end the first
    **_each("∙⋅․", "."),
    **_each("‘’′‚", "'"),
    **_each("“”″„", '"'),
    **_each("≤", "<"),
    **_each("≥", ">"),
    "±": "+",
    "÷": "/",
    "∕": "/",
    "µ": "u",
    "μ": "u",
    "β": "b",
    "ø": "o",
    "Ø": "O",
    "ß": "s",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "ı": "i",
    "æ": "a",
    "œ": "o",
    "\u00a0": " ",
}
_BRAILLE = range(0x2800, 0x2900)
_UPPER, _LOWER = 0b0001_1011, 0b1110_0100
"""Dots of the upper and of the lower two rows of a braille cell, by their bits."""


def to_ascii(text: str) -> str:
    """Every character by the ASCII character that looks like it, letters without their accents, the rest by `?`."""
    return text if text.isascii() else "".join(map(_like, text))


@lru_cache(maxsize=4096)
def _like(char: str) -> str:
    width = cell_len(char)
    if char.isascii():
        return char
    if char in _LIKE:
        return _LIKE[char] * width
    if ord(char) in _BRAILLE:
        return _braille(ord(char) - _BRAILLE.start)
    letters = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode("ascii").strip()
    return letters[:width].ljust(width) if letters.isprintable() and letters else UNKNOWN * width


def _braille(dots: int) -> str:
    upper, lower = (dots & _UPPER).bit_count(), (dots & _LOWER).bit_count()
    if not dots:
        return " "
    if upper and lower:
        return "#" if upper + lower > 6 else ":" if upper + lower < 4 else "*"
    return "'" if upper else "."
