"""Training from the dashboard: a real warm worker, the keys and the buttons that command it, and leaving."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, Desk, new_run, open_desk, script
from tuiae.files import replace_json
from tuiae.runs.paths import RunPaths, list_runs, undated
from tuiae.runs.query import find_run
from tuiae.runs.reader import RunReader, read_status
from tuiae.ui.app import farewell

ENDLESS = "900000"  # epochs: nobody waits for the last one


pytestmark = pytest.mark.usefixtures("no_worker_left")


def texts(run: RunPaths) -> list[str]:
    """What the run's history says in words."""
    return [note.text for note in RunReader(run.root).read_all().notes]


async def open_form(desk: Desk, epochs: str) -> None:
    """quickstart on digits, so many epochs, once the worker is warm."""
    await desk.shows("warm · torch")
    await desk.type("training-epochs", epochs)
    await desk.ready()


async def test_a_run_from_the_first_point_to_the_last() -> None:
    async with open_desk(warm=True) as desk:
        await open_form(desk, "40")
        assert not desk.offered
        await desk.press("escape", "r")
        await desk.until(lambda: "train" in desk.panel("loss"))
        await desk.until(lambda: desk.state == "finished")
        run = RunPaths(desk.app.session.snapshot.path)  # type: ignore[union-attr]
        screen = await desk.shows("✓ finished", "40/40", "epoch 40", undated(run.id), "100%")
        for words in ("quickstart epochs=40 › digits", "input", "output", "test", "dense, code 12", "adam, rate 0.002"):
            assert words in screen
        result = json.loads((run.root / "status.json").read_text())
        assert f"{result['test_loss']:.5f}"[:5] in desk.panel("loss")
        assert "epoch 40/40" in desk.app.live.query_one("#log").plain  # type: ignore[attr-defined]
        assert "noisy" not in screen
        await desk.until(lambda: not desk.offered)
        # The next worker is being kept warm by now, and the next run takes it.
        await desk.press("R")
        await desk.until(lambda: f"tuiae resume {run.id} --epochs" in desk.message)
        await desk.type("training-epochs", "2")
        await desk.ready()
        await desk.click("#start")
        await desk.until(lambda: desk.state == "finished" and desk.app.session.snapshot.path != run.root)  # type: ignore[union-attr]
        await desk.shows("2/2")


async def test_keys_and_buttons_command_the_worker(lab: Laboratory) -> None:
    async with open_desk(warm=True) as desk:
        await open_form(desk, ENDLESS)
        await desk.click("#start")
        run = await desk.running()
        await desk.press("p")
        await desk.until(lambda: read_status(run).state == "paused")
        await desk.shows("‖ paused", "Go on", "p Go on", "space Step")
        step = read_status(run).step
        for taken in (step + 1, step + 2):  # at the end of an epoch its own pictures show
            await desk.press("space")
            await desk.until(lambda: read_status(run).step == taken and read_status(run).state == "paused")  # noqa: B023
            if taken % 15:
                await desk.shows(f"step {taken:,} ─", "‖ paused")
        await desk.click("#pause")
        await desk.until(lambda: read_status(run).state == "running" and desk.state == "running")
        await desk.shows("● running", "Pause", "p Pause")
        await desk.click("#pause")
        await desk.shows("‖ paused")
        await desk.press("w")
        await desk.until(lambda: any("on request" in text for text in texts(run)))
        await desk.shows("on request")
        await desk.press("p")
        await desk.shows("● running")
        await desk.click("#save")
        await desk.until(lambda: sum("on request" in text for text in texts(run)) == 2)
        await desk.press("x")
        await desk.until(lambda: desk.state == "stopped")
        stopped = read_status(run)
        assert stopped.state == "stopped"
        await desk.shows("■ stopped")
        await desk.until(lambda: desk.offered == ["resume"])
        await desk.press("R")
        await desk.until(lambda: desk.state == "running" and read_status(run).step > stopped.step)
        await desk.until(lambda: any(f"resumed at epoch {stopped.epoch}" in text for text in texts(run)))
        # A worker that hangs answers nothing.
        hung = read_status(run)
        os.kill(hung.pid, signal.SIGSTOP)
        await desk.press("x", "K")
        await desk.shows("It was asked to stop", f"Kill process {hung.pid}")
        await desk.press("down", "enter")
        await desk.until(lambda: desk.state == "lost")
        await desk.shows("? lost", "R Resume")
        await desk.press("R")
        await desk.until(lambda: desk.state == "running" and read_status(run).pid != hung.pid)
        await desk.click("#stop")
        await desk.until(lambda: desk.state == "stopped")
        assert list_runs(lab.runs) == [run]


