"""`tuiae explore`: the code of a run on a plane, and what its decoder makes of points that no image is behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuiae.config import RunConfig, did_you_mean
from tuiae.console.explore_figures import (
    Canvas,
    CodeMap,
    Figure,
    Samples,
    decode_between,
    decode_plane,
)
from tuiae.console.output import Output
from tuiae.data.pixels import as_bytes
from tuiae.errors import ConfigError
from tuiae.explore.plane import project
from tuiae.explore.resolve import resolve_config
from tuiae.imports import lasting_imports
from tuiae.runs.checkpoints import no_checkpoint
from tuiae.runs.layout import RunPaths

if TYPE_CHECKING:
    from tuiae.explore.loaded import LoadedRun

PLANE = 8  # images a side
SAMPLES = 16
PLAIN_SIZE = (100, 36)  # cells of a map that goes into a file or a pipe
WIDEST, TALLEST = 120, 40  # cells
CLASS = "class:"
"""Before the name of a class that is a number."""


@dataclass(frozen=True)
class Request:
    """What a user asked to see; without any of the first four, all that the run has."""

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
        from tuiae.explore.loaded import load
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
    canvas = _canvas(output, request.ascii)
    for index, figure in enumerate(figures):
        if index:
            output.line()
        output.line(figure.draw(canvas))


def _canvas(output: Output, ascii_only: bool) -> Canvas:
    people = output.people
    width, height = people.size if people.is_terminal else PLAIN_SIZE
    mode = "ascii" if ascii_only else output.picture_mode
    return Canvas(min(width, WIDEST), min(max(height - 3, 16), TALLEST), mode, ascii_only)


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
    """What to show of a run with this config; nothing is loaded.

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
    figures: list[Figure] = []
    codes, labels = loaded.codes() if plan.codes or plan.plane else (None, None)
    if plan.codes and codes is not None and labels is not None:
        figures.append(CodeMap(codes, labels, loaded.classes, project(codes, labels, plan.dims)))
    if plan.plane and codes is not None and labels is not None:
        figures.append(decode_plane(loaded, codes, labels, plan.plane))
    if plan.samples:
        figures.append(Samples(as_bytes(loaded.prior_samples(plan.samples, seed)), seed))
    if ends is not None:
        figures.append(decode_between(loaded, ends))
    return figures
