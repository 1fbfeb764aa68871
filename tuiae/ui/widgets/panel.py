"""What every panel is: a titled frame around one drawing, made again only when data or size change.

At the end three of them: facts, what the machine does, and histograms.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text
from textual import events, on, work
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import get_current_worker

from tuiae.machine import Machine, MachineHistory, MachineReader
from tuiae.render.log import fit_line, log_line, log_lines
from tuiae.render.machine import draw_machine, machine_height
from tuiae.render.network import Place, draw_histograms, layers_of, spread_epochs
from tuiae.render.status import Fact, added, draw_facts
from tuiae.render.text import centred, clean, first_parts, lines_of, shorten
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import read_sample
from tuiae.runs.snapshot import Histogram, Note, Snapshot
from tuiae.ui.feeds import Feed, FeedMessage, Looks
from tuiae.ui.keys import HISTOGRAMS
from tuiae.ui.terminal.mode import Pictures, TerminalMode, mode_of
from tuiae.ui.terminal.screen_diff import Lasting


def strip_of(line: Text, console: Console) -> Strip:
    """One line of a drawing as Textual shows it."""
    line.end = ""
    return Strip(line.render(console), line.cell_len)


FRAME = """
    border: round $foreground 35%;
    border-title-color: $foreground 80%;
    border-title-style: bold;
    border-subtitle-color: $foreground 65%;
    padding: 0 1;
    width: 1fr;
    height: 1fr;
    &:focus {
        border: round $accent;
        border-title-color: $accent;
    }
