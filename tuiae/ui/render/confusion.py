"""A confusion matrix as a table of counts, shaded by the share of each true class."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.style import Style
from rich.text import Text

from tuiae.ui.render import palette
from tuiae.ui.render.text import centred, clean, join_lines, percent, shorten, to_ascii

EMPTY = "no predictions yet"
_NAME_LIMIT = 14
_WIDEST, _TALLEST = 9, 3
_FAINT = 0.02
"""Row share below which an error is drawn as a bare number."""
_LIFT = 0.42
_KEYS = string.digits + string.ascii_letters

Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Table:
    """How a matrix is laid out, in cells."""

    gutter: int
    """Room for the names of the true classes, with the space after them."""
    cell: int
    tall: int
    digits: int
    """Room for a count within the cell; 0 leaves shades alone."""

    def centred(self, words: str) -> str:
        """Words in the middle of a cell, in line with the counts, which end where the longest one does."""
        free = self.cell - cell_len(words)
        return " " * ((free + 1) // 2) + words + " " * (free // 2)


def plan(counts: Counts, names: Sequence[str], width: int, height: int) -> Table | None:
    """The roomiest table that fits: long names and counts first, shades alone last; None when nothing fits."""
    classes = len(counts)
    if classes + 1 > height:
        return None
    digits = len(str(int(counts.max(initial=0))))
    longest = min(max(map(cell_len, names)), _NAME_LIMIT)
    gutters = sorted({longest + 1, min(longest, 8) + 1, min(longest, 4) + 1}, reverse=True)
    for numbers, cells in ((True, (digits + 2, digits + 1)), (False, (2, 1))):
        for gutter, cell in product(gutters, cells):
            room = (width - gutter) // classes
            if room >= cell:
                cell = max(cell, min(room, _WIDEST if numbers else 2))
                tall = _TALLEST if numbers and cell > 4 and classes * _TALLEST + 1 <= height else 1
                return Table(gutter, cell, tall, digits if numbers else 0)
    return None


def summary(counts: Counts, classes: Sequence[str], width: int) -> Text:
    """`accuracy 88.3%   most taken: Shirt → Coat 112`; a narrow line goes without its words."""
    total = int(counts.sum())
    wrong = counts - np.diag(np.diag(counts))
    true, predicted = divmod(int(wrong.argmax()), len(counts))
    for accuracy, taken in (("accuracy ", "most taken: "), ("", "")):
        text = Text(end="", no_wrap=True).append(accuracy, "dim")
        text.append(percent(int(np.trace(counts)) / total if total else None), f"bold {palette.SKY}")
        if wrong[true, predicted] > 0:
            text.append("   ").append(taken, "dim").append(f"{classes[true]} → {classes[predicted]} ")
            text.append(f"{int(wrong[true, predicted]):,}", f"bold {palette.ORANGE}")
        if text.cell_len <= width:
            return text
    text.truncate(width, overflow="ellipsis")
    return text


def draw_confusion(
    counts: Counts,
    classes: Sequence[str],
    width: int,
    height: int,
    ascii: bool = False,  # noqa: A002
) -> Text:
    """Rows are true classes, columns predicted ones; one line below says it in words.

    `counts` is (k, k); names that are missing become numbers.
    """
    counts = np.asarray(counts)
    if width <= 0 or height <= 0 or counts.ndim != 2 or not counts.size or not counts.sum():
        return centred(EMPTY, width, height)
    names = [clean(name) or "?" for name in classes][: len(counts)]
    names += [str(index) for index in range(len(names), len(counts))]
    names = [to_ascii(name) for name in names] if ascii else names
    words = summary(counts, names, width)
    table = plan(counts, names, width, height - 1)
    if table is None:
        message = centred(f"{len(counts)} classes need more room", width, max(height - 2, 0))
        text = join_lines([message, words] if message.plain else [words])
    else:
        lines = _table(counts, names, table, ascii)
        text = join_lines(_centre(lines, words, table, len(counts), width, height))
    if ascii:
        text.plain = to_ascii(text.plain)
    return text


def heads(names: Sequence[str], cell: int) -> tuple[list[str], bool]:
    """A head for each column of `cell` cells, and whether they are keys because cut names would not differ."""
    room = max(cell - 1, 1)
    short = [set_cell_size(name, min(room, cell_len(name))).strip() for name in names]
    if len(set(short)) == len(short) and (room >= 3 or short == list(names)):
        return short, False
    numbers = [str(index) for index in range(len(names))]
    fits = len(numbers[-1]) <= room
    return numbers if fits else [_KEYS[index % len(_KEYS)] for index in range(len(names))], True


def _table(counts: Counts, names: Sequence[str], table: Table, ascii_only: bool) -> list[Text]:
    top, keyed = heads(names, table.cell)
    labels = [f"{key} {name}" for key, name in zip(top, names, strict=True)] if keyed else names
    header = " " * table.gutter + "".join(map(table.centred, top))
    lines = [Text(header, "dim", end="")]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, label in enumerate(labels):
        room = table.gutter - 1
        name = set_cell_size(label, room) if room < 6 and cell_len(label) > room else shorten(label, room)
        for part in range(table.tall):
            middle = part == table.tall // 2
            line = Text(f"{name if middle else '':>{room}} ", end="")
            for column, share in enumerate(shares[row]):
                words = _cell(int(counts[row, column]), float(share), table, middle, ascii_only)
                line.append(words, _style(float(share), row == column, table.digits > 0))
            lines.append(line)
    return lines


def _cell(value: int, share: float, table: Table, middle: bool, ascii_only: bool) -> str:
    dot = "." if ascii_only else "·"
    if not table.digits:
        shades = palette.ASCII_SHADES if ascii_only else palette.SHADES
        return dot.ljust(table.cell) if 0 < share < _FAINT else shades[math.ceil(share * 4)] * table.cell
    if not middle:
        return " " * table.cell
    return table.centred(f"{value or dot:>{table.digits}}")


def _style(share: float, right: bool, numbers: bool) -> Style:
    if share == 0:
        return Style(dim=True)
    if not right and share < _FAINT:
        return Style(color=Color.parse(palette.GREY))
    if not numbers:
        return Style(color=Color.parse(palette.SKY if right else palette.ORANGE))
    # The root lifts small shares, which are what one looks for among the errors.
    back = palette.count_ramp(share**_LIFT, right)
    return Style(color=Color.from_rgb(*palette.ink_on(back)), bgcolor=Color.from_rgb(*back), bold=right)


def _centre(lines: list[Text], words: Text, table: Table, classes: int, width: int, height: int) -> list[Text]:
    left = " " * ((width - table.gutter - classes * table.cell) // 2)
    free = height - len(lines) - 1
    gap = 1 if free > 0 else 0
    top = [Text() for _ in range((free - gap) // 2)]
    words_left = " " * ((width - words.cell_len) // 2)
    return [
        *top,
        *(Text(left, end="").append_text(line) for line in lines),
        *(Text() for _ in range(gap)),
        Text(words_left, end="").append_text(words),
    ]
