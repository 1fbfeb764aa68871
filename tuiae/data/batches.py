"""Batches: a split kept where the model is, the order of an epoch, corruption and augmentation of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from tuiae.config import NoiseSection
from tuiae.kernels import library

RESIDENT_SHARE = 0.5  # of the free memory of an accelerator; the rest is for the model and its activations


class ImageSet:
    """Images and labels of one split on a device.

    On the CPU the memory map itself is drawn from: the page cache is shared between workers. On an accelerator the
    whole split is copied there once, or, when it does not fit, streamed batch by batch with the same numbers.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
        self.device = device
        self._images = torch.from_numpy(images)
        self._labels = torch.from_numpy(labels)
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf
        self.resident = self._images.numel() < RESIDENT_SHARE * free
        if self.resident:
            self._images = self._images.to(device)
            self._labels = self._labels.to(device)

    def __len__(self) -> int:
        return self._images.shape[0]

    @property
    def labels(self) -> np.ndarray:
        """All labels, (N,), on the host."""
        return self._labels.cpu().numpy()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        channels, height, width = self._images.shape[1:]
        return channels, height, width

    def take(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images as float32 in 0..1, (N, C, H, W), and labels, (N,), both on the device.

        `index` lies where the images lie (see `place`).
        """
        labels = self._labels.index_select(0, index)
        return self.take_images(index), labels.to(self.device, non_blocking=True)

    def take_images(self, index: torch.Tensor) -> torch.Tensor:
        """The images of `take`; for a few of them the labels take as long."""
        return self._scale(self._images, index)

    def span(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """`take` for neighbours, without gathering."""
        return self._scale(self._images[start:stop]), self._labels[start:stop].to(self.device, non_blocking=True)

    def _scale(self, images: torch.Tensor, index: torch.Tensor | None = None) -> torch.Tensor:
        """Bytes, those at the places of an index or all, as 0..1 on the device."""
        kernels = library() if self.device.type == "cpu" and images.is_contiguous() else None
        if kernels is not None:
            count = images.shape[0] if index is None else index.numel()
            taken = torch.empty(count, *images.shape[1:])
            kernels.take_images(images, index, count, math.prod(images.shape[1:]), taken)
            return taken
        if index is not None:
            images = images.index_select(0, index)
        return images.to(self.device, non_blocking=True).to(torch.float32).div_(255.0)

    def place(self, order: torch.Tensor) -> torch.Tensor:
        """Move an order of indices to where the images lie."""
        return order.to(self._images.device)


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The permutation of an epoch, (count,) int64: a pure function of its arguments, drawn on the CPU so that every
    device sees the same batches."""
    at_once = max(1, _AT_ONCE // max(1, count))
    return _epoch_orders(count, seed, epoch // at_once, at_once)[epoch % at_once]


_AT_ONCE = 1 << 12
"""Indices that are drawn at once: by itself, between other work, an order of 32 images takes 70 us, in a row 10."""


@lru_cache(maxsize=1)
def _epoch_orders(count: int, seed: int, block: int, size: int) -> list[torch.Tensor]:
    """The orders of a block of so many epochs."""
    generators = (seeded(torch.device("cpu"), seed, epoch) for epoch in range(block * size, (block + 1) * size))
    return [torch.randperm(count, generator=generator) for generator in generators]


def batch_end(begin: int, size: int, count: int, fewest: int = 1) -> int:
    """Where a batch of `size` ends that begins so far in an epoch of `count` images; it takes along what would be a
    batch of fewer than `fewest`."""
    end = min(begin + size, count)
    return count if count - end < fewest else end


def count_batches(size: int, count: int, fewest: int = 1) -> int:
    """How many batches an epoch of `count` images has."""
    whole, rest = divmod(count, size)
    return max(1, whole + (rest >= fewest))


def seed_of(*numbers: int) -> int:
    """A seed that depends on all the numbers; neighbours give unrelated streams (NumPy's SeedSequence)."""
    small = max(numbers) < 1 << 32  # NumPy takes twice as long to split numbers into 32 bits each
    sequence = np.random.SeedSequence(np.array(numbers, np.uint32) if small else numbers)
    low, high = sequence.generate_state(2).tolist()
    return (low | high << 32) >> 1


def seeded(device: torch.device, *numbers: int) -> torch.Generator:
    """A generator whose stream depends on all the numbers."""
    return torch.Generator(device).manual_seed(seed_of(*numbers))


Corruption = Callable[[Tensor, float, float, Generator | None], Tensor]
"""(images (N, C, H, W) in 0..1, level, probability, generator) -> corrupted images, a new tensor in 0..1."""


def _salt_pepper(images: Tensor, level: float, probability: float, generator: Generator | None) -> Tensor:
    """Half of the pixels hit turn 0 and half 1, in all their channels."""
    draw = _rand(_pixels(images), images, generator)
    return images.masked_fill(draw < level, 1).masked_fill_(draw < level / 2, 0).clamp_(0, 1)


def _mask(images: Tensor, level: float, probability: float, generator: Generator | None) -> Tensor:
    """The pixels hit turn 0, in all their channels."""
    return images.masked_fill(_rand(_pixels(images), images, generator) < level, 0).clamp_(0, 1)


def _gaussian(images: Tensor, level: float, probability: float, generator: Generator | None) -> Tensor:
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return noise.mul_(level).add_(images).clamp_(0, 1).to(images.dtype)


def _uniform(images: Tensor, level: float, probability: float, generator: Generator | None) -> Tensor:
    """Source: tp5-2022, where a pixel moves with `probability` by up to `level` towards the other value."""
    hit = _rand(_pixels(images), images, generator) < probability
    delta = _rand(images.shape, images, generator).mul_(level).mul_(hit)
    return torch.where(images < 0.5, images + delta, images - delta).clamp_(0, 1).to(images.dtype)


CORRUPTIONS: dict[str, Corruption] = {
    "none": lambda images, *_: images,
    "salt-pepper": _salt_pepper,
    "gaussian": _gaussian,
    "uniform": _uniform,
    "mask": _mask,
}
"""By config.NoiseKind."""


def corrupt(images: Tensor, section: NoiseSection, generator: Generator | None = None) -> Tensor:
    """Images (N, C, H, W) in 0..1 corrupted as a [noise] table says; the ones given stay clean, for the target.

    `generator` is on the images' device; None draws from torch's default one. For kind "none" the very same tensor
    comes back, else one of the same shape, type and device.
    """
    return CORRUPTIONS[section.kind](images, section.level, section.probability, generator)


def _pixels(images: Tensor) -> tuple[int, int, int, int]:
    """One draw a pixel, whatever its number of channels."""
    count, _, height, width = images.shape
    return count, 1, height, width


def _rand(shape: tuple[int, ...], images: Tensor, generator: Generator | None) -> Tensor:
    # float32 whatever the images are: bfloat16 has 256 steps, and a share of 0.001 would never be met
    return torch.rand(shape, generator=generator, device=images.device)


def augment(images: Tensor, flip: bool, shift: int, generator: Generator) -> Tensor:
    """Mirror half of the images (N, C, H, W) left to right, and move each by up to `shift` pixels up, down and
    sideways, with 0 coming in; every image draws for itself, on its own device. Shape and type stay."""
    if flip:
        mirrored = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    return _shifted(images, shift, generator) if shift else images


def _shifted(images: Tensor, shift: int, generator: Generator) -> Tensor:
    count, channels, height, width = images.shape
    device = images.device
    corner = torch.randint(0, 2 * shift + 1, (2, count, 1), generator=generator, device=device)
    rows = corner[0] + torch.arange(height, device=device)
    columns = corner[1] + torch.arange(width, device=device)
    padded = F.pad(images, (shift, shift, shift, shift))
    each = torch.arange(count, device=device)[:, None, None, None]
    maps = torch.arange(channels, device=device)[None, :, None, None]
    return padded[each, maps, rows[:, None, :, None], columns[:, None, None, :]]
