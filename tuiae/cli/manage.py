"""`tuiae label` and `tuiae delete`: what runs are called, and which of them go."""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tuiae.cli.output import AsciiStream, Output, is_terminal
from tuiae.config import RunConfig, parse_override
from tuiae.errors import ConfigError, ExitCode, TrainingError
from tuiae.preflight import warn_of_change
from tuiae.render.text import clean, megabytes
from tuiae.runs import control
from tuiae.runs.control import Edit, propose
from tuiae.runs.labels import Label, read_label, relabel, tags_of
from tuiae.runs.listing import RunLister
from tuiae.runs.paths import RunPaths, unwritable
from tuiae.runs.reader import RunReader
from tuiae.runs.removal import check_removable, delete_run, dependents, size_of
from tuiae.runs.snapshot import Snapshot


def label_run(
    run: RunPaths, name: str | None, note: str | None, tag: Sequence[str], untag: Sequence[str], output: Output
) -> None:
    """Change what is given, then say what the label is.

    Raises:
        ConfigError: it cannot be a label. UnknownRunError: the run is not ours to label.
    """
    wanted = name is not None or note is not None or tag or untag
    label = relabel(run, name=name, note=note, tag=tag, untag=untag) if wanted else read_label(run)
    tags = tags_of(run, label=label)
    if output.json:
        output.document({"run": run.id, **_plain(label, tags)})
        return
    output.line(run.id, "bold")
    output.line(f"name  {clean(label.name) or '–'}")
    output.line(f"tags  {' '.join(tags) or '–'}")
    for place, line in enumerate(label.note.splitlines() or ["–"]):
        output.line(f"{'note' if not place else '    '}  {clean(line)}")


def _plain(label: Label, tags: Sequence[str]) -> dict[str, object]:
    return {"name": label.name, "note": label.note, "tags": list(tags), "pinned": label.pinned}


def delete_runs(runs: Sequence[RunPaths], root: Path, output: Output, *, yes: bool) -> ExitCode:
    """Delete runs for good, after a question on a terminal; all of them are checked before the first one goes.

    Raises:
        ConfigError: no terminal to ask on and no --yes. UnknownRunError, RunHeldError: one that may not be deleted.
    """
    runs = list({run.root: run for run in runs}.values())
    for run in runs:
        check_removable(run, root)
    sizes = {run.id: size_of(run) for run in runs}
    if not yes and not _agreed(sizes, root):
        output.note("nothing was deleted")
        return ExitCode.OK
    for run in runs:
        delete_run(run, root)
        output.line(f"deleted {run.id}, {megabytes(sizes[run.id])}")
    if output.json:
        output.document([{"run": name, "bytes": size} for name, size in sizes.items()])
    return ExitCode.OK


def _agreed(sizes: dict[str, int], root: Path) -> bool:
    if not (is_terminal(sys.stderr) and sys.stdin.isatty()):
        raise ConfigError("deleting asks first, and there is no terminal to ask on", "say --yes if it is meant")
    import typer

    for name, size in sizes.items():
        typer.echo(f"{clean(name)}  {megabytes(size)}", err=True)
    for words in dependents(sizes, RunLister(root).rows()):
        typer.echo(clean(words), err=True)
    many = f"{len(sizes)} runs, {megabytes(sum(sizes.values()))}" if len(sizes) > 1 else "this run"
    return typer.confirm(f"Delete {many} for good?", err=True)


# `tuiae edit`: change a training while it runs.

ANSWER_SECONDS = 120.0  # a step of the slowest model here takes seconds
POLL_SECONDS = 0.05


def edit(run: RunPaths, settings: Sequence[str], output: Output) -> ExitCode:
    """Ask a live run's worker for each `key=value`, and wait until all are in force.

    Raises:
        ConfigError: the run is not live, or a setting that cannot be changed so; nothing was asked then.
        TrainingError: the worker did not answer in time. UnknownRunError: somebody else's run.
    """
    reader = RunReader(run.root)
    snapshot = reader.read_all()
    config = snapshot.current_config
    if config is None or not snapshot.status.live:
        raise ConfigError(f"{run.id} is {snapshot.status.state}: there is no training to change", "see `tuiae fork`")
    before, changes = config, dict(parse_override(setting) for setting in settings)
    for key, value in changes.items():
        config = propose(config, key, value, snapshot.status.epoch)
    known = len(snapshot.edits)
    for key, value in changes.items():
        try:
            control.send(run, "set", key=key, value=value)
        except OSError as error:
            raise unwritable(run, error, "edit") from error
    for warning in warn_of_change(before, config):
        output.note(f"note: {warning}", "yellow")
    made = _await_edits(reader, known, config, len(changes))
    if output.json:
        output.document([{"key": one.key, "old": one.old, "new": one.new, "step": one.step} for one in made])
    for one in made:
        output.line(f"{one.key}: {one.old} -> {one.new} at step {one.step}")
    return ExitCode.OK


def _await_edits(reader: RunReader, known: int, config: RunConfig, asked: int) -> tuple[Edit, ...]:
    """The edits that the worker made since, once the config in force is the one that was asked for."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        snapshot: Snapshot = reader.poll()
        made = snapshot.edits[known:]
        if len(made) >= asked or snapshot.current_config == config:
            return made
        if not snapshot.status.live:
            raise TrainingError(f"{snapshot.id} ended before it was changed", "go on with it: `tuiae resume`")
        if time.monotonic() > deadline:
            raise TrainingError(f"{snapshot.id} has not answered for {ANSWER_SECONDS:.0f} s", "is it still alive?")
        time.sleep(POLL_SECONDS)


# `tuiae show --csv`: the points of a run's curves, for pandas, gnuplot and spreadsheets.

COLUMNS = ("run", "split", "epoch", "step", "metric", "value")


def show_points(path: Path, output: Output) -> None:
    """Print one line a point, curve after curve; of a run that is damaged, what can be read of it; of live points from
    more than an hour ago every second.

    Raises:
        ConfigError: JSON is asked for as well.
    """
    if output.json:
        raise ConfigError("--csv and --json are two documents", "give one of them")
    writer = csv.writer(AsciiStream(sys.stdout) if output.ascii else sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(RunReader(path).read_all()))


def _rows(snapshot: Snapshot) -> Iterator[tuple[str | int, ...]]:
    """The points by COLUMNS; the value of one that is no number is empty."""
    run = clean(snapshot.id)
    for (split, metric), series in sorted(snapshot.series.items()):
        names = clean(split), clean(metric)
        for step, epoch, value in zip(*(s.tolist() for s in (series.steps, series.epochs, series.values)), strict=True):
            yield run, names[0], f"{epoch:.10g}", step, names[1], repr(value) if math.isfinite(value) else ""
