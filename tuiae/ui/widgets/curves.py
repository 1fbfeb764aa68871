"""Loss and accuracy over time, as an instrument: a window, a cursor that reads out, smoothing, a logarithmic axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive

from tuiae.render.curves import (
    EMPTY,
    NEWEST,
    NOT_POSITIVE,
    SMOOTHING,
    Curve,
    Line,
    Mark,
    View,
    in_sight,
    lay_out,
    marks_near,
    nearest,
    prepare,
    without_dashes,
    x_limits,
)
from tuiae.render.legend import line_legend, readout
from tuiae.render.plot import Frame, Plot
from tuiae.render.text import centred, join_lines
from tuiae.ui.keys import CURVES
from tuiae.ui.widgets.panel import PicturePanel

# The mouse on a plot: hover, click, drag and wheel, told in columns of its frame.


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


LOOKS = {"log_scale": (False, True), "smoothing": tuple(SMOOTHING), "split": ("", "train", "test")}
"""What several panels show alike, and the values that follow each other there."""
LOOK_WORDS: Mapping[tuple[str, object], str] = {
    ("log_scale", False): "a linear axis",
    ("log_scale", True): "a logarithmic axis",
    ("smoothing", ""): "curves as they are",
    ("split", ""): "train and test",
}
WHEEL = 1.25  # how many times narrower a window gets by a notch


class CurvesPanel(PlotMouse):
    """A legend with the latest values, or those at the cursor, and the plot below it."""

    BINDINGS = [key.binding for key in CURVES]

    log_scale: reactive[bool] = reactive(False)
    """Logarithmic y axis."""
    smoothing: reactive[str] = reactive("")
    """A name in SMOOTHING."""
    split: reactive[str] = reactive("")
    """`train` or `test` to see that one alone."""

    class Looked(Message):
        """Somebody zooms, or moves the cursor: curves over the same axis follow."""

        def __init__(self, panel: CurvesPanel, view: View) -> None:
            super().__init__()
            self.panel, self.view = panel, view

        @property
        def control(self) -> CurvesPanel:
            return self.panel

    def __init__(self, title: str = "loss", *, x_label: str = "epoch", id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._title = title
        self._x_label = x_label
        self._curves: tuple[Curve, ...] = ()
        self._marks: tuple[Mark, ...] = ()
        self._empty = EMPTY
        self._view = View()
        self._hover: float | None = None
        self._chosen: tuple[float, float] | None = None
        self._prepared: tuple[Line, ...] | None = None
        self._plot: tuple[tuple[object, ...], Plot] | None = None

    def show(self, curves: tuple[Curve, ...], title: str | None = None, marks: Sequence[Mark] = ()) -> None:
        """Replace the curves, what is marked on them, and the title when there is a new one."""
        self._curves, self._marks = curves, tuple(marks)
        self._title = self._title if title is None else title
        if not curves:
            self._view = View()
        self._prepare_again()

    def set_empty(self, message: str) -> None:
        """What to say while there is no point."""
        if message != self._empty:
            self._empty = message
            self.changed()

    def _prepare_again(self) -> None:
        self._prepared = None
        self.look(self._view)

    watch_log_scale = watch_smoothing = watch_split = _prepare_again

    @property
    def lines(self) -> tuple[Line, ...]:
        """What can be drawn of the curves that are wanted; made once for all that is done with it."""
        if self._prepared is None:
            wanted = [curve for curve in self._curves if self.split in ("", curve.split) or not curve.split]
            if self.terminal.ascii or self.terminal.colors == "none":
                wanted = [without_dashes(curve) for curve in wanted]
            self._prepared = tuple(prepare(curve, self.log_scale, self.smoothing) for curve in wanted)
        return self._prepared

    def _go(self, view: View) -> None:
        """Look at another part, or put the cursor elsewhere, because somebody wants to."""
        self.look(view)
        self.post_message(self.Looked(self, view))

    def look(self, view: View) -> None:
        """Look at a part of the curves, with or without a cursor, and say in the frame how things are shown."""
        self._view = view
        notes = []
        if self.log_scale:
            left_out = sum(line.left_out for line in self.lines)
            notes.append("log" + (f", {left_out:,} not above 0 left out" if left_out else ""))
        if self.smoothing:
            notes.append(f"smoothed {SMOOTHING[self.smoothing]:g}")
        if self.split:
            notes.append(f"{self.split} only")
        if view.width is not None:
            notes.append("zoomed, 0 shows all")
        self.set_title(self._title, " · ".join(notes))
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        lines, limits = self.lines, x_limits(self.lines)
        if limits is None:
            return centred(self._nothing(), width, height)
        if width <= 0 or height <= 0:
            return Text()
        head = 1 if height >= 3 else 0
        ascii_only, window = self.terminal.ascii, self._view.window(limits)
        key = (lines, width, height, window, ascii_only)
        if self._plot is None or self._plot[0] != key:
            self._plot = key, lay_out(lines, width, height - head, window, self._x_label, self.log_scale, ascii_only)
        plot = self._plot[1]
        place = self._view.at(lines) if self._hover is None else nearest(lines, self._hover)
        marks = in_sight(self._marks, limits)
        drawn = plot.overlay([(mark.epoch, mark.sign) for mark in marks], place, self._chosen)
        if not head:
            return join_lines(drawn)
        if place is None:
            return join_lines([line_legend(lines, width, ascii_only), *drawn])
        near = marks_near(plot, marks, place)
        return join_lines([readout(lines, place, width, self._x_label, near, ascii_only), *drawn])

    def _nothing(self) -> str:
        """Why there is nothing to draw."""
        if self.log_scale and any(line.left_out for line in self.lines):
            return NOT_POSITIVE
        if self.split and any(len(curve.x) for curve in self._curves):
            return f"not measured on {self.split} images: t shows the others"
        return self._empty

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape belongs to the screen while there is no cursor, and 0 while everything shows."""
        if action == "leave_cursor":
            return self._view.cursor is not None
        return self._view.width is not None if action == "zoom_all" else True

    def action_move(self, columns: int) -> None:
        """The cursor to the next point, or on by a stride; the first time it shows, on the newest one."""
        frame = self.frame()
        if frame is not None:
            self._go(self._view.moved(self.lines, frame, columns))

    def action_newest(self) -> None:
        """The cursor on the newest point, with which it goes; the window too."""
        self._go(replace(self._view, cursor=NEWEST, end=None))

    def action_zoom_x(self, factor: float) -> None:
        """A window so many times as wide, around the cursor, or with the newest point at its end."""
        self._go(self._view.zoomed(self.lines, factor))

    def action_zoom_all(self) -> None:
        """Everything again."""
        self._go(replace(self._view, width=None, end=None))

    def action_leave_cursor(self) -> None:
        """The newest values in the legend again."""
        self._go(replace(self._view, cursor=None))

    # The mouse

    def frame(self) -> Frame | None:
        return self._plot[1].frame if self._plot is not None and x_limits(self.lines) is not None else None

    def pointed(self, place: float | None) -> None:
        if place != self._hover:
            self._hover = place
            self.changed()

    def clicked(self, place: float) -> None:
        limits, at = x_limits(self.lines), nearest(self.lines, place)
        self._go(replace(self._view, cursor=NEWEST if limits and at >= limits[1] else at))

    def dragging(self, start: float, place: float) -> None:
        self._hover, self._chosen = None, (start, place)
        self.changed()

    def released(self) -> None:
        if self._chosen is not None:
            self._chosen = None
            self.changed()

    def dragged(self, start: float, place: float) -> None:
        self._go(self._view.selecting(self.lines, min(start, place), max(start, place)))

    def wheeled(self, place: float, up: bool) -> None:
        self._go(self._view.zoomed(self.lines, 1 / WHEEL if up else WHEEL, place))


def follow_look(panels: Iterable[CurvesPanel], event: CurvesPanel.Looked) -> None:
    """Have the other panels look where one of them looks."""
    event.stop()
    for panel in panels:
        if panel is not event.panel:
            panel.look(event.view)


def cycle_look(panels: Iterable[CurvesPanel], name: str) -> str:
    """The next value of something in LOOKS, for all panels alike; returns how curves look now, in words."""
    values, shown = LOOKS[name], list(panels)
    following = values[(values.index(getattr(shown[0], name)) + 1) % len(values)]
    for panel in shown:
        setattr(panel, name, following)
    alone = "smoothing" if name == "smoothing" else "alone"
    return LOOK_WORDS.get((name, following), f"{following} {alone}")