async def test_a_second_run_beside_a_live_one_is_asked_about(lab: Laboratory) -> None:
    beside = script(lab.runs, name="20200101-000000-beside-0000")
    beside.play(2)
    async with open_desk() as desk:
        await desk.running()
        await desk.ready()
        for refuse in ("escape", "cancel"):
            await desk.press("r")
            await desk.shows("is still running", "Start beside it", "Cancel")
            await desk.press(*(["escape"] if refuse == "escape" else ["down", "enter"]))
            await desk.until(lambda: "Start beside it" not in desk.screen)
            assert len(list_runs(lab.runs)) == 1
        await desk.press("r")
        await desk.shows("Start beside it")
        await desk.press("enter")
        await desk.until(lambda: desk.app.session.snapshot and desk.app.session.snapshot.path != beside.run.root)
        assert len(list_runs(lab.runs)) == 2
        assert read_status(beside.run).state == "running"
    beside.writer.close("stopped")


async def test_a_runs_directory_that_cannot_be_written_is_told_in_a_sentence(lab: Laboratory, tmp_path: Path) -> None:
    lab.runs.parent.mkdir(parents=True, exist_ok=True)
    lab.runs.write_text("a file where the directory should be")
    async with open_desk() as desk:
        await desk.ready()
        await desk.press("r")
        await desk.until(lambda: "cannot write runs to" in desk.message)
        assert "TUIAE_RUNS_DIR" in desk.message
        assert str(lab.runs) in desk.message


async def test_a_run_that_never_trained_leaves_nothing_to_go_on_with(lab: Laboratory) -> None:
    played = script(lab.runs)
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.state == "starting")
        desk.app.session._started = played.run.root  # as if it had been started here
        played.writer.close("failed", {"cause": "no such images", "exit_code": 3})
        await desk.shows("✗ failed", "no such images")
        await desk.until(lambda: not list_runs(lab.runs))
        await desk.until(lambda: not desk.offered)
        await desk.press("R")
        await desk.until(lambda: "nothing of it was kept: r starts" in desk.message)


