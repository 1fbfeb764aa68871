"""CIFAR-10, SVHN and USPS in the forms in which they are published, small; the real ones are not here."""

from __future__ import annotations

import bz2
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tests.test_data_import import labels, write_set
from tuiae.data.datasets import prepare
from tuiae.data.importing import import_directory, locate, read_directory
from tuiae.data.published import FORMS
from tuiae.data.registry import DOWNLOADS
from tuiae.errors import DataError


def pictures(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape)).astype(np.uint8)


def text(words: str) -> bytes:
    return b"U" + bytes([len(words)]) + words.encode()


def batch(count: int) -> bytes:
    """The opcodes with which Python 2 wrote a batch of CIFAR-10, labels in two parts as it does beyond a thousand."""
    own, pixels = labels(count, 10).tolist(), pictures(count, 3, 32, 32).tobytes()
    items = b"".join(b"(" + b"".join(b"K" + bytes([label]) for label in part) + b"e" for part in (own[:5], own[5:]))
    size = b"M" + struct.pack("<H", count) + b"M" + struct.pack("<H", 3072) + b"\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85" + text("b") + b"\x87R"
    kind = (
        b"cnumpy\ndtype\n"
        + text("u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text("|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    state = b"(K\x01" + size + kind + b"\x89T" + struct.pack("<I", len(pixels)) + pixels + b"tb"
    names = b"](" + b"".join(text(f"leptodactylus_s_{place:06}.png") for place in range(count)) + b"e"
    body = [
        text("batch_label"),
        text("training batch 1 of 5"),
        text("labels"),
        b"]" + items,
        text("data"),
        array + state,
    ]
    return b"\x80\x02}(" + b"".join([*body, text("filenames"), names]) + b"u."


def mat(count: int) -> bytes:
    file = io.BytesIO()
    own = labels(count, 10)
    images = pictures(count, 3, 32, 32).transpose(2, 3, 1, 0)
    savemat(file, {"X": images, "y": np.where(own == 0, 10, own)[:, None]}, do_compression=True)
    return file.getvalue()


def lines(count: int) -> bytes:
    rows = zip(labels(count, 10) + 1, pictures(count, 256).astype(np.float32) / 127.5 - 1, strict=True)
    written = (f"{label} " + " ".join(f"{at}:{value:.6f}" for at, value in enumerate(row, 1)) for label, row in rows)
    return bz2.compress(("\n".join(written) + "\n").encode())


WRITERS: dict[str, Callable[[int], bytes]] = {"cifar10": batch, "svhn": mat, "usps": lines}


def write_published(folder: Path, name: str) -> Path:
    """The files of a set, each of 12 or more images."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, file in enumerate((*FORMS[name].train, *FORMS[name].test)):
        (folder / file).write_bytes(WRITERS[name](12 + place))
    return folder


@pytest.mark.parametrize("name", FORMS)
def test_the_files_of_a_published_set_are_read_pixel_by_pixel(tmp_path: Path, name: str) -> None:
    info = import_directory(write_published(tmp_path / "carried" / "deeper", name), "mine", root=tmp_path / "root")
    known, files = DOWNLOADS[name], [12 + place for place in range(len(FORMS[name].train))]
    assert (info.shape, info.classes, info.train, info.test) == (
        known.shape,
        known.classes,
        sum(files),
        12 + len(files),
    )
    dataset = prepare("mine", root=tmp_path / "root")
    shape = known.shape or ()
    wanted = np.concatenate([pictures(count, *shape) for count in files]).reshape(-1, *shape)
    if name == "usps":
        wanted = np.concatenate([pictures(count, 256) for count in files]).reshape(-1, *shape)
    # The text of USPS rounds, and torchvision cuts.
    assert np.abs(dataset.train_images.astype(int) - wanted).max() <= (name == "usps")
    np.testing.assert_array_equal(dataset.train_labels, np.concatenate([labels(count, 10) for count in files]))


@pytest.mark.parametrize("name", FORMS)
def test_checksums_are_those_of_torchvision(name: str) -> None:
    from torchvision.datasets import CIFAR10, SVHN, USPS

    listed = dict(CIFAR10.train_list + CIFAR10.test_list)
    for kind in (SVHN, USPS):
        listed |= {file: md5 for split, (_, file, md5) in kind.split_list.items() if split != "extra"}
    form = FORMS[name]
    assert {*form.train.items(), *form.test.items()} <= {*listed.items()}


@pytest.mark.parametrize("name", FORMS)
def test_other_files_are_not_the_published_set(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="not the published file"):
        import_directory(write_published(tmp_path / "carried", name), root=tmp_path / "root")
    assert not list((tmp_path / "root").glob("*"))


def test_the_published_files_are_the_published_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_published(tmp_path / "carried", "usps")
    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in source.iterdir()}
    form = FORMS["usps"]
    known = replace(
        form, train={file: sums[file] for file in form.train}, test={file: sums[file] for file in form.test}
    )
    monkeypatch.setitem(FORMS, "usps", known)
    monkeypatch.setitem(DOWNLOADS, "usps", replace(DOWNLOADS["usps"], train=12, test=13))
    assert import_directory(source, root=tmp_path / "root").name == "usps"


@pytest.mark.parametrize("given", ["cifar-10-python.tar.gz", "."])
def test_the_archive_of_cifar_is_read_as_it_is(tmp_path: Path, given: str) -> None:
    source = write_published(tmp_path / "cifar-10-batches-py", "cifar10")
    (tmp_path / "carried").mkdir()
    with tarfile.open(tmp_path / "carried" / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)
    content = read_directory(tmp_path / "carried" / given, "mine")
    assert len(content.train.labels) == 12 + 13 + 14 + 15 + 16


def test_of_several_sets_below_a_root_one_has_to_be_named(tmp_path: Path) -> None:
    write_set(tmp_path / "MNIST" / "raw")
    write_published(tmp_path, "usps")
    write_published(tmp_path / "cifar-10-batches-py", "cifar10")
    with pytest.raises(DataError, match="several sets"):
        locate(tmp_path)
    found = [locate(tmp_path, name) for name in ("usps", "cifar10", "mnist")]
    assert [source.published and source.published.name for source in found] == ["usps", "cifar10", None]


@pytest.mark.parametrize("name", FORMS)
def test_damaged_and_missing_files_are_named(tmp_path: Path, name: str) -> None:
    source = write_published(tmp_path / "carried", name)
    last = source / next(iter(FORMS[name].test))
    for content in (last.read_bytes()[:-40], b"x", b"", None):
        last.unlink()
        if content is not None:
            last.write_bytes(content)
        with pytest.raises(DataError, match=last.name):
            import_directory(source, "mine", root=tmp_path / "root")
