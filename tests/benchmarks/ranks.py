"""Seconds an epoch by one process with a shard on each of two cores, and by two processes with a shard each."""

from __future__ import annotations

from statistics import median

from tests.benchmarks.bench import Bench, await_end, new_run
from tuiae.runs.process import start_worker
from tuiae.runs.reader import RunReader

NEEDS_DATA = True
CASES = {"dense_64": {}, "conv_256": {"data.train_limit": 12_000, "data.test_limit": 2_000}}
SHARDS = 2


def measure(bench: Bench) -> None:
    for preset, settings in CASES.items():
        seconds: dict[int, list[float]] = {1: [], SHARDS: []}
        for _ in range(bench.rounds(3)):
            for devices, found in seconds.items():  # in turns
                more = {"training.devices": devices, "training.shards": SHARDS, **settings}
                run = new_run(bench.config(preset, 3, **more))
                await_end(run, start_worker(run))
                found += RunReader(run.root).read_all().series["speed", "epoch_seconds"].values.tolist()[1:]
        alone, shared = map(median, seconds.values())
        bench.figure(f"{preset}, an epoch by one process, {SHARDS} shards", alone, "s")
        bench.figure(f"{preset}, an epoch by {SHARDS} processes, a shard each", shared, "s")
        bench.figure(f"{preset}, {SHARDS} processes are so many times as fast", alone / shared)
