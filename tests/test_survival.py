"""Errors that are nobody's: the dashboard says them, notes them, and goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from tests.conftest import Laboratory
from tests.dashboard import open_desk, script

WORDS = "[bold]it\x1b[2J broke"

GOES_ON = "this went wrong in tuiae itself; runs go on, and the traceback is in"


def fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError(WORDS)


PLACES = {
    "a key": ("tuiae.ui.draft.Draft.command", "Y"),
    "a check of the form in the background": ("tuiae.ui.draft.Draft.check", "f5"),
    "a drawing": ("tuiae.ui.widgets.curves.lay_out", "y"),
    "a table of another screen": ("tuiae.ui.widgets.tables.place_columns", "1"),
    "a feed": ("tuiae.ui.feeds.RunLister.rows", "1"),
    "a dialog": ("tuiae.ui.screens.changes.propose", "e1"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_an_error_of_its_own_is_said_and_noted_and_the_dashboard_goes_on(
    lab: Laboratory, tmp_path: Path, place: str
) -> None:
    played, log = script(lab.runs), tmp_path / "state" / "dashboard.log"
    played.play(2)
    name, key = PLACES[place]
    async with open_desk(played.run) as desk:
        await desk.shows("epoch 2")
        desk.app.failure_log = log
        said: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desk.app, "notify", lambda words, **_: said.append(words))
            patch.setattr(name, fail)
            if key == "f5":
                desk.app.live.form.recheck()
            else:
                await desk.press(*key)
            await desk.until(lambda: said)
        assert said == [f"RuntimeError: [bold]it broke: {GOES_ON} {log}"]
        await desk.press("escape", "2", "question_mark")
        await desk.shows("write a checkpoint")
    noted = log.read_text()
    assert "Traceback" in noted
    assert WORDS in noted
    played.writer.close("finished")


async def test_an_error_of_its_own_ends_a_dashboard_in_the_tests(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuiae.ui.draft.Draft.command", fail)
    with pytest.raises(RuntimeError, match="broke"):
        async with open_desk() as desk:
            await desk.press("Y")


HOSTILE_PRESETS = {
    "digits": f"training.epochs = {'9' * 4400}",
    "deep": f"model.hidden = {'[' * 2000}",
    "nested": f"model.hidden = {'[' * 90}{']' * 90}",
    "long": f"data.dataset = '{'x' * 5000}'",
}


async def test_the_form_says_what_is_wrong_with_hostile_presets_and_values(lab: Laboratory) -> None:
    lab.presets.mkdir(parents=True)
    os.mkfifo(lab.presets / "pipe.toml")
    for name, text in HOSTILE_PRESETS.items():
        (lab.presets / f"{name}.toml").write_text(text)
    async with open_desk() as desk:
        form = desk.app.live.form
        for name, said in (("digits", "thousands of digits"), ("deep", "nested too deeply"), ("nested", "a whole")):
            form.load_preset(f"my/{name}")
            await desk.until(lambda said=said: said in " ".join(desk.message.split()))
        form.load_preset("my/long")
        await desk.until(lambda: "xxxxx" in desk.message)
        form.load_preset("quickstart")
        for value in ("9" * 4400, "1e999", "[" * 2000):
            form.query_one("#training-epochs", Input).value = value
            await desk.until(lambda: "epochs = " in desk.message)
            assert desk.button("start").disabled
