"""What the explorer answered, drawn for an area of cells: decoded images, a place of the map, one image under noise;
and the canvas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.config import counted
from tuiae.explore.plane import QUANTILES
from tuiae.explore.protocol import (
    Between,
    Classification,
    Confused,
    NoiseCurve,
    OpenedRun,
    Place,
    Plane,
    Reconstruction,
    Worst,
)
from tuiae.render import palette
from tuiae.render.code_map import class_color
from tuiae.render.curves import Curve, Look, draw_curves
from tuiae.render.grid import MOST_ENLARGED, draw_large, fit_gallery, fit_row, plan
from tuiae.render.pixels import Pixels, draw_picture, error_pictures, error_scale, resample
from tuiae.render.plot import bar_rows, put
from tuiae.render.text import beside, centred, clean, join_lines, lines_of, number, percent, shorten

_WIDE, _LEAST_NEAR = 15, 3
"""Cells that make a neighbour recognisable, and how many are shown at least."""
_WITH_WORDS = 4  # lines from which a picture has room for words below it


def class_name(label: int, classes: Sequence[str]) -> str:
    """The name of a class; empty where images have none."""
    if len(classes) < 2:
        return ""
    return clean(classes[label]) if 0 <= label < len(classes) else str(label)


def draw_place(place: Place, classes: Sequence[str], width: int, height: int, mode: str) -> Text:
    """The image decoded at a place, as large as the area lets it be; of a classifier the probability of each class."""
    if place.image is None:
        return _draw_taken(place.shares, classes, width, height, mode == "ascii")
    if height < _WITH_WORDS:
        return draw_large(place.image, width, height, mode)
    where = _middle(Text(f"{place.x:.3g}, {place.y:.3g}", "dim"), width)
    return join_lines([draw_large(place.image, width, height - 1, mode), where])


def _draw_taken(shares: NDArray[Any], classes: Sequence[str], width: int, height: int, ascii_only: bool) -> Text:
    """What a classifier takes a code for: a bar for each class, and above them in words where there is room."""
    best = int(np.argmax(shares))
    head = Text("this code is taken for ", "dim", end="")
    head.append(class_name(best, classes), f"not dim bold {class_color(best)}")
    if height < len(shares) + 2:
        return draw_shares(shares, classes, width, height, ascii_only)
    return join_lines([_middle(head, width), Text(), draw_shares(shares, classes, width, height - 2, ascii_only)])


def _middle(line: Text, width: int) -> Text:
    """A line in the middle of `width` cells."""
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


_MOST_EPOCHS = 6


def epoch_words(epochs: Sequence[float]) -> str:
    """`3, 4` or, of many, `1 to 40`."""
    if len(epochs) > _MOST_EPOCHS:
        return f"{epochs[0]:,g} to {epochs[-1]:,g}, {len(epochs)} in all"
    return ", ".join(f"{epoch:,g}" for epoch in epochs)


def weights_note(opened: OpenedRun) -> str:
    """Which weights answer while the timeline stands at an older epoch; empty where it follows the newest."""
    if opened.asked is None:
        return ""
    if not opened.kept:
        return f"weights of epoch {opened.asked:,}, where the timeline of Live stands"
    newest = "" if opened.epoch is None else f", of epoch {opened.epoch:,g}"
    kept = epoch_words(opened.kept)
    return f"no weights of epoch {opened.asked:,} are kept ({kept} are): these are the newest{newest}"


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
_LARGE = 0.75  # of what it was compared with: a picture of that size is as good as a little larger
_PICTURE_LINES = 2  # what a picture of a verdict takes for its words and an empty line
_LEAST_CURVE = 4  # lines of a plot below its legend


def wrong_pixels(made: Pixels, wanted: Pixels) -> int:
    """Pixels of an image (C, H, W) that differ in any channel once both are rounded to 0 or 1, as the evaluation counts
    them."""
    return int(((made >= 128) != (wanted >= 128)).any(axis=0).sum())


_FRAME, _BARE = 4, 2
"""Columns of a panel around its content; without padding."""
_WORDS = 4  # lines of the panel of the result around its pictures: frame, words below them, figures
_LEAST_LEFT = 32  # columns of the canvas and of what is below it
_SLIDER, _CLASSES, _LEAST_BELOW = 3, 12, 12  # lines of other panels


def lay_out_bench(shape: Sequence[int], width: int, height: int, with_classes: bool = True) -> tuple[int, int] | None:
    """Columns of the canvas, and lines of the panel of input, output and error, where all four show images (C, H, W) at
    their own size or whole multiples of it; None where there is no room for that."""
    rows, columns = shape[1:]

    def fits(canvas: int, pictures: int) -> bool:
        across = max(columns * canvas + _FRAME, _LEAST_LEFT) + 3 * columns * pictures + 2 + _BARE
        below_canvas = _SLIDER + with_classes * _CLASSES + 2
        lines = [(rows * canvas + 1) // 2 + below_canvas, (rows * pictures + 1) // 2 + _WORDS + _LEAST_BELOW]
        return across <= width and max(lines) <= height

    scales = range(MOST_ENLARGED, 0, -1)
    pictures = next((scale for scale in scales if fits(scale, scale)), 0)
    if not pictures:
        return None
    canvas = next(scale for scale in scales if fits(scale, pictures))
    return max(columns * canvas + _FRAME, _LEAST_LEFT), (rows * pictures + 1) // 2 + _WORDS


def draw_tried(answer: Reconstruction, clean: Pixels, width: int, height: int, mode: str) -> Text:
    """Noisy input, output and error beside each other, with figures below; `clean` is the image (C, H, W)."""
    made = answer.reconstructions[0]
    wrong, scale = error_pictures(made[None], clean[None])
    pictures = np.stack(np.broadcast_arrays(answer.noisy[0], made, wrong[0]))
    words = ["noisy" if (answer.noisy[0] != clean).any() else "input", "output", "error"]
    figures = f"mse {number(float(answer.mse[0]))} · {wrong_pixels(made, clean)}/{made[0].size} pixels wrong"
    brief, scaled = figures.replace(" pixels", ""), f" · {said}" if (said := error_scale(scale)) else ""
    forms = [figures + scaled, brief + scaled, figures]
    figures = next((form for form in forms if len(form) <= width), brief)
    if height < _WITH_FIGURES:
        return _draw_trio(pictures, words, width, height, mode)
    return join_lines([_draw_trio(pictures, words, width, height - 1, mode), centred(figures, width, 1, "")])


def _draw_trio(pictures: Pixels, words: Sequence[str], width: int, height: int, mode: str) -> Text:
    """Input, output and error beside each other; where the output alone has room to be twice as large, it stands as
    large as it can with the others in a column beside it."""
    columns, rows = pictures.shape[-1], (pictures.shape[-2] + 1) // 2
    layout = plan((3, *pictures.shape[-2:]), 1, width, height - 1, 0, 3)
    together = layout.rows if layout is not None else 0
    scales = (scale for scale in range(MOST_ENLARGED, 0, -1) if columns * scale < width and rows * scale < height)
    for scale in scales if together else ():
        half, left = height // 2, columns * scale
        output = fit_row(pictures[1:2], words[1:2], left, height, mode, rows * scale)
        above, below = (
            fit_row(
                pictures[place : place + 1],
                words[place : place + 1],
                width - left - 1,
                half,
                mode,
                round(_LARGE * together),
            )
            for place in (0, 2)
        )
        if output is not None and above is not None and below is not None and rows * scale >= 2 * together:
            first = lines_of(above)
            column = join_lines([*first, *[Text()] * (half - len(first)), *lines_of(below)])
            return beside(output, column, left + 1)
    row = fit_row(pictures, words, width, height, mode, round(_LARGE * rows))
    return row if row is not None else fit_gallery(pictures, width, height, mode, [words])


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
    words = [Text(end="").append(f"{line} ", f"bold {palette.SKY}").append(METRICS.get(curve.metric, curve.metric))]
    marked = Text(end="").append(f"{now} ", f"bold {palette.ORANGE}").append(f"at {level:.2f}: ")
    words.append(marked.append(number(here), "bold"))
    if trained is not None and abs(trained - level) > 1e-9:
        spots.append(
            Curve("trained", np.array([trained]), np.array([error_at(curve, trained)]), palette.GREEN, "dotted", then)
        )
        how = f"trained at {trained:.2f}" if trained else "trained without noise"
        words.append(Text(end="").append(f"{then} ", f"bold {palette.GREEN}").append(how))
    curves = [Curve("error", np.array(curve.levels), np.array(curve.errors), palette.SKY), *spots]
    legend = [Text("   ", end="").join(words)]
    if legend[0].cell_len > width and height > _LEAST_CURVE + 1:
        legend = [words[0], Text("   ", end="").join(words[1:])]
    if height <= _LEAST_CURVE:
        return draw_curves(curves, width, height, look=Look("noise"), ascii=ascii_only)
    for part in legend:
        part.truncate(max(width, 0), overflow="ellipsis")
    return join_lines([*legend, draw_curves(curves, width, height - len(legend), look=Look("noise"), ascii=ascii_only)])


Captions = list[tuple[str, str]]


def worst_captions(worst: Worst, names: tuple[str, ...]) -> Captions:
    """Class and error; of a classifier what it took the image for."""
    labels = [class_name(int(label), names) for label in worst.labels]
    if worst.predicted is None:
        return [(name, number(float(error))) for name, error in zip(labels, worst.errors, strict=True)]
    taken = [class_name(int(label), names) for label in worst.predicted]
    return [(name, f"→ {other}") for name, other in zip(labels, taken, strict=True)]


def confused_title(confused: Confused, names: tuple[str, ...]) -> str:
    """`true Shirt, taken for Coat: 12 images`."""
    true, predicted = (class_name(label, names) for label in (confused.true, confused.predicted))
    return f"true {shorten(true, 24)}, taken for {shorten(predicted, 24)}: {counted(confused.total, 'image')}"


def confused_captions(confused: Confused) -> Captions:
    """The probability of the predicted class, and the position in the test split, of each image."""
    pairs = zip(confused.shares.tolist(), confused.indices.tolist(), strict=True)
    return [(percent(share, 0), f"image {index:,}") for share, index in pairs]


# The canvas: an image to draw on, as large as its area lets it be, with square pixels, and a pen above it

_LEAST_CANVAS = 3
"""Lines below which nothing can be drawn."""
_CRISP = 0.75
"""Share of the largest size from which a smaller one with pixels of whole width, which are sharp, is taken."""
_PENS = {"up": ("○", "o"), "down": ("●", "*"), "erase": ("✕", "x")}
"""State of the pen -> its sign, and that of a terminal without more than ASCII."""
_FRAMES = (("▁", "▔", "▕", "▏"), ("_", "-", "|", "|"))
"""Signs above, below, before and after an image; then in ASCII."""


@dataclass(frozen=True)
class CanvasLayout:
    """The place of an image of `width` x `height` pixels in an area; a cell is one dot wide and two high."""

    width: int
    height: int
    columns: int
    """Dots, and cells, across."""
    dots: int
    """Dots down."""
    left: int
    top: int

    @property
    def rows(self) -> int:
        """Lines that it takes."""
        return (self.dots + 1) // 2

    def spot(self, column: float, row: float) -> tuple[float, float]:
        """The place on the image of a place in the area, both in units of theirs; beyond the edge is beyond it."""
        return (column - self.left) * self.width / self.columns, (row - self.top) * 2 * self.height / self.dots

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Column and row in the area of a place on the image."""
        column = math.floor(x * self.columns / self.width)
        row = math.floor(y * self.dots / self.height / 2)
        return self.left + min(max(column, 0), self.columns - 1), self.top + min(max(row, 0), self.rows - 1)


