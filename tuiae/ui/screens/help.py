"""Which key does what on the screen below, and everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuiae.ui.keys import (
    APP,
    BENCH,
    CANVAS,
    COMPARE,
    CONFUSION,
    CURVES,
    ELSEWHERE,
    LATENT,
    NEXT_RUN,
    OPEN_RUN,
    RUNS,
    SEEN,
    SLIDER,
    STRIP,
    WORKS,
    Key,
)
from tuiae.ui.render.help import Group, draw_help, key_rows
from tuiae.ui.terminal.dialog import Dialog

Groups = tuple[tuple[str, Sequence[Key]], ...]

OWN: Mapping[str, Groups] = {
    "runs": (("the list of runs", RUNS),),
    "live": (("the next run", NEXT_RUN), ("the open run", OPEN_RUN), ("what shows", SEEN)),
    "latent": (("the map of codes", LATENT),),
    "bench": (("the bench", BENCH),),
    "compare": (("the comparison", COMPARE),),
    "works": (("the works", WORKS),),
}
"""Mode -> the groups of keys that are its own."""
PANELS: Mapping[str, Groups] = {
    "live": (("on curves", CURVES), ("on the confusion matrix", CONFUSION)),
    "bench": (("on the canvas", CANVAS), ("on the noise", SLIDER), ("on the strip of pictures", STRIP)),
    "compare": (("on curves", CURVES),),
}
"""Mode -> the keys of its panels, which count while one of them has the focus."""
AROUND = (6, 2)
"""Columns and lines of the dialog around the keys, its scrollbar included."""


class HelpDialog(Dialog[None]):
    """The keys in columns; where they do not fit the arrows scroll."""

    BINDINGS = [Binding("escape,question_mark,q,enter", "dismiss", "Close", show=False)]

    def __init__(self, mode: str) -> None:
        super().__init__()
        self._groups = help_groups(mode)

    def compose(self) -> ComposeResult:
        words, note = self._fitted(*self.app.size)
        with VerticalScroll(classes="dialog help") as dialog:
            dialog.border_title = "keys"
            dialog.border_subtitle = note
            yield Static(words)

    def on_resize(self) -> None:
        words, self.query_one(VerticalScroll).border_subtitle = self._fitted(*self.size)
        self.query_one(Static).update(words)

    def _fitted(self, width: int, height: int) -> tuple[Content, str]:
        """The keys on a screen of so many cells, and what the frame says below them."""
        width, height = width - AROUND[0], height - AROUND[1]
        drawn = draw_help(self._groups, width, height)
        scrolls = drawn.plain.count("\n") >= height
        return Content.from_rich_text(drawn), f"{'arrows scroll · ' if scrolls else ''}escape closes"


def help_groups(mode: str) -> list[Group]:
    """The keys of a screen: its own, those of its panels, and those that count everywhere."""
    own, panels = OWN.get(mode, ()), PANELS.get(mode, ())
    rest: Groups = (*panels, ("everywhere", APP))
    return [*((name, key_rows(keys)) for name, keys in (*own, *rest)), ("moving", ELSEWHERE)]
