"""What a dashboard that watches takes away from the training it watches, on the same cores."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench, new_run, read_events
from tests.benchmarks.startup import is_painted, split
from tests.terminal import Terminal
from tuiae.runs.layout import RunPaths
from tuiae.runs.process import start_worker
from tuiae.runs.reader import read_status

NEEDS_DATA = True
SECONDS = 20.0  # that count in one training
SETTLE_SECONDS = 5.0  # before them: the dashboard starts meanwhile
PAIRS = 4
IMAGES = 60_000


@dataclass(frozen=True)
class Load:
    """What the dashboard took while the training counted: shares of a core, and bytes a second."""

    dashboard: float = 0.0
    others: float = 0.0
    output: float = 0.0


def measure(bench: Bench) -> None:
    seconds, settle = (3.0, 1.0) if bench.quick else (SECONDS, SETTLE_SECONDS)
    epochs = max(4, round((seconds + settle) / epoch_seconds(bench)))
    alone, watched, loads = [], [], []
    for _ in range(bench.rounds(PAIRS)):
        alone.append(train(bench, epochs, settle)[0])
        rate, load = train(bench, epochs, settle, attach=True)
        watched.append(rate)
        loads.append(load)
    images = bench.config("dense_64", 1).data.train_limit or IMAGES
    bench.figure("dense_64 on MNIST, nobody watches", median(alone) * images, "images/s")
    bench.figure("dense_64 on MNIST, a dashboard attached", median(watched) * images, "images/s")
    bench.figure("attached / alone", median(watched) / median(alone), at_least=0.97)
    bench.figure("attached dashboard, CPU", 100 * median(load.dashboard for load in loads), "% core")
    bench.figure("its other processes, CPU", 100 * median(load.others for load in loads), "% core")
    bench.figure("attached dashboard, output to the terminal", median(load.output for load in loads), "bytes/s")


def epoch_seconds(bench: Bench) -> float:
    """How long an epoch takes here, from a short training."""
    run = new_run(bench.config("dense_64", epochs=6))
    check(run, start_worker(run))
    ends = epoch_ends(run)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def train(bench: Bench, epochs: int, settle: float, attach: bool = False) -> tuple[float, Load]:
    """Epochs a second of a training, the first ones left out, and what watching it took."""
    run = new_run(bench.config("dense_64", epochs))
    process = start_worker(run)
    try:
        await_first_epoch(run, process)
        load = watch(run, process, settle) if attach else Load()
        check(run, process)
    finally:
        process.kill()
    ends = epoch_ends(run)
    counted = [end for end in ends if end >= ends[0] + settle]
    if len(counted) < 2:
        raise RuntimeError(
            f"{len(ends)} epochs ended too soon to be counted: was the machine busy when they were planned?"
        )
    return (len(counted) - 1) / (counted[-1] - counted[0]), load


def watch(run: RunPaths, process: subprocess.Popen[bytes], settle: float) -> Load:
    """Attach a dashboard until the training ends; what it took between settling and that end."""
    settled = time.monotonic() + settle
    with Terminal([TUIAE, "attach", run.id], COLUMNS, ROWS) as terminal:
        terminal.wait_for(lambda text: is_painted(text) and run.id in text, 30)
        time.sleep(max(0.0, settled - time.monotonic()))
        began, received, before = time.monotonic(), terminal.received, {u.pid: u.cpu for u in terminal.usage()}
        process.wait()
        passed, received = time.monotonic() - began, terminal.received - received
        dashboard, others = (
            sum(used.cpu - before.get(used.pid, 0.0) for used in part) / passed
            for part in split(terminal.usage(), terminal.pid)
        )
        return Load(dashboard, others, received / passed)


def await_first_epoch(run: RunPaths, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and not read_status(run).epoch:
        time.sleep(0.05)


def check(run: RunPaths, process: subprocess.Popen[bytes]) -> None:
    if process.wait():
        raise RuntimeError(f"the worker ended with {process.returncode}:\n{run.log.read_text()}")


def epoch_ends(run: RunPaths) -> list[float]:
    """When each epoch was done, evaluation included."""
    events = read_events(run)
    return [event["time"] for event in events if event["kind"] == "metric" and event["split"] == "train"]
