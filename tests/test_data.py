"""Datasets: the embedded ones, the cache, downloads, folders of pictures, and what a run selects."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.server
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tuiae.config import DataSection
from tuiae.data.dataset import Dataset
from tuiae.data.datasets import fetch, prepare, select
from tuiae.data.importing import import_directory
from tuiae.data.registry import data_dir, describe, list_datasets
from tuiae.errors import ConfigError, DataError, ExitCode

FILES = {
    "train-images-idx3-ubyte.gz": (8, 4, 4),
    "train-labels-idx1-ubyte.gz": (8,),
    "t10k-images-idx3-ubyte.gz": (4, 4, 4),
    "t10k-labels-idx1-ubyte.gz": (4,),
}


def write_idx_files(directory: Path) -> list[tuple[str, str]]:
    """A tiny MNIST-like set as it lies on a mirror; returns names and md5 as torchvision lists them."""
    directory.mkdir(parents=True, exist_ok=True)
    listed = []
    for name, shape in FILES.items():
        body = (np.arange(np.prod(shape)) % 10).astype(np.uint8).tobytes()
        data = gzip.compress(bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body)
        (directory / name).write_bytes(data)
        listed.append((name, hashlib.md5(data).hexdigest()))
    return listed


def imported(tmp_path: Path, name: str = "mine") -> Path:
    """A data directory with one small imported set."""
    write_idx_files(tmp_path / "source")
    import_directory(tmp_path / "source", name, root=tmp_path / "root")
    return tmp_path / "root"


# The embedded sets


def test_digits_are_the_real_ones() -> None:
    from sklearn.datasets import load_digits

    real, ours = load_digits(), prepare("digits")
    images = np.concatenate([ours.train_images, ours.test_images])[:, 0]
    np.testing.assert_array_equal(np.rint(images / 255 * 16), real.images)
    np.testing.assert_array_equal(np.concatenate([ours.train_labels, ours.test_labels]), real.target)
    assert (len(ours.train_images), len(ours.test_images), images.max()) == (1500, 297, 255)


def test_glyphs_are_32_distinct_characters_shown_in_both_splits() -> None:
    glyphs = prepare("glyphs")
    assert "".join(glyphs.classes) == "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_"
    assert len({image.tobytes() for image in glyphs.train_images}) == 32
    assert set(np.unique(glyphs.train_images)) == {0, 255}
    np.testing.assert_array_equal(glyphs.train_images, glyphs.test_images)
    shape_of_t = ["#####", *["..#.."] * 6]
    drawn = ["".join(".#"[int(pixel > 0)] for pixel in row) for row in glyphs.train_images[20, 0]]
    assert drawn == shape_of_t


def test_embedded_sets_need_no_place_to_write(tmp_path: Path) -> None:
    root = tmp_path / "absent"
    assert prepare("digits", 28, root).train_images.shape == (1500, 1, 28, 28)
    assert prepare("glyphs", 0, root).image_shape == (1, 7, 5)
    assert not root.exists()


def test_every_listed_embedded_set_is_what_the_list_says() -> None:
    for info in list_datasets(Path("/nonexistent"))[:2]:
        dataset = prepare(info.name)
        assert (info.shape, info.classes) == (dataset.image_shape, dataset.classes)
        assert (info.train, info.test) == (len(dataset.train_images), len(dataset.test_images))
        assert info.ready


def test_opening_a_cached_set_imports_neither_torch_nor_pillow(tmp_path: Path) -> None:
    root = imported(tmp_path)
    code = (
        "import sys; from pathlib import Path; from tuiae.data import importing, download\n"
        "from tuiae.data.datasets import prepare; prepare('digits'); prepare('mine', 0, Path(sys.argv[1]))\n"
        "print(sorted({'torch', 'torchvision', 'PIL', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Names, list and cache


def test_an_unknown_name_is_a_usage_error_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fashion-mnist"):
        prepare("fashion_mnist", root=tmp_path)


def test_the_data_directory_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TUIAE_DATA_DIR", str(tmp_path / "here"))
    assert data_dir() == tmp_path / "here"
    assert [info.name for info in list_datasets()][:3] == ["digits", "glyphs", "mnist"]
    assert not (tmp_path / "here").exists()


def test_the_list_survives_a_broken_manifest_and_opening_says_so(tmp_path: Path) -> None:
    root = imported(tmp_path)
    (root / "mine" / "manifest.json").write_text('{"schema": 1, "name"')
    assert not describe("mine", root).ready
    with pytest.raises(DataError):
        prepare("mine", root=root)


@pytest.mark.parametrize("file", ["train-images", "train-labels", "test-images", "test-labels"])
def test_one_altered_byte_in_the_cache_is_noticed(tmp_path: Path, file: str) -> None:
    root = imported(tmp_path)
    path = root / "mine" / f"{file}.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=file):
        prepare("mine", root=root)
    # Importing the same files again mends it.
    import_directory(tmp_path / "source", "mine", root=root)
    assert len(prepare("mine", root=root).train_images) == 8


class Evil:
    """What a pickle can do to whoever opens it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("CODE_RAN",)


