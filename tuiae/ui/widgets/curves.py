"""Loss and accuracy over a training, as an instrument: a window, a cursor that reads out, smoothing, other axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive

from tuiae.render import UNITS
from tuiae.render.curves import (
    EMPTY,
    NOT_POSITIVE,
    SMOOTHING,
    Curve,
    Line,
    Look,
    Mark,
    heights_of,
    lay_out,
    prepare,
    tellable,
    tells,
    without_dashes,
    x_limits,
)
from tuiae.render.legend import in_sight, line_legend, log_note, marks_near, readout
from tuiae.render.plot import Plot, PlotFrame
from tuiae.render.text import centred, clean, join_lines
from tuiae.render.ticks import Limits
from tuiae.render.view import NEWEST, View, index_at, nearest
from tuiae.runs.snapshot import Series
from tuiae.ui.keys import CURVES
from tuiae.ui.widgets.panel import PicturePanel

LOOKS: Mapping[str, tuple[Any, ...]] = {
    "log_y": (False, True),
    "log_x": (False, True),
    "unit": tuple(UNITS),
    "smoothing": tuple(SMOOTHING),
    "split": ("", "train", "test"),
}
"""The fields of a Look that keys change, and the values that follow each other there."""
LOOK_WORDS: Mapping[tuple[str, object], str] = {
    ("log_y", False): "a linear axis",
    ("log_y", True): "a logarithmic axis",
    ("log_x", False): "a linear x axis",
    ("log_x", True): "a logarithmic x axis",
    ("unit", "epoch"): "x axis: epochs",
    ("unit", "step"): "x axis: steps",
    ("unit", "time"): "x axis: time since the start of each run, without pauses",
    ("smoothing", ""): "curves as they are",
    ("smoothing", "light"): "light smoothing",
    ("smoothing", "strong"): "strong smoothing",
    ("split", ""): "train and test",
    ("split", "train"): "train alone",
    ("split", "test"): "test alone",
}
BAND_NOTE = "bands: lowest to highest seed"
LOW = 9
"""Lines of a panel below which the legend stands in its frame, behind the title: the plot needs its line."""
LEAST_LEGEND = 26  # columns of a legend in the frame
WHEEL = 1.25  # how many times narrower a window gets by a notch


class CurvesPanel(PicturePanel):
    """A legend with the latest values, or those at the cursor, and the plot below it."""

    BINDINGS = [key.binding for key in CURVES]

    look: reactive[Look] = reactive(Look())

    @dataclass
    class Looked(Message):
        """Somebody zooms, or moves the cursor: curves over the same axis follow."""

        panel: CurvesPanel
        view: View

    def __init__(self, title: str = "loss", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._title = title
        self.curves: tuple[Curve, ...] = ()
        self._marks: tuple[Mark, ...] = ()
        self._empty = EMPTY
        self._view = View()
        self._heights: Limits | None = None
        """The part of the y axis that somebody wants to see; None for all that shows."""
        self._hover: float | None = None
        self._chosen: tuple[float, float] | None = None
        """Both ends of what is dragged over, the first where the button went down."""
        self._held: float | None = None
        """Where the button of the mouse went down; None while it is up."""
        self._prepared: tuple[Look, tuple[Line, ...]] | None = None
        self._plot: tuple[tuple[object, ...], Plot] | None = None

    def show(self, curves: tuple[Curve, ...], title: str | None = None, marks: Sequence[Mark] = ()) -> None:
        """Replace the curves, what is marked on them, and the title when there is a new one."""
        self.curves, self._marks = curves, tuple(marks)
        if not curves or title not in (None, self._title):
            self._heights = None
        self._title = self._title if title is None else title
        self._prepared = None
        self.look = tellable(curves, self.look)
        self.turn(self._view if curves else View())

    def watch_look(self, before: Look, now: Look) -> None:
        """Keep window and cursor at the epochs where they are when the axis counts something else."""
        view, old, new = self._view, x_limits(self._lines(before)), x_limits(self._lines(now))
        if before.unit != now.unit and old is not None and new is not None:
            view = view.carried(self.clock, before.unit, now.unit, old, new)
        if before.log_y != now.log_y:
            self._heights = None
        self.turn(view)

    @property
    def clock(self) -> Series | None:
        """The clock of the run that went furthest."""
        clocks = [curve.clock for curve in self.curves if curve.clock is not None and not curve.faint]
        return max(clocks, key=lambda clock: clock.epochs[-1] if len(clock.epochs) else -1.0, default=None)

    @property
    def lines(self) -> tuple[Line, ...]:
        """What can be drawn of the curves that are wanted; made once for all that is done with it."""
        return self._lines(self.look)

    def _lines(self, look: Look) -> tuple[Line, ...]:
        if self._prepared is None or self._prepared[0] != look:
            wanted = [curve for curve in self.curves if look.split in ("", curve.split) or not curve.split]
            if self.terminal.ascii or self.terminal.colors == "none":
                wanted = [without_dashes(curve) for curve in wanted]
            self._prepared = look, tuple(prepare(curve, look) for curve in wanted)
        return self._prepared[1]

    def _go(self, view: View) -> None:
        """Look at another part, or put the cursor elsewhere, because somebody wants to."""
        self.turn(view)
        self.post_message(self.Looked(self, view))

    def turn(self, view: View) -> None:
        """Look at a part of the curves, with or without a cursor, and say in the frame how things are shown."""
        self._view, look = view, self.look
        notes = ["zoomed, 0 shows all"] if self._is_zoomed else []
        notes += [log_note(self.lines, look)] if look.log_x or look.log_y else []
        if look.smoothing:
            notes.append(f"smoothed {SMOOTHING[look.smoothing]:g}")
        if look.split:
            notes.append(f"{look.split} only")
        if any(line.band is not None for line in self.lines):
            notes.append(BAND_NOTE)
        self.set_title(self._title, " · ".join(notes))
        self.changed()

    def changed(self) -> None:
        super().changed()
        self._entitle()

    def on_resize(self) -> None:
        super().on_resize()
        self._entitle()

    def _entitle(self) -> None:
        """Put the legend into the frame of a low panel, and out of it again."""
        title, room = Content(clean(self._title)), self._room_above
        if room and x_limits(self.lines) is not None:
            title += Content.from_rich_text(self._legend(room)).stylize_before("not bold").pad_left(2)
        if title != self.border_title:
            self.border_title = title

    @property
    def _room_above(self) -> int:
        """The columns that a legend has in the frame; 0 where it stands above the plot."""
        width, height = self.content_size
        room = width - cell_len(clean(self._title)) - 4
        return room if 0 < height < LOW and room >= LEAST_LEGEND else 0

    def _legend(self, width: int) -> Text:
        """The newest values of the lines, or those at the cursor."""
        place, ascii_only, unit = self._place_shown, self.terminal.ascii, self.look.unit
        if place is None:
            return line_legend(self.lines, width, ascii_only)
        near = marks_near(self._plot[1], self._marks_in_sight, place) if self._plot is not None else ()
        return readout(self.lines, place, width, unit, near, ascii_only)

    @property
    def _place_shown(self) -> float | None:
        """The x of the cursor or of the mouse."""
        return self._view.at(self.lines) if self._hover is None else nearest(self.lines, self._hover)

    @property
    def _marks_in_sight(self) -> Sequence[Mark]:
        limits = x_limits(self.lines)
        return in_sight(self._marks, limits, self.clock, self.look.unit) if limits is not None else ()

    def draw(self, width: int, height: int) -> Text:
        lines, limits, look = self.lines, x_limits(self.lines), self.look
        if limits is None:
            return centred(self._nothing(), width, height)
        if width <= 0 or height <= 0:
            return Text()
        head = 1 if height >= 3 and not self._room_above else 0
        ascii_only, window = self.terminal.ascii, self._view.window(limits)
        key = (lines, width, height, window, ascii_only, self._heights)
        if self._plot is None or self._plot[0] != key:
            self._plot = key, lay_out(lines, width, height - head, window, look, ascii_only, self._heights)
        plot = self._plot[1]
        marks = [(mark.x, mark.sign) for mark in self._marks_in_sight]
        drawn = plot.overlay(marks, self._place_shown, self._chosen)
        return join_lines([*([self._legend(width)] if head else []), *drawn])

    def _nothing(self) -> str:
        """Why there is nothing to draw."""
        if any(line.left_out for line in self.lines):
            return NOT_POSITIVE
        if self.look.split and any(len(curve.x) for curve in self.curves):
            return f"not measured on {self.look.split} images: t shows the others"
        return self._empty

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape belongs to the screen while there is no cursor, and 0 while everything shows."""
        if action == "leave_cursor":
            return self._view.cursor is not None
        if action == "shift_y":
            return self._heights is not None
        if action == "zoom_x" and parameters == (2,):
            return self._view.width is not None
        return self._is_zoomed if action == "zoom_all" else True

    @property
    def _is_zoomed(self) -> bool:
        return self._view.width is not None or self._heights is not None

    def action_move(self, columns: int) -> None:
        """The cursor to the next point, or on by a stride; the first time it shows, on the newest one."""
        frame = self.frame()
        if frame is not None:
            self._go(self._view.moved(self.lines, frame, columns))

    def action_newest(self) -> None:
        """The cursor on the newest point, with which it goes; the window too."""
        self._go(replace(self._view, cursor=NEWEST, end=None))

    def action_zoom_x(self, factor: float) -> None:
        """A window `factor` times as wide, around the cursor, or with the newest point at its end."""
        self._go(self._view.zoomed(self.lines, factor, log=self.look.log_x))

    def action_zoom_y(self, factor: float) -> None:
        """Show `factor` times as much of the y axis, around the value at the cursor, or else around the newest one; of
        the run's own curves, or else of those behind them; around the middle where none has a value there."""
        frame, limits = self.frame(), x_limits(self.lines)
        if frame is None or limits is None:
            return
        low, high = self._view.window(limits)
        place = self._view.at(self.lines)
        at = high if place is None else place
        indices = [(line, index_at(line, at)) for line in sorted(self.lines, key=lambda line: line.curve.faint)]
        there = (float(line.y[index]) for line, index in indices if index is not None and line.x[-1] >= low)
        self._see(frame.y.zoomed(factor, next(there, frame.y.value((frame.rows - 1) / 2))))

    def action_shift_y(self, share: float) -> None:
        """Move along the y axis by a share of what shows of it."""
        if (frame := self.frame()) is not None:
            self._see(frame.y.shifted(share))

    def _see(self, wanted: Limits) -> None:
        """Show a part of the y axis; where it holds everything, all of it."""
        low, high = wanted
        limits = x_limits(self.lines)
        if limits is None or not high - low > 1e-9 * max(abs(low), abs(high)):
            return
        width, height = self.content_size
        every, settled = heights_of(self.lines, width, height - 1, self._view.window(limits), self.look)
        if every is None:
            return
        if every[0] >= 0:
            low = max(low, 0.0)  # nothing is below: no row is spent on it
        holds_all = low <= every[0] and every[1] <= high
        self._heights = (low, high) if not holds_all else every if settled is not None else None
        self.turn(self._view)

    def action_zoom_all(self) -> None:
        """Everything again."""
        self._heights = None
        self._go(replace(self._view, width=None, end=None))

    def action_leave_cursor(self) -> None:
        """The newest values in the legend again."""
        self._go(replace(self._view, cursor=None))

    # The mouse

    def frame(self) -> PlotFrame | None:
        """Where the points are; None while there are none."""
        return self._plot[1].frame if self._plot is not None and x_limits(self.lines) is not None else None

    def _place(self, event: events.MouseEvent) -> float | None:
        """The x under the mouse, at the nearer end where it is beside the points."""
        frame = self.frame()
        if frame is None:
            return None
        column = event.get_content_offset_capture(self).x - frame.left
        return frame.place(min(max(column, 0), frame.columns - 1))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._held = self._place(event)
        if self._held is not None:
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        place, held = self._place(event), self._held
        if place is None:
            return
        now = (place, None) if held is None else (None, (held, place) if place != held else None)
        if now != (self._hover, self._chosen):
            self._hover, self._chosen = now
            self.changed()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.release_mouse()
        place, start = self._place(event), self._held
        self._held = self._chosen = None
        self.changed()
        if place is None or start is None:
            return
        if place != start:
            self._go(self._view.selecting(self.lines, min(start, place), max(start, place)))
        else:
            limits, at = x_limits(self.lines), nearest(self.lines, place)
            self._go(replace(self._view, cursor=NEWEST if limits and at >= limits[1] else at))

    def on_leave(self) -> None:
        if self._held is None and self._hover is not None:
            self._hover = None
            self.changed()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 1 / WHEEL)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, WHEEL)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        place = self._place(event)
        if place is not None:
            event.stop()
            self._go(self._view.zoomed(self.lines, factor, place, self.look.log_x))


def follow_look(panels: Iterable[CurvesPanel], event: CurvesPanel.Looked) -> None:
    """Have the other panels look where one of them looks."""
    event.stop()
    for panel in panels:
        if panel is not event.panel:
            panel.turn(event.view)


def cycle_look(panels: Iterable[CurvesPanel], name: str) -> str:
    """The next value of something in LOOKS, for all panels alike; returns how curves look now, in words.

    Units that no run tells are left out; the words name what is missing.
    """
    shown, values, missing = list(panels), LOOKS[name], ""
    if name == "unit" and (curves := [curve for panel in shown for curve in panel.curves if len(curve.x)]):
        values = tuple(unit for unit in values if any(tells(curve.clock, unit) for curve in curves))
        lacking = " and ".join(f"{unit}s" for unit in UNITS if unit not in values)
        missing = f"; {lacking} are not in the history" if lacking else ""
    following = values[(values.index(getattr(shown[0].look, name)) + 1) % len(values)]
    for panel in shown:
        panel.look = replace(panel.look, **{name: following})
    return LOOK_WORDS[name, following] + missing
