"""What a dashboard sends to its terminal: while a training runs, and while nothing happens."""

from __future__ import annotations

import time

from tests.benchmarks.bench import TUIAE, Bench, await_end, new_run, training
from tests.benchmarks.startup import await_silence, is_painted
from tests.terminal import Terminal
from tuiae.runs.paths import RunPaths, undated
from tuiae.runs.process import start_worker

NEEDS_DATA = True
SIZES = {(120, 40): 10_000, (200, 60): 20_000}
"""Columns and rows, and the most bytes a second on the live screen."""
SECONDS = 20.0
SETTLE_SECONDS = 5.0  # the first screen, and the first seconds in which the dashboard looks ten times a second


def measure(bench: Bench) -> None:
    seconds, settle = (3.0, 1.0) if bench.quick else (SECONDS, SETTLE_SECONDS)
    for (columns, rows), most in SIZES.items():
        with training(bench) as run:
            rate = live(run, (columns, rows), settle, seconds)
        bench.figure(f"dense_64 on MNIST, live, {columns}x{rows}", rate, "bytes/s", at_most=most)
    run = new_run(bench.config("dense_64", 1))
    await_end(run, start_worker(run))
    bench.figure("a finished run, nothing happens", still(run, seconds), "bytes/s", at_most=0)


def live(run: RunPaths, size: tuple[int, int], settle: float, seconds: float) -> float:
    """Bytes a second that a dashboard sends while a run trains."""
    with Terminal([TUIAE, "attach", run.id], *size) as terminal:
        terminal.wait_for(lambda text: is_painted(text) and undated(run.id) in text, 30)
        time.sleep(settle)
        began, received = time.monotonic(), terminal.received
        time.sleep(seconds)
        return (terminal.received - received) / (time.monotonic() - began)


def still(run: RunPaths, seconds: float) -> float:
    """The same with a run that has ended, once the warm worker has been named."""
    with Terminal([TUIAE, "attach", run.id]) as terminal:
        terminal.wait_for("finished", 30)
        await_silence(terminal, silence=3.0, deadline=60.0)
        received = terminal.received
        time.sleep(seconds)
        return (terminal.received - received) / seconds
