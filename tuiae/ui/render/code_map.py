"""Codes of images on a plane: a character and a colour for each class, with axes and a legend."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.ui.render import axes, palette
from tuiae.ui.render.text import centred, clean, join_lines, shorten, to_ascii

EMPTY = "no codes yet"
COLORS = (*palette.SERIES, palette.PINK, palette.BROWN)
"""Ten: as many as the usual sets have classes. More classes share them, and keep signs of their own."""
OTHERS = ("·", ".")
"""Sign of the classes that are left when every character is taken, and of images without classes; then in ASCII."""
_POOL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "!#$%&*+=?@~"
_AXIS = "dim"
_LEAST_WIDTH, _LEAST_HEIGHT = 16, 6
"""Cells below which the axes go and the points alone remain."""
_MARGIN = 0.02  # of the range, on each side
_TICK_CELLS, _TICK_LINES = 12, 3  # about so far apart
_LEGEND_NAME = 24  # cells
_LEGEND_PART = 4  # a legend takes one line of so many at most
_TO_ASCII = str.maketrans("│┤└┬─", "|+++-")

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """What shows in each cell that has points: the class that most of them are of."""

    at: dict[tuple[int, int], int]
    """(row from the top, column) -> label."""
    hidden: tuple[int, ...]
    """Classes with points that show in no cell."""


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


def draw_code_map(
    points: NDArray[Any],
    labels: NDArray[Any],
    names: Sequence[str],
    width: int,
    height: int,
    axis_names: tuple[str, str] = ("code 0", "code 1"),
    ascii: bool = False,  # noqa: A002
) -> Text:
    """Points (N, 2) with labels (N,) in at most `height` lines of `width` cells; where points share a cell, the class
    that most of them are of shows.

    Names that are missing become numbers; points that are not finite and labels below 0 are left out.
    """
    where, kinds = _usable(points, labels)
    if not len(where) or width <= 0 or height <= 0:
        return centred(EMPTY, width, height)
    names = [clean(name) or "?" for name in names]
    names += [str(label) for label in range(len(names), int(kinds.max()) + 1)]
    signs = class_signs(names, ascii)
    limits = _limits(where[:, 0]), _limits(where[:, 1])
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        cells = fill_cells(where, kinds, limits, (width, height))
        return _finish([_row(cells, signs, row, width) for row in range(height)], ascii)
    foot = [] if height < 2 * _LEAST_HEIGHT else [_axis_line(axis_names, width), *_legend(names, signs, width, height)]
    # A line is kept for classes that do not show, which is known only once the size is.
    size = _canvas_size(limits, width, height - len(foot) - (height >= 2 * _LEAST_HEIGHT))
    cells = fill_cells(where, kinds, limits, size)
    lines = _plot(cells, signs, limits, size, width)
    if foot and cells.hidden:
        behind = ", ".join(names[label] for label in cells.hidden)
        foot.append(Text(shorten(f"always behind others: {behind}", width), _AXIS, end=""))
    return _finish(lines + foot, ascii)


def _finish(lines: list[Text], ascii_only: bool) -> Text:
    text = join_lines(lines)
    if ascii_only:
        text.plain = to_ascii(text.plain.translate(_TO_ASCII))
    return text


def _usable(points: NDArray[Any], labels: NDArray[Any]) -> tuple[Points, NDArray[np.int64]]:
    where = np.asarray(points, np.float64)
    if where.ndim != 2 or where.shape[1] != 2:
        return np.zeros((0, 2)), np.zeros(0, np.int64)
    count = min(len(where), len(labels))
    where, kinds = where[:count], np.asarray(labels[:count], np.int64)
    kept = np.isfinite(where).all(axis=1) & (kinds >= 0)
    return where[kept], kinds[kept]


def _limits(values: Points) -> axes.Limits:
    """Lowest and highest, a little apart; a single value gets room around it."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        around = abs(low) * 0.1 or 0.5
        return low - around, high + around
    return low - _MARGIN * (high - low), high + _MARGIN * (high - low)


def _places(values: Points, limits: axes.Limits, cells: int) -> NDArray[np.int64]:
    """The cell of each value, 0 at the low end."""
    low, high = limits
    found = np.floor(np.round(0.5 + (cells - 1) * (values - low) / (high - low), 8))
    return found.astype(np.int64).clip(0, cells - 1)


