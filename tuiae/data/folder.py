"""The user's own pictures: one sub-folder per class, or one folder of unlabelled pictures."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tuiae.config import counted
from tuiae.data.dataset import (
    LEFT_OUT,
    UNLABELLED,
    DatasetContent,
    OnProgress,
    Shape,
    SplitContent,
    cache_key_of,
    entries,
    fingerprint_files,
    readable,
    silent,
    untested,
    utf8,
    walk,
)
from tuiae.errors import DataError
from tuiae.files import open_regular

if TYPE_CHECKING:
    from PIL import Image, ImageFile


_ENDINGS_OF = {
    "PNG": ".png .apng",
    "JPEG": ".jpg .jpeg .jfif .jpe .mpo",
    "BMP": ".bmp",
    "GIF": ".gif",
    "TIFF": ".tif .tiff",
    "WEBP": ".webp",
    "PPM": ".pbm .pgm .ppm .pnm .pfm",
    "AVIF": ".avif .avifs",
    "BLP": ".blp",
    "CUR": ".cur",
    "DCX": ".dcx",
    "DDS": ".dds",
    "DIB": ".dib",
    "FITS": ".fit .fits",
    "FLI": ".fli .flc",
    "FTEX": ".ftc .ftu",
    "GBR": ".gbr",
    "ICNS": ".icns",
    "ICO": ".ico",
    "IM": ".im",
    "JPEG2000": ".jp2 .j2k .jpc .jpf .jpx .j2c",
    "MSP": ".msp",
    "PCD": ".pcd",
    "PCX": ".pcx",
    "PIXAR": ".pxr",
    "PSD": ".psd",
    "QOI": ".qoi",
    "SGI": ".bw .rgb .rgba .sgi",
    "SUN": ".ras",
    "XBM": ".xbm",
    "XPM": ".xpm",
    "TGA": ".tga .icb .vda .vst",
}
"""Pillow's formats, the usual ones first and last the one that knows no file by its beginning. EPS, PostScript and WMF
are not among them, because Pillow hands them to other programs; nor are containers that it has no decoder for."""
ENDINGS = {ending: form for form, endings in _ENDINGS_OF.items() for ending in endings.split()}
"""In lower case -> the format that such a file should have."""

_READING = 3
"""Goes up when the same files would come out as other pixels, so that what was prepared before is made anew."""
_TEST_SHARE = 6
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I"})
_DEPTHS = (8, 10, 12, 14, 16)
"""Bits of the cameras and scanners whose pixels lie in 16-bit files."""
_OTHER_BYTE = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": "RGB;16B" if sys.byteorder == "little" else "RGB;16L",
}
"""Pillow keeps one byte of two of 16-bit colour: its mode for the upper byte -> the mode for the lower one."""
_UPRIGHT = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""EXIF orientation -> the transposition of Pillow's that undoes it."""
_CHUNK = 256
_MOST_OTHERS = 100_000
"""Files and folders other than pictures after which a search gives up: it was sent to a home, or to a whole disk."""
_MOST_NAMED = 6
"""Endings or classes that a sentence counts one by one."""
_SPLIT = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<test>test(?:ing)?)|(?P<val>val|valid|validation|dev))"
    r"(?:[ _-]?(?:set|data|images))?",
    re.IGNORECASE,
)

Picture = tuple[Path, int]
"""A file and its label."""
Files = dict[str, list[Path]]
"""Class -> its pictures; without sub-folders all are in `_LOOSE`."""
_LOOSE = ""


@dataclass(frozen=True)
class FolderScan:
    """The pictures of a folder, each split in an order that mixes the classes and does not change."""

    path: Path
    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    test: tuple[Picture, ...]
    labelled: bool
    notes: tuple[str, ...] = ()
    """Sentences about what was left out, and what was taken for what."""
    val: tuple[Picture, ...] = ()
    """What `data.validation = "val"` measures in place of the test split."""

    @property
    def pictures(self) -> list[Path]:
        """Every file."""
        return [file for file, _ in self.train + self.val + self.test]

    @property
    def fingerprint(self) -> str:
        """Changes when a picture is added, removed, renamed or written to, even if its size and its time stay."""
        return fingerprint_files(sorted(self.pictures), self.path, _READING, "check the folder")

    @property
    def cache_key(self) -> str:
        """A name in the data directory that belongs to this absolute path."""
        return cache_key_of("folder", self.path, "pictures")


