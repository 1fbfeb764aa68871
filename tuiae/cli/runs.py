"""Commands about runs: train, come back, look at."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tuiae.cli.app import (
    Ascii,
    Colors,
    Detach,
    Json,
    Look,
    Plain,
    RealPictures,
    Run,
    Settings,
    Tags,
    ThemeName,
    app,
    find,
    output_of,
    overrides_of,
)

Preset = Annotated[str, typer.Argument(metavar="PRESET|PATH", help="A preset's name, or a TOML file.")]
Replay = Annotated[
    str | None, typer.Option(metavar="RUN", help="Make the edits that were made to this run, at the same steps.")
]


@app.command()
def run(
    context: typer.Context,
    preset: Preset = "quickstart",
    settings: Settings = None,
    dataset: Annotated[str | None, typer.Option(help="As in `tuiae data list`, or folder:PATH.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    epochs: Annotated[int | None, typer.Option(help="How many.")] = None,
    latent: Annotated[int | None, typer.Option(help="Width of the code.")] = None,
    noise: Annotated[str | None, typer.Option(metavar="KIND[:LEVEL]", help="E.g. salt-pepper:0.3.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, shuffles, dropout and noise.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call it; else as its preset.")] = None,
    tags: Tags = None,
    replay: Replay = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only try a few steps, and say what a run costs.")] = False,
    detach: Detach = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Train a preset, and follow it; Ctrl-C saves and stops."""
    from tuiae.cli.train import start
    from tuiae.config import build_config, read_document
    from tuiae.config.presets import find_preset
    from tuiae.preflight import check_asked
    from tuiae.runs.paths import runs_dir

    flags = {"name": name, "data.dataset": dataset, "training.device": device, "training.epochs": epochs}
    flags |= {"model.latent": latent, "training.seed": seed}
    overrides = overrides_of(flags, noise, settings or [])
    path = find_preset(preset)
    document = read_document(path)
    config = build_config(document, overrides.values, source=str(path), asker=overrides.askers)
    check_asked(overrides.values, overrides.askers, config, runs_dir())
    output = output_of(context.obj, json, plain)
    if dry:
        from tuiae.cli.train import show_cost

        show_cost(config, runs_dir(), output)
        return
    replayed = None if replay is None else find(replay)
    made_from = str(document.get("name", ""))
    raise typer.Exit(
        start(config, runs_dir(), output, detach=detach, tags=tags or (), replayed=replayed, preset=made_from)
    )


@app.command(short_help="Go on from a checkpoint with other settings, as a new run.")
def fork(
    context: typer.Context,
    run: Run,
    start: Annotated[
        str, typer.Option("--from", metavar="last|best|STEP", help="The checkpoint to go on from.")
    ] = "last",
    settings: Settings = None,
    epochs: Annotated[int | None, typer.Option(help="How many, those of its parent included.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the new run; else its parent's.")] = None,
    detach: Detach = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Go on from a checkpoint of a run with other settings, as a new run."""
    from tuiae.cli.train import fork as branch_off
    from tuiae.runs.paths import runs_dir

    overrides = overrides_of({"name": name, "training.epochs": epochs}, None, settings or [])
    output = output_of(context.obj, json, plain)
    raise typer.Exit(
        branch_off(find(run), start, overrides.values, overrides.askers, runs_dir(), output, detach=detach)
    )


@app.command()
def resume(
    context: typer.Context,
    run: Run,
    epochs: Annotated[int | None, typer.Option(min=1, help="Train up to so many epochs instead.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Instead of its own, this time; the results differ in their last bits.")
    ] = None,
    detach: Detach = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Go on with a stopped run from its newest checkpoint."""
    from tuiae.cli.train import resume as go_on

    overrides = overrides_of({"training.epochs": epochs, "training.device": device}, None, [])
    raise typer.Exit(
        go_on(find(run), overrides.values, overrides.askers, output_of(context.obj, json, plain), detach=detach)
    )


@app.command(short_help="Come back to a run: the dashboard, or plain lines.")
def attach(
    context: typer.Context,
    run: Run = "last",
    json: Json = False,
    plain: Plain = False,
    ascii_only: Ascii = False,
    colors: Colors = "auto",
    theme: ThemeName = "",
    graphics: RealPictures = False,
) -> None:
    """Come back to a run: in the dashboard on a terminal, in plain lines elsewhere or with --plain."""
    from tuiae.cli.output import is_terminal
    from tuiae.cli.train import attach as follow_it

    look = Look(ascii_only, colors, theme, graphics).over(context.obj)
    look.check()
    found = find(run)
    if not (json or plain) and is_terminal(sys.stdout) and sys.stdin.isatty():
        raise typer.Exit(look.show_dashboard(found.root))
    raise typer.Exit(follow_it(found, output_of(look, json, plain)))


@app.command()
def stop(context: typer.Context, run: Run, json: Json = False) -> None:
    """Ask a run to save and stop, and wait until it has."""
    from tuiae.cli.train import stop as end

    raise typer.Exit(end(find(run), output_of(context.obj, json)))


@app.command()
def edit(
    context: typer.Context,
    run: Run,
    settings: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="E.g. training.learning_rate=0.0005.")],
    json: Json = False,
) -> None:
    """Change a run while it trains: learning rate, noise level, beta, dropout, epochs."""
    from tuiae.cli.manage import edit as change

    raise typer.Exit(change(find(run), settings, output_of(context.obj, json)))


