"""`tuiae explore`: the code of a run on a plane, and what its decoder makes of points that no image is behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np
import typer
from numpy.typing import NDArray
from rich.text import Text
from typer.core import TyperCommand

from tuiae.cli.commands import Device, Json, Plain, Run, Weights, find, new_app
from tuiae.cli.output import Output
from tuiae.config import RunConfig, did_you_mean
from tuiae.errors import ConfigError
from tuiae.explore.plane import QUANTILES, SOURCES
from tuiae.explore.protocol import Between, Codes, Picture, Plane, Samples
from tuiae.machine import lasting_imports
from tuiae.render.code_map import draw_code_map, labelled_points
from tuiae.render.grid import draw_gallery, draw_plane
from tuiae.render.text import clean, join_lines, number
from tuiae.runs.checkpoints import no_checkpoint
from tuiae.runs.lineage import resolve_config
from tuiae.runs.paths import RunPaths

if TYPE_CHECKING:
    from tuiae.explore.checkpoint import LoadedRun

app = new_app()


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


@app.command(cls=OptionalNumbers)
def explore(
    context: typer.Context,
    run: Run = "last",
    codes: Annotated[bool, typer.Option("--codes", help="The test images on the plane of their codes.")] = False,
    plane: Annotated[
        int | None, typer.Option(min=2, max=64, metavar="[N]", help="N x N images decoded from the plane of codes.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="[N]", help="N images decoded from draws of the prior.")
    ] = None,
    between: Annotated[
        str | None, typer.Option(metavar="A,B", help="From one test image to another: positions, or class names.")
    ] = None,
    dims: Annotated[str | None, typer.Option(metavar="I,J", help="Numbers of the code that the map shows.")] = None,
    weights: Weights = "last",
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws from the prior.")] = 0,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Show a run's code: a map, what its plane and its prior decode to, and the way between two images."""
    request = Request(codes, plane, samples, between, dims, weights, device, seed, ascii_only)
    explore_run(find(run), request, Output.of(context, json, plain))


# The figures of `tuiae explore`: each can be drawn for people or put into JSON.

SIGNIFICANT = 6  # digits of codes in JSON


@dataclass(frozen=True)
class Area:
    """The size of the drawing area in cells, and how pictures are drawn: `blocks` of two pixels or `ascii`."""

    width: int
    height: int
    mode: str
    ascii: bool


class Figure(Protocol):
    """One view of a code."""

    def record(self) -> dict[str, Any]:
        """Its fields of the JSON document."""

    def draw(self, area: Area) -> Text:
        """Its lines for people."""


@dataclass(frozen=True)
class CodeMap:
    """The codes of the test images."""

    answer: Codes
    values: NDArray[np.float32]
    """(N, latent)."""
    classes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        answer = self.answer
        places = {} if answer.kind == "code" else {"points": rounded(answer.points)}
        fields = {"axes": list(answer.axes), "projection": answer.kind, "values": rounded(self.values), **places}
        return {"codes": {**fields, "labels": answer.labels.tolist()}}

    def draw(self, area: Area) -> Text:
        count, latent = self.values.shape
        answer = self.answer
        lost = int((~np.isfinite(self.values).all(axis=1)).sum())
        title = f"codes of {count:,} test images" + (f" ({latent} numbers each)" if latent != 2 else "")
        title += f", {lost:,} of them not finite" if lost else ""
        title += "; shares are of the variance" if answer.kind == "principal" else ""
        size = (area.width, area.height - 1)
        codes = labelled_points(answer.points, answer.labels, self.classes, answer.axes)
        return _titled(title, [], draw_code_map(codes, *size, area.ascii))


@dataclass(frozen=True)
class DecodedPlane:
    """A grid of images decoded from the plane of the code."""

    answer: Plane
    codes: Codes
    """The codes on that plane."""

    def record(self) -> dict[str, Any]:
        answer = self.answer
        fields = {"x": rounded(answer.x), "y": rounded(answer.y), "values_from": answer.origin}
        plane = {"axes": list(self.codes.axes), "projection": self.codes.kind}
        return {"plane": {**fields, **plane, "images": answer.images.tolist()}}

    def draw(self, area: Area) -> Text:
        answer, (across, up) = self.answer, self.codes.axes
        low, high = QUANTILES
        why = "a plain autoencoder has no prior" if self.codes.kind == "code" else SOURCES[self.codes.kind]
        origin = f"over the range of the test codes: {why}"
        if answer.origin == "prior":
            origin = f"at normal quantiles of the prior, {low:g} to {high:g}"
        drawn = draw_plane(answer.images, answer.x, answer.y, area.width, area.mode)
        return _titled("images decoded from the plane of the code", [origin, f"across: {across}   up: {up}"], drawn)


