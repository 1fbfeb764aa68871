"""The command line: each command a few lines, heavy imports inside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tuiae import __version__
from tuiae.errors import ConfigError, ExitCode, TuiaeError

EXIT_CODES = """Exit codes: 0 done, 2 usage or config (unknown run, missing device), 3 data not to be had or not fit to
use, 4 training failed (diverged, out of memory, worker died), 5 stopped early with a checkpoint saved, 6 run held by
another process. --debug, anywhere, shows the traceback of an error."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
data_app = typer.Typer(help="Datasets: list, download, import.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")

Run = Annotated[str, typer.Argument(metavar="RUN", help="An id, a unique prefix, a name, a path, or last.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Plain = Annotated[bool, typer.Option("--plain", help="Plain lines, no escape codes.")]
Detach = Annotated[bool, typer.Option("--detach", help="Start the run, print its id, and return.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tuiae {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def dashboard(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw pictures with ASCII characters.")] = False,
) -> None:
    """A terminal laboratory for autoencoders. Without a command: the dashboard."""
    if context.invoked_subcommand is None:
        _open_dashboard(None, ascii_only)


@app.command()
def run(
    preset: Annotated[
        str, typer.Argument(metavar="PRESET|PATH", help="A preset's name, or a TOML file.")
    ] = "quickstart",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override any key.")] = None,
    dataset: Annotated[str | None, typer.Option(help="As in `tuiae data list`, or folder:PATH.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    epochs: Annotated[int | None, typer.Option(help="How many.")] = None,
    latent: Annotated[int | None, typer.Option(help="Width of the code.")] = None,
    noise: Annotated[str | None, typer.Option(metavar="KIND[:LEVEL]", help="E.g. salt-pepper:0.3.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, shuffles, dropout and noise.")] = None,
    detach: Detach = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Train a preset, and follow it; Ctrl-C saves and stops."""
    from tuiae.config import load_config
    from tuiae.console.output import Output
    from tuiae.console.training import start
    from tuiae.preset_files import find_preset
    from tuiae.runs.layout import runs_dir

    flags = {
        "data.dataset": dataset,
        "training.device": device,
        "training.epochs": epochs,
        "model.latent": latent,
        "training.seed": seed,
    }
    config = load_config(find_preset(preset), _overrides(flags, noise, settings or []))
    raise typer.Exit(start(config, runs_dir(), Output(json, plain), detach=detach))


def _overrides(flags: dict[str, Any], noise: str | None, settings: list[str]) -> dict[str, Any]:
    from tuiae.config import parse_override

    overrides = {key: value for key, value in flags.items() if value is not None}
    if noise is not None:
        kind, _, level = noise.partition(":")
        overrides["noise.kind"] = kind
        if level:
            overrides["noise.level"] = parse_override(f"noise.level={level}")[1]
    return overrides | dict(parse_override(setting) for setting in settings)


@app.command()
def resume(
    run: Run,
    epochs: Annotated[int | None, typer.Option(min=1, help="Train up to so many epochs instead.")] = None,
    detach: Detach = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Go on with a stopped run from its newest checkpoint."""
    from tuiae.console.output import Output
    from tuiae.console.training import resume as go_on

    raise typer.Exit(go_on(_find(run), epochs, Output(json, plain), detach=detach))


@app.command()
def attach(run: Run = "last", json: Json = False, plain: Plain = False) -> None:
    """Come back to a run: in the dashboard on a terminal, in plain lines elsewhere or with --plain."""
    from tuiae.console.output import Output, is_terminal
    from tuiae.console.training import attach as follow_it

    found = _find(run)
    if not (json or plain) and is_terminal(sys.stdout) and sys.stdin.isatty():
        _open_dashboard(found.root, ascii_only=False)
    raise typer.Exit(follow_it(found, Output(json, plain)))


@app.command()
def stop(run: Run, json: Json = False) -> None:
    """Ask a run to save and stop, and wait until it has."""
    from tuiae.console.output import Output
    from tuiae.console.training import stop as end

    raise typer.Exit(end(_find(run), Output(json)))


@app.command()
def runs(json: Json = False, plain: Plain = False) -> None:
    """List the runs, newest first."""
    from tuiae.console.output import Output
    from tuiae.console.tables import show_runs
    from tuiae.runs.layout import runs_dir

    show_runs(runs_dir(), Output(json, plain))


@app.command()
def show(run: Run = "last", json: Json = False, plain: Plain = False) -> None:
    """Show a run's figures, live or finished."""
    from tuiae.console.output import Output
    from tuiae.console.tables import show_run

    show_run(_find(run).root, Output(json, plain))


@app.command(name="eval")
def evaluate(
    run: Run = "last",
    weights: Annotated[str, typer.Option(help="last, best, or a step that was kept.")] = "last",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    noise: Annotated[str | None, typer.Option(metavar="KIND[:LEVEL]", help="Instead of the run's own.")] = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Measure a run's weights on both splits, whole, with dropout off."""
    from tuiae.console.evaluation import evaluate_run
    from tuiae.console.output import Output

    overrides = {"training.device": device, **_overrides({}, noise, [])}
    evaluate_run(_find(run), weights, overrides, Output(json, plain))


@app.command()
def presets(json: Json = False, plain: Plain = False) -> None:
    """List the presets and what each one teaches."""
    from tuiae.console.output import Output
    from tuiae.console.tables import show_presets

    show_presets(Output(json, plain))


@data_app.command("list")
def data_list(json: Json = False, plain: Plain = False) -> None:
    """List the datasets, and which are ready with no network."""
    from tuiae.console.output import Output
    from tuiae.console.tables import show_datasets

    show_datasets(Output(json, plain))


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A name from `tuiae data list`.")],
    force: Annotated[bool, typer.Option(help="Download again, replacing a damaged copy.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Download a dataset, check it, and keep it for runs without a network."""
    from tuiae.console.datasets import fetch_dataset
    from tuiae.console.output import Output

    fetch_dataset(name, Output(json, plain), force=force)


@data_app.command("import")
def data_import(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Holds the four idx files, gzipped or not.")],
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="What to call it.")] = None,
    force: Annotated[bool, typer.Option(help="Replace a different set of that name.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Take the idx files of an MNIST-like set from a directory."""
    from tuiae.console.datasets import import_dataset
    from tuiae.console.output import Output

    import_dataset(directory, name, Output(json, plain), force=force)


def _find(text: str) -> Any:
    from tuiae.runs.layout import find_run, runs_dir

    return find_run(text, runs_dir())


def _open_dashboard(run: Path | None, ascii_only: bool) -> NoReturn:
    from tuiae.console.output import is_terminal

    if not (is_terminal(sys.stdout) and sys.stdin.isatty()):
        raise ConfigError(
            "the dashboard needs a terminal", "`tuiae run PRESET` trains without one, `tuiae --help` lists more"
        )
    from tuiae.ui.app import open_dashboard

    raise typer.Exit(open_dashboard(run, ascii_only=ascii_only))


def main() -> None:
    """Entry point: errors become one sentence on stderr and the documented exit code."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(arguments, prog_name="tuiae")
    except TuiaeError as error:
        if debug:
            raise
        _tell(error, "--json" in arguments)
        sys.exit(error.exit_code)
    except SystemExit as end:
        # `tuiae runs | head`: the reader has seen enough. Typer and Rich both make an exit code of 1 of it.
        if isinstance(end.__context__, BrokenPipeError):
            sys.exit(ExitCode.OK)
        raise


def _tell(error: TuiaeError, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"error": error.cause, "hint": error.hint, "exit_code": int(error.exit_code)}))
    print(f"error: {error.cause}", file=sys.stderr)
    if error.hint:
        print(f"  try: {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    main()
