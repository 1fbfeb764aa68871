"""What it costs a loop of somebody's own to be tracked."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from statistics import median, quantiles

from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench
from tests.benchmarks.startup import is_painted
from tests.terminal import Terminal

NEEDS_DATA = False
STEPS = 200  # an epoch

LOOP = """
import sys, time
import torch, tuiae
times, loss = [], torch.tensor(0.5)
with tuiae.track("bench", steps_per_epoch={steps}) as run:
    print(run.id, flush=True)
    sys.stdin.readline()
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
    for name, watches in (("log of two values and should_stop", False), ("the same with a dashboard open", True)):
        times = log_times(code, watches)
        bench.figure(f"{name}, median", median(times), "us", at_most=50)
        bench.figure("  95th percentile", quantiles(times, n=20)[-1], "us")
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import tuiae"], check=True)
    whole = time.perf_counter() - began
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", ""], check=True)
    bench.figure("import tuiae", whole - (time.perf_counter() - began), "s", at_most=0.05)


def log_times(code: str, watches: bool) -> list[float]:
    """Microseconds of each call, while a dashboard `watches` the run or not."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as loop, ExitStack() as stack:
        assert loop.stdin is not None
        assert loop.stdout is not None
        run = loop.stdout.readline().strip()
        if watches:
            terminal = stack.enter_context(Terminal([TUIAE, "attach", run], COLUMNS, ROWS))
            terminal.wait_for(lambda text: is_painted(text) and "running" in text, 30)
        loop.stdin.write("\n")
        loop.stdin.flush()
        return [int(word) / 1000 for word in loop.stdout.read().split()]
