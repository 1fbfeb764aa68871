"""What a setting does to the figures of compared runs: the sums, their drawing, the panel and the command."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from tests.conftest import Laboratory
from tests.dashboard import Script, open_desk
from tests.test_compare import begin, end, read, settings
from tuiae.render.sweeps import draw_summary, levels_table, summary_notes
from tuiae.studies.sweep_summary import SweepSummary, sweep_summaries, without_summary

SIZES = [(20, 5), (36, 13), (74, 18), (120, 40), (5, 3), (1, 1), (0, 0)]


def sweep(lab: Laboratory, key: str, losses: dict[Any, list[list[float]]]) -> list[Script]:
    """For each value the losses of its seeds; tuples stand for lists."""
    number, runs = count(1), []
    for value, seeds in losses.items():
        for seed, told in enumerate(seeds):
            plain = list(value) if isinstance(value, tuple) else value
            runs.append(end(lab.runs, next(number), told, settings(**{key: plain, "training__seed": seed})))
    return runs


def only(*scripts: Script) -> SweepSummary:
    (summary,) = sweep_summaries(read(*scripts), "loss")
    return summary


@pytest.fixture
def rates(lab: Laboratory) -> list[Script]:
    losses = {0.1: [[0.3, 0.9], [0.5, 0.7], [0.2, 0.8]], 0.001: [[0.2]], 0.01: [[0.5, 0.1], [0.4, 0.3]]}
    return sweep(lab, "training__learning_rate", losses)


def test_values_are_ordered_and_each_has_the_median_of_its_seeds(rates: list[Script]) -> None:
    summary = only(*rates)
    assert (summary.key, summary.axis, summary.also) == ("training.learning_rate", "log", ())
    assert [(level.value, level.final, level.best) for level in summary.levels] == [
        (0.001, 0.2, 0.2),
        (0.01, 0.2, 0.2),
        (0.1, 0.8, 0.3),
    ]
    assert summary.best_level is summary.levels[0]


def test_a_figure_of_which_more_is_better_has_its_best_at_the_top(rates: list[Script]) -> None:
    (summary,) = sweep_summaries(read(*rates), "accuracy")
    assert summary.best_level is not None
    assert summary.best_level.value == 0.001
    assert summary.best_level.final == 0.8


def test_no_list_of_classes_is_all_of_them(lab: Laboratory) -> None:
    summary = only(*sweep(lab, "data__classes", {(): [[0.2]], ("0", "1"): [[0.4]]}))
    for words in (levels_table(summary, 74).plain, draw_summary(summary, 74, 18).plain):
        assert "all" in words
        assert "[]" not in words


def test_points_and_the_median_are_drawn_and_logarithms_are_said(rates: list[Script]) -> None:
    summary = only(*rates)
    drawn = draw_summary(summary, 74, 18).plain
    # Seven runs' points and the legend's; two of the final ones are the best ones too and cover those.
    assert drawn.count("●") - 1 == len(rates)
    assert drawn.count("◦") - 1 == 3
    assert all(tick in drawn for tick in ("0.001", "0.01", "0.1"))
    assert summary_notes(summary) == "log learning_rate"


def test_close_numbers_have_a_linear_axis_and_one_layer_counts_as_a_number(lab: Laboratory) -> None:
    summary = only(*sweep(lab, "model__hidden", {(64,): [[0.02]], (32,): [[0.5]], (128,): [[0.01]]}))
    assert [level.value for level in summary.levels] == [[32], [64], [128]]
    assert summary.axis == "linear"
    assert summary_notes(summary) == "log loss"
    assert "◦" not in draw_summary(summary, 60, 14).plain


def test_other_values_are_categories_with_a_bar_each(lab: Laboratory) -> None:
    summary = only(*sweep(lab, "model__activation", {"relu": [[0.4, 0.5], [0.3, 0.4]], "gelu": [[0.2, 0.25]]}))
    assert [level.value for level in summary.levels] == ["relu", "gelu"]
    assert summary.axis == "categories"
    drawn = draw_summary(summary, 60, 14).plain
    assert "relu" in drawn
    assert summary.best_level is summary.levels[1]
    columns = sorted({line.index("●") for line in drawn.splitlines()[1:] if "●" in line})
    assert len(columns) == 2


def test_what_differs_besides_is_said(lab: Laboratory) -> None:
    runs = [
        end(lab.runs, 1, [0.3], settings(model__latent=4)),
        end(lab.runs, 2, [0.2], settings(model__latent=8, training__batch_size=4)),
    ]
    summaries = sweep_summaries(read(*runs), "loss")
    assert [summary.key for summary in summaries] == ["model.latent", "training.batch_size"]
    assert summaries[0].also == ("training.batch_size",)


def test_no_value_is_best_where_the_loss_is_another_measure(lab: Laboratory) -> None:
    summary = only(*sweep(lab, "training__loss", {"mse": [[0.3]], "l1": [[0.2]]}))
    assert summary.best_level is None
    assert "◂" not in levels_table(summary, 80).plain


def test_nothing_to_set_against_the_figures_is_said_in_words(lab: Laboratory) -> None:
    same = sweep(lab, "model__latent", {4: [[0.3], [0.2]]})
    assert sweep_summaries(read(*same), "loss") == ()
    said = [without_summary(read(*same), "loss")]
    young = begin(lab.runs, 9, settings(model__latent=5))
    said.append(without_summary(read(same[0], young), "loss"))
    same[0].run.config.write_text("[model\nlatent")
    said.append(without_summary(read(*same), "loss"))
    assert len(set(filter(None, said))) == 3
    young.writer.close("finished")


def test_a_run_without_a_finite_figure_has_no_point(lab: Laboratory) -> None:
    summary = only(*sweep(lab, "model__latent", {4: [[0.3]], 5: [[0.2], [0.4, float("nan")]], 6: [[float("inf")]]}))
    assert [level.value for level in summary.levels] == [4, 5]
    assert (summary.levels[1].finals, summary.levels[1].bests) == ((0.2,), (0.2, 0.4))


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_fits_any_size(rates: list[Script], width: int, height: int, ascii_only: bool) -> None:
    drawn = draw_summary(only(*rates), width, height, ascii_only).split(allow_blank=True)
    assert len(drawn) <= max(height, 1)
    assert all(line.cell_len <= width for line in drawn)


def test_the_command_has_it_below_the_tables_and_as_json(lab: Laboratory, rates: list[Script]) -> None:
    ids = [played.run.id for played in rates]
    (record,) = lab("compare", *ids, "--json").document["summary"]
    assert (record["key"], record["axis"], record["also_differ"]) == ("training.learning_rate", "log", [])
    assert [value["value"] for value in record["values"]] == [0.001, 0.01, 0.1]
    assert record["values"][2]["final"] == {"n": 3, "median": 0.8, "min": 0.7, "max": 0.9}
    assert record["best"] == {"value": 0.001, "final": 0.2}


async def test_the_panel_names_the_setting_and_k_shows_the_next(lab: Laboratory) -> None:
    runs = sweep(lab, "model__latent", {4: [[0.3]], 8: [[0.2]]})
    runs.append(end(lab.runs, 9, [0.1], settings(model__latent=8, training__batch_size=4)))
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("runs · 3")
        await desk.press("a", "c")
        await desk.shows("test loss by latent", "1 of 2, k next", "best: latent 8")
        await desk.press("k")
        await desk.shows("test loss by batch_size", "2 of 2, k next", "also different: latent")
        await desk.press("m")
        await desk.shows("test accuracy by batch_size")
        await desk.press("k")
        await desk.shows("test accuracy by latent")
