"""What the explorer can be asked of an open checkpoint; see `answers.py` for what comes back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuiae.config import NoiseSection, build_config
from tuiae.data.dataset import as_bytes
from tuiae.errors import ConfigError
from tuiae.explore import protocol as answers
from tuiae.explore.checkpoint import LoadedRun, Sampled, ShownPlane, load, place, reload
from tuiae.explore.plane import between
from tuiae.explore.protocol import Answer, Forgotten, Opened
from tuiae.files import read_json
from tuiae.models.base import ModelOutput
from tuiae.runs.paths import RunPaths, need_run
from tuiae.training.checkpoint import MANIFEST
from tuiae.training.evaluate import PLANE_POINTS, evaluate, tensor_as_bytes

# Which test images a checkpoint does badly: errors and predictions of each, from one evaluation.

KEPT = 64
"""Worst images of which the pictures are kept."""


@dataclass(frozen=True)
class Assessed:
    """Of every test image under the run's own noise, as the evaluation after an epoch sees it."""

    errors: NDArray[np.float32]
    """(N,): mean squared error; of a classifier the probability of a wrong prediction, 0 of a right one."""
    predicted: NDArray[np.int64] | None
    """(N,), of a classifier."""
    shares: NDArray[np.float32] | None
    """(N,), of a classifier: probability of what it predicted."""
    worst: NDArray[np.int64]
    """Positions of the images with the largest error, largest first, at most KEPT."""
    noisy: NDArray[np.uint8]
    """What the network was shown of them."""
    made: NDArray[np.uint8] | None
    """What an autoencoder made of them."""


def assess(loaded: LoadedRun) -> Assessed:
    """Evaluate the whole test split and look at each image."""
    watcher = _Watcher(loaded)
    evaluate(loaded.parts, loaded.parts.test, watch=watcher)
    return watcher.result()


class _Watcher:
    def __init__(self, loaded: LoadedRun) -> None:
        self._labels = loaded.labels()
        self._errors: list[NDArray[Any]] = []
        self._predicted: list[NDArray[Any]] = []
        self._shares: list[NDArray[Any]] = []
        self._worst = np.zeros(0, np.int64)
        self._pictures: list[NDArray[np.uint8]] = []

    def __call__(self, start: int, clean: torch.Tensor, shown: torch.Tensor, output: ModelOutput) -> None:
        if output.reconstruction is not None:
            errors = (output.reconstruction.float() - clean).square().flatten(1).mean(1).cpu().numpy()
            pictures = [shown, output.reconstruction]
        else:
            assert output.logits is not None
            shares, predicted = output.logits.float().softmax(1).max(1)
            self._shares.append(shares.cpu().numpy())
            self._predicted.append(predicted.cpu().numpy())
            right = self._predicted[-1] == self._labels[start : start + len(clean)]
            errors, pictures = np.where(right, 0.0, self._shares[-1]), [shown]
        self._errors.append(np.nan_to_num(errors, nan=np.inf, posinf=np.inf).astype(np.float32))
        self._keep_worst(start, pictures)

    def _keep_worst(self, start: int, pictures: list[torch.Tensor]) -> None:
        """Of those kept and this batch the worst; pictures of no others stay in memory."""
        errors = np.concatenate(self._errors)
        fresh = start + np.argsort(-self._errors[-1], kind="stable")[:KEPT]
        both = np.concatenate([self._worst, fresh])
        order = np.argsort(-errors[both], kind="stable")[:KEPT]
        of_these = [tensor_as_bytes(images[fresh - start]) for images in pictures]
        joined = [np.concatenate(pair) for pair in zip(self._pictures, of_these, strict=True)] if start else of_these
        self._worst, self._pictures = both[order], [images[order] for images in joined]

    def result(self) -> Assessed:
        return Assessed(
            np.concatenate(self._errors),
            np.concatenate(self._predicted) if self._predicted else None,
            np.concatenate(self._shares) if self._shares else None,
            self._worst,
            self._pictures[0],
            self._pictures[1] if len(self._pictures) > 1 else None,
        )


# A checkpoint in memory and what has been worked out of it, so that no two questions do the same work.

Tell = Callable[[str], object]
PlaneKey = tuple[int, str, tuple[int, int] | None]
"""How many images, `by` and `axes` of `place`."""
DEFAULT: PlaneKey = (PLANE_POINTS, "", None)


