"""CSV files of pixels, a line an image: read some lines at a time, each error with its line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuiae.config import counted
from tuiae.data.dataset import Shape, unpacked
from tuiae.errors import DataError

_LONGEST = 1 << 24  # bytes of a line
_LINES = 1024  # that are read at once
_LABEL_HEADS = frozenset({"label", "labels", "class", "target", "y", "digit"})
"""What the column of the label is called, in lower case."""


@dataclass(frozen=True)
class _Layout:
    """How the lines of a CSV are read."""

    delimiter: str
    columns: int
    label: int
    """The column of the label; -1 without one."""
    has_heads: bool
    """Whether the first line names the columns."""
    guessed: str = ""
    """The head of a first column that is taken for the label without being called so."""


@dataclass(frozen=True)
class Table:
    """A CSV of which every line has been read once."""

    path: Path
    layout: _Layout
    count: int
    labels: NDArray[np.int64] | None

    @property
    def pixels(self) -> int:
        """Of an image."""
        return self.layout.columns - (self.layout.label >= 0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of it."""
        guessed = self.layout.guessed
        return (f"the first column, '{guessed[:40]}', is taken for the label",) if guessed else ()

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """The pixels, (n, pixels) at a time."""
        for block in _blocks(self.path, self.layout):
            yield np.delete(block, self.layout.label, axis=1) if self.layout.label >= 0 else block


def beside(path: Path) -> Path | None:
    """The CSV of test images beside one of training images, by its name."""
    for one, two in (("train", "test"), ("Train", "Test"), ("TRAIN", "TEST")):
        other = path.with_name(two.join(path.name.rsplit(one, 1)))
        if other != path and other.is_file():
            return other
    return None


def square(pixels: int) -> Shape | None:
    """(C, H, W) of so many values, grey or in colour; None where they are no square."""
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if side > 1 and channels * side * side == pixels:
            return channels, side, side
    return None


def read_table(path: Path) -> Table:
    """Read every line of a CSV once. Raises DataError for a line of other columns or with a word in it, and for labels
    that are no whole numbers from 0 on; what is no text raises ValueError."""
    layout = _lay_out(path)
    count, columns = 0, []
    for block in _blocks(path, layout):
        count += len(block)
        columns.append(block[:, max(layout.label, 0)])
    if layout.label < 0 or not count:
        return Table(path, layout, count, None)
    values = np.concatenate(columns)
    labels = np.nan_to_num(values, nan=-1).astype(np.int64)
    if (bad := np.flatnonzero((labels != values) | (values < 0))).size:
        cause = f"{path}: the label of image {bad[0]:,} is {values[bad[0]]:g}"
        raise DataError(cause, "labels are whole numbers from 0 on, in a column that is called label, or in the first")
    return Table(path, layout, count, labels)


def _lay_out(path: Path) -> _Layout:
    with unpacked(path) as file:
        first = next(_lines(path, file), (1, ""))[1]
    delimiter = max(",;\t", key=first.count)
    cells = _cells(first, delimiter)
    has_heads, columns = not all(map(_is_number, cells)), len(cells)
    named = [place for place, cell in enumerate(cells) if has_heads and cell.lower() in _LABEL_HEADS]
    if len(named) == 1:
        return _Layout(delimiter, columns, named[0], has_heads)
    if square(columns) is not None:
        return _Layout(delimiter, columns, -1, has_heads)
    return _Layout(delimiter, columns, 0, has_heads, cells[0] if has_heads else "")


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(delimiter)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _lines(path: Path, file: BufferedIOBase) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    number = 0
    while line := file.readline(_LONGEST):
        number += 1
        if len(line) == _LONGEST:
            raise DataError(f"{path}: line {number:,} has more than {_LONGEST:,} bytes", "a line is an image")
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        if "\0" in text:
            raise ValueError("it is no text")
        if text:
            yield number, text


def _blocks(path: Path, layout: _Layout) -> Iterator[NDArray[np.float32]]:
    """(lines, columns) at a time."""
    with unpacked(path) as file:
        lines = _lines(path, file)
        if layout.has_heads:
            next(lines, None)
        while block := list(islice(lines, _LINES)):
            texts = [text for _, text in block]
            try:
                found = np.loadtxt(texts, np.float32, comments=None, delimiter=layout.delimiter, quotechar='"', ndmin=2)
                if found.shape != (len(texts), layout.columns):
                    raise ValueError(found.shape)
            except ValueError as error:
                raise _odd_line(path, layout, block) from error
            yield found


def _odd_line(path: Path, layout: _Layout, block: Sequence[tuple[int, str]]) -> DataError:
    """The error about the first line that is not like the others."""
    for number, text in block:
        cells = _cells(text, layout.delimiter)
        if len(cells) != layout.columns:
            cause = f"{path}: line {number:,} has {counted(len(cells), 'column')}, and the first has {layout.columns:,}"
            return DataError(cause, "a line is an image: its label and its pixels, as many on every line")
        for place, cell in enumerate(cells, 1):
            if not _is_number(cell):
                cause = f"{path}: line {number:,}, column {place:,} holds {cell[:20]!r}, which is no number"
                return DataError(cause, "a line is an image: its label and its pixels, all of them numbers")
    return DataError(f"{path}: a line from {block[0][0]:,} on cannot be read", "save it as plain numbers with commas")
