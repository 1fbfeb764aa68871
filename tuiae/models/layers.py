"""Layers: activations and initial weights by name, and PyTorch's layers made quick on a CPU; and what comes out of a
network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable

from tuiae.config import Initialisation
from tuiae.kernels import kernels_for, library


class ModelOutput(NamedTuple):
    """One type for all families; what a family does not have is None."""

    code: Tensor | None
    """(N, latent); None of a custom network whose `forward` gives none."""
    reconstruction: Tensor | None = None
    """(N, C, H, W), of autoencoders."""
    logits: Tensor | None = None
    """(N, classes), of classifiers."""
    mean: Tensor | None = None
    """(N, latent), of variational autoencoders: of the posterior."""
    log_variance: Tensor | None = None
    """(N, latent), of variational autoencoders: of the posterior."""
    returned: Any = None
    """What a custom network returned, for its own loss."""


class ReLU(nn.ReLU):
    """`nn.ReLU`, on a CPU in the place of its input, which a layer with weights has made for nobody else."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if self.training and kernels_for(x):
            output: Tensor = _RectifyAndDrop.apply(x, 0)
            return output
        return F.relu(x, inplace=torch.is_inference_mode_enabled())


class Sigmoid(nn.Sigmoid):
    """`nn.Sigmoid`, on a CPU in the place of its input, as `ReLU`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if self.training and kernels_for(x) and not x.is_leaf:
            output: Tensor = _Squash.apply(x)
            return output
        return super().forward(x)


class _Squash(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(x.sigmoid_())
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,), (output,) = gradients, ctx.saved_tensors
        made: Tensor = torch.ops.aten.sigmoid_backward(gradient, output)
        return made


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": ReLU,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": Sigmoid,
    "identity": nn.Identity,
}
"""Every config.Activation, and so every config.OutputActivation."""

_DRAWS: ContextVar[Generator | None] = ContextVar("draws", default=None)


@contextmanager
def drawing_from(generator: Generator | None) -> Iterator[None]:
    """Let dropout and drawn codes in this thread take their random numbers from a generator; None: torch's default."""
    token = _DRAWS.set(generator)
    try:
        yield
    finally:
        _DRAWS.reset(token)


def drawn_from() -> Generator | None:
    """What `drawing_from` says in this thread."""
    return _DRAWS.get()


_LANES = 4  # of 16 bits in one 64-bit draw
_LEVELS = 1 << 16


def activated(activation: str, p: float) -> list[nn.Module]:
    """An activation followed by dropout, as in every hidden layer of the works."""
    return [RectifiedDropout(p)] if activation == "relu" else [ACTIVATIONS[activation](), Dropout(p)]


class Dropout(nn.Module):
    """`nn.Dropout`, with the random numbers drawn four at a time on a CPU.

    While training, every value becomes 0 with probability p and is scaled by 1 / (1 - p) otherwise; in eval mode the
    input itself comes back. On a CPU p is rounded to a multiple of 1/65536, and the scale follows the rounded p, so
    that the expectation stays the input. Draws come from torch's default generator.
    `Tensor.bernoulli_` costs more there than the convolutions it stands between; this took a sixth of the time.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.set_probability(p)

    def set_probability(self, p: float) -> None:
        """Set the probability of dropping a value; raises ValueError outside 0 <= p < 1."""
        if not 0 <= p < 1:
            raise ValueError(f"dropout probability {p}: 0 <= p < 1")
        self.p = p
        # At least one level is kept, or a p next to 1 would divide by zero.
        self._dropped = min(round(p * _LEVELS), _LEVELS - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, any floating type, and the memory format of x kept."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        if kernels_for(x):
            kept: Tensor = _Drop.apply(x, self._dropped)
            return kept
        # The scale is a number and not part of the mask: a bfloat16 mask would round it and shift the expectation.
        return x.mul(_scale(self._dropped)).mul_(_keep_mask(x, self._dropped))


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        ctx.lanes, ctx.dropped, ctx.lies = _draw(x.numel()), dropped, x.stride()
        return _drop(x, ctx.lanes, dropped)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (given,) = gradients
        if given.stride() == ctx.lies:
            return _drop(given, ctx.lanes, ctx.dropped), None
        # As the lanes lie, and back: in another layout a convolution would add up its gradients in another order.
        laid = torch.empty_strided(given.shape, ctx.lies).copy_(given)
        return torch.empty_like(given).copy_(_drop(laid, ctx.lanes, ctx.dropped)), None


def _drop(x: Tensor, lanes: Tensor, dropped: int) -> Tensor:
    kept = torch.empty_like(x)
    library().drop(x, lanes, x.numel(), _least(dropped), _scale(dropped), kept)
    return kept


class RectifiedDropout(Dropout):
    """`nn.ReLU` and `nn.Dropout` after it, as one layer.

    No gradient passes where a ReLU gives 0, so on a CPU the backward pass reads the mask back from the output, which
    the next layer keeps anyway: of three tensors as large as the output one is kept, and the kernels write it in the
    place of their input, which a layer with weights has made for nobody else.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type == "cpu" and (self.p or kernels_for(x)):
            output: Tensor = _RectifyAndDrop.apply(x, self._dropped)
            return output
        return super().forward(F.relu(x, inplace=torch.is_inference_mode_enabled()))

    def pooled(self, x: Tensor) -> Tensor | None:
        """The largest of each 2x2 values of what it gives (N, C, H, W), in one pass; None where no kernel does that."""
        if not kernels_for(x) or not x.is_contiguous(memory_format=torch.channels_last):
            return None
        output: Tensor = _RectifyDropAndPool.apply(x, self._dropped if self.training else 0)
        return output


