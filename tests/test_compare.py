"""Runs beside each other: the figures, what they must not be taken for, what is drawn of them, and the command."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.text import Text

from tests.comparing import begin, end, read, settings, tell, two_sizes
from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, HOSTILE, Script, script
from tests.terminal import Terminal
from tests.test_imports import loaded
from tuiae.config import known_keys
from tuiae.files import read_json, replace_json
from tuiae.render.compare import (
    compare_curves,
    compare_title,
    group_key,
    seeds_table,
    settings_table,
    shared_grid,
    values_and_seeds,
    values_table,
    words_below,
)
from tuiae.render.legend import legend
from tuiae.render.sweeps import summary_plot, summary_words
from tuiae.render.text import figures, wrap
from tuiae.runs.control import describe_edit
from tuiae.runs.labels import relabel
from tuiae.studies.compare import CompareReader, cautions, choose_curves, spread, unranked
from tuiae.studies.labels import WHERE, letters
from tuiae.studies.shared_images import shared_images
from tuiae.studies.sweep_summary import sweep_summaries

ESCAPE = "\x1b"


@pytest.fixture
def study(lab: Laboratory) -> list[Script]:
    return two_sizes(lab)


# Labels and groups


def test_runs_go_by_what_differs_and_seeds_of_one_config_are_a_group(study: list[Script]) -> None:
    comparison = read(*study[::-1])  # named in another order: a group's runs stand together all the same
    assert [(group.key, group.label, len(group.entries)) for group in comparison.groups] == [
        ("A", "latent=8", 3),
        ("B", "latent=4", 3),
    ]
    assert [entry.key for entry in comparison.entries] == ["A1", "A2", "A3", "B1", "B2", "B3"]
    assert comparison.entries[0].label == "latent=8 seed=2"
    assert {difference.key: difference.values for difference in comparison.differences} == {
        "model.latent": (8, 8, 8, 4, 4, 4),
        "training.seed": (2, 1, 0, 2, 1, 0),
    }


def test_names_alone_make_no_difference_and_the_same_run_twice_is_told_apart(lab: Laboratory) -> None:
    twice = [end(lab.runs, number, [0.1], settings(name=name)) for number, name in ((1, "one"), (2, "two"), (3, "one"))]
    comparison = read(*twice)
    assert [entry.label for entry in comparison.entries] == ["one (0001)", "two", "one (0003)"]
    assert len(comparison.groups) == 3  # they share a seed


def test_a_run_goes_by_the_name_that_it_was_given(study: list[Script]) -> None:
    for played, name in zip(study, ("the good one", "twice", "twice"), strict=False):
        relabel(played.run, name=name)
    comparison = read(*study)
    labels = [entry.label for entry in comparison.entries]
    assert labels == ["the good one", "twice (0041)", "twice (0042)", *(f"latent=8 seed={seed}" for seed in range(3))]
    assert [group.label for group in comparison.groups] == ["latent=4", "latent=8"]
    two = read(study[0], study[3])
    overlay = compare_curves(two, "loss")
    drawn = [
        legend(overlay.test, 80).plain,
        values_table(two, "loss", 80).plain,
        shared_grid(shared_images(two), 120, 30).plain,
    ]
    assert all("the good one" in text for text in (*drawn, group_key(two)))


def test_names_that_were_written_elsewhere_do_no_harm(study: list[Script]) -> None:
    for played in study[:2]:
        played.run.label.write_text(json.dumps({"v": 1, "name": HOSTILE}))
    comparison = read(*study[:2])
    assert "\x1b" in comparison.entries[0].label
    for width in (40, 80, 200):
        overlay = compare_curves(comparison, "loss")
        drawn = [legend(overlay.test, width), values_table(comparison, "loss", width), Text(group_key(comparison))]
        drawn += [seeds_table(comparison, "loss", width), shared_grid(shared_images(comparison), width, 30)]
        assert all(char.isprintable() or char == "\n" for text in drawn for char in text.plain)


def test_keys_of_the_same_name_in_two_sections_keep_their_section(lab: Laboratory) -> None:
    changes: list[dict[str, Any]] = [{}, {"checkpoint__every": 2}, {"samples__every": 3}, {"model__latent": 3}]
    runs = [end(lab.runs, number, [0.1], settings(**change)) for number, change in enumerate(changes, 1)]
    # How often something is written decides nothing: it names a run only where nothing else differs.
    assert [entry.label for entry in read(*runs).entries][3] == "latent=3"
    assert [entry.label for entry in read(*runs[:3]).entries] == [
        "checkpoint.every=1 samples.every=1",
        "checkpoint.every=2 samples.every=1",
        "checkpoint.every=1 samples.every=3",
    ]


def test_where_too_much_differs_names_are_the_labels(lab: Laboratory) -> None:
    wide = {"name": "wide", "model__latent": 32, "model__hidden": [64], "model__activation": "gelu"}
    wide |= {"training__epochs": 5, "training__batch_size": 16, "noise__level": 0.1}
    every = [settings(), settings(**wide), settings(**wide, model__dropout=0.1)]
    runs = [end(lab.runs, number, [0.1], document) for number, document in enumerate(every, 1)]
    labels = [entry.label for entry in read(*runs).entries]
    assert labels == ["denoise", "wide dropout=0", "wide dropout=0.1"]


def test_letters_go_on_after_z() -> None:
    assert [letters(index) for index in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]


# Figures


def test_the_best_value_knows_its_epoch_and_which_way_is_better(lab: Laboratory) -> None:
    entry = read(end(lab.runs, 1, [0.4, 0.2, 0.2, 0.3], settings())).entries[0]
    loss, accuracy = entry.best("loss"), entry.best("accuracy")
    assert loss is not None
    assert accuracy is not None
    assert (loss.value, loss.epoch) == (0.2, 2)
    assert (accuracy.value, accuracy.epoch) == (0.8, 2)
    assert (entry.final("loss"), entry.final("loss", "train"), entry.final("kl")) == (0.3, 0.15, None)


def test_the_spread_of_a_group(study: list[Script]) -> None:
    first = read(*study).groups[0]
    found = first.best("loss")
    assert found is not None
    values = [0.2, 0.21, 0.22]
    assert (found.n, found.min, found.max) == (3, pytest.approx(0.2), pytest.approx(0.22))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert spread([0.1, None, 0.3]) == spread([0.1, 0.3])
    two = spread([0.1, 0.3])
    assert two is not None
    assert two.std == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert spread([0.1]).std is None  # type: ignore[union-attr]
    assert spread([None]) is None


def test_a_value_that_is_no_number_counts_for_nothing_and_is_said(lab: Laboratory) -> None:
    good = end(lab.runs, 1, [0.4, 0.2], settings(training__seed=1))
    bad = end(lab.runs, 2, [0.5, float("nan")], settings(training__seed=2))
    comparison = read(good, bad)
    final, best = comparison.groups[0].final("loss"), comparison.groups[0].best("loss")
    assert final is not None
    assert best is not None
    assert (final.n, final.mean, best.n) == (1, 0.2, 2)


def test_many_runs_are_drawn_as_means_and_many_groups_as_the_best(lab: Laboratory, study: list[Script]) -> None:
    few, words = choose_curves(read(*study), "loss", means=False)
    assert (len(few), words) == (6, "")
    assert [line.key for line in choose_curves(read(*study), "loss")[0]] == ["A", "B"]
    assert [line.key for line in choose_curves(read(*study[:3]), "loss")[0]] == ["A1", "A2", "A3"]  # one group alone
    more = [
        end(lab.runs, 40 + seed, [0.4, 0.3], settings(model__latent=4, training__seed=seed)) for seed in range(3, 7)
    ]
    overlay = compare_curves(read(*study, *more), "loss")
    assert overlay.note
    means = dict(zip([curve.label for curve in overlay.test], overlay.test, strict=True))
    # The mean ends where the first of its runs ends: beyond, it would be one of fewer.
    assert means["A latent=4"].x.tolist() == [1, 2]
    assert means["B latent=8"].y.tolist() == pytest.approx([0.4, 0.11, 0.9 / 8])
    low, high = means["B latent=8"].band or ((), ())
    assert list(low) == pytest.approx([0.4, 0.1, 0.9 / 8])
    assert list(high) == pytest.approx([0.4, 0.12, 0.9 / 8])
    every = compare_curves(read(*study), "loss", means=False)
    assert len(every.test) == 6
    assert all(curve.band is None for curve in every.test)
    assert len(choose_curves(read(*study, *more), "loss", means=False)[0]) == 8
    sizes = [end(lab.runs, 60 + size, [0.1 + 0.01 * size], settings(model__latent=20 + size)) for size in range(10)]
    chosen, words = choose_curves(read(*sizes), "loss")
    assert [line.label for line in chosen] == [f"latent={20 + size}" for size in range(8)]
    assert words
    assert [line.label for line in choose_curves(read(*sizes), "accuracy")[0]] == [line.label for line in chosen]


def test_what_cannot_be_ranked_is_said_and_no_best_is_marked(lab: Laboratory) -> None:
    runs = [
        end(lab.runs, 1, [0.2], settings()),
        end(lab.runs, 2, [0.1], settings(training__loss="l1")),
        end(lab.runs, 3, [0.3], settings(data__dataset="digits")),
    ]
    assert cautions(read(*runs[:1]), "loss") == ()
    assert len(cautions(read(*runs), "loss")) == 2  # of the measure and of the images
    betas = [settings(model__family="vae", training__loss="bce", training__beta=beta) for beta in (1.0, 4.0)]
    variational = read(*(end(lab.runs, 4 + place, [20.0], document) for place, document in enumerate(betas)))
    assert len(cautions(variational, "loss")) == 1
    assert not unranked(variational, "reconstruction")
    assert unranked(variational, "kl")
    assert not unranked(read(runs[0], runs[1]), "accuracy")
    assert unranked(read(runs[0], runs[1]), "loss")
    assert "◂" in values_table(read(runs[0], runs[1]), "accuracy", 100).plain
    assert "◂" not in values_table(read(runs[0], runs[1]), "loss", 100).plain


def test_what_was_measured_under_different_noise_has_no_best(lab: Laboratory) -> None:
    noises = [{"kind": "none"}, {"kind": "gaussian", "level": 0.1}, {"kind": "gaussian", "level": 0.3}]
    runs = [
        end(lab.runs, number, [0.3 - 0.1 * number], settings(noise=noise, training__epochs=5 + number))
        for number, noise in enumerate(noises)
    ]
    comparison = read(*runs)
    assert "eval RUN --noise-levels" in unranked(comparison, "loss")
    (caution,) = cautions(comparison, "loss")
    for noise in ("no noise", "gaussian 0.1", "gaussian 0.3"):
        assert noise in caution
    assert "◂" not in values_table(comparison, "loss", 100).plain
    for summary in sweep_summaries(comparison, "loss"):
        assert summary.best_level is None
        assert summary_words(summary)[0].startswith("no best value: each run is measured under its own noise")
        assert "━" not in summary_plot(summary, 60, 12).plain
    assert not unranked(read(runs[1], end(lab.runs, 9, [0.2], settings(noise=noises[1]))), "loss")


def test_no_group_is_left_out_for_the_runs_of_another(lab: Laboratory) -> None:
    worse = [end(lab.runs, n, [0.4], settings(model__latent=8, training__seed=n)) for n in range(1, 5)]
    better = [end(lab.runs, n, [0.1], settings(training__seed=n, model__latent=4)) for n in range(11, 20)]
    comparison = read(*worse, *better)
    chosen, words = choose_curves(comparison, "loss", means=False)
    assert len(chosen) == 8
    assert {line.key[0] for line in chosen} == {"A", "B"}
    assert "the best 8 of 13 runs by test loss, some of each group" in words
    assert choose_curves(comparison, "kl", means=False) == ((), "")


@pytest.mark.parametrize("width", [58, 78, 118])
def test_what_stands_below_the_panels_takes_two_lines(lab: Laboratory, width: int) -> None:
    runs = [
        end(
            lab.runs,
            number,
            [0.2],
            settings(name=f"a-run-{number}", model__latent=4 + number, training__learning_rate=0.001 * (number + 1)),
        )
        for number in range(14)
    ]
    for number in (1, 2, 4, 14):
        words = words_below(read(*runs[:number]), "curves: 8 of 14 runs", ("a caution " * 12, "and another"), width)
        assert len(wrap(words, width)) <= 2
        assert words.startswith("A ")


# Tables


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200, 500])
def test_tables_keep_to_their_width_and_to_the_figures(study: list[Script], width: int) -> None:
    comparison = read(*study)
    for table in (values_table, seeds_table):
        drawn = table(comparison, "loss", width)
        assert max(line.cell_len for line in drawn.split()) <= max(width, 70 if table is seeds_table else 45)
    shown = values_table(comparison, "loss", width).plain
    assert "0.2250" in shown
    assert "0.1125 ◂" in shown
    assert ("time" in shown) == (width >= 60)


def test_settings_that_do_not_fit_go_on_below_and_groups_stand_for_runs(lab: Laboratory, study: list[Script]) -> None:
    comparison = read(*study)
    assert "A1" in settings_table(comparison, 80).plain
    narrow = settings_table(comparison, 30).plain
    assert "0,1,2" in narrow
    assert "A1" not in narrow
    other = read(*(end(lab.runs, 50 + size, [0.1], settings(model__latent=1000 + size)) for size in range(12)))
    blocks = settings_table(other, 50).plain.split("\n\n")
    assert len(blocks) > 1
    assert all(len(line) <= 50 for line in "\n".join(blocks).splitlines())
    assert all(str(1000 + size) in "".join(blocks) for size in range(12))
    assert blocks[0].startswith("A to ")
    assert blocks[0].splitlines()[0].count(" of 12 ") == 1


def test_what_differs_shows_every_run_where_shorter_words_make_room(lab: Laboratory) -> None:
    changes = ({"data__classes": list("ABCDEFGH"), "training__evaluate_every": 2}, {"training__learning_rate": 0.5})
    named = [
        {**changes[size % 2], "model__latent": 4 + size, "name": f"a-rather-long-name-{size}"} for size in range(4)
    ]
    runs = [end(lab.runs, 70 + size, [0.1], settings(**change)) for size, change in enumerate(named)]
    shown = settings_table(read(*runs), 66).plain
    assert max(map(len, shown.splitlines())) <= 66
    assert shown.split()[:4] == ["A", "B", "C", "D"]
    assert shown.count("all") == 2
    assert "learning_rate" in shown
    assert "training.learning_rate" in settings_table(read(*runs), 150).plain


def test_the_numbers_of_a_column_have_one_form() -> None:
    assert figures("loss", [0.001617, 3.657e-4, None]) == ["0.001617", "0.000366", "–"]
    assert figures("loss", [24.16, 1.5e-7]) == ["24.16", "1.500e-7"]  # too small to be seen beside the other
    assert figures("accuracy", [0.5, 1e-5]) == ["50.00%", "0.00%"]


def test_means_over_seeds_stand_before_the_runs_where_curves_are_means(study: list[Script]) -> None:
    comparison = read(*study)
    means, every = (values_and_seeds(comparison, "loss", 100, chosen).plain for chosen in (None, False))
    assert means.index("over seeds") < means.index("A1")
    assert every.index("A1") < every.index("over seeds")


# Pictures


def test_only_the_same_images_share_a_grid_and_the_rest_are_named(lab: Laboratory) -> None:
    runs = [end(lab.runs, number, [0.2], settings(model__latent=number)) for number in (1, 2)]
    other = begin(lab.runs, 3, settings(data__dataset="digits"))
    arrays = {name: np.zeros((4, 1, 8, 8), np.uint8) for name in ("inputs", "reconstructions")}
    other.writer.sample(1, **arrays)
    other.writer.close("finished")
    shifted = begin(lab.runs, 4, settings(model__latent=4))
    shifted.writer.sample(1, **{name: np.full((8, 1, 7, 5), 9, np.uint8) for name in arrays})
    shifted.writer.close("finished")
    without = script(lab.runs, settings(model__latent=5), "20200105-000000-denoise-0005")
    shared = shared_images(read(*runs, other, shifted, without))
    assert [entry.key for entry in shared.entries] == ["A", "B"]
    assert shared.inputs is not None
    assert shared.inputs.shape == (8, 1, 7, 5)
    assert [key for key, _ in shared.left_out] == ["C", "D", "E"]
    drawn = shared_grid(shared, 76, 30).plain
    assert shared.sentence[:20] in drawn
    assert [label for label in ("input", "noisy", "A ", "B ") if label in drawn] == ["input", "noisy", "A ", "B "]
    without.writer.close("finished")


def test_runs_of_different_sample_counts_share_what_both_have(lab: Laboratory) -> None:
    long, short = (begin(lab.runs, number, settings(model__latent=number)) for number in (1, 2))
    inputs = np.arange(8 * 35, dtype=np.uint8).reshape(8, 1, 7, 5)
    for played, count in ((long, 8), (short, 3)):
        played.writer.sample(1, inputs=inputs[:count], reconstructions=inputs[:count])
        played.writer.close("finished")
    shared = shared_images(read(long, short))
    assert len(shared.entries) == 2
    assert shared.inputs is not None
    assert len(shared.inputs) == 3


def test_a_classifier_says_what_it_takes_the_images_for(lab: Laboratory) -> None:
    runs = [end(lab.runs, number, [0.2], settings(base)) for number, base in ((1, AUTOENCODER), (2, CLASSIFIER))]
    drawn = shared_grid(shared_images(read(*runs)), 100, 24).plain
    assert re.search(r"B .*a ✓ +b ✓ +c ✓ +d → a ✗", drawn)


def test_a_group_has_one_row_of_pictures_where_its_mean_is_drawn(study: list[Script]) -> None:
    shared = shared_images(read(*study), one_a_group=True)
    assert [entry.key for entry in shared.entries] == ["A1", "B1"]
    assert shared.sentence == ""


@pytest.mark.parametrize("height", range(4, 40, 5))
def test_rows_that_do_not_fit_are_named(study: list[Script], height: int) -> None:
    shared = shared_images(read(*study))
    drawn = shared_grid(shared, 60, height)
    assert len(drawn.split(allow_blank=True)) <= height
    missing = re.search(r"no room for (.*)", drawn.plain)
    shown = [entry.key for entry in shared.entries if re.search(rf"(^|  ) *{entry.key} ", drawn.plain, re.MULTILINE)]
    left = missing.group(1).split(", ") if missing else []
    assert sorted(shown + left) == [entry.key for entry in shared.entries] or "too small" in drawn.plain
    if 0 < len(shown) < 6:
        assert {key[0] for key in shown} == {"A", "B"} or len(shown) == 1


def test_where_rows_do_not_fit_below_each_other_all_stand_in_blocks_with_fewer_pictures(study: list[Script]) -> None:
    shared = shared_images(read(*study))
    lines = shared_grid(shared, 60, 20).plain.splitlines()
    assert not any("no room" in line for line in lines)
    beside = [line.split() for line in lines if " A1 " in line]
    assert [word for word in beside[0] if word.isalnum()] == ["A1", "B2"]
    assert "no room for" in shared_grid(shared, 30, 20).plain
    narrow = shared_grid(shared, 44, 13).plain  # the first of each group has room before the second of any
    left = re.search(r"no room for (.*)", narrow)
    assert left is None or "A1" not in left[1]


# Growing, torn, foreign


def test_growing_runs_are_followed_and_nothing_new_is_the_same_comparison(lab: Laboratory) -> None:
    live = begin(lab.runs, 1, settings())
    done = end(lab.runs, 2, [0.3], settings(model__latent=3))
    now = [0.0]
    reader = CompareReader([live.run.root, done.run.root], clock=lambda: now[0])
    first = reader.read_all()
    assert first.live
    assert len(cautions(first, "loss")) == 2  # no loss yet, and still in training
    assert reader.poll() is first
    tell(live, 1, 0.25)
    second = reader.poll()
    assert second.entries[0].final("loss") == 0.25
    assert second.entries[0].sample is first.entries[0].sample  # pictures of a live run wait their turn
    now[0] += 10
    tell(live, 2, 0.2)
    third = reader.poll()
    assert third.entries[0].sample is not None
    assert third.entries[0].sample.epoch == 2
    assert third.entries[1] is not None
    assert len(cautions(third, "loss")) == 1
    assert "● 2/6" in values_table(third, "loss", 120).plain
    live.writer.close("finished")
    assert not reader.poll().live


@pytest.mark.parametrize(
    "content", [b"\0" * 300, b"[model\nlatent", bytes(range(256)), b'{"kind": "metric", "values": []}\n']
)
def test_a_torn_run_is_compared_by_what_can_be_read(lab: Laboratory, content: bytes) -> None:
    good, torn = (end(lab.runs, number, [0.3], settings(model__latent=number)) for number in (1, 2))
    torn.run.config.write_bytes(content)
    torn.run.sample(1).write_bytes(content)
    comparison = read(good, torn)
    assert comparison.entries[1].label == torn.run.id
    assert comparison.entries[1].final("loss") == 0.3
    assert cautions(comparison, "loss") == ("B: config not readable; compared by figures alone",)
    torn.run.events.write_bytes(content)
    torn.run.status.write_bytes(content)
    torn.run.meta.write_bytes(content)
    comparison = read(good, torn)
    assert comparison.entries[1].final("loss") is None
    for width in (20, 80):
        values_table(comparison, "loss", width)
        settings_table(comparison, width)
        shared_grid(shared_images(comparison), width, 20)


# The command


@pytest.mark.thorough
def test_compare_as_one_document(lab: Laboratory) -> None:
    trained = [
        lab.train("--latent", str(latent), "--epochs", "2", "--seed", str(seed)) for latent, seed in ((3, 0), (6, 1))
    ]
    relabel(trained[1], name="second")
    result = lab("compare", *(run.id for run in trained), "--json")
    document = result.document
    assert [run["run"] for run in document["runs"]] == [run.id for run in trained]
    assert [run["label"] for run in document["runs"]] == ["latent=3 seed=0", "second"]
    assert [(run["name"], run["preset"]) for run in document["runs"]] == [(None, "small"), ("second", "small")]
    for run in document["runs"]:
        history = run["history"]["test/loss"]
        assert len(history) == 2
        assert run["history_epochs"]["test/loss"] == [1, 2]
        assert run["metrics"]["test/loss"] == history[-1]
        assert run["best"]["test/loss"]["value"] == min(history)
        assert run["seconds"] > 0
    first, second = (run.id for run in trained)
    assert document["differences"] == {"model.latent": {first: 3, second: 6}, "training.seed": {first: 0, second: 1}}
    assert [group["n"] for group in document["groups"]] == [1, 1]
    assert document["groups"][0]["test"]["final/loss"]["std"] is None
    assert document["same_images"] == {"runs": [first, second], "left_out": {}}
    plain = lab("compare", *(run.id for run in trained))
    assert ESCAPE not in plain.stdout
    assert "second" in plain.stdout
    assert "model.latent" in plain.stdout


def test_a_tag_selects_its_runs_oldest_first(lab: Laboratory, study: list[Script]) -> None:
    for played in study[1:4]:
        replace_json(played.run.meta, {**read_json(played.run.meta), "tags": ["codes", "more"]})
    document = lab("compare", "--tag", "codes", "--json").document
    assert [run["run"] for run in document["runs"]] == [played.run.id for played in study[1:4]]
    both = lab("compare", study[0].run.id, study[1].run.id, "--tag", "codes", "--json").document
    assert [run["run"] for run in both["runs"]] == [played.run.id for played in study[:4]]


def test_what_cannot_be_compared_is_told_in_a_sentence(lab: Laboratory, study: list[Script], tmp_path: Path) -> None:
    ids = [played.run.id for played in study[:2]]
    less_than_two = ((), (ids[0],), (ids[0], ids[0]), ("--tag", "none"), (ids[0], str(tmp_path)))
    for arguments in (*less_than_two, (*ids, "--metric", "acuracy")):
        document = lab("compare", *arguments, "--json", check=2).document
        assert document["error"]
        assert document["hint"]


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal_curves_tables_and_pictures_fit(
    lab: Laboratory, study: list[Script], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "tuiae", "compare", *(played.run.id for played in study)]
    with Terminal(command, columns, 120) as terminal:
        assert terminal.exit_code(60) == 0
        shown = terminal.text()
        assert re.search(r"train loss +test loss", shown)
        for words in ("◆ A ", "◆ A1", "• B3", "latent=8 seed=2", "over seeds", "training.seed", "input", "▀"):
            assert words in shown
        # Nothing was wrapped: what follows a table's line is the next run.
        names = re.findall(r"^\S ([AB]\d) +latent=\d seed=\d +✓ 3/6", shown, re.MULTILINE)
        assert names == ["A1", "A2", "A3", "B1", "B2", "B3"]


def test_comparing_needs_no_torch(study: list[Script]) -> None:
    code = f"""
