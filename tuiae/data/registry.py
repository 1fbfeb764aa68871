"""Which datasets there are: known by name, imported, or a folder of pictures. Cheap enough to ask every second."""

from __future__ import annotations

import hashlib
import os
import string
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import platformdirs

from tuiae.config import did_you_mean
from tuiae.data import arrays, folder
from tuiae.data.cache import Manifest, Origin, read_manifest
from tuiae.data.dataset import Dataset, Shape, utf8
from tuiae.errors import ConfigError, DataError
from tuiae.images import FILE_PREFIX, FOLDER_PREFIX, ImageRecord, absolute, is_own, place_of

DIGITS_TRAIN = 1500
GLYPHS = tuple("@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_")
DIGITS = tuple("0123456789")
_GLYPH_ROWS = 7


def load_digits() -> Dataset:
    """scikit-learn's handwritten digits, (1, 8, 8), values 0 to 16 spread over 0 to 255; 1,500 train, 297 test."""
    with resources.files("tuiae.data").joinpath("embedded/digits.npz").open("rb") as file, np.load(file) as arrays:
        images, labels = arrays["images"][:, None], arrays["labels"].astype(np.int64)
    (train, test), (train_labels, test_labels) = (np.split(array, [DIGITS_TRAIN]) for array in (images, labels))
    return _embedded("digits", DIGITS, train, train_labels, test, test_labels)


def load_glyphs() -> Dataset:
    """32 characters drawn for this project, (1, 7, 5), values 0 and 255. Train and test are the same 32 characters."""
    text = resources.files("tuiae.data").joinpath("embedded/glyphs.txt").read_text(encoding="utf-8")
    drawn = (block.split("\n")[1 : 1 + _GLYPH_ROWS] for block in text.split("glyph ")[1:])
    pixels = [[[255 * (pixel == "#") for pixel in row] for row in rows] for rows in drawn]
    images = np.array(pixels, dtype=np.uint8)[:, None]
    labels = np.arange(len(GLYPHS), dtype=np.int64)
    return _embedded("glyphs", GLYPHS, images, labels, images, labels)


def _embedded(name: str, classes: tuple[str, ...], *arrays: np.ndarray) -> Dataset:
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    train, train_labels, test, test_labels = arrays
    return Dataset(name, classes, train, train_labels, test, test_labels, digest=digest)


