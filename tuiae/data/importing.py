"""Importing a set: four idx files, found and checked against each other, a file of arrays, or published files."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from io import BufferedIOBase
from math import prod
from pathlib import Path

import numpy as np

from tuiae.data import arrays, cache, published
from tuiae.data.cache import ARRAYS, read_manifest
from tuiae.data.dataset import (
    DatasetContent,
    OnProgress,
    Shape,
    SplitContent,
    check_room,
    count_classes,
    readable,
    silent,
    unpacked,
    untested,
    utf8,
    walk,
)
from tuiae.data.registry import DOWNLOADS, EMBEDDED, DatasetInfo, data_dir, describe
from tuiae.errors import ConfigError, DataError
from tuiae.files import read_bytes
from tuiae.images import folder_named

_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<split>train|t10k|test)[-_.](?P<kind>images|labels)[-_.]idx[123]-(ubyte|int)(\.gz)?$"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_EMNIST = "emnist-"
_LETTERS = "emnist-letters"

Files = dict[str, Path]
"""Array (`train-images`, `train-labels`, `test-images`, `test-labels`) -> its file."""

_DEEPEST = 3
"""Folders below the one that is given, such as torchvision's root, in which idx files are looked for."""
_UBYTE, _INT = 0x08, 0x0C
_NOUNS = {(_UBYTE, 1): "labels", (_UBYTE, 3): "images", (_INT, 2): "labels"}
_NPZ = ".npz"
_PIECE = 1 << 20


@dataclass(frozen=True)
class ImportSource:
    """The files of one set."""

    place: Path
    """The folder after which the set is named, or the file of arrays."""
    prefix: str
    """The common beginning of the names of idx files."""
    files: Files
    """Empty where `place` is a file of arrays, or the set was published in another form."""
    published: published.PublishedFiles | None = None


def import_directory(
    directory: Path,
    name: str | None = None,
    root: Path | None = None,
    force: bool = False,
    *,
    progress: OnProgress = silent,
    notice: Callable[[str], None] | None = None,
) -> DatasetInfo:
    """Import the idx files of a directory, gzipped or not, or a file of arrays, as `name` (else its own name). The
    files may lie deeper, as in the root that torchvision is given.

    Importing what is there already changes nothing; of that, and of what was made of the labels, `notice` is told.

    Raises ConfigError for a name that cannot be used; DataError for files that are missing, unfit or mismatched, or
    another set than the one that is known by that name, and without `force` where another set of that name is there.
    """
    source = locate(directory, name)
    own = source.published.name if source.published is not None else default_name(source.place)
    name = check_name(name if name is not None else own, given=name is not None)
    root = root or data_dir()
    content = _read(source, name)
    if (known := DOWNLOADS.get(name)) is not None:
        check_published(content, known)
    with cache.writing(root, name, progress) as work:
        manifest = cache.store(work, content, "imported", utf8(source.place.absolute()), name, "", progress)
        before = None if force else read_manifest(root / name)
        if before is not None and (before.sha256, before.classes) != (manifest.sha256, manifest.classes):
            hint = "import under another name with --as NAME, or replace it with --force"
            raise DataError(f"'{name}' is there already and holds other images (from {before.source})", hint)
        cache.put_in_place(work, root / name)
    info = describe(name, root)
    if notice is not None:
        for sentence in (*info.notes, *([f"'{name}' was there already and is the same"] if before is not None else [])):
            notice(sentence)
        if known is None and (owner := _known_as(content)):
            notice(f"these are the images of {owner}, under another name; where that is a slip, delete {root / name}")
    return info


def default_name(directory: Path) -> str:
    """The directory's name in lower case, with `-` for what a name cannot hold; `raw` is torchvision's inner folder.
    Of a file of arrays its own name, or that of its folder where that tells more."""
    absolute = directory.absolute()
    own = absolute.parent.name if absolute.name == "raw" else absolute.name
    if ending := next((ending for ending in arrays.ENDINGS if own.lower().endswith(ending)), ""):
        own = folder_named(absolute) or own[: -len(ending)]
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
    """Read and check a set; EMNIST's transposed images come out upright. Raises DataError where a file is missing or
    unfit, images and labels do not match, or a label is out of the range of the set that is known by the name."""
    return _read(locate(directory, name), name)


