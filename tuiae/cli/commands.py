"""The commands: the module that each is in, the options that several of them take, and how output should look.

A command's module is imported when the command is called; `tuiae --help` and `--version` import none.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from tuiae import __version__
from tuiae.cli.main import knows_unicode, show_dashboard
from tuiae.errors import ConfigError

if TYPE_CHECKING:
    from tuiae.runs.paths import RunPaths

COMMANDS = {
    "run": ("train", "Train a preset and follow it; Ctrl-C saves and stops."),
    "fork": ("train", "Continue from a checkpoint with other settings, as a new run."),
    "resume": ("train", "Continue a stopped run from its newest checkpoint."),
    "attach": ("train", "Come back to a run: the dashboard, or plain lines."),
    "stop": ("train", "Ask a run to save and stop, and wait until it has."),
    "edit": ("train", "Change a run while it trains."),
    "runs": ("runs", "List the runs, newest first."),
    "show": ("runs", "Show a run's figures, live or finished."),
    "status": ("runs", "Tell in one screenful of plain words how a run is doing."),
    "label": ("runs", "Name, note and tag a run."),
    "delete": ("runs", "Delete runs for good, weights and all."),
    "eval": ("evaluate", "Measure a run's weights on both splits, dropout off."),
    "explore": ("explore", "Show a run's code: a map, what its plane decodes to."),
    "compare": ("compare", "Lay runs side by side: curves, values, pictures."),
    "sweep": ("sweep", "Train a preset with every combination of values in a file."),
    "reproduce": ("reproduce", "Run what published works ran, and judge their claims."),
    "presets": ("data", "List the presets and what each one teaches."),
    "data": ("data", "Datasets: list, download, import."),
}
"""By name: the module in `tuiae.cli`, and the line of `tuiae --help`."""

EXIT_CODES = """Exit codes: 0 done, 2 usage or config (unknown run, missing device), 3 data not available or not fit to
use, 4 training failed (diverged, out of memory, worker died), 5 stopped early with a checkpoint saved, 6 run held by
another process, 130 interrupted with nothing to save. --debug, anywhere, shows the traceback of an error."""


class LazyCommands(TyperGroup):
    """Knows the commands by name, and imports the module of the one that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=words) for name, (_, words) in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            module = import_module(f"tuiae.cli.{COMMANDS[name][0]}")
            command = get_group(module.app).commands[name]
        return name, command, rest


def new_app(**settings: Any) -> typer.Typer:
    """A Typer app whose help is plain text."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


CHOICES = {"colors": ("auto", "truecolor", "256", "16", "none"), "theme": ("auto", "dark", "light")}


def _check_choice(option: typer.CallbackParam, value: str) -> str:
    """Raise ConfigError, rather than Typer's own error, for a value that is not one of CHOICES."""
    choices = CHOICES[option.name or ""]
    if value not in (option.default, *choices):
        raise ConfigError(f"--{option.name} {value} is not known", f"one of {', '.join(choices)}")
    return value


Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="An id or its beginning, with or without the date; a name; a path; last."),
]
Runs = typer.Argument(metavar="RUN", help="Ids or their beginnings, names, paths, last.")
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any key of the config; may be repeated.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Start the run, print its id, and return.")]
Weights = Annotated[str, typer.Option(help="last, best, or the step of a checkpoint that was kept.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Jobs = Annotated[int, typer.Option(min=1, max=64, help="Trainings at once; they share the cores.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Plain = Annotated[bool, typer.Option("--plain", help="Plain lines, no escape codes.")]
Plot = Annotated[bool, typer.Option("--plot", help="Plot in ASCII where there is no terminal, or beside --plain.")]
Ascii = Annotated[bool, typer.Option("--ascii", help="Draw everything with ASCII characters.")]
Colors = Annotated[str, typer.Option(metavar="MODE", callback=_check_choice, help="auto, truecolor, 256, 16 or none.")]
Theme = Annotated[
    str, typer.Option(metavar="NAME", callback=_check_choice, help="auto, dark or light; by default the last one.")
]
Graphics = Annotated[bool, typer.Option("--graphics", help="Real pictures, by kitty's protocol or sixel.")]


def find(text: str) -> RunPaths:
    """The run that a RUN argument means."""
    from tuiae.runs.paths import runs_dir
    from tuiae.runs.query import find_run

    return find_run(text, runs_dir())


@dataclass(frozen=True)
class Look:
    """The options before a command: how its output looks."""

    ascii: bool
    colors: str = "auto"
    theme: str = ""
    graphics: bool = False

    def show_dashboard(self, run: Path | None = None) -> int:
        """Open the dashboard in this look. Returns the exit code."""
        return show_dashboard(run, self.colors, ascii_only=self.ascii, theme=self.theme, graphics=self.graphics)


app = new_app(cls=LazyCommands, epilog=EXIT_CODES)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tuiae {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def dashboard(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    ascii_only: Ascii = False,
    colors: Colors = "auto",
    theme: Theme = "",
    graphics: Graphics = False,
) -> None:
    """A terminal laboratory for autoencoders. Without a command: the dashboard."""
    look = context.obj = Look(ascii_only or not knows_unicode(), colors, theme, graphics)
    if context.invoked_subcommand is None:
        raise typer.Exit(look.show_dashboard())


def parse_noise(text: str) -> dict[str, Any]:
    """`--noise KIND[:LEVEL]` by dotted keys; raises ConfigError for a level without a kind."""
    from tuiae.config import parse_override

    kind, _, level = text.partition(":")
    if kind.replace(".", "", 1).isdecimal():
        raise ConfigError(f"--noise {text}: a level needs a kind", f"KIND:LEVEL, such as salt-pepper:{kind}")
    return {"noise.kind": kind, **(dict([parse_override(f"noise.level={level}")]) if level else {})}
