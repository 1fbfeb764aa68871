"""Which class is taken for which; a cursor goes through the cells and asks for their images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive

from tuiae.render.confusion import EMPTY, Cell, Counts, TablePlace, draw_confusion, drawable, known_names, place
from tuiae.render.text import centred
from tuiae.ui.keys import CONFUSION
from tuiae.ui.widgets.panel import PicturePanel


class ConfusionPanel(PicturePanel):
    """The confusion matrix of a classifier."""

    BINDINGS = [key.binding for key in CONFUSION]

    ascii_only: reactive[bool] = reactive(False)
    shares: reactive[bool] = reactive(False)
    """Per cents of each true class instead of counts."""
    cursor: reactive[Cell | None] = reactive(None)
    """(true, predicted)."""

    class CellChosen(Message):
        """Somebody wants to see the images of a cell."""

        def __init__(self, true: int, predicted: int) -> None:
            super().__init__()
            self.true = true
            self.predicted = predicted

    def __init__(self, title: str = "confusion · true ↓ predicted →", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._title = title
        self._note = ""
        self._empty = EMPTY
        self._counts: Counts = np.zeros((0, 0), np.int64)
        self._names: Sequence[str] = ()

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.changed())

    def show(self, counts: Counts, classes: Sequence[str], note: str = "") -> None:
        """Replace the counts: (k, k), rows true, columns predicted; `note` goes into the lower frame."""
        self._counts, self._names, self._note = np.asarray(counts), classes, note
        if self.cursor is not None and max(self.cursor) >= len(counts):
            self.cursor = None
        self._show_again()

    def set_empty(self, message: str) -> None:
        """What to say while there is nothing to show."""
        self._empty = message
        self.changed()

    def _show_again(self) -> None:
        self._say_what()
        self.changed()

    watch_ascii_only = watch_shares = watch_cursor = _show_again

    def _say_what(self) -> None:
        """In the frame: what the cells say, and of when."""
        placed = self._placed()
        what = "% of each true class" if self.shares else "counts"
        if placed is not None and not placed.table.digits:
            what = "shades of each true class"
        title = self._title
        if self.terminal.ascii:  # whose arrows are a v and a >
            title = title.replace("↓", "down,").replace("→", "across")
        self.set_title(title, " · ".join(words for words in (what, self._note) if words and drawable(self._counts)))

    on_resize = _say_what

    def _placed(self) -> TablePlace | None:
        """Where the table stands, as far as there is one."""
        if not drawable(self._counts):
            return None
        names = known_names(self._counts, self._names)
        return place(self._counts, names, *self.content_size, self.shares, margins=True)

    def draw(self, width: int, height: int) -> Text:
        if not drawable(self._counts):
            return centred(self._empty, width, height)
        ascii_only = self.ascii_only or self.terminal.ascii
        light, bare = not self.app.current_theme.dark, self.terminal.colors == "none"
        return draw_confusion(
            self._counts, self._names, width, height, ascii_only, self.shares, True, self.cursor, light, bare
        )

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape and Enter belong to the screen while there is no cursor."""
        return self.cursor is not None if action in ("leave_cursor", "choose_cell") else True

    def action_move(self, down: int, right: int) -> None:
        """The cursor to a neighbour; the first time it shows, on the most frequent mistake."""
        if not drawable(self._counts):
            return
        last = len(self._counts) - 1
        if self.cursor is None:
            wrong = self._counts - np.diag(np.diag(self._counts))
            true, predicted = divmod(int(wrong.argmax()), len(self._counts))
            self.cursor = true, predicted
        else:
            self.cursor = min(max(self.cursor[0] + down, 0), last), min(max(self.cursor[1] + right, 0), last)

    def action_leave_cursor(self) -> None:
        """The summary again."""
        self.cursor = None

    def action_choose_cell(self) -> None:
        """Ask for the images of the cell."""
        if self.cursor is not None:
            self.post_message(self.CellChosen(*self.cursor))

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """The first click goes to a cell, one where the cursor stands already asks for its images."""
        cell = self._cell_at(event)
        if cell is not None:
            if cell == self.cursor:
                self.action_choose_cell()
            self.cursor = cell

    def _cell_at(self, event: events.MouseEvent) -> Cell | None:
        offset = event.get_content_offset(self)
        placed = self._placed()
        return None if placed is None or offset is None else placed.cell_at(*offset, len(self._counts))
