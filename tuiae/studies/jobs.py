"""Many trainings as one study: side by side, each once, continued where an earlier call left off.

A run belongs to a job by its tag and its config. Nothing here opens a dataset or a device before `prepare_jobs`.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tuiae.config import RunConfig, dump_config
from tuiae.data.dataset import OnProgress, silent
from tuiae.data.datasets import prepare
from tuiae.errors import ConfigError, ExitCode, TrainingError, TuiaeError
from tuiae.machine import AUTO, Interrupt, suggest_workers
from tuiae.preflight import check, put_on_encoder
from tuiae.runs.diagnosis import DIVERGED
from tuiae.runs.labels import JOB, JOBS, PRESET, PRUNED, check_tags, relabel
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import is_held
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.snapshot import Snapshot, Status
from tuiae.runs.writer import alone, create_run, removed_unless_started
from tuiae.studies.library import Library
from tuiae.studies.places import Ended, Here, Place, Worker, reason_of

if TYPE_CHECKING:
    from tuiae.studies.search import Search

POLL_SECONDS = 0.1
MOST_LOSSES = 3
"""How often a training is begun again that gets no further before its node is taken away: it may be what takes it."""

What = Literal["kept", "started", "resumed", "waiting", "finished", "failed", "stopping", "lost", "pruned"]


@dataclass(frozen=True)
class Job:
    """One training of a study; `encoder` is the label of an earlier job whose run becomes model.encoder_run."""

    label: str
    config: RunConfig
    encoder: str = ""
    preset: str = ""
    """The name of the preset that the config was made from, where its own name is that of the study."""


def is_finished(run: RunPaths) -> bool:
    """Returns whether a run has finished."""
    return read_status(run).state == "finished"


def is_busy(run: RunPaths) -> bool:
    """Returns whether a process trains the run, or still holds its lock."""
    try:
        return read_status(run).live or is_held(run)
    except OSError:
        # Somebody else's, whose lock is not ours to look at: what the status says stands.
        return False


def finished_runs(jobs: Sequence[Job], root: Path, tag: str) -> dict[str, RunPaths]:
    """The finished runs by label; starts nothing. Raises what `known_runs` raises."""
    return {label: run for label, run in known_runs(jobs, root, tag).items() if is_finished(run)}


def known_runs(jobs: Sequence[Job], root: Path, tag: str, library: Library | None = None) -> dict[str, RunPaths]:
    """The existing runs by label, of the tag's `library` where there is one already; raises TuiaeError for a config
    that does not fit what is there."""
    library = library or Library(root, tag)
    found: dict[str, RunPaths] = {}
    for job in in_order(jobs):
        encoder = found.get(job.encoder)
        if job.encoder and (encoder is None or not is_finished(encoder)):
            continue
        run = library.find(resolve(job, root, encoder))
        if run is not None:
            found[job.label] = run
    return found


def in_order(jobs: Sequence[Job]) -> Sequence[Job]:
    """Returns the jobs; raises ConfigError where two have one label, or an encoder is no earlier job."""
    seen: set[str] = set()
    for job in jobs:
        if job.label in seen:
            raise ConfigError(f"two jobs are called '{job.label}'", "give each its own label")
        if job.encoder and job.encoder not in seen:
            raise ConfigError(f"{job.label}: its encoder is no earlier job: '{job.encoder}'", "put that job first")
        if job.encoder and not job.config.is_classifier:
            raise ConfigError(f"{job.label}: only a classifier takes an encoder", "set model.family = 'classifier'")
        seen.add(job.label)
    return jobs


def resolve(job: Job, root: Path, encoder: RunPaths | None) -> RunConfig:
    """The config as a run of it will hold it: with the encoder's id and architecture."""
    config = job.config
    if encoder is not None:
        config = config.model_copy(update={"model": config.model.model_copy(update={"encoder_run": encoder.id})})
    return check(config, root).config


def twins(jobs: Sequence[Job]) -> dict[str, str]:
    """For each label, the first job with the same config: one run serves them all."""
    first: dict[tuple[str, str], str] = {}
    same: dict[str, str] = {}
    for job in jobs:
        key = dump_config(job.config), same.get(job.encoder, "")
        same[job.label] = first.setdefault(key, job.label)
    return same


