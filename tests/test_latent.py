"""The Latent screen: its drawings as strings, and the screen itself on runs that were trained."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.text import Text

from tests.conftest import Laboratory
from tests.dashboard import HOSTILE, Desk, SharedExplorer, open_desk, saving_again, script
from tuiae.explore import client
from tuiae.explore.protocol import Place
from tuiae.render.code_map import MapView, labelled_points, lay_out_map
from tuiae.render.explorer import draw_nearest, draw_place
from tuiae.render.grid import fit_gallery, fit_plane
from tuiae.runs.paths import RunPaths
from tuiae.ui.questions import PlaneChoice
from tuiae.ui.widgets.latent_view import CodeMapPanel

AREAS = [(0, 0), (1, 1), (9, 3), (20, 6), (30, 17), (56, 21), (81, 33), (150, 50)]
FULL = ((0.0, 10.0), (0.0, 20.0))


def lines(text: Text) -> list[str]:
    return text.plain.split("\n")


def assert_fits(text: Text, width: int, height: int) -> None:
    assert len(lines(text)) <= max(height, 1)
    assert max(map(cell_len, lines(text))) <= width


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def a_place(image: bool = True, shape: tuple[int, int, int] = (1, 8, 8)) -> Place:
    return Place(
        checkpoint="step-000001",
        x=1.25,
        y=-0.5,
        image=pictures(*shape) if image else None,
        source="the code itself",
        shares=np.array([] if image else [0.25, 0.75]),
        indices=np.arange(5),
        labels=np.arange(5) % 2,
        images=pictures(5, *shape),
        distances=np.linspace(0, 1, 5, dtype=np.float32),
    )


# Drawings


@pytest.mark.parametrize("area", AREAS, ids=str)
@pytest.mark.parametrize("mode", ["blocks", "ascii"])
def test_pictures_fit_their_area(area: tuple[int, int], mode: str) -> None:
    for shape in ((1, 8, 8), (1, 28, 28), (3, 16, 32)):
        for count in (1, 5, 16):
            assert_fits(fit_gallery(pictures(count, *shape), *area, mode, [["A"] * count, ["0.1"] * count]), *area)
        axis = np.linspace(2, -2, 8)
        assert_fits(fit_plane(pictures(8, 8, *shape), axis, axis, *area, mode), *area)
        for drawn in (draw_place, draw_nearest):
            text = drawn(a_place(shape=shape), ("zero", HOSTILE), *area, mode)
            assert_fits(text, *area)
            assert mode == "blocks" or text.plain.isascii() or area < (20, 6)


def test_a_gallery_shows_all_and_as_large_as_it_can() -> None:
    large = fit_gallery(pictures(1, 1, 8, 8), 60, 20, "ascii").plain
    assert max(map(len, map(str.strip, large.split("\n")))) >= 30  # four times its 8 pixels
    drawn = lines(fit_gallery(pictures(5, 1, 8, 8), 60, 13, "ascii", [[f"n{index}" for index in range(5)]]))
    assert [word for line in drawn for word in line.split() if word.startswith("n")] == ["n0", "n1", "n2", "n3", "n4"]


def test_a_plane_that_does_not_fit_shows_every_second_picture() -> None:
    axis = np.arange(9.0)

    def below(width: int, height: int) -> list[str]:
        return (
            fit_plane(pictures(9, 9, 1, 8, 8), axis, axis[::-1], width, height, "ascii").plain.split("\n")[-1].split()
        )

    assert below(90, 50) == [f"{value:g}" for value in axis]
    assert below(60, 25) == ["0", "2", "4", "6", "8"]
    assert below(40, 16) == ["0", "4", "8"]
    assert below(54, 16) == ["0", "2", "4", "6", "8"]  # room beside three rows is for more columns


def test_places_below_narrow_pictures_lose_digits_and_not_their_ends() -> None:
    axis = np.linspace(-0.991, 0.949, 4)
    drawn = fit_plane(pictures(4, 4, 1, 7, 5), axis, axis, 36, 20, "ascii").plain.split("\n")
    assert next(reversed(drawn)).split() == [f"{value:.2g}" for value in axis]


@pytest.mark.parametrize(
    ("area", "pictures_there"),
    [((36, 17), (3, 3)), ((46, 18), (4, 4)), ((56, 22), (4, 4)), ((96, 34), (5, 7))],
    ids=["narrow", "80", "120", "200"],
)
def test_a_plane_has_as_many_whole_pictures_as_can_be_recognised(
    area: tuple[int, int], pictures_there: tuple[int, int]
) -> None:
    axis = np.arange(13.0)
    drawn = lines(fit_plane(np.full((13, 13, 1, 28, 28), 255, np.uint8), axis, axis[::-1], *area, "ascii"))
    labels = [line for line in drawn[:-1] if line.strip("@ ")]
    assert (len(labels), len(drawn[-1].split())) == pictures_there


def test_a_classifier_has_a_bar_for_each_class() -> None:
    drawn = draw_place(a_place(image=False), ("zero", "one"), 40, 9, "blocks").plain
    assert "one" in drawn
    assert "75%" in drawn
    assert "25%" in drawn


def test_the_cursor_shows_without_colours_and_stays_on_its_point() -> None:
    points = np.array([[0.0, 0.0], [10.0, 20.0], [4.0, 8.0]])
    for ascii_only in (False, True):
        codes = labelled_points(points, np.arange(3), "ABC")
        view = MapView().moved((4.0, 8.0), codes.limits)
        layout = lay_out_map(codes, 50, 18, ascii_only)
        assert layout is not None
        text = layout.draw(view)
        row = next(line for line in lines(text) if "C" in line)
        assert (">" if ascii_only else "▸") in row
        pointer = next(line for line in lines(text) if ("^" if ascii_only else "▴") in line)
        assert pointer.index("^" if ascii_only else "▴") == row.index("C")
        offset = text.plain.index("C")
        assert any("reverse" in str(span.style) for span in text.spans if span.start <= offset < span.end)
        assert text.plain.isascii() or not ascii_only


def test_a_cell_and_its_middle_are_each_other_s() -> None:
    layout = lay_out_map(labelled_points(np.array([[0.0, 0.0], [10.0, 20.0]]), np.arange(2), "AB"), 60, 20)
    assert layout is not None
    for cell in ((0, 0), (3, 17), (layout.frame.rows - 1, layout.frame.columns - 1)):
        assert layout.cell(*layout.point(*cell)) == cell
    assert layout.cell(99.0, 0.0) is None


def test_zooming_keeps_the_cursor_in_sight_and_the_window_on_the_plane() -> None:
    view = MapView().moved((9.0, 1.0), FULL).zoomed(3)
    for _ in range(30):
        (left, right), (low, high) = view.window(FULL)
        x, y = view.cursor or (0, 0)
        assert 0 <= left <= x <= right <= 10
        assert 0 <= low <= y <= high <= 20
        view = view.moved((x - 0.4, y + 1.0), FULL)
    assert view.zoomed(-99).window(FULL) == FULL
    assert MapView().moved((99.0, -99.0), FULL).cursor == (10.0, 0.0)


def test_a_third_mark_begins_anew() -> None:
    view = MapView(cursor=(1.0, 1.0)).marked()
    view = view.moved((2.0, 2.0), FULL).marked()
    assert view.marks == ((1.0, 1.0), (2.0, 2.0))
    assert view.moved((3.0, 3.0), FULL).marked().marks == ((3.0, 3.0),)


def test_planes_come_round_and_axes_are_never_the_same() -> None:
    choice, seen = PlaneChoice(latent=3), []
    for _ in range(3):
        seen.append(choice.by)
        choice = choice.next_plane()
    assert (seen, choice.by) == (["", "axes", "tsne"], "")
    for which in (0, 1, 0, 1, 1, 1, 0):
        choice = choice.next_number(which)
        assert choice.by == "axes"
        assert choice.axes[0] != choice.axes[1]
    assert PlaneChoice(latent=1).next_plane() == PlaneChoice(latent=1)
    assert PlaneChoice(latent=2).next_number(0) == PlaneChoice(latent=2)


def test_one_class_alone() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.2]])
    layout = lay_out_map(labelled_points(points, np.arange(3), ("Ada", "Bob", "Cyd")), 60, 18, view=MapView(only=1))
    assert layout is not None
    plain = layout.draw().plain
    assert "B Bob alone" in plain
    assert not any("A" in line.partition("│")[2] for line in plain.split("\n"))


# The screen


def cursor(desk: Desk) -> tuple[float, float]:
    point = desk.app.screen.query_one(CodeMapPanel).view.cursor
    assert point is not None
    return point


def shown_panel(desk: Desk, name: str) -> str:
    return str(desk.app.screen.query_one(f"#{name}").render())


async def open_latent(desk: Desk) -> None:
    """Go there, and wait until the cursor decodes."""
    await desk.press("3")
    await desk.until(lambda: "here" in str(desk.app.screen.query_one("#decoded").border_title))


async def test_a_cursor_decodes_where_it_stands_and_more_stands_beside_it(
    plane_vae: RunPaths, explorer: SharedExplorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_desk(plane_vae, explorer=explorer) as desk:
        await open_latent(desk)
        screen = await desk.shows("codes of 297 test images", "decoded here", "nearest test images", "code 0")
        assert "step" in screen
        first, where = shown_panel(desk, "decoded"), cursor(desk)
        await desk.press("ctrl+right", "ctrl+up")
        await desk.until(lambda: shown_panel(desk, "decoded") != first)
        assert cursor(desk)[0] > where[0]
        assert cursor(desk)[1] > where[1]
        x, y = (f"{value:.3g}" for value in cursor(desk))
        await desk.until(lambda: f"{x}, {y}" in shown_panel(desk, "decoded"))
        await desk.click("#map", offset=(20, 12))
        left = cursor(desk)
        await desk.click("#map", offset=(60, 12))
        assert cursor(desk)[0] > left[0]
        assert cursor(desk)[1] == left[1]

        # Ways, samples and the plane stand beside the map until escape.
        await desk.press("ctrl+left", "b")
        await desk.shows("mark the other end")
        await desk.press("ctrl+right", "ctrl+right", "b")
        await desk.shows("from ◆ to ◇", "1.00")
        assert " apart · step 45 · epoch 3" in str(desk.app.screen.query_one("#more").border_subtitle)
        await desk.press("n")
        await desk.shows("drawn from the prior", "seed 1")
        await desk.press("n")
        await desk.shows("seed 2")
        await desk.press("P")
        await desk.shows("16 pictures are in")
        await desk.press("d")
        await desk.shows("the plane, decoded", "of the prior")
        more = desk.app.screen.query_one("#more")
        async for _ in desk.each_size():
            await desk.shows("the plane, decoded")
            # Rows of pictures, and below them the places of three or more.
            await desk.until(lambda: re.search(r"▀▀▀▀[^▀]+(-?\d[\d.]* +){2,}-?\d[\d.]*\s*$", desk.painted(more)))
        await desk.press("P", "P")
        await desk.shows("169 pictures are in")
        names = [
            f"{plane_vae.id}-{name}.png"
            for name in ("plane-step-000045-2", "plane-step-000045", "prior-step-000045-seed-2")
        ]
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == names
        await desk.press("escape")
        await desk.until(lambda: "the plane, decoded" not in desk.screen)
        await desk.press("z")
        await desk.until(lambda: "nearest test images" not in desk.screen)
        await desk.press("escape", "plus", "plus", "i")
        await desk.until(lambda: "▀" not in desk.screen)
        await desk.press("escape")
        await desk.until(lambda: desk.app.current_mode == "live")


async def test_a_wide_code_has_several_planes_and_a_classifier_decodes_nothing(
    finished: RunPaths, classified: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(finished, explorer=explorer) as desk:
        await open_latent(desk)
        await desk.shows("PC 1 ")
        await desk.press("a")
        await desk.shows("across: code 0   up: code 1")
        await desk.press("left_square_bracket")
        await desk.shows("across: code 2   up: code 1")
        await desk.press("b", "right_square_bracket")
        await desk.shows("another plane: what was marked is no place of it")
        with explorer.held():
            await desk.press("a")
            await desk.shows("computing t-SNE…")
        await desk.shows("across: t-SNE 1")
        await desk.until(lambda: "no way back" in desk.screen)
        await desk.press("n")
        await desk.shows("no prior to draw from")
        await desk.press("a")
        await desk.shows("PC 1 ", "? all keys")
        await desk.until(lambda: not desk.app.session.explorer.busy)
        assert "no prior" not in desk.screen  # refused once, and not again with each plane and each checkpoint
        desk.app.session.open(classified.root)
        async for _ in desk.each_size():
            await desk.shows("classified here", "this code is taken for")
            bars = r"^\W*\d +\d+% [█▏▎▍▌▋▊▉]*"
            decoded = desk.app.screen.query_one("#decoded")
            await desk.until(lambda: len(re.findall(bars, desk.painted(decoded), re.MULTILINE)) == 10)  # noqa: B023
        await desk.shows("nearest test images")
        for key in ("d", "b"):
            await desk.press(key)
            await desk.shows("decodes nothing")
            await desk.press("right")
            await desk.until(lambda: "decodes nothing" not in desk.screen)


LATE = """
import runpy, sys, time
from pathlib import Path
while not Path(sys.argv[1]).exists():
    time.sleep(0.01)
