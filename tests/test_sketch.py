"""Drawing on an image, and what the bench draws of it, as arrays and strings."""

from __future__ import annotations

import numpy as np
import pytest
from rich.cells import cell_len
from rich.text import Text

from tests.dashboard import HOSTILE
from tuiae.config import NoiseSection
from tuiae.explore.protocol import Classification, Confused, NoiseCurve, Reconstruction
from tuiae.render.chrome import draw_slider, share_at
from tuiae.render.explorer import (
    confused_title,
    draw_canvas,
    draw_noise_curve,
    draw_shares,
    draw_tried,
    draw_verdict,
    lay_out_bench,
    lay_out_canvas,
    wrong_pixels,
)
from tuiae.render.grid import WORDS, draw_strip, lay_out_strip
from tuiae.render.pixels import draw_picture, error_pictures
from tuiae.render.text import in_mode
from tuiae.ui.questions import KINDS, NoiseChoice
from tuiae.ui.widgets.sketch import BRUSHES, Sketch

AREAS = [(0, 0), (1, 1), (9, 3), (20, 6), (26, 12), (36, 18), (66, 13), (110, 40)]
SHAPES = [(1, 8, 8), (1, 28, 28), (1, 7, 5), (3, 16, 32)]
NAMES = ("zero", "one", HOSTILE, "right\u202eleft", "n" * 300)


def assert_fits(text: Text, width: int, height: int, mode: str = "blocks") -> None:
    lines = text.plain.split("\n")
    assert len(lines) <= max(height, 1)
    assert max(map(cell_len, lines)) <= width
    assert mode == "blocks" or "?" not in in_mode(text, mode).plain
    assert "\x1b" not in text.plain


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def ink(sketch: Sketch) -> float:
    return float(sketch.image.sum())


