"""Objectives: the loss to minimise and the metrics to count, for autoencoders, variational ones and classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tuiae.config import RunConfig
from tuiae.models.custom import CustomNetwork
from tuiae.models.losses import (
    cross_entropy,
    kl_divergence,
    mse,
    negative_log_likelihood,
    score_images,
    wrong_pixels,
)
from tuiae.models.networks import ModelOutput, Network


@dataclass(frozen=True)
class Score:
    """The loss and metrics of one batch, on the device."""

    loss: Tensor
    """Mean over the batch, what is minimised."""
    values: tuple[Tensor, ...]
    """Means over the batch, as the objective's `names` say."""
    wrong: Tensor | None = None
    """(N,): pixels of each image that are wrong once rounded, in any channel."""

    def weighted(self, images: int) -> Tensor:
        """The sums over the batch, and its size: (len(names) + 1,), for `Totals.add`."""
        return torch.stack((*self.values, torch.ones_like(self.values[0]))).detach() * images


class BatchScore(NamedTuple):
    """What a step found of its batch, on the device."""

    loss: Tensor
    """Mean over the batch, what is minimised."""
    sums: Tensor
    """Of the objective's values over the batch, and its size; see `Score.weighted`."""


class Objective:
    """The loss of a config's family, or that of a custom `network`; while `training`, with the terms that only the
    gradient needs.

    Accuracy is the share of pixels, in colour of their values, that agree after both images are rounded to 0 or 1
    (andruskiewitsch-2020), or of images whose largest logit is their class.
    """

    def __init__(self, config: RunConfig, network: Network, training: bool = False) -> None:
        self._loss = config.training.loss
        self._smoothing = config.training.label_smoothing if training else 0.0
        self.beta: float | Tensor = config.training.beta
        self.names: tuple[str, ...] = ("loss", "accuracy")
        self._score = self._score_images
        if config.is_classifier:
            self._score = self._score_classes
        elif config.model.is_variational:
            self._score = self._score_bound
            self.names = ("loss", "accuracy", "reconstruction", "kl")
        elif isinstance(network, CustomNetwork) and network.has_loss:
            self._own_loss, self._score = network.loss, self._score_custom
            self.names = ("loss", "accuracy", *network.terms)

    def __call__(self, output: ModelOutput, clean: Tensor, labels: Tensor) -> Score:
        """The score of a batch against its clean images (N, C, H, W) and labels (N,)."""
        return self._score(output, clean, labels)

    def _score_images(self, output: ModelOutput, clean: Tensor, labels: Tensor) -> Score:
        """The configured loss against the clean image."""
        assert output.reconstruction is not None
        loss, values, wrong = score_images(self._loss, output.reconstruction, clean)
        return Score(loss, (loss, 1 - values.sum() / clean.numel()), wrong)

    def _score_bound(self, output: ModelOutput, clean: Tensor, labels: Tensor) -> Score:
        """Reconstruction term and KL term, in nats an image; their sum, the KL weighted with beta, is the loss.

        With beta = 1 it is the negative of the evidence lower bound, without the constant of the likelihood.
        """
        assert output.reconstruction is not None
        assert output.mean is not None
        assert output.log_variance is not None
        likelihood = negative_log_likelihood(self._loss, output.reconstruction, clean)
        kl = kl_divergence(output.mean, output.log_variance).sum(1).mean()
        loss = likelihood + self.beta * kl
        values, wrong = wrong_pixels(output.reconstruction, clean)
        return Score(loss, (loss, 1 - values.sum() / clean.numel(), likelihood, kl), wrong)

    def _score_custom(self, output: ModelOutput, clean: Tensor, labels: Tensor) -> Score:
        """The network's own loss, and its terms by their names."""
        assert output.reconstruction is not None
        loss, *terms = self._own_loss(clean, output.returned).values()
        values, wrong = wrong_pixels(output.reconstruction, clean)
        return Score(loss, (loss, 1 - values.sum() / clean.numel(), *terms), wrong)

    def _score_classes(self, output: ModelOutput, clean: Tensor, labels: Tensor) -> Score:
        """Cross-entropy in nats."""
        assert output.logits is not None
        loss = cross_entropy(output.logits, labels, self._smoothing)
        with torch.no_grad():
            accuracy = (output.logits.argmax(1) == labels).float().mean()
        return Score(loss, (loss, accuracy))


class Totals:
    """Values summed over images on the device; read once an epoch, because reading waits for the device."""

    def __init__(self, device: torch.device, names: tuple[str, ...]) -> None:
        # MPS has no float64.
        kind = torch.float32 if device.type == "mps" else torch.float64
        self.names = names
        self.sums = torch.zeros(len(names) + 1, dtype=kind, device=device)

    def add(self, weighted: Tensor) -> None:
        """Add a batch's `Score.weighted`."""
        self.sums += weighted

    def read(self) -> dict[str, float]:
        """Means over the images seen; empty when none was."""
        *sums, images = self.sums.tolist()  # host/device sync
        return {name: total / images for name, total in zip(self.names, sums, strict=True)} if images else {}

    def reset(self) -> None:
        self.sums.zero_()


QUALITY = ("mse", "wrong_pixels")
"""Measures of reconstructions beside the loss, over images seen with dropout off: the mean square error of a pixel, and
in how many an image is wrong."""


def with_quality(score: Score, output: ModelOutput, clean: Tensor, loss: str) -> Score:
    """The score of reconstructions with QUALITY before its own values."""
    assert output.reconstruction is not None
    assert score.wrong is not None
    is_mse = loss == "mse" and output.mean is None and output.returned is None
    error = score.loss if is_mse else mse(output.reconstruction, clean)
    return Score(score.loss, (error, score.wrong.mean(), *score.values), score.wrong)
