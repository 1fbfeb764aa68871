"""A classifier: an encoder, usually a trained one, and a head over its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor, nn

from tuiae.errors import ConfigError
from tuiae.models.base import ModelOutput
from tuiae.models.layers import Dropout
from tuiae.models.linear import Linear


def _linear(latent: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(Linear(latent, classes))


def _relu_dropout(latent: int, classes: int, dropout: float) -> nn.Sequential:
    """As pacheco-2023 prints it: the logits are cut at 0 and, while training, dropped."""
    return nn.Sequential(Linear(latent, classes), nn.ReLU(), Dropout(dropout))


HEADS: dict[str, Callable[[int, int, float], nn.Sequential]] = {"linear": _linear, "relu-dropout": _relu_dropout}
"""config.Head -> (latent, classes, dropout) -> head."""

_PREFIX = "encoder."


class Classifier(nn.Module):
    """An encoder (N, C, H, W) -> (N, latent) and a head (N, latent) -> (N, classes).

    A frozen encoder has no gradients and stays in eval mode, dropout off, whatever `train()` says.
    """

    def __init__(self, encoder: nn.Sequential, head: nn.Sequential, freeze: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.freeze = freeze
        self.encoder.requires_grad_(not freeze)
        self.train()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.freeze:
            self.encoder.eval()
        return self

    def encode(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in 0..1 -> codes (N, latent)."""
        code: Tensor = self.encoder(x)
        return code

    def forward(self, x: Tensor) -> ModelOutput:
        """Images (N, C, H, W) in 0..1 -> code and logits."""
        code = self.encode(x)
        return ModelOutput(code, logits=self.head(code))

    def load_encoder(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the encoder of an autoencoder's or a classifier's state_dict; the head stays as it is.

        Raises:
            ConfigError: other tensors or other shapes than this encoder has; nothing is copied then.
        """
        given = {name: tensor for name, tensor in weights.items() if name.startswith(_PREFIX)}
        own = {_PREFIX + name: tensor for name, tensor in self.encoder.state_dict().items()}
        _check_same(given, own)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(given[name])


def _check_same(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    hint = "give model.encoder, latent, hidden and the images the values of the run that trained the encoder"
    if not given:
        raise ConfigError("these weights hold no encoder", "take model.encoder_run from a tuiae run")
    for name in sorted(own.keys() | given.keys()):
        if name not in given or name not in own:
            side = "this classifier" if name in own else "the trained encoder"
            raise ConfigError(f"the encoders differ: only {side} has {name}", hint)
    for name, tensor in own.items():
        if given[name].shape != tensor.shape:
            shapes = f"{tuple(given[name].shape)} in the trained encoder, {tuple(tensor.shape)} in this classifier"
            raise ConfigError(f"{name} is {shapes}", hint)
