"""Cores, memory and NVIDIA cards of this machine, cheap enough to read every two seconds; lasting imports;
and signals and the end of a parent, by which a process is told to end."""

from __future__ import annotations

import atexit
import gc
import os
import platform
import select
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from tuiae.errors import ConfigError

MEGA = 1e6


@dataclass(frozen=True)
class Owner:
    """A process that holds memory of a card. Fields that the system does not tell are empty or None."""

    pid: int
    user: str
    command: str
    megabytes: float | None


@dataclass(frozen=True)
class Gpu:
    """One card; fields that it does not tell are None."""

    index: int
    """The number that nvidia-smi gives it."""
    cuda: str
    """What `training.device` calls it; empty when CUDA does not show it, or may count in another order."""
    name: str
    used: float
    """MB (10^6 bytes), of all processes."""
    total: float
    utilisation: float | None = None
    """Share of the last moment in which it worked, 0 to 1."""
    temperature: float | None = None
    """Degrees Celsius."""
    power: float | None = None
    """Watts."""
    owners: tuple[Owner, ...] = ()
    """The largest first."""
    uuid: str = ""
    """What the driver calls it, which no other card shares; of a part of a card (MIG) that of the part."""
    capability: int | None = None
    """What it computes, 90 for `sm_90`."""
    taken: bool = False
    """Whether another process has it and shares it with nobody (compute mode)."""

    @property
    def free(self) -> float:
        return self.total - self.used

    @property
    def label(self) -> str:
        """What people call it here."""
        return self.cuda or f"gpu {self.index}"


def freest(gpus: Sequence[Gpu], runs: Mapping[str, int] | None = None) -> Gpu | None:
    """The card with the most free memory among those that a run can use, shared out among `runs`: how many of them a
    card has by its UUID, beside the one that looks; among equals, the least busy one."""

    def share(gpu: Gpu) -> float:
        return gpu.free / (1 + (runs or {}).get(gpu.uuid, 0))

    usable = [gpu for gpu in gpus if gpu.cuda]
    return max(usable, key=lambda gpu: (share(gpu), -(gpu.utilisation or 0.0), -gpu.index), default=None)


def freest_together(gpus: Sequence[Gpu], count: int, runs: Mapping[str, int] | None = None) -> list[Gpu]:
    """The `count` cards that `freest` chooses one after the other, or as many as a run can use."""
    chosen: list[Gpu] = []
    while len(chosen) < count and (best := freest([gpu for gpu in gpus if gpu not in chosen], runs)) is not None:
        chosen.append(best)
    return chosen


VISIBLE, ORDER, PCI = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
CARD, SEEN = "TUIAE_CARD", "TUIAE_SEEN_CARDS"
"""What the one card is called that a process lets CUDA see, `cuda:2`, and what the user had let it see."""
EVERY = "all"


def see_only(uuid: str = "", name: str = "") -> None:
    """Let CUDA, which has not begun in this process, see one card alone, or none. On every card that it sees it may
    take half a gigabyte, and it fails where one of them is lost."""
    os.environ.setdefault(SEEN, os.environ.get(VISIBLE, EVERY))
    os.environ[VISIBLE], os.environ[CARD] = uuid, name


def see_again() -> None:
    """Take back what `see_only` has changed."""
    own = users_environment()
    for name in (VISIBLE, CARD, SEEN):
        os.environ.pop(name, None)
    os.environ.update(own)


def users_environment() -> dict[str, str]:
    """The environment without what `see_only` has changed."""
    own = {name: value for name, value in os.environ.items() if name not in (CARD, SEEN)}
    seen = os.environ.get(SEEN)
    if seen is not None:
        own.pop(VISIBLE, None)
    return own if seen in (None, EVERY) else {**own, VISIBLE: seen}


