"""A line that goes through all samples of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textual import events, on, work
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.worker import get_current_worker

from tuiae.render.chrome import BACK, LIVE, ON, draw_timeline, neighbour, place_note
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import read_sample
from tuiae.runs.snapshot import Sample
from tuiae.ui.feeds import FeedMessage
from tuiae.ui.terminal.screen_diff import Lasting


@dataclass
class SampleRead(FeedMessage):
    """A sample that was asked for; None when its file is missing or torn."""

    path: Path
    epoch: int
    sample: Sample | None


class TimelineBar(Lasting, Widget):
    """Shows where in a run's samples one is; goes elsewhere by mouse, and by the methods that keys call.

    A thread reads what one goes to; a SampleRead that comes out of here is of the place where one still is.
    """

    DEFAULT_CSS = "TimelineBar { height: 1; padding: 0 1; }"

    at: reactive[int | None] = reactive(None)
    """The epoch that shows; None follows the newest."""

    @dataclass
    class Moved(FeedMessage):
        """Another sample is to show: that of an epoch, or with None the newest, whatever comes."""

        at: int | None

    _epochs: Sequence[int] = ()
    _live = False
    _drawn: int | None = None
    _dragged = False
    _path: Path | None = None

    def show(self, path: Path, epochs: Sequence[int], live: bool, drawn: int | None = None) -> None:
        """Show the samples of a run, in order; `live` says whether more may come. Without any the line is empty.

        `drawn` is the newest that was drawn: of a fast training others have come since.
        """
        self._path = path
        if (epochs, live, drawn) != (self._epochs, self._live, self._drawn):
            self._epochs, self._live, self._drawn = epochs, live, drawn
            self.refresh()

    def clear(self) -> None:
        """Forget the run."""
        self._epochs, self._live, self._drawn, self._path = (), False, None, None
        self.at = None
        self.refresh()

    def note(self, epoch: int) -> str:
        """What the frames of panels say of an older epoch."""
        return place_note(epoch, self._epochs[-1] if self._epochs else None, self._live)

    def go(self, at: int | None) -> None:
        """Go to the sample of an epoch, or with None to the newest."""
        if at != self.at:
            self.at = at
            if at is not None and self._path is not None:
                self._read(self._path, at)
            self.post_message(self.Moved(at))

    @work(thread=True, exclusive=True)
    def _read(self, path: Path, epoch: int) -> None:
        if not get_current_worker().is_cancelled:  # else somebody has gone on before its turn came
            self.post_message(SampleRead(path, epoch, read_sample(RunPaths(path), epoch)))

    @on(SampleRead)
    def _keep_newest(self, event: SampleRead) -> None:
        if event.path != self._path or event.epoch != self.at:
            event.stop()

    def can_move(self, where: int | str) -> bool:
        """Returns whether there is a sample there other than the one that shows."""
        if where == "newest" or where == 1:
            return self.at is not None
        return len(self._epochs) > 1 and self.at != self._epochs[0]

    def move(self, where: int | str) -> None:
        """Go on by samples, or back; or to the `first` or the `newest`."""
        if isinstance(where, int):
            self.step(where)
        elif where == "newest":
            self.go(None)
        elif len(self._epochs) > 1:
            self.go(self._epochs[0])

    def step(self, steps: int) -> None:
        """Go on by samples; behind the last one the newest is followed."""
        if self._epochs:
            begin = self._drawn if self.at is None and steps < 0 else self.at
            self.go(neighbour(self._epochs, begin, steps))

    def render(self) -> Content:
        if not self._epochs or self.content_size.width <= 0:
            return Content("")
        drawn = draw_timeline(self._epochs, self.at, self.content_size.width, self._live, self._drawn)
        return Content.from_rich_text(drawn.text)

    def _touch(self, event: events.MouseEvent) -> int | str | None:
        """Go to the epoch under the mouse, or to the newest; returns that epoch, or which sign is there."""
        drawn = draw_timeline(self._epochs, self.at, self.content_size.width, self._live, self._drawn)
        wanted = drawn.touch(event.get_content_offset_capture(self).x, self._epochs)
        if isinstance(wanted, int) or wanted == LIVE:
            self.go(None if wanted in (LIVE, self._epochs[-1]) else int(wanted))
        return wanted

    def on_mouse_down(self, event: events.MouseDown) -> None:
        wanted = self._touch(event) if self._epochs else None
        if isinstance(wanted, int):
            self._dragged = True
            self.capture_mouse()
        elif wanted in (BACK, ON):
            self.step(-1 if wanted == BACK else 1)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged:
            self._touch(event)

    def on_mouse_up(self) -> None:
        self._dragged = False
        self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.step(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.step(1)
