"""What the screens share: the runs directory, the workers that train there, the open run, and the explorer."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.message import Message

from tuiae import __version__
from tuiae.config import RunConfig
from tuiae.errors import ExitCode, TuiaeError
from tuiae.explore.client import Explorer, Notice, Reply
from tuiae.preflight import check_same_images
from tuiae.render.text import clean
from tuiae.runs import control
from tuiae.runs.checkpoints import need_checkpoint
from tuiae.runs.control import propose
from tuiae.runs.diagnosis import Finding
from tuiae.runs.labels import PRESET, Label, called, forget_pruned, relabel
from tuiae.runs.lineage import check_code, need_config
from tuiae.runs.paths import LIVE_STATES, OWN_PROGRAM, RunPaths, list_runs, need_run, unwritable
from tuiae.runs.process import StandbyWorker, is_held, no_worker, start_worker
from tuiae.runs.query import last_run
from tuiae.runs.reader import read_status
from tuiae.runs.removal import discard_untrained
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.runs.writer import create_run, removed_unless_started
from tuiae.studies.labels import make_fork
from tuiae.ui.feeds import Feed, RunChanged, follow_run

RECENT = 20  # runs among which a live one is looked for


class NothingToDoError(Exception):
    """There is nothing that an action could act on: a sentence for whoever pressed the key, and no error."""


@dataclass
class WorkerWarm(Message):
    """The standby has imported torch; all are empty where it died trying."""

    devices: tuple[str, ...]
    torch: str
    tuiae: str = ""
    """The version that it is of."""

    @property
    def updated(self) -> str:
        """Says that tuiae was updated while the dashboard was open; else empty."""
        if self.tuiae in ("", __version__):
            return ""
        words = f"tuiae was updated to {clean(self.tuiae, 20)} while this dashboard of {__version__} was open"
        return f"{words}: q leaves it, and the runs go on; then open it again"


@dataclass
class PreflightDone(Message):
    """A dry run of `config` ended, with what the run would cost (a training.rehearsal.DryRun as a mapping) or with why
    it would fail."""

    config: RunConfig
    outcome: Mapping[str, Any] | TuiaeError


class RunOpened(Message):
    """Another run is open; its first snapshot is still to come. Or it is known that there is none."""


@dataclass
class ExplorerTold(Message):
    """The explorer answered, or says what it is busy with."""

    told: Reply | Notice


class Launcher:
    """Starts workers and keeps one warm that has imported torch already, the standby. It knows its child processes, so
    that none stays a zombie."""

    def __init__(self, root: Path, post: Callable[[Message], object]) -> None:
        self._root = root
        self._post = post
        self._standby: StandbyWorker | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._wanted: RunConfig | None = None
        self._trying = threading.Lock()
        self.devices: list[str] | None = None
        """The devices of this machine, once a worker has said so."""

    def warm_up(self) -> None:
        """Start a standby unless there is one; where none can be started, runs will start cold."""
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
        found = (str(hello.get(key, "")) for key in ("torch", "tuiae"))
        self._post(WorkerWarm(tuple(hello.get("devices", ())), *found))

    def preflight(self, config: RunConfig) -> None:
        """Let the standby try a few steps of this config; PreflightDone is posted, unless a run is started meanwhile.
        Of the configs that come while one is tried only the newest is tried next."""
        try:
            self._keep_warm()
        except OSError as error:
            self._post(PreflightDone(config, no_worker(error)))
            return
        self._wanted = config
        threading.Thread(target=self._try, args=(config, self._standby), name="preflight", daemon=True).start()

    def _try(self, config: RunConfig, standby: StandbyWorker | None) -> None:
        with self._trying:
            if standby is None or config is not self._wanted:
                return  # a newer one waits
            outcome: Mapping[str, Any] | TuiaeError
            try:
                outcome = standby.dry_run(config, self._root)
            except TuiaeError as problem:
                outcome = problem
            if outcome:  # it is empty where the standby was given a run meanwhile
                self._post(PreflightDone(config, outcome))

    def begin(self, run: RunPaths, other_images: bool = False) -> None:
        """Let a worker train a run that was just made; where that fails the run is removed.

        Raises:
            TrainingError: no worker can be started.
        """
        with removed_unless_started(run):
            self.work_on(run, other_images)

    def work_on(self, run: RunPaths, other_images: bool = False, epochs: int | None = None) -> None:
        """Let a worker go on with a run that has none, up to other `epochs` than it has, and with `other_images` where
        its own are not there any more.

        Raises:
            UnknownRunError: the run is not ours to write. TrainingError: no worker can be started.
        """
        if epochs is not None:  # which the standby cannot be told
            self._children.append(start_worker(run, asked={"training.epochs": epochs}, other_images=other_images))
            return
        standby, self._standby = self._standby, None
        try:
            worker = standby.give(run, other_images) if standby is not None and standby.usable else None
        except OSError:
            worker = None  # it has just died: a cold worker does the same, later
        self._children.append(worker or start_worker(run, other_images=other_images))

    def reap(self) -> None:
        """Let child processes go that have ended."""
        self._children = [child for child in self._children if child.poll() is None]

    def close(self) -> None:
        """Let the standby go; runs go on."""
        if self._standby is not None:
            self._standby.dismiss()


class Session:
    """The open run, its feed, the workers and the explorer of one dashboard; `post` takes messages from threads."""

    def __init__(self, root: Path, post: Callable[[Message], object], asked: Path | None = None) -> None:
        self.root = root
        self.asked = asked
        """The run that is to open after the first paint; None for the one to come back to."""
        self.launcher = Launcher(root, post)
        self.explorer = Explorer(lambda told: post(ExplorerTold(told)))
        """Starts its process with the first question."""
        self.begun = False
        """Whether the run to come back to was looked for."""
        self.path: Path | None = None
        """Where the open run lies; None without one."""
        self.snapshot: Snapshot | None = None
        """The open run as it was last seen; None without one, and until a run that was just opened is read."""
        self.sample: Sample | None = None
        """The newest of the open run that was read."""
        self.findings: tuple[Finding, ...] = ()
        """What the curves and that sample say."""
        self.discarded = False
        """Whether the open run was removed here, because it failed before it trained anything."""
        self.at: int | None = None
        """The epoch of it that the screens look at; None follows the newest."""
        self.studies: dict[str, subprocess.Popen[bytes]] = {}
        """The processes of the studies that were started here, until somebody was told how they ended."""
        self.compared: tuple[Path, ...] = ()
        """The runs that were last laid beside each other."""
        self.compared_study = ""
        """The study whose runs these are, all of them; empty for any others."""
        self.left_sweep: tuple[RunConfig | None, Mapping[str, str]] = None, {}
        """The config around which a sweep was left unstarted, and what the fields of its dialog said."""
        self._post = post
        self._feed: Feed | None = None
        self._started: Path | None = None
        """The open run, if it was started here and nowhere else."""

    # The open run

    def begin(self) -> bool:
        """Open the run that was asked for, or else the one to come back to; returns whether there is one."""
        run = self.asked or self._newest()
        self.begun = True
        if run is not None:
            self.open(run)
        else:
            self._post(RunOpened())
        return run is not None

    def open(self, path: Path) -> None:
        """Follow a run, live or finished."""
        if self._feed is not None:
            self._feed.close()
        self.path = path
        self.snapshot = self.sample = self.at = None
        self.findings, self.discarded = (), False
        self._post(RunOpened())
        self._feed = Feed(follow_run(path), self._post, "feed")
        self._feed.hurry()

    def take(self, event: RunChanged) -> bool:
        """Remember what the feed saw; returns False if that is of a run that was open before."""
        if event.snapshot.path != self.path:
            return False
        self.snapshot, self.sample, self.findings = event.snapshot, event.sample, event.findings
        if self._feed is not None and self._started == self.path and event.snapshot.status.state == "failed":
            self._started = None
            self.discarded = discard_untrained(RunPaths(event.snapshot.path))
            if self.discarded:
                self._feed.close()  # what was seen of it stays on the screen, and with it the reason
        if not event.snapshot.status.live:
            # Only now, so that importing torch does not take its time from the training.
            self.launcher.warm_up()
        return True

    @property
    def opening(self) -> str:
        """What is said until the run that is to be shown is read; empty from then on, and where there is none."""
        if self.snapshot is not None or (self.begun and self.path is None):
            return ""
        path = self.path or self.asked
        return f"opening {called(RunPaths(path))}…" if path is not None else "looking for runs…"

    def need_open(self) -> None:
        """Raises NothingToDoError: which run is open, and how it stands, will be known in a moment."""
        if self.opening:
            raise NothingToDoError(f"{self.opening} press it again once that is done")

    def _newest(self) -> Path | None:
        """The run to come back to: a live one among the newest, else what was trained last."""
        runs = list_runs(self.root)
        return next(self._live(), None) or (last_run(runs).root if runs else None)

    def others_live(self) -> int:
        """How many of the newest runs train beside the open one."""
        return sum(path != self.path for path in self._live())

    def _live(self) -> Iterator[Path]:
        return (run.root for run in list_runs(self.root)[:RECENT] if read_status(run).live)

    # Acting on it

    def start(self, config: RunConfig, label: Label, preset: str) -> None:
        """Make a run, let a worker train it, and open it. Its tags are those of the label, and its name where that has
        one; `preset` is what its config began as.

        Raises:
            UnknownRunError: the runs directory cannot be written. TrainingError: no worker can be started.
        """
        run = create_run(config, self.root, sys.argv, label.tags or (), meta={PRESET: preset})
        with removed_unless_started(run):
            if label.name:
                relabel(run, name=label.name)
            self.launcher.begin(run)
        self.open(run.root)
        self._started = self.path

    def send(self, command: str, **arguments: Any) -> None:
        """Ask something of the open run's worker.

        Raises:
            NothingToDoError: no run is live here. UnknownRunError: its directory cannot be written.
        """
        self.need_open()
        snapshot = self.snapshot
        if snapshot is None or not snapshot.status.live or self._feed is None:
            what = "no run is open" if snapshot is None else f"this run is {snapshot.status.state}"
            raise NothingToDoError(f"{what}: 1 lists all, r on Live starts what its form says")
        if command == "save" and snapshot.tracked is not None:
            raise NothingToDoError(f"nothing to save here: {OWN_PROGRAM}")
        control.send(RunPaths(snapshot.path), command, **arguments)
        self._feed.hurry()

    def resume(self, path: Path | None = None, other_images: bool = False, epochs: int | None = None) -> None:
        """Go on with a run, the open one unless another is named, from its last checkpoint, and open it; one that has
        done its epochs, up to more `epochs`.

        Raises:
            UntrustedCodeError: its network is code that this user has not started.
            OtherImagesError: the images are others now, and not `other_images`. DataError: they cannot be read.
            NothingToDoError: it is live, finished, or there is none. UnknownRunError: it is gone, or not ours to write.
            ConfigError: its config is damaged. TrainingError: no worker can be started.
        """
        path = path or self.path
        if path is None:
            raise NothingToDoError("nothing to go on with: open a stopped run first")
        if path == self.path and self.discarded:
            raise NothingToDoError("it never trained, and nothing of it was kept: r starts what the form says")
        run = RunPaths(path)
        need_run(run)
        need_config(run)
        try:
            state = read_status(run).state
            if state in LIVE_STATES or is_held(run):
                raise NothingToDoError(f"{run.id} is on its way: nothing to go on with")
            if state == "finished" and epochs is None:
                more = f"f forks it with training.epochs=N, or: tuiae resume {run.id} --epochs N"
                raise NothingToDoError(f"it has done its epochs; for more {more}")
            check_code(run)
            if not other_images:
                check_same_images(run, f"tuiae resume {run.id}")
            self.launcher.work_on(run, other_images, epochs)
            forget_pruned(run)
        except OSError as error:
            raise unwritable(run, error, "resume") from error
        self.open(path)

    def edit(self, changes: Mapping[str, Any]) -> None:
        """Change the open run's training while it runs: editable keys with their new values.

        Raises:
            NothingToDoError: no run is live here. ConfigError: not to be changed so. UnknownRunError: not writable.
        """
        for key, value in changes.items():
            snapshot = self.snapshot
            if snapshot is not None and snapshot.current_config is not None:
                propose(snapshot.current_config, key, value, snapshot.status.epoch)
            self.send("set", key=key, value=value)

    def fork(self, source: RunPaths, checkpoint: str, config: RunConfig, other_images: bool = False) -> None:
        """Let a new run go on from a checkpoint of another one, and open it.

        Raises:
            UntrustedCodeError: its network is code that this user has not started.
            OtherImagesError: the images are others now, and not `other_images`.
            ConfigError, TrainingError, UnknownRunError: cause and next step.
        """
        check_code(source)
        if not other_images:
            check_same_images(source, f"tuiae fork {source.id}")
        run = make_fork(source, need_checkpoint(source, checkpoint), config, self.root, sys.argv)
        self.launcher.begin(run, other_images)
        self.open(run.root)

    def failed_studies(self) -> dict[str, str]:
        """The studies started here that have failed since the last call, each with what it said last."""
        from tuiae.reproduce.state import last_line  # the first paint need not wait for it

        ended = {study: process for study, process in self.studies.items() if process.poll() is not None}
        self.studies = {study: process for study, process in self.studies.items() if study not in ended}
        fine = (ExitCode.OK, ExitCode.STOPPED, ExitCode.INTERRUPTED, -signal.SIGTERM)
        return {
            study: last_line(self.root, study) for study, process in ended.items() if process.returncode not in fine
        }

    def compare(self, paths: Sequence[Path], study: str = "") -> None:
        """Choose which runs are compared, in this order, with those that a `study` is still to have."""
        self.compared, self.compared_study = tuple(paths), study

    def close(self) -> None:
        """Stop watching, and let the warm worker go; runs go on."""
        if self._feed is not None:
            self._feed.close()
        self.path = None
        self.explorer.close()
        self.launcher.close()


def pause_word(state: str) -> str:
    """The command that the key for pausing sends to a run in a state."""
    return "resume" if state == "paused" else "pause"