# Drawing


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_stroke_is_one_line_and_not_a_row_of_dots(shape: tuple[int, int, int]) -> None:
    _, height, width = shape
    line = Sketch.blank(shape).stroke((0.5, height / 2), (width - 0.5, height / 2), "fine")
    row = line.image[0, height // 2]
    assert row.min() >= 0.5
    assert row.min() == row.max()
    assert line.image[0, 0].max() == 0
    assert (line.image == line.image[:1]).all()  # grey, whatever the channels


def test_brushes_grow_and_have_soft_edges() -> None:
    dots = [Sketch.blank((1, 28, 28)).stroke((14.5, 14.5), (14.5, 14.5), brush) for brush in BRUSHES]
    assert ink(dots[0]) < ink(dots[1]) < ink(dots[2])
    for dot in dots:
        assert dot.image[0, 14, 14] == 1
        assert ((dot.image > 0) & (dot.image < 1)).any()


def test_drawing_twice_fades_nothing_and_the_eraser_takes_it_away() -> None:
    first = Sketch.blank((1, 28, 28)).stroke((5, 5), (20, 20), "medium")
    second = first.stroke((5, 20), (20, 5), "medium")
    assert (second.image >= first.image).all()
    erased = second
    for _ in range(2):
        erased = erased.stroke((5, 20), (20, 5), "bold", erase=True)
    assert ink(erased) < ink(first)
    assert erased.image[0, 12, 12] == 0
    assert ink(first.cleared()) == 0


def test_what_is_inverted_is_drawn_on_with_the_other_ink() -> None:
    paper = Sketch.blank((1, 8, 8)).inverted()
    assert paper.image.min() == 1
    drawn = paper.stroke((4, 4), (4, 4), "bold")
    assert drawn.image.min() < 0.2
    assert drawn.stroke((4, 4), (4, 4), "bold", erase=True).image.min() > 0.7
    assert ink(drawn.cleared()) == 64
    np.testing.assert_array_equal(drawn.inverted().inverted().pixels, drawn.pixels)


def test_a_small_digit_in_a_corner_becomes_what_mnist_has() -> None:
    small = Sketch.blank((1, 28, 28)).stroke((2, 2), (2, 8), "fine").stroke((2, 8), (6, 8), "fine")
    rows, columns = np.nonzero(small.centred().image[0] > 0.1)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    weight = small.centred().image[0]
    for axis, count in ((0, 28), (1, 28)):
        centre = (weight.sum(axis=axis) * np.arange(count)).sum() / weight.sum()
        assert 13.4 <= centre <= 14.6
    # What is centred stays where it is.
    np.testing.assert_array_equal(small.centred().centred().pixels, small.centred().pixels)
    assert ink(Sketch.blank((1, 28, 28)).centred()) == 0


def test_other_images_are_filled_because_they_have_no_margin() -> None:
    dot = Sketch.blank((1, 8, 8)).stroke((1.5, 1.5), (1.5, 3.5), "fine").centred()
    rows = np.flatnonzero(dot.image[0].max(axis=1) > 0.1)
    assert (rows[0], rows[-1]) == (0, 7)
    thin = Sketch.blank((1, 7, 5)).stroke((0.5, 0.5), (0.5, 6.5), "fine").inverted().centred()
    assert thin.paper == 1
    assert thin.image.min() < 0.5


# The canvas


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", ["blocks", "ascii"])
def test_the_canvas_fits_its_area_and_has_square_pixels(shape: tuple[int, int, int], mode: str) -> None:
    size = (shape[2], shape[1])
    for width, height in AREAS:
        for pen in (None, (0.5, 0.5), (size[0] - 0.5, size[1] - 0.5)):
            assert_fits(draw_canvas(pictures(*shape), width, height, mode, pen, "down"), width, height, mode)
        layout = lay_out_canvas(size, width, height)
        if layout is None:
            continue
        assert abs(layout.columns / size[0] - layout.dots / size[1]) <= 1 / min(size)
        for x in range(size[0]):
            for y in range(size[1]):
                column, row = layout.cell(x + 0.5, y + 0.5)
                assert 0 <= column < width
                assert 0 <= row < height


def test_a_cell_of_the_canvas_is_a_place_of_the_image() -> None:
    layout = lay_out_canvas((8, 8), 40, 20)
    assert layout is not None
    assert (layout.columns, layout.rows) == (40, 20)
    for place in ((0.5, 0.5), (3.5, 6.5), (7.5, 7.5)):
        column, row = layout.cell(*place)
        x, y = layout.spot(column + 0.5, row + 0.5)
        assert (abs(x - place[0]), abs(y - place[1])) <= (0.5, 0.5)
    assert layout.spot(-5, -5)[0] < 0  # beyond the edge: a stroke may go there and come back


def test_the_pen_shows_its_state_without_colours() -> None:
    image = np.zeros((1, 8, 8), np.uint8)
    signs = {
        state: {char for char in draw_canvas(image, 20, 8, "ascii", (4.5, 4.5), state).plain if char in "o*x"}
        for state in ("up", "down", "erase")
    }
    assert signs == {"up": {"o"}, "down": {"*"}, "erase": {"x"}}
    assert "○" not in draw_canvas(image, 20, 8, "blocks").plain


# Noise


@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_slider_says_its_value_and_takes_it_back_from_a_click(ascii_only: bool) -> None:
    for width in (0, 3, 9, 20, 60):
        for share in (0.0, 0.3, 1.0):
            text = draw_slider(share, width, "0.30", ascii_only)
            assert_fits(text, width, 1, "ascii" if ascii_only else "blocks")
            if width >= 20:
                knob = text.plain.index("O" if ascii_only else "●")
                found = share_at(knob, width, "0.30")
                assert found is not None
                assert abs(found - share) < 0.1
    assert share_at(59, 60, "0.30") is None
    assert share_at(-3, 60, "0.30") == 0


def test_noise_stays_in_its_range_and_its_kinds_come_round() -> None:
    noise = NoiseChoice.trained_with(NoiseSection(kind="salt-pepper", level=0.3))
    assert (noise.kind, noise.level) == ("salt-pepper", 0.3)
    assert noise.at_level(7).level == 1
    assert noise.at_level(-1).level == 0
    assert NoiseChoice.trained_with(NoiseSection(kind="gaussian", level=2.5)).top == 2.5
    assert NoiseChoice.trained_with(NoiseSection()) == NoiseChoice()
    kinds, choice = [], noise
    for _ in KINDS:
        choice = choice.next_kind()
        kinds.append(choice.kind)
        assert choice.curve_levels[-1] == choice.top
        assert choice.level > 0
    assert sorted(kinds) == sorted(KINDS)
    assert choice.drawn_anew().arguments["seed"] == choice.arguments["seed"] + 1


# Answers


def test_shares_name_the_best_class_without_colours_and_leave_the_rest_out_where_room_lacks() -> None:
    shares = np.array([0.1, 0.7, 0.05, 0.05, 0.1], np.float32)
    for width, height in AREAS:
        for mode in ("blocks", "ascii"):
            assert_fits(
                draw_shares(shares, ("a", "b", "c", "d", "e"), width, height, mode == "ascii"), width, height, mode
            )
            assert_fits(draw_shares(shares, NAMES, width, height), width, height)
    drawn = draw_shares(shares, ("a", "b", "c", "d", "e"), 40, 5, ascii_only=True).plain.split("\n")
    assert [line[0] for line in drawn] == [" ", ">", " ", " ", " "]
    assert drawn[1].count("#") > 5 * drawn[0].count("#") > 0
    few = draw_shares(shares, ("a", "b", "c", "d", "e"), 40, 3).plain.split("\n")
    assert few[0].split()[:2] == ["▸", "b"]
    assert len(few) == 3


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", ["blocks", "ascii"])
def test_answers_fit_their_areas(shape: tuple[int, int, int], mode: str) -> None:
    images = pictures(1, *shape)
    made = Reconstruction("step-1", images, 255 - images, np.array([0.125], np.float32))
    shares = np.array([[0.1, 0.7, 0.05, 0.05, 0.1]], np.float32)
    verdict = Classification("step-1", images, shares, "classifier", 0)
    curve = NoiseCurve("step-1", "mask", (0.0, 0.5, 1.0), "mse", (0.01, 0.02, 0.08), 100)
    for width, height in AREAS:
        assert_fits(draw_tried(made, images[0], width, height, mode), width, height, mode)
        assert_fits(draw_verdict(verdict, ("a", "b", "c", "d", "e"), width, height, mode), width, height, mode)
        assert_fits(draw_noise_curve(curve, 0.25, 0.5, width, height, mode), width, height, mode)


def test_the_bench_gives_pictures_their_own_size_where_there_is_room() -> None:
    sizes = {size: lay_out_bench((1, 28, 28), *size) for size in ((110, 37), (120, 37), (200, 57), (120, 20))}
    assert sizes == {(110, 37): None, (120, 37): (32, 18), (200, 57): (60, 18), (120, 20): None}
    assert lay_out_bench((3, 64, 64), 200, 57) is None
    assert lay_out_bench((1, 8, 8), 120, 37) == (36, 16)  # four and three times as large
    image = pictures(1, 1, 28, 28)
    drawn = draw_tried(Reconstruction("step-1", image, image, np.array([0.125], np.float32)), image[0], 86, 16, "ascii")
    wide = draw_tried(Reconstruction("step-1", image, image, np.array([0.125], np.float32)), image[0], 39, 18, "ascii")
    whole = [line.plain for line in draw_picture(image[0].transpose(1, 2, 0), 28, 14, "ascii")]
    for row, line in enumerate(whole):
        assert line in drawn.plain.split("\n")[row]
        assert any(line in shown for shown in wide.plain.split("\n"))


def test_the_error_of_an_image_is_counted_as_the_evaluation_counts_it() -> None:
    wanted = np.array([[[0, 127, 128, 255]]], np.uint8)
    made = np.array([[[0, 128, 255, 0]]], np.uint8)
    assert wrong_pixels(made, wanted) == wrong_pixels(made.repeat(3, axis=0), wanted.repeat(3, axis=0)) == 2
    pictures, scale = error_pictures(made[None], wanted[None])
    assert (pictures.shape, scale) == ((1, 3, 1, 4), 1.0)
    shown = pictures[0].astype(int).sum(axis=0)[0]
    assert shown[3] > shown[2] > shown[0]
    faint = error_pictures((wanted // 20)[None], np.zeros_like(wanted)[None])
    assert faint[1] < 0.1
    assert faint[0].max() > 100


def test_the_curve_is_marked_where_the_noise_stands() -> None:
    curve = NoiseCurve("step-1", "mask", (0.0, 0.5, 1.0), "error", (0.1, 0.2, 0.4), 100)
    drawn = draw_noise_curve(curve, 0.75, 0.5, 70, 12).plain
    assert drawn.count("●") == 2  # the legend and the plot
    assert "trained" not in draw_noise_curve(curve, 0.5, 0.5, 70, 12).plain


# Pictures to take


def test_a_strip_shows_the_page_of_its_cursor_and_knows_what_is_under_a_click() -> None:
    images = pictures(30, 1, 8, 8)
    captions = [(f"n{index}", HOSTILE) for index in range(30)]
    for width, height in AREAS:
        for cursor in (0, 29):
            for mode in ("blocks", "ascii"):
                text = draw_strip(images, captions, width, height, mode, cursor, focused=True)
                assert_fits(text, width, height, mode)
                layout = lay_out_strip((8, 8), 30, width, height, cursor)
                assert layout is None or f"n{cursor}" in text.plain
    layout = lay_out_strip((8, 8), 30, 66, 22, 29)
    assert layout is not None
    found = [layout.index_at(column, row) for row in range(22) for column in range(66)]
    shown = list(range(layout.first, layout.first + layout.count))
    assert sorted({index for index in found if index is not None}) == shown
    assert found.count(29) == layout.pictures.columns * (layout.pictures.rows + WORDS)


def test_names_of_classes_do_nothing_to_the_title_of_their_cell() -> None:
    images = pictures(2, 1, 8, 8)
    cell = Confused("s", 0, 1, 1234, np.arange(2), images, np.array([0.9, 0.8], np.float32))
    hostile = confused_title(cell, (HOSTILE, "n" * 300))
    assert "\x1b" not in hostile
    assert cell_len(hostile) < 90
