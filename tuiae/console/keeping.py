"""`tuiae label` and `tuiae delete`: what runs are called, and which of them go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tuiae.console.output import Output, is_terminal
from tuiae.errors import ConfigError, ExitCode
from tuiae.runs.labels import Label, read_label, relabel, tags_of
from tuiae.runs.layout import RunPaths
from tuiae.runs.listing import RunLister
from tuiae.runs.removal import check_removable, delete_run, missed_by, size_of
from tuiae.ui.render.text import clean, megabytes


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
    for words in missed_by(sizes, RunLister(root).rows()):
        typer.echo(clean(words), err=True)
    many = f"{len(sizes)} runs, {megabytes(sum(sizes.values()))}" if len(sizes) > 1 else "this run"
    return typer.confirm(f"Delete {many} for good?", err=True)
