"""The Bench screen on runs that were trained, with the explorer that answers it."""

from __future__ import annotations

import os
import shutil
import signal

import numpy as np
import pytest
from textual import events

from tests.conftest import Laboratory, SharedLaboratory
from tests.dashboard import CLASSIFIER, SIZES, Desk, SharedExplorer, open_desk, saving_again, script
from tuiae.explore.checkpoint import load
from tuiae.explore.protocol import Confused, Worst
from tuiae.runs.paths import RunPaths
from tuiae.ui.app import TuiaeApp
from tuiae.ui.screens.bench import BenchScreen
from tuiae.ui.widgets.bench_view import BenchView, Slider
from tuiae.ui.widgets.images import StripPanel
from tuiae.ui.widgets.run_view import ConfusionPanel


@pytest.fixture(scope="session")
def lettered(shared_lab: SharedLaboratory) -> RunPaths:
    """An autoencoder of 32 characters of 5 x 7 pixels, trained without noise."""
    return shared_lab.train("--dataset", "glyphs", "--noise", "none", "--set", "name=lettered", "--epochs", "2")


def bench(desk: Desk) -> BenchScreen:
    screen = desk.app.screen_stack[0]
    assert isinstance(screen, BenchScreen)
    return screen


def view(desk: Desk) -> BenchView:
    return bench(desk).view


def pixels(desk: Desk) -> np.ndarray:
    sketch = view(desk).canvas.sketch
    assert sketch is not None
    return sketch.pixels


def panel(desk: Desk, name: str) -> str:
    return str(view(desk).query_one(f"#{name}").render())


async def open_bench(desk: Desk) -> None:
    """Go there, and wait until the first test image was answered for."""
    await desk.press("4")
    await desk.until(lambda: view(desk).canvas.sketch is not None and pixels(desk).any())
    await quiet(desk)


async def quiet(desk: Desk) -> None:
    """Wait until everything is answered."""
    await desk.until(lambda: not desk.app.session.explorer.busy)
    await desk.pilot.pause()
    await desk.until(lambda: not desk.app.session.explorer.busy and not bench(desk).questions.pending)


async def drag(desk: Desk, *places: tuple[int, int], button: int = 1) -> None:
    """Press the mouse on the canvas, move it from place to place, let go."""
    canvas, pilot = view(desk).canvas, desk.pilot
    await pilot._post_mouse_events([events.MouseDown], canvas, offset=places[0], button=button)
    for place in places[1:]:
        await pilot._post_mouse_events([events.MouseMove], canvas, offset=place, button=button)
    await pilot._post_mouse_events([events.MouseUp], canvas, offset=places[-1], button=button)
    await pilot.pause()


# Drawing


