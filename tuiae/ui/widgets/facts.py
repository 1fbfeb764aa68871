"""Names and values: the state of a run, a config, a device."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tuiae.ui.render.facts import Fact, draw_facts
from tuiae.ui.widgets.panel import Panel


class FactsPanel(Panel):
    """Aligned facts."""

    def __init__(self, title: str = "run", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._facts: tuple[Fact, ...] = ()

    def show(self, facts: Sequence[Fact]) -> None:
        """Replace the facts, each (label, value, style of the value); the same facts cost nothing."""
        if tuple(facts) != self._facts:
            self._facts = tuple(facts)
            self.changed()

    def draw(self, width: int, height: int) -> Text:
        return draw_facts(self._facts, width, height)
