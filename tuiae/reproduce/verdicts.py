"""Verdicts: how they follow from measurements, and the row of a claim in every table.

They are kept in `reports/WORK.json` beside the runs, for the dashboard, which has no torch to judge with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tuiae.errors import UnknownRunError
from tuiae.files import make_directory, replace_text, writable_advice
from tuiae.reproduce.measures import Value
from tuiae.runs.paths import REPORTS


class Verdict(StrEnum):
    """The verdict of a claim; one that does not hold is a finding, not a failure."""

    REPRODUCED = "reproduced"
    ONLY_WITH = "only with a change"
    NOT_REPRODUCED = "not reproduced"
    NOT_RUN = "not run"


MISSING = "–"
PROVISIONAL = "Provisional: --quick cut epochs and seeds, so that no verdict here says anything about the work."
VERDICTS = tuple(Verdict)
MARKS = dict(zip(VERDICTS, ("✓", "◐", "✗", "–"), strict=True))
"""Beside the words, so that neither colour nor a mark alone carries a verdict."""
QUICK_MARK = "?"
"""In place of them where a verdict is provisional."""


@dataclass(frozen=True)
class Trial:
    """One recipe of a claim under one seed."""

    seed: int
    values: Mapping[str, Value]
    """Name of a measure of the claim -> its value."""
    holds: bool


@dataclass(frozen=True)
class Outcome:
    """One recipe of a claim: as the work prints it, or with a named change."""

    name: str
    trials: tuple[Trial, ...]
    required: str = "every"
    """How many seeds must agree: every or any."""
    reason: str = ""
    """Why there are no trials."""

    @property
    def ran(self) -> bool:
        return bool(self.trials) and not self.reason

    @property
    def holds(self) -> bool:
        enough = any if self.required == "any" else all
        return self.ran and enough(trial.holds for trial in self.trials)

    @property
    def agreement(self) -> str:
        """`2 of 3 seeds (not 1)`, or nothing when there is one seed and nothing to count."""
        if len(self.trials) < 2:
            return ""
        failed = [str(trial.seed) for trial in self.trials if not trial.holds]
        count = f"{len(self.trials) - len(failed)} of {len(self.trials)} seeds"
        return f"{count} (not {', '.join(failed)})" if 0 < len(failed) < len(self.trials) else count


def judge(outcomes: Sequence[Outcome]) -> tuple[Verdict, str]:
    """The verdict of a claim by its recipes, the printed one first, and the change that it took.

    A claim is reproduced when the printed recipe holds. When it ran and does not hold, the first change that holds is
    named; when it could not be run, neither it nor a change says anything about what the work prints.
    """
    printed, *changed = outcomes
    if not printed.ran:
        return Verdict.NOT_RUN, ""
    if printed.holds:
        return Verdict.REPRODUCED, ""
    change = next((outcome.name for outcome in changed if outcome.holds), "")
    return (Verdict.ONLY_WITH if change else Verdict.NOT_REPRODUCED), change


@dataclass(frozen=True)
class RecipeRow:
    """One recipe by which a claim was measured."""

    name: str
    """`as printed`, or the name of a change."""
    measured: str
    holds: bool | None
    """None when it was not run."""
    note: str = ""
    """How many seeds agree, or why it was not run."""


@dataclass(frozen=True)
class ClaimRow:
    """One claim with its verdict; the first recipe is the printed one."""

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
    """True for the verdict of a quick try."""

    @property
    def is_provisional(self) -> bool:
        """Whether there is a verdict, and it is of a quick try."""
        return self.provisional and self.verdict is not Verdict.NOT_RUN

    @property
    def mark(self) -> str:
        """The sign of the verdict; a provisional one has its own sign."""
        return QUICK_MARK if self.is_provisional else MARKS[self.verdict]

    @property
    def verdict_text(self) -> str:
        """The verdict in words; says so when it is of a quick try."""
        return f"{self.words} (quick)" if self.is_provisional else self.words


def tally(claims: Sequence[ClaimRow]) -> str:
    """`3 reproduced, 1 not reproduced`, with `(quick)` behind it where that is provisional."""
    counts = [(sum(claim.verdict == verdict for claim in claims), verdict) for verdict in VERDICTS]
    words = ", ".join(f"{count} {verdict}" for count, verdict in counts if count)
    return f"{words} (quick)" if any(claim.is_provisional for claim in claims) else words


@dataclass(frozen=True)
class Verdicts:
    """The claims of one work as they were judged; `quick` ones say nothing about the work."""

    work: str
    quick: bool
    time: float
    runs: int
    """How many finished runs they were judged by."""
    claims: tuple[ClaimRow, ...]
    problems: tuple[str, ...] = ()


def verdict_path(root: Path, work: str, quick: bool) -> Path:
    return root / REPORTS / f"{work}{'.quick' if quick else ''}.json"


def write_verdicts(root: Path, verdicts: Verdicts) -> None:
    """Write verdicts where `read_verdicts` looks; raises UnknownRunError where that cannot be written."""
    path = verdict_path(root, verdicts.work, verdicts.quick)
    try:
        make_directory(path.parent)
        replace_text(path, _adapter().dump_json(verdicts, indent=1).decode() + "\n")
    except OSError as error:
        cause = f"cannot write {path}: {error.strerror or error}"
        raise UnknownRunError(cause, writable_advice(error, "TUIAE_RUNS_DIR")) from error


def read_verdicts(root: Path, work: str) -> Verdicts | None:
    """The verdicts of the full work, else the provisional ones of a quick try; None without any."""
    for quick in (False, True):
        with suppress(OSError, ValidationError):  # a file that is missing, torn, or of another version
            return _adapter().validate_json(verdict_path(root, work, quick).read_bytes())
    return None


@cache
def _adapter() -> TypeAdapter[Verdicts]:
    return TypeAdapter(Verdicts)
