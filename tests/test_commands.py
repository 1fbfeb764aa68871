"""The command palette: what people type finds what they mean, on this screen and on the others."""

from __future__ import annotations

import pytest
from textual.command import CommandPalette

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, Desk, open_desk, script
from tuiae.runs.paths import RunPaths
from tuiae.ui.commands import Commands
from tuiae.ui.screens.changes import EditDialog


@pytest.fixture
def run(lab: Laboratory) -> RunPaths:
    played = script(lab.runs, CLASSIFIER)
    played.play(3)
    played.writer.close("finished")
    return played.run


async def found(desk: Desk, words: str) -> list[tuple[str, str]]:
    """What the palette finds, the best first: title, and where with which key."""
    hits = [hit async for hit in Commands(desk.app.screen).search(words)]
    ranked = sorted(hits, key=lambda hit: -hit.score)
    return [(hit.text or "", str(hit.prompt).removeprefix(hit.text or "").strip()) for hit in ranked]


async def test_the_words_that_people_use_find_what_they_mean(run: RunPaths) -> None:
    wanted = {
        "learning": "Change it while it trains",
        "learning rate": "Change it while it trains",
        "edit": "Change it while it trains",
        "quit": "Leave",
        "exit": "Leave",
        "zoom": "One panel alone, and back",
        "full screen": "One panel alone, and back",
        "gpu": "Cores, memory and cards",
        "smooth": "Smoothing: off, some, strong",
        "draw": "Try it on images",
        "theme": "Dark, or light",
        "preset": "Keep the form as a preset",
        "checkpoint": "Write a checkpoint",
        "resume": "Go on where it stopped",
        "compare": "Compare the selected",
        "delete": "Delete, after a question",
        "rename": "Give it a name",
        "filter": "Find by words, key:value",
        "t-sne": "Next plane; t-SNE too",
        "TSNE": "Next plane; t-SNE too",
        "noise kind": "Another kind of noise",
        "interpolate": "Mark; a way between two",
        "papers": "The published works",
        "mnist": "Centre and scale as MNIST",
    }
    async with open_desk(run) as desk:
        await desk.until(lambda: desk.state == "finished")
        for words, title in wanted.items():
            titles = [name for name, _ in await found(desk, words)]
            assert title in titles[:4], (words, titles[:6])
        assert "Another kind of noise" in [title for title, _ in await found(desk, "noise")]
        assert (await found(desk, "kill"))[0] == ("Kill its worker: asks first", "key K")
        assert await found(desk, "qwertz") == []


async def test_what_is_done_elsewhere_says_where_and_comes_after_what_is_done_here(run: RunPaths) -> None:
    async with open_desk(run) as desk:
        await desk.until(lambda: desk.state == "finished")
        assert ("Delete, after a question", "on Runs · key D") in await found(desk, "delete")
        resume = await found(desk, "resume")
        assert resume[0] == ("Go on where it stopped", "key R")
        assert ("Go on with it", "on Runs · key R") in resume
        assert ("The plane, decoded", "on Latent · key d") in await found(desk, "decoded")
        assert ("Cursor back: what was there", "on curves · key arrows") in await found(desk, "cursor back")
        await desk.press("question_mark")
        assert await found(desk, "delete") == []


async def test_the_palette_begins_with_commands_and_not_with_cursor_keys(run: RunPaths) -> None:
    async with open_desk(run) as desk:
        await desk.press("3")
        await desk.until(lambda: desk.app.current_mode == "latent")
        titles = [str(hit.display) async for hit in Commands(desk.app.screen).discover()]
        moves = [place for place, title in enumerate(titles) if title.startswith("Cursor ")]
        assert len(moves) == 12
        assert moves[0] == len(titles) - 12


async def test_a_command_of_another_screen_is_done_there(lab: Laboratory) -> None:
    played = script(lab.runs, AUTOENCODER)
    played.play(2)
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.state == "running")
        await desk.press("1", "ctrl+p", *"learning")
        palette = desk.app.screen
        assert isinstance(palette, CommandPalette)
        await desk.shows("Change it while it trains", "on Live · key e")
        await desk.press("down", "enter")
        await desk.until(lambda: isinstance(desk.app.screen, EditDialog))
        assert desk.app.current_mode == "live"
    played.writer.close("finished")


async def test_what_is_done_to_a_row_is_not_done_to_one_that_nobody_saw(run: RunPaths) -> None:
    async with open_desk(run) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.press("ctrl+p", *"delete")
        await desk.shows("on Runs · key D")
        await desk.press("down", "enter")
        await desk.until(lambda: desk.app.current_mode == "runs")
        await desk.shows("D here: delete, after a question", run.id[:15])
        assert len(desk.app.screen_stack) == 1


async def test_a_key_of_a_panel_takes_the_focus_there(run: RunPaths) -> None:
    async with open_desk(run) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.press("ctrl+p", *"closer")
        await desk.shows("Closer, around the cursor", "on curves", "on Latent")
        await desk.press("enter")  # what is on this screen stands first
        await desk.until(lambda: desk.app.screen.focused is desk.app.live.query_one("#loss"))
