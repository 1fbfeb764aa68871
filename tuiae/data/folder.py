"""The user's own pictures: one sub-folder per class, or one folder of unlabelled pictures."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuiae.data.dataset import DatasetContent, Shape, SplitContent, readable
from tuiae.errors import DataError

if TYPE_CHECKING:
    from PIL import Image


ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
UNLABELLED = ("picture",)
"""The one class of a folder without sub-folders."""

_TEST_SHARE = 6
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I;16", "I;16L", "I;16B"})
_WIDE_MODES = frozenset({"I", "F"})
_CHUNK = 256

Picture = tuple[Path, int]
"""A file and its label."""
Files = dict[str, list[Path]]
"""By class; without sub-folders, all by `_LOOSE`."""
_LOOSE = ""


@dataclass(frozen=True)
class FolderScan:
    """The pictures of a folder, each split in an order that mixes the classes and does not change."""

    path: Path
    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    test: tuple[Picture, ...]
    labelled: bool

    @property
    def fingerprint(self) -> str:
        """Changes when a picture is added, removed, renamed, resized or touched."""
        digest = hashlib.sha256()
        for file in sorted(picture for picture, _ in self.train + self.test):
            with readable(file, "check the folder"):
                status = file.stat()
            digest.update(f"{file.relative_to(self.path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    @property
    def cache_key(self) -> str:
        """A name in the data directory that belongs to this absolute path."""
        absolute = self.path.absolute()
        words = re.sub(r"[^a-z0-9_-]+", "-", absolute.name.lower()).strip("-")[:32]
        return f"folder@{words or 'pictures'}-{hashlib.sha256(str(absolute).encode()).hexdigest()[:12]}"


def scan(path: Path) -> FolderScan:
    """Find classes and pictures without opening any.

    DIR/train/<class>/ and DIR/test/<class>/ are taken as they are. Of DIR/<class>/ every class gives a sixth to the
    test split, chosen by a hash of the file names, so that it is the same on every machine. Raises DataError for a
    folder that is missing, unreadable or empty, pictures beside class folders, and a test class that is not trained.
    """
    # Of a path that is too long, or under a folder that one may not search, Path.is_dir does not say False.
    with readable(f"folder:{path}", "check the path and its permissions"):
        if not path.is_dir():
            raise DataError(f"folder:{path}: {'not a folder' if path.exists() else 'no such folder'}", "check the path")
        two = (path / "train").is_dir() and (path / "test").is_dir()
        if not two and (path / "train").is_dir() and _folders(path / "train"):
            raise DataError(f"folder:{path} has train/ but no test/", "add test/, or give the folder train/ itself")
        train, test = _two_splits(path) if two else _split(path)
    names = sorted(train)
    labelled = names != [_LOOSE]
    classes = tuple(names) if labelled else UNLABELLED
    return FolderScan(path, classes, _mixed(path, names, train), _mixed(path, names, test), labelled)


def _two_splits(path: Path) -> tuple[Files, Files]:
    train, test = _by_class(path / "train"), _by_class(path / "test")
    extra = sorted(set(test) - set(train))
    if extra:
        what = "other sub-folders" if extra[0] == _LOOSE else f"class '{extra[0]}'"
        raise DataError(f"{path / 'test'} has {what} and train/ does not", "give both the same class folders")
    return train, test


def _split(path: Path) -> tuple[Files, Files]:
    train, test = {}, {}
    for name, pictures in _by_class(path).items():
        ordered = sorted(pictures, key=lambda file: _order(file.name))
        share = max(1, round(len(ordered) / _TEST_SHARE)) if len(ordered) > 1 else 0
        test[name], train[name] = ordered[:share], ordered[share:]
    if not any(test.values()):
        hint = "add pictures: a part of them is the test split"
        raise DataError(f"folder:{path} has no class with two pictures", hint)
    return train, test


def _by_class(path: Path) -> Files:
    loose = _pictures(path)
    pictures = {folder.name: files for folder in _folders(path) if (files := _pictures(folder))}
    if loose and pictures:
        raise DataError(f"{loose[0]} lies beside the class folders", "move it into one of them, or away")
    if not loose and not pictures:
        hint = f"put them in one sub-folder per class; endings: {', '.join(sorted(ENDINGS))}"
        raise DataError(f"folder:{path} holds no pictures", hint)
    return pictures or {_LOOSE: loose}


def _mixed(path: Path, names: list[str], files: Files) -> tuple[Picture, ...]:
    """Pictures of one split in the order of a hash, so that `train_limit` takes from every class rather than all of the
    first."""
    pictures = [(file, names.index(name)) for name in files for file in files[name]]
    return tuple(sorted(pictures, key=lambda picture: _order(picture[0].relative_to(path).as_posix())))


def _order(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _entries(path: Path) -> list[Path]:
    with readable(path, "check its permissions"):
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))


def _folders(path: Path) -> list[Path]:
    return [entry for entry in _entries(path) if entry.is_dir()]


def _pictures(path: Path) -> list[Path]:
    return [entry for entry in _entries(path) if entry.suffix.lower() in ENDINGS and entry.is_file()]


def first_shape(found: FolderScan) -> Shape:
    """(C, H, W) of the first picture, from its header; raises DataError where it cannot be read."""
    (width, height), grey = _header(found.train[0][0])
    return (1 if grey else 3), height, width


def check_pictures(found: FolderScan, image_size: int) -> Shape:
    """(C, H, W) of the pictures as they are decoded, by their headers, which are read once a state of the folder.
    Raises DataError for an unreadable picture, and for two sizes while `image_size` (pixels) is 0."""
    difference, (channels, height, width) = _look_through(found.path.absolute(), found.fingerprint)
    if difference and not image_size:
        hint = "give them all one: resize in the form, or data.image_size, e.g. --set data.image_size=64"
        raise DataError(f"the pictures differ in size: {difference}", hint)
    return channels, image_size or height, image_size or width


@lru_cache(maxsize=4)  # the form asks after every key, and 10,000 headers take a second
def _look_through(path: Path, fingerprint: str) -> tuple[str, Shape]:
    """The sizes of the pictures in words, empty where there is one; and the shape of most, grey if all are."""
    found = scan(path)
    pictures = found.train + found.test
    sizes, greys = zip(*(_header(file) for file, _ in pictures), strict=True)
    (width, height), times = Counter(sizes).most_common(1)[0]
    others = ((file, size) for (file, _), size in zip(pictures, sizes, strict=True) if size != (width, height))
    odd, (wide, high) = next(others, (path, (width, height)))
    difference = f"{times:,} of {len(sizes):,} are {width}x{height}, {odd.relative_to(path)} is {wide}x{high}"
    return difference if times < len(sizes) else "", (1 if all(greys) else 3, height, width)


def read_content(found: FolderScan, image_size: int) -> DatasetContent:
    """Check every picture's header and return a content that decodes them as it is written; raises as `check_pictures`.

    One channel if all pictures are greyscale files, else RGB; transparency is laid on white; 16-bit grey keeps its
    upper 8 bits; pictures are turned upright by their EXIF tag.
    """
    shape = check_pictures(found, image_size)
    train, test = (
        SplitContent(_decode(split, shape), np.array([label for _, label in split], dtype=np.int64))
        for split in (found.train, found.test)
    )
    return DatasetContent(found.classes, shape, train, test, found.labelled)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            yield picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        hint = "repair it or take it out of the folder"
        raise DataError(f"{file} cannot be read as a picture: {error}", hint) from error


def _header(file: Path) -> tuple[tuple[int, int], bool]:
    """(width, height) as it will be decoded, and whether the file is greyscale."""
    from PIL import ExifTags

    with _opened(file) as picture:
        turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        size = (picture.height, picture.width) if turned else picture.size
        mode = picture.mode
    if mode in _WIDE_MODES:
        raise DataError(f"{file} holds 32-bit pixels", "save it with 8 or 16 bits a channel")
    return size, mode in _GREY_MODES


def _decode(pictures: tuple[Picture, ...], shape: Shape) -> Iterator[np.ndarray]:
    """Chunks of uint8 (n, C, H, W)."""
    for start in range(0, len(pictures), _CHUNK):
        yield np.stack([_pixels(file, shape) for file, _ in pictures[start : start + _CHUNK]])


def _pixels(file: Path, shape: Shape) -> np.ndarray:
    from PIL import Image, ImageOps

    channels, height, width = shape
    with _opened(file) as opened:
        picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
