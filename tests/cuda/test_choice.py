"""Which card a process takes, that it begins no other, and what is said where there is none of use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Laboratory
from tests.cuda import questions
from tests.cuda.cards import Cards
from tuiae.config import build_config
from tuiae.runs.writer import RunWriter, create_run


def card(number: int) -> str:
    """The UUID of a card that only counts."""
    return f"GPU-{number + 1:08x}-1111-2222-3333-444455556666"


def test_cards_are_listed_and_those_that_are_lost_or_forbidden_are_not(cards: Cards) -> None:
    assert cards.ask(questions.names, CARD_COUNT=2) == ["cpu", "cuda:0 Counting Card 0", "cuda:1 Counting Card 1"]
    left = ["cpu", "cuda:0 Counting Card 0"]
    assert cards.ask(questions.names, CARD_COUNT=3, CARD_LOST=1, CARD_FORBIDDEN=2) == left
    assert cards.ask(questions.names, CARD_COUNT=3, CARD_LOST=0, CUDA_VISIBLE_DEVICES="2,0")[1:] == [
        "cuda:0 Counting Card 2"
    ]


@pytest.mark.parametrize("word", ["auto", "cuda", "cuda:2"])
def test_a_process_sees_the_card_that_it_takes_alone(cards: Cards, word: str) -> None:
    """The freest of four, one of which is lost."""
    found = cards.ask(questions.choose, word, CARD_COUNT=4, CARD_FREE=(100, 400, 9000, 500), CARD_LOST=0)
    which = 3 if word == "cuda:2" else 2
    assert found["contexts"] == [which]
    assert found["visible"] == card(which)
    assert found["name"] == f"cuda:{which - 1} Counting Card {which}"
    assert found["told"] == []


def test_a_process_that_has_looked_at_all_cards_still_begins_one_alone(cards: Cards) -> None:
    found = cards.ask(questions.look_and_choose, ["cuda:1", "cuda:1", "cuda:0"], CARD_COUNT=2)
    assert [(one["device"], one["name"]) for one in found] == [
        ("cuda:1", "cuda:1 Counting Card 1"),
        ("cuda:1", "cuda:1 Counting Card 1"),
        ("cuda:0", "cuda:0 Counting Card 0"),
    ]
    assert [one["contexts"] for one in found] == [[1], [1], [0, 1]]


def test_a_user_who_orders_cards_otherwise_gets_the_first_of_cuda(cards: Cards) -> None:
    settings: dict[str, Any] = {"CARD_COUNT": 2, "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert cards.ask(questions.names, **settings)[1:] == ["cuda:0 Counting Card 0", "cuda:1 Counting Card 1"]
    assert cards.ask(questions.choose, "auto", **settings)["contexts"] == [0]
    assert cards.ask(questions.choose, "cuda:1", **settings)["contexts"] == [1]


def test_a_process_keeps_to_the_card_that_it_sees(cards: Cards) -> None:
    first, again, other = cards.ask(questions.choose_all, ["cuda:1", "auto", "cuda:0"], CARD_COUNT=2)
    assert first["name"] == again["name"] == "cuda:1 Counting Card 1"
    assert (other["code"], other["contexts"]) == (2, [1])


def test_a_part_of_a_card_is_a_device(cards: Cards) -> None:
    settings: dict[str, Any] = {"CARD_COUNT": 2, "CARD_MIG": (1, 0)}
    assert cards.ask(questions.names, **settings)[1:] == [
        "cuda:0 Counting Card 0 MIG 1g.5gb",
        "cuda:1 Counting Card 1",
    ]
    assert cards.ask(questions.choose, "cuda:0", **settings)["visible"].startswith("MIG-00000001")


def test_a_run_on_the_cpu_begins_no_card(cards: Cards) -> None:
    found = cards.ask(questions.work, {"training.device": "cpu"}, CARD_COUNT=2, CARD_LOST=0)
    assert found["code"] == 0
    assert found["contexts"] == []
    assert found["status"]["device"].startswith("cpu")


def test_a_dry_run_on_the_cpu_begins_no_card_and_hides_none(cards: Cards) -> None:
    assert cards.ask(questions.rehearse, "cpu", CARD_COUNT=2) == []
    assert cards.ask(questions.rehearse, "cpu", "cuda:1", CARD_COUNT=2) == [1]


def test_a_run_takes_a_card_that_no_other_run_has_and_says_which(cards: Cards, lab: Laboratory) -> None:
    other = RunWriter(create_run(build_config({}, {}), lab.runs, []))
    other.status(now=True, state="starting", card=card(0))
    found = cards.ask(questions.work, {"training.device": "auto"}, CARD_COUNT=2)
    assert found["code"] == 0
    assert found["contexts"] == [1]
    assert found["status"]["card"] == card(1)
    assert found["status"]["device"] == "cuda:1 Counting Card 1"
    other.close("finished")
    assert cards.ask(questions.work, {"training.device": "auto"}, CARD_COUNT=2)["status"]["card"] == card(0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"CARD_INIT": 35, "CARD_DRIVER": 12020}, "for CUDA 12.2"),
        ({"CARD_INIT": 802}, "802"),
        ({"CARD_INIT": 803}, "803"),
        ({"CARD_INIT": 999}, "999"),
        ({"CARD_CC": 61}, "sm_61"),
        ({"CUDA_VISIBLE_DEVICES": "7"}, "CUDA_VISIBLE_DEVICES = '7'"),
    ],
    ids=str,
)
def test_why_no_card_is_of_use_is_said(cards: Cards, settings: dict[str, Any], words: str) -> None:
    """auto goes on without one, and cuda does not."""
    auto = cards.ask(questions.choose, "auto", **settings)
    assert auto["device"] == "cpu"
    (told,) = auto["told"]
    assert words in told
    asked = cards.ask(questions.choose, "cuda", **settings)
    assert asked["code"] == 2
    assert "--device cpu" in asked["words"] or "--device auto" in asked["words"]
    assert auto["contexts"] == asked["contexts"] == []


def test_the_doctor_says_what_is_wrong_with_cards(cards: Cards, lab: Laboratory) -> None:
    def bad(**settings: Any) -> list[str]:
        told = json.loads(cards.ask(questions.command, "doctor", "--json", **settings)["stdout"])
        return [one["text"] for one in told if one["topic"] == "training" and one["verdict"] == "bad"]

    assert bad(CARD_COUNT=2) == []
    (old,) = bad(CARD_INIT=35, CARD_DRIVER=12020)
    assert "for CUDA 12.2" in old


def test_cards_without_kernels_are_left_out(cards: Cards) -> None:
    found = cards.ask(questions.choose, "auto", CARD_COUNT=3, CARD_CC=(61, 75, 86), CARD_FREE=(9000, 10, 50))
    assert found["contexts"] == [2]
    assert ["sm_61" in told for told in found["told"]] == [True]


def test_convolutions_in_bfloat16_take_a_card_that_has_them(cards: Cards) -> None:
    settings: dict[str, Any] = {"CARD_COUNT": 2, "CARD_CC": (75, 80), "CARD_FREE": (9000, 8000)}
    asked = {"model.family": "strided-conv", "training.precision": "bfloat16", "training.device": "auto"}
    assert cards.ask(questions.begun, asked, **settings) == [1]
    assert cards.ask(questions.begun, {**asked, "training.precision": "float32"}, **settings) == [0]
    assert cards.ask(questions.begun, asked, **{**settings, "CARD_COUNT": 1}) == [0]


def test_a_card_that_another_process_has_alone_is_passed_over(cards: Cards) -> None:
    settings: dict[str, Any] = {"CARD_COUNT": 2, "CARD_FREE": (9000, 8000), "CARD_BUSY": 0}
    assert cards.ask(questions.choose, "auto", **settings)["contexts"] == [1]
    assert cards.ask(questions.choose, "cuda:0", **settings)["error"] == "DeviceError"


@pytest.mark.parametrize(("code", "error", "ending"), [(46, "DeviceError", 2), (2, "TrainingError", 4)])
def test_a_card_that_is_taken_or_full_is_refused(cards: Cards, code: int, error: str, ending: int) -> None:
    found = cards.ask(questions.choose, "auto", CARD_BUSY=0, CARD_BUSY_CODE=code)
    assert (found["error"], found["code"]) == (error, ending)
    assert "cuda:0" in found["words"]
    assert "\n" not in found["words"]
