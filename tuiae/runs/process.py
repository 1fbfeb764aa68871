"""Worker processes: starting them detached, keeping one warm, telling whether one still lives, and killing one."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tuiae.config import RunConfig
from tuiae.errors import ConfigError, RunHeldError, TrainingError, UnknownRunError, from_record
from tuiae.files import is_count, open_append, read_json, temporary_folder
from tuiae.images import OPTION
from tuiae.machine import LEAVING, STOPPING, count_cores, users_environment
from tuiae.runs.paths import RunPaths, is_tracked, unwritable

if TYPE_CHECKING:
    from tuiae.runs.snapshot import Status

MALLOC = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
WORKER = [sys.executable, "-m", "tuiae.training.worker"]
WITH_PARENT = "--with-parent"


def process_start(pid: int) -> str:
    """The start time of a process, which with the pid identifies it for good. Empty when there is no such process.

    On Linux clock ticks since boot (field 22 of /proc/PID/stat), which no setting of the clock changes; elsewhere
    seconds since the epoch.
    """
    created = _created(pid)
    if created is None:
        return ""
    import psutil

    if psutil.LINUX:
        return str(round((created - psutil.boot_time()) * os.sysconf("SC_CLK_TCK")))
    return f"{created:.2f}"


def _created(pid: int) -> float | None:
    """Seconds since the epoch at which a process began; None when there is no such process.

    A zombie has ended; only its parent has not looked yet.
    """
    import psutil  # here: most runs that are looked at have ended, and their readers need none

    try:
        if not psutil.pid_exists(pid):
            return None  # in a tenth of the time
        process = psutil.Process(pid)
        with process.oneshot():
            return None if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else process.create_time()
    except (psutil.Error, ValueError, OverflowError):
        return None


SET_SECONDS = 60.0  # by which a clock may be set: a pid is given again only after all the others were


def is_alive(pid: int, started: str, seen: float) -> bool:
    """Returns whether this very process, and not a later one with its pid, still runs on this host.

    `started` is what `process_start` said of it. Older versions recorded a date on macOS, in the words of the locale
    and the time zone; there the process must have begun before `seen`, a moment at which it certainly lived (seconds
    since the epoch).
    """
    if not started or pid <= 0:
        return False
    if ":" in started:
        created = _created(pid)
        return created is not None and created <= seen
    now = process_start(pid)
    try:
        return now == started or ("." in now and abs(float(now) - float(started)) < SET_SECONDS)
    except ValueError:
        return False


def terminate_worker(run: RunPaths) -> bool:
    """Send the worker that a run's status names the signal that makes it save and stop. Returns whether it was sent:
    only to a process of this host that began when the status says, and has the run's lock open."""
    import psutil

    record = read_json(run.status)
    pid, started = record.get("pid"), record.get("process_start")
    if is_tracked(run):
        return False  # a program of somebody's own would die of it, and save nothing
    if record.get("host") != socket.gethostname() or not is_count(pid) or not isinstance(started, str):
        return False
    try:
        opened = [file.path for file in psutil.Process(pid).open_files()] if is_alive(pid, started, 0.0) else []
        if os.path.realpath(run.lock) not in opened:
            return False
        os.kill(pid, signal.SIGTERM)
    except (psutil.Error, OSError, OverflowError):
        return False
    return True


ERROR = "error: "
"""How the last line of a run's log begins, in which a worker, or who killed it, says why it ended."""


def kill_worker(run: RunPaths, status: Status) -> None:
    """End the worker of a run at once, whatever it is busy with: the run is lost then, and what came after its last
    checkpoint with it.

    Raises:
        ConfigError: no worker of it lives. RunHeldError: it runs on another host. UnknownRunError: another user's.
    """
    import psutil

    if status.live and status.pid and status.host != socket.gethostname():
        raise RunHeldError(f"{run.id} trains on {status.host}", f"log in there: `tuiae stop --kill {run.id}`")
    try:
        worker = psutil.Process(status.pid)  # which sends nothing to a later process with that number
        if not (status.live and is_alive(status.pid, status.process_start, status.heartbeat)):
            raise psutil.NoSuchProcess(status.pid)
        worker.kill()
    except psutil.AccessDenied as error:
        raise UnknownRunError(f"{run.id} was started by another user", "kill it as that user") from error
    except (psutil.NoSuchProcess, ValueError, OverflowError) as error:
        raise ConfigError(f"{run.id} is {status.state}: it has no worker", "nothing is to be killed") from error


