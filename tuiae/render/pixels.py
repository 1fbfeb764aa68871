"""Pictures in cells: half blocks of two pixels, a ramp of characters, or blank cells that a real picture will cover.
And the pictures of a sample.

In the mode `none` a drawing leaves placeholders. They are found again in the finished drawing, however its parts were
centred and joined, and become the pixel images that kitty's protocol or sixel sends.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.text import Span, Text

from tuiae.render import palette
from tuiae.render.palette import GREYS, RGB, SHADES
from tuiae.render.text import clean
from tuiae.runs.snapshot import Sample

_NAME = "picture"


Pixels = NDArray[np.uint8]
ImageRow = tuple[str, Pixels]
CaptionRow = tuple[str, Sequence[str]]
"""A label, and a caption for each picture of a row."""
Captions = Sequence[Sequence[str]]
"""Lines below the pictures, each with a word for every picture."""


@dataclass(frozen=True)
class PixelImage:
    """Pixels (H, W, C) and the cells that they cover, counted from the top left corner of a drawing."""

    pixels: Pixels = field(compare=False)
    left: int
    top: int
    columns: int
    rows: int

    def same(self, other: PixelImage | None) -> bool:
        """Returns whether another one looks the same, in the same place."""
        return other is not None and self == other and np.array_equal(self.pixels, other.pixels)


def placeholder(image: Pixels, columns: int, rows: int) -> list[Text]:
    """`rows` blank lines of `columns` cells; the style of the first carries the picture (H, W, C)."""
    known = Style(meta={_NAME: (image.tobytes(), image.shape, rows)})
    return [Text(" " * columns, "" if row else known, no_wrap=True, end="") for row in range(rows)]


def _picture_of(span: Span) -> tuple[bytes, tuple[int, ...], int] | None:
    known = span.style.meta.get(_NAME) if isinstance(span.style, Style) else None
    return known if isinstance(known, tuple) else None


def placeholders_in(drawing: Text) -> Iterator[PixelImage]:
    """The pictures for which a drawing leaves cells, line by line."""
    for top, line in enumerate(drawing.split("\n", allow_blank=True)):
        for span in line.spans:
            if (known := _picture_of(span)) is not None:
                pixels, shape, rows = known
                image = np.frombuffer(pixels, np.uint8).reshape(shape)
                yield PixelImage(image, cell_len(line.plain[: span.start]), top, span.end - span.start, rows)


def without_placeholders(drawing: Text) -> Text:
    """The drawing with its placeholders as blank cells."""
    drawing.spans = [span for span in drawing.spans if _picture_of(span) is None]
    return drawing


PICTURE_GAP, GROUND = 2, 96
"""Pixels between the pictures of a sheet, and their grey, which is neither ink nor paper."""
SIDE = 4 * 28
"""Pixels of a side that every picture of a sheet has at least: other programs show a pixel as one."""
ACROSS = 8
"""Pictures beside each other on a sheet where nothing says how many."""


@dataclass(frozen=True)
class Sheet:
    """Pictures to be saved as one."""

    name: str
    """What they show, as a part of a file's name: `plane-step-720`."""
    rows: Sequence[Pixels]
    """(N, C, H, W) each, all pictures of one size."""

    @classmethod
    def of_many(cls, name: str, images: Pixels) -> Sheet:
        """Returns a sheet of images (N, C, H, W) one after the other."""
        return cls(name, [images[start : start + ACROSS] for start in range(0, len(images), ACROSS)])

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return sum(map(len, self.rows))

    @property
    def pixels(self) -> Pixels:
        """(height, width, 3): every picture, small ones enlarged by a whole factor, a small gap around it."""
        factor = max(1, -(-SIDE // max(self.rows[0].shape[-2:])))
        rows, columns = (factor * side for side in self.rows[0].shape[-2:])
        down, across = rows + PICTURE_GAP, columns + PICTURE_GAP
        size = (len(self.rows) * down + PICTURE_GAP, max(map(len, self.rows)) * across + PICTURE_GAP, 3)
        image = np.full(size, GROUND, np.uint8)
        for row, images in enumerate(self.rows):
            for column, picture in enumerate(images):
                top, left = PICTURE_GAP + row * down, PICTURE_GAP + column * across
                enlarged = picture.transpose(1, 2, 0).repeat(factor, 0).repeat(factor, 1)
                image[top : top + rows, left : left + columns] = enlarged
        return image

    @property
    def png(self) -> bytes:
        """The pixels as a PNG file holds them."""
        from PIL import Image  # not before the first paint

        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "PNG")
        return buffer.getvalue()


UPPER_HALF = "▀"
RAMPS = {"ascii": " .:-=+*#%@", "shades": SHADES}
"""Characters from dark to light for the modes that have no two colours a cell."""
_LEVELS = 63
"""Levels of a colour kept, less one: fewer colours make longer runs, and so fewer bytes over SSH."""
_KEPT = np.array([0, *GREYS, 255])
_GREY = _KEPT[np.abs(np.arange(256)[:, None] - _KEPT).argmin(axis=1)].astype(np.uint32)
"""The level kept of each grey: those that a terminal of 256 colours has, which also take the fewest bytes."""
_LIGHT = np.array([299, 587, 114])
"""Weights of red, green and blue in brightness, in thousandths (ITU-R BT.601)."""


def as_rgb(image: Pixels) -> Pixels:
    """(H, W, 1) or (H, W, 3) as (H, W, 3)."""
    return np.broadcast_to(image, (*image.shape[:2], 3))


@lru_cache(maxsize=64)
def _overlaps(old: int, new: int) -> NDArray[np.float64]:
    """(new, old): how much of each old pixel each new one covers, in units of 1 / `new`; rows sum to `old`.

    Whole numbers: their sums are exact in any order, so that every processor rounds to the same picture.
    """
    low = np.maximum(np.arange(new)[:, None] * old, np.arange(old) * new)
    high = np.minimum(np.arange(1, new + 1)[:, None] * old, np.arange(1, old + 1) * new)
    return np.clip(high - low, 0, None).astype(np.float64)


def resample(image: Pixels, width: int, height: int) -> Pixels:
    """(H, W, 3) to (height, width, 3) by area; an integer multiple repeats pixels and stays crisp."""
    old_height, old_width = image.shape[:2]
    if width % old_width == 0 and height % old_height == 0:
        return image.repeat(height // old_height, axis=0).repeat(width // old_width, axis=1)
    down, across = _overlaps(old_height, height), _overlaps(old_width, width)
    sums = np.einsum("hi,ijc,wj->hwc", down, image, across, optimize=True)
    return (sums / (old_height * old_width)).round().astype(np.uint8)


def _pixel_height(image: Pixels, columns: int, rows: int, trim: bool) -> int:
    """2 * rows, or one less where the last half row stays free: asked for, or of an odd enlarged picture."""
    if trim and rows > 1:
        return 2 * rows - 1
    height, width = image.shape[:2]
    scale = columns // width
    exact = scale > 0 and scale * width == columns and (scale * height + 1) // 2 == rows
    return scale * height if exact else 2 * rows


def draw_picture(image: Pixels, columns: int, rows: int, mode: str, trim: bool = False) -> list[Text]:
    """An image (H, W, C) in `columns` x `rows` cells, of what pictures are made of in a mode."""
    if mode == "none":
        return placeholder(image, columns, rows)
    if mode in RAMPS:
        return character_ramp(image, columns, rows, RAMPS[mode])
    return half_blocks(image, columns, rows, trim)


def half_blocks(image: Pixels, columns: int, rows: int, trim: bool = False) -> list[Text]:
    """`rows` lines of `columns` cells, each cell two pixels: foreground above, background below.

    `trim` leaves the lowest half row free, which parts pictures that stand on each other.
    """
    small = resample(as_rgb(image), columns, _pixel_height(image, columns, rows, trim)).astype(np.uint32)
    grey = (small == small[..., :1]).all(axis=-1, keepdims=True)
    small = np.where(grey, _GREY[small], (small * _LEVELS + 127) // 255 * 255 // _LEVELS)
    packed = (small[..., 0] << 16 | small[..., 1] << 8 | small[..., 2]).astype(np.int64)
    if len(packed) % 2:
        packed = np.vstack([packed, np.full((1, columns), -1)])
    return [_runs(packed[2 * row], packed[2 * row + 1]) for row in range(rows)]


def _runs(above: NDArray[np.int64], below: NDArray[np.int64]) -> Text:
    """One line; equal neighbours share a span."""
    text = Text(UPPER_HALF * len(above), no_wrap=True, end="")
    changes = np.flatnonzero((np.diff(above) != 0) | (np.diff(below) != 0)) + 1
    starts = [0, *changes.tolist()]
    for start, end in zip(starts, [*starts[1:], len(above)], strict=True):
        text.stylize(_style(int(above[start]), int(below[start])), start, end)
    return text


@lru_cache(maxsize=8192)
def _style(above: int, below: int) -> Style:
    """Packed RGB to a style; -1 below leaves the terminal's own background."""
    background = None if below < 0 else Color.from_rgb(below >> 16, below >> 8 & 255, below & 255)
    return Style(color=Color.from_rgb(above >> 16, above >> 8 & 255, above & 255), bgcolor=background)


def character_ramp(image: Pixels, columns: int, rows: int, ramp: str = RAMPS["ascii"]) -> list[Text]:
    """`rows` lines of `columns` characters from dark to light; a cell averages the two pixels it stands for."""
    small = resample(as_rgb(image), columns, _pixel_height(image, columns, rows, False))
    if len(small) % 2:
        small = np.concatenate([small, np.zeros_like(small[:1])])
    light = small.reshape(rows, 2, columns, 3).sum(axis=1, dtype=np.int64) @ _LIGHT
    steps = (light * (len(ramp) - 1) / (2 * _LIGHT.sum() * 255)).round().astype(int)
    return [Text("".join(ramp[step] for step in line), no_wrap=True, end="") for line in steps]


CELL = (8, 16)
"""Pixels of a cell, across and down: the terminal scales, and more would only take longer to send."""


def pixel_images(drawing: Text, ground: RGB) -> list[PixelImage]:
    """The pictures of a drawing in the mode `none`; `ground` is the colour between them.

    Rows of pictures with no words between become one image, because each image is sent by itself.
    """
    lines = [_cells(line.plain) for line in drawing.split("\n", allow_blank=True)]
    parts: list[list[PixelImage]] = []
    for _, row in groupby(placeholders_in(drawing), key=lambda picture: picture.top):
        band = list(row)
        if parts and _joins(parts[-1], band, lines):
            parts[-1] += band
        else:
            parts.append(band)
    return [_joined(pictures, ground) for pictures in parts]


def _cells(line: str) -> str:
    """A line with a character for each of its cells."""
    return "".join(char.ljust(cell_len(char)) for char in line if cell_len(char))


def _edges(pictures: Sequence[PixelImage]) -> tuple[int, int, int, int]:
    """Left, right, top and bottom; right and bottom are the first cells beyond."""
    spans = [(one.left, one.left + one.columns, one.top, one.top + one.rows) for one in pictures]
    lefts, rights, tops, bottoms = zip(*spans, strict=True)
    return min(lefts), max(rights), min(tops), max(bottoms)


def _joins(above: Sequence[PixelImage], below: Sequence[PixelImage], lines: Sequence[str]) -> bool:
    """Returns whether one picture can cover both rows without covering words."""
    left, right, _, bottom = _edges(above)
    other_left, other_right, top, _ = _edges(below)
    between = "".join(line[left:right] for line in lines[bottom:top])
    return (left, right) == (other_left, other_right) and not between.strip()


def _joined(pictures: Sequence[PixelImage], ground: RGB) -> PixelImage:
    """One image (H, W, 3) of several, with as many pixels a cell as CELL says."""
    across, down = CELL
    left, right, top, bottom = _edges(pictures)
    pixels = np.full(((bottom - top) * down, (right - left) * across, 3), ground, np.uint8)
    for one in pictures:
        x, y = (one.left - left) * across, (one.top - top) * down
        # A pixel stays free below: it parts pictures that stand on each other.
        size = (one.columns * across, one.rows * down - 1)
        pixels[y : y + size[1], x : x + size[0]] = resample(as_rgb(one.pixels), *size)
    return PixelImage(pixels, left, top, right - left, bottom - top)


# A sample of a run: inputs, noisy inputs, outputs and errors

_SCALES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of a pixel's range that the end of the error ramp may stand for."""
_BEYOND = 0.5  # per cent of the pixels that may lie beyond that end


def sample_rows(sample: Sample) -> list[ImageRow]:
    """One (label, (N, C, H, W)) for each kind of picture that the sample has."""
    kinds = (("input", sample.inputs), ("noisy", sample.noisy), ("output", sample.reconstructions))
    return [(label, images) for label, images in kinds if images is not None and images.ndim == 4]


def error_row(sample: Sample) -> tuple[ImageRow, str] | None:
    """A row of pictures that show where reconstructions are wrong, in colours of its own, and the scale in words.

    |reconstruction - clean input|, the mean of the channels, ends the ramp at a round share of a pixel's range, so that
    it seldom changes while a run goes on. None for a sample without reconstructions of its inputs.
    """
    clean_images, made = sample.inputs, sample.reconstructions
    if clean_images is None or made is None or clean_images.shape != made.shape or not made.size or made.ndim != 4:
        return None
    pictures, scale = error_pictures(made, clean_images)
    return ("error", pictures), error_scale(scale)


def error_scale(scale: float) -> str:
    """The errors that the ends of their ramp stand for, in words; empty where these are all that a pixel can have."""
    return f"error: black 0, brightest {scale:g}" if scale < 1 else ""


def error_pictures(made: Pixels, wanted: Pixels) -> tuple[NDArray[Any], float]:
    """(N, 3, H, W) uint8, how far images (N, C, H, W) are off, and which share of a pixel's range is brightest."""
    error = np.abs(made.astype(np.int16) - wanted).mean(axis=1)
    largest = float(np.percentile(error, 100 - _BEYOND)) / 255
    scale = next((scale for scale in _SCALES if scale >= largest), 1.0)
    shade = (error / scale).clip(0, 255).round()
    stops = np.linspace(0, 255, len(palette.ERROR_RAMP))
    channels = [np.interp(shade, stops, channel) for channel in zip(*palette.ERROR_RAMP, strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8), scale


def sample_captions(sample: Sample) -> list[CaptionRow]:
    """What each picture was taken for, `Sneaker ✓`, or `Shirt → Coat ✗` where it is something else; no line without
    predictions."""
    if sample.predictions is None or sample.labels is None:
        return []
    captions = []
    for label, prediction in zip(sample.labels, sample.predictions, strict=False):
        true, taken = (
            clean(sample.classes[int(one)]) if 0 <= int(one) < len(sample.classes) else str(one)
            for one in (label, prediction)
        )
        captions.append(f"{taken} ✓" if label == prediction else f"{true} → {taken} ✗")
    return [("", captions)]
