"""`tuiae export`: a run in the formats of others."""

from __future__ import annotations

from pathlib import Path

from tuiae.cli.output import Output
from tuiae.exports.formats import FORMATS, Export, check, placing
from tuiae.render.text import megabytes
from tuiae.runs.paths import RunPaths


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
