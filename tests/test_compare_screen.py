"""Runs beside each other on the screen of the dashboard."""

from __future__ import annotations

import threading
from queue import Queue

import pytest
from textual.message import Message
from textual.widgets import Static

from tests.comparing import begin, end, settings, tell, two_sizes
from tests.conftest import Laboratory
from tests.dashboard import HOSTILE, PATIENCE, Desk, Script, open_desk
from tuiae.render.compare import group_key
from tuiae.studies.compare import CompareReader, Comparison
from tuiae.ui.feeds import CompareChanged, Feed, follow_comparison
from tuiae.ui.screens.compare import CompareScreen, SharedImagesPanel, SweepPanel
from tuiae.ui.screens.runs import RunsScreen
from tuiae.ui.widgets.curves import CurvesPanel
from tuiae.ui.widgets.tables import TableText

ESCAPE = "\x1b"


@pytest.fixture
def study(lab: Laboratory) -> list[Script]:
    return two_sizes(lab)


def compared(desk: Desk) -> Comparison | None:
    return desk.app.screen.comparison if isinstance(desk.app.screen, CompareScreen) else None


async def test_with_nothing_to_compare_nothing_is_waited_for() -> None:
    async with open_desk() as desk:
        await desk.press("5")
        screen = await desk.shows("nothing to compare yet", "no points to compare")
        assert "waiting" not in screen


async def test_select_two_compare_and_come_back(study: list[Script]) -> None:
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 6", "space selects runs", "space Select")
        await desk.press("c")
        await desk.shows("no run is selected: select two or more with space")
        await desk.press("space")
        await desk.shows("1 selected", "◆")
        await desk.press("c")
        await desk.shows("one run is selected")
        await desk.press("down", "down", "down", "space")
        await desk.shows("2 selected · c compares them", "c Compare")
        marked = [line.split()[1] for line in desk.lines() if line.startswith("◆")]
        assert marked == [study[5].run.id, study[2].run.id]
        await desk.press("c")
        screen = await desk.shows(
            "train loss", "test loss", "◆ A", "• B", "latent=4", "same test images", "what differs"
        )
        assert "2 runs" in screen
        assert "seed=2" not in screen
        await desk.press("m")
        await desk.shows("test accuracy")
        await desk.press("question_mark")
        await desk.shows("next metric", "next setting of the summary", "back to the list", "all runs")
        await desk.press("escape")
        await desk.shows("test accuracy")
        await desk.press("escape")
        await desk.until(lambda: isinstance(desk.app.screen, RunsScreen))
        await desk.shows("2 selected")
        await desk.press("c", "1")
        await desk.until(lambda: isinstance(desk.app.screen, RunsScreen))
        # Where the cursor stands now is one of the two: taken out, one is left.
        await desk.press("space")
        await desk.shows("1 selected")


async def test_curves_of_train_and_test_look_at_the_same_epochs(study: list[Script]) -> None:
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 6")
        await desk.press("space", "down", "space", "c")
        await desk.shows("train loss", "test loss")
        train, test = (desk.app.screen.query_one(f"#{name}-curves", CurvesPanel) for name in ("train", "test"))
        await desk.focus("train-curves")
        await desk.press("left", "left", "plus")
        await desk.until(lambda: "zoomed" in str(train.border_subtitle) and "zoomed" in str(test.border_subtitle))
        frames = train.frame(), test.frame()
        assert frames[0] is not None
        assert frames[1] is not None
        assert frames[0].x.limits == frames[1].x.limits
        await desk.press("0")
        await desk.until(lambda: "zoomed" not in str(train.border_subtitle) + str(test.border_subtitle))


