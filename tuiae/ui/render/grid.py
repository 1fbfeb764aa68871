"""The reconstructions panel: kinds of picture in rows, examples in columns, as large as the room allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.ui.render import palette
from tuiae.ui.render.images import draw_picture
from tuiae.ui.render.text import caption, centred, clean, join_lines, to_ascii

ImageRow = tuple[str, NDArray[np.uint8]]
CaptionRow = tuple[str, Sequence[str]]

MOST_ENLARGED = 4
LEAST_ROWS = 3
"""Lines below which a shrunk picture shows nothing."""
LEAST_SHOWN = 4
NARROW, LEAST_SHOWN_NARROW = 60, 3
"""Columns below which fewer and larger pictures say more."""
LABEL_LIMIT = 8
MANY_ROWS = 3
"""Rows beyond which even crisp pictures are kept apart: a column of them would read as one."""
ROOMY = 6
"""Lines from which a shrunk picture gives one up for an empty line between rows."""


@dataclass(frozen=True)
class Layout:
    """Where the pictures of a grid go, in cells."""

    columns: int
    """Width of one picture."""
    rows: int
    """Height of one picture."""
    shown: int
    """Pictures a row."""
    gap: int
    """Empty lines between rows."""
    gutter: int
    """Room for the row labels, their gap included."""


def cell_sizes(image_width: int, image_height: int) -> list[tuple[int, int]]:
    """(columns, rows) a picture may take, largest first: whole multiples, then ever smaller with its aspect."""
    whole = [(image_width * scale, (image_height * scale + 1) // 2) for scale in range(MOST_ENLARGED, 0, -1)]
    full_rows = whole[-1][1]
    return whole + [
        (max(round(image_width * 2 * rows / image_height), 1), rows)
        for rows in range(full_rows - 1, LEAST_ROWS - 1, -1)
    ]


def plan(shape: tuple[int, ...], kinds: int, width: int, height: int, gutter: int) -> Layout | None:
    """The largest layout for `kinds` rows of (N, H, W) pictures, or None when nothing fits.

    Every row must fit the height, and at least four pictures the width (three where it is narrow) or all there are.
    """
    number, image_height, image_width = shape
    least = min(LEAST_SHOWN if width >= NARROW else LEAST_SHOWN_NARROW, number)
    for columns, rows in cell_sizes(image_width, image_height):
        shown = min(number, (width - gutter + 1) // (columns + 1))
        if shown < least:
            continue
        crisp = columns % image_width == 0
        for gap in (1, 0) if crisp else (int(rows >= ROOMY),):
            if kinds * rows + (kinds - 1) * gap <= height:
                return Layout(columns, rows, shown, gap, gutter)
    return None


def image_grid(
    rows: Sequence[ImageRow],
    width: int,
    height: int,
    mode: str = "blocks",
    captions: Sequence[str] | None = None,
    captioned: Sequence[CaptionRow] = (),
    label_limit: int = LABEL_LIMIT,
) -> Text:
    """One line of pictures for each (label, (N, C, H, W) uint8), centred in width x height cells.

    `captions` go under the last row, one a column, and below them those of `captioned`, each line with a label; a
    closing ✓ or ✗ survives when they are cut.
    """
    words = [*([("", captions)] if captions else []), *captioned]
    rows = drawable(rows)
    if not rows or width <= 0 or height <= 0:
        return centred("no images yet", width, height)
    labels = [clean(label, label_limit) for label, _ in rows]
    layout = fit(rows, width, height, words, label_limit)
    if layout is None:
        return centred("too small for images", width, height)
    lines = _compose(rows, labels, layout, mode)
    lines += [_caption_line(clean(label, label_limit), names, layout) for label, names in words]
    text = join_lines(_centre(lines, layout, width, height))
    if mode == "ascii":
        text.plain = to_ascii(text.plain)
    return text


def drawable(rows: Sequence[ImageRow]) -> list[ImageRow]:
    """The rows that hold pictures."""
    return [(label, images) for label, images in rows if images.ndim == 4 and images.size and images.shape[1] in (1, 3)]


def fit(
    rows: Sequence[ImageRow], width: int, height: int, words: Sequence[CaptionRow] = (), label_limit: int = LABEL_LIMIT
) -> Layout | None:
    """The largest layout of drawable rows with lines of words below, without labels where that helps."""
    shape = (min(len(images) for _, images in rows), *rows[0][1].shape[2:])
    labels = [clean(label, label_limit) for label, _ in (*rows, *words)]
    gutter = max(map(cell_len, labels)) + 2
    spare = height - len(words)
    return plan(shape, len(rows), width, spare, gutter) or plan(shape, len(rows), width, spare, 0)


def _compose(rows: Sequence[ImageRow], labels: Sequence[str], layout: Layout, mode: str) -> list[Text]:
    lines: list[Text] = []
    for label, (_, images) in zip(labels, rows, strict=True):
        if lines:
            lines += [Text() for _ in range(layout.gap)]
        many = len(rows) > MANY_ROWS
        pictures = [_picture(image.transpose(1, 2, 0), layout, mode, many) for image in images[: layout.shown]]
        for row in range(layout.rows):
            name = label if row == (layout.rows - 1) // 2 else ""
            line = Text(f"{name:>{layout.gutter - 2}}  " if layout.gutter else "", "dim", end="")
            lines.append(_side_by_side(line, [picture[row] for picture in pictures]))
    return lines


def _picture(image: NDArray[np.uint8], layout: Layout, mode: str, many: bool) -> list[Text]:
    shrunk = layout.columns % image.shape[1] != 0
    return draw_picture(image, layout.columns, layout.rows, mode, trim=(shrunk or many) and not layout.gap)


def _side_by_side(line: Text, parts: Sequence[Text]) -> Text:
    """The parts after the line, a cell apart; the first line's own style stays on it alone."""
    joined = Text(end="", no_wrap=True).append_text(line)
    for index, part in enumerate(parts):
        joined.append(" " if index else "").append_text(part)
    return joined


def _caption_line(label: str, captions: Sequence[str], layout: Layout) -> Text:
    line = Text(end="").append(f"{label:>{layout.gutter - 2}}  " if layout.gutter else "", "dim")
    for index, words in enumerate(captions[: layout.shown]):
        words = caption(clean(words), layout.columns)
        style = palette.GOOD if words.endswith("✓") else palette.BAD if words.endswith("✗") else "dim"
        before = (layout.columns - cell_len(words)) // 2
        line.append(" " * (before + bool(index))).append(words, style)
        line.append(" " * (layout.columns - before - cell_len(words)))
    return line


def _centre(lines: list[Text], layout: Layout, width: int, height: int) -> list[Text]:
    """The block in the middle; labels count half, so that the pictures look centred."""
    block = layout.gutter + layout.shown * (layout.columns + 1) - 1
    left = " " * ((width - block) // 2)
    top = [Text() for _ in range((height - len(lines)) // 2)]
    return top + [Text(left, end="").append_text(line) if line.plain else line for line in lines]
