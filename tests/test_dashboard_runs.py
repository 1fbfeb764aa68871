"""Any run directory on the same screen: finished, live, growing, failed, lost, garbage; and the ways to look at it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.conftest import Laboratory, begin_with
from tests.dashboard import AUTOENCODER, CLASSIFIER, HOSTILE, Script, new_run, open_desk, script
from tuiae.config import build_config
from tuiae.files import replace_json
from tuiae.render.status import bad_ending
from tuiae.runs.paths import RunPaths, list_runs, undated
from tuiae.runs.reader import read_status
from tuiae.ui.screens.live import LiveScreen
from tuiae.ui.widgets.left import LogPanel

pytestmark = pytest.mark.usefixtures("no_worker_left")

WRITER = """
import sys
from pathlib import Path
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import RunWriter
writer = RunWriter(RunPaths(Path(sys.argv[1])))
writer.status(now=True, state="running", epochs=9, epoch=4)
print("writing", flush=True)
sys.stdin.read()
"""


# One path for every run


async def test_a_finished_run(finished: RunPaths) -> None:
    async with open_desk(finished) as desk:
        screen = await desk.shows("✓ finished", "4/4", "epoch 4", "small › digits", undated(finished.id))
        for words in ("━ train", "╍ test", "input", "noisy", "output", "gaussian 0.2"):
            assert words in screen
        told = desk.app.live.query_one(LogPanel).plain
        assert "training from the first step" in told.splitlines()[0]
        assert told.endswith(" finished")
        loss = read_status(finished).test_loss
        assert loss is not None
        assert f"{loss:.4g}"[:6] in desk.panel("loss")
        await desk.press("p")
        await desk.until(lambda: "this run is finished: 1 lists all" in desk.message)


async def test_a_classifier_shows_what_it_takes_for_what(finished: RunPaths, classified: RunPaths) -> None:
    async with open_desk(classified) as desk:
        await desk.shows("✓ finished")
        run, encoder = f"run {undated(classified.id)}", f"encoder of {undated(finished.id)}"
        async for _ in desk.each_size():
            status = desk.app.live.query_one("#status")
            for words in (run, encoder, "frozen yes: the head learns"):
                await desk.until(lambda: words in desk.words(status))  # noqa: B023
        await desk.pilot.resize_terminal(120, 50)
        screen = await desk.shows("✓ finished", "predictions", "confusion", "cross-entropy")
        assert "▀" in desk.panel("images")
        assert "output" not in desk.panel("images")
        for name in "0123456789":
            assert name in desk.panel("confusion")
        assert "reconstructions" not in screen


@pytest.mark.thorough
async def test_a_run_that_another_process_started_is_come_back_to_and_seen_to_its_end(lab: Laboratory) -> None:
    run = lab.detach("--epochs", "60", "--set", "training.batch_size=25")
    follower = lab.start("attach", run.id, "--plain")
    async with open_desk() as desk:
        await desk.until(lambda: desk.app.session.snapshot is not None)
        await desk.until(lambda: "train" in desk.panel("loss"))
        await desk.until(lambda: desk.state == "finished")
        await desk.shows(undated(run.id), "60/60", "epoch 60")
        stdout, stderr = follower.communicate(timeout=60)
        assert follower.returncode == 0, stderr
        assert "epoch 60/60" in stderr + stdout


async def test_a_run_grows_before_the_eyes_of_two(lab: Laboratory) -> None:
    live = script(lab.runs)
    async with open_desk(live.run) as desk:
        await desk.shows("◌ starting", "waiting for the first point")
        live.begin()
        await desk.shows("● running", "untrained", "0/6", "noisy")
        for epoch in range(1, 4):
            live.epoch(epoch)
            figures = (f"test {0.24 / epoch:.9f}"[:11], f"train {0.2 / epoch:.9f}"[:11])
            await desk.shows(f"{epoch}/6", *figures, f"epoch {epoch}/6")
        follower = lab.start("attach", live.run.id, "--plain")
        for epoch in range(4, 7):
            live.epoch(epoch)
        live.writer.close("finished")
        await desk.shows("✓ finished", "6/6", "100%")
        await desk.until(lambda: follower.poll() is not None)
        assert "epoch 6/6" in "".join(follower.communicate())


async def test_a_failed_end_says_why_and_what_to_do(lab: Laboratory) -> None:
    live = script(lab.runs)
    live.play(2)
    async with open_desk(live.run) as desk:
        await desk.shows("● running")
        cause = {"cause": "the loss is no longer a number at step 9", "hint": "lower training.learning_rate"}
        live.writer.close("failed", cause)
        await desk.shows("✗ failed")
        assert desk.message == f"{cause['cause']}; {cause['hint']}"
    # The same when it is opened later, and no check of the form takes it away.
    async with open_desk(live.run, warm=True) as desk:
        await desk.until(lambda: "warm" in desk.app.live.standby_note)
        await desk.pilot.pause()
        assert desk.message == f"{cause['cause']}; {cause['hint']}"
        await desk.type("training-epochs", "7")
        await desk.ready()


async def test_a_worker_that_is_killed_leaves_a_lost_run(lab: Laboratory, workers: list[subprocess.Popen[Any]]) -> None:
    run = new_run(lab.runs)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    workers.append(subprocess.Popen([sys.executable, "-c", WRITER, str(run.root)], **pipes))  # type: ignore[call-overload]
    async with open_desk(run) as desk:
        await desk.shows("● running", "4/9")
        workers[0].kill()
        await desk.shows("? lost")
        assert desk.app.session.snapshot is not None
        assert desk.message == bad_ending(desk.app.session.snapshot)
        await desk.until(lambda: desk.offered == ["resume"])


# The list


async def test_the_list_opens_a_run_by_key_and_by_mouse(lab: Laboratory) -> None:
    names = [f"2020010{day}-000000-run{day}-0000" for day in range(1, 5)]
    for name in names:
        played = script(lab.runs, name=name)
        played.play(1)
        played.writer.close("finished")
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 4", "⏎ Open")
        assert list(desk.table.keys) == names[::-1]
        for words in ("✓ finished", "glyphs", "1/6", "0.2400", "cpu"):
            assert words in desk.lines()[0]
        await desk.press("down", "down", "enter")
        await desk.until(lambda: isinstance(desk.app.screen, LiveScreen))
        await desk.shows("run2-0000", "1/6")
        await desk.press("1")
        await desk.click("#runs", offset=(8, 2), times=2)
        await desk.until(lambda: isinstance(desk.app.screen, LiveScreen))
        await desk.shows("run4-0000")
        await desk.press("1", "escape")
        await desk.shows("run4-0000", "quickstart ·")
        await desk.press("1", "2")
        await desk.shows("run4-0000", "quickstart ·")


async def test_the_list_keeps_its_cursor_while_runs_come(lab: Laboratory) -> None:
    for day in (1, 2):
        new_run(lab.runs, name=f"2020010{day}-000000-run-0000")
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 2")
        await desk.press("down")
        new_run(lab.runs, name="20200109-000000-newer-0000")
        await desk.shows("runs · 3", "newer")
        assert desk.table.under.startswith("20200101")
        shutil.rmtree(lab.runs / "20200102-000000-run-0000")
        await desk.shows("runs · 2")
        await desk.pilot.resize_terminal(80, 24)
        await desk.until(lambda: "preset" not in desk.table.columns)
        assert desk.table.under.startswith("20200101")


async def test_the_cursor_of_the_list_goes_to_a_run_that_was_opened_elsewhere_and_then_stays(lab: Laboratory) -> None:
    first, second, _ = (new_run(lab.runs, name=f"2020010{day}-000000-run-0000") for day in (1, 2, 3))
    async with open_desk(first) as desk:
        await desk.press("1")
        await desk.until(lambda: desk.table.keys and desk.table.under == first.id)
        await desk.press("home", "2", "1")
        assert desk.table.under.startswith("20200103")
        await desk.press("2")
        desk.app.session.open(second.root)
        await desk.press("1")
        assert desk.table.under == second.id


# Ways to look


@pytest.mark.parametrize("document", [AUTOENCODER, CLASSIFIER], ids=["autoencoder", "classifier"])
async def test_a_small_screen_shows_one_panel_at_a_time(lab: Laboratory, document: dict[str, Any]) -> None:
    played = script(lab.runs, document)
    played.play(3)
    views = ["curves", "pictures", *(["confusion"] if document is CLASSIFIER else []), "log"]
    panels = {"curves": ["loss", "second"], "pictures": ["images"], "confusion": ["confusion"], "log": ["log"]}
    async with open_desk(played.run, size=(80, 24)) as desk:
        await desk.shows("3/6", "curves")

        def shown() -> list[str]:
            every = [name for names in panels.values() for name in names]
            return [name for name in every if desk.app.live.query_one(f"#{name}").region.area]

        for view in [*views[1:], views[0]]:
            await desk.press("v")
            await desk.until(lambda view=view: shown() == panels[view])  # type: ignore[misc]
        for view in reversed(views):
            await desk.click(f"#tab-{view}")
            await desk.until(lambda view=view: shown() == panels[view])  # type: ignore[misc]
        await desk.pilot.resize_terminal(120, 40)
        await desk.until(lambda: shown() == [name for view in views[:-1] for name in panels[view]])
        await desk.until(lambda: bool(desk.app.live.query_one("#side-log").region.area))
    played.writer.close("finished")


async def test_a_narrow_screen_shows_the_name_of_the_panel_and_every_figure(lab: Laboratory) -> None:
    played = script(lab.runs, CLASSIFIER, name="20261120-115900-letters-b7c1")
    played.play(3)
    async with open_desk(played.run, (60, 20)) as desk:
        screen = await desk.shows("● running", "50%", "━ 0.06667", "╍ 0.08000")
        assert "letters" in screen.split("\n")[0]
        for name in ("pictures", "confusion", "log", "curves"):
            await desk.press("v")
            await desk.until(lambda name=name: name in desk.screen.split("\n")[1])  # type: ignore[misc]
        await desk.press("d", "m", "n", "s")
        await desk.shows("light smoothing")
        await desk.press("z")
        await desk.shows("z Back", "q Quit")
        await desk.press("y")
        await desk.shows("a logarithmic axis")
    played.writer.close("finished")


async def test_z_shows_one_panel_alone_and_back(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(3)
    async with open_desk(played.run) as desk:
        await desk.shows("3/6", "quickstart ·")
        await desk.press("z")
        await desk.until(lambda: "quickstart ·" not in desk.screen and "loss" in desk.screen)
        assert "accuracy" not in desk.screen
        assert desk.app.live.query_one("#loss").size.width > 100
        await desk.press("z")
        await desk.shows("quickstart ·", "accuracy")
        # The focus is not left in a number field, where the key of the list would be typed.
        await desk.press("1")
        await desk.shows("runs · 1")
        await desk.press("2")
        await desk.focus("images")
        await desk.press("z")
        await desk.until(lambda: "quickstart ·" not in desk.screen and "noisy" in desk.screen)
        await desk.press("z")
        await desk.shows("quickstart ·")
    played.writer.close("finished")


async def test_m_shows_another_metric_beside_the_loss(finished: RunPaths) -> None:
    async with open_desk(finished) as desk:
        await desk.shows("✓ finished", "accuracy")
        seen = [desk.app.live.query_one("#second").border_title]
        for _ in range(3):
            await desk.press("m")
            seen.append(desk.app.live.query_one("#second").border_title)
        assert seen == ["accuracy, %", "wrong pixels an image", "wrong pixels, worst image", "accuracy, %"]


async def test_i_draws_pictures_without_blocks(lab: Laboratory) -> None:
    played = script(lab.runs, CLASSIFIER)
    played.play(3)
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "▀" in desk.panel("images") or "▄" in desk.panel("images"))
        await desk.press("i")
        await desk.until(lambda: not set("▀▄█") & set(desk.panel("images")))
        assert desk.panel("images").isascii()
        assert desk.panel("confusion").isascii()
        await desk.press("i")
        await desk.until(lambda: not desk.panel("images").isascii())
    played.writer.close("finished")


async def test_capital_f_fills_the_form_with_the_open_run(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(1)
    async with open_desk(played.run) as desk:
        await desk.shows("1/6")
        assert desk.field("dataset") == "digits"
        await desk.press("F")
        filled = {name: desk.field(name) for name in ("dataset", "noise", "model-latent", "training-batch_size")}
        assert filled == {"dataset": "glyphs", "noise": "gaussian", "model-latent": "8", "training-batch_size": "8"}
        await desk.ready()
    played.writer.close("finished")


async def test_the_log_appends_and_lets_one_read_on(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.begin()
    with open(played.run.log, "w") as log:
        log.writelines(f"line {index}\n" for index in range(600))
    async with open_desk(played.run) as desk:
        panel = desk.app.live.query_one("#side-log")
        await desk.shows("line 599")
        panel.scroll_to(y=50, animate=False)
        await desk.until(lambda: panel.scroll_y == 50)
        seen = panel.render_line(0).text  # type: ignore[attr-defined]
        await desk.press("w")
        assert "asked for a checkpoint" in desk.message
        with open(played.run.log, "a") as log:
            log.write("one more line\n")
        played.writer.event("command", text="checkpoint saved at step 5 on request: it is kept")
        await desk.until(lambda: "one more line" in panel.plain and "on request" in panel.plain)  # type: ignore[attr-defined]
        await desk.pilot.pause()
        assert panel.scroll_y == 50
        assert panel.render_line(0).text == seen  # type: ignore[attr-defined]
        assert panel.plain.count("line 599") == 1  # type: ignore[attr-defined]
        assert "on request" in panel.plain.splitlines()[-2]  # type: ignore[attr-defined]
        await desk.until(lambda: "asked for a checkpoint" not in desk.message)
    played.writer.close("finished")


# Hostile content


def escapes_in(screen: str) -> set[str]:
    return {character for character in screen if character != "\n" and not character.isprintable()}


async def test_hostile_words_are_shown_as_harmless_text(lab: Laboratory) -> None:
    run = new_run(lab.runs, name="20200101-000000-[red]x[-0000")
    played = Script(run, build_config(AUTOENCODER))
    played.play(1)
    text = run.config.read_text()
    begin_with(run, text.replace('dataset = "glyphs"', f"dataset = {json.dumps('folder:' + '[/y]é' * 60)}"))
    replace_json(run.meta, {"host": HOSTILE, "v": 1})
    run.log.write_bytes(f"{HOSTILE}\nRuntimeError: [/oops]\n".encode() + b"\xff\xfe\x1b[?1049l\n" + b"a" * 100_000)
    played.writer.event("warning", text=HOSTILE)
    played.writer.status(now=True, phase=HOSTILE, device=HOSTILE)
    arrays = {"inputs": np.zeros((3, 1, 5, 5), np.uint8), "labels": np.arange(3), "predictions": np.arange(3)}
    arrays["classes"] = np.array([HOSTILE, "[/z]", "\u202e"])
    played.writer.sample(2, **arrays)
    async with open_desk(run) as desk:
        await desk.shows("[/oops]", "[/x]", "[red]x[-0000", "epoch 2")
        for size in ((80, 24), (200, 60), (120, 40)):
            await desk.pilot.resize_terminal(*size)
            await desk.pilot.pause()
            assert not escapes_in(desk.screen)
        await desk.press("q")
        await desk.shows("[red]x[-0000 is running")
        await desk.press("escape", "1")
        await desk.shows("[red]x[-0000", "runs · 1")
        assert not escapes_in(desk.screen)
        await desk.press("enter")
        await desk.until(lambda: desk.app.session.snapshot is not None)
        await desk.press("F", "o")
        await desk.until(lambda: desk.message.endswith("check the path"))
        assert desk.button("start").disabled
        assert not escapes_in(desk.screen)
        assert "[/y]" in desk.field("dataset")
        played.writer.close("failed", {"cause": HOSTILE, "hint": "[/no]"})
        await desk.until(lambda: desk.message.endswith("; [/no]"))
        assert not escapes_in(desk.screen)


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(4096),
    "noise": bytes(range(256)) * 16,
    "numbers": b"17\n[]\nnull\n" * 20,
    "other kinds": b'{"state": ["x"], "kind": "metric", "epoch": {}, "values": [1], "step": "a", "epochs": -3}\n' * 5,
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
async def test_a_garbage_run_directory_opens_and_another_one_after_it(lab: Laboratory, content: bytes) -> None:
    good = script(lab.runs, name="20200102-000000-good-0000")
    good.play(2)
    good.writer.close("finished")
    bad = new_run(lab.runs, name="20200101-000000-bad-0000")
    for path in (bad.config, bad.status, bad.events, bad.log, bad.meta, bad.sample(1)):
        path.write_bytes(content)
    async with open_desk(bad) as desk:
        await desk.shows("bad-0000", *["its config.toml is damaged"] * bool(content))
        for key in ("R", "e", "escape", "p", "v", "z", "z", "i"):
            await desk.press(key)
        await desk.press("1")
        await desk.shows("runs · 2", "bad-0000")
        await desk.press("home", "enter")
        await desk.shows("good-0000", "2/6")


async def test_an_unreadable_sample_leaves_the_last_good_one(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run) as desk:
        await desk.shows("epoch 2", "noisy")
        for content in (b"PK\x03\x04 torn", object_array()):
            played.run.sample(3).write_bytes(content)
            played.writer.event("sample", epoch=3)
            played.writer.status(now=True, step=11)
            await desk.until(lambda: "step 11" in desk.screen)
            assert "noisy" in desk.panel("images")
            played.writer.status(now=True, step=12)
            await desk.until(lambda: "step 12" in desk.screen)
        played.epoch(4)
        await desk.shows("epoch 4", "4/6")
    played.writer.close("finished")


def object_array() -> bytes:
    """A pickle in an archive: never to be loaded."""
    file = io.BytesIO()
    np.savez(file, inputs=np.array([{"a": 1}], dtype=object))
    return file.getvalue()


@pytest.mark.parametrize("sign", ["■ stopped", "● running"])
async def test_a_run_deleted_while_it_is_open(lab: Laboratory, sign: str) -> None:
    played = script(lab.runs)
    played.play(2)
    if "stopped" in sign:
        played.writer.close("stopped")
    async with open_desk(played.run) as desk:
        await desk.shows(sign, "2/6")
        while played.run.root.exists():  # its writer may put a file where one was just removed
            shutil.rmtree(played.run.root, ignore_errors=True)
        await desk.shows("□ gone", f"{played.run.id} is gone: its directory was deleted or moved", "1 lists the runs")
        for key in ("R", "f"):
            desk.app.live.message.release()
            desk.app.live.message.hint("")
            await desk.press(key)
            await desk.until(lambda: "is gone; its directory was deleted or moved" in desk.message)
        for key in ("p", "x", "w", "e", "1", "enter", "2"):
            await desk.press(key)
        await desk.shows("quickstart ·")
        assert not played.run.root.exists()


async def test_a_fork_of_a_run_whose_weights_were_deleted_meanwhile(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    async with open_desk(run) as desk:
        await desk.shows("✓ finished")
        shutil.rmtree(run.weights)
        await desk.press("f")
        await desk.until(lambda: "none was written, or its weights were deleted" in desk.message)
        await desk.press("1")
        await desk.shows("runs · 1")
        shutil.rmtree(run.root)
        await desk.press("f")
        # Or the list has seen it before the key came.
        await desk.until(lambda: "is gone; its directory was deleted" in desk.screen or "runs · 0" in desk.screen)


async def test_a_run_that_fails_over_what_was_asked_for_leaves_nothing(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with open_desk() as desk:
        await desk.ready()
        await desk.choose("dataset", "fash")
        await desk.ready()
        await desk.press("escape", "r")
        (run,) = await desk.until(lambda: list_runs(lab.runs))
        await desk.until(lambda: "fashion-mnist" in desk.message and "tuiae data fetch" in desk.message)
        await desk.until(lambda: not run.root.exists())
        await desk.shows("✗ failed")
        await desk.press("R")
        await desk.until(lambda: "nothing of it was kept" in desk.message)


async def test_a_data_directory_that_cannot_be_read_is_told_in_a_sentence(lab: Laboratory) -> None:
    lab.root.mkdir(parents=True, exist_ok=True)
    lab.data.symlink_to(lab.data.name)
    async with open_desk() as desk:
        await desk.until(lambda: "TUIAE_DATA_DIR" in desk.message)
        assert str(lab.data) in desk.message
        assert desk.button("start").disabled
        lab.data.unlink()
        await desk.type("training-epochs", "3")
        await desk.ready()
