"""From a [model] table to a network."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from tuiae.config import ModelSection
from tuiae.models.base import Autoencoder
from tuiae.models.encoders import (
    HEADS,
    Classifier,
    VariationalAutoencoder,
    conv_decoder,
    conv_encoder,
    dense_decoder,
    dense_encoder,
    strided_decoder,
    strided_encoder,
)
from tuiae.models.geometry import ImageShape, check_fit
from tuiae.models.layers import initialise

Part = Callable[[ModelSection, ImageShape], nn.Sequential]
Network = Autoencoder | Classifier
Builder = Callable[[ModelSection, ImageShape, int], Network]

ENCODERS: dict[str, Part] = {"dense": dense_encoder, "conv": conv_encoder, "strided-conv": strided_encoder}
DECODERS: dict[str, Part] = {"dense": dense_decoder, "conv": conv_decoder, "strided-conv": strided_decoder}


def build_model(model: ModelSection, image_shape: ImageShape, classes: int) -> Network:
    """The network, on the CPU in float32, with initial weights from the default generator.

    Args:
        model: what to build.
        image_shape: channels, height, width.
        classes: how many there are; 0 for images without labels, which autoencoders take.

    Raises:
        ConfigError: the network does not take such images.
    """
    check_fit(model, image_shape, classes)
    network = BUILDERS.get(model.family, _autoencoder)(model, image_shape, classes)
    initialise(network, model.initialisation)
    return network


def _autoencoder(model: ModelSection, image_shape: ImageShape, classes: int) -> Network:
    family = model.encoder_family
    return Autoencoder(ENCODERS[family](model, image_shape), DECODERS[family](model, image_shape))


def _variational(model: ModelSection, image_shape: ImageShape, classes: int) -> Network:
    # A dropped or rectified mean would be no mean of a normal distribution: the linear layer is the encoder's last.
    linear = model.model_copy(update={"code_activation": "identity"})
    encoder = ENCODERS[model.encoder_family](linear, image_shape)
    head = max(index for index, layer in enumerate(encoder) if isinstance(layer, nn.Linear))
    return VariationalAutoencoder(encoder[: head + 1], DECODERS[model.encoder_family](model, image_shape), model.latent)


def _classifier(model: ModelSection, image_shape: ImageShape, classes: int) -> Network:
    encoder = ENCODERS[model.encoder](model, image_shape)
    return Classifier(encoder, HEADS[model.head](model.latent, classes, model.dropout), model.freeze)


BUILDERS: dict[str, Builder] = {"vae": _variational, "conv-vae": _variational, "classifier": _classifier}
"""config.Family -> builder; the plain autoencoders share one."""
