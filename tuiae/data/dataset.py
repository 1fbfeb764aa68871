"""What a dataset is, in memory and on its way into the cache."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.config import did_you_mean
from tuiae.errors import ConfigError, DataError
from tuiae.files import open_regular
from tuiae.images import ImageRecord

OnProgress = Callable[[str, int, int], None]
"""Called with phase, done, total: bytes where the phase begins with `DOWNLOADING`, else images; a total of 0 is
unknown."""

DOWNLOADING = "downloading"
"""How the phases begin that count bytes."""

Shape = tuple[int, int, int]
"""Channels, height, width of one image."""

UNLABELLED = ("picture",)
"""The one class of images without labels."""


@dataclass(frozen=True)
class Dataset:
    """A set ready to train on: images are uint8 (N, C, H, W), labels int64 (N,) and index `classes`.

    An unlabelled set has labels of zero and one class that stands for all pictures.
    """

    name: str
    classes: tuple[str, ...]
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    labelled: bool = True
    notes: tuple[str, ...] = ()
    """Sentences about what was made of the files that it was prepared from."""
    digest: str = ""
    """The digest of all pixels and labels, in their order; of a resized set that of the set it was made from."""
    path: str = ""
    """Where the pictures are, or the prepared set; empty where it comes with tuiae."""
    val: int = 0
    """How many of the training images, the last ones, are the set's own validation split, and never trained on."""

    @property
    def record(self) -> ImageRecord:
        """What tells these images from others."""
        counts = len(self.train_labels) - self.val, len(self.test_labels)
        return ImageRecord(self.name, self.path, self.classes, self.image_shape, *counts, self.digest, self.val)

    @property
    def image_shape(self) -> Shape:
        """(C, H, W)."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


def count_classes(
    splits: Sequence[NDArray[Any]], names: Mapping[int, str]
) -> tuple[tuple[str, ...], list[NDArray[np.int64]], tuple[str, ...]]:
    """The classes, which are the labels that some image has; the labels of each split as their indices; and what is to
    be said."""
    labels, places = np.unique(np.concatenate(splits), return_inverse=True)
    classes = tuple(names.get(label, str(label)) for label in labels.tolist())
    if len(set(classes)) < len(classes):
        classes = tuple(map(str, labels.tolist()))
    lowest, highest = int(labels[0]), int(labels[-1])
    notes = [f"labels begin at {lowest}, not at 0: the first class is '{classes[0]}'"] if lowest else []
    if skipped := sorted(set(range(lowest, highest + 1)) - set(labels.tolist())) if highest < 1 << 16 else []:
        notes.append(f"no image has one of the labels {named([*map(str, skipped)])}: they are no classes")
    ends = np.cumsum([len(split) for split in splits])[:-1]
    return classes, np.split(places, ends), tuple(notes)


def check_classes(names: Sequence[str], dataset: str, known: Sequence[str]) -> None:
    """Raises ConfigError for `data.classes` that the set does not have, or that are named twice."""
    for name in names:
        if name not in known:
            hint = f"it has {', '.join(known)}"
            raise ConfigError(f"data.classes: {dataset} has no class '{name}'{did_you_mean(name, list(known))}", hint)
    if len(set(names)) != len(names):
        raise ConfigError(f"data.classes names a class twice: {', '.join(names)}", "name each class once")


def check_validation(validation: str | float, dataset: str, val: int) -> None:
    """Raises ConfigError for `data.validation = "val"` of a set without such a split."""
    if validation == "val" and not val:
        hint = "a fraction such as 0.1 holds out training images"
        raise ConfigError(f"data.validation = 'val': {dataset} has no validation split", hint)


@dataclass(frozen=True)
class SplitContent:
    """One split on its way into the cache: chunks of uint8 (n, C, H, W) that add up to the labels' N."""

    images: Iterable[np.ndarray]
    labels: np.ndarray


@dataclass(frozen=True)
class DatasetContent:
    """A whole set on its way into the cache; chunks, so that a set larger than memory passes through."""

    classes: tuple[str, ...]
    shape: Shape
    train: SplitContent
    test: SplitContent
    labelled: bool = True
    notes: tuple[str, ...] = ()
    val: int = 0
    """The same as in a Dataset."""


def silent(phase: str, done: int, total: int) -> None:
    """The progress of a caller that asked for none."""


AGAIN = "copy the file over again"


def reason(error: Exception) -> str:
    """Why a library could not read a file, in a few words: some put the file into their message."""
    return " ".join(str(error).split())[:80] or type(error).__name__


@contextmanager
def readable(path: Path | str, hint: str) -> Iterator[None]:
    """Turn an OSError inside into a DataError about this file or folder."""
    try:
        yield
    except OSError as error:
        hint = "check the path" if isinstance(error, FileNotFoundError) else hint
        raise DataError(f"{path}: {error.strerror or error}", hint) from error


