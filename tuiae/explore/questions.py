"""What the explorer can be asked of an open checkpoint; see `answers.py` for what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.data.pixels import as_bytes
from tuiae.errors import ConfigError
from tuiae.explore import answers
from tuiae.explore.plane import between
from tuiae.explore.subject import PLANE_POINTS, Subject
from tuiae.training.evaluate import evaluate

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
