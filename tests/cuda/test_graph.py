"""When a training step is replayed as a CUDA graph, when it is taken kernel by kernel, and when it is recorded anew."""

from __future__ import annotations

from tests.cuda import questions
from tests.cuda.cards import Cards

DRAWN = {
    "model.family": "vae",
    "model.hidden": [32],
    "model.dropout": 0.1,
    "noise.kind": "gaussian",
    "noise.level": 0.2,
    "data.train_limit": 1000,
    "training.beta_warmup": 1.0,
    "training.schedule": "cosine",
    "training.flip": True,
}


def test_a_step_is_recorded_anew_where_an_edit_changes_it(cards: Cards) -> None:
    edits = [(4, "training.learning_rate", 1e-2), (5, "training.beta", 0.5), (6, "training.epochs", 4)]
    edits += [(8, "model.dropout", 0.2), (12, "noise.level", 0.3)]
    asked = cards.ask(questions.recordings, DRAWN, edits)
    assert asked == {"steps": [0, 0, *[1] * 6, 0, 0, 2, 2, 0, 0, 3, 3], "warnings": []}


def test_the_last_batch_of_an_epoch_is_taken_kernel_by_kernel_where_it_is_smaller(cards: Cards) -> None:
    asked = cards.ask(questions.recordings, {"data.train_limit": 900}, [])
    assert asked["steps"] == [0, 0, 1, 0, 1, 1, 1, 0]


def test_a_resumed_training_records_its_step_again(cards: Cards) -> None:
    for optimizer, momentum in (("adam", 0.0), ("rmsprop", 0.9), ("sgd", 0.9)):
        settings = {**DRAWN, "training.optimizer": optimizer, "training.momentum": momentum}
        asked = cards.ask(questions.recordings, settings, [], 3)
        assert asked == {"steps": [0, 0, 1, 0, 0, 2, 2, 2], "warnings": []}


def test_what_cannot_be_recorded_is_taken_kernel_by_kernel_and_said_once(cards: Cards) -> None:
    asked = cards.ask(questions.recordings, DRAWN, [(5, "model.dropout", 0.2)], None, True)
    assert asked["steps"] == [0] * 8
    (warning,) = asked["warnings"]
    assert "no CUDA graph" in warning
    assert "not permitted when stream is capturing" in warning


def test_images_that_are_not_on_the_card_are_taken_kernel_by_kernel_and_that_is_said(cards: Cards) -> None:
    asked = cards.ask(questions.streamed)
    assert not asked["replayed"]
    assert "do not fit" in asked["told"][0]