@dataclass(frozen=True)
class PriorSamples:
    """Images decoded from codes that were drawn from the prior."""

    answer: Samples

    def record(self) -> dict[str, Any]:
        return {"samples": {"seed": self.answer.seed, "images": self.answer.images.tolist()}}

    def draw(self, area: Area) -> Text:
        count, seed = len(self.answer.images), self.answer.seed
        title = f"{count} image{'s' if count > 1 else ''} decoded from codes drawn from the prior (seed {seed})"
        return _titled(title, [], draw_gallery(self.answer.images, area.width, area.mode))


@dataclass(frozen=True)
class DecodedLine:
    """Images decoded on the straight line between the codes of two test images."""

    answer: Between
    ends: tuple[Picture, Picture]
    names: tuple[str, str]
    """The classes of the two images; empty where the set has none."""

    def record(self) -> dict[str, Any]:
        answer = self.answer
        fields = {"positions": [end.index for end in self.ends], "classes": list(self.names)}
        images = {"images": answer.images.tolist(), "ends": [end.image.tolist() for end in self.ends]}
        return {"between": {**fields, "codes": rounded(answer.codes), **images}}

    def draw(self, area: Area) -> Text:
        first, last = self.ends
        told = [
            f"test image {end.index}" + (f" ({clean(name)})" if name else "")
            for end, name in zip(self.ends, self.names, strict=True)
        ]
        count = len(self.answer.codes)
        shares = [f"{share:.2f}" for share in np.linspace(0, 1, count)]
        captions = [f"image {first.index}", *shares, f"image {last.index}"]
        images = np.concatenate([first.image[None], self.answer.images, last.image[None]])
        length = number(self.answer.distance)
        note = f"decoded at {count} points of the straight line between their codes, {length} long"
        drawn = draw_gallery(images, area.width, area.mode, captions)
        return _titled(f"from {told[0]} to {told[1]}", [note], drawn)


def _titled(title: str, notes: Sequence[str], drawn: Text) -> Text:
    return join_lines([Text(title, "bold", end=""), *(Text(note, "dim", end="") for note in notes), drawn])


def rounded(values: NDArray[Any]) -> list[Any]:
    """Numbers rounded to so many significant digits, as nested lists; None where they are not finite."""
    if values.ndim > 1:
        return [rounded(row) for row in values]
    return [float(f"{value:.{SIGNIFICANT}g}") if np.isfinite(value) else None for value in values.tolist()]


PLANE = 8  # images a side
SAMPLES = 16
PLAIN_SIZE = (100, 36)  # cells of a map that goes into a file or a pipe
WIDEST, TALLEST = 120, 40  # cells
CLASS = "class:"
"""Before the name of a class that is a number."""


@dataclass(frozen=True)
class Request:
    """The views that a user asked for; without any of the first four, all that the run has."""

    codes: bool = False
    plane: int | None = None
    """Images a side."""
    samples: int | None = None
    between: str | None = None
    """`A,B`: positions of test images, or names of classes, with CLASS before them or without."""
    dims: str | None = None
    """`I,J`: the numbers of the code that the map shows."""
    weights: str = "last"
    device: str = "auto"
    seed: int = 0
    ascii: bool = False


def explore_run(run: RunPaths, request: Request, output: Output) -> None:
    """Show the code of a checkpoint.

    Raises:
        ConfigError: the run's config is of another version, or it has not what the request asks for; known before
            anything is loaded where config and words tell.
        NoCheckpointError: no such checkpoint.
        DeviceError, DataError: no such device, or no such images on this machine.
    """
    config = resolve_config(run, {})
    plan = make_plan(run, config, request)
    if not any(run.weights.glob("step-*")):
        raise no_checkpoint(run)
    with lasting_imports():
        from tuiae.explore.checkpoint import load
    loaded = load(run, request.weights, request.device)
    ends = find_ends(loaded, plan.ends) if plan.ends else None
    figures = list(_figures(loaded, plan, ends, request.seed))
    if output.json:
        document: dict[str, Any] = {"run": run.id, "weights": loaded.checkpoint, "classes": list(loaded.classes)}
        for figure in figures:
            document |= figure.record()
        output.document(document)
        return
    output.line(f"{run.id}  {loaded.checkpoint}, dropout off", "bold")
    area = _area(output, request.ascii)
    for index, figure in enumerate(figures):
        if index:
            output.line()
        output.line(figure.draw(area))


def _area(output: Output, ascii_only: bool) -> Area:
    people = output.people
    width, height = people.size if people.is_terminal else PLAIN_SIZE
    mode = "ascii" if ascii_only else output.picture_mode
    return Area(min(width, WIDEST), min(max(height - 3, 16), TALLEST), mode, ascii_only)


# What to show


@dataclass(frozen=True)
class Plan:
    """A request that suits its run."""

    codes: bool
    dims: tuple[int, int] | None
    plane: int
    """Images a side; 0 for none."""
    samples: int
    ends: tuple[str, str] | None


