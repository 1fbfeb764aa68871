"""Images in files of arrays: an npz, npy files beside each other, a CSV of pixels.

Read in pieces and never unpickled: a set larger than memory passes through, and no file runs code.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.config import counted
from tuiae.data import tables
from tuiae.data.dataset import (
    AGAIN,
    LEFT_OUT,
    UNLABELLED,
    DatasetContent,
    OnProgress,
    Shape,
    SplitContent,
    cache_key_of,
    count_classes,
    fingerprint_files,
    named,
    readable,
    reason,
    silent,
    untested,
)
from tuiae.data.stored import LABELS_OF_NAMES, Pieces, StoredArray, open_file, open_member, read_header
from tuiae.errors import DataError
from tuiae.files import open_regular

ENDINGS = (".npz", ".npy", ".csv", ".csv.gz")

_READING = 1
"""Goes up when the same files would come out as other pixels, so that what was prepared before is made anew."""
_SPLITS = ("train", "val", "test")
_WHOLE = "all"
"""In place of the splits, of files that have none."""
_NAMES = (("{}_images", "{}_labels"), ("x_{}", "y_{}"), ("X_{}", "y_{}"))
"""What MedMNIST, Keras and scikit-learn call images and labels of a split."""
_WHOLE_NAMES = (("images", "labels"), ("x", "y"), ("X", "y"))
_TEST_SHARE = 6
_MEDMNIST = re.compile(r"([a-z]+mnist)(?:_\d+)?")


@dataclass(frozen=True)
class ArrayFiles:
    """The files of one set, found without opening any."""

    path: Path
    """The one that was named."""
    files: tuple[Path, ...]
    """All that belong to the set, `path` among them."""

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed or written to, even if its size and its time stay."""
        return fingerprint_files(self.files, self.path.parent, _READING, "check the path and its permissions")

    @property
    def cache_key(self) -> str:
        """A name in the data directory that belongs to this absolute path."""
        return cache_key_of("file", self.path)


def locate(path: Path) -> ArrayFiles:
    """Find the files that belong to one; raises DataError where it is missing or of another kind."""
    with readable(path, "check the path and its permissions"):
        if path.is_dir():
            raise DataError(f"file:{path} is a folder", f"folder:{path} reads pictures; of arrays name a file")
        path.stat()
        if path.suffix.lower() == ".npy":
            beside = [path.with_name(f"{name}.npy") for pair in _npy_roles(path).values() for name in pair]
            return ArrayFiles(path, tuple(file for file in beside if file == path or file.is_file()))
        if path.name.lower().endswith(ENDINGS):
            test = tables.beside(path)
            return ArrayFiles(path, (path, test) if test is not None else (path,))
    raise DataError(f"file:{path} is none of {named(ENDINGS)}", "folder:PATH reads a folder of pictures")


@dataclass(frozen=True)
class _Part:
    """A split as it lies in the files."""

    images: StoredArray
    labels: NDArray[np.int64] | None


@dataclass(frozen=True)
class Contents:
    """What is known of a set without reading all of its pixels."""

    path: Path
    classes: tuple[str, ...]
    shape: Shape
    labelled: bool
    notes: tuple[str, ...]
    labels: Mapping[str, NDArray[np.int64]]
    """Indices of classes, by split."""
    images: Mapping[str, StoredArray]
    """The same; of files without splits, all of them under each."""
    tested: NDArray[np.bool_] | None = None
    """Of files without splits, which images are the test split."""


def look(found: ArrayFiles) -> Contents:
    """Read headers, labels and the first pixels, once a state of the files; of a CSV every line. Raises DataError for
    what is no set of images: objects, missing arrays, other lengths, labels that are no whole numbers, first pixels
    that are out of range or no numbers, a table that is none."""
    return _look(found, found.fingerprint)


@lru_cache(maxsize=4)  # the form asks after every key
def _look(found: ArrayFiles, fingerprint: str) -> Contents:
    path = found.path
    kind = path.suffix.lower()
    with _sound(path):
        parts, notes = _READERS.get(kind, _read_csv)(found)
        shapes = {split: _image_shape(part.images) for split, part in parts.items()}
        for part in parts.values():
            _check_first(part.images, path)
    for split, shape in shapes.items():
        if shape != (first := next(iter(shapes.values()))):
            one, two = (f"{'x'.join(map(str, size[1:]))} in {_colours(size[0])}" for size in (first, shape))
            cause = f"{path}: {next(iter(shapes))} images are {one} and {split} images {two}"
            raise DataError(cause, "give files of one set")
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
        notes = (*notes, "the val arrays are the test split, for want of test arrays")
    elif "val" in parts:
        notes = (*notes, f"the val images are {LEFT_OUT}")
    return _as_contents(path, parts, next(iter(shapes.values())), notes)


