"""One training step: a batch computed forward and backward, whole or in shards, and the gradients in their weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tuiae.data.batches import augment, corrupt, seeded
from tuiae.models.layers import drawing_from
from tuiae.training.objective import Objective
from tuiae.training.setup import Parts, autocast

STEP_NOISE = 0x5EED  # keeps the corruption of training steps apart from everything else that is seeded
STEP_AUGMENTATION = 0xA06
STEP_DRAWS = 0xD0E  # dropout, and the drawn codes of a variational autoencoder


class BatchScore(NamedTuple):
    """What a step found of its batch, on the device."""

    loss: Tensor
    """Mean over the batch, what is minimised."""
    sums: Tensor
    """Of the objective's values over the batch, and its size; see `Score.weighted`."""


class BatchStep:
    """Forward and backward of a batch, whose mean gradient ends in the weights.

    On a CPU a batch is cut into as many shards as the config says. Each is computed by one thread, on one core, with
    random numbers of its own, and their gradients are added in order: so the result does not depend on how many cores
    there are. PyTorch's own threads, which split each operation, begin and end some sixty times a step, shards once.
    """

    def __init__(self, parts: Parts, objective: Objective) -> None:
        self._parts = parts
        self._objective = objective
        self._weights = [weights for weights in parts.model.parameters() if weights.requires_grad]
        self._shards = parts.config.shards if parts.sharded else 0

    def adopt(self, parts: Parts, objective: Objective) -> None:
        """Compute by another config from here on; how many shards there are stays."""
        self._parts, self._objective = parts, objective

    def __call__(self, batch: Tensor, step: int) -> BatchScore:
        """Take the images at the indices `batch` (N,), for the step of this number."""
        shards = [shard for shard in batch.tensor_split(max(1, self._shards)) if len(shard)]
        computed = self._parts.cores.map(
            lambda place: self.compute_shard(shards[place], len(batch), step, place), range(len(shards))
        )
        (gradients, score), *others = computed
        for more, other in others:
            torch._foreach_add_(gradients, more)
            score = BatchScore(score.loss + other.loss, score.sums + other.sums)
        for weights, gradient in zip(self._weights, gradients, strict=True):
            weights.grad = gradient
        return score

    def compute_shard(self, index: Tensor, images: int, step: int, shard: int) -> tuple[tuple[Tensor, ...], BatchScore]:
        """The gradients and the score of one shard of a batch of so many `images`."""
        config, device = self._parts.config, self._parts.device
        training = config.training

        def generator(purpose: int) -> torch.Generator:
            return seeded(device, training.seed, purpose, step, *((shard,) if self._shards else ()))

        clean, labels = self._parts.train.take(index)
        if training.flip or training.shift:
            # Before it is corrupted: a reconstruction is compared with what was moved or mirrored.
            clean = augment(clean, training.flip, training.shift, generator(STEP_AUGMENTATION))
        noise = generator(STEP_NOISE) if config.noise.kind != "none" else None
        with drawing_from(generator(STEP_DRAWS) if self._shards else None), autocast(training.precision, device):
            output = self._parts.model(corrupt(clean, config.noise, noise))
            score = self._objective(output, clean, labels)
        loss = score.loss * (len(clean) / images) if len(clean) < images else score.loss
        return torch.autograd.grad(loss, self._weights), BatchScore(loss.detach(), score.weighted(len(clean)))
