"""A table of any length: only the lines that show are ever made.

Textual's DataTable keeps every cell as a renderable, measures each new one on the event loop, and draws every visible
cell anew after any change. With 1,000 rows of 12 cells on 160 columns it took 190 ms to fill anew where this takes 60,
and 60 ms to paint one changed cell where this takes 20; 20 of each are the wait for the paint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tuiae.ui.widgets.log import THIN_SCROLLBAR
from tuiae.ui.widgets.panel import FRAME

Line = Callable[[int, int], Text]
"""The line of a row, for so many cells."""
Header = Callable[[int], Text]
"""The line above all rows, for so many cells."""


class LineTable(ScrollView, can_focus=True):
    """Keys of rows, a line for each, a cursor that stays on its key while rows come, go and change places."""

    ALLOW_MAXIMIZE = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {"line-table--header", "line-table--cursor"}
    DEFAULT_CSS = (
        "LineTable {" + FRAME + THIN_SCROLLBAR + "overflow-x: hidden; padding: 0;"
        "& > .line-table--header { color: $foreground 65%; }"
        "& > .line-table--cursor { background: $accent 20%; }"
        "&:focus > .line-table--cursor { background: $accent 30%; text-style: bold; }"
        "}"
    )
    BINDINGS = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end", "move(1000000)", "Last", show=False),
        Binding("enter", "choose", "Open"),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor stands on another key, or on none."""

        def __init__(self, table: LineTable, key: str) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> LineTable:
            return self.table

        def can_replace(self, message: Message) -> bool:
            """While a key is held down only the last place counts."""
            # Not even Chosen, which is a Moved: it comes after the move and does not tell of it.
            return type(message) is LineTable.Moved and message.table is self.table

    class Chosen(Moved):
        """A row was chosen: Enter, or a click where the cursor stands."""

        def can_replace(self, message: Message) -> bool:
            return False

    class Pointed(Message):
        """The mouse was pressed on the header (row -1) or on a row, so many cells from the left."""

        def __init__(self, table: LineTable, row: int, x: int) -> None:
            super().__init__()
            self.table, self.row, self.x = table, row, x

        @property
        def control(self) -> LineTable:
            return self.table

    def __init__(self, title: str = "", *, header: bool = True, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = title
        self._head = 1 if header else 0
        self._header: Header = lambda width: Text()
        self._keys: tuple[str, ...] = ()
        self._places: dict[str, int] = {}
        self._line: Line = lambda row, width: Text()
        self._under = ""

    # What is shown

    def show(self, keys: Sequence[str], line: Line, header: Header | None = None) -> None:
        """Other rows, or the same in another order: the cursor goes where its key went, else stays at its height."""
        self._keys = tuple(keys)
        self._places = {key: place for place, key in enumerate(self._keys)}
        self._line = line
        self._header = header or self._header
        # The width only keeps Textual from offering to scroll sideways.
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._keys) + self._head)
        self.cursor = self._places.get(self._under, min(self.cursor, max(len(self._keys) - 1, 0)))
        self._land()
        self.call_after_refresh(self._keep_in_view)
        self.refresh()

    def redraw(self, keys: Sequence[str], line: Line) -> None:
        """The same rows in the same order, of which these have changed."""
        self._line = line
        for key in keys:
            if key in self._places:
                self._refresh_row(self._places[key])

    @property
    def keys(self) -> tuple[str, ...]:
        return self._keys

    @property
    def under(self) -> str:
        """The key that the cursor stands on; empty where there is none."""
        return self._keys[self.cursor] if self.cursor < len(self._keys) else ""

    # Drawing

    def render_line(self, y: int) -> Strip:
        """The header, or one visible row."""
        width, room = self.scrollable_content_region.width, self.room
        row = y - self._head + int(self.scroll_y)
        style, text = self.rich_style, None
        if y < self._head:
            text, style = self._header(room), self.get_component_rich_style("line-table--header")
        elif row < len(self._keys):
            text = self._line(row, room)
            if row == self.cursor:
                style = self.get_component_rich_style("line-table--cursor")
        if text is None:
            return Strip.blank(width, style)
        strip = Strip(text.render(self.app.console), text.cell_len).crop(0, room)
        return strip.adjust_cell_length(width).apply_style(style)

    def _refresh_row(self, row: int) -> None:
        y = row + self._head - int(self.scroll_y)
        if self._head <= y < self.scrollable_content_region.height:
            self.refresh(Region(0, y, self.scrollable_content_region.width, 1))

    def watch_cursor(self, before: int, cursor: int) -> None:
        self._refresh_row(before)
        self._refresh_row(cursor)

    def on_resize(self) -> None:
        self._keep_in_view()

    # Moving

    def move_to(self, row: int) -> None:
        """Put the cursor on a row, the nearest there is."""
        self.cursor = max(0, min(row, len(self._keys) - 1))
        self._land()
        self._keep_in_view()

    def _land(self) -> None:
        if self.under != self._under:
            self._under = self.under
            self.post_message(self.Moved(self, self._under))

    def _keep_in_view(self) -> None:
        room, top = self._rows, int(self.scroll_y)
        if self.cursor < top or self.cursor >= top + room:
            self.scroll_to(y=self.cursor if self.cursor < top else self.cursor - room + 1, animate=False)

    @property
    def room(self) -> int:
        """Cells of a line: one stays free, so that its end does not touch a scrollbar."""
        return max(self.scrollable_content_region.width - 1, 0)

    @property
    def _rows(self) -> int:
        """How many show at once."""
        return max(1, self.scrollable_content_region.height - self._head)

    def action_move(self, by: int) -> None:
        """Up or down by so many rows."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Up or down by what shows at once."""
        self.move_to(self.cursor + by * self._rows)

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.under:
            self.post_message(self.Chosen(self, self.under))

    def on_click(self, event: events.Click) -> None:
        """Rows answer twice: the first click goes there, one where the cursor stands already chooses."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        row = -1 if offset.y < self._head else offset.y - self._head + int(self.scroll_y)
        if row >= len(self._keys):
            return
        event.stop()
        self.post_message(self.Pointed(self, row, offset.x))

    def press_row(self, row: int) -> None:
        """What a click on a row does unless the screen knows better."""
        if row == self.cursor:
            self.action_choose()
        else:
            self.move_to(row)
