"""The commands. What one of them does is in another module, which is imported when the command is called.

So `tuiae COMMAND --help` imports neither NumPy nor Rich, which would take two thirds of its time.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuiae import __version__
from tuiae.cli import options
from tuiae.cli.main import ScreenOptions, is_terminal, knows_unicode
from tuiae.cli.options import AXES, EXIT_CODES, PLAIN_TEXT, PlainGroup, prints
from tuiae.errors import ConfigError
from tuiae.machine import AUTO

if TYPE_CHECKING:
    from collections.abc import Collection

    from tuiae.cli.output import Output
    from tuiae.runs.paths import RunPaths

app = typer.Typer(cls=PlainGroup, epilog=EXIT_CODES, **PLAIN_TEXT)


def find(text: str, states: Collection[str] = ()) -> RunPaths:
    """The run that a RUN argument means; of several the one that is in one of these states, if only one is."""
    from tuiae.runs.paths import runs_dir
    from tuiae.runs.query import find_run

    return find_run(text, runs_dir(), states)


def find_live(text: str) -> RunPaths:
    """The run that a RUN argument means; of several the one that is live, if only one is."""
    from tuiae.runs.paths import LIVE_STATES

    return find(text, LIVE_STATES)


@app.callback(invoke_without_command=True)
def dashboard(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    ascii_only: options.Ascii = False,
    colors: options.Colors = "auto",
    theme: options.Theme = "",
    graphics: options.Graphics = False,
) -> None:
    """A terminal laboratory for autoencoders. Without a command: the dashboard."""
    if version:
        print(f"tuiae {__version__}")
        raise typer.Exit
    look = context.obj = ScreenOptions(ascii_only or not knows_unicode(), colors, theme, graphics)
    if context.invoked_subcommand is None:
        raise typer.Exit(look.show_dashboard())


# One training


@app.command()
@prints(*AXES)
def run(
    output: Output,
    preset: Annotated[str, typer.Argument(metavar="PRESET|PATH", help="A name, or a TOML file.")] = "quickstart",
    settings: options.Settings = None,
    dataset: Annotated[str | None, typer.Option(help="A name of `tuiae data list`, folder:PATH or file:PATH.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    devices: options.Devices = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs.")] = None,
    latent: Annotated[int | None, typer.Option(help="Width of the code.")] = None,
    noise: Annotated[str | None, typer.Option(metavar="KIND[:LEVEL]", help="Such as salt-pepper:0.3.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, shuffles, dropout and noise.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; by default that of its preset.")] = None,
    tags: options.Tags = None,
    replay: options.Replay = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only try a few steps and say what a run would cost.")] = False,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Go on with the run that this same command began, if there is one.")
    ] = False,
    other_images: options.OtherImages = False,
    trust: options.Trust = False,
    detach: options.Detach = False,
) -> None:
    """Train a preset and follow the training. Ctrl-C saves and stops."""
    from tuiae.cli.train import StartOptions, overrides_of, run_preset

    flags = {"name": name, "data.dataset": dataset, "training.epochs": epochs, "training.seed": seed}
    flags |= {"training.device": device, "training.devices": devices, "model.latent": latent}
    overrides = overrides_of(flags, noise, settings or ())
    replayed = None if replay is None else find(replay)
    start, tags = StartOptions(detach, other_images, trust), tags or []
    raise typer.Exit(run_preset(preset, overrides, start, output, tags, replayed, dry=dry, go_on=go_on))


@app.command()
@prints(*AXES)
def fork(
    output: Output,
    run: options.Run,
    start: Annotated[
        str, typer.Option("--from", metavar="last|best|STEP", help="The checkpoint to continue from.")
    ] = "last",
    settings: options.Settings = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs, those of its parent included.")] = None,
    name: Annotated[str | None, typer.Option(help="Its name; by default its parent's with what differs.")] = None,
    other_images: options.OtherImages = False,
    trust: options.Trust = False,
    detach: options.Detach = False,
) -> None:
    """Start a new run from a checkpoint, with other settings."""
    from tuiae.cli.train import StartOptions, overrides_of, start_fork

    overrides = overrides_of({"name": name, "training.epochs": epochs}, settings=settings or ())
    raise typer.Exit(start_fork(find(run), start, overrides, StartOptions(detach, other_images, trust), output))


@app.command()
@prints(*AXES)
def resume(
    output: Output,
    run: options.Run,
    epochs: Annotated[int | None, typer.Option(min=1, help="Train up to this epoch instead.")] = None,
    device: options.ThisDevice = None,
    devices: options.Devices = None,
    other_images: options.OtherImages = False,
    trust: options.Trust = False,
    detach: options.Detach = False,
) -> None:
    """Continue a stopped run from its newest checkpoint, or let a paused one go on, and follow it to its end.

    A paused run that a program of its own trains is let go on, and not followed.
    """
    from tuiae.cli.train import StartOptions, overrides_of, resume_run
    from tuiae.runs.paths import RESUMABLE

    overrides = overrides_of({"training.epochs": epochs, "training.device": device, "training.devices": devices})
    found = find(run, () if epochs else RESUMABLE)  # for more epochs one that is finished may be meant as well
    raise typer.Exit(resume_run(found, overrides, StartOptions(detach, other_images, trust), output))


@app.command()
@prints(*AXES)
def attach(
    context: typer.Context,
    asked: Any,
    run: options.Run = "last",
    ascii_only: options.Ascii = False,
    colors: options.Colors = "auto",
    theme: options.Theme = "",
    graphics: options.Graphics = False,
) -> None:
    """Follow a run in the dashboard, or in plain lines. Lines are for --plain, and where there is no terminal."""
    before: ScreenOptions = context.obj
    look = ScreenOptions(
        ascii_only or before.ascii,
        before.colors if colors == "auto" else colors,
        theme or before.theme,
        graphics or before.graphics,
    )
    found = find_live(run)
    if not (asked["json"] or asked["plain"]) and is_terminal(sys.stdout) and sys.stdin.isatty():
        raise typer.Exit(look.show_dashboard(found.root))
    from tuiae.cli.follow import follow_to_end

    raise typer.Exit(follow_to_end(found, look.output(**asked)))


@app.command()
@prints()
def pause(
    output: Output,
    run: options.Run,
    step: Annotated[int | None, typer.Option(min=1, metavar="N", help="Take N steps first.")] = None,
) -> None:
    """Pause a run, and wait until it has paused. `tuiae resume` lets it go on."""
    from tuiae.cli.follow import pause_run

    pause_run(find_live(run), step or 0, output)


@app.command()
@prints()
def stop(
    output: Output,
    run: options.Run,
    kill: Annotated[
        bool, typer.Option("--kill", help="Kill its worker if it does not answer for 20 s; the exit code is 4 then.")
    ] = False,
) -> None:
    """Ask a run to save and stop, and wait until it has."""
    from tuiae.cli.follow import stop_run

    raise typer.Exit(stop_run(find_live(run), output, kill=kill))


@app.command()
@prints()
def edit(
    output: Output,
    run: options.Run,
    settings: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="Such as training.learning_rate=5e-4.")],
) -> None:
    """Change a run while it trains. Its learning rate, noise level, beta, dropout and epochs can be changed."""
    from tuiae.cli.follow import edit_run

    edit_run(find_live(run), settings, output)


# Recorded runs


@app.command()
@prints()
def runs(
    output: Output,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Only runs with this tag.")] = None,
    words: options.Filter = None,
    columns: options.Columns = None,
) -> None:
    """List the runs, newest first. Of the runs of a sweep, each line says what varies among them."""
    from tuiae.cli.runs import list_runs

    list_runs(output, tag, words, columns)


@app.command()
@prints(*AXES)
def show(
    output: Output,
    run: options.Run = "last",
    csv: options.Csv = False,
    network: Annotated[bool, typer.Option("--network", help="Print the layers of its network.")] = False,
    histograms: Annotated[bool, typer.Option("--histograms", help="Print how weights and codes are spread.")] = False,
) -> None:
    """Show a run's figures, whether it is training or finished."""
    from tuiae.cli.data import show_histograms, show_network
    from tuiae.cli.runs import show_points, show_run

    asked = {show_points: csv, show_network: network, show_histograms: histograms}
    wanted = [part for part, is_asked in asked.items() if is_asked] or [show_run]
    if len(wanted) > 1:
        raise ConfigError("--csv, --network and --histograms each print something else", "give one of them")
    wanted[0](find_live(run), output)


