"""`tuiae data fetch` and `import`."""

from __future__ import annotations

from pathlib import Path

from tuiae.cli.output import Output
from tuiae.cli.train import reporting
from tuiae.data.datasets import fetch
from tuiae.data.importing import import_directory
from tuiae.data.registry import DatasetInfo
from tuiae.render.text import count


def fetch_dataset(name: str, output: Output, *, force: bool) -> None:
    """Download and prepare a set; fetching one that is there only says so."""
    with reporting(output) as report:
        info = fetch(name, progress=report, force=force)
    _tell(info, output)


def import_dataset(directory: Path, name: str | None, output: Output, *, force: bool) -> None:
    """Take a directory's idx files in, all of them or none."""
    notices: list[str] = []  # for after the bar
    with reporting(output) as report:
        info = import_directory(directory, name, force=force, progress=report, notice=notices.append)
    for text in notices:
        output.note(text)
    _tell(info, output)


def _tell(info: DatasetInfo, output: Output) -> None:
    if output.json:
        output.document({"dataset": info.name, "train": info.train, "test": info.test, "shape": info.shape})
        return
    size = "x".join(str(n) for n in info.shape[1:]) if info.shape else "–"
    output.line(
        f"{info.name} is ready: {count(info.train)} training and {count(info.test)} test images of {size}, "
        f"{len(info.classes)} classes"
    )
