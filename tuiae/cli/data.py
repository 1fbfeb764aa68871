"""What there is to train: presets, networks and datasets. `tuiae presets`, `tuiae show --network` and `--histograms`,
and `tuiae data list`, `fetch`, `import`. And `tuiae import`: runs of other trackers."""

from __future__ import annotations

from pathlib import Path

from tuiae.cli.output import Output, dataset_progress
from tuiae.config import RunConfig, build_config, read_document
from tuiae.config.presets import find_preset, list_presets
from tuiae.data.datasets import fetch
from tuiae.data.importing import import_directory
from tuiae.data.registry import DatasetInfo, list_datasets
from tuiae.errors import ConfigError
from tuiae.images import ImageRecord, size_words
from tuiae.preflight import check, layers_on
from tuiae.render.network import (
    HISTOGRAMS_KEY,
    draw_network,
    draw_over_epochs,
    draw_overview,
    histogram_records,
    layer_records,
    spread_epochs,
)
from tuiae.render.text import MISSING, clean, count
from tuiae.runs.lineage import need_config, no_config
from tuiae.runs.paths import RunPaths, is_tracked, runs_dir
from tuiae.runs.reader import RunReader, read_images, read_sample


def show_presets(output: Output) -> None:
    """List the presets and what each one teaches."""
    found = list_presets()
    if output.json:
        output.document([{"name": one.name, "path": str(one.path), "teaches": one.teaches} for one in found])
        return
    output.table(("preset", "what it teaches"), ((one.name, one.teaches) for one in found))


# Networks

WIDEST = 110  # columns


def show_preset_network(preset: str, output: Output) -> None:
    """Show the layers of the network that a preset trains, on the images that it names.

    Raises:
        ConfigError, DataError, UnknownRunError: as `tuiae run`.
    """
    config = build_config(read_document(path := find_preset(preset)), source=str(path))
    _show_layers(check(config, runs_dir()).config, None, output)


def show_network(run: RunPaths, output: Output) -> None:
    """Show the layers of a run's network.

    Raises:
        ConfigError: its config cannot be read. DataError: nothing tells how large its images are.
    """
    _show_layers(need_config(run), read_images(run), output, run)


def _show_layers(config: RunConfig, images: ImageRecord | None, output: Output, run: RunPaths | None = None) -> None:
    shape, layers = layers_on(config, images, run)
    if output.json:
        output.document({"input": list(shape), "layers": layer_records(layers)})
        return
    frozen, width = config.is_classifier and config.model.freeze, min(output.plot_width, WIDEST)
    for line in draw_network(layers, shape, width, frozen=frozen, ascii_only=output.plot_ascii):
        output.draw(line)


def show_histograms(run: RunPaths, output: Output) -> None:
    """Show how weights, gradients and codes are spread after the newest epoch, and each over the epochs; as JSON after
    every epoch.

    Raises:
        ConfigError: the run keeps no histograms.
    """
    epochs = RunReader(run.root).read_all().samples
    found = {
        epoch: sample.histograms
        for epoch in (epochs if output.json else spread_epochs(epochs))
        if (sample := read_sample(run, epoch)) is not None and sample.histograms
    }
    if not found:
        if is_tracked(run):
            raise no_config(run)
        again = f"`tuiae fork {run.id} --set {HISTOGRAMS_KEY}=true` goes on from a checkpoint with them"
        raise ConfigError(f"{run.id} keeps no histograms", again)
    if output.json:
        kept = [{"epoch": epoch, "histograms": histogram_records(of_epoch)} for epoch, of_epoch in found.items()]
        output.document({"run": run.id, "epochs": kept})
        return
    newest, width = max(found), min(output.plot_width, WIDEST)
    output.line(f"{run.id} after epoch {newest:,}", "bold")
    for line in draw_overview(found[newest], None, width, output.plot_ascii):
        output.draw(line)
    for one in found[newest]:
        output.line()
        for line in draw_over_epochs(one, found, newest, width, len(found) + 1, output.plot_ascii):
            output.draw(line)


# Datasets


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
            size_words(info.shape) if info.shape else MISSING,
            count(info.train),
            count(info.test),
            str(len(info.classes)) if info.labelled else MISSING,
            info.title,
        )
        for info in sets
    )
    output.table(heads, rows, right=("train", "test", "classes"))
    output.line("folder:PATH reads pictures, one sub-folder a class; file:PATH an npz, npy files or a CSV", "dim")
    if not all(info.ready for info in sets):
        output.line(
            "not ready: `tuiae data fetch NAME` downloads it, `tuiae data import PATH` takes files carried over", "dim"
        )


def fetch_dataset(name: str, output: Output, *, force: bool) -> None:
    """Download a dataset, check it and keep it; where it is here already, only say so."""
    with dataset_progress(output) as report:
        info = fetch(name, progress=report, force=force)
    _tell(info, output)


def import_dataset(directory: Path, name: str | None, output: Output, *, force: bool) -> None:
    """Import a directory's idx files or a file of arrays, all of it or nothing."""
    with dataset_progress(output) as report:
        info = import_directory(directory, name, force=force, progress=report, notice=output.note)
    _tell(info, output)


def _tell(info: DatasetInfo, output: Output) -> None:
    if output.json:
        output.document(
            {"dataset": info.name, "train": info.train, "test": info.test, "shape": info.shape, "notes": info.notes}
        )
        return
    images = f"{count(info.train)} training and {count(info.test)} test images of {size_words(info.shape or (0, 0, 0))}"
    output.line(f"{info.name} is ready: {images}, {len(info.classes)} classes")


# `tuiae import`


def import_old_runs(path: Path, output: Output) -> None:
    """Import the runs of other trackers in a file or below a folder; one that is there already is passed over.

    Raises:
        ConfigError: there are none, or what reads them is not installed.
    """
    from tuiae.integrations.old_runs import find_old_runs, import_run

    if not path.exists():
        raise ConfigError(f"{path} does not exist", "give a file or a folder that other trackers wrote")
    root, made = runs_dir(), []
    for old in find_old_runs(path):
        try:
            run = import_run(old, root)
        except ConfigError as error:
            output.warn([str(error)])
            continue
        if run is None:
            output.note(f"{clean(old.source)} was imported before")
        else:
            made.append({"run": run.id, "from": old.tracker, "path": str(old.source)})
            output.line(f"{run.id}  {clean(old.name)}, {count(len(old.points))} points of {old.tracker}")
    if output.json:
        output.document(made)