@app.command()
@prints(*AXES)
def status(
    output: Output,
    run: options.Run = "last",
    once: Annotated[bool, typer.Option("--once", help="Print it once, not again after each epoch.")] = False,
) -> None:
    """Say in plain words how a run is doing. The text fits a small screen and suits a screen reader."""
    from tuiae.cli.status import show_status

    show_status(find_live(run), replace(output, plain=True, plot=output.plot or is_terminal(sys.stdout)), once=once)


@app.command()
@prints()
def label(
    output: Output,
    run: options.Run,
    name: Annotated[str | None, typer.Option(help="Its new name; an empty one removes the name.")] = None,
    note: Annotated[str | None, typer.Option(help="Its new note; an empty one removes the note.")] = None,
    tags: options.Tags = None,
    untags: options.Untags = None,
) -> None:
    """Change the name, the note and the tags of a run. Without options, show them."""
    from tuiae.cli.runs import label_run

    label_run(find(run), name, note, tags or (), untags or (), output)


@app.command()
@prints()
def delete(
    output: Output,
    runs: Annotated[list[str] | None, options.Runs] = None,
    tag: options.Tag = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete runs for good, with their weights. Where one of them is training, none is deleted."""
    from tuiae.cli.runs import delete_runs

    delete_runs([find(run) for run in runs or ()], tag, output, yes=yes)


@app.command("import")
@prints()
def import_runs(
    output: Output,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder of TensorBoard's event files or W&B's runs.")],
) -> None:
    """Bring runs of TensorBoard, or offline runs of W&B, into the list: their curves and their configs."""
    from tuiae.cli.data import import_old_runs

    import_old_runs(path, output)


# A run's weights


@app.command("eval")
@prints("plot")
def evaluate(
    output: Output,
    run: options.Run = "last",
    weights: options.Weights = "last",
    device: options.Device = "auto",
    noise: Annotated[
        str | None, typer.Option(metavar="KIND[:LEVEL]", help="Measure under this noise, not the run's own.")
    ] = None,
    noise_kind: options.NoiseKind = None,
    noise_levels: options.NoiseLevels = None,
    noise_probability: options.NoiseProbability = None,
    probe: Annotated[bool, typer.Option("--probe", help="Fit a linear classifier to the code.")] = False,
    baseline: Annotated[bool, typer.Option("--baseline", help="Compare with PCA of the same code size.")] = False,
    test_split: options.TestSplit = False,
    trust: options.Trust = False,
) -> None:
    """Measure a run's weights on both whole splits. Dropout is off."""
    from tuiae.cli.evaluate import NoiseRange, evaluate_run
    from tuiae.cli.train import allow_code

    allow_code(found := find(run), trusted=trust)
    levels = NoiseRange(noise_kind, noise_levels, noise_probability)
    evaluate_run(found, weights, device, noise, levels, output, probe=probe, baseline=baseline, test_split=test_split)


@app.command(cls=options.OptionalNumbers)
@prints()
def explore(
    output: Output,
    run: options.Run = "last",
    codes: Annotated[bool, typer.Option("--codes", help="Map the codes of the test images.")] = False,
    plane: options.Plane = None,
    samples: options.Samples = None,
    between: options.Between = None,
    dims: Annotated[str | None, typer.Option(metavar="I,J", help="Map these two numbers of the code.")] = None,
    weights: options.Weights = "last",
    device: options.Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of --samples.")] = 0,
    png: options.Png = None,
    trust: options.Trust = False,
) -> None:
    """Show a run's code on a map, and decode it. Without options, show everything that the run has."""
    from tuiae.cli.explore import ExploreViews, explore_run
    from tuiae.cli.train import allow_code

    allow_code(found := find(run), trusted=trust)
    views = ExploreViews(codes, plane, samples, between, dims)
    explore_run(found, views, weights, device, seed, output, png)


@app.command()
@prints()
def export(
    output: Output,
    run: options.Run,
    to: options.To,
    checkpoint: options.Checkpoint = None,
    part: options.Part = None,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="By default the run's id, in this folder.")
    ] = None,
    force: options.Force = False,
) -> None:
    """Write a run in a format of others: its network, or its curves."""
    from tuiae.cli.export import export_run

    export_run(find(run), to, checkpoint, part, file, output, force=force)