@pytest.mark.parametrize(
    ("array", "content"),
    [
        ("test-images", np.array([Evil()])),
        ("train-images", np.zeros((3, 1, 8, 8))),
        ("train-labels", np.zeros(3, np.int64)),
        ("test-labels", np.full(3, 7)),
        ("test-labels", None),
    ],
    ids=["a pickle", "other images", "fewer labels", "no such class", "no array"],
)
def test_an_array_that_its_manifest_does_not_describe_is_said_and_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, array: str, content: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    root = imported(tmp_path)
    folder = root / "mine"
    path = folder / f"{array}.npy"
    path.write_bytes(b"") if content is None else np.save(path, content, allow_pickle=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][array] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError):
        prepare("mine", root=root)
    assert not Path("CODE_RAN").exists()


def test_a_damaged_copy_of_another_size_can_simply_be_removed(tmp_path: Path) -> None:
    root = imported(tmp_path)
    prepare("mine", 8, root)
    (root / "mine@8" / "test-images.npy").unlink()
    with pytest.raises(DataError):
        prepare("mine", 8, root)
    shutil.rmtree(root / "mine@8")
    assert prepare("mine", 8, root).image_shape == (1, 8, 8)


# Downloads, from a mirror on the loopback address


@dataclass
class Mirror:
    """A mirror that can hold its answers back, and says what it was asked for."""

    directory: Path
    address: str
    resources: list[tuple[str, str]]
    asked: threading.Event = field(default_factory=threading.Event)
    answer: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(urllib.request, "_opener", None)
    directory = tmp_path / "mirror"

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args) -> None:
            super().__init__(*args, directory=str(directory))

        def do_GET(self) -> None:
            served.asked.set()
            served.answer.wait(60)
            super().do_GET()

        def log_message(self, *_) -> None:
            pass

        def copyfile(self, source, outputfile) -> None:
            try:
                super().copyfile(source, outputfile)
            except OSError:
                self.close_connection = True

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Mirror(directory, f"http://127.0.0.1:{server.server_port}/", write_idx_files(directory))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield served
        served.answer.set()
        server.shutdown()
        thread.join()


def use(monkeypatch: pytest.MonkeyPatch, addresses: list[str], resources: list[tuple[str, str]]) -> None:
    """Point torchvision's MNIST elsewhere."""
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", addresses)
    monkeypatch.setattr(MNIST, "resources", resources)


@pytest.fixture
def refusing() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def test_a_download_goes_to_the_next_mirror_reports_progress_and_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: Mirror, refusing: str
) -> None:
    from torchvision.datasets import utils

    bar, told = utils.tqdm, []
    mirror.answer.set()
    use(monkeypatch, [refusing, mirror.address], mirror.resources)
    dataset = prepare("mnist", root=tmp_path / "root", progress=lambda *step: told.append(step))
    assert dataset.train_images.shape == (8, 1, 4, 4)
    size = (mirror.directory / "train-images-idx3-ubyte.gz").stat().st_size
    assert ("downloading train-images-idx3-ubyte.gz", size, size) in told
    assert told[-1] == ("preparing", 12, 12)
    assert utils.tqdm is bar
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["mnist"]
    use(monkeypatch, [refusing], mirror.resources)
    assert fetch("mnist", tmp_path / "root").origin == "download"
    with pytest.raises(DataError):
        fetch("mnist", tmp_path / "root", force=True)
    assert len(prepare("mnist", root=tmp_path / "root").test_images) == 4


