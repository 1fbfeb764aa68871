"""What is said of datasets, imports and folders of pictures, word for word (`tests/golden`), of files written here."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Laboratory
from tests.golden import Golden, refusal, titled
from tests.test_arrays import write_arrays
from tests.test_data import chosen, imported, pets
from tests.test_data_import import bomb, idx, images, labels, relabelled, swapped, tree, write_npz, write_set
from tests.test_folder import classes, empty, huge, opened, paint, torn
from tests.test_published import write_published
from tuiae.data import folder
from tuiae.data.datasets import prepare
from tuiae.data.importing import import_directory, read_directory, read_idx
from tuiae.data.registry import describe
from tuiae.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def _in_a_home(tmp_path: Path, golden: Golden) -> None:
    golden.hide(str(tmp_path), "/home/ana")


# Files to import


UNFIT_FILES = {
    "images that end early": idx(images(5))[:-13],
    "labels that end early": idx(labels(5))[:-1],
    "more than its images": idx(images(5)) + b"xy",
    "floats": idx(images(5), kind=0x0D),
    "a part of a header": idx(images(5))[:9],
    "no images": idx(images(0)),
    "a picture": b"\x89PNG\r\n",
    "nothing": b"",
    "a gzip that ends early": gzip.compress(idx(images(50)), mtime=0)[:-20],
    "images of another byte order": swapped(idx(images(300))),
    "labels of another byte order": swapped(idx(labels(300))),
    "a gzip of another byte order": gzip.compress(swapped(idx(images(300))), mtime=0),
    "a magic number of another byte order": idx(images(5))[3::-1] + idx(images(5))[4:],
    "a promise of four billion images": bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"x" * 100,
    "a gzip of megabytes more": bomb((5, 4, 3), 60 + 8_000_000),
    "a gzip of less than it promises": bomb((2**20, 4, 3), 60_000),
    "a gzip of zeros": gzip.compress(bytes(8_000_000), mtime=0),
    "a gzip of another checksum": gzip.compress(idx(images(50)), mtime=0)[:-8] + b"12345678",
}
UNFIT_ARRAYS: dict[str, np.ndarray] = {
    "x_train below zero": np.full((12, 4, 3), -1.0),
    "x_train without numbers": np.full((12, 4, 3), np.nan),
    "x_train of four colours": np.zeros((12, 4, 3, 4), np.uint8),
    "x_train of two dimensions": np.zeros((12, 12), np.uint8),
    "y_test of halves": np.full(6, 0.5),
    "y_test below zero": np.full(6, -1),
    "y_test of fewer": np.zeros(5, np.int64),
    "x_test of another size": np.zeros((6, 5, 5), np.uint8),
    "x_train of objects": np.array([{}] * 12),
}
LIBRARY = re.compile(r"( is a damaged (?:gzip|npz|npy|csv) file) \(.*\)")
"""What a library says, which it may say otherwise tomorrow."""


def break_count(source: Path) -> None:
    (source / "train-labels-idx1-ubyte").write_bytes(idx(labels(11)))


def break_range(source: Path) -> None:
    (source / "t10k-labels-idx1-ubyte").write_bytes(idx(labels(6, first=8)))


def break_size(source: Path) -> None:
    (source / "t10k-images-idx3-ubyte").write_bytes(idx(images(6, 5, 5)))


def break_kind(source: Path) -> None:
    (source / "train-labels-idx1-ubyte").write_bytes(idx(images(12)))


def break_absence(source: Path) -> None:
    (source / "t10k-labels-idx1-ubyte").unlink()


def several(source: Path) -> None:
    for name in ("MNIST", "FashionMNIST"):
        write_set(source / name / "raw")


def nothing(source: Path) -> None:
    shutil.rmtree(source)
    source.mkdir()


def other_npz(source: Path) -> None:
    nothing(source)
    np.savez(source / "odd.npz", pictures=images(3))


HARMS = {
    "fewer labels than images": break_count,
    "a label beyond the classes": break_range,
    "test images of another size": break_size,
    "images in place of labels": break_kind,
    "no test labels": break_absence,
    "no file": nothing,
    "another npz": other_npz,
}


def test_what_does_not_fit_is_refused_in_words_and_leaves_nothing_behind(
    tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, root = tmp_path / "train-images-idx3-ubyte", tmp_path / "root"
    parts = []
    for title, data in UNFIT_FILES.items():
        path.write_bytes(data)
        parts.append(titled(title, refusal(DataError, lambda: read_idx(path))))
    for title, harm in HARMS.items():
        source = write_set(tmp_path / harm.__name__ / "mnist")
        harm(source)
        refused = refusal(DataError, lambda: import_directory(source, root=root))  # noqa: B023
        parts.append(titled(title, refused))
    for title, array in UNFIT_ARRAYS.items():
        npz = write_npz(tmp_path / "mine.npz", **{title.partition(" ")[0]: array})
        parts.append(titled(f"an npz: {title}", refusal(DataError, lambda: import_directory(npz, root=root))))  # noqa: B023
    npz.write_bytes(write_npz(tmp_path / "whole.npz").read_bytes()[:-30])
    parts.append(titled("an npz that ends early", refusal(DataError, lambda: import_directory(npz, root=root))))
    source = write_set(tmp_path / "own", first=1)
    for name in ("mnist", "qmnist", "emnist-letters"):
        for force in (False, True):
            refused = refusal(DataError, lambda: import_directory(source, name, root=root, force=force))  # noqa: B023
        parts.append(titled(f"another set as {name}", refused))
    with monkeypatch.context() as patch:
        # Eight megabytes on a machine with one; the real one has too many to fill them here.
        patch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1_000_000))
        (source / "train-images-idx3-ubyte").write_bytes(bomb((10_000, 28, 28), 7_840_000))
        refused = refusal(DataError, lambda: import_directory(source, root=root))
        parts.append(titled("more than the memory holds", refused))
    assert not root.exists() or tree(root) == []
    source = write_set(tmp_path / "balanced", prefix="emnist-balanced-", test="test")
    (source / "emnist-balanced-mapping.txt").write_text("0 zero\n")
    parts.append(titled("no mapping", refusal(DataError, lambda: read_directory(source, "balanced"))))
    golden.check("data-import-refusals", *(LIBRARY.sub(r"\1 (why)", part) for part in parts))


def test_what_an_import_says_in_words(lab: Laboratory, golden: Golden, tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine")
    later = relabelled(write_set(tmp_path / "later"), [1, 2, 3])
    gaps = relabelled(write_set(tmp_path / "gaps"), [0, 2, 5])
    blind = write_set(tmp_path / "blind")
    (blind / "t10k-labels-idx1-ubyte").write_bytes(idx(labels(6, classes=2)))
    (lab.data / "theirs").mkdir(parents=True)
    (lab.data / "theirs" / "notes.txt").write_text("of somebody")
    several(tmp_path / "two")
    golden.check(
        "data-import",
        lab.told("data", "import", str(mine)),
        lab.told("data", "import", str(mine)),
        lab.told("data", "import", str(write_set(tmp_path / "other", seed=9)), "--as", "mine", check=3),
        lab.told("data", "import", str(tmp_path / "other"), "--as", "mine", "--force"),
        *(lab.told("data", "import", str(source)) for source in (later, gaps, blind)),
        lab.told("data", "import", str(mine), "--as", "theirs", "--force", check=3),
        lab.told("data", "import", str(tmp_path / "two"), check=3),
        lab.told("data", "import", str(mine), "--as", "digits", check=2),
        lab.told("data", "import", str(mine), "--as", "Mine", check=2),
    )


# Files of arrays


NOTED = {
    "as MedMNIST has them": {"bloodmnist.npz": {"splits": ("train", "val", "test"), "colours": True}},
    "without test arrays": {"mine.npz": {"splits": ("train", "val")}},
    "several labels an image": {"chestmnist.npz": {"splits": ("train", "test"), "several": 14}},
}
HARMED: dict[str, dict[str, np.ndarray | None]] = {
    "no labels of the val images": {"val_labels": None},
    "test images of another size": {"test_images": images(6, 8, 8)},
    "no images": {"train_images": images(0), "train_labels": labels(0)},
    "volumes": {"train_images": np.zeros((12, 4, 4, 4), np.uint8)},
    "objects": {"train_labels": np.array([{}] * 12)},
    "records": {"train_images": np.zeros(12, [("a", "u1")])},
    "one label more": {"train_labels": labels(13)},
    "labels below zero": {"train_labels": np.full(12, -1)},
    "names for labels": {"train_labels": np.array(["cat"] * 12)},
    "pixels of 12 bits": {"train_images": np.full((12, 4, 3), 4095)},
    "pixels that are no numbers": {"train_images": np.full((12, 4, 3), np.nan)},
}
TABLES = {
    "a word": "label,a,b,c,d\n1,2,3,4,5\n0,2,three,4,5\n",
    "a short line": "label,a,b,c,d\n1,2,3,4,5\n0,2,3,4\n",
    "pixels of no square": "label,a,b,c\n1,2,3,4\n0,2,3,4\n",
    "a label of a half": "1.5,2,3,4,5\n0,2,3,4,5\n",
    "an empty cell": "1,2,3,4,5\n0,2,,4,5\n",
    "a pixel of 300": "1,2,3,4,5\n0,2,300,4,5\n1,0,0,0,0\n0,1,1,1,1\n",
    "its heads alone": "label,a,b,c,d\n",
    "nothing": "",
    "no text": "\0\x01",
}


def test_what_a_file_of_arrays_says_in_words(tmp_path: Path, golden: Golden) -> None:
    parts = []
    for title, files in NOTED.items():
        for name, how in files.items():
            parts.append(titled(title, *describe(f"file:{write_arrays(tmp_path / name, **how)}").notes))
    np.save(tmp_path / "faces.npy", images(12))
    (tmp_path / "own_train.csv").write_text("kind,a,b,c,d\n1,2,3,4,5\n1,2,3,4,6\n")
    (tmp_path / "own_test.csv").write_text("a,b,c,d\n2,3,4,5\n")
    parts += [titled(name, *describe(f"file:{tmp_path / name}").notes) for name in ("faces.npy", "own_train.csv")]

    def refused(title: str, path: Path) -> None:
        error = refusal(DataError, lambda: prepare(f"file:{path}", root=tmp_path / "root"))
        parts.append(titled(title, LIBRARY.sub(r"\1 (why)", error)))

    for title, harm in HARMED.items():
        refused(title, write_arrays(tmp_path / "odd.npz", ("train", "val", "test"), **harm))
    whole = write_arrays(tmp_path / "whole.npz").read_bytes()
    (tmp_path / "odd.npz").write_bytes(whole[:-30])
    refused("an npz that ends early", tmp_path / "odd.npz")
    at = whole.index(b"train_images.npy") + 150
    (tmp_path / "odd.npz").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    refused("an altered byte", tmp_path / "odd.npz")
    np.save(tmp_path / "odd.npy", images(12))
    (tmp_path / "odd.npy").write_bytes((tmp_path / "odd.npy").read_bytes()[:-1])
    refused("an npy that ends early", tmp_path / "odd.npy")
    np.save(tmp_path / "odd.npy", np.array([{}] * 12))
    refused("an npy of objects", tmp_path / "odd.npy")
    for title, text in TABLES.items():
        (tmp_path / "odd.csv").write_text(text)
        refused(f"a CSV: {title}", tmp_path / "odd.csv")
    for name in ("absent.npz", "", "odd.mat"):
        (tmp_path / "odd.mat").write_bytes(b"x")
        refused(name or "a folder", tmp_path / name)
    parts.append(titled("no name", refusal(ConfigError, lambda: describe("file:"))))
    assert tree(tmp_path / "root") == []
    golden.check("array-files", *parts)


def test_what_published_files_say_in_words(tmp_path: Path, golden: Golden) -> None:
    source, root, parts = write_published(tmp_path / "usps", "usps"), tmp_path / "root", list[str]()

    def refused(title: str, place: Path, name: str | None = "mine") -> None:
        words = refusal(DataError, lambda: import_directory(place, name, root=root))
        parts.append(titled(title, re.sub(r" \(.*\)$", " (why)", words, flags=re.MULTILINE)))

    refused("other files", source, None)
    test = source / "usps.t.bz2"
    test.write_bytes(test.read_bytes()[:-9])
    refused("a damaged file", source)
    test.unlink()
    refused("a file that is missing", source)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(gzip.compress(b"x" * 2000, mtime=0))
    refused("an archive that is none", tmp_path / "cifar-10-python.tar.gz")
    write_set(tmp_path / "MNIST" / "raw")
    refused("several sets", tmp_path)
    golden.check("published-files", *parts)


# Folders of pictures


WHY = re.compile("(?<=cannot be read as a picture: )(?!its format).*")
"""What Pillow says, which it may say otherwise tomorrow."""
APART = (
    ["train/cat", "train/dog"],
    ["train"],
    ["test", "val"],
    ["train/cat", "Train/cat", "test/cat"],
    ["train/cat", "test"],
)
"""Splits that do not go together."""


def scans(path: Path, *brightest: int, kind: type = np.uint16, ending: str = "png") -> Path:
    path.mkdir()
    for index, value in enumerate(brightest):
        Image.fromarray(np.full((4, 4), value, kind)).save(path / f"{index}.{ending}")
    return path


def test_what_a_folder_says_in_words(tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    left_out, deep, valued, given, lone, cow, sizes, odd = (tmp_path / name for name in "abcdefgh")
    classes(left_out, "cat", "dog")
    for name in ("cat/1.heic", "cat/2.heic", "README.txt", "LICENSE", "emu/1.svg", "fox/"):
        (left_out / name).parent.mkdir(exist_ok=True)
        (left_out / name).mkdir() if name.endswith("/") else (left_out / name).write_bytes(b"x")
    classes(deep / "bird", "finch", "sparrow/house")
    classes(deep, "cat")
    classes(valued, "train/cat", "val/cat")
    classes(given, "train/cat", "val/cat", "test/cat", "extra")
    classes(lone, "cat", "dog")
    paint(lone / "emu" / "only.png", 9)
    notes = {
        "left out": left_out,
        "deeper folders": deep,
        "a validation split": valued,
        "three splits": given,
        "no test images": lone,
    }
    parts = [titled(title, *describe(f"folder:{path}").notes) for title, path in notes.items()]
    grey = {"12 bits": scans(tmp_path / "scans", 3000, 9, 8), "dark": scans(tmp_path / "masks", 3, 2, 1, kind=np.uint8)}
    parts += [titled(title, *opened(path).notes) for title, path in grey.items()]

    def refused(title: str, path: Path | str, size: int = 0) -> None:
        parts.append(titled(title, WHY.sub("(why)", refusal(DataError, lambda: opened(Path(path), size)))))

    for place, names in enumerate(APART):
        classes(tmp_path / f"apart{place}", *names)
        refused(" ".join(names), tmp_path / f"apart{place}")
    classes(cow, "train/cat", "test/cat", "test/cow")
    refused("a class of test images alone", cow)
    classes(sizes, "cat", "dog", count=12)
    paint(sizes / "dog" / "wide.png", 7, size=(9, 5))
    refused("two sizes", sizes)
    classes(odd, "cat", "dog")
    for damage in (huge, empty, torn):
        damage(odd / "cat" / "odd.png")
        refused(f"a picture that is {damage.__name__}", odd)
    (odd / "cat" / "odd.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    refused("a drawing", odd)
    refused("32 bits", scans(tmp_path / "deep", 70_000, 1, 2, kind=np.int32, ending="tif"))
    refused("no folder", tmp_path / "absent")
    (tmp_path / "bare" / "cat").mkdir(parents=True)
    refused("no pictures", tmp_path / "bare")
    parts.append(titled("nobody's home", refusal(DataError, lambda: describe("folder:~nobody-here/pets"))))
    golden.hide("x" * 300, "x...")
    parts.append(titled("too long", refusal(DataError, lambda: describe(f"folder:/{'x' * 300}"))))
    refused("no UTF-8", os.fsdecode(os.fsencode(tmp_path) + b"/donn\xe9es"))
    monkeypatch.setattr(folder, "_MOST_OTHERS", 20)
    for index in range(30):
        (tmp_path / "home" / "a" / f"{index}").mkdir(parents=True)
    refused("a whole disk", tmp_path / "home")
    golden.check("folders", *parts)


# Sets that are prepared, and what a run selects of them


def test_what_is_said_of_a_prepared_set_in_words(tmp_path: Path, golden: Golden) -> None:
    root = imported(tmp_path)
    prepare("mine", 8, root)
    images, manifest = root / "mine" / "train-images.npy", root / "mine" / "manifest.json"
    (root / "mine@8" / "test-images.npy").unlink()
    refused = {"a copy of another size without an array": refusal(DataError, lambda: prepare("mine", 8, root))}
    whole = images.read_bytes()
    images.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused["an altered byte"] = refusal(DataError, lambda: prepare("mine", root=root))
    described = json.loads(manifest.read_text())
    np.save(images, np.zeros((3, 1, 8, 8)))
    described["sha256"]["train-images"] = hashlib.sha256(images.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(described))
    refused["an array of another kind"] = refusal(DataError, lambda: prepare("mine", root=root))
    manifest.write_text('{"schema": 1, "name"')
    refused["a torn manifest"] = refusal(DataError, lambda: prepare("mine", root=root))
    manifest.write_text(json.dumps({**described, "schema": 99}))
    refused["a newer manifest"] = refusal(DataError, lambda: prepare("mine", root=root))
    (tmp_path / "file").write_text("")
    source = tmp_path / "source"
    refused["a root that is a file"] = refusal(DataError, lambda: import_directory(source, root=tmp_path / "file"))
    pictures = prepare(f"folder:{pets(tmp_path / 'pets')}", root=root)
    selections = {
        "a class that there is not": (prepare("digits"), {"classes": ("seven",)}),
        "a class twice": (prepare("digits"), {"classes": ("7", "7")}),
        "a misspelt class": (pictures, {"classes": ("catt",)}),
        "nothing left": (prepare("glyphs"), {"classes": ("A",), "validation": 0.5}),
    }
    for title, (dataset, section) in selections.items():
        refused[title] = refusal(ConfigError, lambda: chosen(dataset, **section))  # noqa: B023
    golden.check("datasets", *(titled(title, words) for title, words in refused.items()))
