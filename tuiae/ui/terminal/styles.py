"""Styles that are parsed once: Textual parses all of them anew whenever it is not sure."""

from __future__ import annotations

from textual.css.stylesheet import Stylesheet

SOURCES = 1024
"""Parsed sources kept. Textual keeps 64, the dashboard has more, and then each new widget parses all of them again."""


class SteadyStylesheet(Stylesheet):
    """What `Stylesheet` is; the parsed rules stay until the variables change."""

    def __init__(self, *, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._parse_cache.grow(SOURCES)
        self._outdated = False

    def has_variables(self, variables: dict[str, str]) -> bool:
        """Whether the rules were parsed with these."""
        return variables == self._variables

    def set_variables(self, variables: dict[str, str]) -> None:
        if not self.has_variables(variables):
            super().set_variables(variables)
            self._outdated = True

    def reparse(self) -> None:
        if self._outdated:
            self._outdated = False
            super().reparse()
