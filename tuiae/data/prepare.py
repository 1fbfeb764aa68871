"""Opening a dataset by name, preparing it first where that is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from tuiae.data import cache, folder
from tuiae.data.dataset import Content, Dataset, Part, Progress, silent
from tuiae.data.embedded import EMBEDDED
from tuiae.data.manifest import read_manifest
from tuiae.data.registry import (
    FOLDER_PREFIX,
    DatasetInfo,
    data_dir,
    describe,
    is_embedded,
    known_download,
    scan_folder,
)
from tuiae.errors import DataError

__all__ = ["Dataset", "fetch", "prepare"]

_CHUNK = 1024


def prepare(dataset: str, image_size: int = 0, root: Path | None = None, progress: Progress | None = None) -> Dataset:
    """Open a dataset; download or decode it first if it is not in the cache.

    Cached sets come back memory-mapped, every file checked against its sha256 first. Embedded sets touch no cache.

    Args:
        dataset: a name from `list_datasets`, or folder:PATH.
        image_size: side in pixels of the square that every image is resized to; 0 keeps the set's own size.
        root: the data directory; None takes `data_dir()`.
        progress: told of each step.

    Raises:
        ConfigError: no set of that name.
        DataError: not to be had (with the three ways on), damaged, or no place to write.
    """
    root = root or data_dir()
    report = progress or silent
    if dataset.startswith(FOLDER_PREFIX):
        return _prepare_folder(dataset, image_size, root, report)
    if is_embedded(dataset):
        return _resized_in_memory(EMBEDDED[dataset](), image_size)
    describe(dataset, root)
    base = partial(_prepare_base, dataset, root, report)
    if not image_size:
        return base()
    return _prepare_resized(dataset, image_size, root, base, report)


def fetch(name: str, root: Path | None = None, progress: Progress | None = None, force: bool = False) -> DatasetInfo:
    """Download a set into the cache, or check the one that is there; `force` downloads it in any case.

    Raises:
        ConfigError: no set of that name.
        DataError: not to be had, damaged, or imported and therefore nowhere to be fetched from.
    """
    root = root or data_dir()
    report = progress or silent
    describe(name, root, asker="")
    if force and not name.startswith(FOLDER_PREFIX) and not is_embedded(name):
        _prepare_base(name, root, report, force=True)
    else:
        prepare(name, 0, root, report)
    return describe(name, root)


def _prepare_base(name: str, root: Path, report: Progress, force: bool = False) -> Dataset:
    """A set that is downloaded or imported, at its own size."""
    if known_download(name) is None:
        found = None if force else cache.open_cached(root, name)
        if found is None:
            raise DataError(
                f"'{name}' was imported and cannot be downloaded", f"`tuiae data import DIR --as {name} --force`"
            )
        return found

    def build(work: Path) -> Content:
        # Here, not above: what is in the cache must open without torchvision.
        from tuiae.data.download import download

        return download(name, work, report)

    return cache.open_or_build(root, name, build, "download", "torchvision", force=force, progress=report)


def _prepare_folder(dataset: str, image_size: int, root: Path, report: Progress) -> Dataset:
    found = scan_folder(dataset)
    key = f"{found.cache_key}@{image_size}" if image_size else found.cache_key
    return cache.open_or_build(
        root,
        key,
        lambda _: folder.read_content(found, image_size),
        "folder",
        str(found.path.absolute()),
        fingerprint=found.fingerprint,
        name=dataset,
        progress=report,
    )


def _prepare_resized(name: str, size: int, root: Path, base: partial[Dataset], report: Progress) -> Dataset:
    manifest = read_manifest(root / name)
    if manifest is None:
        base()
        manifest = read_manifest(root / name)
    if manifest is None:
        raise DataError(f"{root / name} was removed while it was being opened", "start again")
    if manifest.shape[1:] == (size, size):
        return base()

    def build(_: Path) -> Content:
        whole = base()
        train, test = (
            Part(_resized(images, size), labels)
            for images, labels in ((whole.train_images, whole.train_labels), (whole.test_images, whole.test_labels))
        )
        return Content(whole.classes, (whole.image_shape[0], size, size), train, test, whole.labelled)

    # Tied to the content of the set it is made from: importing another one under the name makes it anew.
    return cache.open_or_build(
        root,
        f"{name}@{size}",
        build,
        manifest.origin,
        name,
        fingerprint=manifest.digest,
        name=name,
        progress=report,
    )


def _resized_in_memory(dataset: Dataset, size: int) -> Dataset:
    if not size or dataset.image_shape[1:] == (size, size):
        return dataset
    train, test = (
        np.concatenate(list(_resized(images, size))) for images in (dataset.train_images, dataset.test_images)
    )
    return replace(dataset, train_images=train, test_images=test)


def _resized(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Chunks of uint8 (n, C, size, size). Bilinear; Pillow widens the filter when shrinking, so nothing aliases."""
    from PIL import Image

    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        planes = chunk.reshape(-1, *chunk.shape[2:])
        resized = [
            np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)) for plane in planes
        ]
        yield np.stack(resized).reshape(*chunk.shape[:2], size, size)
