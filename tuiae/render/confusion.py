"""A confusion matrix as a table of counts or shares, shaded by the share of each true class."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.style import Style
from rich.text import Text

from tuiae.render import palette
from tuiae.render.text import centred, clean, figure, fitted, in_mode, join_lines, percent, shorten, to_ascii

EMPTY = "no predictions yet"
_KEYS = string.digits + string.ascii_letters
_NAME_LIMIT = 14
_WIDEST, _TALLEST = 9, 3
_FAINT = 0.02
"""Row share below which an error is drawn as a bare number."""
_LIFT = 0.42
_SHARE_DIGITS = (4, 3, 2)
"""Digits of shares, the most first: 70.3, or where there is no room for it 70. Of two, 100 fills the gap between the
cells as well: all others of its row are 0."""
_RECALL, _PRECISION = "recall", "precision"
_MARGIN = len(_PRECISION) + 2  # cells

Cell = tuple[int, int]
"""A true class and a predicted one."""
Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class MatrixLayout:
    """The sizes of a drawn matrix and its place in an area, in cells."""

    gutter: int
    """Width of the names of the true classes, with the space after them."""
    cell: int
    tall: int
    digits: int
    """Width of a count within the cell; 0 for shades without counts."""
    left: int = 0
    """Cells before the names of the rows."""
    top: int = 0
    """Lines before the names of the columns."""
    shares: bool = False
    """Whether the numbers are per cents of each true class."""
    margins: bool = False
    """Whether recall stands behind each row, and precision below each column."""

    def centred(self, words: str) -> str:
        """Words in the middle of a cell, in line with the counts, which end where the longest one does."""
        free = self.cell - cell_len(words)
        return " " * ((free + 1) // 2) + words + " " * (free // 2)

    def cell_at(self, column: int, line: int, classes: int) -> Cell | None:
        """The cell of the matrix that is drawn at a cell of the area; None beside it."""
        row = (line - self.top - 1) // self.tall
        along = (column - self.left - self.gutter) // self.cell
        return (row, along) if 0 <= row < classes and 0 <= along < classes else None


@dataclass(frozen=True)
class MatrixLook:
    """The choices that change what the cells of a matrix say, and how they look."""

    ascii: bool = False
    shares: bool = False
    """Whether cells show per cents of each true class in place of counts; they do as well where there is no room for
    counts."""
    margins: bool = False
    """Whether recall and precision are wanted; they come only where they cost nothing but width of the cells."""
    light: bool = False
    """Whether the screen is light."""
    bare: bool = False
    """Whether there are no colours to tell right from wrong."""


BASIC = MatrixLook()


def place(
    counts: Counts, names: Sequence[str], width: int, height: int, look: MatrixLook = BASIC
) -> MatrixLayout | None:
    """The layout of a matrix in an area whose last line is for words; None when nothing fits."""
    classes = len(counts)
    layout = _plan(counts, names, width, height - 1, look.shares)
    if layout is None:
        return None
    if look.margins and layout.digits:
        tight = _plan(counts, names, width - _MARGIN, height - 2, look.shares)
        # In three cells a precision of 100 would touch the one beside it.
        if tight is not None and replace(tight, cell=layout.cell) == layout and tight.cell > len("100"):
            layout = replace(tight, margins=True)
    free = height - classes * layout.tall - layout.margins - 2
    left = (width - layout.gutter - classes * layout.cell - layout.margins * _MARGIN) // 2
    return replace(layout, left=left, top=(free - (free > 0)) // 2)


def _plan(counts: Counts, names: Sequence[str], width: int, height: int, shares: bool) -> MatrixLayout | None:
    """The roomiest layout that fits: whole names first, counts before shares, shades alone last; None when nothing
    fits."""
    classes, longest = len(counts), min(max(map(cell_len, names)), _NAME_LIMIT)
    if classes + 1 > height:
        return None
    gutters = sorted({longest + 1, min(longest, 8) + 1, min(longest, 4) + 1}, reverse=True)
    numbers = [(digits, True) for digits in _SHARE_DIGITS]
    if not shares:
        numbers.insert(0, (len(str(int(counts.max(initial=0)))), False))
    ways = [*product(gutters, numbers), *((gutter, (0, False)) for gutter in gutters)]
    for (gutter, (digits, shares)), spare in product(ways, (2, 1)):
        free, cell = (width - gutter) // classes, digits + spare
        if free >= cell:
            widest = max(_WIDEST, longest + 2)  # else names are cut beside empty columns
            cell = max(cell, min(free, widest if digits else 2))
            top, keyed = heads(names, cell)
            keys = max(map(len, top)) + 1 if keyed else 0  # they stand before the names of the rows as well
            narrower = (width - gutter - keys) // classes
            if digits and narrower < digits + spare and gutter == gutters[0]:
                continue  # names would be cut
            cell = min(cell, narrower) if narrower >= digits + spare else cell
            room = width - gutter - classes * cell
            tall = _TALLEST if digits and cell > 4 and classes * _TALLEST + 1 <= height else 1
            return MatrixLayout(gutter + min(keys, room), cell, tall, digits, shares=shares)
    return None


def whole_width(counts: Counts, names: Sequence[str]) -> int:
    """The columns in which all names are whole and all cells counts."""
    longest, digits = min(max(map(cell_len, names)), _NAME_LIMIT), len(str(int(counts.max(initial=0))))
    top, keyed = heads(names, digits + 1)
    return longest + 1 + (max(map(len, top)) + 1 if keyed else 0) + len(names) * (digits + 1)


def heads(names: Sequence[str], cell: int) -> tuple[list[str], bool]:
    """A head for each column of `cell` cells, and whether they are keys because not every name is whole there."""
    most = max(cell - 1, 1)
    if max(map(cell_len, names)) <= most and len(set(names)) == len(names):
        return list(names), False
    numbers = [str(index) for index in range(len(names))]
    fits = len(numbers[-1]) <= most
    return numbers if fits else [_KEYS[index % len(_KEYS)] for index in range(len(names))], True


def summary(counts: Counts, classes: Sequence[str], width: int) -> Text:
    """`accuracy 88.31%   most confused: Shirt → Coat 112×`; a narrow line goes without its words."""
    total = int(counts.sum())
    wrong = counts - np.diag(np.diag(counts))
    true, predicted = divmod(int(wrong.argmax()), len(counts))
    for accuracy, taken in (("accuracy ", "most confused: "), ("", "")):
        text = Text(end="", no_wrap=True).append(accuracy, "dim")
        text.append(figure("accuracy", int(np.trace(counts)) / total if total else None), f"bold {palette.SKY}")
        if wrong[true, predicted] > 0:
            text.append("   ").append(taken, "dim").append(f"{classes[true]} → {classes[predicted]} ")
            text.append(f"{int(wrong[true, predicted]):,}×", f"bold {palette.ORANGE}")
        if text.cell_len <= width:
            return text
    text.truncate(width, overflow="ellipsis")
    return text


def cell_words(counts: Counts, classes: Sequence[str], cell: Cell, width: int) -> Text:
    """`Shirt: 12 of 1,000 taken for T-shirt/top (1.2%)`."""
    true, predicted = cell
    value, total = int(counts[cell]), int(counts[true].sum())
    taken = "recognised" if true == predicted else f"taken for {classes[predicted]}"
    text = Text(f"{classes[true]}: ", no_wrap=True, end="").append(f"{value:,}", "bold")
    text.append(f" of {total:,} {taken} ({percent(value / total if total else None)})")
    text.truncate(width, overflow="ellipsis")
    return text


def known_names(counts: Counts, classes: Sequence[str]) -> list[str]:
    """A name for each class, safe to show; numbers for those that are missing."""
    names = [clean(name) or "?" for name in classes][: len(counts)]
    return names + [str(index) for index in range(len(names), len(counts))]


def drawable(counts: Counts) -> bool:
    """Returns whether there is a matrix and anything in it."""
    return counts.ndim == 2 and bool(counts.size) and bool(counts.sum())


def draw_confusion(
    counts: Counts, names: Sequence[str], width: int, height: int, look: MatrixLook = BASIC, cursor: Cell | None = None
) -> Text:
    """Counts (k, k): rows are true classes, columns predicted ones; missing names become numbers. The last line puts
    the cell at the cursor (else the whole matrix) into words."""
    counts = np.asarray(counts)
    if width <= 0 or height <= 0 or not drawable(counts):
        return centred(EMPTY, width, height)
    names = [to_ascii(name) if look.ascii else name for name in known_names(counts, names)]
    words = summary(counts, names, width) if cursor is None else cell_words(counts, names, cursor, width)
    placed = place(counts, names, width, height, look)
    if placed is None:
        message = centred(f"{len(counts)} classes need more room", width, height - 2)
        lines = [message, words] if message.plain else [words]
    else:
        table = _table(counts, names, placed, look, cursor)
        lines = [Text()] * placed.top + [Text(" " * placed.left, end="").append_text(line) for line in table]
        words.pad_left((width - words.cell_len) // 2)
        lines += [*([Text()] if height > len(table) + 1 else []), words]
    return in_mode(join_lines(lines), "ascii" if look.ascii else "")


def _table(
    counts: Counts, names: Sequence[str], placed: MatrixLayout, look: MatrixLook, cursor: Cell | None
) -> list[Text]:
    top, keyed = heads(names, placed.cell)
    labels = [f"{key} {name}" for key, name in zip(top, names, strict=True)] if keyed else names
    header = Text(" " * placed.gutter, "dim", end="")
    for column, head in enumerate(top):
        header.append(placed.centred(head), "not dim bold" if cursor is not None and cursor[1] == column else "")
    lines = [header.append(f"{_RECALL:>{_MARGIN}}" if placed.margins else "")]
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals[:, None], 1)
    cells = placed.gutter - 1
    for row, label in enumerate(labels):
        name = set_cell_size(label, cells) if cells < 6 and cell_len(label) > cells else shorten(label, cells)
        for part in range(placed.tall):
            middle = part == placed.tall // 2
            words = f"{fitted(name if middle else '', cells, right=True)} "
            line = Text(end="").append(words, "bold" if cursor and cursor[0] == row else "")
            for column, share in enumerate(shares[row]):
                words = _cell(int(counts[row, column]), float(share), placed, middle, look)
                style = _style(float(share), row == column, placed.digits > 0, look)
                line.append(words, style + Style(reverse=True, bold=True) if cursor == (row, column) else style)
            if placed.margins:
                recall = percent(shares[row, row] if totals[row] else None)
                line.append(f"{recall if middle else '':>{_MARGIN}}", "dim")
            lines.append(line)
    return [*lines, _precision(counts, placed)] if placed.margins else lines


def _precision(counts: Counts, table: MatrixLayout) -> Text:
    """The precision of each class below its column: the share of images taken for it that are of it."""
    taken, right = counts.sum(axis=0), np.diag(counts)
    digits = 1 if table.cell > len("70.3%") else 0
    words = (percent(hit / all_ if all_ else None, digits) for hit, all_ in zip(right, taken, strict=True))
    cells = "".join(table.centred(word if cell_len(word) < table.cell else word.rstrip("%")) for word in words)
    # Its name stands at the end: before the cells, there are only as many as the longest class name has.
    return Text(f"{'':{table.gutter}}{cells}{_PRECISION:>{_MARGIN}}", "dim", end="")


def _cell(value: int, share: float, table: MatrixLayout, middle: bool, look: MatrixLook) -> str:
    dot = "." if look.ascii else "·"
    if not table.digits:
        shades = palette.ASCII_SHADES if look.ascii else palette.SHADES
        return dot.ljust(table.cell) if 0 < share < _FAINT else shades[math.ceil(share * 4)] * table.cell
    if not middle:
        return " " * table.cell
    words = _share(share, table.digits) if table.shares else f"{value}"
    return table.centred(f"{words if value else dot:>{table.digits}}")


def _share(share: float, digits: int) -> str:
    """Per cents in `digits` characters."""
    words = f"{100 * share:.1f}"
    return words if len(words) <= digits == _SHARE_DIGITS[0] else f"{100 * share:.0f}"


def _style(share: float, right: bool, numbers: bool, look: MatrixLook) -> Style:
    if share == 0:
        return Style(dim=True)
    if look.bare:
        return Style(reverse=numbers, underline=not numbers, bold=True) if right else Style(bold=share >= _FAINT)
    if not right and share < _FAINT:
        return Style(color=Color.parse(palette.GREY))
    if not numbers:
        return Style(color=Color.parse(palette.SKY if right else palette.ORANGE))
    # The root lifts small shares, which matter among the errors.
    back = palette.count_ramp(share**_LIFT, right, look.light)
    return Style(color=Color.from_rgb(*palette.ink_on(back)), bgcolor=Color.from_rgb(*back), bold=right)
