"""Running the trainings of a work, and judging its claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tuiae.data.dataset import OnProgress, silent
from tuiae.data.datasets import prepare
from tuiae.errors import DataError, TrainingError
from tuiae.machine import AUTO
from tuiae.reproduce.claims import evaluate
from tuiae.reproduce.measures import ClaimError, FinishedRun, Runs, functions_of, open_runs
from tuiae.reproduce.verdicts import Outcome, Trial, Verdict, judge
from tuiae.reproduce.work import Claim, Recipe, WorkPlan, claim_runs, label, run_configs, shared_seeds
from tuiae.studies.jobs import StudyProgress, finished_runs, known_runs, run_jobs
from tuiae.studies.library import Library
from tuiae.studies.places import Place


@dataclass(frozen=True)
class ClaimResult:
    """A claim with the outcome of each of its recipes."""

    claim: Claim
    outcomes: tuple[Outcome, ...]
    verdict: Verdict
    change: str
    """The change that it took; empty for none."""
    runs: tuple[tuple[str, ...], ...]
    """The runs that each recipe measured."""


@dataclass(frozen=True)
class WorkResult:
    """One work with its finished runs and judged claims."""

    plan: WorkPlan
    claims: tuple[ClaimResult, ...]
    runs: dict[tuple[str, int], FinishedRun]
    """(id of a run in the work's file, seed) -> the finished run."""
    problems: tuple[str, ...] = ()

    def of(self, run: str) -> list[FinishedRun]:
        """The finished runs of one run of the work's file, in the order of its seeds."""
        return [self.runs[run, seed] for seed in self.plan.work.spec(run).seeds if (run, seed) in self.runs]


def prepare_sets(plan: WorkPlan, root: Path, report: OnProgress = silent) -> tuple[dict[str, str], tuple[str, ...]]:
    """Prepare the images of a work's runs; returns the datasets that are not available, and why, and the warning about
    runs that are trained again because theirs have changed."""
    lacking = {}
    for dataset, size in {(job.config.data.dataset, job.config.data.image_size) for job in plan.jobs}:
        try:
            prepare(dataset, size, progress=report)
        except DataError as error:
            lacking[dataset] = f"{error.cause} ({error.hint})"
    library = Library(root, plan.tag)
    known_runs(plan.jobs, root, plan.tag, library)
    return lacking, library.warnings


def reproduce(
    plan: WorkPlan,
    root: Path,
    lacking: Mapping[str, str],
    workers: int = AUTO,
    tell: Callable[[StudyProgress], None] = lambda progress: None,
    place: Place | None = None,
) -> WorkResult:
    """Train what is missing, on this machine or in another `place`, and judge every claim. Claims on `lacking` datasets
    (from `prepare_sets`) are not run.

    Raises:
        KeyboardInterrupt: stopped, with a checkpoint of every run; a later call goes on.
    """
    wanted = [job for job in plan.jobs if job.config.data.dataset not in lacking]
    problems = list(lacking.values())
    try:
        if wanted:
            run_jobs(wanted, root, plan.tag, workers, tell, place=place)
    except TrainingError as error:
        problems.append(error.cause)
    return judge_work(plan, root, tuple(problems))


def judge_work(plan: WorkPlan, root: Path, problems: tuple[str, ...] = ()) -> WorkResult:
    """Judge every claim by the finished runs; trains nothing."""
    finished = finished_runs(plan.jobs, root, plan.tag)
    keys = {label(spec.id, seed): (spec.id, seed) for spec in plan.work.run for seed in spec.seeds}
    runs = open_runs({keys[name]: run for name, run in finished.items()})
    configs = run_configs(plan.work, plan.path)  # whole, for epochs that a quick try does not reach
    claims = []
    for claim in plan.work.claim:
        used = tuple(claim_runs(plan.work, claim, configs, plan.path))
        outcomes = tuple(
            _measure(plan, claim, recipe, some, runs, " ".join(problems))
            for recipe, some in zip(claim.recipes, used, strict=True)
        )
        claims.append(ClaimResult(claim, outcomes, *judge(outcomes), used))
    return WorkResult(plan, tuple(claims), runs, problems)


def _measure(plan: WorkPlan, claim: Claim, recipe: Recipe, used: tuple[str, ...], runs: Runs, trouble: str) -> Outcome:
    """Measure a claim by one recipe under every seed that the runs it uses share."""
    trials = []
    for seed in shared_seeds(plan.work, used) if used else (0,):
        functions = functions_of(runs, seed)
        try:
            values = {name: evaluate(text, functions, {}) for name, text in recipe.measures.items()}
            verdict = bool(evaluate(recipe.holds, functions, {**values, **claim.reported_names}))
        except ClaimError as error:
            return Outcome(recipe.name, (), claim.require, f"{error}; {trouble}" if trouble else str(error))
        trials.append(Trial(seed, values, verdict))
    return Outcome(recipe.name, tuple(trials), claim.require)
