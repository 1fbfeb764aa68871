"""Tables in cells: what fits beside each other, and lines of cells that stand below each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from rich.cells import cell_len
from rich.text import Text

from tuiae.render.text import shorten, tell_apart

GAP = 2  # cells between columns


@dataclass(frozen=True)
class TableColumn:
    """A column of a table, `width` cells wide."""

    name: str
    width: int
    right: bool = False
    """Whether its cells are aligned at the right, as numbers are."""
    rank: int = 0
    """0 stays whatever the width; of the others the lowest stay longest."""
    least: int = 0
    """Cells to which it is cut before another column is left out; 0 for one that is never cut."""
    names: bool = False
    """Whether its cells are names, which are cut so that they can still be told apart."""


@dataclass(frozen=True, kw_only=True)
class FilledColumn(TableColumn):
    """A column with the cells below its head."""

    cells: tuple[Text, ...]


C = TypeVar("C", bound=TableColumn)


def filled(
    name: str, cells: Iterable[Text], right: bool = True, rank: int = 0, least: int = 0, names: bool = False
) -> FilledColumn:
    """A column as wide as its head and its widest cell."""
    cells = tuple(cells)
    width = max([cell_len(name), *(cell.cell_len for cell in cells)])
    return FilledColumn(name, width, right, rank, least, names, cells=cells)


def fitting(sizes: Sequence[int], ranks: Sequence[int], width: int, gap: int = 0) -> list[int]:
    """Which of the sizes fit into a width, by place: all of rank 0, then whatever still fits, the lowest rank first."""
    kept, free = [], width + gap
    for place in sorted(range(len(sizes)), key=lambda place: (ranks[place], place)):
        if sizes[place] + gap <= free or not ranks[place]:
            kept.append(place)
            free -= sizes[place] + gap
    return sorted(kept)


def fit_columns(columns: Sequence[C], width: int) -> list[C]:
    """The columns that fit into a width; those that can be cut take what the others leave."""
    sizes = [min(column.least or column.width, column.width) for column in columns]
    places = fitting(sizes, [column.rank for column in columns], width, GAP)
    free = width - sum(sizes[place] + GAP for place in places) + GAP
    kept = []
    for place in places:
        column, size = columns[place], sizes[place]
        if column.least:
            size = max(min(column.width, size + free), 1)
            free -= size - sizes[place]
        kept.append(replace(column, width=size))
    return kept


def table_line(cells: Iterable[Text], columns: Iterable[TableColumn]) -> Text:
    """One line of cells, each shortened or padded to the width of its column."""
    line = Text(end="", no_wrap=True)
    for place, (cell, column) in enumerate(zip(cells, columns, strict=True)):
        if cell.cell_len > column.width:
            cell = Text(shorten(cell.plain, column.width), cell.style)
        pad = " " * (column.width - cell.cell_len)
        line.append(" " * GAP if place else "").append(pad if column.right else "")
        line.append_text(cell).append("" if column.right else pad)
    return line


def _cells(column: FilledColumn) -> Sequence[Text]:
    """The cells of a column, names cut where it has become too narrow."""
    if not column.names or all(cell.cell_len <= column.width for cell in column.cells):
        return column.cells
    cut = tell_apart([cell.plain for cell in column.cells], column.width)
    return [
        cell if cell.plain == text else Text(text, cell.style) for cell, text in zip(column.cells, cut, strict=True)
    ]


def draw_table(columns: Sequence[FilledColumn], width: int) -> list[Text]:
    """Aligned lines of at most `width` cells, the first of them the heads."""
    kept = fit_columns(columns, width)
    heads = [Text(column.name, "dim") for column in kept]
    lines = [table_line(row, kept) for row in (heads, *zip(*map(_cells, kept), strict=True))]
    for line in lines:
        line.rstrip()
    return lines
