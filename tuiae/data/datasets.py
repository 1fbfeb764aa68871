"""Opening a dataset by name, prepared first where that is needed, and selecting what a run uses of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuiae.config import DataSection
from tuiae.data import arrays, cache, folder
from tuiae.data.cache import read_manifest
from tuiae.data.dataset import (
    Dataset,
    DatasetContent,
    OnProgress,
    SplitContent,
    check_classes,
    check_validation,
    silent,
)
from tuiae.data.registry import DOWNLOADS, EMBEDDED, DatasetInfo, data_dir, describe, find_own, own_key
from tuiae.errors import ConfigError, DataError
from tuiae.images import absolute, held_out_of, is_own

Indices = range | np.ndarray
"""A range stands for a run of images that can be viewed rather than copied."""

_CHUNK = 1024  # images that are resized at once
_HELD_OUT_STREAM = 0x7E57  # keeps that permutation apart from whatever else is drawn from the same seed


def prepare(dataset: str, image_size: int = 0, root: Path | None = None, progress: OnProgress = silent) -> Dataset:
    """Open a dataset; download or decode it first if it is not in the cache.

    Cached sets come back memory-mapped, every file checked against its sha256 first. Embedded sets touch no cache.
    `image_size` is the side in pixels of the square that every image is resized to; 0 keeps the set's own size.

    Raises ConfigError for an unknown name, and DataError where it cannot be had (the hint says what to do), is damaged,
    or there is no place to write.
    """
    root = root or data_dir()
    if is_own(dataset):
        return _prepare_own(dataset, image_size, root, progress)
    if dataset in EMBEDDED:
        return _resized_in_memory(EMBEDDED[dataset](), image_size)
    describe(dataset, root)
    if image_size:
        return _prepare_resized(dataset, image_size, root, progress)
    return _prepare_base(dataset, root, progress)


def fetch(name: str, root: Path | None = None, progress: OnProgress = silent, force: bool = False) -> DatasetInfo:
    """Download a set into the cache, or check the one that is there; `force` downloads it in any case.

    Raises ConfigError for an unknown name, and DataError where it cannot be had, is damaged, or was imported.
    """
    root = root or data_dir()
    describe(name, root, asker="")
    if force and not is_own(name) and name not in EMBEDDED:
        _prepare_base(name, root, progress, force=True)
    else:
        prepare(name, 0, root, progress)
    return describe(name, root)


def _prepare_base(name: str, root: Path, progress: OnProgress, force: bool = False) -> Dataset:
    """A set that is downloaded or imported, at its own size."""
    if name not in DOWNLOADS:
        if force or (found := cache.open_cached(root, name)) is None:
            hint = f"`tuiae data import DIR --as {name} --force`"
            raise DataError(f"'{name}' was imported and cannot be downloaded", hint)
        return found

    def build(work: Path) -> DatasetContent:
        # Here, not above: what is in the cache must open without torchvision.
        from tuiae.data.download import download

        return download(name, work, progress)

    return cache.open_or_build(root, name, build, "download", "torchvision", force=force, progress=progress)


def _prepare_own(dataset: str, image_size: int, root: Path, progress: OnProgress) -> Dataset:
    found = find_own(dataset)
    path = str(found.path.absolute())

    def build(_: Path) -> DatasetContent:
        if isinstance(found, folder.FolderScan):
            return folder.read_content(found, image_size, progress)
        return _resized_content(arrays.read_content(found, progress), image_size)

    opened = cache.open_or_build(
        root,
        own_key(found, image_size),
        build,
        "folder" if isinstance(found, folder.FolderScan) else "file",
        path,
        fingerprint=found.fingerprint,
        name=dataset,
        progress=progress,
    )
    return replace(opened, name=absolute(dataset), path=path)


def _prepare_resized(name: str, size: int, root: Path, progress: OnProgress) -> Dataset:
    if read_manifest(root / name) is None:
        _prepare_base(name, root, progress)
    manifest = read_manifest(root / name)
    if manifest is None:
        raise cache.removed(root / name)
    if manifest.shape[1:] == (size, size):
        return _prepare_base(name, root, progress)

    def build(_: Path) -> DatasetContent:
        whole = _prepare_base(name, root, progress)
        train = SplitContent(_chunks(whole.train_images), whole.train_labels)
        test = SplitContent(_chunks(whole.test_images), whole.test_labels)
        own = DatasetContent(whole.classes, whole.image_shape, train, test, whole.labelled, whole.notes, whole.val)
        return _resized_content(own, size)

    # Tied to the content of the set it is made from: importing another one under the name makes it anew.
    key, made_from = f"{name}@{size}", manifest.digest
    opened = cache.open_or_build(
        root, key, build, manifest.origin, name, fingerprint=made_from, name=name, progress=progress
    )
    return replace(opened, digest=made_from, path=str((root / name).absolute()))


def _resized_in_memory(dataset: Dataset, size: int) -> Dataset:
    if not size or dataset.image_shape[1:] == (size, size):
        return dataset
    parts = dataset.train_images, dataset.test_images
    train, test = (np.concatenate(list(_Resized(_chunks(part), size))) for part in parts)
    return replace(dataset, train_images=train, test_images=test)


def _resized_content(content: DatasetContent, size: int) -> DatasetContent:
    """A content with each image a square of `size` pixels; 0 keeps them."""
    channels, height, width = content.shape
    if not size or (height, width) == (size, size):
        return content
    train, test = (SplitContent(_Resized(part.images, size), part.labels) for part in (content.train, content.test))
    return replace(content, shape=(channels, size, size), train=train, test=test)


def _chunks(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]


@dataclass(frozen=True)
class _Resized:
    """Chunks of uint8 (n, C, size, size). Bilinear; Pillow widens the filter when shrinking, so nothing aliases."""

    chunks: Iterable[np.ndarray]
    size: int

    def __iter__(self) -> Iterator[np.ndarray]:
        from PIL import Image

        size = self.size, self.size
        for chunk in self.chunks:
            planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in chunk.reshape(-1, *chunk.shape[2:])]
            resized = [np.asarray(plane.resize(size, Image.Resampling.BILINEAR)) for plane in planes]
            yield np.stack(resized).reshape(*chunk.shape[:2], *size)


def select(dataset: Dataset, section: DataSection, seed: int) -> Dataset:
    """What a run trains on and what its curves call test: `classes` applied, then `validation`, then the limits; a
    limit beyond the images there are takes them all. Where nothing is left out, the set's own arrays come back.

    With `validation` a fraction, that share of the training images is held out by a permutation that depends on `seed`
    and their number alone; with "val" the set's own validation split takes the place of its test split. Raises
    ConfigError for a class or a split that the set does not have, and where nothing is left to train or test on.
    """
    check_classes(section.classes, dataset.name, dataset.classes)
    check_validation(section.validation, dataset.name, dataset.val)
    kept = tuple(dataset.classes.index(name) for name in section.classes) or None
    trained = len(dataset.train_labels) - dataset.val
    train = _of_classes(dataset.train_labels, kept, range(trained))
    test_images, test_labels = dataset.train_images, dataset.train_labels
    if section.validation == "test":
        test_images, test_labels = dataset.test_images, dataset.test_labels
        test = _of_classes(test_labels, kept, range(len(test_labels)))
    elif section.validation == "val":
        test = _of_classes(test_labels, kept, range(trained, len(test_labels)))
    else:
        train, test = _hold_out(train, section.validation, seed)
    train, test = train[: section.train_limit or None], test[: section.test_limit or None]
    for name, indices in (("train", train), ("test", test)):
        if len(indices) == 0:
            raise ConfigError(f"the {name} split is empty", "check data.classes, data.validation and data.train_limit")
    return replace(
        dataset,
        classes=section.classes or dataset.classes,
        train_images=_take(dataset.train_images, train),
        train_labels=_relabel(_take(dataset.train_labels, train), kept),
        test_images=_take(test_images, test),
        test_labels=_relabel(_take(test_labels, test), kept),
        val=0,
    )


def _of_classes(labels: np.ndarray, kept: tuple[int, ...] | None, part: range) -> Indices:
    return part if kept is None else part.start + np.flatnonzero(np.isin(labels[part.start : part.stop], kept))


def _hold_out(train: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Both in the set's own order. Raw bits of PCG64 are sorted rather than a Generator asked to permute: NumPy keeps
    the bits the same from version to version, and not the methods of Generator."""
    bits = np.random.PCG64([seed, _HELD_OUT_STREAM]).random_raw(len(train))
    order = np.argsort(bits, kind="stable")
    count = held_out_of(len(train), fraction)
    indices = np.asarray(train)
    return indices[np.sort(order[count:])], indices[np.sort(order[:count])]


def _take(array: np.ndarray, indices: Indices) -> np.ndarray:
    return array[indices.start : indices.stop] if isinstance(indices, range) else array[indices]


def _relabel(labels: np.ndarray, kept: tuple[int, ...] | None) -> np.ndarray:
    if kept is None:
        return labels
    table = np.zeros(max(kept) + 1, dtype=np.int64)
    table[list(kept)] = np.arange(len(kept))
    return table[labels]
