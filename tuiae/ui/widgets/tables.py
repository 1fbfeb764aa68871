"""A table in a frame, drawn for the width that there is; it scrolls when it is long."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuiae.ui.widgets.log import THIN_SCROLLBAR
from tuiae.ui.widgets.panel import FRAME

Draw = Callable[[int], Text]


class TablePanel(VerticalScroll, can_focus=True):
    """What a pure function draws for so many columns."""

    ALLOW_MAXIMIZE = True
    DEFAULT_CSS = "TablePanel {" + FRAME + THIN_SCROLLBAR + "}"

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = title
        self._draw: Draw | None = None

    def compose(self) -> ComposeResult:
        yield Static()

    def show(self, draw: Draw) -> None:
        """Replace the table."""
        self._draw = draw
        self._redraw()

    def on_resize(self) -> None:
        self._redraw()

    def _redraw(self) -> None:
        width = self.scrollable_content_region.width
        if self._draw is not None and width > 0:
            self.query_one(Static).update(Content.from_rich_text(self._draw(width - 1)))
