"""What the explorer answered about one image, drawn for an area of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuiae.explore.answers import Classification, Confused, NoiseCurve, Reconstruction, Worst
from tuiae.ui.render import palette
from tuiae.ui.render.curves import Curve, draw_curves
from tuiae.ui.render.decoded import fit_gallery
from tuiae.ui.render.latent import class_name
from tuiae.ui.render.sample import error_pictures
from tuiae.ui.render.shares import draw_shares
from tuiae.ui.render.text import centred, join_lines, number, percent, shorten

Bytes = NDArray[np.uint8]
METRICS = {"mse": "mean squared error", "error": "share that is wrong"}
SIGNS = (("━", "●", "×"), ("*", "O", "x"))
"""Of the curve, of the level now, and of the training's; then in ASCII."""
_WITH_FIGURES = 6  # lines from which pictures have room for figures below them
_BESIDE = 60  # columns from which bars have room beside a picture
_LEAST_PICTURE = 4  # lines
_PICTURE_LINES = 2  # what a picture of a verdict takes for its words and an empty line
_LEAST_CURVE = 4  # lines of a plot below its legend


def wrong_pixels(made: Bytes, wanted: Bytes) -> int:
    """Pixels that differ once both images are rounded to 0 or 1, as the evaluation counts them."""
    return int(((made >= 128) != (wanted >= 128)).sum())


def draw_tried(answer: Reconstruction, clean: Bytes, width: int, height: int, mode: str) -> Text:
    """What the network was shown, what it made of it, and where that is not the image (C, H, W)."""
    made = answer.reconstructions[0]
    wrong, scale = error_pictures(made[None], clean[None])
    pictures = np.stack([_in_colour(answer.noisy[0]), _in_colour(made), wrong[0]])
    words = ["noisy" if (answer.noisy[0] != clean).any() else "input", "output", "error"]
    figures = f"mse {number(float(answer.mse[0]))} · {wrong_pixels(made, clean)}/{made.size} pixels wrong"
    brief, scaled = figures.replace(" pixels", ""), f" · error to {scale:g}"
    forms = [f"{figures} · brightest error: {scale:g} of a pixel's range", figures + scaled, brief + scaled]
    figures = next((form for form in forms if len(form) <= width), brief)
    if height < _WITH_FIGURES:
        return fit_gallery(pictures, width, height, mode, [words])
    return join_lines(
        [*_lines(fit_gallery(pictures, width, height - 1, mode, [words])), centred(figures, width, 1, "")]
    )


def _in_colour(image: Bytes) -> Bytes:
    return np.broadcast_to(image, (3, *image.shape[1:]))


def draw_verdict(
    answer: Classification, names: tuple[str, ...], width: int, height: int, mode: str, label: int = -1
) -> Text:
    """What a classifier was shown, and its probabilities beside or below."""
    bars, ascii_only = len(names), mode == "ascii"
    if width >= _BESIDE:
        left = width // 2 - 1
        picture = fit_gallery(answer.noisy, left, height, mode, [["input"]])
        return _beside(
            picture, draw_shares(answer.shares[0], names, width - left - 2, height, ascii_only, label), left + 2
        )
    if height - bars - _PICTURE_LINES < _LEAST_PICTURE:
        return draw_shares(answer.shares[0], names, width, height, ascii_only, label)
    picture = fit_gallery(answer.noisy, width, height - bars - 1, mode, [["input"]])
    shares = draw_shares(answer.shares[0], names, width, bars, ascii_only, label)
    return join_lines([*_lines(picture), Text(end=""), *_lines(shares)])


def _lines(drawn: Text) -> list[Text]:
    return list(drawn.split("\n", allow_blank=True))


def _beside(picture: Text, bars: Text, column: int) -> Text:
    """Two drawings beside each other, the lower one in the middle of the other."""
    first, second = _lines(picture), _lines(bars)
    second = [Text(end="") for _ in range((len(first) - len(second)) // 2)] + second
    lines = []
    for row in range(max(len(first), len(second))):
        line = first[row].copy() if row < len(first) else Text(end="")
        line.append(" " * (column - line.cell_len))
        lines.append(line.append_text(second[row]) if row < len(second) else line)
    return join_lines(lines)


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
    spots = [Curve("now", np.array([level]), np.array([here]), palette.ORANGE, now)]
    words = Text(end="").append(f"{line} ", f"bold {palette.SKY}").append(METRICS.get(curve.metric, curve.metric))
    words.append(f"   {now} ", f"bold {palette.ORANGE}").append(f"at {level:.2f}: ").append(number(here), "bold")
    if trained is not None and abs(trained - level) > 1e-9:
        spots.append(Curve("trained", np.array([trained]), np.array([error_at(curve, trained)]), palette.GREEN, then))
        words.append(f"   {then} ", f"bold {palette.GREEN}").append(f"trained at {trained:.2f}")
    curves = [Curve("error", np.array(curve.levels), np.array(curve.errors), palette.SKY), *spots]
    if height <= _LEAST_CURVE:
        return draw_curves(curves, width, height, x_label="noise", ascii=ascii_only)
    words.truncate(max(width, 0), overflow="ellipsis")
    return join_lines([words, draw_curves(curves, width, height - 1, x_label="noise", ascii=ascii_only)])


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
    """How sure the classifier was of each."""
    return [(percent(float(share), 0), f"image {index}") for share, index in _pairs(confused.shares, confused.indices)]


def _pairs(*arrays: NDArray[Any]) -> list[tuple[Any, ...]]:
    return list(zip(*(array.tolist() for array in arrays), strict=True))
