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


def strided_sizes(model: ModelSection, image_shape: ImageShape) -> tuple[Size, ...]:
    """Sizes of the image and of what each convolution makes of it: padding keeps them, strides divide, rounding up."""
    sizes = [image_shape[1:]]
    for stride in model.strides:
        sizes.append((-(-sizes[-1][0] // stride), -(-sizes[-1][1] // stride)))
    return tuple(sizes)


def check_fit(model: ModelSection, image_shape: ImageShape, classes: int) -> None:
    """Tell before anything is built whether the network takes such images.

    Args:
        model: the network.
        image_shape: channels, height, width.
        classes: how many there are; 0 for images without labels.

    Raises:
        ConfigError: images too small for the network, or too few classes for a classifier.
    """
    is_classifier = model.family == "classifier"
    if is_classifier and classes < 2:
        have = f"{classes} class" if classes else "no labels"
        raise ConfigError(
            f"a classifier needs images of 2 classes or more, and these have {have}",
            "choose a labelled set, name more data.classes, or train an autoencoder (model.family = 'dense')",
        )
    if model.encoder_family == "conv":  # the others take images of any size
        conv_geometry(*image_shape[1:], key="model.encoder" if is_classifier else "model.family")


def count_parameters(model: ModelSection, image_shape: ImageShape, classes: int) -> int:
    """Weights and biases of the whole network, frozen ones included.

    Raises:
        ConfigError: as `check_fit`.
    """
    check_fit(model, image_shape, classes)
    family = model.encoder_family
    encoder = _ENCODER_COUNTS[family](model, image_shape)
    if model.family == "classifier":
        return encoder + _linear(model.latent, classes)
    spread = _linear(_features(model, image_shape), model.latent) if model.is_variational else 0
    return encoder + spread + _DECODER_COUNTS[family](model, image_shape)


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


def _features(model: ModelSection, image_shape: ImageShape) -> int:
    """Values that reach the layer of the code in a variational autoencoder."""
    if model.encoder_family == "dense":
        return dense_widths(model, image_shape)[-2]
    height, width = strided_sizes(model, image_shape)[-1]
    return model.channels[-1] * height * width


def _count_strided_encoder(model: ModelSection, image_shape: ImageShape) -> int:
    return _count_convolutions(model, image_shape, model.channels) + _linear(
        _features(model, image_shape), model.latent
    )


def _count_strided_decoder(model: ModelSection, image_shape: ImageShape) -> int:
    outputs = (image_shape[0], *model.channels[:-1])
    first = 0 if model.norm == "none" else -image_shape[0]  # the output has a bias and no norm
    return (
        _linear(model.latent, _features(model, image_shape)) + _count_convolutions(model, image_shape, outputs) + first
    )


def _count_convolutions(model: ModelSection, image_shape: ImageShape, outputs: tuple[int, ...]) -> int:
    """Weights between the feature maps, and for each output map a bias, or a norm's scale and shift."""
    pairs = pairwise((image_shape[0], *model.channels))
    weights = sum(a * b * model.kernel**2 for a, b in pairs)
    return weights + sum(outputs) * (1 if model.norm == "none" else 2)


Count = Callable[[ModelSection, ImageShape], int]
_ENCODER_COUNTS: dict[str, Count] = {
    "dense": _count_dense_encoder,
    "conv": _count_conv_encoder,
    "strided-conv": _count_strided_encoder,
}
_DECODER_COUNTS: dict[str, Count] = {
    "dense": _count_dense_decoder,
    "conv": _count_conv_decoder,
    "strided-conv": _count_strided_decoder,
}
