"""What the explorer answered about a place of the map, drawn for an area of cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.text import Text

from tuiae.explore.answers import Place, Plane, Samples, Strip
from tuiae.explore.plane import QUANTILES
from tuiae.ui.render.classes import class_color
from tuiae.ui.render.decoded import draw_large, fit_gallery, fit_plane
from tuiae.ui.render.text import centred, clean, join_lines, number, percent, shorten

_WIDE, _LEAST_NEAR = 15, 3
"""Cells for a neighbour that one can recognise, and how many are shown at least."""
_WITH_WORDS = 4  # lines from which a picture has room for words below it


def class_name(label: int, classes: Sequence[str]) -> str:
    """The name of a class; empty where images have none."""
    if len(classes) < 2:
        return ""
    return clean(classes[label]) if 0 <= label < len(classes) else str(label)


def draw_place(place: Place, classes: Sequence[str], width: int, height: int, mode: str) -> Text:
    """The image decoded at a place, as large as the area lets it be; of a classifier the class that it takes the code
    for."""
    if place.image is None:
        return _draw_class(place, classes, width, height)
    if height < _WITH_WORDS:
        return draw_large(place.image, width, height, mode)
    where = Text(shorten(f"{place.x:.3g}, {place.y:.3g}", width), "dim", end="")
    where.align("center", width)
    return join_lines([draw_large(place.image, width, height - 1, mode), where])


def _draw_class(place: Place, classes: Sequence[str], width: int, height: int) -> Text:
    name = class_name(place.predicted, classes)
    words = [
        Text("this code is taken for", "dim"),
        Text(shorten(name, width), f"bold {class_color(place.predicted)}"),
        Text(f"with {percent(place.share)}", "dim"),
        Text(""),
        Text(shorten("a classifier decodes no images", width), "dim"),
    ][: max(height, 1)]
    above = [Text("") for _ in range((height - len(words)) // 2)]
    for line in words:
        line.align("center", width)
    return join_lines([*above, *words])


def draw_nearest(place: Place, classes: Sequence[str], width: int, height: int, mode: str) -> Text:
    """The nearest test images, with class and distance."""
    if not len(place.indices):
        return centred("no test image near", width, height)
    names = [class_name(int(label), classes) for label in place.labels]
    distances = [number(float(distance)) for distance in place.distances]
    cells = min(place.images.shape[-1] + 1, _WIDE)
    shown = max(min(width // cells, len(names)), _LEAST_NEAR)
    lines = [line[:shown] for line in ([names, distances] if any(names) else [distances])]
    return fit_gallery(place.images[:shown], width, height, mode, lines)


def draw_strip(strip: Strip, width: int, height: int, mode: str) -> Text:
    """The way from one marked point to the other."""
    shares = [f"{share:.2f}" for share in np.linspace(0, 1, len(strip.images))]
    return fit_gallery(strip.images, width, height, mode, [shares])


def draw_samples(samples: Samples, width: int, height: int, mode: str) -> Text:
    """What the prior gave."""
    return fit_gallery(samples.images, width, height, mode)


def draw_grid(plane: Plane, width: int, height: int, mode: str) -> Text:
    """The decoded plane."""
    return fit_plane(plane.images, plane.x, plane.y, width, height, mode)


def grid_note(plane: Plane) -> str:
    """Where the values of a decoded plane come from."""
    low, high = QUANTILES
    return f"quantiles {low:g} to {high:g} of the prior" if plane.origin == "prior" else "over the range of the codes"
