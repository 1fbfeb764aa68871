"""`tuiae explore`: the code of a run on a plane, and what its decoder makes of points that no image is behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuiae.cli.output import Output, Part, images_part, show_parts
from tuiae.config import RunConfig, counted, did_you_mean
from tuiae.errors import ConfigError
from tuiae.explore.plane import QUANTILES, SOURCES
from tuiae.explore.protocol import Between, Codes, Picture, Plane, Samples
from tuiae.files import save_new
from tuiae.machine import lasting_imports
from tuiae.render.code_map import draw_code_map, labelled_points
from tuiae.render.grid import draw_gallery, draw_plane
from tuiae.render.pixels import Sheet
from tuiae.render.text import clean, join_lines, number
from tuiae.runs.checkpoints import no_checkpoint
from tuiae.runs.lineage import resolve_config
from tuiae.runs.paths import RunPaths

if TYPE_CHECKING:
    from tuiae.explore.checkpoint import LoadedRun

PLANE = 8  # images a side
SAMPLES = 16
PLAIN_SIZE = (100, 36)  # cells of a map that goes into a file or a pipe
WIDEST, TALLEST = 120, 40  # cells
CLASS = "class:"
"""Before the name of a class that is a number."""


@dataclass(frozen=True)
class ExploreViews:
    """What of a code to show; where nothing is asked for, all that the run has."""

    codes: bool = False
    plane: int | None = None
    """Images a side."""
    samples: int | None = None
    between: str | None = None
    """`A,B`: positions of test images, or names of classes, with CLASS before them or without."""
    dims: str | None = None
    """`I,J`: the numbers of the code that the map shows."""


def explore_run(
    run: RunPaths, views: ExploreViews, weights: str, device: str, seed: int, output: Output, png: str | None = None
) -> None:
    """Show the code of a checkpoint, about all test images, and save the pictures as a PNG where one is named.

    Raises:
        ConfigError: the run's config is of another version, or it does not have one of the views; known before anything
            is loaded where config and words tell.
        NoCheckpointError: no such checkpoint.
        DeviceError, DataError: no such device, or no such images on this machine.
    """
    # Longer than other functions, so that what is known before anything is loaded stands before what is not.
    config = resolve_config(run, {})
    latent, variational = config.model.latent, config.model.is_variational
    if views == ExploreViews():
        plane = PLANE if latent > 1 and not config.is_classifier else None
        views = ExploreViews(codes=True, plane=plane, samples=SAMPLES if variational else None)
    _check_views(run, config, views)
    if png is not None:
        _check_png(views)
    axes = None if views.dims is None else _parse_dims(views.dims, latent)
    words = None if views.between is None else _parse_ends(views.between)
    if not any(run.weights.glob("step-*")):
        raise no_checkpoint(run)
    with lasting_imports():
        from tuiae.explore import questions
        from tuiae.explore.checkpoint import load
    loaded = load(run, weights, device)
    output.warn(filter(None, [loaded.caution]))
    ends = None if words is None else _find_ends(loaded, words)
    opened, count = questions.OpenCheckpoint(loaded), len(loaded.parts.test)
    parts = [images_part(loaded.parts.images, loaded.trained_on, loaded.config.data)]
    if views.codes or axes:
        answer = questions.codes(opened, count, "axes" if axes else "", axes)
        parts.append(_code_map(answer, opened.codes(count).codes, loaded.classes))
    if views.plane:
        on_plane = questions.codes(opened, count)
        parts.append(_decoded_plane(questions.decode_plane(opened, views.plane), on_plane))
    if views.samples:
        parts.append(_prior_samples(questions.decode_prior(opened, views.samples, seed)))
    if ends is not None:
        pictures = [questions.image_at(opened, end) for end in ends]
        names = [loaded.classes[end.label] if len(loaded.classes) > 1 else "" for end in pictures]
        parts.append(_decoded_line(questions.decode_between(opened, *ends), pictures, names))
    if png is not None:
        parts.append(_saved(Path(png), next(part.sheet for part in parts if part.sheet is not None)))
    show_parts({"run": run.id, "weights": loaded.checkpoint, "classes": list(loaded.classes)}, parts, output)


# What to show


def _check_views(run: RunPaths, config: RunConfig, views: ExploreViews) -> None:
    """Raise ConfigError for a view that a run with this config does not have."""
    decodes = {"--plane": views.plane, "--samples": views.samples, "--between": views.between}
    asked = [option for option, value in decodes.items() if value is not None]
    if config.is_classifier and asked:
        cause = f"{asked[0]}: {run.id} is a classifier and decodes nothing"
        raise ConfigError(cause, "--codes shows its code, or take an autoencoder")
    instead = "--between A,B decodes between two test images"
    if views.plane is not None and config.model.latent < 2:
        cause = f"--plane: the code of {run.id} has one number, and a plane takes two"
        raise ConfigError(cause, f"{instead}; a run with --latent 2 or more has a plane")
    if views.samples is not None and not config.model.is_variational:
        cause = f"--samples: {run.id} ({config.model.family}) has no prior to draw codes from"
        raise ConfigError(cause, f"{instead}; vae and conv-vae have a prior")


def _check_png(views: ExploreViews) -> None:
    """Raise ConfigError unless one view has pictures: a file takes those of one."""
    if [views.plane, views.samples, views.between].count(None) != 2:
        raise ConfigError("--png: which pictures?", "give one of --plane, --samples and --between with it")


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
            f"--between {text}: should be two test images", "their positions such as 0,7, or classes: class:3,class:8"
        )
    return words[0], words[1]


def _find_ends(loaded: LoadedRun, words: tuple[str, str]) -> tuple[int, int]:
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


# The views: each can be drawn for people or put into JSON.


def _size(output: Output) -> tuple[int, int]:
    """Columns and lines for a drawing."""
    people = output.people
    width, height = people.size if people.is_terminal else PLAIN_SIZE
    return min(width, WIDEST), min(max(height - 3, 16), TALLEST)


def _titled(title: str, notes: Sequence[str], drawn: Text) -> Text:
    return join_lines([Text(title, "bold", end=""), *(Text(note, "dim", end="") for note in notes), drawn])


def _rounded(values: NDArray[Any]) -> list[Any]:
    """Numbers with six significant digits, as nested lists."""
    return np.char.mod("%.6g", values).astype(float).tolist()


def _saved(path: Path, sheet: Sheet) -> Part:
    """The pictures in a file, beside one of that name where there is one."""
    saved = save_new(path, sheet.png)
    return Part(lambda: {"png": str(saved)}, lambda output: output.line(f"{sheet.count:,} pictures are in {saved}"))


def _code_map(answer: Codes, values: NDArray[np.float32], classes: tuple[str, ...]) -> Part:
    """The codes of the test images, (N, latent)."""

    def record() -> dict[str, Any]:
        fields = {"axes": list(answer.axes), "projection": answer.kind, "values": _rounded(values)}
        places = {} if answer.kind == "code" else {"points": _rounded(answer.points)}
        return {"codes": {**fields, **places, "labels": answer.labels.tolist()}}

    def show(output: Output) -> None:
        count, latent = values.shape
        lost = int((~np.isfinite(values).all(axis=1)).sum())
        title = f"codes of {count:,} test images" + (f" ({latent} numbers each)" if latent != 2 else "")
        title += f", {lost:,} of them not finite" if lost else ""
        title += "; shares are of the variance" if answer.kind == "principal" else ""
        width, height = _size(output)
        codes = labelled_points(answer.points, answer.labels, classes, answer.axes)
        output.line(_titled(title, [], draw_code_map(codes, width, height - 1, output.ascii)))

    return Part(record, show)


def _decoded_plane(answer: Plane, codes: Codes) -> Part:
    """A grid of images decoded from the plane that the codes are on."""

    def record() -> dict[str, Any]:
        fields = {"x": _rounded(answer.x), "y": _rounded(answer.y), "values_from": answer.origin}
        plane = {"axes": list(codes.axes), "projection": codes.kind}
        return {"plane": {**fields, **plane, "images": answer.images.tolist()}}

    def show(output: Output) -> None:
        across, up = codes.axes
        why = "a plain autoencoder has no prior" if codes.kind == "code" else SOURCES[codes.kind]
        origin = f"over the range of the test codes: {why}"
        if answer.origin == "prior":
            origin = "at normal quantiles of the prior, {:g} to {:g}".format(*QUANTILES)
        drawn = draw_plane(answer.images, answer.x, answer.y, _size(output)[0], output.picture_mode)
        notes = [origin, f"across: {across}   up: {up}"]
        output.line(_titled("images decoded from the plane of the code", notes, drawn))

    return Part(record, show, Sheet("plane", list(answer.images)))


def _prior_samples(answer: Samples) -> Part:
    """Images decoded from codes that were drawn from the prior."""

    def show(output: Output) -> None:
        images = counted(len(answer.images), "image")
        title = f"{images} decoded from codes drawn from the prior (seed {answer.seed})"
        output.line(_titled(title, [], draw_gallery(answer.images, _size(output)[0], output.picture_mode)))

    def record() -> dict[str, Any]:
        return {"samples": {"seed": answer.seed, "images": answer.images.tolist()}}

    return Part(record, show, Sheet.of_many("samples", answer.images))


def _decoded_line(answer: Between, ends: Sequence[Picture], names: Sequence[str]) -> Part:
    """Images decoded on the straight line between the codes of two test images; names of classes may be empty."""

    images = np.concatenate([ends[0].image[None], answer.images, ends[1].image[None]])

    def record() -> dict[str, Any]:
        fields = {"positions": [end.index for end in ends], "classes": list(names), "codes": _rounded(answer.codes)}
        shown = {"images": answer.images.tolist(), "ends": [end.image.tolist() for end in ends]}
        return {"between": {**fields, **shown}}

    def show(output: Output) -> None:
        first, last = ends
        title = " to ".join(
            f"test image {end.index}" + (f" ({clean(name)})" if name else "")
            for end, name in zip(ends, names, strict=True)
        )
        count = len(answer.codes)
        shares = [f"{share:.2f}" for share in np.linspace(0, 1, count)]
        captions = [f"image {first.index}", *shares, f"image {last.index}"]
        length = number(answer.distance)
        note = f"decoded at {count} points of the straight line between their codes, {length} long"
        drawn = draw_gallery(images, _size(output)[0], output.picture_mode, captions)
        output.line(_titled(f"from {title}", [note], drawn))

    return Part(record, show, Sheet("between", [images]))
