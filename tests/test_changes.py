"""Changing a training from the dashboard: while it runs, and on a branch of its own."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, open_desk, script
from tuiae.errors import ConfigError
from tuiae.runs.lookup import find_run
from tuiae.ui.screens.changes import EditDialog, read_settings

LONG = ("--epochs", "4000", "--set", "training.batch_size=500")


def test_settings_are_words_with_an_equals_sign() -> None:
    assert read_settings('name="a b" training.epochs=5') == {"name": "a b", "training.epochs": 5}
    assert read_settings("name='half") == {"name": "'half"}
    with pytest.raises(ConfigError) as caught:
        read_settings("epochs")
    assert str(caught.value) == "epochs: not KEY=VALUE; write e.g. training.epochs=5"


async def test_a_live_run_is_edited_and_forked(lab: Laboratory) -> None:
    lab("run", "quickstart", *LONG, "--detach")
    run = find_run("last", lab.runs)
    async with open_desk(run) as desk:
        await desk.until(lambda: desk.state == "running" and desk.app.session.snapshot.checkpoints)  # type: ignore[union-attr]
        await desk.press("e")
        await desk.shows("change the training", "learning rate", "epochs")
        await desk.press("5")
        await desk.shows("learning rate becomes 5; but adam at 5 rarely learns", "0.001 is usual")
        await desk.press("ctrl+u", *"0.0003")
        screen = await desk.shows("learning rate becomes 0.0003")
        assert "rarely" not in screen
        await desk.press("enter")
        await desk.until(lambda: desk.app.session.snapshot.edits)  # type: ignore[union-attr]
        (edit,) = desk.app.session.snapshot.edits  # type: ignore[union-attr]
        assert (edit.key, edit.old, edit.new) == ("training.learning_rate", 0.002, 0.0003)
        await desk.press("f")
        await desk.shows("goes on from a checkpoint", "last: epoch")
        await desk.press(*"training.epochs=0")
        screen = await desk.shows("training.epochs = 0")
        assert "--set" not in screen
        await desk.press("backspace", *"9000")
        await desk.shows("quickstart-fork goes on up to epoch 9000")
        await desk.press("enter")
        await desk.until(lambda: desk.app.session.path != run.root and desk.state == "running")
        child = desk.app.session.snapshot
        assert child is not None
        assert child.parent is not None
        assert child.parent.run == run.id
        assert child.config is not None
        assert (child.config.training.learning_rate, child.config.training.epochs) == (0.0003, 9000)
        await desk.press("x")
        await desk.until(lambda: desk.state == "stopped")
        await desk.press("e")
        assert "f forks" in desk.message
    lab("stop", run.id)


async def test_what_nobody_touched_is_not_changed(lab: Laboratory) -> None:
    rate, level = 0.0031622776601683794, 0.12345678901234567
    training = {**AUTOENCODER["training"], "learning_rate": rate}
    played = script(lab.runs, {**AUTOENCODER, "noise": {"kind": "gaussian", "level": level}, "training": training})
    played.play(1)
    async with open_desk(played.run) as desk:
        await desk.running()
        await desk.press("F")
        filled = [desk.field(name) for name in ("training-learning_rate", "noise-level")]
        assert [float(text) for text in filled] == [rate, level]
        await desk.press("e")
        dialog = desk.app.screen
        assert isinstance(dialog, EditDialog)
        assert dialog.changes == {}
    played.writer.close("finished")


async def test_nothing_to_change(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.press("e")
        assert "no run is live here" in desk.message
        await desk.press("f")
        assert "nothing to fork" in desk.message
        assert not desk.app.screen.query(Input).filter("#fork-settings")
        await desk.press("F")
        assert "no run is open whose settings" in desk.message
