"""CIFAR-10, SVHN and USPS as their authors publish them, each in a form of its own; nothing in a file is run."""

from __future__ import annotations

import bz2
import hashlib
import io
import pickletools
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.data.dataset import AGAIN, DatasetContent, Shape, SplitContent, check_room, readable, reason, walk
from tuiae.errors import DataError
from tuiae.files import open_regular

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (N, C, H, W) and labels (N,) of one file."""


@dataclass(frozen=True)
class PublishedFiles:
    """The files of one of these sets, as they were found."""

    name: str
    place: Path
    """Their folder, or the archive that holds them."""


@dataclass(frozen=True)
class _Form:
    train: Mapping[str, str]
    """File -> the md5 that its authors, and torchvision, give."""
    test: Mapping[str, str]
    shape: Shape
    read: Callable[[bytes, str], Labelled]
    """What reads the content of a file, whose path is for people; it raises anything where that is damaged."""
    archive: str = ""


def find(directory: Path, deepest: int) -> dict[str, PublishedFiles]:
    """The files of these sets in a folder, or below it, by the name of the set; or the one whose archive this is."""
    archives = {form.archive: name for name, form in FORMS.items() if form.archive}
    if directory.name in archives and directory.is_file():
        return {archives[directory.name]: PublishedFiles(archives[directory.name], directory)}
    found: dict[str, PublishedFiles] = {}
    for place, paths in walk(directory, deepest):
        names = {path.name for path in paths}
        for name, form in FORMS.items():
            if names & {*form.train, *form.test}:
                found[name] = PublishedFiles(name, place)
            elif form.archive in names:
                found.setdefault(name, PublishedFiles(name, place / form.archive))
    return found


def read_published(found: PublishedFiles, name: str, classes: tuple[str, ...]) -> DatasetContent:
    """Read a set; raises DataError where a file is missing or damaged, and where it is to bear the `name` of the
    published set and is not what was published."""
    form = FORMS[found.name]
    with readable(found.place, "check its permissions"), _opened(found.place) as read:
        parts = []
        for files in (form.train, form.test):
            split = [
                _read_file(found, form, file, md5 if name == found.name else "", read) for file, md5 in files.items()
            ]
            labels = np.concatenate([labels for _, labels in split])
            if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(classes):
                raise DataError(f"{found.place} holds labels beyond its {len(classes)} classes", AGAIN)
            parts.append(SplitContent([images for images, _ in split], labels))
    train, test = parts
    return DatasetContent(classes, form.shape, train, test)


@contextmanager
def _opened(place: Path) -> Iterator[Callable[[str], bytes]]:
    """Yields what reads a file of a folder, or of an archive, by its name."""
    if place.is_dir():
        yield lambda file: _read_all(place / file)
        return
    try:
        with open_regular(place) as packed, tarfile.open(fileobj=packed, mode="r:gz") as archive:
            members = {member.name.rpartition("/")[2]: member for member in archive if member.isreg()}

            def read(file: str) -> bytes:
                if file not in members:
                    raise FileNotFoundError(file)
                check_room(place, members[file].size)
                content = archive.extractfile(members[file])
                return content.read() if content is not None else b""

            yield read
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{place} is a damaged archive ({reason(error)})", AGAIN) from error


def _read_all(path: Path) -> bytes:
    with open_regular(path) as file:
        check_room(path, path.stat().st_size)
        return file.read()


def _read_file(found: PublishedFiles, form: _Form, file: str, md5: str, read: Callable[[str], bytes]) -> Labelled:
    where = found.place / file
    try:
        content = read(file)
    except FileNotFoundError as error:
        needed = ", ".join([*form.train, *form.test])
        raise DataError(f"{found.place} has no {file}", f"{found.name} needs {needed}") from error
    if md5 and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        hint = "copy it over again, or import it as what it is, with --as another-name"
        raise DataError(f"this is not {found.name}: {where} is not the published file", hint)
    try:
        images, labels = form.read(content, str(where))
    except DataError:
        raise
    except Exception as error:  # readers raise whatever a damaged file makes their arithmetic raise
        raise DataError(f"{where} is damaged ({reason(error)})", AGAIN) from error
    if not len(labels) or images.shape != (len(labels), *form.shape):
        size = " x ".join(map(str, images.shape))
        raise DataError(f"{where} holds {size} pixels and {len(labels):,} labels", AGAIN)
    return images, labels


def _read_batch(content: bytes, where: str) -> Labelled:
    """A batch of CIFAR-10. It is a pickle, of which nothing is carried out: its pixels are its longest string, its
    labels the small numbers between the string `labels` and the next one.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html: 10,000 rows of 1,024 red, 1,024 green and 1,024 blue values.
    """
    pixels, labels, key = "", list[int](), ""
    for operation, argument, _ in pickletools.genops(io.BytesIO(content)):
        if isinstance(argument, str) and operation.name.endswith("STRING"):
            key, pixels = argument, max(pixels, argument, key=len)
        elif key == "labels" and operation.name == "BININT1":
            labels.append(int(str(argument)))
    flat = np.frombuffer(pixels.encode("latin-1"), np.uint8)
    return flat.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


def _read_mat(content: bytes, where: str) -> Labelled:
    """A file of SVHN, MATLAB's: X is (32, 32, 3, N), and y has 10 for the digit 0."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        cause = f"{where} is a file of MATLAB, and scipy, which reads those, is not installed"
        raise DataError(cause, "pip install 'tuiae[studies]'") from error
    arrays: dict[str, Any] = loadmat(io.BytesIO(content), variable_names=["X", "y"])
    images, labels = arrays["X"], arrays["y"].reshape(-1).astype(np.int64)
    return images.transpose(3, 2, 0, 1), np.where(labels == 10, 0, labels)


def _read_lines(content: bytes, where: str) -> Labelled:
    """A file of USPS in LIBSVM's form: lines of a label from 1 on and `place:value`, values from -1 to 1, made bytes as
    torchvision makes them."""
    rows = [line.split() for line in bz2.decompress(content).decode("ascii").splitlines()]
    values = np.array([[cell.rpartition(":")[2] for cell in row[1:]] for row in rows], np.float32)
    if not np.abs(values).max(initial=0) <= 1:
        raise ValueError("a pixel is not between -1 and 1")
    labels = np.array([int(row[0]) - 1 for row in rows], np.int64)
    return ((values + 1) / 2 * 255).astype(np.uint8).reshape(-1, 1, 16, 16), labels


FORMS = {
    "cifar10": _Form(
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        {"test_batch": "40351d587109b95175f43aff81a1287e"},
        (3, 32, 32),
        _read_batch,
        "cifar-10-python.tar.gz",
    ),
    "svhn": _Form(
        {"train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373"},
        {"test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3"},
        (3, 32, 32),
        _read_mat,
    ),
    "usps": _Form(
        {"usps.bz2": "ec16c51db3855ca6c91edd34d0e9b197"},
        {"usps.t.bz2": "8ea070ee2aca1ac39742fdd1ef5ed118"},
        (1, 16, 16),
        _read_lines,
    ),
}
