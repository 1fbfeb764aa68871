"""`tuiae data`: the datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuiae.cli.app import Json, Plain, app, output_of

data_app = typer.Typer(help="Datasets: list, download, import.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")


@data_app.command("list")
def data_list(context: typer.Context, json: Json = False, plain: Plain = False) -> None:
    """List the datasets, and which are ready with no network."""
    from tuiae.cli.tables import show_datasets

    show_datasets(output_of(context.obj, json, plain))


@data_app.command("fetch", short_help="Download a dataset and keep it for runs without a network.")
def data_fetch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A name from `tuiae data list`.")],
    force: Annotated[bool, typer.Option(help="Download again, replacing a damaged copy.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Download a dataset, check it, and keep it for runs without a network."""
    from tuiae.cli.datasets import fetch_dataset

    fetch_dataset(name, output_of(context.obj, json, plain), force=force)


@data_app.command("import")
def data_import(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Holds the four idx files, gzipped or not.")],
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="What to call it.")] = None,
    force: Annotated[bool, typer.Option(help="Replace a different set of that name.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Take the idx files of an MNIST-like set from a directory."""
    from tuiae.cli.datasets import import_dataset

    import_dataset(directory, name, output_of(context.obj, json, plain), force=force)