def scan(path: Path) -> FolderScan:
    """Find classes and pictures without opening any.

    Of DIR/<class>/ every class gives a sixth to the test split, chosen by a hash of the file names, so that it is the
    same on every machine. DIR/train/<class>/ and DIR/test/<class>/ are taken as they are; `_SPLIT` has their other
    names. Validation pictures are the test split where there is no other. Those in deeper folders belong to the class
    of the first one. Raises DataError for a folder that is missing, unreadable or empty, pictures beside class folders,
    a test class that is not trained, and a split without its counterpart.
    """
    # Of a path that is too long, or under a folder that may not be searched, Path.is_dir does not say False.
    with readable(f"folder:{path}", "check the path and its permissions"):
        if not path.is_dir():
            raise DataError(f"folder:{path}: {'not a folder' if path.exists() else 'no such folder'}", "check the path")
        search = _Search(path)
        train, test = search.splits()
    names = sorted(train)
    labelled = names != [_LOOSE]
    classes = tuple(names) if labelled else UNLABELLED
    counts = {name: len(test.get(name, ())) for name in names} if labelled else {}
    notes = (*search.notes, *search.left_out(), *untested(counts))
    mixed = [_mixed(path, names, files) for files in (train, test, search.val)]
    return FolderScan(path, classes, mixed[0], mixed[1], labelled, notes, mixed[2])


