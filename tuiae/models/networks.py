"""The networks: encoders and decoders by family, what is made of them, and from a [model] table to one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn

from tuiae.config import CUSTOM, ModelSection
from tuiae.errors import ConfigError
from tuiae.models.activations import ACTIVATIONS, Dropout, PooledStack, activated, drawn_from
from tuiae.models.custom import OWN, CustomNetwork, build_custom
from tuiae.models.geometry import (
    CHANNELS,
    KERNEL,
    POOL,
    STRIDE,
    ImageShape,
    check_fit,
    conv_geometry,
    dense_widths,
    strided_sizes,
)
from tuiae.models.layers import ConvTranspose2d, Linear, ModelOutput, initialise


class Autoencoder(nn.Module):
    """An encoder (N, C, H, W) -> (N, latent) and a decoder back."""

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in 0..1 -> codes (N, latent)."""
        code: Tensor = self.encoder(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Codes (N, latent) -> images (N, C, H, W)."""
        reconstruction: Tensor = self.decoder(code)
        return reconstruction

    def forward(self, x: Tensor) -> ModelOutput:
        """Images (N, C, H, W) in 0..1 -> code and reconstruction."""
        code = self.encode(x)
        return ModelOutput(code, self.decode(code))


class VariationalAutoencoder(Autoencoder):
    """An encoder to the mean and the log-variance of a normal posterior, and a decoder of codes drawn from it.

    Source: Kingma and Welling, Auto-Encoding Variational Bayes (2014): the prior is the standard normal.

    The encoder's last layer gives the mean, so that it is the encoder of a plain autoencoder with a linear code, tensor
    for tensor; a second layer on the same features gives the log-variance.

    While training, codes are drawn. In eval mode the code is the mean, or drawn where `drawing_from` gives a generator:
    the bound that training minimises is about drawn codes.
    """

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential) -> None:
        super().__init__(encoder, decoder)
        head = encoder[-1]
        assert isinstance(head, nn.Linear)
        self.log_variance = Linear(head.in_features, head.out_features)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in 0..1 -> mean and log-variance, (N, latent) each."""
        features = self.encoder[:-1](x)
        return self.encoder[-1](features), self.log_variance(features)

    def forward(self, x: Tensor) -> ModelOutput:
        """Images (N, C, H, W) in 0..1 -> code, reconstruction, mean and log-variance."""
        mean, log_variance = self.posterior(x)
        code = mean
        if self.training or drawn_from() is not None:
            draws = torch.randn(mean.shape, generator=drawn_from(), device=mean.device, dtype=mean.dtype)
            code = mean + draws * torch.exp(0.5 * log_variance)
        return ModelOutput(code, self.decode(code), mean=mean, log_variance=log_variance)


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
        """Take over the encoder of an autoencoder's or a classifier's state_dict; the head stays as it is. Raises
        ConfigError, and copies nothing, for other tensors or other shapes than this encoder has."""
        given = {name: tensor for name, tensor in weights.items() if name.startswith(_PREFIX)}
        # A custom network is an encoder as a whole.
        given = given or {_PREFIX + name: tensor for name, tensor in weights.items() if name.startswith(OWN)}
        own = {_PREFIX + name: tensor for name, tensor in self.encoder.state_dict().items()}
        hint = "give model.encoder, latent, hidden and the images the values of the run that trained the encoder"
        if not given:
            raise ConfigError("these weights hold no encoder", "take model.encoder_run from a tuiae run")
        for name in sorted(own.keys() ^ given.keys()):
            side = "this classifier" if name in own else "the trained encoder"
            raise ConfigError(f"the encoders differ: only {side} has {name}", hint)
        for name, tensor in own.items():
            if given[name].shape != tensor.shape:
                shapes = f"{tuple(given[name].shape)} in the trained encoder, {tuple(tensor.shape)} in this classifier"
                raise ConfigError(f"{name} is {shapes}", hint)
        self.load_state_dict(given, strict=False)


Network = Autoencoder | Classifier | CustomNetwork
Layers = list[nn.Module]


def build_model(model: ModelSection, image_shape: ImageShape, classes: int) -> Network:
    """The network, on the CPU in float32, with initial weights from the default generator; `classes` is 0 for images
    without labels, which autoencoders take. Raises ConfigError where it does not take such images."""
    check_fit(model, image_shape, classes)
    network: Network
    if model.family == CUSTOM:
        return build_custom(model, image_shape)
    if model.is_custom:
        custom: Any = build_custom(model, image_shape, as_encoder=True)  # no list of layers, and used as one that is
        network = Classifier(custom, HEADS[model.head](custom.width, classes, model.dropout), model.freeze)
        initialise(network.head, model.initialisation)
        return network
    layers = ENCODERS[model.encoder_family](model, image_shape)
    # A dropped or rectified mean would be no mean of a normal distribution.
    if not model.is_variational:
        layers += activated(model.code_activation, model.dropout)
    encoder = (PooledStack if model.encoder_family == "conv" else nn.Sequential)(*layers)
    if model.family == "classifier":
        network = Classifier(encoder, HEADS[model.head](model.latent, classes, model.dropout), model.freeze)
    else:
        kind = VariationalAutoencoder if model.is_variational else Autoencoder
        network = kind(encoder, nn.Sequential(*DECODERS[model.encoder_family](model, image_shape)))
    initialise(network, model.initialisation)
    return network


HEADS: dict[str, Callable[[int, int, float], nn.Sequential]] = {
    "linear": lambda latent, classes, dropout: nn.Sequential(Linear(latent, classes)),
    # As pacheco-2023 prints it: the logits are cut at 0 and, while training, dropped.
    "relu-dropout": lambda latent, classes, dropout: nn.Sequential(
        Linear(latent, classes), nn.ReLU(), Dropout(dropout)
    ),
}
"""config.Head -> (latent, classes, dropout) -> head."""


# Encoders: images (N, C, H, W) -> codes (N, latent), up to the linear layer. Decoders: all the way back.


def dense_encoder(model: ModelSection, image_shape: ImageShape) -> Layers:
    """Hidden layers, then the code; without hidden layers it is politano-2020's 784-h-784."""
    *widths, latent = dense_widths(model, image_shape)
    return [nn.Flatten(), *_hidden(model, widths), Linear(widths[-1], latent)]


def dense_decoder(model: ModelSection, image_shape: ImageShape) -> Layers:
    """The encoder's widths backwards, then the output activation."""
    *widths, pixels = reversed(dense_widths(model, image_shape))
    return [*_hidden(model, widths), Linear(widths[-1], pixels), *_output(model), nn.Unflatten(1, image_shape)]


def _output(model: ModelSection) -> Layers:
    dropout = [Dropout(model.dropout)] if model.output_dropout else []
    return [ACTIVATIONS[model.output](), *dropout]


def _hidden(model: ModelSection, widths: list[int]) -> Layers:
    layers: Layers = []
    for source, target in pairwise(widths):
        layers += [Linear(source, target), *activated(model.activation, model.dropout)]
    return layers


def conv_encoder(model: ModelSection, image_shape: ImageShape) -> Layers:
    """The two convolutions of pacheco-2023, with dropout before the pooling, as printed, not after it as is usual."""
    sizes = conv_geometry(*image_shape[1:])
    layers: Layers = []
    for source, target in pairwise((image_shape[0], *CHANNELS)):
        layers += [nn.Conv2d(source, target, KERNEL), *activated(model.activation, model.dropout), nn.MaxPool2d(POOL)]
    return [*layers, nn.Flatten(), Linear(sizes.features, model.latent)]


def conv_decoder(model: ModelSection, image_shape: ImageShape) -> Layers:
    """Two transposed convolutions, after which the size of the images comes back exactly."""
    sizes = conv_geometry(*image_shape[1:])
    return [
        Linear(model.latent, sizes.features),
        *activated(model.activation, model.dropout),
        nn.Unflatten(1, (CHANNELS[1], *sizes.pool2)),
        ConvTranspose2d(CHANNELS[1], CHANNELS[0], sizes.up1_kernel, STRIDE),
        *activated(model.activation, model.dropout),
        ConvTranspose2d(CHANNELS[0], image_shape[0], sizes.up2_kernel, STRIDE),
        *_output(model),
    ]


def strided_encoder(model: ModelSection, image_shape: ImageShape) -> Layers:
    """Convolutions whose strides shrink the images, then the code; nothing is pooled.

    With 3x3 kernels and a stride of 2 it is the encoder of tp5-2022's convolutional variational autoencoder.
    """
    maps = (image_shape[0], *model.channels)
    layers: Layers = []
    for (source, target), stride in zip(pairwise(maps), model.strides, strict=True):
        layers += [
            nn.Conv2d(source, target, model.kernel, stride, padding=model.kernel // 2, bias=model.norm == "none"),
            *_normed(model, target),
        ]
    height, width = strided_sizes(model, image_shape)[-1]
    return [*layers, nn.Flatten(), Linear(maps[-1] * height * width, model.latent)]


def strided_decoder(model: ModelSection, image_shape: ImageShape) -> Layers:
    """The convolutions backwards, transposed.

    A stride of 2 gives 4 pixels from 7 and from 8; the output padding is what tells them apart on the way back.
    """
    maps = (image_shape[0], *model.channels)
    sizes = strided_sizes(model, image_shape)
    height, width = sizes[-1]
    layers: Layers = []
    for depth in reversed(range(len(model.channels))):
        source, target, stride = maps[depth + 1], maps[depth], model.strides[depth]
        extra = tuple(big - (small - 1) * stride - 1 for big, small in zip(sizes[depth], sizes[depth + 1], strict=True))
        plain = depth == 0 or model.norm == "none"
        layers.append(
            ConvTranspose2d(source, target, model.kernel, stride, model.kernel // 2, extra, bias=plain)  # type: ignore[arg-type]
        )
        if depth:
            layers += _normed(model, target)
    return [
        Linear(model.latent, maps[-1] * height * width),
        *activated(model.activation, model.dropout),
        nn.Unflatten(1, (maps[-1], height, width)),
        *layers,
        *_output(model),
    ]


def _normed(model: ModelSection, channels: int) -> Layers:
    norm = [nn.BatchNorm2d(channels)] if model.norm == "batch" else []
    return [*norm, *activated(model.activation, model.dropout)]


Stack = Callable[[ModelSection, ImageShape], Layers]
ENCODERS: dict[str, Stack] = {"dense": dense_encoder, "conv": conv_encoder, "strided-conv": strided_encoder}
DECODERS: dict[str, Stack] = {"dense": dense_decoder, "conv": conv_decoder, "strided-conv": strided_decoder}
