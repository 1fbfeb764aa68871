"""Starting workers from the dashboard, one of them kept warm."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from textual.message import Message

from tuiae.config import RunConfig
from tuiae.errors import TuiaeError
from tuiae.runs.layout import RunPaths
from tuiae.runs.process import StandbyWorker, no_worker, start_worker
from tuiae.runs.writer import create_run, gone_unless_begun


class WorkerWarm(Message):
    """The standby has imported torch; or it died trying, and says nothing."""

    def __init__(self, devices: tuple[str, ...], torch: str) -> None:
        super().__init__()
        self.devices = devices
        self.torch = torch


class PreflightDone(Message):
    """A dry run ended: with what the run would cost (the fields of training.dry_run.DryRun), or with why it would
    fail."""

    def __init__(self, config: RunConfig, cost: Mapping[str, Any] | None, problem: TuiaeError | None) -> None:
        super().__init__()
        self.config = config
        self.cost = cost
        self.problem = problem


class Launcher:
    """Owns the standby worker and remembers which processes are its children, so that none stays a zombie."""

    def __init__(self, root: Path, post: Callable[[Message], object]) -> None:
        self._root = root
        self._post = post
        self._standby: StandbyWorker | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._wanted: RunConfig | None = None
        self._asking = False
        self._mutex = threading.Lock()
        self.devices: list[str] | None = None
        """What this machine has, once a worker has said so."""

    def warm_up(self) -> None:
        """Begin to keep a worker warm, unless one is; where none can be started, runs will start cold."""
        try:
            self._keep_warm()
        except OSError:
            self._post(WorkerWarm((), ""))

    def _keep_warm(self) -> None:
        if self._standby is None or not self._standby.usable:
            self._standby = None
            self._standby = StandbyWorker()
            threading.Thread(target=self._await_hello, args=(self._standby,), name="hello", daemon=True).start()

    def _await_hello(self, standby: StandbyWorker) -> None:
        hello: dict[str, Any] = standby.hello()
        self.devices = list(hello.get("devices", ())) or self.devices
        self._post(WorkerWarm(tuple(hello.get("devices", ())), str(hello.get("torch", ""))))

    def preflight(self, config: RunConfig) -> None:
        """Let the standby try a few steps of this config; a PreflightDone is posted, unless a run was started
        meanwhile. Of several that are asked for while one is under way only the newest follows."""
        try:
            self._keep_warm()
        except OSError as error:
            self._post(PreflightDone(config, None, no_worker(error)))
            return
        with self._mutex:
            self._wanted = config
            idle, self._asking = not self._asking, True
        if idle:
            threading.Thread(target=self._ask_what_is_wanted, name="preflight", daemon=True).start()

    def _ask_what_is_wanted(self) -> None:
        while (config := self._next_wanted()) is not None:
            standby = self._standby
            try:
                cost = standby.dry_run(config, self._root) if standby is not None else {}
            except TuiaeError as problem:
                self._post(PreflightDone(config, None, problem))
            else:
                if cost:
                    self._post(PreflightDone(config, cost, None))

    def _next_wanted(self) -> RunConfig | None:
        """The newest config that nobody has tried; without one the thread that asks ends."""
        with self._mutex:
            config, self._wanted = self._wanted, None
            self._asking = config is not None
            return config

    def start(self, config: RunConfig) -> RunPaths:
        """Make a run and give it to the warm worker, or to a cold one.

        Raises:
            UnknownRunError: the runs directory cannot be written. TrainingError: no worker can be started.
        """
        run = create_run(config, self._root, sys.argv)
        self.begin(run)
        return run

    def begin(self, run: RunPaths) -> None:
        """Let a worker train a run that was just made; without a worker the run goes again.

        Raises:
            TrainingError: no worker can be started.
        """
        with gone_unless_begun(run):
            self.work_on(run)

    def work_on(self, run: RunPaths) -> None:
        """Let a worker go on with a run that has none.

        Raises:
            UnknownRunError: the run is not ours to write. TrainingError: no worker can be started.
        """
        standby, self._standby = self._standby, None
        try:
            worker = standby.give(run) if standby is not None and standby.usable else None
        except OSError:
            worker = None  # it died between the look and the hand-over: a cold worker does the same, later
        self._children.append(worker or start_worker(run))

    def reap(self) -> None:
        """Look after children that have ended."""
        self._children = [child for child in self._children if child.poll() is None]

    def close(self) -> None:
        """Let the standby go; runs go on."""
        if self._standby is not None:
            self._standby.dismiss()
