"""Reading idx files and importing them: what people carry to a server without internet."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from tuiae.cli.data import import_dataset
from tuiae.cli.output import Output, amount
from tuiae.data.datasets import prepare
from tuiae.data.importing import check_published, default_name, import_directory, read_directory, read_idx
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


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize("name", ["a.gz", "a"])
def test_gzip_is_told_by_content_and_not_by_name(tmp_path: Path, name: str) -> None:
    wanted = images(5, 7, 9)
    for data in (idx(wanted), gzip.compress(idx(wanted))):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_idx(tmp_path / name), wanted)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (idx(images(5))[:-13], "holds 3 of 5 images: truncated"),
        (idx(labels(5))[:-1], "holds 4 of 5 labels: truncated"),
        (idx(images(5)) + b"xy", "holds 2 bytes after its 5 images"),
        (idx(images(5), kind=0x0D), "element type 0x0D"),
        (idx(images(5))[:9], "ends inside its header"),
        (idx(images(0)), "holds no images"),
        (b"\x89PNG\r\n", "is not an idx file (it begins with 89 50 4e 47)"),
        (b"", "is not an idx file (it begins with nothing)"),
        (gzip.compress(idx(images(50)), mtime=0)[:-20], "is a damaged gzip file"),
        (gzip.compress(idx(images(50)), mtime=0)[:-8] + b"12345678", "is a damaged gzip file"),
    ],
)
def test_an_unfit_file_is_named_with_what_is_wrong(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in caught.value.cause
    assert said in caught.value.cause


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


@pytest.mark.parametrize("name", ["mnist", "qmnist", "emnist-letters"])
def test_a_known_name_is_for_the_set_that_is_known_by_it(tmp_path: Path, name: str) -> None:
    source = write_set(tmp_path / "mine", first=int(name == "emnist-letters"))
    said = (
        rf"this is not {name}: these are 12 and 6 images of (4x3|3x4) in 3 classes, .* 28x28 .*; .* --as another-name"
    )
    for force in (False, True):
        with pytest.raises(DataError, match=said):
            import_directory(source, name, root=tmp_path / "root", force=force)
    assert not (tmp_path / "root").exists()


def test_emnist_letters_come_out_upright_and_counted_from_zero(tmp_path: Path) -> None:
    source = write_set(tmp_path / "gzip", prefix="emnist-letters-", test="test", first=1)
    write_set(source, prefix="emnist-balanced-", test="test", seed=5)
    with pytest.raises(DataError, match="several sets"):
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


def break_count(source: Path) -> str:
    (source / "train-labels-idx1-ubyte").write_bytes(idx(labels(11)))
    return "holds 12 images and train-labels-idx1-ubyte 11 labels"


def break_range(source: Path) -> str:
    (source / "t10k-labels-idx1-ubyte").write_bytes(idx(labels(6, first=8)))
    return "holds the label 10; this set has 0 to 9"


def break_size(source: Path) -> str:
    (source / "t10k-images-idx3-ubyte").write_bytes(idx(images(6, 5, 5)))
    return "train images are 4x3 and test images 5x5"


def break_kind(source: Path) -> str:
    (source / "train-labels-idx1-ubyte").write_bytes(idx(images(12)))
    return "does not hold labels"


def break_absence(source: Path) -> str:
    (source / "t10k-labels-idx1-ubyte").unlink()
    return "has no test-labels file"


@pytest.mark.parametrize("harm", [break_count, break_range, break_size, break_kind, break_absence])
def test_files_that_do_not_belong_together_leave_nothing_behind(tmp_path: Path, harm) -> None:
    source, root = write_set(tmp_path / "mnist"), tmp_path / "root"
    said = harm(source)
    with pytest.raises(DataError) as caught:
        import_directory(source, root=root)
    assert said in caught.value.cause
    assert not root.exists() or tree(root) == []


def test_an_import_over_another_set_needs_force(tmp_path: Path) -> None:
    root, notices = tmp_path / "root", []
    one, two = write_set(tmp_path / "one"), write_set(tmp_path / "two", seed=9)
    import_directory(one, "mine", root=root)
    held = prepare("mine", root=root)
    import_directory(one, "mine", root=root, notice=notices.append)
    assert notices == ["'mine' was there already and is the same"]
    with pytest.raises(DataError, match="--force"):
        import_directory(two, "mine", root=root)
    np.testing.assert_array_equal(prepare("mine", root=root).train_images, held.train_images)
    import_directory(two, "mine", root=root, force=True)
    np.testing.assert_array_equal(prepare("mine", root=root).train_images[:, 0], images(12, seed=21))
    # A run that has the old one open keeps its images.
    np.testing.assert_array_equal(held.train_images[:, 0], images(12, seed=12))
    assert [name for name in tree(root) if "/" not in name] == ["mine"]


def test_the_command_says_that_it_prepares_and_what_was_there_already(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_set(tmp_path / "mine")
    for said in ("preparing\n", "preparing\n'mine' was there already and is the same\n"):
        import_dataset(source, None, Output(plain=True), force=False)
        told = capsys.readouterr()
        assert told.err == said
        assert told.out == "mine is ready: 12 training and 6 test images of 4x3, 3 classes\n"


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
    with pytest.raises(DataError, match="not a prepared set"):
        import_directory(source, root=tmp_path, force=True)
    assert tree(tmp_path) == before


def test_the_real_mnist_imports(tmp_path: Path, real_data: Path) -> None:
    info = import_directory(real_data / "mnist", root=tmp_path)
    assert (info.train, info.test, info.shape) == (60_000, 10_000, (1, 28, 28))
    dataset = prepare("mnist", root=tmp_path)
    # The mean that everyone normalises MNIST by.
    assert dataset.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert dataset.train_labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_the_real_fashion_mnist_is_no_other_set(tmp_path: Path, real_data: Path) -> None:
    source = real_data / "fashion-mnist"
    for name in ("mnist", "kmnist"):
        with pytest.raises(DataError, match=f"this is not {name}: these are the images of fashion-mnist; .* --as fash"):
            import_directory(source, name, root=tmp_path)
    shuffled = read_directory(source, "fashion-mnist")
    for part in (shuffled.train, shuffled.test):
        part.labels[:] = part.labels[::-1].copy()
    with pytest.raises(DataError, match="its train-labels and test-labels are not the published ones"):
        check_published(shuffled, describe("fashion-mnist", tmp_path))
    assert tree(tmp_path) == []
    assert import_directory(source, root=tmp_path).name == "fashion-mnist"
