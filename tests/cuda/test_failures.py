"""Cards that are full, that fail, and that hold memory: what is said, what is kept, and how a command ends."""

from __future__ import annotations

import pytest

from tests.conftest import Laboratory
from tests.cuda import questions
from tests.cuda.cards import Cards

THOROUGH = pytest.mark.thorough
WIDE = {"data.image_size": 224, "model.family": "conv", "model.latent": 64, "training.batch_size": 16}


@THOROUGH
def test_a_full_card_says_what_was_asked_for_what_was_free_and_what_fits(cards: Cards) -> None:
    wide = {**WIDE, "training.batch_size": 200}
    found = cards.ask(questions.work, wide, CARD_FREE=1500)
    assert found["code"] == 4
    error = found["status"]["error"]
    assert "cuda:0" in error["cause"]
    assert "were asked for" in error["cause"]
    fits = int(error["hint"].partition("200; ")[2].partition(" fits")[0])
    assert fits in (25, 50, 100)
    with pytest.raises(AssertionError, match=r"now 200; \d+ fits"):
        cards.ask(questions.try_out, wide, CARD_FREE=1500)
    smaller = {**wide, "training.batch_size": fits, "training.epochs": 1}
    assert cards.ask(questions.work, smaller, CARD_FREE=1500)["code"] == 0


@pytest.mark.parametrize("code", [*(pytest.param(code, marks=THOROUGH) for code in (710, 214, 719, 999)), 46])
def test_a_card_that_fails_leaves_the_last_checkpoint_and_one_sentence(cards: Cards, code: int) -> None:
    settings = {"training.epochs": 40}
    found = cards.ask(questions.work, settings, CARD_FAIL_AFTER=2000, CARD_FAIL_CODE=code)
    assert found["code"] == 4
    assert found["saved"]
    error = found["status"]["error"]
    assert error["cause"].startswith("cuda:0 failed: ")
    assert "\n" not in error["cause"] + error["hint"]
    assert f"tuiae resume {found['run']}" in error["hint"]
    again = cards.ask(questions.resume, found["run"], 12, "cpu")
    assert (again["code"], again["contexts"]) == (0, [])


@THOROUGH
def test_a_worker_whose_card_fails_ends_with_its_code_and_one_sentence(cards: Cards) -> None:
    failing = {"CARD_FAIL_AFTER": 4000, "CARD_FAIL_CODE": 719}
    found = cards.ask(questions.command, "run", "quickstart", "--device", "cuda:0", **failing)
    assert found["code"] == 4
    assert found["stderr"].count("error: cuda:0 failed: unspecified launch failure") == 1
    assert "Traceback" not in found["stderr"]


@pytest.mark.parametrize(
    "command",
    [pytest.param(["eval"], marks=THOROUGH), ["explore", "--plane", "3"]],
    ids=["eval", "explore"],
)
def test_a_command_on_a_full_card_ends_in_a_sentence(cards: Cards, lab: Laboratory, command: list[str]) -> None:
    run = cards.ask(questions.work, {"training.epochs": 1})["run"]
    full = cards.ask(questions.command, command[0], run, *command[1:], "--device", "cuda", CARD_FREE=1)
    assert full["code"] == 4
    assert full["stderr"].startswith("error: ")
    assert "Traceback" not in full["stderr"]
    on_cpu = cards.ask(questions.command, command[0], run, *command[1:], "--device", "cpu", CARD_FREE=1)
    assert on_cpu["code"] == 0


def test_an_evaluation_of_large_images_takes_about_as_much_as_a_step(cards: Cards) -> None:
    found = cards.ask(questions.evaluated, WIDE)
    assert max(found["sizes"]) == 20
    assert found["evaluation"] < 1.5 * found["step"]


def test_an_evaluation_goes_on_in_parts_where_there_is_no_room(cards: Cards) -> None:
    large = {**WIDE, "data.image_size": 64, "training.batch_size": 297}
    found = cards.ask(questions.evaluated, large, False)
    assert found["sizes"] == [297]
    less = cards.ask(questions.evaluated, large, False, CARD_FREE=int(found["evaluation"] * 0.7))
    assert len(less["sizes"]) > 1
    assert sum(less["sizes"]) == 297


def test_no_figure_is_rounded_to_tf32(cards: Cards) -> None:
    assert cards.ask(questions.precisions, {"training.precision": "bfloat16"}, TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1) == [
        "ieee",
        "ieee",
    ]


def test_a_paused_run_gives_up_its_graph_and_says_what_it_keeps_of_its_card(cards: Cards) -> None:
    asked = cards.ask(questions.paused)
    assert asked["graphs"] == [True, False]
    assert "MB of cuda:0" in asked["told"][0]
