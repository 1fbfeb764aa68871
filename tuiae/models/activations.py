"""Activations by name and the dropout after them, made quick on a CPU: in one pass, and with the random numbers drawn
four at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from tuiae.kernels import kernels_for, library


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
    that the expectation stays the input; draws come from the generator of `drawing_from`.
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
        self.dropped = min(round(p * _LEVELS), _LEVELS - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, any floating type, and the memory format of x kept."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        if kernels_for(x):
            kept: Tensor = _Drop.apply(x, self.dropped)
            return kept
        # The scale is a number and not part of the mask: a bfloat16 mask would round it and shift the expectation.
        return x.mul(scale_of(self.dropped)).mul_(_keep_mask(x, self.dropped))


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        ctx.lanes, ctx.dropped, ctx.lies = draw_lanes(x.numel()), dropped, x.stride()
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
    library().drop(x, lanes, x.numel(), least_lane(dropped), scale_of(dropped), kept)
    return kept


class RectifiedDropout(Dropout):
    """`nn.ReLU` and `nn.Dropout` after it, as one layer.

    No gradient passes where a ReLU gives 0, so on a CPU the backward pass reads the mask back from the output, which
    the next layer keeps anyway: of three tensors as large as the output one is kept, and the kernels write it in the
    place of their input, which a layer with weights has made for nobody else.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type == "cpu" and (self.p or kernels_for(x)):
            output: Tensor = _RectifyAndDrop.apply(x, self.dropped)
            return output
        return super().forward(F.relu(x, inplace=torch.is_inference_mode_enabled()))

    def pooled(self, x: Tensor) -> Tensor | None:
        """The largest of each 2x2 values of what it gives (N, C, H, W), in one pass; None where no kernel does that."""
        if not kernels_for(x) or not x.is_contiguous(memory_format=torch.channels_last):
            return None
        output: Tensor = _RectifyDropAndPool.apply(x, self.dropped if self.training else 0)
        return output


class _RectifyAndDrop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        ctx.scale = scale = scale_of(dropped)
        if kernels := kernels_for(x):
            output = torch.empty_like(x) if x.is_leaf else x
            kernels.rectify_drop(
                x, draw_lanes(x.numel()) if dropped else None, x.numel(), least_lane(dropped), scale, output
            )
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
        # In the place of what is given, which was made for nobody else; or as the output lies.
        gradient = given if kernels_for(given, output) else torch.empty_like(output).copy_(given)
        kernels.rectify_drop_gradient(gradient, output, output.numel(), ctx.scale, gradient)
        return gradient, None


class _RectifyDropAndPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        images, channels, height, width = x.shape
        pooled = torch.empty((images, channels, height // 2, width // 2), memory_format=torch.channels_last)
        ctx.shape, ctx.scale, ctx.places = x.shape, scale_of(dropped), torch.empty(pooled.shape, dtype=torch.uint8)
        lanes = draw_lanes(x.numel()) if dropped else None
        library().rectify_drop_pool(
            x, lanes, images, height, width, channels, least_lane(dropped), ctx.scale, pooled, ctx.places
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


def scale_of(dropped: int) -> float:
    return _LEVELS / (_LEVELS - dropped)


def least_lane(dropped: int) -> int:
    """The lowest lane that is kept."""
    return dropped - _LEVELS // 2


def draw_lanes(count: int) -> Tensor:
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
    torch.ge(draw_lanes(x.numel()), least_lane(dropped), out=mask.as_strided((x.numel(),), (1,)))
    return mask
