"""Codes on a plane as strings and numbers, and `tuiae explore` as a user runs it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len
from rich.text import Text
from sklearn.decomposition import PCA

from tests.conftest import Laboratory, SharedLaboratory, begin_with
from tests.terminal import Terminal
from tuiae.explore.checkpoint import LoadedRun, load
from tuiae.explore.plane import CodePlane, ImageCodes, between, place, principal_plane, prior_grid, range_grid
from tuiae.render.code_map import class_color, class_signs, draw_code_map, labelled_points
from tuiae.render.grid import draw_gallery, draw_plane
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample

ESCAPE, BLOCK = "\x1b", "▀"
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SIZES = [(0, 0), (0, 5), (5, 0), (1, 1), (3, 2), (15, 5), (16, 6), (20, 9), (40, 12), (78, 22), (120, 40), (198, 58)]


@pytest.fixture(scope="session")
def planar(shared_lab: SharedLaboratory) -> RunPaths:
    """A plain autoencoder with a code of two numbers."""
    plane = {"model.latent": 2, "model.code_activation": "identity", "noise.kind": "none", "training.epochs": 3}
    return shared_lab.train_here("planar", plane)


def opened(run: RunPaths) -> LoadedRun:
    return load(run, device="cpu")


def rows(text: Text) -> list[str]:
    return [line.plain.rstrip() for line in text.split(allow_blank=True)]


def assert_fits(text: Text, width: int, height: int) -> None:
    assert text.plain == "" or len(text.plain.split("\n")) <= height
    assert max(map(cell_len, text.plain.split("\n"))) <= width


def cloud(points: int = 500, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(points, 2)), generator.integers(0, classes, points)


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


# The map


def test_points_stand_where_their_numbers_say() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    lines = rows(draw_code_map(labelled_points(points, np.arange(4), "ABCD"), 60, 15))
    top, middle, bottom = (next(line for line in lines if sign in line) for sign in "BCA")
    assert lines.index(top) < lines.index(middle) < lines.index(bottom)
    assert top.index("B") == bottom.index("D") > middle.index("C") > bottom.index("A")
    assert top.startswith("1.0 ┤")
    assert bottom.startswith("0.0 ┤")
    ticks = next(line for line in lines if line.split() == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"])
    assert abs((ticks.index("0.4") + ticks.index("0.6")) / 2 + 1 - middle.index("C")) <= 1
    assert "across: code 0   up: code 1" in lines


def test_a_shared_cell_shows_its_most_frequent_class_and_the_rest_is_told() -> None:
    points = np.array([[0, 0], [0, 0], [0, 0], [9, 9], [9, 9], [5, 5]])
    codes = labelled_points(points, np.array([1, 2, 2, 3, 0, 1]), ("Ada", "Bob", "Cyd", "Dan"))
    lines = rows(draw_code_map(codes, 40, 16))
    plot = "".join(line.partition("│")[2] or line.partition("┤")[2] for line in lines)
    assert sorted(plot.replace(" ", "")) == ["A", "B", "C"]  # of one each the first
    assert "always behind others: Dan" in lines
    assert "A Ada   B Bob   C Cyd   D Dan" in lines


def test_every_class_has_a_sign_of_its_own() -> None:
    assert "".join(class_signs(FASHION)) == "TRPDCSHNBA"
    glyphs = [chr(code) for code in range(ord("@"), ord("_") + 1)]
    assert list(class_signs(glyphs)) == glyphs
    assert class_signs(["a", "A", "á", "Apfel"]) == ("a", "A", "á", "P")
    assert class_signs(["a", "á"], ascii_only=True) == ("a", "A")
    assert class_signs(["x", "x", "漢", "漢字"]) == ("x", "X", "A", "B")
    assert class_signs(["pictures"]) == ("·",)
    many = class_signs([f"class {index}" for index in range(200)], ascii_only=True)
    assert len(set(many)) > 60
    assert many[-1] == "."
    assert all(cell_len(sign) == 1 for sign in many)


def test_the_legend_is_left_out_where_characters_name_themselves_and_cut_where_it_is_long() -> None:
    points, labels = cloud()
    assert rows(draw_code_map(labelled_points(points, labels, "0123456789"), 60, 20))[-1].startswith("across")
    fashion = rows(draw_code_map(labelled_points(points, labels, FASHION), 60, 20))
    assert fashion[-2].startswith("T T-shirt/top")
    assert fashion[-1].endswith("A Ankle boot")
    folder = rows(draw_code_map(labelled_points(*cloud(500, 60), [f"class {index}" for index in range(60)]), 60, 20))
    assert len(folder) <= 20
    assert folder[-1].endswith("…") or folder[-2].endswith("…")


def test_colour_is_not_the_only_cue_and_ten_classes_have_ten() -> None:
    assert len({class_color(label) for label in range(10)}) == 10
    text = draw_code_map(labelled_points(*cloud(), FASHION), 60, 20)
    styles = {text.plain[span.start]: span.style for span in text.spans if text.plain[span.start] in "TRPDCSHNBA"}
    assert len(set(styles.values())) >= 10


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_map_fits_any_size(width: int, height: int, ascii_only: bool) -> None:
    for classes in (1, 10, 40):
        names = FASHION if classes == 10 else [f"Größe {index}" for index in range(classes)]
        codes = labelled_points(*cloud(300, classes), names, ("code 3", "日本"))
        text = draw_code_map(codes, width, height, ascii_only)
        assert_fits(text, width, height)
        assert not ascii_only or text.plain.isascii()


def test_odd_points_are_left_out_and_none_says_so() -> None:
    points = np.array([[0.0, 0.0], [np.nan, 1.0], [1.0, np.inf], [1.0, 1.0], [3.0, 3.0]])
    shown = draw_code_map(labelled_points(points, np.array([0, 1, 1, 7, -1]), ("a", "b")), 30, 14).plain
    assert "a" in shown
    assert "7" in shown  # a class without a name is called by its number
    assert "always behind" not in shown
    for nothing in (np.zeros((0, 2)), np.full((3, 2), np.nan), np.zeros((3, 5)), np.zeros(4)):
        codes = labelled_points(nothing, np.zeros(len(nothing), int), ("a",))
        assert "no codes yet" in draw_code_map(codes, 30, 9).plain
    assert "a" in draw_code_map(labelled_points(np.full((4, 2), 1e-300), np.zeros(4, int), ("a", "b")), 30, 14).plain


def test_the_map_takes_what_a_run_s_sample_holds(planar: RunPaths) -> None:
    sample = read_sample(planar, RunReader(planar.root).read_all().samples[-1])
    assert sample is not None
    assert sample.codes is not None
    assert sample.code_labels is not None
    plot = draw_code_map(labelled_points(sample.codes, sample.code_labels, sample.classes), 80, 24).plain
    assert all(digit in plot for digit in "0123456789")


# Decoded images


def test_a_plane_has_the_highest_row_first_and_every_picture() -> None:
    images = np.zeros((3, 3, 1, 8, 8), dtype=np.uint8)
    images[0, 2] = 255  # high y, high x
    lines = rows(draw_plane(images, [-1, 0, 1], [1.5, 0, -1.5], 40, "ascii"))
    labelled = [line.split()[0] for line in lines if line.split() and line.split()[0] in ("1.5", "0", "-1.5")]
    assert labelled == ["1.5", "0", "-1.5"]
    assert lines[-1].split() == ["-1", "0", "1"]
    bright = [number for number, line in enumerate(lines) if "@" in line]
    assert max(bright) < len(lines) / 3
    assert {line.index("@") for line in lines if "@" in line} == {lines[0].index("@")}
    assert lines[0].index("@") > lines[-1].index("0")


@pytest.mark.parametrize("size", [(28, 28), (8, 8), (7, 5)])
@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_plane_of_eight_fits_a_terminal(size: tuple[int, int], width: int) -> None:
    grid = prior_grid(8)
    text = draw_plane(pictures(8, 8, 1, *size), grid.x, grid.y, width, "blocks")
    assert_fits(text, width, 100)
    drawn = [line for line in rows(text) if BLOCK in line]
    assert all(len(line.split(BLOCK * 3)) >= 8 for line in drawn)
    assert len(rows(text)[-1].split()) == 8


def test_too_many_pictures_say_how_wide_they_would_be() -> None:
    images, steps = pictures(20, 20, 1, 28, 28), np.linspace(-1, 1, 20)
    words = draw_plane(images, steps, steps, 80, "blocks").plain
    needed = int(words.split()[-2])
    assert "20 pictures a row need" in words
    assert BLOCK in draw_plane(images, steps, steps, needed, "blocks").plain
    assert BLOCK not in draw_plane(images, steps, steps, needed - 1, "blocks").plain


@pytest.mark.parametrize("width", [20, 60, 80, 120])
@pytest.mark.parametrize("count", [1, 7, 10, 11])
def test_a_gallery_shows_every_picture_once(width: int, count: int) -> None:
    captions = [f"n{index}" for index in range(count)]
    text = draw_gallery(pictures(count, 1, 8, 8), width, "blocks", captions)
    assert_fits(text, width, 400)
    assert [word for line in rows(text) for word in line.split() if word.startswith("n")] == captions
    assert draw_gallery(pictures(count, 1, 28, 28), 4, "blocks").plain == "too…"


# Numbers


def test_the_prior_s_grid_has_equal_steps_of_probability() -> None:
    grid = prior_grid(7)
    assert [NormalDist().cdf(value) for value in grid.x] == pytest.approx(np.linspace(0.05, 0.95, 7))
    assert grid.y == pytest.approx(grid.x[::-1])
    assert grid.codes[0] == pytest.approx([-1.6449, 1.6449], abs=1e-4)
    assert grid.codes[-1] == pytest.approx([1.6449, -1.6449], abs=1e-4)


def test_the_range_s_grid_spans_the_codes_and_keeps_rows_apart() -> None:
    codes = np.array([[0.0, -5.0], [2.0, 1.0], [1.0, np.nan], [9.0, np.inf]])
    grid = range_grid(codes, 3)
    assert grid.x.tolist() == [0, 1, 2]
    assert grid.y.tolist() == [1, -2, -5]
    assert grid.codes[:4].tolist() == [[0, 1], [1, 1], [2, 1], [0, -2]]


def test_the_way_between_two_codes_is_straight_and_even() -> None:
    way = between([0, 0, 1], [7, -14, 1], 8)
    assert way.shape == (8, 3)
    assert np.diff(way, axis=0) == pytest.approx(np.tile([1, -2, 0], (7, 1)))
    assert way[[0, -1]].tolist() == [[0, 0, 1], [7, -14, 1]]


def test_wide_codes_are_shown_on_their_principal_plane() -> None:
    generator = np.random.default_rng(0)
    codes = generator.normal(size=(300, 6)) @ generator.normal(size=(6, 6))
    points, shares = principal_plane(codes)
    pca = PCA(2, svd_solver="full").fit(codes)
    assert np.abs(points) == pytest.approx(np.abs(pca.transform(codes)), abs=1e-8)
    assert shares == pytest.approx(pca.explained_variance_ratio_)
    assert principal_plane(codes[::-1])[0][::-1] == pytest.approx(points)
    holed = np.vstack([codes, np.full(6, np.nan)])
    assert principal_plane(holed)[0][:-1] == pytest.approx(points)
    assert np.isnan(principal_plane(holed)[0][-1]).all()
    assert principal_plane(codes[:1])[0].tolist() == [[0, 0]]
    assert np.isnan(principal_plane(np.full((2, 3), np.nan))[0]).all()


def plane(codes: np.ndarray, labels: np.ndarray, axes: tuple[int, int] | None = None) -> CodePlane:
    return place(ImageCodes(np.arange(len(codes)), codes, labels), "axes" if axes else "", axes)


def test_a_plane_says_what_it_shows() -> None:
    codes, labels = np.arange(12.0).reshape(4, 3), np.array([0, 1, 2, 1])
    assert plane(codes[:, :2], labels).axes == ("code 0", "code 1")
    assert plane(codes, labels, (2, 0)).points.tolist() == codes[:, [2, 0]].tolist()
    assert plane(codes, labels, (2, 0)).axes == ("code 2", "code 0")
    assert plane(codes, labels).axes == ("principal component 1 (100.0%)", "principal component 2 (0.0%)")
    assert plane(codes[:, :1], labels).points.tolist() == [[0, 0], [3, 1], [6, 2], [9, 1]]


# The command


@pytest.mark.thorough
def test_without_an_option_it_shows_what_the_run_has(
    shared_lab: Laboratory, finished: RunPaths, classified: RunPaths, planar: RunPaths, plane_vae: RunPaths
) -> None:
    figures = {"codes", "plane", "samples", "between"}
    shown = {
        run.id: figures & set(shared_lab("explore", run.id, "--json").document)
        for run in (finished, classified, planar, plane_vae)
    }
    assert shown[classified.id] == {"codes"}
    assert shown[finished.id] == shown[planar.id] == {"codes", "plane"}
    assert shown[plane_vae.id] == {"codes", "plane", "samples"}


def test_what_json_holds_is_what_the_network_says(shared_lab: Laboratory, plane_vae: RunPaths) -> None:
    asked = ("--codes", "--plane", "3", "--samples", "5", "--seed", "7", "--between", "4,9", "--json")
    document = shared_lab("explore", plane_vae.id, "--device", "cpu", *asked).document
    run = opened(plane_vae)
    codes, labels = run.codes()
    assert np.array(document["codes"]["values"]) == pytest.approx(codes, rel=1e-5, abs=1e-5)
    assert document["codes"]["labels"] == labels.tolist()
    assert all(len(f"{value:.17g}") and float(f"{value:.6g}") == value for value in document["codes"]["values"][0])
    assert document["classes"] == list("0123456789")
    plane = document["plane"]
    assert plane["values_from"] == "prior"
    assert np.array(plane["images"]).shape == (3, 3, 1, 8, 8)
    corner = run.decode(np.array([[plane["x"][2], plane["y"][0]]]))[0]
    assert np.array(plane["images"][0][2]) == pytest.approx(corner * 255, abs=1.0)
    assert np.array(document["samples"]["images"]) == pytest.approx(run.prior_samples(5, seed=7) * 255, abs=0.51)
    way = document["between"]
    assert way["positions"] == [4, 9]
    assert way["classes"] == [str(labels[4]), str(labels[9])]
    _, made = run.reconstruct(run.images("test", [4, 9]))
    assert np.array(way["images"])[[0, -1]] == pytest.approx(made * 255, abs=1.0)
    assert np.array(way["ends"]) == pytest.approx(run.images("test", [4, 9]) * 255, abs=0.51)
    assert len(way["images"]) == len(way["codes"]) == 8


@pytest.mark.thorough
def test_a_plain_autoencoder_s_plane_spans_its_test_codes_and_says_so(shared_lab: Laboratory, planar: RunPaths) -> None:
    plane = shared_lab("explore", planar.id, "--plane", "--json").document["plane"]
    codes, _ = opened(planar).codes()
    assert plane["values_from"] == "range"
    assert (len(plane["x"]), len(plane["y"])) == (8, 8)  # the usual size, without a number
    assert [plane["x"][0], plane["y"][-1]] == pytest.approx(codes.min(axis=0), rel=1e-5, abs=1e-5)
    assert [plane["x"][-1], plane["y"][0]] == pytest.approx(codes.max(axis=0), rel=1e-5, abs=1e-5)
    shown = shared_lab("explore", "--plane", planar.id).stdout  # the option first is no trouble
    assert "over the range of the test codes" in shown
    assert "no prior" in shown


def test_a_wide_code_has_the_plane_of_its_principal_components_and_saves_its_pictures(
    shared_lab: Laboratory, finished: RunPaths, tmp_path: Path
) -> None:
    plane = shared_lab("explore", finished.id, "--plane", "3", "--json").document["plane"]
    assert (plane["projection"], plane["values_from"]) == ("principal", "range")
    loaded = opened(finished)
    codes = loaded.codes()[0].astype(np.float64)
    axes = PCA(2).fit(codes)
    turn = np.sign(axes.components_[np.arange(2), np.abs(axes.components_).argmax(axis=1)])
    corner = axes.mean_ + (np.array([plane["x"][0], plane["y"][0]]) * turn) @ axes.components_
    wanted = (loaded.decode(corner[None])[0].clip(0, 1) * 255).round()
    assert np.abs(np.array(plane["images"][0][0]) - wanted).max() <= 1
    file = tmp_path / "plane.png"
    shown = shared_lab("explore", finished.id, "--plane", "3", "--png", str(file)).stdout
    with Image.open(file) as saved:
        drawn = np.asarray(saved)
    first, last = (np.array(plane["images"][at][at][0]).repeat(14, 0).repeat(14, 1) for at in (0, -1))
    np.testing.assert_array_equal(drawn[2:114, 2:114], first[..., None].repeat(3, 2))
    np.testing.assert_array_equal(drawn[-114:-2, -114:-2, 0], last)
    again = shared_lab("explore", finished.id, "--plane", "3", "--png", str(file), "--json").document
    assert again["png"] == str(tmp_path / "plane-2.png")
    assert "9 pictures are in" in shown
    assert "the mean code, moved so far along both components" in shown
    assert "across: principal component 1 (" in shown


@pytest.mark.thorough
def test_classes_name_their_first_images(shared_lab: Laboratory, planar: RunPaths) -> None:
    labels = opened(planar).labels()
    first = [int(np.flatnonzero(labels == digit)[0]) for digit in (3, 8)]
    way = shared_lab("explore", planar.id, "--between", "class:3,class:8", "--json").document["between"]
    assert way["positions"] == first
    twice = shared_lab("explore", planar.id, "--between", "class:3,class:3", "--json").document["between"]
    assert twice["positions"] == np.flatnonzero(labels == 3)[:2].tolist()
    shown = shared_lab("explore", planar.id, "--between", f"{first[0]},{first[1]}").stdout.splitlines()
    assert f"from test image {first[0]} (3) to test image {first[1]} (8)" in shown


@pytest.mark.thorough
def test_wide_codes_are_mapped_by_principal_components_or_by_two_of_them(
    shared_lab: Laboratory, finished: RunPaths
) -> None:
    codes = shared_lab("explore", finished.id, "--codes", "--json").document["codes"]
    assert codes["projection"] == "principal"
    assert (len(codes["values"][0]), len(codes["points"][0])) == (8, 2)
    chosen = shared_lab("explore", finished.id, "--dims", "6,1", "--json").document["codes"]
    assert [point[0] for point in chosen["points"]] == [values[6] for values in chosen["values"]]
    shown = shared_lab("explore", finished.id, "--dims", "6,1").stdout
    assert "across: code 6   up: code 1" in shown
    assert "codes of 297 test images (8 numbers each)" in shown


def on_terminal(lab: Laboratory, size: tuple[int, int], arguments: list[str], **env: str) -> tuple[list[str], bytes]:
    """What a terminal of that size was given, line by line, and the bytes."""
    command = [sys.executable, "-m", "tuiae", "explore", *arguments]
    with Terminal(command, *size, {**lab.environment, **env}) as terminal:
        assert terminal.exit_code(60) == 0
        return terminal.lines(), terminal.raw


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_a_map_fills_a_terminal_and_stays_on_it(
    shared_lab: Laboratory, plane_vae: RunPaths, size: tuple[int, int]
) -> None:
    lines, raw = on_terminal(shared_lab, size, [plane_vae.id, "--codes"])
    assert lines[0].startswith(plane_vae.id)  # nothing has scrolled away
    plot = "\n".join(lines)
    assert all(digit in plot for digit in "0123456789")
    assert sum("│" in line or "┤" in line for line in lines) >= size[1] - 10
    assert b"38;2;" in raw


@pytest.mark.thorough
def test_pictures_are_half_blocks_in_colour_and_characters_without(shared_lab: Laboratory, plane_vae: RunPaths) -> None:
    arguments = [plane_vae.id, "--samples", "4"]
    assert BLOCK in "\n".join(on_terminal(shared_lab, (80, 24), arguments)[0])
    colourless, raw = on_terminal(shared_lab, (80, 24), arguments, NO_COLOR="1")
    assert BLOCK not in "\n".join(colourless)
    assert b"38;2;" not in raw
    for options in (["--plain"], []):
        plain = shared_lab("explore", *arguments, *options).stdout
        assert BLOCK not in plain
        assert ESCAPE not in plain
        assert "drawn from the prior (seed 0)" in plain
    everything = ("--codes", "--plane", "3", "--samples", "--between", "0,1")
    assert shared_lab("explore", plane_vae.id, *everything, "--ascii").stdout.isascii()


@pytest.mark.thorough
def test_images_without_classes_are_points_without_names(lab: Laboratory) -> None:
    folder = lab.root / "pictures"
    folder.mkdir(parents=True)
    for index in range(24):
        Image.fromarray(pictures(24, 8, 8)[index]).save(folder / f"{index}.png")
    run = lab.train("--dataset", f"folder:{folder}", "--epochs", "1", "--latent", "2")
    shown = lab("explore", run.id, "--codes", "--between", "0,1").stdout
    assert "·" in shown
    assert "from test image 0 to test image 1" in shown
    refused = lab("explore", run.id, "--between", "0,picture", check=2).stderr
    assert "'picture'" in refused
    assert "or a class" not in refused


def without_torch(lab: Laboratory, folder: Path) -> dict[str, Any]:
    (folder / "torch.py").write_text("raise ImportError('torch was asked for')\n")
    return {"env": {**lab.environment, "PYTHONPATH": f"{folder}:{lab.environment['PYTHONPATH']}"}}


@pytest.mark.parametrize(("which", "argument"), [("classified", "--plane"), ("finished", "--dims=1")])
def test_what_a_run_does_not_have_is_refused_before_torch(
    shared_lab: Laboratory, which: str, argument: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(which)
    shared_lab.process("explore", run.id, argument, check=2, **without_torch(shared_lab, tmp_path))


@pytest.mark.parametrize("arguments", [["--plane", "1"], ["--samples", "0"], ["--device", "cuda:99"]])
def test_what_is_not_there_is_told(shared_lab: Laboratory, plane_vae: RunPaths, arguments: list[str]) -> None:
    assert "Traceback" not in shared_lab("explore", plane_vae.id, *arguments, check=2).stderr


def test_a_run_without_a_checkpoint_is_told_before_torch(lab: Laboratory, planar: RunPaths, tmp_path: Path) -> None:
    run = lab.copy(planar)
    shutil.rmtree(run.weights)
    result = lab.process("explore", run.id, "--json", check=2, **without_torch(lab, tmp_path))
    assert result.document["hint"] == f"train it from the first step: tuiae run {run.config}"
    begin_with(run, "[model]\nfamily = 'of another version'\n")
    lab("explore", run.id, check=2)
    lab("explore", "nothing-of-that-name", check=2)
