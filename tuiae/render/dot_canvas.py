"""Cells to draw on: eight braille dots each, or one character."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuiae.render import axes

ACROSS, DOWN = 2, 4
"""Dots in a cell."""
_BRAILLE = 0x2800
_BITS = np.array([[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]], np.uint8)
"""The bit of a dot by its column in the cell and its row from below; Unicode counts dots 7 and 8 last."""

Series = NDArray[np.float64]
Places = NDArray[np.int64]


class Canvas:
    """(columns, rows) of cells over limits of x and y; what is drawn later covers a cell whole.

    Whole arrays at once: plotext, which goes by the point, takes 20 to 90 ms for two noisy curves where this takes one.
    """

    def __init__(
        self, size: tuple[int, int], limits: tuple[axes.Limits, axes.Limits], ascii_only: bool = False
    ) -> None:
        self._size, self._limits, self._ascii = size, limits, ascii_only
        self._chars = np.full((size[1], size[0]), ord(" "), np.uint32)
        self._pens = np.zeros((size[1], size[0]), np.int64)
        self._styles = [""]

    def line(self, x: Series, y: Series, style: str, instead: str = "*") -> None:
        """A fine line through points in order; `instead` draws it where there is ASCII alone."""
        if not len(x):
            return
        across, up = self._dots(x, 0, ACROSS), self._dots(y, 1, DOWN)
        steps = np.maximum(np.maximum(abs(np.diff(across)), abs(np.diff(up))), 1)
        part = np.repeat(np.arange(len(steps)), steps)
        share = (np.arange(len(part)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[part]
        self._braille(_between(across, part, share), _between(up, part, share), style, instead)

    def dots(self, x: Series, y: Series, style: str, instead: str = ".") -> None:
        """One braille dot for each point; `instead` in its cell where there is ASCII alone."""
        self._braille(self._dots(x, 0, ACROSS), self._dots(y, 1, DOWN), style, instead)

    def signs(self, x: Series, y: Series, sign: str, style: str) -> None:
        """A character in the cell that a dot of each point would be in."""
        self._put(self._dots(x, 0, ACROSS) // ACROSS, self._dots(y, 1, DOWN) // DOWN, ord(sign), style)

    def rows(self) -> list[Text]:
        """What was drawn, from above; neighbours alike share a span."""
        return [self._row(chars, pens) for chars, pens in zip(self._chars[::-1], self._pens[::-1], strict=True)]

    def _dots(self, values: Series, axis: int, dots: int) -> Places:
        low, high = self._limits[axis]
        # What is far beyond would be drawn dot by dot all the way.
        values = np.clip(values, 2 * low - high, 2 * high - low)
        return axes.positions(values, self._limits[axis], self._size[axis] * dots, 1)

    def _braille(self, across: Places, up: Places, style: str, instead: str) -> None:
        if self._ascii:
            self._put(across // ACROSS, up // DOWN, ord(instead), style)
            return
        bits = np.zeros(self._chars.shape, np.uint8)
        inside = self._inside(across // ACROSS, up // DOWN)
        across, up = across[inside], up[inside]
        np.bitwise_or.at(bits, (up // DOWN, across // ACROSS), _BITS[across % ACROSS, up % DOWN])
        row, column = np.nonzero(bits)
        self._put(column, row, bits[row, column].astype(np.uint32) + _BRAILLE, style)

    def _put(self, column: Places, row: Places, chars: int | NDArray[np.uint32], style: str) -> None:
        inside = self._inside(column, row)
        self._chars[row[inside], column[inside]] = chars
        self._pens[row[inside], column[inside]] = len(self._styles)
        self._styles.append(style)

    def _inside(self, column: Places, row: Places) -> NDArray[np.bool_]:
        return (column >= 0) & (column < self._size[0]) & (row >= 0) & (row < self._size[1])

    def _row(self, chars: NDArray[np.uint32], pens: Places) -> Text:
        text = Text("".join(map(chr, chars)), no_wrap=True, end="")
        starts = [0, *(np.flatnonzero(np.diff(pens)) + 1).tolist()]
        for start, end in zip(starts, [*starts[1:], len(pens)], strict=True):
            if pens[start]:
                text.stylize(self._styles[pens[start]], start, end)
        return text


def _between(dots: Places, part: Places, share: Series) -> Places:
    """The dots on the way from each to the next, and the last."""
    way = dots[part] + np.diff(dots)[part] * share if len(part) else np.zeros(0)
    return np.append(np.floor(way + 1e-9).astype(np.int64), dots[-1])
