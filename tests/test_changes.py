"""Changing a training from the dashboard: while it runs, and on a branch of its own."""

from __future__ import annotations

from textual.widgets import Input, Label

from tests.conftest import Laboratory, record_edit
from tests.dashboard import AUTOENCODER, Desk, open_desk, script
from tuiae.config import load_config, typed
from tuiae.runs.checkpoints import all_checkpoints, read_position
from tuiae.runs.control import EDITABLE, offered
from tuiae.runs.paths import RunPaths
from tuiae.runs.query import find_run
from tuiae.ui.screens.changes import EditDialog, ForkDialog
from tuiae.ui.widgets.fields import Choice

LONG = ("--epochs", "4000", "--set", "training.batch_size=500")


async def test_a_live_run_is_edited_and_forked(lab: Laboratory) -> None:
    lab("run", "quickstart", *LONG, "--name", "quickstart", "--detach")
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
        await desk.shows(
            "goes on from a checkpoint", "last: epoch", "quickstart from epoch", "goes on up to epoch 4000"
        )
        assert said(desk, "training.learning_rate") == "0.0003"
        await desk.type("edit-training-epochs", "0")
        screen = await desk.shows("training.epochs = 0")
        assert "--set" not in screen
        await desk.type("edit-training-epochs", "9000")
        await desk.shows("quickstart epochs=9000", "goes on up to epoch 9000")
        await desk.press("enter")
        await desk.until(lambda: desk.app.session.path != run.root and desk.state == "running")
        child = desk.app.session.snapshot
        assert child is not None
        assert child.parent is not None
        assert child.parent.run == run.id
        assert child.config is not None
        assert (child.config.training.learning_rate, child.config.training.epochs) == (0.0003, 9000)
        assert (child.config.name, child.name) == ("quickstart", "quickstart epochs=9000")
        await desk.press("x")
        await desk.until(lambda: desk.state == "stopped")
        await desk.press("e")
        assert "f forks" in desk.message
    lab("stop", run.id)


def said(desk: Desk, key: str) -> str:
    """What the field of a key says in the dialog that is open."""
    return desk.app.screen.query_one(f"#edit-{key.replace('.', '-')}", Input).value


def fields(desk: Desk) -> list[str]:
    """Every label of a field in the dialog that is open."""
    return [str(label.content) for label in desk.app.screen.query("#edits Label").results(Label)]


async def test_a_finished_run_is_forked_with_more_epochs_than_it_had(finished: RunPaths) -> None:
    config = load_config(finished.config)
    done = config.training.epochs
    async with open_desk(finished) as desk:
        await desk.shows("✓ finished")
        await desk.press("f")
        await desk.shows(f"{config.name} epochs={2 * done}", f"goes on up to epoch {2 * done}")
        assert isinstance(desk.app.screen, ForkDialog)
        names = ["checkpoint", "name", *(EDITABLE[key] for key in offered(config)), "more"]
        assert fields(desk) == names
        assert said(desk, "training.epochs") == str(2 * done)
        await desk.type("edit-training-epochs", str(done))
        await desk.shows(f"has done {done}", "raise it")
        await desk.type("edit-training-epochs", "")
        await desk.shows("training.epochs = ''")
        await desk.type("edit-training-epochs", str(3 * done))
        await desk.type("fork-name", "no name")
        await desk.shows("name = 'no name'")
        await desk.type("fork-name", "child")
        await desk.shows(f"it goes on up to epoch {3 * done}")
        assert desk.app.screen.overrides.items() >= {"name": "child", "training.epochs": 3 * done}.items()
        await desk.press("escape")
        await desk.until(lambda: desk.app.screen is desk.app.live)


def choose(desk: Desk, checkpoint: str) -> None:
    """Choose a checkpoint, as from the open list."""
    choice = desk.app.screen.query_one(Choice)
    choice.value = checkpoint
    choice.post_message(Choice.Chosen(choice, checkpoint))


async def test_what_nobody_changed_follows_the_checkpoint_that_is_chosen(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    config = load_config(run.config)
    key, done = "training.learning_rate", config.training.epochs
    last, first = (read_position(folder) for folder in (all_checkpoints(run)[0], all_checkpoints(run)[-1]))
    assert first.step < last.step
    before = config.training.learning_rate
    record_edit(run, key, before, 0.5, last.step, last.epoch)
    async with open_desk(run) as desk:
        await desk.shows("✓ finished")
        await desk.press("f")
        await desk.until(lambda: said(desk, key) == "0.5" and said(desk, "training.epochs") == str(2 * done))
        choose(desk, str(first.step))
        await desk.until(lambda: said(desk, key) == typed(before) and said(desk, "training.epochs") == str(done))
        await desk.type(f"edit-{key.replace('.', '-')}", "0.25")
        choose(desk, "last")
        await desk.until(lambda: said(desk, "training.epochs") == str(2 * done))
        assert said(desk, key) == "0.25"


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
        assert dialog.read()[0] == {}
    played.writer.close("finished")
