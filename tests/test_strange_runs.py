"""The list of runs among what nobody expects there: hostile names, foreign directories, files that cannot be read."""

from __future__ import annotations

import pytest

from tests.conftest import Laboratory, begin_with
from tests.dashboard import HOSTILE, new_run, open_desk
from tests.test_runs_screen import played
from tuiae.files import replace_json
from tuiae.runs.paths import RunPaths

pytestmark = pytest.mark.usefixtures("no_worker_left")


@pytest.fixture
def strange(lab: Laboratory) -> RunPaths:
    """A hostile name, tags and note, a foreign directory, an unreadable run, an id of 200 characters."""
    run = played(lab.runs, 1, 2)
    replace_json(run.label, {"name": HOSTILE * 3, "note": HOSTILE * 20, "tags": ["x"]})
    (lab.runs / "[bold]reports").mkdir()
    bad = new_run(lab.runs, name="20200102-000000-" + "[red]" * 40)
    for path in (bad.config, bad.status, bad.meta):
        path.write_bytes(bytes(range(256)))
    return run


async def test_strange_runs_do_no_harm(strange: RunPaths) -> None:
    async with open_desk() as desk:
        await desk.press("1")
        async for _ in desk.each_size():
            await desk.shows("runs · 2", "[red]", "1 directory here is no run: [bold]reports")
        await desk.press("down", "N", "escape", "n", "escape", "t", "escape", "D")
        await desk.dialog_shows("Delete it for good?")
        await desk.press("escape", "y", "slash", *"[x", "escape")
        async for _ in desk.each_size():
            await desk.shows("runs · 2")
            assert not {char for char in desk.screen if char != "\n" and not char.isprintable()}


async def test_a_run_whose_config_cannot_be_read_gives_no_command(lab: Laboratory) -> None:
    run = played(lab.runs, 1, 2)
    begin_with(run, "[model]\nfamily = 'of another version'\n")
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 1")
        await desk.press("y")
        # On two lines where the path is long.
        await desk.until(lambda: "not a config of this version" in " ".join(desk.screen.split()))
        assert not desk.app.clipboard


async def test_a_runs_directory_that_is_a_file_is_told(lab: Laboratory) -> None:
    lab.preset()
    lab.runs.write_text("")
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("no runs can be in", "Not a directory", "TUIAE_RUNS_DIR")
