"""Evaluation: dropout off, the same images and the same corruption every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tuiae.config import NoiseSection
from tuiae.data.batches import ImageSet, seeded
from tuiae.data.noise import corrupt
from tuiae.models.base import ModelOutput
from tuiae.models.losses import confusion_counts
from tuiae.models.variational import VariationalAutoencoder
from tuiae.training.codes import CodeUse, place_codes
from tuiae.training.objective import Quality, Totals, build_objective
from tuiae.training.precision import autocast
from tuiae.training.setup import Parts

EVALUATION = 0xE7A1  # keeps evaluation's corruption apart from every training step's
CODES = 2  # the drawn codes of evaluation, apart from its corruption
PLANE_POINTS = 2000  # codes of the test split that a sample keeps
BATCH = 1000

Watch = Callable[[int, torch.Tensor, torch.Tensor, ModelOutput], object]
"""(position of the first image, clean, corrupted, output) of a batch that was evaluated."""


@dataclass(frozen=True)
class Evaluation:
    """Means over a split, and for classes the counts, (classes, classes), rows the true class."""

    metrics: dict[str, float]
    confusion: np.ndarray | None = None


@torch.inference_mode()
def evaluate(
    parts: Parts, split: ImageSet, limit: int = 0, noise: NoiseSection | None = None, watch: Watch | None = None
) -> Evaluation:
    """Loss, accuracy and the quality of reconstructions over a split, or over its first `limit` images.

    `noise` stands in for the config's own; `watch` sees every batch. A variational autoencoder's codes are drawn, the
    same ones every time.
    """
    config, model, classes = parts.config, parts.model, len(parts.classes)
    objective = build_objective(config)
    totals = Totals(parts.device, objective.names)
    quality = Quality(parts.device)
    confusion = torch.zeros(classes, classes, dtype=torch.int64, device=parts.device) if config.is_classifier else None
    generator = seeded(parts.device, config.training.seed, EVALUATION)
    count = min(limit or len(split), len(split))
    with evaluating(model, seeded(parts.device, config.training.seed, EVALUATION, CODES)):
        for start in range(0, count, BATCH):
            clean, labels = split.span(start, min(start + BATCH, count))
            with autocast(config.training.precision, parts.device):
                shown = corrupt(clean, noise or config.noise, generator)
                output = model(shown)
            if watch is not None:
                watch(start, clean, shown, output)
            score = objective(output, clean, labels)
            totals.add(score.weighted(len(clean)))
            quality.add(score, output, clean, config.training.loss)
            if confusion is not None and output.logits is not None:
                confusion += confusion_counts(output.logits, labels, classes)
    return Evaluation(totals.read() | quality.read(), None if confusion is None else confusion.cpu().numpy())


@contextmanager
def evaluating(model: nn.Module, codes: torch.Generator | None = None) -> Iterator[None]:
    """Dropout off inside; a variational autoencoder draws its codes from `codes`, or takes their mean without it."""
    was_training = model.training
    model.eval()
    if isinstance(model, VariationalAutoencoder):
        model.generator = codes
    try:
        yield
    finally:
        if isinstance(model, VariationalAutoencoder):
            model.generator = None
        model.train(was_training)


@torch.inference_mode()
def sample(parts: Parts, index: torch.Tensor) -> dict[str, np.ndarray]:
    """What the panels show of the test images at `index`: arrays for `RunWriter.sample`."""
    config, model = parts.config, parts.model
    clean, labels = parts.test.take(parts.test.place(index))
    noisy = corrupt(clean, config.noise, seeded(parts.device, config.training.seed, EVALUATION, 1))
    with evaluating(model), autocast(config.training.precision, parts.device):
        output = model(noisy)
    arrays = {"inputs": as_bytes(clean), "labels": labels.cpu().numpy(), "classes": np.array(parts.classes)}
    if config.noise.kind != "none":
        arrays["noisy"] = as_bytes(noisy)
    if output.reconstruction is not None:
        arrays["reconstructions"] = as_bytes(output.reconstruction)
    if output.logits is not None:
        arrays["predictions"] = output.logits.argmax(1).cpu().numpy()
    return arrays | watch_codes(parts)


@torch.inference_mode()
def watch_codes(parts: Parts) -> dict[str, np.ndarray]:
    """Of the first test images, uncorrupted: `codes` (M, 2) on a plane, `code_labels` (M,), and of a variational
    autoencoder `unit_kl` (latent,)."""
    model, codes, labels, use = parts.model, [], [], CodeUse()
    count = min(PLANE_POINTS, len(parts.test))
    with evaluating(model), autocast(parts.config.training.precision, parts.device):
        for start in range(0, count, BATCH):
            clean, of_these = parts.test.span(start, min(start + BATCH, count))
            labels.append(of_these)
            if isinstance(model, VariationalAutoencoder):
                mean, log_variance = model.posterior(clean)
                use.add(ModelOutput(mean, mean=mean, log_variance=log_variance))
                codes.append(mean.float())
            else:
                codes.append(model.encode(clean).float())
    known, unit_kl = torch.cat(labels), use.unit_kl()
    points = place_codes(torch.cat(codes), known)
    arrays = {"codes": points.numpy(), "code_labels": known.to(torch.int32).cpu().numpy()}
    return arrays if unit_kl is None else {**arrays, "unit_kl": unit_kl.cpu().numpy()}


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
