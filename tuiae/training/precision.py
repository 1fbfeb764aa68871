"""Arithmetic of the forward and backward pass."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from tuiae.config import Precision


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 runs matrix products and convolutions in bfloat16 and keeps weights, loss and metrics in float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
