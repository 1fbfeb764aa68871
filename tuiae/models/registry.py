"""From a [model] table to a network."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from tuiae.config import ModelSection
from tuiae.models.base import Autoencoder
from tuiae.models.classifier import HEADS, Classifier
from tuiae.models.conv import conv_decoder, conv_encoder
from tuiae.models.dense import dense_decoder, dense_encoder
from tuiae.models.geometry import ImageShape, check_fit

Part = Callable[[ModelSection, ImageShape], nn.Sequential]
Builder = Callable[[ModelSection, ImageShape, int], nn.Module]

ENCODERS: dict[str, Part] = {"dense": dense_encoder, "conv": conv_encoder}
DECODERS: dict[str, Part] = {"dense": dense_decoder, "conv": conv_decoder}


def build_model(model: ModelSection, image_shape: ImageShape, classes: int) -> nn.Module:
    """The network, on the CPU in float32, with PyTorch's default initialisation from the default generator.

    Args:
        model: what to build.
        image_shape: channels, height, width.
        classes: how many there are; 0 for images without labels, which autoencoders take.

    Raises:
        ConfigError: the network does not take such images.
    """
    check_fit(model, image_shape, classes)
    return BUILDERS[model.family](model, image_shape, classes)


def _autoencoder(model: ModelSection, image_shape: ImageShape, classes: int) -> nn.Module:
    family = model.family
    return Autoencoder(ENCODERS[family](model, image_shape), DECODERS[family](model, image_shape))


def _classifier(model: ModelSection, image_shape: ImageShape, classes: int) -> nn.Module:
    encoder = ENCODERS[model.encoder](model, image_shape)
    return Classifier(encoder, HEADS[model.head](model.latent, classes, model.dropout), model.freeze)


BUILDERS: dict[str, Builder] = {"dense": _autoencoder, "conv": _autoencoder, "classifier": _classifier}
