"""What every panel is: a titled frame around one drawing, made again only when data or size change.

At the end two plain ones: facts, and what the machine does.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from rich.style import Style
from rich.text import Span, Text
from textual import events, on
from textual.content import Content
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from tuiae.machine import Machine, MachineReader
from tuiae.render.machine import draw_machine
from tuiae.render.status import Fact, draw_facts
from tuiae.render.text import clean
from tuiae.ui.feeds import Feed, FeedMessage, Looks
from tuiae.ui.terminal.mode import Pictures, TerminalMode, mode_of


class DrawnLine(NamedTuple):
    """One line of a drawing, which need not be made again where an equal one was; equal lines look the same."""

    plain: str
    spans: tuple[tuple[int, int, str | Style], ...]
    """(first character, character after the last, style), later ones over earlier ones."""

    @property
    def text(self) -> Text:
        return Text(self.plain, spans=[Span(*span) for span in self.spans], end="")


def lines_of(drawing: Text) -> list[DrawnLine]:
    """The lines of a drawing; Rich's own `Text.split` takes five times as long for a map of 1,500 coloured cells."""
    lines = drawing.plain.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    spans: list[list[tuple[int, int, str | Style]]] = [[] for _ in lines]
    if drawing.style:
        for line, own in zip(lines, spans, strict=True):
            own.append((0, len(line), drawing.style))
    row = 0
    for start, end, style in drawing.spans:
        if not starts[row] <= start < starts[row + 1]:
            row = bisect_right(starts, start, hi=len(lines)) - 1
        last = row
        while start < end and last < len(lines):
            begins = starts[last]
            spans[last].append((start - begins, min(end, starts[last + 1] - 1) - begins, style))
            last += 1
            start = starts[last]
    return [DrawnLine(line, tuple(own)) for line, own in zip(lines, spans, strict=True)]


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


class Panel(Widget, can_focus=True):
    """A frame around what `draw` returns."""

    DEFAULT_CSS = "Panel {" + FRAME + "}"

    version: reactive[int] = reactive(0)
    """Counts changes of the data; a change draws again."""

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.set_title(title)

    @property
    def terminal(self) -> TerminalMode:
        """What this terminal can show."""
        return mode_of(self.app)

    def set_title(self, title: str, note: str = "") -> None:
        """Put words from outside into the frame, above and below; they are never read as markup."""
        self.border_title = Content(clean(title)) if title else None
        self.set_note(note)

    def set_note(self, note: str) -> None:
        """Put other words below, under the same title."""
        self.border_subtitle = Content(clean(note)) if note else None

    def draw(self, width: int, height: int) -> Text:
        """The drawing for so many cells; panels override it."""
        raise NotImplementedError

    def render(self) -> Content:
        return Content.from_rich_text(self.draw(*self.content_size))

    def changed(self) -> None:
        """Draw again at the next paint."""
        self.version += 1


@dataclass(frozen=True)
class _Drawing:
    """The lines of one version of a panel, on one background."""

    version: tuple[int, int]
    ground: Style
    lines: Sequence[DrawnLine]
    strips: Mapping[DrawnLine, Strip]


class PicturePanel(Panel):
    """A panel of curves or pictures: of a new drawing it makes only the lines that are not as they were.

    Textual makes all lines of what `render` returns, with the place of each cell for the sake of a selection. In return
    nothing in here can be selected.
    """

    ALLOW_SELECT = False

    mode: reactive[Pictures] = reactive("blocks")
    """What pictures are made of; `ascii` where no character above 127 is wanted."""

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id, classes=classes)
        self._empty = ""
        self._edition = 0
        self._drawings: dict[tuple[int, int], _Drawing] = {}
        self._ground = Style()

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
        self._ground = self.rich_style  # Textual works it out at each look
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line of the drawing of this version and size; those of two sizes are kept, as `z` goes back and forth."""
        width, height = self.content_size
        version, ground = (self.version, self._edition), self._ground
        drawing = self._drawings.get((width, height))
        if drawing is None or (drawing.version, drawing.ground) != (version, ground):
            drawing = self._make(version, ground, drawing)
            others = [(size, other) for size, other in self._drawings.items() if size != (width, height)]
            self._drawings = dict(others[-1:]) | {(width, height): drawing}
        if y >= len(drawing.lines):
            return Strip.blank(width, ground)
        return drawing.strips[drawing.lines[y]]

    def _make(self, version: tuple[int, int], ground: Style, before: _Drawing | None) -> _Drawing:
        lines = lines_of(self.draw(*self.content_size))
        known = before.strips if before is not None and before.ground == ground else {}
        return _Drawing(version, ground, lines, {line: known.get(line) or self._strip(line, ground) for line in lines})

    def _strip(self, line: DrawnLine, ground: Style) -> Strip:
        text = line.text
        return Strip(text.render(self.app.console), text.cell_len).apply_style(ground)

    def changed_at(self, rows: Iterable[int]) -> None:
        """Draw again, and paint these lines alone at the next paint."""
        self._edition += 1
        width, height = self.content_size
        self.refresh(*(Region(0, row, width, 1) for row in rows if 0 <= row < height))


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

    def __init__(self, title: str = "run", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._facts: tuple[Fact, ...] = ()

    def show(self, facts: Sequence[Fact]) -> None:
        """Replace the facts, each (label, value, style of the value); the same facts cost nothing."""
        if tuple(facts) != self._facts:
            self._facts = tuple(facts)
            self.changed()

    def draw(self, width: int, height: int) -> Text:
        return draw_facts(self._facts, width, height)


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

    def __init__(self, title: str = "machine", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self.set_note("g closes it")  # it may stand in the place of something else
        self.machine: Machine | None = None
        self._feed = Feed(follow_machine(), self.post_message, "machine")

    def on_mount(self) -> None:
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
        if event.machine != self.machine:
            self.machine = event.machine
            self.changed()

    def draw(self, width: int, height: int) -> Text:
        return draw_machine(self.machine, width, height, self.terminal.ascii)


def toggle_ascii(panels: Iterable[PicturePanel]) -> None:
    """Draw pictures without any character above 127, or as well as this terminal can again."""
    shown = list(panels)
    is_ascii = all(panel.mode == "ascii" for panel in shown)
    for panel in shown:
        panel.mode = panel.best if is_ascii else "ascii"
