"""The Typer app, the dashboard behind it, and what the commands share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from tuiae import __version__
from tuiae.cli.main import knows_unicode, show_dashboard

EXIT_CODES = """Exit codes: 0 done, 2 usage or config (unknown run, missing device), 3 data not to be had or not fit to
use, 4 training failed (diverged, out of memory, worker died), 5 stopped early with a checkpoint saved, 6 run held by
another process, 130 interrupted with nothing to save. --debug, anywhere, shows the traceback of an error."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)

Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="An id or its beginning, date or not; a display name; a path; last."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any key of the config; may be repeated.")
]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A word to find it by; may be repeated.")]
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
    look = context.obj = Look(ascii_only or not knows_unicode(), colors, theme, graphics)
    look.check()
    if context.invoked_subcommand is None:
        raise typer.Exit(look.show_dashboard())


@dataclass(frozen=True)
class Look:
    """How a command speaks and draws."""

    ascii: bool = False
    colors: str = "auto"
    theme: str = ""
    graphics: bool = False

    def over(self, other: Look) -> Look:
        """This one, and the other one where it says nothing."""
        colors = other.colors if self.colors == "auto" else self.colors
        return Look(self.ascii or other.ascii, colors, self.theme or other.theme, self.graphics or other.graphics)

    def check(self) -> None:
        """Raises ConfigError where there are no such colours, or no such theme."""
        if self.colors != "auto":
            from tuiae.ui.terminal.mode import choose_mode

            choose_mode(self.colors, self.ascii, os.environ)
        if self.theme:
            from tuiae.ui.terminal.mode import choose_theme

            choose_theme(self.theme, "", os.environ)

    def show_dashboard(self, run: Path | None = None) -> int:
        """Open the dashboard so; the exit code."""
        return show_dashboard(run, self.colors, self.ascii, self.theme, self.graphics)


def output_of(look: Look, json: bool = False, plain: bool = False) -> Any:
    """The Output of a command that looks so."""
    from tuiae.cli.output import Output

    return Output(json, plain, look.ascii, look.colors)


@dataclass(frozen=True)
class Overrides:
    """What was asked for on top of a config."""

    values: dict[str, Any]
    """By dotted key."""
    askers: dict[str, str]
    """The flags that asked, where it was not `--set`: a message about a value begins with them."""


def overrides_of(flags: Mapping[str, Any], noise: str | None, settings: Sequence[str]) -> Overrides:
    """Flags that were given, by the key that they are named for, `--noise` and `--set`; what is set comes last."""
    from tuiae.config import parse_override
    from tuiae.errors import ConfigError

    values = {key: value for key, value in flags.items() if value is not None}
    askers = {key: f"--{key.rpartition('.')[2]}" for key in values}
    if noise is not None:
        kind, _, level = noise.partition(":")
        if kind.replace(".", "", 1).isdecimal():
            raise ConfigError(f"--noise {noise}: a level needs a kind", f"KIND:LEVEL, such as salt-pepper:{kind}")
        values["noise.kind"] = kind
        if level:
            values["noise.level"] = parse_override(f"noise.level={level}")[1]
        askers |= dict.fromkeys(("noise.kind", "noise.level"), "--noise")
    given = dict(parse_override(setting) for setting in settings)
    return Overrides(values | given, {key: asker for key, asker in askers.items() if key not in given})


def find(text: str) -> Any:
    """The run that a RUN argument means."""
    from tuiae.runs.paths import runs_dir
    from tuiae.runs.query import find_run

    return find_run(text, runs_dir())
