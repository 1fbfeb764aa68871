"""Many epochs, and many images: whether time, memory and files stay in proportion."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

from tests.benchmarks.bench import Bench, await_end, new_run, read_events
from tuiae.runs.process import start_worker
from tuiae.runs.reader import read_status

NEEDS_DATA = True
EPOCHS = 20_000
LOOK_SECONDS = 0.05
SIZES = (15_000, 60_000)


def measure(bench: Bench) -> None:
    measure_epochs(bench, 2000 if bench.quick else EPOCHS)
    measure_images(bench)


def measure_epochs(bench: Bench, epochs: int) -> None:
    """The 32 glyphs, one batch an epoch, as in tp5-2022."""
    run = new_run(
        bench.config("glyphs_2d", epochs, **{"checkpoint.every": epochs // 10, "samples.every": epochs // 10})
    )
    process = start_worker(run)
    early = late = 0
    while process.poll() is None:
        if not early and read_status(run).epoch >= epochs // 10:
            early = resident(process.pid)
        if read_status(run).state == "running":  # and not while the process takes PyTorch down
            late = resident(process.pid) or late
        time.sleep(LOOK_SECONDS)
    await_end(run, process)
    ends = [event["time"] for event in read_events(run) if event["kind"] == "metric" and event["split"] == "test"]
    tenth = epochs // 10
    first, last = ends[tenth] - ends[0], ends[-1] - ends[-1 - tenth]
    bench.figure(f"{epochs:,} epochs of the glyphs", ends[-1] - ends[0], "s", at_most=12 * epochs / EPOCHS)
    bench.figure("an epoch of the last tenth / of the first", last / first, "x", at_most=1.1)
    bench.figure("memory at the end / after a tenth", late / early, "x", at_most=1.02)
    bench.figure("events.jsonl, an epoch", run.events.stat().st_size / epochs, "bytes")


def measure_images(bench: Bench) -> None:
    """An epoch of dense_64 on a quarter of the images, four times, and on all."""
    times: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(bench.rounds(3)):
        for size in SIZES:
            run = new_run(bench.config("dense_64", 4, **{"data.train_limit": size, "data.test_limit": size // 6}))
            await_end(run, start_worker(run))
            events = (event for event in read_events(run) if event["kind"] == "metric" and event["split"] == "speed")
            times[size] += [event["values"]["epoch_seconds"] / size for event in events][1:]
    few, many = (median(times[size]) for size in SIZES)
    bench.figure("dense_64, an image of 60,000 / of 15,000", many / few, "x", at_most=1.1)


def resident(pid: int) -> int:
    """Bytes; 0 once the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * 4096
    except (OSError, IndexError):
        return 0
