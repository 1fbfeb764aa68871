"""A run's sample as the rows and captions of an image grid."""

from __future__ import annotations

import numpy as np
from rich.text import Text

from tuiae.runs.snapshot import Sample
from tuiae.ui.render.grid import image_grid
from tuiae.ui.render.text import clean

Rows = list[tuple[str, np.ndarray]]


def sample_rows(sample: Sample) -> Rows:
    """One (label, (N, C, H, W)) for each kind of picture that the sample has."""
    kinds = (("input", sample.inputs), ("noisy", sample.noisy), ("output", sample.reconstructions))
    return [(label, images) for label, images in kinds if images is not None and images.ndim == 4]


def sample_captions(sample: Sample) -> list[str] | None:
    """For a classifier, what it took each picture for: `Sneaker ✓`, `Coat ✗`; None without predictions."""
    if sample.predictions is None or sample.labels is None:
        return None
    captions = []
    for label, prediction in zip(sample.labels, sample.predictions, strict=False):
        known = 0 <= int(prediction) < len(sample.classes)
        name = clean(sample.classes[int(prediction)]) if known else str(prediction)
        captions.append(f"{name} {'✓' if label == prediction else '✗'}")
    return captions


def sample_grid(sample: Sample, width: int, height: int, mode: str = "blocks") -> Text:
    """The whole sample as one text of `width` x `height` cells at most."""
    return image_grid(sample_rows(sample), width, height, mode, sample_captions(sample))
