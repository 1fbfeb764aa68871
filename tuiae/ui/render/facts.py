"""Names and values in aligned columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from tuiae.ui.render.text import clean, join_lines, shorten

Fact = tuple[str, str, str]
"""Label, value, and the style of the value."""

_GAP = 4
_LEAST_VALUE = 6


def draw_facts(facts: Sequence[Fact], width: int, height: int) -> Text:
    """One fact a line; when they outgrow the height they flow into as many columns as the width takes."""
    if width <= 0 or height <= 0 or not facts:
        return Text(end="")
    facts = [(clean(label), clean(value), style) for label, value, style in facts]
    label_width = min(max(cell_len(label) for label, _, _ in facts), max(width // 2, 1))
    widest = label_width + 2 + max(max(cell_len(value) for _, value, _ in facts), _LEAST_VALUE)
    blocks = min(-(-len(facts) // height), max((width + _GAP) // (widest + _GAP), 1))
    per_block = -(-len(facts) // blocks)
    block_width = (width + _GAP) // blocks - _GAP
    lines = []
    for row in range(min(per_block, height)):
        line = Text(end="", no_wrap=True)
        for index in range(row, len(facts), per_block):
            line.append_text(_fact(facts[index], label_width, block_width))
            line.append(" " * _GAP if index + per_block < len(facts) else "")
        line.rstrip()
        lines.append(line)
    return join_lines(lines)


def _fact(fact: Fact, label_width: int, width: int) -> Text:
    label, value, style = fact
    label = shorten(label, label_width)
    line = Text(end="").append(label + " " * (label_width - cell_len(label) + 2), "dim")
    value = shorten(value, max(width - label_width - 2, 0))
    return line.append(value, style).append(" " * (width - label_width - 2 - cell_len(value)))