# Making ready what jobs need, and refusing what cannot run, before anything trains.


def prepare_jobs(
    jobs: Sequence[Job], root: Path, tag: str, report: OnProgress = silent, *, here: bool = True
) -> tuple[str, ...]:
    """`check_jobs`, then prepare the images of those still to be trained.

    Raises:
        TuiaeError: naming the job, its cause and next step. DataError: images not available.
    """
    warnings, library = check_jobs(jobs, root, here=here), Library(root, tag, report)
    there = known_runs(jobs, root, tag, library)
    trained = {label for label, run in there.items() if is_finished(run)}
    missing = [job.config.data for job in jobs if job.label not in trained]
    for dataset, size in dict.fromkeys((data.dataset, data.image_size) for data in missing):
        prepare(dataset, size, progress=report)
    return (*warnings, *library.warnings)


def check_jobs(jobs: Sequence[Job], root: Path, *, here: bool = True) -> tuple[str, ...]:
    """Check every job against datasets, encoders (a future one by its job) and, where it is to run `here`, devices;
    returns each warning once.

    Raises TuiaeError, which names the job, its cause and next step.
    """
    by_label = {job.label: job for job in in_order(jobs)}
    devices = None
    if here and (asked := [word for job in jobs if (word := job.config.training.device) not in ("auto", "cpu")]):
        from tuiae.training.device import list_devices  # torch: only worth it for an accelerator asked for by name

        devices = list_devices(asked[0])
    warnings: dict[str, None] = {}
    for job in jobs:
        config = put_on_encoder(job.config, by_label[job.encoder].config) if job.encoder else job.config
        try:
            warnings |= dict.fromkeys(check(config, root, devices).warnings)
        except TuiaeError as error:
            raise type(error)(f"{job.label}: {error.cause}", error.hint) from error
    return tuple(warnings)


# Training them.


@dataclass(frozen=True)
class News:
    """An event of a job, and how many jobs were done or failed by then; `text` gives the reason of a failure."""

    what: What
    label: str
    settled: int
    run: RunPaths | None = None
    text: str = ""


@dataclass(frozen=True)
class StudyProgress:
    """A study as it is now. Jobs with the same config count as one; `running` holds the newest snapshots by label."""

    total: int
    done: int
    failed: int
    running: tuple[tuple[str, Snapshot], ...] = ()
    news: tuple[News, ...] = ()


def run_jobs(
    jobs: Sequence[Job],
    root: Path,
    tag: str,
    workers: int = AUTO,
    tell: Callable[[StudyProgress], None] = lambda progress: None,
    tags: Sequence[str] = (),
    place: Place | None = None,
    source: Search | None = None,
) -> dict[str, RunPaths]:
    """The finished run of each job by its label, trained where there is none yet, by `workers` at once; AUTO goes by
    the machine, or by the `place` where they run elsewhere. More jobs come from a `source`, as workers are free.

    A job's run is the one below `root` with the tag and the job's config: taken as it is when finished, waited for
    while somebody else trains it, gone on with from its last checkpoint otherwise. New runs get `tag` and `tags`.
    The images are there already (`prepare_jobs`): otherwise every worker looks for them. Call it from the main thread:
    it listens to Ctrl-C.

    Raises:
        TuiaeError: bad input, before anything trains. RunHeldError: somebody else carries out this study.
        TrainingError: jobs failed; the others were seen through.
        KeyboardInterrupt: stopped, with a checkpoint of every run; a later call goes on.
    """
    # Longer than other functions by what it has to promise.
    check_tags((tag, *tags))
    check_jobs(jobs, root, here=place is None)
    # Resolved now: `encoder_run = "last"` means another run once one has started.
    pinned = [job if job.encoder else replace(job, config=resolve(job, root, None)) for job in jobs]
    with alone(root, tag) as beat:
        there = finished_runs(jobs, root, tag)
        study = _Study(pinned, root, (tag, *tags), workers, there, place, source)
        interrupt = Interrupt()
        try:
            with interrupt.listening():
                # A second Ctrl-C leaves the workers to finish their saves.
                while study.advance(stopping=bool(interrupt.count)) and not interrupt.insists:
                    tell(study.progress())
                    beat()
                    time.sleep(POLL_SECONDS)
                tell(study.progress())
        except BaseException:
            study.abandon()
            raise
    if not study.settled:
        raise KeyboardInterrupt
    return study.results()


