"""The most memory that a worker holds while it trains on the CPU."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.benchmarks.bench import Bench, await_end, new_run
from tuiae.runs.process import start_worker

NEEDS_DATA = True
LOOK_SECONDS = 0.02
PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def measure(bench: Bench) -> None:
    if not Path("/proc/self/status").exists():
        print("  skipped: the peak is read from /proc, which this system does not have")
        return
    run = new_run(bench.config("conv_256", epochs=1))
    process, peak = start_worker(run), 0
    while process.poll() is None:
        peak = max(peak, high_water(process.pid))
        time.sleep(LOOK_SECONDS)
    await_end(run, process)
    bench.figure("worker, conv_256 on Fashion-MNIST, peak resident memory", peak / 1e9, "GB", at_most=1.2)


def high_water(pid: int) -> int:
    """Bytes. Unlike rusage this does not count what the parent held when it forked; 0 once the process has ended."""
    try:
        found = PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