def lay_out_canvas(size: tuple[int, int], width: int, height: int) -> CanvasLayout | None:
    """The largest layout of an image of size (width, height) in an area of cells; None where there is no room."""
    largest = min(width / size[0], 2 * height / size[1])
    scale = math.floor(largest) if math.floor(largest) >= _CRISP * largest else largest
    columns, dots = math.floor(size[0] * scale), math.floor(size[1] * scale)
    if columns < 1 or dots < 2 * _LEAST_CANVAS - 1:
        return None
    return CanvasLayout(*size, columns, dots, (width - columns) // 2, (height - (dots + 1) // 2) // 2)


def draw_canvas(
    image: Pixels, width: int, height: int, mode: str, pen: tuple[float, float] | None = None, pen_state: str = "up"
) -> Text:
    """An image (C, H, W), and the pen at (x, y) of it."""
    layout = lay_out_canvas((image.shape[2], image.shape[1]), width, height)
    if layout is None:
        return centred("too small to draw", width, height)
    large = resample(image.transpose(1, 2, 0), layout.columns, layout.dots)
    lines = draw_picture(large, layout.columns, layout.rows, mode)
    if pen is not None:
        column, row = layout.cell(*pen)
        sign, style = _PENS[pen_state][mode == "ascii"], f"bold {palette.VERMILLION}"
        put(lines[row - layout.top], column - layout.left, sign, style)
    return join_lines(_framed(lines, layout, width, height, mode == "ascii"))


def _framed(lines: list[Text], layout: CanvasLayout, width: int, height: int, ascii_only: bool) -> list[Text]:
    """The image in its place; a fine frame where it fits, because black paper ends nowhere on a dark screen."""
    above, below, before, after = _FRAMES[ascii_only] if layout.left else ("", "", "", "")
    left = " " * max(layout.left - 1, 0)
    after = after if width > layout.left + layout.columns else ""
    placed = [Text(left, end="").append(before, "dim").append_text(line).append(after, "dim") for line in lines]
    head = [Text()] * layout.top
    if head and above:
        head[-1] = Text(f"{left} {above * layout.columns}", "dim", end="")
    foot = [Text(f"{left} {below * layout.columns}", "dim", end="")] if below else []
    return [*head, *placed, *foot][:height]
