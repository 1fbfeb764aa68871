"""Making ready what the jobs of a study need, and refusing what cannot run, before anything trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tuiae.data.dataset import Progress as Report
from tuiae.data.prepare import prepare
from tuiae.errors import TuiaeError
from tuiae.preflight import check, put_on_encoder
from tuiae.studies.plan import Job, finished_runs, in_order


def make_ready(jobs: Sequence[Job], root: Path, tag: str, report: Report | None = None) -> tuple[str, ...]:
    """`check_jobs`, then prepare the images of those still to be trained.

    Raises:
        TuiaeError: naming the job, its cause and next step. DataError: images not to be had.
    """
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
