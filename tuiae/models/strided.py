"""A convolutional autoencoder of any depth, for images of any size: strides shrink them, nothing is pooled.

With 3x3 kernels and a stride of 2 it is the encoder and decoder of tp5-2022's convolutional variational autoencoder.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from tuiae.config import ModelSection
from tuiae.models.geometry import ImageShape, strided_sizes
from tuiae.models.layers import ACTIVATIONS, Dropout, activated
from tuiae.models.linear import Linear


def strided_encoder(model: ModelSection, image_shape: ImageShape) -> nn.Sequential:
    """Images (N, C, H, W) -> codes (N, latent): convolutions, then Linear, code activation, dropout."""
    maps = (image_shape[0], *model.channels)
    layers: list[nn.Module] = []
    for (source, target), stride in zip(pairwise(maps), model.strides, strict=True):
        layers += [
            nn.Conv2d(source, target, model.kernel, stride, padding=model.kernel // 2, bias=model.norm == "none"),
            *_normed(model, target),
        ]
    height, width = strided_sizes(model, image_shape)[-1]
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        Linear(maps[-1] * height * width, model.latent),
        *activated(model.code_activation, model.dropout),
    )


def strided_decoder(model: ModelSection, image_shape: ImageShape) -> nn.Sequential:
    """Codes (N, latent) -> images (N, C, H, W): Linear, then the convolutions backwards, transposed.

    A stride of 2 gives 4 pixels from 7 and from 8; the output padding is what tells them apart on the way back.
    """
    maps = (image_shape[0], *model.channels)
    sizes = strided_sizes(model, image_shape)
    height, width = sizes[-1]
    layers: list[nn.Module] = []
    for depth in reversed(range(len(model.channels))):
        source, target, stride = maps[depth + 1], maps[depth], model.strides[depth]
        extra = tuple(big - (small - 1) * stride - 1 for big, small in zip(sizes[depth], sizes[depth + 1], strict=True))
        plain = depth == 0 or model.norm == "none"
        layers.append(
            nn.ConvTranspose2d(source, target, model.kernel, stride, model.kernel // 2, extra, bias=plain)  # type: ignore[arg-type]
        )
        if depth:
            layers += _normed(model, target)
    return nn.Sequential(
        Linear(model.latent, maps[-1] * height * width),
        *activated(model.activation, model.dropout),
        nn.Unflatten(1, (maps[-1], height, width)),
        *layers,
        ACTIVATIONS[model.output](),
        *([Dropout(model.dropout)] if model.output_dropout else []),
    )


def _normed(model: ModelSection, channels: int) -> list[nn.Module]:
    norm = [nn.BatchNorm2d(channels)] if model.norm == "batch" else []
    return [*norm, *activated(model.activation, model.dropout)]
