"""Which noise is put on an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tuiae.config import NoiseSection
from tuiae.ui.render.text import percent

KINDS = ("gaussian", "salt-pepper", "mask", "uniform")
TOP = 1.0
STEP = 0.05
SHARES = ("salt-pepper", "mask")
"""Kinds whose level is a share of the pixels."""
POINTS = 11
"""Levels at which a curve is measured."""


@dataclass(frozen=True)
class NoiseChoice:
    """A kind and its level; level 0 is no noise, of whatever kind."""

    kind: str = "gaussian"
    level: float = 0.0
    top: float = TOP
    """The highest level that is offered."""
    seed: int = 0

    @classmethod
    def of(cls, section: NoiseSection) -> NoiseChoice:
        """What a run was trained with."""
        if section.kind == "none":
            return cls()
        return cls(section.kind, section.level, max(section.level, TOP))

    def following(self) -> NoiseChoice:
        """The next kind, and after the last the first; the level stays where it is offered."""
        kind = KINDS[(KINDS.index(self.kind) + 1) % len(KINDS)]
        return replace(self, kind=kind, top=TOP, level=min(self.level, TOP))

    def at(self, level: float) -> NoiseChoice:
        """Another level, on its grid and in its range."""
        steps = round(level / STEP)
        return replace(self, level=min(max(round(steps * STEP, 10), 0.0), self.top))

    def other_draw(self) -> NoiseChoice:
        """The same noise, drawn anew."""
        return replace(self, seed=self.seed + 1)

    @property
    def words(self) -> str:
        """What the level means."""
        if not self.level:
            return "no noise"
        return WORDS[self.kind].format(share=percent(self.level, 0), level=f"{self.level:.2f}")

    @property
    def figure(self) -> str:
        """The level in a few cells."""
        return percent(self.level, 0) if self.kind in SHARES else f"{self.level:.2f}"

    @property
    def question(self) -> dict[str, Any]:
        """Arguments of the questions about an image."""
        return {"kind": self.kind, "level": self.level, "seed": self.seed}

    @property
    def levels(self) -> tuple[float, ...]:
        """Where the curve of this kind is measured."""
        return tuple(round(self.top * index / (POINTS - 1), 10) for index in range(POINTS))


WORDS = {
    "gaussian": "standard deviation {level}",
    "salt-pepper": "{share} of pixels black or white",
    "mask": "{share} of pixels black",
    "uniform": "pixels move by up to {level}",
}
