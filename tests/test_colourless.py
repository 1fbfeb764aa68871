"""Without colours: dialogs that stand out, fields that show, buttons that say whether they can be pressed."""

from __future__ import annotations

from textual.widgets import Input

from tests.conftest import Laboratory
from tests.dashboard import open_desk, script
from tuiae.ui.terminal.mode import TerminalMode

BARE = TerminalMode(colors="none")


async def test_dialogs_have_a_frame_of_their_own_and_nothing_behind_them(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run, mode=BARE, root=lab.runs) as desk:
        await desk.until(lambda: desk.state == "running")
        await desk.press("e")
        screen = await desk.shows("╔═ change the training", "learning rate")
        assert "configure the next run" not in screen
        fields = list(desk.app.screen.query(Input))
        assert all(field.styles.text_style.underline for field in fields)
        assert not any(field.styles.text_style.reverse for field in fields)
        await desk.press("escape")
        await desk.shows("configure the next run")


async def test_buttons_that_cannot_be_pressed_are_in_brackets(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run, mode=BARE, root=lab.runs) as desk:
        await desk.shows("Pause")
        await desk.until(lambda: "(Pause)" not in desk.screen)
        played.writer.close("finished")
        await desk.shows("(Pause)", "(Stop)", "(Save)")
    async with open_desk(played.run, root=lab.runs) as desk:
        await desk.shows("finished", "Pause")
        assert "(Pause)" not in desk.screen
