"""What the screens look like, as pictures; run pytest with --snapshot-update after a change that is meant.

Everything on them is fixed: the runs' names, numbers, times of day and ages, the host, and that no worker is warm.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.comparing import two_sizes
from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, SIZES, Desk, Script, fixed, keep_cold, open_desk, script
from tests.shown import show_bench, show_codes
from tests.test_works_screen import POLITANO, claim, trained
from tuiae.files import read_json, replace_json
from tuiae.reproduce.verdicts import VERDICTS, Verdicts, write_verdicts
from tuiae.reproduce.work import find_work, make_plan
from tuiae.runs.paths import RunPaths
from tuiae.ui.app import TuiaeApp
from tuiae.ui.screens.works import WorkView
from tuiae.ui.terminal.mode import TerminalMode
from tuiae.ui.widgets.bench_view import BenchView
from tuiae.ui.widgets.latent_view import LatentView

Snap = Callable[..., bool]
HOURS = 3600.0
each_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size[0]))


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a terminal with 24-bit colour."""
    monkeypatch.setenv("COLORTERM", "truecolor")


def live(lab: Laboratory, document: dict[str, Any], name: str, epochs: int) -> Script:
    """A run that its writer, this process, keeps alive."""
    played = script(lab.runs, document, name)
    played.play(epochs)
    fixed(played.run)
    return played


def snapshot(
    snap_compare: Snap,
    size: tuple[int, int],
    act: Callable[[Desk], Awaitable[object]],
    run: RunPaths | None = None,
) -> bool:
    """Open the dashboard, do something until the screen says what it should, and compare."""
    app = TuiaeApp(run.root if run else None)
    keep_cold(app)

    async def before(pilot: Pilot[Any]) -> None:
        desk = Desk(app, pilot)
        await pilot.pause()
        await desk.ready()
        await act(desk)
        await pilot.pause()

    return snap_compare(app, terminal_size=size, run_before=before)


@each_size
def test_a_live_autoencoder(lab: Laboratory, snap_compare: Snap, size: tuple[int, int]) -> None:
    played = live(lab, AUTOENCODER, "20261120-115900-denoise-a3f9", epochs=4)

    async def act(desk: Desk) -> None:
        await desk.shows("4/6", "running")
        await desk.until(lambda: "noisy" in desk.panel("images") or size[0] < 110)
        if size[0] < 110:
            await desk.press("v")
            await desk.shows("noisy", "epoch 4")

    assert snapshot(snap_compare, size, act)
    played.writer.close("finished")


@each_size
def test_a_classifier(lab: Laboratory, snap_compare: Snap, size: tuple[int, int]) -> None:
    played = live(lab, CLASSIFIER, "20261120-115900-letters-b7c1", epochs=6)
    played.writer.close("finished")
    fixed(played.run)

    async def act(desk: Desk) -> None:
        await desk.shows("6/6", "finished")
        if size[0] < 110:
            await desk.press("v", "v")
        await desk.shows("predicted")

    assert snapshot(snap_compare, size, act, played.run)


@each_size
def test_the_bench(lab: Laboratory, snap_compare: Snap, size: tuple[int, int]) -> None:
    played = live(lab, AUTOENCODER, "20261120-115900-denoise-a3f9", epochs=4)

    async def act(desk: Desk) -> None:
        await desk.press("4")
        await desk.shows("no checkpoint yet")
        show_bench(desk.app.screen.query_one(BenchView))
        await desk.shows("test image 7")

    assert snapshot(snap_compare, size, act)
    played.writer.close("finished")


