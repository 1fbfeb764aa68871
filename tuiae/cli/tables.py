"""Runs, results, datasets and presets as aligned text."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tuiae.cli.output import Output, is_terminal
from tuiae.cli.status import findings, way_on
from tuiae.config.presets import list_presets
from tuiae.data.registry import list_datasets
from tuiae.errors import ConfigError
from tuiae.render.runs import passed_over_words, plain_cells, plain_columns, plain_numbers
from tuiae.render.status import note_line
from tuiae.render.text import count, duration, figure, number, of_epochs
from tuiae.runs.listing import RunLister, RunRow, summarise
from tuiae.runs.paths import RunPaths, check_runs_dir
from tuiae.runs.query import HELP, parse_query
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.snapshot import Note, Sample, Snapshot

METRICS = ("loss", "reconstruction", "kl", "accuracy", "mse", "wrong_pixels")
"""Those of them that a run has are shown."""
RECENT = 5
"""Of what happened to a run, so much is always told."""


def show_runs(root: Path, output: Output, tag: str | None = None, words: str | None = None) -> None:
    """Every run, or those with a tag or found by words, newest first.

    Raises:
        ConfigError: a key that no run has. UnknownRunError: the runs directory is none.
    """
    check_runs_dir(root)
    lister = RunLister(root)
    rows, now = lister.rows(histories=words is not None and "best" in words), time.time()
    if tag is not None:
        rows = tuple(row for row in rows if tag in row.tags)
    if words is not None:
        query = parse_query(words, rows)
        if query.problem:
            raise ConfigError(f"--filter: {query.problem}", HELP)
        rows = query.find(rows)
    if output.json:
        output.document([_run_record(row, now) for row in rows])
    elif not rows:
        which = "no runs" if tag is None else f"no run with the tag {tag}"
        which = which if words is None else f"no run that matches '{words}'"
        output.line(
            f"{which} in {root}; " + ("start one with `tuiae run`" if words is None else "`tuiae runs` lists all")
        )
    else:
        output.table(plain_columns(rows), plain_cells(rows, now), right=plain_numbers())
    if lister.passed_over:
        output.note(passed_over_words(lister.passed_over))


def _run_record(row: RunRow, now: float) -> dict[str, Any]:
    status = row.status
    fields = ("state", "epoch", "epochs", "device", "test_loss", "test_accuracy")
    return {
        "run": row.id,
        "name": row.name or None,
        "note": row.note or None,
        "dataset": row.dataset or None,
        "model": row.model or None,
        "tags": list(row.tags),
        **{field: getattr(status, field) for field in fields},
        "age_seconds": round(max(0.0, now - status.heartbeat), 1),
    }


def show_run(path: Path, output: Output) -> None:
    """One run: how it stands, its figures, its pictures where a terminal can show them."""
    snapshot = RunReader(path).read_all()
    if output.json:
        output.document(summarise(snapshot))
        return
    show_result(snapshot, output)
    for finding in findings(snapshot):
        output.line(f"finding: {finding}", "yellow")
    if words := way_on(snapshot):
        output.line(words, "yellow")
    for note in _history(snapshot):
        output.line(note_line(note), "dim")


def _history(snapshot: Snapshot) -> list[Note]:
    """Every start, edit, warning and end; of pauses and the like those among the last few notes."""
    edited, recent = {edit.time for edit in snapshot.edits}, snapshot.notes[-RECENT:]
    return [note for note in snapshot.notes if note.kind != "command" or note.time in edited or note in recent]


def show_result(snapshot: Snapshot, output: Output) -> None:
    """The figures of the last epoch, and where everything is."""
    status = snapshot.status
    output.line(f"{snapshot.id}  {status.state}", "bold")
    if snapshot.config is not None:
        config = snapshot.config
        model = config.model
        encoder = f", on the encoder of {model.encoder_run}" if model.encoder_run else ""
        frozen = ", frozen" if model.freeze and config.is_classifier else ""
        what = f"{model.family}, code {model.latent}{encoder}{frozen}"
        output.line(f"{what}, on {config.data.dataset}{f'; {status.device}' if status.device else ''}")
    if status.state != "finished":
        output.line(f"epoch {of_epochs(status.epoch, status.epochs)}, step {count(status.step)}")
    splits = [split for split in ("train", "train-eval", "test") if (split, "loss") in snapshot.series]
    if splits:
        names = [name for name in METRICS if any((split, name) in snapshot.series for split in splits)]
        if snapshot.config is not None and snapshot.config.training.loss == "mse" and "kl" not in names:
            names = [name for name in names if name != "mse"]  # it is the loss
        output.table(
            ("split", *(name.replace("_", " ") for name in names), "best loss"),
            (
                (split, *(figure(name, snapshot.latest(split, name)) for name in names), _best(snapshot, split))
                for split in splits
            ),
            right=(*(name.replace("_", " ") for name in names), "best loss"),
        )
    seconds = snapshot.series.get(("speed", "epoch_seconds"))
    if seconds is not None and len(seconds.values):
        rate = snapshot.latest("speed", "images_per_second")
        typical = float(sorted(seconds.values)[len(seconds.values) // 2])
        output.line(
            f"{_done(snapshot)} in {duration(status.elapsed)} "
            f"({typical:.3g} s an epoch, {count(round(rate or 0))} images/s)"
        )
    _show_pictures(snapshot, output)
    output.line(f"run directory: {snapshot.path}")


def _done(snapshot: Snapshot) -> str:
    """`4 of 6 epochs`; of a fork also how many are its own, which is what its time was spent on."""
    status, parent = snapshot.status, snapshot.parent
    done = f"{status.epoch} of {status.epochs} epochs"
    return done if parent is None else f"{done}, {max(status.epoch - parent.epoch, 0):g} of them its own,"


def _best(snapshot: Snapshot, split: str) -> str:
    best = snapshot.best(split, "loss")
    return number(best.value if best else None)


def _show_pictures(snapshot: Snapshot, output: Output) -> None:
    """The last sample, drawn in cells: only on a terminal, where it is read by eyes."""
    import sys

    if output.plain or output.json or not is_terminal(sys.stdout) or not snapshot.samples:
        return
    sample = read_sample(RunPaths(snapshot.path), snapshot.samples[-1])
    if sample is not None:
        _draw(sample, output)


def _draw(sample: Sample, output: Output) -> None:
    from tuiae.render.grid import sample_grid

    width = min(output.people.width, 120)
    output.line(sample_grid(sample, width, 22, output.picture_mode))


def show_datasets(output: Output) -> None:
    """What there is, and what is ready with no network."""
    sets = list_datasets()
    if output.json:
        fields = ("name", "title", "origin", "shape", "classes", "train", "test", "ready", "labelled")
        output.document([{field: getattr(info, field) for field in fields} for info in sets])
        return
    output.table(
        ("dataset", "ready", "images", "train", "test", "classes", "what it is"),
        (
            (
                info.name,
                "yes" if info.ready else "no",
                "x".join(str(n) for n in info.shape[1:]) if info.shape else "–",
                count(info.train),
                count(info.test),
                str(len(info.classes)) if info.labelled else "–",
                info.title,
            )
            for info in sets
        ),
        right=("images", "train", "test", "classes"),
    )
    output.line("folder:PATH reads pictures from a folder, one sub-folder a class", "dim")
    if not all(info.ready for info in sets):
        output.line("not ready: `tuiae data fetch NAME` downloads it, `tuiae data import DIR` takes idx files", "dim")


def show_presets(output: Output) -> None:
    """What comes with tuiae, and what each preset teaches."""
    presets = list_presets()
    if output.json:
        output.document([{"name": p.name, "path": str(p.path), "teaches": p.teaches} for p in presets])
        return
    output.table(("preset", "what it teaches"), ((preset.name, preset.teaches) for preset in presets))
