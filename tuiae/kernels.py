"""What a step on a CPU does between its products, and dense networks as a whole, in C, compiled once on whatever
machine has a compiler.

PyTorch carries out one operation after the other, and each reads and writes a whole batch. `kernels.c` does several in
one pass, without Python's lock, and rounds every value as PyTorch does: a training has the same bits with and without.
Without a compiler PyTorch does it all, and takes longer.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import c_float, c_int, c_long, c_void_p
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path
from torch import Tensor

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = (
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-strict-aliasing",
    "-fPIC",
    "-shared",
)
SWITCH = "TUIAE_KERNELS"
"""In the environment, `off` leaves everything to PyTorch."""
PATIENCE = 60.0  # seconds for a compiler that takes a third of one


class Memory:
    """Where a tensor lies; nowhere for None."""

    @staticmethod
    def from_param(tensor: Tensor | None) -> c_void_p:
        return c_void_p(None if tensor is None else tensor.data_ptr())


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "take_images": (Memory, Memory, c_long, c_long, Memory),
    "compare_images": (Memory, Memory, c_long, c_long, Memory, Memory),
    "drop": (Memory, Memory, c_long, c_int, c_float, Memory),
    "rectify_drop": (Memory, Memory, c_long, c_int, c_float, Memory),
    "rectify_drop_gradient": (Memory, Memory, c_long, c_float, Memory),
    "rectify_drop_pool": (Memory, Memory, *(c_long,) * 4, c_int, c_float, Memory, Memory),
    "rectify_drop_pool_gradient": (Memory, Memory, *(c_long,) * 4, c_float, Memory),
    "dense_forward": (c_void_p, c_void_p, c_long, c_long, Memory, c_long, c_void_p),
    "dense_score": (c_void_p, c_void_p, Memory, c_long),
    "dense_backward": (c_void_p, c_void_p, c_long, c_long, Memory, c_long),
    "draw": (Memory, Memory, c_long),
    "fold": (Memory, Memory, *(c_long,) * 10, Memory),
}


@cache
def library() -> Any:
    """The kernels by their names in `kernels.c`, a tensor for each pointer; None where they are not to be had, or not
    wanted."""
    if os.environ.get(SWITCH) == "off":
        return None
    # No compiler, one that knows no such flags, a cache that cannot be written or from which nothing may be loaded.
    with suppress(OSError, subprocess.SubprocessError):
        kernels = ctypes.CDLL(str(_compiled()))
        for name, arguments in ARGUMENTS.items():
            kernel = getattr(kernels, name)
            kernel.argtypes, kernel.restype = arguments, None
        return kernels
    return None


def _compiled() -> Path:
    """The library, which is made if it is not there. Raises OSError and SubprocessError."""
    compiler = [os.environ.get("CC", "cc"), *FLAGS]
    command = [*compiler, str(SOURCE), "-lm"]
    # A home may be shared by machines with other processors.
    key = hashlib.sha256("\n".join([*compiler, _processor(), SOURCE.read_text(encoding="utf-8")]).encode())
    made = user_cache_path("tuiae") / "kernels" / f"{key.hexdigest()[:16]}.so"
    made.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = made.parent.stat()
    if owner.st_uid != os.geteuid() or owner.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{made.parent}: others may write there")  # what this process would run
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=made.parent) as folder:
            draft = Path(folder) / made.name
            try:
                _run([*command, "-march=native", "-o", str(draft)])
            except subprocess.CalledProcessError:  # some compilers do not know the processor that they run on
                _run([*command, "-o", str(draft)])
            draft.replace(made)
    return made


def _run(command: list[str]) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=PATIENCE)


def _processor() -> str:
    """What tells processors apart that know other instructions."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return f"{platform.machine()} {platform.processor()}"


def kernels_for(*tensors: Tensor) -> Any:
    """The kernels, if they take such tensors: float32 on a CPU, without gaps, one lying in memory as the other. Else
    None."""
    for tensor in tensors:
        # A tensor of another type only stands for numbers, as while a network is exported.
        if type(tensor) is not Tensor or tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            return None
    last = torch.channels_last
    if all(tensor.is_contiguous() for tensor in tensors) or all(
        tensor.dim() == 4 and tensor.is_contiguous(memory_format=last) for tensor in tensors
    ):
        return library()
    return None


class TorchRoutines(ctypes.Structure):
    """`Torch` of `kernels.c`: by what PyTorch computes float32 on a CPU."""

    _fields_ = tuple((name, c_void_p) for name in ("multiply", "dot", "tanh", "exponential"))

    @property
    def activates(self) -> bool:
        """Whether the kernels can use its tanh and its exponential, beside its products."""
        return bool(self.tanh and self.exponential)


class DenseLayer(ctypes.Structure):
    """`Layer` of `kernels.c`."""

    _fields_ = (
        ("inputs", c_long),
        ("outputs", c_long),
        *((name, c_void_p) for name in ("weights", "bias", "output", "gradient", "of_weights", "of_bias", "lanes")),
        ("scale", c_float),
        *((name, c_int) for name in ("least", "rectifies", "activation", "kept")),
    )


class DenseScore(ctypes.Structure):
    """`Score` of `kernels.c`."""

    _fields_ = (
        *((name, c_void_p) for name in ("wanted", "wrong", "difference", "gradient", "found")),
        ("size", c_long),
        *((name, c_float) for name in ("factor", "share", "slope")),
        ("rectifies", c_int),
    )


EXPONENTIALS = {16: "Sleef_expf16_u10", 8: "Sleef_expf8_u10"}
"""By how many numbers go through at once."""


@cache
def torch_routines() -> TorchRoutines | None:
    """PyTorch's own, if its products are to be found."""
    kernels = library()
    for file in (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"):
        with suppress(OSError, AttributeError):
            torch_cpu = ctypes.CDLL(str(file))
            lanes = c_int.in_dll(kernels, "lanes_of_exponential").value
            names = ("sgemm_", "sdot_", "vmsTanh", EXPONENTIALS.get(lanes, ""))
            found = [ctypes.cast(getattr(torch_cpu, name, 0), c_void_p) for name in names]
            return TorchRoutines(*found) if all(found[:2]) else None
    return None


@contextmanager
def named(prefix: str) -> Iterator[None]:
    """Show the kernels to PyTorch's profiler inside, by their names after a prefix."""
    kernels = library()
    plain = {} if kernels is None else {name: getattr(kernels, name) for name in ARGUMENTS}

    def show(name: str, kernel: Callable[..., None], *arguments: Any) -> None:
        with torch.autograd.profiler.record_function(prefix + name):
            kernel(*arguments)

    for name, kernel in plain.items():
        setattr(kernels, name, partial(show, name, kernel))
    try:
        yield
    finally:
        for name, kernel in plain.items():
            setattr(kernels, name, kernel)
