"""Which keys a line of so many cells has room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len


@dataclass(frozen=True)
class ShownKey:
    """A key as a line of them has it."""

    key: str
    """As the toolkit knows it."""
    face: str
    """As people do."""
    does: str
    enabled: bool = True
    """Whether it can do it now."""
    rank: int = 0
    """The lower, the longer it stays when room is short."""

    @property
    def parts(self) -> tuple[str, str]:
        """The key, and what it does, with the cells around them."""
        return f" {self.face} ", f"{self.does} "

    @property
    def width(self) -> int:
        return sum(map(cell_len, self.parts))


def fit_keys(keys: Sequence[ShownKey], width: int) -> tuple[ShownKey, ...]:
    """Those of the keys that fit into so many cells, whole and in their order, the lowest ranks first."""
    kept, room = set(), width
    for place in sorted(range(len(keys)), key=lambda place: (keys[place].rank, place)):
        if keys[place].width <= room:
            kept.add(place)
            room -= keys[place].width
    return tuple(key for place, key in enumerate(keys) if place in kept)
