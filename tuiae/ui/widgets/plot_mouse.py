"""The mouse on a plot: hover, click, drag and wheel, told in columns of its frame."""

from __future__ import annotations

from textual import events

from tuiae.ui.render.curve_view import Frame
from tuiae.ui.widgets.panel import PicturePanel


class PlotMouse(PicturePanel):
    """A panel whose drawing has a frame of points; what the mouse does there, its methods are told as places on x."""

    def frame(self) -> Frame | None:
        """Where the points are; None while there are none."""
        raise NotImplementedError

    def pointed(self, place: float | None) -> None:
        """The mouse is over a place, or has left."""

    def clicked(self, place: float) -> None:
        """A click."""

    def dragging(self, start: float, place: float) -> None:
        """The mouse moves with its button down."""

    def released(self) -> None:
        """The button was let go, wherever that was."""

    def dragged(self, start: float, place: float) -> None:
        """The button was let go somewhere else."""

    def wheeled(self, place: float, up: bool) -> None:
        """The wheel was turned."""

    _start: float | None = None
    _moved = False

    def _place(self, event: events.MouseEvent) -> float | None:
        """The x under the mouse, at the nearer end where it is beside the points."""
        frame = self.frame()
        if frame is None:
            return None
        column = event.get_content_offset_capture(self).x - frame.left
        return frame.place(min(max(column, 0), frame.columns - 1))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._start, self._moved = self._place(event), False
        if self._start is not None:
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        place = self._place(event)
        if place is None:
            return
        if self._start is None:
            self.pointed(place)
        elif place != self._start:
            self._moved = True
            self.dragging(self._start, place)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.release_mouse()
        self.released()
        place, start, self._start = self._place(event), self._start, None
        if place is None or start is None:
            return
        if self._moved and place != start:
            self.dragged(start, place)
        else:
            self.clicked(place)

    def on_leave(self) -> None:
        if self._start is None:
            self.pointed(None)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, up=True)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, up=False)

    def _wheel(self, event: events.MouseEvent, up: bool) -> None:
        place = self._place(event)
        if place is not None:
            event.stop()
            self.wheeled(place, up)
