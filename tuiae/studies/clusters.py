"""The workers of a study on other machines: on the nodes of a Ray cluster, or in jobs of SLURM.

Ray and submitit are extras, imported when they are asked for. A node gets the path of a run directory, and starts an
ordinary worker on it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuiae import __version__
from tuiae.data.registry import find_own, identify
from tuiae.errors import ConfigError, DataError, ExitCode, TuiaeError, UnknownRunError
from tuiae.files import make_directory, read_json, replace_json, writable_advice
from tuiae.images import ImageRecord, is_own
from tuiae.runs.paths import REPORTS, RunPaths, is_run
from tuiae.runs.process import is_held, start_worker, terminate_worker
from tuiae.runs.reader import START_SECONDS, read_status
from tuiae.studies.places import Ended, Resources, Worker, need


@dataclass(frozen=True)
class Training:
    """A training as it is sent to a node. Called there, it sees a worker through to its end; what ends it, be it a
    signal or the end of this very process, makes the worker save and stop. (Ray kills what a task has started when it
    ends the task's process: then the last checkpoint counts.)"""

    run: Path
    cpus: int
    data: str
    """TUIAE_DATA_DIR where the study was started; empty leaves each node its own."""

    def __call__(self) -> Ended:
        node, run = socket.gethostname(), RunPaths(self.run)
        if not is_run(run.root):
            return Ended(ExitCode.USAGE, node, f"{node} does not see {run.root}: is it on a disk that all nodes share?")
        if read_status(run).state == "finished":
            return Ended(ExitCode.OK, node)  # by an earlier study, while this job waited in the queue
        os.environ |= {"OMP_NUM_THREADS": str(self.cpus), **_data_environment(self.data)}
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        worker = start_worker(run, with_parent=True)
        try:
            while worker.poll() is None:
                time.sleep(0.1)
        except KeyboardInterrupt:
            worker.terminate()
            worker.wait()
            return Ended(None, node, "its node was taken away")
        finally:
            signal.signal(signal.SIGTERM, before)
            if worker.stdin is not None:
                worker.stdin.close()  # after a requeue that ends this call, the worker saves and stops
        return Ended(worker.wait(), node)

    def checkpoint(self) -> Any:
        """What submitit puts back into the queue, once the worker has saved, when SLURM warns that time is up."""
        import submitit

        terminate_worker(RunPaths(self.run))
        while is_held(RunPaths(self.run)):
            time.sleep(0.1)
        return submitit.helpers.DelayedSubmission(self)


QUEUED = "waiting for a node"


class _Sent:
    """A worker that was sent to another machine."""

    def __init__(self, training: Training) -> None:
        self.training, self.run = training, RunPaths(training.run)
        self.is_stopped = False
        self._shown = 0.0

    def is_under_way(self) -> bool:
        """Returns whether somebody trains the run, by its own signs of life."""
        status = read_status(self.run)
        return status.live and bool(status.pid)

    def show_queued(self) -> None:
        """Let a run that nobody has begun yet not look lost while it waits for its turn."""
        if time.monotonic() - self._shown < START_SECONDS / 3:
            return
        self._shown, record = time.monotonic(), read_json(self.run.status)
        if record.get("state") == "starting" and not record.get("pid"):
            with suppress(OSError):
                replace_json(self.run.status, {**record, "phase": QUEUED, "heartbeat": time.time()})


# SLURM, through submitit: what starts together is one job array.

MOST_QUEUED = 1000  # SLURM's MaxArraySize is 1001 unless somebody changed it
RESULT_SECONDS = 15.0  # until a shared disk shows what a job left behind


class Slurm:
    """Jobs of SLURM, one a training. `cluster` is submitit's name of what runs them: "local" is this machine."""

    most = MOST_QUEUED

    def __init__(self, root: Path, name: str, resources: Resources, most: int = 0, cluster: str = "slurm") -> None:
        submitit = need("submitit", "slurm", "--on slurm")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise ConfigError("SLURM is not here: there is no sbatch", "give the command where jobs are submitted")
        if resources.num_gpus % 1:
            raise ConfigError(f"num_gpus = {resources.num_gpus}: SLURM gives whole cards", "--on ray shares them")
        self._cluster, self._cpus = cluster, resources.num_cpus
        self._excluded = str(resources.slurm.get("exclude", ""))
        self._waiting: list[tuple[_SlurmJob, frozenset[str]]] = []
        asked = {
            "name": name[:40],
            "timeout_min": resources.minutes,
            "cpus_per_task": resources.num_cpus,
            "gpus_per_node": int(resources.num_gpus) or None,
            "mem_gb": resources.memory_gb or None,
        }
        more = {"signal_delay_s": 120, "array_parallelism": most or MOST_QUEUED, **resources.slurm}
        try:
            self._executor = submitit.AutoExecutor(root / REPORTS / "slurm", cluster=cluster)
            self._executor.update_parameters(**asked, **{f"slurm_{key}": value for key, value in more.items()})
        except (NameError, AssertionError, ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(f"[resources] for SLURM: {first_line(error)}") from error

    def start(self, run: RunPaths, avoided: Collection[str] = ()) -> Worker:
        job = _SlurmJob(_training(run, self._cpus))
        self._waiting.append((job, frozenset(filter(None, avoided))))
        return job

    def has_others(self, nodes: Collection[str]) -> bool:
        return self._cluster == "slurm" and len(nodes) < 2

    def submit(self) -> None:
        waiting, self._waiting = self._waiting, []
        for avoided in dict.fromkeys(nodes for _, nodes in waiting):
            self._executor.parameters.pop("exclude", None)
            if excluded := ",".join(filter(None, (self._excluded, *sorted(avoided)))):
                self._executor.update_parameters(slurm_exclude=excluded)
            jobs = [job for job, nodes in waiting if nodes == avoided]
            try:
                with self._executor.batch():
                    for job in jobs:
                        job.job = self._executor.submit(job.training)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                cause = f"SLURM takes no jobs: {first_line(error)}"
                raise ConfigError(cause, "[resources] is what they ask for") from error


class _SlurmJob(_Sent):
    """A job of SLURM."""

    job: Any = None
    """submitit's; None until it is submitted."""
    _done = 0.0

    def poll(self) -> Ended | None:
        if self.job is not None and not self.job.done():
            self.show_queued()
            return None
        if self.job is None or not self.job.paths.result_pickle.exists():
            # submitit would wait here, for each job; one that was cancelled before it began leaves nothing.
            self._done = self._done or time.monotonic()
            waits = self.is_under_way() if self.is_stopped else time.monotonic() - self._done < RESULT_SECONDS
            return None if waits else Ended(None, "", f"its job {self._name} ended without a result{self._state}")
        error = self.job.exception()
        if error is None:
            ended: Ended = self.job.result()
            return ended
        return Ended(None, "", f"its job {self._name} failed: {str(error).strip().splitlines()[-1]}")

    def terminate(self) -> None:
        self.is_stopped = True
        if self.job is not None:
            self.job.cancel(check=False)

    @property
    def _name(self) -> str:
        return "" if self.job is None else str(self.job.job_id)

    @property
    def _state(self) -> str:
        return "" if self.job is None else f" ({self.job.state.lower()}); see {self.job.paths.stderr}"


def _training(run: RunPaths, cpus: int) -> Training:
    return Training(run.root.absolute(), cpus, _data_dir())


def _data_dir() -> str:
    """Where somebody wants the images to be; empty where each machine has its own place for them."""
    return os.environ.get("TUIAE_DATA_DIR", "")


def _data_environment(data: str) -> dict[str, str]:
    return {"TUIAE_DATA_DIR": data} if data else {}


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


# Ray: a task a training, wherever the cluster has what it takes.

LOOK_SECONDS = 2.0  # between two looks at which nodes there are
CHECK_SECONDS = 120.0  # for all nodes to say what they see: a first process of Ray there takes seconds
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class _Seen:
    """What a node says of itself."""

    host: str
    version: str
    has_folder: bool
    lacks: tuple[str, ...]


def look(token: str, words: str, data: str, sets: Sequence[tuple[str, int, ImageRecord | None]]) -> _Seen:
    """What the node on which this is called sees: the file that the study has just written, and its images."""
    os.environ |= _data_environment(data)
    try:
        has_folder = Path(token).read_text() == words
    except OSError:
        has_folder = False
    lacks = [dataset for dataset, size, record in sets if not _has_images(dataset, size, record)]
    return _Seen(socket.gethostname(), __version__, has_folder, tuple(lacks))


def _has_images(dataset: str, size: int, record: ImageRecord | None) -> bool:
    try:
        if is_own(dataset):
            find_own(dataset)
        found = identify(dataset, size)
    except TuiaeError:
        return False
    if found is None:
        return is_own(dataset)  # its pictures are there, to be prepared
    return record is None or found.is_same(record)


def carry_out(training: Training) -> Ended:
    """A training on a node of Ray, which tells its nodes apart by their ids: several may have one name."""
    import ray

    return replace(training(), node=ray.get_runtime_context().get_node_id())


class Ray:
    """The nodes of a Ray cluster on which a training has room."""

    def __init__(self, address: str, resources: Resources) -> None:
        """Connect to the cluster; raises ConfigError."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray = need("ray", "ray", "--on ray")
        self._resources = resources
        self._wanted = {
            "CPU": resources.num_cpus,
            "GPU": resources.num_gpus,
            "memory": int(resources.memory_gb * 1e9),
        }
        _connect(self._ray, address)
        self._looked, self._most = 0.0, 0
        self._nodes, self._fit = list[Mapping[str, Any]](), list[Mapping[str, Any]]()
        if not self._fitting():
            self.close()
            words = ", ".join(f"{key} {value:g}" for key, value in self._wanted.items() if value)
            raise ConfigError(f"no node of the Ray cluster has {words}", "ask for less in [resources]")
        self._options = {"num_cpus": resources.num_cpus, "num_gpus": resources.num_gpus, "max_retries": 0}
        if resources.memory_gb:
            self._options["memory"] = self._wanted["memory"]
        self._task = self._ray.remote(carry_out)

    def close(self) -> None:
        """Leave the cluster; what runs there saves and stops."""
        self._ray.shutdown()

    def check_nodes(self, root: Path, sets: Iterable[tuple[str, int]]) -> None:
        """Check what every node sees of the folder of runs and of `sets` of images, each with its size.

        Raises:
            UnknownRunError: a node that does not see the folder. DataError: one without the images, or with others.
            ConfigError: one with another version of tuiae, or none.
        """
        token, words = root / f".shared-{secrets.token_hex(8)}.tmp", secrets.token_hex(8)
        try:
            make_directory(root)
            token.write_text(words)
            seen = self._ask_nodes(str(token.absolute()), words, [(*one, identify(*one)) for one in sets])
        except OSError as error:
            cause = f"cannot write to {root}: {error.strerror or error}"
            raise UnknownRunError(cause, writable_advice(error, "TUIAE_RUNS_DIR")) from error
        finally:
            token.unlink(missing_ok=True)
        if others := {one.version for one in seen.values()} - {__version__}:
            which = _listed(name for name, one in seen.items() if one.version in others)
            cause = f"{which}: tuiae {', '.join(sorted(others))} there, and {__version__} here"
            raise ConfigError(cause, "install one version on all nodes")
        if blind := _listed(name for name, one in seen.items() if not one.has_folder):
            hint = "put them on a disk that all nodes share: export TUIAE_RUNS_DIR=/path/on/shared/disk"
            raise UnknownRunError(f"{blind}: the runs in {root} are not to be seen there", hint)
        for dataset in dict.fromkeys(lack for one in seen.values() for lack in one.lacks):
            which = _listed(name for name, one in seen.items() if dataset in one.lacks)
            hint = "prepare it there, or on a disk that all nodes share: export TUIAE_DATA_DIR=/path/on/shared/disk"
            raise DataError(f"{which}: {dataset} is not there, or has other images", hint)

    def _ask_nodes(self, token: str, words: str, sets: list[Any]) -> dict[str, _Seen]:
        """What each node on which a training may run says, by the node's name."""
        asked, ray = {}, self._ray
        for node in self._fitting():
            here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(look).options(num_cpus=0, max_retries=0, scheduling_strategy=here)
            asked[self._name(node)] = task.remote(token, words, _data_dir(), sets)
        found, deadline = {}, time.monotonic() + CHECK_SECONDS
        for name, answer in asked.items():
            try:
                found[name] = ray.get(answer, timeout=max(0.0, deadline - time.monotonic()))
            except ray.exceptions.GetTimeoutError as error:
                raise ConfigError(f"{name} does not answer", "`ray status` shows the cluster") from error
            except (ray.exceptions.RayError, ImportError) as error:
                hint = "install tuiae there as it is here, for the Python that Ray runs on"
                raise ConfigError(f"{name} cannot run tuiae: {str(error).strip().splitlines()[-1]}", hint) from error
        return found

    @property
    def most(self) -> int:
        self._fitting()
        return self._most

    def start(self, run: RunPaths, avoided: Collection[str] = ()) -> Worker:
        affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        others = [node for node in self._fitting() if avoided and self._name(node) not in avoided]
        wish = {"scheduling_strategy": affinity(others[0]["NodeID"], soft=True)} if others else {}
        training = _training(run, self._resources.num_cpus)
        return _RayTask(
            self._ray, self._task.options(**self._options, **wish).remote(training), training, self._name_of
        )

    def has_others(self, nodes: Collection[str]) -> bool:
        return any(self._name(node) not in nodes for node in self._fitting())

    def submit(self) -> None:
        """Tasks have been sent already."""

    def _fitting(self) -> list[Mapping[str, Any]]:
        """The nodes that have what a training takes, whether or not it is free at this moment."""
        if not self._nodes or time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked, self._nodes = time.monotonic(), self._ray.nodes()
            self._fit = [node for node in self._nodes if node["Alive"] and self._room(node)]
            self._most = sum(map(self._room, self._fit))
        return self._fit

    def _room(self, node: Mapping[str, Any]) -> int:
        return int(min(node["Resources"].get(key, 0) / value for key, value in self._wanted.items() if value) + 1e-9)

    def _name(self, node: Mapping[str, Any]) -> str:
        """What people call a node, with a part of its id where several have one name."""
        host = node["NodeManagerHostname"]
        shared = Counter(other["NodeManagerHostname"] for other in self._nodes)[host] > 1
        return f"{host}/{node['NodeID'][:8]}" if shared else host

    def _name_of(self, node_id: str) -> str:
        return next((self._name(node) for node in self._nodes if node["NodeID"] == node_id), node_id[:8])


def _connect(ray: Any, address: str) -> None:
    if address.startswith("ray://"):
        raise ConfigError(f"--address {address}: tuiae speaks to the cluster itself", "HOST:6379, on one of its nodes")
    try:
        where = _last_cluster() if address == "auto" else address
        host, _, port = where.rpartition(":")
        if port.isdigit():  # Ray would try for a minute
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        elif where != "auto":
            raise ConfigError(f"--address {address}: auto, or HOST:PORT, such as 10.0.0.1:6379")
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, OSError, ValueError) as error:
        hint = "`ray start --head` begins one, --address HOST:6379 names another; `ray status` shows it"
        named = "here" if address == "auto" else f"at {address}"
        raise ConfigError(f"no Ray cluster answers {named}", hint) from error
    except RuntimeError as error:
        found = re.findall(r"(Ray|Python): (\S+)", str(error))
        if [name for name, _ in found] != ["Ray", "Python"] * 2:
            raise ConfigError(f"the Ray cluster cannot be used: {' '.join(str(error).split())}") from error
        there, here = (" and ".join(map(" ".join, pair)) for pair in (found[:2], found[2:]))
        hint = f"have the same versions here: pip install 'ray=={found[0][1]}'"
        raise ConfigError(f"the Ray cluster has {there}, and this is {here}", hint) from error


def _last_cluster() -> str:
    """Which cluster Ray takes `auto` for: perhaps one that is gone, as the file that names it stays where its head was
    killed. Raises ConnectionError where there is none."""
    try:
        from ray._private.services import get_ray_address_from_environment

        return str(get_ray_address_from_environment("auto", None))
    except (ImportError, TypeError):
        return "auto"  # of a version that has it elsewhere


class _RayTask(_Sent):
    """A task of Ray."""

    def __init__(self, ray: Any, task: Any, training: Training, name_of: Callable[[str], str]) -> None:
        super().__init__(training)
        self._ray, self._task, self._name_of = ray, task, name_of

    def poll(self) -> Ended | None:
        ray, kinds = self._ray, self._ray.exceptions
        if not ray.wait([self._task], timeout=0)[0]:
            self.show_queued()
            return None
        if self.is_stopped and self.is_under_way():
            return None  # it saves
        try:
            ended: Ended = ray.get(self._task)
        except kinds.TaskCancelledError:
            return Ended(None, "", "it was told to end")
        except kinds.OutOfMemoryError:
            return Ended(None, "", "Ray took it away: its node was out of memory")
        except (kinds.NodeDiedError, kinds.WorkerCrashedError, kinds.LocalRayletDiedError):
            return Ended(None, "", "its node is gone")
        except kinds.RayError as error:
            return Ended(None, "", str(error).strip().splitlines()[-1])
        return replace(ended, node=self._name_of(ended.node))

    def terminate(self) -> None:
        self.is_stopped = True
        self._ray.cancel(self._task)


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
