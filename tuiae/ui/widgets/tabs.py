"""The screens by number, for the mouse, and which one it is."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

SCREENS = ("runs", "live", "latent", "bench", "compare", "works")
"""In the order of their keys."""
ROOMY, WIDE = 110, 180  # columns from which all names show, and stand further apart


class ScreenTabs(Static):
    """At the end of the title line; a click on one shows it."""

    def __init__(self, mode: str, width: int) -> None:
        super().__init__(tabs(mode, width), id="screens")
        self._mode = mode

    def fit(self, width: int) -> None:
        """Draw for a screen of so many columns."""
        self.update(tabs(self._mode, width))


def tabs(mode: str, width: int) -> Content:
    """`1 2 live 3 4 5 6`, with the names of all where there is room; each is a link."""
    words = []
    for number, name in enumerate(SCREENS, 1):
        shown = f"{number} {name}" if width >= ROOMY or name == mode else f"{number}"
        style = "bold underline $accent" if name == mode else "$foreground 65%"
        words.append(f"[{style}][@click=app.show('{name}')]{shown}[/][/]")
    apart = 3 if width >= WIDE else 2 if width >= ROOMY else 1
    return Content.from_markup((" " * apart).join(words))


def room(mode: str, width: int) -> int:
    """Columns that they leave of so many for the title."""
    return width - len(tabs(mode, width).plain) - 3
