"""Colours that stay apart for colour-blind eyes (Okabe and Ito, 2008) and read well on a dark terminal."""

from __future__ import annotations

from typing import TypeAlias

RGB: TypeAlias = tuple[int, int, int]

SKY = "#56B4E9"
ORANGE = "#E69F00"
GREEN = "#1DB88A"  # Okabe-Ito's bluish green, lighter: #009E73 is too dark for text on a dark screen
YELLOW = "#F0E442"
BLUE = "#4C8DD6"  # Okabe-Ito's blue, lighter for the same reason
VERMILLION = "#E8743B"
PURPLE = "#CC79A7"
GREY = "#8A93A0"
PINK = "#F4AFCB"
BROWN = "#B79268"

TRAIN = SKY
TEST = ORANGE
GOOD = GREEN
CAUTION = YELLOW
BAD = VERMILLION

SERIES: tuple[str, ...] = (SKY, ORANGE, GREEN, PURPLE, YELLOW, VERMILLION, BLUE, GREY)
"""The order in which runs laid over each other take colours."""

MARKERS: tuple[str, ...] = ("◆", "•", "×", "+", "◦", "▿", "▪", "▵")
"""The sign of each colour of SERIES, so that colour is never the only cue; the first line needs one too, as later ones
may cover it. In ASCII all are others too."""

GREYS: tuple[int, ...] = tuple(range(8, 239, 10))
"""Levels of the ramp 232 to 255 of a terminal's 256 colours, between black and white."""
ERROR_RAMP: tuple[RGB, ...] = ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191))
"""From none to the largest: matplotlib's magma at quarters, whose lightness alone tells the order."""

SHADES = " ░▒▓█"
ASCII_SHADES = " .:+#"

_RAMPS: dict[tuple[bool, bool], tuple[RGB, RGB]] = {
    (True, False): ((22, 38, 54), (86, 180, 233)),
    (False, False): ((48, 30, 16), (240, 140, 40)),
    (True, True): ((228, 239, 247), (62, 152, 208)),
    (False, True): ((251, 236, 216), (226, 124, 24)),
}
"""(right, on a light screen) -> the ends of a ramp: the more, the farther from the screen's own colour."""


def rgb(color: str) -> RGB:
    """`#RRGGBB` as three numbers."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def blend(low: RGB, high: RGB, share: float) -> RGB:
    """`low` at 0, `high` at 1."""
    share = min(max(share, 0.0), 1.0)
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return red, green, blue


def count_ramp(share: float, right: bool, light: bool = False) -> RGB:
    """The sequential ramp of a table of counts: blue for what is right, orange for what is not."""
    return blend(*_RAMPS[right, light], share)


def luminance(color: RGB) -> float:
    """WCAG relative luminance, 0 to 1."""
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink_on(background: RGB) -> RGB:
    """Whichever of black and white has the higher contrast with the background."""
    # WCAG's contrast is 1.05 / (luminance + 0.05) with white, and (luminance + 0.05) / 0.05 with black.
    return (255, 255, 255) if (luminance(background) + 0.05) ** 2 <= 1.05 * 0.05 else (0, 0, 0)
