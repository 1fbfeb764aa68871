"""What the explorer answered, drawn for an area of cells: decoded images, a place of the map, one image under noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.explore.plane import QUANTILES
from tuiae.explore.protocol import (
    Between,
    Classification,
    Confused,
    NoiseCurve,
    Place,
    Plane,
    Reconstruction,
    Worst,
)
from tuiae.render import palette
from tuiae.render.bars import bar_rows
from tuiae.render.code_map import class_color
from tuiae.render.curves import Curve, Look, draw_curves
from tuiae.render.grid import draw_large, error_pictures, fit_gallery
from tuiae.render.pixels import Pixels
from tuiae.render.text import beside, centred, clean, join_lines, number, percent, shorten

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
        words = [
            Text("this code is taken for", "dim"),
            Text(class_name(place.predicted, classes), f"bold {class_color(place.predicted)}"),
            Text(f"with {percent(place.share)}", "dim"),
            Text(),
            Text("a classifier decodes no images", "dim"),
        ]
        lines = [_middle(line, width) for line in words[: max(height, 1)]]
        return join_lines([Text()] * ((height - len(lines)) // 2) + lines)
    if height < _WITH_WORDS:
        return draw_large(place.image, width, height, mode)
    where = _middle(Text(f"{place.x:.3g}, {place.y:.3g}", "dim"), width)
    return join_lines([draw_large(place.image, width, height - 1, mode), where])


def _middle(line: Text, width: int) -> Text:
    """A line in the middle of so many cells."""
    line.truncate(width, overflow="ellipsis")
    line.pad_left((width - line.cell_len) // 2)
    return line


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


def draw_between(line: Between, width: int, height: int, mode: str) -> Text:
    """The way from one marked point to the other."""
    shares = [f"{share:.2f}" for share in np.linspace(0, 1, len(line.images))]
    return fit_gallery(line.images, width, height, mode, [shares])


def plane_note(plane: Plane) -> str:
    """Says which values of the code a decoded plane spans."""
    low, high = QUANTILES
    return f"quantiles {low:g} to {high:g} of the prior" if plane.origin == "prior" else "over the range of the codes"


NAME = 16  # cells of a class
_FIGURE = 7  # cells of a space and a share in per cent
_LEAST_BAR = 3


def best_class(shares: NDArray[Any], names: Sequence[str]) -> str:
    """`3, 87%`: the class for which most speaks."""
    best = int(np.argmax(shares))
    return f"{class_name(best, names)}, {percent(float(shares[best]), 0)}"


def draw_shares(
    shares: NDArray[Any], names: Sequence[str], width: int, height: int, ascii_only: bool = False, label: int = -1
) -> Text:
    """A bar for each class from 0 to 1, the best marked; `label` is the class that the image has, if one is known.

    Where not all fit, the most likely ones and how many are left out. An empty line parts them where the height allows.
    """
    if len(shares) < 2:
        return centred("the images of this run have no classes", width, height)
    if width <= 0 or height <= 0:
        return Text()
    shown = list(range(len(shares)))
    if len(shown) > height:
        # A line is kept for how many are left out.
        shown = np.argsort(-shares, kind="stable")[: max(height - 1, 1)].tolist()
    head = min(max(cell_len(class_name(index, names)) for index in shown), NAME, max(width - _FIGURE - 2, 1))
    cells = width - head - _FIGURE - 1
    bars = bar_rows([float(shares[index]) for index in shown], cells if cells >= _LEAST_BAR else 0, ascii_only)
    best, mark = int(np.argmax(shares)), ">" if ascii_only else "▸"
    lines = []
    for index, bar in zip(shown, bars, strict=True):
        weight, color = ("bold", palette.SKY) if index == best else ("", palette.GREY)
        style = f"{weight} underline" if index == label else weight or "dim"
        name = shorten(class_name(index, names), head)
        line = Text(end="", no_wrap=True).append(f"{mark} " if index == best else "  ", weight)
        line.append(name, style).append(" " * (head - cell_len(name)))
        line.append(f"{percent(float(shares[index]), 0):>{_FIGURE - 2}} ", weight).append(bar, color)
        line.truncate(width)
        lines += [line, Text(end="")] if len(shares) * 2 - 1 <= height else [line]
    if len(shown) < len(shares) and height > 1:
        lines.append(Text(shorten(f"  and {len(shares) - len(shown)} less likely", width), "dim", end=""))
    return join_lines(lines if lines[-1].plain else lines[:-1])


METRICS = {"mse": "mean squared error", "error": "share that is wrong"}
SIGNS = (("━", "●", "×"), ("*", "O", "x"))
"""Signs of the curve, of the level now and of the level in training; then in ASCII."""
_WITH_FIGURES = 6  # lines from which pictures have room for figures below them
_BESIDE = 60  # columns from which bars have room beside a picture
_LEAST_PICTURE = 4  # lines
_PICTURE_LINES = 2  # what a picture of a verdict takes for its words and an empty line
_LEAST_CURVE = 4  # lines of a plot below its legend


def wrong_pixels(made: Pixels, wanted: Pixels) -> int:
    """Pixels that differ once both images are rounded to 0 or 1, as the evaluation counts them."""
    return int(((made >= 128) != (wanted >= 128)).sum())


def draw_tried(answer: Reconstruction, clean: Pixels, width: int, height: int, mode: str) -> Text:
    """Noisy input, output and error beside each other, with figures below; `clean` is the image (C, H, W)."""
    made = answer.reconstructions[0]
    wrong, scale = error_pictures(made[None], clean[None])
    pictures = np.stack(np.broadcast_arrays(answer.noisy[0], made, wrong[0]))
    words = ["noisy" if (answer.noisy[0] != clean).any() else "input", "output", "error"]
    figures = f"mse {number(float(answer.mse[0]))} · {wrong_pixels(made, clean)}/{made.size} pixels wrong"
    brief, scaled = figures.replace(" pixels", ""), f" · error to {scale:g}"
    forms = [f"{figures} · brightest error: {scale:g} of a pixel's range", figures + scaled, brief + scaled]
    figures = next((form for form in forms if len(form) <= width), brief)
    if height < _WITH_FIGURES:
        return fit_gallery(pictures, width, height, mode, [words])
    return join_lines([fit_gallery(pictures, width, height - 1, mode, [words]), centred(figures, width, 1, "")])


def draw_verdict(
    answer: Classification, names: tuple[str, ...], width: int, height: int, mode: str, label: int = -1
) -> Text:
    """The input of a classifier, with its probabilities beside or below."""
    bars, ascii_only = len(names), mode == "ascii"
    if width >= _BESIDE:
        left = width // 2 - 1
        picture = fit_gallery(answer.noisy, left, height, mode, [["input"]])
        shares = draw_shares(answer.shares[0], names, width - left - 2, height, ascii_only, label)
        return beside(picture, shares, left + 2, level=True)
    if height - bars - _PICTURE_LINES < _LEAST_PICTURE:
        return draw_shares(answer.shares[0], names, width, height, ascii_only, label)
    picture = fit_gallery(answer.noisy, width, height - bars - 1, mode, [["input"]])
    shares = draw_shares(answer.shares[0], names, width, bars, ascii_only, label)
    return join_lines([picture, Text(), shares])


def error_at(curve: NoiseCurve, level: float) -> float:
    """The error between the levels at which it was measured."""
    return float(np.interp(level, curve.levels, curve.errors))


def draw_noise_curve(
    curve: NoiseCurve, level: float, trained: float | None, width: int, height: int, mode: str = "blocks"
) -> Text:
    """The error against the level, marked where it stands now, and where the run was trained if that is known."""
    ascii_only = mode == "ascii"
    line, now, then = SIGNS[ascii_only]
    here = error_at(curve, level)
    spots = [Curve("now", np.array([level]), np.array([here]), palette.ORANGE, "dotted", now)]
    words = Text(end="").append(f"{line} ", f"bold {palette.SKY}").append(METRICS.get(curve.metric, curve.metric))
    words.append(f"   {now} ", f"bold {palette.ORANGE}").append(f"at {level:.2f}: ").append(number(here), "bold")
    if trained is not None and abs(trained - level) > 1e-9:
        spots.append(
            Curve("trained", np.array([trained]), np.array([error_at(curve, trained)]), palette.GREEN, "dotted", then)
        )
        words.append(f"   {then} ", f"bold {palette.GREEN}").append(f"trained at {trained:.2f}")
    curves = [Curve("error", np.array(curve.levels), np.array(curve.errors), palette.SKY), *spots]
    if height <= _LEAST_CURVE:
        return draw_curves(curves, width, height, look=Look("noise"), ascii=ascii_only)
    words.truncate(max(width, 0), overflow="ellipsis")
    return join_lines([words, draw_curves(curves, width, height - 1, look=Look("noise"), ascii=ascii_only)])


Captions = list[tuple[str, str]]


def worst_captions(worst: Worst, names: tuple[str, ...]) -> Captions:
    """Class and error; of a classifier what it took the image for."""
    labels = [class_name(int(label), names) for label in worst.labels]
    if worst.predicted is None:
        return [(name, number(float(error))) for name, error in zip(labels, worst.errors, strict=True)]
    taken = [class_name(int(label), names) for label in worst.predicted]
    return [(name, f"→ {other}") for name, other in zip(labels, taken, strict=True)]


def confused_title(confused: Confused, names: tuple[str, ...]) -> str:
    """`true Shirt, taken for Coat: 12`."""
    true, predicted = (class_name(label, names) for label in (confused.true, confused.predicted))
    return f"true {shorten(true, 24)}, taken for {shorten(predicted, 24)}: {confused.total:,}"


def confused_captions(confused: Confused) -> Captions:
    """The probability of the predicted class, and the position in the test split, of each image."""
    pairs = zip(confused.shares.tolist(), confused.indices.tolist(), strict=True)
    return [(percent(share, 0), f"image {index}") for share, index in pairs]
