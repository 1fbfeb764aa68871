"""The convolutional autoencoder of pacheco-2023, for images of any size and number of channels."""

from __future__ import annotations

from torch import nn

from tuiae.config import ModelSection
from tuiae.models.geometry import CHANNELS, KERNEL, POOL, STRIDE, ImageShape, conv_geometry
from tuiae.models.layers import ACTIVATIONS, Dropout, activated
from tuiae.models.linear import Linear


def conv_encoder(model: ModelSection, image_shape: ImageShape) -> nn.Sequential:
    """Images (N, C, H, W) -> codes (N, latent).

    Dropout stands before the pooling, as printed, not after it as is usual.

    Raises:
        ConfigError: images too small.
    """
    sizes = conv_geometry(*image_shape[1:])
    return nn.Sequential(
        nn.Conv2d(image_shape[0], CHANNELS[0], KERNEL),
        *activated(model.activation, model.dropout),
        nn.MaxPool2d(POOL),
        nn.Conv2d(CHANNELS[0], CHANNELS[1], KERNEL),
        *activated(model.activation, model.dropout),
        nn.MaxPool2d(POOL),
        nn.Flatten(),
        Linear(sizes.features, model.latent),
        *activated(model.code_activation, model.dropout),
    )


def conv_decoder(model: ModelSection, image_shape: ImageShape) -> nn.Sequential:
    """Codes (N, latent) -> images (N, C, H, W), whose size comes back exactly.

    Raises:
        ConfigError: images too small.
    """
    sizes = conv_geometry(*image_shape[1:])
    return nn.Sequential(
        Linear(model.latent, sizes.features),
        *activated(model.activation, model.dropout),
        nn.Unflatten(1, (CHANNELS[1], *sizes.pool2)),
        nn.ConvTranspose2d(CHANNELS[1], CHANNELS[0], sizes.up1_kernel, STRIDE),
        *activated(model.activation, model.dropout),
        nn.ConvTranspose2d(CHANNELS[0], image_shape[0], sizes.up2_kernel, STRIDE),
        ACTIVATIONS[model.output](),
        *([Dropout(model.dropout)] if model.output_dropout else []),
    )