runpy.run_module("tuiae.explore.server", run_name="__main__")
"""
"""An explorer that begins when a file is there."""


async def test_keys_pressed_while_it_loads_are_kept_or_answered(
    plane_vae: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "COMMAND", [sys.executable, "-c", LATE, str(tmp_path / "begin")])
    async with open_desk(plane_vae) as desk:
        await desk.until(lambda: desk.app.session.snapshot)
        await desk.press("3", "a")
        await desk.shows("still loading the weights: press it again")
        await desk.press("n")
        await desk.shows("still loading the weights: it comes")
        (tmp_path / "begin").touch()
        await desk.shows("drawn from the prior", "seed 1", "epoch 3")


async def test_on_a_small_screen_one_panel_stands_beside_the_map(plane_vae: RunPaths, explorer: SharedExplorer) -> None:
    async with open_desk(plane_vae, (80, 24), explorer=explorer) as desk:
        await open_latent(desk)
        await desk.shows("codes of", "decoded here")
        assert "nearest test images" not in desk.screen
        await desk.press("v")
        await desk.shows("nearest test images")
        await desk.press("d")
        await desk.shows("the plane, decoded")
        for key, words in (("d", "the plane, decoded"), ("n", "drawn from the prior"), ("d", "the plane, decoded")):
            await desk.press("v")
            await desk.shows("decoded here")
            await desk.press(key)
            await desk.shows(words)
        await desk.pilot.resize_terminal(60, 20)
        await desk.shows("codes of", "the plane, decoded", "Plane")
        await desk.pilot.resize_terminal(40, 12)
        await desk.shows("60x20")
        await desk.pilot.resize_terminal(200, 60)
        await desk.shows("decoded here", "the plane, decoded", "across: code 0")


async def test_without_a_run_and_without_a_checkpoint_it_says_so(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.press("3")
        await desk.shows("no run is open")
        assert not desk.app.session.explorer.pid
    played = script(lab.runs)
    played.play(1)
    async with open_desk(played.run) as desk:
        await desk.press("3")
        await desk.shows("no checkpoint yet")
        assert not desk.app.session.explorer.pid
        played.writer.close("stopped")
        await desk.shows("has no checkpoint: none was written", f"tuiae resume {played.run.id}")


async def test_new_checkpoints_of_a_training_show_as_they_come(
    lab: Laboratory, finished: RunPaths, explorer: SharedExplorer
) -> None:
    with saving_again(lab.runs, finished) as (run, save):
        async with open_desk(run, explorer=explorer) as desk:
            await open_latent(desk)
            first = sorted(finished.weights.glob("step-*"))[0]
            await desk.shows(f"step {int(first.name.removeprefix('step-')):,}")
            second = save(1)
            await desk.shows(f"step {int(second.name.removeprefix('step-')):,}")
            await desk.press("2")
            shutil.rmtree(second)
            save(-1)
            await desk.press("3")
            await desk.shows("codes of 297")


async def test_an_explorer_that_dies_twice_is_told_and_enter_starts_it_again(plane_vae: RunPaths) -> None:
    async with open_desk(plane_vae) as desk:
        await open_latent(desk)
        await desk.kill_explorer()
        # Whether that is told, or already what the next question came to, is a matter of moments.
        told = "the explorer ended again: killed by SIGKILL; enter asks again", "the explorer has ended twice"
        await desk.until(lambda: any(words in desk.screen for words in told))
        await desk.press("right")
        await desk.shows("the explorer has ended twice")
        await desk.press("enter")
        await desk.until(lambda: desk.app.session.explorer.pid and not desk.app.session.explorer.busy)
        await desk.press("right")
        await desk.until(lambda: "ended twice" not in desk.screen)


async def test_a_run_that_is_deleted_while_it_is_open_breaks_nothing(
    lab: Laboratory, plane_vae: RunPaths, explorer: SharedExplorer
) -> None:
    run = lab.copy(plane_vae)
    async with open_desk(run, explorer=explorer) as desk:
        await open_latent(desk)
        shutil.rmtree(run.root)
        await desk.press("2", "3")
        await desk.shows("is gone")
        await desk.press("right", "d", "b", "n", "a")
        await desk.until(lambda: not desk.app.session.explorer.busy)
        assert "□ gone" in desk.screen
