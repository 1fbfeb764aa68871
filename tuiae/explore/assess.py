"""Which test images a checkpoint does badly: errors and predictions of each, from one evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuiae.explore.loaded import LoadedRun
from tuiae.models.base import ModelOutput
from tuiae.training.evaluate import as_bytes, evaluate

KEPT = 64
"""Worst images of which the pictures are kept."""


@dataclass(frozen=True)
class Assessed:
    """Of every test image under the run's own noise, as the evaluation after an epoch sees it."""

    errors: NDArray[np.float32]
    """(N,): mean squared error; of a classifier the probability of a wrong prediction, 0 of a right one."""
    predicted: NDArray[np.int64] | None
    """(N,), of a classifier."""
    shares: NDArray[np.float32] | None
    """(N,), of a classifier: probability of what it predicted."""
    worst: NDArray[np.int64]
    """Positions of the images with the largest error, largest first, at most KEPT."""
    noisy: NDArray[np.uint8]
    """What the network was shown of them."""
    made: NDArray[np.uint8] | None
    """What an autoencoder made of them."""


def assess(loaded: LoadedRun) -> Assessed:
    """Evaluate the whole test split and look at each image."""
    watcher = _Watcher(loaded)
    evaluate(loaded.parts, loaded.parts.test, watch=watcher)
    return watcher.result()


class _Watcher:
    def __init__(self, loaded: LoadedRun) -> None:
        self._labels = loaded.labels()
        self._errors: list[NDArray[Any]] = []
        self._predicted: list[NDArray[Any]] = []
        self._shares: list[NDArray[Any]] = []
        self._worst = np.zeros(0, np.int64)
        self._pictures: list[NDArray[np.uint8]] = []

    def __call__(self, start: int, clean: torch.Tensor, shown: torch.Tensor, output: ModelOutput) -> None:
        if output.reconstruction is not None:
            errors = (output.reconstruction.float() - clean).square().flatten(1).mean(1).cpu().numpy()
            pictures = [shown, output.reconstruction]
        else:
            assert output.logits is not None
            shares, predicted = output.logits.float().softmax(1).max(1)
            self._shares.append(shares.cpu().numpy())
            self._predicted.append(predicted.cpu().numpy())
            right = self._predicted[-1] == self._labels[start : start + len(clean)]
            errors, pictures = np.where(right, 0.0, self._shares[-1]), [shown]
        self._errors.append(np.nan_to_num(errors, nan=np.inf, posinf=np.inf).astype(np.float32))
        self._keep_worst(start, pictures)

    def _keep_worst(self, start: int, pictures: list[torch.Tensor]) -> None:
        """Of those kept and this batch the worst; pictures of no others stay in memory."""
        errors = np.concatenate(self._errors)
        fresh = start + np.argsort(-self._errors[-1], kind="stable")[:KEPT]
        both = np.concatenate([self._worst, fresh])
        order = np.argsort(-errors[both], kind="stable")[:KEPT]
        of_these = [as_bytes(images[fresh - start]) for images in pictures]
        joined = [np.concatenate(pair) for pair in zip(self._pictures, of_these, strict=True)] if start else of_these
        self._worst, self._pictures = both[order], [images[order] for images in joined]

    def result(self) -> Assessed:
        return Assessed(
            np.concatenate(self._errors),
            np.concatenate(self._predicted) if self._predicted else None,
            np.concatenate(self._shares) if self._shares else None,
            self._worst,
            self._pictures[0],
            self._pictures[1] if len(self._pictures) > 1 else None,
        )
