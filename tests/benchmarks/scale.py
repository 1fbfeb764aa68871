"""A runs directory that holds ten thousand runs: what commands and the dashboard take, and ask of the disk."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench, await_end, new_run
from tests.benchmarks.startup import await_silence, split, watch
from tests.terminal import COLD, DOWN, UP, Terminal
from tuiae.config.document import fingerprint, parse_toml
from tuiae.files import read_json
from tuiae.runs.paths import CONFIG_DIGEST, RunPaths, runs_dir
from tuiae.runs.process import process_start, start_worker

NEEDS_DATA = False
RUNS = 10_000
KINDS = {"quickstart": 30, "digits_vae": 20, "digits_classifier": 20}
"""The presets that are trained, and for how many epochs; all runs are copies of these."""
STATES = ("finished",) * 16 + ("stopped", "stopped", "failed", "running")
"""Of the copies; the workers of those that were running have died, but for LIVE of them."""
LIVE = 20
LIST = """
import sys, time
from pathlib import Path
import psutil
from tuiae.runs.listing import RunLister
before, began = psutil.Process().memory_info().rss, time.process_time()
def took():
    global began
    seconds, began = time.process_time() - began, time.process_time()
    return seconds
lister = RunLister(Path(sys.argv[1]))
first = len(lister.rows(most=60)) and took()
every = len(lister.rows()) and took()
known = len(lister.rows(histories=True)) and took()
whole = len(lister.rows(histories=True)) and took()
part = len(lister.rows(histories=True, whole=False)) and took()
print(first, every, known, whole, part, (psutil.Process().memory_info().rss - before) / 1e6)
"""


def measure(bench: Bench) -> None:
    root, count = runs_dir(), 300 if bench.quick else RUNS
    runs = []
    for preset, epochs in KINDS.items():
        runs.append(new_run(bench.config(preset, epochs)))
        await_end(runs[-1], start_worker(runs[-1]))
    fill(runs, count)
    first, every, known, whole, part, memory = (
        median(column) for column in zip(*(list_them() for _ in range(bench.rounds(3))), strict=True)
    )
    bench.figure(f"{count} runs, CPU for the newest 60", 1000 * first, "ms")
    bench.figure(f"{count} runs, CPU for all of them", 1000 * every, "ms")
    bench.figure(f"{count} runs, CPU for their histories", 1000 * known, "ms")
    bench.figure(f"{count} runs, CPU for a look at all again", 1000 * whole, "ms")
    bench.figure(f"{count} runs, CPU for a look at rest", 1000 * part, "ms")
    bench.figure(f"{count} runs, memory of the list", memory, "MB")
    for words in ("runs", "runs --json", "runs --tag twenty", "compare --tag twenty", "show last"):
        times = [on_the_command_line(words.split()) for _ in range(bench.rounds(3))]
        bench.figure(f"{count} runs, CPU of tuiae {words}", median(times), "s")
    on_screen(bench, count)
    for words in ("label last --note new", "delete --tag sweep:large --yes"):  # three in ten of all
        bench.figure(f"{count} runs, CPU of tuiae {words}", on_the_command_line(words.split()), "s")
    shutil.rmtree(root)


def fill(runs: Sequence[RunPaths], count: int) -> None:
    """Copy runs until there are so many, each with an id, settings, an end and a time of its own: 30 in 100 are of
    one large sweep, 30 of sweeps of a hundred, 20 in all of a comparison, the rest by themselves.

    What is large is a link to the same file, and the weights are left out.
    """
    chance = random.Random(0)
    for number in range(count - len(runs)):
        _copy(chance.choice(runs), number, chance, live=count - number <= LIVE)


def _copy(run: RunPaths, number: int, chance: random.Random, live: bool) -> None:
    name = f"20250{number // 1000:03}-{number:06}-{run.id.split('-')[2]}-{number:04x}"
    copy = RunPaths(run.root.with_name(name))
    for folder in (copy.root, copy.samples, copy.weights, copy.control):
        folder.mkdir(mode=0o700)
    for path in (run.events, run.images, run.log, run.lock, run.sample(1)):
        os.link(path, copy.root / path.relative_to(run.root))
    part, text = number % 100, run.config.read_text()
    tags = ["sweep:large"] if part >= 70 else [f"sweep:of_{number // 333}"] if part >= 40 else []
    tags = ["twenty"] if part == 0 and number < 2000 else [] if live else tags  # a live run is not deleted
    settings = {"seed": number % 10, "learning_rate": chance.uniform(1e-4, 1e-2), "latent": 2 + number % 7}
    for key, value in settings.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    state, loss, age = chance.choice(STATES), chance.uniform(0.001, 0.1), chance.uniform(0, 1e7)
    status = {"state": state, "test_loss": loss, "heartbeat": time.time() - age, "pid": 4_000_000}
    if live:
        status |= {"state": "running", "pid": os.getpid(), "process_start": process_start(os.getpid())}
    _write(copy.status, read_json(run.status) | status)
    _write(copy.meta, read_json(run.meta) | {"tags": tags, CONFIG_DIGEST: fingerprint(parse_toml(text))})
    copy.config.write_text(text)
    os.link(copy.config, copy.config_copy)
    if number % 20 == 0:
        _write(copy.label, {"v": 1, "name": f"named {number}", "note": "a note", "pinned": False})


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1))


def list_them() -> tuple[float, ...]:
    """In a process that has listed nothing yet."""
    done = subprocess.run([sys.executable, "-c", LIST, str(runs_dir())], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def on_the_command_line(words: Sequence[str]) -> float:
    """Seconds of CPU."""
    before = os.times()
    subprocess.run([TUIAE, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def on_screen(bench: Bench, count: int) -> None:
    """From the key of the list to its rows, then the keys in it, and what it asks of the disk at rest."""
    with Terminal(COLD, COLUMNS, ROWS) as terminal:
        terminal.wait_for("r starts", 60)
        await_silence(terminal)
        sent = terminal.send("1")
        listed = terminal.wait_for("▸ ", 60) - sent  # studies, folded
        bench.figure(f"{count} runs, key 1 to the first rows", listed, "s")
        complete = terminal.wait_for(f"runs · {count} ", 60) - sent
        bench.figure(f"{count} runs, key 1 to all rows", complete, "s", at_most=2)
        await_silence(terminal, 3.0, 60)
        for name, keys, times in (
            ("group", ("g",), 5),  # once more than not: then every run stands by itself
            ("cursor", (DOWN, DOWN, DOWN, UP), 5),
            ("page", ("\x1b[6~", "\x1b[6~", "\x1b[5~"), 5),
            ("sort", ("s",), 8),
            ("select", (" ",), 8),
        ):
            figures(bench, f"{count} runs, {name}", [1000 * pressed(terminal, key) for key in keys * times])
        terminal.send("/")
        terminal.wait_for("key:value", 10)
        words = "state:finished loss:<0.05"
        figures(bench, f"{count} runs, a key of the filter", [1000 * pressed(terminal, key) for key in words])
        terminal.wait_for(f" of {count}", 10)
        terminal.send("\x1b")
        await_silence(terminal)
        cpu, rate = watch(terminal, 2.0 if bench.quick else 20.0)
        dashboard = split(terminal.usage(), terminal.pid)[0]
        bench.figure(f"{count} runs on the screen, idle CPU", 100 * cpu.get(terminal.pid, 0.0), "% core", at_most=5)
        bench.figure(f"{count} runs on the screen, idle output", rate, "bytes/s")
        memory = sum(one.rss for one in dashboard) / 1e6
        bench.figure(f"{count} runs on the screen, resident memory", memory, "MB", at_most=300)
        asked_of_the_disk(bench, count, terminal.pid)


def asked_of_the_disk(bench: Bench, count: int, pid: int) -> None:
    """What a look at rest asks of the disk, by the system calls of ten seconds, which are five looks."""
    if shutil.which("strace") is None:
        return
    seconds = 10
    calls = "stat,lstat,newfstatat,statx,open,openat,getdents64"
    trace = ["timeout", "-s", "INT", str(seconds), "strace", "-f", "-qq", "-e", f"trace={calls}", "-p", str(pid)]
    lines = subprocess.run(trace, capture_output=True, text=True, check=False).stderr.splitlines()
    root = str(runs_dir())
    stats = [line for line in lines if root in line and re.search(r"\b(l?stat|newfstatat|statx)\(", line)]
    opens = [line for line in lines if root in line and "open" in line]
    looks = seconds / 2
    bench.figure(f"{count} runs on the screen, stats a look", len(stats) / looks, "", at_most=count)
    bench.figure(f"{count} runs on the screen, files opened a look, {LIVE} live", len(opens) / looks)


def pressed(terminal: Terminal, key: str) -> float:
    """Seconds to the first output; then a moment, as between the keys of a fast typist."""
    took = terminal.latency(key)
    time.sleep(0.05)
    return took


def figures(bench: Bench, name: str, waits: list[float]) -> None:
    bench.figure(f"{name}, median", median(waits), "ms", at_most=100)
    if len(waits) > 1:
        bench.figure(f"{name}, 95th percentile", quantiles(waits, n=20)[-1], "ms")