def cuda_names(
    uuids: Sequence[str], names: Sequence[str], environment: Mapping[str, str], numbers: Sequence[int] = ()
) -> list[str]:
    """`cuda:N` for each card, in the order of NVML, which is that of the PCI bus; several parts of one card (MIG) share
    its number in `numbers`.

    Source: CUDA C++ Programming Guide, environment variables: CUDA_VISIBLE_DEVICES lists indices or the beginnings of
    UUIDs, and what follows the first that is neither is not seen; where one comes twice, nothing is seen. The order is
    that of the bus unless the user set CUDA_DEVICE_ORDER, so that among different cards an index may mean another card:
    those are left without a name.
    """
    numbers = numbers or range(len(uuids))
    sure = environment.get(ORDER, PCI) == PCI or len(set(names)) < 2
    visible = environment.get(VISIBLE)
    if visible is None:
        return [f"cuda:{place}" if sure else "" for place in range(len(uuids))]
    found: dict[int, str] = {}
    for position, word in enumerate(word.strip() for word in visible.split(",")):
        if word.isascii() and word.isdigit():
            cards = [card for card, number in enumerate(numbers) if number == int(word)][:1]
        else:
            cards = [card for card, uuid in enumerate(uuids) if word and uuid.startswith(word)]
        if len(cards) != 1:
            break
        if cards[0] in found:
            return [""] * len(uuids)
        found[cards[0]] = f"cuda:{position}" if sure or not word.isdigit() else ""
    return [found.get(card, "") for card in range(len(uuids))]