class _Search:
    """One search through a folder, and what there is to say about it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.val = Files()
        """Validation pictures beside a training and a test split."""
        self._deeper: Counter[str] = Counter()
        """Class -> its pictures in deeper folders."""
        self._others: Counter[str] = Counter()
        """Ending -> files that are no pictures."""
        self._visited = 0

    def splits(self) -> tuple[Files, Files]:
        """The training and the test pictures; raises DataError as `scan`."""
        folders, files = entries(self.path)
        roles: dict[str, Path] = {}
        for folder in folders:
            if (match := _SPLIT.fullmatch(folder.name)) and (role := match.lastgroup):
                if role in roles:
                    both = f"{roles[role].name}/ and {folder.name}/"
                    raise DataError(f"folder:{self.path} has {both}", "keep one of them, or make one of both")
                roles[role] = folder
        if "train" in roles and len(roles) > 1:
            beside = [folder for folder in folders if folder not in roles.values()]
            count = len(self._kept(files)) + sum(len(self._below(folder)) for folder in beside)
            if count:
                self.notes.append(f"{counted(count, 'picture')} beside the splits are left out")
            return self._given(roles)
        lone = bool(roles) and len(roles) == len(folders)
        if lone or ("train" in roles and not any(map(_is_picture, entries(roles["train"])[1]))):
            has = " and ".join(f"{folder.name}/" for folder in roles.values())
            lacks = "test/" if "train" in roles else "train/"
            raise DataError(
                f"folder:{self.path} has {has} but no {lacks}", f"add {lacks}, or give the folder {has} itself"
            )
        return self._divided()

    def _given(self, roles: Mapping[str, Path]) -> tuple[Files, Files]:
        """The splits that the folder comes with, which may lack test/ or val/."""
        found = {role: self._by_class(folder) for role, folder in roles.items()}
        train, used = found["train"], "test" if "test" in found else "val"
        if used == "test" and "val" in found:
            unlabelled = _LOOSE in found["test"] and _LOOSE not in train
            used, unused = ("val", "test") if unlabelled else ("test", "val")
            why = "left out, for it has no classes" if unlabelled else LEFT_OUT
            count, taken = counted(sum(map(len, found[unused].values())), "picture"), roles[used].name
            self.notes.append(f"{roles[unused].name}/ ({count}) is {why}: {taken}/ is the test split")
            self.val = Files() if unlabelled else found["val"]
        elif used == "val":
            self.notes.append(f"{roles['val'].name}/ is the test split, for want of test/")
        for role in (used, "val") if self.val else (used,):
            if extra := sorted(set(found[role]) - set(train)):
                what = "pictures without a class folder" if extra[0] == _LOOSE else f"class '{extra[0]}'"
                without = f"{roles[role]} has {what} and {roles['train'].name}/ does not"
                raise DataError(without, "give both the same class folders")
        return train, found[used]

    def _divided(self) -> tuple[Files, Files]:
        """Splits of the program's own."""
        train, test = {}, {}
        for name, pictures in self._by_class(self.path).items():
            ordered = sorted(pictures, key=lambda file: _order(file.name))
            share = max(1, round(len(ordered) / _TEST_SHARE)) if len(ordered) > 1 else 0
            test[name], train[name] = ordered[:share], ordered[share:]
        if not any(test.values()):
            hint = "add pictures: a part of them is the test split"
            raise DataError(f"folder:{self.path} has no class with two pictures", hint)
        return train, test

    def _by_class(self, path: Path) -> Files:
        folders, files = entries(path)
        loose, pictures = self._kept(files), Files()
        for folder in folders:
            name, before = utf8(folder.name), self._others.copy()
            if found := self._below(folder):
                pictures.setdefault(name, []).extend(found)
                self._deeper[name] += sum(file.parent != folder for file in found)
            else:
                unread = self._others - before
                held = f"none of its files is read ({_counts(unread)})" if unread else "there are no pictures in it"
                self.notes.append(f"{name}/ is left out: {held}")
                self._others = before
        if loose and pictures:
            raise DataError(f"{loose[0]} lies beside the class folders", "move it into one of them, or away")
        if not loose and not pictures:
            seen = "; ".join(self.left_out())
            hint = "put pictures there, in one sub-folder per class: .png, .jpg, .tif and others that Pillow reads"
            raise DataError(f"folder:{path} holds no pictures{seen and f' ({seen})'}", hint)
        return pictures or {_LOOSE: loose}

    def _below(self, folder: Path) -> list[Path]:
        """The pictures in a folder, and then those in deeper ones."""
        return [file for _, files in walk(folder) for file in self._kept(files)]

    def _kept(self, files: Sequence[Path]) -> list[Path]:
        """The pictures among files; the others are counted."""
        kept = [file for file in files if _is_picture(file)]
        if len(kept) < len(files):
            pictures = set(kept)
            self._others.update(file.suffix.lower() or "no ending" for file in files if file not in pictures)
        self._visited += 1
        if self._others.total() + self._visited > _MOST_OTHERS:
            hint = "give the folder of the pictures themselves"
            raise DataError(f"folder:{self.path} holds more than {_MOST_OTHERS:,} other files and folders", hint)
        return kept

    def left_out(self) -> Iterator[str]:
        """Sentences about files that are no pictures, and about deeper folders."""
        if others := self._others.total():
            yield f"{counted(others, 'file')} left out, no pictures by the ending: {_counts(self._others)}"
        if deeper := self._deeper.total():
            count = f"{counted(deeper, 'picture')} in deeper folders"
            yield f"{count} belong{'s' * (deeper == 1)} to the class of the first folder: {_counts(self._deeper)}"


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS and file.is_file()


def _counts(counter: Counter[str]) -> str:
    """`birds 24, cats 12`, the most first."""
    most = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{utf8(name)} {count:,}" for name, count in most if count]
    return ", ".join([*words[:_MOST_NAMED], *(["…"] if len(words) > _MOST_NAMED else [])])


def _mixed(path: Path, names: list[str], files: Files) -> tuple[Picture, ...]:
    """Pictures of one split in the order of a hash, so that `train_limit` takes from every class rather than all of the
    first."""
    pictures = [(file, names.index(name)) for name in files for file in files[name]]
    return tuple(sorted(pictures, key=lambda picture: _order(picture[0].relative_to(path).as_posix())))