@app.command()
def runs(
    context: typer.Context,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Only runs with this tag.")] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="WORDS", help="E.g. 'state:finished loss:<0.01 -conv'.")
    ] = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """List the runs, newest first."""
    from tuiae.cli.tables import show_runs
    from tuiae.runs.paths import runs_dir

    show_runs(runs_dir(), output_of(context.obj, json, plain), tag, filter_)


@app.command()
def label(
    context: typer.Context,
    run: Run,
    name: Annotated[str | None, typer.Option(help="What to call it; empty takes the name away.")] = None,
    note: Annotated[str | None, typer.Option(help="What to remember about it.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Add a tag; may be repeated.")] = None,
    untags: Annotated[
        list[str] | None, typer.Option("--untag", metavar="TAG", help="Take a tag away; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Name, note and tag a run; without options, show them."""
    from tuiae.cli.manage import label_run

    label_run(find(run), name, note, tags or (), untags or (), output_of(context.obj, json))


@app.command()
def delete(
    context: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Ids, their beginnings, or paths.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete runs for good, weights and all; live ones are refused."""
    from tuiae.cli.manage import delete_runs
    from tuiae.runs.paths import runs_dir

    raise typer.Exit(delete_runs([find(run) for run in runs], runs_dir(), output_of(context.obj, json), yes=yes))


@app.command()
def show(
    context: typer.Context,
    run: Run = "last",
    csv: Annotated[
        bool, typer.Option("--csv", help="Print the points of its curves: run,split,epoch,step,metric,value.")
    ] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Show a run's figures, live or finished."""
    from tuiae.cli.manage import show_points
    from tuiae.cli.tables import show_run

    (show_points if csv else show_run)(find(run).root, output_of(context.obj, json, plain))


@app.command(short_help="Say in a screenful of plain words how a run stands.")
def status(
    context: typer.Context,
    run: Run = "last",
    once: Annotated[bool, typer.Option("--once", help="Print it once; else again after each epoch.")] = False,
    json: Json = False,
) -> None:
    """Say in a screenful of plain words how a run stands, for a phone or a screen reader."""
    from tuiae.cli.status import show_status

    show_status(find(run), output_of(context.obj, json, plain=True), once=once)


@app.command(name="eval", short_help="Measure a run's weights on both splits, dropout off.")
def evaluate(
    context: typer.Context,
    run: Run = "last",
    weights: Annotated[str, typer.Option(help="last, best, or a step that was kept.")] = "last",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    noise: Annotated[str | None, typer.Option(metavar="KIND[:LEVEL]", help="Instead of the run's own.")] = None,
    noise_kind: Annotated[str | None, typer.Option(metavar="KIND", help="Sweep this noise, not the run's own.")] = None,
    noise_levels: Annotated[
        str | None, typer.Option(metavar="LEVELS", help="Sweep the noise on the test images, e.g. 0,0.1,0.2.")
    ] = None,
    noise_probability: Annotated[
        float | None, typer.Option(metavar="P", help="uniform noise: the chance that a pixel moves.")
    ] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Classify the code with a linear model.")] = False,
    baseline: Annotated[bool, typer.Option("--baseline", help="The error of PCA at the same code size.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Measure a run's weights on both splits, whole, with dropout off."""
    from tuiae.cli.evaluate import Request, evaluate_run

    level = overrides_of({}, noise, []).values
    request = Request(weights, device, level, noise_kind, noise_levels, noise_probability, probe, baseline)
    evaluate_run(find(run), request, output_of(context.obj, json, plain))


@app.command()
def presets(context: typer.Context, json: Json = False, plain: Plain = False) -> None:
    """List the presets and what each one teaches."""
    from tuiae.cli.tables import show_presets

    show_presets(output_of(context.obj, json, plain))
