"""Commands that look at recorded runs and keep them in order: `tuiae runs`, `show`, `label`, `delete`."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median_high
from typing import Any

import typer
from rich.text import Text

from tuiae.cli.main import is_terminal
from tuiae.cli.output import AsciiStream, Output
from tuiae.config import settings_of, value_text
from tuiae.errors import ConfigError
from tuiae.exports.formats import write_points
from tuiae.images import measured_kind, test_words
from tuiae.render.curves import Curve, draw_curves, without_dashes
from tuiae.render.grid import sample_grid
from tuiae.render.legend import legend, own_terms, plot_title, run_curves, second_metrics
from tuiae.render.runs import SETTINGS, RunColumn, find_columns, passed_over_words, plain_table, terminal_table
from tuiae.render.status import failure_words, note_line, refusal_words, settings_facts, silence_words
from tuiae.render.text import (
    beside,
    clean,
    count,
    duration,
    figure,
    join_lines,
    megabytes,
    of_epochs,
    rate,
    shorten,
)
from tuiae.runs.checkpoints import all_checkpoints
from tuiae.runs.diagnosis import Finding, diagnose
from tuiae.runs.labels import read_label, relabel, tags_of
from tuiae.runs.lineage import no_config
from tuiae.runs.listing import RunLister, RunRow, summarise
from tuiae.runs.paths import RunPaths, check_runs_dir, runs_dir
from tuiae.runs.query import HELP, find_tagged, parse_query
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.removal import check_removable, delete_run, dependents, size_of
from tuiae.runs.snapshot import Note, Sample, Snapshot

# `tuiae runs`


def list_runs(output: Output, tag: str | None = None, words: str | None = None, columns: str | None = None) -> None:
    """List every run, or those with a tag or found by words, newest first, with these `columns` or the usual ones.

    Raises:
        ConfigError: a key that no run has, or no such column. UnknownRunError: the runs directory is no directory.
    """
    root = runs_dir()
    check_runs_dir(root)
    lister = RunLister(root)
    rows, now = lister.rows(histories=columns is not None or (words is not None and "best" in words)), time.time()
    wanted = find_columns(filter(None, map(str.strip, columns.split(","))), rows) if columns is not None else ()
    if tag is not None:
        rows = tuple(row for row in rows if tag in row.tags)
    there = bool(rows)
    if words is not None:
        query = parse_query(words, rows)
        if query.problem:
            raise ConfigError(f"--filter: {query.problem}", HELP)
        rows = query.find(rows)
    if output.json:
        output.document([_row_record(row, now, wanted) for row in rows])
    elif rows and output.shows_pictures:
        output.line(join_lines(terminal_table(rows, now, output.people.width, wanted)))
    elif rows:
        output.table(*plain_table(rows, now, wanted))
    elif words is not None and there:
        output.line(f"no run in {root} matches '{words}'; `tuiae runs` lists all")
    else:
        which = "no runs" if tag is None else f"no run with the tag {tag}"
        output.line(f"{which} in {root}; start one with `tuiae run`")
    if lister.passed_over:
        output.note(passed_over_words(lister.passed_over))


def _row_record(row: RunRow, now: float, wanted: Sequence[RunColumn] = ()) -> dict[str, Any]:
    named = (SETTINGS.get(column.name, column.name) for column in wanted)
    keys = [key for key in named if key in SETTINGS.values() or key in row.settings]
    settings = {key: row.settings_now.get(key) for key in keys}
    fields = ("state", "epoch", "epochs", "device", "test_loss", "test_accuracy")
    return {
        "run": row.id,
        "name": row.name or None,
        "note": row.note or None,
        "dataset": row.dataset or None,
        "model": row.model or None,
        "tags": list(row.tags),
        "varies": row.varies or None,
        **{field: getattr(row.status, field) for field in fields},
        "age_seconds": round(max(0.0, now - row.status.heartbeat), 1),
        **({"settings": settings, "metrics": dict(row.metrics)} if wanted else {}),
    }


# `tuiae show`

METRICS = ("loss", "reconstruction", "kl", "accuracy", "mse", "wrong_pixels")
"""The metrics that are shown, as far as a run has them."""
RECENT = 5  # notes of a run that are shown whatever they are
WIDTH, PICTURE_LINES = 120, 22  # of pictures, at most
CURVE_LINES = 14  # of a plot, with its title and its legend
SIDE_BY_SIDE = 96  # columns from which two plots stand beside each other
WIDEST_PLOT = 100  # columns
GAP = 2


def show_run(run: RunPaths, output: Output) -> None:
    """Show how a run is doing: its figures, its pictures where a terminal can show them, what happened to it."""
    snapshot = RunReader(run.root).read_all()
    if output.json:
        output.document(summarise(snapshot))
        return
    show_result(snapshot, output)
    for finding in findings(snapshot):
        output.line(f"finding: {finding}", "yellow")
    if snapshot.status.state == "lost" and snapshot.status.error:
        output.line(f"error: {failure_words(snapshot.status)}", "yellow")
    if snapshot.status.refusal:
        output.line(refusal_words(snapshot.status), "yellow")
    if words := next_command(snapshot):
        output.line(words, "yellow")
    for note in _history(snapshot):
        output.line(note_line(note), "dim")
    show_curves(snapshot, output)


def findings(snapshot: Snapshot) -> tuple[Finding, ...]:
    """The findings about a run, its newest pictures included."""
    return diagnose(snapshot, _newest_sample(snapshot))


def next_command(snapshot: Snapshot) -> str:
    """The command that continues a run that stands still; empty for any other."""
    command, state = f"`tuiae resume {clean(snapshot.id)}`", snapshot.status.state
    if snapshot.tracked is not None and state != "paused":
        again = f"tuiae.track(resume={clean(snapshot.id)!r})"
        how = f"start it again, with {again} to go on with these curves"
        return f"its program is gone; {how}" if state == "lost" else ""
    if state in ("lost", "unknown"):
        cause = "its worker is gone" if state == "lost" else "its status cannot be read"
        saved = all_checkpoints(RunPaths(snapshot.path))
        how = "continues from its newest checkpoint" if saved else "trains it from the first step"
        return f"{cause}; {command} {how}"
    if snapshot.status.silent:
        return f"its worker does not answer; `tuiae stop --kill {clean(snapshot.id)}` ends it"
    return f"{command} continues it" if state in ("stopped", "paused") else ""


def _history(snapshot: Snapshot) -> list[Note]:
    """Every start, edit, warning and end; pauses and the like only among the last few notes."""
    edited, recent = {edit.time for edit in snapshot.edits}, snapshot.notes[-RECENT:]
    return [note for note in snapshot.notes if note.kind != "command" or note.time in edited or note in recent]


def show_result(snapshot: Snapshot, output: Output) -> None:
    """Show the figures of the last epoch, and where everything is."""
    status = snapshot.status
    output.line(f"{snapshot.id}  {', '.join(filter(None, (status.state, silence_words(status))))}", "bold")
    for what, words in (("name", snapshot.name), ("tags", " ".join(tags_of(RunPaths(snapshot.path), snapshot.meta)))):
        if words:
            output.line(f"{what}: {clean(words)}")
    if snapshot.config is not None:
        config, model = snapshot.config, snapshot.config.model
        encoder = f", on the encoder of {model.encoder_run}" if model.encoder_run else ""
        frozen = ", frozen" if model.freeze and config.is_classifier else ""
        device = f"; {status.device}" if status.device else ""
        output.line(f"{model.words}{encoder}{frozen}, on {config.data.dataset}{device}")
        facts = settings_facts(settings_of(snapshot.current_config or config))[1:]
        output.line("; ".join(f"{label} {value}" for label, value, _ in facts if label not in ("encoder", "frozen")))
    elif snapshot.tracked is not None:
        output.line(f"tracked: {own_words(snapshot)}")
    else:
        for line in no_config(RunPaths(snapshot.path)).lines():
            output.line(line, "yellow")
    if (known := snapshot.images) is not None:
        place = f", in {known.path}" if known.path else ""
        output.line(f"images: {snapshot.image_words}; digest {known.digest[:12]}{place}")
        if snapshot.config is not None and (kind := measured_kind(snapshot.config.data.validation)) != "test":
            output.line(test_words(kind), "dim")
    if status.state != "finished":
        output.line(f"epoch {of_epochs(status.epoch, status.epochs)}, step {count(status.step)}")
    _show_metrics(snapshot, output)
    seconds, images = snapshot.series.get(("speed", "epoch_seconds")), snapshot.latest("speed", "images_per_second")
    measured = [value for value in seconds.values if math.isfinite(value)] if seconds else []
    if measured and (speed := rate(images)):
        speed = f"{median_high(measured):.3g} s an epoch, {speed}"
        output.line(f"{_done(snapshot)} in {duration(status.elapsed)} ({speed})")
    sample = _newest_sample(snapshot) if output.shows_pictures else None
    if sample is not None:
        output.line(sample_grid(sample, min(output.people.width, WIDTH), PICTURE_LINES, output.picture_mode))
    output.line(f"run directory: {snapshot.path}")


def own_words(snapshot: Snapshot, most: int = 400) -> str:
    """The settings of a tracked run as they are now, by the names that its program gave them."""
    settings = snapshot.own_settings.items()
    words = ", ".join(f"{clean(key, 40)} {clean(value_text(value), 60)}" for key, value in settings)
    return shorten(words, most) or "its program named no settings"


def _show_metrics(snapshot: Snapshot, output: Output) -> None:
    splits, names, main = _shown_of(snapshot)
    if not splits:
        return
    config = snapshot.config
    if config is not None and config.training.loss == "mse" and "kl" not in names and not config.model.is_custom:
        names = [name for name in names if name != "mse"]  # it is the loss
    heads = (*(clean(name).replace("_", " ") for name in names), f"best {clean(main)}")
    rows = []
    for split in splits:
        best = snapshot.best(split, main)
        values = (figure(name, snapshot.latest(split, name)) for name in names)
        rows.append((split, *values, figure(main, best.value if best else None)))
    output.table(("split", *heads), rows, right=heads)


MOST_METRICS = 8  # of a tracked run


def _shown_of(snapshot: Snapshot) -> tuple[list[str], list[str], str]:
    """The splits and the metrics whose figures show, and the metric whose best value does. A tracked run has its own;
    one without epochs has its batches alone."""
    main = snapshot.main_metric
    if snapshot.tracked is None:
        splits = [split for split in ("train", "train-eval", "test") if (split, main) in snapshot.series]
        known = ("loss", *own_terms(snapshot), *METRICS[1:])
        return splits, [name for name in known if any((one, name) in snapshot.series for one in splits)], main
    every = [split for split in dict.fromkeys(split for split, _ in snapshot.series) if split != "live"]
    splits = sorted(every or ["live"], key=lambda split: ("live", "train", "test", split).index(split))
    names = dict.fromkeys(name for split, name in snapshot.series if split in splits)
    return splits, [main, *(name for name in names if name != main)][:MOST_METRICS], main


def _done(snapshot: Snapshot) -> str:
    """`4 of 6 epochs`; of a fork also the number of its own, on which its time was spent."""
    status, parent = snapshot.status, snapshot.parent
    done = f"{status.epoch} of {status.epochs or '?'} epochs"
    return done if parent is None else f"{done}, {max(status.epoch - parent.epoch, 0):g} of them its own,"


def _newest_sample(snapshot: Snapshot) -> Sample | None:
    return read_sample(RunPaths(snapshot.path), snapshot.samples[-1]) if snapshot.samples else None


def show_curves(snapshot: Snapshot, output: Output) -> None:
    """Plot the loss, and what the run has beside it; nothing where plots are not shown or nothing was measured."""
    shown = dict.fromkeys((snapshot.main_metric, second_metrics(snapshot)[0]))
    own = snapshot.tracked is not None  # of which batches alone may be known
    metrics = [name for name in shown if own or ("test", name) in snapshot.series]
    metrics = [name for name in metrics if any(len(curve.x) for curve in run_curves(snapshot, name))]
    if not (metrics and output.shows_plots):
        return
    together, ascii_only = len(metrics) > 1 and output.plot_width >= SIDE_BY_SIDE, output.plot_ascii
    width = min((output.plot_width - GAP) // 2 if together else output.plot_width, WIDEST_PLOT)
    drawn: dict[str, Sequence[Curve]] = {name: run_curves(snapshot, name) for name in metrics}
    every, plots = [curve for curves in drawn.values() for curve in curves], []
    look = output.look_at(every)
    for name, curves in drawn.items():
        title = plot_title(name)
        if ascii_only or output.colourless:
            curves = [without_dashes(curve) for curve in curves]
        head = Text(title, "bold", end="").append(" " * GAP)
        head.append_text(legend(curves, width - len(title) - GAP, ascii_only))
        plots.append(join_lines([head, draw_curves(curves, width, CURVE_LINES - 1, "", look, ascii_only)]))
    for plot in [beside(plots[0], plots[1], width + GAP)] if together else plots:
        output.line()
        output.draw(plot)
    output.note_logarithms(every, look)


def show_points(run: RunPaths, output: Output) -> None:
    """Print the points of a run's curves as CSV, curve after curve, for pandas, gnuplot and spreadsheets.

    Of a damaged run, what can be read of it. Of live points from more than an hour ago, every second.

    Raises:
        ConfigError: JSON is asked for as well.
    """
    if output.json:
        raise ConfigError("--csv and --json are two documents", "give one of them")
    write_points(RunReader(run.root).read_all(), AsciiStream(sys.stdout) if output.ascii else sys.stdout)


# `tuiae label` and `delete`


def label_run(
    run: RunPaths, name: str | None, note: str | None, tag: Sequence[str], untag: Sequence[str], output: Output
) -> None:
    """Change what is given of a run's label, then print the label.

    Raises:
        ConfigError: it cannot be a label. UnknownRunError: the run is not ours to label.
    """
    changed = name is not None or note is not None or tag or untag
    label = relabel(run, name=name, note=note, tag=tag, untag=untag) if changed else read_label(run)
    tags = tags_of(run, label=label)
    if output.json:
        fields = {"name": label.name or None, "note": label.note or None, "tags": list(tags), "pinned": label.pinned}
        output.document({"run": run.id, **fields})
        return
    output.line(run.id, "bold")
    output.line(f"name  {clean(label.name) or '–'}")
    output.line(f"tags  {' '.join(tags) or '–'}")
    for place, line in enumerate(label.note.splitlines() or ["–"]):
        output.line(f"{'note' if not place else '    '}  {clean(line)}")


def delete_runs(runs: Sequence[RunPaths], tag: str, output: Output, *, yes: bool) -> None:
    """Delete runs for good, and those that carry a tag, after a question on a terminal; all of them are checked before
    the first one goes.

    Raises:
        ConfigError: nothing is named, or no terminal to ask on and no --yes. UnknownRunError, RunHeldError: one that
            may not be deleted.
    """
    root = runs_dir()
    if not runs and not tag:
        raise ConfigError("nothing to delete", "name a run or more, or a tag with --tag; `tuiae runs` lists them")
    runs = list(dict.fromkeys((*runs, *(find_tagged(tag, root) if tag else ()))))
    for run in runs:
        check_removable(run, root)
    sizes = {run.id: size_of(run) for run in runs}
    if not yes and not _is_confirmed(sizes, root, output):
        output.note("nothing was deleted")
        return
    for run in runs:
        delete_run(run, root)
        output.line(f"deleted {run.id}, {megabytes(sizes[run.id])}")
    if output.json:
        output.document([{"run": name, "bytes": size} for name, size in sizes.items()])


def _is_confirmed(sizes: dict[str, int], root: Path, output: Output) -> bool:
    if not (is_terminal(sys.stderr) and sys.stdin.isatty()):
        raise ConfigError("deleting asks first, and there is no terminal to ask on", "--yes deletes without asking")
    for name, size in sizes.items():
        output.note(f"{clean(name)}  {megabytes(size)}")
    for words in dependents(sizes, RunLister(root).rows()):
        output.note(words)
    many = f"{len(sizes)} runs, {megabytes(sum(sizes.values()))}" if len(sizes) > 1 else "this run"
    return typer.confirm(f"Delete {many} for good?", err=True)
