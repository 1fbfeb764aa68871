"""A run's curves as text, below what a command says of it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tuiae.cli.output import Output
from tuiae.render.curves import Curve, draw_curves, without_dashes
from tuiae.render.legend import legend, plot_title, run_curves, second_metrics
from tuiae.render.text import beside, join_lines
from tuiae.runs.snapshot import Snapshot

LINES = 14  # of a plot, with its title and its legend
SIDE_BY_SIDE = 96  # columns from which two plots stand beside each other
WIDEST = 100  # columns of one plot
GAP = 2


def show_curves(snapshot: Snapshot, output: Output) -> None:
    """Loss, and what the run has beside it; nothing where plots are not shown or nothing was measured."""
    if not output.shows_plots:
        return
    metrics = [name for name in ("loss", second_metrics(snapshot)[0]) if ("test", name) in snapshot.series]
    if not metrics:
        return
    together = len(metrics) > 1 and output.plot_width >= SIDE_BY_SIDE
    width = min((output.plot_width - GAP) // 2 if together else output.plot_width, WIDEST)
    plots = [_plot(plot_title(name), run_curves(snapshot, name), width, output) for name in metrics]
    output.line()
    if together:
        output.draw(beside(plots[0], plots[1], width + GAP))
        return
    for place, plot in enumerate(plots):
        if place:
            output.line()
        output.draw(plot)


def told_apart(curves: Sequence[Curve], output: Output) -> list[Curve]:
    """Curves as this output can tell them apart."""
    plain = output.plot_ascii or output.colourless
    return [without_dashes(curve) if plain else curve for curve in curves]


def _plot(title: str, curves: Sequence[Curve], width: int, output: Output) -> Text:
    shown, ascii_only = told_apart(curves, output), output.plot_ascii
    key = legend(shown, width - len(title) - GAP, ascii_only)
    head = Text(title, "bold", end="").append(" " * GAP).append_text(key)
    return join_lines([head, draw_curves(shown, width, LINES - 1, ascii=ascii_only)])
