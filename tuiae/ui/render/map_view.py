"""How the map of codes is looked at: a cursor, marks, a part of the plane, one class alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from rich.text import Text

from tuiae.ui.render.code_map import Cell, Limits, MapLayout

Point = tuple[float, float]

STEP = 1.5  # how much nearer one step of the zoom is
NEAREST = 12  # steps: about a hundred times
MARKS = (("◆", "bold"), ("◇", "bold"))
"""Signs of the first and of the second marked point, and their style."""
HERE = "reverse bold"
EMPTY_HERE = "+"
"""What stands under the cursor where no code is; the cell is reversed, so that no colour is needed to see it."""


@dataclass(frozen=True)
class MapView:
    """Points are places of the plane and not cells: they stay where they are when the screen changes its size."""

    cursor: Point | None = None
    centre: Point = (0.0, 0.0)
    """Of what is shown."""
    zoom: int = 0
    """Steps towards the plane; 0 shows all of it."""
    marks: tuple[Point, ...] = ()
    only: int = -1
    """The one class that is shown; below 0, all."""

    def window(self, full: Limits) -> Limits:
        """What is shown of a plane with these limits."""
        across, up = (self._part(value, limits) for value, limits in zip(self.centre, full, strict=True))
        return across, up

    def _part(self, centre: float, limits: tuple[float, float]) -> tuple[float, float]:
        low, high = limits
        size = (high - low) / STEP**self.zoom
        start = min(max(centre - size / 2, low), high - size)
        return start, start + size

    def moved(self, to: Point, full: Limits) -> MapView:
        """With the cursor elsewhere on the plane; what is shown goes with it."""
        x, y = (min(max(value, low), high) for value, (low, high) in zip(to, full, strict=True))
        (left, right), (low, high) = self.window(full)
        inside = left <= x <= right and low <= y <= high
        return replace(self, cursor=(x, y), centre=self.centre if inside else (x, y))

    def zoomed(self, steps: int) -> MapView:
        """Nearer to the cursor, or farther from it."""
        return replace(self, zoom=min(max(self.zoom + steps, 0), NEAREST), centre=self.cursor or self.centre)

    def marked(self) -> MapView:
        """With a mark where the cursor stands; a third begins anew."""
        if self.cursor is None:
            return self
        return replace(self, marks=(*(self.marks if len(self.marks) < len(MARKS) else ()), self.cursor))


def draw_view(layout: MapLayout, view: MapView) -> Text:
    """The map with cursor and marks."""
    overlay: dict[Cell, tuple[str, str]] = {}
    for point, mark in zip(view.marks, MARKS, strict=False):
        if (cell := layout.cell(*point)) is not None:
            overlay[cell] = mark
    here = layout.cell(*view.cursor) if view.cursor else None
    if here is not None:
        label = layout.cells.at.get(here, -1)
        sign = overlay[here][0] if here in overlay else EMPTY_HERE if label < 0 else layout.signs[label]
        overlay[here] = sign, HERE
    return layout.draw(overlay, here)


def middle(points: np.ndarray) -> Point:
    """The place in the middle of finite points (N, 2)."""
    x, y = np.median(points, axis=0)
    return float(x), float(y)
