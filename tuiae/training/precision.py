"""Arithmetic of the forward and backward pass."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from tuiae.config import Precision, RunConfig


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 runs matrix products and convolutions in bfloat16 and keeps weights, loss and metrics in float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def keep_float32(precision: Precision, device: torch.device) -> None:
    """Let convolutions of float32 on a CUDA device be in float32, for the rest of the process.

    cuDNN's would round what they multiply to TF32, 10 bits of mantissa, while matrix products keep all 23; a result
    would then depend on the machine by more than the order of its sums.
    """
    if precision == "float32" and device.type == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]


def memory_format(config: RunConfig) -> torch.memory_format:
    """How the weights of convolutions lie in memory, and with them what they work on: channels last in bfloat16.

    Kernels for bfloat16 want it so, on a CPU and on a GPU; in float32 on a CPU it made no difference.
    """
    convolves = config.model.encoder_family != "dense"
    return torch.channels_last if convolves and config.training.precision == "bfloat16" else torch.preserve_format