def open_nvml() -> Any:
    """The library, started; None without NVIDIA's driver or without `nvidia-ml-py`. Takes up to a second."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def read_gpus(nvml: Any, environment: Mapping[str, str], describe: Callable[[int], tuple[str, str]]) -> list[Gpu]:
    """Every card as it is now, each part of its own of one that is divided (MIG); `describe` gives user and command of
    a pid. Cards that are lost, or not this user's to see, are left out. Empty when the driver has gone away.

    Source: the NVML API reference, and the docstrings of pynvml.
    """
    found: list[tuple[int, Any, str, str, Any, int]] = []
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:
        return []
    for index in range(count):
        with suppress(nvml.NVMLError):
            card = nvml.nvmlDeviceGetHandleByIndex(index)
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(card)
            for handle in _parts(nvml, card):
                uuid, name = str(nvml.nvmlDeviceGetUUID(handle)), str(nvml.nvmlDeviceGetName(handle))
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
                found.append((index, handle, uuid, name, memory, 10 * major + minor))
    numbers, _, uuids, names, *_ = zip(*found, strict=True) if found else ((),) * 6
    words = cuda_names(uuids, names, environment, numbers)
    return [
        Gpu(
            index,
            word,
            name,
            memory.used / MEGA,
            memory.total / MEGA,
            uuid=uuid,
            capability=capability,
            **_read_sensors(nvml, handle, describe),
        )
        for word, (index, handle, uuid, name, memory, capability) in zip(words, found, strict=True)
    ]


def _parts(nvml: Any, card: Any) -> list[Any]:
    """What CUDA takes for devices: the card, or the parts that it is divided into."""
    try:
        if not nvml.nvmlDeviceGetMigMode(card)[0]:
            return [card]
    except nvml.NVMLError:
        return [card]  # it cannot be divided
    parts = []
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        with suppress(nvml.NVMLError):  # no part has this place
            parts.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, place))
    return parts


def _read_sensors(nvml: Any, handle: Any, describe: Callable[[int], tuple[str, str]]) -> dict[str, Any]:
    """Fields of a Gpu from its sensors, of which many cards lack some."""

    def sensor(ask: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return ask(handle, *arguments)
        except (nvml.NVMLError, nvml.NVMLLibraryMismatchError):  # the latter of a driver older than the question
            return None

    rates = sensor(nvml.nvmlDeviceGetUtilizationRates)
    power = sensor(nvml.nvmlDeviceGetPowerUsage)
    # In some containers NVML does not know how much each process holds.
    sizes = {int(one.pid): one.usedGpuMemory for one in sensor(nvml.nvmlDeviceGetComputeRunningProcesses) or []}
    owners = [Owner(pid, *describe(pid), None if size is None else size / MEGA) for pid, size in sizes.items()]
    mode = sensor(nvml.nvmlDeviceGetComputeMode)
    alone = mode in (nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS, nvml.NVML_COMPUTEMODE_EXCLUSIVE_THREAD)
    others = any(owner.pid != os.getpid() for owner in owners)
    return {
        "taken": mode == nvml.NVML_COMPUTEMODE_PROHIBITED or (alone and others),
        "utilisation": None if rates is None else rates.gpu / 100,
        "temperature": sensor(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
        "power": None if power is None else power / 1e3,
        "owners": tuple(sorted(owners, key=lambda owner: (-(owner.megabytes or 0.0), owner.pid))),
    }


COMMAND_WORDS = 3  # of a command line: what runs, and on what


@dataclass(frozen=True)
class Machine:
    """The machine at one moment. Fields that could not be read are empty or None."""

    cores: tuple[float, ...] = ()
    """How busy each was since the last look, 0 to 1."""
    load: float | None = None
    """Processes that wanted a core, mean over a minute."""
    used: float | None = None
    """Memory that is not available, in MB (10^6 bytes)."""
    total: float | None = None
    gpus: tuple[Gpu, ...] = ()


HISTORY_SECONDS, HISTORY_STEP = 300, 2  # how far a history goes back, and between two looks that it tells apart


class MachineHistory:
    """How busy the machine was in the last minutes: shares of `cpu` and `memory`, and of cards by their labels."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, dict[str, float]]] = deque(maxlen=HISTORY_SECONDS // HISTORY_STEP)

    def add(self, machine: Machine, now: float) -> None:
        """Remember a look, at a time in seconds that never goes back."""
        shares = {gpu.label: gpu.utilisation for gpu in machine.gpus if gpu.utilisation is not None}
        if machine.cores:
            shares["cpu"] = sum(machine.cores) / len(machine.cores)
        if machine.used is not None and machine.total:
            shares["memory"] = machine.used / machine.total
        self._looks.append((int(now / HISTORY_STEP), shares))

    def line(self, label: str, cells: int, looks: int) -> tuple[float | None, ...]:
        """The means over parts of `looks` looks each, the last part under way; None where nobody looked."""
        parts: list[list[float]] = [[] for _ in range(max(cells, 0))]
        newest = self._looks[-1][0] // looks if self._looks else 0
        for tick, shares in self._looks:
            # Parts begin at multiples of their length, so that they do not change while newer ones come.
            if label in shares and (back := newest - tick // looks) < len(parts):
                parts[-1 - back].append(shares[label])
        return tuple(sum(part) / len(part) if part else None for part in parts)


class MachineReader:
    """Reads the machine again and again, always from one thread: the load of a core counts from the last reading."""

    def __init__(self) -> None:
        import psutil  # here: drawing a machine needs none, and it takes 20 ms

        self._psutil = psutil
        self._nvml: Any = open_nvml()
        psutil.cpu_percent(percpu=True)  # the first answer is always 0

    def read(self) -> Machine:
        """The machine as it is now."""
        gpus = tuple(read_gpus(self._nvml, os.environ, describe_process)) if self._nvml is not None else ()
        memory = self._psutil.virtual_memory()
        return Machine(
            cores=tuple(percent / 100 for percent in self._psutil.cpu_percent(percpu=True)),
            load=os.getloadavg()[0],
            used=(memory.total - memory.available) / MEGA,
            total=memory.total / MEGA,
            gpus=gpus,
        )


def describe_process(pid: int) -> tuple[str, str]:
    """User and command of a process; empty where it has gone, or belongs to another container."""
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return process.username(), short_command(process.cmdline()) or process.name()
    except psutil.Error:
        return "", ""


def short_command(words: list[str]) -> str:
    """The beginning of a command line, programs and scripts without their folders."""
    kept = [PurePath(word).name if "/" in word else word for word in words[:COMMAND_WORDS]]
    return " ".join(word for word in kept if word)


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Switch the garbage collector off inside, and never let it look at what was imported.

    Imports make no garbage, and PyTorch leaves 300,000 objects. Importing it took 0.94 s instead of 1.16, and what a
    training or an answer paid for each collection, a tenth of a second and more, is gone (two cores).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        # At the end of the process everything is collected: nanobind complains of each of its functions that stays.
        atexit.register(gc.unfreeze)
        if was_enabled:
            gc.enable()


STOPPING = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGUSR1,  # as SLURM sends it before the time is up, where `--signal` asks for it
    signal.SIGUSR2,
    signal.SIGXCPU,
    signal.SIGALRM,
)
"""Signals by which people, systems and schedulers ask for an end."""
LEAVING = (signal.SIGHUP, signal.SIGQUIT)
"""Signals of a terminal that end what is in front of a run, and not the run; of a worker that gets them itself they
ask for an end."""


