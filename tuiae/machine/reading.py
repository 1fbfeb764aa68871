"""A look at the machine, cheap enough to take every two seconds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from tuiae.machine.gpus import MEGA, Gpu, open_nvml, read_gpus

COMMAND_WORDS = 3  # of a command line: what runs, and on what


@dataclass(frozen=True)
class Machine:
    """One moment. What could not be read is empty or None."""

    cores: tuple[float, ...] = ()
    """How busy each was since the last look, 0 to 1."""
    load: float | None = None
    """Processes that wanted a core, mean over a minute."""
    used: float | None = None
    """Memory that is not to be had, in MB (10^6 bytes)."""
    total: float | None = None
    gpus: tuple[Gpu, ...] = ()


class MachineReader:
    """Looks again and again, always from one thread: how busy a core was is counted since its last look."""

    def __init__(self) -> None:
        self._psutil = _import_psutil()
        self._nvml: Any = open_nvml()
        if self._psutil is not None:
            self._psutil.cpu_percent(percpu=True)  # the first answer is always 0

    def read(self) -> Machine:
        """The machine as it is now."""
        gpus = tuple(read_gpus(self._nvml, os.environ, self._describe)) if self._nvml is not None else ()
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        if self._psutil is None:
            return Machine(load=load, gpus=gpus)
        memory = self._psutil.virtual_memory()
        return Machine(
            cores=tuple(percent / 100 for percent in self._psutil.cpu_percent(percpu=True)),
            load=load,
            used=(memory.total - memory.available) / MEGA,
            total=memory.total / MEGA,
            gpus=gpus,
        )

    def _describe(self, pid: int) -> tuple[str, str]:
        """User and command of a process; empty where it has gone, or belongs to another container."""
        if self._psutil is None:
            return "", ""
        try:
            process = self._psutil.Process(pid)
            with process.oneshot():
                return process.username(), short_command(process.cmdline()) or process.name()
        except self._psutil.Error:
            return "", ""


def short_command(words: list[str]) -> str:
    """The beginning of a command line, programs and scripts without their folders."""
    kept = [PurePath(word).name if "/" in word else word for word in words[:COMMAND_WORDS]]
    return " ".join(word for word in kept if word)


def _import_psutil() -> Any:
    try:
        import psutil
    except ImportError:
        return None
    return psutil