def fill_cells(
    points: Points, labels: NDArray[np.int64], limits: tuple[axes.Limits, axes.Limits], size: tuple[int, int]
) -> Cells:
    """Which class shows where, on `size` = (columns, rows); of equally frequent ones the first."""
    width, height = size
    columns = _places(points[:, 0], limits[0], width)
    rows = height - 1 - _places(points[:, 1], limits[1], height)
    classes = int(labels.max()) + 1
    found, counts = np.unique((rows * width + columns) * classes + labels, return_counts=True)
    cell, label = np.divmod(found, classes)
    order = np.lexsort((label, -counts, cell))
    _, first = np.unique(cell[order], return_index=True)
    shown = order[first]
    at = {divmod(int(place), width): int(kind) for place, kind in zip(cell[shown], label[shown], strict=True)}
    return Cells(at, tuple(sorted(set(labels.tolist()) - set(at.values()))))


def _canvas_size(limits: tuple[axes.Limits, axes.Limits], width: int, height: int) -> tuple[int, int]:
    """Columns and rows that the axes leave to the points."""
    rows = height - 2
    return width - _gutter(limits[1], rows) - 1, rows


def _gutter(limits: axes.Limits, rows: int) -> int:
    """Room for the labels of the y axis, with the space after them."""
    return max(map(len, _y_ticks(limits, rows)[1]), default=0) + 1


def _y_ticks(limits: axes.Limits, rows: int) -> tuple[list[float], list[str]]:
    values = axes.linear_ticks(limits, max(rows // _TICK_LINES, 1))
    return values, axes.tick_labels(values)


def _plot(
    cells: Cells, signs: Sequence[str], limits: tuple[axes.Limits, axes.Limits], size: tuple[int, int], width: int
) -> list[Text]:
    """The points between a left and a lower axis."""
    columns, rows = size
    gutter = width - columns - 1
    values, labels = _y_ticks(limits[1], rows)
    marks = dict(zip((rows - 1 - _places(np.array(values), limits[1], rows)).tolist(), labels, strict=True))
    lines = []
    for row in range(rows):
        axis = f"{marks.get(row, ''):>{gutter - 1}} {'┤' if row in marks else '│'}"
        lines.append(Text(end="").append(axis, _AXIS).append_text(_row(cells, signs, row, columns)))
    return lines + _x_axis(limits[0], columns, gutter)


def _x_axis(limits: axes.Limits, columns: int, gutter: int) -> list[Text]:
    values = axes.linear_ticks(limits, max(columns // _TICK_CELLS, 1))
    places = _places(np.array(values), limits, columns).tolist()
    rule = "".join("┬" if column in places else "─" for column in range(columns))
    words = axes.tick_line(list(zip(places, axes.tick_labels(values), strict=True)), columns)
    return [Text(f"{'':{gutter}}└{rule}", _AXIS, end=""), Text(f"{'':{gutter}} {words}", _AXIS, end="")]


def _row(cells: Cells, signs: Sequence[str], row: int, width: int) -> Text:
    """One line of points; equal neighbours share a span."""
    line = Text(end="", no_wrap=True)
    for label, group in groupby(cells.at.get((row, column), -1) for column in range(width)):
        length = len(list(group))
        line.append(" " * length if label < 0 else signs[label] * length, "" if label < 0 else class_color(label))
    line.rstrip()
    return line


def _axis_line(names: tuple[str, str], width: int) -> Text:
    across, up = (clean(name) for name in names)
    return Text(shorten(f"across: {across}   up: {up}", width), _AXIS, end="")


def _legend(names: Sequence[str], signs: Sequence[str], width: int, height: int) -> list[Text]:
    """Which character is which class, in as many lines as it may take; nothing where characters name themselves."""
    if len(names) < 2 or list(names) == list(signs):
        return []
    lines = [Text(end="", no_wrap=True)]
    for label, (name, sign) in enumerate(zip(names, signs, strict=True)):
        words = shorten(name, min(_LEGEND_NAME, width - 2))
        gap = "   " if lines[-1].plain else ""
        if lines[-1].cell_len + len(gap) + 2 + cell_len(words) > width and gap:
            lines.append(Text(end="", no_wrap=True))
            gap = ""
        lines[-1].append(gap).append(sign, f"bold {class_color(label)}").append(f" {words}")
    most = max(height // _LEGEND_PART, 1)
    if len(lines) > most:
        lines = lines[:most]
        lines[-1].truncate(width - 2)
        lines[-1].append(" …", _AXIS)
    return lines