def _read(source: ImportSource, name: str) -> DatasetContent:
    known = DOWNLOADS.get(name)
    first = 1 if name == _LETTERS else 0
    if source.published is not None:
        return published.read_published(source.published, name, DOWNLOADS[source.published.name].classes)
    if not source.files:
        content = arrays.read_content(arrays.locate(source.place))
        return content if known is None else _as_known(content, known, first, source.place)
    read, wheres = _read_idx_files(source, name)
    train_images, train_labels, test_images, test_labels = (read[array] for array in ARRAYS)
    for split, images, labels in (("train", train_images, train_labels), ("test", test_images, test_labels)):
        if len(images) != len(labels):
            one, two = wheres[f"{split}-images"], wheres[f"{split}-labels"].rpartition("/")[2]
            cause = f"{one} holds {len(images):,} images and {two} {len(labels):,} labels"
            raise DataError(cause, "copy both from the same set")
    if train_images.shape[1:] != test_images.shape[1:]:
        one, two = ("x".join(map(str, images.shape[2:])) for images in (train_images, test_images))
        raise DataError(f"{source.place}: train images are {one} and test images {two}", "import files of one set")
    if known is None:
        classes, (train_labels, test_labels), notes = count_classes((train_labels, test_labels), _mapping(source))
        tested = np.bincount(test_labels, minlength=len(classes)).tolist()
        notes = (*notes, *untested(dict(zip(classes, tested, strict=True))))
    else:
        classes, notes, last = known.classes, (), first + len(known.classes) - 1
        for array in ("train-labels", "test-labels"):
            for wrong in (int(read[array].min()), int(read[array].max())):
                if not first <= wrong <= last:
                    raise _out_of_range(wheres[array], wrong, first, last)
        train_labels, test_labels = train_labels - first, test_labels - first
    channels, height, width = train_images.shape[1:]
    train, test = SplitContent([train_images], train_labels), SplitContent([test_images], test_labels)
    return DatasetContent(classes, (channels, height, width), train, test, notes=notes)


def _out_of_range(where: str, label: int, first: int, last: int) -> DataError:
    cause = f"{where} holds the label {label}; this set has {first} to {last}"
    return DataError(cause, "check that the files belong to the set you name")


def _as_known(content: DatasetContent, known: DatasetInfo, first: int, place: Path) -> DatasetContent:
    """A content with the classes of the set that it is said to be, whose labels count from `first`."""
    last = first + len(known.classes) - 1
    labels = [int(name) for name in content.classes] if content.labelled else []
    for label in labels:
        if not first <= label <= last:
            raise _out_of_range(str(place), label, first, last)
    places = np.array([label - first for label in labels] or [0])
    train, test = (SplitContent(part.images, places[part.labels]) for part in (content.train, content.test))
    return replace(content, classes=known.classes, train=train, test=test, notes=())


def _mapping(source: ImportSource) -> dict[int, str]:
    """The names of the labels that EMNIST's mapping file gives, as lines of a label and code points of characters;
    empty without one. Raises DataError for another file of that name."""
    folder = next(iter(source.files.values())).parent if source.files else source.place.parent
    path = folder / f"{source.prefix}mapping.txt"
    if not source.files or not path.is_file():
        return {}
    try:
        with readable(path, "check its permissions"):
            rows = [[int(word) for word in line.split()] for line in read_bytes(path).decode("ascii").splitlines()]
        return {row[0]: "".join(map(chr, row[1:])) for row in rows if row[1:]}
    except (ValueError, OverflowError) as error:
        hint = "a line is a label and the code points of its characters: `10 65`"
        raise DataError(f"{path} is not a mapping of labels to characters", hint) from error


def locate(directory: Path, name: str | None = None) -> ImportSource:
    """Find the files of one set in a directory, or below it. Raises DataError where there are none, or several sets of
    which none is called `name`, and where some of the four files are missing."""
    if directory.name.lower().endswith(arrays.ENDINGS) and directory.is_file():
        return ImportSource(directory, "", {})
    others = published.find(directory, _DEEPEST)
    wanted = default_name(directory) if name is None else name
    sets, archives = ({}, []) if directory.is_file() else _look_below(directory)
    if wanted in others or (len(others) == 1 and not sets):
        other = others.get(wanted) or next(iter(others.values()))
        return ImportSource(other.place, "", {}, other)
    if others and not _called(directory, wanted, sets):
        several = [*sorted(others), *sorted({default_name(place) for place, _ in sets})]
        raise DataError(f"{directory} holds several sets ({', '.join(several)})", "name one of them with --as")
    if not sets and len(archives) == 1:
        return ImportSource(archives[0], "", {})
    if not sets and archives:
        raise DataError(f"{directory} holds no idx files, and {len(archives)} npz", f"name one: {archives[0]}")
    if not sets:
        four = "it should hold four, such as train-images-idx3-ubyte[.gz] and t10k-labels-idx1-ubyte[.gz]"
        raise DataError(f"{directory} holds no idx files", f"{four}; pictures need no import: --dataset folder:PATH")
    return _choose_idx(directory, wanted, sets)


