"""Classes in one cell: a sign and a colour for each, and the legend that says which is which."""

from __future__ import annotations

import string
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tuiae.ui.render import palette
from tuiae.ui.render.text import shorten

COLORS = (*palette.SERIES, palette.PINK, palette.BROWN)
"""Ten: as many as the usual sets have classes. More classes share them, and keep signs of their own."""
OTHERS = ("·", ".")
"""Sign of the classes that are left when every character is taken, and of images without classes; then in ASCII."""
_POOL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "!#$%&*+=?@~"
LEGEND_NAMES = (24, 8, 7, 6, 5, 4, 3)
"""Cells of a name in a legend: the first is the one to read best, the last still says something."""
SHORT_NAME = 6  # cells below which names are hard to read
LEGEND_PART = 4  # a legend takes one line of so many at most


def class_signs(names: Sequence[str], ascii: bool = False) -> tuple[str, ...]:  # noqa: A002
    """One cell for each class: its name when that is one character, else a letter of it, else any that is free."""
    other = OTHERS[ascii]
    if len(names) == 1:
        return (other,)
    signs: list[str] = [name if _is_sign(name, ascii) else "" for name in names]
    signs = [sign if sign not in signs[:index] else "" for index, sign in enumerate(signs)]
    for index, name in enumerate(names):
        if not signs[index]:
            letters = [letter.upper() for letter in name if letter.isascii() and letter.isalnum()]
            signs[index] = next((sign for sign in (*letters, *_POOL) if sign not in signs), other)
    return tuple(signs)


def _is_sign(name: str, ascii_only: bool) -> bool:
    return len(name) == 1 and cell_len(name) == 1 and not name.isspace() and (name.isascii() or not ascii_only)


def class_color(label: int) -> str:
    """The colour of a class."""
    return COLORS[label % len(COLORS)]


def legend(names: Sequence[str], signs: Sequence[str], width: int, most: int, only: int) -> list[Text]:
    """Which character is which class, in at most so many lines; nothing where characters name themselves."""
    if only >= 0:
        named = shorten(names[only], width - 14)
        return [
            Text(end="").append(signs[only], f"bold {class_color(only)}").append(f" {named}").append(" alone", "dim")
        ]
    if len(names) < 2 or list(names) == list(signs):
        return []
    # One line more where few letters are left: it is there to tell the classes apart.
    roomy = [(limit, most) for limit in LEGEND_NAMES if limit >= SHORT_NAME]
    for limit, room in (*roomy, *((limit, most + 1) for limit in LEGEND_NAMES[1:])):
        lines = _packed(names, signs, width, limit)
        if len(lines) <= room:
            return lines
    lines = lines[: most + 1]
    lines[-1].truncate(width - 2)
    lines[-1].append(" …", "dim")
    return lines


def _packed(names: Sequence[str], signs: Sequence[str], width: int, limit: int) -> list[Text]:
    """Every sign with at most so many cells of its name, in as many lines as that takes."""
    lines = [Text(end="", no_wrap=True)]
    for label, (name, sign) in enumerate(zip(names, signs, strict=True)):
        cells = min(limit, width - 2)
        words = shorten(name, cells) if limit == LEGEND_NAMES[0] else set_cell_size(name, min(cells, cell_len(name)))
        gap = ("   " if limit == LEGEND_NAMES[0] else "  ") if lines[-1].plain else ""
        if lines[-1].cell_len + len(gap) + 2 + cell_len(words) > width and gap:
            lines.append(Text(end="", no_wrap=True))
            gap = ""
        lines[-1].append(gap).append(sign, f"bold {class_color(label)}").append(f" {words.rstrip()}")
    return lines