def test_no_network_names_the_reason_and_the_three_ways_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(urllib.request, "_opener", None)
    use(monkeypatch, [refusing], [("train-images-idx3-ubyte.gz", "0" * 32)])
    with pytest.raises(DataError) as caught:
        prepare("mnist", root=tmp_path / "root")
    assert os.strerror(errno.ECONNREFUSED) in caught.value.cause
    assert caught.value.exit_code == ExitCode.DATA
    assert list((tmp_path / "root").iterdir()) == []


def test_a_foreign_file_on_the_mirror_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: Mirror
) -> None:
    mirror.answer.set()
    (mirror.directory / "t10k-labels-idx1-ubyte.gz").write_bytes(b"<html>Log in to the campus network</html>")
    use(monkeypatch, [mirror.address], mirror.resources)
    with pytest.raises(DataError, match="t10k-labels"):
        prepare("mnist", root=tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist", "qmnist", "emnist-letters"])
def test_every_download_fails_in_a_sentence_behind_a_dead_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str, name: str
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, refusing)
    # urllib reads the proxies once, at the first request of a process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(DataError, match=name):
        fetch(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_letters_are_taken_out_of_the_archive_of_all_emnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: Mirror
) -> None:
    from torchvision.datasets import EMNIST

    mirror.answer.set()
    archive = mirror.directory / "gzip.zip"
    with zipfile.ZipFile(archive, "w") as members:
        for split in ("letters", "balanced"):
            for name, _ in mirror.resources:
                data = gzip.decompress((mirror.directory / name).read_bytes())
                if "labels" in name:
                    data = data[:8] + bytes(range(1, len(data) - 7))
                members.writestr(f"gzip/emnist-{split}-{name.replace('t10k', 'test')}", gzip.compress(data))
    monkeypatch.setattr(EMNIST, "url", mirror.address + archive.name)
    monkeypatch.setattr(EMNIST, "md5", hashlib.md5(archive.read_bytes()).hexdigest())
    dataset = prepare("emnist-letters", root=tmp_path / "root")
    assert [dataset.classes[label] for label in dataset.train_labels] == list("abcdefgh")
    # The archive holds 0 1 2 3 in the first row; upright, that is the first column.
    assert dataset.train_images[0, 0, :, 0].tolist() == [0, 1, 2, 3]


PREPARER = """
import json, sys
from pathlib import Path
from tuiae.data.datasets import prepare
root, address, resources = sys.argv[1:]
if address:
    from torchvision.datasets import MNIST
    MNIST.mirrors, MNIST.resources = [address], json.loads(resources)
tell = lambda phase, done, total: print(phase, flush=True)
print(prepare("mnist", 0, Path(root), tell).train_images.shape, flush=True)
"""


