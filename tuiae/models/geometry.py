"""Sizes and parameter counts of the networks, in integers alone: the dashboard's form asks without importing torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod

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


_CONV_STEPS = (
    ("first convolution", KERNEL, 1),
    ("first pooling", POOL, POOL),
    ("second convolution", KERNEL, 1),
    ("second pooling", POOL, POOL),
)
"""Each layer's name, kernel and stride."""


@dataclass(frozen=True)
class ConvGeometry:
    """An image, and what each pooling of the convolutional autoencoder leaves of it."""

    image: Size
    pool1: Size
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

    Raises ConfigError naming the layer that gets too few; its hint offers to change the config's `key`.
    """
    sizes = [(height, width)]
    for layer, kernel, stride in _CONV_STEPS:
        rows, columns = sizes[-1]
        if min(rows, columns) < kernel:
            raise ConfigError(
                f"the {layer} ({kernel}x{kernel}) gets {rows}x{columns} pixels "
                f"of an image of {height}x{width}: too small",
                f"set data.image_size = 28, or choose {key} = 'dense'",
            )
        sizes.append(((rows - kernel) // stride + 1, (columns - kernel) // stride + 1))
    image, _, pool1, _, pool2 = sizes
    return ConvGeometry(image, pool1, pool2)


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
    """Raises ConfigError for images too small for the network, and for a classifier of too few classes; `classes` is 0
    for images without labels."""
    is_classifier = model.family == "classifier"
    if is_classifier and classes < 2:
        have = f"{classes} class" if classes else "no labels"
        hint = "choose a labelled set, name more data.classes, or train an autoencoder (model.family = 'dense')"
        raise ConfigError(f"a classifier needs images of 2 classes or more, and these have {have}", hint)
    if model.encoder_family == "conv":  # the others take images of any size
        conv_geometry(*image_shape[1:], key="model.encoder" if is_classifier else "model.family")


def fewest_in_batch(model: ModelSection, image_shape: ImageShape) -> int:
    """The fewest images that a batch may have in training: 2 where a batch norm gets one pixel of each map, so that a
    lone image has nothing to be normed by; else 1."""
    is_frozen = model.family == "classifier" and model.freeze
    if model.norm == "none" or model.encoder_family != "strided-conv" or is_frozen:
        return 1
    return 2 if (1, 1) in strided_sizes(model, image_shape)[1:] else 1


def check_batch(model: ModelSection, image_shape: ImageShape, batch: int, images: int | None = None) -> int:
    """`fewest_in_batch`; raises ConfigError where batches of so many, of so many training `images`, have fewer."""
    fewest = fewest_in_batch(model, image_shape)
    if min(batch, images or batch) >= fewest:
        return fewest
    height, width = image_shape[1:]
    raise ConfigError(
        f"batch norm cannot train on one image at a time where the convolutions leave one pixel of {height}x{width}",
        "raise training.batch_size, or take model.norm = 'none'" if batch < fewest else "train on more images",
    )


Layer = tuple[int, int, int]
"""Values or maps that go in, those that come out, and the weights between two of them (a kernel's area)."""
Layers = tuple[list[Layer], list[Layer], list[int]]
"""Of the encoder, of the decoder, and the maps that each norm works on."""


def count_parameters(model: ModelSection, image_shape: ImageShape, classes: int) -> int:
    """Weights and biases of the whole network, frozen ones included; raises ConfigError as `check_fit`."""
    check_fit(model, image_shape, classes)
    encoder, decoder, norms = _LAYERS[model.encoder_family](model, image_shape)
    if model.family == "classifier":
        decoder = [(model.latent, classes, 1)]
        norms = norms[: len(model.channels)]
    elif model.is_variational:
        encoder.append(encoder[-1])  # the log-variance, from the same features
    # A norm has a scale and a shift where the layer before it would have a bias.
    return sum(source * target * area + target for source, target, area in encoder + decoder) + sum(norms)


def _dense_layers(model: ModelSection, image_shape: ImageShape) -> Layers:
    pairs = list(pairwise(dense_widths(model, image_shape)))
    return [(a, b, 1) for a, b in pairs], [(b, a, 1) for a, b in pairs], []


def _conv_layers(model: ModelSection, image_shape: ImageShape) -> Layers:
    sizes = conv_geometry(*image_shape[1:])
    maps = (image_shape[0], *CHANNELS)
    encoder = [*((a, b, KERNEL**2) for a, b in pairwise(maps)), (sizes.features, model.latent, 1)]
    up1, up2 = prod(sizes.up1_kernel), prod(sizes.up2_kernel)
    return encoder, [(model.latent, sizes.features, 1), (maps[2], maps[1], up1), (maps[1], maps[0], up2)], []


def _strided_layers(model: ModelSection, image_shape: ImageShape) -> Layers:
    maps = (image_shape[0], *model.channels)
    features = maps[-1] * prod(strided_sizes(model, image_shape)[-1])
    convolutions = [(a, b, model.kernel**2) for a, b in pairwise(maps)]
    encoder = [*convolutions, (features, model.latent, 1)]
    decoder = [(model.latent, features, 1), *((b, a, area) for a, b, area in convolutions)]
    # In the encoder after every convolution, in the decoder after all but the last.
    return encoder, decoder, [*maps[1:], *maps[1:-1]] if model.norm == "batch" else []


_LAYERS: dict[str, Callable[[ModelSection, ImageShape], Layers]] = {
    "dense": _dense_layers,
    "conv": _conv_layers,
    "strided-conv": _strided_layers,
}
"""By config.EncoderFamily."""