EMBEDDED = {"digits": load_digits, "glyphs": load_glyphs}
"""The two sets that come with the program and need no network and no writable home."""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset without opening its images."""

    name: str
    title: str
    origin: Origin
    shape: Shape | None
    """Channels, height, width; None where only opening the set would tell."""
    classes: tuple[str, ...]
    train: int
    test: int
    """Counts of images."""
    ready: bool
    """Usable now, with no network."""
    labelled: bool = True
    notes: tuple[str, ...] = ()
    """Sentences about what was left out, and what was taken for what."""
    val: int = 0
    """Images of a validation split of its own, beside those for training and testing."""


_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_KMNIST = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_LETTERS = tuple(string.ascii_lowercase)
_CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_28 = (1, 28, 28)
_32 = (3, 32, 32)

EMBEDDED_SETS = (
    DatasetInfo("digits", "Handwritten digits (scikit-learn)", "embedded", (1, 8, 8), DIGITS, DIGITS_TRAIN, 297, True),
    DatasetInfo("glyphs", "Characters of 7x5 pixels", "embedded", (1, 7, 5), GLYPHS, len(GLYPHS), len(GLYPHS), True),
)
_PUBLISHED = (
    DatasetInfo("mnist", "MNIST, handwritten digits", "download", _28, DIGITS, 60_000, 10_000, False),
    DatasetInfo(
        "fashion-mnist", "Fashion-MNIST, articles of clothing", "download", _28, _FASHION, 60_000, 10_000, False
    ),
    DatasetInfo("kmnist", "KMNIST, cursive Japanese characters", "download", _28, _KMNIST, 60_000, 10_000, False),
    DatasetInfo("qmnist", "QMNIST, MNIST with 60,000 test images", "download", _28, DIGITS, 60_000, 60_000, False),
    DatasetInfo("emnist-letters", "EMNIST, handwritten letters", "download", _28, _LETTERS, 124_800, 20_800, False),
    DatasetInfo("cifar10", "CIFAR-10, things and animals in colour", "download", _32, _CIFAR, 50_000, 10_000, False),
    DatasetInfo("svhn", "SVHN, house numbers in colour", "download", _32, DIGITS, 73_257, 26_032, False),
    DatasetInfo("usps", "USPS, handwritten digits of letters", "download", (1, 16, 16), DIGITS, 7_291, 2_007, False),
)
"""Names, classes and counts as torchvision's classes and the sets' own pages give them."""
DOWNLOADS = {info.name: info for info in _PUBLISHED}


def data_dir() -> Path:
    """Where prepared sets live: TUIAE_DATA_DIR, else the system's place for a program's data. Creates nothing."""
    chosen = os.environ.get("TUIAE_DATA_DIR")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("tuiae"))


def list_datasets(root: Path | None = None) -> list[DatasetInfo]:
    """Every set there is: embedded, known for download, then imported ones by name. Reads manifests alone.

    A set whose manifest cannot be read is listed as not ready; opening it says what is wrong. Raises DataError where
    the data directory is there and cannot be read.
    """
    root = root or data_dir()
    imported = (DatasetInfo(name, name, "imported", None, (), 0, 0, False) for name in _imported_names(root))
    return [*EMBEDDED_SETS, *(_prepared(root, info) for info in (*_PUBLISHED, *imported))]


def describe(dataset: str, root: Path | None = None, asker: str = "data.dataset = ") -> DatasetInfo:
    """Describe one set; `folder:PATH` by its file names and the header of its first picture, `file:PATH` by its headers
    and labels.

    Raises ConfigError where there is no set of that name, which `asker` then stands before, and DataError for a folder
    or a file that is missing, holds no images or cannot be read.
    """
    if is_own(dataset):
        return _describe_own(dataset, find_own(dataset), 0, root)
    sets = {info.name: info for info in list_datasets(root)}
    if dataset not in sets:
        hint = "`tuiae data list` shows them"
        near = did_you_mean(dataset, list(sets))
        if os.path.isfile(dataset) or os.path.isdir(dataset):
            near = f" (did you mean '{FILE_PREFIX if os.path.isfile(dataset) else FOLDER_PREFIX}{dataset}'?)"
        raise ConfigError(f"{asker}'{dataset}': no such dataset{near}", hint)
    return sets[dataset]


def inspect(dataset: str, image_size: int) -> DatasetInfo:
    """Describe a set that is to be trained on, and check every picture of a folder, which is searched once. Raises as
    `describe` and `folder.check_pictures`."""
    if not is_own(dataset):
        return describe(dataset)
    found = find_own(dataset)
    info = _describe_own(dataset, found, image_size)
    if isinstance(found, folder.FolderScan):
        folder.check_pictures(found, image_size)
    return info


Own = folder.FolderScan | arrays.ArrayFiles
"""The images of a folder or of files of the user's own, as they were found."""


def _describe_own(dataset: str, found: Own, image_size: int, root: Path | None = None) -> DatasetInfo:
    if isinstance(found, folder.FolderScan):
        shape, train, test = folder.first_shape(found), len(found.train), len(found.test)
        info = DatasetInfo(dataset, f"Pictures in {found.path}", "folder", shape, found.classes, train, test, True)
        return replace(info, labelled=found.labelled, notes=found.notes, val=len(found.val))
    title = f"Arrays in {found.path}"
    # What was prepared once need not be read again: of a large CSV that takes its seconds.
    manifest = _manifest_of(found, image_size, root or data_dir())
    if manifest is not None:
        counts = manifest.train - manifest.val, manifest.test
        info = DatasetInfo(dataset, title, "file", manifest.shape, manifest.classes, *counts, True)
        return replace(info, labelled=manifest.labelled, notes=manifest.notes, val=manifest.val)
    known = arrays.look(found)
    counts = len(known.labels["train"]), len(known.labels["test"])
    info = DatasetInfo(dataset, title, "file", known.shape, known.classes, *counts, True)
    return replace(info, labelled=known.labelled, notes=known.notes, val=len(known.labels.get("val", ())))


