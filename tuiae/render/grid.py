"""Grids of pictures (kinds in rows, examples in columns) and strips to choose from, as large as an area allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette
from tuiae.render.pixels import draw_picture
from tuiae.render.text import caption, centred, clean, in_mode, join_lines, shorten
from tuiae.runs.snapshot import Sample

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
    """Width of the row labels, their gap included; 0 without labels."""


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
    return in_mode(join_lines(_centre(lines, layout, width, height)), mode)


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


Rows = list[tuple[str, np.ndarray]]
ERROR = "error"
_SCALES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Of the range of a pixel: what the end of the error ramp may stand for."""
_BEYOND = 0.5  # per cent of the pixels that may lie beyond that end


def sample_rows(sample: Sample) -> Rows:
    """One (label, (N, C, H, W)) for each kind of picture that the sample has."""
    kinds = (("input", sample.inputs), ("noisy", sample.noisy), ("output", sample.reconstructions))
    return [(label, images) for label, images in kinds if images is not None and images.ndim == 4]


def error_row(sample: Sample) -> tuple[tuple[str, np.ndarray], str] | None:
    """Where reconstructions are wrong, as a row of pictures of its own colours, and the scale in words.

    |reconstruction - clean input|, the mean of the channels, ends the ramp at a round share of a pixel's range, so that
    it seldom changes while a run goes on. None for a sample without reconstructions of its inputs.
    """
    clean_images, made = sample.inputs, sample.reconstructions
    if clean_images is None or made is None or clean_images.shape != made.shape or not made.size or made.ndim != 4:
        return None
    pictures, scale = error_pictures(made, clean_images)
    return (ERROR, pictures), f"brightest error: {scale:g} of a pixel's range"


def error_pictures(made: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> tuple[NDArray[Any], float]:
    """(N, 3, H, W) uint8, how far images (N, C, H, W) are off, and which share of a pixel's range is brightest."""
    error = np.abs(made.astype(np.int16) - wanted).mean(axis=1)
    largest = float(np.percentile(error, 100 - _BEYOND)) / 255
    scale = next((scale for scale in _SCALES if scale >= largest), 1.0)
    shade = (error / scale).clip(0, 255).round().astype(np.uint8)
    return _error_colours()[shade].transpose(0, 3, 1, 2), scale


@lru_cache(maxsize=1)
def _error_colours() -> NDArray[Any]:
    """(256, 3) uint8, from no error to the end of the scale."""
    stops = np.linspace(0, 255, len(palette.ERROR_RAMP))
    channels = zip(*palette.ERROR_RAMP, strict=True)
    return (
        np.stack([np.interp(np.arange(256), stops, channel) for channel in channels], axis=1).round().astype(np.uint8)
    )


def sample_captions(sample: Sample) -> list[str] | None:
    """For a classifier, what it took each picture for: `Sneaker ✓`, `Coat ✗`; None without predictions."""
    if sample.predictions is None or sample.labels is None:
        return None
    captions = []
    for label, prediction in zip(sample.labels, sample.predictions, strict=False):
        known = 0 <= int(prediction) < len(sample.classes)
        name = clean(sample.classes[int(prediction)]) if known else str(prediction)
        captions.append(f"{name} {'✓' if label == prediction else '✗'}")
    return captions


def sample_grid(sample: Sample, width: int, height: int, mode: str = "blocks") -> Text:
    """The whole sample as one text of `width` x `height` cells at most."""
    return image_grid(sample_rows(sample), width, height, mode, sample_captions(sample))


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