class _RectifyAndDrop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        ctx.scale = scale = _scale(dropped)
        if kernels := kernels_for(x):
            output = torch.empty_like(x) if x.is_leaf else x
            kernels.rectify_drop(x, _draw(x.numel()) if dropped else None, x.numel(), _least(dropped), scale, output)
            if output is x:
                ctx.mark_dirty(x)
        else:
            output = x.clamp_min(0).mul_(scale).mul_(_keep_mask(x, dropped))
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (given,), (output,) = gradients, ctx.saved_tensors
        if not (kernels := kernels_for(output)):
            return torch.ops.aten.threshold_backward(given, output, 0).mul_(ctx.scale), None
        gradient = torch.empty_like(output)
        if not kernels_for(given, output):
            given = gradient.copy_(given)  # as the output lies
        kernels.rectify_drop_gradient(given, output, output.numel(), ctx.scale, gradient)
        return gradient, None


class _RectifyDropAndPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        images, channels, height, width = x.shape
        pooled = torch.empty((images, channels, height // 2, width // 2), memory_format=torch.channels_last)
        ctx.shape, ctx.scale, ctx.places = x.shape, _scale(dropped), torch.empty(pooled.shape, dtype=torch.uint8)
        lanes = _draw(x.numel()) if dropped else None
        library().rectify_drop_pool(
            x, lanes, images, height, width, channels, _least(dropped), ctx.scale, pooled, ctx.places
        )
        return pooled

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        images, channels, height, width = ctx.shape
        given = gradients[0].contiguous(memory_format=torch.channels_last)
        gradient = torch.empty(ctx.shape, memory_format=torch.channels_last)
        library().rectify_drop_pool_gradient(given, ctx.places, images, height, width, channels, ctx.scale, gradient)
        return gradient, None


class PooledStack(nn.Sequential):
    """`nn.Sequential`, which takes a `RectifiedDropout` and the pooling after it in one pass where it can."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> what its last layer gives."""
        layers = iter(self)
        for layer in layers:
            if isinstance(layer, RectifiedDropout) and x.dim() == 4 and (pooled := layer.pooled(x)) is not None:
                next(layers)  # the pooling
                x = pooled
            else:
                x = layer(x)
        return x


def set_dropout(model: nn.Module, p: float) -> None:
    """Set the probability of every dropout layer in a network; raises ValueError outside 0 <= p < 1."""
    for layer in model.modules():
        if isinstance(layer, Dropout):
            layer.set_probability(p)


def _scale(dropped: int) -> float:
    return _LEVELS / (_LEVELS - dropped)


def _least(dropped: int) -> int:
    """The lowest lane that is kept."""
    return dropped - _LEVELS // 2


def _draw(count: int) -> Tensor:
    """So many lanes: integers of 16 bits, evenly spread."""
    draws = torch.empty((count + _LANES - 1) // _LANES, dtype=torch.int64)
    generator = drawn_from() or torch.default_generator
    if len(draws) >= MANY and _draws_alike():
        _draw_quickly(draws, generator)
    else:
        # The default range leaves the sign bit, and so one lane's top bit, at 0.
        draws.random_(-(2**63), None, generator=generator)
    return draws.view(torch.int16)[:count]


MANY = 20_000
"""Draws from which on the kernel gains: 100,000 take PyTorch 384 us and it 70."""


def _draw_quickly(draws: Tensor, generator: Generator) -> None:
    """What `draws.random_` does, by the kernel."""
    state = generator.get_state()
    library().draw(state, draws, len(draws))
    generator.set_state(state)


@cache
def _draws_alike() -> bool:
    """Whether there is the kernel, and draws what PyTorch draws, whose generators may come to be kept otherwise."""
    if library() is None:
        return False
    ours, theirs = (Generator().manual_seed(0) for _ in range(2))
    for count in (1, 1000):
        drawn, wanted = (torch.empty(count, dtype=torch.int64) for _ in range(2))
        if ours.get_state().shape != (STATE,):
            return False
        _draw_quickly(drawn, ours)
        if not torch.equal(drawn, wanted.random_(-(2**63), None, generator=theirs)):
            return False
    return torch.equal(ours.get_state(), theirs.get_state())


STATE = 5056
"""Bytes of the state of a generator on a CPU, as the kernel knows it."""


def _keep_mask(x: Tensor, dropped: int) -> Tensor:
    """A mask like x, of its type, 0 for about `dropped` values in 65536 and 1 for the others."""
    mask = torch.empty_like(x)
    # empty_like is dense whatever x is, so its memory can be filled in order and channels_last costs nothing. Writing
    # the comparison straight into x's type is faster than a boolean mask, forward and backward.
    torch.ge(_draw(x.numel()), _least(dropped), out=mask.as_strided((x.numel(),), (1,)))
    return mask


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d`; in float32 on a CPU with few channels as a product and a sum over its windows, and with the
    gradient of its bias by itself.

    oneDNN, which PyTorch asks, gets 27 GFLOP/s for 16 channels out of a core that multiplies at 150, and 3 for one: it
    takes 2.95 and 3.11 ms for the two of conv_256 and 125 images, instead of 0.78 and 0.66. All gradients of one from
    64 to 32 channels take it 6.7 ms, and 3.7 without that of the bias.
    """

    in_parts = False
    """Whether it may; runs of earlier versions go on as they began, in another order of sums."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H', W')."""
        plain = type(x) is Tensor and x.dtype == torch.float32 and x.device.type == "cpu"
        if not plain or not self.in_parts or torch.is_autocast_enabled("cpu"):
            return super().forward(x, output_size)
        output: Tensor = _ConvolveTransposed.apply(x, self.weight, self.bias, self)
        return output


FEW = 16
_COLUMNS = 1 << 18
"""Numbers of windows that are made at once: 1 MB, which stays in a core's cache."""


class _Windows(NamedTuple):
    """What a transposed convolution makes of images of a size, which lie channels last."""

    height: int
    width: int
    outputs: int
    tall: int
    wide: int
    stride: int
    padding: int
    rows: int
    length: int

    @classmethod
    def of(cls, layer: nn.ConvTranspose2d, height: int, width: int) -> _Windows:
        tall, wide = layer.kernel_size
        stride, padding = layer.stride[0], int(layer.padding[0])
        rows, length = (
            (size - 1) * stride - 2 * padding + window + extra
            for size, window, extra in zip((height, width), (tall, wide), layer.output_padding, strict=True)
        )
        return cls(height, width, layer.out_channels, tall, wide, stride, padding, rows, length)

    @property
    def at_once(self) -> int:
        """How many images are made at once."""
        return max(1, _COLUMNS // (self.height * self.width * self.tall * self.wide * self.outputs))

    def fold(self, columns: Tensor, bias: Tensor | None, folded: Tensor) -> None:
        """Windows (N * height * width, columns) -> `folded`, (N, outputs, rows, length), added up in their order."""
        if kernels := library():
            kernels.fold(columns, bias, len(folded), *self, folded)
            return
        wanted = columns.view(len(folded), -1, self.tall * self.wide, self.outputs).permute(0, 3, 2, 1).flatten(1, 2)
        size, window = (self.rows, self.length), (self.tall, self.wide)
        folded.copy_(F.fold(wanted, size, window, padding=self.padding, stride=self.stride))
        if bias is not None:
            folded.add_(bias.view(-1, 1, 1))


class _ConvolveTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: ConvTranspose2d) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        if layer.out_channels > FEW:
            strides = (layer.stride, layer.padding, layer.output_padding)
            made: Tensor = F.conv_transpose2d(x, weight, bias, *strides)  # type: ignore[arg-type]
            return made
        windows = _Windows.of(layer, *x.shape[2:])
        factors = weight.permute(0, 2, 3, 1).reshape(layer.in_channels, -1)
        shape = (len(x), windows.outputs, windows.rows, windows.length)
        folded = torch.empty(shape, memory_format=torch.channels_last)
        for part, into in zip(x.split(windows.at_once), folded.split(windows.at_once), strict=True):
            windows.fold(part.permute(0, 2, 3, 1).reshape(-1, layer.in_channels) @ factors, bias, into)
        return folded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (given,), (x, weight), layer = gradients, ctx.saved_tensors, ctx.layer
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
        geometry = (layer.stride, layer.padding, layer.dilation, True, layer.output_padding, layer.groups)
        made = torch.ops.aten.convolution_backward(given, x, weight, None, *geometry, [of_x, of_weight, False])
        return made[0], made[1], given.sum((0, 2, 3)) if of_bias else None, None


CPU_FACTS = Path("/proc/cpuinfo")
LEAST_PRODUCTS = 2_000_000
"""Multiplications from which on the detour pays: a batch of 40 from 784 to 64; below, it costs more than it saves."""


class Linear(nn.Linear):
    """`nn.Linear`; in float32 on an AMD processor with AVX-512 through oneDNN.

    PyTorch asks MKL, which leaves half of such a processor unused. Batches of 1000 from 784 to 64 in float32, one core
    of a Zen 5: 0.96 ms by MKL, 0.42 by oneDNN, which is part of PyTorch and does its convolutions. Both add up in
    float32, in another order.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        if not (x.dim() == 2 and x.numel() * self.out_features >= LEAST_PRODUCTS and x.device.type == "cpu"):
            return super().forward(x)
        if x.dtype != torch.float32 or torch.is_autocast_enabled("cpu") or not onednn_is_quicker():
            return super().forward(x)
        output: Tensor = OneDnnLinear.apply(x, self.weight, self.bias)
        return output


@cache
def onednn_is_quicker() -> bool:
    """Returns whether oneDNN is there and quicker than MKL on this processor."""
    if not has_onednn() or torch.backends.cpu.get_cpu_capability() != "AVX512" or not CPU_FACTS.exists():
        return False
    return "AuthenticAMD" in CPU_FACTS.read_text(encoding="utf-8", errors="replace")


def has_onednn() -> bool:
    """Returns whether this PyTorch has the operator, which it has for compiled networks."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class OneDnnLinear(torch.autograd.Function):
    """x (N, in), weight (out, in), bias (out,) or None -> (N, out), float32 on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable  # the products below are no functions that autograd knows
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if of_x else None,
            _gradient_of_weight(gradient, x) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def _gradient_of_weight(gradient: Tensor, x: Tensor) -> Tensor:
    """(N, out), (N, in) -> (out, in), the shorter side as rows: 0.45 ms instead of 0.70 for 64 and 784."""
    if gradient.shape[1] <= x.shape[1]:
        return _product(gradient.t(), x.t())
    return _product(x.t(), gradient.t()).t()


def _product(rows: Tensor, columns: Tensor, added: Tensor | None = None) -> Tensor:
    """(N, K) and (M, K), each with any strides -> (N, M)."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, columns, added, "none", [], "")
    return product


INITIALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier-uniform": nn.init.xavier_uniform_,
    "xavier-normal": nn.init.xavier_normal_,
    "kaiming-uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "kaiming-normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "orthogonal": nn.init.orthogonal_,
}
"""Every config.Initialisation but `default`, which leaves PyTorch's: uniform within 1 / sqrt(inputs), biases too."""


def initialise(model: nn.Module, kind: Initialisation) -> None:
    """Draw the weights of all linear and convolutional layers anew from torch's default generator; biases become 0."""
    if kind == "default":
        return
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                INITIALISERS[kind](layer.weight)
                if layer.bias is not None:
                    layer.bias.zero_()
