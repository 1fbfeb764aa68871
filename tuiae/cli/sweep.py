"""`tuiae sweep`: one preset trained with every combination of values, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tuiae.cli.output import Output, dataset_progress, study_progress
from tuiae.config import short_keys, value_text
from tuiae.errors import ExitCode, TrainingError
from tuiae.render.bars import draw_bars
from tuiae.render.text import MISSING, figure
from tuiae.runs.listing import summarise
from tuiae.runs.paths import runs_dir
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.snapshot import Snapshot
from tuiae.studies.compare import Spread
from tuiae.studies.jobs import Job, Library, check_jobs, known_runs, make_ready, run_jobs
from tuiae.studies.sweep import Combination, Sweep, SweepRow, best_row, find_sweep, load_sweep, rows

PLOT_WIDTH = 72


def sweep_file(file: str, workers: int, output: Output, *, dry_run: bool) -> ExitCode:
    """Train what is missing of a sweep and show the results; Ctrl-C stops with checkpoints.

    Raises:
        TuiaeError: bad input, before anything trains. TrainingError: runs failed; the table is shown before.
    """
    path, root = find_sweep(file), runs_dir()
    sweep = load_sweep(path)
    if dry_run:
        _plan(sweep, root, output)
        return ExitCode.OK
    try:
        with dataset_progress(output) as report:
            warnings = make_ready(sweep.jobs, root, sweep.tag, report)
        output.warn(warnings)
        commands = f"watch one with `tuiae attach`, list them with `tuiae runs --tag {sweep.tag}`"
        output.note(f"{len(sweep.jobs)} runs; {commands}")
        with study_progress(output) as tell:
            run_jobs(sweep.jobs, root, sweep.tag, workers, tell, sweep.tags)
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


def _snapshots(sweep: Sweep, root: Path) -> dict[str, Snapshot]:
    """The snapshot of each job that has a run, by its label."""
    found = known_runs(sweep.jobs, root, sweep.tag)
    return {label: RunReader(run.root).read_all() for label, run in found.items()}


def _plan(sweep: Sweep, root: Path, output: Output) -> None:
    """Show the runs still to train, and those that exist."""
    check_jobs(sweep.jobs, root)
    with dataset_progress(output) as report:
        library = Library(root, sweep.tag, report)
        found = known_runs(sweep.jobs, root, sweep.tag, library)
    output.warn(library.warnings)
    if output.json:
        _show_result(sweep, root, output)
        return
    states = {job.label: read_status(found[job.label]).state if job.label in found else "missing" for job in sweep.jobs}
    output.table(("run", "state"), states.items())
    missing = sum(state != "finished" for state in states.values())
    output.line(f"{missing} of {len(states)} runs to train, tag {sweep.tag}")


def _show_result(sweep: Sweep, root: Path, output: Output, error: TrainingError | None = None) -> None:
    snapshots = _snapshots(sweep, root)
    found = rows(sweep, snapshots)
    best = best_row(sweep, found)
    if output.json:
        output.document({**_document(sweep, snapshots, found, best), **(error.document() if error else {})})
        return
    _show_table(sweep, found, best, output)
    drawn = output.shows_plots and len(sweep.keys) == 1 and sweep.ranked_by
    if drawn and any(row.runs.final(sweep.ranked_by) for row in found):
        output.line()
        _plot(sweep, found, best, output)
    if best is not None:
        seeds = f" over {best.finished} seeds" if best.finished > 1 else ""
        so_far = "" if all(row.complete for row in found) else " so far"
        output.line(f"best{so_far} by test {sweep.ranked_by}{seeds}: {best.combination.label}", "bold")
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
    columns[""] = ["best" if row is best else "" for row in found]
    output.table(columns, zip(*columns.values(), strict=True), right=columns.keys() - ranges.keys() - {""})


def _value(combination: Combination, key: str) -> str:
    return value_text(combination.values[key]) if key in combination.values else MISSING


def _range(metric: str, spread: Spread | None) -> str:
    return f"{figure(metric, spread.min)}..{figure(metric, spread.max)}" if spread is not None and spread.n > 1 else ""


def _plot(sweep: Sweep, found: tuple[SweepRow, ...], best: SweepRow | None, output: Output) -> None:
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
    output.draw(draw_bars(bars, min(PLOT_WIDTH, output.plot_width), output.plot_ascii))


def _document(
    sweep: Sweep, snapshots: Mapping[str, Snapshot], found: tuple[SweepRow, ...], best: SweepRow | None
) -> dict[str, Any]:
    jobs = [(job, row.combination) for row in found for job in row.combination.jobs]
    return {
        "sweep": sweep.name,
        "tag": sweep.tag,
        "runs": [_run_record(job, combination, snapshots.get(job.label)) for job, combination in jobs],
        "combinations": [_row_record(row) for row in found],
        "best": None if best is None else {**_row_record(best), "by": sweep.ranked_by},
    }


def _run_record(job: Job, combination: Combination, snapshot: Snapshot | None) -> dict[str, Any]:
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
