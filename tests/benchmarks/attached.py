"""What a dashboard that watches takes away from the training it watches, on the same cores."""

from __future__ import annotations

import signal
import time
from bisect import bisect_left
from dataclasses import dataclass
from statistics import mean, median, stdev

from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench, read_events, training
from tests.benchmarks.startup import is_painted, split
from tests.terminal import Terminal
from tuiae.runs.paths import RunPaths, undated

NEEDS_DATA = True
WINDOW_SECONDS = 6.0  # that count at a time: some twenty epochs, and two looks
SETTLE_SECONDS = 0.5, 4.5  # before those that are watched, so that they begin everywhere between two looks
OPENING_SECONDS = 10.0
PAIRS = 40
IMAGES = 60_000


@dataclass(frozen=True)
class Load:
    """What the dashboard took in its window: shares of a core, and bytes a second."""

    dashboard: float
    others: float
    output: float


@dataclass(frozen=True)
class Window:
    """A stretch of the training, in the clock of its events, and what the dashboard took of it."""

    began: float
    ended: float
    load: Load


def measure(bench: Bench) -> None:
    """One training throughout and one dashboard, which is stopped in its tracks and goes on again (SIGSTOP, SIGCONT).

    Two trainings of one kind differ by up to 5 % here, more than what is looked for; so do two minutes of one training,
    and two stretches side by side by up to 10 %. A stretch that is watched is held against the two beside it, and the
    mean of many such ratios is what counts, with its standard error.
    """
    windows, ends = alternate(bench)
    rates = [epoch_rate(window, ends) for window in windows]
    ratios = [2 * rates[at] / (rates[at - 1] + rates[at + 1]) for at in range(1, len(rates), 2)]
    loads = [window.load for window in windows[1::2]]
    images = bench.config("dense_64", 1).data.train_limit or IMAGES
    bench.figure("dense_64 on MNIST, nobody watches", mean(rates[::2]) * images, "images/s")
    bench.figure("dense_64 on MNIST, a dashboard attached", mean(rates[1::2]) * images, "images/s")
    bench.figure("attached / alone", mean(ratios), at_least=0.98)
    bench.figure("  its standard error", stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 0.0)
    bench.figure("  median of the stretches", median(ratios))
    bench.figure("attached dashboard, CPU", 100 * mean(load.dashboard for load in loads), "% core")
    bench.figure("its other processes, CPU", 100 * mean(load.others for load in loads), "% core")
    bench.figure("attached dashboard, output to the terminal", mean(load.output for load in loads), "bytes/s")


def alternate(bench: Bench) -> tuple[list[Window], list[float]]:
    """Stretches without and with a dashboard in turn, the first and the last without; and when each epoch ended."""
    seconds, pairs, windows = 3.0 if bench.quick else WINDOW_SECONDS, bench.rounds(PAIRS), list[Window]()
    least, most = SETTLE_SECONDS
    with training(bench) as run, Terminal([TUIAE, "attach", run.id], COLUMNS, ROWS) as terminal:
        terminal.wait_for(lambda text: is_painted(text) and undated(run.id) in text, 30)
        time.sleep(OPENING_SECONDS)
        for at in range(2 * pairs + 1):
            watched = at % 2 == 1
            for process in terminal.processes():
                process.send_signal(signal.SIGCONT if watched else signal.SIGSTOP)
            time.sleep(least + at / (2 * pairs) * (most - least) if watched else least)
            windows.append(watch(terminal, seconds))
    return windows, epoch_ends(run)


def watch(terminal: Terminal, seconds: float) -> Window:
    """A stretch, and what the dashboard takes in it: nothing while it is stopped."""
    began, received, before = time.time(), terminal.received, {used.pid: used.cpu for used in terminal.usage()}
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
