"""The values of a setting against a figure: a point a run, the medians as a line; or a bar each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.config import value_text
from tuiae.render import palette
from tuiae.render.compare import BEST
from tuiae.render.legend import SIGNS
from tuiae.render.plot import ASCII_STROKES, PlotSeries, Stroke, bar_rows, draw_plot
from tuiae.render.table import draw_table, filled
from tuiae.render.text import ACCURACY, clean, figure, join_lines, shorten, wrap
from tuiae.render.ticks import Axis, Limits
from tuiae.studies.compare import edited, ending, metric_name
from tuiae.studies.sweep_summary import CATEGORIES, LOG, Level, SweepSummary, axis_number, figures_of, spans_a_decade

FINAL_SIGN, BEST_SIGN = "●", "◦"
FINAL_COLOR, BEST_COLOR = palette.TEST, palette.SKY
LEAST_PLOT = 5  # lines
MOST_REACHED = 2  # runs that a sentence tells of
MOST_LABEL = 16  # cells of a value on the axis
MOST_BAR_LABEL = 24  # and of one before a bar
_GUTTER = 8  # cells of the y axis and its labels
_BAR, _ASIDE = 0.15, 0.18  # of the distance of two categories: half a median's bar, and how far two kinds stand apart
_X_PAD, _Y_PAD = 0.08, 0.05  # shares of the span


Bar = tuple[str, float, str]
"""A label, a length that is not negative, and the words behind the bar."""


def draw_bars(bars: Sequence[Bar], width: int, ascii_only: bool = False) -> Text:
    """A line for each bar, the longest as long as there is room for; lengths compare, all start at zero."""
    labels = [shorten(clean(label), MOST_BAR_LABEL) for label, _, _ in bars]
    head = max(map(cell_len, labels), default=0)
    room = max(width - head - max((cell_len(words) for _, _, words in bars), default=0) - 3, 1)
    longest = max((length for _, length, _ in bars), default=0.0) or 1.0
    drawn = bar_rows([length / longest for _, length, _ in bars], room, ascii_only, least=1)
    lines = []
    for label, row, (_, _, words) in zip(labels, drawn, bars, strict=True):
        line = Text(" " * (head - cell_len(label)) + label + "  ")
        lines.append(line.append(row, palette.SKY).append(f" {words}"))
    return join_lines(lines)


def summary_notes(summary: SweepSummary) -> str:
    """Which axes are logarithmic: `log axes`, `log latent`, `log loss`; empty for none."""
    across, up = summary.axis == LOG, spans_a_decade(figures_of(summary))
    if across and up:
        return "log axes"
    return f"log {summary.name}" if across else f"log {metric_name(summary.metric)}" if up else ""


def summary_words(summary: SweepSummary) -> tuple[str, ...]:
    """The best value and its figure, and what else differs, in sentences."""
    best, name = summary.best_level, metric_name(summary.metric)
    said = [f"no best value: {summary.unranked}" if summary.unranked else f"no final {name} yet"]
    if best is not None:
        runs = len(best.finals)
        which = f"median final {name}" if runs > 1 else f"final {name}"
        over = f" of {runs} runs" if runs > 1 else ""
        reached = _reached(summary, best)
        value = f"{summary.name} {value_text(best.value, summary.key)}"
        said = [f"best: {value}, {which} {figure(summary.metric, best.final)}{over}{reached}"]
    if summary.also:
        said.append(f"also different: {', '.join(summary.names[key] for key in summary.also)}")
    return tuple(clean(words) for words in said)


def _reached(summary: SweepSummary, level: Level) -> str:
    """` (A stopped at epoch 641)`: which of a value's runs had it for a part of their epochs, or ended early."""
    said = []
    for entry in (entry for entry in level.entries if entry.final(summary.metric) is not None):
        ended, edits = ending(entry.snapshot), edited(entry.snapshot, summary.key)
        said += [f"{entry.key} {ended}"] * bool(ended) + [f"{entry.key} edited: {edits}"] * bool(edits)
    more = f" and {len(said) - MOST_REACHED} more" if len(said) > MOST_REACHED else ""
    return f" ({'; '.join(said[:MOST_REACHED])}{more})" if said else ""