def test_a_paused_feed_leaves_the_runs_alone_and_goes_on_in_the_same_thread(
    study: list[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: Queue[int] = Queue()

    class WatchedReader(CompareReader):
        """Tells which thread reads."""

        def poll(self) -> Comparison:
            looked.put(threading.get_ident())
            return super().poll()

    paths = tuple(played.run.root for played in study)
    told: Queue[Message] = Queue()
    monkeypatch.setattr("tuiae.studies.compare.CompareReader", WatchedReader)
    feed = Feed(follow_comparison(paths), told.put, "compare")
    feed.resume()
    assert isinstance(told.get(timeout=PATIENCE), CompareChanged)
    first = looked.get(timeout=PATIENCE)
    feed.pause()
    feed.resume()
    assert looked.get(timeout=PATIENCE) == first
    feed.close()


async def test_a_comparison_grows_with_its_runs(lab: Laboratory) -> None:
    live = begin(lab.runs, 1, settings())
    done = end(lab.runs, 2, [0.3, 0.2], settings(model__latent=3))
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 2")
        await desk.press("a", "c")
        await desk.shows("● 1 live", "no test loss yet")
        tell(live, 1, 0.1234)
        await desk.shows("0.1234 ◂", "1/6", "A latent=8 · B latent=3")
        await desk.press("p")
        await desk.shows(f"asked {live.run.id} to pause")
        await desk.press("escape", "5")
        await desk.shows("A latent=8 · B latent=3")
        await desk.press("2")
        await desk.shows("quickstart ·")
        tell(live, 2, 0.0567)
        live.writer.close("finished")
        await desk.press("5")
        await desk.shows("0.0567", "✓ 2/6")
        await desk.until(lambda: "1 live" not in desk.screen)
    assert done.run.root.exists()


async def test_a_small_screen_shows_one_part_at_a_time(study: list[Script]) -> None:
    async with open_desk(size=(80, 24)) as desk:
        await desk.press("1")
        await desk.shows("runs · 6")
        await desk.press("a", "c")
        await desk.shows("train loss", "test loss", "◆ A")
        for words in (
            ("over seeds", "latent=8 seed=2"),
            ("model.latent",),
            ("loss by latent",),
            ("input", "one run a group"),
            ("train loss",),
        ):
            await desk.press("v")
            await desk.shows(*words)
        await desk.press("v", "z")
        await desk.until(lambda: "curves  values" not in desk.screen)
        await desk.press("escape")
        await desk.shows("curves", "settings")
        assert compared(desk) is not None
        await desk.press("v", "v", "v", "i")
        await desk.shows("input")
        await desk.until(lambda: not set("▀▄█") & set(desk.screen))


async def test_runs_that_go_or_are_hostile_do_no_harm(lab: Laboratory) -> None:
    runs = [end(lab.runs, number, [0.3], settings(model__latent=number)) for number in (1, 2, 3)]
    text = runs[0].run.config.read_text()
    runs[0].run.config.write_text(text.replace('name = "denoise"', f"name = {HOSTILE!r}"))
    runs[1].run.log.write_bytes(HOSTILE.encode())
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 3")
        await desk.press("a", "c")
        await desk.shows("config not readable", "same test images")
        for size in ((80, 24), (200, 60), (120, 40)):
            await desk.pilot.resize_terminal(*size)
            await desk.pilot.pause()
            assert all(character.isprintable() or character == "\n" for character in desk.screen)
        await desk.press("1")
        await desk.shows("3 selected")


async def test_every_group_is_named_on_a_narrow_screen(lab: Laboratory) -> None:
    for number in (1, 2, 3, 4):
        changes = {"training__learning_rate": 0.001 * number, "training__batch_size": 8 * number}
        end(lab.runs, number, [0.4, 0.3], settings(model__latent=4 * number, **changes))
    async with open_desk(size=(80, 24)) as desk:
        await desk.press("1")
        await desk.until(lambda: len(desk.table.keys) == 4)
        await desk.press("a", "c")
        comparison = await desk.until(lambda: getattr(desk.app.screen, "comparison", None))
        assert len(group_key(comparison)) > 156
        names = [f"{'ABCD'[number - 1]} latent={4 * number}" for number in (1, 2, 3, 4)]
        await desk.until(lambda: all(name in " ".join(desk.screen.split()) for name in names))
        message = desk.app.screen.query_one("#message", Static)
        assert message.size.height == 2


async def test_the_names_of_runs_come_before_what_one_should_know_of_their_figures(lab: Laboratory) -> None:
    for number, dataset in enumerate(("glyphs", "digits"), 1):
        end(lab.runs, number, [0.4, 0.3], settings(data__dataset=dataset))
    async with open_desk(size=(80, 24)) as desk:
        await desk.press("1")
        await desk.until(lambda: len(desk.table.keys) == 2)
        await desk.press("a", "c")
        await desk.shows("different images")
        said = str(desk.app.screen.query_one("#message", Static).content)
        assert said.startswith("A ")
        assert said.index("B ") < said.index("figures are of different images")
        await desk.pilot.resize_terminal(120, 40)
        await desk.until(lambda: desk.screen.count("figures are of different images") == 1)


async def test_groups_of_seeds_are_means_in_bands_until_each_run_is_wanted(study: list[Script]) -> None:
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 6")
        await desk.press("a", "c")
        await desk.shows("◆ A", "• B", "bands: lowest to highest", "one run a group", "M Each run")
        test = desk.app.screen.query_one("#test-curves", CurvesPanel)
        assert [curve.band is None for curve in test.curves] == [False, False]
        async for _ in desk.each_size():
            await desk.shows("bands: lowest to highest", "M Each run")
        await desk.press("M")
        await desk.shows("each run by itself", "A3")
        await desk.until(lambda: "one run a group" not in desk.screen)
        assert [curve.band is None for curve in test.curves] == [True] * 6
        async for _ in desk.each_size():
            await desk.shows("M Means")
            await desk.until(lambda: "bands:" not in desk.screen)
        await desk.press("M")
        await desk.shows("means over seeds, in bands from the lowest to the highest")


WHOLE = {
    "values": (
        *("runs mean min max std", "3 0.2100 0.2000 0.2200 0.01000"),
        *("test loss best at epoch accuracy", "◆ A1 latent=4 seed=0", "0.2250 0.2000 2 77.50%"),
    ),
    "settings": ("A1 A2 A3 B1 B2 B3", "model.latent 4 4 4 8 8 8", "training.seed 0 1 2 0 1 2"),
    "same-images": ("input", "noisy", "A1", "B1"),
}
"""What panels have at every size, by their ids."""


async def test_columns_are_whole_and_a_group_has_one_row_of_pictures(study: list[Script]) -> None:
    async with open_desk() as desk:
        desk.app.session.compare([played.run.root for played in study])
        await desk.press("5")
        await desk.shows("6 runs", "one run a group")
        screen = desk.app.screen
        assert isinstance(screen, CompareScreen)
        async for width, _ in desk.each_size():
            for (panel, words), view in zip(WHOLE.items(), ("values", "settings", "pictures"), strict=True):
                screen.view.reveal(view if width == 80 else "curves")
                widget = screen.query_one(f"#{panel}")
                await desk.until(lambda: all(word in desk.words(widget) for word in words))  # noqa: B023
                assert "…" not in desk.words(widget)
            assert not [name for name in ("A2", "A3", "B2", "B3") if name in desk.words(widget)]


async def test_the_line_of_keys_is_that_of_the_runs_that_are_compared(study: list[Script]) -> None:
    async with open_desk() as desk:
        for chosen, seeds in ((("a",), True), (("a", "space", "down", "down", "down", "space"), False), (("a",), True)):
            await desk.press("1")
            await desk.shows("runs · 6")
            await desk.press(*chosen, "c")
            await desk.until(lambda: compared(desk) is not None)
            for words in ("m Metric", "y Log", "s Smooth"):
                await desk.shows(words)
            await desk.until(lambda: ("M Each run" in desk.screen) == seeds)  # noqa: B023
        async for _ in desk.each_size():
            for words in ("m Metric", "y Log", "M Each run"):
                await desk.shows(words)


async def test_every_view_is_of_the_runs_in_the_title(study: list[Script]) -> None:
    paths = [played.run.root for played in study]
    async with open_desk(size=(80, 24)) as desk:
        await desk.press("5")
        for chosen, words in ((paths[:3], ("0.2250 ◂", "training.seed   0")), (paths, ("0.1125 ◂", "model.latent"))):
            desk.app.session.compare(chosen)
            await desk.press("1", "5")
            await desk.shows(f"{len(chosen)} runs", "train loss")
            for word in words:
                await desk.press("v")
                await desk.shows(word)
            await desk.press("v", "v", "v")


async def test_while_other_runs_are_read_nothing_of_those_before_shows(study: list[Script]) -> None:
    paths = [played.run.root for played in study]
    async with open_desk() as desk:
        desk.app.session.compare(paths)
        await desk.press("5")
        await desk.shows("6 runs", "over seeds", "latent=4", "one run a group")
        screen = desk.app.screen
        assert isinstance(screen, CompareScreen)
        desk.app.session.compare(paths[:2])
        screen.on_screen_resume()  # no reader was faster
        assert not any(panel.curves for panel in screen.query(CurvesPanel))
        assert not any(str(table.render()) for table in screen.query(TableText))
        assert screen.query_one(SweepPanel).summary is None
        assert not screen.query_one(SharedImagesPanel).drawing(80, 24).plain
        assert "6 runs" not in str(screen.query_one("#title", Static).content)
        assert "reading 2 runs" in str(screen.message.content)
