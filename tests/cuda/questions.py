"""What is asked of a process on cards that only count; each function runs in a process of its own."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from tuiae.config import build_config
from tuiae.data.batches import epoch_order
from tuiae.runs.paths import runs_dir
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.control import Mailbox
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up

BASE = {"data.dataset": "digits", "training.epochs": 2, "training.device": "cuda:0", "training.batch_size": 250}


def counted(act: Callable[[], object]) -> list[str]:
    """What the cards were asked for meanwhile."""
    library = ctypes.CDLL(None)
    library.counting_call.restype = ctypes.c_char_p
    library.counting_record(1)
    try:
        act()
    finally:
        library.counting_record(0)
    return [library.counting_call(index).decode() for index in range(library.counting_count())]


def contexts() -> list[int]:
    """The cards on which this process has a context."""
    return [card for card in range(16) if ctypes.CDLL(None).counting_context(card)]


def trainer(settings: dict[str, Any]) -> Trainer:
    config = build_config({}, {**BASE, **settings})
    run = create_run(config, runs_dir(), [])
    return Trainer(set_up(config), RunWriter(run), Mailbox(run, lambda: False))


def count_step(settings: dict[str, Any]) -> dict[str, int]:
    """Launches, syncs, allocations and copies of a step, the third one."""
    made = trainer(settings)
    order = made.parts.train.place(epoch_order(len(made.parts.train), 0, 0))
    made.parts.model.train()
    for _ in range(2):
        made.step(order)
    calls = counted(lambda: made.step(order))
    known = {"SYNC": "syncs", "MALLOC": "allocations", "COPY h2d": "up", "COPY d2h": "down"}
    counts = {name: calls.count(call) for call, name in known.items()}
    return {**counts, "launches": sum(call not in known for call in calls)}
