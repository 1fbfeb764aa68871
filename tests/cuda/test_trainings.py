"""Whole trainings on cards that only count: every preset, what goes on from a checkpoint, several cards at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.conftest import Laboratory
from tests.cuda import questions
from tests.cuda.cards import Cards
from tests.cuda.test_choice import card
from tuiae.config.presets import Preset, list_presets
from tuiae.files import read_json
from tuiae.runs.paths import list_runs


@pytest.mark.thorough
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_every_preset_trains_on_a_card_and_goes_on_from_its_checkpoint(
    cards: Cards, preset: Preset, precision: str
) -> None:
    document = tomllib.loads(preset.path.read_text())
    document.get("model", {}).pop("encoder_run", None)
    document.get("data", {}).pop("classes", None)
    if "code" in document["model"]:
        document["model"]["code"] = str(preset.path.parent / document["model"]["code"])
    small = {"data.image_size": 28, "data.train_limit": 64, "data.test_limit": 64}
    small |= {"training.batch_size": 16, "training.epochs": 2}
    found = cards.ask(questions.work, {**small, "training.precision": precision}, document)
    assert (found["code"], found["status"].get("error"), found["warnings"]) == (0, None, [])
    assert found["contexts"] == [0]
    assert (found["replays"] > 0) == ("code" not in document["model"])  # of a custom network nothing is recorded
    again = cards.ask(questions.resume, found["run"], 3)
    assert (again["code"], again["status"]["epoch"]) == (0, 3)


def test_a_run_goes_on_where_it_was_saved_and_its_weights_are_explored(cards: Cards) -> None:
    run = cards.ask(questions.work, {"training.epochs": 1})["run"]
    again = cards.ask(questions.resume, run, 2)
    assert (again["code"], again["status"]["epoch"], again["contexts"]) == (0, 2, [0])
    for words in (["explore", run, "--plane", "3"], ["eval", run]):
        found = cards.ask(questions.command, *words, "--device", "cuda", CARD_COUNT=2, CARD_FREE=(500, 900))
        assert (found["code"], found["contexts"]) == (0, [1]), found["stderr"]


@pytest.mark.thorough
def test_an_explorer_of_what_a_card_trained_begins_none(cards: Cards, tmp_path: Path) -> None:
    run = cards.ask(questions.work, {"training.epochs": 1})["run"]
    trace = tmp_path / "contexts"
    assert cards.ask(questions.explored, run, CARD_TRACE=str(trace), CARD_LOST=0) == 50
    assert not trace.exists()


@pytest.mark.thorough
def test_a_fork_continues_on_a_card(cards: Cards, lab: Laboratory) -> None:
    run = cards.ask(questions.work, {"training.epochs": 1})["run"]
    fork = cards.ask(questions.command, "fork", run, "--set", "training.epochs=2", "--json")
    assert fork["code"] == 0
    newest, _ = list_runs(lab.runs)
    assert read_json(newest.status)["device"] == "cuda:0 Counting Card 0"


@pytest.mark.thorough
def test_a_sweep_takes_all_four_cards(cards: Cards, lab: Laboratory) -> None:
    lab.root.mkdir(exist_ok=True)
    sweep = lab.root / "sweep.toml"
    sweep.write_text(
        'name = "codes"\npreset = "quickstart"\n'
        '[set]\n"training.epochs" = 100_000\n[grid]\n"model.latent" = [2, 4, 8, 16]\n'
    )
    found = cards.ask(questions.sweep, str(sweep), 4, CARD_COUNT=4)
    assert found["code"] == 5, found
    assert sorted(found["cards"]) == [card(number) for number in range(4)]
    assert {status["state"] for status in found["statuses"]} == {"stopped"}


@pytest.mark.thorough
def test_a_standby_begins_no_card_before_it_has_to_and_lets_one_go_for_another(cards: Cards, tmp_path: Path) -> None:
    trace = tmp_path / "contexts"
    found = cards.ask(
        questions.stand_by,
        {"training.device": "cuda:1"},
        {"training.device": "cuda:0"},
        CARD_COUNT=2,
        CARD_TRACE=str(trace),
    )
    assert found["devices"][1:] == ["cuda:0 Counting Card 0", "cuda:1 Counting Card 1"]
    assert found["cost"]["device"] == "cuda:1 Counting Card 1"
    assert found["cost"]["evaluation_mb"] > 0
    assert (found["code"], found["status"]["pid"]) == (0, found["pid"])
    assert found["status"]["device"] == "cuda:0 Counting Card 0"
    assert trace.read_text().split() == [str(found["pid"]), "1", str(found["pid"]), "0"]
