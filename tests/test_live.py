"""What Live says of a run on its way: edits in force, a pause of its own, what the curves say, the message line."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, HOSTILE, Desk, Script, new_run, open_desk, script
from tuiae import __version__
from tuiae.render.legend import run_marks
from tuiae.render.status import own_pause, status_facts
from tuiae.runs.advice import Remedy
from tuiae.runs.control import describe_edit, take
from tuiae.runs.diagnosis import AUTO_PAUSE, Finding, Severity, diagnose
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui import app as dashboard
from tuiae.ui.widgets.chrome import FindingLine, MessageLine

VARIATIONAL = {
    **AUTOENCODER,
    "name": "variational",
    "model": {"family": "vae", "hidden": [16], "latent": 2},
    "training": {**AUTOENCODER["training"], "beta": 2.0},
}
PLACE = 21  # cells beside a label of the status panel


def seen(played: Script) -> Snapshot:
    return RunReader(played.run.root).read_all()


def facts(played: Script) -> dict[str, str]:
    return {label: value for label, value, _ in status_facts(seen(played))}


def edit(played: Script, key: str, old: float, new: float, step: int) -> None:
    played.writer.event("command", **describe_edit(key, old, new, step, step / 4, "me@here"))


def overfit(played: Script) -> None:
    """Test losses that rise from their best while those of training images fall."""
    played.begin()
    for epoch in range(1, 11):
        rises = 0.1 + 0.02 * abs(epoch - 3)
        for split, loss in (("train", 0.2 / epoch), ("train-eval", 0.2 / epoch), ("test", rises)):
            played.writer.event("metric", split=split, step=4 * epoch, epoch=epoch, values={"loss": loss})
    played.writer.status(now=True, state="running", epoch=10, epochs=50, step=40, steps_per_epoch=4)


def test_a_worker_of_another_version_is_named_while_it_trains(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(1)
    assert "tuiae" not in facts(played)
    played.writer.status(now=True, tuiae="9.9.9")
    assert facts(played)["tuiae"] == f"9.9.9, this is {__version__}"
    played.writer.close("finished")
    assert "tuiae" not in facts(played)


@pytest.fixture
def variational(lab: Laboratory) -> Any:
    played = script(lab.runs, VARIATIONAL)
    played.play(3)
    yield played
    played.writer.close("finished")


def test_beta_stands_in_the_status_also_after_an_edit(variational: Script) -> None:
    assert facts(variational)["beta"] == "2"
    edit(variational, "training.beta", 2.0, 0.5, 8)
    edit(variational, "training.learning_rate", 0.001, 0.0005, 8)
    edit(variational, "training.learning_rate", 0.0005, 0.0001, 400)
    found = facts(variational)
    assert found["beta"] == "0.5 since step 8"
    assert found["rate"] == "0.0005 since step 8"  # the one of step 400 is still to come into force
    assert [label for label, _, _ in status_facts(seen(variational))].count("beta") == 1
    assert list(found).index("beta") < list(found).index("device")


def test_epoch_and_step_of_long_trainings_are_whole(variational: Script) -> None:
    assert facts(variational)["epoch"] == "3/6, step 12"
    variational.writer.status(now=True, epoch=450, epochs=1500, step=45_000)
    found = facts(variational)
    assert (found["epoch"], found["step"]) == ("450/1,500", "45,000")
    assert all(len(value) <= PLACE for label, value in found.items() if label != "host")


def test_marks_of_edits_have_a_short_form(variational: Script) -> None:
    edit(variational, "training.learning_rate", 0.001, 0.0005, 8)
    edit(variational, "noise.level", 0.3, 0.1, 8)
    marks = run_marks(seen(variational))
    assert [mark.text for mark in marks] == ["learning rate 0.001 → 0.0005", "noise 0.3 → 0.1"]
    assert [mark.short for mark in marks] == ["rate 0.0005", "noise 0.1"]


async def ask_for_an_edit(desk: Desk) -> None:
    """Open the dialog for edits of the run that trains."""
    await desk.until(lambda: desk.state == "running")
    await desk.press("e")
    await desk.shows("change the training")


async def test_an_edit_is_told_when_it_counts_and_forgotten_when_the_run_is_over(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run) as desk:
        await ask_for_an_edit(desk)
        await desk.press(*"0.0003", "enter")
        await desk.until(lambda: "asked for learning rate 0.0003, from the next step on" in desk.message)
        edit(played, "training.learning_rate", 0.001, 0.0003, 8)
        await desk.until(lambda: "learning rate is 0.0003 from step 8 on" in desk.message)
        played.writer.close("finished")
        await desk.until(lambda: "finished after 0:04, best test loss 0.1200 at epoch 2" in desk.message)


@pytest.mark.parametrize("typed", ["", "0.0003"])
async def test_what_was_typed_for_a_run_that_ends_goes_into_a_fork(lab: Laboratory, typed: str) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run) as desk:
        await ask_for_an_edit(desk)
        await desk.press(*typed)
        played.writer.close("finished")
        if typed:
            await desk.shows("the run has ended: enter takes this into a fork", "becomes 0.0003")
            await desk.press("enter")
            await desk.until(lambda: "no checkpoint" in desk.message)  # which this one would go on from
        await desk.until(lambda: desk.app.screen is desk.app.live)


def test_a_pause_is_its_own_until_somebody_lets_it_go_on(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    played.writer.status(now=True, state="paused")
    assert own_pause(seen(played)) == ""
    played.writer.event("warning", epoch=2, step=8, text=f"{AUTO_PAUSE}, overfitting: test loss has risen: stop")
    played.writer.event("command", text="paused at step 8")
    assert own_pause(seen(played)) == "overfitting"
    played.writer.event("command", text="resumed at step 8")
    assert own_pause(seen(played)) == ""
    played.writer.close("finished")


async def test_a_run_that_paused_by_itself_says_so(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.state == "running")
        played.writer.event("warning", epoch=2, step=8, text=f"{AUTO_PAUSE}, divergence: it has risen: lower it")
        played.writer.status(now=True, state="paused")
        await desk.until(lambda: "it paused by itself: divergence · p goes on" in desk.message)
        await desk.shows("paused by itself")
        played.writer.event("command", text="resumed at step 8")
        played.writer.status(now=True, state="running")
        await desk.until(lambda: desk.state == "running" and "by itself" not in desk.screen)
    played.writer.close("finished")


async def test_what_a_paused_run_takes_is_offered_at_every_size_apart_from_start(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    played.writer.status(now=True, state="paused")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.state == "paused")
        async for _ in desk.each_size():
            await desk.shows("‖ paused", "denoise-", " is paused at epoch 2/6, step 8")
            assert desk.offered == ["pause", "stop", "save"]
            assert desk.words(desk.app.live.left.buttons) == "Go on Stop Save checkpoint"
            assert all(f" {words} " in desk.keys for words in ("r Start", "p Go on", "space Step", "x Stop", "w Save"))
            await desk.press("space", "o")
            assert [record["command"] for record in take(played.run)] == ["step"]
            start, buttons = desk.button("start"), desk.app.live.left.buttons
            await desk.until(lambda start=start: start.region.area)  # type: ignore[misc]
            assert not start.region.overlaps(buttons.region)
            assert abs(start.region.y - buttons.region.y) > 1
            await desk.press("escape")
    played.writer.close("finished")


async def test_an_answer_to_a_key_goes_with_the_next_one(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    played.writer.close("finished")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.message.startswith("r starts"))
        could = desk.message
        for answered, key in (("no histograms", "h"), ("too few epochs to say anything", "u")):
            await desk.press(key)
            await desk.until(lambda words=answered: desk.message.startswith(words))
            await desk.press("n")  # and another one with an answer of its own
            await desk.until(lambda: "no confusion matrix" in desk.message)
            await desk.press("comma")
            await desk.until(lambda: desk.message == could)


async def test_a_run_that_is_still_to_be_read_is_named(lab: Laboratory) -> None:
    played = script(lab.runs, name="20261120-100000-heavy-0000")
    played.play(1)
    played.writer.close("finished")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.state == "finished")
        assert "mse" in desk.panel("status")
        session = desk.app.session
        session.path, session.snapshot = new_run(lab.runs, name="20261120-110000-other-0000").root, None
        desk.app.live.catch_up()  # which nothing follows, as while a busy machine reads
        await desk.shows(" tuiae  opening other-0000…")
        assert "mse" not in desk.panel("status")
        known = list_runs(lab.runs)
        for key in "rFpx":
            await desk.press(key)
            await desk.until(lambda: desk.message == "opening other-0000… press it again once that is done")
            await desk.press("d")
        assert list_runs(lab.runs) == known


@pytest.mark.parametrize(("size", "name"), [((80, 24), "finding-line"), ((120, 40), "finding"), ((200, 60), "finding")])
async def test_every_finding_can_be_read(lab: Laboratory, size: tuple[int, int], name: str) -> None:
    said = [
        Finding("divergence", Severity.SERIOUS, f"the loss has risen {HOSTILE}", "lower the rate"),
        Finding("plateau", Severity.NOTE, "it has hardly fallen", "stop"),
    ]
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run, size) as desk:
        await desk.until(lambda: desk.state == "running")
        line = desk.app.live.query_one(f"#{name}", FindingLine)
        for one in desk.app.live.query(FindingLine):
            one.show(said)
        await desk.shows("(+1")
        assert "it has hardly fallen" not in desk.screen
        await desk.click(f"#{name}")
        await desk.shows("lower the rate", "· it has hardly fallen: stop")
        await desk.press("escape")
        await desk.until(lambda: "it has hardly fallen" not in desk.screen)
        assert desk.app.live.focused is line
        await desk.press("enter")
        await desk.shows("it has hardly fallen")
        line.show(())  # said no more
        await desk.shows("quickstart · dense")
        assert not line.display
    played.writer.close("finished")


async def test_what_the_curves_say_hides_nothing_of_the_status_beside_the_open_form(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.state == "running")
        said, remedies = "the loss has risen " * 10, (Remedy({"model.dropout": 0.2}), Remedy({"training.epochs": 9}))
        for line in desk.app.live.query(FindingLine):
            line.show([Finding("overfitting", Severity.SERIOUS, said, "raise model.dropout", remedies)])
        await desk.shows("1 other")  # the last of what is said: nothing is cut
        beside, below = (desk.app.live.query_one(f"#{name}") for name in ("finding", "finding-line"))
        await desk.until(lambda: beside.region.area and not below.region.area)
        await desk.press("o")
        await desk.until(lambda: below.region.area and not beside.region.area)
        known = status_facts(desk.app.session.snapshot)  # type: ignore[arg-type]
        labels = [label for label, _, _ in known]
        await desk.until(lambda: re.findall(r"^\S+", desk.panel("status"), re.MULTILINE) == labels)
        await desk.press("escape")
        await desk.until(lambda: beside.region.area and not below.region.area)
        async for _ in desk.each_size():
            await desk.until(lambda: bool(beside.region.area) != bool(below.region.area))
            status = desk.app.live.query_one("#status")
            for label, value, _ in known:
                await desk.until(lambda: f"{label} {value}" in desk.words(status))  # noqa: B023
    played.writer.close("finished")


async def test_a_small_screen_shows_what_to_try_next(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()

    def diagnose_and_note(snapshot: Snapshot, sample: Sample | None) -> tuple[Finding, ...]:
        threads.add(threading.current_thread().name)
        return diagnose(snapshot, sample)

    monkeypatch.setattr("tuiae.ui.feeds.diagnose", diagnose_and_note)
    played = script(lab.runs)
    overfit(played)
    (finding, *_) = diagnose(seen(played))
    async with open_desk(played.run, (80, 24)) as desk:
        await desk.until(lambda: finding.kind == "overfitting" and desk.app.live.query_one("#finding-line").region)
        line = desk.app.live.query_one("#finding-line")
        await desk.until(lambda: finding.sentence[:60] in " ".join(desk.screen.split()))
        await desk.shows("u tries dropout 0.2 or", "click or tab)")
        assert line.region.height == 2  # the plots have all other lines
        line.focus()
        await desk.press("enter")
        await desk.until(lambda: str(finding) in " ".join(desk.screen.replace("│", " ").split()))
        assert threads == {"feed"}  # and never the one that draws
    played.writer.close("finished")


LONG = " ".join(["a refusal with a next step that no line of eighty cells can hold"] * 2)


class _Desk(App[None]):
    CSS_PATH = Path(dashboard.__file__).with_name("dashboard.tcss")

    def compose(self) -> ComposeResult:
        yield Static(id="body")
        yield MessageLine(id="message")


@pytest.mark.parametrize(("said", "lines"), [
    (lambda line, text: line.tell(text, "bad"), 2),
    (lambda line, text: line.remark(text), 2),
    (lambda line, text: line.tell(text), 2),
    (lambda line, text: line.hint(text, "caution"), 2),
    (lambda line, text: line.hint(text), 1),
])  # fmt: skip
async def test_what_has_to_be_read_wraps_and_hints_do_not(said: Callable[[MessageLine, str], None], lines: int) -> None:
    async with _Desk().run_test(size=(80, 24)) as pilot:
        line = pilot.app.query_one(MessageLine)
        said(line, "short")
        await pilot.pause()
        assert line.size.height == 1
        said(line, LONG)
        await pilot.pause()
        assert line.size.height == lines
        await pilot.resize_terminal(200, 24)
        await pilot.pause()
        assert line.size.height == 1
        await pilot.resize_terminal(60, 24)
        await pilot.pause()
        assert line.size.height == (3 if lines > 1 else 1)
        line.release()
        line.hint("short again")
        await pilot.pause()
        assert line.size.height == 1


async def test_no_panel_moves_for_what_goes_with_the_next_key(finished: RunPaths) -> None:
    async with open_desk(finished, (80, 24)) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.press("4")
        await desk.until(lambda: desk.app.current_mode == "bench")
        message, canvas = desk.app.screen.query_one(MessageLine), desk.app.screen.query_one("#canvas")
        before = canvas.parent.region  # type: ignore[union-attr]
        for say, moves in (
            (lambda: message.tell(LONG, "good"), False),
            (lambda: message.tell(LONG, "bad"), True),  # which stays, and hides nothing
            (lambda: message.remark(f"{LONG} now"), False),
        ):
            message.release()
            say()
            await desk.until(lambda: message.region.height == 2)
            await desk.until(lambda moves=moves: (canvas.parent.region != before) == moves)  # type: ignore[misc, union-attr]
            assert message.region.bottom == 23


async def test_a_refusal_of_four_lines_shows_its_next_step() -> None:
    async with _Desk().run_test(size=(80, 24)) as pilot:
        line = pilot.app.query_one(MessageLine)
        line.tell(" ".join([LONG] * 2), "bad")
        await pilot.pause()
        assert line.size.height == 4


async def test_of_a_hint_whole_parts_show_as_many_as_fit() -> None:
    parts = ["the mean code, moved so far along both components", "arrows move, b marks, a another plane", "? all keys"]
    async with _Desk().run_test(size=(60, 24)) as pilot:
        line = pilot.app.query_one(MessageLine)
        line.hint(" · ".join(parts))
        for width, shown in ((60, 1), (96, 2), (120, 3), (60, 1), (30, 1)):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            assert str(line.content) == " · ".join(parts[:shown])
