"""Plots as plain strings: lines, ticks, the way between cells and values, and what no figure may do to a process."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from rich.cells import cell_len

from tuiae.render import palette, ticks
from tuiae.render.curves import Curve, Look, draw_curves, heights_of, lay_out, prepare, train_and_test, without_dashes
from tuiae.render.plot import Plot, PlotSeries, draw_plot
from tuiae.render.ticks import Axis, Scale
from tuiae.render.view import View
from tuiae.runs.snapshot import Series

SIZES = [(0, 0), (1, 1), (3, 2), (8, 3), (11, 4), (12, 4), (13, 5), (40, 12), (120, 40)]
MONSTERS = [
    [1e307, 1.0, 2.0],
    [-1.7e308, 1.7e308],
    [1.0, -1.7e308, 1e307, math.nan],
    [math.inf, -math.inf, 3.0],
    [5e-324, 1e-320],
    [0.5],
    [0.5, 0.5, 0.5],
    [1e16, 1e16 + 2],
    [math.nan],
    [],
]


def plot(y: list[float], width: int = 60, height: int = 14, log: bool = False, ascii_only: bool = False) -> Plot:
    return draw_plot([PlotSeries(np.arange(len(y)) + 1, np.array(y))], width, height, Axis(), Axis(log=log), ascii_only)


def plain(drawn: Plot) -> list[str]:
    return [line.plain for line in drawn.lines]


def tick_rows(rows: list[str]) -> dict[int, str]:
    return {row: line.split("┤")[0].strip() for row, line in enumerate(rows) if "┤" in line}


@pytest.mark.parametrize("y", MONSTERS, ids=str)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_number_is_too_strange_and_no_size_too_small(y: list[float], log: bool, ascii_only: bool) -> None:
    for width, height in SIZES:
        drawn = plain(plot(y, width, height, log, ascii_only))
        assert len(drawn) in (0, height)
        assert all(cell_len(line) <= width for line in drawn)
    x = np.array(y) if y else np.zeros(0)
    draw_plot([PlotSeries(x, np.arange(len(y)))], 40, 10, Axis(log=log), Axis())
    draw_plot(
        [PlotSeries(np.arange(len(y)), x, stroke="dashed", sign="×", behind=(x, x))], 40, 10, Axis(), Axis(log=log)
    )


@pytest.mark.parametrize("limits", [(0.011, 0.071), (0.0203, 0.0226), (86, 97.58), (-3, 40), (0, 2.9), (1e-12, 3e-12)])
def test_ticks_are_round_and_stand_on_evenly_spaced_rows(limits: tuple[float, float]) -> None:
    for height in range(7, 60):
        marked = tick_rows(plain(plot(list(limits), height=height)))
        assert len(marked) >= 3, (height, marked)
        assert len({below - above for above, below in pairwise(sorted(marked))}) == 1
        values = [float(words) for _, words in sorted(marked.items())]
        steps = [above - below for above, below in pairwise(values)]
        assert steps == pytest.approx([steps[0]] * len(steps))
        assert float(f"{steps[0]:.1e}") == pytest.approx(steps[0])  # two digits say it
        (low, high), (first, last) = plot(list(limits), height=height).frame.y.limits, limits
        assert low <= first < last <= high
        assert high - low <= 2.2 * (last - first)


@pytest.mark.parametrize("limits", [(0.011, 0.071), (0.0203, 0.0226), (0.1, 1.15), (86, 97.58), (-3, 40), (0, 2.9)])
def test_a_low_plot_is_not_half_empty(limits: tuple[float, float]) -> None:
    for height in (5, 6, 7, 8):
        drawn = plot(list(limits), height=height)
        (low, high), (first, last) = drawn.frame.y.limits, limits
        assert last - first > 0.5 * (high - low), height
        assert len(tick_rows(plain(drawn))) >= 2


def test_a_line_stands_beside_the_label_of_its_value() -> None:
    drawn = plot([20.0, 40.0, 60.0], height=20)
    marked = tick_rows(plain(drawn))
    for row, words in marked.items():
        assert drawn.frame.row(float(words)) == row
    flat = plain(
        draw_plot([PlotSeries(np.array([1.0, 9.0]), np.array([40.0, 40.0]))], 60, 20, Axis(), Axis((20.0, 60.0)))
    )
    (row,) = [row for row, words in tick_rows(flat).items() if words == "40"]
    assert any("⠀" < char <= "⣿" for char in flat[row])
    assert sum(any("⠀" < char <= "⣿" for char in line) for line in flat) == 1


def test_where_there_is_no_light_there_are_marks_and_lines_are_told_apart_in_a_shared_cell() -> None:
    x = np.array([0.0, 10.0])
    series = [PlotSeries(x, x, palette.SKY), PlotSeries(x, x + 0.01, palette.ORANGE, "dashed")]
    drawn = draw_plot(series, 60, 14, Axis(), Axis())
    cells: dict[str, int] = {}
    for line in drawn.lines:
        for span in line.spans:
            cells[str(span.style)] = cells.get(str(span.style), 0) + span.end - span.start
    # Two of three cells are the broken line's, and the whole line shows through between them.
    assert cells[palette.ORANGE] > cells[palette.SKY] > cells[palette.ORANGE] / 4


def test_signs_belong_to_their_line() -> None:
    x = np.linspace(0, 10, 50)
    series = [
        PlotSeries(x, x * 0 + level, color, sign=sign) for level, color, sign in ((1, "red", "×"), (2, "blue", "+"))
    ]
    drawn = draw_plot(series, 70, 14, Axis(), Axis())
    for one in series:
        found = [(line, line.plain.index(one.sign)) for line in drawn.lines if one.sign in line.plain]
        assert len(found) == 1
        line, column = found[0]
        assert any(str(span.style) == one.color and span.start <= column < span.end for span in line.spans)


def test_a_wide_character_takes_its_two_cells_of_the_axis() -> None:
    three = np.arange(3.0)
    for words, same in (("猫", "cc"), ("猫dog", "ccdog")):
        drawn = [
            draw_plot([PlotSeries(three, three)], 60, 8, Axis(ticks=((1.0, name), (2.0, "z"))), Axis()).lines[-1].plain
            for name in (words, same)
        ]
        assert drawn[0].replace("猫", "cc") == drawn[1]
    named = draw_plot([PlotSeries(three, 1e4 + three)], 60, 8, Axis(kind="epoch", name="猫"), Axis()).lines[-1]
    assert named.plain.startswith("猫 ")
    assert (
        named.plain[2:]
        == draw_plot([PlotSeries(three, 1e4 + three)], 60, 8, Axis(kind="epoch"), Axis()).lines[-1].plain[3:]
    )


def test_a_logarithmic_x_and_times_have_round_ticks_too() -> None:
    y = np.linspace(1, 2, 6)
    foot = plain(draw_plot([PlotSeries(10.0 ** np.arange(6), y)], 70, 12, Axis(log=True, kind="step"), Axis()))[-1]
    assert foot.split() == ["1", "10", "100", "1,000", "10,000", "100k"]
    spots = draw_plot([PlotSeries(np.array([0.0, 5400.0]), y[:2])], 70, 12, Axis(kind="time", name="time"), Axis())
    assert "1:00:00" in plain(spots)[-1]
    assert "30:00" in plain(spots)[-1]
    assert ticks.labels([0, 129600, 172800], "time") == ["0:00", "1d 12h", "2d"]
    assert [spots.frame.column(spots.frame.place(at)) for at in range(spots.frame.columns)] == list(
        range(spots.frame.columns)
    )


def test_a_logarithmic_axis_of_times_is_marked_at_round_times() -> None:
    x = np.array([0.5, 1000, 40_000])
    drawn = draw_plot([PlotSeries(x, x)], 100, 12, Axis(log=True, kind="time"), Axis())
    assert plain(drawn)[-1].split() == ["1s", "10s", "1:00", "10:00", "1:00:00", "6:00:00"]


def test_a_noisy_training_is_drawn_from_its_first_points_on_a_logarithmic_axis() -> None:
    x = np.arange(1.0, 2001)
    curve = Curve("train", x, 1 / x, split="train")
    drawn = lay_out([prepare(curve, Look(log_x=True))], 80, 20, (1, 2000), Look(log_x=True))
    left = [line[drawn.frame.left : drawn.frame.left + 4] for line in drawn.lines[: drawn.frame.rows]]
    assert any(str(span.style) == palette.TRAIN for row in left for span in row.spans)


def test_zooming_a_logarithmic_axis_halves_what_shows_of_it() -> None:
    line = prepare(Curve("train", np.arange(1.0, 1001), np.ones(1000)), Look(log_x=True))
    low, high = View().zoomed([line], 0.5, log=True).window((1, 1000))
    assert (low, high) == pytest.approx((1000**0.5, 1000))


def test_every_column_of_a_logarithmic_axis_is_found_again() -> None:
    frame = draw_plot([PlotSeries(np.array([1.0, 1e6]), np.array([1.0, 2.0]))], 60, 12, Axis(log=True), Axis()).frame
    assert [frame.column(frame.place(column)) for column in range(frame.columns)] == list(range(frame.columns))


def test_figures_leave_nothing_behind_and_ask_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plain(plot([1.0, 3.0, 2.0], 120, 40))
    for columns, lines in (("7", "3"), ("400", "200")):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("LINES", lines)
        plot([5.0, 1e300], 30, 9, log=True)
        assert plain(plot([1.0, 3.0, 2.0], 120, 40)) == first
    assert len(first) == 40


def test_ascii_has_no_fine_dots() -> None:
    drawn = "".join(plain(plot([1.0, 3.0, 2.0], ascii_only=True)))
    assert "*" in drawn
    assert not any("⠀" <= char <= "⣿" for char in drawn)


def test_a_fork_s_first_epoch_presses_neither_it_nor_its_parent_flat() -> None:
    x = np.linspace(0.05, 20, 400)
    parent = Curve("parent train", x, 0.02 + 0.03 * np.exp(-x / 3), palette.GREY, faint=True, split="train")
    later = np.linspace(20.05, 40, 400)
    own = Curve("train", later, 0.018 + 0.9 * np.exp(-(later - 20) * 6), split="train")
    lines = [prepare(parent), prepare(own)]
    drawn = lay_out(lines, 100, 20, (0.05, 40.0))
    assert drawn.frame.y.limits[1] < 0.1
    assert "↑" in drawn.lines[0].plain
    # Nothing of a run is left out while there is no more of it, its newest value least of all.
    begun = prepare(Curve("train", later[:5], np.full(5, 0.9), split="train"))
    assert lay_out([prepare(parent), begun], 100, 20, (0.05, 21.0)).frame.y.limits[1] >= 0.9


def test_a_fork_is_not_pressed_flat_by_what_its_parent_was_long_ago() -> None:
    x, later = np.linspace(0.05, 150, 900), np.linspace(150.05, 170, 120)
    parent = Curve("parent", x, 0.015 + 0.09 * np.exp(-x / 20), palette.GREY, faint=True, split="train")
    own = Curve("train", later, 0.0145 + 0.0005 * np.cos(later), split="train")
    drawn = lay_out([prepare(parent), prepare(own)], 100, 20, (0.05, 170.0))
    assert drawn.frame.y.limits[1] < 0.02
    assert "↑" in drawn.lines[0].plain
    assert lay_out([prepare(parent)], 100, 20, (0.05, 170.0)).frame.y.limits[1] > 0.09


def test_what_is_not_finite_leaves_the_rest_as_it_is() -> None:
    x = np.arange(1.0, 21.0)
    y = 1 / x
    hole = np.where(x == 7, np.nan, np.where(x == 9, np.inf, y))
    assert draw_curves([Curve("a", x, hole)], 60, 14).plain.count("\n") == 13


def clocked(x: np.ndarray) -> Series:
    """The clock of a run that reached these epochs, 10 steps and a second each."""
    return Series((x * 10).astype(np.int64), x, x)


def test_a_fork_beside_other_runs_begins_by_itself_too() -> None:
    whole, late = np.linspace(0.05, 40, 800), np.linspace(20.05, 40, 400)
    one = Curve("A", whole, 0.02 + 0.03 * np.exp(-whole / 3), split="train", clock=clocked(whole))
    fork = Curve("B", late, 0.018 + 0.9 * np.exp(-(late - 20) * 6), split="train", clock=clocked(late))
    drawn = lay_out([prepare(one), prepare(fork)], 100, 20, (0.05, 40.0))
    assert drawn.frame.y.limits[1] < 0.1


def test_what_is_out_of_sight_bends_none_of_what_shows() -> None:
    x, y = np.array([0.0, 10.0, 20.0]), np.array([1000.0, 0.0, 0.0])
    for stroke in ("solid", "dashed"):
        drawn = draw_plot([PlotSeries(x, y, stroke=stroke)], 80, 20, Axis(), Axis((0.0, 10.0)))  # type: ignore[arg-type]
        rows = [line.plain[drawn.frame.left :] for line in drawn.lines[: drawn.frame.rows]]
        first = min(len(row) - len(row.lstrip(" ⠀")) for row in rows if row.strip(" ⠀"))
        # It crosses 10 at 9.9, half a cell before it ends at 0.
        assert drawn.frame.column(9.9) - 2 <= first <= drawn.frame.column(10)


def test_a_band_is_shaded_between_its_edges_and_belongs_to_the_plot() -> None:
    x = np.arange(1.0, 21.0)
    one = PlotSeries(x, x * 0 + 5, palette.SKY, band=(x, x * 0 + 2, x * 0 + 8))
    drawn = draw_plot([one], 60, 20, Axis(), Axis())
    low, high = drawn.frame.y.limits
    assert low <= 2 < 8 <= high
    shaded = [
        place
        for place, line in enumerate(drawn.lines[: drawn.frame.rows])
        if any(str(span.style) == f"dim {palette.SKY}" for span in line.spans)
    ]
    row = drawn.frame.row
    assert abs(shaded[0] - row(8)) <= 1
    assert abs(shaded[-1] - row(2)) <= 1
    assert {*range(shaded[0], shaded[-1] + 1)} - {*shaded} <= {row(5)}  # where the line is
    assert any(str(span.style) == palette.SKY for span in drawn.lines[row(5)].spans)
    filled = drawn.lines[row(3)].plain[drawn.frame.left + 4 : drawn.frame.left + 40]
    assert all(bin(ord(cell) - 0x2800).count("1") == 4 for cell in filled)  # half of its dots: an area
    rows = plain(draw_plot([one], 60, 20, Axis(), Axis(), ascii_only=True))
    assert rows[row(3)].count(":") > 40
    # Bands that meet are told apart without colours.
    other = PlotSeries(x, x * 0 + 9, palette.ORANGE, band=(x, x * 0 + 6, x * 0 + 12))
    drawn = draw_plot([one, other], 60, 20, Axis(), Axis(), ascii_only=True)
    row, rows = drawn.frame.row, plain(drawn)
    assert (rows[row(3)].count(":"), rows[row(10)].count("/")) > (40, 40)
    # Of what cannot be drawn there is no band, and what is alone is none.
    nothing = PlotSeries(x, x, band=(x, np.full(20, np.nan), np.full(20, np.inf)))
    assert plain(draw_plot([nothing], 60, 20, Axis(), Axis())) == plain(
        draw_plot([PlotSeries(x, x)], 60, 20, Axis(), Axis())
    )


def test_the_y_axis_is_zoomed_around_a_value_and_moved() -> None:
    for log, limits in ((False, (0.0, 100.0)), (True, (1.0, 1e4))):
        scale = Scale(limits, 10, 4, log)
        low, high = scale.zoomed(0.5, 10.0)
        assert low < 10 < high
        assert Scale((low, high), 10, 4, log).cell(10.0) == scale.cell(10.0)
        assert scale.zoomed(1.0, limits[1] * 10)[0] > low  # a value out of sight comes to the middle
        assert Scale(scale.shifted(0.25), 10, 4, log).shifted(-0.25) == pytest.approx(limits)


def test_what_zooming_out_in_y_shows_at_last_is_everything_a_first_epoch_too() -> None:
    x = np.linspace(0.05, 20, 400)
    lines = [prepare(Curve("train", x, 0.02 + 0.9 * np.exp(-x * 6), split="train"))]
    every, settled = heights_of(lines, 100, 20, (0.05, 20.0))
    assert every is not None
    assert settled is not None
    assert every[1] > 0.6 > 0.1 > settled[1]
    assert lay_out(lines, 100, 20, (0.05, 20.0), heights=every).frame.y.limits[1] >= every[1]


def shown(drawn: Plot, style: str) -> list[tuple[int, int, str]]:
    """Row, column and character of every cell of a style."""
    return [
        (row, place - drawn.frame.left, line.plain[place])
        for row, line in enumerate(drawn.lines[: drawn.frame.rows])
        for span in line.spans
        if str(span.style) == style
        for place in range(span.start, span.end)
    ]


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_few_measured_points_bear_signs_and_what_leads_to_them_gives_way_where_it_shares_a_cell(
    bare: bool, ascii_only: bool
) -> None:
    x, epochs = np.linspace(0.05, 5, 60), np.arange(1.0, 6.0)
    train, test = train_and_test([x, epochs], [1 - x / 10, np.where(epochs < 3, 1 - epochs / 10, 0.2)])
    lines = [prepare(without_dashes(curve) if bare else curve) for curve in (train, test)]
    drawn = lay_out(lines, 60, 20, (0.05, 5.0), ascii_only=ascii_only)
    frame = drawn.frame
    tested = shown(drawn, palette.TEST)
    assert [(row, column) for row, column, char in tested if char == "•"] == [
        (frame.row(y), frame.column(x)) for x, y in zip(test.x, test.y, strict=True)
    ]
    between = {column for _, column, char in tested if char != "•"}
    assert sum(column < frame.column(2) for column in between) <= 2  # of all where they coincide
    assert sum(frame.column(3) < column < frame.column(5) for column in between) > 10
    trained = {column for _, column, _ in shown(drawn, palette.TRAIN)}
    assert {*range(frame.columns)} - trained <= {*map(frame.column, epochs)}


def test_many_measured_points_bear_signs_at_a_distance_that_a_window_does_not_change() -> None:
    x = np.arange(1.0, 401.0)
    lines = [prepare(curve) for curve in train_and_test([x, x], [1 / x, 1 / x])]
    whole = lay_out(lines, 80, 16, (1.0, 400.0))
    columns = sorted({column for _, column, char in shown(whole, palette.TEST) if char == "•"})
    assert 5 < len(columns) < 10
    moved = [lay_out(lines, 80, 16, (start, start + 100)) for start in (101.0, 102.0)]
    places = [{one.frame.place(c) for _, c, char in shown(one, palette.TEST) if char == "•"} for one in moved]
    assert all(min(abs(place - other) for other in places[1]) < 2 for place in places[0] if 110 < place < 190)
    # A line of signs alone is not thinned to them.
    dense = lay_out([lines[0], prepare(without_dashes(lines[1].curve))], 80, 16, (1.0, 400.0))
    assert len({column for _, column, char in shown(dense, palette.TEST) if char == "•"}) > 30
