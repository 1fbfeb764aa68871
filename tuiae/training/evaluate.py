"""Evaluation: dropout off, the same images and the same corruption every time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tuiae.data.batches import ImageSet, seeded
from tuiae.data.noise import corrupt
from tuiae.models.losses import confusion_counts
from tuiae.training.objective import Totals, build_objective
from tuiae.training.precision import autocast
from tuiae.training.setup import Parts

EVALUATION = 0xE7A1  # keeps evaluation's corruption apart from every training step's
BATCH = 1000


@dataclass(frozen=True)
class Evaluation:
    """Means over a split, and for classes the counts, (classes, classes), rows the true class."""

    metrics: dict[str, float]
    confusion: np.ndarray | None = None


@torch.inference_mode()
def evaluate(parts: Parts, split: ImageSet, limit: int = 0) -> Evaluation:
    """Loss and accuracy over a split, or over its first `limit` images."""
    config, model = parts.config, parts.model
    objective, totals = build_objective(config), Totals(parts.device)
    classes = len(parts.classes)
    confusion = torch.zeros(classes, classes, dtype=torch.int64, device=parts.device) if config.is_classifier else None
    generator = seeded(parts.device, config.training.seed, EVALUATION)
    count = min(limit or len(split), len(split))
    was_training = model.training
    model.eval()
    for start in range(0, count, BATCH):
        clean, labels = split.span(start, min(start + BATCH, count))
        with autocast(config.training.precision, parts.device):
            output = model(corrupt(clean, config.noise, generator))
        totals.add(objective(output, clean, labels).weighted(len(clean)))
        if confusion is not None and output.logits is not None:
            confusion += confusion_counts(output.logits, labels, classes)
    model.train(was_training)
    return Evaluation(totals.read(), None if confusion is None else confusion.cpu().numpy())


@torch.inference_mode()
def sample(parts: Parts, index: torch.Tensor) -> dict[str, np.ndarray]:
    """What the panels show of the test images at `index`: arrays for `RunWriter.sample`."""
    config, model = parts.config, parts.model
    clean, labels = parts.test.take(parts.test.place(index))
    noisy = corrupt(clean, config.noise, seeded(parts.device, config.training.seed, EVALUATION, 1))
    was_training = model.training
    model.eval()
    with autocast(config.training.precision, parts.device):
        output = model(noisy)
    model.train(was_training)
    arrays = {"inputs": as_bytes(clean), "labels": labels.cpu().numpy(), "classes": np.array(parts.classes)}
    if config.noise.kind != "none":
        arrays["noisy"] = as_bytes(noisy)
    if output.reconstruction is not None:
        arrays["reconstructions"] = as_bytes(output.reconstruction)
    if output.logits is not None:
        arrays["predictions"] = output.logits.argmax(1).cpu().numpy()
    return arrays


def as_bytes(images: torch.Tensor) -> np.ndarray:
    """Float images in 0..1 to uint8; a value that is no number becomes black."""
    finite = torch.nan_to_num(images.float(), nan=0.0, posinf=1.0, neginf=0.0)
    return finite.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()


def sample_index(labels: np.ndarray, count: int) -> torch.Tensor:
    """Positions of `count` images to watch: the first of every class, then the second, so that each class shows."""
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    order = np.lexsort((labels, rank))
    return torch.from_numpy(order[:count].copy())