def _order(name: str) -> bytes:
    return hashlib.sha256(os.fsencode(name)).digest()


def first_shape(found: FolderScan) -> Shape:
    """(C, H, W) of the first picture, from its header; raises DataError where it cannot be read."""
    header = _header(found.train[0][0])
    return (1 if header.grey else 3), header.height, header.width


def check_pictures(found: FolderScan, image_size: int) -> Shape:
    """(C, H, W) of the pictures as they are decoded, by their headers, which are read once a state of the folder.
    Raises DataError for an unreadable picture, and for two sizes while `image_size` (pixels) is 0."""
    (channels, height, width), difference, _ = _look_through(_State(found.path.absolute(), found.fingerprint, found))
    if difference and not image_size:
        hint = "give them all one: resize in the form, or data.image_size, e.g. --set data.image_size=64"
        raise DataError(f"the pictures differ in size: {difference}", hint)
    return channels, image_size or height, image_size or width


@dataclass(frozen=True)
class _State:
    """A folder as it is: two of one path and fingerprint are the same."""

    path: Path
    fingerprint: str
    found: FolderScan = field(compare=False)


@lru_cache(maxsize=4)  # the form asks after every key, and 10,000 headers take a second
def _look_through(state: _State) -> tuple[Shape, str, tuple[Path, ...]]:
    """The shape of most, grey if all are; the sizes in words, empty where there is one; and the files of 16 bits."""
    pictures = state.found.pictures
    headers = [_header(file) for file in pictures]
    sizes = [(header.width, header.height) for header in headers]
    (width, height), times = Counter(sizes).most_common(1)[0]
    others = ((file, size) for file, size in zip(pictures, sizes, strict=True) if size != (width, height))
    odd, (wide, high) = next(others, (state.found.path, (width, height)))
    different = odd.relative_to(state.found.path)
    difference = f"{times:,} of {len(sizes):,} are {width}x{height}, {different} is {wide}x{high}"
    deep = tuple(file for file, header in zip(pictures, headers, strict=True) if header.deep)
    shape = (1 if all(header.grey for header in headers) else 3), height, width
    return shape, difference if times < len(sizes) else "", deep


def read_content(found: FolderScan, image_size: int, progress: OnProgress = silent) -> DatasetContent:
    """Check every picture's header and return a content that decodes them as it is written; raises as `check_pictures`.

    One channel if all pictures are greyscale files, else RGB; transparency is laid on white; pictures are turned
    upright by their EXIF tag. 16 bits a channel keep the upper 8 of the bits that are used: as many as the brightest
    pixel of all these files needs, by the depths that cameras have.
    """
    shape = check_pictures(found, image_size)
    _, _, deep = _look_through(_State(found.path.absolute(), found.fingerprint, found))
    bits, notes = _used_bits(deep, progress)
    train, test = (
        SplitContent(_decode(split, shape, bits), np.array([label for _, label in split], dtype=np.int64))
        for split in (found.train + found.val, found.test)
    )
    return DatasetContent(found.classes, shape, train, test, found.labelled, (*found.notes, *notes), len(found.val))


def _used_bits(files: Sequence[Path], progress: OnProgress) -> tuple[int, tuple[str, ...]]:
    """The bits that the pixels of 16-bit files use, and a sentence where that is less than all."""
    brightest = 0
    for done, file in enumerate(files):
        progress("measuring", done, len(files))
        with _opened(file) as picture:
            brightest = max(brightest, int(_values(picture, file).max(initial=0)))
    bits = next(bits for bits in _DEPTHS if brightest < 1 << bits)
    if not files or bits == _DEPTHS[-1]:
        return _DEPTHS[-1], ()
    white = (1 << bits) - 1
    return bits, (f"{bits}-bit pixels in 16-bit files: the brightest is {brightest:,}, so {white:,} is white",)


