"""Activations by name, and a dropout that is cheap on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
"""Every config.Activation, and so every config.OutputActivation."""

_LANES = 4  # of 16 bits in one 64-bit draw
_LEVELS = 1 << 16


def activated(activation: str, p: float) -> list[nn.Module]:
    """An activation, and the dropout that every hidden layer of the works has after it."""
    return [RectifiedDropout(p)] if activation == "relu" else [ACTIVATIONS[activation](), Dropout(p)]


class Dropout(nn.Module):
    """`nn.Dropout`, with the random numbers drawn four at a time on a CPU.

    While training, every value becomes 0 with probability p and is scaled by 1 / (1 - p) otherwise; in eval mode the
    input itself comes back. On a CPU p is rounded to a multiple of 1/65536, and the scale follows the rounded p, so
    that the expectation stays the input. Draws come from torch's default generator.
    `Tensor.bernoulli_` costs more there than the convolutions it stands between; this took a sixth of the time.

    Raises:
        ValueError: p outside 0 <= p < 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.set_probability(p)

    def set_probability(self, p: float) -> None:
        """Drop with another probability from now on.

        Raises:
            ValueError: p outside 0 <= p < 1.
        """
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
        return x.mul(_scale(self._dropped)).mul_(_keep_mask(x, self._dropped))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class RectifiedDropout(Dropout):
    """`nn.ReLU` and `nn.Dropout` after it, as one layer.

    No gradient passes where a ReLU gives 0, so on a CPU the backward pass reads the mask back from the output, which
    the next layer keeps anyway: of three tensors as large as the output one is kept.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(F.relu(x))
        output: Tensor = _RectifyAndDrop.apply(x, self._dropped)
        return output


class _RectifyAndDrop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        output = _drop_(x.clamp_min(0), dropped)
        ctx.save_for_backward(output)
        ctx.scale = _scale(dropped)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (output,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradients[0], output, 0).mul_(ctx.scale), None


def _scale(dropped: int) -> float:
    return _LEVELS / (_LEVELS - dropped)


def _drop_(x: Tensor, dropped: int) -> Tensor:
    """Drop values of x in place."""
    # The scale is a number and not part of the mask: a bfloat16 mask would round it and shift the expectation.
    return x.mul_(_scale(dropped)).mul_(_keep_mask(x, dropped))


def _keep_mask(x: Tensor, dropped: int) -> Tensor:
    """A mask like x, of its type, 0 for about `dropped` values in 65536 and 1 for the others."""
    draws = torch.empty((x.numel() + _LANES - 1) // _LANES, dtype=torch.int64)
    draws.random_(-(2**63), None)  # the default range leaves the sign bit, and so one lane's top bit, at 0
    lanes = draws.view(torch.int16)[: x.numel()]
    mask = torch.empty_like(x)
    # empty_like is dense whatever x is, so its memory can be filled in order and channels_last costs nothing. Writing
    # the comparison straight into x's type is faster than a boolean mask, forward and backward.
    torch.ge(lanes, dropped - _LEVELS // 2, out=mask.as_strided((x.numel(),), (1,)))
    return mask