@each_size
def test_the_works(lab: Laboratory, snap_compare: Snap, size: tuple[int, int]) -> None:
    plan = make_plan(find_work(POLITANO))
    for job, state in zip(plan.jobs, ("finished", "finished", "stopped"), strict=False):
        trained(lab.runs, job, plan.tag, 0 if state == "finished" else 3, state)
    names = [claim.id for claim in plan.work.claim]
    judged = tuple(claim(verdict, name) for verdict, name in zip(VERDICTS[:3], names, strict=False))
    write_verdicts(lab.runs, Verdicts(POLITANO, False, time.time() - 2.5 * HOURS, 2, judged))

    async def act(desk: Desk) -> None:
        await desk.press("6")
        await desk.shows("pacheco-2023")
        view = desk.app.screen.query_one(WorkView)
        view.works.move_to(view.works.keys.index(POLITANO))
        await desk.until(lambda: view.chosen is not None and view.chosen.verdicts is not None)
        await desk.shows("only with a change" if size[0] > 100 else POLITANO)

    assert snapshot(snap_compare, size, act)


@each_size
def test_the_list_of_runs(lab: Laboratory, snap_compare: Snap, size: tuple[int, int]) -> None:
    failure = {"cause": "the loss is no longer a number", "hint": ""}
    ends = [("failed", AUTOENCODER, 2, failure), ("stopped", CLASSIFIER, 3, None), ("finished", AUTOENCODER, 6, None)]
    for index, (state, document, epochs, error) in enumerate(ends):
        played = script(lab.runs, document, f"2026112{index}-090000-{document['name']}-000{index}")
        played.play(epochs)
        played.writer.close(state, error)
        fixed(played.run)
        # The middle of an hour: the age holds for half an hour of testing.
        age = (2.5 + 24 * (2 - index)) * HOURS
        replace_json(played.run.status, {**read_json(played.run.status), "heartbeat": time.time() - age})

    async def act(desk: Desk) -> None:
        await desk.press("1")
        await desk.shows("failed", "stopped", "finished")

    assert snapshot(snap_compare, size, act)


@each_size
def test_the_codes(lab: Laboratory, snap_compare: Snap, size: tuple[int, int]) -> None:
    played = live(lab, AUTOENCODER, "20261120-115900-denoise-a3f9", epochs=4)

    async def act(desk: Desk) -> None:
        await desk.press("3")
        await desk.shows("no checkpoint yet")
        show_codes(desk.app.screen.query_one(LatentView))
        await desk.press("right", "b", "shift+right", "shift+up", "b")

    assert snapshot(snap_compare, size, act)
    played.writer.close("finished")


@each_size
def test_compare(lab: Laboratory, snap_compare: Snap, size: tuple[int, int]) -> None:
    for played in two_sizes(lab):
        fixed(played.run)

    async def act(desk: Desk) -> None:
        await desk.press("1")
        await desk.until(lambda: len(desk.table.keys) == 6)
        await desk.press(*["space", "down"] * 5, "c")
        await desk.until(lambda: getattr(desk.app.screen, "comparison", None))
        await desk.shows("5 runs")

    assert snapshot(snap_compare, size, act)


async def test_every_screen_keeps_to_ascii_where_a_terminal_has_nothing_else(lab: Laboratory) -> None:
    two_sizes(lab)
    shown = live(lab, AUTOENCODER, "20261120-115900-denoise-a3f9", epochs=4)
    async with open_desk(shown.run, mode=TerminalMode(ascii=True)) as desk:

        async def is_ascii(mode: str) -> None:
            await desk.until(lambda: desk.app.current_mode == mode)
            for size in SIZES[::-1] if mode == "live" else [(120, 40)]:
                await desk.pilot.resize_terminal(*size)
                await desk.pilot.pause()
                assert desk.screen.isascii()

        await desk.shows("4/6", "running")
        await is_ascii("live")
        await desk.press("3")
        await desk.shows("no checkpoint yet")
        show_codes(desk.app.screen.query_one(LatentView))
        await is_ascii("latent")
        await desk.press("4")
        await desk.shows("no checkpoint yet")
        show_bench(desk.app.screen.query_one(BenchView))
        await is_ascii("bench")
        await desk.press("6")
        await desk.shows("pacheco-2023")
        await is_ascii("works")
        await desk.press("1")
        await desk.until(lambda: len(desk.table.keys) == 7)
        await is_ascii("runs")
        await desk.press("a", "c")
        await desk.until(lambda: getattr(desk.app.screen, "comparison", None))
        await is_ascii("compare")
    shown.writer.close("finished")
