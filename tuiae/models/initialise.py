"""Initial weights by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tuiae.config import Initialisation

INITIALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier-uniform": nn.init.xavier_uniform_,
    "xavier-normal": nn.init.xavier_normal_,
    "kaiming-uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "kaiming-normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "orthogonal": nn.init.orthogonal_,
}
"""Every config.Initialisation but `default`, which leaves PyTorch's: uniform within 1 / sqrt(inputs), biases too."""


def initialise(model: nn.Module, kind: Initialisation) -> None:
    """Draw the weights of all linear and convolutional layers anew from torch's default generator; biases become 0."""
    if kind == "default":
        return
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                INITIALISERS[kind](layer.weight)
                if layer.bias is not None:
                    layer.bias.zero_()
