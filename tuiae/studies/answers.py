"""Questions to a trained network whose answer is one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.config import NoiseSection
from tuiae.explore.loaded import LoadedRun
from tuiae.training.quality import pca_error

DRAWS = 20  # corruptions of each image: a set of 15 characters is too few for one to say much
MANY = 1000  # images from which one draw each is enough
NEIGHBOURS = 5000  # training images among which the nearest is looked for
SAMPLES = 500
Reals = NDArray[Any]


def noise_error(loaded: LoadedRun, noise: NoiseSection, quality: str) -> float:
    """mse (mean over pixels), accuracy, exact (share of images with no wrong pixel), wrong_pixels (mean of an image) or
    wrong_pixels_max (the worst image) on the test images.
    """
    noisy, wanted = _noisy(loaded, noise)
    made = loaded.reconstruct(noisy)[1]
    return _QUALITIES[quality](made.reshape(len(made), -1), wanted.reshape(len(wanted), -1))


def _noisy(loaded: LoadedRun, noise: NoiseSection) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Test images with noise on them and the clean ones: one draw an image, or DRAWS where there are few images."""
    clean = loaded.images("test")
    draws = 1 if noise.kind == "none" or len(clean) >= MANY else DRAWS
    return (
        np.concatenate([loaded.corrupt(clean, noise, seed) for seed in range(draws)]),
        np.tile(clean, (draws, 1, 1, 1)),
    )


def _wrong(made: Reals, wanted: Reals) -> NDArray[np.int64]:
    return ((made > 0.5) != (wanted > 0.5)).sum(1)


_QUALITIES: dict[str, Callable[[Reals, Reals], float]] = {
    "mse": lambda made, wanted: float(np.mean(np.square(made - wanted), dtype=np.float64)),
    "accuracy": lambda made, wanted: float(1 - _wrong(made, wanted).mean() / wanted.shape[1]),
    "exact": lambda made, wanted: float((_wrong(made, wanted) == 0).mean()),
    "wrong_pixels": lambda made, wanted: float(_wrong(made, wanted).mean()),
    "wrong_pixels_max": lambda made, wanted: float(_wrong(made, wanted).max()),
}


def pca_error_of(loaded: LoadedRun) -> float:
    """Test error (mean over pixels) of as many principal components as the code is wide; of noisy input, where a run
    has noise, against the clean images."""
    noisy, wanted = _noisy(loaded, loaded.config.noise)
    return pca_error(loaded.images("train"), noisy, loaded.config.model.latent, wanted)


def recalls(confusion: NDArray[np.int64]) -> Reals:
    """Of each class, (classes,), from counts whose rows are the true class."""
    return np.diag(confusion) / np.maximum(confusion.sum(1), 1)


def subspace_angle(loaded: LoadedRun) -> float:
    """Largest principal angle in degrees between what a linear decoder spans and the first principal components.

    0 when they are the same subspace (Baldi and Hornik 1989: the optimum of a linear autoencoder).
    """
    images = loaded.images("train").reshape(len(loaded.images("train")), -1).astype(np.float64)
    width = loaded.config.model.latent
    units = np.vstack([np.zeros(width), np.eye(width)])
    decoded = _linear_decode(loaded, units)
    span = np.linalg.qr((decoded[1:] - decoded[0]).T)[0]
    components = np.linalg.svd(images - images.mean(0), full_matrices=False)[2][:width]
    cosines = np.linalg.svd(components @ span, compute_uv=False)
    return float(np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))))


def _linear_decode(loaded: LoadedRun, codes: Reals) -> Reals:
    """As `LoadedRun.decode`, without cutting what lies outside 0..1: a cut is not linear."""
    import torch

    decoder = loaded.parts.model
    with torch.inference_mode():
        given = torch.as_tensor(codes, dtype=torch.float32).to(loaded.parts.device)
        made: NDArray[np.float32] = decoder.decode(given).float().cpu().numpy()  # type: ignore[operator]
    return made.reshape(len(codes), -1).astype(np.float64)


def mean_square(loaded: LoadedRun) -> float:
    """Mean squared pixel of the training images: what dropping an output pixel costs."""
    return float(np.mean(np.square(loaded.images("train")), dtype=np.float64))


def _distances(points: Reals) -> Reals:
    """Euclidean, (N, N)."""
    squares = np.square(points).sum(1)
    return np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))


def _code_and_pixel_distances(loaded: LoadedRun) -> tuple[Reals, Reals]:
    images = loaded.images("test", MANY)
    codes, _ = loaded.codes("test", MANY)
    # Of binary pixels the squared distance is the number that differ.
    return _distances(codes.astype(np.float64)), _distances(images.reshape(len(images), -1).astype(np.float64)) ** 2


def neighbour_ratio(loaded: LoadedRun) -> float:
    """Pixels by which an image differs from its neighbour in code, against the mean over all pairs: 1 is chance."""
    codes, pixels = _code_and_pixel_distances(loaded)
    count = len(codes)
    np.fill_diagonal(codes, np.inf)
    nearest = pixels[np.arange(count), codes.argmin(1)].mean()
    return float(nearest / (pixels.sum() / (count * (count - 1))))


def distance_correlation(loaded: LoadedRun) -> float:
    """Spearman's rank correlation of code distance and pixel distance over all pairs."""
    codes, pixels = _code_and_pixel_distances(loaded)
    upper = np.triu_indices(len(codes), 1)
    return float(np.corrcoef(_ranks(codes[upper]), _ranks(pixels[upper]))[0, 1])


def _ranks(values: Reals) -> Reals:
    """Ranks with ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def prior_ratio(loaded: LoadedRun) -> float:
    """Median distance from images decoded of the prior to the nearest training image, over that of reconstructions of
    test images: about 1 when what has no input behind it is as near to real images as what has."""
    reals = loaded.images("train", NEIGHBOURS).reshape(-1, int(np.prod(loaded.parts.train.image_shape)))
    drawn = loaded.prior_samples(SAMPLES)
    made = loaded.reconstruct(loaded.images("test", SAMPLES))[1]
    far, near = (float(np.median(_nearest(images.reshape(len(images), -1), reals))) for images in (drawn, made))
    return far / near


def _nearest(images: NDArray[np.float32], reals: NDArray[np.float32]) -> Reals:
    squares = np.square(images).sum(1)[:, None] + np.square(reals).sum(1) - 2 * images @ reals.T
    return np.sqrt(np.maximum(squares.min(1), 0)).astype(np.float64)


QUESTIONS: dict[str, Callable[[LoadedRun], float]] = {
    "subspace_angle": subspace_angle,
    "mean_square": mean_square,
    "neighbour_ratio": neighbour_ratio,
    "distance_correlation": distance_correlation,
    "prior_ratio": prior_ratio,
}
"""Functions of claims that ask a network and nothing else."""
