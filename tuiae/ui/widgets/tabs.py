"""The screens by number, for the mouse, and which one it is."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

SCREENS = {"runs": "runs", "live": "live", "latent": "codes", "bench": "bench", "compare": "compare", "works": "works"}
"""Mode -> its name, in the order of their keys."""
ROOMY = 180  # columns from which the names show


class ScreenTabs(Static):
    """At the end of the title line; a click on one shows it."""

    def __init__(self, mode: str, width: int) -> None:
        super().__init__(tabs(mode, width), id="screens")
        self._mode = mode

    def fit(self, width: int) -> None:
        """Draw for a screen of so many columns."""
        self.update(tabs(self._mode, width))


def tabs(mode: str, width: int) -> Content:
    """`1 2 3 4 5 6`, with names where there is room; each is a link."""
    words = []
    for number, (name, label) in enumerate(SCREENS.items(), 1):
        shown = f"{number} {label}" if width >= ROOMY else f"{number}"
        style = "bold underline $accent" if name == mode else "$foreground 65%"
        words.append(f"[{style}][@click=app.show('{name}')]{shown}[/][/]")
    return Content.from_markup(("   " if width >= ROOMY else " ").join(words))


def room(width: int) -> int:
    """Columns that they leave of so many for the title."""
    return width - len(tabs("", width).plain) - 3
