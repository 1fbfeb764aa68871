"""Codes of images on a plane: a character and a colour for each class, with axes and a legend."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tuiae.render import palette
from tuiae.render.plot import AXIS, Axis, Frame, Plot, draw_axes, lay_out, put
from tuiae.render.text import centred, clean, join_lines, shorten, to_ascii
from tuiae.render.ticks import Limits as Range

# A sign and a colour for each class, and the legend that names them

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


EMPTY = "no codes yet"
_ROOMY = 12  # lines from which there is room for the names of axes and classes
_MARGIN = 0.02  # of the range, on each side
_TO_ASCII = str.maketrans("│┤└┬─▸▴◆◇", "|+++->^<>")

Points = NDArray[np.float64]
Limits = tuple[Range, Range]
"""Lowest and highest value across, then up."""
Cell = tuple[int, int]
"""(row from the top, column)."""
Overlay = Mapping[Cell, tuple[str, str]]
"""Cell -> the character that stands there instead of a class, and its style."""


@dataclass(frozen=True)
class Cells:
    """The class that shows in each cell: the one that most of its points are of."""

    at: dict[tuple[int, int], int]
    """(row from the top, column) -> label."""
    hidden: tuple[int, ...]
    """Classes with points that show in no cell."""


@dataclass(frozen=True)
class MapLayout:
    """The places of all parts of a map, known before it is drawn, so that a cursor and a mouse can be placed."""

    frame: Frame
    axes: Plot
    """The axes around the points."""
    cells: Cells
    signs: tuple[str, ...]
    foot: tuple[Text, ...]
    ascii_only: bool

    @property
    def columns(self) -> int:
        return self.frame.columns

    @property
    def rows(self) -> int:
        return self.frame.rows

    @property
    def left(self) -> int:
        """Cells left of the first column of points."""
        return self.frame.left

    def cell(self, x: float, y: float) -> Cell | None:
        """The cell of a point; None where it is outside."""
        (left, right), (low, high) = self.frame.x.limits, self.frame.y.limits
        if not (left <= x <= right and low <= y <= high):
            return None
        return self.frame.row(y), self.frame.column(x)

    def point(self, row: int, column: int) -> tuple[float, float]:
        """The middle of a cell, which may lie outside."""
        return self.frame.place(column), self.frame.y.value(self.rows - 1 - row)

    def draw(self, overlay: Overlay | None = None, pointer: Cell | None = None) -> Text:
        """The map; `overlay` stands over the points, `pointer` is marked on both axes."""
        over = overlay or {}
        rows = [_row(self.cells, self.signs, row, self.columns, over) for row in range(self.rows)]
        lines = list(self.axes.around(rows).lines)
        if pointer and self.frame.axed:
            put(lines[pointer[0]], self.left - 1, "▸", AXIS)
            put(lines[self.rows], self.left + pointer[1], "▴", AXIS)
        return self._finish([*lines, *self.foot])

    def _finish(self, lines: list[Text]) -> Text:
        text = join_lines(lines)
        if self.ascii_only:
            text.plain = to_ascii(text.plain.translate(_TO_ASCII))
        return text


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
    layout = lay_out_map(points, labels, names, width, height, axis_names, ascii)
    return centred(EMPTY, width, height) if layout is None else layout.draw()


def lay_out_map(
    points: NDArray[Any],
    labels: NDArray[Any],
    names: Sequence[str],
    width: int,
    height: int,
    axis_names: tuple[str, str] = ("code 0", "code 1"),
    ascii: bool = False,  # noqa: A002
    limits: Limits | None = None,
    only: int = -1,
    legend_part: int = LEGEND_PART,
) -> MapLayout | None:
    """The layout of `draw_code_map`, or None where nothing can be drawn.

    Args:
        limits: the part of the plane to show; without, all of it.
        only: the one class to show; below 0, all.
        legend_part: the legend takes one line of so many at most.
    """
    where, kinds = usable_points(points, labels)
    if not len(where) or width <= 0 or height <= 0:
        return None
    names = _named(names, kinds)
    signs = class_signs(names, ascii)
    limits = limits or map_limits(where)
    roomy = height >= _ROOMY
    key = legend(names, signs, width, max(height // legend_part, 1), only) if roomy else ()
    foot = [_axis_line(axis_names, width), *key] if roomy else []
    # A line is kept for classes that do not show, which is known only once the size is.
    frame = lay_out(width, height - len(foot) - roomy, Axis(limits[0]), Axis(limits[1]), (1, 1))
    shown = _inside(where, (frame.x.limits, frame.y.limits)) & ((kinds == only) | (only < 0))
    cells = fill_cells(where[shown], kinds[shown], frame)
    if foot and cells.hidden:
        behind = ", ".join(names[label] for label in cells.hidden)
        foot.append(Text(shorten(f"always behind others: {behind}", width), AXIS, end=""))
    return MapLayout(frame, draw_axes(frame), cells, signs, tuple(foot), ascii)


def _named(names: Sequence[str], kinds: NDArray[Any]) -> list[str]:
    known = [clean(name) or "?" for name in names]
    return known + [str(label) for label in range(len(known), int(kinds.max()) + 1)]


def map_limits(where: Points) -> Limits:
    """The part of the plane that holds all of finite points (N, 2)."""
    return _limits(where[:, 0]), _limits(where[:, 1])


def with_room_for(limits: Limits, others: Limits | None) -> Limits:
    """The part of the plane that holds both."""
    if others is None:
        return limits
    across, up = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(limits, others, strict=True))
    return across, up


def _inside(where: Points, limits: Limits) -> NDArray[np.bool_]:
    low, high = np.array(limits).T
    inside: NDArray[np.bool_] = ((where >= low) & (where <= high)).all(axis=1)
    return inside


def usable_points(points: NDArray[Any], labels: NDArray[Any]) -> tuple[Points, NDArray[np.int64]]:
    """Those that are finite and have a label."""
    where = np.asarray(points, np.float64)
    if where.ndim != 2 or where.shape[1] != 2:
        return np.zeros((0, 2)), np.zeros(0, np.int64)
    count = min(len(where), len(labels))
    where, kinds = where[:count], np.asarray(labels[:count], np.int64)
    kept = np.isfinite(where).all(axis=1) & (kinds >= 0)
    return where[kept], kinds[kept]


def _limits(values: Points) -> Range:
    """Lowest and highest, a little apart; a single value gets room around it."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        around = abs(low) * 0.1 or 0.5
        return low - around, high + around
    return low - _MARGIN * (high - low), high + _MARGIN * (high - low)


