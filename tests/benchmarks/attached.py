"""What a dashboard that watches takes away from the training it watches, on the same cores."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench, read_events, training
from tests.benchmarks.startup import is_painted, split
from tests.terminal import Terminal
from tuiae.runs.layout import RunPaths, undated

NEEDS_DATA = True
WINDOW_SECONDS = 8.0  # that count at a time: some thirty epochs
SETTLE_SECONDS = 4.0  # before those with a dashboard: it starts meanwhile
PAIRS = 20
IMAGES = 60_000


@dataclass(frozen=True)
class Load:
    """What the dashboard took in its window: shares of a core, and bytes a second."""

    dashboard: float
    others: float
    output: float


@dataclass(frozen=True)
class Window:
    """A stretch of the training, in the clock of its events, and what watched it."""

    began: float
    ended: float
    load: Load | None = None


def measure(bench: Bench) -> None:
    """One training throughout, with a dashboard opened and closed again, each time between two stretches without.

    Two trainings of one kind differ by up to 5 % here, more than what is looked for; so do two minutes of one
    training. A stretch that is watched is held against the two beside it.
    """
    windows, ends = alternate(bench)
    rates = [epoch_rate(window, ends) for window in windows]
    ratios = [2 * rates[at] / (rates[at - 1] + rates[at + 1]) for at in range(1, len(rates), 2)]
    loads = [window.load for window in windows if window.load]
    images = bench.config("dense_64", 1).data.train_limit or IMAGES
    bench.figure("dense_64 on MNIST, nobody watches", median(rates[::2]) * images, "images/s")
    bench.figure("dense_64 on MNIST, a dashboard attached", median(rates[1::2]) * images, "images/s")
    bench.figure("attached / alone", median(ratios), at_least=0.98)
    bench.figure("  smallest and", min(ratios))
    bench.figure("  largest of its stretches", max(ratios))
    bench.figure("attached dashboard, CPU", 100 * median(load.dashboard for load in loads), "% core")
    bench.figure("its other processes, CPU", 100 * median(load.others for load in loads), "% core")
    bench.figure("attached dashboard, output to the terminal", median(load.output for load in loads), "bytes/s")


def alternate(bench: Bench) -> tuple[list[Window], list[float]]:
    """Stretches without and with a dashboard in turn, the first and the last without; and when each epoch ended."""
    seconds, settle = (3.0, 2.0) if bench.quick else (WINDOW_SECONDS, SETTLE_SECONDS)
    with training(bench) as run:
        time.sleep(settle)
        windows = [leave_alone(seconds)]
        for _ in range(bench.rounds(PAIRS)):
            windows += [watch(run, seconds, settle), leave_alone(seconds)]
    return windows, epoch_ends(run)


def leave_alone(seconds: float) -> Window:
    began = time.time()
    time.sleep(seconds)
    return Window(began, time.time())


def watch(run: RunPaths, seconds: float, settle: float) -> Window:
    """Attach a dashboard, let it settle, and see what it takes in the time after that."""
    settled = time.monotonic() + settle
    with Terminal([TUIAE, "attach", run.id], COLUMNS, ROWS) as terminal:
        terminal.wait_for(lambda text: is_painted(text) and undated(run.id) in text, 30)
        time.sleep(max(0.0, settled - time.monotonic()))
        began, received, before = time.time(), terminal.received, {u.pid: u.cpu for u in terminal.usage()}
        time.sleep(seconds)
        ended, received = time.time(), terminal.received - received
        dashboard, others = (
            sum(used.cpu - before.get(used.pid, 0.0) for used in part) / seconds
            for part in split(terminal.usage(), terminal.pid)
        )
        return Window(began, ended, Load(dashboard, others, received / seconds))


def epoch_rate(window: Window, ends: list[float]) -> float:
    """Epochs a second: whole epochs that ended in this window, by the time between the first and the last."""
    counted = ends[bisect_left(ends, window.began) : bisect_left(ends, window.ended)]
    if len(counted) < 2:
        raise RuntimeError("no whole epoch fits into a window: is the machine this busy?")
    return (len(counted) - 1) / (counted[-1] - counted[0])


def epoch_ends(run: RunPaths) -> list[float]:
    """When each epoch was done, evaluation included."""
    events = read_events(run)
    return [event["time"] for event in events if event["kind"] == "metric" and event["split"] == "train"]
