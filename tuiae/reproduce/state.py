"""The state of each work, read without torch from its file, the runs and the kept verdicts; and the process that runs a
study, a work or a sweep: started, found again later, and interrupted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tuiae.errors import RunHeldError, TuiaeError, UnknownRunError
from tuiae.files import make_directory, replace_json, writable_advice
from tuiae.reproduce.verdicts import MISSING, ClaimRow, RecipeRow, Verdict, Verdicts, read_verdicts
from tuiae.reproduce.work import Claim, MissingSet, WorkPlan, label, make_plan, missing_sets
from tuiae.runs.lineage import EditedRuns
from tuiae.runs.listing import STOPPING, RunRow
from tuiae.runs.paths import REPORTS
from tuiae.runs.process import is_alive, process_start
from tuiae.studies.jobs import Job
from tuiae.studies.library import marks, usefulness
from tuiae.studies.sweep import SWEEP


@dataclass(frozen=True)
class PlannedRun:
    """One training of a work and its run, if there is one; `quick` when that run is only a short try."""

    label: str
    row: RunRow | None = None
    quick: bool = False

    @property
    def done(self) -> bool:
        return self.row is not None and not self.quick and self.row.status.state == "finished"


@dataclass(frozen=True)
class Expected:
    """The number of missing trainings and the time they should take; None where no epoch has been timed."""

    missing: int
    seconds: float | None
    elsewhere: float | None = None
    """Seconds that as large a part of the whole work took on two cores of a server, as its file says."""


@dataclass(frozen=True)
class WorkState:
    """One work as it is now; where its file is wrong, only `problem` is set."""

    name: str
    title: str = ""
    source: str = ""
    claims: tuple[ClaimRow, ...] = ()
    runs: tuple[PlannedRun, ...] = ()
    full: Expected = Expected(0, None)
    quick: Expected = Expected(0, None)
    verdicts: Verdicts | None = None
    process: StudyProcess | None = None
    running: bool = False
    """True while that process lives."""
    last_words: str = ""
    """The last line of its log."""
    problem: str = ""
    lacks: tuple[MissingSet, ...] = ()
    """Datasets that what is still to be trained needs, and that are not on this machine."""

    @property
    def done(self) -> int:
        return sum(run.done for run in self.runs)

    @property
    def tried(self) -> int:
        """The number of trainings that have finished only as a quick try."""
        return sum(run.quick and run.row is not None and run.row.status.state == "finished" for run in self.runs)

    @property
    def provisional(self) -> bool:
        """Whether the verdicts are of a quick try, and say nothing about the work."""
        return self.verdicts is not None and self.verdicts.quick

    def count(self, verdict: str) -> int:
        """The number of claims with this verdict."""
        return sum(claim.verdict == verdict for claim in self.claims)


class WorkReader:
    """Reads the works' files once, and their state at every call."""

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self._root = root
        self._works = [_Work(path) for path in paths]

    def states(self, rows: Sequence[RunRow]) -> tuple[WorkState, ...]:
        """The state of every work, given these runs."""
        return tuple(work.state(self._root, rows) for work in self._works)


