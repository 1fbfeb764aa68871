"""Folders of pictures as people have them: endings, splits, deeper folders, depths, tags and names."""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import CHECKOUT
from tuiae.config import DataSection, build_config
from tuiae.data import folder
from tuiae.data.cache import read_manifest
from tuiae.data.dataset import Dataset, notes_for
from tuiae.data.datasets import prepare, select
from tuiae.data.registry import describe
from tuiae.errors import ConfigError, DataError
from tuiae.machine import Interrupt
from tuiae.preflight import check
from tuiae.runs.writer import create_run
from tuiae.training.rehearsal import dry_run
from tuiae.training.worker import work


def paint(path: Path, value: int, mode: str = "L", size: tuple[int, int] = (6, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path)


def classes(path: Path, *names: str, count: int = 3, ending: str = "png", mode: str = "L") -> None:
    for place, name in enumerate(names):
        for index in range(count):
            paint(path / name / f"{index}.{ending}", 200 - 50 * place - index, mode)


def opened(path: Path, size: int = 0) -> Dataset:
    """The pictures; the data directory lies beside the folder."""
    return prepare(f"folder:{path}", size, path.with_name("prepared"))


def test_a_check_searches_a_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes(tmp_path / "pets", "cat", "dog")
    config = build_config({"data": {"dataset": f"folder:{tmp_path / 'pets'}"}})
    searched: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: searched.append(Path(path).name) or scandir(path))
    for _ in range(2):
        check(config, tmp_path / "runs")
    assert sorted(searched) == ["cat", "cat", "dog", "dog", *["pets"] * 4]  # at first it looks for splits


# Endings


def test_every_ending_that_pillow_opens_is_read_or_left_out_for_a_reason() -> None:
    Image.init()
    elsewhere = {
        "EPS",  # run by Ghostscript
        "WMF",  # drawn by the system
        "BUFR",  # containers that Pillow knows and has no decoder for
        "GRIB",
        "HDF5",
        "IPTC",
        "MPEG",
    }
    formats = {ending: form for ending, form in Image.registered_extensions().items() if form in Image.OPEN}
    assert {ending for ending, form in formats.items() if form not in elsewhere} <= set(folder.ENDINGS)
    assert not elsewhere & set(folder.ENDINGS.values())
    assert {form for ending, form in folder.ENDINGS.items() if formats.get(ending, form) != form} == set()


