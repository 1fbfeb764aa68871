"""Which images of a dataset a run trains on and which its curves call test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuiae.config import DataSection
from tuiae.data.dataset import Dataset, check_classes
from tuiae.errors import ConfigError

_HELD_OUT_STREAM = 0x7E57
"""Keeps the permutation apart from whatever else is drawn from the same seed."""


@dataclass(frozen=True)
class Splits:
    """Images uint8 (N, C, H, W) and labels int64 (N,) that index `classes`. Where nothing was left out, the dataset's
    own arrays: do not write to them."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]


def select(dataset: Dataset, section: DataSection, seed: int) -> Splits:
    """Apply `classes`, then `validation`, then the limits; a limit beyond the images there are takes them all.

    With `validation` a fraction, that share of the training images is held out by a permutation that depends on `seed`
    and their number alone, and the set's own test split is not touched.

    Raises:
        ConfigError: a class the set does not have, or nothing left to train or test on.
    """
    kept = _class_indices(dataset, section.classes)
    train = _of_classes(dataset.train_labels, kept)
    if section.validation == "test":
        test = _of_classes(dataset.test_labels, kept)
        test_images, test_labels = dataset.test_images, dataset.test_labels
    else:
        train, test = _hold_out(train, float(section.validation), seed)
        test_images, test_labels = dataset.train_images, dataset.train_labels
    train, test = _first(train, section.train_limit), _first(test, section.test_limit)
    for name, indices in (("train", train), ("test", test)):
        if len(indices) == 0:
            raise ConfigError(f"the {name} split is empty", "check data.classes, data.validation and data.train_limit")
    return Splits(
        _take(dataset.train_images, train),
        _relabel(_take(dataset.train_labels, train), kept),
        _take(test_images, test),
        _relabel(_take(test_labels, test), kept),
        section.classes or dataset.classes,
    )


def _class_indices(dataset: Dataset, names: tuple[str, ...]) -> tuple[int, ...] | None:
    check_classes(names, dataset.name, dataset.classes)
    return tuple(dataset.classes.index(name) for name in names) or None


Indices = range | np.ndarray
"""A range stands for a run of images that can be viewed rather than copied."""


def _of_classes(labels: np.ndarray, kept: tuple[int, ...] | None) -> Indices:
    return range(len(labels)) if kept is None else np.flatnonzero(np.isin(labels, kept))


def _hold_out(train: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Both in the set's own order. Raw bits of PCG64 are sorted rather than a Generator asked to permute: NumPy keeps
    the bits the same from version to version, and not the methods of Generator."""
    bits = np.random.PCG64([seed, _HELD_OUT_STREAM]).random_raw(len(train))
    order = np.argsort(bits, kind="stable")
    count = max(1, round(fraction * len(train)))
    indices = np.asarray(train)
    return indices[np.sort(order[count:])], indices[np.sort(order[:count])]


def _first(indices: Indices, limit: int) -> Indices:
    return indices[:limit] if limit else indices


def _take(array: np.ndarray, indices: Indices) -> np.ndarray:
    return array[indices.start : indices.stop] if isinstance(indices, range) else array[indices]


def _relabel(labels: np.ndarray, kept: tuple[int, ...] | None) -> np.ndarray:
    if kept is None:
        return labels
    table = np.zeros(max(kept) + 1, dtype=np.int64)
    table[list(kept)] = np.arange(len(kept))
    return table[labels]
