"""Curves of loss and accuracy: which points of a run make them, their means, and the band of a noisy training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from rich.text import Text
from textual.app import App, ComposeResult

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, Script, script
from tuiae.render import palette
from tuiae.render.curves import (
    Curve,
    Look,
    Mark,
    draw_curves,
    means,
    on_one_axis,
    place_text,
    prepare,
    tells,
    train_and_test,
    x_limits,
)
from tuiae.render.legend import MOST, averaged, in_sight, readout, run_curves, run_marks
from tuiae.render.text import of_epochs
from tuiae.render.ticks import labels
from tuiae.render.view import View
from tuiae.runs.control import describe_edit
from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Series, Snapshot
from tuiae.ui.terminal.mode import TerminalMode
from tuiae.ui.widgets.curves import CurvesPanel

SIZE = 62, 16
EPOCHS = np.arange(1, 21)


def noisy(points: int = 4000) -> tuple[Curve, Curve]:
    """A training whose noise is ten times as high as what parts it from a test loss that stays."""
    x = np.linspace(0.005, 20, points)
    noise = np.random.default_rng(0).uniform(-1, 1, points)
    return train_and_test([x, EPOCHS], [5 + noise, np.full(len(EPOCHS), 5.2)])


def cells(text: Text, style: str) -> int:
    return sum(span.end - span.start for span in text.spans if span.style == style)


def test_a_noisy_training_is_one_line_before_a_band_and_the_test_curve_before_both() -> None:
    drawn = draw_curves(noisy(), *SIZE)
    assert cells(drawn, palette.TEST) >= 30  # two of three cells
    assert 30 <= cells(drawn, palette.TRAIN) <= 90  # a line, not the rows of the band
    assert cells(drawn, f"dim {palette.TRAIN}") > 200
    few = draw_curves(noisy(50), *SIZE)
    assert cells(few, f"dim {palette.TRAIN}") == 0
    assert cells(few, palette.TRAIN) > 100
    low = draw_curves(noisy(), 62, 7)
    assert cells(low, f"dim {palette.TRAIN}") == 0
    assert cells(low, palette.TRAIN) > 15


def test_only_trainings_are_drawn_in_the_mean() -> None:
    x = np.linspace(1, 20, 2000)
    values = np.full(len(x), 5.0)
    values[700] = 50
    peak = {split: draw_curves([Curve("", x, values, split=split)], *SIZE) for split in ("test", "train")}
    top = {split: text.split("\n")[0] for split, text in peak.items()}
    assert cells(top["test"], palette.TRAIN) == 1
    assert cells(top["train"], palette.TRAIN) == 0


def test_means_stay_where_they_are_while_points_come_and_windows_move() -> None:
    values = np.sin(np.arange(500.0))
    x = np.arange(500.0)
    before = means(x[:450], values[:450], (0, 449), 60)
    after = means(x, values, (0, 499), 65)
    assert len(before[0]) <= 60
    assert after[0][: len(before[0]) - 1].tolist() == before[0][:-1].tolist()
    assert after[1][: len(before[1]) - 1].tolist() == before[1][:-1].tolist()
    moved = means(x, values, (101, 499), 65)
    shared = np.isin(moved[0], after[0])
    assert shared.sum() >= len(moved[0]) - 2
    assert moved[0].min() >= 101
    assert means(x, values, (0, 499), 1000)[1] == pytest.approx(values)


class _Plot(App[None]):
    def __init__(self, mode: TerminalMode) -> None:
        super().__init__()
        self.terminal_mode = mode

    def compose(self) -> ComposeResult:
        yield CurvesPanel()


@pytest.mark.parametrize("mode", [TerminalMode(colors="none"), TerminalMode(ascii=True), TerminalMode()])
async def test_where_colours_or_fine_dots_lack_the_test_curve_is_one_of_signs(mode: TerminalMode) -> None:
    plain = mode != TerminalMode()
    async with _Plot(mode).run_test(size=(70, 18)) as pilot:
        panel = pilot.app.query_one(CurvesPanel)
        panel.show(noisy())
        await pilot.pause()
        rows = panel.draw(66, 16).plain.split("\n")
        assert ("• test" in rows[0]) == plain
        signs = sum(row.count("•") for row in rows[1:])
        assert signs == len(EPOCHS) if plain else 0 < signs < len(EPOCHS) / 2


@pytest.mark.parametrize(
    ("cursor", "alone", "around"), [(3.0, False, 0.03), (25.0, False, 0.05), (None, False, 0.05), (3.0, True, 0.05)]
)
async def test_zooming_in_y_shows_what_a_curve_has_at_the_cursor(
    cursor: float | None, alone: bool, around: float
) -> None:
    own, before = np.linspace(20.5, 30, 20), np.arange(1.0, 21.0)
    parent = Curve("parent train", before, np.full(20, 0.03), faint=True)
    fork = Curve("train", own, np.full(20, 0.05), span=(1.0, 30.0))
    async with _Plot(TerminalMode()).run_test(size=(70, 18)) as pilot:
        panel = pilot.app.query_one(CurvesPanel)
        panel.show((fork,) if alone else (parent, fork))
        await pilot.pause()
        panel.turn(View(cursor=cursor))
        for _ in range(4):
            panel.action_zoom_y(0.5)
            panel.draw(66, 16)
            frame = panel.frame()
            assert frame is not None
            assert frame.y.limits[0] <= around <= frame.y.limits[1]
        panel.turn(View(width=5.0))
        panel.look = Look(log_x=True, split="train")
        assert str(panel.border_subtitle).startswith("zoomed, 0 shows all · log x")


STEPS = 20  # an epoch


@pytest.fixture
def played(lab: Laboratory) -> Iterator[Script]:
    played = script(lab.runs, AUTOENCODER)
    played.begin()
    yield played
    played.writer.close("stopped")


def train(played: Script, epochs: float, every: int) -> None:
    """So many epochs with a live point after `every` steps: the loss falls from 1 with the steps."""
    for step in range(1, round(epochs * STEPS) + 1):
        if step % every == 0:
            measure(played, "live", step, 1 / step)
        if step % STEPS == 0:
            mean = float(np.mean(1 / np.arange(step - STEPS + 1, step + 1)))
            measure(played, "train", step, mean)
            measure(played, "test", step, 1 / step)


def measure(played: Script, split: str, step: int, loss: float) -> None:
    played.writer.event("metric", split=split, step=step, epoch=step / STEPS, values={"loss": loss})


def seen(played: Script) -> Snapshot:
    return RunReader(played.run.root).read_all()


def test_the_training_curve_keeps_every_live_point_of_the_first_epoch_and_no_mean_among_them(played: Script) -> None:
    train(played, 1.25, every=1)
    curve, test = run_curves(seen(played), "loss")
    assert curve.x.tolist() == [step / STEPS for step in range(1, 26)]
    assert curve.y.tolist() == [1 / step for step in range(1, 26)]
    assert test.x.tolist() == [1]


def test_an_edit_in_the_first_epoch_stands_where_it_was_made(played: Script) -> None:
    played.writer.event("command", **describe_edit("training.learning_rate", 0.001, 5.0, 7, 7 / STEPS, "me@here"))
    train(played, 2, every=1)
    snapshot = seen(played)
    limits = x_limits([prepare(curve) for curve in run_curves(snapshot, "loss")])
    assert limits is not None
    (mark,) = in_sight(run_marks(snapshot), limits)
    assert mark.x == 7 / STEPS
    assert " at epoch" not in mark.text


def test_means_over_short_epochs_stand_in_their_middle(played: Script) -> None:
    train(played, 6, every=10)
    curve, test = run_curves(seen(played), "loss")
    assert curve.x.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert prepare(curve, Look("step")).x.tolist() == [10, 30, 50, 70, 90, 110]
    assert test.x.tolist() == [1, 2, 3, 4, 5, 6]


def test_plots_beside_each_other_show_the_same_epochs(played: Script) -> None:
    train(played, 3, every=10)
    curves = run_curves(seen(played), "loss")
    train_alone, test_alone = on_one_axis(curves[:1], curves[1:])
    assert x_limits([prepare(curve) for curve in train_alone]) == (0.5, 3)
    assert x_limits([prepare(curve) for curve in test_alone]) == (0.5, 3)
    assert on_one_axis((), ()) == ((), ())


def test_a_long_line_is_averaged_and_its_past_stays_while_points_come() -> None:
    def series(count: int) -> Series:
        steps = np.arange(count)
        return Series(steps, steps / STEPS, steps * 37 % 64 / 64)

    whole, more = averaged(series(3 * MOST)), averaged(series(3 * MOST + 6))
    assert len(whole.values) == 3 * MOST / 4
    assert whole.values.mean() == pytest.approx(series(3 * MOST).values.mean())
    assert more.values[: len(whole.values)].tolist() == whole.values.tolist()
    assert more.epochs[-1] == pytest.approx((3 * MOST + 4.5) / STEPS)  # the middle of the last two
    assert len(averaged(series(MOST)).values) == MOST


def test_a_gap_counts_for_nothing_in_an_average() -> None:
    values = np.array([1.0, np.nan, 3.0, 5.0, np.nan, np.nan])
    found = averaged(Series(np.arange(6), np.arange(6.0), values), most=3)
    assert found.values.tolist()[:2] == [1.0, 4.0]
    assert np.isnan(found.values[2])


def timed(played: Script, kind: str, step: int, time: float, **fields: object) -> None:
    """An event at a time in seconds."""
    played.writer.event(kind, step=step, epoch=step / STEPS, **fields, time=1000 + time)


def test_the_clock_stands_still_in_pauses_and_between_workers(played: Script) -> None:
    timed(played, "start", 0, 0)
    for step, time in ((20, 10), (40, 20)):
        timed(played, "metric", step, time, split="test", values={"loss": 1.0})
    timed(played, "command", 40, 21, text="paused at step 40")
    timed(played, "command", 40, 500, text="resumed at step 40")
    timed(played, "metric", 60, 510, split="test", values={"loss": 1.0})
    timed(played, "start", 40, 9000, text="resumed at epoch 2, step 40")  # from a checkpoint; step 60 is repeated
    timed(played, "metric", 60, 9012, split="test", values={"loss": 1.0})
    timed(played, "metric", 80, 9005, split="test", values={"loss": 1.0})  # the machine's clock was set back
    curve = run_curves(seen(played), "loss")[1]
    assert curve.x.tolist() == [1, 2, 3, 4]
    assert prepare(curve, Look("time")).x.tolist() == [10, 21, 33, 33]
    assert prepare(curve, Look("step")).x.tolist() == [20, 40, 60, 80]


def test_marks_windows_and_cursors_go_with_the_axis_and_readouts_say_where_they_are(played: Script) -> None:
    for step in range(0, 201, STEPS):
        fields = {"split": "test", "values": {"loss": 1 - step / 400}} if step else {"text": "training"}
        timed(played, "metric" if step else "start", step, step * step / 100, **fields)
    curve = run_curves(seen(played), "loss")[1]
    epochs, times = prepare(curve), prepare(curve, Look("time"))
    limits = x_limits([times])
    assert limits == (4, 400)
    view = View(cursor=5).over((1, 10), 4, 8).carried(curve.clock, "epoch", "time", (1, 10), limits)
    assert (view.at([times]), view.window(limits)) == (100, (64, 256))
    assert view.carried(curve.clock, "time", "epoch", limits, (1, 10)) == View(cursor=5).over((1, 10), 4, 8)
    (mark,) = in_sight([Mark(5, "e", "edit")], limits, curve.clock, "time")
    assert (mark.x, mark.text) == (100, "edit")
    assert readout([epochs], 5, 80).plain.startswith("epoch 5 step 100  ")
    assert readout([times], 100, 80, "time").plain.startswith("time 1:40 epoch 5  ")
    assert readout([times], 4, 80, "time").plain.startswith("time 4s epoch 1  ")


def test_a_run_without_times_tells_its_steps_alone(played: Script) -> None:
    played.writer.event("metric", split="test", step=STEPS, epoch=1, values={"loss": 1.0}, time=None)
    played.writer.event("metric", split="test", step=2 * STEPS, epoch=2, values={"loss": 1.0}, time=None)
    clock = seen(played).clock
    assert [tells(clock, unit) for unit in ("epoch", "step", "time")] == [True, True, False]


def test_thousands_are_parted_wherever_epochs_are_counted() -> None:
    assert of_epochs(1271, 40_000) == "1,271/40,000"
    assert of_epochs(3, 0) == of_epochs(3, None) == "3/?"
    assert place_text(1271) == "1,271"
    assert place_text(1271.25) == "1,271.25"
    assert labels([0.0, 5000.0]) == ["0", "5,000"]
