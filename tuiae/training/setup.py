"""From a config to the parts of a training: arithmetic, device, images, model."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from tuiae.config import CUSTOM, Precision, RunConfig
from tuiae.data.batches import ImageSet
from tuiae.data.dataset import OnProgress, notes_for, silent
from tuiae.data.datasets import prepare, select
from tuiae.errors import ConfigError, TrainingError
from tuiae.images import ImageRecord, shape_words
from tuiae.machine import freest
from tuiae.models.layers import ConvTranspose2d
from tuiae.models.networks import Classifier, Network, build_model
from tuiae.runs.checkpoints import find_checkpoint, no_checkpoint
from tuiae.runs.paths import RunPaths
from tuiae.runs.query import find_run
from tuiae.runs.reader import read_images
from tuiae.source import with_code
from tuiae.training.checkpoint import load_weights, spoilt
from tuiae.training.dense import DenseProgram, dense_program
from tuiae.training.device import Claim, Tell, describe_device, resolve_device
from tuiae.training.ranks import ALONE, Ranks


def suggest_precision(config: RunConfig, device: torch.device, parameters: int) -> tuple[Precision, str]:
    """What `training.precision = "auto"` means for a network of so many parameters on a device, and why."""
    if slow := slow_in_bfloat16(device):
        return "float32", slow
    if config.model.is_custom:
        return "float32", "a custom network is computed as it is written"
    if config.model.encoder_family == "dense" and config.training.batch_size * parameters < LARGE:
        return "float32", "the network is too small to gain by bfloat16"
    return "bfloat16", "this machine multiplies bfloat16 quickly"


def slow_in_bfloat16(device: torch.device) -> str:
    """Why a device is no quicker in bfloat16 than in float32; empty where it is."""
    if device.type == "cpu":
        look = getattr(torch.cpu, "get_capabilities", None)  # PyTorch 2.10 has none
        quick = look is not None and any(look().get(name) for name in ("amx_bf16", "avx512_bf16"))
        return "" if quick else "this processor has no instructions for bfloat16"
    if device.type == "cuda":
        return "" if torch.cuda.get_device_capability(device) >= AMPERE else "this GPU emulates bfloat16"
    return f"whether {device.type} is quicker in bfloat16 is not known"


AMPERE = (8, 0)
"""Compute capability from which NVIDIA's tensor cores multiply bfloat16. Before, it is emulated: a step of conv_256
took 6,098 launches."""
LARGE = 20_000_000
"""Multiplications of a dense network for a batch from which its conversions to bfloat16 pay."""


def in_precision(config: RunConfig, precision: str) -> RunConfig:
    """The config with the precision that `auto` means."""
    return config.model_copy(update={"training": config.training.model_copy(update={"precision": precision})})


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 runs matrix products and convolutions in bfloat16 and keeps weights, loss and metrics in float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def keep_float32(device: torch.device) -> None:
    """Let products and convolutions of float32 on a CUDA device be in float32, for the rest of the process; those of a
    run in bfloat16 are, but in its metrics.

    cuDNN's convolutions would round what they multiply to TF32, 10 bits of mantissa, and so would matrix products
    where the environment asks for it; a result would then depend on the machine by more than the order of its sums.
    """
    if device.type == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
        torch.backends.cuda.matmul.fp32_precision = "ieee"


def memory_format(config: RunConfig, device: torch.device) -> torch.memory_format:
    """How the weights of convolutions lie in memory, and with them what they work on: channels last in bfloat16, whose
    kernels want it so, and for shards, which then pool twelve times as fast; a step of conv_256 takes a quarter less.

    Not where PyTorch splits each operation: it made no difference there, and such runs go on as they began. Nor for
    windows of one pixel with a stride: on AMD's processors the convolutions of PyTorch 2.14 then write where they must
    not, and the process dies.
    """
    sharded, model = device.type == "cpu" and config.shards > 0, config.model
    convolves = model.encoder_family not in ("dense", CUSTOM)
    skips = model.encoder_family == "strided-conv" and model.kernel == 1 and max(model.strides) > 1
    wanted = convolves and not skips and (sharded or config.training.precision == "bfloat16")
    return torch.channels_last if wanted else torch.preserve_format


Item = TypeVar("Item")
Result = TypeVar("Result")
USUAL_NICE = 5
NICE = "TUIAE_NICE"


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
    # Where the kernel shares out the cores among sessions, the value of a process counts within its session alone.
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(value))
    # A thread has a priority of its own there, and PyTorch may have started some.
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread), max(value, os.getpriority(os.PRIO_PROCESS, int(thread))))


class Cores:
    """Threads that compute a part of the work on a core each."""

    def __init__(self, count: int, flush: bool = False) -> None:
        """So many threads, the caller's among them; whether the others `flush` subnormal numbers to zero."""
        self.count = count

        def begin() -> None:
            # A product that is the first operation of a thread would be split among others, and have other bits.
            torch.set_num_threads(1)
            torch.set_flush_denormal(flush)

        self._helpers = ThreadPoolExecutor(self.count - 1, "core", begin) if self.count > 1 else None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Compute everything in the caller's thread inside."""
        count, self.count = self.count, 1
        try:
            yield
        finally:
            self.count = count

    def map(self, compute: Callable[[Item], Result], items: Sequence[Item], sharing: int = 1) -> list[Result]:
        """What `compute` gives for each item, in their order; whoever is free takes the next one. So many processes
        may be `sharing` the cores at this moment."""
        if self._helpers is None or len(items) < 2:
            return [compute(item) for item in items]
        found: dict[int, Result] = {}
        waiting = iter(range(len(items)))

        def work() -> None:
            for place in waiting:
                found[place] = compute(items[place])

        helpers = [self._helpers.submit(work) for _ in items[1 : self.count // sharing]]
        try:
            work()
        finally:
            for helper in helpers:
                helper.exception()  # which waits for its end, in less time than `concurrent.futures.wait`
        for helper in helpers:
            helper.result()
        return [found[place] for place in range(len(items))]


@dataclass(frozen=True)
class Parts:
    """What a training, an evaluation or an explorer works with."""

    config: RunConfig
    device: torch.device
    train: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    model: Network
    images: ImageRecord
    """The whole set, of which a run may use a part."""
    notes: tuple[str, ...] = ()
    """Sentences about what was made of the files of the images, and of the precision."""
    reason: str = ""
    """Why the precision was chosen that `auto` stands for; empty where the config names it."""
    cautions: tuple[str, ...] = ()
    """Sentences about cards that could not be used."""
    cores: Cores = field(default_factory=lambda: Cores(1))
    ranks: Ranks = ALONE
    """The processes that share each batch."""

    @cached_property
    def layers(self) -> tuple[nn.Module, ...]:
        """The network, and every module in it."""
        return tuple(self.model.modules())

    @cached_property
    def program(self) -> DenseProgram | None:
        """What computes a network in shards in place of its layers, where something can."""
        return dense_program(self.config, self.model, self.train.image_shape) if self.sharded else None

    @property
    def place(self) -> str:
        """The device as people know it, how many there are, and the precision where it is not float32."""
        precision, size = self.config.training.precision, self.ranks.size
        words = describe_device(self.device, max(1, self.cores.count // self.ranks.sharing))
        if size > 1:
            words = f"{size} devices, each {words}" if self.device.type == "cpu" else f"{size} devices, one is {words}"
        return words if precision == "float32" else f"{words}, {precision}"

    @property
    def sharded(self) -> bool:
        """Whether batches are computed in shards; else PyTorch's own threads split each operation."""
        return self.config.shards > 0 and self.device.type == "cpu"


def find_device(config: RunConfig, tell: Tell = lambda text: None, claim: Claim = freest) -> torch.device:
    """The device of a config, of several cards one that suits its network; arguments and errors of `resolve_device`."""
    convolves_in_bfloat16 = config.training.precision == "bfloat16" and config.model.encoder_family != "dense"
    return resolve_device(config.training.device, tell, claim, 10 * AMPERE[0] if convolves_in_bfloat16 else 0)


def _take_encoder(model: Classifier, source: RunPaths, shape: tuple[int, int, int]) -> None:
    """Begin with the encoder that another run has trained, for images (C, H, W). Raises ConfigError and TrainingError
    where it has none, or one for others."""
    if (folder := find_checkpoint(source)) is None:
        missing = no_checkpoint(source)
        raise ConfigError(f"model.encoder_run: {missing.cause}", missing.hint)
    weights = load_weights(folder)
    if cause := spoilt(weights):
        cause = f"model.encoder_run: {folder.name} of {source.id} is of no use: {cause}"
        raise TrainingError(cause, "take the encoder of another run")
    try:
        model.load_encoder(weights)
    except ConfigError as error:
        record = read_images(source)
        if record is None or record.shape == shape:
            raise
        before, now = map(shape_words, (record.shape, shape))
        cause = f"the encoder of {source.id} was trained on images of {before}, and these are {now}: {error.cause}"
        raise ConfigError(
            cause, "take images like those, or an encoder that was trained on images like these"
        ) from error


def _are_same(images: np.ndarray, others: np.ndarray) -> bool:
    """Whether a set tests on the very images that it trains on, as the glyphs do."""
    return images.shape == others.shape and np.may_share_memory(images, others)


def set_up(config: RunConfig, runs_root: Any = None, progress: OnProgress = silent, claim: Claim = freest) -> Parts:
    """Find the device, of several cards the one that `claim` chooses, prepare the images, build the model on the device
    with its seeded initial weights. Raises DeviceError, DataError, ConfigError or TrainingError; each says what to
    do."""
    cautions: list[str] = []
    device = find_device(config, cautions.append, claim)
    keep_float32(device)
    dataset = prepare(config.data.dataset, config.data.image_size, progress=progress)
    splits = select(dataset, config.data, config.training.seed)
    train = ImageSet(splits.train_images, splits.train_labels, device)
    test = train
    if not _are_same(splits.train_images, splits.test_images):
        test = ImageSet(splits.test_images, splits.test_labels, device)
    torch.manual_seed(config.training.seed)
    # cuDNN's quickest gradients of convolutions are added up in any order: no run would end as it did before.
    torch.backends.cudnn.deterministic = True
    model = build_model(config.model, train.image_shape, len(splits.classes))
    for layer in model.modules():
        if isinstance(layer, ConvTranspose2d):
            layer.in_parts = config.training.transposed == "parts" and max(layer.kernel_size) > 1
    if width := getattr(model.encoder if isinstance(model, Classifier) else model, "width", 0):
        config = with_code(config, latent=width)  # which its file alone knows
    reason, notes = "", notes_for(dataset.notes, config.data.validation)
    if config.training.precision == "bfloat16" and (slow := slow_in_bfloat16(device)):
        notes += (f"training.precision = 'bfloat16': {slow}, float32 is likely to be as quick",)
    if config.training.precision == "auto":
        precision, reason = suggest_precision(config, device, sum(map(torch.Tensor.numel, model.parameters())))
        config = in_precision(config, precision)
    if config.model.encoder_run and runs_root is not None:
        assert isinstance(model, Classifier)
        _take_encoder(model, find_run(config.model.encoder_run, runs_root), train.image_shape)
    model = model.to(device).to(memory_format=memory_format(config, device))
    parts = Parts(
        config, device, train, test, splits.classes, model, dataset.record, notes, reason, cautions=tuple(cautions)
    )
    # A pool of PyTorch's own would be in the way of threads that compute shards.
    usual = usual_threads()
    torch.set_num_threads(1 if parts.sharded else usual)
    flush = parts.sharded and config.training.subnormals == "zero"
    torch.set_flush_denormal(flush)
    return replace(parts, cores=Cores(min(config.shards, usual), flush)) if parts.sharded else parts


@cache
def usual_threads() -> int:
    """As many threads as PyTorch would use, before anything changes that: by its environment, or one a core. One
    process may prepare trainings of both kinds."""
    return torch.get_num_threads()
