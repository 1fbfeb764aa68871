"""What a dashboard holds in memory once an hour of a run's events is read, and while more come; and how long a million
events take."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench, new_run, read_events
from tests.benchmarks.startup import await_silence, is_painted, split
from tests.terminal import Terminal
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import RunWriter

NEEDS_DATA = False
EVENTS, MORE = 100_000, 20_000
MILLION = 1_000_000
STEPS_PER_EPOCH = 600
LIVE_STEPS = 12  # fifty live points an epoch
CHUNK = 500  # events that are appended at once while the dashboard watches
MOST = 125  # MB


def measure(bench: Bench) -> None:
    events, more = (2000, 500) if bench.quick else (EVENTS, MORE)
    run = new_run(bench.config("dense_64", 100_000))
    writer = RunWriter(run)
    try:
        writer.status(now=True, state="running", phase="training", epochs=100_000, steps_per_epoch=STEPS_PER_EPOCH)
        history = records(writer)
        append(run, history, events)
        watch_it(bench, run, history, (events, more))
        append(run, history, (10_000 if bench.quick else MILLION) - events - more)
    finally:
        writer.close("stopped")
    read_all_of_it(bench, run)


def read_all_of_it(bench: Bench, run: RunPaths) -> None:
    """Show a run of a million events, and open it."""
    size = f"{run.events.stat().st_size / 1e6:.0f} MB of events"
    waits = []
    for _ in range(bench.rounds(3)):
        began = time.monotonic()
        subprocess.run([TUIAE, "show", run.id], check=True, capture_output=True)
        waits.append(time.monotonic() - began)
    bench.figure(f"show, {size}", min(waits), "s", at_most=3)
    last = newest_warning(run)
    began = time.monotonic()
    with Terminal([TUIAE, "attach", run.id], COLUMNS, ROWS) as terminal:
        terminal.wait_for(lambda text: is_painted(text) and last in text, 60)
        bench.figure(f"dashboard until all of {size} is drawn", time.monotonic() - began, "s")
        await_silence(terminal, silence=3.0, deadline=60.0)
        bench.figure(f"dashboard, resident memory after {size}", resident(terminal), "MB", at_most=200)


def watch_it(bench: Bench, run: RunPaths, history: Iterator[dict[str, Any]], counts: tuple[int, int]) -> None:
    """Open the run, and let it go on."""
    events, more = counts
    last = newest_warning(run)
    with Terminal([TUIAE, "attach", run.id], COLUMNS, ROWS) as terminal:
        terminal.wait_for(lambda text: is_painted(text) and last in text, 60)
        await_silence(terminal, silence=3.0, deadline=60.0)
        before = resident(terminal)
        bench.figure(f"dashboard, resident memory after {events:,} events", before, "MB", at_most=MOST)
        for _ in range(more // CHUNK):
            append(run, history, CHUNK)
            time.sleep(0.25)
        terminal.wait_for(newest_warning(run), 60)
        await_silence(terminal, silence=3.0, deadline=60.0)
        bench.figure(f"the same after {more:,} more while it watches", resident(terminal), "MB", at_most=MOST)
        bench.figure("grown by", resident(terminal) - before, "MB", at_most=2)


def newest_warning(run: RunPaths) -> str:
    """How the last warning in the log ends, on the last of its lines; nothing else shows this number so."""
    return next(event["text"] for event in reversed(read_events(run)) if event["kind"] == "warning").rpartition(" ")[2]


def resident(terminal: Terminal) -> float:
    """MB of the dashboard's own process."""
    dashboard, _ = split(terminal.usage(), terminal.pid)
    return sum(one.rss for one in dashboard) / 1e6


def append(run: RunPaths, history: Iterator[dict[str, Any]], count: int) -> None:
    lines = [json.dumps(record, separators=(",", ":")) + "\n" for record, _ in zip(history, range(count), strict=False)]
    with open(run.events, "a", encoding="utf-8") as file:
        file.write("".join(lines))


def records(writer: RunWriter) -> Iterator[dict[str, Any]]:
    """A long training as its worker records it: live points, the metrics of epochs, samples, checkpoints, warnings."""
    chance = np.random.default_rng(0)
    sequence = 0
    pictures = {name: chance.integers(0, 255, (10, 1, 28, 28), np.uint8) for name in ("inputs", "noisy")}
    codes = {"codes": chance.normal(size=(2000, 2)).astype(np.float32), "code_labels": chance.integers(0, 10, 2000)}

    def record(kind: str, **fields: Any) -> dict[str, Any]:
        nonlocal sequence
        sequence += 1
        return {"v": 1, "seq": sequence, "time": time.time(), "kind": kind, **fields}

    def metric(split: str, step: int, epoch: float, *names: str) -> dict[str, Any]:
        values = {name: float(chance.lognormal(-1 - epoch / 1000, 0.1)) for name in names}
        return record("metric", split=split, step=step, epoch=epoch, values=values)

    yield record("start", step=0, epoch=0, text="training from the first step")
    for epoch in range(1, 100_000):
        end = epoch * STEPS_PER_EPOCH
        for step in range(end - STEPS_PER_EPOCH + LIVE_STEPS, end + 1, LIVE_STEPS):
            yield metric("live", step, step / STEPS_PER_EPOCH, "loss", "mse", "wrong_pixels")
        for split_name in ("train", "train-eval", "test"):
            yield metric(split_name, end, epoch, "loss", "mse", "wrong_pixels")
        yield metric("code", end, epoch, "dead")
        yield metric("speed", end, epoch, "epoch_seconds", "images_per_second")
        yield record("checkpoint", epoch=epoch, step=end)
        if epoch % 50 == 0:
            writer.sample(epoch, reconstructions=pictures["inputs"], **pictures, **codes)
            yield record("sample", epoch=epoch)
        if epoch % 20 == 0:
            yield record("warning", text=f"a batch took ten times as long as the others in epoch {epoch}")