@pytest.mark.parametrize(
    ("ending", "mode"),
    [("pgm", "L"), ("ppm", "RGB"), ("jfif", "L"), ("JPG", "L"), ("jp2", "L"), ("tga", "RGB"), ("qoi", "RGB")],
)
def test_a_class_of_any_ending_is_read(tmp_path: Path, ending: str, mode: str) -> None:
    classes(tmp_path / "pets", "cat", "dog")
    classes(tmp_path / "pets", "emu", ending=ending, mode=mode)
    info = describe(f"folder:{tmp_path / 'pets'}")
    assert (info.classes, info.train + info.test, info.notes) == (("cat", "dog", "emu"), 9, ())
    images = opened(tmp_path / "pets").train_images
    assert set((images[:, 0, 2, 2] // 8).tolist()) <= {22, 23, 24, 25, 18, 19, 12, 11}


def test_a_file_is_read_by_what_it_holds_and_never_as_a_program(tmp_path: Path) -> None:
    classes(tmp_path / "pets", "cat", "dog")
    paint(tmp_path / "pets" / "cat" / "photo.png", 7)
    (tmp_path / "pets" / "cat" / "photo.png").rename(tmp_path / "pets" / "cat" / "photo.jpg")
    assert len(opened(tmp_path / "pets").train_labels) == 5
    drawing = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 5\n%%EndComments\nshowpage\n"
    (tmp_path / "pets" / "cat" / "drawn.png").write_text(drawing)
    with pytest.raises(DataError):
        opened(tmp_path / "pets")


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    classes(tmp_path / "pets", "cat", "dog")
    for index in range(4):
        (tmp_path / "pets" / "cat" / f"{index}.heic").write_bytes(b"x")
    for name in ("README.txt", ".hidden", "Thumbs.db", "cat/.DS_Store", "cat/._0.png", "LICENSE"):
        (tmp_path / "pets" / name).write_bytes(b"x")
    classes(tmp_path / "pets" / "__MACOSX", "cat")
    (tmp_path / "pets" / "emu").mkdir()
    for index in range(12):
        (tmp_path / "pets" / "emu" / f"{index}.svg").write_bytes(b"x")
    (tmp_path / "pets" / "fox").mkdir()
    info = describe(f"folder:{tmp_path / 'pets'}")
    assert (info.classes, len(info.notes)) == (("cat", "dog"), 3)
    opened(tmp_path / "pets")
    (manifest,) = filter(None, map(read_manifest, (tmp_path / "prepared").iterdir()))
    assert manifest.notes == info.notes


def test_pictures_in_deeper_folders_belong_to_their_class(tmp_path: Path) -> None:
    pets = tmp_path / "pets"
    classes(pets, "cat", "dog")
    classes(pets / "bird", "finch", "sparrow/house")
    (pets / "bird" / "finch" / "again").symlink_to(pets / "bird")
    info = describe(f"folder:{pets}")
    assert (info.classes, info.train + info.test, len(info.notes)) == (("bird", "cat", "dog"), 12, 1)


# Splits


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("training", "testing"),
        ("TRAIN", "val"),
        ("training_set", "test_set"),
        ("train", "Validation"),
    ],
)
def test_the_usual_names_of_splits_are_known(tmp_path: Path, train: str, test: str) -> None:
    for name, count in ((train, 4), (test, 2)):
        classes(tmp_path / "labelled" / name, "cat", "dog", count=count)
        classes(tmp_path / "loose", name, count=count)
    for place, wanted in (("labelled", (("cat", "dog"), 8, 4)), ("loose", (("picture",), 4, 2))):
        info = describe(f"folder:{tmp_path / place}")
        assert (info.classes, info.train, info.test) == wanted
        assert len(info.notes) == (test.lower()[0] == "v")


def test_of_val_and_test_the_second_is_the_test_split_where_it_has_classes(tmp_path: Path) -> None:
    pets = tmp_path / "pets"
    for name, count in (("train", 4), ("val", 3), ("test", 2)):
        classes(pets / name, "cat", "dog", count=count)
    classes(pets, "extra", count=5)
    info = describe(f"folder:{pets}")
    assert (info.train, info.test, len(info.notes)) == (8, 4, 2)
    dataset, files = opened(pets), len(list((pets / "val").rglob("*.png")))
    assert (len(dataset.record.classes), dataset.record.train, dataset.record.test, dataset.val) == (2, 8, 4, files)
    plain, own, held = (select(dataset, DataSection(validation=kind), 0) for kind in ("test", "val", 0.25))
    assert [(len(one.train_labels), len(one.test_labels)) for one in (plain, own, held)] == [(8, 4), (8, 6), (6, 2)]
    assert sorted(own.test_images[:, 0, 0, 0].tolist()) == [148, 149, 150, 198, 199, 200]
    assert select(dataset, DataSection(validation="val", classes=("dog",)), 0).test_labels.tolist() == [0, 0, 0]
    with pytest.raises(ConfigError):
        select(prepare("digits"), DataSection(validation="val"), 0)
    for name in ("cat", "dog"):
        for file in (pets / "test" / name).iterdir():
            file.rename(pets / "test" / f"{name}{file.name}")
        (pets / "test" / name).rmdir()
    info = describe(f"folder:{pets}")
    assert (info.train, info.test, len(info.notes)) == (8, 6, 2)


