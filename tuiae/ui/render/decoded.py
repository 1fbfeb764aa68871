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
from tuiae.ui.render.text import centred, join_lines

TALLEST = 8  # lines of a picture in a gallery
ACROSS = 5
"""Pictures of a gallery that stand beside each other at least, where the width lets them."""

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


def _size(shape: tuple[int, ...], across: int, width: int, most: int) -> tuple[int, int] | None:
    """The largest (columns, rows) of a picture with so many beside each other and at most so many lines."""
    sizes = cell_sizes(shape[1], shape[0])
    return next((size for size in sizes if across * (size[0] + 1) - 1 <= width and size[1] <= most), None)


def _height(kinds: int, size: tuple[int, int], image_width: int) -> int:
    """Lines of so many rows of pictures; exactly these, so that the grid takes this size and no other."""
    crisp = size[0] % image_width == 0
    gap = crisp or size[1] >= ROOMY
    return kinds * size[1] + (kinds - 1) * gap
