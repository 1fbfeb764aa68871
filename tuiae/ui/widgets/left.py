"""The left column of Live: the form, and below it how the open run stands, what its curves say, and its log.

And, in their place or beside them, what the machine does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import events, getters, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Button

from tuiae.machine import Machine, MachineHistory, MachineReader
from tuiae.render.log import SHORTEST, fit_line, is_shortest, log_line, log_lines
from tuiae.render.machine import draw_machine, machine_height
from tuiae.render.status import Fact, added, draw_facts
from tuiae.render.text import lines_of, shorten
from tuiae.runs.snapshot import Note, Snapshot, Status
from tuiae.ui.feeds import Feed, FeedMessage, Looks
from tuiae.ui.keys import name_now, run_takes
from tuiae.ui.terminal.screen_diff import Lasting
from tuiae.ui.widgets.chrome import ONE_AT_A_TIME, FindingLine
from tuiae.ui.widgets.form import ConfigForm
from tuiae.ui.widgets.panel import FRAME, THIN_SCROLLBAR, Panel, strip_of

FRAME_LINES = 2  # of a panel


class RunButtons(Lasting, Horizontal):
    """What can be done to the open run as it stands; no line where that is nothing."""

    WORDS = {"pause": "Pause", "stop": "Stop", "save": "Save checkpoint", "resume": "Resume"}
    """Action -> what its button says."""

    def compose(self) -> ComposeResult:
        for action, word in self.WORDS.items():
            yield Button(word, id=action, compact=True)

    def on_mount(self) -> None:
        self.show(None)

    def show(self, status: Status | None) -> None:
        """Offer what a run of this status takes; None is no run."""
        taken = [action for action in self.WORDS if run_takes(action, status, has_checkpoint=False)]
        for action, word in self.WORDS.items():
            button = self.query_one(f"#{action}", Button)
            button.display = action in taken
            button.label = name_now(action, status.state if status is not None else "") or word
        self.display = bool(taken)


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


class LogPanel(Lasting, ScrollView, can_focus=True):
    """The last lines of a log; it follows the end until one scrolls up."""

    # Textual's RichLog keeps unbounded writes while it is hidden and cuts what it once drew narrow.
    # The bar has its column from the start: what was wrapped before it came would be cut.
    DEFAULT_CSS = "LogPanel {" + FRAME + THIN_SCROLLBAR + " scrollbar-gutter: stable; }"
    BORDER_TITLE = "log"
    EMPTY = "nothing logged yet"

    _followed: tuple[tuple[Note, ...], tuple[str, ...]] = (), ()
    """What of a run was added so far."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lines: deque[Text] = deque(maxlen=MOST_LINES)
        self._parts: deque[Sequence[Text]] = deque(maxlen=MOST_LINES)
        """Each of them in as many as it takes in so many columns."""
        self._columns = 0
        self._laid: Sequence[Text] = ()
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
        new, at_end = [*map(log_line, lines)], self.scroll_y >= self.max_scroll_y
        self._lines.extend(new)
        self._parts.extend(map(self._wrap, new))
        self._lay_out()
        if at_end:
            self.anchor()  # whoever scrolled where nothing was to scroll did not leave the end

    def clear(self) -> None:
        """Forget all lines."""
        self._followed = (), ()
        self._lines.clear()
        self._parts.clear()
        self._lay_out()
        self.anchor()

    def _wrap(self, line: Text) -> Sequence[Text]:
        if not self._columns:
            return [line]
        return [*fit_line(line, self._columns).wrap(self.app.console, self._columns, no_wrap=False)] or [Text()]

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        if width not in (0, self._columns):  # hidden it has none, and is usually as wide again when it shows
            self._columns = width
            self._parts = deque(map(self._wrap, self._lines), MOST_LINES)
        self._laid = [part for parts in self._parts for part in parts]
        self.virtual_size = Size(width, len(self._laid))
        self.border_subtitle = SHORTEST if any(is_shortest(line, self._columns) for line in self._lines) else None
        self.refresh()

    def on_resize(self) -> None:
        self._lay_out()

    @property
    def plain(self) -> str:
        """All lines as text."""
        return "\n".join(line.plain for line in self._lines)

    def render_line(self, y: int) -> Strip:
        """One visible line."""
        top, size = self.scroll_offset.y, self.scrollable_content_region.size
        if top + y < len(self._laid):
            text = self._laid[top + y]
        elif not self._lines and y == (size.height - 1) // 2:
            words = shorten(self.EMPTY, size.width)
            text = Text(end="").append(f"{words:^{size.width}}", "dim")
        else:
            return Strip.blank(size.width, self.rich_style)
        return strip_of(text, self.app.console).crop_extend(0, size.width, None).apply_style(self.rich_style)


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


class LeftColumn(Vertical):
    """The form, and what is said of the open run in words; the status has as many lines as it has facts, where the log
    below it has lines to give."""

    status = getters.query_one(FactsPanel)

    buttons = getters.query_one(RunButtons)

    def __init__(self, form: ConfigForm, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._form = form
        self._facts_lines = 0  # that the facts of the open run have taken so far

    def compose(self) -> ComposeResult:
        yield self._form
        yield FactsPanel("status", id="status")
        yield RunButtons()
        yield FindingLine("finding")
        with LogRoom(id="log-room"):
            yield LogPanel(id="side-log")
        yield MachinePanel(id="machine")

    def show(self, facts: Sequence[Fact], anew: bool = False) -> None:
        """Replace the facts of the status; `anew` where they are another run's."""
        self.status.show(facts)
        self.fit(anew)

    def fit(self, anew: bool = False) -> None:
        """Let the status be no higher than its facts, where the log below it has the lines that it does not take;
        `anew` where they were laid out otherwise so far."""
        maximized = self.screen.maximized
        if maximized not in (None, self.status):
            return
        lines = 0 if anew else self._facts_lines
        self._facts_lines = max(lines, self.status.lines)  # or the buttons below would move about
        alone = any(map(self.screen.has_class, ONE_AT_A_TIME)) or maximized is self.status
        self.status.styles.max_height = None if alone else self._facts_lines + FRAME_LINES
