"""What is minimised and what is counted, for reconstructions and for classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tuiae.config import RunConfig
from tuiae.models.base import ModelOutput
from tuiae.models.losses import RECONSTRUCTION_LOSSES, wrong_pixels


@dataclass(frozen=True)
class Score:
    """Of one batch, on the device: mean loss, mean accuracy in 0..1."""

    loss: Tensor
    accuracy: Tensor

    def weighted(self, images: int) -> Tensor:
        """Loss and accuracy summed over the batch, and its size: (3,), for `Totals.add`."""
        loss = self.loss.detach()
        return torch.stack((loss, self.accuracy, torch.ones_like(loss))) * images


class ReconstructionObjective:
    """The configured loss against the clean image; accuracy is the share of pixels that agree after both images are
    rounded to 0 or 1 (andruskiewitsch-2020)."""

    def __init__(self, config: RunConfig) -> None:
        self._loss = RECONSTRUCTION_LOSSES[config.training.loss]

    def __call__(self, output: ModelOutput, clean: Tensor, labels: Tensor) -> Score:
        assert output.reconstruction is not None
        loss = self._loss(output.reconstruction, clean)
        return Score(loss, 1 - wrong_pixels(output.reconstruction, clean).sum() / clean.numel())


class ClassObjective:
    """Cross-entropy, and the share of images whose largest logit is their class."""

    def __init__(self, config: RunConfig) -> None:
        self._loss = nn.CrossEntropyLoss()

    def __call__(self, output: ModelOutput, clean: Tensor, labels: Tensor) -> Score:
        assert output.logits is not None
        logits = output.logits.float()
        with torch.no_grad():
            accuracy = (logits.argmax(1) == labels).float().mean()
        return Score(self._loss(logits, labels), accuracy)


def build_objective(config: RunConfig) -> ReconstructionObjective | ClassObjective:
    """The objective of the config's family."""
    return ClassObjective(config) if config.is_classifier else ReconstructionObjective(config)


class Totals:
    """Loss and accuracy summed over images on the device; read once an epoch, because reading waits for the device."""

    def __init__(self, device: torch.device) -> None:
        # MPS has no float64.
        kind = torch.float32 if device.type == "mps" else torch.float64
        self.sums = torch.zeros(3, dtype=kind, device=device)

    def add(self, weighted: Tensor) -> None:
        """Add a batch's `Score.weighted`."""
        self.sums += weighted

    def read(self) -> dict[str, float]:
        """Means over the images seen; empty when none was."""
        loss, accuracy, images = self.sums.tolist()  # host/device sync
        return {"loss": loss / images, "accuracy": accuracy / images} if images else {}

    def reset(self) -> None:
        self.sums.zero_()
