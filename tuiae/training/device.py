"""Devices: what this machine has, and what a config's word for one means here."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys

import torch

from tuiae.preflight import check_device

USUAL_NICE = 5
NICE = "TUIAE_NICE"


def list_devices() -> list[str]:
    """`cpu`, then every accelerator as `cuda:N NAME` or `mps`."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda:{n} {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def resolve_device(word: str) -> torch.device:
    """Turn auto, cpu, cuda, cuda:N or mps into a device that exists; auto takes the first accelerator.

    Raises:
        DeviceError: this machine has no such device.
    """
    devices = list_devices()
    check_device(word, devices)
    if word == "auto":
        return torch.device(devices[1].split()[0] if len(devices) > 1 else "cpu")
    return torch.device("cuda:0" if word == "cuda" else word)


def describe_device(device: torch.device) -> str:
    """The device as people know it."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return str(device)
    threads = torch.get_num_threads()
    return f"cpu, {threads} thread{'s' if threads > 1 else ''}"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocator of PyTorch's or Python's gave up.

    Not all of them raise an error of its own: on MPS, and where CUDA itself or one of its libraries had no room, there
    are only the words.
    """
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(words in text for words in _NO_MEMORY)


_NO_MEMORY = ("out of memory", "can't allocate memory", "_alloc_failed")


def free_memory(device: torch.device) -> int:
    """Bytes that could still be allocated, as far as the system knows."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return int(psutil.virtual_memory().available)


def give_back_memory(device: torch.device) -> None:
    """Return to the system what is no longer used: allocators keep it for the next tensor, and a run that comes later
    in this process would be told to hold it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def memory_megabytes(device: torch.device) -> float:
    """What the training holds, in MB: on a CUDA device what PyTorch's allocator keeps, in use or not; elsewhere what
    is resident of the process."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / 1e6
    import resource
    import sys

    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def give_way(device: torch.device) -> None:
    """Let whoever sits at this machine go first: a training on the CPU wants every core, all the time.

    At a nice value of 5, or of `TUIAE_NICE`. Beside a training the dashboard answered 95 of 100 keys within 51 ms with
    it, and within 71 ms without; alone a training is as fast. On an accelerator the process keeps its priority: it does
    little, and what it does the device waits for.
    """
    if device.type != "cpu":
        return
    nice = os.environ.get(NICE, "")
    value = int(nice) if nice.isdecimal() else USUAL_NICE
    if sys.platform != "linux":
        os.nice(value)
        return
    # A thread has a priority of its own there, and PyTorch may have started some.
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread), max(value, os.getpriority(os.PRIO_PROCESS, int(thread))))
