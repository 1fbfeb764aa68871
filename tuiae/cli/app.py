"""The Typer app, the dashboard behind it, and what the commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tuiae import __version__
from tuiae.cli.dashboard import show_dashboard

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

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="An id or its beginning, with or without date; a path; or last.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Plain = Annotated[bool, typer.Option("--plain", help="Plain lines, no escape codes.")]
Ascii = Annotated[bool, typer.Option("--ascii", help="Draw everything with ASCII characters.")]
Colors = Annotated[str, typer.Option("--colors", metavar="MODE", help="auto, truecolor, 256, 16 or none.")]
ThemeName = Annotated[str, typer.Option("--theme", metavar="NAME", help="dark, light or auto; else the last one.")]
RealPictures = Annotated[bool, typer.Option("--graphics", help="Real pictures, by kitty's protocol or sixel.")]
Detach = Annotated[bool, typer.Option("--detach", help="Start the run, print its id, and return.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tuiae {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def dashboard(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
    ascii_only: Ascii = False,
    colors: Colors = "auto",
    theme: ThemeName = "",
    graphics: RealPictures = False,
) -> None:
    """A terminal laboratory for autoencoders. Without a command: the dashboard."""
    if context.invoked_subcommand is None:
        raise typer.Exit(show_dashboard(None, colors, ascii_only, theme, graphics))


def overrides_of(flags: dict[str, Any], noise: str | None, settings: list[str]) -> dict[str, Any]:
    """Flags that were given, `--noise` and `--set`, as dotted keys; what is set comes last."""
    from tuiae.config import parse_override

    overrides = {key: value for key, value in flags.items() if value is not None}
    if noise is not None:
        kind, _, level = noise.partition(":")
        overrides["noise.kind"] = kind
        if level:
            overrides["noise.level"] = parse_override(f"noise.level={level}")[1]
    return overrides | dict(parse_override(setting) for setting in settings)


def find(text: str) -> Any:
    """The run that a RUN argument means."""
    from tuiae.runs.layout import find_run, runs_dir

    return find_run(text, runs_dir())
