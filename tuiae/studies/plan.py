"""The jobs of a study, known again by their config; nothing here opens a dataset or a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuiae.config import RunConfig, dump_config
from tuiae.errors import ConfigError
from tuiae.preflight import check
from tuiae.runs.labels import tags_of
from tuiae.runs.lineage import read_edits
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import is_held
from tuiae.runs.reader import read_config, read_status

# The runs of a study, found by their tag and their config.


class Library:
    """Every run with one tag, looked for again at each question; what was read of a run once is kept."""

    def __init__(self, root: Path, tag: str) -> None:
        self._root, self._tag = root, tag
        self._configs: dict[str, RunConfig | None] = {}

    def find(self, config: RunConfig) -> RunPaths | None:
        """The run of this very config: a finished one first, then a live one, then the one that came furthest."""
        matches = [run for run in list_runs(self._root) if self._config_of(run) == config]
        return max(matches, key=_worth, default=None)

    def _config_of(self, run: RunPaths) -> RunConfig | None:
        """None for a run without the tag, or of a config that this version does not know, or that somebody edited."""
        if run.id not in self._configs:
            tagged = self._tag in tags_of(run)
            self._configs[run.id] = read_config(run) if tagged and not read_edits(run) else None
        return self._configs[run.id]


def is_finished(run: RunPaths) -> bool:
    """Whether a run has come to its end."""
    return read_status(run).state == "finished"


def is_busy(run: RunPaths) -> bool:
    """Whether somebody trains the run, or has not quite let go of it."""
    try:
        return read_status(run).live or is_held(run)
    except OSError:
        # Somebody else's, whose lock is not ours to look at: what the status says stands.
        return False


def _worth(run: RunPaths) -> tuple[bool, bool, int]:
    status = read_status(run)
    return status.state == "finished", status.live, status.step


@dataclass(frozen=True)
class Job:
    """One training of a study; `encoder` is the label of an earlier job whose run becomes model.encoder_run."""

    label: str
    config: RunConfig
    encoder: str = ""


def finished_runs(jobs: Sequence[Job], root: Path, tag: str) -> dict[str, RunPaths]:
    """The finished runs that are there by label; starts nothing.

    Raises:
        TuiaeError: a config that does not fit what is there.
    """
    return {label: run for label, run in known_runs(jobs, root, tag).items() if is_finished(run)}


def known_runs(jobs: Sequence[Job], root: Path, tag: str) -> dict[str, RunPaths]:
    """The runs that are there by label, however they stand; starts nothing.

    Raises:
        TuiaeError: a config that does not fit what is there.
    """
    library = Library(root, tag)
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
    """The jobs as they are, once their labels and what they wait for make sense."""
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


def pin(jobs: Sequence[Job], root: Path) -> list[Job]:
    """The jobs with their configs resolved now: `last`, say, means another run once one has started."""
    return [job if job.encoder else replace(job, config=resolve(job, root, None)) for job in jobs]


def resolve(job: Job, root: Path, encoder: RunPaths | None) -> RunConfig:
    """The config as a run of it will hold it: with the encoder's id and architecture."""
    config = job.config
    if encoder is not None:
        config = config.model_copy(update={"model": config.model.model_copy(update={"encoder_run": encoder.id})})
    return check(config, root).config


def twins(jobs: Sequence[Job]) -> dict[str, str]:
    """For each label the first job that does the same: one run serves them all."""
    first: dict[tuple[str, str], str] = {}
    same: dict[str, str] = {}
    for job in jobs:
        key = dump_config(job.config), same.get(job.encoder, "")
        same[job.label] = first.setdefault(key, job.label)
    return same
