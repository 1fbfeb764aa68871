"""The four idx files of an MNIST-like set: finding them, checking them against each other, importing them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tuiae.data import cache
from tuiae.data.dataset import Content, Part, Progress, silent
from tuiae.data.idx import read_idx
from tuiae.data.manifest import ARRAYS, Manifest, read_manifest
from tuiae.data.published import check_published
from tuiae.data.registry import DOWNLOADS, DatasetInfo, data_dir, describe, is_embedded, known_download
from tuiae.errors import ConfigError, DataError

_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<split>train|t10k|test)[-_.](?P<kind>images|labels)[-_.]idx[123]-(ubyte|int)(\.gz)?$"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_EMNIST = "emnist-"
_LETTERS = "emnist-letters"

Files = dict[str, Path]
"""By array: `train-images`, `train-labels`, `test-images`, `test-labels`."""


def import_directory(
    directory: Path,
    name: str | None = None,
    root: Path | None = None,
    force: bool = False,
    *,
    progress: Progress = silent,
    notice: Callable[[str], None] | None = None,
) -> DatasetInfo:
    """Import the idx files of a directory, gzipped or not, as `name` (else the directory's own name).

    Importing what is there already changes nothing, and `notice` is told so in a sentence.

    Raises:
        ConfigError: a name that cannot be used.
        DataError: missing, unfit or mismatched files; a known name and not the set that is known by it; another set of
            that name is there and `force` is not given.
    """
    name = check_name(name if name is not None else default_name(directory), given=name is not None)
    root = root or data_dir()
    content = read_directory(directory, name)
    if (known := known_download(name)) is not None:
        check_published(content, known)
    with cache.writing(root, name, progress) as work:
        manifest = cache.store(work, content, "imported", str(directory.absolute()), name, "", progress)
        before = None if force else read_manifest(root / name)
        if before is not None and not _same(before, manifest):
            raise DataError(
                f"'{name}' is there already and holds other images (from {before.source})",
                "import under another name with --as NAME, or replace it with --force",
            )
        cache.put_in_place(work, root / name)
    if before is not None and notice is not None:
        notice(f"'{name}' was there already and is the same")
    return describe(name, root)


def default_name(directory: Path) -> str:
    """The directory's name in lower case, with `-` for what a name cannot hold; `raw` is torchvision's inner folder."""
    absolute = directory.absolute()
    own = absolute.parent.name if absolute.name == "raw" else absolute.name
    name = re.sub(r"[^a-z0-9_]+", "-", own.lower()).strip("-_")
    squeezed = {info.name.replace("-", ""): info.name for info in DOWNLOADS}
    return squeezed.get(name.replace("-", ""), name)


def check_name(name: str, given: bool = True) -> str:
    """The name, if an imported set can bear it.

    Raises:
        ConfigError: embedded sets' names, and anything but lower-case letters, digits, - and _.
    """
    where = f"--as {name}" if given else f"a set named '{name}' after its directory"
    if is_embedded(name):
        raise ConfigError(f"{where}: '{name}' comes with tuiae and cannot be replaced", "choose another: --as NAME")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: not a usable name", "--as NAME takes lower-case letters, digits, - and _, at most 48"
        )
    return name


def read_directory(directory: Path, name: str) -> Content:
    """Read and check the four files; EMNIST's transposed images come out upright and its letters count from 0.

    Raises:
        DataError: a file is missing or unfit, images and labels do not match, a label is out of range.
    """
    prefix, files = _find(directory, name)
    emnist = name == _LETTERS or prefix.lower().startswith(_EMNIST)
    first_label = 1 if _LETTERS in (name, prefix.lower().rstrip("-_.")) else 0
    train_images, train_labels = _read_split(files, "train", emnist)
    test_images, test_labels = _read_split(files, "test", emnist)
    if train_images.shape[1:] != test_images.shape[1:]:
        one, two = ("x".join(map(str, images.shape[1:])) for images in (train_images, test_images))
        raise DataError(f"{directory}: train images are {one} and test images {two}", "import files of one set")
    known = known_download(name)
    highest = max(int(train_labels.max()), int(test_labels.max()))
    classes = known.classes if known else tuple(str(label) for label in range(first_label, highest + 1))
    for split, labels in (("train", train_labels), ("test", test_labels)):
        _check_range(files[f"{split}-labels"], labels, first_label, len(classes))
    height, width = train_images.shape[1:]
    return Content(
        classes,
        (1, height, width),
        Part([train_images[:, None]], train_labels.astype(np.int64) - first_label),
        Part([test_images[:, None]], test_labels.astype(np.int64) - first_label),
    )


def _find(directory: Path, name: str) -> tuple[str, Files]:
    """The common beginning of the files' names, and the files."""
    sets: dict[str, Files] = {}
    for path in _listed(directory):
        match = _FILE.fullmatch(path.name)
        if match and path.is_file():
            split = "train" if match["split"] == "train" else "test"
            # Sorted, so a file comes before its gzipped twin and is kept: it need not be unpacked.
            sets.setdefault(match["prefix"], {}).setdefault(f"{split}-{match['kind']}", path)
    if not sets:
        raise DataError(
            f"{directory} holds no idx files",
            "it should hold four, such as train-images-idx3-ubyte[.gz] and t10k-labels-idx1-ubyte[.gz]",
        )
    own = [prefix for prefix in sets if prefix.lower().rstrip("-_.") == name]
    whole = own or [prefix for prefix in sets if len(sets[prefix]) == len(ARRAYS)] or list(sets)
    if len(whole) > 1:
        begins = ", ".join(sorted(repr(prefix) for prefix in whole))
        raise DataError(
            f"{directory} holds the files of several sets (names begin with {begins})",
            "name one of them with --as, or give each its own directory",
        )
    missing = [array for array in ARRAYS if array not in sets[whole[0]]]
    if missing:
        raise DataError(f"{directory} has no {' and no '.join(missing)} file", "copy all four idx files into it")
    return whole[0], sets[whole[0]]


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        raise DataError(f"{directory}: {error.strerror}", "give the directory that holds the idx files") from error


def _read_split(files: Files, split: str, transposed: bool) -> tuple[np.ndarray, np.ndarray]:
    image_file, label_file = files[f"{split}-images"], files[f"{split}-labels"]
    images, labels = read_idx(image_file), read_idx(label_file)
    for path, array, dimensions, noun in ((image_file, images, 3, "images"), (label_file, labels, 1, "labels")):
        if array.ndim != dimensions:
            raise DataError(f"{path} does not hold {noun}, whatever its name says", "copy the file over again")
    if len(images) != len(labels):
        raise DataError(
            f"{image_file} holds {len(images):,} images and {label_file.name} {len(labels):,} labels",
            "copy both from the same set",
        )
    return (images.transpose(0, 2, 1) if transposed else images), labels


def _check_range(path: Path, labels: np.ndarray, first: int, count: int) -> None:
    lowest, highest = int(labels.min()), int(labels.max())
    wrong = lowest if lowest < first else highest
    if wrong < first or wrong >= first + count:
        raise DataError(
            f"{path} holds the label {wrong}; this set has {first} to {first + count - 1}",
            "check that the files belong to the set you name",
        )


def _same(one: Manifest, two: Manifest) -> bool:
    return (one.sha256, one.classes) == (two.sha256, two.classes)
