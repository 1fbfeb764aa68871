"""The panels of the live screen as instruments: keys and mouse on curves, confusion matrix, pictures and timeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual import on
from textual.app import App, ComposeResult

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, PATIENCE, SIZES, Desk, Script, fixed, open_desk, script
from tests.test_machine import BUSY
from tests.test_render import CLASSES as FASHION
from tuiae.files import read_json, replace_json
from tuiae.render.chrome import place_note
from tuiae.render.curves import Curve, Mark, train_and_test
from tuiae.render.network import NO_HISTOGRAMS
from tuiae.runs.diagnosis import Finding, Severity
from tuiae.runs.paths import RunPaths
from tuiae.runs.snapshot import Series
from tuiae.ui.feeds import BESIDE_SECONDS, BESIDE_SHARE, seconds_beside
from tuiae.ui.terminal.mode import TerminalMode
from tuiae.ui.widgets.chrome import FindingLine
from tuiae.ui.widgets.curves import CurvesPanel, cycle_look
from tuiae.ui.widgets.left import LogPanel, MachinePanel, MachineRead
from tuiae.ui.widgets.panel import HistogramPanel
from tuiae.ui.widgets.run_view import ConfusionPanel, RunView
from tuiae.ui.widgets.timeline import TimelineBar

COUNTS = np.array([[90, 4, 6], [5, 90, 5], [29, 1, 70]])


class Plots(App[None]):
    """Two panels of curves."""

    def compose(self) -> ComposeResult:
        yield CurvesPanel("loss", id="loss")
        yield CurvesPanel("accuracy", id="second")

    @property
    def loss(self) -> CurvesPanel:
        return self.query_one("#loss", CurvesPanel)

    def head(self) -> str:
        """The line above the first plot."""
        return str(self.loss.render()).split("\n")[0]

    def note(self) -> str:
        return str(self.loss.border_subtitle or "")


def curves(last: int = 40) -> tuple[Curve, Curve]:
    epochs = np.arange(1, last + 1)
    return train_and_test((epochs, epochs), (1 / epochs, 1.1 / epochs), Series(epochs * 10, epochs, epochs * 2.0))


async def test_the_cursor_reads_out_and_goes_with_the_newest_point() -> None:
    app = Plots()
    async with app.run_test(size=(100, 30)) as pilot:
        app.loss.show(curves(), marks=[Mark(39, "e", "noise.level 0.1 → 0.3")])
        app.loss.focus()
        await pilot.pause()
        await pilot.press("left")
        assert app.head().startswith("epoch 40 step 400  ━ train 0.02500")
        app.loss.show(curves(50))
        await pilot.pause()
        assert app.head().startswith("epoch 50 step 500")
        app.loss.show(curves(50), marks=[Mark(49, "e", "noise.level 0.1 → 0.3")])
        await pilot.press("left")
        assert app.head().startswith("epoch 49")
        assert app.head().rstrip().endswith("e noise.level 0.1 → 0.3")
        app.loss.show(curves(60))
        await pilot.pause()
        assert app.head().startswith("epoch 49")
        await pilot.press("shift+left")
        assert int(app.head().split()[1]) < 49
        await pilot.press("end")
        assert app.head().startswith("epoch 60")
        await pilot.press("escape")
        assert app.head().startswith("━ train")


async def test_zooming_by_keys_and_back() -> None:
    app = Plots()
    async with app.run_test(size=(100, 30)) as pilot:
        app.loss.show(curves())
        app.loss.focus()
        await pilot.press("plus")
        await pilot.pause()
        assert "zoomed" in app.note()
        frame = app.loss.frame()
        assert frame is not None
        assert frame.x.limits == (20.5, 40)
        await pilot.press("minus")
        assert app.note() == ""
        await pilot.press("plus", "plus", "0")
        assert app.note() == ""


async def test_the_y_axis_is_zoomed_moved_and_reset_by_keys() -> None:
    app = Plots()
    async with app.run_test(size=(100, 30)) as pilot:
        app.loss.show(curves())
        app.loss.focus()
        await pilot.pause()
        heights = []
        for keys in ((), ("down",), ("up",), ("up",), ("shift+up",), ("0",)):
            await pilot.press(*keys)
            await pilot.pause()
            app.loss.render()
            frame = app.loss.frame()
            assert frame is not None
            heights.append(frame.y.limits)
        whole, out, near, nearer, moved, again = heights
        assert whole == out == again  # there is nothing beyond everything
        assert near[1] < whole[1]
        assert nearer[1] - nearer[0] < near[1] - near[0]
        assert nearer[0] <= 1 / 40 <= nearer[1]  # around the newest value
        assert moved[1] > nearer[1]
        assert "zoomed" not in app.note()
        await pilot.press("up")
        assert "zoomed" in app.note()
        app.loss.show(curves(50))
        await pilot.pause()
        assert "zoomed" in app.note()
        app.loss.show(curves(), "another metric")
        assert "zoomed" not in app.note()


async def test_curves_of_a_run_look_at_the_same_epochs(played: Script) -> None:
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "test" in desk.panel("second"))
        loss, second = (desk.app.live.query_one(f"#{name}", CurvesPanel) for name in ("loss", "second"))
        await desk.focus("loss")
        await desk.press("left", "left", "left")
        # Of 6 epochs the one before the last: between them stands what was measured while training the last.
        await desk.until(
            lambda: all(desk.panel(name).removeprefix("epoch ")[:2] == "5 " for name in ("loss", "second"))
        )
        await desk.focus("second")
        await desk.press("plus")
        await desk.until(lambda: "zoomed" in str(loss.border_subtitle))
        frames = loss.frame(), second.frame()
        assert frames[0] is not None
        assert frames[1] is not None
        assert frames[0].x.limits == frames[1].x.limits
        await desk.press("0", "escape")
        await desk.until(lambda: "zoomed" not in str(loss.border_subtitle) and desk.panel("loss")[:7] == "━ train")


async def test_the_mouse_hovers_clicks_drags_and_wheels() -> None:
    app = Plots()
    async with app.run_test(size=(100, 30)) as pilot:
        app.loss.show(curves())
        await pilot.pause()
        await pilot.hover("#loss", offset=(60, 5))
        await pilot.pause()
        assert app.head().startswith("epoch 2")
        await pilot.hover("#second", offset=(60, 5))
        await pilot.pause()
        assert app.head().startswith("━ train")
        await pilot.click("#loss", offset=(60, 5))
        await pilot.hover("#second", offset=(60, 5))
        await pilot.pause()
        assert app.head().startswith("epoch 2")
        await pilot.mouse_down("#loss", offset=(30, 5))
        await pilot.hover("#loss", offset=(60, 5))
        await pilot.pause()
        assert "━━━━━━━━━" in str(app.loss.render()).split("\n")[-2]
        await pilot.mouse_up("#loss", offset=(60, 5))
        await pilot.pause()
        assert "zoomed" in app.note()
        frame = app.loss.frame()
        assert frame is not None
        low, high = frame.x.limits
        assert 8 < low < 16 < 20 < high < 28


async def test_a_drag_that_comes_back_or_loses_its_points_leaves_no_marks() -> None:
    app = Plots()
    async with app.run_test(size=(100, 30)) as pilot:
        app.loss.show(curves())
        await pilot.pause()
        for gone in (False, True):
            before = str(app.loss.render()).split("\n")[-2]
            await pilot.mouse_down("#loss", offset=(30, 5))
            await pilot.hover("#loss", offset=(60, 5))
            assert str(app.loss.render()).split("\n")[-2] != before
            if gone:
                app.loss.show(())
            else:
                await pilot.hover("#loss", offset=(30, 5))
            await pilot.mouse_up("#loss", offset=(30, 5))
            app.loss.show(curves())
            await pilot.pause()
            assert str(app.loss.render()).split("\n")[-2] == before


async def test_smoothing_splits_and_the_log_axis_are_said_in_every_frame() -> None:
    app = Plots()
    async with app.run_test(size=(100, 30)) as pilot:
        for panel in app.query(CurvesPanel):
            panel.show(curves())
        for _ in range(2):
            cycle_look(app.query(CurvesPanel), "smoothing")
        cycle_look(app.query(CurvesPanel), "log_y")
        cycle_look(app.query(CurvesPanel), "split")
        await pilot.pause()
        for panel in app.query(CurvesPanel):
            assert str(panel.border_subtitle) == "log · smoothed 0.9 · train only"
        assert "test" not in app.head()
        for _ in range(2):
            cycle_look(app.query(CurvesPanel), "split")
        cycle_look(app.query(CurvesPanel), "smoothing")
        await pilot.pause()
        assert app.note() == "log"
        assert "test" in app.head()
        app.loss.show((Curve("train", np.arange(4), np.array([1.0, 0, -1, 2])),))
        await pilot.pause()
        assert app.note() == "log, 2 not above 0 left out"
        app.loss.show((Curve("train", np.arange(4), -np.ones(4)),))
        await pilot.pause()
        assert "no value above 0" in str(app.loss.render())


# Confusion


class Matrix(App[None]):
    """A matrix, and what is chosen of it."""

    terminal_mode = TerminalMode()

    def __init__(self) -> None:
        super().__init__()
        self.chosen: list[tuple[int, int]] = []

    def compose(self) -> ComposeResult:
        yield ConfusionPanel(id="confusion")

    @on(ConfusionPanel.CellChosen)
    def _chosen(self, event: ConfusionPanel.CellChosen) -> None:
        self.chosen.append((event.true, event.predicted))

    @property
    def panel(self) -> ConfusionPanel:
        return self.query_one(ConfusionPanel)

    def said(self) -> str:
        return str(self.panel.render()).rstrip().split("\n")[-1].strip()


async def test_a_matrix_of_shades_does_not_call_them_counts() -> None:
    app = Matrix()
    async with app.run_test(size=(100, 24)) as pilot:
        app.panel.show(np.diag([1000] * 10), [f"class {letter}" for letter in "abcdefghij"], "epoch 3")
        assert str(app.panel.border_subtitle) == "counts · epoch 3"
        assert not app.panel.shows_shares
        await pilot.resize_terminal(46, 24)
        await pilot.pause()
        assert (app.panel.shares, app.panel.shows_shares) == (False, True)
        assert str(app.panel.border_subtitle) == "% of each true class · epoch 3"
        await pilot.resize_terminal(34, 24)
        await pilot.pause()
        assert str(app.panel.border_subtitle).startswith("shades of each true class")


async def test_the_arrows_of_a_matrix_are_words_in_ascii() -> None:
    app = Matrix()
    app.terminal_mode = TerminalMode(ascii=True)
    async with app.run_test(size=(100, 24)):
        app.panel.show(COUNTS, ("Coat", "Bag", "Shirt"))
        assert str(app.panel.border_title) == "confusion · true down, predicted across"


async def test_a_cursor_goes_through_the_cells_and_asks_for_their_images() -> None:
    app = Matrix()
    async with app.run_test(size=(80, 24)) as pilot:
        app.panel.focus()
        await pilot.press("left", "enter")
        app.panel.show(COUNTS, ("Coat", "Bag", "Shirt"), "epoch 3")
        await pilot.pause()
        assert str(app.panel.border_subtitle) == "counts · epoch 3"
        await pilot.press("enter")
        assert app.chosen == []
        await pilot.press("left")
        assert app.said().startswith("Shirt: 29 ")
        await pilot.press("up", "up", "up", "right", "enter")
        assert app.said().startswith("Coat: 4 ")
        assert app.chosen == [(0, 1)]
        app.panel.shares = True
        await pilot.pause()
        assert str(app.panel.border_subtitle) == "% of each true class · epoch 3"
        assert "90.0" in str(app.panel.render())
        await pilot.press("escape")
        assert app.said().startswith("accuracy")


async def test_the_machine_says_how_it_is_closed(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.press("g")
        panel = desk.app.live.query_one(MachinePanel)
        async for _ in desk.each_size():
            await desk.shows("machine", "g closes it")
            for _ in range(2):  # the second time with a history
                panel.post_message(MachineRead(BUSY))
            await desk.until(lambda: all(words in desk.painted(panel) for words in ("cpu", "memory", "GB", " min")))
        await desk.press("g")
        await desk.shows("status", "none open")


async def test_the_machine_has_all_its_lines_where_the_log_leaves_them(played: Script) -> None:
    async with open_desk(played.run, size=(200, 60)) as desk:
        await desk.press("g")
        panel = desk.app.live.query_one(MachinePanel)
        await desk.until(lambda: panel.machine is not None)
        for _ in range(2):  # the second time with a history
            panel.post_message(MachineRead(BUSY))
            await desk.pilot.pause()
        await desk.until(lambda: panel.content_size.height == len(str(panel.render()).split("\n")) > 9)
        assert str(panel.render()).count(" min") >= 2
        assert panel.region.bottom <= desk.app.live.query_one("#left").region.bottom


async def test_histograms_take_the_place_of_the_pictures_and_go_with_the_timeline(spread: RunPaths) -> None:
    async with open_desk(spread) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.press("h")
        async for _ in desk.each_size():
            await desk.shows("weights, gradients, code", "encoder.1", "decoder.2", "weights of encoder.1", ">4 ")
            assert note(desk, "histograms") == place_note(4)
            assert not desk.app.live.query_one("#images").region.area
        await desk.press("right", "down")
        await desk.shows("gradients of encoder.3")
        await desk.press(*["down"] * 9)
        await desk.shows("code by epoch")
        await desk.press("comma")
        await desk.until(lambda: note(desk, "histograms") == place_note(3, 4))
        await desk.shows(">3 ")
        await desk.press("h")
        await desk.until(lambda: desk.app.live.query_one("#images").region.area)
        assert not desk.app.live.query_one("#histograms").region.area
        # After a single step the newest pictures come without any.
        panel = desk.app.live.query_one(HistogramPanel)
        panel.clear()
        panel.follow(spread.root, [0, 4])
        await desk.until(lambda: note(desk, "histograms") == place_note(4))


async def test_a_run_without_histograms_says_how_to_have_them(finished: RunPaths) -> None:
    async with open_desk(finished) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.press("h")
        await desk.until(lambda: NO_HISTOGRAMS in desk.message)
        assert desk.app.live.query_one("#images").region.area


async def test_the_networks_of_the_open_run_and_of_the_form_are_shown(finished: RunPaths) -> None:
    async with open_desk(finished, (80, 24)) as desk:
        await desk.until(lambda: desk.state == "finished" and desk.app.live.form.checked is not None)
        await desk.press("N")
        await desk.dialog_shows("encoder", "linear", "code", "2,080", "decoder")
        await desk.shows(f"network · {finished.id}", "N the next run · escape closes")
        await desk.pilot.resize_terminal(80, 24)
        await desk.press("N")
        await desk.shows("network · the next run", "encoder")
        assert finished.id not in desk.screen.split("network · ")[0]
        await desk.press("end")
        await desk.shows("parameters", "unflatten")
        await desk.press("escape")
        await desk.until(lambda: "network · " not in desk.screen)


async def test_the_mouse_takes_a_cell_and_twice_opens_it() -> None:
    app = Matrix()
    async with app.run_test(size=(80, 24)) as pilot:
        app.panel.show(COUNTS, ("Coat", "Bag", "Shirt"))
        await pilot.pause()
        lines = str(app.panel.render()).split("\n")
        row = next(index for index, line in enumerate(lines) if " 29 " in line)
        where = (lines[row].index(" 29 ") + 1 + 2, row + 1)
        await pilot.click("#confusion", offset=where)
        assert app.said().startswith("Shirt: 29 ")
        assert not app.chosen
        await pilot.click("#confusion", offset=where)
        assert app.chosen == [(2, 0)]


# Scrubbing


@pytest.fixture
def played(lab: Laboratory) -> Script:
    run = script(lab.runs, {**AUTOENCODER, "training": {**AUTOENCODER["training"], "epochs": 9}})
    run.play(6)
    return run


def bar(desk: Desk) -> TimelineBar:
    return desk.app.live.query_one(TimelineBar)


def note(desk: Desk, panel: str) -> str:
    return str(desk.app.live.query_one(f"#{panel}").border_subtitle or "").strip()


async def test_scrubbing_shows_old_samples_while_the_run_goes_on(played: Script) -> None:
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "epoch 6" in note(desk, "images"))
        await desk.press("comma", "comma", "comma")
        await desk.until(lambda: "epoch 3 · live is at 6" in note(desk, "images"))
        screen = await desk.shows("epoch 3 of 6", "▼")
        assert "live" in screen
        view = desk.app.live.query_one(RunView)
        assert view.sample is not None
        assert view.sample.epoch == 3
        played.epoch(7)
        await desk.until(lambda: "epoch 3 · live is at 7" in note(desk, "images"))
        assert "0.02857" in desk.panel("loss")
        await desk.press("less_than_sign")
        await desk.until(lambda: "untrained · live is at 7" in note(desk, "images"))
        await desk.press("greater_than_sign")
        await desk.until(lambda: note(desk, "images").endswith("epoch 7"))
        assert "▼" not in desk.panel("loss")
    played.writer.close("finished")


async def test_a_torn_or_missing_sample_is_told_in_a_sentence(played: Script) -> None:
    played.writer.close("finished")
    played.run.sample(2).write_bytes(b"PK\x03\x04 torn")
    played.run.sample(3).unlink()
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "epoch 6" in note(desk, "images"))
        for epoch in (2, 3):
            bar(desk).go(epoch)
            await desk.until(lambda epoch=epoch: f"epoch {epoch} is missing or torn" in desk.panel("images"))  # type: ignore[misc]
        bar(desk).go(4)
        await desk.until(lambda: "epoch 4 · newest is 6" in note(desk, "images"))
        assert "▀" in desk.panel("images")


async def test_the_timeline_tells_the_epoch_of_the_pictures_while_newer_ones_wait_to_be_drawn(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuiae.ui.feeds.PICTURE_SECONDS", PATIENCE)
    played = script(lab.runs)
    played.play(4)
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "epoch 4" in note(desk, "images"))
        played.epoch(5)
        played.epoch(6)
        await desk.until(lambda: "epoch 4 of 6" in str(bar(desk).render()))
        assert "epoch 4" in note(desk, "images")
        await desk.press("comma")
        await desk.until(lambda: "epoch 3 · live is at 6" in note(desk, "images"))
        assert "epoch 3 of 6" in str(bar(desk).render())
        bar(desk).go(None)
        played.writer.close("finished")
        await desk.until(lambda: "epoch 6" in note(desk, "images") and "epoch 6 of 6" in str(bar(desk).render()))


async def test_the_timeline_by_mouse(played: Script) -> None:
    played.writer.close("finished")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "epoch 6" in note(desk, "images"))
        line = str(bar(desk).render())
        assert line.endswith("newest")
        await desk.click("#timeline", offset=(1 + line.index("◀"), 0))
        assert bar(desk).at == 5
        await desk.click("#timeline", offset=(1 + line.index("├") + 1, 0))
        assert bar(desk).at == 0
        await desk.click("#timeline", offset=(1 + line.index("▶"), 0))
        assert bar(desk).at == 1
        await desk.click("#timeline", offset=(1 + line.index("newest"), 0))
        assert bar(desk).at is None


async def test_a_classifier_goes_back_in_all_its_panels(lab: Laboratory) -> None:
    played = script(lab.runs, CLASSIFIER)
    played.play(4)
    played.writer.close("finished")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "epoch 4" in note(desk, "confusion"))
        newest = desk.panel("confusion")
        bar(desk).go(1)
        await desk.until(lambda: "epoch 1 · newest is 4" in note(desk, "confusion"))
        assert "epoch 1 · newest is 4" in note(desk, "images")
        assert desk.panel("confusion") != newest


async def test_another_run_begins_at_its_newest_sample(played: Script, lab: Laboratory) -> None:
    played.writer.close("finished")
    other = script(lab.runs)
    other.play(2)
    other.writer.close("finished")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "epoch 6" in note(desk, "images"))
        bar(desk).go(1)
        desk.app.session.open(other.run.root)
        await desk.until(lambda: note(desk, "images").endswith("epoch 2"))
        assert bar(desk).at is None


async def test_edits_are_marked_and_a_parent_lies_behind_its_fork(played: Script, lab: Laboratory) -> None:
    edit = {"key": "training.learning_rate", "old": 0.001, "new": 0.0005, "step": 12, "epoch": 3.0}
    played.writer.event("command", text="learning rate 0.0005", **edit)
    played.writer.close("finished")
    fork = script(lab.runs)
    parent = {"run": played.run.id, "step": 8, "epoch": 2.0, "changed": []}
    replace_json(fork.run.meta, {**read_json(fork.run.meta), "parent": parent})
    fork.play(3)
    fork.writer.close("finished")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "┊" in desk.panel("loss"))
        desk.app.live.query_one("#loss", CurvesPanel).focus()
        await desk.press(*["left"] * 7)
        await desk.until(lambda: "e rate 0.0005" in desk.panel("loss"))
        await desk.press("z")
        await desk.shows("e learning rate 0.001 → 0.0005")
        await desk.press("z")
        desk.app.session.open(fork.run.root)
        await desk.until(lambda: "parent" in desk.panel("loss"))
        assert "F" in desk.panel("loss")


async def test_the_other_seeds_of_a_run_lie_behind_it_in_a_band(lab: Laboratory) -> None:
    runs = []
    for number, changes in enumerate(({}, {"seed": 1}, {"seed": 2}, {"seed": 2}, {"batch_size": 4}, {"seed": 3})):
        runs.append(script(lab.runs, {**AUTOENCODER, "training": {**AUTOENCODER["training"], **changes}}))
        runs[-1].play(2 + number)
        runs[-1].writer.close("stopped" if number == 5 else "finished")
    async with open_desk(runs[0].run) as desk:
        await desk.shows("2 seeds", "M Seeds", "bands: lowest to highest")
        bands = [curve for curve in desk.app.live.query_one("#loss", CurvesPanel).curves if curve.band is not None]
        assert [(band.group, band.label, band.x.tolist(), band.faint) for band in bands] == [
            ("mean of 2 seeds", "train", [0.5, 1.5], True),
            ("mean of 2 seeds", "test", [1, 2], True),
        ]
        async for width, _ in desk.each_size():
            await desk.until(lambda width=width: ("M Seeds" in desk.keys) == (width > 80))  # type: ignore[misc]
            assert ("bands: lowest to highest" in desk.screen) == (width != 120)
            await desk.press("M")
            await desk.until(lambda width=width: ("bands: lowest to highest" in desk.screen) == (width == 120))  # type: ignore[misc]
        desk.app.session.open(runs[4].run.root)
        await desk.until(lambda: "M Seeds" not in desk.screen)
        await desk.press("M")
        await desk.shows("no finished run differs from this one in nothing but the seed")


async def test_a_parent_that_trains_on_is_followed(lab: Laboratory) -> None:
    parent, fork = script(lab.runs), script(lab.runs)
    parent.play(3)
    origin = {"run": parent.run.id, "step": 8, "epoch": 2.0, "changed": []}
    replace_json(fork.run.meta, {**read_json(fork.run.meta), "parent": origin})
    fork.play(2)
    fork.writer.close("finished")
    async with open_desk(fork.run) as desk:
        loss = desk.app.live.query_one("#loss", CurvesPanel)
        await desk.until(lambda: [line.x[-1] for line in loss.lines] == [2.5, 3, 1.5, 2])
        parent.epoch(4)
        await desk.until(lambda: [line.x[-1] for line in loss.lines] == [3.5, 4, 1.5, 2])
        parent.writer.close("finished")


async def test_what_happened_before_the_first_epoch_and_a_worker_that_went_on_are_marked(played: Script) -> None:
    edit = {"key": "training.learning_rate", "old": 0.001, "new": 0.0005, "step": 1, "epoch": 0.25}
    played.writer.event("command", text="learning rate 0.0005", **edit)
    played.writer.event("start", step=12, epoch=3.0, text="resumed at epoch 3, step 12")
    for epoch in (4, 5, 6):
        played.epoch(epoch)
    played.writer.close("finished")
    async with open_desk(played.run, size=(200, 60)) as desk:
        await desk.until(lambda: "┊" in desk.panel("loss"))
        top = desk.panel("loss").split("\n")[1]
        assert top.index("e") < top.index("R")
        desk.app.live.query_one("#loss", CurvesPanel).focus()
        await desk.press(*["left"] * 7)
        await desk.until(lambda: "R resumed at step 12" in desk.panel("loss"))
        await desk.press(*["left"] * 5)
        await desk.until(lambda: "e learning rate 0.001 → 0.0005 at epoch 0.25" in desk.panel("loss"))


async def test_the_x_axis_counts_epochs_steps_or_time_on_all_curves_and_the_cursor_stays(played: Script) -> None:
    fixed(played.run)  # epochs that take seconds
    async with open_desk(played.run, size=(200, 60)) as desk:
        await desk.until(lambda: "test" in desk.panel("second"))
        await desk.focus("loss")
        await desk.press("left", "left", "left")
        await desk.until(lambda: desk.panel("loss").startswith("epoch 5 "))
        await desk.press("a")
        await desk.until(lambda: all(desk.panel(name).startswith("step 20 ") for name in ("loss", "second")))
        assert "x axis: steps" in desk.message
        await desk.press("a")
        await desk.until(lambda: all(desk.panel(name).startswith("time ") for name in ("loss", "second")))
        await desk.press("a", "l")
        await desk.until(lambda: desk.panel("loss").startswith("epoch 5 ") and "log x" in note(desk, "loss"))
        # Every size tells the unit, and that there is more than shows.
        await desk.press("l", "up")
        async for width, _ in desk.each_size():
            unit = {80: "step", 120: "time", 200: "epoch"}[width]
            await desk.press("a")
            for name in ("loss", "second"):
                await desk.until(lambda: desk.panel(name).split("\n")[-1].startswith(unit))  # noqa: B023
            await desk.until(lambda: "zoomed, 0 shows all" in note(desk, "loss"))


async def test_a_run_without_times_says_so(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(3)
    played.writer.close("finished")
    lines = played.run.events.read_text().splitlines()
    played.run.events.write_text("".join(json.dumps({**json.loads(line), "time": None}) + "\n" for line in lines))
    async with open_desk(played.run) as desk:
        await desk.until(lambda: "test" in desk.panel("second"))
        await desk.press("a")
        await desk.until(lambda: "x axis: steps; times are not in the history" in desk.message)
        await desk.press("a")
        await desk.until(lambda: "x axis: epochs" in desk.message)


# Pictures


async def test_the_error_row_comes_and_goes_with_its_scale(played: Script) -> None:
    played.writer.close("finished")
    async with open_desk(played.run) as desk:
        await desk.shows("input", "noisy", "output", "error", "error: black 0, brightest 0.05")
        await desk.press("d")
        await desk.until(lambda: "error" not in desk.panel("images"))
        assert "brightest" not in note(desk, "images")


def photographed(lab: Laboratory, document: dict[str, Any] = AUTOENCODER) -> Script:
    """A finished run with three samples of 28x28."""
    played = script(lab.runs, document)
    played.play(2)
    pixels = np.tile(np.arange(28, dtype=np.uint8) * 9, (3, 1, 28, 1))
    arrays = {"inputs": pixels, "noisy": pixels[..., ::-1], "reconstructions": pixels.swapaxes(2, 3)}
    if played.config.is_classifier:
        counts = np.diag([912] * 10) + 11
        arrays = {"inputs": pixels, "predictions": np.zeros(3, int), "confusion": counts, "classes": np.array(FASHION)}
    played.writer.sample(3, **arrays, labels=np.arange(3))
    played.writer.close("finished")
    return played


def plot_rows(desk: Desk) -> int:
    """The lines between the legend of the loss and its x axis."""
    frame = desk.app.live.query_one("#loss", CurvesPanel).frame()
    return frame.rows if frame is not None else 0


def largest(desk: Desk) -> list[int]:
    """The widths of the pictures in the line that has most of them, from the left."""
    lines = desk.panel("images").split("\n")
    return max(([len(part) for part in line.split() if set(part) == {"▀"}] for line in lines), key=sum)


@pytest.mark.parametrize(
    ("size", "widths", "which"),
    [((80, 24), [14] * 3, "1 to 2 of 3"), ((120, 40), [28] * 3, "1 of 3"), ((200, 60), [28] * 4, "1 to 2 of 3")],
)
async def test_pictures_stand_at_their_own_size_where_one_sample_has_room(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], widths: list[int], which: str
) -> None:
    (lab.root / "saved").mkdir(parents=True)
    monkeypatch.chdir(lab.root / "saved")
    async with open_desk(photographed(lab).run, size=size) as desk:
        if size[0] < 110:
            await desk.press("v")
        await desk.shows("input", "noisy", "output", which)
        assert largest(desk) == widths
        assert size[0] < 110 or plot_rows(desk) >= 14
        await desk.press("B")
        await desk.until(lambda: 0 < largest(desk)[0] < widths[0])
        await desk.press("b")
        await desk.until(lambda: largest(desk) == widths)
        await desk.press("P")
        await desk.until(lambda: "pictures are in" in desk.message)
        (file,) = Path.cwd().iterdir()
        assert file.read_bytes().startswith(b"\x89PNG")
        await desk.press("right_square_bracket")
        await desk.shows(which.translate(str.maketrans("12", "23")))
        await desk.press("right_square_bracket", "right_square_bracket")
        await desk.until(lambda: "these are the last" in desk.message)
        await desk.press(*["left_square_bracket"] * 3)
        await desk.until(lambda: "these are the first" in desk.message)


async def test_curves_keep_fourteen_lines_beside_more_and_smaller_pictures(played: Script) -> None:
    async with open_desk(played.run) as desk:
        await desk.until(lambda: largest(desk) and plot_rows(desk) >= 14)
        for key in ("b", "B", "B", "B"):
            await desk.press(key)
            await desk.pilot.pause()
            assert plot_rows(desk) >= 14


async def test_on_a_low_plot_the_legend_stands_in_the_frame_and_reads_out_there(played: Script) -> None:
    async with open_desk(played.run, size=(80, 24)) as desk:
        panel = desk.app.live.query_one("#loss", CurvesPanel)
        await desk.until(lambda: "train" in str(panel.border_title) and "test" in str(panel.border_title))
        assert "train" not in str(panel.render())
        low = plot_rows(desk)
        panel.focus()
        await desk.press("left")
        assert str(panel.border_title).startswith("loss")
        assert "train" not in str(panel.border_title)
        await desk.press("z")
        await desk.until(lambda: str(panel.border_title) == "loss" and plot_rows(desk) > low)
        assert "epoch" in str(panel.render()).split("\n")[0]


async def test_larger_and_fewer_pictures_are_remembered(lab: Laboratory) -> None:
    run = photographed(lab).run
    async with open_desk(run) as desk:
        await desk.until(lambda: largest(desk) == [28] * 3)
        await desk.press("B")
        await desk.until(lambda: len(set(largest(desk))) == 1 and largest(desk)[0] < 28)
        smaller = largest(desk)
        await desk.press("b", "b")
        await desk.until(lambda: "cannot be larger" in desk.message)
        await desk.press("B")
    async with open_desk(run) as desk:
        await desk.until(lambda: desk.panel("images").count("▀") and largest(desk) == smaller)


@pytest.mark.parametrize("size", SIZES)
async def test_a_classifier_has_numbers_whole_names_and_large_pictures(lab: Laboratory, size: tuple[int, int]) -> None:
    async with open_desk(photographed(lab, CLASSIFIER).run, size=size) as desk:
        if size[0] < 110:
            await desk.press("v")
            await desk.until(lambda: largest(desk)[0] == 28)
            await desk.press("v")
        screen = await desk.shows("T-shirt/top", "9 Ankle boot" if size[0] < 150 else " Ankle boot")
        assert size[0] < 110 or largest(desk)[0] == 28
        row = next(line for line in screen.split("\n") if "Ankle boot" in line).partition("Ankle boot")[2]
        assert row.split()[:10] == (
            ["1"] * 9 + ["90│"] if size[0] < 110 else ["11"] * 9 + ["923│" if size[0] < 150 else "923"]
        )


async def test_the_log_stands_below_the_status_and_wraps(lab: Laboratory) -> None:
    played = photographed(lab)
    async with open_desk(played.run, size=(200, 60)) as desk:
        log = desk.app.live.query_one("#side-log", LogPanel)
        await desk.shows("training from the", "first step")
        assert not desk.app.live.query_one("#log").region.area
        log.append(["a warning of the worker that is longer than the column is wide, to its very end"])
        await desk.shows("very end")


async def test_the_log_has_the_lines_that_open_form_and_machine_leave(lab: Laboratory) -> None:
    async with open_desk(photographed(lab).run) as desk:
        await desk.shows("finished", "training from the")
        column, log = desk.app.live.left, desk.app.live.query_one("#side-log", LogPanel)
        lines = log.region.height
        for key in ("o", "g"):
            await desk.press("escape", key)
            await desk.until(lambda: log.region.height < lines)
            assert all(panel.region.bottom <= column.region.bottom for panel in column.children if panel.display)
            assert not log.region.area or log.content_size.height > 1
            assert column.status.content_size.height == column.status.lines
            await desk.press("escape" if key == "o" else key)
            await desk.until(lambda: log.region.height == lines)


async def test_a_log_that_was_hidden_shows_its_end(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(1)
    async with open_desk(played.run) as desk:
        log = desk.app.live.query_one("#side-log", LogPanel)
        await desk.until(lambda: log.region.area)
        await desk.press("o", "escape", "z")
        await desk.until(lambda: not log.region.area)
        log.append(f"line {number}" for number in range(60))
        await desk.press("z")
        await desk.shows("line 59")
    played.writer.close("finished")


@pytest.mark.parametrize("height", [50, 60])
async def test_the_log_has_lines_to_read_or_does_not_show(lab: Laboratory, height: int) -> None:
    async with open_desk(photographed(lab).run, size=(120, height)) as desk:
        log = desk.app.live.query_one("#side-log")
        await desk.until(lambda: log.region.area)
        finding = Finding("plateau", Severity.NOTE, "it has hardly fallen " * 5, "stop")
        for line in desk.app.live.query(FindingLine):
            line.show([finding])
        for key in ("g", "o"):
            await desk.press(key)
        await desk.until(lambda: bool(log.region.area) == (height == 60))
        assert not log.region.area or log.content_size.height > 1
        await desk.press("escape")
        await desk.until(lambda: log.content_size.height > 1)


def test_what_takes_long_to_draw_is_looked_at_less_often() -> None:
    small, large = seconds_beside(0.03), seconds_beside(0.05)
    assert BESIDE_SECONDS[0] < small < large < BESIDE_SECONDS[1]
    assert 0.05 / large == pytest.approx(BESIDE_SHARE)
    assert (seconds_beside(0), seconds_beside(10)) == BESIDE_SECONDS
