"""Codes of images on a plane: a character and a colour for each class, with axes and a legend."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette
from tuiae.render.plot import AXIS, Plot, PlotFrame, draw_axes, lay_out, put
from tuiae.render.text import centred, clean, in_mode, join_lines, shorten
from tuiae.render.ticks import Axis, span
from tuiae.render.ticks import Limits as Range

# A sign and a colour for each class, and the legend that names them

COLORS = (*palette.SERIES, palette.PINK, palette.BROWN)
"""Ten: as many as the usual sets have classes. More classes share them, and keep signs of their own."""
OTHERS = ("·", ".")
"""Sign of the classes that are left when every character is taken, and of images without classes; then in ASCII."""
_POOL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "!#$%&*+=?@~"
LEGEND_NAMES = (24, 12, 8, 7, 6, 5, 4, 3)
"""Cells of a name in a legend: the first is the one to read best, the last still says something."""
SHORT_NAME = 6  # cells below which names are hard to read
LEGEND_PART = 4  # of this many lines a legend takes one at most


def class_signs(names: Sequence[str], ascii_only: bool = False) -> tuple[str, ...]:
    """One cell for each class: its name when that is one character, else a letter of it, else any that is free."""
    other = OTHERS[ascii_only]
    if len(names) == 1:
        return (other,)
    signs, taken = [], set()
    for name in names:
        usable = len(name) == 1 and cell_len(name) == 1 and not name.isspace() and (name.isascii() or not ascii_only)
        signs.append(name if usable and name not in taken else "")
        taken.add(signs[-1])
    for index, name in enumerate(names):
        if not signs[index]:
            letters = [letter.upper() for letter in name if letter.isascii() and letter.isalnum()]
            signs[index] = next((sign for sign in (*letters, *_POOL) if sign not in taken), other)
            taken.add(signs[index])
    return tuple(signs)


def class_color(label: int) -> str:
    """The colour of a class."""
    return COLORS[label % len(COLORS)]


def map_legend(names: Sequence[str], signs: Sequence[str], width: int, most: int, only: int) -> list[Text]:
    """Which character is which class, in at most `most` lines; nothing where characters name themselves."""
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
    """Every sign with its name, cut to `limit` cells, in as many lines as that takes."""
    lines = [Text(end="", no_wrap=True)]
    for label, (name, sign) in enumerate(zip(names, signs, strict=True)):
        cells = min(limit, width - 2)
        words = shorten(name, cells)
        gap = ("   " if limit == LEGEND_NAMES[0] else "  ") if lines[-1].plain else ""
        if lines[-1].cell_len + len(gap) + 2 + cell_len(words) > width and gap:
            lines.append(Text(end="", no_wrap=True))
            gap = ""
        lines[-1].append(gap).append(sign, f"bold {class_color(label)}").append(f" {words}")
    return lines


Points = NDArray[np.float64]
Point = tuple[float, float]
Limits = tuple[Range, Range]
"""Lowest and highest value across, then up."""
Cell = tuple[int, int]
"""(row from the top, column)."""

EMPTY = "no codes yet"
CODE_AXES = ("code 0", "code 1")
_ROOMY = 12  # lines from which there is room for the names of axes and classes
_MARGIN = 0.02  # of the range, on each side


@dataclass(frozen=True, eq=False)
class LabelledPoints:
    """Codes of images on a plane, ready to be drawn."""

    points: Points
    """(N, 2), all finite."""
    labels: NDArray[np.int64]
    """(N,), none below 0."""
    names: Sequence[str]
    """The name of each class, by label."""
    axes: tuple[str, str]

    @property
    def limits(self) -> Limits:
        """The part of the plane that holds all of them, of which there is at least one."""
        across, up = map(_limits, self.points.T)
        return across, up


def labelled_points(
    points: NDArray[Any], labels: NDArray[Any], names: Sequence[str], axes: tuple[str, str] = CODE_AXES
) -> LabelledPoints:
    """The points (N, 2) that are finite and have a label (N,) of at least 0; missing names become numbers."""
    where = np.asarray(points, np.float64)
    if where.ndim != 2 or where.shape[1] != 2:
        where = np.zeros((0, 2))
    number = min(len(where), len(labels))
    kept = np.isfinite(where[:number]).all(axis=1) & (np.asarray(labels[:number]) >= 0)
    where, kinds = where[:number][kept], np.asarray(labels[:number], np.int64)[kept]
    known = [clean(name) or "?" for name in names]
    named = [*known, *map(str, range(len(known), int(kinds.max(initial=-1)) + 1))]
    return LabelledPoints(where, kinds, named, axes)


def _limits(values: Points) -> Range:
    """Lowest and highest, a little apart; a single value gets room around it."""
    low, high = span([values])
    room = _MARGIN * (high - low) or abs(low) * 0.1 or 0.5
    return low - room, high + room


def with_room_for(limits: Limits, others: Limits | None) -> Limits:
    """The part of the plane that holds both."""
    if others is None:
        return limits
    across, up = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(limits, others, strict=True))
    return across, up


# The view: a cursor, marks, the part of the plane that shows, one class alone

STEP = 1.5  # how much nearer one step of the zoom is
NEAREST = 12  # steps: about a hundred times
MARKS = ("◆◇", "<>")
"""Signs of the first and of the second marked point; then in ASCII."""
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
        """The view by some steps nearer to the cursor, or farther from it where they are negative."""
        return replace(self, zoom=min(max(self.zoom + steps, 0), NEAREST), centre=self.cursor or self.centre)

    def marked(self) -> MapView:
        """The view with a mark at the cursor; a third mark takes the place of both."""
        if self.cursor is None:
            return self
        return replace(self, marks=(*(self.marks if len(self.marks) < len(MARKS[0]) else ()), self.cursor))


WHOLE = MapView()
"""All of the plane, without a cursor."""


@dataclass(frozen=True)
class MapLayout:
    """The places of all parts of a map, known before it is drawn, so that a cursor and a mouse can be placed."""

    frame: PlotFrame
    axes: Plot
    """The axes around the points."""
    shown: Mapping[Cell, tuple[str, str]]
    """Cell -> sign and colour of the class that most of its points are of."""
    foot: tuple[Text, ...]
    ascii_only: bool

    def cell(self, x: float, y: float) -> Cell | None:
        """The cell of a point; None where it is outside."""
        (left, right), (low, high) = self.frame.x.limits, self.frame.y.limits
        inside = left <= x <= right and low <= y <= high
        return (self.frame.row(y), self.frame.column(x)) if inside else None

    def point(self, row: int, column: int) -> Point:
        """The middle of a cell, which may lie outside."""
        return self.frame.place(column), self.frame.y.value(self.frame.rows - 1 - row)

    def draw(self, view: MapView = WHOLE) -> Text:
        """The map with the marks of a view and its cursor, to which both axes point."""
        shown, frame = dict(self.shown), self.frame
        for point, sign in zip(view.marks, MARKS[self.ascii_only], strict=False):
            if cell := self.cell(*point):
                shown[cell] = sign, "bold"
        here = self.cell(*view.cursor) if view.cursor else None
        if here:
            shown[here] = shown.get(here, (EMPTY_HERE, ""))[0], "reverse bold"
        lines = list(self.axes.around([_row(shown, row, frame.columns) for row in range(frame.rows)]).lines)
        if here and frame.axed:
            put(lines[here[0]], frame.left - 1, "▸", AXIS)
            put(lines[frame.rows], frame.left + here[1], "▴", AXIS)
        return in_mode(join_lines([*lines, *self.foot]), "ascii" if self.ascii_only else "")


def draw_code_map(codes: LabelledPoints, width: int, height: int, ascii_only: bool = False) -> Text:
    """All codes in at most `height` lines of `width` cells; where points share a cell, the class that most of them are
    of shows."""
    layout = lay_out_map(codes, width, height, ascii_only)
    return centred(EMPTY, width, height) if layout is None else layout.draw()


def lay_out_map(
    codes: LabelledPoints,
    width: int,
    height: int,
    ascii_only: bool = False,
    view: MapView = WHOLE,
    full: Limits | None = None,
    legend_part: int = LEGEND_PART,
) -> MapLayout | None:
    """The layout of a view of codes, or None where nothing can be drawn.

    Args:
        full: the plane of which the view shows a part; without, what holds all codes.
        legend_part: the legend takes one line of so many at most.
    """
    if not len(codes.points) or width <= 0 or height <= 0:
        return None
    names, signs = codes.names, class_signs(codes.names, ascii_only)
    across, up = view.window(full) if full else codes.limits
    roomy = height >= _ROOMY
    key = map_legend(names, signs, width, max(height // legend_part, 1), view.only) if roomy else ()
    foot = [_axis_line(codes.axes, width), *key] if roomy else []
    # A line is kept for classes that do not show, which is known only once the size is.
    frame = lay_out(width, height - len(foot) - roomy, Axis(across), Axis(up), (1, 1))
    low, high = np.array((frame.x.limits, frame.y.limits)).T
    inside = ((codes.points >= low) & (codes.points <= high)).all(axis=1)
    inside &= (codes.labels == view.only) | (view.only < 0)
    cells = fill_cells(codes.points[inside], codes.labels[inside], frame)
    hidden = sorted(set(codes.labels[inside].tolist()) - set(cells.values()))
    if foot and hidden:
        behind = ", ".join(names[label] for label in hidden)
        foot.append(Text(shorten(f"always behind others: {behind}", width), AXIS, end=""))
    shown = {cell: (signs[label], class_color(label)) for cell, label in cells.items()}
    return MapLayout(frame, draw_axes(frame), shown, tuple(foot), ascii_only)


def fill_cells(points: Points, labels: NDArray[np.int64], frame: PlotFrame) -> dict[Cell, int]:
    """Which class shows where in a frame, one dot a cell; of equally frequent ones the first."""
    width = frame.columns
    columns, rows = frame.x.places(points[:, 0]), frame.rows - 1 - frame.y.places(points[:, 1])
    classes = int(labels.max(initial=0)) + 1
    found, counts = np.unique((rows * width + columns) * classes + labels, return_counts=True)
    cell, label = np.divmod(found, classes)
    order = np.lexsort((label, -counts, cell))
    _, first = np.unique(cell[order], return_index=True)
    shown = order[first]
    return {divmod(int(place), width): int(kind) for place, kind in zip(cell[shown], label[shown], strict=True)}


def _row(shown: Mapping[Cell, tuple[str, str]], row: int, width: int) -> Text:
    """One line of points; equal neighbours share a span."""
    line = Text(end="", no_wrap=True)
    for (sign, style), group in groupby(shown.get((row, column), (" ", "")) for column in range(width)):
        line.append(sign * len(list(group)), style)
    line.rstrip()
    return line


def _axis_line(names: tuple[str, str], width: int) -> Text:
    across, up = (clean(name) for name in names)
    if len(across) + len(up) > width - len("across:   up: ") - 2:
        across, up = (
            name.replace("principal component", "PC").replace(" (", " ").replace(")", "") for name in (across, up)
        )
    words = f"across: {across}   up: {up}"
    words = words if len(words) <= width else f"across {across}, up {up}"
    return Text(shorten(words, width), AXIS, end="")
