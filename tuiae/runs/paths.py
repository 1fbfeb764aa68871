"""Paths inside a run directory, ids of runs, and the directory that holds all runs."""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self, overload

from tuiae.errors import UnknownRunError

SCHEMA = 1
LIVE_STATES = ("starting", "running", "paused")
RESUMABLE = ("paused", "stopped", "failed", "lost")
"""The states of a run that `tuiae resume` goes on with as it is."""
GONE = "gone"
"""What a reader says of a run whose directory was deleted or moved while it was open."""
CONFIG_DIGEST = "config_sha256"
"""In meta.json, the fingerprint of the config.toml that the run began with."""
CHANGED = ".changed"
"""A file in the runs directory: its time tells lists that a run at rest has another label, or is gone on with."""
REPORTS = "reports"
"""A folder of the runs directory, for what came out of published works; it is no run, so lists pass it over."""
_OF_RUNS = ("config.toml", "tracked.json", "meta.json", "status.json", "events.jsonl")
"""Files of which a run has two at least."""
_STAMP = re.compile(r"^\d{8}-\d{6}-")


class _Entry:
    """Something in a run directory, by its name there."""

    def __init__(self, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, run: None, owner: object) -> Self: ...
    @overload
    def __get__(self, run: RunPaths, owner: object) -> Path: ...
    def __get__(self, run: RunPaths | None, owner: object) -> Path | Self:
        return self if run is None else run.root / self._name

    def of(self, run: RunPaths) -> str:
        """Its path as a text: a Path takes ten times as long to make, which a list of 10,000 runs does 40,000 times."""
        return f"{run.root}/{self._name}"


@dataclass(frozen=True)
class RunPaths:
    """The paths of one run."""

    root: Path
    config = _Entry("config.toml")
    config_copy = _Entry(".config.toml")
    tracked = _Entry("tracked.json")
    meta = _Entry("meta.json")
    label = _Entry("label.json")
    images = _Entry("data.json")
    events = _Entry("events.jsonl")
    status = _Entry("status.json")
    samples = _Entry("samples")
    weights = _Entry("weights")
    control = _Entry("control")
    code = _Entry("code")
    log = _Entry("worker.log")
    lock = _Entry("lock")

    @property
    def id(self) -> str:
        return self.root.name

    def sample(self, epoch: int) -> Path:
        return self.samples / f"{epoch:06d}.npz"

    @property
    def layers(self) -> Path:
        """The layers of a custom network, as images went through it."""
        return self.code / "layers.json"

    @property
    def step_sample(self) -> Path:
        """The pictures after the last of the single steps that were taken within an epoch."""
        return self.samples / "step.npz"


def runs_dir() -> Path:
    """TUIAE_RUNS_DIR, else `checkpoints/` of the checkout this package runs from, else the user's data directory.

    It does not depend on the working directory, so a run started anywhere is found everywhere.
    """
    override = os.environ.get("TUIAE_RUNS_DIR")
    if override:
        return Path(override).expanduser().absolute()
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "checkpoints").is_dir():
        return checkout / "checkpoints"
    import platformdirs

    return Path(platformdirs.user_data_dir("tuiae")) / "runs"


def new_run_id(name: str, now: float | None = None) -> str:
    """`20261120-224105-conv_256-a3f9`: sorts by time, names itself, does not collide."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"{stamp}-{name}-{secrets.token_hex(2)}"


def undated(run_id: str) -> str:
    """The id without its date and time: people remember `conv_256`, not the second it started."""
    return _STAMP.sub("", run_id)


def is_run(path: Path) -> bool:
    """Returns whether a directory is a run, and not something foreign among the runs: any file of it can be lost."""
    # os.path and not pathlib: a directory that may not be entered is no run, and no error.
    there = (True for name in _OF_RUNS if os.path.lexists(f"{path}/{name}"))
    return len(list(islice(there, 2))) == 2


def is_gone(run: RunPaths) -> bool:
    """Returns whether the directory of a run was deleted or moved; False where the disk does not answer."""
    for path in (run.config, run.tracked):  # one of them is written once, before the run appears, and never replaced
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            pass
        return False
    return True


def is_tracked(run: RunPaths) -> bool:
    """Returns whether a program of somebody's own writes this run, and no worker of ours."""
    return os.path.lexists(run.tracked) and not os.path.lexists(run.config)


OWN_PROGRAM = "its weights are its own program's"
"""Why nothing that needs weights can be done with a tracked run."""


def need_run(run: RunPaths) -> None:
    """Raises UnknownRunError for a run that is no longer there."""
    if is_gone(run):
        raise gone(run)


def gone(run: RunPaths) -> UnknownRunError:
    """The error for a run that was deleted or moved."""
    return UnknownRunError(f"{run.id} is gone", "its directory was deleted or moved: open another run")


def find_obstacle(run: RunPaths) -> str:
    """The reason why a run directory cannot be written at this moment, such as `No space left on device`; empty where
    it can. The file that tries it is removed again."""
    probe = run.root / f".probe.{os.getpid()}.tmp"
    try:
        probe.write_bytes(bytes(1 << 16))
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return ""


def unwritable(run: RunPaths, error: OSError, act: str) -> UnknownRunError:
    """The error for a run directory that cannot be written; `act` is the command that failed, such as `resume`."""
    hint = "is it still there, and is there space on its disk?"
    if isinstance(error, PermissionError):
        hint = f"{act} it as the user who started it"
    return UnknownRunError(f"cannot write to {run.root}: {error.strerror or error}", hint)


def check_runs_dir(root: Path) -> None:
    """Raises UnknownRunError for a directory that can hold no runs; one that does not exist yet is fine."""
    try:
        os.scandir(root).close()
    except FileNotFoundError:
        return
    except OSError as error:
        hint = "point TUIAE_RUNS_DIR at a directory of your own"
        raise UnknownRunError(f"no runs can be in {root}: {error.strerror or error}", hint) from error


def tell_lists(run: RunPaths) -> None:
    """Let those who list thousands of runs look at each at once, and not in turns."""
    with suppress(OSError):  # in a folder of somebody else's they come to it all the same
        (run.root.parent / CHANGED).touch()


def list_names(root: Path) -> list[str]:
    """The names in a runs directory, newest run first, without those with a leading dot: runs that are being made, or
    deleted."""
    try:
        return sorted((name for name in os.listdir(root) if not name.startswith(".")), reverse=True)
    except OSError:
        return []


def list_runs(root: Path) -> list[RunPaths]:
    """Every run below `root`, newest first; foreign files and directories are passed over."""
    return [RunPaths(path) for path in map(root.joinpath, list_names(root)) if is_run(path)]


def changed_since(root: Path, moment: float) -> list[RunPaths]:
    """The runs below `root` in which a file was replaced since a moment, as a live worker does each second: of 10,000
    at rest no file is read."""
    names = (f"{root}/{name}" for name in list_names(root))
    return [run for run in map(RunPaths, map(Path, names)) if _changed(run.root) > moment and is_run(run.root)]


def _changed(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