class Subject:
    """One checkpoint, with its codes, planes and errors once they were asked for."""

    def __init__(self, loaded: LoadedRun, tell: Tell) -> None:
        self.loaded = loaded
        self._tell = tell
        self._sampled: dict[int, Sampled] = {}
        self._planes: dict[PlaneKey, ShownPlane] = {}
        self._shown = self._wanted = DEFAULT

    @cached_property
    def aside(self) -> LoadedRun:
        """The same weights in a network of their own: an evaluation sets how its network draws codes, which whoever
        uses the other one at that moment must not see."""
        parts = self.loaded.parts
        return replace(self.loaded, parts=replace(parts, model=copy.deepcopy(parts.model)))

    def sampled(self, count: int = PLANE_POINTS) -> Sampled:
        """So many test images, every class alike, with their codes."""
        count = max(min(count, len(self.loaded.parts.test)), 1)
        if count not in self._sampled:
            self._tell(f"encoding {count:,} test images")
            indices = np.sort(self.loaded.watched(count))
            self._sampled[count] = Sampled(indices, *self.loaded.codes("test", indices))
        return self._sampled[count]

    def plane(self, key: PlaneKey) -> ShownPlane:
        """The plane of a key.

        Raises:
            ConfigError: there is no such plane.
        """
        if key not in self._planes:
            count, by, axes = key
            sampled = self.sampled(count)
            if by == "tsne":
                self._tell(f"t-SNE of {len(sampled.codes):,} codes: some seconds")
            self._planes[key] = place(sampled, by, axes)
        return self._planes[key]

    def want(self, key: PlaneKey) -> None:
        """Show the plane of a key as soon as it is there."""
        self._wanted = key

    @property
    def shown(self) -> ShownPlane:
        """The plane that was asked for last, or while it is still being worked out the one before."""
        if self._wanted in self._planes:
            self._shown = self._wanted
        return self.plane(self._shown)

    @cached_property
    def assessed(self) -> Assessed:
        """Every test image under the run's own noise."""
        self._tell(f"looking at {len(self.loaded.parts.test):,} test images")
        return assess(self.aside)

    def noise(self, kind: str, level: float, probability: float | None = None) -> NoiseSection:
        """A corruption; without a probability the run's own where it is of the same kind, else every pixel's.

        Raises:
            ConfigError: no such kind, or a level out of its range.
        """
        own = self.loaded.config.noise
        if probability is None:
            probability = own.probability if own.kind == kind else 1.0
        changes: dict[str, Any] = {"noise.kind": kind, "noise.level": level, "noise.probability": probability}
        return build_config(self.loaded.config.model_dump(mode="json"), changes, asker="noise").noise


NEAREST = 5  # test images beside a place
NEIGHBOURS = 15  # codes that vote on the class of an image
End = int | Sequence[float]
"""A test image, or a place (x, y) of the plane shown."""


def codes(
    subject: Subject, count: int = PLANE_POINTS, by: str = "", axes: Sequence[int] | None = None
) -> answers.Codes:
    """`count` test images on a plane; `by` and `axes` as `shown.place` has them."""
    first_two = (int(axes[0]), int(axes[1])) if axes is not None else None
    key = (int(count), by, first_two)
    subject.want(key)
    plane = subject.plane(key)
    sampled, projection = plane.sampled, plane.projection
    points = projection.points.astype(np.float32)
    return answers.Codes(_name(subject), projection.kind, projection.axes, points, sampled.labels, sampled.indices)


def at(subject: Subject, x: float, y: float, nearest: int = NEAREST) -> answers.Place:
    """What stands at a place of the plane shown, and the test images around it."""
    loaded, plane = subject.loaded, subject.shown
    code = plane.codes_at(np.array([[x, y]]))
    image, predicted, share = None, -1, 0.0
    if loaded.is_autoencoder:
        image = as_bytes(loaded.decode(code))[0]
    else:
        shares = softmax(loaded.predict_codes(code))[0]
        predicted = int(shares.argmax())
        share = float(shares[predicted])
    near, distances = plane.nearest(x, y, nearest)
    indices = plane.sampled.indices[near]
    return answers.Place(
        _name(subject),
        float(x),
        float(y),
        image,
        plane.source,
        predicted,
        share,
        indices,
        plane.sampled.labels[near],
        as_bytes(loaded.images("test", indices)),
        distances.astype(np.float32),
    )


