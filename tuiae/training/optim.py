"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import math
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


def _step(section: TrainingSection, epoch: float) -> float:
    return section.step_factor ** (epoch // section.step_epochs)


def _cosine(section: TrainingSection, epoch: float) -> float:
    """Source: Loshchilov and Hutter, SGDR (2017), without restarts."""
    done = (epoch - section.warmup) / max(section.epochs - section.warmup, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))


SCHEDULES: dict[str, Callable[[TrainingSection, float], float]] = {
    "constant": lambda section, epoch: 1.0,
    "step": _step,
    "cosine": _cosine,
}
"""config.Schedule -> (section, epochs done, the current one as a fraction) -> factor of the learning rate."""


def learning_rate(section: TrainingSection, epoch: float) -> float:
    """The learning rate of the step that begins after `epoch` epochs: a pure function, so that a resumed training needs
    nothing but its position."""
    factor = SCHEDULES[section.schedule](section, epoch)
    return section.learning_rate * factor * ramp(epoch, section.warmup)


def ramp(epoch: float, length: float) -> float:
    """0 at the first step, 1 once `length` epochs are done, a straight line between."""
    return min(1.0, epoch / length) if length else 1.0
