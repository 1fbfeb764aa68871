"""Many runs as one question: `tuiae sweep` trains one preset with every combination of values, and `tuiae compare` puts
runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tuiae.cli.output import Output, dataset_progress, study_progress
from tuiae.cli.torchrun import refuse_torchrun
from tuiae.config import did_you_mean, short_keys, value_text
from tuiae.errors import ConfigError, ExitCode, TrainingError
from tuiae.render.compare import compare_curves, seeds_table, settings_table, shared_grid, values_table
from tuiae.render.curves import draw_curves
from tuiae.render.legend import legend, plot_title
from tuiae.render.sweeps import draw_bars, levels_table, summary_notes, summary_plot, summary_words
from tuiae.render.text import MISSING, beside, figure, join_lines
from tuiae.runs.labels import PRUNED
from tuiae.runs.listing import RunLister, preset_of, summarise, to_compare
from tuiae.runs.paths import RunPaths, runs_dir
from tuiae.runs.query import find_tagged
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.snapshot import Snapshot
from tuiae.studies.compare import (
    CompareReader,
    Comparison,
    Entry,
    RunGroup,
    Spread,
    cautions,
    group_figures,
)
from tuiae.studies.jobs import Job, check_jobs, known_runs, prepare_jobs, run_jobs
from tuiae.studies.library import Library
from tuiae.studies.places import Wish, place_of
from tuiae.studies.shared_images import SharedImages, shared_images
from tuiae.studies.sweep import Combination, Sweep, SweepRow, best_row, find_sweep, load_sweep, rows
from tuiae.studies.sweep_summary import summary_record, sweep_summaries, without_summary

if TYPE_CHECKING:
    from tuiae.studies.search import Search

BARS_WIDTH = 72
CURVE_LINES = 16
PICTURE_LINES = 7  # a row
WIDEST_PICTURES = 120  # columns
SUMMARY_LINES, WIDEST_SUMMARY = 14, 100


def sweep_file(file: str, workers: int, output: Output, *, dry_run: bool, wish: Wish) -> ExitCode:
    """Train what is missing of a sweep, where somebody wishes it, and show the results; Ctrl-C stops with checkpoints.

    Raises:
        TuiaeError: bad input, before anything trains. TrainingError: runs failed; the table is shown before.
    """
    path, root = find_sweep(file), runs_dir()
    sweep = load_sweep(path)
    if dry_run:
        _plan(sweep, root, output)
        return ExitCode.OK
    refuse_torchrun("sweep")
    try:
        with dataset_progress(output) as report:
            warnings = prepare_jobs(sweep.jobs, root, sweep.tag, report, here=not wish.on)
        output.warn(warnings)
        search = _search(sweep, root)
        jobs = [] if search else sweep.jobs
        commands = f"watch one with `tuiae attach`, list them with `tuiae runs --tag {sweep.tag}`"
        output.note(f"{search.total if search else len(jobs)} runs; {commands}")
        where = place_of(wish, sweep.resources, root, sweep.tag, workers, sweep.jobs)
        with where as place, study_progress(output) as tell:
            run_jobs(jobs, root, sweep.tag, workers, tell, sweep.tags, place, search)
    except KeyboardInterrupt:
        _show_result(sweep, root, output)
        output.note(f"stopped; the same command goes on: tuiae sweep {path}", "yellow")
        return ExitCode.STOPPED
    except TrainingError as error:
        _show_result(sweep, root, output, error)
        if not output.json:
            raise
        output.note(f"error: {error.cause}")
        return error.exit_code
    _show_result(sweep, root, output)
    return ExitCode.OK


def _search(sweep: Sweep, root: Path) -> Search | None:
    """The trials of a sweep that is a search."""
    if sweep.search is None:
        return None
    from tuiae.studies.search import Search

    return Search(sweep, root)


def _snapshots(sweep: Sweep, root: Path) -> dict[str, Snapshot]:
    """The snapshot of each job that has a run, by its label."""
    found = known_runs(sweep.jobs, root, sweep.tag)
    return {label: RunReader(run.root).read_all() for label, run in found.items()}


def _plan(sweep: Sweep, root: Path, output: Output) -> None:
    """Show the runs still to train, and those that exist."""
    output.warn(check_jobs(sweep.jobs, root))
    search = _search(sweep, root)
    planned = search.sweep if search else sweep
    with dataset_progress(output) as report:
        library = Library(root, sweep.tag, report)
        found = known_runs(planned.jobs, root, sweep.tag, library)
    output.warn(library.warnings)
    if output.json:
        _show_result(sweep, root, output)
        return
    states = {
        job.label: read_status(found[job.label]).state if job.label in found else "missing" for job in planned.jobs
    }
    output.table(("run", "state"), states.items())
    if search:
        output.line(f"{search.left} of {search.total} trials to go, tag {sweep.tag}")
        return
    missing = sum(state != "finished" for state in states.values())
    output.line(f"{missing} of {len(states)} runs to train, tag {sweep.tag}")


def _show_result(sweep: Sweep, root: Path, output: Output, error: TrainingError | None = None) -> None:
    if search := _search(sweep, root):
        sweep = search.sweep
    snapshots = _snapshots(sweep, root)
    found = rows(sweep, snapshots)
    best = best_row(sweep, found)
    if output.json:
        output.document({**_sweep_document(sweep, snapshots, found, best), **(error.document() if error else {})})
        return
    _show_table(sweep, found, best, output)
    drawn = output.shows_plots and len(sweep.keys) == 1 and sweep.ranked_by
    if drawn and any(row.runs.final(sweep.ranked_by) for row in found):
        output.line()
        _show_bars(sweep, found, best, output)
    if best is not None:
        seeds = f" over {best.finished} seeds" if best.finished > 1 else ""
        so_far = "" if all(row.complete or row.pruned for row in found) else " so far"
        output.line(f"best{so_far} by test {sweep.ranked_by}{seeds}: {best.combination.label}", "bold")
    elif sweep.unlike and not sweep.ranked_by:
        output.line(f"no best: {sweep.unlike}", "yellow")
    output.line(f"compare them with `tuiae compare --tag {sweep.tag}`", "dim")


def _show_table(sweep: Sweep, found: tuple[SweepRow, ...], best: SweepRow | None, output: Output) -> None:
    """One row a combination: its values, how many of its runs have finished, mean and range over seeds."""
    short = short_keys(sweep.keys)
    columns = {short[key]: [_value(row.combination, key) for row in found] for key in sweep.keys}
    columns["runs"] = [f"{row.finished}/{len(row.combination.jobs)}" for row in found]
    ranges = {}
    for metric, head in (("loss", "test loss"), ("accuracy", "accuracy")):
        spreads = [row.runs.final(metric) for row in found]
        columns[head] = [figure(metric, spread.mean if spread else None) for spread in spreads]
        if any(len(row.combination.jobs) > 1 for row in found):
            ranges[f"{metric} min..max"] = columns[f"{metric} min..max"] = [_range(metric, one) for one in spreads]
    columns[""] = ["best" if row is best else PRUNED * row.pruned for row in found]
    output.table(columns, zip(*columns.values(), strict=True), right=columns.keys() - ranges.keys() - {""})


def _value(combination: Combination, key: str) -> str:
    return value_text(combination.values[key]) if key in combination.values else MISSING


def _range(metric: str, spread: Spread | None) -> str:
    return f"{figure(metric, spread.min)}..{figure(metric, spread.max)}" if spread is not None and spread.n > 1 else ""


def _show_bars(sweep: Sweep, found: tuple[SweepRow, ...], best: SweepRow | None, output: Output) -> None:
    """The one key that is swept against the final figure, in the order of its values where they have one."""
    (key,) = sweep.keys
    metric = sweep.ranked_by
    shown = [(row, spread.mean) for row in found if (spread := row.runs.final(metric)) is not None]
    values = [row.combination.values.get(key) for row, _ in shown]
    if all(isinstance(value, (int, float)) for value in values):
        shown.sort(key=lambda pair: pair[0].combination.values[key])
    bars = [
        (_value(row.combination, key), mean, figure(metric, mean) + (" best" if row is best else ""))
        for row, mean in shown
    ]
    output.line(f"{key} against test {metric}", "bold")
    output.draw(draw_bars(bars, min(BARS_WIDTH, output.plot_width), output.plot_ascii))


def _sweep_document(
    sweep: Sweep, snapshots: Mapping[str, Snapshot], found: tuple[SweepRow, ...], best: SweepRow | None
) -> dict[str, Any]:
    jobs = [(job, row.combination) for row in found for job in row.combination.jobs]
    return {
        "sweep": sweep.name,
        "tag": sweep.tag,
        "runs": [_job_record(job, combination, snapshots.get(job.label)) for job, combination in jobs],
        "combinations": [_row_record(row) for row in found],
        "best": None if best is None else {**_row_record(best), "by": sweep.ranked_by},
    }


def _job_record(job: Job, combination: Combination, snapshot: Snapshot | None) -> dict[str, Any]:
    known = {"label": job.label, "seed": job.config.training.seed, "values": dict(combination.values)}
    if snapshot is None:
        return {**known, "run": None, "dir": None, "state": "missing", "metrics": {}}
    summary = summarise(snapshot)
    return {**known, **{key: summary[key] for key in ("run", "dir", "state", "metrics")}}


def _row_record(row: SweepRow) -> dict[str, Any]:
    finals = {metric: row.runs.final(metric) for metric in ("loss", "accuracy")}
    return {
        "label": row.combination.label,
        "values": dict(row.combination.values),
        "finished": row.finished,
        **{metric: final and asdict(final) for metric, final in finals.items()},
    }


# Runs side by side


def compare_runs(runs: Sequence[RunPaths], tag: str, metric: str, output: Output) -> None:
    """Show runs beside each other, named ones first and then those that carry the tag.

    Raises:
        UnknownRunError: no run carries the tag. ConfigError: less than two runs, or a metric that none of them has.
    """
    paths = list(dict.fromkeys((*(run.root for run in runs), *(_tagged(tag) if tag else ()))))
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


def _tagged(tag: str) -> list[Path]:
    """The runs that carry a tag, in the order in which they are compared; raises UnknownRunError where none does."""
    found = {run.root for run in find_tagged(tag, runs_dir())}
    return [row.path for row in to_compare(row for row in RunLister(runs_dir()).rows() if row.path in found)]


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
        bands = "; bands go from the lowest to the highest" if any(curve.band for curve in every) else ""
        output.line(f"{overlay.note}{bands}", "dim")
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
