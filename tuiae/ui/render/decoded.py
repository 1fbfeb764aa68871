"""Images decoded from codes: a grid over a plane, and pictures one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.ui.render.grid import LABEL_LIMIT, ROOMY, cell_sizes, image_grid
from tuiae.ui.render.images import draw_picture
from tuiae.ui.render.text import centred, join_lines

TALLEST = 8  # lines of a picture in a gallery
ACROSS = 5
"""Pictures of a gallery that stand beside each other at least, where the width lets them."""
_LEAST_LINES = 4
"""Of a picture of a plane; below it fewer pictures say more."""
_NO_LABEL = 2  # cells that a grid keeps left of pictures without a label

Bytes = NDArray[np.uint8]


def draw_plane(
    images: Bytes, x: Sequence[float] | NDArray[Any], y: Sequence[float] | NDArray[Any], width: int, mode: str
) -> Text:
    """Images (rows, columns, C, H, W) of a plane, y on the left and x below, as large as the width lets them."""
    labels = [f"{value:.3g}" for value in y]
    gutter = max(map(cell_len, labels)) + 2
    size = _size(images.shape[-2:], len(x), width - gutter, most=10**6)
    if size is None:
        needed = gutter + len(x) * (cell_sizes(images.shape[-1], images.shape[-2])[-1][0] + 1) - 1
        return centred(f"{len(x)} pictures a row need {needed} columns", width, 1)
    rows = list(zip(labels, images, strict=True))
    height = _height(len(rows), size, images.shape[-1]) + 1
    return image_grid(rows, width, height, mode, [f"{value:.3g}" for value in x], label_limit=max(gutter, LABEL_LIMIT))


def draw_gallery(images: Bytes, width: int, mode: str, captions: Sequence[str] = ()) -> Text:
    """Images (N, C, H, W) in lines of about equally many, an empty line between, each with its caption below."""
    shape = images.shape[-2:]
    size = _size(shape, min(ACROSS, len(images)), width - 2, TALLEST) or _size(shape, 1, width - 2, TALLEST)
    if size is None:
        return centred("too narrow for images", width, 1)
    most = (width - 1) // (size[0] + 1)
    across = math.ceil(len(images) / math.ceil(len(images) / most))
    parts = []
    for start in range(0, len(images), across):
        words = list(captions[start : start + across])
        height = size[1] + bool(words)
        parts += [image_grid([("", images[start : start + across])], width, height, mode, words), Text()]
    return join_lines(parts[:-1])


def fit_plane(
    images: Bytes,
    x: Sequence[float] | NDArray[Any],
    y: Sequence[float] | NDArray[Any],
    width: int,
    height: int,
    mode: str,
) -> Text:
    """`draw_plane` in an area: where not all pictures fit well, every second one or fewer of each row and column, the
    first and the last among them; of columns, which are narrower than rows are high, as many as there is room for."""
    found = centred("too small for images", width, height)
    steps = [step for step in range(1, len(x)) if (len(x) - 1) % step == 0]
    for by_row, by_column in sorted(((row, one) for row in steps for one in steps if one <= row), key=math.prod):
        some, across, down = images[::by_row, ::by_column], x[::by_column], y[::by_row]
        gutter = max(len(f"{value:.3g}") for value in down) + 2
        for size in cell_sizes(images.shape[-1], images.shape[-2]):
            lines, columns = _height(len(down), size, images.shape[-1]) + 1, len(across) * (size[0] + 1) - 1
            if gutter + columns <= width and lines <= height:
                found = _centre(draw_plane(some, across, down, gutter + columns, mode), width, height)
                if size[1] >= _LEAST_LINES:
                    return found
                break
    return found


def draw_large(image: NDArray[np.uint8], width: int, height: int, mode: str) -> Text:
    """One image (C, H, W) as large as an area lets it be, by whatever factor."""
    lines = min(height, int(width * image.shape[1] / (2 * image.shape[2])))
    columns = round(2 * lines * image.shape[2] / image.shape[1])
    if lines < 1 or columns < 1:
        return centred("too small for images", width, height)
    columns = min(columns, width)
    return _centre(join_lines(draw_picture(image.transpose(1, 2, 0), columns, lines, mode)), width, height)


def fit_gallery(images: Bytes, width: int, height: int, mode: str, captions: Sequence[Sequence[str]] = ()) -> Text:
    """Images (N, C, H, W) in an area, as large as all of them can be; where they cannot, the first that fit.

    `captions` are lines below the pictures, each with a word for every picture.
    """
    if not len(images) or width <= 0 or height <= 0:
        return centred("no images", width, height)
    for columns, rows in cell_sizes(images.shape[-1], images.shape[-2]):
        lines = rows + len(captions)
        across, most = (width + 1 - _NO_LABEL) // (columns + 1), (height + 1) // (lines + 1)
        if across * most >= len(images):
            break
    if across < 1 or most < 1:
        return centred("too small for images", width, height)
    images = images[: across * most]
    across = math.ceil(len(images) / math.ceil(len(images) / across))
    parts: list[Text] = []
    for start in range(0, len(images), across):
        these = slice(start, start + across)
        row, words = images[these], [("", line[these]) for line in captions]
        area = len(row) * (columns + 1) - 1 + _NO_LABEL
        parts += [image_grid([("", row)], area, lines, mode, captioned=words), Text()]
    return _centre(join_lines(parts[:-1]), width, height)


def _centre(drawn: Text, width: int, height: int) -> Text:
    """A drawing in the middle of an area."""
    lines = list(drawn.split("\n", allow_blank=True))
    left = " " * max((width - max(line.cell_len for line in lines)) // 2, 0)
    above = [Text() for _ in range(max((height - len(lines)) // 2, 0))]
    return join_lines([*above, *(Text(left, end="").append_text(line) for line in lines)])


def _size(shape: tuple[int, ...], across: int, width: int, most: int) -> tuple[int, int] | None:
    """The largest (columns, rows) of a picture with so many beside each other and at most so many lines."""
    sizes = cell_sizes(shape[1], shape[0])
    return next((size for size in sizes if across * (size[0] + 1) - 1 <= width and size[1] <= most), None)


def _height(kinds: int, size: tuple[int, int], image_width: int) -> int:
    """Lines of so many rows of pictures; exactly these, so that the grid takes this size and no other."""
    crisp = size[0] % image_width == 0
    gap = crisp or size[1] >= ROOMY
    return kinds * size[1] + (kinds - 1) * gap
