"""The fully connected autoencoder; without hidden layers it is politano-2020's 784-h-784."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from tuiae.config import ModelSection
from tuiae.models.geometry import ImageShape, dense_widths
from tuiae.models.layers import ACTIVATIONS, Dropout, activated
from tuiae.models.linear import Linear


def dense_encoder(model: ModelSection, image_shape: ImageShape) -> nn.Sequential:
    """Images (N, C, H, W) -> codes (N, latent): hidden layers, then Linear, code activation, dropout."""
    *widths, latent = dense_widths(model, image_shape)
    return nn.Sequential(
        nn.Flatten(),
        *_hidden(model, widths),
        Linear(widths[-1], latent),
        *activated(model.code_activation, model.dropout),
    )


def dense_decoder(model: ModelSection, image_shape: ImageShape) -> nn.Sequential:
    """Codes (N, latent) -> images (N, C, H, W): the encoder's widths backwards, then the output activation."""
    *widths, pixels = reversed(dense_widths(model, image_shape))
    return nn.Sequential(
        *_hidden(model, widths),
        Linear(widths[-1], pixels),
        ACTIVATIONS[model.output](),
        *([Dropout(model.dropout)] if model.output_dropout else []),
        nn.Unflatten(1, image_shape),
    )


def _hidden(model: ModelSection, widths: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for source, target in pairwise(widths):
        layers += [Linear(source, target), *activated(model.activation, model.dropout)]
    return layers
