"""Arguments and options that several commands share or that take several lines, and those before a command."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from itertools import zip_longest
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from tuiae.errors import ConfigError, in_plain_words
from tuiae.machine import read_jobs
from tuiae.render import UNITS

EXIT_CODES = """Exit codes: 0 done, 2 usage or config (unknown run, missing device), 3 data not available or not fit to
use, 4 training failed (diverged, out of memory, worker died), 5 stopped early with a checkpoint saved, 6 run held by
another process, 130 interrupted with nothing to save. --debug, anywhere, shows the traceback of an error."""
PLAIN_TEXT: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
KEYWORD = Parameter.KEYWORD_ONLY
CHOICES = {
    "colors": ("auto", "truecolor", "256", "16", "none"),
    "theme": ("auto", "dark", "light"),
    "x": tuple(UNITS),
}


def _check_choice(option: typer.CallbackParam, value: str) -> str:
    """Raise ConfigError, rather than Typer's own error, for a value that is not one of CHOICES."""
    choices = CHOICES[option.name or ""]
    if value not in (option.default, *choices):
        raise ConfigError(f"--{option.name} {value} is not known", f"one of {', '.join(choices)}")
    return value


Ascii = Annotated[bool, typer.Option("--ascii", help="Draw everything with ASCII characters.")]
Colors = Annotated[str, typer.Option(metavar="MODE", callback=_check_choice, help="auto, truecolor, 256, 16 or none.")]
Theme = Annotated[
    str, typer.Option(metavar="NAME", callback=_check_choice, help="auto, dark or light; by default the last one.")
]
Graphics = Annotated[bool, typer.Option("--graphics", help="Show real pictures, by kitty's protocol or sixel.")]
Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's id or its start (the date may be left out), name or path, or last."),
]
Runs = typer.Argument(metavar="RUN", help="Ids of runs or their starts (also without the date), names, paths, or last.")
Tag = Annotated[str, typer.Option(metavar="TAG", help="Add every run with this tag.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Add a word to find it by; may be repeated.")
]
Untags = Annotated[list[str] | None, typer.Option("--untag", metavar="TAG", help="Remove a tag; may be repeated.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any key of the config; may be repeated.")
]
OtherImages = Annotated[bool, typer.Option("--other-images", help="Go on even if its images have changed since.")]
Csv = Annotated[
    bool, typer.Option("--csv", help="Print the points of its curves: run,split,epoch,step,time,metric,value.")
]
Plane = Annotated[
    int | None, typer.Option(min=2, max=64, metavar="[N]", help="Decode N x N points of the plane of codes.")
]
Samples = Annotated[
    int | None, typer.Option(min=1, max=1000, metavar="[N]", help="Decode N codes drawn from the prior.")
]
Between = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Decode points between two test images, by position or class (class:3 where classes are numbers).",
    ),
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter", metavar="WORDS", help="Only runs that match, as 'latent:>=16 accuracy:>93 OR NOT state:failed'."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B", help="Settings and metrics to show, as latent,seed,accuracy."),
]
NoiseKind = Annotated[
    str | None, typer.Option(metavar="KIND", help="The noise of --noise-levels, if not the run's own.")
]
NoiseLevels = Annotated[
    str | None, typer.Option(metavar="LEVELS", help="Measure the test images at these levels, as 0,0.1,0.2.")
]
NoiseProbability = Annotated[
    float | None, typer.Option(metavar="P", help="The probability that uniform noise changes a pixel.")
]
TestSplit = Annotated[
    bool, typer.Option("--test-split", help="Measure the set's own test split, whatever data.validation says.")
]
Png = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Save the pictures of --plane, --samples or --between, pixel by pixel."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Let the code of its custom network run, though you did not start it.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Print its id and return, instead of following it to its end.")]
Weights = Annotated[str, typer.Option(help="last, best, or the step of a checkpoint that was kept.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
To = Annotated[
    str, typer.Option(metavar="FORMAT", help="onnx, torch-export, safetensors, script, csv, parquet, tensorboard.")
]
Checkpoint = Annotated[
    str | None, typer.Option(metavar="last|best|STEP", help="The checkpoint to take, by default the last.")
]
Part = Annotated[
    str | None, typer.Option(metavar="PART", help="whole, encoder or decoder; by default the whole network.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Replay = Annotated[
    str | None, typer.Option(metavar="RUN", help="Repeat the edits that were made to this run, at the same steps.")
]
ThisDevice = Annotated[
    str | None, typer.Option(help="Train on this device this time; results may differ in their last bits.")
]
Devices = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="So many devices share each batch: GPUs, or parts of the cores.")
]
Jobs = Annotated[
    int,
    typer.Option(
        metavar="N", parser=read_jobs, show_default="auto", help="How many trainings run at once; they share the cores."
    ),
]
On = Annotated[
    str, typer.Option("--on", metavar="ray|slurm", help="Train on the nodes of a Ray cluster, or in jobs of SLURM.")
]
Address = Annotated[str, typer.Option(metavar="HOST:PORT", help="The Ray cluster; auto is the one of this machine.")]
Gpus = Annotated[
    float | None,
    typer.Option("--gpus", min=0, metavar="N", help="Cards, or the share of one, for each training elsewhere."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Plain = Annotated[bool, typer.Option("--plain", help="Print plain lines without escape codes.")]
Plot = Annotated[bool, typer.Option("--plot", help="Plot in ASCII even without a terminal or with --plain.")]
XAxis = Annotated[
    str, typer.Option("--x", metavar="UNIT", callback=_check_choice, help="Plot over the epoch, the step or the time.")
]
LogX = Annotated[bool, typer.Option("--log-x", help="Plot over a logarithmic x axis.")]
LogY = Annotated[bool, typer.Option("--log-y", help="Plot over a logarithmic y axis.")]


PRINTING: dict[str, tuple[Any, Any]] = {
    "json": (Json, False),
    "plain": (Plain, False),
    "plot": (Plot, False),
    "x": (XAxis, ""),
    "log_x": (LogX, False),
    "log_y": (LogY, False),
}
"""The options of what is printed, and their values where they are not given."""
FIRST = ("context", "asked", "output")
AXES = ("plot", "x", "log_x", "log_y")
"""The options of commands that plot curves over a training."""


def prints(*more: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command `--json`, `--plain` and `more` of PRINTING, and hands it the `output` that they ask for; one that
    may print nothing takes its context and what was `asked` for."""

    def with_output(command: Callable[..., None]) -> Callable[..., None]:
        own = {name: PRINTING[name] for name in ("json", "plain", *more)}

        @wraps(command)
        def call(context: typer.Context, **given: Any) -> None:
            asked = {name: given.pop(name) for name in own}
            if "asked" in hints:
                command(context, asked, **given)
            else:
                command(context.obj.output(**asked), **given)

        # What Typer reads: the output is none of its options.
        hints = get_type_hints(command, localns={"Output": Any}, include_extras=True)
        kept = [one for one in signature(command).parameters.values() if one.name not in FIRST]
        options = [Parameter("context", KEYWORD, annotation=typer.Context)]
        options += [one.replace(kind=KEYWORD, annotation=hints[one.name]) for one in kept]
        options += [Parameter(name, KEYWORD, default=usual, annotation=kind) for name, (kind, usual) in own.items()]
        call.__signature__ = Signature(options)  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in options}
        return call

    return with_output


class PlainGroup(TyperGroup):
    """The commands; what is wrong with the value of an option is said in the words that settings have for it."""

    def invoke(self, ctx: Any) -> Any:
        """Carry out the command that was given."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = in_plain_words(error.message)
            raise


class OptionalNumbers(TyperCommand):
    """`--plane` and `--samples` stand alone or before a number; Typer has no such option."""

    USUAL = {"--plane": "8", "--samples": "16"}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the usual number where none was given."""
        filled: list[str] = []
        for word, following in zip_longest(args, args[1:], fillvalue=""):
            filled.append(word)
            if word in self.USUAL and not following.isdecimal():
                filled.append(self.USUAL[word])
        return super().parse_args(ctx, filled)