"""
"""The look that panels share, whichever widget they grow from."""


AROUND_NOTE = 6  # columns of the lower frame that words there leave


class Panel(Lasting, Widget, can_focus=True):
    """A frame around what `draw` returns."""

    DEFAULT_CSS = "Panel {" + FRAME + "}"

    TITLE_MARGIN = ""
    _below = ""
    """The words below, whole."""
    version: reactive[int] = reactive(0)
    """Counts changes of the data; a change draws again."""

    def __init__(self, title: str = "", *, id: str | None = None) -> None:  # noqa: A002
        """`title` stands in place of the BORDER_TITLE of the class."""
        super().__init__(id=id)
        self.set_title(title or self.BORDER_TITLE)

    @property
    def terminal(self) -> TerminalMode:
        """What this terminal can show."""
        return mode_of(self.app)

    def set_title(self, title: str, note: str = "", badge: tuple[str, str] | None = None) -> None:
        """Put words from outside into the frame, above and below; they are never read as markup. A `badge`, of words
        and their style, stands behind the title."""
        words = f"{self.TITLE_MARGIN}{clean(title)}{self.TITLE_MARGIN}"
        self.border_title = Content.assemble(words, *((" ", badge) if badge else ())) if title else None
        self.set_note(note)

    def set_note(self, note: str) -> None:
        """Put other words below, under the same title; of parts between ` · ` the first that the frame has room for."""
        self._below = clean(note)
        self._fit_note()

    def _fit_note(self) -> None:
        room = self.outer_size.width - AROUND_NOTE
        note = first_parts(self._below.split(" · "), room) if room > 0 else self._below
        self.border_subtitle = Content(f"{self.TITLE_MARGIN}{note}{self.TITLE_MARGIN}") if note else None

    def on_resize(self) -> None:
        if " · " in self._below:  # what has no parts stays as it is, and draws nothing anew
            self._fit_note()

    def draw(self, width: int, height: int) -> Text:
        """The drawing for `width` x `height` cells; panels override it."""
        raise NotImplementedError

    def drawn(self) -> Text:
        """The drawing for the cells that there are; a sentence where that fails, and the app survives it."""
        try:
            return self.draw(*self.content_size)
        except Exception as error:
            if not self.app.survives(error):  # type: ignore[attr-defined]
                raise
            return centred("this cannot be drawn", *self.content_size)

    def render(self) -> Content:
        return Content.from_rich_text(self.drawn())

    def changed(self) -> None:
        """Draw again at the next paint."""
        self.version += 1


class PicturePanel(Panel):
    """A panel of curves or pictures, in which nothing can be selected.

    Its lines are made here: Textual notes the place of each cell of what `render` returns for the sake of a selection,
    by which pictures of 196x56 cells take 0.6 s instead of 0.1.
    """

    ALLOW_SELECT = False

    mode: reactive[Pictures] = reactive("blocks")
    """What pictures are made of; `ascii` where no character above 127 is wanted."""
    _empty = ""
    _drawn_for: tuple[object, ...] = ()
    _strips: Sequence[Strip] = ()

    def on_mount(self) -> None:
        self.mode = self.best

    @property
    def best(self) -> Pictures:
        """What shows pictures best on this terminal."""
        return self.terminal.pictures

    def watch_mode(self) -> None:
        self.changed()

    def explain(self, message: str) -> None:
        """Say why there is nothing to show."""
        self._empty = clean(message)
        self.changed()

    def render_lines(self, crop: Region) -> list[Strip]:
        ground = self.rich_style
        drawn_for = (self.version, self.content_size, ground)
        if drawn_for != self._drawn_for:
            lines = self.drawn().split("\n", allow_blank=True)
            self._strips = [strip_of(line, self.app.console).apply_style(ground) for line in lines]
            self._drawn_for = drawn_for
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.content_size.width, self.rich_style)


class PointedPanel(PicturePanel):
    """A panel on which the mouse points at something, also while it is dragged."""

    def pointed(self, event: events.MouseEvent) -> None:
        """The mouse points here; panels override it."""
        raise NotImplementedError

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self.pointed(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button:
            self.pointed(event)

    def on_mouse_up(self) -> None:
        self.release_mouse()


class FactsPanel(Panel):
    """Names and values in two columns: the state of a run, a config, a device."""

    _facts: tuple[Fact, ...] = ()

    def show(self, facts: Sequence[Fact]) -> None:
        """Replace the facts, each (label, value, style of the value); the same facts cost nothing."""
        if tuple(facts) != self._facts:
            self._facts = tuple(facts)
            self.changed()

    @property
    def lines(self) -> int:
        """Lines that all facts take at this width."""
        return len(lines_of(draw_facts(self._facts, self.content_size.width, UNBOUNDED)))

    def draw(self, width: int, height: int) -> Text:
        return draw_facts(self._facts, width, height)


MOST_LINES = 1000
THIN_SCROLLBAR = """
    scrollbar-size: 0 1;
    scrollbar-color: $foreground 25%;
    scrollbar-color-hover: $foreground 45%;
    scrollbar-color-active: $accent;
    scrollbar-background: $background;
    scrollbar-background-hover: $background;
    scrollbar-background-active: $background;
