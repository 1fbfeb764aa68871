"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.text import Text
from textual.reactive import reactive

from tuiae.ui.render.confusion import Counts, draw_confusion
from tuiae.ui.widgets.panel import Panel


class ConfusionPanel(Panel):
    """The confusion matrix of a classifier."""

    ascii_only: reactive[bool] = reactive(False)

    def __init__(self, title: str = "confusion · true ↓ predicted →", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._counts: Counts = np.zeros((0, 0), np.int64)
        self._names: Sequence[str] = ()

    def show(self, counts: Counts, classes: Sequence[str]) -> None:
        """Replace the counts: (k, k), rows true, columns predicted."""
        self._counts, self._names = counts, classes
        self.changed()

    def watch_ascii_only(self) -> None:
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        return draw_confusion(self._counts, self._names, width, height, self.ascii_only or self.terminal.ascii)
