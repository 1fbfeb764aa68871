"""How much speaks for each class of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.ui.render import palette
from tuiae.ui.render.bars import bar
from tuiae.ui.render.text import centred, clean, join_lines, percent, shorten

NAME = 16  # cells of a class
_FIGURE = 7  # cells of a space and a share in per cent
_LEAST_BAR = 3
_MARKS = ("▸", ">")
_OTHERS = 1  # lines that say how many classes are left out


def best_class(shares: NDArray[Any], names: Sequence[str]) -> str:
    """`3, 87%`: the class for which most speaks."""
    best = int(np.argmax(shares))
    return f"{_name(best, names)}, {percent(float(shares[best]), 0)}"


def _name(index: int, names: Sequence[str]) -> str:
    return clean(names[index]) if index < len(names) else str(index)


def draw_shares(
    shares: NDArray[Any], names: Sequence[str], width: int, height: int, ascii_only: bool = False, label: int = -1
) -> Text:
    """A bar for each class from 0 to 1, the best marked; `label` is the class that the image has, if one is known.

    Where not all have room, the most likely, and how many are left out. With room for it the lines are kept apart.
    """
    if len(shares) < 2:
        return centred("the images of this run have no classes", width, height)
    if width <= 0 or height <= 0:
        return Text()
    shown, left_out = list(range(len(shares))), 0
    if len(shown) > height:
        shown = np.argsort(-shares, kind="stable")[: max(height - _OTHERS, 1)].tolist()
        left_out = len(shares) - len(shown)
    head = min(max(cell_len(_name(index, names)) for index in shown), NAME, max(width - _FIGURE - 2, 1))
    lines = [_line(index, shares, names, (width, head), ascii_only, label) for index in shown]
    if len(shares) * 2 - 1 <= height:
        lines = [line for pair in zip(lines, [Text(end="") for _ in lines], strict=True) for line in pair][:-1]
    if left_out and height > 1:
        lines.append(Text(shorten(f"  and {left_out} less likely", width), "dim", end=""))
    return join_lines(lines)


def _line(
    index: int, shares: NDArray[Any], names: Sequence[str], room: tuple[int, int], ascii_only: bool, label: int
) -> Text:
    width, head = room
    best, share = index == int(np.argmax(shares)), float(shares[index])
    name = shorten(_name(index, names), head)
    line = Text(end="", no_wrap=True)
    line.append(f"{_MARKS[ascii_only]} " if best else "  ", "bold")
    weight = ("bold" if best else "") + (" underline" if index == label else "")
    line.append(name, weight.strip() or "dim").append(" " * (head - cell_len(name)))
    line.append(f"{percent(share, 0):>{_FIGURE - 2}} ", "bold" if best else "")
    cells = width - line.cell_len
    if cells >= _LEAST_BAR:
        drawn = "#" * round(share * cells) if ascii_only else bar(share, cells)
        line.append(drawn, palette.SKY if best else palette.GREY)
    line.truncate(width)
    return line
