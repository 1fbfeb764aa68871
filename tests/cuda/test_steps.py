"""What a training step asks of a card: launches (at most as many as with PyTorch 2.14), no memory, and no waiting for
it; and that all of it is one call once it is recorded as a CUDA graph."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cuda import questions
from tests.cuda.cards import Cards

CONV = {"model.family": "strided-conv"}
WAITING = {"SYNC", "MALLOC", "COPY h2d", "COPY d2h"}


@pytest.mark.parametrize(
    ("settings", "launches"),
    [
        ({}, 37),
        ({"training.optimizer": "sgd", "training.momentum": 0.9}, 35),
        ({"training.optimizer": "rmsprop", "training.momentum": 0.9}, 44),
        ({"training.clip_norm": 1.0, "noise.kind": "salt-pepper", "noise.level": 0.2}, 54),
        ({**CONV, "model.norm": "batch"}, 68),
        ({**CONV, "training.precision": "bfloat16"}, 98),
        ({"model.family": "conv-vae", "model.latent": 2}, 99),
    ],
    ids=["dense", "sgd", "rmsprop", "noise", "conv", "bfloat16", "vae"],
)
def test_a_step_waits_for_nothing(cards: Cards, settings: dict[str, Any], launches: int) -> None:
    steps = cards.ask(questions.count_steps, settings)
    assert not WAITING & {*steps["eager"], *steps["replayed"]}
    assert 20 < len(steps["eager"]) <= launches
    assert steps["replayed"].count("REPLAY") == 1
    assert len(steps["replayed"]) <= 4  # the indices of the batch, and where the random numbers begin
