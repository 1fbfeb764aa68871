"""The jobs of a study: checked before anything trains, and known again by their config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuiae.config import RunConfig, dump_config
from tuiae.data.dataset import Progress as Report
from tuiae.errors import ConfigError, TuiaeError
from tuiae.preflight import check, put_on_encoder
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


def make_ready(jobs: Sequence[Job], root: Path, tag: str, report: Report | None = None) -> tuple[str, ...]:
    """`check_jobs`, then prepare the images of those still to be trained.

    Raises:
        TuiaeError: naming the job, its cause and next step. DataError: images not to be had.
    """
    # Here, not above: what reads a study need not open datasets.
    from tuiae.data.prepare import prepare

    warnings = check_jobs(jobs, root)
    there = finished_runs(jobs, root, tag)
    missing = [job.config.data for job in jobs if job.label not in there]
    for dataset, size in dict.fromkeys((data.dataset, data.image_size) for data in missing):
        prepare(dataset, size, progress=report)
    return warnings


def check_jobs(jobs: Sequence[Job], root: Path) -> tuple[str, ...]:
    """Check every job against what is there, an encoder that is still to come by its job; returns warnings, each once.

    Raises:
        TuiaeError: naming the job, its cause and next step.
    """
    by_label = {job.label: job for job in in_order(jobs)}
    devices = _ask_devices(jobs)
    warnings: dict[str, None] = {}
    for job in jobs:
        config = put_on_encoder(job.config, by_label[job.encoder].config) if job.encoder else job.config
        try:
            warnings |= dict.fromkeys(check(config, root, devices).warnings)
        except TuiaeError as error:
            raise type(error)(f"{job.label}: {error.cause}", error.hint) from error
    return tuple(warnings)


def _ask_devices(jobs: Sequence[Job]) -> list[str] | None:
    """Imports torch: only worth it when an accelerator is asked for by name."""
    if all(job.config.training.device in ("auto", "cpu") for job in jobs):
        return None
    from tuiae.training.device import list_devices

    return list_devices()


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
