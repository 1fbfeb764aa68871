"""Reading idx files and importing them: what people carry to a server without internet."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tuiae.cli.data import import_dataset
from tuiae.cli.output import Output, amount
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
        (
            swapped(idx(images(300))),
            "byte order: its header is little-endian, and idx files are big-endian (300 x 4 x 3",
        ),
        (swapped(idx(labels(300))), "wrong byte order"),
        (gzip.compress(swapped(idx(images(300))), mtime=0), "wrong byte order"),
        (idx(images(5))[3::-1] + idx(images(5))[4:], "wrong byte order"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"x" * 100, "holds 0 of 4,294,967,295 images: truncated"),
        (bomb((5, 4, 3), 60 + 8_000_000), "holds a megabyte or more after its 5 images"),
        (bomb((2**20, 4, 3), 60_000), "holds 5,000 of 1,048,576 images: truncated"),
        (gzip.compress(bytes(8_000_000), mtime=0), "is not an idx file (it begins with 00 00 00 00)"),
        (gzip.compress(idx(images(50)), mtime=0)[:-8] + b"12345678", "is a damaged gzip file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unfit_file_is_named_with_what_is_wrong(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in caught.value.cause
    assert said in caught.value.cause


def test_what_would_fill_the_memory_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Eight megabytes on a machine with one; the real one has too many to fill them here.
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1_000_000))
    source = write_set(tmp_path / "bomb")
    (source / "train-images-idx3-ubyte").write_bytes(bomb((10_000, 28, 28), 7_840_000))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte would take 0\.0 GB of memory, and 0\.0 GB are free"):
        import_directory(source, root=tmp_path / "root")
    write_npz(tmp_path / "big.npz", x_train=np.zeros((10_000, 28, 28), np.uint8))
    with pytest.raises(DataError, match=r"big\.npz would take"):
        import_directory(tmp_path / "big.npz", root=tmp_path / "root")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "mnist.npz"])
def test_a_pipe_in_place_of_a_file_is_no_file(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="holds no idx files"):
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
    with pytest.raises(
        DataError, match=r"several sets \('FashionMNIST/raw', 'MNIST/raw'\); name one of them with --as"
    ):
        import_directory(tmp_path, root=tmp_path / "root")
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


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"x_train": np.zeros((12, 4, 3))}, r"npz/x_train is float64 of 12 x 4 x 3; images are uint8"),
        ({"x_train": np.zeros((12, 12), np.uint8)}, r"npz/x_train is uint8 of 12 x 12"),
        ({"y_test": np.zeros(6)}, r"npz/y_test is float64 of 6; labels are N integers"),
        ({"y_test": np.full(6, -1)}, r"npz/y_test is int64 of 6"),
        ({"y_test": np.zeros(5, int)}, r"npz/x_test holds 6 images and y_test 5 labels"),
        ({"x_test": np.zeros((6, 5, 5), np.uint8)}, r"train images are 4x3 and test images 5x5"),
        ({"x_train": np.array([{}] * 12)}, r"is a damaged npz file \(Object arrays"),
    ],
)
def test_an_unfit_npz_is_refused_in_a_sentence(tmp_path: Path, other: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(DataError, match=said):
        import_directory(write_npz(tmp_path / "mine.npz", **other), root=tmp_path / "root")


def test_another_npz_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "odd.npz", images=images(3))
    with pytest.raises(
        DataError, match=r"odd\.npz holds images; an npz has to hold x_train, y_train, x_test and y_test"
    ):
        import_directory(tmp_path, root=tmp_path / "root")
    (tmp_path / "odd.npz").write_bytes(write_npz(tmp_path / "mine.npz").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"odd\.npz is a damaged npz file"):
        import_directory(tmp_path / "odd.npz", root=tmp_path / "root")


# Labels


@pytest.mark.parametrize(
    ("own", "classes", "said"),
    [
        ([1, 2, 3], ("1", "2", "3"), ("labels begin at 1, not at 0: the first class is '1'",)),
        ([0, 2, 5], ("0", "2", "5"), ("no image has one of the labels 1, 3 and 4: they are no classes",)),
        ([0, 1, 2], ("0", "1", "2"), ()),
    ],
)
def test_labels_that_begin_elsewhere_or_skip_are_the_classes_there_are_and_said(
    tmp_path: Path, own: list[int], classes: tuple[str, ...], said: tuple[str, ...]
) -> None:
    source, told = write_set(tmp_path / "mine"), []
    for split, count in (("train", 12), ("t10k", 6)):
        values = np.array(own, np.uint8)[labels(count)]
        (source / f"{split}-labels-idx1-ubyte").write_bytes(idx(values))
    info = import_directory(source, root=tmp_path / "root", notice=told.append)
    assert (info.classes, tuple(told), info.notes) == (classes, said, said)
    np.testing.assert_array_equal(prepare("mine", root=tmp_path / "root").train_labels, labels(12))


def test_a_class_without_test_images_is_named_at_the_import(tmp_path: Path) -> None:
    source = write_set(tmp_path / "mine")
    (source / "t10k-labels-idx1-ubyte").write_bytes(idx(labels(6, classes=2)))
    info = import_directory(source, root=tmp_path / "root")
    assert info.notes == ("no test images of 2: there the test split tells nothing",)


def test_the_mapping_file_of_emnist_names_the_classes(tmp_path: Path) -> None:
    source = write_set(tmp_path / "balanced", prefix="emnist-balanced-", test="test")
    mapping = source / "emnist-balanced-mapping.txt"
    mapping.write_text("0 48\n1 65 97\n2 66 98\n")
    assert read_directory(source, "balanced").classes == ("0", "Aa", "Bb")
    mapping.write_text("0 48\n1 48\n2 66\n")  # two classes of one name
    assert read_directory(source, "balanced").classes == ("0", "1", "2")
    for text in ("0 zero\n", "0 99999999999999999999\n", "caf\xe9"):
        mapping.write_text(text)
        with pytest.raises(DataError, match=r"emnist-balanced-mapping\.txt is not a mapping of labels"):
            read_directory(source, "balanced")


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
