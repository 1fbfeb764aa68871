"""The map of codes, with a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive

from tuiae.render.code_map import (
    Cell,
    Limits,
    MapLayout,
    MapView,
    Point,
    draw_view,
    lay_out_map,
    map_limits,
    middle,
    usable_points,
    with_room_for,
)
from tuiae.render.text import clean, paragraph
from tuiae.ui.widgets.panel import PicturePanel

LEGEND_PART = 8  # lines of the map for one of the legend: here the map is what one looks at


class CodeMapPanel(PicturePanel):
    """Codes of test images on a plane; the cursor is moved by `move` and by the mouse."""

    ascii_only: reactive[bool] = reactive(False)

    class Moved(Message):
        """The cursor stands elsewhere."""

        def __init__(self, point: Point) -> None:
            super().__init__()
            self.point = point

    def __init__(self, title: str = "codes", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self.view = MapView()
        self._points: NDArray[np.float64] = np.zeros((0, 2))
        self._labels: NDArray[np.int64] = np.zeros(0, np.int64)
        self._names: Sequence[str] = ()
        self._axes = ("", "")
        self._full: Limits | None = None
        self._layout: MapLayout | None = None
        self._empty = ""

    def show(
        self,
        points: NDArray[Any],
        labels: NDArray[Any],
        names: Sequence[str],
        axes: tuple[str, str],
        hold: bool = False,
    ) -> None:
        """Replace the codes; the view stays where it is while the axes stay the same, and with `hold` the limits too,
        as far as they have room for the codes."""
        before = self._full if hold else None
        if [axis.partition(" (")[0] for axis in axes] != [axis.partition(" (")[0] for axis in self._axes]:
            self.view, before = MapView(only=self.view.only), None
        self._points, self._labels = usable_points(points, labels)
        self._names, self._axes = names, axes
        self._full = with_room_for(map_limits(self._points), before) if len(self._points) else None
        if self._full is not None:
            self.view = self.view.moved(self.view.cursor or middle(self._points), self._full)
        self.changed()

    def clear(self, message: str = "") -> None:
        """Forget the codes, and say why there are none."""
        self.view, self._full, self._layout, self._axes = MapView(), None, None, ("", "")
        self._points, self._labels = np.zeros((0, 2)), np.zeros(0, np.int64)
        self.explain(message)

    def explain(self, message: str) -> None:
        """What to say while there are no codes."""
        self._empty = clean(message)
        if self._full is None:
            self.changed()

    def look(self, view: MapView) -> None:
        """Look as one did before, as far as the codes reach."""
        self.view = view.moved(view.cursor, self._full) if view.cursor is not None and self._full is not None else view
        self.changed()

    @property
    def has_codes(self) -> bool:
        return self._full is not None

    def watch_ascii_only(self) -> None:
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        window = self.view.window(self._full) if self._full is not None else None
        self._layout = lay_out_map(
            self._points,
            self._labels,
            self._names,
            width,
            height,
            self._axes,
            self.ascii_only or self.terminal.ascii,
            window,
            self.view.only,
            LEGEND_PART,
        )
        if self._layout is None:
            return paragraph(self._empty, width, height)
        return draw_view(self._layout, self.view)

    # The view

    def move(self, columns: int, rows: int) -> None:
        """Move the cursor by so many cells to the right and down."""
        if self._layout is not None and self.view.cursor is not None:
            row, column = self._layout.cell(*self.view.cursor) or (self._layout.rows // 2, self._layout.columns // 2)
            self._go((row + rows, column + columns))

    def _go(self, cell: Cell) -> None:
        """To the middle of a cell; beyond the edge of what is shown, what is shown goes along."""
        if self._layout is None or self._full is None:
            return
        before, shown = self.view, self._layout
        self.view = before.moved(shown.point(*cell), self._full)
        if self.view.centre == before.centre and before.cursor is not None:
            self._redraw(shown, (shown.cell(*before.cursor), shown.cell(*(self.view.cursor or before.cursor))))
        else:
            self.changed()
        if self.view.cursor is not None:
            self.post_message(self.Moved(self.view.cursor))

    def _redraw(self, shown: MapLayout, cells: Sequence[Cell | None]) -> None:
        """Paint only the lines that a move of the cursor changed: a whole map is some 20 kB over SSH."""
        rows = {cell[0] for cell in cells if cell is not None}
        if shown.axed:
            rows.add(shown.rows)
        self.changed_at(rows)

    def zoom(self, steps: int) -> None:
        """Nearer to the cursor, or farther away."""
        self.view = self.view.zoomed(steps)
        self.changed()

    def mark(self) -> tuple[Point, ...]:
        """Mark the place of the cursor; returns the marks that there are now."""
        self.view = self.view.marked()
        self.changed()
        return self.view.marks

    def next_class(self) -> str:
        """One class alone, the next, and after the last all again; returns its name."""
        labels = np.unique(self._labels).tolist()
        later = [label for label in labels if label > self.view.only]
        self.view = replace(self.view, only=later[0] if later else -1)
        self.changed()
        only = self.view.only
        return "" if only < 0 else self._names[only] if only < len(self._names) else str(only)

    # The mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self._point_at(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button:
            self._point_at(event)

    def on_mouse_up(self) -> None:
        self.release_mouse()

    def _point_at(self, event: events.MouseEvent) -> None:
        offset = event.get_content_offset_capture(self)
        shown = self._layout
        if shown is not None:
            row = min(max(offset.y, 0), shown.rows - 1)
            column = min(max(offset.x - shown.left, 0), shown.columns - 1)
            self._go((row, column))