def test_two_processes_at_once_prepare_a_set_once(tmp_path: Path, mirror: Mirror) -> None:
    root = tmp_path / "root"
    leftover = root / ".mnist.tmp-of-a-process-that-died"
    leftover.mkdir(parents=True)
    command = [sys.executable, "-c", PREPARER, str(root)]
    download = [*command, mirror.address, json.dumps(mirror.resources)]
    with subprocess.Popen(download, stdout=subprocess.PIPE, text=True) as first:
        assert mirror.asked.wait(60)
        with subprocess.Popen([*command, "", ""], stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout.readline() == "waiting for another process\n"
            mirror.answer.set()
            waited = second.stdout.read().splitlines()
        worked = first.stdout.read().splitlines()
    assert (first.returncode, second.returncode) == (0, 0)
    assert worked[-1] == "(8, 1, 4, 4)"
    assert waited == ["(8, 1, 4, 4)"]
    assert [path.name for path in root.iterdir()] == ["mnist"]


def test_a_file_system_without_locks_holds_a_set_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    phases: list[str] = []
    folder = pets(tmp_path / "pets")
    dataset = prepare(f"folder:{folder}", 0, tmp_path / "root", lambda phase, done, total: phases.append(phase))
    assert len(dataset.train_images) == 20
    assert set(phases) == {"preparing"}


# Folders of pictures


def paint(path: Path, value: int, mode: str = "L", size: tuple[int, int] = (6, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


def pets(path: Path, count: int = 12) -> Path:
    for index in range(count):
        paint(path / "cat" / f"{index}.png", 10 + index)
        paint(path / "dog" / f"{index}.bmp", 110 + index)
    return path


def test_a_folder_of_classes_gives_a_sixth_of_each_to_the_test_split(tmp_path: Path) -> None:
    dataset = prepare(f"folder:{pets(tmp_path / 'pets')}", root=tmp_path / "root")
    assert (dataset.classes, dataset.labelled) == (("cat", "dog"), True)
    assert dataset.train_images.shape == (20, 1, 5, 6)
    assert np.bincount(dataset.test_labels).tolist() == [2, 2]
    for images, labels in (
        (dataset.train_images, dataset.train_labels),
        (dataset.test_images, dataset.test_labels),
    ):
        np.testing.assert_array_equal(images[:, 0, 0, 0] > 100, labels == 1)
    # Mixed, so that a limit does not leave the first class alone.
    assert len(set(dataset.train_labels[:8])) == 2
    # The same on another machine: the split hangs on names alone.
    again = prepare(f"folder:{pets(tmp_path / 'elsewhere' / 'pets')}", root=tmp_path / "root")
    np.testing.assert_array_equal(again.test_images, dataset.test_images)


def test_a_folder_says_what_it_is_without_being_decoded(tmp_path: Path) -> None:
    info = describe(f"folder:{pets(tmp_path / 'pets')}", tmp_path / "root")
    assert (info.shape, info.classes, info.train, info.test) == ((1, 5, 6), ("cat", "dog"), 20, 4)
    assert (info.origin, info.ready, (tmp_path / "root").exists()) == ("folder", True, False)


def test_a_changed_folder_is_decoded_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    name, told = f"folder:{pets(tmp_path / 'pets')}", []
    prepare(name, root=tmp_path / "root")
    prepare(name, root=tmp_path / "root", progress=lambda *step: told.append(step))
    assert told == []
    paint(tmp_path / "pets" / "cat" / "new.png", 99)
    assert len(prepare(name, root=tmp_path / "root").train_labels) == 21


def test_train_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    pets(tmp_path / "pets" / "train", 3)
    pets(tmp_path / "pets" / "test", 1)
    dataset = prepare(f"folder:{tmp_path / 'pets'}", root=tmp_path / "root")
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (6, 2)
    paint(tmp_path / "pets" / "test" / "cow" / "0.png", 1)
    with pytest.raises(DataError):
        prepare(f"folder:{tmp_path / 'pets'}", root=tmp_path / "root")


def test_pictures_without_classes_are_an_unlabelled_set(tmp_path: Path) -> None:
    for index in range(6):
        paint(tmp_path / "shots" / f"{index}.png", index)
    dataset = prepare(f"folder:{tmp_path / 'shots'}", root=tmp_path / "root")
    assert (dataset.labelled, len(dataset.train_labels), len(dataset.test_labels)) == (False, 5, 1)
    assert not dataset.train_labels.any()


def test_one_coloured_picture_makes_the_set_rgb(tmp_path: Path) -> None:
    pets(tmp_path / "pets", 2)
    paint(tmp_path / "pets" / "cat" / "red.png", 200, mode="RGB")
    dataset = prepare(f"folder:{tmp_path / 'pets'}", root=tmp_path / "root")
    images = np.concatenate([dataset.train_images, dataset.test_images])
    assert images.shape == (5, 3, 5, 6)
    assert [200, 0, 0] in images[:, :, 0, 0].tolist()
    assert [10, 10, 10] in images[:, :, 0, 0].tolist()


def test_16_bit_grey_and_transparency_come_out_as_they_look(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    Image.fromarray(np.full((4, 4), 200 * 256 + 7, dtype=np.uint16)).save(folder / "a.png")
    Image.new("LA", (4, 4), (0, 0)).save(folder / "b.png")
    dataset = prepare(f"folder:{folder}", root=tmp_path / "root")
    assert {int(dataset.train_images[0, 0, 0, 0]), int(dataset.test_images[0, 0, 0, 0])} == {200, 255}


def test_two_sizes_are_refused_by_name_unless_a_size_is_set(tmp_path: Path) -> None:
    paint(pets(tmp_path / "pets") / "dog" / "wide.png", 7, size=(9, 5))
    name = f"folder:{tmp_path / 'pets'}"
    with pytest.raises(DataError):
        prepare(name, root=tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []
    assert prepare(name, 8, root=tmp_path / "root").image_shape == (1, 8, 8)


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    pets(tmp_path / "pets")
    torn = tmp_path / "pets" / "cat" / "torn.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 6), dtype=np.uint8)).save(torn)
    torn.write_bytes(torn.read_bytes()[:-30])
    with pytest.raises(DataError):
        prepare(f"folder:{tmp_path / 'pets'}", root=tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_an_absent_or_empty_folder_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    for path in (tmp_path / "absent", tmp_path / "empty"):
        for opening in (describe, prepare):
            with pytest.raises(DataError):
                opening(f"folder:{path}", root=tmp_path / "root")


@pytest.mark.parametrize("path", ["~nobody-here/pets", "x" * 300])
def test_a_path_that_cannot_be_looked_at_is_a_data_error(tmp_path: Path, path: str) -> None:
    for opening in (describe, prepare):
        with pytest.raises(DataError):
            opening(f"folder:{path}", root=tmp_path / "root")


# What a run selects


def chosen(dataset: Dataset, seed: int = 0, **section):
    return select(dataset, DataSection(**section), seed)


def test_nothing_selected_copies_nothing(tmp_path: Path) -> None:
    dataset = prepare("mine", root=imported(tmp_path))
    splits = chosen(dataset)
    assert np.shares_memory(splits.train_images, dataset.train_images)
    assert np.shares_memory(chosen(dataset, train_limit=3).train_images, dataset.train_images)
    assert len(chosen(dataset, train_limit=3, test_limit=99).test_images) == 4


def test_classes_are_kept_in_the_order_asked_for_and_counted_from_zero() -> None:
    digits = prepare("digits")
    splits = chosen(digits, classes=("7", "3"), train_limit=50)
    assert splits.classes == ("7", "3")
    kept = np.flatnonzero(np.isin(digits.train_labels, (3, 7)))[:50]
    np.testing.assert_array_equal(splits.train_images, digits.train_images[kept])
    np.testing.assert_array_equal(splits.train_labels, digits.train_labels[kept] == 3)
    assert set(splits.test_labels) == {0, 1}


def test_a_held_out_fraction_comes_from_training_and_hangs_on_the_seed_alone() -> None:
    digits = prepare("digits")
    splits = chosen(digits, seed=5, validation=0.2)
    assert (len(splits.train_images), len(splits.test_images)) == (1200, 300)
    together = sorted(image.tobytes() for image in np.concatenate([splits.train_images, splits.test_images]))
    assert together == sorted(image.tobytes() for image in digits.train_images)
    np.testing.assert_array_equal(chosen(digits, seed=5, validation=0.2).test_images, splits.test_images)
    assert not np.array_equal(chosen(digits, seed=6, validation=0.2).test_images, splits.test_images)
    # Written down: a run made again next year must hold out the same images.
    assert splits.test_labels[:12].tolist() == [1, 3, 9, 0, 9, 9, 0, 2, 7, 6, 4, 5]
