"""On real cards, which `make gpu` asks for: what the cards that only count in tests/cuda cannot say, the numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tests.conftest import SMALL, Laboratory
from tests.endings import assert_same_end
from tests.training import Edits, train
from tuiae.config import build_config
from tuiae.config.document import parse_toml
from tuiae.errors import TrainingError
from tuiae.files import read_json
from tuiae.machine import users_environment
from tuiae.runs.checkpoints import find_checkpoint
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import create_run
from tuiae.training.checkpoint import load_weights
from tuiae.training.device import list_devices

pytestmark = pytest.mark.gpu

PLAIN: dict[str, Any] = {"model.dropout": 0.0, "noise.kind": "none"}
CONV = {"model.family": "strided-conv", "model.channels": [8, 16]}
CASES: dict[str, dict[str, Any]] = {
    "dense": {},
    "augmented": {"training.flip": True, "training.shift": 2, "noise.kind": "uniform", "noise.probability": 0.5},
    "clipped": {"training.clip_norm": 0.1, "training.schedule": "cosine", "training.warmup": 1.0},
    "sgd": {"training.optimizer": "sgd", "training.momentum": 0.9, "noise.kind": "salt-pepper"},
    "rmsprop": {"training.optimizer": "rmsprop", "training.momentum": 0.5, "training.learning_rate": 1e-3},
    "adamw": {"training.optimizer": "adamw", "training.weight_decay": 0.01, "training.loss": "l1"},
    "conv": {"model.family": "conv", "data.image_size": 28, "model.output_dropout": True},
    "batch norm": {**CONV, "model.norm": "batch"},
    "vae": {"model.family": "vae", "training.loss": "bce", "training.beta_warmup": 2.0},
    "conv vae": {**CONV, "model.family": "conv-vae"},
    "classifier": {"model.family": "classifier", "model.encoder": "dense", "training.label_smoothing": 0.1},
    "bfloat16": {**CONV, "training.precision": "bfloat16"},
}


@pytest.fixture(autouse=True)
def card() -> str:
    """The first card."""
    if not any(device.startswith("cuda") for device in list_devices()):
        pytest.skip("no card that this PyTorch can use")
    return "cuda:0"


def new_run(lab: Laboratory, device: str, settings: dict[str, Any]) -> RunPaths:
    return create_run(build_config(parse_toml(SMALL), {"training.device": device, **settings}), lab.runs, [])


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_replayed_steps_end_in_the_bits_of_eager_ones(
    lab: Laboratory, card: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed, eager = (new_run(lab, card, settings) for _ in range(2))
    edits: Edits = {9: [("training.learning_rate", 5e-3), ("model.dropout", 0.1)], 25: [("training.epochs", 5)]}
    assert train(replayed, edits).training_step.captured is not None
    monkeypatch.setattr("tuiae.training.step.WARM_STEPS", 10**9)
    assert train(eager, edits).training_step.captured is None
    assert_same_end(replayed, eager)


@pytest.mark.parametrize("settings", [{}, CASES["conv"], CASES["vae"], CASES["rmsprop"]], ids=str)
def test_a_resumed_training_ends_in_the_same_bits(lab: Laboratory, card: str, settings: dict[str, Any]) -> None:
    straight, resumed = (new_run(lab, card, settings) for _ in range(2))
    train(straight)
    for stop in (7, 16, 33):
        train(resumed, stop=stop)
    train(resumed)
    assert_same_end(resumed, straight)


@pytest.mark.parametrize("family", ["dense", "conv", "strided-conv", "classifier"])
def test_a_card_computes_what_a_processor_computes(lab: Laboratory, card: str, family: str) -> None:
    settings = {**PLAIN, "model.family": family, "model.encoder": "dense", "data.image_size": 28, "training.epochs": 2}
    settings["training.learning_rate"] = 1e-3
    ours, theirs = (train(new_run(lab, device, settings)).parts.model.state_dict() for device in (card, "cpu"))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name].cpu(), tensor, atol=1e-3, rtol=1e-2)


def test_a_loss_that_is_no_number_ends_a_replayed_training(lab: Laboratory, card: str) -> None:
    run = new_run(lab, card, {**PLAIN, "model.output": "identity", "training.optimizer": "sgd"})
    with pytest.raises(TrainingError):
        train(run, {10: [("training.learning_rate", 1e6)]})


def test_a_second_card_gives_the_bits_of_the_first(lab: Laboratory) -> None:
    """Each in a process of its own, which sees no other card."""
    cards = [device.split(maxsplit=1) for device in list_devices() if device.startswith("cuda")]
    if len(cards) < 2 or cards[0][1] != cards[1][1]:
        pytest.skip("no two cards of one kind")
    environment = {**users_environment(), **lab.own_environment}
    runs = []
    for card, _ in cards[:2]:
        told = lab.process("run", lab.preset(), "--device", card, "--json", env=environment)
        runs.append(lab.run(told.document["run"]))
        assert str(read_json(runs[-1].status)["device"]).startswith(card)
    assert_same_end(*runs)


@pytest.mark.parametrize("settings", [{}, CASES["batch norm"]], ids=["dense", "batch norm"])
def test_two_cards_train_together_what_one_trains(lab: Laboratory, settings: dict[str, Any]) -> None:
    """Each computes half of every batch. Nothing is drawn, as they would draw other numbers."""
    if sum(device.startswith("cuda") for device in list_devices()) < 2:
        pytest.skip("no two cards")
    environment = {**users_environment(), **lab.own_environment}
    asked = {**PLAIN, "training.optimizer": "sgd", "training.learning_rate": 0.2, **settings}
    words = [word for key, value in asked.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    ends = []
    for count in ("1", "2"):
        told = lab.process(
            "run", lab.preset(), *words, "--device", "cuda", "--devices", count, "--json", env=environment
        )
        checkpoint = find_checkpoint(lab.run(told.document["run"]))
        assert checkpoint is not None
        ends.append(load_weights(checkpoint))
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, atol=1e-3, rtol=1e-2)