def worker_environment(workers: int = 1) -> dict[str, str]:
    """The environment of a worker: what libgomp and glibc read when a process starts; what the user has set stands.

    `workers` that train side by side share the cores: each takes as many threads as fall to it.

    PyTorch's threads spin for milliseconds when they wait for each other, on a core that somebody else could use.
    Seconds an epoch of dense_64 on two cores, alone and beside one busy process: by default 0.37 and 1.20 (up to 15
    beside several), with 1000 spins 0.37 and 0.74, with OMP_WAIT_POLICY=PASSIVE 0.49 and 0.59.

    glibc gives large tensors back to the kernel and takes them again at every step, page by page. With larger pages and
    thresholds, seconds an epoch: dense_64 on MNIST 0.30 instead of 0.35, conv_256 on 15,000 images 2.1 instead of 3.1,
    in the same 1.1 GB.

    What a worker prints is read as UTF-8, whatever the terminal speaks.
    """
    calm = {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "1000"}
    share = {"OMP_NUM_THREADS": str(max(1, count_cores() // workers))} if workers > 1 else {}
    return {**calm, **share, **MALLOC, **os.environ, "PYTHONIOENCODING": "utf-8"}


def start_worker(
    run: RunPaths,
    workers: int = 1,
    asked: Mapping[str, Any] | None = None,
    other_images: bool = False,
    with_parent: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a worker, one of `workers`, in a session of its own, so that neither Ctrl-C nor a hang-up reaches it; one
    `with_parent` saves and ends when this process has gone.

    `asked` may hold training.epochs, training.device and training.devices, other than the run's, which is noted there.
    With `other_images` it trains on with images that are not those of the run.
    Raises UnknownRunError for a run that is not ours to write, and TrainingError where no process can be started.
    """
    words = worker_words(run, asked, other_images) + ([WITH_PARENT] if with_parent else [])
    try:
        with open_append(run.log) as log, _signals_held_back():
            return subprocess.Popen(
                [*WORKER, *words],
                stdin=subprocess.PIPE if with_parent else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=worker_environment(workers),
            )
    except OSError as error:
        raise (unwritable(run, error, "resume") if error.filename == str(run.log) else no_worker(error)) from error


def worker_words(run: RunPaths, asked: Mapping[str, Any] | None = None, other_images: bool = False) -> list[str]:
    """The arguments of a worker, as `start_worker` takes them."""
    options = [word for key, value in (asked or {}).items() for word in (f"--{key.rpartition('.')[2]}", str(value))]
    return [str(run.root), *options, *([OPTION] if other_images else [])]


def become_worker(words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Make this process a worker with such arguments, from its first line."""
    numbers = {*STOPPING, *LEAVING}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # until the worker listens
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
    os.execve(WORKER[0], [*WORKER, *words], environment)


def no_worker(error: OSError) -> TrainingError:
    """The error for a process that cannot be started: there are too many, or the program is gone."""
    file = f": {error.filename}" if error.filename else ""
    hint = "is it there, and yours?" if file else "close other programs or runs, and try again"
    return TrainingError(f"no worker can be started: {error.strerror or error}{file}", hint)


class StandbyWorker:
    """A worker that imports torch ahead of time and waits for a run directory on its stdin; as a context it ends with
    the block.

    It says what it is on stdout, one JSON line: `{"devices": ["cpu", "cuda:0 NVIDIA ..."], ...}`. When its parent
    goes away before a run was given, its stdin closes and it ends.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[Any] = subprocess.Popen(
            [*WORKER, "--standby"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=worker_environment(),
            encoding="utf-8",
        )
        self._hello: dict[str, Any] | None = None
        self._reading = threading.Lock()
        self._given_away = False

    def __enter__(self) -> StandbyWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss()
        self.process.wait()

    def hello(self) -> dict[str, Any]:
        """Wait until the worker is warm (blocks: call it from a thread); empty when it died first."""
        with self._reading:
            if self._hello is None:
                self._hello = self._read()
            return self._hello

    def _read(self) -> dict[str, Any]:
        """The next line from the worker; empty when there is no more."""
        assert self.process.stdout is not None
        try:
            return dict(json.loads(self.process.stdout.readline()))
        except ValueError:
            return {}

    def dry_run(self, config: RunConfig, root: Path, profiled: bool = False) -> dict[str, Any]:
        """The cost of a run of this config (blocks: call it from a thread); empty when the worker was given a run, or
        let go, before it could say. A run that it is given afterwards is what it would have been.

        Raises TuiaeError as the run would, and TrainingError also when the batch took the worker with it.
        """
        self.hello()
        with self._reading:
            try:
                self._write({"dry_run": config.model_dump(mode="json"), "root": str(root), "profiled": profiled})
                answer = self._read()
            except (OSError, ValueError):
                answer = {}  # its stdin is closed: it was given away, or died
        if "error" in answer:
            raise from_record(answer["error"])
        if not answer and not self._given_away:
            code = self.process.wait()
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            hint = f"it may have been out of memory: lower training.batch_size (now {config.training.batch_size})"
            if config.model.is_custom and code >= 0:
                file = config.model.code.partition(":")[0]
                hint = f"the code of its network may have ended it: look for exit in {file}"
            raise TrainingError(f"the process of the dry batch died ({how})", hint)
        return dict(answer.get("dry_run", {}))

    def _write(self, request: dict[str, Any]) -> None:
        print(json.dumps(request), file=self.process.stdin, flush=True)

    @property
    def usable(self) -> bool:
        return self.process.poll() is None

    def give(self, run: RunPaths, other_images: bool = False) -> subprocess.Popen[Any]:
        """Hand over a run, of which the process is an ordinary worker from here on; raises OSError if it has died."""
        self._given_away = True
        self._write({"run": str(run.root), "other_images": other_images})
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process

    def dismiss(self) -> None:
        """Let the standby go; it ends when its stdin closes."""
        self._given_away = True
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.terminate()


TORCHRUN = "env://"  # where the processes meet that torchrun has started: as their environment says


class RankProcesses:
    """The processes that share each batch of a run with this one, its rank 0, which starts them; they end with it. They
    find each other by a file, and speak over the loopback interface alone."""

    def __init__(self, size: int) -> None:
        """`size` in all. Raises TrainingError where one cannot be started."""
        self.size = size
        self.cards: list[str] = []
        """Of rank 0 and the others, by the names that `training.device` has for them; none on a CPU."""
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(temporary_folder("tuiae-ranks-"))
        self.join = f"file://{self._folder}/store"
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        for rank in range(1, size):
            words = [*WORKER, "--join", self.join, "--rank", str(rank), "--devices", str(size)]
            try:  # Their stdin closes when this process ends, whatever ends it.
                self._processes[rank] = subprocess.Popen(words, stdin=subprocess.PIPE, env=users_environment())
            except OSError as error:
                self.close()
                raise no_worker(error) from error

    def wait(self, interrupted: Callable[[], bool]) -> bool:
        """Until all are about to join; False where `interrupted` before. Raises TrainingError for one that ended."""
        while not all((self._folder / f"rank-{rank}").exists() for rank in self._processes):
            if interrupted():
                return False
            if ended := self.describe_end(0.0):
                raise TrainingError(ended)
            time.sleep(0.01)
        return True

    def describe_end(self, patience: float = 1.0) -> str:
        """Which process has ended and how, as a sentence; empty where all live on, so many seconds from now."""
        deadline = time.monotonic() + patience
        while True:
            for rank, process in self._processes.items():
                if (code := process.poll()) is not None:
                    how = f"signal {-code}" if code < 0 else f"exit code {code}"
                    return f"rank {rank} of {self.size} has ended ({how})"
            if time.monotonic() >= deadline:
                return ""
            time.sleep(0.01)

    def close(self) -> None:
        """End those that are left: they hold nothing that is not here as well."""
        for process in self._processes.values():
            process.kill()
            process.communicate()
        self._stack.close()


LOOK_SECONDS = 2.0  # for those who look at a lock to be done with it; a look takes microseconds


class RunLock:
    """The run's flock: held by the one worker that may write there, gone with its process, never stale."""

    def __init__(self, run: RunPaths) -> None:
        self._path = run.lock
        self._descriptor = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def acquire(self) -> bool:
        """Take the lock if it is free; False when another process holds it.

        Who only looks shares the lock for a moment: that moment is waited for.
        """
        deadline = time.monotonic() + LOOK_SECONDS
        while not self._lock(fcntl.LOCK_EX):
            if self.held_elsewhere() or time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        if self._is_replaced():
            # What was locked was deleted: whoever comes next would lock another file.
            os.close(self._descriptor)
            self._descriptor = self._open()
            return self.acquire()
        return True

    def _is_replaced(self) -> bool:
        try:
            return not os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except FileNotFoundError:
            return True

    def held_elsewhere(self) -> bool:
        """Returns whether another process holds the lock and this one does not. Many readers may ask at once."""
        if not self._lock(fcntl.LOCK_SH):
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give the lock back, if this process has it."""
        os.close(self._descriptor)


def is_held(run: RunPaths) -> bool:
    """Returns whether some process holds the run's lock now; raises OSError where we may not open the lock."""
    with closing(RunLock(run)) as lock:
        return lock.held_elsewhere()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold signals to end back from a process that is started inside, by this thread, until it listens to them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*STOPPING, *LEAVING))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
