"""Corruption of images, by config.NoiseKind; the caller keeps the clean ones as the target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from tuiae.config import NoiseSection

Corruption = Callable[[Tensor, float, float, Generator | None], Tensor]
"""(images (N, C, H, W) in 0..1, level, probability, generator) -> corrupted images, a new tensor in 0..1."""


def _none(images: Tensor, level: float, probability: float, generator: Generator | None) -> Tensor:
    return images


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
    "none": _none,
    "salt-pepper": _salt_pepper,
    "gaussian": _gaussian,
    "uniform": _uniform,
    "mask": _mask,
}


def corrupt(images: Tensor, section: NoiseSection, generator: Generator | None = None) -> Tensor:
    """Corrupt images (N, C, H, W) in 0..1 as a [noise] table says; they are left as they are.

    Args:
        images: floating point, on any device.
        section: kind, level and probability.
        generator: on the images' device; None draws from torch's default generator.

    Returns:
        Images of the same shape, type and device, in 0..1; the very same tensor for kind "none".
    """
    return CORRUPTIONS[section.kind](images, section.level, section.probability, generator)


def _pixels(images: Tensor) -> tuple[int, int, int, int]:
    """One draw a pixel, whatever its number of channels."""
    count, _, height, width = images.shape
    return count, 1, height, width


def _rand(shape: tuple[int, ...], images: Tensor, generator: Generator | None) -> Tensor:
    # float32 whatever the images are: bfloat16 has 256 steps, and a share of 0.001 would never be met
    return torch.rand(shape, generator=generator, device=images.device)
