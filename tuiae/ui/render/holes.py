"""Cells that a drawing leaves free for real pictures.

Which picture, and where, is read from the finished drawing, however its parts were centred and joined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.style import Style
from rich.text import Span, Text

_NAME = "picture"


@dataclass(frozen=True)
class Hole:
    """A picture (H, W, C) and its cells, from the corner of the drawing."""

    image: NDArray[np.uint8]
    left: int
    top: int
    columns: int
    rows: int


def hole(image: NDArray[np.generic], columns: int, rows: int) -> list[Text]:
    """`rows` free lines of `columns` cells; the first of them knows the picture."""
    array = np.ascontiguousarray(image, np.uint8)
    known = Style(meta={_NAME: (array.tobytes(), array.shape, rows)})
    blank = " " * max(columns, 0)
    return [Text(blank, "" if row else known, no_wrap=True, end="") for row in range(max(rows, 0))]


def _picture_of(span: Span) -> tuple[bytes, tuple[int, ...], int] | None:
    known = span.style.meta.get(_NAME) if isinstance(span.style, Style) else None
    return known if isinstance(known, tuple) else None


def holes_in(drawing: Text) -> Iterator[Hole]:
    """The holes of a drawing, line by line."""
    for top, line in enumerate(drawing.split("\n", allow_blank=True)):
        for span in line.spans:
            if (known := _picture_of(span)) is not None:
                pixels, shape, rows = known
                image = np.frombuffer(pixels, np.uint8).reshape(shape)
                yield Hole(image, cell_len(line.plain[: span.start]), top, span.end - span.start, rows)


def without_holes(drawing: Text) -> Text:
    """The words of a drawing, its holes blank."""
    drawing.spans = [span for span in drawing.spans if _picture_of(span) is None]
    return drawing
