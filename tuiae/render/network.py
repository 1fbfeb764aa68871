"""A network in cells: its layers in a table beside its outline, and how their values are spread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import prod
from typing import Any

import numpy as np
from rich.text import Text

from tuiae.models.geometry import ImageShape, LayerInfo
from tuiae.render import palette
from tuiae.render.table import GAP, draw_table, filled
from tuiae.render.text import centred, clean, fitted, in_mode, join_lines, levels, shorten, wrapped
from tuiae.runs.snapshot import CODE_VALUES, GRADIENTS, WEIGHTS, Histogram

# The layers

COLORS = {
    **dict.fromkeys(("encoder", "log_variance", "forward"), palette.SKY),
    **dict.fromkeys(("input", "other"), palette.GREY),
    "code": palette.YELLOW,
}
AFTER_CODE = ("decoder", "head")
REST = palette.GREEN  # what follows the code
LEAST_OUTLINE, LONGEST_OUTLINE = 9, 41  # cells


def draw_network(
    layers: Sequence[LayerInfo], image_shape: ImageShape, width: int, *, frozen: bool = False, ascii_only: bool = False
) -> list[Text]:
    """A line for the images, each layer and the code, with what comes out of it and its parameters; where there is
    room, beside an outline whose breadth goes with the root of the number of values. The number of parameters last;
    `frozen` says that the encoder is not trained."""
    code = next((layer for layer in reversed(layers) if layer.part == "encoder"), None)
    rows = [LayerInfo("input", 0, "", image_shape)]
    for layer in layers:
        if code is not None and layer.part in AFTER_CODE and not any(row.part in AFTER_CODE for row in rows):
            rows.append(LayerInfo("code", 0, "", code.shape))
        rows.append(layer)
    parts = [row.part if place == 0 or row.part != rows[place - 1].part else "" for place, row in enumerate(rows)]
    columns = [
        filled("part", [Text(part.replace("_", "-"), COLORS.get(part, REST)) for part in parts], right=False),
        filled("layer", [Text(_layer_words(row)) for row in rows], right=False, least=12),
        filled("output", [Text("x".join(map(str, row.shape))) for row in rows]),
        filled("parameters", [Text(f"{row.parameters:,}" if row.parameters else "") for row in rows]),
    ]
    used = sum(column.width + GAP for column in columns)
    if (room := min(width - used, LONGEST_OUTLINE)) >= LEAST_OUTLINE:
        columns.append(filled("", _outline(rows, room, ascii_only), right=False))
    lines = draw_table(columns, width)
    total = sum(layer.parameters for layer in layers)
    trained = sum(layer.parameters for layer in layers if layer.part != "encoder")
    words = f"{total:,} parameters" + (f", of which {trained:,} are trained: the encoder is frozen" if frozen else "")
    return [in_mode(line, "ascii" if ascii_only else "") for line in [*lines, Text(), *wrapped(words, width, "bold")]]


def _layer_words(layer: LayerInfo) -> str:
    apart = ", " if layer.words.startswith("dropout") else " "
    return f"{layer.kind}{apart}{layer.words}" if layer.words else layer.kind


def _outline(rows: Sequence[LayerInfo], room: int, ascii_only: bool) -> list[Text]:
    """A bar for each row, in the middle of `room` cells."""
    widest = max(math.sqrt(prod(row.shape)) for row in rows)  # of no shape it is 1
    lines = []
    for row in rows:
        cells = max(round(math.sqrt(prod(row.shape)) / widest * room), 1)
        solid = bool(row.parameters) or not row.kind
        bar = ((":", "#") if ascii_only else ("▒", "█"))[solid] * cells
        lines.append(Text(" " * ((room - cells) // 2)).append(bar, COLORS.get(row.part, REST)))
    return lines


def layer_records(layers: Sequence[LayerInfo]) -> list[dict[str, Any]]:
    """The layers for a JSON document."""
    records = [{"name": layer.name, **asdict(layer), "shape": list(layer.shape)} for layer in layers]
    return [{key: value for key, value in record.items() if key != "module"} for record in records]


# How values are spread

HISTOGRAMS_KEY = "samples.histograms"
NO_HISTOGRAMS = f"no histograms here; a run that is started with {HISTOGRAMS_KEY} = true keeps them"
LABEL, RANGE = 12, 19  # cells
COLOR_OF = {WEIGHTS: palette.SKY, GRADIENTS: palette.ORANGE, CODE_VALUES: palette.YELLOW}
LEAST_BARS = 8
EPOCHS = 40
"""Most epochs that are drawn below each other."""

Place = tuple[int, int]
"""A row of the overview, and whether its weights (0) or its gradients (1)."""


def spread_epochs(epochs: Sequence[int], most: int = EPOCHS) -> tuple[int, ...]:
    """At most `most` epochs, evenly spaced, the first and the last among them."""
    if len(epochs) <= most:
        return tuple(epochs)
    return tuple(epochs[round(place * (len(epochs) - 1) / (most - 1))] for place in range(most))


def layers_of(histograms: Sequence[Histogram]) -> list[tuple[Histogram | None, Histogram | None]]:
    """Weights and gradients of each layer, then the code alone."""
    found: dict[str, list[Histogram | None]] = {}
    for one in histograms:
        pair = found.setdefault(one.layer, [None, None])
        pair[one.what == GRADIENTS] = one
    return [(first, second) for first, second in found.values()]


def at_place(histograms: Sequence[Histogram], place: Place) -> Histogram | None:
    """What a place of the overview shows; of a layer without gradients its weights."""
    rows = layers_of(histograms)
    if not rows:
        return None
    pair = rows[min(place[0], len(rows) - 1)]
    return pair[place[1]] or pair[0] or pair[1]


def draw_histograms(
    shown: Sequence[Histogram],
    history: Mapping[int, Sequence[Histogram]],
    cursor: Place,
    epoch: int,
    width: int,
    height: int,
    ascii_only: bool = False,
) -> Text:
    """The overview of an epoch, as far as half the height takes it, and below it what the cursor stands on over the
    epochs of the `history`."""
    chosen = at_place(shown, cursor)
    if chosen is None or width <= 0:
        return in_mode(centred(NO_HISTOGRAMS, width, height), "ascii" if ascii_only else "")
    head, *rows = draw_overview(shown, cursor, width, ascii_only)
    most = max(min(len(rows), height // 2 - 1), 1)
    first = min(max(cursor[0] - most // 2, 0), len(rows) - most)
    lines = [head, *rows[first : first + most], Text()]
    lines += draw_over_epochs(chosen, history, epoch, width, max(height - len(lines), 0), ascii_only)
    return join_lines(lines[: max(height, 0)])


def draw_overview(shown: Sequence[Histogram], cursor: Place | None, width: int, ascii_only: bool = False) -> list[Text]:
    """A line of heads, and one for each layer: its weights and its gradients; the codes last."""
    lines = [_heads(width)]
    lines += [_row(pair, place, cursor, width, ascii_only) for place, pair in enumerate(layers_of(shown))]
    return [in_mode(line, "ascii" if ascii_only else "") for line in lines]


def _cells(width: int) -> tuple[int, int]:
    """Cells of the bars of each of the two histograms of a row, and of the range behind them, 0 without the room."""
    bars = (width - LABEL) // 2 - GAP - RANGE
    return (bars, RANGE) if bars >= LEAST_BARS else (max((width - LABEL) // 2 - GAP, 1), 0)


def _heads(width: int) -> Text:
    line = f"{fitted('', LABEL + GAP)}{fitted(WEIGHTS, sum(_cells(width)) + GAP)}{GRADIENTS}"
    return Text(shorten(line, width), "dim", no_wrap=True, end="")


def _row(
    pair: tuple[Histogram | None, Histogram | None], place: int, cursor: Place | None, width: int, ascii_only: bool
) -> Text:
    known = next(one for one in pair if one is not None)
    line = Text(fitted(clean(known.layer) or CODE_VALUES, LABEL), no_wrap=True, end="")
    cells, behind = _cells(width)
    for column, one in enumerate(one for one in pair if one is not None):
        is_chosen = cursor is not None and place == cursor[0] and (column == cursor[1] or pair[1] is None)
        line.append(fitted("▸" if is_chosen else "", GAP), "bold")
        line.append(_bars(one, one.low, one.high, cells, ascii_only), COLOR_OF.get(one.what, palette.SKY))
        line.append(fitted(f" {_short(one.low)} to {_short(one.high)}", behind), "bold" if is_chosen else "dim")
    line.truncate(width)
    return line


def _short(value: float) -> str:
    words = f"{value:.2g}" if value == 0 or abs(value) >= 0.01 else f"{value:.1e}"
    return words.replace("e-0", "e-").replace("e+0", "e")


def draw_over_epochs(
    chosen: Histogram,
    history: Mapping[int, Sequence[Histogram]],
    epoch: int,
    width: int,
    height: int,
    ascii_only: bool = False,
) -> list[Text]:
    """One histogram after epoch upon epoch, as many as fit, on one axis; the `epoch` that shows is marked."""
    found = {
        when: one
        for when, histograms in sorted(history.items())
        for one in histograms
        if (one.what, one.layer) == (chosen.what, chosen.layer)
    }
    if not found:
        return []
    kept = spread_epochs(list(found), max(height - 2, 2)) if len(found) > height - 1 else tuple(found)
    low, high = min(one.low for one in found.values()), max(one.high for one in found.values())
    head = max(len(f"{when:,}") for when in kept) + 2
    cells = max(width - head, 1)
    color = COLOR_OF.get(chosen.what, palette.SKY)
    what = chosen.what + (f" of {clean(chosen.layer)}" if chosen.layer else "")
    span = f"{_short(low)} to {_short(high)}"
    words = next((words for words in (f"{what} by epoch, {span}", f"{what}, {span}") if len(words) <= width), what)
    lines = [Text(shorten(words, width), "dim", no_wrap=True, end="")]
    for when in kept:
        mark, style = (">", "bold") if when == epoch else (" ", "dim")
        line = Text(f"{mark}{when:>{head - 2},} ", style, no_wrap=True, end="")
        line.append(_bars(found[when], low, high, cells, ascii_only), f"not dim not bold {color}")
        line.truncate(width)
        lines.append(line)
    return [in_mode(line, "ascii" if ascii_only else "") for line in lines[:height]]


def _bars(one: Histogram, low: float, high: float, cells: int, ascii_only: bool) -> str:
    """Bars from `low` to `high`, the highest where most values lie: each bin is spread over the bars that
    it covers, and a bar without values is blank."""
    edges = np.linspace(one.low, one.high, len(one.counts) + 1)
    below = np.concatenate([[0.0], np.cumsum(one.counts, dtype=float)])
    sums = np.diff(np.interp(np.linspace(low, high, cells + 1), edges, below))
    highest = sums.max(initial=0.0)
    return "".join(levels([share / highest], ascii_only) if share > 0 else " " for share in sums.tolist())


def histogram_records(histograms: Sequence[Histogram]) -> list[dict[str, Any]]:
    """The histograms for a JSON document."""
    return [{**asdict(one), "counts": one.counts.tolist()} for one in histograms]