async def test_what_is_drawn_is_reconstructed_and_classified_at_once(
    finished: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(finished, explorer=explorer) as desk:
        await open_bench(desk)
        loaded = load(finished, device="cpu")
        np.testing.assert_array_equal(pixels(desk), (loaded.images("test", [0])[0] * 255).round())
        await desk.shows("test image 0", "output", "wrong", "nearest codes", "standard deviation 0.20")
        await desk.press("c")
        assert not pixels(desk).any()
        await desk.shows("canvas · empty")
        await quiet(desk)
        empty, classes = panel(desk, "tried"), panel(desk, "classes")
        await drag(desk, (12, 8), (30, 8), (20, 18))
        await desk.shows("canvas · drawn")
        drawn = pixels(desk)[0]
        assert (drawn.max(axis=0) > 0).sum() >= 4  # one line, not three dots
        await desk.until(lambda: panel(desk, "tried") != empty)
        await desk.until(lambda: panel(desk, "classes") != classes)
        await drag(desk, (12, 8), (30, 8), button=3)
        assert pixels(desk)[0].sum() < drawn.sum()
        await desk.press("u")
        np.testing.assert_array_equal(pixels(desk)[0], drawn)
        await desk.press("u", "u", "u", "u")
        np.testing.assert_array_equal(pixels(desk), (loaded.images("test", [0])[0] * 255).round())
        await pen_draws(desk)


async def pen_draws(desk: Desk) -> None:
    """The same by keys alone."""
    await desk.press("c", "right")
    assert not pixels(desk).any()
    await desk.press("space")
    await desk.shows("pen down")
    dot = pixels(desk)
    assert dot.any()
    await desk.press("left", "left", "down")
    line = pixels(desk)
    assert line.sum() > dot.sum()
    await desk.press("space", "up", "up")
    np.testing.assert_array_equal(pixels(desk), line)
    await desk.press("e", "space", *["down"] * 8, "space")
    await desk.shows("eraser")
    assert pixels(desk).sum() < line.sum()
    await desk.press("u", "e", "b")
    np.testing.assert_array_equal(pixels(desk), line)
    await desk.shows("bold brush")
    await desk.press("I")
    np.testing.assert_array_equal(pixels(desk), 255 - line)
    await desk.press("I", "C")
    assert (pixels(desk)[0].max(axis=0) > 25).all()  # as wide as the image


# Images and noise


async def test_images_noise_and_the_worst_are_chosen_by_keys_and_mouse(
    finished: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(finished, explorer=explorer) as desk:
        await open_bench(desk)
        await desk.press("t", "full_stop")
        await desk.shows("test image 2 ·")
        await desk.press("comma", "comma", "comma")
        await desk.shows("test image 296 ·")
        await desk.press("slash")
        await desk.shows("0 to 296")
        await desk.press(*"999", "enter")
        await desk.shows("there is no image 999")
        await desk.press("end", "ctrl+u", *"17", "enter")
        await desk.shows("test image 17 ·")
        label = int(load(finished, device="cpu").labels("test", [17])[0])
        await desk.shows(f"test image 17 · class {label}")
        bench = desk.app.screen
        await desk.press("slash", "escape")
        await desk.until(lambda: desk.app.screen is bench)  # or r is of the burst that ended the dialog
        await desk.press("r")
        await desk.until(lambda: "test image 17 ·" not in desk.screen)
        await turn_noise(desk)
        await take_worst(desk)


async def turn_noise(desk: Desk) -> None:
    """Keys and the slider."""
    await desk.shows("error against gaussian noise", "at 0.20", "297 test images")
    before = panel(desk, "tried")
    await desk.press("plus", "equals_sign", "minus", "plus")
    await desk.shows("standard deviation 0.30", "at 0.30", "trained at 0.20")
    await desk.until(lambda: panel(desk, "tried") != before)
    await desk.press("k")
    await desk.shows("30% black or white pixels", "error against salt-pepper noise", "at 0.30")
    await desk.focus("noise")
    await desk.press("right", "right", "end")
    await desk.shows("100% black")
    await desk.press("home")
    await desk.shows("no noise")
    slider = view(desk).query_one(Slider)
    await desk.click("#noise", offset=(slider.content_size.width // 2, 1))
    assert 0.3 <= slider.noise.level <= 0.7
    await quiet(desk)
    before = panel(desk, "tried")
    await desk.press("n")
    await desk.until(lambda: panel(desk, "tried") != before)


async def take_worst(desk: Desk) -> None:
    """Enter and a click put them on the canvas."""
    await desk.shows("worst test images")
    worst = await desk.until(lambda: bench(desk)._strip)
    assert isinstance(worst, Worst)
    await desk.focus("strip")
    await desk.press("right", "enter")
    await desk.shows(f"test image {worst.indices[1]}")
    np.testing.assert_array_equal(pixels(desk), worst.images[1])
    await desk.press("left")
    await desk.click("#strip", offset=(8, 3))
    await desk.until(lambda: f"test image {worst.indices[0]} ·" in desk.screen)
    bench(desk).post_message(StripPanel.Taken(len(worst.images)))  # of a longer strip than the one that shows now
    await desk.pilot.pause()
    np.testing.assert_array_equal(pixels(desk), worst.images[0])


async def test_a_classifier_shows_its_probabilities_and_what_it_confuses(
    classified: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(classified, (80, 24), explorer=explorer) as desk:
        await desk.until(lambda: desk.app.session.sample)
        await choose_a_cell(desk)
        async for _ in desk.each_size():
            await desk.shows("taken for", "test image", "arrows Walk")
            assert "▀" in desk.painted(view(desk).strip)
        await desk.pilot.resize_terminal(120, 40)
        await desk.press("w")
        await desk.shows("taken for", "share that is wrong", "worst test images", "→")
        assert "output" not in desk.screen
        worst = await desk.until(lambda: bench(desk)._strip)
        true, predicted = int(worst.labels[0]), int(worst.predicted[0])
        await desk.press("2")
        await desk.until(lambda: desk.app.current_mode == "live")
        desk.app.switch_mode("bench")
        bench(desk).show_confused(true, predicted)
        await desk.shows(f"true {true}, taken for {predicted}: ")
        shown = bench(desk)._strip
        assert isinstance(shown, Confused)
        assert shown.indices[0] == worst.indices[0]
        await desk.focus("strip")
        await desk.press("enter")
        await desk.shows(f"test image {shown.indices[0]:,} · class {true}")
        await desk.press("w")
        await desk.shows("worst test images")
        bench(desk).show_confused(true, true)
        await desk.shows(f"true {true}, taken for {true}: ")
        view(desk).clear("")
        await desk.until(lambda: "worst test images" in str(view(desk).strip.border_title))


async def test_the_arrows_belong_to_the_panel_that_shows(finished: RunPaths, explorer: SharedExplorer) -> None:
    async with open_desk(finished, (80, 24), explorer=explorer) as desk:
        await desk.press("4")
        await desk.shows("test image 0")
        await desk.until(lambda: view(desk).strip.answered)
        for _ in range(3):
            await desk.until(lambda: desk.app.focused is view(desk).canvas)
            await desk.press("v")
        await desk.until(lambda: desk.app.focused is view(desk).strip)
        await desk.shows("arrows or a click", "arrows Walk")
        await desk.press("right")
        await desk.until(lambda: view(desk).strip.cursor == 1)
        await desk.press("v")
        await desk.until(lambda: desk.app.focused is view(desk).canvas)
        await desk.click("#tab-images")
        await desk.until(lambda: desk.app.focused is view(desk).strip)


@pytest.mark.parametrize("key", ["3", "4"])
async def test_what_is_said_of_a_run_is_not_said_of_the_next(
    lab: Laboratory, finished: RunPaths, explorer: SharedExplorer, key: str
) -> None:
    young = script(lab.runs)
    young.begin()
    async with open_desk(young.run, (80, 24), explorer=explorer) as desk:
        await desk.press(key)
        await desk.shows("no checkpoint yet")
        with explorer.held():
            desk.app.session.open(finished.root)
            await desk.shows("opening the weights…")
            assert "no checkpoint yet" not in desk.screen
    young.writer.close("stopped")


async def choose_a_cell(desk: Desk) -> None:
    """From the matrix on Live to the first image of the most frequent mistake, and on to the next one."""
    matrix = desk.app.live.query_one(ConfusionPanel)
    desk.app.live.view.reveal("confusion")
    await desk.pilot.pause()
    await desk.focus("confusion")
    await desk.press("right")
    true, predicted = matrix.cursor or (0, 0)
    await desk.press("enter")
    await desk.shows(f"true {true}, taken for {predicted}: ")
    shown = bench(desk)._strip
    assert isinstance(shown, Confused)
    assert desk.app.focused is view(desk).strip
    for place in range(min(len(shown.images), 3)):
        await desk.shows(f"test image {shown.indices[place]:,} · class {true}")
        np.testing.assert_array_equal(pixels(desk), shown.images[place])
        await desk.press("right")


async def test_an_empty_cell_leads_nowhere_and_says_so(lab: Laboratory) -> None:
    played = script(lab.runs, CLASSIFIER)
    played.play(6)
    played.writer.sample(7, labels=np.arange(4), classes=np.array(list("abcd")), confusion=np.diag([9, 9, 9, 9]))
    played.writer.close("finished")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.app.session.sample and desk.app.session.sample.epoch == 7)
        await desk.shows("confusion")
        await desk.focus("confusion")
        matrix = desk.app.live.query_one(ConfusionPanel)
        await desk.until(lambda: matrix._counts.sum() == 36)
        matrix.cursor = (0, 1)
        await desk.press("enter")
        await desk.shows("no test image is taken so")
        assert desk.app.current_mode == "live"


async def test_a_cell_without_images_says_so_and_goes_on_saying_it(
    classified: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(classified, explorer=explorer) as desk:
        sample = await desk.until(lambda: desk.app.session.sample)
        assert sample.confusion is not None
        true, predicted = map(int, np.argwhere(sample.confusion == 0)[0])
        with explorer.held():
            await desk.app.switch_mode("bench")
            bench(desk).show_confused(true, predicted)
            await desk.shows(f"opening the weights to show the images of {true} taken for {predicted}…")
        await desk.shows(f"true {true}, taken for {predicted}: 0")
        opened = bench(desk).questions.opened
        assert opened is not None
        view(desk).show_opened(opened)  # as whenever one comes back
        await desk.pilot.pause()
        assert "no test image is taken so" in desk.screen


# Where and when


async def test_every_size_shows_everything_at_once_or_one_after_the_other(
    lettered: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(lettered, explorer=explorer) as desk:
        await open_bench(desk)
        for size in [(60, 20), *SIZES]:
            await desk.pilot.resize_terminal(*size)
            await desk.pilot.pause()
            found = desk.screen
            for _ in range(4):
                await desk.press("v")
                found += desk.screen
            for words in ("test image 0", "noise · gaussian", "wrong", "nearest", "error against", "worst test images"):
                assert words in found, (size, words)
        await desk.press("i")
        await desk.until(lambda: "▀" not in desk.screen)
        await desk.press("i", "z")
        await desk.until(lambda: "noise · gaussian" not in desk.screen)
        await desk.press("escape", "escape")
        await desk.until(lambda: desk.app.current_mode == "live")


async def test_without_a_run_and_without_a_checkpoint_it_says_so(lab: Laboratory) -> None:
    everything = (
        "t",
        "comma",
        "r",
        "slash",
        "k",
        "plus",
        "n",
        "c",
        "u",
        "e",
        "b",
        "I",
        "C",
        "w",
        "space",
        "right",
        "v",
    )
    async with open_desk() as desk:
        await desk.press("4")
        await desk.shows("no run is open")
        await desk.press(*everything)
        await drag(desk, (5, 5), (9, 9))
        assert not desk.app.session.explorer.pid
    played = script(lab.runs)
    played.play(1)
    async with open_desk(played.run) as desk:
        await desk.press("4")
        await desk.shows("no checkpoint yet")
        await desk.press(*everything)
        assert not desk.app.session.explorer.pid
    played.writer.close("stopped")
    async with open_desk(played.run) as desk:
        await desk.press("4")
        await desk.shows("has no checkpoint: none was written", f"tuiae resume {played.run.id}")


async def test_new_weights_are_taken_as_they_come_also_within_an_epoch(
    lab: Laboratory, finished: RunPaths, explorer: SharedExplorer
) -> None:
    with saving_again(lab.runs, finished) as (run, save):
        async with open_desk(run, explorer=explorer) as desk:
            await open_bench(desk)
            await desk.press("c")
            await drag(desk, (12, 8), (30, 12))
            drawn, before = pixels(desk), panel(desk, "tried")
            saved = save(1)
            await desk.until(lambda: bench(desk).questions.opened.checkpoint == saved.name)
            await desk.until(lambda: panel(desk, "tried") != before)
            np.testing.assert_array_equal(pixels(desk), drawn)


async def test_a_drawing_stays_while_the_screen_is_covered_and_for_another_run_that_it_fits(
    finished: RunPaths, classified: RunPaths, lettered: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(finished, explorer=explorer) as desk:
        await open_bench(desk)
        await desk.press("c")
        await drag(desk, (12, 8), (30, 12))
        drawn = pixels(desk)
        await desk.press("question_mark", "c", "t", "space", "I", "escape")
        await desk.press("2", "C", "t", "4")
        np.testing.assert_array_equal(pixels(desk), drawn)
        desk.app.session.open(classified.root)
        await desk.shows("taken for")
        np.testing.assert_array_equal(pixels(desk), drawn)
        desk.app.session.open(lettered.root)
        await desk.until(lambda: view(desk).canvas.sketch and pixels(desk).shape == (1, 7, 5))
        await desk.shows("test image 0", "output")
        await quiet(desk)
        assert "taken for" not in desk.screen


@pytest.mark.parametrize("kind", ["classified", "finished"])
async def test_what_was_answered_while_another_screen_showed_is_asked_again(
    request: pytest.FixtureRequest, explorer: SharedExplorer, kind: str
) -> None:
    async with open_desk(request.getfixturevalue(kind), explorer=explorer) as desk:
        await desk.press("4")
        if kind == "classified":
            bench(desk).show_confused(0, 1)
        screen = bench(desk)
        await desk.until(lambda: screen.questions.opened)
        await desk.press("2")
        await desk.until(lambda: not desk.app.session.explorer.busy)
        await desk.press("4")
        await quiet(desk)
        await desk.until(lambda: not screen.questions.due and view(desk).canvas.sketch is not None)
        assert view(desk).strip.answered
        assert "0.5" in panel(desk, "noise-curve")


# Trouble


@pytest.mark.thorough
async def test_an_explorer_that_dies_twice_is_told_and_asked_again(finished: RunPaths) -> None:
    async with open_desk(finished) as desk:
        await open_bench(desk)
        explorer = desk.app.session.explorer
        first = explorer.pid
        os.kill(first, signal.SIGKILL)
        await desk.shows("the explorer ended (killed by SIGKILL) and is started again")
        await desk.until(lambda: explorer.pid not in (0, first) and not explorer.busy)
        os.kill(explorer.pid, signal.SIGKILL)
        await desk.shows("the explorer ended again: killed by SIGKILL; ctrl+r asks again")
        await desk.press("t")
        await desk.shows("the explorer has ended twice and stays away; ctrl+r asks again")
        await desk.press("ctrl+r")
        await desk.until(lambda: desk.app.session.explorer.pid and not desk.app.session.explorer.busy)
        await desk.press("t")
        await desk.until(lambda: "ended twice" not in desk.screen)
        await desk.shows("test image", "output")


async def test_a_run_that_is_deleted_while_it_is_open_breaks_nothing(
    lab: Laboratory, finished: RunPaths, explorer: SharedExplorer
) -> None:
    run = lab.copy(finished)
    async with open_desk(run, explorer=explorer) as desk:
        await open_bench(desk)
        shutil.rmtree(run.root)
        await desk.press("2", "4")
        await desk.shows("is gone")
        await desk.press("t", "k", "plus", "c", "C", "u")
        await drag(desk, (12, 8), (30, 12))
        await quiet(desk)
        assert isinstance(desk.app, TuiaeApp)
