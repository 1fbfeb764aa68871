"""Presets and datasets: `tuiae presets`, and `tuiae data list`, `fetch`, `import`."""

from __future__ import annotations

from pathlib import Path

from tuiae.cli.output import Output, dataset_progress
from tuiae.config.presets import list_presets
from tuiae.data.datasets import fetch
from tuiae.data.importing import import_directory
from tuiae.data.registry import DatasetInfo, list_datasets
from tuiae.render.text import MISSING, count


def show_presets(output: Output) -> None:
    """List the presets and what each one teaches."""
    found = list_presets()
    if output.json:
        output.document([{"name": one.name, "path": str(one.path), "teaches": one.teaches} for one in found])
        return
    output.table(("preset", "what it teaches"), ((one.name, one.teaches) for one in found))


def show_datasets(output: Output) -> None:
    """List the datasets, and which of them are on this machine."""
    sets = list_datasets()
    if output.json:
        fields = ("name", "title", "origin", "shape", "classes", "train", "test", "ready", "labelled")
        output.document([{field: getattr(info, field) for field in fields} for info in sets])
        return
    heads = ("dataset", "ready", "images", "train", "test", "classes", "what it is")
    rows = (
        (
            info.name,
            "yes" if info.ready else "no",
            _size(info),
            count(info.train),
            count(info.test),
            str(len(info.classes)) if info.labelled else MISSING,
            info.title,
        )
        for info in sets
    )
    output.table(heads, rows, right=("images", "train", "test", "classes"))
    output.line("folder:PATH reads pictures from a folder, one sub-folder a class", "dim")
    if not all(info.ready for info in sets):
        output.line(
            "not ready: `tuiae data fetch NAME` downloads it, `tuiae data import DIR` takes idx files or an npz", "dim"
        )


def _size(info: DatasetInfo) -> str:
    return "x".join(map(str, info.shape[1:])) if info.shape else MISSING


def fetch_dataset(name: str, output: Output, *, force: bool) -> None:
    """Download a dataset, check it and keep it; where it is here already, only say so."""
    with dataset_progress(output) as report:
        info = fetch(name, progress=report, force=force)
    _tell(info, output)


def import_dataset(directory: Path, name: str | None, output: Output, *, force: bool) -> None:
    """Import a directory's idx files or an npz, all of it or nothing."""
    with dataset_progress(output) as report:
        info = import_directory(directory, name, force=force, progress=report, notice=output.note)
    _tell(info, output)


def _tell(info: DatasetInfo, output: Output) -> None:
    if output.json:
        output.document(
            {"dataset": info.name, "train": info.train, "test": info.test, "shape": info.shape, "notes": info.notes}
        )
        return
    images = f"{count(info.train)} training and {count(info.test)} test images of {_size(info)}"
    output.line(f"{info.name} is ready: {images}, {len(info.classes)} classes")
