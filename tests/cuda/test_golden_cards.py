"""What people read of cards that are of no use, word for word."""

from __future__ import annotations

from typing import Any

import torch

from tests.conftest import Laboratory
from tests.cuda import questions
from tests.cuda.cards import Cards
from tests.golden import Golden, titled

BEGINNING: dict[str, dict[str, Any]] = {
    "a driver for an older CUDA": {"CARD_INIT": 35, "CARD_DRIVER": 12020},
    "a machine that is not ready": {"CARD_INIT": 802},
    "a driver and a library that do not belong together": {"CARD_INIT": 803},
    "a card without kernels": {"CARD_CC": 61},
    "one of two without kernels": {"CARD_COUNT": 2, "CARD_CC": (61, 90)},
    "nothing to be seen": {"CARD_COUNT": 2, "CUDA_VISIBLE_DEVICES": "7"},
    "a card of another process": {"CARD_BUSY": 0},
    "a full card": {"CARD_BUSY": 0, "CARD_BUSY_CODE": 2},
}


def test_what_is_said_of_cards(cards: Cards, lab: Laboratory, golden: Golden) -> None:
    parts = []
    for title, settings in BEGINNING.items():
        lines = []
        for word in ("auto", "cuda"):
            found = cards.ask(questions.choose, word, **settings)
            end = f"on {found['name']}" if "name" in found else f"{found['words']} (exit code {found['code']})"
            lines += [f"{word}: {told}" for told in found["told"]] + [f"{word}: {end}"]
        parts.append(titled(title, *lines))
    failed = cards.ask(questions.work, {"training.epochs": 40}, CARD_FAIL_AFTER=2000, CARD_FAIL_CODE=214)
    golden.hide(failed["run"], "RUN")
    error = failed["status"]["error"]
    parts.append(titled("a card that fails", error["cause"], error["hint"]))
    golden.hide(f"this PyTorch for {torch.version.cuda}", "this PyTorch for 13.0")
    golden.check("cards", *parts)
