"""A sweep that learns from its trials: Optuna chooses the values of each by what came of those before it, and ends
trainings that get nowhere. Its journal lies beside the runs, and tells a later call what is still to be done.

Optuna is an extra, imported when a search is opened.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from tuiae.errors import ConfigError, UnknownRunError
from tuiae.files import make_directory, writable_advice
from tuiae.runs.labels import ENDED_AT
from tuiae.runs.paths import REPORTS
from tuiae.runs.snapshot import HIGHER_IS_BETTER, Snapshot
from tuiae.studies.compare import Entry
from tuiae.studies.jobs import Job, What
from tuiae.studies.places import need
from tuiae.studies.sweep import SWEEP, Choices, Combination, Range, Sweep, rounded

SUBJECT = "subject"
"""In the journal, what its trials are of."""


def journal_path(root: Path, name: str) -> Path:
    """Where the trials of a search are written down."""
    return root / REPORTS / f"{SWEEP}{name}.journal"


@dataclass
class _Trial:
    """A combination of values, and the trials of Optuna that asked for it: the same values train once."""

    combination: Combination
    trials: list[Any]
    ended: dict[str, tuple[What, float | None]] = field(default_factory=dict)
    """Label of a job -> what became of it, and its figure."""
    judged: float = 0.0
    """The last epoch that the pruner has seen."""
    is_told: bool = False


class Search:
    """The trials of a sweep, as a source of jobs."""

    def __init__(self, sweep: Sweep, root: Path) -> None:
        """Open the journal of a sweep with a [search]; a new one where there is none.

        Raises:
            ConfigError: Optuna is missing, or the journal is of other trials. UnknownRunError: it cannot be written.
        """
        if sweep.search is None or not sweep.ranked_by:
            metric = "loss" if sweep.unlike else "accuracy"
            why = sweep.unlike or "its runs have no measure in common"
            raise ConfigError(f"{sweep.path}: {why}", f'give [search] a metric = "{metric}"')
        self._optuna = need("optuna", "search", "[search]")
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._sweep, self._space, path = sweep, sweep.search, journal_path(root, sweep.name)
        self.examples = sweep.jobs
        """Jobs at the ends of its ranges, of which none is a trial."""
        self._study = self._open(path)
        self._trials: dict[str, _Trial] = {}
        self._queue: deque[Job] = deque()
        self._states = self._optuna.trial.TrialState
        known = self._study.get_trials(deepcopy=False)
        for one in known:
            if one.state != self._states.WAITING:
                self._remember(one)
        tried = {label: [one.state for one in trial.trials] for label, trial in self._trials.items()}
        self._failed = [label for label, states in tried.items() if set(states) == {self._states.FAIL}]
        self._unfinished = deque(label for label, states in tried.items() if self._states.RUNNING in states)
        self._left = self._space.trials - sum(one.state != self._states.FAIL for one in known)

    @property
    def total(self) -> int:
        """How many trainings there will be at most."""
        return self._space.trials * max(1, len(self._sweep.combinations[0].jobs))

    @property
    def sweep(self) -> Sweep:
        """The sweep with the trials that were asked for so far as its combinations."""
        return replace(self._sweep, combinations=tuple(trial.combination for trial in self._trials.values()))

    @property
    def left(self) -> int:
        """How many trials are still to be begun or to be ended."""
        return max(0, self._left) + len(self._unfinished)

    def next(self) -> Job | None:
        """Another training, one that an earlier call did not see to its end first; None when there are no more."""
        while not self._queue:
            trial = self._trials[self._unfinished.popleft()] if self._unfinished else self._ask()
            if trial is None:
                return None
            self._queue.extend(trial.combination.jobs)
        return self._queue.popleft()

    def judge(self, label: str, snapshot: Snapshot) -> str:
        """The reason to end a training that is under way; empty to let it go on."""
        trial, metric = self._of(label), self._sweep.ranked_by
        series = snapshot.series.get(("test", metric))
        if self._space.pruner == "none" or series is None:
            return ""
        for epoch, value in zip(series.epochs.tolist(), series.values.tolist(), strict=True):
            if epoch <= trial.judged or epoch >= (snapshot.status.epochs or math.inf) or not math.isfinite(value):
                continue
            trial.judged = epoch
            asked = self._optuna.trial.Trial(self._study, trial.trials[0]._trial_id)
            asked.report(value, round(epoch))
            if asked.should_prune():
                return f"{self._space.pruner}{ENDED_AT} {epoch:g}, with a test {metric} of {value:.4g}"
        return ""

    def settle(self, what: What, label: str, snapshot: Snapshot | None) -> None:
        """Take note of a training that is finished (or was before), failed or pruned."""
        trial = self._of(label)
        final = Entry(label, label, snapshot).final(self._sweep.ranked_by) if snapshot is not None else None
        trial.ended[label] = ("failed" if what in ("kept", "finished") and final is None else what, final)
        if len(trial.ended) == len(trial.combination.jobs):
            self._tell(trial)

    def _tell(self, trial: _Trial) -> None:
        """Tell Optuna what came of a trial, once for each time that it asked for these values."""
        ends, states = {what for what, _ in trial.ended.values()}, self._states
        values = [value for _, value in trial.ended.values() if value is not None]
        trial.is_told = True
        for one in trial.trials:
            if "failed" in ends or "pruned" in ends:
                state = states.FAIL if "failed" in ends else states.PRUNED
                self._study.tell(one.number, state=state, skip_if_finished=True)
            else:
                self._study.tell(one.number, fmean(values), skip_if_finished=True)

    def _ask(self) -> _Trial | None:
        """The next trial that has to be trained; None when there are no more."""
        for label in self._failed:  # as in other sweeps: given again, what has failed is tried again
            self._study.enqueue_trial(self._trials.pop(label).trials[0].params)
        self._failed = []
        while self._left > 0:
            self._left -= 1
            # A seed of its own for each trial: whoever goes on draws what would have been drawn without a pause.
            number = len(self._study.get_trials(deepcopy=False))
            self._study.sampler = self._sampler(number)
            asked = self._study.ask({key: self._distribution(spec) for key, spec in self._space.ranges.items()})
            before = set(self._trials)
            trial = self._remember(asked)
            if trial.combination.label not in before:
                return trial
            if trial.is_told:
                self._tell(trial)
        return None

    def _remember(self, asked: Any) -> _Trial:
        """Note one of Optuna's trials, with what it was told of it already."""
        combination = self._sweep.combine(dict(self._values(asked.params)))
        trial = self._trials.setdefault(combination.label, _Trial(combination, []))
        trial.trials.append(asked)
        done = getattr(asked, "state", None)
        if done == self._states.COMPLETE:
            trial.is_told, trial.ended = True, {"": ("finished", asked.value)}
        elif done == self._states.PRUNED:
            trial.is_told, trial.ended = True, {"": ("pruned", None)}
        elif done == self._states.RUNNING:
            trial.judged = max(asked.intermediate_values, default=0.0)
        return trial

    def _of(self, label: str) -> _Trial:
        """The trial of a job."""
        return next(one for one in self._trials.values() if any(job.label == label for job in one.combination.jobs))

    def _values(self, params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """What a config gets of what Optuna has drawn."""
        for key, spec in self._space.ranges.items():
            if isinstance(spec, Choices):
                yield key, spec.choices[list(map(_word, spec.choices)).index(params[key])]
            elif _is_whole(spec):
                yield key, int(params[key])
            else:
                yield key, min(max(rounded(params[key]), spec.low), spec.high)

    def _distribution(self, spec: Range | Choices) -> Any:
        kinds = self._optuna.distributions
        if isinstance(spec, Choices):
            return kinds.CategoricalDistribution(list(map(_word, spec.choices)))
        if _is_whole(spec):
            return kinds.IntDistribution(int(spec.low), int(spec.high), log=spec.log)
        return kinds.FloatDistribution(float(spec.low), float(spec.high), log=spec.log)

    def _sampler(self, number: int) -> Any:
        seed = int(np.random.SeedSequence([self._space.seed, number]).generate_state(1)[0])
        samplers = self._optuna.samplers
        return samplers.TPESampler(seed=seed) if self._space.sampler == "tpe" else samplers.RandomSampler(seed=seed)

    def _open(self, path: Path) -> Any:
        optuna, metric = self._optuna, self._sweep.ranked_by
        pruners = {
            "none": optuna.pruners.NopPruner,
            "asha": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=4),
            "median": optuna.pruners.MedianPruner,
        }
        direction = self._space.direction or ("maximize" if metric in HIGHER_IS_BETTER else "minimize")
        ranges = {key: spec.model_dump() for key, spec in self._space.ranges.items()}
        subject = json.dumps([self._sweep.subject, ranges, metric, direction], sort_keys=True, default=str)
        try:
            make_directory(path.parent)
            storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
            study = optuna.create_study(
                storage=storage,
                study_name=self._sweep.tag,
                direction=direction,
                pruner=pruners[self._space.pruner](),
                load_if_exists=True,
            )
            before = study.user_attrs.get(SUBJECT)
            if before is None:
                study.set_user_attr(SUBJECT, subject)
        except OSError as error:
            cause = f"cannot write {path}: {error.strerror or error}"
            raise UnknownRunError(cause, writable_advice(error, "TUIAE_RUNS_DIR")) from error
        except (ValueError, KeyError) as error:
            raise ConfigError(f"{path} is no journal of a search", f"move it away to begin anew: {path}") from error
        if before not in (None, subject):
            cause = f"{self._sweep.name} has trials of another preset, other settings or ranges"
            raise ConfigError(cause, f"give the search another name, or move {path} away")
        return study


def _is_whole(span: Range) -> bool:
    return isinstance(span.low, int) and isinstance(span.high, int)


def _word(choice: Any) -> Any:
    """A choice as Optuna can write it down."""
    return choice if isinstance(choice, (str, int, float)) else json.dumps(choice)
