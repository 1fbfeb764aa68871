"""Keys and clicks that come in one burst: a dialog is answered once, and the screen below hears none of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.command import CommandPalette
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Input, TextArea

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, PATIENCE, Desk, open_desk, script
from tuiae.config import build_config
from tuiae.errors import TrainingError
from tuiae.runs.control import take
from tuiae.runs.labels import read_label
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.ui.commands import HelpDialog
from tuiae.ui.screens.changes import EditDialog, ForkDialog
from tuiae.ui.screens.dialogs import ChoiceDialog, CostDialog, Dialog, LineDialog, NoteDialog
from tuiae.ui.session import PreflightDone
from tuiae.ui.terminal.app import TerminalApp
from tuiae.ui.terminal.mode import TerminalMode

CONFIG = build_config(AUTOENCODER)
SECONDS = dict.fromkeys(("step_seconds", "epoch_seconds", "evaluation_seconds", "total_seconds"), 1.0)
SIZES = dict.fromkeys(("trained", "batch_size", "steps_per_epoch", "epochs"), 5)
MEGABYTES = dict.fromkeys(("weights_mb", "state_mb", "data_mb", "peak_mb", "evaluation_mb"), 1.0)
ARITHMETIC = {"device": "cpu", "precision": "float32", "reason": "", "shards": 1}
COST = {**ARITHMETIC, "parameters": {"encoder": 5}, **SECONDS, **SIZES, **MEGABYTES}
DIALOGS: dict[str, Callable[[RunPaths], Dialog[Any]]] = {
    "choice": lambda run: ChoiceDialog("quit", "Leave?", [("leave", "Leave"), ("cancel", "Cancel")]),
    "cost": lambda run: CostDialog("denoise", COST),
    "help": lambda run: HelpDialog("live"),
    "line": lambda run: LineDialog("name", "What to call it?", "a", lambda text: ""),
    "note": lambda run: NoteDialog("note", "About it", "a", lambda text: ""),
    "edit": lambda run: EditDialog(CONFIG, 1),
    "fork": lambda run: ForkDialog(run),
}
BURSTS = [
    ("enter", "enter", "escape", "enter"),
    ("escape", "escape", "click"),
    ("click", "click", "escape"),
    ("ctrl+s", "ctrl+s", "enter"),
]


def send(desk: Desk, *burst: str, at: tuple[int, int] = (1, 1)) -> None:
    """What a terminal sends at once: the app sees all of it before anybody has answered the first."""
    mouse = {"widget": None, "x": at[0], "y": at[1], "delta_x": 0, "delta_y": 0, "button": 1}
    mouse |= {"shift": False, "meta": False, "ctrl": False}
    for key in burst:
        if key == "click":
            desk.app.post_message(events.MouseDown(**mouse))
            desk.app.post_message(events.MouseUp(**mouse))
        else:
            desk.app.post_message(events.Key(key, None))


def middle(screen: Screen[Any], kind: type[Button] | type[Input]) -> tuple[int, int]:
    """Where the first button or field is; nowhere in particular without one."""
    found = list(screen.query(kind))
    region = found[0].region if found else screen.region
    return region.x + region.width // 2, region.y + region.height // 2


async def test_a_dialog_is_answered_once(lab: Laboratory, finished: RunPaths) -> None:
    async with open_desk(size=(80, 24)) as desk:
        for (name, make), burst in itertools.product(DIALOGS.items(), BURSTS):
            answers: list[object] = []
            dialog = make(finished)
            await desk.app.push_screen(dialog, answers.append)
            await desk.pilot.pause()
            send(desk, *burst, at=middle(dialog, Button))
            await desk.pilot.pause()
            while dialog in desk.app.screen_stack:  # Enter and clicks mean nothing to some, and open others before it
                send(desk, "escape", "escape")
                await desk.pilot.pause(0.05)
            await desk.until(lambda: desk.app.screen is desk.app.live)
            await desk.pilot.pause()
            assert len(answers) == 1, (name, burst)
            assert desk.app.return_value is None
    assert not list_runs(lab.runs)


async def test_a_burst_that_begins_with_the_key_of_the_dialog(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    played.writer.close("finished")
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 1")
        await desk.press("N")
        send(desk, "n", "enter", "enter", "enter")
        await desk.until(lambda: desk.app.screen.query("RunTable") and "n" in desk.lines()[0].split())
        assert desk.app.current_mode == "runs"  # the second Enter did not open the run


def type_at_once(desk: Desk, text: str) -> None:
    """Characters as they come of one write; `\\r` is Enter."""
    for letter in text:
        desk.app.post_message(events.Key({"/": "slash", "\r": "enter"}.get(letter, letter), letter))


async def test_what_is_typed_behind_a_key_goes_to_what_the_key_shows(lab: Laboratory) -> None:
    beside = script(lab.runs, name="20200101-000000-politano-0001")
    beside.play(2)
    async with open_desk() as desk:
        type_at_once(desk, "1/politano\r")
        await desk.shows("runs · 1 of 1")
        type_at_once(desk, "/xspt\rp")
        await desk.shows("none of 1 runs is found", "xspt")
        await desk.press("escape")
        await desk.shows("runs · 1 ")
        type_at_once(desk, "Nptz/\r")
        await desk.until(lambda: read_label(beside.run).name == "ptz/")
        type_at_once(desk, "npt")
        await desk.until(lambda: desk.app.screen.query(TextArea) and desk.app.screen.query_one(TextArea).text == "pt")
        await desk.press("escape")
        assert len(desk.app.screen_stack) == 1
    assert not take(beside.run)
    assert not read_label(beside.run).tags
    beside.writer.close("finished")


async def test_enter_behind_the_help_of_an_open_run_starts_nothing(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    async with open_desk(run) as desk:
        await desk.shows("✓ finished")
        for leaves in (("question_mark", "escape"), ("1", "2")):
            await desk.press(*leaves, "enter")
            await desk.until(lambda: desk.app.current_mode == "live" and len(desk.app.screen_stack) == 1)
            assert desk.app.focused is None
        assert len(list_runs(lab.runs)) == 1


class StuckWidget(Widget, can_focus=True):
    """Gives the focus away at a key, and then answers nothing any more."""

    async def on_key(self) -> None:
        self.app.query_one(Input).focus()
        await asyncio.Event().wait()


class SlowApp(TerminalApp[None]):
    """A widget that a key does not come through, a field, and a key that takes its time to show it."""

    BINDINGS = [("f1", "field", "the field")]

    def __init__(self, settings: Path) -> None:
        super().__init__(TerminalMode(), settings=settings / "settings.json")
        self.ready = asyncio.Event()
        self.left = False

    def compose(self) -> ComposeResult:
        yield StuckWidget()
        yield Input()

    async def action_field(self) -> None:
        await self.ready.wait()
        self.query_one(Input).focus()

    def action_help_quit(self) -> None:
        self.left = True


def press_together(app: TerminalApp[None], *keys: str) -> None:
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def turn(times: int = 100) -> None:
    """Let everything that can go on do so many steps."""
    for _ in range(times):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something beside a widget that answers nothing, for which a pilot would wait."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_keys_wait_for_the_one_before_however_long_it_takes(tmp_path: Path) -> None:
    app = SlowApp(tmp_path)
    async with app.run_test() as pilot:
        app.set_focus(None)
        press_together(app, "f1", *"abc")
        await turn()
        app.ready.set()
        await pilot.pause()
        await until(lambda: app.query_one(Input).value == "abc")


async def test_keys_go_on_where_a_widget_took_the_one_before_along(tmp_path: Path) -> None:
    app = SlowApp(tmp_path)
    async with app.run_test() as pilot:
        stuck, field = app.query_one(StuckWidget), app.query_one(Input)
        stuck.focus()
        await pilot.pause()
        press_together(app, *"abc")
        await until(lambda: app.focused is field)
        await turn()
        assert field.value == ""
        stuck.task.cancel()
        await until(lambda: field.value == "bc")


async def test_ctrl_c_waits_for_nothing(tmp_path: Path) -> None:
    app = SlowApp(tmp_path)
    async with app.run_test() as pilot:
        app.query_one(StuckWidget).focus()
        await pilot.pause()
        press_together(app, *"abc")
        await until(lambda: app.focused is app.query_one(Input))
        press_together(app, "ctrl+c")
        await until(lambda: app.left)
        app.query_one(StuckWidget).task.cancel()


async def test_slash_finds_a_run_from_wherever_it_is_pressed(lab: Laboratory) -> None:
    played = script(lab.runs, name="20200101-000000-politano-0001")
    played.play(2)
    played.writer.close("finished")
    async with open_desk(played.run) as desk:
        for screen in "2356":
            await desk.press(screen)
            type_at_once(desk, "/poli")
            await desk.shows("runs · 1 of 1", "poli")
            type_at_once(desk, "x1")
            await desk.shows("none of 1 runs is found", "polix1")
            await desk.press("escape", "escape")
            await desk.until(lambda: desk.app.screen is desk.app.live)
            await desk.press(screen, "question_mark")
            await desk.shows("find a run")
            await desk.press("escape")


async def test_a_palette_that_is_left_twice() -> None:
    async with open_desk() as desk:
        for burst in [("click", "escape"), ("escape", "click", "escape"), ("click", "click")]:
            await desk.press("ctrl+p")
            await desk.until(lambda: CommandPalette.is_open(desk.app))
            send(desk, *burst, at=(1, 38))
            await desk.until(lambda: desk.app.screen is desk.app.live)
            await desk.pilot.pause()
        await desk.press("ctrl+p")
        await desk.until(lambda: CommandPalette.is_open(desk.app))
        assert "search" in desk.screen.lower()


async def test_a_cost_that_comes_late_does_not_take_the_next_keys() -> None:
    async with open_desk() as desk:
        await desk.ready()
        checked = desk.app.live.form.check_now()
        assert checked is not None
        await desk.press("c", "v")
        desk.app.post_message(PreflightDone(checked.config, COST))
        await desk.until(lambda: "quickstart: about 1 s an epoch, 1 s in all" in desk.message)
        assert desk.app.screen is desk.app.live
        await desk.press("c")
        desk.app.post_message(PreflightDone(checked.config, COST))
        await desk.until(lambda: isinstance(desk.app.screen, CostDialog))


async def test_a_cost_that_comes_while_one_looks_elsewhere_is_found_on_the_way_back() -> None:
    async with open_desk() as desk:
        await desk.ready()
        checked = desk.app.live.form.check_now()
        assert checked is not None
        problem = TrainingError("there is not enough memory", "lower training.batch_size")
        for outcome, words in ((COST, "quickstart: about 1 s an epoch"), (problem, "there is not enough memory")):
            for there, back in (("1", "2"), ("question_mark", "escape")):
                await desk.press("c", there)
                desk.app.post_message(PreflightDone(checked.config, outcome))
                await desk.pilot.pause()
                assert desk.app.screen is not desk.app.live
                await desk.press(back)
                await desk.shows(words)
                assert desk.app.screen is desk.app.live


async def test_a_start_is_asked_about_beside_a_live_run_that_is_not_open(lab: Laboratory) -> None:
    live, done = (script(lab.runs, name=f"2020010{day}-000000-run-0000") for day in (1, 2))
    live.play(2)
    done.play(1)
    done.writer.close("finished")
    async with open_desk(done.run) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.ready()
        await desk.press("r")
        await desk.shows("Another run is live. Beside it this would start:", "Start beside it")
        await desk.press("escape")
        assert len(list_runs(lab.runs)) == 2
    live.writer.close("stopped")


async def test_a_cost_beside_a_live_run_starts_none_without_the_question(lab: Laboratory) -> None:
    beside = script(lab.runs)
    beside.play(2)
    async with open_desk() as desk:
        await desk.running()
        await desk.ready()
        checked = desk.app.live.form.check_now()
        assert checked is not None
        await desk.press("c")
        desk.app.post_message(PreflightDone(checked.config, COST))
        await desk.shows("Start it")
        await desk.press("enter")
        await desk.shows("is still running", "Start beside it")
        assert list_runs(lab.runs) == [beside.run]
    beside.writer.close("stopped")