def make_plan(run: RunPaths, config: RunConfig, request: Request) -> Plan:
    """The views to show of a run with this config; nothing is loaded.

    Raises:
        ConfigError: something that it does not have.
    """
    latent, variational = config.model.latent, config.model.is_variational
    decodes = {"--plane": request.plane, "--samples": request.samples, "--between": request.between}
    asked = [option for option, value in decodes.items() if value is not None]
    if config.is_classifier and asked:
        raise ConfigError(
            f"{asked[0]}: {run.id} is a classifier and decodes nothing",
            "--codes shows its code, or take an autoencoder",
        )
    if request.plane is not None and latent < 2:
        raise ConfigError(
            f"--plane: the code of {run.id} has one number, and a plane takes 2",
            "--between A,B decodes between two test images; a run with --latent 2 or more has a plane",
        )
    if request.samples is not None and not variational:
        raise ConfigError(
            f"--samples: {run.id} ({config.model.family}) has no prior to draw codes from",
            "--between A,B decodes between two test images; vae and conv-vae have a prior",
        )
    dims = _parse_dims(request.dims, latent) if request.dims is not None else None
    ends = _parse_ends(request.between) if request.between is not None else None
    if asked or request.codes or dims:
        codes = request.codes or dims is not None
        return Plan(codes, dims, request.plane or 0, request.samples or 0, ends)
    plane = PLANE if latent > 1 and not config.is_classifier else 0
    return Plan(True, None, plane, SAMPLES if variational else 0, None)


def _parse_dims(text: str, latent: int) -> tuple[int, int]:
    words = [word.strip() for word in text.split(",")]
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        raise ConfigError(f"--dims {text}: not two whole numbers", "such as 0,1 for the first two of the code")
    first, second = (int(word) for word in words)
    if latent < 2 or max(first, second) >= latent:
        have = f"numbers 0 to {latent - 1}" if latent > 1 else "one number"
        raise ConfigError(f"--dims {text}: the code has {have}", "choose among these" if latent > 1 else "leave it out")
    if first == second:
        raise ConfigError(f"--dims {text}: the same number twice", "choose two different ones")
    return first, second


def _parse_ends(text: str) -> tuple[str, str]:
    words = [word.strip() for word in text.split(",")]
    if len(words) != 2 or not all(words):
        raise ConfigError(
            f"--between {text}: should be two test images", "their positions such as 0,7, or two class names"
        )
    return words[0], words[1]


def find_ends(loaded: LoadedRun, words: tuple[str, str]) -> tuple[int, int]:
    """Positions of two test images: numbers are positions, names (`class:3` where they are numbers) the first image of
    their class, or the second where the first is taken.

    Raises:
        ConfigError: no such image or class, or twice the same image.
    """
    labels = loaded.labels()
    first = _find_end(loaded, words[0], labels, taken=-1)
    second = _find_end(loaded, words[1], labels, taken=first)
    if first == second:
        raise ConfigError(f"--between {','.join(words)}: both are test image {first}", "name two different ones")
    return first, second


def _find_end(loaded: LoadedRun, word: str, labels: NDArray[np.int64], taken: int) -> int:
    last = len(labels) - 1
    name = word.removeprefix(CLASS)
    if name == word and word.isdecimal():
        if int(word) > last:
            raise ConfigError(f"--between: there is no test image {word}", f"the positions are 0 to {last}")
        return int(word)
    classes = list(loaded.classes) if len(loaded.classes) > 1 else []  # one class stands for no labels
    hint = f"a position from 0 to {last}" + (f", or a class: {', '.join(classes)}" if classes else "")
    if name not in classes:
        raise ConfigError(f"--between: no class is called '{name}'{did_you_mean(name, classes)}", hint)
    members = np.flatnonzero(labels == classes.index(name))
    if not len(members):
        raise ConfigError(f"--between: no test image is of class '{name}'", hint)
    return int(members[1] if members[0] == taken and len(members) > 1 else members[0])


def _figures(loaded: LoadedRun, plan: Plan, ends: tuple[int, int] | None, seed: int) -> Sequence[Figure]:
    """Asks the dashboard's questions to the explorer, about all test images."""
    from tuiae.explore import questions

    opened, figures = questions.OpenCheckpoint(loaded), list[Figure]()
    count = len(loaded.parts.test)
    if plan.codes:
        answer = questions.codes(opened, count, "axes" if plan.dims else "", plan.dims)
        figures.append(CodeMap(answer, opened.codes(count).codes, loaded.classes))
    if plan.plane:
        on_plane = questions.codes(opened, count)
        figures.append(DecodedPlane(questions.decode_plane(opened, plan.plane), on_plane))
    if plan.samples:
        figures.append(PriorSamples(questions.decode_prior(opened, plan.samples, seed)))
    if ends is not None:
        first, last = (questions.image_at(opened, end) for end in ends)
        named = len(loaded.classes) > 1
        names = [loaded.classes[end.label] if named else "" for end in (first, last)]
        line = questions.decode_between(opened, *ends)
        figures.append(DecodedLine(line, (first, last), (names[0], names[1])))
    return figures