def _choose_idx(directory: Path, wanted: str, sets: Mapping[tuple[Path, str], Files]) -> ImportSource:
    """The set of idx files that is called so, else the only one that is whole."""
    own = _called(directory, wanted, sets)
    whole = own or [key for key in sets if len(sets[key]) == len(ARRAYS)] or list(sets)
    if len(whole) > 1:
        begins = ", ".join(sorted(repr(f"{place.relative_to(directory) / prefix}") for place, prefix in whole))
        hint = "name one of them with --as, or give each its own directory"
        raise DataError(f"{directory} holds the files of several sets ({begins})", hint)
    place, prefix = whole[0]
    missing = [array for array in ARRAYS if array not in sets[place, prefix]]
    if missing:
        raise DataError(f"{place} has no {' and no '.join(missing)} file", "copy all four idx files into it")
    return ImportSource(place, prefix, sets[place, prefix])


def _called(directory: Path, wanted: str, sets: Iterable[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Those sets of idx files that a folder of their own, or the beginning of their names, calls so."""
    return [
        (place, prefix)
        for place, prefix in sets
        if (place != directory and default_name(place) == wanted) or prefix.lower().rstrip("-_.") == wanted
    ]


def _look_below(directory: Path) -> tuple[dict[tuple[Path, str], Files], list[Path]]:
    """The idx files by their folder and the beginning of their names, and the npz; of what is whole in the directory
    itself, without those in deeper ones."""
    sets: dict[tuple[Path, str], Files] = {}
    archives: list[Path] = []
    for place, paths in walk(directory, _DEEPEST):
        # Kaggle puts each file into a folder that is called like it.
        base = place.parent if place != directory and _FILE.fullmatch(place.name) else place
        for path in paths:
            match = _FILE.fullmatch(path.name)
            if match and path.is_file():
                split = "train" if match["split"] == "train" else "test"
                # Sorted, so a file comes before its gzipped twin and is kept: it need not be unpacked.
                sets.setdefault((base, match["prefix"]), {}).setdefault(f"{split}-{match['kind']}", path)
            elif path.suffix == _NPZ and path.is_file():
                archives.append(path)
        if place == directory and any(len(files) == len(ARRAYS) for files in sets.values()):
            break
    return sets, archives


def _read_idx_files(source: ImportSource, name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays by name, images (N, 1, H, W) or labels (N,), and the place of each."""
    transposed = name == _LETTERS or source.prefix.lower().startswith(_EMNIST)
    arrays, wheres = {}, {array: str(path) for array, path in source.files.items()}
    for array, path in source.files.items():
        values, is_image = read_idx(path), array.endswith("images")
        if values.ndim != (3 if is_image else 1):
            raise _unfit(path, f"does not hold {'images' if is_image else 'labels'}, whatever its name says")
        if is_image:
            arrays[array] = (values.transpose(0, 2, 1) if transposed else values)[:, None]
        else:
            arrays[array] = values.astype(np.int64)
    return arrays, wheres


def read_idx(path: Path) -> np.ndarray:
    """Read one idx file, gzipped or not (its first bytes tell, not its name).

    Source: http://yann.lecun.com/exdb/mnist: two zero bytes, the element type, the number of dimensions, each
    dimension as a big-endian 32-bit integer, the elements.

    Returns uint8 (N,) labels or uint8 (N, H, W) images, of any H and W. QMNIST's extended labels, which are 32-bit and
    (N, 8), come back as uint8 (N,): their first column, the class. Raises DataError for any other file.
    """
    with readable(path, "check the path and its permissions"):
        try:
            return _read_idx(path)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _unfit(path, f"is a damaged gzip file ({error})") from error


def _read_idx(path: Path) -> np.ndarray:
    with unpacked(path) as file:
        kind, shape = _read_header(path, file)
        noun, expected = _NOUNS[kind, len(shape)], _size(kind, shape)
        stored = path.stat().st_size
        # Deflate packs at most 1032 bytes into one.
        most = 1032 * stored if isinstance(file, gzip.GzipFile) else stored
        check_room(path, min(expected, most))
        data = np.empty(min(expected, most), np.uint8)
        held = file.readinto(data.data)
        if held < expected:
            raise _unfit(path, f"holds {held // (expected // shape[0]):,} of {shape[0]:,} {noun}: truncated")
        if more := len(file.read(_PIECE)):
            count = f"{more:,} bytes" if more < _PIECE else "a megabyte or more"
            raise _unfit(path, f"holds {count} after its {shape[0]:,} {noun}")
    if kind == _UBYTE:
        return data.reshape(shape)
    column = data.view(">i4").reshape(shape)[:, 0]
    if column.min() < 0 or column.max() > 255:
        raise _unfit(path, f"has a class of {int(column.max())} in its first column")
    return column.astype(np.uint8)


def _read_header(path: Path, file: BufferedIOBase) -> tuple[int, tuple[int, ...]]:
    """The element type and the dimensions; raises DataError for anything but images and labels."""
    magic = file.read(4)
    if len(magic) == 4 and magic[2:] == b"\0\0" and (magic[1], magic[0]) in _NOUNS:
        raise _unfit(path, _WRONG_ORDER, _REWRITE)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2:] == b"\0\0":
        raise _unfit(path, f"is not an idx file (it begins with {magic.hex(' ') or 'nothing'})")
    kind, dimensions = magic[2], magic[3]
    if (kind, dimensions) not in _NOUNS:
        found = f"has element type 0x{kind:02X} and {dimensions} dimensions"
        raise _unfit(path, f"{found}; images are type 0x08 with 3, labels type 0x08 with 1")
    header = file.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise _unfit(path, "ends inside its header: truncated")
    shape, other = (struct.unpack(f"{order}{dimensions}I", header) for order in "><")
    if 0 in shape:
        raise _unfit(path, f"holds no {_NOUNS[kind, dimensions]} (its header says {' x '.join(map(str, shape))})")
    whole = 4 + len(header) + _size(kind, other)
    if 0 < _size(kind, other) < _size(kind, shape) and _has_size(path, whole):
        size = " x ".join(map(str, other))
        raise _unfit(path, f"{_WRONG_ORDER} ({size} {_NOUNS[kind, dimensions]})", _REWRITE)
    return kind, shape


def _size(kind: int, shape: tuple[int, ...]) -> int:
    """Bytes."""
    return prod(shape) * (4 if kind == _INT else 1)


_WRONG_ORDER = "has the wrong byte order: its header is little-endian, and idx files are big-endian"
_REWRITE = "write its numbers anew, most significant byte first"


def _has_size(path: Path, size: int) -> bool:
    """Returns whether a file has this size in bytes, unpacked."""
    with unpacked(path) as file:
        file.seek(size - 1)
        return len(file.read(2)) == 1


def _unfit(path: Path, what: str, hint: str = "copy the file over again") -> DataError:
    return DataError(f"{path} {what}", hint)


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
    owner = _owner(sums)
    if owner not in ("", known.name):
        raise _foreign(known.name, f"these are the images of {owner}", owner)
    wrong = [array for array, published in MD5.get(known.name, {}).items() if sums[array] != published]
    if wrong:
        raise _foreign(known.name, f"its {' and '.join(wrong)} are not the published ones")


def _words(train: int, test: int, shape: Shape | None, classes: int) -> str:
    size = "x".join(str(side) for side in shape[1:]) if shape else "any size"
    return f"{train:,} and {test:,} images of {size} in {classes} classes"


def _owner(sums: Mapping[str, str]) -> str:
    """The set whose published files these are; empty where it is none that is known."""
    return next((name for name, published in MD5.items() if published == sums), "")


def _known_as(content: DatasetContent) -> str:
    """The published set that these images are, whatever somebody calls them; empty where they are none."""
    sizes = {(DOWNLOADS[name].train, DOWNLOADS[name].shape) for name in MD5}
    return _owner(_sums(content)) if (len(content.train.labels), content.shape) in sizes else ""


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
