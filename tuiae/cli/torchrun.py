"""Commands that torchrun starts, once in each of its processes."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tuiae.cli.output import Output
from tuiae.config import RunConfig, build_config
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import TORCHRUN, become_worker, process_start, worker_environment, worker_words


@dataclass(frozen=True)
class Torchrun:
    """The place of this process among those that torchrun has started with the same command."""

    rank: int
    size: int
    name: str
    """Which torchrun."""
    again: bool
    """Whether it has started them anew, because one of them had ended."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Torchrun | None:
        """By the environment; None where it is not torchrun's. Raises ConfigError where it is so in part."""
        if not {"RANK", "WORLD_SIZE"} & {*environment}:
            return None
        values = {name: environment.get(name, "") for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
        hint = "start it by torchrun, or outside of it: env -u RANK -u WORLD_SIZE tuiae ..."
        if missing := [name for name, value in values.items() if not value]:
            raise ConfigError(f"the environment of torchrun lacks {' and '.join(missing)}", hint)
        rank, size = values["RANK"], values["WORLD_SIZE"]
        if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
            raise ConfigError(f"RANK = {rank} and WORLD_SIZE = {size} are not torchrun's", hint)
        name = environment.get("TORCHELASTIC_RUN_ID", "none")
        if name == "none":  # nobody has named it
            name = f"{socket.gethostname()} {os.getppid()} {process_start(os.getppid())}"
        return cls(int(rank), int(size), name, environment.get("TORCHELASTIC_RESTART_COUNT", "0") != "0")

    def fit(self, config: RunConfig) -> RunConfig:
        """The config with as many devices as there are processes; raises ConfigError where it asks for others."""
        devices = config.training.devices
        if devices not in (1, self.size):
            cause = f"training.devices = {devices}, and torchrun has started {self.size} processes"
            raise ConfigError(cause, "leave training.devices out: it follows from --nproc-per-node and --nnodes")
        return build_config(config.model_dump(mode="json"), {"training.devices": self.size})

    def find_begun(self, root: Path) -> RunPaths | None:
        """The run that this torchrun has begun before one of its processes ended."""
        begun = (run for run in list_runs(root) if read_json(run.meta).get("torchrun") == self.name)
        return max(begun, key=lambda run: run.id, default=None) if self.again else None

    def train(self, run: RunPaths, asked: Mapping[str, Any], other_images: bool, output: Output) -> NoReturn:
        """Become the worker of a run, which the other ranks join."""
        output.note(f"run {run.id}")
        sys.stderr.flush()
        become_worker([*worker_words(run, asked, other_images), "--join", TORCHRUN], worker_environment())

    def follow(self) -> NoReturn:
        """Become one of the other ranks."""
        words = ["--rank", str(self.rank), "--devices", str(self.size), "--join", TORCHRUN]
        become_worker(words, worker_environment())


def join_torchrun() -> Torchrun | None:
    """The torchrun that has started this process as its rank 0; None outside of one. Another rank becomes a worker and
    does not return. Raises as `Torchrun.read`."""
    torchrun = Torchrun.read(os.environ)
    if torchrun is not None and torchrun.rank:
        torchrun.follow()
    return torchrun


def refuse_torchrun(command: str) -> None:
    """Raise ConfigError for a study under torchrun, which would carry it out once in each of its processes."""
    torchrun = Torchrun.read(os.environ)
    if torchrun is not None and torchrun.size > 1:
        cause = f"torchrun would carry out tuiae {command} {torchrun.size} times, once in each process"
        raise ConfigError(cause, f"give it alone; training.devices = {torchrun.size} lets each training use as many")
