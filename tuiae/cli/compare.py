"""`tuiae compare`: runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.text import Text

from tuiae.cli.output import Output
from tuiae.config import did_you_mean
from tuiae.errors import ConfigError, UnknownRunError
from tuiae.render.compare import compare_curves, seeds_table, settings_table, shared_grid, values_table
from tuiae.render.curves import draw_curves
from tuiae.render.legend import legend, plot_title
from tuiae.render.sweeps import levels_table, summary_notes, summary_plot, summary_words
from tuiae.render.text import beside, join_lines
from tuiae.runs.listing import preset_of, summarise
from tuiae.runs.paths import RunPaths, runs_dir
from tuiae.studies.compare import CompareReader, Comparison, Entry, RunGroup, cautions, group_figures, tagged_runs
from tuiae.studies.shared_images import SharedImages, shared_images
from tuiae.studies.sweep_summary import summary_record, sweep_summaries, without_summary

CURVE_LINES = 16
PICTURE_LINES = 7  # a row
WIDEST_PICTURES = 120  # columns
SUMMARY_LINES, WIDEST_SUMMARY = 14, 100


def compare_runs(runs: Sequence[RunPaths], tag: str, metric: str, output: Output) -> None:
    """Show runs beside each other, named ones first and then those that carry the tag.

    Raises:
        UnknownRunError: no run carries the tag. ConfigError: less than two runs, or a metric that none of them has.
    """
    root = runs_dir()
    tagged = tagged_runs(root, tag) if tag else []
    if tag and not tagged:
        raise UnknownRunError(f"no run in {root} carries the tag '{tag}'", "`tuiae sweep` tags the runs that it makes")
    paths = list(dict.fromkeys(run.root for run in (*runs, *tagged)))
    if len(paths) < 2:
        told = f"only {paths[0].name}" if paths else "nothing"
        raise ConfigError(f"{told} to compare", "name two runs or more, or a tag with --tag; `tuiae runs` lists them")
    comparison = CompareReader(paths).read_all()
    if comparison.metrics and metric not in comparison.metrics:
        meant = did_you_mean(metric, list(comparison.metrics))
        raise ConfigError(f"none of these runs has a test {metric}{meant}", f"one of {', '.join(comparison.metrics)}")
    shared = shared_images(comparison)
    if output.json:
        output.document(_document(comparison, shared, metric))
    else:
        _show(comparison, shared, metric, output)


def _show(comparison: Comparison, shared: SharedImages, metric: str, output: Output) -> None:
    width = output.people.width
    drawn = output.shows_pictures
    if output.shows_plots:
        _show_curves(comparison, metric, output)
    output.line(values_table(comparison, metric, width, output.shows_plots and output.plot_ascii))
    for caution in cautions(comparison, metric):
        output.line(caution, "yellow")
    if comparison.seeded:
        output.line()
        output.line(seeds_table(comparison, metric, width))
    output.line()
    output.line("what differs", "bold")
    output.line(settings_table(comparison, width))
    _show_summary(comparison, metric, output)
    if drawn and shared.entries:
        output.line()
        output.line(_pictures(shared, min(width, WIDEST_PICTURES), output.picture_mode))
    if drawn and shared.sentence:
        output.line(shared.sentence, "dim")


def _show_curves(comparison: Comparison, metric: str, output: Output) -> None:
    overlay, width, ascii_only = compare_curves(comparison, metric), output.plot_width, output.plot_ascii
    half, title = (width - 2) // 2, plot_title(metric)
    every = (*overlay.train, *overlay.test)
    look = output.look_at(every)
    output.draw(legend(overlay.test, width, ascii_only))
    train = draw_curves(overlay.train, half, CURVE_LINES, f"{overlay.train_split} {title}", look, ascii_only)
    test = draw_curves(overlay.test, half, CURVE_LINES, f"test {title}", look, ascii_only)
    output.draw(beside(train, test, half + 2))
    output.note_logarithms(every, look)
    if overlay.note:
        output.line(overlay.note, "dim")
    output.line()


def _show_summary(comparison: Comparison, metric: str, output: Output) -> None:
    """Each setting's values against the metric: a plot where plots are shown, a table, the best value."""
    summaries, width = sweep_summaries(comparison, metric), output.people.width
    output.line()
    if not summaries:
        output.line(without_summary(comparison, metric), "dim")
    for place, summary in enumerate(summaries):
        if place:
            output.line()
        notes = summary_notes(summary)
        output.line(f"{summary.key} against test {metric}" + (f" · {notes}" if notes else ""), "bold")
        if output.shows_plots:
            narrow = min(output.plot_width, WIDEST_SUMMARY)
            output.draw(summary_plot(summary, narrow, SUMMARY_LINES, output.plot_ascii or output.colourless))
        output.line(levels_table(summary, width))
        for words in summary_words(summary):
            output.line(words)


def _pictures(shared: SharedImages, width: int, mode: str) -> Text:
    """The grid as high as its rows need, without the empty lines around it."""
    grid = shared_grid(replace(shared, left_out=()), width, PICTURE_LINES * (len(shared.entries) + 2), mode)
    lines = list(grid.split(allow_blank=True))
    drawn = [place for place, line in enumerate(lines) if line.plain.strip()]
    return join_lines(lines[drawn[0] : drawn[-1] + 1])


# As JSON


def _document(comparison: Comparison, shared: SharedImages, metric: str) -> dict[str, Any]:
    id_of = {entry.key: entry.snapshot.id for entry in comparison.entries}
    group_of = {entry.key: group for group in comparison.groups for entry in group.entries}
    return {
        "metric": metric,
        "metrics": list(comparison.metrics),
        "runs": [_run_record(entry, group_of[entry.key], comparison) for entry in comparison.entries],
        "groups": [_group_record(group, comparison, metric) for group in comparison.groups],
        "differences": {
            row.key: {entry.snapshot.id: value for entry, value in zip(comparison.entries, row.values, strict=True)}
            for row in comparison.differences
        },
        "summary": [summary_record(summary) for summary in sweep_summaries(comparison, metric)],
        "same_images": {
            "runs": [entry.snapshot.id for entry in shared.entries],
            "left_out": {id_of[key]: why for key, why in shared.left_out if key in id_of},
        },
        "cautions": list(cautions(comparison, metric)),
    }


def _run_record(entry: Entry, group: RunGroup, comparison: Comparison) -> dict[str, Any]:
    """The run as `tuiae show --json` has it, and what the comparison adds."""
    snapshot, config = entry.snapshot, entry.snapshot.config
    record = summarise(snapshot)
    best = {f"test/{name}": found for name in comparison.metrics if (found := entry.best(name))}
    return {
        **record,
        "key": entry.key,
        "label": entry.label,
        "group": group.key,
        "preset": preset_of(config, snapshot.meta) if config else None,
        "dataset": config.data.dataset if config else None,
        "seed": config.training.seed if config else None,
        "seconds": snapshot.status.elapsed,
        "best": {name: {"value": found.value, "epoch": found.epoch} for name, found in best.items()},
        "history_epochs": {
            key: series.epochs.tolist()
            for (split, name), series in snapshot.series.items()
            if (key := f"{split}/{name}") in record["history"]
        },
    }


def _group_record(group: RunGroup, comparison: Comparison, metric: str) -> dict[str, Any]:
    found = {name: take(group) for name, take in group_figures(comparison, metric)}
    return {
        "key": group.key,
        "label": group.label,
        "runs": [entry.snapshot.id for entry in group.entries],
        "n": len(group.entries),
        "test": {name.replace(" ", "/"): spread and asdict(spread) for name, spread in found.items()},
    }