@dataclass
class _Active:
    """A run under way: by our `worker`, or by somebody else's where that is None."""

    job: Job
    run: RunPaths
    reader: RunReader
    worker: Worker | None
    stop_sent: bool = False
    pruned: str = ""
    """Why it is not worth going on with."""


class _Study:
    """The jobs of a study: a job that is neither active nor done nor failed waits."""

    def __init__(
        self,
        jobs: Sequence[Job],
        root: Path,
        tags: Sequence[str],
        workers: int,
        there: Mapping[str, RunPaths],
        place: Place | None,
        source: Search | None,
    ) -> None:
        self._source, self._total, self._has_more = source, source.total if source else 0, source is not None
        self._same = twins(jobs)
        self._jobs = [job for job in jobs if self._same[job.label] == job.label]
        self._root, self._tags = root, tags
        self._total = self._total or len(self._jobs)
        if place is None:
            asked = [job.config.training for job in (self._jobs or (source.examples if source else ()))]
            on_cards, devices = (
                any(one.device != "cpu" for one in asked),
                max((one.devices for one in asked), default=1),
            )
            place = Here(max(1, min(workers or suggest_workers(on_cards, devices), self._total)))
        self._place, self._workers = place, workers or self._total
        self._attempts: dict[str, list[tuple[Ended, int]]] = {}
        self._library = Library(root, tags[0])
        self._active: list[_Active] = []
        self._done: dict[str, RunPaths] = {}
        self._failed: dict[str, str] = {}
        self._pruned: set[str] = set()
        self._news: list[News] = []
        for job in self._jobs:
            if job.label in there:
                self._finish("kept", job, there[job.label])

    @property
    def _over(self) -> set[str]:
        """The labels of the jobs that are done, failed or pruned."""
        return {*self._done, *self._failed, *self._pruned}

    @property
    def settled(self) -> bool:
        """Whether every job is over, and there are no more."""
        return not self._has_more and len(self._over) == len(self._jobs)

    def advance(self, stopping: bool) -> bool:
        """Note what ended, then start what can start, or stop what runs; returns whether there is more to wait for."""
        for active in list(self._active):
            self._check_active(active, stopping)
        if stopping:
            for active in self._active:
                self._stop(active)
            return any(active.worker for active in self._active)
        begun = self._over | {active.job.label for active in self._active}
        for job in self._jobs:
            if job.label not in begun:
                self._begin(job)
        self._ask_source()
        self._place.submit()
        return not self.settled

    def _ask_source(self) -> None:
        """End what is not worth going on with, and begin more jobs while workers are free."""
        if (source := self._source) is None:
            return
        for active in self._active:
            if active.worker and not active.pruned:
                active.pruned = source.judge(active.job.label, active.reader.poll())
                if active.pruned:
                    active.worker.terminate()
        while self._has_more and self._has_room():
            if (job := source.next()) is None:
                self._has_more = False
                return
            self._jobs.append(job)
            self._same[job.label] = job.label
            self._begin(job)

    def _has_room(self) -> bool:
        return sum(active.worker is not None for active in self._active) < min(self._workers, self._place.most)

    def abandon(self) -> None:
        """Tell our workers to save and end, and do not wait for them."""
        for active in self._active:
            if active.worker is not None:
                active.worker.terminate()

    def progress(self) -> StudyProgress:
        """The study as it is now, with the events since the last call."""
        news, self._news = tuple(self._news), []
        running = tuple((active.job.label, active.reader.poll()) for active in self._active)
        return StudyProgress(self._total, len(self._done) + len(self._pruned), len(self._failed), running, news)

    def results(self) -> dict[str, RunPaths]:
        """The finished run of every label; raises TrainingError, which names each job that failed."""
        if self._failed:
            lines = "\n".join(f"  {label}: {reason}" for label, reason in self._failed.items())
            cause = f"{len(self._failed)} of {len(self._jobs)} trainings failed:\n{lines}"
            raise TrainingError(cause, "fix the cause and give the same command again: it trains only what is missing")
        return {label: self._done[first] for label, first in self._same.items() if first in self._done}

    def _begin(self, job: Job) -> None:
        """Settle a job or start its worker, unless its encoder has not finished or every worker is busy."""
        encoder = self._same.get(job.encoder, "")
        if encoder in self._failed:
            self._fail(job, None, f"its encoder failed: {job.encoder}")
            return
        if not self._has_room() or (encoder and encoder not in self._done):
            return
        config = resolve(job, self._root, self._done.get(encoder))
        run = self._library.find(config)
        if run is not None and is_finished(run):
            self._finish("kept", job, run)
            return
        what: What = "started" if run is None else "waiting" if is_busy(run) else "resumed"
        about = {JOB: job.label, JOBS: self._total, **({PRESET: job.preset} if job.preset else {})}
        run = run or create_run(config, self._root, sys.argv, self._tags, meta=about)
        try:
            with removed_unless_started(run) if what == "started" else nullcontext():
                failed_on = {ended.node for ended, _ in self._attempts.get(job.label, ()) if ended.code is not None}
                worker = None if what == "waiting" else self._place.start(run, failed_on)
        except TuiaeError as error:
            self._fail(job, None if what == "started" else run, str(error))
            return
        self._active.append(_Active(job, run, RunReader(run.root), worker))
        self._report(what, job, run)

    def _stop(self, active: _Active) -> None:
        """Make our worker save and stop at its next step."""
        if active.worker is None or active.stop_sent:
            return
        active.stop_sent = True
        active.worker.terminate()
        self._report("stopping", active.job, active.run)

    def _check_active(self, active: _Active, stopping: bool) -> None:
        ended = active.worker.poll() if active.worker else None
        if ended is None and (active.worker or is_busy(active.run)):
            return
        self._active.remove(active)
        snapshot = active.reader.read_all()
        if snapshot.status.state == "finished":
            self._finish("finished", active.job, active.run)
        elif active.pruned:
            self._pruned.add(active.job.label)
            relabel(active.run, tag=(PRUNED,), note=active.pruned)
            self._settle("pruned", active.job, active.run, active.pruned)
        elif stopping:
            if ended is not None and ended.code is None and not snapshot.status.pid:
                shutil.rmtree(active.run.root, ignore_errors=True)  # it waited for a node, and nobody began it
        elif ended is not None and ended.code not in (ExitCode.OK, ExitCode.HELD):
            where = f"on {ended.node}: " if ended.node and not ended.text else ""
            reason = where + (ended.text or reason_of(snapshot, ended.code))
            if self._can_go_on(active.job.label, ended, snapshot.status):
                self._report("lost", active.job, active.run, reason)
            else:
                self._fail(active.job, active.run, reason)
        # Else whoever had it ended it unfinished, or a shared disk does not show its end yet: the job waits until the
        # run is free, and goes on from its checkpoint where it has not finished.

    def _can_go_on(self, label: str, ended: Ended, status: Status) -> bool:
        """Returns whether a job is begun again whose worker ended too early: its node was taken away, or it failed on
        that node and there are others."""
        tried = self._attempts.setdefault(label, [])
        tried.append((ended, status.step))
        if ended.code is None:
            return sum(one.code is None and step == status.step for one, step in tried) < MOST_LOSSES
        cause = str((status.error or {}).get("cause", ""))
        nodes = {one.node for one, _ in tried if one.code is not None}
        return status.state != "stopped" and not cause.startswith(DIVERGED) and self._place.has_others(nodes)

    def _finish(self, what: What, job: Job, run: RunPaths) -> None:
        self._done[job.label] = run
        self._settle(what, job, run)

    def _fail(self, job: Job, run: RunPaths | None, reason: str) -> None:
        self._failed[job.label] = reason
        self._settle("failed", job, run, reason)

    def _settle(self, what: What, job: Job, run: RunPaths | None, text: str = "") -> None:
        self._report(what, job, run, text)
        if self._source is not None:
            self._source.settle(what, job.label, RunReader(run.root).read_all() if run else None)

    def _report(self, what: What, job: Job, run: RunPaths | None, text: str = "") -> None:
        self._news.append(News(what, job.label, len(self._over), run, text))
