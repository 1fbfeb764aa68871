"""What a training step asks of a card: launches (at most as many as with PyTorch 2.14), and no waiting for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cuda import questions
from tests.cuda.cards import Cards

CONV = {"model.family": "strided-conv"}


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({}, 43),
        ({"training.optimizer": "sgd", "training.momentum": 0.9}, 41),
        ({"training.optimizer": "rmsprop", "training.momentum": 0.9}, 48),
        ({"training.clip_norm": 1.0, "noise.kind": "salt-pepper", "noise.level": 0.2}, 60),
        ({**CONV, "model.norm": "batch"}, 74),
        ({**CONV, "training.precision": "bfloat16"}, 104),
        ({"model.family": "conv-vae", "model.latent": 2}, 105),
    ],
    ids=["dense", "sgd", "rmsprop", "noise", "conv", "bfloat16", "vae"],
)
def test_a_step_waits_for_nothing_and_takes_no_memory(cards: Cards, settings: dict[str, Any], most: int) -> None:
    counts = cards.ask(questions.count_step, settings)
    assert 20 < counts.pop("launches") <= most
    assert set(counts.values()) == {0}, counts