# Several runs


@app.command()
@prints(*AXES)
def compare(
    output: Output,
    runs: Annotated[list[str] | None, options.Runs] = None,
    tag: options.Tag = "",
    metric: Annotated[
        str, typer.Option(help="The metric to compare: loss, accuracy, or another that the runs have.")
    ] = "loss",
) -> None:
    """Compare runs side by side. Shown are curves, final and best values, spreads, differences, the same images."""
    from tuiae.cli.studies import compare_runs

    compare_runs([find(run) for run in runs or ()], tag, metric, output)


@app.command("report")
@prints()
def report_(
    output: Output,
    runs: Annotated[list[str] | None, options.Runs] = None,
    tag: options.Tag = "",
    file: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="By default RUN.html.")] = None,
    force: options.Force = False,
) -> None:
    """Write runs as one HTML file: curves, images, confusion, codes, config, versions, edits."""
    from tuiae.cli.export import report

    report([find(run) for run in runs or ()], tag, file, output, force=force)


@app.command()
@prints("plot")
def sweep(
    output: Output,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A sweep file, or the name of one that came with tuiae.")],
    jobs: options.Jobs = AUTO,
    on: options.On = "",
    address: options.Address = "auto",
    gpus: options.Gpus = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and list its runs; train nothing.")] = False,
) -> None:
    """Train a preset with every combination of values in a file. Given again, it trains what is missing."""
    from tuiae.cli.studies import sweep_file
    from tuiae.studies.places import Wish

    raise typer.Exit(sweep_file(file, jobs, output, dry_run=dry_run, wish=Wish(on, address, gpus)))


@app.command()
@prints()
def reproduce(
    output: Output,
    work: Annotated[
        str | None, typer.Argument(metavar="WORK", help="The name of a work, or its file; by default all works.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few epochs, one seed: verdicts are provisional.")] = False,
    claims: Annotated[bool, typer.Option("--claims", help="List the claims and how they are measured.")] = False,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Train every run with this many seeds.")] = None,
    jobs: options.Jobs = AUTO,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write the report here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the tables as Markdown too.")] = None,
    on: options.On = "",
    address: options.Address = "auto",
    gpus: options.Gpus = None,
) -> None:
    """Repeat what published works trained, and judge their claims. Given again, it goes on where it stopped."""
    from tuiae.cli.reproduce import list_claims, reproduce_works

    if claims:
        list_claims(work, output)
        return
    from tuiae.studies.places import Wish

    wish, reports = Wish(on, address, gpus), {"html": report, "markdown": markdown}
    raise typer.Exit(reproduce_works(work, output, quick=quick, seeds=seeds or 0, jobs=jobs, wish=wish, **reports))
