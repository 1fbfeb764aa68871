"""Layers with weights, PyTorch's made quick on a CPU, and their initial weights by name; and what comes out of a
network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tuiae.config import Initialisation
from tuiae.kernels import library


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
        # As the weights lie, as oneDNN has it.
        return folded if weight.is_contiguous(memory_format=torch.channels_last) else folded.contiguous()

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
