"""The plane that is looked at: codes of test images as its points, and the way from a point back to a code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.errors import ConfigError
from tuiae.explore.plane import Floats, PlaneGrid, Projection, prior_grid, project, range_grid

PERPLEXITY = 30.0
"""Of t-SNE, where there are points enough; van der Maaten and Hinton (2008) call 5 to 50 usual."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sampled:
    """Test images with their codes."""

    indices: Ints
    """(N,): positions in the test split."""
    codes: NDArray[np.float32]
    """(N, latent)."""
    labels: Ints

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """(N,): whether every number of a code is finite."""
        return np.asarray(np.isfinite(self.codes).all(axis=1))


@dataclass(frozen=True)
class ShownPlane:
    """Sampled codes on a plane."""

    sampled: Sampled
    projection: Projection
    dims: tuple[int, int] | None = None

    def nearest(self, x: float, y: float, count: int) -> tuple[Ints, Floats]:
        """Places (k,) among the samples of the nearest points, nearest first, and their distances on the plane."""
        distances = np.hypot(*(self.projection.points - (x, y)).T)
        distances = np.where(np.isfinite(distances), distances, np.inf)
        order = np.argsort(distances, kind="stable")[: min(count, int(np.isfinite(distances).sum()))]
        return order, distances[order]

    def codes_at(self, points: NDArray[Any]) -> Floats:
        """Codes (M, latent) of points (M, 2) of the plane.

        Raises:
            ConfigError: no code has a place on this plane.
        """
        if not self.sampled.known.any():
            raise ConfigError("no code of this checkpoint is finite", "its training diverged: take an earlier one")
        return WAYS_BACK[self.projection.kind](self, np.asarray(points, np.float64))

    @property
    def source(self) -> str:
        """How the code of a point is found."""
        return SOURCES[self.projection.kind]

    @cached_property
    def mean(self) -> Floats:
        """(latent,): the mean code."""
        return self.sampled.codes[self.sampled.known].astype(np.float64).mean(axis=0)

    @cached_property
    def directions(self) -> Floats:
        """(2, latent): what one step along each axis adds to a code, by least squares; for principal components these
        are the components themselves."""
        known = self.sampled.known
        centred = self.sampled.codes[known] - self.mean
        return np.asarray(np.linalg.lstsq(self.projection.points[known], centred, rcond=None)[0], np.float64)

    def grid(self, count: int, variational: bool) -> tuple[PlaneGrid, str]:
        """`count` values each way, and where they come from: `prior`, its quantiles, where the points are codes that
        have one, else `range`, that of the points."""
        if variational and self.projection.kind == "code":
            return prior_grid(count), "prior"
        return range_grid(self.projection.points, count), "range"


def _replaced(plane: ShownPlane, points: Floats) -> Floats:
    codes = np.repeat(plane.mean[None], len(points), axis=0)
    codes[:, list(plane.dims or (0, 1))] = points
    return codes


def _nearest_own(plane: ShownPlane, points: Floats) -> Floats:
    chosen = [int(plane.nearest(x, y, 1)[0][0]) for x, y in points]
    return plane.sampled.codes[chosen].astype(np.float64)


WAYS_BACK: dict[str, Callable[[ShownPlane, Floats], Floats]] = {
    "code": lambda plane, points: points,
    "class": lambda plane, points: points[:, :1],
    "dims": _replaced,
    "principal": lambda plane, points: plane.mean + points @ plane.directions,
    "tsne": _nearest_own,
}
SOURCES = {
    "code": "the code itself",
    "class": "the code itself",
    "dims": "the mean code with these two numbers",
    "principal": "the mean code and so much of both components",
    "tsne": "the code of the nearest image: t-SNE has no way back",
}


def place(sampled: Sampled, by: str = "", axes: tuple[int, int] | None = None) -> ShownPlane:
    """Sampled codes on a plane.

    Args:
        sampled: which codes.
        by: `axes` (two numbers of the code), `principal`, `tsne`, or empty for what suits the width of the code: the
            code itself where it is two numbers, else principal components.
        axes: for `axes`, which two.

    Raises:
        ConfigError: no such numbers, or t-SNE without scikit-learn or with too few codes.
    """
    if by == "tsne":
        return ShownPlane(sampled, Projection(embed(sampled), ("t-SNE 1", "t-SNE 2"), "tsne"))
    if by != "axes":
        return ShownPlane(sampled, project(sampled.codes, sampled.labels))
    latent = sampled.codes.shape[1]
    first, second = axes or (0, 1)
    if latent < 2 or not (0 <= first < latent and 0 <= second < latent):
        have = f"numbers 0 to {latent - 1}" if latent > 1 else "one number"
        raise ConfigError(f"axes {first} and {second}: this code has {have}", "take two of them")
    return ShownPlane(sampled, project(sampled.codes, sampled.labels, (first, second)), (first, second))


def embed(sampled: Sampled) -> Floats:
    """t-SNE of the codes, (N, 2): the same codes always give the same picture.

    Raises:
        MissingLibraryError: scikit-learn is not installed.
        ConfigError: too few finite codes.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        from tuiae.training.quality import MissingLibraryError  # with torch, which a plane alone does without

        raise MissingLibraryError("t-SNE needs scikit-learn", "pip install 'tuiae[studies]'") from error
    known = sampled.known
    if known.sum() < 4:
        raise ConfigError(f"t-SNE needs four codes that are finite, and there are {known.sum()}", "take another plane")
    method = TSNE(perplexity=min(PERPLEXITY, (int(known.sum()) - 1) / 3), init="random", random_state=0, n_jobs=1)
    points = np.full((len(known), 2), np.nan)
    points[known] = method.fit_transform(sampled.codes[known])
    return points
