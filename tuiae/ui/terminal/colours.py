"""The nearest colour where a terminal has only so many."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tuiae.ui.render.palette import GREYS, RGB

_STEPS = (0, 95, 135, 175, 215, 255)
_FIRST_CUBE, _FIRST_GREY = 16, 232
_WEIGHTS = np.array([0.30, 0.59, 0.11]) ** 0.5
_CUBE = np.array([(red, green, blue) for red in _STEPS for green in _STEPS for blue in _STEPS])
_PALETTE_256 = np.concatenate([_CUBE, np.array(GREYS)[:, None].repeat(3, axis=1)])
_ANSI_16: dict[int, RGB] = {
    0: (0, 0, 0),
    1: (205, 49, 49),
    2: (13, 188, 121),
    3: (205, 140, 0),
    4: (36, 114, 200),
    5: (188, 63, 188),
    6: (17, 168, 205),
    7: (200, 200, 200),
    8: (102, 102, 102),
    9: (232, 116, 59),
    10: (35, 209, 139),
    11: (240, 228, 66),
    12: (86, 150, 234),
    13: (214, 112, 214),
    14: (86, 190, 233),
    15: (255, 255, 255),
}
"""What terminals draw for 0 to 15, roughly: every user's theme has its own."""
_PALETTE_16 = np.array(list(_ANSI_16.values()))


@lru_cache(maxsize=8192)
def nearest_256(color: RGB) -> int:
    """The number, 16 to 255, of the nearest colour; a grey is always taken from black, the ramp and white."""
    if color[0] == color[1] == color[2]:
        levels = np.array([0, *GREYS, 255])
        place = int(np.abs(levels - color[0]).argmin())
        return {0: 16, len(GREYS) + 1: 231}.get(place, _FIRST_GREY - 1 + place)
    return _FIRST_CUBE + _nearest(_PALETTE_256, color)


@lru_cache(maxsize=8192)
def nearest_16(color: RGB) -> int:
    """The number, 0 to 15, of the nearest colour."""
    return _nearest(_PALETTE_16, color)


def _nearest(palette: NDArray[np.int64], color: RGB) -> int:
    """By the eye's weights for red, green and blue."""
    return int((((palette - np.array(color)) * _WEIGHTS) ** 2).sum(axis=1).argmin())
