"""The line of keys says what can be done now, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, Desk, open_desk, script
from tuiae.render.chrome import ShownKey
from tuiae.runs.paths import RunPaths
from tuiae.ui.widgets.chrome import KeyLine

VAE = {**AUTOENCODER, "name": "draws", "model": {"family": "vae", "hidden": [32], "latent": 2}, "noise": {}}


def line_of(desk: Desk) -> str:
    return str(desk.app.screen.query_one(KeyLine).render())


async def says(desk: Desk, *words: str) -> str:
    await desk.until(lambda: all(word in line_of(desk) for word in words))
    return line_of(desk)


def ended(root: Path, state: str, document: dict[str, object] = AUTOENCODER) -> RunPaths:
    played = script(root, document)
    played.play(2)
    played.writer.close(state)
    return played.run


@pytest.mark.parametrize(
    ("state", "there", "gone"),
    [
        ("running", ("p Pause", "x Stop", "w Save", "e Edit"), ("R Resume", "f Fork")),
        ("stopped", ("R Resume",), ("p Pause", "x Stop", "w Save", "e Edit", "f Fork")),
        ("finished", (), ("R Resume", "p Pause", "x Stop", "w Save", "e Edit")),
    ],
)
async def test_keys_on_the_open_run_follow_its_state(
    lab: Laboratory, state: str, there: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    played = script(lab.runs)
    played.play(2)
    if state != "running":
        played.writer.close(state)
    async with open_desk(played.run, (80, 24), root=lab.runs) as desk:
        await desk.until(lambda: desk.state == state)
        line = await says(desk, "r Start", "v View", "1 Runs", "q Quit", *there)
        assert not [words for words in gone if words in line]
        assert "2 Live" not in line
        await desk.press("1")
        line = await says(desk, "Open", *(words for words in there if words[0] == "p"))
        assert "1 Runs" not in line
        assert not [words for words in gone if words in line]
        for digit in "56":
            await desk.press(digit)
            await says(desk, "1 Runs", "q Quit", "Back")
            assert "Pause" not in line_of(desk)


async def test_the_screens_stand_in_the_order_of_their_numbers(lab: Laboratory) -> None:
    async with open_desk(size=(200, 60)) as desk:
        await desk.press("6")
        line = await says(desk, "1 Runs  2 Live  3 Latent  4 Bench  5 Compare")
        assert line.rstrip().endswith("? Help  q Quit")


async def test_without_a_run_there_are_no_keys_on_one(lab: Laboratory) -> None:
    words = (
        "Pause",
        "Fill",
        "Metric",
        "Plane",
        "Mark",
        "Prior",
        "Image",
        "Noise",
        "k Setting",
        "Select",
        "Find",
        "Open",
    )
    async with open_desk(size=(120, 40)) as desk:
        for digit in "12345":
            await desk.press(digit)
            await says(desk, "q Quit", "? Help")
            await desk.until(lambda: not [word for word in words if word in line_of(desk)])


@pytest.mark.parametrize(
    ("document", "there", "gone"),
    [
        (AUTOENCODER, ("[ ] Axes", "b Mark", "d Decode"), ("n Prior", "] Up")),
        (VAE, ("n Prior", "b Mark"), ("[ ] Axes",)),
        (CLASSIFIER, ("[ ] Axes",), ("b Mark", "d Decode", "n Prior")),
    ],
    ids=["autoencoder", "variational", "classifier"],
)
async def test_keys_on_codes_follow_the_network(
    lab: Laboratory, document: dict[str, object], there: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    async with open_desk(ended(lab.runs, "finished", document), (200, 60), root=lab.runs) as desk:
        await desk.until(lambda: desk.state)
        await desk.press("3")
        line = await says(desk, "a Plane", *there)
        assert not [words for words in gone if words in line]


async def test_while_one_types_what_to_find_only_keys_that_are_not_typed_show(lab: Laboratory) -> None:
    ended(lab.runs, "finished")
    async with open_desk(size=(120, 40), root=lab.runs) as desk:
        await desk.press("1")
        await says(desk, "/ Find", "Select")
        await desk.press("slash")
        line = await says(desk, "Done", "esc Back")
        assert not [words for words in ("/ Find", "Select", "Quit", "Help", "1 ", "2 ") if words in line]


async def test_on_the_smallest_screen_the_next_panel_is_never_left_out(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run, (60, 20), root=lab.runs) as desk:
        await says(desk, "v View", "p Pause", "q Quit")


async def test_the_keys_of_a_panel_come_and_go_with_what_it_shows(lab: Laboratory) -> None:
    run = ended(lab.runs, "finished", CLASSIFIER)
    async with open_desk(run, (200, 60), root=lab.runs) as desk:
        await desk.until(lambda: desk.state)
        await desk.focus("loss")
        line = await says(desk, "arrows Cursor", "+ Closer")
        assert "0 All" not in line
        await desk.press("up")
        await says(desk, "0 All")
        await desk.press("0")
        await desk.until(lambda: "0 All" not in line_of(desk))
        await desk.press("left", "plus")
        await desk.until(lambda: "0 All" not in line_of(desk))
        await desk.focus("confusion")
        await says(desk, "arrows Cell")
        assert "Images" not in line_of(desk)
        await desk.press("right")
        await says(desk, "Images")
        await desk.press("escape")
        await desk.until(lambda: "Images" not in line_of(desk))


async def test_keys_are_called_by_what_they_do_now(lab: Laboratory) -> None:
    async with open_desk(ended(lab.runs, "finished"), (200, 60), root=lab.runs) as desk:
        await desk.until(lambda: desk.state)
        # (keys, what the line says then, what it no longer says)
        for keys, there, gone in (
            ("z", "z Back", "z Alone"),
            ("z y", "y Linear", "y Log "),
            ("y", "y Log ", "y Linear"),
            ("comma", ", Before", "m Metric"),
            ("less_than_sign", ". After", ", Before"),
            ("greater_than_sign", ", Before", ". After"),
            ("1 space", "space Unselect", "c Compare"),
            ("space asterisk", "* Unpin", "space Unselect"),
            ("slash x enter", "esc Show all", "esc Back"),
            ("escape 6", "⏎ Trainings", "⏎ Open"),
            ("enter", "esc Works", "⏎ Open"),
        ):
            await desk.press(*keys.split())
            await says(desk, there)
            await desk.until(lambda: gone not in line_of(desk))  # noqa: B023


def anew(desk: Desk) -> tuple[ShownKey, ...]:
    """The keys by what Textual says of every binding now."""
    active = desk.app.screen.active_bindings.values()
    return desk.app.screen.query_one(KeyLine).keys_of((one.node, one.binding) for one in active)


async def test_the_line_says_the_same_as_it_would_if_it_were_made_now(lab: Laboratory) -> None:
    """Whatever was pressed, clicked or read before, on every screen and more than once."""
    runs = [ended(lab.runs, "finished", document) for document in (AUTOENCODER, CLASSIFIER, VAE)]
    async with open_desk(runs[0], (200, 60), root=lab.runs) as desk:
        await desk.until(lambda: desk.state)
        for keys in (
            *(
                "1",
                "space down space c",
                "1",
                "a a space down space c",
                "5",
                "m",
                "6",
                "4",
                "n",
                "3",
                "a",
                "comma",
                "2",
            ),
            *("z", "escape", "1", "slash x escape", "down enter", "n", "3", "comma", "full_stop", "1", "end enter"),
        ):
            await desk.press(*keys.split())
            await desk.until(lambda: desk.app.screen.query_one(KeyLine).keys == anew(desk))
