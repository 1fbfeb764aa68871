"""Augmentation of training images: what is moved or mirrored is still the same thing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def augment(images: Tensor, flip: bool, shift: int, generator: Generator) -> Tensor:
    """Mirror half of the images (N, C, H, W) left to right, and move each by up to `shift` pixels up, down and
    sideways, with 0 coming in; every image draws for itself, on its own device.

    Returns:
        Images of the same shape and type.
    """
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
