"""The tail of a log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tuiae.ui.render.log import fit_line, log_line
from tuiae.ui.render.text import shorten
from tuiae.ui.widgets.panel import FRAME

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


class LogPanel(ScrollView, can_focus=True):
    """The last lines of a log; it follows the end until one scrolls up."""

    # Textual's RichLog keeps unbounded writes while it is hidden and cuts what it once drew narrow.
    DEFAULT_CSS = "LogPanel {" + FRAME + THIN_SCROLLBAR + "}"

    def __init__(self, title: str = "log", *, empty: str = "nothing logged yet", id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = title
        self._empty = empty
        self._lines: deque[Text] = deque(maxlen=MOST_LINES)
        self.anchor()

    def append(self, lines: Iterable[str]) -> None:
        """Add lines at the end; the oldest beyond the bound go."""
        before = len(self._lines)
        self._lines.extend(log_line(line) for line in lines)
        if len(self._lines) == before == 0:
            return
        widest = max(line.cell_len for line in self._lines)
        self.virtual_size = Size(widest, len(self._lines))
        self.refresh()

    def clear(self) -> None:
        """Forget all lines."""
        self._lines.clear()
        self.virtual_size = Size(0, 0)
        self.refresh()

    @property
    def plain(self) -> str:
        """All lines as text."""
        return "\n".join(line.plain for line in self._lines)

    def render_line(self, y: int) -> Strip:
        """One visible line, cut from its scroll position on; scrolled to the right, as it was logged."""
        left, top = self.scroll_offset
        size = self.scrollable_content_region.size
        if top + y < len(self._lines):
            text = self._lines[top + y]
            text = text if left else fit_line(text, size.width)
        elif not self._lines and y == (size.height - 1) // 2:
            words = shorten(self._empty, size.width)
            text = Text(end="").append(f"{words:^{size.width}}", "dim")
        else:
            return Strip.blank(size.width, self.rich_style)
        strip = Strip(text.render(self.app.console), text.cell_len)
        return strip.crop_extend(left, left + size.width, None).apply_style(self.rich_style)
