"""Reading idx files and importing them: what people carry to a server without internet."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from tuiae.cli.output import amount
from tuiae.data.datasets import prepare
from tuiae.data.importing import check_published, default_name, import_directory, locate, read_directory, read_idx
from tuiae.data.registry import describe, list_datasets
from tuiae.errors import ConfigError, DataError


def idx(array: np.ndarray, kind: int = 0x08) -> bytes:
    """The bytes of an idx file."""
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def images(count: int, height: int = 4, width: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width)).astype(np.uint8)


def labels(count: int, classes: int = 3, first: int = 0) -> np.ndarray:
    return (np.arange(count) % classes + first).astype(np.uint8)


def write_set(directory: Path, *, seed: int = 0, first: int = 0, prefix: str = "", test: str = "t10k") -> Path:
    """A small real set: 12 training and 6 test images of 4x3 pixels, 3 classes."""
    directory.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 12), (test, 6)):
        (directory / f"{prefix}{split}-images-idx3-ubyte").write_bytes(idx(images(count, seed=seed + count)))
        (directory / f"{prefix}{split}-labels-idx1-ubyte").write_bytes(idx(labels(count, first=first)))
    return directory


def relabelled(source: Path, own: list[int]) -> Path:
    """A set whose classes have these labels."""
    for split, count in (("train", 12), ("t10k", 6)):
        (source / f"{split}-labels-idx1-ubyte").write_bytes(idx(np.array(own, np.uint8)[labels(count)]))
    return source


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def swapped(data: bytes) -> bytes:
    """An idx file with the numbers of its header in the other byte order."""
    count = data[3]
    return (
        data[:4]
        + struct.pack(f"<{count}I", *struct.unpack(f">{count}I", data[4 : 4 + 4 * count]))
        + data[4 + 4 * count :]
    )


def bomb(shape: tuple[int, ...], size: int) -> bytes:
    """A small gzip of many zeros, behind the header of an idx file of a shape."""
    return gzip.compress(bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(size), mtime=0)


@pytest.mark.parametrize("name", ["a.gz", "a"])
def test_gzip_is_told_by_content_and_not_by_name(tmp_path: Path, name: str) -> None:
    wanted = images(5, 7, 9)
    for data in (idx(wanted), gzip.compress(idx(wanted))):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_idx(tmp_path / name), wanted)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "mnist.npz"])
def test_a_pipe_in_place_of_a_file_is_no_file(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError):
        import_directory(tmp_path, root=tmp_path / "root")


def test_an_imported_set_opens_memory_mapped_with_the_images_that_were_carried(tmp_path: Path) -> None:
    info = import_directory(write_set(tmp_path / "My Set"), root=tmp_path / "root")
    assert (info.name, info.shape, info.train, info.test, info.ready) == ("my-set", (1, 4, 3), 12, 6, True)
    assert info.name in [known.name for known in list_datasets(tmp_path / "root")]
    dataset = prepare("my-set", root=tmp_path / "root")
    assert isinstance(dataset.train_images, np.memmap)
    np.testing.assert_array_equal(dataset.train_images[:, 0], images(12, seed=12))
    np.testing.assert_array_equal(dataset.test_labels, labels(6))
    assert dataset.test_labels.dtype == np.int64
    assert dataset.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("split", "images_name", "labels_name"),
    [
        ("t10k", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"),
        ("test", "test-images-idx3-ubyte.gz", "test-labels-idx1-ubyte.gz"),
    ],
)
def test_the_spellings_people_carry_are_found(tmp_path: Path, split: str, images_name: str, labels_name: str) -> None:
    source = write_set(tmp_path / "other")
    (source / "t10k-images-idx3-ubyte").rename(source / images_name)
    (source / "t10k-labels-idx1-ubyte").rename(source / labels_name)
    assert import_directory(source, root=tmp_path / "root").test == 6


def test_a_catalogue_name_brings_its_class_names(tmp_path: Path) -> None:
    source = write_set(tmp_path / "FashionMNIST" / "raw")
    assert read_directory(source, default_name(source)).classes[2] == "Pullover"


@pytest.mark.parametrize(("file", "name"), [("blood.npz", "blood"), ("images.npy", "faces"), ("X_train.CSV", "faces")])
def test_a_file_whose_name_tells_nothing_is_imported_under_that_of_its_folder(file: str, name: str) -> None:
    assert default_name(Path("/here/faces") / file) == name


def test_emnist_letters_come_out_upright_and_counted_from_zero(tmp_path: Path) -> None:
    source = write_set(tmp_path / "gzip", prefix="emnist-letters-", test="test", first=1)
    write_set(source, prefix="emnist-balanced-", test="test", seed=5)
    with pytest.raises(DataError):
        import_directory(source, root=tmp_path / "root")
    content = read_directory(source, "emnist-letters")
    (pixels,) = content.train.images
    np.testing.assert_array_equal(pixels[:, 0], images(12, seed=12).transpose(0, 2, 1))
    assert [content.classes[label] for label in content.train.labels[:4]] == ["a", "b", "c", "a"]


def test_qmnist_extended_labels_give_their_class(tmp_path: Path) -> None:
    source = write_set(tmp_path / "qmnist", prefix="qmnist-", test="test")
    for split, count in (("train", 12), ("test", 6)):
        (source / f"qmnist-{split}-labels-idx1-ubyte").unlink()
        table = np.zeros((count, 8), dtype=">i4")
        table[:, 0], table[:, 2] = labels(count), 70_000
        (source / f"qmnist-{split}-labels-idx2-int.gz").write_bytes(gzip.compress(idx(table, kind=0x0C)))
    np.testing.assert_array_equal(read_directory(source, "qmnist").train.labels, labels(12))


# Where the files lie


@pytest.mark.parametrize("place", ["MNIST/raw", "data/MNIST/raw", "mnist"])
def test_the_root_that_torchvision_is_given_is_searched(tmp_path: Path, place: str) -> None:
    wanted = images(12, seed=12)
    write_set(tmp_path / "data" / place)
    source = locate(tmp_path / "data")
    assert default_name(source.place) == "mnist"
    (pixels,) = read_directory(tmp_path / "data", "other").train.images
    np.testing.assert_array_equal(pixels[:, 0], wanted)


def test_of_several_sets_below_a_root_the_named_one_is_taken(tmp_path: Path) -> None:
    for name in ("MNIST", "FashionMNIST"):
        write_set(tmp_path / name / "raw")
    assert locate(tmp_path, "fashion-mnist").place == tmp_path / "FashionMNIST" / "raw"


def test_files_each_in_a_folder_of_its_name_are_one_set(tmp_path: Path) -> None:
    source = write_set(tmp_path / "kaggle")
    for file in list(source.iterdir()):
        (source / "own").mkdir()
        file.rename(source / "own" / file.name)
        (source / "own").rename(source / file.name)
    info = import_directory(source, root=tmp_path / "root")
    assert (info.name, info.train, info.test) == ("kaggle", 12, 6)


# An npz


def write_npz(
    path: Path, names: tuple[str, ...] = ("x_train", "y_train", "x_test", "y_test"), **other: np.ndarray
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = dict(zip(names, (images(12, seed=12), labels(12), images(6, seed=6), labels(6)), strict=True))
    np.savez_compressed(path, **(arrays | other))
    return path


@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")],
)
@pytest.mark.parametrize("given", ["mine.npz", "."])
def test_an_npz_of_the_four_arrays_is_imported(tmp_path: Path, names: tuple[str, ...], given: str) -> None:
    write_npz(tmp_path / "mine" / "mine.npz", names)
    info = import_directory(tmp_path / "mine" / given, root=tmp_path / "root")
    assert (info.name, info.shape, info.train, info.test, info.classes) == ("mine", (1, 4, 3), 12, 6, ("0", "1", "2"))
    np.testing.assert_array_equal(prepare("mine", root=tmp_path / "root").train_images[:, 0], images(12, seed=12))


def test_an_npz_may_hold_colours_and_labels_in_a_column(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (12, 4, 3, 3)).astype(np.uint8)
    write_npz(tmp_path / "rgb.npz", x_train=colours, x_test=colours[:6], y_train=labels(12)[:, None])
    assert import_directory(tmp_path / "rgb.npz", root=tmp_path / "root").shape == (3, 4, 3)
    np.testing.assert_array_equal(prepare("rgb", root=tmp_path / "root").train_images, colours.transpose(0, 3, 1, 2))


# Labels


@pytest.mark.parametrize(
    ("own", "classes", "notes"),
    [([1, 2, 3], ("1", "2", "3"), 1), ([0, 2, 5], ("0", "2", "5"), 1), ([0, 1, 2], ("0", "1", "2"), 0)],
)
def test_labels_that_begin_elsewhere_or_skip_are_the_classes_there_are_and_said(
    tmp_path: Path, own: list[int], classes: tuple[str, ...], notes: int
) -> None:
    source, told = relabelled(write_set(tmp_path / "mine"), own), []
    info = import_directory(source, root=tmp_path / "root", notice=told.append)
    assert (info.classes, info.notes, len(told)) == (classes, tuple(told), notes)
    np.testing.assert_array_equal(prepare("mine", root=tmp_path / "root").train_labels, labels(12))


def test_the_mapping_file_of_emnist_names_the_classes(tmp_path: Path) -> None:
    source = write_set(tmp_path / "balanced", prefix="emnist-balanced-", test="test")
    mapping = source / "emnist-balanced-mapping.txt"
    mapping.write_text("0 48\n1 65 97\n2 66 98\n")
    assert read_directory(source, "balanced").classes == ("0", "Aa", "Bb")
    mapping.write_text("0 48\n1 48\n2 66\n")  # two classes of one name
    assert read_directory(source, "balanced").classes == ("0", "1", "2")
    for text in ("0 zero\n", "0 99999999999999999999\n", "caf\xe9"):
        mapping.write_text(text)
        with pytest.raises(DataError):
            read_directory(source, "balanced")


def test_an_import_over_another_set_needs_force(tmp_path: Path) -> None:
    root, notices = tmp_path / "root", []
    one, two = write_set(tmp_path / "one"), write_set(tmp_path / "two", seed=9)
    import_directory(one, "mine", root=root)
    held = prepare("mine", root=root)
    import_directory(one, "mine", root=root, notice=notices.append)
    assert len(notices) == 1
    with pytest.raises(DataError):
        import_directory(two, "mine", root=root)
    np.testing.assert_array_equal(prepare("mine", root=root).train_images, held.train_images)
    import_directory(two, "mine", root=root, force=True)
    np.testing.assert_array_equal(prepare("mine", root=root).train_images[:, 0], images(12, seed=21))
    # A run that has the old one open keeps its images.
    np.testing.assert_array_equal(held.train_images[:, 0], images(12, seed=12))
    assert [name for name in tree(root) if "/" not in name] == ["mine"]


@pytest.mark.parametrize(
    ("phase", "done", "total", "words"),
    [
        ("downloading train-images.gz", 10_000, 70_000, "10.0 kB of 70.0 kB"),
        ("preparing", 10_000, 70_000, "10,000 of 70,000 images"),
        ("waiting for another process", 0, 0, ""),
    ],
)
def test_what_is_downloaded_counts_in_bytes_and_what_is_prepared_in_images(
    phase: str, done: int, total: int, words: str
) -> None:
    assert amount(phase, done, total) == words


def test_a_resized_copy_follows_the_set_it_was_made_from(tmp_path: Path) -> None:
    root = tmp_path / "root"
    import_directory(write_set(tmp_path / "one"), "mine", root=root)
    before = np.array(prepare("mine", 8, root).train_images)
    assert before.shape == (12, 1, 8, 8)
    import_directory(write_set(tmp_path / "two", seed=9), "mine", root=root, force=True)
    assert not np.array_equal(prepare("mine", 8, root).train_images, before)
    assert [info.name for info in list_datasets(root)].count("mine") == 1
    assert "mine@8" not in [info.name for info in list_datasets(root)]


@pytest.mark.parametrize("name", ["digits", "glyphs", "Mine", "../up", "a b", "", "x@28"])
def test_names_that_cannot_be_used_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        import_directory(write_set(tmp_path / "one"), name, root=tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_own_files_where_the_set_would_go_are_never_replaced(tmp_path: Path) -> None:
    source = write_set(tmp_path / "mine")
    before = tree(tmp_path)
    with pytest.raises(DataError):
        import_directory(source, root=tmp_path, force=True)
    assert tree(tmp_path) == before


def test_the_real_mnist_imports(tmp_path: Path, real_data: Path) -> None:
    info = import_directory(real_data / "mnist", root=tmp_path)
    assert (info.train, info.test, info.shape) == (60_000, 10_000, (1, 28, 28))
    dataset = prepare("mnist", root=tmp_path)
    # The mean that everyone normalises MNIST by.
    assert dataset.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert dataset.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    told: list[str] = []
    import_directory(real_data / "mnist", "mnisst", root=tmp_path, notice=told.append)
    assert ["images of mnist" in words for words in told] == [True]


def test_the_real_fashion_mnist_is_no_other_set(tmp_path: Path, real_data: Path) -> None:
    source = real_data / "fashion-mnist"
    for name in ("mnist", "kmnist"):
        with pytest.raises(DataError, match="fashion-mnist"):
            import_directory(source, name, root=tmp_path)
    shuffled = read_directory(source, "fashion-mnist")
    for part in (shuffled.train, shuffled.test):
        part.labels[:] = part.labels[::-1].copy()
    with pytest.raises(DataError):
        check_published(shuffled, describe("fashion-mnist", tmp_path))
    assert tree(tmp_path) == []
    assert import_directory(source, root=tmp_path).name == "fashion-mnist"
