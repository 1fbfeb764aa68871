"""What says which keys there are: the help and the line at the bottom."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, Desk, open_desk, script
from tuiae.render.chrome import ShownKey, fit_keys
from tuiae.runs.paths import RunPaths
from tuiae.ui import keys
from tuiae.ui.commands import draw_help, help_groups
from tuiae.ui.widgets.chrome import KeyLine, ViewBar

MODES = ("runs", "live", "latent", "bench", "compare", "works")


@pytest.fixture
def run(lab: Laboratory) -> RunPaths:
    played = script(lab.runs, AUTOENCODER)
    played.play(3)
    played.writer.close("finished")
    return played.run


# The help


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(20, 5), (54, 18), (74, 22), (114, 38), (194, 58)], ids=str)
def test_the_help_fits_the_width_and_names_every_key_once(mode: str, size: tuple[int, int]) -> None:
    groups = help_groups(mode)
    lines = draw_help(groups, *size).plain.split("\n")
    assert max(map(cell_len, lines)) <= max(size[0], 40)
    text = "\n".join(lines)
    for name, rows in groups:
        assert text.count(name) >= 1
        assert all(words in text for _, words in rows)
    if size[0] > 110:
        assert len(lines) <= size[1]


def test_keys_of_panels_stand_under_their_panel_and_only_where_there_is_one() -> None:
    places = {mode: [name for name, _ in help_groups(mode) if name.startswith("on ")] for mode in MODES}
    assert places == {
        "runs": [],
        "live": ["on curves", "on the pictures", "on the confusion matrix", "on histograms"],
        "latent": [],
        "bench": ["on the canvas", "on the noise", "on the strip of pictures"],
        "compare": ["on curves"],
        "works": [],
    }


async def test_help_that_is_longer_than_the_screen_scrolls(run: RunPaths) -> None:
    async with open_desk(run, (80, 24)) as desk:
        await desk.press("question_mark")
        screen = await desk.shows("the next run", "arrows scroll")
        assert "back to the newest" not in screen
        await desk.press("end")
        await desk.shows("back to the newest")
        await desk.pilot.resize_terminal(120, 40)
        screen = await desk.shows("the next run", "back to the newest", "on the confusion matrix")
        assert "arrows scroll" not in screen


# The line at the bottom


def line_of(desk: Desk) -> str:
    return str(desk.app.screen.query_one(KeyLine).render())


def test_keys_are_whole_or_not_there_and_low_ranks_stay() -> None:
    some = [ShownKey(str(place), str(place), "word" * (place % 3 + 1), rank=9 - place) for place in range(10)]
    for width in range(120):
        kept = fit_keys(some, width)
        assert sum(key.width for key in kept) <= width
        assert list(kept) == [key for key in some if key in kept]
        assert width < 9 * 10 or some[9] in kept
    assert fit_keys(some, 500) == tuple(some)
    first = ShownKey("q", "q", "Quit", rank=-1)
    assert first in fit_keys([*some, first], first.width)


async def test_the_line_is_filled_and_never_cut(run: RunPaths) -> None:
    def fits(desk: Desk, width: int) -> bool:
        line, last = line_of(desk), desk.screen.split("\n")[-1]
        return len(last) == width >= cell_len(line) and line in last and "? Help" in line and "q Quit" in line

    async with open_desk(run, (60, 40)) as desk:
        for digit in "134562":
            await desk.press(digit)
            for width in (200, 120, 80, 60):
                await desk.pilot.resize_terminal(width, 40)
                await desk.until(lambda width=width: fits(desk, width))
        known = {"s Smooth": 80, "t Split": 120}
        for width in (60, 80, 120, 200):
            await desk.pilot.resize_terminal(width, 40)
            expected = {words for words, least in known.items() if width >= least}
            await desk.until(lambda expected=expected: {words for words in known if words in line_of(desk)} == expected)
            assert "r Start" in line_of(desk)


async def test_the_focused_panel_says_its_keys(run: RunPaths) -> None:
    async with open_desk(run, (120, 40)) as desk:
        await desk.until(lambda: "r Start" in line_of(desk))
        assert "Cursor" not in line_of(desk)
        await desk.focus("loss")
        await desk.until(lambda: "arrows Cursor" in line_of(desk) and "+ Closer" in line_of(desk))
        assert "0 All" not in line_of(desk)
        await desk.press("plus", "plus")
        await desk.press("left")
        await desk.focus("images")
        await desk.until(lambda: "arrows Cursor" not in line_of(desk))


async def test_the_next_panel_has_a_key_where_one_shows_at_a_time(run: RunPaths) -> None:
    async with open_desk(run, (80, 24)) as desk:
        for digit in "35":
            await desk.press(digit)
            await desk.until(lambda: "v View" in line_of(desk))
        for size, there in (((120, 40), False), ((120, 30), True), ((200, 60), False)):
            await desk.pilot.resize_terminal(*size)
            await desk.until(lambda there=there: ("v View" in line_of(desk)) == there)
        for digit in "35":
            await desk.press(digit)
            await desk.until(lambda: "q Quit" in line_of(desk) and "v View" not in line_of(desk))
            view = desk.app.screen.query_one(ViewBar).view
            await desk.press("v")
            assert desk.app.screen.query_one(ViewBar).view == view


async def test_a_panel_alone_keeps_the_keys_in_sight(run: RunPaths) -> None:
    async with open_desk(run, (80, 24)) as desk:
        for digit in "12":
            await desk.press(digit, "z")
            await desk.until(lambda: desk.app.screen.maximized)
            await desk.shows("q Quit")
            await desk.press("escape")


def test_every_binding_is_known_by_what_it_was_made_of() -> None:
    for key in keys.ALL:
        known = keys.find_key(key.binding) if "," not in key.key else key
        assert known is not None
        assert (known.label, known.more, known.later) == (key.label, key.more, key.later)
