"""A test curve under the noise of a training: means, the band behind them, and signs where there are no colours."""

from __future__ import annotations

import numpy as np
import pytest
from rich.text import Text
from textual.app import App, ComposeResult

from tuiae.render import palette
from tuiae.render.curves import Curve, draw_curves, means, train_and_test
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
        assert (sum(row.count("•") for row in rows[1:]) >= 25) == plain