def _as_contents(path: Path, parts: Mapping[str, _Part], shape: Shape, notes: tuple[str, ...]) -> Contents:
    """The classes that the labels of all splits have, and the test split of files that have none."""
    labels = {split: part.labels for split, part in parts.items() if part.labels is not None}
    classes: tuple[str, ...] = UNLABELLED
    labelled = bool(labels)
    if labels:
        known = _medmnist_names(path)
        classes, places, said = count_classes(list(labels.values()), known)
        labels, notes = dict(zip(labels, places, strict=True)), (*notes, *said)
    else:
        labels = {split: np.zeros(part.images.shape[0], np.int64) for split, part in parts.items()}
    images = {split: part.images for split, part in parts.items()}
    tested = None
    if "test" not in parts:
        only = next(iter(parts))
        tested = _divide(labels[only])
        if not tested.any():
            raise DataError(f"{path} has no class with two images", "add images: a part of them is the test split")
        share = "a sixth of each class" if labelled else "a sixth of them"
        notes = (*notes, f"{share}, {counted(int(tested.sum()), 'image')}, is the test split")
        images = dict.fromkeys(("train", "test"), images[only])
        labels = {"train": labels[only][~tested], "test": labels[only][tested]}
    if labelled:
        counts = np.bincount(labels["test"], minlength=len(classes)).tolist()
        notes = (*notes, *untested(dict(zip(classes, counts, strict=True))))
    return Contents(path, classes, shape, labelled, notes, labels, images, tested)


