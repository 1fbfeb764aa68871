"""Which plane of a code the Latent screen shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class PlaneChoice:
    """A choice among the planes that a code of so many numbers has."""

    latent: int = 2
    by: str = ""
    """As the explorer takes it: empty is the code itself or its principal components, then `axes` and `tsne`."""
    axes: tuple[int, int] = (0, 1)

    @property
    def planes(self) -> tuple[str, ...]:
        if self.latent == 1:
            return ("",)
        return ("", "tsne") if self.latent == 2 else ("", "axes", "tsne")

    def following(self) -> PlaneChoice:
        """The next plane, and after the last the first."""
        planes = self.planes
        return replace(self, by=planes[(planes.index(self.by) + 1) % len(planes)])

    def turned(self, which: int) -> PlaneChoice:
        """Another number of the code on the axis across (0) or up (1); never twice the same."""
        if self.latent < 3:
            return self
        own, other = self.axes[which], self.axes[1 - which]
        if self.by == "axes":
            own = (own + 1) % self.latent
        if own == other:
            own = (own + 1) % self.latent
        return replace(self, by="axes", axes=(own, other) if which == 0 else (other, own))

    def of(self, latent: int) -> PlaneChoice:
        """For a code of another width."""
        return self if latent == self.latent else PlaneChoice(latent)

    @property
    def question(self) -> dict[str, Any]:
        """Arguments of the question `codes`."""
        return {"by": self.by, **({"axes": self.axes} if self.by == "axes" else {})}
