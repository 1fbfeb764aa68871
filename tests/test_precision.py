"""What `training.precision` means on a device."""

from __future__ import annotations

import pytest
import torch

from tuiae.training.setup import keep_float32


@pytest.mark.parametrize(
    ("precision", "device", "left"),
    [("float32", "cuda:0", "ieee"), ("float32", "cpu", "tf32"), ("bfloat16", "cuda:0", "tf32")],
)
def test_float32_on_cuda_keeps_its_convolutions_from_tf32(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: str, left: str
) -> None:
    monkeypatch.setattr(torch.backends.cudnn.conv, "fp32_precision", "tf32")
    keep_float32(precision, torch.device(device))  # type: ignore[arg-type]
    assert torch.backends.cudnn.conv.fp32_precision == left
