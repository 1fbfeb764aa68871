"""The device that a process works on: chosen before CUDA begins in it, described, and what its errors mean in words."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil
import torch
from torch.cuda import DeferredCudaCallError

from tuiae.errors import DeviceError, TrainingError, TuiaeError
from tuiae.machine import (
    CARD,
    ORDER,
    PCI,
    VISIBLE,
    Gpu,
    freest,
    open_nvml,
    read_gpus,
    see_again,
    see_only,
    users_environment,
)
from tuiae.preflight import ELSEWHERE, check_device

Tell = Callable[[str], object]
Claim = Callable[[Sequence[Gpu]], Gpu | None]
ON_CPU = "or choose another device: --device cpu"


def list_devices(asked: str = "") -> list[str]:
    """`cpu`, then every accelerator as `cuda:N NAME` or `mps`. CUDA, which would keep this process to the cards that it
    sees now, does not begin where NVML knows them. Raises DriverError where a card is `asked` for and there is none
    because of NVIDIA's driver."""
    found = ["cpu", *(f"{gpu.cuda} {gpu.name}" for gpu in _seen_cards() if gpu.cuda)]
    with suppress(RuntimeError, DeferredCudaCallError), warnings.catch_warnings(action="ignore"):  # one of them is lost
        if len(found) == 1 and torch.cuda.is_available():
            found += [f"cuda:{n} {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count())]
    if len(found) == 1 and asked.startswith("cuda") and torch.backends.cuda.is_built():
        try:
            torch.cuda.init()
        except RuntimeError as error:
            if isinstance(known := explain_cuda(error), DriverError):
                raise known from error
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def _seen_cards() -> list[Gpu]:
    """The cards of this machine, those with a name are the user's to see; none where NVML tells nothing, or this
    PyTorch is not built for them."""
    nvml = open_nvml() if torch.version.cuda else None
    return [] if nvml is None else read_gpus(nvml, users_environment(), lambda pid: ("", ""))


def resolve_device(
    word: str, tell: Tell = lambda text: None, claim: Claim = freest, capability: int = 0
) -> torch.device:
    """Turn auto, cpu, cuda, cuda:N or mps into a device that is ready, the only one that CUDA sees from here on.

    auto and cuda take the card that `claim` chooses, where there are any among those of a `capability` or more; auto
    takes another device where there is none of use, and `tell` hears why. Raises DeviceError for a device that is not
    there or not to be used, TrainingError where its memory is full.
    """
    os.environ.setdefault(ORDER, PCI)
    devices = list_devices(word)
    check_device(word, devices)
    if word == "cpu":
        return torch.device("cpu")
    if word == "mps" or (word == "auto" and devices[-1] == "mps"):
        return torch.device("mps")
    try:
        index = _choose_card(word, tell, claim, capability)
        if index is not None:
            device = torch.device("cuda", index)
            torch.cuda.set_device(device)  # or the first card would be begun as well
            torch.zeros(1, device=device)
            return device
        if torch.backends.cuda.is_built():
            torch.cuda.init()  # to hear why there is none
    except (RuntimeError, DeferredCudaCallError) as error:
        if is_out_of_memory(error):
            name = os.environ.get(CARD) or word
            raise TrainingError(f"{name} has no memory left", f"wait for it, {ON_CPU}") from error
        known = explain_cuda(error, word)
        if known is not None and (word != "auto" or not isinstance(known, DriverError)):
            raise known from error
        if known is not None:
            tell(f"on the CPU: {known.cause}")
    if word != "auto":
        raise DeviceError(f"training.device = '{word}': this machine has {', '.join(devices)}", ELSEWHERE)
    return torch.device("cpu")


def _choose_card(word: str, tell: Tell, claim: Claim, capability: int) -> int | None:
    """The index of a card in what CUDA sees of them; None where auto finds none of use."""
    cards, held = _seen_cards(), os.environ.get(CARD)
    if torch.cuda.is_initialized() and held:
        if word not in ("auto", "cuda", held):
            raise DeviceError(f"this process computes on {held}, and CUDA lets it see no other card", f"use {held}")
        claim([gpu for gpu in cards if gpu.cuda == held])
        return 0
    named = [gpu for gpu in cards if gpu.cuda]
    if not named and (not cards or os.environ[ORDER] != PCI):  # nobody knows between what to choose
        return int(word[5:]) if word[5:] else 0 if torch.cuda.is_available() else None
    if not named and (words := users_environment().get(VISIBLE, "")) and not words.startswith("-"):
        tell(f"CUDA_VISIBLE_DEVICES = '{words}' names none of the {len(cards)} cards of this machine")
    asked = [gpu for gpu in named if word in ("auto", "cuda", gpu.cuda)]
    able = [gpu for gpu in asked if has_kernels(gpu)]
    lacking = [
        f"{gpu.cuda} {gpu.name}: this PyTorch has no kernels for it (sm_{gpu.capability})"
        for gpu in asked
        if gpu not in able
    ]
    if lacking and not able and word != "auto":
        raise DeviceError("; ".join(lacking), f"install a PyTorch for it, {ON_CPU}")
    for words in lacking:
        tell(f"{words}; it is left out")
    if open_ones := [gpu for gpu in able if not gpu.taken]:  # of the others CUDA says what is wrong
        able = open_ones
    modern = [gpu for gpu in able if (gpu.capability or capability) >= capability]
    chosen = claim(modern or able)
    if chosen is None:
        see_only()
        return None
    if not torch.cuda.is_initialized():
        see_only(chosen.uuid, chosen.cuda)
        torch.cuda.init()
        if torch.cuda.device_count() == 1:
            return 0
        see_again()  # somebody had asked CUDA for its cards before
    return int(chosen.cuda[5:])


def has_kernels(gpu: Gpu) -> bool:
    """Whether this PyTorch was built for a card: for what it computes, or for less of the same generation. Of code
    that a driver translates (`compute_90`) any later card makes use."""
    if gpu.capability is None:
        return True
    # Of an older PyTorch `torch.cuda.get_arch_list` lets CUDA count the cards, which then sees those and no others.
    flags: str = torch._C._cuda_getArchFlags() or ""
    built = [re.match(r"(sm|compute)_(\d+)", word) for word in flags.split()]
    known = [(found[1], int(found[2])) for found in built if found]
    fitting = [number for kind, number in known if kind == "compute" or number // 10 == gpu.capability // 10]
    return not known or any(number <= gpu.capability for number in fitting)


def describe_device(device: torch.device, cores: int = 1) -> str:
    """The device as people know it; `cores` threads compute shards there."""
    if device.type == "cuda":
        return f"{os.environ.get(CARD) or device} {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return str(device)
    threads = torch.get_num_threads() * cores
    return f"cpu, {threads} thread{'s' if threads > 1 else ''}"


# Errors.


class DriverError(DeviceError):
    """NVIDIA's driver is of no use to this PyTorch."""


def first_line(error: BaseException) -> str:
    """What an error says before its explanations."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].removeprefix("CUDA error: ")


def explain_cuda(error: BaseException, name: str = "") -> TuiaeError | None:
    """An error of CUDA, or of an allocator, in words; None for any other. `name` is what a card is called that could
    not be begun; without it one failed that had been."""
    text, code = str(error), getattr(error, "error_code", None)
    if found := re.search(r"driver on your system is too old \(found version (\d+)\)", text):
        version = f"{int(found[1]) // 1000}.{int(found[1]) % 1000 // 10}"
        cause = f"NVIDIA's driver is too old: it is for CUDA {version}, and this PyTorch for {torch.version.cuda}"
        return DriverError(cause, f"update the driver, install a PyTorch for CUDA {version}, {ON_CPU}")
    # Of this one alone PyTorch says no number.
    text = text.replace("CUDA unknown error", "cudaGetDeviceCount: Error 999: unknown error\n")
    if found := re.search(r"cudaGetDeviceCount.* Error (\d+): ([^\n]+)", text):
        known = _DRIVER.get(int(found[1]), (f"CUDA does not begin: {found[2]}", "see what nvidia-smi says"))
        return DriverError(f"{known[0]} (CUDA error {found[1]})", f"{known[1]}, {ON_CPU}")
    if is_out_of_memory(error):
        return TrainingError(describe_shortage(error), f"close what else uses it, {ON_CPU}")
    begins, name = bool(name), os.environ.get(CARD) or name or "the card"
    if code == _BUSY and begins:
        return DeviceError(f"{name} is in use by another process that shares it with nobody", f"wait for it, {ON_CPU}")
    if code is None and "CUDA error" not in text:
        return None
    return TrainingError(f"{name} failed: {first_line(error)}", f"see what nvidia-smi says of it, {ON_CPU}")


def describe_shortage(error: BaseException, where: str = "") -> str:
    """That memory ran out and, as far as PyTorch says, how much was asked for and how much was free."""
    found = re.search(r"Tried to allocate ([\d.]+ \w+).*? of which ([\d.]+ \w+) is free", str(error), re.DOTALL)
    name = f" on {os.environ[CARD]}" if os.environ.get(CARD) else ""
    return f"out of memory{name}{where}" + (f": {found[1]} were asked for, and {found[2]} were free" if found else "")


_BUSY = 46  # cudaErrorDevicesUnavailable
_DRIVER = {
    802: (
        "the cards are not ready: the system is not yet initialised",
        "see whether NVIDIA's fabric manager runs (systemctl status nvidia-fabricmanager)",
    ),
    803: (
        "NVIDIA's driver and its CUDA library are of different versions",
        "restart the machine after an update of the driver",
    ),
}
"""Errors of the driver as a whole; source: the CUDA runtime API, cudaError_t."""


def is_out_of_memory(error: BaseException) -> bool:
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


def release_memory(device: torch.device) -> str:
    """Give back what a pause does not need of a GPU, and say what it keeps, behind other words; elsewhere nothing."""
    if device.type != "cuda":
        return ""
    give_back_memory(device)
    return f"; it keeps {memory_megabytes(device):,.0f} MB of {os.environ.get(CARD) or device} until it is stopped"


def memory_megabytes(device: torch.device) -> float:
    """What the training holds, in MB: on a CUDA device what PyTorch's allocator keeps, in use or not; elsewhere what
    is resident of the process."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / 1e6
    return float(psutil.Process().memory_info().rss / 1e6)