def own_key(found: Own, image_size: int) -> str:
    """The name in the data directory under which own images are prepared at a size; 0 is their own."""
    return f"{found.cache_key}@{image_size}" if image_size else found.cache_key


def _manifest_of(found: Own, image_size: int, root: Path) -> Manifest | None:
    """What was prepared of own images as they are now; None where nothing was."""
    manifest = read_manifest(root / own_key(found, image_size))
    return manifest if manifest is not None and manifest.fingerprint == found.fingerprint else None


def identify(dataset: str, image_size: int = 0) -> ImageRecord | None:
    """The record of the images that opening a set would give, from its manifest; None where only preparing it would
    tell. Raises DataError for a folder or a file that cannot be read, and for a damaged cache."""
    if dataset in EMBEDDED:
        record = EMBEDDED[dataset]().record
    else:
        found = find_own(dataset) if is_own(dataset) else None
        place = data_dir() / (own_key(found, image_size) if found is not None else dataset)
        manifest = read_manifest(place) if found is None else _manifest_of(found, image_size, data_dir())
        if manifest is None:
            return None
        path = str((place if found is None else found.path).absolute())
        counts = manifest.train - manifest.val, manifest.test
        own = *counts, manifest.digest, manifest.val
        record = ImageRecord(absolute(dataset), path, manifest.classes, manifest.shape, *own)
    channels, height, width = record.shape
    return replace(record, shape=(channels, image_size or height, image_size or width))


def commands_for(name: str) -> tuple[str, ...]:
    """The commands that bring a set to this machine: over a network where it can be downloaded, else from files."""
    fetch = (f"tuiae data fetch {name}",) if name in DOWNLOADS else ()
    return (*fetch, f"tuiae data import DIR --as {name}")


def missing_advice(name: str) -> str:
    """What a user can do about a set that is not on this machine, in words."""
    *fetch, carry = commands_for(name)
    ways = [f"`{command}` where there is a network" for command in fetch]
    return ", ".join([*ways, f"`{carry}` with files carried over, or an embedded set (`--dataset digits`)"])


def _prepared(root: Path, info: DatasetInfo) -> DatasetInfo:
    try:
        manifest = read_manifest(root / info.name)
    except DataError:
        manifest = None
    if manifest is None:
        return info
    known = {
        name: getattr(manifest, name) for name in ("origin", "shape", "classes", "test", "labelled", "notes", "val")
    }
    return replace(info, ready=True, train=manifest.train - manifest.val, **known)


def _imported_names(root: Path) -> list[str]:
    known = {*EMBEDDED, *DOWNLOADS}
    try:
        names = [entry.name for entry in root.iterdir() if (entry / "manifest.json").is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{root}: {error.strerror}", "check its permissions, or set TUIAE_DATA_DIR") from error
    # '@' marks what was derived from another set, a leading dot what is being written.
    return sorted(name for name in names if name not in known and "@" not in name and not name.startswith("."))


def find_own(dataset: str) -> Own:
    """`folder.scan` of what folder:PATH names, `arrays.locate` of what file:PATH names; raises ConfigError where that
    is nothing."""
    prefix, place = place_of(dataset)
    kind = prefix.removesuffix(":")
    if not place:
        example = "folder:. for this one" if prefix == FOLDER_PREFIX else "file:bloodmnist.npz"
        raise ConfigError(f"{dataset} names no {kind}", f"{prefix}PATH, such as {example}")
    try:
        path = Path(place).expanduser()
    except RuntimeError as error:
        raise DataError(f"{dataset}: no such user's home", f"give the {kind}'s whole path") from error
    if (name := utf8(path.absolute())) != str(path.absolute()):
        hint = f"rename it, or make a link to it with another name: ln -s {path} pictures"
        raise DataError(f"{prefix}{name}: a config holds UTF-8 and this path does not", hint)
    return folder.scan(path) if prefix == FOLDER_PREFIX else arrays.locate(path)
