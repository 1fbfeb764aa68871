"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch.nn import Parameter

from tuiae.config import TrainingSection

Build = Callable[[list[Parameter], TrainingSection, bool], torch.optim.Optimizer]


def _adam(parameters: list[Parameter], section: TrainingSection, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        parameters, lr=section.learning_rate, weight_decay=section.weight_decay, fused=fused or None
    )


def _adamw(parameters: list[Parameter], section: TrainingSection, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameters, lr=section.learning_rate, weight_decay=section.weight_decay, fused=fused or None
    )


def _sgd(parameters: list[Parameter], section: TrainingSection, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters,
        lr=section.learning_rate,
        momentum=section.momentum,
        weight_decay=section.weight_decay,
        fused=fused or None,
    )


def _rmsprop(parameters: list[Parameter], section: TrainingSection, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(
        parameters, lr=section.learning_rate, momentum=section.momentum, weight_decay=section.weight_decay
    )


OPTIMIZERS: dict[str, Build] = {"adam": _adam, "adamw": _adamw, "sgd": _sgd, "rmsprop": _rmsprop}


def build_optimizer(
    parameters: Iterable[Parameter], section: TrainingSection, device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer over the parameters that train; fused kernels where PyTorch has them (one launch a step)."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    return OPTIMIZERS[section.optimizer](trainable, section, device.type in ("cpu", "cuda"))


def can_skip_on_device(optimizer: torch.optim.Optimizer, device: torch.device) -> bool:
    """Whether the optimizer can leave its step out on the device when told to through `found_inf`.

    This is how PyTorch's GradScaler stops a fused optimizer without waiting for the device.
    """
    fused = any(group.get("fused") for group in optimizer.param_groups)
    return device.type == "cuda" and fused
