"""From values to verdicts: what each recipe of a claim came to, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuiae.export.findings import Verdict
from tuiae.studies.claims import Value


@dataclass(frozen=True)
class Trial:
    """One recipe of a claim under one seed."""

    seed: int
    values: Mapping[str, Value]
    """By the names of the claim's measures."""
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


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict, and which change it took."""

    verdict: Verdict
    change: str = ""
    reason: str = ""

    @property
    def words(self) -> str:
        return f"only with {self.change}" if self.verdict is Verdict.ONLY_WITH else str(self.verdict)


def judge(outcomes: tuple[Outcome, ...]) -> Judgement:
    """The verdict of a claim; the first outcome is the recipe as printed, the others its named changes.

    A claim is reproduced when the printed recipe holds. When it ran and does not hold, the first change that holds is
    named; when it could not be run, neither it nor a change says anything about what the work prints.
    """
    printed, *changed = outcomes
    if not printed.ran:
        return Judgement(Verdict.NOT_RUN, reason=printed.reason)
    if printed.holds:
        return Judgement(Verdict.REPRODUCED)
    for outcome in changed:
        if outcome.holds:
            return Judgement(Verdict.ONLY_WITH, outcome.name)
    return Judgement(Verdict.NOT_REPRODUCED)
