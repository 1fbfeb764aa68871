"""Where the workers of a study run: on this machine, or on others (`clusters`), and what they take there. A place
shares nothing with a study but the folder of runs: what became of a training is read from its run directory."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import Field, model_validator

from tuiae.config import Section
from tuiae.errors import ConfigError, MissingLibraryError
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import start_worker
from tuiae.runs.reader import describe_death
from tuiae.runs.snapshot import Snapshot

if TYPE_CHECKING:
    from tuiae.studies.jobs import Job


@dataclass(frozen=True)
class Ended:
    """How a worker ended, as far as its place can tell."""

    code: int | None
    """Its exit code; None where it did not end by itself: its place took it away, or never began it."""
    node: str = ""
    """The machine that it ran on, where there are several."""
    text: str = ""
    """Why it was taken away, or what its node lacks."""


class Worker(Protocol):
    """A worker, wherever it runs. It may wait there before it begins."""

    def poll(self) -> Ended | None:
        """How it ended; None as long as it waits or runs."""

    def terminate(self) -> None:
        """Tell it to save and end, and not to begin if it still waits."""


class Place(Protocol):
    """Where workers run."""

    @property
    def most(self) -> int:
        """How many can run at once at this moment."""

    def start(self, run: RunPaths, avoided: Collection[str] = ()) -> Worker:
        """Begin a worker, where possible on none of the `avoided` nodes; raises TuiaeError."""

    def has_others(self, nodes: Collection[str]) -> bool:
        """Returns whether a worker could run on a node that is none of these."""

    def submit(self) -> None:
        """Send off what was started since the last call, where workers are sent off together; raises TuiaeError."""


class Here:
    """This machine; workers share its cores."""

    def __init__(self, most: int) -> None:
        self.most = most

    def start(self, run: RunPaths, avoided: Collection[str] = ()) -> Worker:
        return _Process(start_worker(run, self.most))

    def has_others(self, nodes: Collection[str]) -> bool:
        return False

    def submit(self) -> None:
        """Processes have begun already."""


class _Process:
    """A worker of this machine."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> Ended | None:
        code = self._process.poll()
        return None if code is None else Ended(code)

    def terminate(self) -> None:
        self._process.terminate()


def reason_of(snapshot: Snapshot, code: int | None) -> str:
    """Why a run ended unfinished, by what its worker recorded, or by the worker's exit code."""
    status = snapshot.status
    if status.state == "failed" and status.error:
        return str(status.error.get("cause", "the training failed"))
    if status.refusal is not None and code:
        return str(status.refusal.get("cause", "it could not go on"))
    if status.state == "stopped":
        return f"somebody stopped it at epoch {status.epoch} of {status.epochs}"
    run = RunPaths(snapshot.path)
    return f"{describe_death(run, code)}; see {run.log}"


# What is asked of other machines.


class Resources(Section):
    """`[resources]` of a sweep: what each training takes of the machine that it runs on, other than this one."""

    num_cpus: int = Field(default=1, ge=1)
    num_gpus: float = Field(default=0, ge=0)
    """Cards; a share of one below 1, on Ray alone."""
    memory_gb: float = Field(default=0, ge=0)
    """0 states none."""
    minutes: int = Field(default=240, ge=1)
    """The time limit of a job of SLURM; a training that needs longer goes on in the next job."""
    slurm: dict[str, Any] = {}
    """More for sbatch, by submitit's names: partition, account, qos, constraint, ..."""

    @model_validator(mode="after")
    def _check_cards(self) -> Self:
        if self.num_gpus > 1 and self.num_gpus % 1:
            raise ValueError(f"num_gpus = {self.num_gpus}: a whole number, or a share of one card below 1")
        return self


OLDEST = {"ray": (2, 50), "submitit": (1, 5), "optuna": (5, 0)}
"""The extras' versions from which on everything here works."""


def need(module: str, extra: str, asker: str) -> Any:
    """Import a library that tuiae does without until `asker` is given; raises ConfigError that names the extra."""
    from importlib.metadata import version  # here: 10 ms that the dashboard does not need

    hint = f"pip install 'tuiae[{extra}]'"
    try:
        found, number = importlib.import_module(module), version(module)
    except ImportError as error:
        raise MissingLibraryError(f"{asker} needs {module}, which is not installed", hint) from error
    oldest = OLDEST[module]
    if tuple(int(part) for part in number.split(".")[:2] if part.isdigit()) < oldest:
        wanted = ".".join(map(str, oldest))
        raise MissingLibraryError(f"{asker} needs {module} {wanted} or newer, and this is {number}", hint)
    return found


PLACES = ("ray", "slurm")


@dataclass(frozen=True)
class Wish:
    """Where a study is to run, by the options of its command; `on` is empty for this machine."""

    on: str = ""
    address: str = "auto"
    gpus: float | None = None
    """In place of the num_gpus of its file."""

    def __post_init__(self) -> None:
        if self.on not in ("", *PLACES):
            raise ConfigError(f"--on {self.on} is not known", f"one of {', '.join(PLACES)}")
        if not self.on and (self.address != "auto" or self.gpus is not None):
            raise ConfigError("--address and --gpus are for trainings on other machines", "give --on ray, too")
        if self.gpus is not None and self.gpus > 1 and self.gpus % 1:
            raise ConfigError(f"--gpus {self.gpus:g}: a whole number, or a share of one card below 1")
        if self.on:
            need(*{"ray": ("ray", "ray"), "slurm": ("submitit", "slurm")}[self.on], f"--on {self.on}")


HERE = Wish()


@contextmanager
def place_of(
    wish: Wish, resources: Resources, root: Path, tag: str, most: int, jobs: Sequence[Job]
) -> Iterator[Place | None]:
    """The place that somebody wishes for `jobs`, `most` at once, checked before anything trains; None is this machine.

    Raises:
        ConfigError, UnknownRunError, DataError: what it lacks.
    """
    if not wish.on:
        yield None
        return
    from tuiae.studies.clusters import Ray, Slurm

    if wish.gpus is not None:
        resources = resources.model_copy(update={"num_gpus": wish.gpus})
    for job in jobs:
        devices, device = job.config.training.devices, job.config.training.device
        if devices > 1 and 0 < resources.num_gpus < devices and device != "cpu":
            cause = f"{job.label}: training.devices = {devices}, and num_gpus = {resources.num_gpus:g}"
            raise ConfigError(cause, f"num_gpus = {devices} in [resources], or --gpus {devices}")
    if wish.on == "slurm":
        yield Slurm(root, tag.replace(":", "-"), resources, most)
        return
    ray = Ray(wish.address, resources)
    try:
        ray.check_nodes(root, dict.fromkeys((job.config.data.dataset, job.config.data.image_size) for job in jobs))
        yield ray
    finally:
        ray.close()
