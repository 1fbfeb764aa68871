"""Drawing: pure functions from what was read to rich Text, tested as plain strings; never Textual."""

from __future__ import annotations

from typing import Literal, TypeAlias

# Here, where nothing else is imported: the help of commands names them.
Kind: TypeAlias = Literal["number", "epoch", "step", "time"]
"""What the values of an axis are; a time is in seconds."""
UNITS: dict[str, Kind] = {"epoch": "epoch", "step": "step", "time": "time"}
"""What the x axis of a training can count -> how its ticks are written; other axes are of plain numbers."""
