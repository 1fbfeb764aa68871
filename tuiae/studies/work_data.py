"""Which images a work still needs, and how to get them here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tuiae.data.registry import commands_for, describe, known_download
from tuiae.errors import TuiaeError


@dataclass(frozen=True)
class MissingSet:
    """A dataset that is not on this machine."""

    name: str
    commands: tuple[str, ...]
    """What brings it here."""
    problem: str = ""
    """Why nothing is known of it, in a sentence, where that is so."""

    @property
    def can_be_fetched(self) -> bool:
        """Whether a work downloads it by itself, given a network."""
        return known_download(self.name) is not None and not self.problem


def missing_sets(names: Iterable[str]) -> tuple[MissingSet, ...]:
    """Those of the datasets that are neither embedded nor prepared; looks at manifests alone."""
    found = []
    for name in dict.fromkeys(names):
        try:
            ready, problem = describe(name).ready, ""
        except TuiaeError as error:
            ready, problem = False, str(error)
        if not ready:
            found.append(MissingSet(name, commands_for(name), problem))
    return tuple(found)