@contextmanager
def _opened(file: Path) -> Iterator[ImageFile.ImageFile]:
    from PIL import Image

    own = ENDINGS[file.suffix.lower()]
    try:
        # Only the formats above, whatever a file is called, and first the one that it should have: most are not even
        # imported then. Pillow maps a file that it is given by name, and reads a TIFF on its side wrongly from there.
        with (
            warnings.catch_warnings(action="ignore"),
            open_regular(file) as content,
            Image.open(content, formats=(own, *_ENDINGS_OF)) as picture,
        ):
            yield picture
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file makes their arithmetic raise
        reason = "its format is not known" if isinstance(error, Image.UnidentifiedImageError) else _reason(error)
        hint = "repair it or take it out of the folder"
        raise DataError(f"{file} cannot be read as a picture: {reason}", hint) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, (OSError, SyntaxError, ValueError)) and str(error) else type(error).__name__


class _Header(NamedTuple):
    """What is known of a picture before it is decoded, its size as it will be then."""

    width: int
    height: int
    grey: bool
    deep: bool


def _header(file: Path) -> _Header:
    with _opened(file) as picture:
        if picture.mode == "F":
            raise DataError(f"{file} holds floating-point pixels", "save it with 8 or 16 bits a channel")
        deep = _is_deep(picture)  # before the tag, for which Pillow loads some pictures
        width, height = reversed(picture.size) if _orientation(picture) in (5, 6, 7, 8) else picture.size
        return _Header(width, height, picture.mode in _GREY_MODES or picture.mode.startswith("I"), deep)


def _orientation(picture: Image.Image) -> int:
    """The EXIF tag; 1, upright, without one that can be read, and for TIFF, which Pillow turns itself."""
    from PIL import ExifTags

    if picture.format == "TIFF":
        return 1
    try:
        found = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):  # the pixels are whole all the same
        return 1
    return found if isinstance(found, int) else 1


def _is_deep(picture: Image.Image) -> bool:
    """Returns whether a picture has 16 bits a channel, or the one of 32 in which Pillow puts some such formats."""
    return picture.mode.startswith("I") or bool(_lower_bytes(picture))


def _lower_bytes(picture: Image.Image) -> list[ImageFile._Tile]:
    """The tiles with which a decoder reads the lower byte of 16-bit colours: in the other order of bytes. Empty for
    pictures of other depths."""
    asked = []
    for tile in getattr(picture, "tile", ()):
        mode, *others = tile.args if isinstance(tile.args, tuple) and tile.args else (tile.args,)
        if str(mode) in _OTHER_BYTE:
            asked.append(tile._replace(args=(_OTHER_BYTE[str(mode)], *others)))
    return asked


def _values(picture: Image.Image, file: Path) -> np.ndarray:
    """The pixels of 16 bits a channel; raises DataError for values that need more."""
    values = np.asarray(picture)
    if picture.mode == "RGB":
        with _opened(file) as lower:
            lower.tile = _lower_bytes(lower)
            return values.astype(np.uint16) << 8 | np.asarray(lower)
    if values.size and not (values.min() >= 0 and values.max() < 1 << 16):
        raise DataError(f"{file} holds 32-bit pixels", "save it with 8 or 16 bits a channel")
    return values


def _decode(pictures: Sequence[Picture], shape: Shape, bits: int) -> Iterator[np.ndarray]:
    """Chunks of uint8 (n, C, H, W)."""
    for start in range(0, len(pictures), _CHUNK):
        yield np.stack([_pixels(file, shape, bits) for file, _ in pictures[start : start + _CHUNK]])


def _pixels(file: Path, shape: Shape, bits: int) -> np.ndarray:
    from PIL import Image

    channels, height, width = shape
    with _opened(file) as opened:
        picture: Image.Image = opened
        deep = _is_deep(picture)  # before the tag, for which Pillow loads some pictures
        turn = _UPRIGHT.get(_orientation(opened))
        if deep:
            picture = Image.fromarray((_values(picture, file) >> (bits - 8)).astype(np.uint8))
        if picture.has_transparency_data:
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
        picture = picture.convert("L" if channels == 1 else "RGB")
        # Not ImageOps.exif_transpose, which writes the tags back and fails where they were not well formed.
        picture = picture if turn is None else picture.transpose(Image.Transpose(turn))
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
