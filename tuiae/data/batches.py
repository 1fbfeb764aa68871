"""A split as training draws from it: uint8 images kept where the model is, batches taken by index."""

from __future__ import annotations

import numpy as np
import torch

RESIDENT_SHARE = 0.5  # of the free memory of an accelerator; the rest is for the model and its activations


class ImageSet:
    """Images and labels of one split on a device.

    On the CPU the memory map itself is drawn from: the page cache is shared between workers. On an accelerator the
    whole split is copied there once, or, when it does not fit, streamed batch by batch with the same numbers.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, device: torch.device, resident: bool | None = None):
        self.device = device
        self._images = torch.from_numpy(images)
        self._labels = torch.from_numpy(labels)
        self.resident = fits(self._images, device) if resident is None else resident
        if self.resident:
            self._images = self._images.to(device)
            self._labels = self._labels.to(device)

    def __len__(self) -> int:
        return len(self._images)

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
        return self._scale(self._images.index_select(0, index), self._labels.index_select(0, index))

    def span(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """`take` for neighbours, without gathering."""
        return self._scale(self._images[start:stop], self._labels[start:stop])

    def _scale(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        images = images.to(self.device, non_blocking=True)
        return images.to(torch.float32).div_(255.0), labels.to(self.device, non_blocking=True)

    def place(self, order: torch.Tensor) -> torch.Tensor:
        """Move an order of indices to where the images lie."""
        return order.to(self._images.device)


def fits(images: torch.Tensor, device: torch.device) -> bool:
    """Whether a split can stay on the device for the whole training."""
    if device.type != "cuda":
        return True
    free, _total = torch.cuda.mem_get_info(device)
    return images.numel() < RESIDENT_SHARE * free


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The permutation of an epoch, (count,) int64: a pure function of its arguments, drawn on the CPU so that every
    device sees the same batches."""
    return torch.randperm(count, generator=seeded(torch.device("cpu"), seed, epoch))


def seeded(device: torch.device, *numbers: int) -> torch.Generator:
    """A generator whose stream depends on all the numbers; neighbours give unrelated streams (NumPy's SeedSequence)."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))
