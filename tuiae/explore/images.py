"""The images that a run was trained and tested on, as its network takes them; NumPy in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tuiae.config import NoiseSection, RunConfig
from tuiae.data.batches import ImageSet, seeded
from tuiae.data.noise import corrupt
from tuiae.errors import ConfigError
from tuiae.runs.layout import RunPaths
from tuiae.training.evaluate import sample_index
from tuiae.training.setup import Parts

Split = Literal["train", "test"]
Which = int | Sequence[int] | NDArray[np.int64] | None
"""The first so many images of a split, those at these positions, or None for all."""
Floats = NDArray[np.float32]

QUESTION = 0xA5C  # keeps the corruption of questions apart from that of training and evaluation


@dataclass(frozen=True)
class RunImages:
    """Both splits of one run. Images are float32 (N, C, H, W) in 0..1."""

    run: RunPaths
    checkpoint: str
    """Name of the checkpoint's directory, `step-000720`."""
    parts: Parts

    @property
    def config(self) -> RunConfig:
        return self.parts.config

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that labels index; one that stands for all images of a set without labels."""
        return self.parts.classes

    def images(self, split: Split = "test", which: Which = None) -> Floats:
        """Clean images of a split."""
        return self._take(split, which)[0].cpu().numpy()

    def labels(self, split: Split = "test", which: Which = None) -> NDArray[np.int64]:
        """Labels (N,) of a split, that index `classes`."""
        return self._set(split).labels[self._index(split, which).numpy()]

    def watched(self, count: int, split: Split = "test") -> NDArray[np.int64]:
        """Positions of `count` images to show: the first of every class, then the second, as in the run's samples."""
        return sample_index(self._set(split).labels, count).numpy()

    def corrupt(self, images: NDArray[Any], noise: NoiseSection, seed: int = 0) -> Floats:
        """Images with noise on them, drawn on the CPU: every device sees the same.

        Raises:
            ConfigError: images of another shape.
        """
        clean = self._checked(images)
        return corrupt(clean, noise, seeded(clean.device, seed, QUESTION)).numpy()

    def _set(self, split: Split) -> ImageSet:
        return self.parts.train if split == "train" else self.parts.test

    def _index(self, split: Split, which: Which) -> torch.Tensor:
        count = len(self._set(split))
        if which is None or isinstance(which, int):
            return torch.arange(count if which is None else min(which, count))
        index = torch.as_tensor(np.array(which, dtype=np.int64))
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < count:
            raise ConfigError(f"the {split} split has images 0 to {count - 1}", "ask for one of these")
        return index

    def _take(self, split: Split, which: Which) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = self._set(split)
        return chosen.take(chosen.place(self._index(split, which)))

    def _checked(self, images: NDArray[Any]) -> torch.Tensor:
        given = torch.as_tensor(np.asarray(images, dtype=np.float32))
        shape = self.parts.train.image_shape
        if given.ndim != 4 or tuple(given.shape[1:]) != shape:
            wanted = ", ".join(map(str, shape))
            raise ConfigError(f"images of shape {tuple(given.shape)}: {self.run.id} takes (N, {wanted})", "give these")
        return given
