"""A runs directory that holds a thousand runs: listing them, and the keys of their list on the screen."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from statistics import median, quantiles

from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench, await_end, new_run
from tests.benchmarks.startup import await_silence, split, watch
from tests.terminal import DOWN, UP, Terminal
from tuiae.files import read_json, replace_json, replace_text
from tuiae.runs.paths import CONFIG_DIGEST, RunPaths, list_runs, runs_dir
from tuiae.runs.process import start_worker

NEEDS_DATA = False
RUNS = 1000
LIST = """
import sys, time
from pathlib import Path
import psutil
from tuiae.runs.listing import RunLister
before, began = psutil.Process().memory_info().rss, time.perf_counter()
lister = RunLister(Path(sys.argv[1]))
first = len(lister.rows(most=60)), time.perf_counter() - began
every = len(lister.rows()), time.perf_counter() - began
known = len(lister.rows(histories=True)), time.perf_counter() - began
began = time.perf_counter()
for _ in range(10):
    lister.rows(histories=True)
again = (time.perf_counter() - began) / 10
print(first[1], every[1], known[1], again, (psutil.Process().memory_info().rss - before) / 1e6)
"""


def measure(bench: Bench) -> None:
    root = runs_dir()
    count = 100 if bench.quick else RUNS
    fill(bench, count)
    found = [list_them() for _ in range(bench.rounds(5))]
    first, every, known, again, memory = (median(column) for column in zip(*found, strict=True))
    bench.figure(f"{count} runs, the newest 60 listed", 1000 * first, "ms")
    bench.figure(f"{count} runs, all listed the first time", 1000 * every, "ms")
    bench.figure(f"{count} runs, with their best losses", 1000 * known, "ms")
    bench.figure(f"{count} runs, listed again", 1000 * again, "ms", at_most=50)
    bench.figure(f"{count} runs, memory of the list", memory, "MB")
    on_screen(bench, count)
    shutil.rmtree(root)


def fill(bench: Bench, count: int) -> None:
    """Train one small run and copy it, each with an id, an end, a state and a time of its own."""
    config = bench.config("quickstart", epochs=20)
    run = new_run(config)
    await_end(run, start_worker(run))
    shutil.rmtree(run.weights)
    status, meta, text = read_json(run.status), read_json(run.meta), run.config.read_text()
    del meta[CONFIG_DIGEST]  # each copy gets a config of its own
    chance = random.Random(0)
    for number in range(count - 1):
        copy = RunPaths(run.root.with_name(f"20250101-{number:06d}-quickstart-{number % 65536:04x}"))
        shutil.copytree(run.root, copy.root)
        loss, age = chance.uniform(0.001, 0.1), chance.uniform(0, 1e7)
        state = chance.choice(("finished", "finished", "finished", "stopped", "failed"))
        replace_json(copy.status, {**status, "state": state, "test_loss": loss, "heartbeat": time.time() - age})
        replace_json(copy.meta, {**meta, "tags": [f"sweep:{number % 7}"]})
        replace_text(copy.config, text.replace("seed = 0", f"seed = {number}"))


def list_them() -> tuple[float, ...]:
    """In a process that has listed nothing yet."""
    done = subprocess.run([sys.executable, "-c", LIST, str(runs_dir())], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def on_screen(bench: Bench, count: int) -> None:
    """From the key of the list to its rows, then the keys in it."""
    with Terminal([TUIAE], COLUMNS, ROWS) as terminal:
        terminal.wait_for("r starts", 60)
        await_silence(terminal)
        sent = terminal.send("1")
        listed = terminal.wait_for("▸ ", 30) - sent  # studies, folded
        bench.figure(f"{count} runs, key 1 to the first rows", 1000 * listed, "ms")
        terminal.wait_for(f"runs · {len(list_runs(runs_dir()))} ", 60)
        terminal.send("g")  # every run by itself
        terminal.wait_for(lambda text: "▸ " not in text, 10)
        await_silence(terminal)
        for name, keys in (
            ("cursor", (DOWN, DOWN, DOWN, UP)),
            ("page", ("\x1b[6~", "\x1b[6~", "\x1b[5~")),
            ("sort", ("s",)),
            ("select", (" ",)),
        ):
            waits = [1000 * pressed(terminal, key) for key in keys * bench.rounds(60 // len(keys))]
            figures(bench, f"{count} runs, {name}", waits)
        terminal.send("/")
        terminal.wait_for("key:value", 10)
        words = "state:finished loss:<0.05 -tag:sweep:3"
        figures(bench, f"{count} runs, a key of the filter", [1000 * pressed(terminal, key) for key in words])
        terminal.wait_for(f" of {len(list_runs(runs_dir()))}", 10)
        terminal.send("\x1b")
        await_silence(terminal)
        cpu, rate = watch(terminal, 2.0 if bench.quick else 10.0)
        dashboard = split(terminal.usage(), terminal.pid)[0]
        bench.figure(f"{count} runs on the screen, idle CPU", 100 * cpu.get(terminal.pid, 0.0), "% core", at_most=5)
        bench.figure(f"{count} runs on the screen, idle output", rate, "bytes/s")
        bench.figure(f"{count} runs on the screen, resident memory", sum(one.rss for one in dashboard) / 1e6, "MB")


def pressed(terminal: Terminal, key: str) -> float:
    """Seconds to the first output; then a moment, as between the keys of a fast typist."""
    took = terminal.latency(key)
    time.sleep(0.05)
    return took


def figures(bench: Bench, name: str, waits: list[float]) -> None:
    bench.figure(f"{name}, median", median(waits), "ms", at_most=30)
    if len(waits) > 1:
        bench.figure(f"{name}, 95th percentile", quantiles(waits, n=20)[-1], "ms", at_most=60)
