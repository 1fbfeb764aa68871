"""The figures of `tuiae explore`: each can be drawn for people or put into JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuiae.data.pixels import as_bytes
from tuiae.explore.plane import QUANTILES, PlaneGrid, Projection, between, project
from tuiae.explore.shown import SOURCES, Sampled, ShownPlane
from tuiae.ui.render.code_map import draw_code_map
from tuiae.ui.render.decoded import draw_gallery, draw_plane
from tuiae.ui.render.text import clean, join_lines, number

if TYPE_CHECKING:
    from tuiae.explore.loaded import LoadedRun

POINTS = 8  # decoded from one image to another, both ends included
SIGNIFICANT = 6  # digits of codes in JSON


@dataclass(frozen=True)
class Canvas:
    """What there is to draw on, in cells, and whether pictures are `blocks` of two pixels or `ascii`."""

    width: int
    height: int
    mode: str
    ascii: bool


class Figure(Protocol):
    """One thing to look at."""

    def record(self) -> dict[str, Any]:
        """Its fields of the JSON document."""

    def draw(self, canvas: Canvas) -> Text:
        """Its lines for people."""


@dataclass(frozen=True)
class CodeMap:
    """The codes of the test images."""

    codes: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    plane: Projection

    def record(self) -> dict[str, Any]:
        places = {} if self.plane.kind == "code" else {"points": rounded(self.plane.points)}
        fields = {"axes": list(self.plane.axes), "projection": self.plane.kind, "values": rounded(self.codes), **places}
        return {"codes": {**fields, "labels": self.labels.tolist()}}

    def draw(self, canvas: Canvas) -> Text:
        count, latent = self.codes.shape
        lost = int((~np.isfinite(self.codes).all(axis=1)).sum())
        title = f"codes of {count:,} test images" + (f" ({latent} numbers each)" if latent != 2 else "")
        title += f", {lost:,} of them not finite" if lost else ""
        title += "; shares are of the variance" if self.plane.kind == "principal" else ""
        plot = draw_code_map(
            self.plane.points,
            self.labels,
            self.classes,
            canvas.width,
            canvas.height - 1,
            self.plane.axes,
            ascii=canvas.ascii,
        )
        return _titled(title, [], plot)


@dataclass(frozen=True)
class DecodedPlane:
    """A grid of images decoded from a plane of the code; uint8 (rows, columns, C, H, W)."""

    grid: PlaneGrid
    images: NDArray[np.uint8]
    axes: tuple[str, str]
    kind: str
    """`code` where the plane is the code, `principal` where it is that of its first two principal components."""
    origin: str
    """`prior` or `range`: where the values of the grid come from."""

    def record(self) -> dict[str, Any]:
        fields = {"x": rounded(self.grid.x), "y": rounded(self.grid.y), "values_from": self.origin}
        plane = {"axes": list(self.axes), "projection": self.kind}
        return {"plane": {**fields, **plane, "images": self.images.tolist()}}

    def draw(self, canvas: Canvas) -> Text:
        low, high = QUANTILES
        why = "a plain autoencoder has no prior" if self.kind == "code" else SOURCES[self.kind]
        origin = f"over the range of the test codes: {why}"
        if self.origin == "prior":
            origin = f"at normal quantiles of the prior, {low:g} to {high:g}"
        drawn = draw_plane(self.images, self.grid.x, self.grid.y, canvas.width, canvas.mode)
        across, up = self.axes
        return _titled("images decoded from the plane of the code", [origin, f"across: {across}   up: {up}"], drawn)


def decode_plane(loaded: LoadedRun, codes: NDArray[np.float32], labels: NDArray[np.int64], count: int) -> DecodedPlane:
    """Decode `count` x `count` points of the plane on which the dashboard shows these codes (N, latent).

    Raises:
        ConfigError: no code is finite.
    """
    plane = ShownPlane(Sampled(np.arange(len(codes)), codes, labels), project(codes, labels))
    grid, origin = plane.grid(count, loaded.is_variational)
    images = grid.arrange(as_bytes(loaded.decode(plane.codes_at(grid.codes))))
    return DecodedPlane(grid, images, plane.projection.axes, plane.projection.kind, origin)


@dataclass(frozen=True)
class Samples:
    """Images decoded from codes that were drawn from the prior; uint8 (N, C, H, W)."""

    images: NDArray[np.uint8]
    seed: int

    def record(self) -> dict[str, Any]:
        return {"samples": {"seed": self.seed, "images": self.images.tolist()}}

    def draw(self, canvas: Canvas) -> Text:
        count = len(self.images)
        title = f"{count} image{'s' if count > 1 else ''} decoded from codes drawn from the prior (seed {self.seed})"
        return _titled(title, [], draw_gallery(self.images, canvas.width, canvas.mode))


@dataclass(frozen=True)
class Between:
    """Images decoded on the straight line between the codes of two test images."""

    positions: tuple[int, int]
    names: tuple[str, str]
    """Classes of the two; empty where the set has none."""
    codes: NDArray[np.float64]
    decoded: NDArray[np.uint8]
    """(points, C, H, W); the first and the last are the reconstructions of the two."""
    ends: NDArray[np.uint8]
    """(2, C, H, W): the two as they are."""

    def record(self) -> dict[str, Any]:
        fields = {"positions": list(self.positions), "classes": list(self.names), "codes": rounded(self.codes)}
        return {"between": {**fields, "images": self.decoded.tolist(), "ends": self.ends.tolist()}}

    def draw(self, canvas: Canvas) -> Text:
        told = [
            f"test image {position}" + (f" ({clean(name)})" if name else "")
            for position, name in zip(self.positions, self.names, strict=True)
        ]
        shares = [f"{share:.2f}" for share in np.linspace(0, 1, len(self.codes))]
        captions = [f"image {self.positions[0]}", *shares, f"image {self.positions[1]}"]
        distance = number(float(np.linalg.norm(self.codes[-1] - self.codes[0])))
        images = np.concatenate([self.ends[:1], self.decoded, self.ends[1:]])
        note = f"decoded at {len(self.codes)} points of the straight line between their codes, {distance} long"
        drawn = draw_gallery(images, canvas.width, canvas.mode, captions)
        return _titled(f"from {told[0]} to {told[1]}", [note], drawn)


def decode_between(loaded: LoadedRun, positions: tuple[int, int]) -> Between:
    """Decode the way between the codes of two test images."""
    ends = loaded.images("test", positions)
    start, end = loaded.encode(ends)
    codes = between(start, end, POINTS)
    named = len(loaded.classes) > 1
    first, second = (loaded.classes[label] if named else "" for label in loaded.labels("test", positions))
    return Between(positions, (first, second), codes, as_bytes(loaded.decode(codes)), as_bytes(ends))


def _titled(title: str, notes: Sequence[str], drawn: Text) -> Text:
    return join_lines([Text(title, "bold", end=""), *(Text(note, "dim", end="") for note in notes), drawn])


def rounded(values: NDArray[Any]) -> list[Any]:
    """Numbers with so many significant digits, as nested lists; None for what JSON has no number for."""
    if values.ndim > 1:
        return [rounded(row) for row in values]
    return [float(f"{value:.{SIGNIFICANT}g}") if np.isfinite(value) else None for value in values.tolist()]
