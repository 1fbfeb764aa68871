"""What it costs a loop of somebody's own to be tracked."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median, quantiles

from tests.benchmarks.bench import Bench

NEEDS_DATA = False
STEPS = 200  # an epoch

LOOP = """
import sys, time
import torch, tuiae
times, loss = [], torch.tensor(0.5)
with tuiae.track("bench", steps_per_epoch={steps}) as run:
    for step in range({count}):
        began = time.perf_counter_ns()
        run.log(step=step, epoch=step // {steps}, split="train", loss=loss, accuracy=0.5)
        run.should_stop()
        times.append(time.perf_counter_ns() - began)
        sum(range(3000))  # a step
print(*times)
"""


def measure(bench: Bench) -> None:
    count = STEPS * bench.rounds(25)
    code = LOOP.format(steps=STEPS, count=count)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    times = [int(word) / 1000 for word in done.stdout.split()]
    bench.figure("log of two values and should_stop, median", median(times), "us", at_most=50)
    bench.figure("the same, 95th percentile", quantiles(times, n=20)[-1], "us")
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import tuiae"], check=True)
    whole = time.perf_counter() - began
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", ""], check=True)
    bench.figure("import tuiae", whole - (time.perf_counter() - began), "s", at_most=0.05)