def way(subject: Subject, a: End, b: End, count: int = 8) -> answers.Strip:
    """Images decoded on the straight line between the codes of two ends."""
    start, end = _code_of(subject, a), _code_of(subject, b)
    images = subject.loaded.decode(between(start, end, max(count, 2)))
    return answers.Strip(_name(subject), as_bytes(images), float(np.linalg.norm(end - start)))


def _code_of(subject: Subject, end: End) -> NDArray[Any]:
    if isinstance(end, int):
        return subject.loaded.encode(subject.loaded.images("test", [end]))[0]
    return subject.shown.codes_at(np.array([end]))[0]


def prior(subject: Subject, count: int = 16, seed: int = 0) -> answers.Samples:
    """Images decoded from the prior of a variational autoencoder."""
    return answers.Samples(_name(subject), as_bytes(subject.loaded.prior_samples(max(count, 1), seed)), seed)


def decoded_plane(subject: Subject, count: int = 8) -> answers.Plane:
    """`count` x `count` images decoded over the plane shown."""
    plane = subject.shown
    grid, origin = plane.grid(max(count, 2), subject.loaded.is_variational)
    images = grid.arrange(as_bytes(subject.loaded.decode(plane.codes_at(grid.codes))))
    return answers.Plane(_name(subject), images, _tidy(grid.x), _tidy(grid.y), origin)


