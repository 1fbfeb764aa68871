"""What a report says, in words and numbers already made: the terminal, Markdown and HTML draw the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What became of a claim; a claim that does not hold is a finding, not a failure."""

    REPRODUCED = "reproduced"
    ONLY_WITH = "only with a change"
    NOT_REPRODUCED = "not reproduced"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class RecipeRow:
    """One way in which a claim was measured."""

    name: str
    """`as printed`, or the name of a change."""
    measured: str
    holds: bool | None
    """None when it was not run."""
    note: str = ""
    """How many seeds agree, or why it was not run."""


@dataclass(frozen=True)
class ClaimRow:
    """One claim and what became of it; the first recipe is the printed one."""

    id: str
    text: str
    reported: str
    recipes: tuple[RecipeRow, ...]
    verdict: Verdict
    words: str
    """The verdict with the change's name."""
    seeds: str
    wall: str
    baseline: str
    """Test error of PCA at the same code size, by code size."""
    holds: str
    """The condition, as the work's file has it."""
    caveat: str = ""
    provisional: bool = False
    """Whether a quick try came to it."""

    @property
    def unsure(self) -> bool:
        """Whether there is a verdict, and it says nothing about the work."""
        return self.provisional and self.verdict is not Verdict.NOT_RUN

    @property
    def mark(self) -> str:
        """The sign of the verdict; one of its own where it is provisional."""
        return QUICK_MARK if self.unsure else MARKS[self.verdict]

    @property
    def told(self) -> str:
        """The verdict in words, and that it is of a quick try."""
        return f"{self.words} (quick)" if self.unsure else self.words


@dataclass(frozen=True)
class RunRow:
    """One training of a work with all its seeds."""

    id: str
    what: str
    seeds: str
    epochs: str
    train: str
    test: str
    baseline: str
    wall: str


@dataclass(frozen=True)
class Picture:
    """One figure: markup that needs nothing else, and what it shows."""

    title: str
    svg: str
    caption: str


@dataclass(frozen=True)
class WorkSection:
    """One work."""

    name: str
    title: str
    source: str
    note: str
    claims: tuple[ClaimRow, ...]
    runs: tuple[RunRow, ...]
    pictures: tuple[Picture, ...] = ()
    problems: tuple[str, ...] = ()
    wall: str = ""


@dataclass(frozen=True)
class Report:
    """Everything that was looked into in one call."""

    works: tuple[WorkSection, ...]
    about: tuple[tuple[str, str], ...]
    """Versions and machine, as name and value."""
    provisional: bool = False


PROVISIONAL = "Provisional: --quick cut epochs and seeds, so that no verdict here says anything about the work."
VERDICTS = tuple(Verdict)
MARKS = dict(zip(VERDICTS, ("✓", "◐", "✗", "–"), strict=True))
"""Beside the words, so that neither colour nor a mark alone carries a verdict."""
QUICK_MARK = "?"
"""In place of them where a verdict is provisional."""


def tally(claims: tuple[ClaimRow, ...]) -> str:
    """`3 reproduced, 1 not reproduced`, with `(quick)` behind it where that is provisional."""
    counts = [(sum(claim.verdict == verdict for claim in claims), verdict) for verdict in VERDICTS]
    words = ", ".join(f"{count} {verdict}" for count, verdict in counts if count)
    return f"{words} (quick)" if any(claim.unsure for claim in claims) else words