class _Work:
    """A work's plans, full and quick, and their runs."""

    def __init__(self, path: Path) -> None:
        self.name, self.problem = path.stem, ""
        self._edited = EditedRuns()
        try:
            self._plans = (make_plan(path), make_plan(path, quick=True))
            self._settings = [{job.label: _settings(job) for job in plan.jobs} for plan in self._plans]
        except TuiaeError as error:
            self.problem = str(error)

    def state(self, root: Path, rows: Sequence[RunRow]) -> WorkState:
        if self.problem:
            return WorkState(self.name, problem=self.problem)
        plan, quick = self._plans
        rows = [row for row in rows if plan.tag in row.tags]
        full_rows, quick_rows = (
            {name: self._matches(kept, rows) for name, kept in one.items()} for one in self._settings
        )
        runs = []
        for job in plan.jobs:
            found, tries = full_rows[job.label], quick_rows.get(job.label, [])
            best = max(found or tries, key=lambda row: usefulness(row.status), default=None)
            runs.append(PlannedRun(job.label, best, not found and bool(tries)))
        done = {run.label for run in runs if run.done}
        tried = {name for name, tries in quick_rows.items() if any(row.status.state == "finished" for row in tries)}
        pace = _paces(plan, rows)
        verdicts, process = read_verdicts(root, self.name), find_process(root, self.name)
        return WorkState(
            self.name,
            plan.work.title,
            plan.work.source,
            tuple(_judged(claim, verdicts) for claim in plan.work.claim),
            tuple(runs),
            _expected(plan, done, pace, plan.work.hours),
            _expected(quick, tried, pace),
            verdicts,
            process,
            process is not None and process.alive,
            last_line(root, self.name) if process is not None else "",
            lacks=missing_sets(job.config.data.dataset for job in plan.jobs if job.label not in done),
        )

    def _matches(self, settings: dict[str, Any], rows: Sequence[RunRow]) -> list[RunRow]:
        """The runs of these settings. What somebody edited is another training, as it is for whoever runs the work."""
        found = [row for row in rows if settings.items() <= row.settings.items()]
        return [row for row in found if not self._edited.has(row.path, row.status)]


def _settings(job: Job) -> dict[str, Any]:
    """What names a job's run; a classifier on an encoder takes its architecture from the run that it finds."""
    own = marks(job.config).items()
    return {key: value for key, value in own if not (job.encoder and key.startswith("model."))}


def _paces(plan: WorkPlan, rows: Sequence[RunRow]) -> dict[str, float]:
    """Seconds an epoch of each kind of run, from a run of any seed or length."""
    found: dict[str, float] = {}
    for row in rows:
        if row.status.elapsed and row.status.epoch:
            found.setdefault(str(row.settings.get("name")), row.status.elapsed / row.status.epoch)
    return {spec.id: found[plan.configs[spec.id].name] for spec in plan.work.run if plan.configs[spec.id].name in found}


def _expected(plan: WorkPlan, done: set[str], pace: Mapping[str, float], hours: float | None = None) -> Expected:
    lacking = [spec.id for spec in plan.work.run for seed in spec.seeds if label(spec.id, seed) not in done]
    if not pace.keys() >= set(lacking):
        every = sum(len(spec.seeds) for spec in plan.work.run)
        return Expected(len(lacking), None, hours and hours * 3600 * len(lacking) / every)
    return Expected(len(lacking), sum(pace[run] * plan.configs[run].training.epochs for run in lacking))


def _judged(claim: Claim, verdicts: Verdicts | None) -> ClaimRow:
    """The row of a claim, as it was judged or as not judged."""
    found = next((row for row in verdicts.claims if row.id == claim.id), None) if verdicts else None
    if found is not None and verdicts is not None:
        return replace(found, provisional=verdicts.quick)
    reported = ", ".join(str(value) for value in claim.reported_names.values() if value != "") or MISSING
    recipe = RecipeRow(claim.recipe, MISSING, None)
    measured = (MISSING,) * 3  # seeds, wall time, baseline
    words = "not judged yet"
    return ClaimRow(claim.id, claim.text, reported, (recipe,), Verdict.NOT_RUN, words, *measured, claim.holds)


# The process that runs a study, whatever dashboard is open.

TAIL = 4096  # bytes of the log in which its last line is looked for
RECORD = ".process.json"


@dataclass(frozen=True)
class StudyProcess:
    """The process that runs a study, and its start time."""

    pid: int
    start: str
    """The start time in the system's words: with the pid it names one process for good."""
    host: str
    since: float
    quick: bool = False
    stopping: bool = False
    """Whether it was asked to stop."""
    words: tuple[str, ...] = ()
    """What was asked of tuiae."""

    @property
    def alive(self) -> bool:
        return self.host == socket.gethostname() and is_alive(self.pid, self.start, self.since)


