"""The figures of a report: curves, rows of images, codes in their plane, confusion matrices; each as SVG markup.

Text takes the page's own colour and fonts, so that light and dark both read well. matplotlib draws through its objects,
without pyplot: nothing global is touched and no display is needed. Call them within `rc_context(STYLE)`.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from tuiae.runs.snapshot import Series

INK = "#010203"  # stands for the page's text colour until the markup is made
PALETTE = ("#3b7dd8", "#d9730d", "#2f9e6e", "#c0436d", "#8a63d2", "#9a8a1c", "#2aa5b8", "#b5543b", "#6b7785", "#e08fb0")
"""Ten hues of middling lightness, that stand out from white and from near black alike."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tuiae",  # ids follow from what is drawn: the same results give the same page
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "normal",
    "axes.labelsize": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.parse_math": False,
}


def _new_figure(width: float, height: float) -> Figure:
    """A figure; sides in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def _grid(count: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, NDArray[Any]]:
    """A figure with `count` axes in rows of so many columns, each row so high; and the axes (rows, columns)."""
    rows = -(-count // columns)
    figure = _new_figure(width, height * rows)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, axes


def _to_svg(figure: Figure) -> str:
    """The markup without its prologue, the page's colour in place of the ink."""
    buffer = io.StringIO()
    undated = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # without them there is no block of metadata
    # Trimmed: rows of images keep their shape and leave room at some side.
    figure.savefig(buffer, format="svg", metadata=undated, dpi=160, bbox_inches="tight", pad_inches=0.05)
    markup = buffer.getvalue()
    return markup[markup.index("<svg") :].replace(INK, "currentColor")


FAINT = 0.25
GAP = 0.12  # of an image's side, between two images
FINE = 56  # pixels across an image at least, so that its frame is thin
FRAME = (0.5, 0.5, 0.5, 0.45)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")

Images = NDArray[Any]
"""(N, C, H, W), float in 0..1 or uint8."""


SPLITS = {"train": "training", "train-eval": "training images after the epoch", "test": "test"}
_WORDS = {"mse": "mean squared error", "kl": "KL term", "wrong_pixels_max": "wrong pixels in the worst image"}


def word(metric: str) -> str:
    """What a page calls a metric."""
    return _WORDS.get(metric, metric.replace("_", " "))


Panel = tuple[str, Sequence[tuple[str, int, Series]]]
"""The title of a pair of axes; for each of its curves the label, the place in the palette (so that a run keeps its
colour from panel to panel) and the values."""
Strip = tuple[str, Images]
"""Images side by side, and their name at the left."""