def test_a_class_without_test_images_is_told_to_runs_that_measure_on_these(tmp_path: Path) -> None:
    pets = tmp_path / "pets"
    for split, names in (("train", ("cat", "emu")), ("val", ("cat", "emu")), ("test", ("cat",))):
        classes(pets / split, *names)
    notes = describe(f"folder:{pets}").notes
    told = [[note for note in notes_for(notes, kind) if "emu" in note] for kind in ("test", "val", 0.25)]
    assert [len(said) for said in told] == [1, 0, 0]


DOCUMENT = (CHECKOUT / "docs" / "datasets.md").read_text(encoding="utf-8")


LAYOUTS = [row.strip("| ").split(" | ") for row in DOCUMENT.splitlines() if row.startswith("| `PATH/")]
SPLIT_NAMES = re.findall(r"`([a-z]+)`", DOCUMENT.partition("Splits may be called")[2].partition("in any case")[0])


@pytest.mark.parametrize(("layout", "said"), LAYOUTS, ids=range(5))
def test_folders_are_read_as_the_document_says(tmp_path: Path, layout: str, said: str) -> None:
    for part in re.findall(r"`PATH/([^`]+)`", layout):
        name = part.removesuffix("/…")
        if part == name:
            paint(tmp_path / name, 5)
        else:
            classes(tmp_path, f"{name}/cat" if name in SPLIT_NAMES else name)
    found = folder.scan(tmp_path)
    places = {file.relative_to(tmp_path).parts[0] for file, _ in found.test}
    if "test split" in said and "sixth" not in said:
        assert places == set(re.findall(r"^`(\w+)/` is the test split", said))
    elif "these splits" in said:
        assert places == {"test"}
    else:
        assert {file.relative_to(tmp_path).parts[0] for file, _ in found.train + found.test} == set(
            os.listdir(tmp_path)
        )
    assert found.labelled is ("without classes" not in said)
    assert bool(found.val) is ("data.validation=val" in said)


@pytest.mark.parametrize("words", SPLIT_NAMES)
def test_names_of_splits_in_the_document_are_known(tmp_path: Path, words: str) -> None:
    train, other = (words, "test") if words.startswith("train") else ("train", words)
    classes(tmp_path / f"{train}_set", "cat")
    classes(tmp_path / other.upper(), "cat", count=2)
    found = folder.scan(tmp_path)
    assert (len(found.train), len(found.test), found.classes) == (3, 2, ("cat",))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    classes(tmp_path / "vehicles", "car", "train")
    assert describe(f"folder:{tmp_path / 'vehicles'}").classes == ("car", "train")


# Pixels


