"""Pictures to choose from: as many as fit, a cursor on one, words below each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.ui.render import palette
from tuiae.ui.render.grid import cell_sizes, image_grid
from tuiae.ui.render.text import centred, clean, join_lines, shorten

WORDS = 2  # lines below a picture
ENOUGH = 4
"""Pictures that are to be seen at once, where there are so many: larger ones show fewer."""
_NO_LABEL = 2  # cells that a grid keeps left of pictures without a label


@dataclass(frozen=True)
class StripLayout:
    """Which pictures show, and where."""

    first: int
    count: int
    across: int
    columns: int
    """Of a picture."""
    rows: int
    left: int
    top: int

    def index_at(self, column: int, row: int) -> int | None:
        """The picture of a cell, its words included."""
        across, inside = divmod(column - self.left, self.columns + 1)
        down, below = divmod(row - self.top, self.rows + WORDS + 1)
        if not 0 <= across < self.across or inside == self.columns or down < 0 or below == self.rows + WORDS:
            return None
        index = down * self.across + across
        return self.first + index if index < self.count else None


def lay_out_strip(shape: tuple[int, int], number: int, width: int, height: int, cursor: int = 0) -> StripLayout | None:
    """The largest pictures of shape (height, width) of which enough fit, the page that the cursor is on."""
    enough = min(ENOUGH, number)
    for columns, rows in cell_sizes(shape[1], shape[0]):
        across, down = (width + 1 - _NO_LABEL) // (columns + 1), (height + 1) // (rows + WORDS + 1)
        if across * down >= enough:
            break
    if across < 1 or down < 1 or not number:
        return None
    page = across * down
    first = cursor // page * page
    count = min(page, number - first)
    across = min(across, number)
    lines = -(-count // across) * (rows + WORDS + 1) - 1
    left = max((width - across * (columns + 1) + 1) // 2, _NO_LABEL)
    return StripLayout(first, count, across, columns, rows, left, (height - lines) // 2)


def draw_strip(
    images: NDArray[np.uint8],
    captions: Sequence[tuple[str, str]],
    width: int,
    height: int,
    mode: str,
    cursor: int,
    focused: bool,
) -> Text:
    """Images (N, C, H, W), two lines of words below each; those at the cursor are reversed while it can be moved."""
    layout = lay_out_strip(images.shape[-2:], len(images), width, height, cursor)
    if layout is None:
        return centred("too small for images", width, height)
    lines = [Text(end="") for _ in range(layout.top)]
    left = " " * (layout.left - _NO_LABEL)
    for start in range(layout.first, layout.first + layout.count, layout.across):
        those = slice(start, min(start + layout.across, layout.first + layout.count))
        row = images[those]
        area = len(row) * (layout.columns + 1) - 1 + _NO_LABEL
        drawn = image_grid([("", row)], area, layout.rows, mode)
        lines += [Text(left, end="").append_text(line) for line in drawn.split("\n", allow_blank=True)]
        lines += [_words(captions[those], place, cursor - start, layout, focused) for place in range(WORDS)]
        lines.append(Text(end=""))
    return join_lines(lines[:-1])


def _words(captions: Sequence[tuple[str, str]], place: int, chosen: int, layout: StripLayout, focused: bool) -> Text:
    line = Text(" " * layout.left, end="", no_wrap=True)
    for index, words in enumerate(captions):
        shown = shorten(clean(words[place]), layout.columns)
        before = (layout.columns - cell_len(shown)) // 2
        padded = " " * before + shown + " " * (layout.columns - before - cell_len(shown))
        style = f"bold {palette.SKY}{' reverse' if focused else ''}" if index == chosen else "dim" if place else ""
        line.append(" " if index else "").append(padded, style)
    return line