"""


class LogPanel(Lasting, ScrollView, can_focus=True):
    """The last lines of a log; it follows the end until one scrolls up."""

    # Textual's RichLog keeps unbounded writes while it is hidden and cuts what it once drew narrow.
    DEFAULT_CSS = "LogPanel {" + FRAME + THIN_SCROLLBAR + "}"
    BORDER_TITLE = "log"
    EMPTY = "nothing logged yet"

    _followed: tuple[tuple[Note, ...], tuple[str, ...]] = (), ()
    """What of a run was added so far."""

    def __init__(self, *, wraps: bool = False, id: str | None = None) -> None:  # noqa: A002
        """With `wraps`, lines longer than the panel take several lines; else the panel scrolls to the right."""
        super().__init__(id=id)
        self._lines: deque[Text] = deque(maxlen=MOST_LINES)
        self._parts: deque[Sequence[Text]] = deque(maxlen=MOST_LINES)
        """Each of them in as many as it takes in so many columns, where it wraps."""
        self._columns = 0
        self._laid: Sequence[Text] = ()
        self._wraps = wraps
        self.anchor()

    def follow(self, snapshot: Snapshot) -> None:
        """Add what happened and what the worker printed since the snapshot before, in the order in which it is seen; at
        the end, so that users can scroll up and read on."""
        notes, lines = added(self._followed[0], snapshot.notes), added(self._followed[1], snapshot.log)
        self._followed = snapshot.notes, snapshot.log
        if notes or lines:
            self.append(log_lines(notes, lines))

    def append(self, lines: Iterable[str]) -> None:
        """Add lines at the end; the oldest beyond the bound go."""
        new = [*map(log_line, lines)]
        self._lines.extend(new)
        self._parts.extend(map(self._wrap, new))
        self._lay_out()

    def clear(self) -> None:
        """Forget all lines."""
        self._followed = (), ()
        self._lines.clear()
        self._parts.clear()
        self._lay_out()

    def _wrap(self, line: Text) -> Sequence[Text]:
        if not self._columns:
            return [line]
        return [*fit_line(line, self._columns).wrap(self.app.console, self._columns, no_wrap=False)] or [Text()]

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width if self._wraps else 0
        if width not in (0, self._columns):  # hidden it has none, and is usually as wide again when it shows
            self._columns = width
            self._parts = deque(map(self._wrap, self._lines), MOST_LINES)
        self._laid = [part for parts in self._parts for part in parts]
        self.virtual_size = Size(max((line.cell_len for line in self._laid), default=0), len(self._laid))
        self.refresh()

    def on_resize(self) -> None:
        if self._wraps:
            self._lay_out()

    @property
    def plain(self) -> str:
        """All lines as text."""
        return "\n".join(line.plain for line in self._lines)

    def render_line(self, y: int) -> Strip:
        """One visible line, cut from its scroll position on; scrolled to the right, as it was logged."""
        left, top = self.scroll_offset
        size = self.scrollable_content_region.size
        if top + y < len(self._laid):
            text = self._laid[top + y]
            text = text if left else fit_line(text, size.width)
        elif not self._lines and y == (size.height - 1) // 2:
            words = shorten(self.EMPTY, size.width)
            text = Text(end="").append(f"{words:^{size.width}}", "dim")
        else:
            return Strip.blank(size.width, self.rich_style)
        return strip_of(text, self.app.console).crop_extend(left, left + size.width, None).apply_style(self.rich_style)


class LogRoom(Vertical):
    """What is left of a column, with a log in it where that is enough to read."""

    LEAST = 4  # lines, two of them the log's frame

    def on_resize(self, event: events.Resize) -> None:
        for log in self.query(LogPanel):
            log.display = event.size.height >= self.LEAST


UNBOUNDED = 10**6  # lines
MACHINE_SECONDS = 2.0  # between looks
FIRST_SECONDS = 0.3  # until the first figures: how busy a core is takes a while to see


@dataclass
class MachineRead(FeedMessage):
    """A look at the machine."""

    machine: Machine


def follow_machine() -> Looks:
    """The machine, each time that it is asked for; nothing is opened before the first time."""
    reader = MachineReader()
    time.sleep(FIRST_SECONDS)
    while True:
        yield MachineRead(reader.read()), None


class MachinePanel(Panel):
    """Cores, memory and cards; a thread looks every two seconds while the panel is on the screen, and not otherwise."""

    BORDER_TITLE = "machine"

    machine: Machine | None = None
    _feed: Feed

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._history = MachineHistory()
        self._laid_out = 0

    def on_mount(self) -> None:
        self.set_note("g closes it")  # it may stand in the place of something else
        self._feed = Feed(follow_machine(), self.post_message, "machine")
        self.call_after_refresh(self._look)
        self.set_interval(MACHINE_SECONDS, self._look)

    def on_unmount(self) -> None:
        self._feed.close()

    def on_show(self) -> None:
        self._look()

    @property
    def is_seen(self) -> bool:
        """Whether the panel is on the screen, and no other screen is over it."""
        return self.is_attached and self.screen.is_active and self.is_on_screen

    def _look(self) -> None:
        if self.is_seen:
            self._feed.hurry()

    @on(MachineRead)
    def _show(self, event: MachineRead) -> None:
        event.stop()
        self._history.add(event.machine, time.monotonic())
        if event.machine != self.machine:
            self.machine = event.machine
            self.changed()
            if machine_height(self.machine, self.content_size.width, self._history) != self._laid_out:
                self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there is to say, where the column has them."""
        self._laid_out = machine_height(self.machine, width, self._history)
        return self._laid_out

    def draw(self, width: int, height: int) -> Text:
        return draw_machine(self.machine, width, height, self.terminal.ascii, self._history)