@pytest.mark.parametrize(
    ("brightest", "bits"), [(255, 8), (1023, 10), (3000, 12), (4080, 12), (16383, 14), (16384, 16), (65535, 16)]
)
@pytest.mark.parametrize(("ending", "kind"), [("png", np.uint16), ("tif", np.uint16), ("tif", np.int32)])
def test_grey_in_16_bit_files_is_scaled_by_the_bits_it_uses(
    tmp_path: Path, brightest: int, bits: int, ending: str, kind: type
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for index in range(6):
        Image.fromarray(np.full((4, 4), brightest // (index + 1), kind)).save(scans / f"{index}.{ending}")
    dataset = opened(scans)
    values = {int(value) for images in (dataset.train_images, dataset.test_images) for value in images[:, 0, 0, 0]}
    assert values == {(brightest // (index + 1)) >> (bits - 8) for index in range(6)}
    assert len(dataset.notes) == (bits != 16)


def deep_png(path: Path, pixels: np.ndarray) -> None:
    """Colours of 16 bits, (H, W, 3), which Pillow does not write."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def deep_tiff(order: str, compression: int) -> Callable[[Path, np.ndarray], None]:
    """The same as TIFF, in either order of bytes, packed (8) or not (1)."""

    def write(path: Path, pixels: np.ndarray) -> None:
        height, width, _ = pixels.shape
        content = pixels.astype(f"{order}u2").tobytes()
        content = zlib.compress(content) if compression == 8 else content
        begin = 8 + 2 + 9 * 12 + 4
        short, long = f"{order}HHIHxx", f"{order}HHII"
        entries = [
            struct.pack(short, 256, 3, 1, width),
            struct.pack(short, 257, 3, 1, height),
            struct.pack(long, 258, 3, 3, begin),
            struct.pack(short, 259, 3, 1, compression),
            struct.pack(short, 262, 3, 1, 2),
            struct.pack(long, 273, 4, 1, begin + 6),
            struct.pack(short, 277, 3, 1, 3),
            struct.pack(short, 278, 3, 1, height),
            struct.pack(long, 279, 4, 1, len(content)),
        ]
        head = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(entries))
        path.write_bytes(head + b"".join(entries) + bytes(4) + struct.pack(f"{order}3H", 16, 16, 16) + content)

    return write


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize(
    ("ending", "write"),
    [
        ("png", deep_png),
        *(("tif", deep_tiff(order, compression)) for order in "<>" for compression in (1, 8)),
    ],
)
def test_colours_in_16_bit_files_are_scaled_as_grey_is(
    tmp_path: Path, ending: str, write: Callable[[Path, np.ndarray], None], bits: int
) -> None:
    (tmp_path / "scans").mkdir()
    pixels = np.random.default_rng(0).integers(0, 1 << bits, (4, 5, 6, 3)).astype(np.uint16)
    pixels[0, 0, 0, 0] = (1 << bits) - 1
    for index, picture in enumerate(pixels):
        write(tmp_path / "scans" / f"{index}.{ending}", picture)
    dataset = opened(tmp_path / "scans")
    read = np.concatenate([dataset.train_images, dataset.test_images])
    expected = (pixels >> (bits - 8)).astype(np.uint8).transpose(0, 3, 1, 2)
    assert sorted(map(bytes, read)) == sorted(map(bytes, expected))
    assert len(dataset.notes) == (bits != 16)


def test_a_dry_run_and_the_run_itself_tell_what_the_pixels_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUIAE_DATA_DIR", str(tmp_path / "prepared"))
    (tmp_path / "scans").mkdir()
    for index in range(12):
        Image.fromarray(np.full((8, 8), 340 * index, np.uint16)).save(tmp_path / "scans" / f"{index}.png")
    (tmp_path / "scans" / "list.txt").write_text("")
    overrides = {"data.dataset": f"folder:{tmp_path / 'scans'}", "training.epochs": 1, "training.device": "cpu"}
    config = build_config({}, overrides)
    prepare(config.data.dataset)
    (manifest,) = filter(None, map(read_manifest, (tmp_path / "prepared").iterdir()))
    assert len(manifest.notes) == 2
    assert {*manifest.notes} <= {*dry_run(config, tmp_path / "runs").warnings}
    run = create_run(config, tmp_path / "runs", [])
    assert work(run, Interrupt()) == 0
    told = [
        event["text"] for event in map(json.loads, run.events.read_text().splitlines()) if event["kind"] == "warning"
    ]
    assert tuple(told[:2]) == manifest.notes


@pytest.mark.parametrize("value", [-1, 70_000])
def test_values_beyond_16_bits_are_refused_by_name(tmp_path: Path, value: int) -> None:
    (tmp_path / "scans").mkdir()
    for index in range(3):
        Image.fromarray(np.full((4, 4), value, np.int32)).save(tmp_path / "scans" / f"{index}.tif")
    with pytest.raises(DataError):
        opened(tmp_path / "scans")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_nearly_black_images_are_called_so(tmp_path: Path, mode: str) -> None:
    for index in range(4):
        paint(tmp_path / "masks" / f"{index}.png", index, mode)
    for size in (0, 8):
        assert len(opened(tmp_path / "masks", size).notes) == 1


def tags(*entries: tuple[int, int, int, bytes], rest: bytes = b"") -> bytes:
    """An EXIF block, as a JPEG holds it, of (tag, type, count, value or offset)."""
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", 0) + rest


ON_ITS_SIDE = (0x0112, 3, 1, struct.pack("<H", 6))


@pytest.mark.parametrize(
    ("exif", "turned"),
    [
        (tags(ON_ITS_SIDE), True),
        # A signed fraction where an unsigned one belongs: it is read, and cannot be written back.
        (tags(ON_ITS_SIDE, (0x011A, 10, 1, struct.pack("<I", 38)), rest=struct.pack("<ii", -1, 0)), True),
        (tags((0x0112, 2, 2, b"6\0")), False),
        (b"Exif\0\0II*\0" + struct.pack("<I", 4_000_000), False),
        (b"Exif\0\0rubbish", False),
    ],
)
def test_a_picture_is_turned_by_its_tag_and_shown_with_any(tmp_path: Path, exif: bytes, turned: bool) -> None:
    (tmp_path / "shots").mkdir()
    for index in range(3):
        shot = np.zeros((8, 16, 3), np.uint8)
        shot[:, :8] = 255  # its left half; upright, the upper one
        Image.fromarray(shot).save(tmp_path / "shots" / f"{index}.jpg", exif=exif, quality=95)
    dataset = opened(tmp_path / "shots")
    assert dataset.image_shape == ((3, 16, 8) if turned else (3, 8, 16))
    assert dataset.train_images[0, 0, 1, 1] > 250
    assert (dataset.train_images[0, 0, -2, 1] < 5) == turned


def test_a_tiff_on_its_side_is_turned_once(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for index in range(3):
        shot = np.zeros((8, 16), np.uint8)
        shot[:, :8] = 255
        Image.fromarray(shot).save(tmp_path / "shots" / f"{index}.tif", tiffinfo={0x0112: 6})
    dataset = opened(tmp_path / "shots")
    assert dataset.image_shape == (1, 16, 8)
    assert dataset.train_images[0, 0, :, 0].tolist() == [255] * 8 + [0] * 8


@pytest.mark.parametrize("kind", [TypeError, struct.error, MemoryError, RecursionError, SyntaxError, KeyError])
def test_whatever_a_decoder_raises_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    def fail(*_: object) -> None:
        raise kind("argument out of range")

    classes(tmp_path / "pets", "cat", "dog")
    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "pets")
    assert str(tmp_path / "pets") in caught.value.cause


def huge(path: Path) -> None:
    """Half a gigapixel by its header."""
    paint(path, 0)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 1 << 15, 1 << 14)
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def torn(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("damage", [huge, empty, torn])
def test_a_damaged_picture_is_named_in_a_sentence(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    classes(tmp_path / "pets", "cat", "dog")
    damage(tmp_path / "pets" / "cat" / "odd.png")
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "pets")
    assert "odd.png" in caught.value.cause
    assert "\n" not in caught.value.cause


# Names


def test_names_that_are_not_utf_8_are_read_and_shown(tmp_path: Path) -> None:
    pets = tmp_path / "pets"
    classes(pets, "cat", "dog")
    os.rename(os.fsencode(pets / "cat" / "0.png"), os.fsencode(pets / "cat") + b"/caf\xe9.png")
    os.rename(os.fsencode(pets / "dog"), os.fsencode(pets) + b"/fran\xe7ais")
    dataset = opened(pets)
    assert dataset.classes == ("cat", r"fran\xe7ais")
    assert len(dataset.train_labels) + len(dataset.test_labels) == 6


def test_a_path_that_no_config_can_hold_is_refused(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/donn\xe9es")
    path = os.fsdecode(os.fsencode(tmp_path) + b"/donn\xe9es")
    for opening in (describe, prepare):
        with pytest.raises(DataError):
            opening(f"folder:{path}", root=tmp_path / "root")
