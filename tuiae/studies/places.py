"""Where the workers of a study run: on this machine. A place shares nothing with a study but the folder of runs: what
became of a training is read from its run directory."""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from tuiae.runs.paths import RunPaths
from tuiae.runs.process import start_worker


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
        """Begin a worker, on none of the `avoided` nodes; raises TuiaeError."""

    def has_others(self, nodes: Collection[str]) -> bool:
        """Returns whether a worker could run on a node that is none of these."""

    def submit(self) -> None:
        """Send off what was started since the last call, where workers are sent off together."""


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