async def test_where_no_process_can_be_started_that_is_told_and_no_run_is_left(
    lab: Laboratory, finished: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuiae.runs.process.WORKER", [str(lab.root / "no-python")])
    stopped = lab.copy(finished)
    async with open_desk(stopped, warm=True) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.ready()
        for key in ("r", "c"):
            desk.app.live.message.tell("")
            await desk.press(key)
            await desk.until(lambda: "no worker can be started: No such file" in desk.message)
        await desk.press("f")
        await desk.shows("goes on from a checkpoint")
        await desk.type("edit-training-epochs", "9")
        await desk.shows("goes on up to epoch 9")
        desk.app.live.message.tell("")
        await desk.press("enter")
        await desk.until(lambda: "no worker can be started: No such file" in desk.message)
        replace_json(stopped.status, {**json.loads(stopped.status.read_text()), "state": "stopped"})
        await desk.until(lambda: desk.state == "stopped")
        desk.app.live.message.tell("")
        await desk.press("R")
        await desk.until(lambda: "no worker can be started: No such file" in desk.message)
        assert list_runs(lab.runs) == [stopped]


@pytest.mark.usefixtures("cold")
async def test_a_worker_that_dies_warming_up_is_replaced_by_a_cold_one(lab: Laboratory) -> None:
    async with open_desk(warm=True) as desk:
        await desk.until(workers)
        for worker in workers():
            worker.kill()
        await desk.shows("will start cold")
        await desk.type("training-epochs", "2")
        await desk.ready()
        await desk.press("escape", "r")
        await desk.until(lambda: desk.state == "finished")


def workers() -> list[psutil.Process]:
    """The warm ones; another child, of a test before, may end while it is looked at."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            found += [child] if "--standby" in child.cmdline() else []
    return found


# Leaving


async def test_without_a_live_run_q_leaves_at_once(finished: RunPaths) -> None:
    async with open_desk(finished) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.press("q")
        await desk.until(lambda: desk.app.return_value is not None)
    assert desk.app.return_value == ""


async def test_leaving_a_live_run_says_how_to_come_back(lab: Laboratory) -> None:
    live = script(lab.runs)
    live.play(2)
    async with open_desk() as desk:
        await desk.running()
        await desk.press("q")
        await desk.shows(f"{live.run.id} is running", "leave it running", "Save and stop it", "Cancel")
        await desk.press("enter")
        await desk.until(lambda: desk.app.return_value is not None)
    assert desk.app.return_value == f"{live.run.id} goes on; come back with:\ntuiae attach {live.run.id}"
    assert not list(live.run.control.iterdir())
    live.writer.close("stopped")


def test_the_last_words_fit_a_terminal_whatever_the_run_is_called(lab: Laboratory) -> None:
    run = new_run(lab.runs, {**AUTOENCODER, "name": "x" * 48})
    *words, line = farewell(run.id, "is saving and stopping; go on with:", "resume").splitlines()
    assert " ".join(words) == f"{run.id} is saving and stopping; go on with:"
    assert max(map(len, (*words, line))) <= 80
    assert find_run(line.removeprefix("tuiae resume "), lab.runs) == run


@pytest.mark.parametrize("stay", [["escape"], ["down", "down", "enter"], ["up", "enter"]])
async def test_leaving_can_be_thought_better_of(lab: Laboratory, stay: list[str]) -> None:
    live = script(lab.runs)
    live.play(1)
    async with open_desk() as desk:
        await desk.running()
        await desk.press("q")
        await desk.shows("leave it running")
        await desk.press(*stay)
        await desk.until(lambda: "leave it running" not in desk.screen)
        assert desk.app.return_value is None
        assert not list(live.run.control.iterdir())
        live.epoch(2)
        await desk.shows("2/6")
    live.writer.close("stopped")


@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+c"])
async def test_no_key_leaves_a_live_run_without_the_question(lab: Laboratory, key: str) -> None:
    live = script(lab.runs)
    live.play(1)
    async with open_desk() as desk:
        await desk.running()
        await desk.press(key)
        await desk.shows("leave it running")
        await desk.press(key)
        assert len(desk.app.screen_stack) == 2
        assert desk.app.return_value is None
        await desk.press("down", "down", "enter")
        await desk.until(lambda: desk.app.screen is desk.app.live)
        live.writer.close("finished")
        await desk.until(lambda: desk.state == "finished")
        await desk.press(key)
        await desk.until(lambda: desk.app.return_value == "")


async def test_stop_and_save_stops_the_worker_and_says_how_to_go_on(lab: Laboratory) -> None:
    run = lab.detach("--set", f"training.epochs={ENDLESS}")
    async with open_desk() as desk:
        await desk.until(lambda: desk.state == "running")
        await desk.press("q")
        await desk.shows("Save and stop it")
        await desk.click("#stop")
        await desk.until(lambda: desk.app.return_value is not None)
        assert desk.app.return_value.endswith(f"tuiae resume {run.id}")  # type: ignore[union-attr]
        await desk.until(lambda: read_status(run).state == "stopped")
    assert RunReader(run.root).read_all().checkpoints


async def test_a_run_that_cannot_be_told_to_stop_keeps_the_dashboard_open(lab: Laboratory) -> None:
    live = script(lab.runs)
    live.play(1)
    live.run.control.rmdir()
    live.run.control.symlink_to("/dev/fd")  # where nobody can make a file, whoever runs this test
    async with open_desk() as desk:
        await desk.running()
        await desk.press("q", "down", "enter")
        await desk.until(lambda: desk.message.startswith(f"cannot write to {live.run.root}: "))
        await desk.press("w")
        assert desk.message.startswith(f"cannot write to {live.run.root}: ")
        assert desk.app.return_value is None
    live.writer.close("stopped")


async def test_a_classifier_starts_on_the_encoder_of_the_open_run(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    async with open_desk(run, warm=True) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.shows("test")
        await desk.type("training-epochs", "2")
        name = run.id.split("-", 2)[-1]
        await desk.choose("model", f"classifier on {name}, frozen"[:40])
        await desk.until(lambda: f"r starts a classifier on {name}, frozen" in desk.message)
        await desk.until(lambda: desk.app.live.query_one("#model").region.height > 1)  # its name is whole
        await desk.press("escape", "r")
        await desk.until(lambda: desk.state == "finished" and desk.app.session.snapshot.path != run.root)  # type: ignore[union-attr]
        snapshot = desk.app.session.snapshot
        assert snapshot is not None
        assert snapshot.config is not None
        assert (snapshot.config.model.encoder_run, snapshot.config.model.freeze) == (run.id, True)
        assert f"classifier-on-{name}"[:40] in snapshot.id
        await desk.shows("encoder", f"of {name}", "frozen", "yes")
        # Its settings go back into the form, the choice of the encoder included.
        await desk.press("e")
        await desk.until(lambda: desk.field("model") == f"classifier on {name}, frozen")
