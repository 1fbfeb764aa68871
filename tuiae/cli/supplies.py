"""The commands about what there is to train with: this machine, presets and datasets. As those of `cli.commands`, they
import what they do when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuiae.cli.commands import app
from tuiae.cli.options import PLAIN_TEXT, Device, prints

if TYPE_CHECKING:
    from tuiae.cli.output import Output

data = typer.Typer(help="List, download and import datasets.", no_args_is_help=True, **PLAIN_TEXT)
app.add_typer(data, name="data")


@app.command()
@prints()
def bench(
    output: Output,
    presets: Annotated[list[str] | None, typer.Argument(metavar="PRESET", help="Of these; by default of all.")] = None,
    device: Device = "auto",
) -> None:
    """Measure how fast this machine trains the presets, and where the time goes."""
    from tuiae.cli.bench import measure_presets

    measure_presets(presets or (), device, output)


@app.command()
@prints()
def doctor(context: typer.Context, asked: dict[str, Any]) -> None:
    """Say what of this machine, terminal and account stands in the way of trainings, and what mends it."""
    from tuiae.cli.doctor import examine

    examine(context.obj.abilities(), context.obj.output(**asked))


@app.command()
@prints()
def presets(
    output: Output,
    network: Annotated[str | None, typer.Option(metavar="PRESET|PATH", help="Print this one's layers instead.")] = None,
) -> None:
    """List the presets and what each of them teaches."""
    from tuiae.cli.data import show_preset_network, show_presets

    show_presets(output) if network is None else show_preset_network(network, output)


@data.command("list")
@prints()
def list_(output: Output) -> None:
    """List the datasets and say which of them are on this machine."""
    from tuiae.cli.data import show_datasets

    show_datasets(output)


@data.command()
@prints()
def fetch(
    output: Output,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `tuiae data list`.")],
    force: Annotated[bool, typer.Option("--force", help="Download again, replacing a damaged copy.")] = False,
) -> None:
    """Download a dataset and keep it. A dataset that is here already is not downloaded again."""
    from tuiae.cli.data import fetch_dataset

    fetch_dataset(name, output, force=force)


@data.command("import")
@prints()
def import_(
    output: Output,
    directory: Annotated[
        Path, typer.Argument(metavar="PATH", help="The folder of a set's own files; or an npz, an npy or a CSV.")
    ],
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="The name of the dataset.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a different set of that name.")] = False,
) -> None:
    """Import a dataset from files that were carried here."""
    from tuiae.cli.data import import_dataset

    import_dataset(directory, name, output, force=force)