def _divide(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images are for testing: of each class a sixth, the same ones on every machine."""
    order = np.random.PCG64(0).random_raw(len(labels))
    tested = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        share = max(1, round(len(members) / _TEST_SHARE)) if len(members) > 1 else 0
        tested[members[np.argsort(order[members], kind="stable")[:share]]] = True
    return tested


def read_content(found: ArrayFiles, progress: OnProgress = silent) -> DatasetContent:
    """Measure the pixels where they are no bytes, and return a content that reads them as it is written; raises as
    `look`, and DataError for pixels that are no numbers or out of their range."""
    known = look(found)
    with _sound(known.path):
        scale = _find_scale({stored.where: stored for stored in known.images.values()}.values(), known.path, progress)
    halves = {"train": None, "test": None} if known.tested is None else {"train": ~known.tested, "test": known.tested}
    images = {
        split: _Pictures(known.path, stored, known.shape, scale, halves.get(split))
        for split, stored in known.images.items()
    }
    labels, val = known.labels, len(known.labels.get("val", ()))
    train = SplitContent(images["train"], labels["train"])
    if val:
        both = np.concatenate([labels["train"], labels["val"]])
        train = SplitContent(_Joined((images["train"], images["val"])), both)
    test = SplitContent(images["test"], labels["test"])
    return DatasetContent(known.classes, known.shape, train, test, known.labelled, known.notes, val)


@dataclass(frozen=True)
class _Pictures:
    """The images of a split, uint8 (n, C, H, W) at a time; they can be gone through again."""

    path: Path
    stored: StoredArray
    shape: Shape
    scale: float
    kept: NDArray[np.bool_] | None

    def __iter__(self) -> Pieces:
        start = 0
        with _sound(self.path):
            for piece in self.stored.pieces():
                chosen = piece if self.kept is None else piece[self.kept[start : start + len(piece)]]
                start += len(piece)
                pixels = chosen if chosen.dtype == np.uint8 else (chosen * self.scale).round().astype(np.uint8)
                if len(pixels):
                    yield _upright(pixels, self.shape)


@dataclass(frozen=True)
class _Joined:
    """One split after the other."""

    parts: tuple[_Pictures, ...]

    def __iter__(self) -> Pieces:
        return chain.from_iterable(self.parts)


def _find_scale(arrays: Iterable[StoredArray], path: Path, progress: OnProgress) -> float:
    """What turns pixels into 0 to 255: 1 for bytes, 255 where none is above 1."""
    low, high = 0.0, 0.0
    others = [array for array in arrays if array.dtype != np.uint8]
    for array in others:
        done = 0
        for piece in array.pieces():
            darkest, brightest = _extremes(array, piece, done)
            low, high = min(low, darkest), max(high, brightest)
            done += len(piece)
            progress("measuring", done, array.shape[0])
    _check_range(path, low, high)
    return 255.0 if others and high <= 1 else 1.0


def _check_first(array: StoredArray, path: Path) -> None:
    """Raises of the first images what `_find_scale` would, before anything else is said of the set."""
    if array.dtype != np.uint8:
        _check_range(path, *_extremes(array, next(array.pieces()), 0))


def _extremes(array: StoredArray, piece: NDArray[Any], start: int) -> tuple[float, float]:
    """The least and the largest of 0 and the pixels of a piece, which begins at an image of the array."""
    if not np.isfinite(piece).all():
        bad = start + int(np.flatnonzero(~np.isfinite(piece).reshape(len(piece), -1).all(axis=1))[0])
        cause = f"{array.where} holds pixels that are no numbers (NaN or infinite), first in image {bad:,}"
        raise DataError(cause, "leave such images out, or put numbers there")
    return float(piece.min(initial=0)), float(piece.max(initial=0))


def _check_range(path: Path, low: float, high: float) -> None:
    if low < 0 or high > 255:
        cause = f"{path} holds pixels from {low:g} to {high:g}"
        raise DataError(cause, "scale them to 0 to 255, or to 0 to 1")


# What arrays are taken for


def _image_shape(stored: StoredArray) -> Shape:
    """(C, H, W) of the images in an array; raises DataError where it holds none."""
    shape = stored.shape
    size = " x ".join(map(str, shape))
    if shape and not shape[0]:
        raise DataError(f"{stored.where} holds no images", "give a file that holds some")
    if stored.dtype.kind in "buif" and 0 not in shape and (found := _shape_of(shape)) is not None:
        return found
    if len(shape) == 2:
        hint = "a row is a square image, grey or in three colours; others fit into an npz of N x H x W"
        raise DataError(f"{stored.where} has {shape[1]:,} pixels a row, which make no square", hint)
    hint = "images are numbers of N x H x W, N x H x W x 3, or N x 3 x H x W; or N x pixels of squares"
    raise DataError(f"{stored.where} is {stored.dtype} of {size}", hint)


def _shape_of(shape: tuple[int, ...]) -> Shape | None:
    if len(shape) == 3:
        return 1, shape[1], shape[2]
    if len(shape) == 4 and shape[3] in (1, 3):
        return shape[3], shape[1], shape[2]
    if len(shape) == 4 and shape[1] in (1, 3):
        return shape[1], shape[2], shape[3]
    return tables.square(shape[1]) if len(shape) == 2 else None


def _upright(pixels: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """(n, C, H, W) of what `_shape_of` knows; the channels of flat pixels lie beside each other."""
    channels, height, width = shape
    if pixels.ndim == 4 and pixels.shape[1:] == shape and pixels.shape[3] not in (1, 3):
        return pixels
    return pixels.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)


def _colours(channels: int) -> str:
    return "grey" if channels == 1 else "colour"


def _as_labels(stored: StoredArray, images: StoredArray) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """(N,) of (N,) or (N, 1), and what is to be said; None of several labels an image. Raises DataError for labels of
    another number than there are images, and for what are no whole numbers from 0 on."""
    size, where = " x ".join(map(str, stored.shape)), stored.where
    hint = f"labels are N whole numbers from 0 on; of names, {LABELS_OF_NAMES}"
    if stored.dtype.kind not in "buif" or len(stored.shape) not in (1, 2):
        raise DataError(f"{where} is {stored.dtype} of {size}", hint)
    if stored.shape[0] != images.shape[0]:
        cause = f"{images.where} holds {images.shape[0]:,} images and {Path(where).name} {stored.shape[0]:,} labels"
        raise DataError(cause, "give both from the same set")
    several = math.prod(stored.shape[1:])
    if several != 1:
        return None, (
            f"{Path(where).name} holds {several} labels an image, and a class needs one: read without labels",
        )
    values = stored.read().reshape(-1)
    labels = values.astype(np.int64)
    if (bad := np.flatnonzero((labels != values) | (values < 0))).size:
        raise DataError(f"{where}: the label of image {bad[0]:,} is {values[bad[0]]}", hint)
    return labels, ()


def _medmnist_names(path: Path) -> dict[int, str]:
    """What MedMNIST calls the classes of a file of its own; empty of any other."""
    match = _MEDMNIST.fullmatch(path.name.removesuffix(".npz"))
    text = resources.files("tuiae.data").joinpath("embedded/medmnist.json").read_text(encoding="utf-8")
    return dict(enumerate(json.loads(text).get(match[1], ()))) if match else {}


def _roles(names: Iterable[str], asked: str = "") -> dict[str, tuple[str, str]]:
    """Split -> the names of its images and its labels, of which one may be missing; of the customs by which somebody
    names arrays the first that fits, and that has a name which is `asked` for."""
    held = set(names)
    customs = [{split: (x.format(split), y.format(split)) for split in _SPLITS} for x, y in _NAMES]
    for custom in (*customs, *({_WHOLE: pair} for pair in _WHOLE_NAMES)):
        present = {split: pair for split, pair in custom.items() if held & set(pair)}
        whole = any(split in present and present[split][0] in held for split in ("train", _WHOLE))
        if whole and (not asked or any(asked in pair for pair in present.values())):
            return present
    return {}


def _parts(
    where: str, roles: Mapping[str, tuple[str, str]], held: Mapping[str, StoredArray]
) -> tuple[dict[str, _Part], tuple[str, ...]]:
    """The splits of arrays by name; raises DataError where a split lacks its images, or labels that others have."""
    labelled = any(labels in held for _, labels in roles.values())
    found: dict[str, NDArray[np.int64]] = {}
    notes: tuple[str, ...] = ()
    for split, (images, labels) in roles.items():
        missing = images if images not in held else labels if labelled and labels not in held else ""
        if missing:
            raise DataError(f"{where} has no {missing}; it holds {named(list(held))}", "save both under their names")
        _image_shape(held[images])  # of what holds no images the labels do not matter
        if labelled and not notes:
            values, notes = _as_labels(held[labels], held[images])
            found |= {} if values is None else {split: values}
    known = {} if notes else found
    return {split: _Part(held[images], known.get(split)) for split, (images, _) in roles.items()}, notes


# npz, npy and CSV


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Turn what readers raise of a damaged file into a DataError."""
    try:
        with readable(path, "check its permissions"):
            yield
    except DataError:
        raise
    except Exception as error:  # readers raise whatever a damaged file makes their arithmetic raise
        raise DataError(f"{path} is a damaged {path.suffix[1:]} file ({reason(error)})", AGAIN) from error


def _read_npz(found: ArrayFiles) -> tuple[dict[str, _Part], tuple[str, ...]]:
    path = found.path
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        roles = _roles(members)
        if not roles:
            hint = "an npz has to hold train_images, train_labels, test_images and test_labels, or images and labels"
            raise DataError(f"{path} holds {named(list(members)) or 'no arrays'}", hint)
        wanted = [name for pair in roles.values() for name in pair if name in members]
        held = {name: read_header(f"{path}/{name}", partial(open_member, path, members[name])) for name in wanted}
    return _parts(str(path), roles, held)


def _npy_roles(path: Path) -> dict[str, tuple[str, str]]:
    """As `_roles`, of the npy files beside one; of a name without a custom, NAME_labels or labels."""
    beside = {file.stem for file in path.parent.glob("*.npy")} | {path.stem}
    own = f"{path.stem}_labels"
    return _roles(beside, path.stem) or {_WHOLE: (path.stem, own if own in beside else "labels")}


def _read_npy(found: ArrayFiles) -> tuple[dict[str, _Part], tuple[str, ...]]:
    held = {file.stem: read_header(str(file), partial(open_file, file)) for file in found.files}
    roles = _npy_roles(found.path)
    parts, notes = _parts(str(found.path.parent), roles, held)
    missing = next(iter(roles.values()))[1]
    without = () if missing in held else (f"read without labels: no {missing}.npy lies beside it",)
    return parts, (*notes, *without)


def _read_csv(found: ArrayFiles) -> tuple[dict[str, _Part], tuple[str, ...]]:
    """A CSV, and that of its test images where there is one with labels like those for training."""
    splits = ("train", "test") if len(found.files) > 1 else (_WHOLE,)
    read = {split: tables.read_table(path) for split, path in zip(splits, found.files, strict=True)}
    notes = tuple(note for table in read.values() for note in table.notes)
    if len(read) > 1 and read["train"].labels is not None and read["test"].labels is None:
        notes = (*notes, f"{read.pop('test').path.name} is left out: it has no labels")
    parts = {}
    for split, table in read.items():
        shape = (table.count, table.pixels)
        parts[split] = _Part(StoredArray(str(table.path), shape, np.dtype(np.float32), table.pieces), table.labels)
    return parts, notes


_READERS = {".npz": _read_npz, ".npy": _read_npy}
