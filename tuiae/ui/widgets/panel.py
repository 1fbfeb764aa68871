"""What every panel is: a titled frame around one drawing, made again only when data or size change."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from rich.style import Style
from rich.text import Span, Text
from textual.content import Content
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from tuiae.render.status import Fact, draw_facts
from tuiae.render.text import clean
from tuiae.ui.terminal.mode import TerminalMode, mode_of

# A drawing taken apart into its lines, so that those which stay need not be made again.


class Line(NamedTuple):
    """One line of a drawing; equal lines look the same."""

    plain: str
    spans: tuple[tuple[int, int, str | Style], ...]
    """(first character, character after the last, style), later ones over earlier ones."""

    @property
    def text(self) -> Text:
        return Text(self.plain, spans=[Span(*span) for span in self.spans], end="")


def lines_of(drawing: Text) -> list[Line]:
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
    return [Line(line, tuple(own)) for line, own in zip(lines, spans, strict=True)]


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
        """What there is to draw with."""
        return mode_of(self.app)

    def set_title(self, title: str, note: str = "") -> None:
        """Put external words into the frame, above and below; they are never read as markup."""
        title = clean(title)
        self.border_title = Content(title) if title else None
        self.set_note(note)

    def set_note(self, note: str) -> None:
        """Other external words below, under the same title."""
        note = clean(note)
        self.border_subtitle = Content(note) if note else None

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
    """The lines of one version of a panel, on one ground."""

    version: tuple[int, int]
    ground: Style
    lines: Sequence[Line]
    strips: Mapping[Line, Strip]


class PicturePanel(Panel):
    """A panel of curves or pictures: of a new drawing it makes only the lines that are not as they were.

    Textual makes all lines of what `render` returns, with the place of each cell for the sake of a selection. In return
    nothing in here can be selected.
    """

    ALLOW_SELECT = False

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id, classes=classes)
        self._edition = 0
        self._drawings: dict[tuple[int, int], _Drawing] = {}
        self._ground = Style()

    def render_lines(self, crop: Region) -> list[Strip]:
        self._ground = self.rich_style  # Textual works it out at each look
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line of the drawing of this version and size; two sizes are kept, as `z` goes back."""
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

    def _strip(self, line: Line, ground: Style) -> Strip:
        text = line.text
        return Strip(text.render(self.app.console), text.cell_len).apply_style(ground)

    def changed_at(self, rows: Iterable[int]) -> None:
        """Draw again, and paint these lines alone at the next paint."""
        self._edition += 1
        width, height = self.content_size
        self.refresh(*(Region(0, row, width, 1) for row in rows if 0 <= row < height))


# Names and values: the state of a run, a config, a device.


class FactsPanel(Panel):
    """Aligned facts."""

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
