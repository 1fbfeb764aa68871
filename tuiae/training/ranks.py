"""Processes that share each batch of a run: every one computes a part of it, and their gradients are added up.

Rank 0 is the run's worker. It alone takes commands, evaluates and writes; before each step it tells the others what
comes, so that an edit, a pause or a stop reaches all of them at the same step. torch.distributed carries words and sums
by gloo, and by NCCL the sums of what lies on cards. Its DistributedDataParallel adds up what one backward pass leaves
in the weights; here threads take a backward pass for each shard, and one reduction of all gradients follows.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from tuiae.config import RunConfig, build_config
from tuiae.errors import ExitCode, RankLostError, TrainingError, TuiaeError
from tuiae.machine import LEAVING, STOPPING, when_parent_ends
from tuiae.preflight import check_cards, check_shared
from tuiae.runs import control
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import TORCHRUN, RankProcesses
from tuiae.training.device import list_devices

if TYPE_CHECKING:
    from tuiae.training.setup import Parts

PAUSES = timedelta(days=365)  # for the next word of rank 0, which may pause, or evaluate
SUMS = timedelta(minutes=10)  # for the others to have computed their part of a batch
FILE = "file://"
HEAD = 6  # numbers before a message: the word, how many bytes follow, and what goes with the word
COMPLAINT = 1000  # bytes


class Word(IntEnum):
    """What rank 0 tells the others."""

    BEGIN = 1
    """A JSON object: `run`, its `config`, the `digest` of its images, and the `devices` of all ranks, none where
    torchrun gives each a card."""
    CONFIG = 2
    """The config in force from here on, as JSON."""
    WEIGHTS = 3
    """As safetensors."""
    STATE = 4
    """What `TrainState.dump` gave, as `torch.save` writes it."""
    STEP = 5
    """Epoch, the images from and up to which its order is taken, and the number of the step."""
    END = 6


class Ranks:
    """The processes that share the batches of a run, as one of them sees them; by default there is no other."""

    def __init__(self, rank: int = 0, size: int = 1, processes: RankProcesses | None = None) -> None:
        """`processes` are those that this one has started, on the same cores."""
        self.rank, self.size = rank, size
        self.sharing = 1 if processes is None else size
        """How many of them share the cores of this process; torchrun gives each its own."""
        self._processes = processes
        self._sums: dist.ProcessGroup | None = None
        self._flat: Tensor | None = None

    @classmethod
    def connect(cls, join: str, rank: int, size: int, processes: RankProcesses | None = None) -> Ranks:
        """Meet the others, by a file or, for `env://`, as torchrun says; returns when all are there. Raises
        RankLostError."""
        ranks = cls(rank, size, processes)
        with ranks._together():
            store, *_ = next(dist.rendezvous(join, rank, size, timeout=PAUSES))
            # torchrun keeps its store when it starts ranks again, and with it where those were that have ended.
            apart = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
            apart.set_timeout(PAUSES)  # images may be prepared first
            dist.init_process_group("gloo", store=apart, rank=rank, world_size=size, timeout=PAUSES)
        return ranks

    def share(self, device: torch.device) -> None:
        """Make ready for `add_up` of what lies on a device; all ranks at once."""
        with self._together():
            made = dist.new_group(backend="nccl" if device.type == "cuda" else "gloo", timeout=SUMS)
        assert isinstance(made, dist.ProcessGroup)  # else this rank were none of its members
        self._sums = made

    def own(self, pieces: int) -> range:
        """The places of this rank's pieces among those that a batch is cut into."""
        return range(self.rank * pieces // self.size, (self.rank + 1) * pieces // self.size)

    def add_up(self, tensors: list[Tensor], sums: list[Tensor]) -> None:
        """Put the sums of tensors over all ranks, in float32, into others; their shapes are the same each time."""
        if self._flat is None:
            self._flat = torch.empty(sum(map(torch.numel, tensors)), device=tensors[0].device)
        pieces = self._flat.split([one.numel() for one in tensors])
        views = [piece.view(one.shape) for piece, one in zip(pieces, tensors, strict=True)]
        torch._foreach_copy_(views, tensors)
        with self._together():
            dist.all_reduce(self._flat, group=self._sums)
        torch._foreach_copy_(sums, views)

    def tell(self, word: Word, *numbers: int, text: bytes = b"") -> None:
        """Let the others hear a word; nothing where there are none."""
        if self.size == 1:
            return
        head = torch.zeros(HEAD, dtype=torch.int64)
        head[: 2 + len(numbers)] = torch.tensor((word, len(text), *numbers))
        with self._together():
            dist.broadcast(head, 0)
            if text:
                dist.broadcast(torch.frombuffer(bytearray(text), dtype=torch.uint8), 0)

    def hear(self) -> tuple[Word, list[int], bytes]:
        """The next word of rank 0, however long it takes."""
        head = torch.zeros(HEAD, dtype=torch.int64)
        with self._together():
            dist.broadcast(head, 0)
            word, size, *numbers = head.tolist()
            text = torch.empty(size, dtype=torch.uint8)
            if size:
                dist.broadcast(text, 0)
        return Word(word), numbers, text.numpy().tobytes()

    def agree(self, complaint: str) -> None:
        """Go on together; raises TrainingError where a rank cannot, with its `complaint`."""
        said = torch.zeros(self.size, COMPLAINT, dtype=torch.uint8)
        words = complaint.encode()[:COMPLAINT]
        said[self.rank, : len(words)] = torch.tensor([*words], dtype=torch.uint8)
        with self._together():
            dist.all_reduce(said)
        for rank, row in enumerate(said.numpy()):
            if found := row.tobytes().rstrip(b"\0").decode(errors="replace"):
                raise TrainingError(f"rank {rank} of {self.size} cannot train: {found}")

    def check(self) -> None:
        """Raise RankLostError where a process has ended that this one has started."""
        if self._processes is not None and (ended := self._processes.describe_end(0.0)):
            raise RankLostError(ended)

    def close(self, orderly: bool) -> None:
        """Let the others go: after an `orderly` end by a word, else they notice that this one is gone."""
        if self.size > 1 and orderly:
            with suppress(RankLostError):
                self.tell(Word.END)
        if dist.is_initialized():
            dist.destroy_process_group()

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            ended = self._processes.describe_end() if self._processes else ""
            # `[a path of gloo's] Connection reset by peer. This is typically ...`
            said = str(error).partition("\n")[0].rpartition("] ")[2].partition(". ")[0]
            lost = f"another process that trains this run has ended, or does not answer: {said}"
            raise RankLostError(ended or lost) from error


ALONE = Ranks()


def on_own_card(config: RunConfig) -> RunConfig:
    """The config of a process that torchrun has started: on the card of its number, where there are cards."""
    if config.training.device not in ("auto", "cuda") or len(list_devices()) == 1:
        return config
    return build_config(config.model_dump(mode="json"), {"training.device": f"cuda:{os.environ.get('LOCAL_RANK', 0)}"})


def meet(run: RunPaths, parts: Parts, processes: RankProcesses | None, interrupted: Callable[[], bool]) -> Parts | None:
    """Share the batches of a run, whose `parts` are ready here on rank 0, with the `processes` that this one started or
    else with those of torchrun; returns its parts from here on, None where `interrupted` before all were there.

    Raises ConfigError where its batches cannot be shared, DeviceError for too few cards, TrainingError where another
    rank cannot train, and RankLostError.
    """
    size, kind = parts.config.training.devices, parts.device.type
    check_shared(parts.config, kind)
    devices = ["cpu"] * size if kind == "cpu" else []
    if processes is not None:
        if kind == "cuda":
            devices = processes.cards or [f"cuda:{rank}" for rank in range(torch.cuda.device_count())]
            check_cards(size, len(devices))
        if not processes.wait(interrupted):
            return None
    ranks = Ranks.connect(TORCHRUN if processes is None else processes.join, 0, size, processes)
    begun = {
        "run": str(run.root),
        "config": parts.config.model_dump(mode="json"),
        "digest": parts.images.digest,
        "devices": devices,
    }
    ranks.tell(Word.BEGIN, text=json.dumps(begun).encode())
    ranks.agree("")
    return _joined(ranks, parts)


def _joined(ranks: Ranks, parts: Parts) -> Parts:
    """The parts of a training that is shared."""
    ranks.share(parts.device)
    if parts.device.type == "cuda":  # statistics of batch norm are those of the whole batch
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(parts.model, ranks._sums)
    return replace(parts, ranks=ranks)


# The other ranks.


def follow(join: str, rank: int, size: int) -> int:
    """Compute this rank's part of each batch as rank 0 says, until it ends the run; returns the exit code."""
    known: list[RunPaths] = []
    _pass_on_signals(known)
    folder = Path(join.removeprefix(FILE)).parent if join.startswith(FILE) else None
    try:
        if folder is not None:
            when_parent_ends(lambda: _end_with_rank_0(folder))
            (folder / f"rank-{rank}").touch()
        ranks = Ranks.connect(join, rank, size)
        _, _, text = ranks.hear()
        begun = json.loads(text)
        known.append(RunPaths(Path(begun["run"])))
        _carry_out(ranks, _prepare(ranks, begun))
        ranks.close(orderly=False)
    except TuiaeError:
        return ExitCode.TRAINING  # what happened rank 0 knows, and says
    except Exception:  # noqa: BLE001 - whatever it is, rank 0 will only see that this process is gone
        traceback.print_exc()
        return ExitCode.TRAINING
    finally:
        if folder is not None:  # rank 0 may have been killed, and this process hear of it here first
            shutil.rmtree(folder, ignore_errors=True)
    return ExitCode.OK


def _pass_on_signals(known: list[RunPaths]) -> None:
    """Let a signal to this rank stop the run, once it is `known` which; until then it ends this process. A thread waits
    for it: the others may be in the midst of a reduction, or of a pause."""
    numbers = {*STOPPING, *LEAVING}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def listen() -> None:
        while True:
            number = signal.sigwait(numbers)
            if not known:
                os._exit(128 + number)
            with suppress(TuiaeError):
                control.send(known[0], "stop")

    threading.Thread(target=listen, name="signals", daemon=True).start()


def _end_with_rank_0(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(ExitCode.TRAINING)


def _prepare(ranks: Ranks, begun: dict[str, Any]) -> Parts:
    """The parts of the training that rank 0 has begun; all ranks raise TrainingError where one cannot have them."""
    from tuiae.training.setup import give_way, set_up

    complaint, parts = "", None
    try:
        if not RunPaths(Path(begun["run"])).config.exists():
            raise TrainingError(f"{begun['run']} is not there: the nodes share no folder of runs")
        devices = begun["devices"]
        device = devices[ranks.rank] if devices else "cuda"
        config = build_config(begun["config"], {"training.device": device, "model.encoder_run": ""})
        parts = set_up(config if devices else on_own_card(config))
        if parts.images.digest != begun["digest"]:
            raise TrainingError(f"{parts.images.dataset} has other images there")
        give_way(parts.device)
    except TuiaeError as error:
        complaint = error.cause
    except Exception as error:  # noqa: BLE001 - rank 0 says it in the run's history
        traceback.print_exc()
        complaint = f"{type(error).__name__}: {error}"
    ranks.agree(complaint)
    assert parts is not None
    return _joined(ranks, parts)


def _carry_out(ranks: Ranks, parts: Parts) -> None:
    """Do what rank 0 says until the end."""
    from safetensors.torch import load

    from tuiae.data.batches import epoch_order
    from tuiae.models.activations import set_dropout
    from tuiae.training.checkpoint import TrainState
    from tuiae.training.objective import Objective, Totals
    from tuiae.training.optimizer import build_optimizer
    from tuiae.training.step import TrainingStep

    optimizer = build_optimizer(parts.model.parameters(), parts.config.training, parts.device)
    names, images = Objective(parts.config, parts.model).names, len(parts.train)
    state = TrainState(optimizer, Totals(parts.device, names))
    step = TrainingStep(parts, state, Totals(parts.device, names), 0, sys.stdout.write)
    parts.model.train()
    order, drawn = torch.empty(0), -1
    while True:
        word, numbers, text = ranks.hear()
        if word == Word.STEP:
            state.epoch, state.position, end, state.step = numbers
            if drawn != state.epoch:
                drawn, order = (
                    state.epoch,
                    parts.train.place(epoch_order(images, parts.config.training.seed, state.epoch)),
                )
            step(order[state.position : end], state.epoch + state.position / images)
        elif word == Word.CONFIG:
            parts = replace(parts, config=build_config(json.loads(text)))
            step.adopt(parts)
            set_dropout(parts.model, parts.config.model.dropout)
        elif word == Word.WEIGHTS:
            parts.model.load_state_dict(load(text))
        elif word == Word.STATE:
            state.restore(dict(torch.load(io.BytesIO(text), map_location="cpu", weights_only=True)))
        else:
            return
