"""Seconds an epoch on a card: whole trainings, and the steps alone beside the bare replay of their graph."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import date
from statistics import median

import torch

from tests.benchmarks.bench import Bench, describe_machine, new_run, renew_table
from tuiae.config import RunConfig
from tuiae.data.batches import epoch_order
from tuiae.reproduce.work import find_work, load_work, run_configs
from tuiae.runs.writer import RunWriter
from tuiae.training.control import Mailbox
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up

NEEDS_DATA = True
ROUNDS = 5


def measure(bench: Bench) -> None:
    if not torch.cuda.is_available():
        print("  skipped: no card that this PyTorch can use")
        return
    card = f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"
    print(f"  {card}")
    rows = []
    for preset, milliseconds in (("dense_64", 12), ("conv_256", 90)):
        for precision in ("float32", "bfloat16"):
            config = bench.config(preset, 10, **ON_CARD, **{"training.precision": precision})
            title = f"{preset}, {precision}"
            goal = milliseconds if precision == "float32" else None
            rows += [bench.figure(f"{title}, an epoch, evaluated", train(config) / 10 * 1000, "ms", at_most=goal)]
            rows += steps(bench, title, config)
    work = find_work("magallanes-2022")
    configs = [whole(config, bench) for config in run_configs(load_work(work), work).values()]
    rows += [bench.figure("magallanes-2022, four networks of 400 epochs", sum(map(train, configs)), "s", at_most=50)]
    if not bench.quick:
        heads = f"{card}; {describe_machine()}; {date.today()}.\n\n| | measured | goal |\n|---|---|---|\n"
        renew_table("gpu", heads + "\n".join(rows) + "\n")


ON_CARD = {"training.device": "cuda:0"}


def whole(config: RunConfig, bench: Bench) -> RunConfig:
    """A run of a work on the card, in a quick try a few epochs of it."""
    update = {"device": "cuda:0", **({"epochs": 3} if bench.quick else {})}
    return config.model_copy(update={"training": config.training.model_copy(update=update)})


@contextlib.contextmanager
def trainer(config: RunConfig):  # type: ignore[no-untyped-def]
    run = new_run(config)
    writer = RunWriter(run)
    with open(run.log, "a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        yield Trainer(set_up(config), writer, Mailbox(run, lambda: False))
    writer.close("finished")


def train(config: RunConfig) -> float:
    """Seconds from the first step to the last checkpoint."""
    with trainer(config) as made:
        began = time.perf_counter()
        made.run()
        return time.perf_counter() - began


def steps(bench: Bench, title: str, config: RunConfig) -> list[str]:
    """An epoch of steps alone: replayed, kernel by kernel, and the bare graph."""
    with trainer(config) as made:
        order = made.parts.train.place(epoch_order(len(made.parts.train), 0, 0))
        count = len(order) // config.training.batch_size
        made.parts.model.train()

        def epoch() -> None:
            made.state.position = 0
            for _ in range(count):
                made.step(order)

        replayed = clock(bench, epoch)
        captured = made.training_step.captured
        assert captured is not None
        bare = clock(bench, lambda: [captured.graph.replay() for _ in range(count)])
        made.training_step.captures = False
        eager = clock(bench, epoch)
    return [
        bench.figure(f"{title}, an epoch's steps, kernel by kernel", eager * 1000, "ms"),
        bench.figure(f"{title}, an epoch's steps, replayed", replayed * 1000, "ms"),
        bench.figure(f"{title}, replayed / the bare graph", replayed / bare, "x", at_most=1.3),
    ]


def clock(bench: Bench, act: Callable[[], object]) -> float:
    """Seconds, the median of some rounds after one that is not counted."""
    found = []
    for _ in range(bench.rounds(ROUNDS) + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        act()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return median(found[1:])
