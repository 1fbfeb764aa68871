"""`tuiae export` and `report`: a run in the formats of others, and runs as a page."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tuiae.cli.output import Output
from tuiae.errors import ConfigError, MissingLibraryError
from tuiae.exports.formats import FORMATS, Export, check, placing
from tuiae.files import replace_text
from tuiae.render.text import megabytes
from tuiae.runs.paths import RunPaths, runs_dir
from tuiae.runs.query import find_tagged


def export_run(
    run: RunPaths,
    to: str,
    checkpoint: str | None,
    part: str | None,
    file: Path | None,
    output: Output,
    *,
    force: bool,
) -> None:
    """Write a run in a format; its files appear whole or not at all.

    Raises:
        ConfigError: no such format, an option that does not go with it, a file that is there already, a run that has no
            such part or curves. MissingLibraryError: an extra is not installed. NoCheckpointError: no such checkpoint.
    """
    form = check(to, checkpoint, part)
    asked = Export(run, checkpoint or "last", part or "whole")
    name = run.id if asked.part == "whole" else f"{run.id}-{asked.part}"
    target = Path(name + form.suffix) if file is None else file
    if form is not FORMATS["tensorboard"] and target.is_dir():
        target /= name + form.suffix
    with placing(target, force) as path:
        words = form.write(asked, path)
        written = {
            one.name: _size(one) for one in sorted(path.parent.iterdir(), key=path.__ne__)
        }  # what was named first
    output.warn(words)
    sizes = {str(target.with_name(name)): size for name, size in written.items()}
    if output.json:
        weights = {"checkpoint": asked.checkpoint, "part": asked.part} if form.of_weights else {}
        files = [{"path": path, "bytes": size} for path, size in sizes.items()]
        output.document({"run": run.id, "format": to, **weights, "files": files})
        return
    for name, size in sizes.items():
        output.line(f"{name}  {megabytes(size)}")


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in (path.rglob("*") if path.is_dir() else (path,)))


# `tuiae report`: runs as a page.


def report(runs: Sequence[RunPaths], tag: str, file: Path | None, output: Output, *, force: bool) -> None:
    """Write runs, named ones and those that carry the tag, as one HTML file that fetches nothing.

    Raises:
        ConfigError: no run, a file that is there already, or none can be written. MissingLibraryError: matplotlib is
            not installed. UnknownRunError: no run carries the tag.
    """
    if find_spec("matplotlib") is None:
        raise MissingLibraryError("the figures of a report need matplotlib", "pip install 'tuiae[studies]'")
    runs = list(dict.fromkeys((*runs, *(find_tagged(tag, runs_dir()) if tag else ()))))
    if not runs:
        raise ConfigError("nothing to report", "name a run or more, or a tag with --tag; `tuiae runs` lists them")
    target = file or Path(f"{runs[0].id if len(runs) == 1 else 'runs'}.html")
    with placing(target, force) as path:
        from tuiae.exports.report import report_runs

        replace_text(path, report_runs(runs))
    if output.json:
        output.document({"report": str(target), "runs": [run.id for run in runs]})
        return
    output.line(str(target))
