"""How long until one sees something, and what the dashboard costs while nothing happens."""

from __future__ import annotations

import subprocess
import time
from statistics import median

from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench
from tests.terminal import Terminal, Usage

NEEDS_DATA = False
PAINTED = 40  # non-blank cells that count as a first paint
FORM = "r starts"  # what the dashboard says once the form is filled and checked
WARM = "warm · torch"  # and once its standby worker is ready


def measure(bench: Bench) -> None:
    version(bench)
    first_paint(bench)
    idle(bench)


def version(bench: Bench) -> None:
    times = []
    for _ in range(bench.rounds(20) + 2):
        began = time.perf_counter()
        subprocess.run([TUIAE, "--version"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    bench.figure("tuiae --version", median(times[2:]), "s", at_most=0.15)


def first_paint(bench: Bench) -> None:
    paints, forms = [], []
    for _ in range(bench.rounds(7) + 1):
        with Terminal([TUIAE], COLUMNS, ROWS) as terminal:
            paints.append(terminal.wait_for(is_painted, 30) - terminal.started)
            forms.append(terminal.wait_for(FORM, 30) - terminal.started)
    # The first one reads from the disk what the others find in memory.
    bench.figure("dashboard, first paint", median(paints[1:]), "s", at_most=0.5)
    bench.figure("dashboard, form filled and checked", median(forms[1:]), "s")


def is_painted(text: str) -> bool:
    return sum(not cell.isspace() for cell in text) > PAINTED


def idle(bench: Bench) -> None:
    """Nothing is pressed and no run is open; the standby worker waits, warm."""
    seconds = 2.0 if bench.quick else 10.0
    with Terminal([TUIAE], COLUMNS, ROWS) as terminal:
        terminal.wait_for(WARM, 120)
        await_silence(terminal)
        cpu, rate = watch(terminal, seconds)
        used = terminal.usage()
        dashboard, others = split(used, terminal.pid)
        bench.figure("dashboard, idle CPU", 100 * cpu.get(terminal.pid, 0.0), "% core", at_most=5)
        bench.figure("standby worker, idle CPU", 100 * sum(cpu.get(one.pid, 0.0) for one in others), "% core")
        bench.figure("dashboard, idle output to the terminal", rate, "bytes/s")
        bench.figure("dashboard, resident memory", sum(one.rss for one in dashboard) / 1e6, "MB")
        bench.figure("standby worker, resident memory", sum(one.rss for one in others) / 1e6, "MB")


def await_silence(terminal: Terminal, silence: float = 1.0, deadline: float = 15.0) -> None:
    """Until nothing was written for a second; what never falls silent is measured as it is."""
    end, last = time.monotonic() + deadline, -1
    while terminal.received != last and time.monotonic() < end:
        last = terminal.received
        time.sleep(silence)


def split(used: list[Usage], pid: int) -> tuple[list[Usage], list[Usage]]:
    return [one for one in used if one.pid == pid], [one for one in used if one.pid != pid]


def watch(terminal: Terminal, seconds: float) -> tuple[dict[int, float], float]:
    """For so long: cores used by each process, and bytes a second sent to the terminal."""
    began, received = time.monotonic(), terminal.received
    before = {one.pid: one.cpu for one in terminal.usage()}
    time.sleep(seconds)
    after = {one.pid: one.cpu for one in terminal.usage()}
    passed = time.monotonic() - began
    cpu = {pid: (used - before.get(pid, 0.0)) / passed for pid, used in after.items()}
    return cpu, (terminal.received - received) / passed
