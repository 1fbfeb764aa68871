"""The help: which key does what on a screen, in groups that stand in columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuiae.render import palette
from tuiae.render.text import join_lines
from tuiae.ui.keys import APP, MOVING, SCREENS, Key, shown
from tuiae.ui.screens.dialogs import Dialog

Row = tuple[str, str]
Group = tuple[str, Sequence[Row]]
AROUND = (6, 2)
"""Columns and lines of the dialog around the keys, its scrollbar included."""
GAP = 2  # cells between columns
MOST_COLUMNS = 4
KEY_CELLS = 6


def key_rows(keys: Sequence[Key]) -> list[Row]:
    """Keys and what they do; the many that move a cursor are one line."""
    rows = [(shown(key.key), key.help) for key in keys if key.help and not key.action.startswith("move(")]
    moves = [key for key in keys if key.action.startswith("move(")]
    farther = sorted({key.key.partition("+")[0] for key in moves if "+" in key.key}, reverse=True)
    words = f"cursor; {', '.join(farther)}: farther" if farther else "cursor"
    return [("arrows", words), *rows] if moves else rows


def draw_help(groups: Sequence[Group], width: int, height: int) -> Text:
    """The groups in as few columns as let them stand in so many lines, else in as many as there is room for.

    A group is never torn apart; what is longer than `height` lines is to be scrolled.
    """
    blocks = [_block(name, rows) for name, rows in groups if rows]
    columns = [[line for block in blocks for line in (*block, Text())][:-1]]
    for number in range(2, min(MOST_COLUMNS, len(blocks)) + 1):
        wider = _pour(blocks, number)
        if max(map(len, columns)) <= height or sum(map(_cells, wider)) + GAP * (len(wider) - 1) > width:
            break
        columns = wider
    widths = [_cells(column) for column in columns]
    lines = []
    for row in range(max(map(len, columns))):
        line = Text(end="", no_wrap=True)
        for cells, column in zip(widths, columns, strict=True):
            part = column[row] if row < len(column) else Text()
            line.append_text(part).append(" " * (cells - part.cell_len + GAP))
        line.rstrip()
        lines.append(line)
    return join_lines(lines)


def _cells(column: Sequence[Text]) -> int:
    return max((line.cell_len for line in column), default=0)


def _block(name: str, rows: Sequence[Row]) -> list[Text]:
    lines = [Text(name, "bold", end="")]
    for key, words in rows:
        pad = " " * (KEY_CELLS - cell_len(key))
        lines.append(Text(pad, end="").append(key, f"bold {palette.SKY}").append(f"  {words}"))
    return lines


def _pour(blocks: Sequence[list[Text]], number: int) -> list[list[Text]]:
    """The blocks in so many columns at most, one after the other, the tallest column as low as it can be."""
    height = max(map(len, blocks), default=0)
    while True:
        columns: list[list[Text]] = [[]]
        for block in blocks:
            if columns[-1] and len(columns[-1]) + 1 + len(block) > height:
                columns.append([])
            columns[-1] += [*([Text()] if columns[-1] else []), *block]
        if len(columns) <= number:
            return columns
        height += 1


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
    """The keys of a screen, of its panels, and those that work everywhere."""
    screen = SCREENS[mode]
    groups = {**screen.own, **screen.panels, "everywhere": APP}
    return [*((name, key_rows(keys)) for name, keys in groups.items()), ("moving", MOVING)]
