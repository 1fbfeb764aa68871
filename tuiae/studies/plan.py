"""The jobs of a study, known again by their config; nothing here opens a dataset or a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuiae.config import RunConfig, dump_config
from tuiae.errors import ConfigError
from tuiae.preflight import check
from tuiae.runs.layout import RunPaths
from tuiae.studies.library import Library, is_finished


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
