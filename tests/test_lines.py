"""Drawings taken apart into lines."""

from __future__ import annotations

from rich.console import Console
from rich.style import Style
from rich.text import Text

from tuiae.ui.widgets.panel import lines_of


def rendered(text: Text) -> list[tuple[str, Style | None]]:
    console = Console(color_system="truecolor")
    return [(char, segment.style) for segment in text.render(console) for char in segment.text]


def test_lines_look_as_those_that_rich_makes() -> None:
    text = Text("ab\n\ncdef\ng", style="bold", end="")
    for start, end, style in ((0, 1, "red"), (1, 6, "on blue"), (4, 8, "italic"), (5, 5, "green"), (0, 9, "dim")):
        text.stylize(style, start, end)
    ours = [cell for line in lines_of(text) for cell in (*rendered(line.text), "end of line")][:-1]
    assert ours == [(char, style) if char != "\n" else "end of line" for char, style in rendered(text)]
    assert [line.plain for line in lines_of(text)] == ["ab", "", "cdef", "g"]


def test_equal_lines_are_one_whatever_stands_around_them() -> None:
    first = lines_of(Text.assemble(("ab", "red"), "\n", ("cd", "blue")))
    second = lines_of(Text.assemble(("something else", "green"), "\n", ("cd", "blue")))
    assert first[1] == second[1]
    assert hash(first[1]) == hash(second[1])
    assert first[0] != lines_of(Text.assemble(("ab", "blue")))[0]


def test_nothing_is_one_empty_line() -> None:
    assert [line.plain for line in lines_of(Text(""))] == [""]
