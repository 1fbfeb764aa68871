"""What the panels draw, read as plain strings; then the panels themselves on screens small and large."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.text import Text
from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from tuiae.config import build_config
from tuiae.render import palette, ticks
from tuiae.render.confusion import MatrixLook, draw_confusion
from tuiae.render.curves import EMPTY, Curve, Look, draw_curves, prepare, train_and_test
from tuiae.render.dots import thin
from tuiae.render.grid import cell_sizes, image_grid, plan
from tuiae.render.legend import legend
from tuiae.render.log import fit_line, log_line
from tuiae.render.pixels import RAMPS, character_ramp, half_blocks, resample
from tuiae.render.status import draw_facts, title_line
from tuiae.render.text import caption, centred, clean, count, duration, number, percent, shorten, tell_apart, wrap
from tuiae.runs.snapshot import Snapshot, Status
from tuiae.ui.widgets.curves import CurvesPanel
from tuiae.ui.widgets.images import ImagesPanel
from tuiae.ui.widgets.left import MOST_LINES, FactsPanel, LogPanel
from tuiae.ui.widgets.run_view import ConfusionPanel

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SIZES = [(0, 0), (0, 5), (5, 0), (1, 1), (3, 2), (8, 3), (18, 3), (20, 5), (40, 12), (78, 22), (120, 40), (198, 58)]


def curves_of(points: int = 200) -> tuple[Curve, Curve]:
    x = np.linspace(0, 12, points)
    noise = np.random.default_rng(0).normal(0, 0.001, points)
    epochs = np.arange(1, 13)
    return train_and_test([x, epochs], [0.011 + 0.06 * np.exp(-x) + noise, 0.013 + 0.05 * np.exp(-epochs)])


def images_of(size: tuple[int, int], number: int = 8) -> list[tuple[str, np.ndarray]]:
    images = np.random.default_rng(0).integers(0, 256, (number, 1, *size), dtype=np.uint8)
    return [("input", images), ("noisy", 255 - images), ("output", images // 2)]


def counts_of(classes: int, right: int = 90) -> np.ndarray:
    return np.eye(classes, dtype=int) * right + np.random.default_rng(0).integers(0, 5, (classes, classes))


def assert_fits(text: Text, width: int, height: int) -> None:
    lines = text.plain.split("\n")
    assert text.plain == "" or len(lines) <= height
    assert max(map(cell_len, lines)) <= width


# Text


@pytest.mark.parametrize(
    ("dirty", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[31mred\x1b[0m b", "ared b"),
        ("\x1b]0;title\x07name", "name"),
        ("\x9b31mred", "red"),
        ("one\ttwo\r\nthree  four", "one two three four"),
        ("nul\x00bell\x07del\x7f", "nulbelldel"),
        ("right\u202eleft", "rightleft"),
        ("[/x] [bold]", "[/x] [bold]"),
    ],
)
def test_clean_leaves_nothing_that_moves_a_terminal(dirty: str, shown: str) -> None:
    assert clean(dirty) == shown


def test_shortening_counts_cells_and_keeps_the_verdict() -> None:
    assert shorten("Ankle boot", 6) == "Ankle…"
    assert cell_len(shorten("日本語の名前", 5)) <= 5
    assert shorten("abc", 0) == ""
    assert caption("Ankle boot ✓", 8) == "Ankle… ✓"
    assert caption("Shirt→Coat ✗", 40) == "Shirt→Coat ✗"
    numbers = {("0.1036", 5): "0.104", ("24.35", 4): "24.4", ("0.00012", 5): "0.00…", ("9.99", 1): "…"}
    assert {key: caption(*key) for key in numbers} == numbers


@pytest.mark.parametrize(
    ("texts", "cut"),
    [
        (["a b", "a c"], ["a b", "a c"]),
        (["the very same words here a", "the very same words here b"], ["…a", "…b"]),
        (["the very same words", "the very same words x"], ["…words", "…words x"]),
        (["one that is very long", "b"], ["one t…long", "b"]),
    ],
)
def test_what_is_cut_keeps_what_tells_it_apart(texts: list[str], cut: list[str]) -> None:
    assert tell_apart(texts, 10) == cut


def test_numbers() -> None:
    values = [0.01234, 1.23, 123.4, 9.99996, 0, 1e-5, 1.5e7, -0.5, None, float("nan"), float("inf")]
    expected = ["0.01234", "1.230", "123.4", "10.00", "0", "1.000e-5", "1.500e7", "-0.5000", "–", "–", "∞"]
    assert [number(value) for value in values] == expected
    assert [count(value) for value in (7, 12_345, 1_234_567, None)] == ["7", "12,345", "1.2M", "–"]
    assert [duration(value) for value in (42, 3753, 59.6, None, float("nan"))] == ["0:42", "1:02:33", "1:00", "–", "–"]
    assert [percent(value) for value in (0.883, None)] == ["88.3%", "–"]


def test_centred_message() -> None:
    assert centred("hi", 6, 3).plain == "\n  hi"
    assert centred("hello", 3, 1).plain == "he…"


@pytest.mark.parametrize("light", [False, True])
def test_colours_stay_legible(light: bool) -> None:
    for right in (True, False):
        lights = [palette.luminance(palette.count_ramp(float(share), right, light)) for share in np.linspace(0, 1, 11)]
        # Few images look like the screen, many are far from it.
        assert lights == sorted(lights, reverse=light)
        assert (lights[0] > 0.8) if light else (lights[0] < 0.05)
    for share in np.linspace(0, 1, 11):
        for right in (True, False):
            back = palette.count_ramp(float(share), right, light)
            lights = sorted((palette.luminance(back) + 0.05, palette.luminance(palette.ink_on(back)) + 0.05))
            assert lights[1] / lights[0] >= 4.5


# Images


def test_half_blocks_put_two_pixels_in_a_cell_and_merge_equal_neighbours() -> None:
    image = np.array([[0, 0, 255], [255, 255, 0]], np.uint8)
    (line,) = half_blocks(image[..., None], 3, 1)
    assert line.plain == "▀▀▀"
    assert [(span.start, span.end) for span in line.spans] == [(0, 2), (2, 3)]
    colours = [(span.style.color.triplet.hex, span.style.bgcolor.triplet.hex) for span in line.spans]
    assert colours == [("#000000", "#ffffff"), ("#ffffff", "#000000")]


def test_whole_multiples_stay_crisp_and_an_odd_height_leaves_a_half_row() -> None:
    image = np.array([[0], [255], [0]], np.uint8)
    lines = half_blocks(image[..., None], 1, 2)
    assert lines[1].spans[0].style.bgcolor is None
    image = np.random.default_rng(0).integers(0, 2, (4, 4)).astype(np.uint8) * 255
    shades = {span.style.color.triplet.hex for line in half_blocks(image[..., None], 12, 6) for span in line.spans}
    assert shades <= {"#000000", "#ffffff"}


def test_shrinking_averages_areas() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[:, ::2] = 254
    shades = {span.style.color.triplet.red for line in half_blocks(image[..., None], 14, 7) for span in line.spans}
    assert len(shades) == 1
    assert 120 <= shades.pop() <= 134


@pytest.mark.parametrize(("width", "height"), [(9, 14), (16, 12), (3, 5), (10, 2)])
def test_resampled_pixels_are_exact_so_that_no_processor_rounds_them_otherwise(width: int, height: int) -> None:
    image = np.random.default_rng(0).choice(np.array([0, 85, 127, 255], np.uint8), (7, 5, 3))

    def shares(old: int, new: int, place: int) -> list[Fraction]:
        """Of a new pixel, the share that each old one has."""
        low, high = Fraction(place * old, new), Fraction((place + 1) * old, new)
        return [max(min(high, index + 1) - max(low, index), Fraction(0)) / (high - low) for index in range(old)]

    for row in range(height):
        for column in range(width):
            down, across = shares(7, height, row), shares(5, width, column)
            areas = {(i, j): down[i] * across[j] for i in range(7) for j in range(5) if down[i] * across[j]}
            exact = [round(sum(area * int(image[i, j, c]) for (i, j), area in areas.items())) for c in range(3)]
            assert resample(image, width, height)[row, column].tolist() == exact


@pytest.mark.parametrize("shape", [(6, 4, 3), (6, 4, 1)])
def test_grey_and_coloured_images(shape: tuple[int, ...]) -> None:
    lines = half_blocks(np.full(shape, 255, np.uint8), 4, 3)
    assert [line.plain for line in lines] == ["▀▀▀▀"] * 3


def test_ascii_ramp_goes_from_dark_to_light_in_ascii() -> None:
    image = np.tile(np.linspace(0, 255, 10).astype(np.uint8), (2, 1))
    assert character_ramp(image[..., None], 10, 1)[0].plain == RAMPS["ascii"]
    text = image_grid([("entrée", images_of((28, 28))[0][1])], 100, 30, "ascii", [("", ["Coat→Shirt ✗"] * 8)])
    assert text.plain.isascii()


@pytest.mark.parametrize(
    ("width", "height", "cell", "shown"), [(80, 20, (12, 6), 5), (120, 40, (24, 12), 4), (200, 60, (28, 14), 6)]
)
def test_grid_takes_the_largest_pictures_that_fit(width: int, height: int, cell: tuple[int, int], shown: int) -> None:
    layout = plan((8, 28, 28), 3, width, height, gutter=8)
    assert layout is not None
    assert ((layout.columns, layout.rows), layout.shown) == (cell, shown)
    lines = image_grid(images_of((28, 28)), width, height).plain.split("\n")
    assert max(line.count("▀") for line in lines) == cell[0] * shown
    assert sum("▀" in line for line in lines) == 3 * cell[1]


@pytest.mark.parametrize(("size", "cell"), [((8, 8), (32, 16)), ((7, 5), (20, 14)), ((28, 28), (28, 14))])
def test_small_pictures_are_enlarged_by_whole_factors(size: tuple[int, int], cell: tuple[int, int]) -> None:
    layout = plan((8, *size), 3, 200, 60, gutter=8)
    assert layout is not None
    assert (layout.columns, layout.rows) == cell


def test_tiny_pictures_are_fewer_rather_than_below_their_own_size() -> None:
    assert cell_sizes(8, 8)[-1] == (6, 3)
    layout = plan((8, 8, 8), 3, 28, 13, gutter=8)
    assert layout is not None
    assert (layout.columns, layout.rows, layout.shown) == (8, 4, 2)


async def test_errors_beside_smaller_pictures_leave_them_about_as_large() -> None:
    app = Gallery()
    async with app.run_test(size=(200, 60)) as pilot:
        panel, rows = app.query_one(ImagesPanel), images_of((28, 28))[:2]
        panel.show(rows, error=(("error", np.zeros((8, 3, 28, 28), np.uint8)), ""))
        panel.error = False
        await pilot.pause()
        assert panel.resize_pictures(-1)
        assert panel.resize_pictures(-1)
        before = widest(panel)
        panel.toggle_error()
        assert 0.6 * before <= widest(panel) <= before
        panel.toggle_error()
        assert widest(panel) == before


def widest(panel: ImagesPanel) -> int:
    """The columns of a picture that shows."""
    return max(map(len, re.findall("▀+", panel.drawing(*panel.content_size).plain)))


def test_grid_labels_rows_and_captions_columns() -> None:
    text = image_grid(images_of((8, 8)), 100, 20, captions=[("", ["Coat ✓", "Shirt→Coat ✗"])])
    lines = text.plain.split("\n")
    assert [line.split()[0] for line in lines if line.strip() and line.strip()[0].isalpha()][:3] == [
        "input",
        "noisy",
        "output",
    ]
    assert "Coat ✓" in lines[-1]
    assert lines[-1].rstrip().endswith("✗")


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("mode", ["blocks", "ascii"])
def test_grid_fits_any_size(width: int, height: int, mode: str) -> None:
    for size in ((28, 28), (8, 8), (7, 5), (64, 48)):
        assert_fits(image_grid(images_of(size), width, height, mode, [("", ["x"] * 8)]), width, height)


def test_grid_without_usable_pictures_says_so() -> None:
    empty = np.zeros((0, 1, 28, 28), np.uint8)
    assert "no images" in image_grid([("input", empty)], 40, 5).plain
    assert "no images" in image_grid([("input", np.zeros((2, 4, 8, 8), np.uint8))], 40, 5).plain


# Curves


def test_thinning_a_series_keeps_both_ends_and_every_extreme() -> None:
    x, y = np.arange(10_000), np.zeros(10_000, int)
    y[1234], y[7777], y[0], y[-1] = 9, -9, 3, 4
    short_x, short_y = thin(x, y, 200)
    assert len(short_x) <= 100
    assert (np.diff(short_x) >= 0).all()
    assert {9, -9, 3, 4} <= set(short_y.tolist())
    assert len(thin(x[:20], np.arange(20) % 2, 1)[0]) == 20
    assert thin(np.zeros(500, int), np.arange(500), 10)[1].tolist() == [0, 499]


def test_points_that_cannot_be_drawn_are_left_out() -> None:
    curve = Curve("a", np.array([3, 1, 2, 4, 5]), np.array([1.0, np.nan, np.inf, 0.0, 100.0]))
    assert prepare(curve).x.tolist() == [3, 4, 5]
    assert prepare(curve, Look(log_y=True)).y.tolist() == [1, 100]


def test_a_first_epoch_far_above_all_others_does_not_press_them_flat() -> None:
    x = np.linspace(0.02, 40, 2000)
    curve = Curve("train", x, 0.005 + 0.2 * np.exp(-10 * x) + 0.001 * np.exp(-x / 10))
    rows = draw_curves([curve], 60, 14).plain.split("\n")
    assert "↑" in rows[0]
    assert all(0.005 <= float(row.split()[0]) < 0.0065 for row in rows[:-2] if "┤" in row)
    assert not any("↓" in row for row in rows)
    near = draw_curves([replace(curve, x=x[:50], y=curve.y[:50])], 60, 14).plain  # the first epoch alone
    assert "↑" not in near
    assert "0.2" in near
    assert "↑" not in draw_curves([curve], 60, 14, look=Look(log_y=True)).plain
    assert "↑" not in draw_curves([curve], 60, 14, look=Look("noise")).plain


def test_what_is_far_beyond_a_plot_is_not_drawn_dot_by_dot() -> None:
    x = np.linspace(0.1, 40, 400)
    rows = draw_curves([Curve("train", x, np.where(x < 0.5, 1e300, 1 / x))], 60, 14).plain.split("\n")
    assert "↑" in rows[0]


def test_plot_has_a_left_and_a_lower_axis_only() -> None:
    lines = draw_curves(curves_of(), 60, 14).plain.split("\n")
    assert len(lines) == 14
    corner = lines[-2].index("└")
    assert all(line[corner] in "│┤↑" for line in lines[:-2])
    assert lines[-1].startswith("epoch")
    assert lines[-1].split()[-1] == "12"
    assert "┐" not in "".join(lines)


def test_train_and_test_differ_by_more_than_colour() -> None:
    flat = np.array([0.0, 10.0]), np.array([0.5, 0.5])
    both = train_and_test((flat[0], flat[0]), (flat[1], flat[1]))
    train, test = (draw_curves((curve,), 60, 14).plain for curve in both)
    # A gap of one cell in the row is what a dashed line has and a whole one has not.
    gap = re.compile(r"[⠁-⣿] [⠁-⣿]")
    assert gap.search(test)
    assert not gap.search(train)
    assert legend(curves_of()).plain.startswith("━ train 0.0")
    assert "╍" in legend(curves_of()).plain


def test_plot_paints_no_background() -> None:
    spans = draw_curves(curves_of(), 60, 14).spans
    assert all(isinstance(span.style, str) or span.style.bgcolor is None for span in spans)


def test_plot_is_as_wide_as_asked_whatever_the_terminal() -> None:
    lines = draw_curves(curves_of(2000), 250, 70).plain.split("\n")
    assert len(lines) == 70
    assert max(map(cell_len, lines)) == 250


@pytest.mark.parametrize("values", [[], [np.nan, np.inf]])
def test_nothing_to_plot_says_what_it_waits_for(values: list[float]) -> None:
    curve = Curve("train", np.arange(len(values)), np.array(values))
    assert draw_curves([curve], 60, 9).plain.strip() == EMPTY
    assert draw_curves([], 60, 9).plain.strip() == EMPTY


@pytest.mark.parametrize("y", [[0.5], [0.5, 0.5], [0, 0, 0], [1e-12, 2e-12], [-1e30, 1e30], [5, np.nan, 7], [1e9, 1]])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_odd_series_fit_any_size(y: list[float], log: bool, width: int, height: int) -> None:
    x = np.arange(len(y)) + 1
    curves = [Curve("[/x]", x, np.array(y)), Curve("b", x, np.array(y), stroke="dotted", sign="×")]
    assert_fits(draw_curves(curves, width, height, title="[/x]", look=Look(log_y=log)), width, height)


def test_ticks_are_round_and_told_apart() -> None:
    assert ticks.labels(ticks.linear_ticks((0.009, 0.071), 5)) == ["0.02", "0.04", "0.06"]
    assert ticks.labels(ticks.linear_ticks((0, 50_000), 5)) == [
        "0",
        "10,000",
        "20,000",
        "30,000",
        "40,000",
        "50,000",
    ]
    assert ticks.labels(ticks.linear_ticks((0, 2e6), 4)) == ["0", "500k", "1M", "1.5M", "2M"]
    assert ticks.labels(ticks.linear_ticks((1, 3), 20, whole=True)) == ["1", "2", "3"]
    assert ticks.labels([0.005, 0.015]) == ["0.005", "0.015"]
    assert ticks.log_labels(ticks.log_ticks((-3, 0), 4)) == ["0.001", "0.01", "0.1", "1"]
    labels = ticks.labels(ticks.linear_ticks((1e-7, 9e-7), 5))
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("columns", [30, 33, 41, 60, 90])
def test_no_epoch_is_left_out_between_two_ticks(columns: int) -> None:
    for epochs in range(2, 2000, 7):
        placed = [value for value, _ in ticks.x_ticks((1.0, float(epochs)), columns, ticks.Axis(kind="epoch"))]
        gaps = {round(after - before) for before, after in pairwise(placed)}
        assert len(gaps) == 1
        assert str(gaps.pop()).rstrip("0") in ("1", "2", "5")


@pytest.mark.parametrize("rows", [3, 4, 5, 10, 17, 40])
def test_no_accuracy_is_above_a_hundred_per_cent(rows: int) -> None:
    for lowest, highest in ((10.0, 99.7), (33.0, 98.0), (0.0, 100.0), (99.2, 99.9)):
        limits, values = ticks.on_rows((lowest, highest), rows, 4, 100.0)
        assert len(values) > 1
        assert max(values) <= 100
        assert limits[0] <= lowest <= highest <= limits[1]


def test_short_words_on_an_axis_stand_closer() -> None:
    def words(epochs: float, columns: int) -> list[str]:
        return [text for _, text in ticks.x_ticks((0.5, epochs), columns, ticks.Axis(kind="epoch"))]

    assert words(5, 36) == ["1", "2", "3", "4", "5"]
    assert words(30, 36) == ["5", "10", "15", "20", "25", "30"]
    assert words(2000, 36) == ["1,000", "2,000"]
    assert max(len(words(epochs, 120)) for epochs in range(2, 3000, 7)) <= 15


# Confusion


def test_confusion_in_words_and_counts() -> None:
    counts = np.diag([90, 80]) + np.array([[0, 10], [20, 0]])
    lines = draw_confusion(counts, ["Shirt", "Coat"], 50, 10).plain.split("\n")
    words = [line.split() for line in lines if line.strip()]
    assert words[0] == ["Shirt", "Coat"]
    assert ["Shirt", "90", "10"] in words
    assert ["Coat", "20", "80"] in words
    assert "85.00%" in lines[-1]


def test_confusion_marks_errors_apart_from_hits() -> None:
    counts = np.array([[50, 50], [0, 50]])
    text = draw_confusion(counts, ["a", "b"], 40, 8)
    row = next(line for line in text.split("\n") if "50" in line.plain)
    backs = {str(span.style.bgcolor.triplet.hex) for span in row.spans if not isinstance(span.style, str)}
    assert len(backs) == 2


def test_many_classes_lose_counts_then_the_table() -> None:
    names = [chr(65 + index) for index in range(26)] + [str(index) for index in range(6)]
    counts = np.eye(32, dtype=int) * 28
    counts[0, 5] = 4
    assert "28" in draw_confusion(counts, names, 198, 58).plain
    shaded = draw_confusion(counts, names, 80, 40).plain
    assert "28" not in shaded.rpartition("accuracy")[0]
    assert "██" in shaded
    assert "░░" in shaded
    assert "A B C D" in shaded
    small = draw_confusion(counts, names, 80, 20).plain
    assert "██" not in small
    assert "accuracy" in small
    assert "%" in draw_confusion(counts, names, 12, 1).plain


def test_columns_whose_cut_names_are_alike_take_numbers() -> None:
    names = ["class one", "class two"] + [f"class {index}" for index in range(8)]
    lines = draw_confusion(counts_of(10), names, 70, 14).plain.split("\n")
    assert lines[0].split() == [str(index) for index in range(10)]
    assert lines[1].strip().startswith("0 class")


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("classes", [1, 2, 10, 32])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_confusion_fits_any_size(width: int, height: int, classes: int, ascii_only: bool) -> None:
    names = ["[/x]", "\x1b[31mred", *map(str, range(classes))]
    text = draw_confusion(counts_of(classes), names, width, height, MatrixLook(ascii=ascii_only))
    assert_fits(text, width, height)
    assert text.plain.isascii() or not ascii_only


WIDE_NAMES = ("ねこ", "いぬのおまわりさん", "e\u0301", "한국어", "cat")


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("margins", [False, True])
@pytest.mark.parametrize("size", [(90, 20), (60, 12), (48, 10), (34, 8)])
def test_wide_and_combining_letters_shift_no_row(size: tuple[int, int], margins: bool, ascii_only: bool) -> None:
    counts = np.full((5, 5), 7) + 50 * np.eye(5, dtype=int)
    text = draw_confusion(counts, WIDE_NAMES, *size, MatrixLook(margins=margins, ascii=ascii_only))
    rows = [line.plain for line in text.split("\n")][:-1]
    ends = [[cell_len(row[: found.end()]) for found in re.finditer(r"(?<!\S)(57|7)(?!\S)", row)] for row in rows]
    assert len({tuple(columns) for columns in ends if len(columns) == 5}) == 1
    assert sum(len(columns) for columns in ends) == 25
    assert_fits(text, *size)


def test_a_class_without_test_images_has_no_recall() -> None:
    counts = np.array([[8, 2, 0], [0, 0, 0], [0, 0, 3]])
    rows = draw_confusion(counts, ["a", "b", "c"], 60, 12, MatrixLook(margins=True)).plain.split("\n")
    recalls = {words[0]: words[-1] for row in rows if (words := row.split()) and words[0] in ("a", "b", "c")}
    assert recalls == {"a": "80.0%", "b": "–", "c": "100.0%"}


def test_bytes_of_names_that_are_not_utf_8_are_shown() -> None:
    assert clean("caf\udce9\x1b[31m.png") == r"caf\xe9.png"
    assert clean("lone \ud800 half") == "lone half"


@pytest.mark.parametrize("width", [1, 2, 3, 7, 12, 40])
@pytest.mark.parametrize(
    "words",
    [
        "ねこが好きです and cats",
        "한국어 한국어",
        "e\u0301te\u0301 " * 4,
        "x" * 20 + "いぬ",
        "  plain words, wrapped-as ever  ",
        "",
    ],
)
def test_a_sentence_is_wrapped_by_cells_and_loses_nothing(words: str, width: int) -> None:
    lines = wrap(words, width)
    assert "".join("".join(lines).split()) == "".join(words.split())
    assert all(cell_len(line) <= max(width, 2) for line in lines)
    hung = wrap(words, width + 2, "  ")
    assert all(line.startswith("  ") for line in hung[1:])
    assert all(cell_len(line) <= max(width + 2, 4) for line in hung)


def test_confusion_without_predictions() -> None:
    for counts in (np.zeros((0, 0), int), np.zeros((3, 3), int)):
        assert "%" not in draw_confusion(counts, ["a"], 40, 5).plain
    assert "0 1" in " ".join(draw_confusion(counts_of(2), [], 40, 8).plain.split())


# Facts and log


def test_facts_align_and_flow_into_columns() -> None:
    facts = [("run", "[/x]", ""), ("epoch time", "0:42", "bold"), ("loss", "0.01", "")]
    assert draw_facts(facts, 40, 5).plain.split("\n") == [
        "run         [/x]",
        "epoch time  0:42",
        "loss        0.01",
    ]
    long = draw_facts([*facts, ("images", "60,000 + 10,000 images of 28x28, 10 classes", "")], 27, 5).plain
    assert long.split("\n")[3:] == ["images      60,000 + 10,000", "            images of 28x2…"]  # no line stays empty
    unlike = [("encoder", "dense, from scratch"), ("frozen", "no"), ("dropout", "0.1"), ("noise", "none")]
    unlike += [("loss", "cross-entropy"), ("optim", "adam, rate 0.002"), ("batch", "100, seed 0"), ("host", "vm")]
    shared = draw_facts([(label, value, "") for label, value in unlike], 30, 5).plain
    assert all(f"{label} {value}" in shared.replace("  ", " ") for label, value in unlike)  # none is left out
    flowed = draw_facts(facts, 60, 2).plain.split("\n")
    assert len(flowed) == 2
    assert "loss" in flowed[0]
    for width, height in SIZES:
        assert_fits(draw_facts(facts, width, height), width, height)


def test_the_line_of_an_epoch_keeps_both_losses_where_it_is_narrow() -> None:
    words = "epoch 10/100 · train 0.0032843, 95.17% · test 0.0031906, 95.40% · 12.34 s"
    line = log_line(words)
    assert fit_line(line, 80).plain == words
    for width in (72, 60, 44, 40, 26):
        shown = fit_line(line, width).plain
        assert len(shown) <= width
        assert all(word in shown for word in ("10/100", "0.0032843", "0.0031906"))
    assert ("95.17%" in fit_line(line, 60).plain, "95.17%" in fit_line(line, 44).plain) == (True, False)
    other = log_line("something that a library has to say, at length")
    assert fit_line(other, 20) is other


def test_the_title_keeps_state_epoch_and_share_whatever_it_is_called() -> None:
    status = Status(state="running", epoch=37, epochs=100, step=372, steps_per_epoch=10)
    long = {"name": "n" * 48, "data": {"dataset": "folder:/a/place/far/from/here"}}
    for document in ({}, {"name": "quickstart"}, long):
        config = build_config(document)
        snapshot = Snapshot(f"20261121-083000-{config.name}-a3f9", Path(), config, {}, status, {})
        for width in (46, 66, 106, 186):
            line = title_line(snapshot, width).plain
            assert cell_len(line) <= width
            assert re.search(r"● running  (epoch )?37/100 .* 37%", line), line
            assert snapshot.id in line or width < 186
    named = replace(snapshot, config=build_config({"name": "pacheco-2023-ae-256-p01"}))
    assert title_line(named, 62).plain.startswith(" tuiae  pacheco-2023-ae-256-p01  ● running  37/100  37%")
    assert "quickstart › digits" in title_line(replace(snapshot, config=build_config({"name": "quickstart"})), 66).plain
    job = replace(snapshot, config=build_config({"name": "code_size"}), meta={"job": "latent=8 seed=1"})
    assert "  code_size latent=8 seed=1 › " in title_line(job, 106).plain
    full = replace(named, status=replace(status, trouble="No space left on device: events wait to be written"))
    assert "● running  37/100  37% · No space left on device" in title_line(full, 80).plain


def test_log_lines_are_text_alone() -> None:
    line = log_line("    \x1b[31m[/x] RuntimeError: no\x1b[0m\n")
    assert line.plain == "    [/x] RuntimeError: no"
    assert [line.plain[span.start : span.end] for span in line.spans] == ["RuntimeError"]
    assert log_line("10%\r 50%\r100% done\n").plain == "100% done"
    assert len(log_line("x" * 1_000_000).plain) <= 2000


# Widgets


class Gallery(App[None]):
    """Every panel on one screen."""

    CSS = "Horizontal { height: 1fr; }"

    def compose(self) -> ComposeResult:
        with Vertical():
            with Horizontal():
                yield CurvesPanel("loss")
                yield FactsPanel("run")
                yield LogPanel()
            with Horizontal():
                yield ImagesPanel()
                yield ConfusionPanel()

    def fill(self) -> None:
        self.query_one(CurvesPanel).show(curves_of(), "loss [/x]")
        self.query_one(FactsPanel).show([("run", "[/x]", "bold")])
        self.query_one(ImagesPanel).show(images_of((28, 28)), note="epoch 3 [/x]")
        self.query_one(ConfusionPanel).show(counts_of(10), CLASSES)
        self.query_one(LogPanel).append(f"[/x] line {index}" for index in range(MOST_LINES + 50))


def plain_of(widget: Widget) -> str:
    return "\n".join(widget.render_line(y).text for y in range(widget.content_size.height))


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_panels_draw_empty_then_full_then_resized(size: tuple[int, int]) -> None:
    app = Gallery()
    async with app.run_test(size=size) as pilot:
        assert "waiting for the" in plain_of(app.query_one(CurvesPanel))
        assert LogPanel.EMPTY[:16] in plain_of(app.query_one(LogPanel))
        app.fill()
        await pilot.pause()
        # At 80 columns both values have room, and their names do not.
        assert plain_of(app.query_one(CurvesPanel)).startswith("━ 0.0" if size[0] < 100 else "━ train 0.0")
        assert "[/x]" in plain_of(app.query_one(FactsPanel))
        assert "▀▀▀" in plain_of(app.query_one(ImagesPanel))
        assert "% " in plain_of(app.query_one(ConfusionPanel))
        assert app.query_one(CurvesPanel)._border_title.plain == "loss [/x]"
        for width, height in ((60, 10), (20, 5), (3, 2), size):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
        assert "▀▀▀" in plain_of(app.query_one(ImagesPanel))


async def test_modes_redraw_in_place() -> None:
    app = Gallery()
    async with app.run_test(size=(160, 50)) as pilot:
        app.fill()
        await pilot.pause()
        images, curves = app.query_one(ImagesPanel), app.query_one(CurvesPanel)
        images.mode = "ascii"
        curves.look = Look(log_y=True)
        await pilot.pause()
        assert plain_of(images).isascii()
        assert curves._border_subtitle.plain == "log"


async def test_log_is_bounded_and_follows_until_one_scrolls_up() -> None:
    app = Gallery()
    async with app.run_test(size=(120, 30)) as pilot:
        app.fill()
        await pilot.pause()
        log = app.query_one(LogPanel)
        assert len(log.plain.split("\n")) == MOST_LINES
        assert f"line {MOST_LINES + 49}" in plain_of(log)
        log.focus()
        await pilot.press("pageup", "pageup")
        await pilot.wait_for_animation()
        log.append(["later"])
        await pilot.pause()
        assert "later" not in plain_of(log)
        await pilot.press("end")
        await pilot.wait_for_animation()
        log.append(["\x1b[2Jlast"])
        await pilot.pause()
        assert "last" in plain_of(log)


def test_drawing_does_without_torch() -> None:
    modules = "tuiae.ui.widgets.curves, tuiae.ui.widgets.images, tuiae.ui.widgets.run_view, tuiae.ui.widgets.tables"
    code = f"import sys, {modules}; sys.exit(bool({{'torch'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_large_values_are_written_with_exponents() -> None:
    assert ticks.labels([-1e10, 0.0, 3e9]) == ["-1e10", "0", "3e9"]
    assert ticks.labels([0.0, 1e9, 2e9]) == ["0", "1e9", "2e9"]
    assert ticks.labels([0.0, 1e8]) == ["0", "100M"]
    assert ticks.log_labels([9.0, 10.0]) == ["1e9", "1e10"]


@pytest.mark.parametrize("limits", [(0, 2.9), (92, 98), (0.41, 0.59), (-0.1, 3.1), (6.1, 6.9), (1.3, 1.31)])
def test_a_scale_can_be_read_off_any_plot(limits: tuple[float, float]) -> None:
    for height in range(4, 30):
        curve = Curve("train", np.array([1.0, 2.0]), np.array(limits))
        rows = draw_curves([curve], 50, height).plain.split("\n")
        labels = [row.split("┤")[0].strip() for row in rows if "┤" in row]
        assert len(labels) >= (3 if height >= 7 else 2)
        assert len(set(labels)) == len(labels)


def test_a_tick_alone_is_written_with_all_its_decimals() -> None:
    assert ticks.labels([0.95]) == ["0.95"]
    assert ticks.labels([20.0]) == ["20"]
