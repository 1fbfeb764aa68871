"""Files of arrays: npz as MedMNIST has them, npy beside each other, CSV of pixels; and a training on one in colour."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Laboratory
from tests.test_data import chosen
from tests.test_data_import import images, labels
from tuiae.data.dataset import LEFT_OUT
from tuiae.data.datasets import prepare
from tuiae.data.importing import import_directory
from tuiae.data.registry import describe, inspect
from tuiae.errors import ConfigError, DataError, ExitCode
from tuiae.runs.reader import RunReader, read_images, read_sample

COUNTS = {"train": 12, "val": 4, "test": 6}


def pixels_of(split: str, colours: bool = False) -> np.ndarray:
    """The images of a split, (N, 4, 3) or (N, 4, 3, 3)."""
    shape = (COUNTS[split], 4, 3, *([3] * colours))
    return np.random.default_rng(len(split)).integers(0, 256, shape).astype(np.uint8)


def write_arrays(
    path: Path,
    splits: tuple[str, ...] = ("train", "val", "test"),
    colours: bool = False,
    several: int = 1,
    **other: np.ndarray | None,
) -> Path:
    """An npz in the layout of MedMNIST: labels in a column, or in several."""
    arrays: dict[str, np.ndarray | None] = {}
    for split in splits:
        arrays[f"{split}_images"] = pixels_of(split, colours)
        arrays[f"{split}_labels"] = np.repeat(labels(COUNTS[split])[:, None], several, axis=1)
    np.savez_compressed(path, **{name: array for name, array in (arrays | other).items() if array is not None})
    return path


def write_csv(path: Path, pixels: np.ndarray, own: np.ndarray | None, heads: str = "", last: bool = False) -> Path:
    flat = pixels.reshape(len(pixels), -1)
    columns = [flat] if own is None else [flat, own[:, None]] if last else [own[:, None], flat]
    lines = [",".join(map(str, row)) for row in np.concatenate(columns, axis=1).tolist()]
    path.write_text("\n".join([heads] * bool(heads) + lines) + "\n")
    return path


def opened(path: Path, size: int = 0):
    return prepare(f"file:{path}", size, path.parent / "root")


@pytest.mark.parametrize("colours", [False, True])
def test_an_npz_of_medmnist_is_read_with_its_three_splits_and_names(tmp_path: Path, colours: bool) -> None:
    path = write_arrays(tmp_path / "bloodmnist_224.npz", colours=colours)
    info, dataset = describe(f"file:{path}"), opened(path)
    assert (info.shape, info.train, info.val, info.test) == ((3 if colours else 1, 4, 3), 12, 4, 6)
    assert info.classes == dataset.classes == ("basophil", "eosinophil", "erythroblast")
    wanted = [pixels_of(split, colours).reshape(-1, 4, 3, 3 if colours else 1) for split in ("train", "val", "test")]
    train, val, test = (array.transpose(0, 3, 1, 2) for array in wanted)
    assert isinstance(dataset.train_images, np.memmap)
    np.testing.assert_array_equal(dataset.train_images, np.concatenate([train, val]))
    np.testing.assert_array_equal(dataset.test_images, test)
    np.testing.assert_array_equal(dataset.test_labels, labels(6))
    np.testing.assert_array_equal(chosen(dataset, validation="val").test_images, val)
    assert len(chosen(dataset).train_labels) == 12


def test_what_is_prepared_says_the_same_as_the_file_and_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUIAE_DATA_DIR", str(tmp_path / "root"))
    path = write_arrays(tmp_path / "own.npz")
    before = inspect(f"file:{path}", 0)
    dataset = opened(path)
    assert inspect(f"file:{path}", 0) == before
    write_arrays(path, train_images=pixels_of("train")[::-1])
    assert opened(path).digest != dataset.digest
    assert opened(path, 8).image_shape == (1, 8, 8)


def test_an_imported_npz_keeps_its_validation_split(tmp_path: Path) -> None:
    info = import_directory(write_arrays(tmp_path / "own.npz", colours=True), root=tmp_path / "root")
    assert (info.name, info.shape, info.train, info.val, info.test) == ("own", (3, 4, 3), 12, 4, 6)
    assert [prepare("own", size, tmp_path / "root").val for size in (0, 8)] == [4, 4]


def test_several_labels_an_image_leave_images_without_classes(tmp_path: Path) -> None:
    info = describe(f"file:{write_arrays(tmp_path / 'chestmnist.npz', several=14)}")
    assert (info.labelled, info.classes, info.train) == (False, ("picture",), 12)


@pytest.mark.parametrize(
    ("kind", "turned"),
    [
        ("floats", lambda x: (x / np.float32(255)).astype(np.float32)),
        ("floats of bytes", lambda x: x.astype(np.float64)),
        ("integers", lambda x: x.astype(np.int64)),
        ("big-endian", lambda x: (x / 255).astype(">f4")),
        ("in the order of Fortran", lambda x: np.asfortranarray(x)),
        ("flat", lambda x: x.reshape(len(x), -1)),
        ("channels first", lambda x: x[:, None]),
    ],
)
def test_npy_files_beside_each_other_come_out_as_the_same_bytes(tmp_path: Path, kind: str, turned) -> None:
    wanted = images(60, 4, 4)
    np.save(tmp_path / "images.npy", turned(wanted))
    np.save(tmp_path / "labels.npy", labels(60))
    dataset = opened(tmp_path / "images.npy")
    assert (len(dataset.train_labels), len(dataset.test_labels), dataset.classes) == (51, 9, ("0", "1", "2"))
    known = {image.tobytes(): label for image, label in zip(wanted, labels(60), strict=True)}
    for found, own in ((dataset.train_images, dataset.train_labels), (dataset.test_images, dataset.test_labels)):
        assert [known.pop(image.tobytes()) for image in found] == own.tolist()
    assert not known
    assert np.bincount(dataset.test_labels).tolist() == [3, 3, 3]


def test_pixels_out_of_their_range_are_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "own.npz", train_images=pixels_of("train") / 127.5 - 1)
    with pytest.raises(DataError, match="holds pixels from -"):
        inspect(f"file:{path}", 0)


def test_npy_files_of_splits_are_found_from_any_of_them(tmp_path: Path) -> None:
    for split in ("train", "test"):
        np.save(tmp_path / f"x_{split}.npy", pixels_of(split))
        np.save(tmp_path / f"y_{split}.npy", labels(COUNTS[split]))
    found = [describe(f"file:{tmp_path / name}.npy") for name in ("x_train", "y_test")]
    assert [(info.train, info.test) for info in found] == [(12, 6), (12, 6)]


def test_a_path_for_the_name_of_a_dataset_is_told_how_it_is_written(tmp_path: Path) -> None:
    file = write_arrays(tmp_path / "cells.npz")
    for path, name in ((file, f"file:{file}"), (tmp_path, f"folder:{tmp_path}")):
        with pytest.raises(ConfigError, match=re.escape(f"did you mean '{name}'?")):
            describe(str(path))


def test_images_of_zero_and_one_are_black_and_white(tmp_path: Path) -> None:
    np.save(tmp_path / "masks.npy", images(12) > 127)
    dataset = opened(tmp_path / "masks.npy")
    assert set(np.unique(dataset.train_images)) == {0, 255}
    assert not dataset.labelled


HEADS = ",".join(f"pixel{place}" for place in range(16))


@pytest.mark.parametrize(
    ("heads", "last", "packed"),
    [("", False, False), (f"label,{HEADS}", False, True), (f"{HEADS},label", True, False)],
)
def test_a_csv_of_pixels_is_read_with_the_one_of_its_test_images(
    tmp_path: Path, heads: str, last: bool, packed: bool
) -> None:
    for split, count in (("train", 12), ("test", 6)):
        path = write_csv(tmp_path / f"own_{split}.csv", images(count, 4, 4), labels(count), heads, last)
        if packed:
            path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    dataset = opened(tmp_path / f"own_train.csv{'.gz' * packed}")
    np.testing.assert_array_equal(dataset.train_images[:, 0], images(12, 4, 4))
    np.testing.assert_array_equal(dataset.train_labels, labels(12))
    np.testing.assert_array_equal(dataset.test_images[:, 0], images(6, 4, 4))


def test_a_csv_may_hold_colours_and_no_labels(tmp_path: Path) -> None:
    wanted = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3)).astype(np.uint8)
    dataset = opened(write_csv(tmp_path / "own.csv", wanted, None))
    assert (dataset.image_shape, dataset.labelled, len(dataset.train_images)) == ((3, 4, 4), False, 10)
    known = {image.transpose(2, 0, 1).tobytes() for image in wanted}
    assert known == {image.tobytes() for part in (dataset.train_images, dataset.test_images) for image in part}


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    path = write_arrays(tmp_path / "own.npz", train_labels=np.array([Trap()] * 12))
    np.save(tmp_path / "own.npy", np.array([Trap()] * 12))
    for file in (path, tmp_path / "own.npy"):
        with pytest.raises(DataError):
            opened(file)
    assert not (tmp_path / "sprung").exists()


def test_a_training_in_colour_is_told_apart_from_one_on_other_pixels(lab: Laboratory, tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "bloodmnist.npz", colours=True)
    data = ("--dataset", f"file:{path}", "--set", "data.image_size=16", "--set", "data.validation=val")
    run = lab.train(*data, "--set", "model.family=conv", "--epochs", "1")
    recorded, sample = read_images(run), read_sample(run, 1)
    assert recorded is not None
    assert (recorded.dataset, recorded.shape, recorded.train) == (f"file:{path}", (3, 16, 16), 12)
    assert sample is not None
    assert sample.reconstructions is not None
    assert sample.reconstructions.shape[1:] == (3, 16, 16)
    assert not [
        note for note in RunReader(run.root).read_all().notes if LEFT_OUT in note.text
    ]  # the val images are not
    assert [note for note in describe(f"file:{path}").notes if LEFT_OUT in note]
    measured = [
        lab("eval", run.id, *options, "--json").document["images"]["measured"] for options in ((), ("--test-split",))
    ]
    assert measured == ["val", "test"]
    assert lab("resume", run.id, "--epochs", "2", "--json").document["state"] == "finished"
    write_arrays(path, colours=True, train_images=pixels_of("train", True)[::-1])
    lab("resume", run.id, "--epochs", "3", check=ExitCode.DATA)
    path.unlink()
    lab("resume", run.id, "--epochs", "3", check=ExitCode.DATA)


def test_a_classifier_refuses_several_labels_an_image(lab: Laboratory, tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "chestmnist.npz", several=14)
    refused = lab("run", "digits_classifier", "--dataset", f"file:{path}", check=ExitCode.USAGE)
    assert "no labels" in refused.stderr
