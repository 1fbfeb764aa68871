"""What differs between runs beside each other: a line a key, a column a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.text import Text

from tuiae.studies.compare import Comparison
from tuiae.studies.labels import value_text
from tuiae.ui.render.compare import GAP, Column, draw_table
from tuiae.ui.render.text import clean, join_lines, shorten_middle

PLAIN = ("data", "model", "training")
"""Sections that have no key in common with each other."""
SETTING_FORMS = ((False, 24), (False, 16), (True, 24), (True, 16), (True, 12), (True, 8))
"""Whether keys go without their sections, and the most cells of a value; the first is the one to read best."""


def settings_table(comparison: Comparison, width: int) -> Text:
    """A line a key that differs, a column a run, or a group where runs are too many.

    Where the width lacks, values and then keys are written shorter; columns that do not fit even so go on in a block
    below, and each block says which of them it has.
    """
    if not comparison.differences:
        known = any(entry.snapshot.config for entry in comparison.entries)
        return Text("the configs are the same" if known else "no config is readable", "dim", end="")
    members = [(entry.key, [place]) for place, entry in enumerate(comparison.entries)]
    head, columns = _settings_columns(comparison, members, *SETTING_FORMS[0])
    if comparison.seeded and _fitting(head, columns, width) < len(columns):
        places = {entry.key: place for place, entry in enumerate(comparison.entries)}
        members = [(group.key, [places[entry.key] for entry in group.entries]) for group in comparison.groups]
    for form in SETTING_FORMS:
        head, columns = _settings_columns(comparison, members, *form)
        if _fitting(head, columns, width) == len(columns):
            return join_lines(draw_table([head, *columns], width))
    return join_lines(_blocks(head, columns, width))


def _blocks(head: Column, columns: Sequence[Column], width: int) -> list[Text]:
    """As many columns beside each other as fit, and below them the others."""
    blocks: list[Text] = []
    first, every = 0, len(columns)
    widest = max((column.name for column in columns), key=len)
    roomy = replace(head, name=f"{widest} to {widest} of {every}")
    while first < every:
        last = min(first + max(_fitting(roomy, columns[first:], width), 1), every)
        name = f"{columns[first].name} to {columns[last - 1].name} of {every}"
        blocks += [Text()] * bool(blocks) + draw_table([replace(head, name=name), *columns[first:last]], width)
        first = last
    return blocks


def _settings_columns(
    comparison: Comparison, members: Sequence[tuple[str, Sequence[int]]], short: bool, limit: int
) -> tuple[Column, list[Column]]:
    """The keys, without their sections where `short`, and the values of each run or group in so many cells."""
    keys = [difference.key for difference in comparison.differences]
    head = Column("", tuple(Text(clean(_brief(key) if short else key)) for key in keys), right=False)
    return head, [_settings_column(key, places, comparison, limit) for key, places in members]


def _brief(key: str) -> str:
    """A key without the sections whose keys say what they are by themselves."""
    section, _, leaf = key.rpartition(".")
    return leaf if section in PLAIN else key


def _settings_column(key: str, places: Sequence[int], comparison: Comparison, limit: int) -> Column:
    """The values of a run, or of a group's runs: `0,1,2` where they are not the same."""
    cells = []
    for row in comparison.differences:
        words = dict.fromkeys(_setting(row.key, row.values[place]) for place in places)
        cells.append(Text(shorten_middle(clean(",".join(words)), limit)))
    return Column(key, tuple(cells))


def _setting(key: str, value: Any) -> str:
    """A value as a preset writes it, `–` for none; no list of classes is all of them."""
    return "all" if key == "data.classes" and value == [] else value_text(value)


def _fitting(head: Column, columns: Sequence[Column], width: int) -> int:
    used, fitting = head.width, 0
    for column in columns:
        used += GAP + column.width
        fitting += used <= width
    return fitting
