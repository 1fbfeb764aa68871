"""`tuiae sweep`: what is to be trained, how it goes, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuiae.cli.output import Output, watching
from tuiae.cli.train import reporting
from tuiae.errors import ExitCode, TrainingError
from tuiae.render.bars import draw_bars
from tuiae.render.text import figure
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Snapshot
from tuiae.studies.compare import Spread
from tuiae.studies.jobs import check_jobs, known_runs, make_ready, run_jobs
from tuiae.studies.labels import short_keys, value_text
from tuiae.studies.sweep import Combination, Sweep, SweepRow, best_row, load_sweep, rows

METRICS = ("loss", "accuracy")
PLOT_WIDTH = 72


def sweep_file(path: Path, root: Path, workers: int, output: Output, *, dry_run: bool) -> ExitCode:
    """Train what is missing of a sweep and show what came of it; Ctrl-C stops with checkpoints.

    Raises:
        TuiaeError: bad input, before anything trains. TrainingError: runs failed; the table is shown before.
    """
    sweep = load_sweep(path)
    if dry_run:
        _plan(sweep, root, output)
        return ExitCode.OK
    try:
        with reporting(output) as report:
            warnings = make_ready(sweep.jobs, root, sweep.tag, report)
        for warning in warnings:
            output.note(f"note: {warning}", "yellow")
        output.note(
            f"{len(sweep.jobs)} runs; watch one with `tuiae attach`, list them with `tuiae runs --tag {sweep.tag}`"
        )
        with watching(output) as tell:
            run_jobs(sweep.jobs, root, sweep.tag, workers, tell, sweep.tags)
    except KeyboardInterrupt:
        _tell_result(sweep, _snapshots(sweep, root), output, None)
        output.note(f"stopped; the same command goes on: tuiae sweep {path}", "yellow")
        return ExitCode.STOPPED
    except TrainingError as error:
        _tell_result(sweep, _snapshots(sweep, root), output, error)
        if not output.json:
            raise
        output.note(f"error: {error.cause}")
        return error.exit_code
    _tell_result(sweep, _snapshots(sweep, root), output, None)
    return ExitCode.OK


def _snapshots(sweep: Sweep, root: Path) -> dict[str, Snapshot]:
    """What is there of each job."""
    found: dict[str, RunPaths] = known_runs(sweep.jobs, root, sweep.tag)
    return {label: RunReader(run.root).read_all() for label, run in found.items()}


def _plan(sweep: Sweep, root: Path, output: Output) -> None:
    """What would be trained, and what is there already."""
    check_jobs(sweep.jobs, root)
    snapshots = _snapshots(sweep, root)
    if output.json:
        _tell_result(sweep, snapshots, output, None)
        return
    states = {
        job.label: snapshots[job.label].status.state if job.label in snapshots else "missing" for job in sweep.jobs
    }
    output.table(("run", "state"), states.items())
    missing = sum(state != "finished" for state in states.values())
    output.line(f"{missing} of {len(states)} runs to train, tag {sweep.tag}")


def _tell_result(sweep: Sweep, snapshots: Mapping[str, Snapshot], output: Output, error: TrainingError | None) -> None:
    found = rows(sweep, snapshots)
    best = best_row(sweep, found)
    if output.json:
        output.document(_document(sweep, snapshots, found, best, error))
        return
    output.table(*_table(sweep, found, best))
    if len(sweep.keys) == 1 and sweep.ranked_by and any(row.runs.final(sweep.ranked_by) for row in found):
        output.line()
        _plot(sweep, found, best, output)
    if best is not None:
        seeds = f" over {best.finished} seeds" if best.finished > 1 else ""
        so_far = "" if all(row.complete for row in found) else " so far"
        output.line(f"best{so_far} by test {sweep.ranked_by}{seeds}: {best.combination.label}", "bold")
    output.line(f"compare them with `tuiae compare --tag {sweep.tag}`", "dim")


def _table(
    sweep: Sweep, found: tuple[SweepRow, ...], best: SweepRow | None
) -> tuple[tuple[str, ...], list[tuple[str, ...]], Any]:
    """One row a combination: its values, how many of its runs have finished, mean and range over seeds."""
    seeded = any(len(row.combination.jobs) > 1 for row in found)
    spreads = tuple(f"{metric} min..max" for metric in METRICS) if seeded else ("", "")
    short = short_keys(sweep.keys)
    heads = (*short.values(), "runs", "test loss", spreads[0], "accuracy", spreads[1], "")
    cells = []
    for row in found:
        values = [_value(row.combination, key) for key in sweep.keys]
        figures: list[str] = []
        for metric in METRICS:
            final = row.runs.final(metric)
            figures += [figure(metric, final.mean if final else None), _span(metric, final)]
        runs = f"{row.finished}/{len(row.combination.jobs)}"
        cells.append((*values, runs, *figures, "best" if row is best else ""))
    if not seeded:
        heads, cells = _without(heads, len(sweep.keys)), [_without(line, len(sweep.keys)) for line in cells]
    return heads, cells, (*short.values(), "test loss", "accuracy", "runs")


def _without(line: tuple[str, ...], keys: int) -> tuple[str, ...]:
    """A line without its two spreads, which one seed does not have."""
    return (*line[: keys + 2], line[keys + 3], line[-1])


def _value(combination: Combination, key: str) -> str:
    return value_text(combination.values[key]) if key in combination.values else "–"


def _span(metric: str, final: Spread | None) -> str:
    return f"{figure(metric, final.low)}..{figure(metric, final.high)}" if final is not None and final.n > 1 else ""


def _plot(sweep: Sweep, found: tuple[SweepRow, ...], best: SweepRow | None, output: Output) -> None:
    """The one key that is swept against the final figure, in the order of its values where they have one."""
    (key,) = sweep.keys
    metric = sweep.ranked_by
    shown = [(row, final.mean) for row in found if (final := row.runs.final(metric)) is not None]
    values = [row.combination.values.get(key) for row, _ in shown]
    if all(isinstance(value, (int, float)) for value in values):
        shown.sort(key=lambda pair: pair[0].combination.values[key])
    bars = [
        (_value(row.combination, key), mean, figure(metric, mean) + (" best" if row is best else ""))
        for row, mean in shown
    ]
    output.line(f"{key} against test {metric}", "bold")
    output.line(draw_bars(bars, min(PLOT_WIDTH, output.people.width)))


def _document(
    sweep: Sweep,
    snapshots: Mapping[str, Snapshot],
    found: tuple[SweepRow, ...],
    best: SweepRow | None,
    error: TrainingError | None,
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "sweep": sweep.name,
        "tag": sweep.tag,
        "runs": [
            _run_record(row.combination, index, snapshots)
            for row in found
            for index in range(len(row.combination.jobs))
        ],
        "combinations": [
            {"label": row.combination.label, "values": dict(row.combination.values), **_figures(row)} for row in found
        ],
        "best": None,
    }
    if best is not None:
        values = dict(best.combination.values)
        document["best"] = {"label": best.combination.label, "values": values, "by": sweep.ranked_by, **_figures(best)}
    if error is not None:
        document |= {"error": error.cause, "hint": error.hint, "exit_code": int(error.exit_code)}
    return document


def _run_record(combination: Combination, index: int, snapshots: Mapping[str, Snapshot]) -> dict[str, Any]:
    job = combination.jobs[index]
    known = {"label": job.label, "seed": job.config.training.seed, "values": dict(combination.values)}
    if job.label not in snapshots:
        return {**known, "run": None, "dir": None, "state": "missing", "metrics": {}}
    summary = summarise(snapshots[job.label])
    return {**known, **{key: summary[key] for key in ("run", "dir", "state", "metrics")}}


def _figures(row: SweepRow) -> dict[str, Any]:
    finals = {metric: row.runs.final(metric) for metric in METRICS}
    return {"finished": row.finished, **{metric: final and final.record() for metric, final in finals.items()}}
