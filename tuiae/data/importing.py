"""The four idx files of an MNIST-like set: finding them, checking them against each other, importing them."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np

from tuiae.data import cache
from tuiae.data.cache import ARRAYS, read_manifest
from tuiae.data.dataset import DatasetContent, OnProgress, Shape, SplitContent, readable, silent
from tuiae.data.registry import DOWNLOADS, EMBEDDED, DatasetInfo, data_dir, describe
from tuiae.errors import ConfigError, DataError

_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<split>train|t10k|test)[-_.](?P<kind>images|labels)[-_.]idx[123]-(ubyte|int)(\.gz)?$"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_EMNIST = "emnist-"
_LETTERS = "emnist-letters"

Files = dict[str, Path]
"""By array: `train-images`, `train-labels`, `test-images`, `test-labels`."""

_GZIP_MAGIC = b"\x1f\x8b"
_UBYTE, _INT = 0x08, 0x0C
_NOUNS = {(_UBYTE, 1): "labels", (_UBYTE, 3): "images", (_INT, 2): "labels"}


def import_directory(
    directory: Path,
    name: str | None = None,
    root: Path | None = None,
    force: bool = False,
    *,
    progress: OnProgress = silent,
    notice: Callable[[str], None] | None = None,
) -> DatasetInfo:
    """Import the idx files of a directory, gzipped or not, as `name` (else the directory's own name).

    Importing what is there already changes nothing, and `notice` is told so in a sentence.

    Raises ConfigError for a name that cannot be used; DataError for files that are missing, unfit or mismatched, or
    another set than the one that is known by that name, and without `force` where another set of that name is there.
    """
    name = check_name(name if name is not None else default_name(directory), given=name is not None)
    root = root or data_dir()
    content = read_directory(directory, name)
    if (known := DOWNLOADS.get(name)) is not None:
        check_published(content, known)
    with cache.writing(root, name, progress) as work:
        manifest = cache.store(work, content, "imported", str(directory.absolute()), name, "", progress)
        before = None if force else read_manifest(root / name)
        if before is not None and (before.sha256, before.classes) != (manifest.sha256, manifest.classes):
            hint = "import under another name with --as NAME, or replace it with --force"
            raise DataError(f"'{name}' is there already and holds other images (from {before.source})", hint)
        cache.put_in_place(work, root / name)
    if before is not None and notice is not None:
        notice(f"'{name}' was there already and is the same")
    return describe(name, root)


def default_name(directory: Path) -> str:
    """The directory's name in lower case, with `-` for what a name cannot hold; `raw` is torchvision's inner folder."""
    absolute = directory.absolute()
    own = absolute.parent.name if absolute.name == "raw" else absolute.name
    name = re.sub(r"[^a-z0-9_]+", "-", own.lower()).strip("-_")
    squeezed = {known.replace("-", ""): known for known in DOWNLOADS}
    return squeezed.get(name.replace("-", ""), name)


def check_name(name: str, given: bool = True) -> str:
    """The name, if an imported set can bear it; raises ConfigError for an embedded set's name, and for anything but
    lower-case letters, digits, - and _."""
    where = f"--as {name}" if given else f"a set named '{name}' after its directory"
    if name in EMBEDDED:
        raise ConfigError(f"{where}: '{name}' comes with tuiae and cannot be replaced", "choose another: --as NAME")
    if not _NAME.fullmatch(name):
        hint = "--as NAME takes lower-case letters, digits, - and _, at most 48"
        raise ConfigError(f"{where}: not a usable name", hint)
    return name


def read_directory(directory: Path, name: str) -> DatasetContent:
    """Read and check the four files; EMNIST's transposed images come out upright and its letters count from 0. Raises
    DataError where a file is missing or unfit, images and labels do not match, or a label is out of range."""
    prefix, files = _find(directory, name)
    emnist = name == _LETTERS or prefix.lower().startswith(_EMNIST)
    first_label = 1 if _LETTERS in (name, prefix.lower().rstrip("-_.")) else 0
    train_images, train_labels = _read_split(files, "train", emnist)
    test_images, test_labels = _read_split(files, "test", emnist)
    if train_images.shape[1:] != test_images.shape[1:]:
        one, two = ("x".join(map(str, images.shape[1:])) for images in (train_images, test_images))
        raise DataError(f"{directory}: train images are {one} and test images {two}", "import files of one set")
    known = DOWNLOADS.get(name)
    highest = max(int(train_labels.max()), int(test_labels.max()))
    classes = known.classes if known else tuple(str(label) for label in range(first_label, highest + 1))
    parts, last = [], first_label + len(classes) - 1
    for split, images, labels in (("train", train_images, train_labels), ("test", test_images, test_labels)):
        for wrong in (int(labels.min()), int(labels.max())):
            if not first_label <= wrong <= last:
                raise DataError(
                    f"{files[f'{split}-labels']} holds the label {wrong}; this set has {first_label} to {last}",
                    "check that the files belong to the set you name",
                )
        parts.append(SplitContent([images[:, None]], labels.astype(np.int64) - first_label))
    height, width = train_images.shape[1:]
    return DatasetContent(classes, (1, height, width), parts[0], parts[1])


def _find(directory: Path, name: str) -> tuple[str, Files]:
    """The common beginning of the files' names, and the files."""
    sets: dict[str, Files] = {}
    with readable(directory, "give the directory that holds the idx files"):
        paths = sorted(directory.iterdir())
    for path in paths:
        match = _FILE.fullmatch(path.name)
        if match and path.is_file():
            split = "train" if match["split"] == "train" else "test"
            # Sorted, so a file comes before its gzipped twin and is kept: it need not be unpacked.
            sets.setdefault(match["prefix"], {}).setdefault(f"{split}-{match['kind']}", path)
    if not sets:
        hint = "it should hold four, such as train-images-idx3-ubyte[.gz] and t10k-labels-idx1-ubyte[.gz]"
        raise DataError(f"{directory} holds no idx files", hint)
    own = [prefix for prefix in sets if prefix.lower().rstrip("-_.") == name]
    whole = own or [prefix for prefix in sets if len(sets[prefix]) == len(ARRAYS)] or list(sets)
    if len(whole) > 1:
        begins = ", ".join(sorted(repr(prefix) for prefix in whole))
        hint = "name one of them with --as, or give each its own directory"
        raise DataError(f"{directory} holds the files of several sets (names begin with {begins})", hint)
    missing = [array for array in ARRAYS if array not in sets[whole[0]]]
    if missing:
        raise DataError(f"{directory} has no {' and no '.join(missing)} file", "copy all four idx files into it")
    return whole[0], sets[whole[0]]


def _read_split(files: Files, split: str, transposed: bool) -> tuple[np.ndarray, np.ndarray]:
    image_file, label_file = files[f"{split}-images"], files[f"{split}-labels"]
    images, labels = read_idx(image_file), read_idx(label_file)
    for path, array, dimensions, noun in ((image_file, images, 3, "images"), (label_file, labels, 1, "labels")):
        if array.ndim != dimensions:
            raise _unfit(path, f"does not hold {noun}, whatever its name says")
    if len(images) != len(labels):
        hint = "copy both from the same set"
        raise DataError(f"{image_file} holds {len(images):,} images and {label_file.name} {len(labels):,} labels", hint)
    return (images.transpose(0, 2, 1) if transposed else images), labels


def read_idx(path: Path) -> np.ndarray:
    """Read one idx file, gzipped or not (its first bytes tell, not its name).

    Source: http://yann.lecun.com/exdb/mnist: two zero bytes, the element type, the number of dimensions, each
    dimension as a big-endian 32-bit integer, the elements.

    Returns uint8 (N,) labels or uint8 (N, H, W) images, of any H and W. QMNIST's extended labels, which are 32-bit and
    (N, 8), come back as uint8 (N,): their first column, the class. Raises DataError for any other file.
    """
    data = _read_bytes(path)
    if len(data) < 4 or data[:2] != b"\0\0":
        raise _unfit(path, f"is not an idx file (it begins with {data[:4].hex(' ') or 'nothing'})")
    kind, dimensions = data[2], data[3]
    if (kind, dimensions) not in _NOUNS:
        found = f"has element type 0x{kind:02X} and {dimensions} dimensions"
        raise _unfit(path, f"{found}; images are type 0x08 with 3, labels type 0x08 with 1")
    noun, offset = _NOUNS[kind, dimensions], 4 + 4 * dimensions
    if len(data) < offset:
        raise _unfit(path, "ends inside its header: truncated")
    shape = struct.unpack(f">{dimensions}I", data[4:offset])
    if 0 in shape:
        raise _unfit(path, f"holds no {noun} (its header says {' x '.join(map(str, shape))})")
    held, expected = len(data) - offset, prod(shape) * (4 if kind == _INT else 1)
    if held < expected:
        raise _unfit(path, f"holds {held // (expected // shape[0]):,} of {shape[0]:,} {noun}: truncated")
    if held > expected:
        raise _unfit(path, f"holds {held - expected:,} bytes after its {shape[0]:,} {noun}")
    if kind == _UBYTE:
        return np.frombuffer(data, np.uint8, offset=offset).reshape(shape)
    column = np.frombuffer(data, ">i4", offset=offset).reshape(shape)[:, 0]
    if column.min() < 0 or column.max() > 255:
        raise _unfit(path, f"has a class of {int(column.max())} in its first column")
    return column.astype(np.uint8)


def _read_bytes(path: Path) -> bytes:
    try:
        with readable(path, "check the path and its permissions"):
            data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _unfit(path, f"is a damaged gzip file ({error})") from error


def _unfit(path: Path, what: str) -> DataError:
    return DataError(f"{path} {what}", "copy the file over again")


MD5 = {
    "mnist": {
        "train-images": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels": "a25bea736e30d166cdddb491f175f624",
        "test-images": "2646ac647ad5339dbf082846283269ea",
        "test-labels": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train-images": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels": "9018921c3c673c538a1fc5bad174d6f9",
        "test-images": "8181f5470baa50b63fa0f6fddb340f0a",
        "test-labels": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
"""Of the unpacked idx files; their gzipped forms differ from copy to copy."""


def check_published(content: DatasetContent, known: DatasetInfo) -> None:
    """Refuse content that is another set than the one of that name; raises DataError, which says in what it differs.

    Counts, size and classes are compared, and the files' md5 where it is known of this set or of another one.
    """
    train, test = content.train.labels, content.test.labels
    here = (len(train), len(test), content.shape, len(np.unique(np.concatenate([train, test]))))
    there = (known.train, known.test, known.shape, len(known.classes))
    if here != there:
        raise _foreign(known.name, f"these are {_words(*here)}, and {known.name} has {_words(*there)}")
    sums = _sums(content)
    owner = next((name for name, published in MD5.items() if published == sums), "")
    if owner not in ("", known.name):
        raise _foreign(known.name, f"these are the images of {owner}", owner)
    wrong = [array for array, published in MD5.get(known.name, {}).items() if sums[array] != published]
    if wrong:
        raise _foreign(known.name, f"its {' and '.join(wrong)} are not the published ones")


def _words(train: int, test: int, shape: Shape | None, classes: int) -> str:
    size = "x".join(str(side) for side in shape[1:]) if shape else "any size"
    return f"{train:,} and {test:,} images of {size} in {classes} classes"


def _sums(content: DatasetContent) -> dict[str, str]:
    """The md5 of the idx files that hold the same, by array."""
    sums = {}
    for split, part in (("train", content.train), ("test", content.test)):
        images = np.concatenate(list(part.images))[:, 0]
        for array, values in ((f"{split}-images", images), (f"{split}-labels", part.labels.astype(np.uint8))):
            header = struct.pack(f">4B{values.ndim}I", 0, 0, _UBYTE, values.ndim, *values.shape)
            sums[array] = hashlib.md5(header + values.tobytes(), usedforsecurity=False).hexdigest()
    return sums


def _foreign(name: str, why: str, owner: str = "another-name") -> DataError:
    return DataError(f"this is not {name}: {why}", f"import it as what it is, with --as {owner}")