def fingerprint_files(files: Iterable[Path], root: Path, reading: int, hint: str) -> str:
    """Changes when a file below `root` is added, removed, renamed or written to, even if its size and its time stay,
    and with the number of their `reading`. Raises DataError with the hint where one cannot be looked at."""
    digest = hashlib.sha256(b"%d\n" % reading)
    for file in files:
        with readable(file, hint):
            status = file.stat()
        # The time of the last change of its entry cannot be set back, as rsync and cp -p set that of its content.
        stamp = f"\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\n"
        digest.update(os.fsencode(file.relative_to(root)) + stamp.encode())
    return digest.hexdigest()


def cache_key_of(kind: str, path: Path, unnamed: str = "") -> str:
    """A name in the data directory that belongs to this absolute path."""
    absolute = path.absolute()
    words = re.sub(r"[^a-z0-9_-]+", "-", absolute.name.lower()).strip("-")[:32]
    return f"{kind}@{words or unnamed}-{hashlib.sha256(os.fsencode(absolute)).hexdigest()[:12]}"


_GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def unpacked(path: Path) -> Iterator[BufferedIOBase]:
    """A file, gzipped or not (its first bytes tell, not its name), open for reading, unpacked as it is read."""
    with open_regular(path) as file:
        if file.peek(2)[:2] != _GZIP_MAGIC:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as content:
            yield content


def check_room(path: Path, size: int) -> None:
    """Raises DataError for what would fill the memory, such as a small file that unpacks to a large one."""
    import psutil  # here: lists of datasets need none, and it takes 20 ms

    free = psutil.virtual_memory().available
    if size > free // 2:
        cause = f"{path} would take {size / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free"
        raise DataError(cause, "check that it is the right file, or use it on a larger machine")


_LEFTOVERS = frozenset({"__macosx", "@eadir", "thumbs.db", "desktop.ini"})
"""What systems leave beside pictures, in lower case."""


def entries(path: Path) -> tuple[list[Path], list[Path]]:
    """The folders in a folder and its other entries, by name; without hidden ones and what systems leave there. Raises
    DataError where it cannot be read."""
    folders: list[Path] = []
    files: list[Path] = []
    with readable(path, "check its permissions"), os.scandir(path) as found:
        for entry in found:
            if entry.name.startswith(".") or entry.name.lower() in _LEFTOVERS:
                continue
            # Of a link that leads round in a circle, the entry raises and the path says False.
            is_folder = Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()
            (folders if is_folder else files).append(path / entry.name)
    return sorted(folders), sorted(files)


def walk(folder: Path, deepest: int = 64) -> Iterator[tuple[Path, list[Path]]]:
    """A folder and then every deeper one, each with its files; a link back to a folder above it is not followed. Raises
    DataError as `entries`."""
    waiting: list[tuple[Path, tuple[tuple[int, int], ...]]] = [(folder, ())]
    while waiting:
        place, above = waiting.pop()
        with readable(place, "check its permissions"):
            status = place.stat()
        if (own := (status.st_dev, status.st_ino)) in above:
            continue
        folders, files = entries(place)
        yield place, files
        if len(above) < deepest:
            waiting += [(inner, (*above, own)) for inner in reversed(folders)]


def utf8(name: str | Path) -> str:
    """The name of a file as a text that can be written anywhere: bytes that are not UTF-8 as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


LEFT_OUT = "left out unless data.validation = 'val'"
"""How the note ends, or begins to, that a set has a validation split of its own; `notes_for` knows it by this."""
UNTESTED = "there the test split tells nothing"
"""How the note ends that classes have no test images."""


def notes_for(notes: Sequence[str], validation: str | float) -> tuple[str, ...]:
    """The notes of a set, which is prepared once for all runs, that hold of a run."""
    beside = () if validation == "test" else (UNTESTED, LEFT_OUT) if validation == "val" else (UNTESTED,)
    return tuple(note for note in notes if not any(words in note for words in beside))


def untested(counts: Mapping[str, int]) -> tuple[str, ...]:
    """A sentence about the classes, of the number of their test images, that have none."""
    without = [name for name, count in counts.items() if not count]
    which = f"{'class' if len(without) == 1 else 'the classes'} {named(without)}"
    return (f"no test images of {which}: {UNTESTED}",) if without else ()


def named(words: Sequence[str], most: int = 6) -> str:
    """`a, b and c`; of many, the first and how many more."""
    shown = list(words) if len(words) <= most else [*words[: most - 1], f"{len(words) - most + 1:,} more"]
    return " and ".join([*([", ".join(shown[:-1])] if shown[1:] else []), *shown[-1:]])


def as_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Images in 0..1 as uint8; what lies outside is cut, what is no number is black."""
    return (np.nan_to_num(images).clip(0, 1) * 255).round().astype(np.uint8)