@dataclass
class HistogramsRead(FeedMessage):
    """Histograms of epochs of the run at `path`, none of an epoch that has none."""

    path: Path
    found: Mapping[int, Sequence[Histogram]]


class HistogramPanel(PicturePanel):
    """How weights, gradients and codes are spread: of every layer after one epoch, and of one layer after many, which a
    thread reads."""

    BINDINGS = [key.binding for key in HISTOGRAMS]
    BORDER_TITLE = "weights, gradients, code"

    cursor: reactive[Place] = reactive((0, 0))

    _shown: tuple[Histogram, ...] = ()
    _epoch = 0
    _path: Path | None = None
    _wanted: tuple[int, ...] = ()
    _history: Mapping[int, Sequence[Histogram]] = {}

    def watch_cursor(self) -> None:
        self.changed()

    def show(self, histograms: tuple[Histogram, ...], epoch: int, note: str) -> None:
        """Show those of another epoch; `note` goes into the lower frame."""
        self.set_note(note)
        if histograms is not self._shown:
            self._shown, self._epoch = histograms, epoch
            self.changed()

    def clear(self) -> None:
        """Forget the run."""
        self._path, self._wanted, self._history, self.cursor = None, (), {}, (0, 0)
        self.show((), 0, "")

    def follow(self, path: Path, epochs: Sequence[int]) -> None:
        """Have the histograms of a run read, of some of its `epochs` where those are many."""
        wanted = spread_epochs(epochs)
        if (path, wanted) != (self._path, self._wanted):
            self._history = {epoch: self._history[epoch] for epoch in wanted if epoch in self._history}
            self._path, self._wanted = path, wanted
            self._read(path, tuple(epoch for epoch in wanted if epoch not in self._history))

    @work(thread=True, exclusive=True)
    def _read(self, path: Path, epochs: Sequence[int]) -> None:
        found = {}
        for epoch in epochs:
            if get_current_worker().is_cancelled:
                return  # a newer one reads these as well
            sample = read_sample(RunPaths(path), epoch)
            found[epoch] = () if sample is None else sample.histograms
        self.post_message(HistogramsRead(path, found))

    @on(HistogramsRead)
    def _take(self, event: HistogramsRead) -> None:
        event.stop()
        if event.path != self._path:
            return
        self._history = {**self._history, **event.found}
        newest = max((epoch for epoch, found in self._history.items() if found), default=None)
        if newest is not None and not self._shown:
            # What shows is the picture of a single step, of which there are no histograms.
            self.show(tuple(self._history[newest]), newest, f"epoch {newest:,}")
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        ascii_only = self.mode == "ascii"
        return draw_histograms(self._shown, self._history, self.cursor, self._epoch, width, height, ascii_only)

    def action_move(self, down: int, right: int) -> None:
        """Another layer, or its gradients instead of its weights."""
        last = max(len(layers_of(self._shown)) - 1, 0)
        self.cursor = min(max(self.cursor[0] + down, 0), last), min(max(self.cursor[1] + right, 0), 1)


def toggle_ascii(panels: Iterable[PicturePanel]) -> None:
    """Draw pictures without any character above 127, or as well as this terminal can again."""
    shown = list(panels)
    is_ascii = all(panel.mode == "ascii" for panel in shown)
    for panel in shown:
        panel.mode = panel.best if is_ascii else "ascii"
