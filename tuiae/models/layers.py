"""Layers: activations and initial weights by name, a dropout and a linear layer that are quick on a CPU; and what comes
out of a network."""

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
        # The scale is a number and not part of the mask: a bfloat16 mask would round it and shift the expectation.
        return x.mul(_scale(self._dropped)).mul_(_keep_mask(x, self._dropped))


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
        output = x.clamp_min(0).mul_(_scale(dropped)).mul_(_keep_mask(x, dropped))
        ctx.save_for_backward(output)
        ctx.scale = _scale(dropped)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (output,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradients[0], output, 0).mul_(ctx.scale), None


def set_dropout(model: nn.Module, p: float) -> None:
    """Set the probability of every dropout layer in a network; raises ValueError outside 0 <= p < 1."""
    for layer in model.modules():
        if isinstance(layer, Dropout):
            layer.set_probability(p)


def _scale(dropped: int) -> float:
    return _LEVELS / (_LEVELS - dropped)


def _keep_mask(x: Tensor, dropped: int) -> Tensor:
    """A mask like x, of its type, 0 for about `dropped` values in 65536 and 1 for the others."""
    draws = torch.empty((x.numel() + _LANES - 1) // _LANES, dtype=torch.int64)
    # The default range leaves the sign bit, and so one lane's top bit, at 0.
    draws.random_(-(2**63), None, generator=drawn_from())
    lanes = draws.view(torch.int16)[: x.numel()]
    mask = torch.empty_like(x)
    # empty_like is dense whatever x is, so its memory can be filled in order and channels_last costs nothing. Writing
    # the comparison straight into x's type is faster than a boolean mask, forward and backward.
    torch.ge(lanes, dropped - _LEVELS // 2, out=mask.as_strided((x.numel(),), (1,)))
    return mask


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
