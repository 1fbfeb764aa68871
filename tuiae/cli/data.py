"""Presets and datasets: `tuiae presets`, and `tuiae data list`, `fetch`, `import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuiae.cli.commands import Json, Plain, new_app
from tuiae.cli.output import Output, dataset_progress
from tuiae.config.presets import list_presets
from tuiae.data.datasets import fetch
from tuiae.data.importing import import_directory
from tuiae.data.registry import DatasetInfo, list_datasets
from tuiae.render.text import MISSING, count

app = new_app()
data = new_app(help="Datasets: list, download, import.", no_args_is_help=True)
app.add_typer(data, name="data")


@app.command()
def presets(context: typer.Context, json: Json = False, plain: Plain = False) -> None:
    """List the presets and what each one teaches."""
    output, found = Output.of(context, json, plain), list_presets()
    if json:
        output.document([{"name": one.name, "path": str(one.path), "teaches": one.teaches} for one in found])
        return
    output.table(("preset", "what it teaches"), ((one.name, one.teaches) for one in found))


@data.command("list")
def list_(context: typer.Context, json: Json = False, plain: Plain = False) -> None:
    """List the datasets, and which of them are on this machine."""
    output, sets = Output.of(context, json, plain), list_datasets()
    if json:
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
        output.line("not ready: `tuiae data fetch NAME` downloads it, `tuiae data import DIR` takes idx files", "dim")


def _size(info: DatasetInfo) -> str:
    return "x".join(map(str, info.shape[1:])) if info.shape else MISSING


@data.command("fetch", short_help="Download a dataset and keep it for runs without a network.")
def fetch_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in `tuiae data list`.")],
    force: Annotated[bool, typer.Option("--force", help="Download again, replacing a damaged copy.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Download a dataset, check it, and keep it for runs without a network; does nothing where it is here already."""
    output = Output.of(context, json, plain)
    with dataset_progress(output) as report:
        info = fetch(name, progress=report, force=force)
    _tell(info, output)


@data.command("import")
def import_(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the four idx files are, gzipped or not.")],
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="What to call it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a different set of that name.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Take the idx files of an MNIST-like set from a directory."""
    import_dataset(directory, name, Output.of(context, json, plain), force=force)


def import_dataset(directory: Path, name: str | None, output: Output, *, force: bool) -> None:
    """Import a directory's idx files, all of them or none."""
    notices: list[str] = []  # for after the bar
    with dataset_progress(output) as report:
        info = import_directory(directory, name, force=force, progress=report, notice=notices.append)
    for text in notices:
        output.note(text)
    _tell(info, output)


def _tell(info: DatasetInfo, output: Output) -> None:
    if output.json:
        output.document({"dataset": info.name, "train": info.train, "test": info.test, "shape": info.shape})
        return
    images = f"{count(info.train)} training and {count(info.test)} test images of {_size(info)}"
    output.line(f"{info.name} is ready: {images}, {len(info.classes)} classes")
