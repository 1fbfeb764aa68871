"""What stands above the columns of a confusion matrix."""

from __future__ import annotations

import string
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from tuiae.ui.render.text import shorten

_MARKED_CUT = 5  # cells from which an ellipsis leaves enough of a name
_KEYS = string.digits + string.ascii_letters


def heads(names: Sequence[str], cell: int) -> tuple[list[str], bool]:
    """A head for each column of `cell` cells, and whether they are keys because cut names would not differ."""
    room = max(cell - 1, 1)
    cut = shorten if room >= _MARKED_CUT else set_cell_size
    short = [name if cell_len(name) <= room else cut(name, room).strip() for name in names]
    if len(set(short)) == len(short) and (room >= 3 or short == list(names)):
        return short, False
    numbers = [str(index) for index in range(len(names))]
    fits = len(numbers[-1]) <= room
    return numbers if fits else [_KEYS[index % len(_KEYS)] for index in range(len(names))], True
