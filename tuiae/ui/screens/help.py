"""The help: which key does what on a screen, in groups that stand in columns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Mount, Resize
from textual.widgets import Static

from tuiae.render import palette
from tuiae.render.text import beside, fitted, join_lines, lines_of
from tuiae.ui.keys import APP, MOVING, SCREENS, Key, shown
from tuiae.ui.screens.dialogs import Dialog

Row = tuple[str, str]
Group = tuple[str, Sequence[Row]]
AROUND = (6, 2)
"""Columns and lines of the dialog around the keys, its scrollbar included."""
GAP = 2  # cells between columns
KEY_CELLS = 6
SAMPLES = [(", .", "the sample before, or after"), ("< >", "the first, or back to the newest")]


def key_rows(keys: Sequence[Key]) -> list[Row]:
    """Keys and what they do; the many that move a cursor are one line, those of the samples two."""
    rows = [(shown(key.key), key.help) for key in keys if not key.action.startswith(("move(", "sample("))]
    rows += SAMPLES if any(key.action.startswith("sample(") for key in keys) else []
    moves = [key for key in keys if key.action.startswith("move(")]
    farther = sorted({key.key.partition("+")[0] for key in moves if "+" in key.key}, reverse=True)
    words = f"cursor; {', '.join(farther)}: farther" if farther else "cursor"
    return [("arrows", words), *rows] if moves else rows


def draw_help(groups: Sequence[Group], width: int, height: int) -> Text:
    """The groups in columns of so many lines, or of as many more as the width asks for; no group is torn apart."""
    first, *others = [_block(name, rows) for name, rows in groups if rows]
    for lines in itertools.count(height):
        columns = [first]
        for block in others:
            longer = Text("\n\n").join([columns[-1], block])
            if len(lines_of(longer)) > lines:
                columns.append(block)
            else:
                columns[-1] = longer
        widths = [max(line.cell_len for line in lines_of(column)) + GAP for column in columns]
        if len(columns) == 1 or sum(widths) - GAP <= width:
            break
    drawn = columns.pop()
    for column, cells in zip(reversed(columns), reversed(widths[:-1]), strict=True):
        drawn = beside(column, drawn, cells)
    return drawn


def _block(name: str, rows: Sequence[Row]) -> Text:
    lines = [Text(name, "bold")]
    for key, words in rows:
        lines.append(Text.assemble((fitted(key, KEY_CELLS, right=True), f"bold {palette.SKY}"), f"  {words}"))
    return join_lines(lines)


class HelpDialog(Dialog[None]):
    """The keys in columns; where they do not fit the arrows scroll."""

    BINDINGS = [Binding("question_mark,q,enter", "dismiss", "Close", show=False)]

    def __init__(self, mode: str) -> None:
        super().__init__()
        self._groups = help_groups(mode)

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog help") as dialog:
            dialog.border_title = "keys"
            yield Static()

    @on(Mount)
    @on(Resize)
    def _fit(self) -> None:
        width, height = self.app.size.width - AROUND[0], self.app.size.height - AROUND[1]
        drawn = draw_help(self._groups, width, height)
        self.query_one(Static).update(Content.from_rich_text(drawn))
        scrolls = "arrows scroll · " if len(lines_of(drawn)) > height else ""
        self.query_one(VerticalScroll).border_subtitle = f"{scrolls}escape closes"


def help_groups(mode: str) -> list[Group]:
    """The keys of a screen, of its panels, and those that work everywhere."""
    screen = SCREENS[mode]
    groups = {**screen.own, **screen.panels, "everywhere": APP}
    return [*((name, key_rows(keys)) for name, keys in groups.items()), *screen.more.items(), ("moving", MOVING)]
