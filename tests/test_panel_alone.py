"""One panel alone on the screen: all the room there is, and the way back in sight."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.widget import Widget

from tests.comparing import end, settings
from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, Desk, open_desk, script
from tuiae.runs.paths import RunPaths
from tuiae.ui.screens.base import ZOOMABLE
from tuiae.ui.widgets.chrome import ViewBar
from tuiae.ui.widgets.form import ConfigForm

MODES = ("runs", "latent", "bench", "compare", "works", "live")


def finished(root: Path, document: dict[str, object] = AUTOENCODER) -> RunPaths:
    played = script(root, document)
    played.play(3)
    played.writer.close("finished")
    return played.run


def panels(desk: Desk) -> list[Widget]:
    """Panels of this screen that show and can be shown alone."""
    every = desk.app.screen.query("*").results()
    return [panel for panel in every if isinstance(panel, ZOOMABLE) and panel.can_focus and panel.region.area]


async def in_turn(desk: Desk) -> AsyncIterator[Widget]:
    """Every panel of this screen, whichever shows at a time."""
    seen: set[Widget] = set()
    bars = list(desk.app.screen.query(ViewBar))
    for _ in range(6 if bars and bars[0].display else 1):
        for panel in panels(desk):
            if panel not in seen:
                seen.add(panel)
                yield panel
        if bars:
            bars[0].next()
        await desk.pilot.pause()


@pytest.mark.parametrize("size", [pytest.param((80, 24), marks=pytest.mark.thorough), (120, 40)], ids=str)
async def test_every_panel_alone_has_all_the_room_below_the_title(lab: Laboratory, size: tuple[int, int]) -> None:
    run = finished(lab.runs, CLASSIFIER)
    others = [end(lab.runs, latent, [0.4, 0.2], settings(model__latent=latent)).run.root for latent in (4, 8)]
    width, height = size
    async with open_desk(size=size, root=lab.runs) as desk:
        desk.app.session.compare(others)
        seen = set()
        for mode in MODES:
            desk.app.switch_mode(mode)
            await desk.until(lambda mode=mode: getattr(desk.app.screen, "MODE", "") == mode and panels(desk))
            screen = desk.app.screen
            if mode == "live":  # last, as the explorer would import torch for the run
                desk.app.session.open(run.root)
                await desk.shows("finished")
                await desk.press("g")
            async for panel in in_turn(desk):
                screen.maximize(panel)
                await desk.pilot.pause()
                below = screen.query_one("#message").region.height + 1
                assert panel.region == (0, 1, width, height - 1 - below), f"{mode}: {panel}"
                seen.add(panel.id)
                screen.minimize()
                await desk.pilot.pause()
        assert {
            "loss",
            "confusion",
            "machine",
            "settings",
            "values",
            "works",
            "claims",
            "canvas",
            "tried",
            "map",
            "runs",
        } <= seen


async def test_a_panel_alone_says_what_run_it_is_of_and_the_way_back(lab: Laboratory) -> None:
    async with open_desk(finished(lab.runs), (80, 24)) as desk:
        for digit in "1234":
            await desk.press(digit, "z")
            await desk.until(lambda: desk.app.screen.maximized)
            await desk.until(lambda: desk.screen.split("\n")[-1].startswith(" z Back "))
            assert "Alone" not in desk.screen.split("\n")[-1]
            title = desk.screen.split("\n")[0]
            assert "tuiae" in title
            if digit != "1":
                assert "denoise" in title
                assert "finished" in title
            await desk.press("z")
            await desk.until(lambda: not desk.app.screen.maximized and "z Back" not in desk.screen.split("\n")[-1])


async def test_the_form_has_the_screen_while_one_is_in_its_fields(lab: Laboratory) -> None:
    async with open_desk(finished(lab.runs), (80, 24)) as desk:
        await desk.press("o")
        await desk.focus("all_settings")
        field = desk.app.focused
        await desk.press("z")
        await desk.until(lambda: isinstance(desk.app.screen.maximized, ConfigForm))
        assert desk.app.focused is field
        await desk.press("z")
        await desk.until(lambda: desk.app.screen.maximized is None)
        assert desk.app.focused is field