def draw_summary(summary: SweepSummary, width: int, height: int, ascii_only: bool = False) -> Text:
    """Legend, plot and words in `height` lines of at most `width` cells; where lines lack, the words are cut first."""
    if width <= 0 or height <= 0:
        return Text()
    lines = [Text(line, style, end="") for line, style in _wrapped(summary, width)]
    room = height - 1 - LEAST_PLOT
    lines = lines[: max(room, 1)]
    plot = height - len(lines)
    if plot < 3:
        return join_lines(lines[:height])
    return join_lines([summary_plot(summary, width, plot, ascii_only), *lines])


def draw_nothing(why: str, width: int, height: int) -> Text:
    """A sentence in the middle, wrapped."""
    if width <= 0 or height <= 0:
        return Text()
    words = wrap(why, width)[:height]
    return join_lines([*(Text() for _ in range((height - len(words)) // 2)), *(Text(w, "dim", end="") for w in words)])


def summary_plot(summary: SweepSummary, width: int, height: int, ascii_only: bool = False) -> Text:
    """Legend and plot, three lines or more."""
    plot = _plot(_as_plotted(summary), width, height - 1, ascii_only)
    return join_lines([_legend(summary, width, ascii_only), *plot])


def _as_plotted(summary: SweepSummary) -> SweepSummary:
    """The same with accuracies in per cent."""
    if summary.metric != ACCURACY:
        return summary
    levels = (
        replace(level, finals=tuple(100 * one for one in level.finals), bests=tuple(100 * one for one in level.bests))
        for level in summary.levels
    )
    return replace(summary, levels=tuple(levels))


def _wrapped(summary: SweepSummary, width: int) -> list[tuple[str, str]]:
    best, *rest = summary_words(summary)
    return [
        *((line, "bold") for line in wrap(best, width)),
        *((line, palette.CAUTION) for words in rest for line in wrap(words, width)),
    ]


def levels_table(summary: SweepSummary, width: int) -> Text:
    """A line a value: its runs, the median, lowest and highest of their final figures, the median of the best ones."""
    levels, best, say = summary.levels, summary.best_level, partial(figure, summary.metric)
    values = (Text(clean(value_text(level.value, summary.key), 32)) for level in levels)
    finals = [
        Text(f"{say(level.final)} {BEST}", "bold") if level is best else Text(f"{say(level.final)}  ")
        for level in levels
    ]
    columns = [
        filled(clean(summary.key), values, right=False),
        filled("runs", (Text(str(len(level.entries))) for level in levels)),
        filled(f"median final {metric_name(summary.metric)}  ", finals),
        filled("min", (Text(say(min(level.finals, default=None))) for level in levels), rank=2),
        filled("max", (Text(say(max(level.finals, default=None))) for level in levels), rank=2),
        filled("median best", (Text(say(level.best)) for level in levels), rank=1),
    ]
    return join_lines(draw_table(columns, width))


def _differ(summary: SweepSummary) -> bool:
    """Returns whether some run was better once than at its end; else one kind of point says both."""
    return any(level.finals != level.bests for level in summary.levels)


def _legend(summary: SweepSummary, width: int, ascii_only: bool) -> Text:
    known = ASCII_STROKES if ascii_only else SIGNS
    differ = _differ(summary)
    several = any(len(level.entries) > 1 for level in summary.levels)
    joined = not summary.unranked  # a line through figures would compare them
    text = Text(no_wrap=True, end="")
    shown = [(_final_sign(ascii_only), known["solid"], FINAL_COLOR, "final" if differ else "final, also the best")]
    shown += [(BEST_SIGN, known["dashed"], BEST_COLOR, "best")] if differ else []
    for sign, stroke, color, name in shown:
        text.append("  " if text.plain else "").append(sign, f"bold {color}").append(f" {name}")
        if joined:
            text.append(f" {stroke}", f"bold {color}").append(" median" if several else "")
    text.truncate(width, overflow="ellipsis")
    return text


def _final_sign(ascii_only: bool) -> str:
    """The sign of a final figure; in ASCII the usual sign would become that of the median."""
    return "O" if ascii_only else FINAL_SIGN


def _plot(summary: SweepSummary, width: int, height: int, ascii_only: bool) -> Sequence[Text]:
    places = _places(summary)
    across, log = summary.axis == LOG, spans_a_decade(figures_of(summary))
    room = max((width - _GUTTER) // len(summary.levels) - 2, 3)
    levels = zip(places, summary.levels, strict=True)
    ticks = tuple((place, words) for place, level in levels if (words := _tick(summary, level, room)))
    between = (-0.5, len(places) - 0.5) if summary.axis == CATEGORIES else _padded(places, _X_PAD, across)
    x = Axis(between, log=across, ticks=ticks)
    y = Axis(_padded(figures_of(summary), _Y_PAD, log), log=log)
    return draw_plot(_series(summary, places, ascii_only), width, height, x, y, ascii_only).lines


def _tick(summary: SweepSummary, level: Level, room: int) -> str:
    """What stands below a value; a category is cut rather than left out."""
    value = axis_number(level.value) if summary.axis != CATEGORIES else None
    return f"{value:g}" if value is not None else clean(value_text(level.value, summary.key), min(MOST_LABEL, room))


def _places(summary: SweepSummary) -> list[float]:
    """Where each value stands on the x axis."""
    if summary.axis == CATEGORIES:
        return [float(index) for index in range(len(summary.levels))]
    return [axis_number(level.value) or 0.0 for level in summary.levels]


def _series(summary: SweepSummary, places: Sequence[float], ascii_only: bool) -> list[PlotSeries]:
    """The medians first, so that no point is covered by a line; the final figures last."""
    apart, differ = summary.axis == CATEGORIES, _differ(summary)
    # A category has room beside it; a number has one place alone.
    aside = _ASIDE if apart and differ else 0.0
    best = [(place + aside, level) for place, level in zip(places, summary.levels, strict=True) if differ]
    final = [(place - aside, level) for place, level in zip(places, summary.levels, strict=True)]
    medians = [
        *_medians([(place, level.best) for place, level in best], apart, BEST_COLOR, "dashed"),
        *_medians([(place, level.final) for place, level in final], apart, FINAL_COLOR, "solid"),
    ]
    return [
        *(medians if not summary.unranked else ()),
        _points([(place, value) for place, level in best for value in level.bests], BEST_SIGN, BEST_COLOR),
        _points(
            [(place, value) for place, level in final for value in level.finals], _final_sign(ascii_only), FINAL_COLOR
        ),
    ]


def _medians(
    medians: Sequence[tuple[float, float | None]], apart: bool, color: str, stroke: Stroke
) -> list[PlotSeries]:
    """One line through the medians of numbers; between categories there is no way, so that each has a bar."""
    known = [(x, y) for x, y in medians if y is not None]
    if apart:
        return [PlotSeries(*_xy([(x - _BAR, y), (x + _BAR, y)]), color, stroke) for x, y in known]
    return [PlotSeries(*_xy(known), color, stroke)] if len(known) > 1 else []


def _points(pairs: Sequence[tuple[float, float]], sign: str, color: str) -> PlotSeries:
    return PlotSeries(*_xy(pairs), color, "points", sign, bold=color == FINAL_COLOR)


def _xy(pairs: Sequence[tuple[float, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    known = np.array(pairs, np.float64).reshape(-1, 2)
    return known[:, 0], known[:, 1]


def _padded(values: Sequence[float], share: float, log: bool) -> Limits:
    """Lowest and highest, with room for the signs at either end."""
    low, high = float(min(values)), float(max(values))
    if log:
        factor = (high / low) ** share if high > low else 1.5
        return low / factor, high * factor
    pad = share * (high - low) or abs(low) * 0.1 or 0.5
    return low - pad, high + pad