@dataclass
class Interrupt:
    """Counts signals that ask for an end while a run trains or a command waits for runs; the loop decides what they
    mean."""

    count: int = 0
    last: int = 0

    def note(self, number: int, frame: object) -> None:
        """Handle a signal."""
        self.count += 1
        self.last = number

    @property
    def insists(self) -> bool:
        """Whether somebody pressed Ctrl-C again; a scheduler's second signal is no impatience."""
        return self.count > 1 and self.last == signal.SIGINT

    @contextmanager
    def listening(self, *more: signal.Signals) -> Iterator[None]:
        """Count signals, and `more`, instead of dying of them, for as long as the block lasts."""
        numbers = (*STOPPING, *more)
        before = [signal.signal(number, self.note) for number in numbers]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def when_parent_ends(act: Callable[[], None]) -> None:
    """Call `act` in a thread of its own once nobody holds the other end of stdin, a pipe, any more, whatever keeps this
    process busy then."""

    def watch() -> None:
        watched = select.poll()
        watched.register(0, 0)  # a hang-up is always told
        watched.poll()
        act()

    threading.Thread(target=watch, name="parent", daemon=True).start()


# How much a machine does at once.


def count_cores() -> int:
    """The cores that this process may use."""
    # A container or taskset may leave fewer than the machine has; macOS does not say.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The name of the processor, or its kind where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


AUTO = 0
"""As many workers at once as `suggest_workers` says."""
MOST_JOBS = 64
WORKER_BYTES = 2_000_000_000  # conv_256 with a batch of 1000 takes 1.1 GB


def read_jobs(word: object, asker: str = "--jobs") -> int:
    """The number of workers that is asked for, or AUTO; raises ConfigError for what is neither."""
    if word in ("auto", AUTO):
        return AUTO
    if not str(word).isdecimal() or not 1 <= int(str(word)) <= MOST_JOBS:
        raise ConfigError(f"{asker} {word}: auto, or 1 to {MOST_JOBS}")
    return int(str(word))


def suggest_workers(on_cards: bool = True, devices: int = 1) -> int:
    """How many trainings side by side get most done: one for each core, as far as the memory goes, or for each of the
    cards that they train `on_cards`, of which several on one would take turns; of each, `devices` have a process.

    A training alone waits: for its threads to meet, for the disk, at first for Python. Side by side each has its cores
    to itself. What was measured stands in docs/performance.md.
    """
    import psutil

    nvml = open_nvml() if on_cards else None
    gpus = [] if nvml is None else read_gpus(nvml, users_environment(), lambda pid: ("", ""))
    most = sum(bool(gpu.cuda) for gpu in gpus) or count_cores()
    return max(1, min(most, int(psutil.virtual_memory().available) // WORKER_BYTES) // devices)
