"""Sizes and parameter counts of the networks, in integers alone: the dashboard's form asks without importing torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from tuiae.config import ModelSection
from tuiae.errors import ConfigError

ImageShape = tuple[int, int, int]
"""Channels, height, width."""
Size = tuple[int, int]
"""Height, width, in pixels."""

CHANNELS = (16, 32)
"""Feature maps of the first and of the second convolution (pacheco-2023)."""
KERNEL = 3
POOL = 2
STRIDE = 2
"""Of both transposed convolutions."""


@dataclass(frozen=True)
class ConvGeometry:
    """What every layer of the convolutional autoencoder makes of one image, height before width."""

    image: Size
    conv1: Size
    pool1: Size
    conv2: Size
    pool2: Size

    @property
    def features(self) -> int:
        """Values that reach the linear layer: 800 for 28x28."""
        return CHANNELS[1] * self.pool2[0] * self.pool2[1]

    @property
    def up1_kernel(self) -> Size:
        """Kernel of the transposed convolution that leads back to `pool1`: 5x5 for 28x28."""
        return _up_kernel(self.pool2, self.pool1)

    @property
    def up2_kernel(self) -> Size:
        """Kernel of the transposed convolution that leads back to the image: 4x4 for 28x28."""
        return _up_kernel(self.pool1, self.image)


def conv_geometry(height: int, width: int, key: str = "model.family") -> ConvGeometry:
    """Sizes of pacheco-2023's network for images of height x width pixels; 10x10 are the fewest it takes.

    Source: pacheco-2023 prints 28, 26, 13, 11, 5, then back 13, 28. The kernels of its decoder (5, then 4) are the
    ones that invert the two poolings exactly, so they are worked out here for every other size.

    Raises:
        ConfigError: too small, naming the layer; `key` is the config key that the hint offers to change.
    """
    image = (height, width)
    conv1 = _valid(image, KERNEL, 1, "first convolution", image, key)
    pool1 = _valid(conv1, POOL, POOL, "first pooling", image, key)
    conv2 = _valid(pool1, KERNEL, 1, "second convolution", image, key)
    pool2 = _valid(conv2, POOL, POOL, "second pooling", image, key)
    return ConvGeometry(image, conv1, pool1, conv2, pool2)


def _valid(source: Size, kernel: int, stride: int, layer: str, image: Size, key: str) -> Size:
    if min(source) < kernel:
        raise ConfigError(
            f"the {layer} ({kernel}x{kernel}) gets {source[0]}x{source[1]} pixels "
            f"of an image of {image[0]}x{image[1]}: too small",
            f"set data.image_size = 28, or choose {key} = 'dense'",
        )
    return (source[0] - kernel) // stride + 1, (source[1] - kernel) // stride + 1


def _up_kernel(source: Size, target: Size) -> Size:
    return target[0] - STRIDE * (source[0] - 1), target[1] - STRIDE * (source[1] - 1)


def dense_widths(model: ModelSection, image_shape: ImageShape) -> tuple[int, ...]:
    """Widths of the dense encoder from the pixels to the code; the decoder runs through them backwards."""
    channels, height, width = image_shape
    return (channels * height * width, *model.hidden, model.latent)


def check_fit(model: ModelSection, image_shape: ImageShape, classes: int) -> None:
    """Tell before anything is built whether the network takes such images.

    Args:
        model: the network.
        image_shape: channels, height, width.
        classes: how many there are; 0 for images without labels.

    Raises:
        ConfigError: images too small for the network, or too few classes for a classifier.
    """
    _CHECKS[model.family](model, image_shape, classes)


def _check_dense(model: ModelSection, image_shape: ImageShape, classes: int) -> None:
    """Nothing to check: a dense network takes any image."""


def _check_conv(model: ModelSection, image_shape: ImageShape, classes: int) -> None:
    key = "model.encoder" if model.family == "classifier" else "model.family"
    conv_geometry(*image_shape[1:], key=key)


def _check_classifier(model: ModelSection, image_shape: ImageShape, classes: int) -> None:
    if classes < 2:
        have = f"{classes} class" if classes else "no labels"
        raise ConfigError(
            f"a classifier needs images of 2 classes or more, and these have {have}",
            "choose a labelled set, name more data.classes, or train an autoencoder (model.family = 'dense')",
        )
    _CHECKS[model.encoder](model, image_shape, classes)


def count_parameters(model: ModelSection, image_shape: ImageShape, classes: int) -> int:
    """Weights and biases of the whole network, frozen ones included.

    Raises:
        ConfigError: as `check_fit`.
    """
    check_fit(model, image_shape, classes)
    return _COUNTS[model.family](model, image_shape, classes)


def _linear(sources: int, targets: int) -> int:
    return (sources + 1) * targets


def _conv(sources: int, targets: int, kernel: Size) -> int:
    return (sources * kernel[0] * kernel[1] + 1) * targets


def _count_dense_encoder(model: ModelSection, image_shape: ImageShape) -> int:
    return sum(_linear(a, b) for a, b in pairwise(dense_widths(model, image_shape)))


def _count_dense_decoder(model: ModelSection, image_shape: ImageShape) -> int:
    return sum(_linear(b, a) for a, b in pairwise(dense_widths(model, image_shape)))


def _count_conv_encoder(model: ModelSection, image_shape: ImageShape) -> int:
    sizes = conv_geometry(*image_shape[1:])
    square = (KERNEL, KERNEL)
    convolutions = _conv(image_shape[0], CHANNELS[0], square) + _conv(CHANNELS[0], CHANNELS[1], square)
    return convolutions + _linear(sizes.features, model.latent)


def _count_conv_decoder(model: ModelSection, image_shape: ImageShape) -> int:
    sizes = conv_geometry(*image_shape[1:])
    up1 = _conv(CHANNELS[1], CHANNELS[0], sizes.up1_kernel)
    up2 = _conv(CHANNELS[0], image_shape[0], sizes.up2_kernel)
    return _linear(model.latent, sizes.features) + up1 + up2


def _count_dense(model: ModelSection, image_shape: ImageShape, classes: int) -> int:
    return _count_dense_encoder(model, image_shape) + _count_dense_decoder(model, image_shape)


def _count_convolutional(model: ModelSection, image_shape: ImageShape, classes: int) -> int:
    return _count_conv_encoder(model, image_shape) + _count_conv_decoder(model, image_shape)


def _count_classifier(model: ModelSection, image_shape: ImageShape, classes: int) -> int:
    return _ENCODER_COUNTS[model.encoder](model, image_shape) + _linear(model.latent, classes)


_CHECKS: dict[str, Callable[[ModelSection, ImageShape, int], None]] = {
    "dense": _check_dense,
    "conv": _check_conv,
    "classifier": _check_classifier,
}
_COUNTS: dict[str, Callable[[ModelSection, ImageShape, int], int]] = {
    "dense": _count_dense,
    "conv": _count_convolutional,
    "classifier": _count_classifier,
}
_ENCODER_COUNTS: dict[str, Callable[[ModelSection, ImageShape], int]] = {
    "dense": _count_dense_encoder,
    "conv": _count_conv_encoder,
}
