"""An image that is drawn with a brush, at the resolution at which a network takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tuiae.data.pixels import as_bytes
from tuiae.ui.render.images import resample

Floats = NDArray[np.float32]
Spot = tuple[float, float]
"""(x, y) in pixels of the image; the middle of the first pixel is (0.5, 0.5)."""

BRUSHES = {"fine": (0.5, 0.03), "medium": (0.7, 0.045), "bold": (1.1, 0.075)}
"""Name -> (least radius in pixels, radius as a share of the shorter side)."""
MNIST_SIDE, MNIST_BOX = 28, 20
"""MNIST scaled its digits into a box of 20 x 20 in 28 x 28 pixels (LeCun et al., 1998)."""
_INK = 0.05  # what counts as drawn


@dataclass(frozen=True)
class Sketch:
    """One state of a drawing; every change is another one."""

    image: Floats
    """(C, H, W) in 0..1."""
    paper: float = 0.0
    """What an empty image is made of: 0 is black, 1 white; ink is the other."""

    @classmethod
    def blank(cls, shape: tuple[int, ...], paper: float = 0.0) -> Sketch:
        """Nothing drawn."""
        return cls(np.full(shape, paper, np.float32), paper)

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> Sketch:
        """A picture (C, H, W), as something to draw on."""
        return cls(image.astype(np.float32) / np.float32(255))

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(C, H, W), as a network is asked about it."""
        return as_bytes(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[2], self.image.shape[1]

    def stroke(self, start: Spot, end: Spot, brush: str, erase: bool = False) -> Sketch:
        """A straight line of a soft brush; on a colour image it is grey. Erased is what becomes paper again."""
        hit = _coverage(self.size, start, end, _radius(brush, min(self.size)))
        colour = self.paper if erase else 1 - self.paper
        if erase:
            changed = self.image + (np.float32(colour) - self.image) * hit
        else:
            # A second stroke over a soft edge must not fade what the first has left there.
            fresh = np.abs(np.float32(self.paper) - hit)
            changed = np.minimum(self.image, fresh) if self.paper else np.maximum(self.image, fresh)
        return replace(self, image=changed.astype(np.float32))

    def cleared(self) -> Sketch:
        """Paper alone."""
        return Sketch.blank(self.image.shape, self.paper)

    def inverted(self) -> Sketch:
        """Dark for light, and drawn on with the other ink from now on."""
        return Sketch(1 - self.image, 1 - self.paper)

    def centred(self) -> Sketch:
        """As MNIST has its digits: scaled into its box, the centre of mass in the middle.

        Images of another size than MNIST's have no such margin: there the box is the image.
        """
        ink = np.abs(self.image - np.float32(self.paper))
        found = _bounds(ink.max(axis=0))
        if found is None:
            return self
        box = tuple(MNIST_BOX if side == MNIST_SIDE else side for side in self.size)
        cut = ink[:, found[1], found[0]]
        scaled = _fitted(cut, box)
        placed = _placed(scaled, self.size)
        return replace(self, image=np.abs(np.float32(self.paper) - placed))


def _radius(brush: str, side: int) -> float:
    least, share = BRUSHES[brush]
    return max(least, share * side)


def _coverage(size: tuple[int, int], start: Spot, end: Spot, radius: float) -> Floats:
    """(H, W): how much of each pixel a line of this radius with soft ends covers."""
    x, y = np.arange(size[0]) + 0.5, (np.arange(size[1]) + 0.5)[:, None]
    across, down = end[0] - start[0], end[1] - start[1]
    length = across * across + down * down
    along = ((x - start[0]) * across + (y - start[1]) * down) / length if length else np.zeros((size[1], size[0]))
    along = np.clip(along, 0, 1)
    distance = np.hypot(x - start[0] - along * across, y - start[1] - along * down)
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


def _bounds(ink: Floats) -> tuple[slice, slice] | None:
    """Columns and rows that hold something; None when nothing does."""
    columns, rows = np.flatnonzero(ink.max(axis=0) > _INK), np.flatnonzero(ink.max(axis=1) > _INK)
    if not len(columns):
        return None
    return slice(columns[0], columns[-1] + 1), slice(rows[0], rows[-1] + 1)


def _fitted(ink: Floats, box: tuple[int, ...]) -> Floats:
    """(C, H, W) as large as its longer side lets it be in a box (width, height)."""
    height, width = ink.shape[1:]
    scale = min(box[0] / width, box[1] / height)
    columns, rows = max(round(width * scale), 1), max(round(height * scale), 1)
    levels = resample(as_bytes(ink).transpose(1, 2, 0), columns, rows)
    return levels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def _placed(ink: Floats, size: tuple[int, int]) -> Floats:
    """(C, h, w) on an empty image, its centre of mass in the pixel after the middle, where MNIST has it; never over
    the edge."""
    weight = ink.sum(axis=0)
    offsets = []
    for axis, side, length in ((0, size[0], weight.shape[1]), (1, size[1], weight.shape[0])):
        profile = weight.sum(axis=axis)
        centre = float((profile * (np.arange(length) + 0.5)).sum() / profile.sum())
        offsets.append(min(max(math.floor(side / 2 + 1 - centre), 0), side - length))
    image = np.zeros((len(ink), size[1], size[0]), np.float32)
    image[:, offsets[1] : offsets[1] + ink.shape[1], offsets[0] : offsets[0] + ink.shape[2]] = ink
    return image
