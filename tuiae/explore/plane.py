"""Codes on a plane: as points of it, and back from a point to a code; grids of points and lines between codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.errors import ConfigError, MissingLibraryError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PERPLEXITY = 30.0
"""The perplexity of t-SNE where there are points enough; van der Maaten and Hinton (2008) call 5 to 50 usual."""
QUANTILES = (0.05, 0.95)
"""Quantiles of the prior at which a plane of decoded images begins and ends."""


def principal_plane(codes: Floats) -> tuple[Floats, Floats]:
    """Coordinates (N, 2) of codes (N, latent) along their first two principal components, and the share of the
    variance (2,) of each.

    The largest number of each component is positive, so that the same codes give the same picture.
    """
    known = np.isfinite(codes).all(axis=1)
    points, shares = np.full((len(codes), 2), np.nan), np.zeros(2)
    if not known.any():
        return points, shares
    centred = codes[known] - codes[known].mean(axis=0)
    _, lengths, components = np.linalg.svd(centred, full_matrices=False)
    plane = components[:2]
    plane *= np.sign(plane[np.arange(len(plane)), np.abs(plane).argmax(axis=1)])[:, None]
    points[known] = 0.0  # a single code has one component, and no second coordinate
    points[np.ix_(known, np.arange(len(plane)))] = centred @ plane.T
    shares[: len(plane)] = np.square(lengths[:2]) / max(np.square(lengths).sum(), 1e-300)
    return points, shares


@dataclass(frozen=True)
class PlaneGrid:
    """Points of a 2-D code in rows and columns, the highest y in the first row, as on a map."""

    x: Floats
    y: Floats

    @property
    def codes(self) -> Floats:
        """(len(y) * len(x), 2), row after row."""
        across, down = np.meshgrid(self.x, self.y)
        return np.column_stack([across.ravel(), down.ravel()])


def prior_grid(count: int) -> PlaneGrid:
    """`count` quantiles of the standard normal prior each way, at equal distances in probability."""
    x = np.array([NormalDist().inv_cdf(share) for share in np.linspace(*QUANTILES, count)])
    return PlaneGrid(x, x[::-1])


def range_grid(codes: NDArray[Any], count: int) -> PlaneGrid:
    """`count` values each way, from the lowest to the highest that codes (N, 2) have."""
    known = np.asarray(codes, np.float64)
    known = known[np.isfinite(known).all(axis=1)]
    low, high = (known.min(axis=0), known.max(axis=0)) if len(known) else (np.zeros(2), np.ones(2))
    return PlaneGrid(np.linspace(low[0], high[0], count), np.linspace(high[1], low[1], count))


def between(start: Sequence[float] | NDArray[Any], end: Sequence[float] | NDArray[Any], count: int) -> Floats:
    """`count` codes (count, latent) at equal distances on the straight line from one to another, both included."""
    share = np.linspace(0, 1, count)[:, None]
    return (1 - share) * np.asarray(start, np.float64) + share * np.asarray(end, np.float64)


@dataclass(frozen=True)
class ImageCodes:
    """Test images with their codes."""

    indices: Ints
    """(N,): positions in the test split."""
    codes: NDArray[np.float32]
    """(N, latent)."""
    labels: Ints

    @cached_property
    def finite(self) -> NDArray[np.bool_]:
        """(N,) bool: True where every number of a code is finite."""
        return np.asarray(np.isfinite(self.codes).all(axis=1))

    def need_finite(self) -> None:
        """Raises ConfigError where no code is finite."""
        if not self.finite.any():
            raise ConfigError("no code of this checkpoint is finite", "its training diverged: take an earlier one")


@dataclass(frozen=True)
class CodePlane:
    """Codes as points of a plane."""

    images: ImageCodes
    kind: str
    """How the points came from the codes: `code`, `dims`, `principal`, `class` or `tsne`."""
    points: Floats
    """(N, 2); a code that is not finite has no place, and its point is NaN."""
    axes: tuple[str, str]
    """Labels of the two axes."""
    dims: tuple[int, int] = (0, 1)
    """The two numbers of the code that are the axes, of a plane of kind `dims`."""

    def nearest(self, x: float, y: float, count: int) -> tuple[Ints, Floats]:
        """Places (k,) among the images of the nearest points, nearest first, and their distances on the plane."""
        distances = np.hypot(*(self.points - (x, y)).T)
        distances = np.where(np.isfinite(distances), distances, np.inf)
        order = np.argsort(distances, kind="stable")[: min(count, int(np.isfinite(distances).sum()))]
        return order, distances[order]

    def codes_at(self, points: NDArray[Any]) -> Floats:
        """Codes (M, latent) of points (M, 2); raises ConfigError where no code has a place on this plane."""
        self.images.need_finite()
        points = np.asarray(points, np.float64)
        match self.kind:
            case "class":
                return points[:, :1]
            case "dims":
                codes = np.repeat(self.mean[None], len(points), axis=0)
                codes[:, self.dims] = points
                return codes
            case "principal":
                return self.mean + points @ self.directions
            case "tsne":
                nearest = [int(self.nearest(x, y, 1)[0][0]) for x, y in points]
                return self.images.codes[nearest].astype(np.float64)
        return points

    @cached_property
    def mean(self) -> Floats:
        """(latent,): the mean code."""
        return self.images.codes[self.images.finite].astype(np.float64).mean(axis=0)

    @cached_property
    def directions(self) -> Floats:
        """(2, latent): what one step along each axis adds to a code, by least squares; for principal components these
        are the components themselves."""
        finite = self.images.finite
        centred = self.images.codes[finite] - self.mean
        return np.asarray(np.linalg.lstsq(self.points[finite], centred, rcond=None)[0], np.float64)

    def grid(self, count: int, variational: bool) -> tuple[PlaneGrid, str]:
        """`count` values each way, and where they come from: `prior`, its quantiles, where the points are codes that
        have one, else `range`, that of the points."""
        if variational and self.kind == "code":
            return prior_grid(count), "prior"
        return range_grid(self.points, count), "range"


SOURCES = {
    "code": "the code itself",
    "class": "the code itself",
    "dims": "the mean code with these two numbers",
    "principal": "the mean code, moved so far along both components",
    "tsne": "the code of the nearest image: t-SNE has no way back",
}
"""How the code of a point is found on a plane of each kind, in words."""


def place(images: ImageCodes, by: str = "", axes: tuple[int, int] | None = None) -> CodePlane:
    """Codes on a plane: `by` `tsne`, by `axes`, or by what suits the width of the code. That is one number against its
    class, the code itself where it is two numbers, else its first two principal components.

    Raises:
        ConfigError: no such numbers, or t-SNE with too few codes. MissingLibraryError: t-SNE without scikit-learn.
    """
    if by == "tsne":
        return CodePlane(images, "tsne", embed(images), ("t-SNE 1", "t-SNE 2"))
    codes = np.asarray(images.codes, np.float64)
    latent = codes.shape[1]
    if by == "axes":
        first, second = axes or (0, 1)
        if latent < 2 or not (0 <= first < latent and 0 <= second < latent):
            have = f"numbers 0 to {latent - 1}" if latent > 1 else "one number"
            raise ConfigError(f"axes {first} and {second}: this code has {have}", "take two of them")
        names = f"code {first}", f"code {second}"
        return CodePlane(images, "dims", codes[:, (first, second)], names, (first, second))
    if latent == 1:
        return CodePlane(images, "class", np.column_stack([codes[:, 0], images.labels]), ("code 0", "class"))
    if latent == 2:
        return CodePlane(images, "code", codes, ("code 0", "code 1"))
    points, shares = principal_plane(codes)
    across, up = (f"principal component {i} ({100 * share:.1f}%)" for i, share in enumerate(shares, 1))
    return CodePlane(images, "principal", points, (across, up))


def embed(images: ImageCodes) -> Floats:
    """t-SNE of the codes, (N, 2): the same codes always give the same picture."""
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingLibraryError("t-SNE needs scikit-learn", "pip install 'tuiae[studies]'") from error
    finite, count = images.finite, int(images.finite.sum())
    if count < 4:
        raise ConfigError(f"t-SNE needs four codes that are finite, and there are {count}", "take another plane")
    method = TSNE(perplexity=min(PERPLEXITY, (count - 1) / 3), init="random", random_state=0, n_jobs=1)
    points = np.full((len(finite), 2), np.nan)
    points[finite] = method.fit_transform(images.codes[finite])
    return points
