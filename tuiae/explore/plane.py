"""Codes on a plane: which plane, which points of it to decode, and the way from one code to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.data.dataset import orient

Floats = NDArray[np.float64]

QUANTILES = (0.05, 0.95)
"""Of the prior, where a plane of decoded images begins and ends."""


@dataclass(frozen=True)
class Projection:
    """Codes as points of a plane."""

    points: Floats
    """(N, 2); a code that is not finite has no place, and its point is NaN."""
    axes: tuple[str, str]
    """What stands on each axis, in words."""
    kind: str
    """`code`, `dims`, `principal` or `class`: how the points came from the codes."""


def project(codes: NDArray[Any], labels: NDArray[Any], dims: tuple[int, int] | None = None) -> Projection:
    """Codes (N, latent) on a plane: two of their numbers, all of two, or the first two principal components.

    A code of one number stands against its class.
    """
    codes = np.asarray(codes, np.float64)
    if dims is not None:
        return Projection(codes[:, dims], _code_names(dims), "dims")
    if codes.shape[1] == 1:
        return Projection(np.column_stack([codes[:, 0], labels]), ("code 0", "class"), "class")
    if codes.shape[1] == 2:
        return Projection(codes, _code_names((0, 1)), "code")
    points, shares = principal_plane(codes)
    first, second = (f"principal component {i} ({100 * share:.1f}%)" for i, share in enumerate(shares, 1))
    return Projection(points, (first, second), "principal")


def _code_names(dims: tuple[int, int]) -> tuple[str, str]:
    return f"code {dims[0]}", f"code {dims[1]}"


def principal_plane(codes: Floats) -> tuple[Floats, Floats]:
    """Coordinates (N, 2) of codes (N, latent) along their first two principal components, and the share of the
    variance (2,) of each.

    Components point as `orient` turns them.
    """
    known = np.isfinite(codes).all(axis=1)
    points, shares = np.full((len(codes), 2), np.nan), np.zeros(2)
    if not known.any():
        return points, shares
    centred = codes[known] - codes[known].mean(axis=0)
    _, lengths, components = np.linalg.svd(centred, full_matrices=False)
    plane = orient(components[:2])
    points[known] = 0.0  # a single code has one component, and no second coordinate
    points[np.ix_(known, np.arange(len(plane)))] = centred @ plane.T
    shares[: len(plane)] = np.square(lengths[:2]) / max(np.square(lengths).sum(), 1e-300)
    return points, shares


@dataclass(frozen=True)
class PlaneGrid:
    """Points of a 2-D code in rows and columns, the highest y in the first row, as one looks at a plane."""

    x: Floats
    y: Floats

    @property
    def codes(self) -> Floats:
        """(len(y) * len(x), 2), row after row."""
        across, down = np.meshgrid(self.x, self.y)
        return np.column_stack([across.ravel(), down.ravel()])

    def arrange(self, images: NDArray[Any]) -> NDArray[Any]:
        """What was decoded of `codes`, (N, C, H, W), as (rows, columns, C, H, W)."""
        return images.reshape(len(self.y), len(self.x), *images.shape[1:])


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
