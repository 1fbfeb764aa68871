"""What the instruments of the live screen say, read as plain strings: windows, cursors, marks, scales, the timeline."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette
from tuiae.render.chrome import BACK, LIVE, ON, draw_timeline, neighbour
from tuiae.render.chrome import nearest as nearest_sample
from tuiae.render.confusion import MatrixLook, cell_words, draw_confusion, place
from tuiae.render.curves import (
    Curve,
    Line,
    Look,
    Mark,
    clip,
    lay_out,
    place_text,
    prepare,
    smoothed,
    train_and_test,
    x_limits,
)
from tuiae.render.legend import in_sight, line_legend, marks_near, readout
from tuiae.render.pixels import error_row
from tuiae.render.plot import Plot, Stroke
from tuiae.render.view import NEWEST, View, nearest
from tuiae.runs.snapshot import Sample, Series

SIZES = [(1, 1), (3, 2), (11, 3), (18, 3), (20, 5), (40, 12), (78, 22), (198, 58)]
CLASSES = ("T-shirt/top", "Trouser", "Shirt")
STROKES: tuple[tuple[str, Stroke], ...] = (("train", "solid"), ("test", "dashed"))
COUNTS = np.array([[900, 40, 60], [5, 990, 5], [297, 3, 700]])


def lines_of(points: int = 200, smoothing: str = "", log: bool = False) -> list[Line]:
    x = np.linspace(0, 12, points)
    epochs = np.arange(1, 13)
    clock = Series(np.arange(points) * 10, x, np.arange(points) / 2)
    curves = train_and_test([x, epochs], [0.011 + 0.06 * np.exp(-x), 0.013 + 0.05 * np.exp(-epochs)], clock)
    return [prepare(curve, Look(log_y=log, smoothing=smoothing)) for curve in curves]


def plot_of(lines: list[Line], view: View | None = None, width: int = 60, height: int = 14) -> Plot:
    limits = x_limits(lines)
    assert limits is not None
    return lay_out(lines, width, height, (view or View()).window(limits))


def assert_fits(text: list[Text], width: int, height: int) -> None:
    assert len(text) <= height
    assert max(cell_len(line.plain) for line in text) <= width


# Smoothing


def test_smoothing_is_the_mean_that_tensorboard_draws_of_points_a_hundredth_of_the_axis_apart() -> None:
    values = np.random.default_rng(0).normal(0, 1, 4000)
    weight, last, expected = 0.9 ** (1 / 40), 0.0, []
    for index, value in enumerate(values):
        last = weight * last + (1 - weight) * value
        expected.append(last / (1 - weight ** (index + 1)))
    made = smoothed(np.linspace(0, 1, len(values)), values, 0.9)
    assert made[100:] == pytest.approx(np.array(expected[100:]), abs=0.02)
    assert smoothed(np.linspace(0, 1, len(values)), values, 0) is values
    assert smoothed(np.zeros(1), np.array([3.0]), 0.9).tolist() == [3]
    assert smoothed(np.zeros(3), np.arange(3.0), 0.9).tolist() == [0, 1, 2]  # all at one place: nothing to smooth


@pytest.mark.parametrize("smoothing", ["light", "strong"])
@pytest.mark.parametrize("log", [False, True])
def test_a_test_curve_of_few_points_stays_on_its_side_of_a_dense_training(smoothing: str, log: bool) -> None:
    x, epochs = np.linspace(0.05, 4, 160), np.arange(1.0, 5.0)
    test = np.array([0.06, 0.04, 0.032, 0.028])
    pair = train_and_test([x, epochs], [np.interp(x, epochs, test) + 0.002, test])
    span = float(x[0]), float(x[-1])
    train, tested = (prepare(replace(curve, span=span), Look(smoothing=smoothing, log_x=log)) for curve in pair)
    above = np.interp(tested.x, train.x, train.y) - tested.y
    assert (above > 0.001).all()
    assert above[2:] == pytest.approx(0.002, abs=0.002 if log else 0.0005)  # smoothed alike
    assert tested.y[-1] < 0.035  # an older epoch does not bend the end


def test_measured_points_stay_behind_a_smoothed_line_where_there_is_room() -> None:
    values = np.random.default_rng(0).normal(1, 0.1, 60)
    line = prepare(Curve("train", np.arange(60), values), Look(smoothing="strong"))
    dim = [span for row in plot_of([line]).lines[:12] for span in row.spans if "dim #" in str(span.style)]
    assert dim
    assert "~" in readout([line], 30.0, 80).plain
    assert np.ptp(line.y[20:]) < np.ptp(values[20:]) / 2


# Windows


def test_a_line_is_cut_where_it_enters_and_leaves_the_window() -> None:
    x, y = np.array([0.0, 10.0, 20.0]), np.array([0.0, 1.0, 0.0])
    assert [part.tolist() for part in clip(x, y, (12.0, 15.0))] == [[12, 15], [pytest.approx(0.8), 0.5]]
    assert [part.tolist() for part in clip(x, y, (5.0, 30.0))] == [[5, 10, 20], [0.5, 1, 0]]
    assert clip(x, y, (0.0, 20.0))[0] is x
    assert not len(clip(x, y, (21.0, 30.0))[0])


def test_zooming_narrows_around_the_cursor_and_the_y_axis_follows() -> None:
    lines = lines_of()
    view = View(cursor=6.0).zoomed(lines, 0.5)
    assert view.window((0.0, 12.0)) == (3.0, 9.0)
    assert plot_of(lines, view).frame.y.limits[1] < 0.03 < plot_of(lines).frame.y.limits[1]
    assert view.zoomed(lines, 2.0).width is None
    closest = view
    for _ in range(60):
        closest = closest.zoomed(lines, 0.5)
    low, high = closest.window((0.0, 12.0))
    assert 0 < high - low < 0.2


def test_without_a_cursor_the_newest_end_stays_and_goes_with_what_comes() -> None:
    view = View().zoomed(lines_of(), 0.25)
    assert view.window((0.0, 12.0)) == (9.0, 12.0)
    assert view.window((0.0, 20.0)) == (17.0, 20.0)
    held = View(cursor=2.0).zoomed(lines_of(), 0.25)
    assert held.window((0.0, 20.0)) == held.window((0.0, 12.0)) == (1.5, 4.5)


def test_a_window_is_never_without_points() -> None:
    lines = lines_of(13)
    assert View().selecting(lines, 3.1, 3.2) == View()
    assert View().selecting(lines, 3.0, 5.5).window((0.0, 12.0)) == (3.0, 5.5)
    # A run that begins again is shorter than the window was far.
    assert View(width=3, end=100).window((0.0, 12.0)) == (9.0, 12.0)


# The cursor


def test_the_cursor_goes_by_points_and_by_columns_where_these_are_finer() -> None:
    few = lines_of(13)
    frame = plot_of(few).frame
    view = View().moved(few, frame, -1)
    assert view.cursor == NEWEST
    assert view.at(few) == 12
    view = view.moved(few, frame, -1)
    assert view.cursor == 11
    assert view.moved(few, frame, 1).cursor == NEWEST
    assert view.moved(few, frame, -10).at(few) == 8
    many = [prepare(Curve("train", np.arange(10_000), np.arange(10_000.0)))]
    frame = plot_of(many).frame
    place = View(cursor=5000.0)
    further = place.moved(many, frame, 1)
    assert further.at(many) is not None
    assert frame.column(further.cursor or 0) == frame.column(5000.0) + 1
    assert frame.column(place.moved(many, frame, 10).cursor or 0) == frame.column(5000.0) + 10
    assert frame.column(place.moved(many, frame, -1).cursor or 0) == frame.column(5000.0) - 1
    assert View(cursor=0.0).moved(many, frame, -1).cursor == 0


def test_the_window_goes_with_the_cursor() -> None:
    lines = lines_of(121)
    view = View(cursor=6.0).zoomed(lines, 0.25)
    frame = plot_of(lines, view).frame
    for _ in range(40):
        view = view.moved(lines, frame, -10)
        frame = plot_of(lines, view).frame
        low, high = view.window((0.0, 12.0))
        assert low <= (view.at(lines) or 0) <= high
    assert view.at(lines) == 0


def test_every_column_is_found_again() -> None:
    frame = plot_of(lines_of()).frame
    assert [frame.column(frame.place(column)) for column in range(frame.columns)] == list(range(frame.columns))
    assert frame.column(frame.x.limits[1]) == frame.columns - 1


def test_the_readout_keeps_to_its_width_and_to_characters() -> None:
    lines = lines_of(13)
    mark = Mark(12, "e", "learning rate 0.001 → 0.0005\x1b[2J[/x]")
    assert readout(lines, 12.0, 120, marks=[mark]).plain.endswith("e learning rate 0.001 → 0.0005[/x]")
    assert all(readout(lines, 12.0, width).cell_len <= width for width in (80, 40, 30))
    assert readout(lines, 12.0, 9).cell_len <= 9
    assert [place_text(x) for x in (12.0, 12.345, 0.125, 9999.5)] == ["12", "12.35", "0.125", "9,999.5"]
    assert (place_text(1567.5, "step"), place_text(104.5)) == ("1,568", "104.5")


def test_the_cursor_stands_in_its_column_and_the_line_shows_through() -> None:
    lines = lines_of()
    plot = plot_of(lines)
    drawn = plot.overlay(cursor=6.0)
    column = plot.frame.left + plot.frame.column(6.0)
    stood = [line.plain[column] for line in drawn[: plot.frame.rows]]
    assert stood.count("│") >= plot.frame.rows - 3
    assert any("⠀" < char <= "⣿" for char in stood)
    assert [line.plain for line in plot.lines] == [line.plain for line in plot_of(lines).lines]


def test_marks_have_a_letter_and_their_column_finds_them() -> None:
    marks = [Mark(3, "e", "beta 1 → 2"), Mark(8, "R", "went on"), Mark(99, "F", "out of sight")]
    plot = plot_of(lines_of())
    drawn = plot.overlay([(mark.x, mark.sign) for mark in marks])
    assert [char for char in drawn[0].plain if char in "eRF"] == ["e", "R"]
    assert sum("┊" in line.plain for line in drawn) >= plot.frame.rows - 4
    assert marks_near(plot, marks, 3.0) == marks[:1]
    assert marks_near(plot, marks, 5.0) == []


def test_a_mark_beyond_the_points_stands_at_the_end_and_says_where_from() -> None:
    marks = [Mark(0.4, "e", "beta 1 → 2"), Mark(3, "R", "resumed"), Mark(12.3, "e", "beta 2 → 3")]
    assert in_sight(marks, (1.0, 12.0)) == (
        Mark(1.0, "e", "beta 1 → 2 at epoch 0.4"),
        marks[1],
        Mark(12.0, "e", "beta 2 → 3 at epoch 12.3"),
    )


def test_a_range_that_is_being_chosen_shows_on_the_axis() -> None:
    plot = plot_of(lines_of())
    drawn = plot.overlay(chosen=(9.0, 3.0))
    rule = drawn[plot.frame.rows].plain
    chosen = plot.frame.column(9.0) - plot.frame.column(3.0) + 1
    assert "━" * chosen in rule
    assert rule.count("━") == chosen


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("cursor", [None, 0.0, 7.3, 12.0, 99.0])
def test_overlays_fit_any_size(width: int, height: int, cursor: float | None) -> None:
    plot = plot_of(lines_of(), View(width=5, end=9), width, height)
    assert_fits(plot.overlay([(8, "e")], cursor, (-5.0, 50.0)), width, height)


def test_a_logarithmic_axis_counts_what_it_leaves_out() -> None:
    line = prepare(Curve("a", np.arange(5), np.array([1.0, 0.0, -3.0, math.nan, 10.0])), Look(log_y=True))
    assert line.left_out == 2
    assert line.y.tolist() == [1, 10]
    assert line.values.tolist() == [1, 10]


def test_a_parent_is_faint_and_still_named() -> None:
    parent = Curve("test", np.arange(9), np.arange(9.0), palette.GREY, faint=True, group="parent", split="test")
    lines = [*lines_of(), prepare(parent)]
    assert line_legend(lines, 100).plain.endswith("parent ━ test 8.000")
    spans = [span for row in plot_of(lines).lines[:12] for span in row.spans if "dim #" in str(span.style)]
    assert spans


def fork_lines() -> list[Line]:
    """Train and test of a fork from epoch 9 on, and of its parent before."""
    own = [
        Curve(name, np.arange(9.0, 18), np.full(9, value), stroke=stroke, split=name)
        for (name, stroke), value in zip(STROKES, (0.5, 0.25), strict=True)
    ]
    behind = [replace(curve, x=np.arange(9.0), color=palette.GREY, faint=True, group="parent") for curve in own]
    return [prepare(curve) for curve in (*behind, *own)]


def test_the_own_values_of_a_fork_come_first_and_its_parent_is_named_once() -> None:
    for width in (100, 60, 42, 35):
        said = line_legend(fork_lines(), width).plain
        assert said.startswith("━ train 0.5000")
        assert said.count("parent") == (width > 35)
        assert ("parent ━" in said) == (width > 35)
    assert readout(fork_lines(), 12.0, 80).plain.count("parent") == 1


def test_lines_without_a_value_at_the_cursor_give_their_room_to_those_that_have_one() -> None:
    assert readout(fork_lines(), 3.5, 90).plain.count("–") == 2
    for width in (40, 36):
        said = readout(fork_lines(), 3.5, width).plain
        assert said.endswith("parent ━ 0.5000 @3 ╍ 0.2500 @3")
        assert "–" not in said
    assert "parent" not in readout(fork_lines(), 12.0, 36).plain  # the own values before those behind


def test_nearest_point_of_any_line() -> None:
    assert nearest(lines_of(13), 3.4) == 3
    assert nearest(lines_of(13), 99.0) == 12
    assert nearest([], 3.4) == 3.4


# Errors of reconstructions


def test_errors_have_a_scale_that_is_said_and_colours_of_their_own() -> None:
    inputs = np.zeros((4, 1, 8, 8), np.uint8)
    made = inputs.copy()
    made[:, :, 2] = 60
    found = error_row(Sample(3, inputs=inputs, reconstructions=made))
    assert found is not None
    (label, pictures), scale = found
    assert (label, pictures.shape, scale) == ("error", (4, 3, 8, 8), "error: black 0, brightest 0.5")
    inputs[:] = 255
    whole = error_row(Sample(3, inputs=inputs, reconstructions=255 - inputs))
    assert whole is not None
    assert whole[1] == ""  # all that a pixel can have needs no words
    wrong, right = pictures[0, :, 2, 0], pictures[0, :, 0, 0]
    assert len(set(wrong.tolist())) == 3
    assert tuple(right) == palette.ERROR_RAMP[0]
    assert error_row(Sample(3, inputs=inputs)) is None
    assert error_row(Sample(3, inputs=inputs, reconstructions=made[:2])) is None


def test_the_error_ramp_gets_lighter_all_the_way() -> None:
    lights = [palette.luminance(colour) for colour in palette.ERROR_RAMP]
    assert lights == sorted(lights)


# Confusion


def test_a_cell_in_words() -> None:
    words = cell_words(COUNTS, CLASSES, (2, 0), 60).plain
    assert draw_confusion(COUNTS, CLASSES, 60, 12, cursor=(2, 0)).plain.rstrip().endswith(words.strip())


def test_shares_of_each_class_instead_of_counts() -> None:
    words = draw_confusion(COUNTS, CLASSES, 60, 12, MatrixLook(shares=True)).plain.split()
    assert {"90.0", "29.7", "0.5"} <= set(words)
    assert "900" not in words
    sure = draw_confusion(np.diag([7, 9]), ["a", "b"], 40, 8, MatrixLook(shares=True)).plain.split()
    assert sure.count("100") == 2
    narrow = draw_confusion(np.tile(COUNTS, (3, 3))[:8, :8], list("abcdefgh"), 38, 12, MatrixLook(shares=True)).plain
    assert "." not in narrow.rpartition("accuracy")[0]


def test_recall_and_precision_stand_in_the_margins_where_there_is_room() -> None:
    lines = draw_confusion(COUNTS, CLASSES, 60, 9, MatrixLook(margins=True)).plain.split("\n")
    rows = [line.split() for line in lines if line.strip()]
    assert rows[0][-1] == "recall"
    assert ["Shirt", "297", "3", "700", "70.0%"] in rows
    assert ["74.9%", "95.8%", "91.5%", "precision"] in rows
    assert "recall" not in draw_confusion(COUNTS, CLASSES, 30, 9, MatrixLook(margins=True)).plain
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    for width in range(80, 130):  # whether a precision of 100 has a space before it or not
        wide = draw_confusion(np.diag([20] * 26), letters, width, 40, MatrixLook(margins=True)).plain
        assert "100100" not in wide
    assert "precision" in wide


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("classes", [1, 3, 10, 32])
def test_confusion_with_everything_fits_any_size(width: int, height: int, classes: int, shares: bool) -> None:
    counts = np.eye(classes, dtype=int) * 90 + np.random.default_rng(0).integers(0, 9, (classes, classes))
    names = ["[/x]", "\x1b[31mred", *map(str, range(classes))]
    text = draw_confusion(counts, names, width, height, MatrixLook(shares=shares, margins=True), (classes - 1, 0))
    assert_fits(text.split("\n", allow_blank=True), width, height)


def test_the_cell_under_the_mouse_is_the_one_that_is_drawn_there() -> None:
    placed = place(COUNTS, CLASSES, 60, 20, MatrixLook(margins=True))
    assert placed is not None
    lines = draw_confusion(COUNTS, CLASSES, 60, 20, MatrixLook(margins=True)).plain.split("\n")
    for row, line in enumerate(lines[:-1]):
        for value in ("900", "40", "297", "700"):
            found = line.find(f" {value} ")
            if found >= 0:
                cell = placed.cell_at(found + 1, row, 3)
                assert cell is not None
                assert COUNTS[cell] == int(value)
    assert placed.cell_at(0, 0, 3) is None


# The timeline


def test_the_timeline_says_where_one_is() -> None:
    epochs = range(41)
    live = draw_timeline(epochs, None, 60).text.plain
    assert live.startswith("◀ epoch 40 of 40 ▶  ├─")
    assert live.endswith("─●┤ live")
    back = draw_timeline(epochs, 12, 60).text.plain
    assert back.startswith("◀ epoch 12 of 40 ▶  ├───")
    assert cell_len(back) == 60
    assert back.index("●") < 40
    assert draw_timeline(epochs, 12, 60, live=False).text.plain.endswith("newest")
    behind = draw_timeline(epochs, None, 60, drawn=38).text.plain
    assert behind.startswith("◀ epoch 38 of 40 ▶  ├─")
    assert behind.endswith("─●┤ live")


@pytest.mark.parametrize("width", [1, 5, 20, 30, 44, 80, 198])
@pytest.mark.parametrize("epochs", [[0], [7], [0, 1], range(0, 10_000, 3)])
def test_every_place_of_the_timeline_can_be_touched(width: int, epochs: list[int]) -> None:
    drawn = draw_timeline(epochs, epochs[0], width)
    assert cell_len(drawn.text.plain) <= width
    first, cells = drawn.bar
    assert drawn.touch(0, epochs) == BACK
    if cells:
        assert drawn.touch(drawn.on, epochs) == ON
        assert drawn.touch(first, epochs) == epochs[0]
        assert drawn.touch(first + cells - 1, epochs) == epochs[-1]
        assert drawn.touch(width - 1, epochs) == LIVE


def test_steps_along_the_samples_end_in_what_comes() -> None:
    epochs = [0, 1, 5, 9]
    assert neighbour(epochs, None, -1) == 5
    assert neighbour(epochs, 5, 1) is None
    assert neighbour(epochs, 0, -1) == 0
    assert neighbour(epochs, None, 1) is None
    assert neighbour([3], None, -1) is None
    assert [nearest_sample(epochs, wanted) for wanted in (-3, 2.9, 3.1, 99)] == [0, 1, 5, 9]


def test_confusion_heads_are_whole_names_or_keys() -> None:
    names = ["T-shirt/top", "Trouser", "Pullover", "Ankle boot"]
    counts = np.full((4, 4), 12) + np.diag([800] * 4)
    wide = draw_confusion(counts, names, 100, 12).plain.split("\n")
    assert any(line.split("  ")[0].strip() != name and name in line for line in wide for name in names[:1])
    assert sum(line.count("T-shirt/top") for line in wide) >= 2
    narrow = draw_confusion(counts, names, 44, 8).plain.split("\n")
    assert any(line.split() == ["0", "1", "2", "3"] for line in narrow)


def test_confusion_keys_leave_the_names_of_the_rows_whole() -> None:
    names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
    lines = draw_confusion(np.diag([1000] * 10), names, 44, 14).plain.split("\n")
    assert any(line.split() == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] for line in lines)
    assert "0 T-shirt/top 100  ·  ·" in "\n".join(lines)
    assert any("9 Ankle boot" in line and line.endswith("·100") for line in lines)


def test_precision_never_runs_together() -> None:
    counts = np.diag([100] * 10) + 3
    counts[0, 1:] = 0
    for width in range(50, 110):
        lines = draw_confusion(
            counts, [str(number) for number in range(10)], width, 14, MatrixLook(margins=True)
        ).plain.split("\n")
        last = next((line for line in lines if line.endswith("precision")), None)
        assert last is None or len(last.split()) == 11, last


def test_without_colours_what_is_right_is_told_from_what_is_wrong() -> None:
    drawn = draw_confusion(np.array([[8, 2], [4, 6]]), ["a", "b"], 40, 8, MatrixLook(bare=True))
    reversed_cells = {
        drawn.plain[span.start : span.end].strip() for span in drawn.spans if "reverse" in str(span.style)
    }
    assert reversed_cells - {""} == {"8", "6"}
