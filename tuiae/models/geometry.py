"""Sizes and parameter counts of the networks, in integers alone: the dashboard's form asks without importing torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class LayerInfo:
    """A layer of a network, as a table of them has it."""

    part: str
    """encoder, log_variance, decoder or head; of a custom network also `forward`, what that alone uses, and `other`,
    what no image goes through."""
    index: int
    """Its place in the part: `encoder.1` is a module of the network, and the beginning of the names of its weights."""
    kind: str
    shape: tuple[int, ...]
    """What comes out of it, less the batch."""
    parameters: int = 0
    words: str = ""
    """What else there is to say of it: a kernel, a dropout."""
    module: str = ""
    """The name of its module where that does not follow from part and place."""

    @property
    def name(self) -> str:
        """The name of its module."""
        return self.module or (self.part if self.part == "log_variance" else f"{self.part}.{self.index}")


def count_parameters(model: ModelSection, image_shape: ImageShape, classes: int) -> int:
    """Weights and biases of the whole network, frozen ones included; raises ConfigError as `check_fit`."""
    return sum(layer.parameters for layer in network_layers(model, image_shape, classes))


def head_layers(model: ModelSection, classes: int) -> list[LayerInfo]:
    """What a classifier has behind its code."""
    head = _Part("head", (model.latent,), model)
    head.linear(classes)
    if model.head == "relu-dropout":
        head.activated("relu", modules=2)
    return head.layers


def network_layers(model: ModelSection, image_shape: ImageShape, classes: int) -> tuple[LayerInfo, ...]:
    """The layers that `networks.build_model` makes, in the order in which images go through them; an activation and
    the dropout after it are one. Raises ConfigError as `check_fit`."""
    check_fit(model, image_shape, classes)
    if model.is_custom:
        hint = "a run that has begun knows them; `tuiae run --dry-run` makes it, and counts its parameters"
        raise ConfigError("the layers of a custom network are known to its file alone", hint)
    encoder = _Part("encoder", image_shape, model)
    _ENCODERS[model.encoder_family](encoder)
    encoder.linear(model.latent)
    if model.is_variational:
        mean = encoder.layers[-1]  # the log-variance is another layer on the same features
        encoder.layers.append(LayerInfo("log_variance", 0, mean.kind, mean.shape, mean.parameters))
    else:
        encoder.activated(model.code_activation)
    if model.family == "classifier":
        return (*encoder.layers, *head_layers(model, classes))
    decoder = _Part("decoder", (model.latent,), model)
    _DECODERS[model.encoder_family](decoder, image_shape)
    return (*encoder.layers, *decoder.layers)


class _Part:
    """The layers of one part of a network, one after the other."""

    def __init__(self, name: str, shape: tuple[int, ...], model: ModelSection) -> None:
        self.model = model
        self.shape = shape
        self.layers: list[LayerInfo] = []
        self._name = name
        self._modules = 0

    def add(self, kind: str, shape: tuple[int, ...], parameters: int = 0, words: str = "", modules: int = 1) -> None:
        """Add a layer, of so many modules."""
        self.layers.append(LayerInfo(self._name, self._modules, kind, shape, parameters, words))
        self.shape = shape
        self._modules += modules

    def flatten(self) -> None:
        self.add("flatten", (prod(self.shape),))

    def linear(self, width: int) -> None:
        self.add("linear", (width,), (self.shape[0] + 1) * width)

    def convolution(self, kind: str, shape: ImageShape, kernel: Size, stride: int = 1, bias: bool = True) -> None:
        """A convolution, or a transposed one, to so many maps of another size."""
        words = "x".join(map(str, kernel)) + (f", stride {stride}" if stride > 1 else "")
        self.add(kind, shape, shape[0] * (self.shape[0] * prod(kernel) + bias), words)

    def normed(self) -> None:
        """What follows a convolution with strides. A norm has a scale and a shift."""
        if self.model.norm == "batch":
            self.add("batch norm", self.shape, 2 * self.shape[0])
        self.activated(self.model.activation)

    def activated(self, activation: str, modules: int = 0) -> None:
        """An activation and dropout, as in `layers.activated`; what changes nothing is counted and not listed."""
        modules = modules or (1 if activation == "relu" else 2)
        words = f"dropout {self.model.dropout:g}" if self.model.dropout else ""
        if activation != "identity":
            self.add(activation, self.shape, 0, words, modules)
        elif words:
            self.add(words, self.shape, modules=modules)
        else:
            self._modules += modules

    def output(self) -> None:
        """The activation of the reconstruction, and its dropout."""
        dropped = self.model.output_dropout and self.model.dropout
        words = f"dropout {self.model.dropout:g}" if dropped else ""
        self.add(self.model.output, self.shape, 0, words, 2 if self.model.output_dropout else 1)


def _dense_encoder(part: _Part) -> None:
    part.flatten()
    _hidden(part, part.model.hidden)


def _dense_decoder(part: _Part, image_shape: ImageShape) -> None:
    _hidden(part, tuple(reversed(part.model.hidden)))
    part.linear(prod(image_shape))
    part.output()
    part.add("unflatten", image_shape)


def _hidden(part: _Part, widths: tuple[int, ...]) -> None:
    for width in widths:
        part.linear(width)
        part.activated(part.model.activation)


def _conv_encoder(part: _Part) -> None:
    _, *image = part.shape
    sizes = conv_geometry(image[0], image[1])
    for maps, (height, width) in zip(CHANNELS, (sizes.pool1, sizes.pool2), strict=True):
        _, rows, columns = part.shape
        part.convolution("convolution", (maps, rows - KERNEL + 1, columns - KERNEL + 1), (KERNEL, KERNEL))
        part.activated(part.model.activation)
        part.add("max pooling", (maps, height, width), words=f"{POOL}x{POOL}")
    part.flatten()


def _conv_decoder(part: _Part, image_shape: ImageShape) -> None:
    sizes = conv_geometry(*image_shape[1:])
    part.linear(sizes.features)
    part.activated(part.model.activation)
    part.add("unflatten", (CHANNELS[1], *sizes.pool2))
    part.convolution("transposed", (CHANNELS[0], *sizes.pool1), sizes.up1_kernel, STRIDE)
    part.activated(part.model.activation)
    part.convolution("transposed", image_shape, sizes.up2_kernel, STRIDE)
    part.output()


def _strided_encoder(part: _Part) -> None:
    model, kernel = part.model, (part.model.kernel,) * 2
    channels, height, width = part.shape
    sizes = strided_sizes(model, (channels, height, width))[1:]
    for maps, stride, size in zip(model.channels, model.strides, sizes, strict=True):
        part.convolution("convolution", (maps, *size), kernel, stride, bias=model.norm == "none")
        part.normed()
    part.flatten()


def _strided_decoder(part: _Part, image_shape: ImageShape) -> None:
    model, kernel = part.model, (part.model.kernel,) * 2
    sizes, maps = strided_sizes(model, image_shape), (image_shape[0], *model.channels)
    part.linear(maps[-1] * prod(sizes[-1]))
    part.activated(model.activation)
    part.add("unflatten", (maps[-1], *sizes[-1]))
    for depth in reversed(range(len(model.channels))):
        plain = depth == 0 or model.norm == "none"
        part.convolution("transposed", (maps[depth], *sizes[depth]), kernel, model.strides[depth], bias=plain)
        if depth:
            part.normed()
    part.output()


_ENCODERS: dict[str, Callable[[_Part], None]] = {
    "dense": _dense_encoder,
    "conv": _conv_encoder,
    "strided-conv": _strided_encoder,
}
"""By config.EncoderFamily, up to the layer that gives the code."""
_DECODERS: dict[str, Callable[[_Part, ImageShape], None]] = {
    "dense": _dense_decoder,
    "conv": _conv_decoder,
    "strided-conv": _strided_decoder,
}