_PROCESS = TypeAdapter(StudyProcess)


def study_of(tag: str) -> str:
    """What the files of a study are called, of the tag of its runs."""
    kind, _, name = tag.partition(":")
    return f"{SWEEP}{name}" if kind == "sweep" else name


def _tag_of(study: str) -> str:
    return f"sweep:{study.removeprefix(SWEEP)}" if study.startswith(SWEEP) else f"work:{study}"


def log_path(root: Path, study: str) -> Path:
    return root / REPORTS / f"{study}.log"


def _record_path(root: Path, study: str) -> Path:
    return root / REPORTS / f"{study}{RECORD}"


def _record(root: Path, study: str, process: StudyProcess) -> None:
    replace_json(_record_path(root, study), {"v": 1, **asdict(process)})


def find_process(root: Path, study: str) -> StudyProcess | None:
    """The process that was last started for a study here, whether or not it still lives; None without one."""
    try:
        return _PROCESS.validate_json(_record_path(root, study).read_bytes())
    except (OSError, ValidationError):
        return None


def running_studies(root: Path) -> dict[str, str]:
    """The studies whose process lives, by the tags of their runs, each with the last words of its log, or STOPPING."""
    studies = [path.name.removesuffix(RECORD) for path in (root / REPORTS).glob(f"*{RECORD}")]
    found = ((study, find_process(root, study)) for study in studies)
    return {
        _tag_of(study): STOPPING if process.stopping else last_line(root, study)
        for study, process in found
        if process is not None and process.alive
    }


def start_process(root: Path, study: str, words: Sequence[str], quick: bool = False) -> subprocess.Popen[bytes]:
    """Run a study by a command of tuiae, or go on, in a session of its own, so that neither Ctrl-C nor a hang-up
    reaches it.

    Raises:
        RunHeldError: it runs already. UnknownRunError: the runs directory cannot be written.
    """
    before, name = find_process(root, study), study.removeprefix(SWEEP)
    if before is not None and before.alive:
        raise RunHeldError(f"{name} runs already", "x stops it; what is done is kept")
    log = log_path(root, study)
    try:
        make_directory(log.parent)
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tuiae", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "TUIAE_RUNS_DIR": str(root)},
            )
        born, place = process_start(process.pid), socket.gethostname()
        _record(root, study, StudyProcess(process.pid, born, place, time.time(), quick, words=tuple(words)))
    except OSError as error:
        cause = f"cannot run {name} in {root}: {error.strerror or error}"
        raise UnknownRunError(cause, writable_advice(error, "TUIAE_RUNS_DIR")) from error
    return process


def stop_process(root: Path, study: str) -> bool:
    """Interrupt a study, so that its trainings save and a later start goes on; False when none runs.

    Raises UnknownRunError where it belongs to somebody else.
    """
    found = find_process(root, study)
    if found is None or not found.alive:
        return False
    try:
        os.kill(found.pid, signal.SIGTERM)  # SIGINT it may ignore, as everything that a script starts behind itself
    except ProcessLookupError:
        return False
    except PermissionError as error:
        name = study.removeprefix(SWEEP)
        raise UnknownRunError(f"{name} was started by another user", "stop it as that user") from error
    with suppress(OSError):  # it stops in any case
        _record(root, study, replace(found, stopping=True))
    return True


def last_line(root: Path, study: str) -> str:
    """The last line of a study's log; empty when there is none."""
    try:
        with open(log_path(root, study), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def start_work(root: Path, path: Path, *, quick: bool) -> subprocess.Popen[bytes]:
    """Run the work of a file, or go on; raises as `start_process`."""
    return start_process(root, path.stem, ["reproduce", *(["--quick"] if quick else []), "--plain", str(path)], quick)
