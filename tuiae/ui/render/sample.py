"""A run's sample as the rows and captions of an image grid."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuiae.runs.snapshot import Sample
from tuiae.ui.render import palette
from tuiae.ui.render.grid import image_grid
from tuiae.ui.render.text import clean

Rows = list[tuple[str, np.ndarray]]
ERROR = "error"
_SCALES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Of the range of a pixel: what the end of the error ramp may stand for."""
_BEYOND = 0.5  # per cent of the pixels that may lie beyond that end


def sample_rows(sample: Sample) -> Rows:
    """One (label, (N, C, H, W)) for each kind of picture that the sample has."""
    kinds = (("input", sample.inputs), ("noisy", sample.noisy), ("output", sample.reconstructions))
    return [(label, images) for label, images in kinds if images is not None and images.ndim == 4]


def error_row(sample: Sample) -> tuple[tuple[str, np.ndarray], str] | None:
    """Where reconstructions are wrong, as a row of pictures of its own colours, and the scale in words.

    |reconstruction - clean input|, the mean of the channels, ends the ramp at a round share of a pixel's range, so that
    it seldom changes while a run goes on. None for a sample without reconstructions of its inputs.
    """
    clean_images, made = sample.inputs, sample.reconstructions
    if clean_images is None or made is None or clean_images.shape != made.shape or not made.size or made.ndim != 4:
        return None
    pictures, scale = error_pictures(made, clean_images)
    return (ERROR, pictures), f"brightest error: {scale:g} of a pixel's range"


def error_pictures(made: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> tuple[NDArray[Any], float]:
    """(N, 3, H, W) uint8, how far images (N, C, H, W) are off, and which share of a pixel's range is brightest."""
    error = np.abs(made.astype(np.int16) - wanted).mean(axis=1)
    largest = float(np.percentile(error, 100 - _BEYOND)) / 255
    scale = next((scale for scale in _SCALES if scale >= largest), 1.0)
    shade = (error / scale).clip(0, 255).round().astype(np.uint8)
    return _error_colours()[shade].transpose(0, 3, 1, 2), scale


@lru_cache(maxsize=1)
def _error_colours() -> NDArray[Any]:
    """(256, 3) uint8, from no error to the end of the scale."""
    stops = np.linspace(0, 255, len(palette.ERROR_RAMP))
    channels = zip(*palette.ERROR_RAMP, strict=True)
    return (
        np.stack([np.interp(np.arange(256), stops, channel) for channel in channels], axis=1).round().astype(np.uint8)
    )


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
