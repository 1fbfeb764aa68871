"""Optimizers: what one has gathered, taken over by another that works elsewhere or otherwise; learning rates."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import Laboratory
from tests.training import train
from tuiae.config import TrainingSection, build_config, learning_rate, load_config, ramp
from tuiae.runs.checkpoints import need_checkpoint
from tuiae.runs.lineage import fork_config, fork_run
from tuiae.runs.writer import create_run
from tuiae.training.optimizer import build_optimizer, restore_optimizer, set_rate

CONVOLVING = """
name = "convolving"
[data]
dataset = "digits"
[model]
family = "strided-conv"
latent = 8
channels = [8, 16]
kernel = 3
[training]
epochs = 1
batch_size = 300
device = "cpu"
"""


def step_on(before: torch.memory_format, after: torch.memory_format, fused: bool, name: str, **options: Any) -> Tensor:
    """Weights (8, 3, 3, 3) after three steps in one order of memory, and one more in another."""
    torch.manual_seed(0)
    images = torch.randn(4, 3, 8, 8)
    layers = [torch.nn.Conv2d(3, 8, 3).to(memory_format=order) for order in (before, after)]
    build = getattr(torch.optim, name)
    optimizers = [build(layer.parameters(), lr=1e-2, fused=fused, **options) for layer in layers]
    for _ in range(3):
        optimizers[0].zero_grad()
        layers[0](images).square().mean().backward()
        optimizers[0].step()
    layers[1].load_state_dict(layers[0].state_dict())
    restore_optimizer(optimizers[1], copy.deepcopy(optimizers[0].state_dict()))
    layers[1](images).square().mean().backward()
    optimizers[1].step()
    weight: Tensor = layers[1].weight.detach()
    return weight.contiguous()


@pytest.mark.parametrize(("name", "options"), [("Adam", {}), ("AdamW", {}), ("SGD", {"momentum": 0.9})])
@pytest.mark.parametrize("to_last", [True, False], ids=["to channels last", "from channels last"])
def test_each_weight_keeps_what_was_gathered_for_it_in_another_order_of_memory(
    name: str, options: dict[str, Any], to_last: bool
) -> None:
    orders = (torch.contiguous_format, torch.channels_last)
    before, after = orders if to_last else orders[::-1]
    weights = [step_on(before, after, fused, name, **options) for fused in (True, False)]
    assert torch.allclose(*weights, atol=1e-4)  # a hundredth of a step


def test_a_fork_in_another_precision_goes_on_with_the_moments_of_its_weights(lab: Laboratory) -> None:
    source = create_run(load_config(Path(lab.preset(CONVOLVING))), lab.runs, [])
    train(source)
    folder = need_checkpoint(source)
    settings = {"training.precision": "bfloat16", "training.epochs": 2}
    fit = train(fork_run(source, folder, fork_config(source, folder, settings), lab.runs, []), stop=7)
    gathered = fit.state.optimizer.state
    assert any(weight.dim() == 4 and not weight.is_contiguous() for weight in gathered)
    assert all(state["exp_avg"].stride() == parameter.stride() for parameter, state in gathered.items())


@pytest.mark.parametrize("fused", [None, True], ids=["not fused", "fused"])
def test_the_steps_are_counted_where_a_fused_optimizer_looks_for_them(fused: bool | None) -> None:
    old = torch.nn.Parameter(torch.zeros(3))
    saved = torch.optim.Adam([old], fused=fused)
    old.sum().backward()
    saved.step()
    # PyTorch's device without memory stands for an accelerator.
    parameter = torch.nn.Parameter(torch.zeros(3, device="meta"))
    optimizer = torch.optim.Adam([parameter])
    optimizer.param_groups[0]["fused"] = True
    restore_optimizer(optimizer, saved.state_dict())
    assert {value.device.type for value in optimizer.state[parameter].values()} == {"meta"}


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_by_its_kernel_alone_has_the_bits_of_pytorchs_also_when_it_goes_on(name: str) -> None:
    training = TrainingSection(optimizer=name, learning_rate=0.1, weight_decay=0.01)
    ours, theirs = ([torch.nn.Parameter(torch.linspace(-1, 1, size)) for size in (7, 3)] for _ in range(2))
    build = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    reference = build(theirs, lr=0.1, weight_decay=0.01, fused=True)
    optimizer, saved = build_optimizer(ours, training, torch.device("cpu")), None
    for step in range(8):
        if step == 3:
            saved = copy.deepcopy(optimizer.state_dict())
        if step == 5:
            for one in (optimizer, reference):
                restore_optimizer(one, copy.deepcopy(saved))
        set_rate(optimizer, 0.1 / (step + 1))
        set_rate(reference, 0.1 / (step + 1))
        for weights, others in zip(ours, theirs, strict=True):
            weights.grad = torch.sin(weights.detach() * (step + 2))
            others.grad = torch.sin(others.detach() * (step + 2))
        optimizer.step()
        reference.step()
        assert all(map(torch.equal, ours, theirs))
    assert {float(gathered["step"]) for gathered in optimizer.state.values()} == {6.0}


# Schedules


def section(**keys: Any) -> TrainingSection:
    return TrainingSection(learning_rate=0.1, epochs=10, **keys)


def rates(training: TrainingSection, *epochs: float) -> list[float]:
    return [round(learning_rate(training, epoch), 6) for epoch in epochs]


def test_learning_rates_by_epoch() -> None:
    assert rates(section(), 0, 5, 9.9) == [0.1, 0.1, 0.1]
    assert rates(section(warmup=2), 0, 1, 2, 9) == [0, 0.05, 0.1, 0.1]
    assert rates(section(schedule="step", step_epochs=4, step_factor=0.5), 0, 3.9, 4, 8) == [0.1, 0.1, 0.05, 0.025]
    assert rates(section(schedule="cosine"), 0, 5, 10) == [0.1, 0.05, 0.0]
    assert rates(section(schedule="cosine", warmup=2), 1, 2, 6, 10) == [0.05, 0.1, 0.05, 0.0]
    assert [ramp(epoch, 4) for epoch in (0, 1, 4, 8)] == [0, 0.25, 1, 1]


def test_steps_are_counted_after_the_warm_up() -> None:
    steps = {"schedule": "step", "step_epochs": 4, "step_factor": 0.5, "warmup": 2}
    assert rates(section(**steps), 1, 2, 5.9, 6, 9.9, 10) == [0.05, 0.1, 0.1, 0.05, 0.05, 0.025]
    assert rates(section(**steps, step_from="start"), 1, 2, 4, 6, 8) == [0.05, 0.1, 0.05, 0.05, 0.025]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [({}, "start"), ({"warmup": 0.0}, "warmup"), ({"schedule": "cosine"}, "warmup"), ({"seed": None}, "warmup")],
    ids=["a run of an earlier version", "without a warm-up", "without steps", "a preset"],
)
def test_a_run_of_an_earlier_version_goes_on_by_its_rule(changed: dict[str, Any], rule: str) -> None:
    training = section(schedule="step", warmup=2.0).model_dump() | changed
    document = {"training": {key: value for key, value in training.items() if key != "step_from" and value is not None}}
    config = build_config(document, {"training.epochs": 20})
    assert config.training.step_from == rule
    assert build_config(config.model_dump(mode="json")) == config
