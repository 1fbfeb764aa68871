"""From the Start key to the first point of a curve, with a warm worker: recorded by the worker, drawn on the screen."""

from __future__ import annotations

import re
import shutil
import time
from statistics import median

from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench, read_events
from tests.benchmarks.startup import WARM
from tests.terminal import Terminal
from tuiae.runs.paths import RunPaths, list_runs, runs_dir

NEEDS_DATA = False
START = "r"
CURVE = re.compile(r"train \d")  # the legend over a curve that has a value


def measure(bench: Bench) -> None:
    recorded, drawn = zip(*(start() for _ in range(bench.rounds(5))), strict=True)
    bench.figure("quickstart on digits, Start to the first metric event", median(recorded), "s", at_most=1.5)
    bench.figure("quickstart on digits, Start to a value on the screen", median(drawn), "s", at_most=1.5)


def start() -> tuple[float, float]:
    """Seconds from the key to the event, and to the screen."""
    with Terminal([TUIAE], COLUMNS, ROWS) as terminal:
        terminal.wait_for(WARM, 120)
        before = {run.id for run in list_runs(runs_dir())}
        began = time.time()
        sent = terminal.send(START)
        drawn = terminal.wait_for(CURVE.search, 60) - sent
        (run,) = [run for run in list_runs(runs_dir()) if run.id not in before]
        recorded = first_metric(run) - began
    shutil.rmtree(run.root)  # the next dashboard would open it, and say nothing of its worker
    return recorded, drawn


def first_metric(run: RunPaths) -> float:
    """When the worker recorded it, by its own clock, which is this machine's."""
    return float(next(event["time"] for event in read_events(run) if event["kind"] == "metric"))