def _tidy(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values of an axis, the one in the middle 0 and not some 1e-16."""
    return np.where(np.abs(values) < 1e-9 * np.ptp(values), 0, values).astype(np.float32)


def image(subject: Subject, index: int) -> answers.Picture:
    """One test image."""
    label = int(subject.loaded.labels("test", [index])[0])
    return answers.Picture(_name(subject), index, label, as_bytes(subject.loaded.images("test", [index]))[0])


def reconstruct(
    subject: Subject,
    images: NDArray[Any],
    kind: str = "none",
    level: float = 0.0,
    seed: int = 0,
    probability: float | None = None,
) -> answers.Reconstruction:
    """Images (uint8, or floats in 0..1) with noise on them, and what becomes of them."""
    clean = _floats(images)
    noisy, made = subject.loaded.reconstruct(clean, subject.noise(kind, level, probability), seed)
    errors = np.square(made - clean).reshape(len(clean), -1).mean(axis=1)
    return answers.Reconstruction(_name(subject), as_bytes(noisy), as_bytes(made), errors.astype(np.float32))


def classify(
    subject: Subject,
    images: NDArray[Any],
    kind: str = "none",
    level: float = 0.0,
    seed: int = 0,
    probability: float | None = None,
) -> answers.Classification:
    """How much speaks for each class of images (uint8, or floats in 0..1) with the noise that `reconstruct` puts on."""
    loaded = subject.loaded
    noisy = loaded.corrupt(_floats(images), subject.noise(kind, level, probability), seed)
    if not loaded.is_autoencoder:
        shares = softmax(loaded.predict(noisy))
        return answers.Classification(_name(subject), as_bytes(noisy), shares, "classifier", 0)
    sampled = subject.sampled()
    kept, labels = sampled.codes[sampled.known], sampled.labels[sampled.known]
    neighbours = min(NEIGHBOURS, len(kept))
    if not neighbours:
        raise ConfigError("no code of this checkpoint is finite", "its training diverged: take an earlier one")
    shares = np.zeros((len(noisy), len(loaded.classes)), np.float32)
    for row, code in zip(shares, loaded.encode(noisy), strict=True):
        nearest = np.argsort(np.square(kept - code).sum(axis=1), kind="stable")[:neighbours]
        row += np.bincount(labels[nearest], minlength=len(row))[: len(row)] / neighbours
    return answers.Classification(_name(subject), as_bytes(noisy), shares, "neighbours", neighbours)


def noise_curve(
    subject: Subject, kind: str, levels: Sequence[float], count: int = 0, probability: float | None = None
) -> answers.NoiseCurve:
    """The error of the first `count` test images, or of all, at each level of a kind of noise."""
    sections = [subject.noise(kind, float(level), probability) for level in levels]
    parts = subject.aside.parts
    metrics = [evaluate(parts, parts.test, count, section).metrics for section in sections]
    if subject.loaded.is_autoencoder:
        metric, errors = "mse", [values["mse"] for values in metrics]
    else:
        metric, errors = "error", [1 - values["accuracy"] for values in metrics]
    images = min(count or len(parts.test), len(parts.test))
    return answers.NoiseCurve(
        _name(subject), kind, tuple(section.level for section in sections), metric, tuple(errors), images
    )


def worst(subject: Subject, count: int = 16) -> answers.Worst:
    """The test images that the checkpoint does worst."""
    found, loaded = subject.assessed, subject.loaded
    chosen = found.worst[:count]
    if found.predicted is not None:
        chosen = chosen[found.errors[chosen] > 0]  # a classifier has no worst where it is right
    kept = len(chosen)
    return answers.Worst(
        _name(subject),
        chosen,
        loaded.labels("test", chosen),
        found.errors[chosen],
        as_bytes(loaded.images("test", chosen)),
        found.noisy[:kept],
        None if found.made is None else found.made[:kept],
        None if found.predicted is None else found.predicted[chosen],
    )


def confused(subject: Subject, true: int, predicted: int, count: int = 16) -> answers.Confused:
    """Clean test images of one class that a classifier takes for another under the run's own noise."""
    found = subject.assessed if not subject.loaded.is_autoencoder else None
    if found is None or found.predicted is None or found.shares is None:
        raise ConfigError(f"{subject.loaded.run.id} is an autoencoder and confuses no classes", "open a classifier")
    members = np.flatnonzero((subject.loaded.labels() == true) & (found.predicted == predicted))
    shown = members[np.argsort(-found.shares[members], kind="stable")][: max(count, 0)]
    images = as_bytes(subject.loaded.images("test", shown))
    return answers.Confused(_name(subject), true, predicted, len(members), shown, images, found.shares[shown])


QUESTIONS: dict[str, Callable[..., answers.Answer]] = {
    "codes": codes,
    "at": at,
    "between": way,
    "prior": prior,
    "plane": decoded_plane,
    "image": image,
    "reconstruct": reconstruct,
    "classify": classify,
    "noise_curve": noise_curve,
    "worst": worst,
    "confused": confused,
}
"""Question -> (subject, arguments) -> answer."""


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities (N, classes) of logits."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def _floats(images: NDArray[Any]) -> NDArray[np.float32]:
    scale = np.float32(255 if images.dtype == np.uint8 else 1)
    return images.astype(np.float32) / scale


def _name(subject: Subject) -> str:
    return subject.loaded.checkpoint


# What the explorer has open, and who answers which question.


class Room:
    """One checkpoint of one run at a time."""

    def __init__(self, tell: Tell) -> None:
        torch.set_num_threads(1)
        self._tell = tell
        self._subject: Subject | None = None
        self._device = ""

    def prepare(self, question: str, arguments: Mapping[str, Any]) -> Callable[[], Answer]:
        """The work of a question on what is open now, whatever is opened before it is done."""
        if question == "open":
            return partial(self.open, **arguments)
        if question == "forget":
            return self.forget
        if self._subject is None:
            return partial(_refuse, "no run is open in the explorer", "open one first")
        if question not in QUESTIONS:
            return partial(_refuse, f"the explorer knows no question '{question}'", "update both sides of tuiae")
        return partial(QUESTIONS[question], self._subject, **arguments)

    def open(self, run: str, weights: str = "last", device: str = "cpu") -> Opened:
        """Load a checkpoint, unless it is the one in memory.

        Raises:
            TuiaeError: there is no such run or checkpoint; then nothing of another run stays open.
        """
        paths, subject = RunPaths(Path(run)), self._subject
        need_run(paths)
        known = subject is not None and subject.loaded.run == paths and self._device == device
        if not known:
            self.forget()
            self._tell(f"loading {paths.id}")
            loaded = load(paths, weights, device)
        else:
            assert subject is not None
            loaded = reload(subject.loaded, weights)
        if subject is None or loaded is not subject.loaded:
            _warm_up(loaded)
            self._subject, self._device = Subject(loaded, self._tell), device
        return _describe(loaded)

    def forget(self) -> Forgotten:
        """Let the memory go."""
        self._subject = None
        return Forgotten("")


def _refuse(cause: str, hint: str) -> Answer:
    raise ConfigError(cause, hint)


def _warm_up(loaded: LoadedRun) -> None:
    """Take the first way through the network now: it plans and allocates what the next ones find ready."""
    image = loaded.images("test", 1)
    if loaded.is_autoencoder:
        loaded.decode(loaded.encode(image))
    else:
        loaded.predict(image)


def _describe(loaded: LoadedRun) -> Opened:
    manifest = read_json(loaded.run.weights / loaded.checkpoint / MANIFEST)
    config, epoch = loaded.config, manifest.get("epoch")
    return Opened(
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
    )
