"""The run under the cursor of a list, at its side."""

from __future__ import annotations

import time

from rich.text import Text

from tuiae.runs.listing import RunRow
from tuiae.ui.render.run_details import draw_details
from tuiae.ui.widgets.panel import Panel


class RunDetails(Panel):
    """What the list has no room for."""

    can_focus = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__("run", id=id)
        self._row: RunRow | None = None

    def show(self, row: RunRow | None) -> None:
        """Another run, or the same as it is now; the same again costs nothing."""
        if row is not self._row:
            self._row = row
            self.changed()

    def draw(self, width: int, height: int) -> Text:
        if self._row is None:
            return Text(end="")
        return draw_details(self._row, width, height, time.time(), self.terminal.ascii)
