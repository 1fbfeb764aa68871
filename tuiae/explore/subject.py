"""A checkpoint in memory and what has been worked out of it, so that no two questions do the same work."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from tuiae.config import NoiseSection, build_config
from tuiae.explore.assess import Assessed, assess
from tuiae.explore.loaded import LoadedRun
from tuiae.explore.shown import Sampled, ShownPlane, place
from tuiae.training.evaluate import PLANE_POINTS

Tell = Callable[[str], object]
PlaneKey = tuple[int, str, tuple[int, int] | None]
"""How many images, `by` and `axes` of `place`."""
DEFAULT: PlaneKey = (PLANE_POINTS, "", None)


class Subject:
    """One checkpoint, with its codes, planes and errors once they were asked for."""

    def __init__(self, loaded: LoadedRun, tell: Tell) -> None:
        self.loaded = loaded
        self._tell = tell
        self._sampled: dict[int, Sampled] = {}
        self._planes: dict[PlaneKey, ShownPlane] = {}
        self._shown = self._wanted = DEFAULT

    @cached_property
    def aside(self) -> LoadedRun:
        """The same weights in a network of their own: an evaluation sets how its network draws codes, which whoever
        uses the other one at that moment must not see."""
        parts = self.loaded.parts
        return replace(self.loaded, parts=replace(parts, model=copy.deepcopy(parts.model)))

    def sampled(self, count: int = PLANE_POINTS) -> Sampled:
        """So many test images, every class alike, with their codes."""
        count = max(min(count, len(self.loaded.parts.test)), 1)
        if count not in self._sampled:
            self._tell(f"encoding {count:,} test images")
            indices = np.sort(self.loaded.watched(count))
            self._sampled[count] = Sampled(indices, *self.loaded.codes("test", indices))
        return self._sampled[count]

    def plane(self, key: PlaneKey) -> ShownPlane:
        """The plane of a key.

        Raises:
            ConfigError: there is no such plane.
        """
        if key not in self._planes:
            count, by, axes = key
            sampled = self.sampled(count)
            if by == "tsne":
                self._tell(f"t-SNE of {len(sampled.codes):,} codes: some seconds")
            self._planes[key] = place(sampled, by, axes)
        return self._planes[key]

    def want(self, key: PlaneKey) -> None:
        """Show the plane of a key as soon as it is there."""
        self._wanted = key

    @property
    def shown(self) -> ShownPlane:
        """The plane that was asked for last, or while it is still being worked out the one before."""
        if self._wanted in self._planes:
            self._shown = self._wanted
        return self.plane(self._shown)

    @cached_property
    def assessed(self) -> Assessed:
        """Every test image under the run's own noise."""
        self._tell(f"looking at {len(self.loaded.parts.test):,} test images")
        return assess(self.aside)

    def noise(self, kind: str, level: float, probability: float | None = None) -> NoiseSection:
        """A corruption; without a probability the run's own where it is of the same kind, else every pixel's.

        Raises:
            ConfigError: no such kind, or a level out of its range.
        """
        own = self.loaded.config.noise
        if probability is None:
            probability = own.probability if own.kind == kind else 1.0
        changes: dict[str, Any] = {"noise.kind": kind, "noise.level": level, "noise.probability": probability}
        return build_config(self.loaded.config.model_dump(mode="json"), changes, asker="noise").noise