def curves(
    panels: Sequence[Panel], log: bool = False, columns: int = 2, share: bool = True, unit: str = "epoch"
) -> str:
    """Curves over epochs, or another unit, panels from left to right; with `share` those of one row have one scale."""
    rows = -(-len(panels) // columns)
    figure = _new_figure(8.6, 3.1 * rows + 0.35)
    axes = figure.subplots(rows, min(columns, len(panels)), sharey="row" if share else False, squeeze=False)
    for axis, (title, lines) in zip(axes.flat, panels, strict=False):
        for label, place, series in lines:
            style = {"color": PALETTE[place % len(PALETTE)], "linestyle": DASHES[place % len(DASHES)]}
            marks = {"marker": MARKERS[place % len(MARKERS)], "markersize": 4} if len(series.epochs) < 3 else {}
            axis.plot(series.epochs, series.values, label=label, linewidth=1.8, **style, **marks)
        axis.set_title(fill(title, 56))
        axis.set_xlabel(unit)
        if log:
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            # The formatters of a logarithmic axis write formulas, which this page has no font for.
            axis.yaxis.set_major_formatter(lambda value, place: f"{value:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _clear(axis)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4), frameon=False)
    return _to_svg(figure)


def image_rows(rows: Sequence[Strip], heads: Sequence[str] = (), columns: int = 16) -> str:
    """Rows of images of one size, named at the left; a row longer than `columns` is broken."""
    broken = [
        (label if start == 0 else "", images[start : start + columns])
        for label, images in rows
        for start in range(0, max(len(images), 1), columns)
    ]
    width = max(len(images) for _, images in broken)
    strips = [_strip(images, width) for _, images in broken]
    height, pixels = strips[0].shape[:2]
    figure = _new_figure(8.6, 8.6 * 0.86 * height * len(strips) / pixels + (0.35 if heads else 0.1))
    axis = figure.subplots()
    axis.imshow(np.concatenate(strips), interpolation="none", aspect="equal")
    axis.set_yticks([height * (index + 0.45) for index in range(len(broken))], [fill(label, 24) for label, _ in broken])
    step = pixels / width
    axis.set_xticks([step * (index + 0.45) for index in range(len(heads))], heads)
    axis.xaxis.tick_top()
    _bare(axis)
    return _to_svg(figure)


def tiles(images: Images, columns: int, extent: tuple[float, float]) -> str:
    """A block of images, with the axes of the plane that they were decoded from."""
    rows = [_strip(images[start : start + columns], columns, gap=0) for start in range(0, len(images), columns)]
    block = np.concatenate(rows)
    side = 6.2
    figure = _new_figure(side, side * block.shape[0] / block.shape[1] + 0.5)
    axis = figure.subplots()
    axis.imshow(block, interpolation="none", extent=(*extent, *extent), aspect="auto")
    axis.set_xlabel("first code value")
    axis.set_ylabel("second code value")
    _bare(axis)
    return _to_svg(figure)


CodePlot = tuple[str, NDArray[Any], NDArray[Any], Sequence[str]]
"""A title, codes (N, 2), their labels (N,), and the names that these index."""
FEW = 64  # codes that have room for a name each


def planes(shown: Sequence[CodePlot]) -> str:
    """Codes in their plane: few are named where they lie, many are coloured and marked by class."""
    columns = min(2, len(shown))
    width, height = (8.6, 4.1) if columns > 1 else (7.0, 5.4)
    figure, axes = _grid(len(shown), columns, width, height)
    for axis, (title, codes, labels, names) in zip(axes.flat, shown, strict=False):
        (_name_points if len(codes) <= FEW else _scatter_classes)(axis, codes, labels, names)
        axis.set_title(fill(title, 44))
        axis.set_xlabel("first code value")
        axis.set_ylabel("second code value")
        _clear(axis)
    if any(len(codes) > FEW for _, codes, *_ in shown):
        handles, words = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=5, frameon=False, markerscale=2.2)
    return _to_svg(figure)


def _name_points(axis: Axes, codes: NDArray[Any], labels: NDArray[Any], names: Sequence[str]) -> None:
    axis.plot(*codes.T, ".", color=PALETTE[0], markersize=5)
    for (x, y), label in zip(codes, labels, strict=True):
        axis.annotate(names[label], (x, y), xytext=(3, 3), textcoords="offset points", fontsize=9, color=INK)
    axis.margins(0.08)


def _scatter_classes(axis: Axes, codes: NDArray[Any], labels: NDArray[Any], names: Sequence[str]) -> None:
    for label, name in enumerate(names):
        colour, marker = PALETTE[label % len(PALETTE)], MARKERS[label % len(MARKERS)]
        x, y = codes[labels == label].T
        # Thousands of points as markup would weigh megabytes.
        axis.scatter(x, y, s=5, color=colour, marker=marker, alpha=0.6, linewidths=0, label=name, rasterized=True)


def matrices(shown: Sequence[tuple[str, NDArray[Any]]], names: Sequence[str]) -> str:
    """Confusion matrices as shares of the true class in percent, rows the true class."""
    columns = min(2, len(shown))
    side = min(0.5 * len(names) + 1.8, 6.4)  # few classes need no page
    figure, axes = _grid(len(shown), columns, *((8.6, 4.6) if columns > 1 else (side + 1, side)), sharey="row")
    for axis, (title, counts) in zip(axes.flat, shown, strict=False):
        shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        fading = to_rgba_array(PALETTE[0], np.sqrt(shares / 100).ravel())  # into the page
        axis.imshow(fading.reshape(*shares.shape, 4), interpolation="none")
        for row, column in np.argwhere(shares >= 0.5):
            bright = shares[row, column] > 55
            colour = "#ffffff" if bright else INK
            axis.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", fontsize=7.5, color=colour)
        axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(names)), names)
        axis.set_title(fill(title, 44))
        axis.set_xlabel("predicted")
        _bare(axis)
    for axis in axes[:, 0]:
        axis.set_ylabel("true class")
    room = f'style="max-width: {6.4 * side:g}rem; margin: auto" ' if columns == 1 else ""
    return _to_svg(figure).replace("<svg ", f"<svg {room}", 1)


def dots(groups: Sequence[tuple[str, Sequence[float]]], label: str, limit: float | None = None) -> str:
    """One value a seed for each group, points that coincide beside each other; `limit` is a line to stay under."""
    figure = _new_figure(8.6, 0.42 * len(groups) + 0.9)
    axis = figure.subplots()
    for place, (_, values) in enumerate(groups):
        seen = Counter[float]()
        for value in values:
            offset = 0.11 * ((seen[value] + 1) // 2) * (1 if seen[value] % 2 else -1)
            seen[value] += 1
            axis.plot(value, place + offset, "o", color=PALETTE[0], markersize=5, alpha=0.85)
    if limit is not None:
        axis.axvline(limit, color=PALETTE[1], linestyle="--", linewidth=1.2)
    axis.set_yticks(range(len(groups)), [name for name, _ in groups])
    axis.invert_yaxis()
    axis.set_xlim(left=min(0, axis.get_xlim()[0]))
    axis.set_xlabel(label)
    _clear(axis)
    return _to_svg(figure)


def _clear(axis: Axes) -> None:
    axis.grid(color=INK, alpha=0.12, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_alpha(FAINT)
    axis.tick_params(length=0)


def _bare(axis: Axes) -> None:
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def _strip(images: Images, width: int, gap: float = GAP) -> NDArray[Any]:
    """Images side by side as RGBA (height, width, 4), as wide as `width` of them, with see-through gaps.

    With a gap each has a thin frame: without one the white of a character would run into the page's.
    """
    pixels = images.astype(np.float64) / 255 if images.dtype == np.uint8 else np.clip(images, 0, 1)
    fine = -(-FINE // pixels.shape[3]) if gap else 1
    pixels = pixels.repeat(fine, axis=2).repeat(fine, axis=3)
    count, channels, height, across = pixels.shape
    colour = np.repeat(pixels, 3, axis=1) if channels == 1 else pixels[:, :3]
    frame, space = (1, max(1, round(gap * across))) if gap else (0, 0)
    strip = np.zeros((height + 2 * frame + space, width, across + 2 * frame + space, 4))
    strip[: height + 2 * frame, :count, : across + 2 * frame] = FRAME
    inside = strip[frame : frame + height, :count, frame : frame + across]
    inside[..., :3], inside[..., 3] = colour.transpose(2, 0, 3, 1), 1
    return strip.reshape(len(strip), -1, 4)