import contextlib, io
import tuiae.__main__
sys.argv = ["tuiae", "compare", *{[played.run.id for played in study]!r}]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as told:
    tuiae.__main__.main()
assert "over seeds" in told.getvalue()
"""
    assert loaded(code) == []


def test_a_run_and_a_repeat_of_it_are_no_two_seeds(lab: Laboratory) -> None:
    study = two_sizes(lab)[:3]
    repeat = end(lab.runs, 60, [0.4, 0.3], settings(model__latent=4, training__seed=1))
    comparison = read(*study, repeat)
    assert [(group.key, [entry.key for entry in group.entries]) for group in comparison.groups] == [
        ("A", ["A1", "A2", "A3"]),
        ("B", ["B"]),
    ]
    names = [entry.label for entry in comparison.entries]
    assert names == ["denoise seed=0", "denoise seed=1 (0041)", "denoise seed=2", "denoise seed=1 (0060)"]
    pair = read(study[1], repeat)
    assert compare_title(pair, "loss", 80).plain.endswith("2 runs")
    assert "over seeds" not in values_and_seeds(pair, "loss", 100).plain
    test = compare_curves(pair, "loss").test
    assert len({curve.label for curve in test}) == len({curve.sign for curve in test}) == 2


def test_accuracy_of_pixels_and_of_images_is_not_the_same_wherever_it_shows(lab: Laboratory) -> None:
    comparison = read(end(lab.runs, 1, [0.2], settings()), end(lab.runs, 2, [0.1], settings(CLASSIFIER)))
    assert len(cautions(comparison, "loss")) == 2
    assert len(cautions(comparison, "accuracy")) == 1
    alike = read(*(end(lab.runs, number, [0.2], settings(model__latent=number)) for number in (3, 4)))
    assert cautions(alike, "loss") == ()


def edit(played: Script, epoch: float, old: float, new: float, key: str = "training.learning_rate") -> None:
    step = round(4 * epoch)
    played.writer.event("command", **describe_edit(key, old, new, step, epoch, "me@here"))
    played.writer.status(now=True, step=step)


def edited_run(lab: Laboratory, number: int, losses: list[float]) -> Script:
    """A run whose rate was raised half an epoch after its first."""
    played = begin(lab.runs, number, settings(training__learning_rate=0.002))
    tell(played, 1, losses[0])
    edit(played, 1.5, 0.002, 50.0)
    for epoch, loss in enumerate(losses[1:], 2):
        tell(played, epoch, loss)
    played.writer.status(now=True, step=4 * len(losses))
    return played


def test_a_setting_that_was_not_always_in_force_is_said(lab: Laboratory) -> None:
    played = edited_run(lab, 1, [0.2, 0.1])
    played.writer.close("finished")
    comparison = read(played, end(lab.runs, 2, [0.3], settings(training__learning_rate=0.002)))
    (caution,) = cautions(comparison, "loss")
    change = caution.partition(": ")[2]
    (summary,) = sweep_summaries(comparison, "loss")
    assert change in summary_words(summary)[0]
    assert summary.best_level is not None
    assert summary.best_level.value == 50


def test_of_many_edits_the_first_are_told_and_those_to_come_are_not(lab: Laboratory) -> None:
    played = edited_run(lab, 1, [0.2, 0.1, 0.1, 0.1])
    for place in range(4):
        edit(played, 2 + place / 4, 50.0 + place, 51.0 + place)
    played.writer.event("command", **describe_edit("training.epochs", 6, 9, 40, 10.0, "me@here"))
    played.writer.close("finished")
    (said,) = cautions(read(played), "loss")
    assert said.count("→") == 3
    assert "epochs" not in said


def test_the_best_value_says_that_its_epochs_were_not_reached(lab: Laboratory) -> None:
    stopped = begin(lab.runs, 1, settings(training__epochs=3000))
    tell(stopped, 1, 0.1)
    stopped.writer.close("stopped")
    patient = begin(lab.runs, 3, settings(training__epochs=3000, training__patience=1))
    tell(patient, 2, 0.1)
    patient.writer.close("finished")
    comparison = read(stopped, end(lab.runs, 2, [0.3], settings()), patient)
    assert [words[0] for words in cautions(comparison, "loss")] == ["A", "C"]
    summary = sweep_summaries(comparison, "loss")[0]
    assert summary.key == "training.epochs"
    assert all(words in summary_words(summary)[0] for words in cautions(comparison, "loss"))


def test_a_fork_says_since_when_its_settings_are_its_own(lab: Laboratory) -> None:
    parent = end(lab.runs, 1, [0.3], settings())
    forks = [end(lab.runs, number, [0.2], settings(training__learning_rate=0.01)) for number in (2, 3)]
    for fork, changed in zip(forks, (["training.learning_rate"], []), strict=True):
        origin = {"run": parent.run.id, "step": 4, "epoch": 1, "changed": changed}
        replace_json(fork.run.meta, {**read_json(fork.run.meta), "parent": origin})
    first, second = cautions(read(parent, *forks), "loss")
    assert (first[0], second[0]) == ("B", "C")
    assert ["learning_rate" in words for words in (first, second)] == [True, False]
    assert cautions(read(forks[1]), "loss")[0].endswith(" denoise-0001")


def test_settings_that_count_in_no_run_are_no_differences(lab: Laboratory) -> None:
    unused = {"model__encoder": "dense", "training__beta": 4.0, "model__kernel": 5, "training__seed": 1}
    runs = [end(lab.runs, 1, [0.3], settings()), end(lab.runs, 2, [0.2], settings(**unused))]
    comparison = read(*runs)
    assert [row.key for row in comparison.differences] == ["training.seed"]
    assert comparison.seeded
    variational = end(lab.runs, 3, [0.2], settings(model__family="vae", training__beta=2.0))
    found = {row.key: row.values for row in read(*runs, variational).differences}
    assert found == {
        "model.family": ("dense", "dense", "vae"),
        "training.beta": (None, None, 2.0),
        "training.seed": (0, 1, 0),
    }


def test_a_setting_that_does_not_count_in_a_run_has_no_value_there(lab: Laboratory) -> None:
    classifier = end(lab.runs, 2, [0.1], settings(CLASSIFIER, model__freeze=True))
    comparison = read(end(lab.runs, 1, [0.2], settings()), classifier)
    assert "encoder=" not in comparison.entries[0].label
    assert "encoder=dense" in comparison.entries[1].label
    (row,) = [line.split() for line in settings_table(comparison, 100).plain.splitlines() if "freeze" in line]
    assert row == ["model.freeze", "–", "true"]
    # One run alone says nothing of what a setting does.
    assert "model.freeze" not in [summary.key for summary in sweep_summaries(comparison, "loss")]


def test_every_setting_that_counts_only_somewhere_is_one() -> None:
    assert set(WHERE) <= set(known_keys())
