"""The questions that an open checkpoint answers, for the dashboard (through its explorer) and the command line."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuiae.config import NoiseSection, build_config
from tuiae.data.dataset import as_bytes
from tuiae.errors import ConfigError
from tuiae.explore.checkpoint import LoadedRun, load, reload
from tuiae.explore.plane import SOURCES, CodePlane, ImageCodes, between, place
from tuiae.explore.protocol import (
    Answer,
    Between,
    Classification,
    Codes,
    Confused,
    NoiseCurve,
    OpenedRun,
    Picture,
    Place,
    Plane,
    Reconstruction,
    Samples,
    Worst,
)
from tuiae.files import read_json
from tuiae.images import caution
from tuiae.models.networks import ModelOutput
from tuiae.runs.checkpoints import MANIFEST, checkpoint_of_epoch, kept_epochs
from tuiae.runs.paths import RunPaths, need_run, undated
from tuiae.training.evaluate import PLANE_POINTS, evaluate, tensor_as_bytes

NEAREST = 5  # test images beside a place
NEIGHBOURS = 15  # codes that vote on the class of an image
KEPT = 64  # worst images of which the pictures are kept

Tell = Callable[[str], object]
"""Called with a sentence about work that takes a while."""
PlaneKey = tuple[int, str, tuple[int, int] | None]
"""How many images, `by` and `axes` of `plane.place`."""
End = int | Sequence[float]
"""A test image, or a place (x, y) of the plane shown."""


class OpenCheckpoint:
    """One checkpoint in memory and results computed from it, so that no two questions compute the same."""

    def __init__(self, loaded: LoadedRun, tell: Tell = lambda text: None) -> None:
        self.loaded = loaded
        self.name = loaded.checkpoint
        self._tell = tell
        self._codes: dict[int, ImageCodes] = {}
        self._planes: dict[PlaneKey, CodePlane] = {}
        self._shown: PlaneKey = (PLANE_POINTS, "", None)
        self._wanted: PlaneKey = self._shown

    @cached_property
    def aside(self) -> LoadedRun:
        """The same weights in a network of their own: an evaluation sets how its network draws codes, which whoever
        uses the other one at that moment must not see."""
        parts = self.loaded.parts
        return replace(self.loaded, parts=replace(parts, model=copy.deepcopy(parts.model)))

    def codes(self, count: int = PLANE_POINTS) -> ImageCodes:
        """Codes of `count` test images, as many of every class."""
        count = max(min(count, len(self.loaded.parts.test)), 1)
        if count not in self._codes:
            self._tell(f"encoding {count:,} test images")
            indices = np.sort(self.loaded.watched(count))
            self._codes[count] = ImageCodes(indices, *self.loaded.codes("test", indices))
        return self._codes[count]

    def show(self, key: PlaneKey) -> CodePlane:
        """Compute the plane of a key and make it the one shown; raises ConfigError where there is no such plane."""
        self._wanted = key
        return self._plane(key)

    @property
    def shown(self) -> CodePlane:
        """The plane that was asked for last; the one before, while that is still being computed."""
        if self._wanted in self._planes:
            self._shown = self._wanted
        return self._plane(self._shown)

    def _plane(self, key: PlaneKey) -> CodePlane:
        if key not in self._planes:
            count, by, axes = key
            codes = self.codes(count)
            if by == "tsne":
                self._tell(f"computing t-SNE of {len(codes.codes):,} codes: some seconds")
            self._planes[key] = place(codes, by, axes)
        return self._planes[key]

    @cached_property
    def errors(self) -> ImageErrors:
        """Errors of all test images under the run's own noise."""
        self._tell(f"looking at {len(self.loaded.parts.test):,} test images")
        return ImageErrors(self.aside)

    def noise(self, kind: str, level: float, probability: float | None = None) -> NoiseSection:
        """A valid corruption; without a probability the run's own where it is of that kind, else every pixel's."""
        own = self.loaded.config.noise
        if probability is None:
            probability = own.probability if own.kind == kind else 1.0
        changes: dict[str, Any] = {"noise.kind": kind, "noise.level": level, "noise.probability": probability}
        return build_config(self.loaded.config.model_dump(mode="json"), changes, asker="noise").noise

    def corrupt(
        self,
        images: NDArray[Any],
        kind: str = "none",
        level: float = 0.0,
        seed: int = 0,
        probability: float | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Images (uint8, or floats in 0..1) as floats: clean, and with noise on them."""
        clean = images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)
        return clean, self.loaded.corrupt(clean, self.noise(kind, level, probability), seed)


# The questions


def codes(opened: OpenCheckpoint, count: int = PLANE_POINTS, by: str = "", axes: Sequence[int] | None = None) -> Codes:
    """`count` test images on a plane; `by` and `axes` as `plane.place` has them."""
    plane = opened.show((int(count), by, (int(axes[0]), int(axes[1])) if axes is not None else None))
    points = plane.points.astype(np.float32)
    return Codes(opened.name, plane.kind, plane.axes, points, plane.images.labels, plane.images.indices)


def place_at(opened: OpenCheckpoint, x: float, y: float, nearest: int = NEAREST) -> Place:
    """The image decoded at a place of the plane shown, or the class predicted there, and the nearest test images."""
    loaded, plane = opened.loaded, opened.shown
    code = plane.codes_at(np.array([[x, y]]))
    image, shares = None, np.zeros(0, np.float32)
    if loaded.decodes:
        image = as_bytes(loaded.decode(code))[0]
    elif not loaded.is_autoencoder:
        shares = torch.as_tensor(loaded.predict_codes(code)).softmax(1)[0].numpy()
    near, distances = plane.nearest(x, y, nearest)
    indices = plane.images.indices[near]
    return Place(
        opened.name,
        float(x),
        float(y),
        image,
        SOURCES[plane.kind],
        shares,
        indices,
        plane.images.labels[near],
        as_bytes(loaded.images("test", indices)),
        distances.astype(np.float32),
    )


def decode_between(opened: OpenCheckpoint, a: End, b: End, count: int = 8) -> Between:
    """Images decoded on the straight line between the codes of two ends."""
    line = between(_code_of(opened, a), _code_of(opened, b), max(count, 2))
    return Between(opened.name, as_bytes(opened.loaded.decode(line)), line)


def _code_of(opened: OpenCheckpoint, end: End) -> NDArray[Any]:
    if isinstance(end, int):
        return opened.loaded.encode(opened.loaded.images("test", [end]))[0]
    return opened.shown.codes_at(np.array([end]))[0]


def decode_prior(opened: OpenCheckpoint, count: int = 16, seed: int = 0) -> Samples:
    """Images decoded from the prior of a variational autoencoder."""
    return Samples(opened.name, as_bytes(opened.loaded.prior_samples(max(count, 1), seed)), seed)


def decode_plane(opened: OpenCheckpoint, count: int = 8) -> Plane:
    """`count` x `count` images decoded over the plane shown."""
    plane = opened.shown
    grid, origin = plane.grid(max(count, 2), opened.loaded.is_variational)
    images = as_bytes(opened.loaded.decode(plane.codes_at(grid.codes)))
    images = images.reshape(len(grid.y), len(grid.x), *images.shape[1:])
    return Plane(opened.name, images, _tidy(grid.x), _tidy(grid.y), origin)


def _tidy(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values of an axis, with 0 in the middle and not some 1e-16."""
    return np.where(np.abs(values) < 1e-9 * np.ptp(values), 0, values).astype(np.float32)


def image_at(opened: OpenCheckpoint, index: int) -> Picture:
    """One test image."""
    label = int(opened.loaded.labels("test", [index])[0])
    return Picture(opened.name, index, label, as_bytes(opened.loaded.images("test", [index]))[0])


def reconstruct(opened: OpenCheckpoint, images: NDArray[Any], **noise: Any) -> Reconstruction:
    """Images with noise on them, and their reconstructions; images and noise as `OpenCheckpoint.corrupt` has them."""
    clean, noisy = opened.corrupt(images, **noise)
    made = opened.loaded.reconstruct(noisy)[1]
    errors = np.square(made - clean).reshape(len(clean), -1).mean(axis=1)
    return Reconstruction(opened.name, as_bytes(noisy), as_bytes(made), errors.astype(np.float32))


def classify(opened: OpenCheckpoint, images: NDArray[Any], **noise: Any) -> Classification:
    """Shares of the classes for images (uint8, or floats in 0..1) with the noise that `reconstruct` puts on: the
    probabilities of a classifier; of an autoencoder the labels of the nearest codes of test images."""
    loaded = opened.loaded
    _, noisy = opened.corrupt(images, **noise)
    if not loaded.is_autoencoder:
        shares = torch.as_tensor(loaded.predict(noisy)).softmax(1).numpy()
        return Classification(opened.name, as_bytes(noisy), shares, "classifier", 0)
    known = opened.codes()
    known.need_finite()
    kept, labels = known.codes[known.finite], known.labels[known.finite]
    neighbours = min(NEIGHBOURS, len(kept))
    shares = np.zeros((len(noisy), len(loaded.classes)), np.float32)
    for row, code in zip(shares, loaded.encode(noisy), strict=True):
        nearest = np.argsort(np.square(kept - code).sum(axis=1), kind="stable")[:neighbours]
        row += np.bincount(labels[nearest], minlength=len(row))[: len(row)] / neighbours
    return Classification(opened.name, as_bytes(noisy), shares, "neighbours", neighbours)


def noise_curve(
    opened: OpenCheckpoint, kind: str, levels: Sequence[float], count: int = 0, probability: float | None = None
) -> NoiseCurve:
    """The error of the first `count` test images, or of all, at each level of a kind of noise."""
    sections = [opened.noise(kind, float(level), probability) for level in levels]
    parts = opened.aside.parts
    metrics = [evaluate(parts, parts.test, count, section).metrics for section in sections]
    if opened.loaded.is_autoencoder:
        metric, errors = "mse", [values["mse"] for values in metrics]
    else:
        metric, errors = "error", [1 - values["accuracy"] for values in metrics]
    images = min(count or len(parts.test), len(parts.test))
    return NoiseCurve(opened.name, kind, tuple(section.level for section in sections), metric, tuple(errors), images)


def worst(opened: OpenCheckpoint, count: int = 16) -> Worst:
    """The test images with the largest errors."""
    found, loaded = opened.errors, opened.loaded
    chosen = found.worst[:count]
    if not loaded.is_autoencoder:
        chosen = chosen[found.errors[chosen] > 0]  # a classifier has no worst where it is right
    kept = len(chosen)
    return Worst(
        opened.name,
        chosen,
        loaded.labels("test", chosen),
        found.errors[chosen],
        as_bytes(loaded.images("test", chosen)),
        found.noisy[:kept],
        None if found.made is None else found.made[:kept],
        None if loaded.is_autoencoder else found.predicted[chosen],
    )


def confused(opened: OpenCheckpoint, true: int, predicted: int, count: int = 16) -> Confused:
    """Clean test images of one class that a classifier takes for another under the run's own noise."""
    loaded = opened.loaded
    if loaded.is_autoencoder:
        raise ConfigError(f"{loaded.run.id} is an autoencoder and confuses no classes", "open a classifier")
    found = opened.errors
    members = np.flatnonzero((loaded.labels() == true) & (found.predicted == predicted))
    shown = members[np.argsort(-found.shares[members], kind="stable")][: max(count, 0)]
    images = as_bytes(loaded.images("test", shown))
    return Confused(opened.name, true, predicted, len(members), shown, images, found.shares[shown])


QUESTIONS: dict[str, Callable[..., Answer]] = {
    "codes": codes,
    "at": place_at,
    "between": decode_between,
    "prior": decode_prior,
    "plane": decode_plane,
    "image": image_at,
    "reconstruct": reconstruct,
    "classify": classify,
    "noise_curve": noise_curve,
    "worst": worst,
    "confused": confused,
}
"""Question -> (open checkpoint, arguments) -> answer."""


class Dispatcher:
    """Keeps one checkpoint of one run open, and finds the function that answers a question about it."""

    def __init__(self, tell: Tell) -> None:
        torch.set_num_threads(1)
        self._tell = tell
        self.opened: OpenCheckpoint | None = None

    def answer(self, opened: OpenCheckpoint | None, question: str, arguments: Mapping[str, Any]) -> Answer:
        """Answer a question about `opened`, the checkpoint that was open when it was asked; raises TuiaeError."""
        if question == "open":
            return self.open(**arguments)
        if opened is None:
            raise ConfigError("no run is open in the explorer", "open one first")
        if question not in QUESTIONS:
            raise ConfigError(f"the explorer knows no question '{question}'", "update both sides of tuiae")
        return QUESTIONS[question](opened, **arguments)

    def open(self, run: str, epoch: int | None = None) -> OpenedRun:
        """Load the newest checkpoint, or that of an epoch where one is kept, unless it is the one in memory.

        Raises:
            TuiaeError: there is no such run or checkpoint; then nothing of another run stays open.
        """
        paths, opened = RunPaths(Path(run)), self.opened
        folder = None if epoch is None else checkpoint_of_epoch(paths, epoch)
        weights = "last" if folder is None else folder.name.removeprefix("step-")
        if opened is not None and opened.loaded.run == paths:
            need_run(paths)
            loaded = reload(opened.loaded, weights)
        else:
            self.opened = None  # before the other is loaded, so that its memory is free
            need_run(paths)
            self._tell(f"loading {undated(paths.id)}")
            loaded = load(paths, weights, "cpu")
        if not loaded.is_finite:
            raise ConfigError(loaded.caution, "its training diverged: take an earlier checkpoint, or another run")
        if opened is None or loaded is not opened.loaded:
            # The first pass through a network plans and allocates what later ones reuse.
            one = loaded.images("test", 1)
            if loaded.is_autoencoder and not loaded.decodes:
                loaded.reconstruct(one)
            else:
                code = loaded.encode(one)
                _ = loaded.decode(code) if loaded.is_autoencoder else loaded.predict_codes(code)
            self.opened = OpenCheckpoint(loaded, self._tell)
        kept = () if epoch is None or folder else kept_epochs(paths)
        return replace(_describe(loaded), asked=epoch, kept=kept)


def _describe(loaded: LoadedRun) -> OpenedRun:
    manifest = read_json(loaded.run.weights / loaded.checkpoint / MANIFEST)
    config, epoch = loaded.config, manifest.get("epoch")
    return OpenedRun(
        checkpoint=loaded.checkpoint,
        run=str(loaded.run.root),
        step=int(loaded.checkpoint.removeprefix("step-")),
        epoch=float(epoch) if isinstance(epoch, (int, float)) else None,
        family=config.model.family,
        shape=loaded.parts.train.image_shape,
        classes=loaded.classes,
        latent=config.model.latent,
        is_autoencoder=loaded.is_autoencoder,
        is_variational=loaded.is_variational,
        tests=len(loaded.parts.test),
        has_code=loaded.has_code,
        caution="; ".join(filter(None, (loaded.caution, caution(loaded.trained_on, loaded.parts.images)))),
    )


# Which test images a checkpoint does badly.


class ImageErrors:
    """Errors of all test images under the run's own noise, as the evaluation after an epoch sees them: a number an
    image, and pictures of the worst."""

    def __init__(self, loaded: LoadedRun) -> None:
        test = loaded.parts.test
        self.errors = np.zeros(len(test), np.float32)
        """(N,): mean squared error; of a classifier the probability of a wrong prediction, 0 of a right one."""
        self.predicted = np.zeros(len(test), np.int64)
        """(N,), of a classifier."""
        self.shares = np.zeros(len(test), np.float32)
        """(N,), of a classifier: probability of what it predicted."""
        self._labels = loaded.labels()
        self._worst: list[tuple[Any, ...]] = []  # negative error, position, input and reconstruction of an image
        evaluate(loaded.parts, test, on_batch=self._look)
        _, worst, *pictures = zip(*self._worst, strict=True)
        self.worst = np.array(worst)
        """Positions of the images with the largest error, largest first, at most KEPT."""
        self.noisy = np.stack(pictures[0])
        """The inputs of the worst, noise included, as bytes."""
        self.made = np.stack(pictures[1]) if len(pictures) > 1 else None
        """Their reconstructions by an autoencoder."""

    def _look(self, start: int, clean: torch.Tensor, shown: torch.Tensor, output: ModelOutput) -> None:
        batch = slice(start, start + len(clean))
        if output.reconstruction is not None:
            errors = (output.reconstruction.float() - clean).square().flatten(1).mean(1).cpu().numpy()
            pictures = [shown, output.reconstruction]
        else:
            assert output.logits is not None
            self.shares[batch], self.predicted[batch] = (
                part.cpu().numpy() for part in output.logits.float().softmax(1).max(1)
            )
            right = self.predicted[batch] == self._labels[batch]
            errors, pictures = np.where(right, 0.0, self.shares[batch]), [shown]
        self.errors[batch] = np.nan_to_num(errors, nan=np.inf, posinf=np.inf)
        errors = self.errors[batch]
        fresh = np.argsort(-errors, kind="stable")[:KEPT]
        seen = (tensor_as_bytes(images[fresh]) for images in pictures)
        # No pictures of others stay in memory.
        found = zip(-errors[fresh], start + fresh, *seen, strict=True)
        self._worst = sorted([*self._worst, *found], key=lambda item: item[:2])[:KEPT]