def fill_cells(points: Points, labels: NDArray[np.int64], frame: Frame) -> Cells:
    """Which class shows where in a frame, one dot a cell; of equally frequent ones the first."""
    width = frame.columns
    if not len(points):
        return Cells({}, ())
    columns, rows = frame.x.places(points[:, 0]), frame.rows - 1 - frame.y.places(points[:, 1])
    classes = int(labels.max()) + 1
    found, counts = np.unique((rows * width + columns) * classes + labels, return_counts=True)
    cell, label = np.divmod(found, classes)
    order = np.lexsort((label, -counts, cell))
    _, first = np.unique(cell[order], return_index=True)
    shown = order[first]
    at = {divmod(int(place), width): int(kind) for place, kind in zip(cell[shown], label[shown], strict=True)}
    return Cells(at, tuple(sorted(set(labels.tolist()) - set(at.values()))))


def _row(cells: Cells, signs: Sequence[str], row: int, width: int, overlay: Overlay) -> Text:
    """One line of points; equal neighbours share a span."""

    def look(column: int) -> tuple[str, str]:
        label = cells.at.get((row, column), -1)
        return overlay.get((row, column)) or ((" ", "") if label < 0 else (signs[label], class_color(label)))

    line = Text(end="", no_wrap=True)
    for (sign, style), group in groupby(map(look, range(width))):
        line.append(sign * len(list(group)), style)
    line.rstrip()
    return line


def _axis_line(names: tuple[str, str], width: int) -> Text:
    across, up = (clean(name) for name in names)
    if len(across) + len(up) > width - len("across:   up: ") - 2:
        across, up = (
            name.replace("principal component", "PC").replace(" (", " ").replace(")", "") for name in (across, up)
        )
    return Text(shorten(f"across: {across}   up: {up}", width), AXIS, end="")


# The view: a cursor, marks, the part of the plane that shows, one class alone

Point = tuple[float, float]

STEP = 1.5  # how much nearer one step of the zoom is
NEAREST = 12  # steps: about a hundred times
MARKS = (("◆", "bold"), ("◇", "bold"))
"""Signs of the first and of the second marked point, and their style."""
HERE = "reverse bold"
EMPTY_HERE = "+"
"""What stands under the cursor where no code is; the cell is reversed, so that no colour is needed to see it."""


@dataclass(frozen=True)
class MapView:
    """Points are places of the plane and not cells: they stay where they are when the screen changes its size."""

    cursor: Point | None = None
    centre: Point = (0.0, 0.0)
    """The middle of the part that is shown."""
    zoom: int = 0
    """Steps towards the plane; 0 shows all of it."""
    marks: tuple[Point, ...] = ()
    only: int = -1
    """The one class that is shown; below 0, all."""

    def window(self, full: Limits) -> Limits:
        """The part of a plane with these limits that is shown."""
        across, up = (self._part(value, limits) for value, limits in zip(self.centre, full, strict=True))
        return across, up

    def _part(self, centre: float, limits: tuple[float, float]) -> tuple[float, float]:
        low, high = limits
        size = (high - low) / STEP**self.zoom
        start = min(max(centre - size / 2, low), high - size)
        return start, start + size

    def moved(self, to: Point, full: Limits) -> MapView:
        """The view with the cursor at another point; the part that is shown follows it."""
        x, y = (min(max(value, low), high) for value, (low, high) in zip(to, full, strict=True))
        (left, right), (low, high) = self.window(full)
        inside = left <= x <= right and low <= y <= high
        return replace(self, cursor=(x, y), centre=self.centre if inside else (x, y))

    def zoomed(self, steps: int) -> MapView:
        """The view so many steps nearer to the cursor, or farther from it."""
        return replace(self, zoom=min(max(self.zoom + steps, 0), NEAREST), centre=self.cursor or self.centre)

    def marked(self) -> MapView:
        """The view with a mark at the cursor; a third mark takes the place of both."""
        if self.cursor is None:
            return self
        return replace(self, marks=(*(self.marks if len(self.marks) < len(MARKS) else ()), self.cursor))


def draw_view(layout: MapLayout, view: MapView) -> Text:
    """The map with cursor and marks."""
    overlay: dict[Cell, tuple[str, str]] = {}
    for point, mark in zip(view.marks, MARKS, strict=False):
        if (cell := layout.cell(*point)) is not None:
            overlay[cell] = mark
    here = layout.cell(*view.cursor) if view.cursor else None
    if here is not None:
        label = layout.cells.at.get(here, -1)
        sign = overlay[here][0] if here in overlay else EMPTY_HERE if label < 0 else layout.signs[label]
        overlay[here] = sign, HERE
    return layout.draw(overlay, here)


def middle(points: np.ndarray) -> Point:
    """The place in the middle of finite points (N, 2)."""
    x, y = np.median(points, axis=0)
    return float(x), float(y)
