"""Seconds an epoch: tuiae, and what people would write instead, in processes of their own that take turns.

Everybody trains on every image, batch 1000, Adam, dropout on, and evaluates on the test split after every epoch. An
epoch of tuiae also measures as many training images with dropout off, stores a sample and a checkpoint, and records its
events. Medians of every epoch after the first of a process, which compiles, connects and warms up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

from tests.benchmarks.bench import TUIAE as TUIAE_COMMAND
from tests.benchmarks.bench import Bench, await_end, describe_machine, new_run, read_events, renew_table
from tests.benchmarks.peers import BATCH, FLOOR, PEERS
from tuiae.data.datasets import prepare
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import start_worker

NEEDS_DATA = True
TUIAE, BUSY = "tuiae", "tuiae beside a busy process"


@dataclass(frozen=True)
class Case:
    """A network, the preset that is the same, and how much faster than each peer it shall be."""

    work: str
    preset: str
    dataset: str
    limits: tuple[int, int]
    """Training and test images."""
    epochs: int
    at_least: tuple[float, float, float]
    """Than the loop, Lightning, and the faster Keras."""
    settings: tuple[tuple[str, object], ...] = ()


# Convolutions take a minute an epoch of 60,000 images by some: all are given a fifth of them.
CASES = (
    Case("dense 64", "dense_64", "mnist", (60_000, 10_000), 3, (9, 9, 1.3)),
    Case("dense 512", "dense_64", "mnist", (60_000, 10_000), 3, (3, 3, 1), (("model.latent", 512),)),
    Case("conv 256", "conv_256", "fashion-mnist", (12_000, 2_000), 2, (4, 4, 4)),
    Case("conv VAE", "conv_vae_2d", "fashion-mnist", (12_000, 2_000), 2, (3, 3, 3)),
)
EPOCHS = 6  # of each, in processes that take turns
ROUNDS = 3  # of everything else
SWEEP = """name = "{name}"
preset = "{preset}"
[set]
"training.epochs" = {epochs}
"training.device" = "cpu"
[grid]
"training.seed" = [0, 1, 2, 3]
"""


def measure(bench: Bench) -> None:
    measure_whole_program(bench)
    measure_jobs(bench)
    lines = [f"{describe_machine()}; {time.strftime('%Y-%m-%d')}.", ""]
    lines += ["| work | " + " | ".join(("tuiae", *PEERS, "busy / alone", "floor")) + " |", "|---" * 8 + "|"]
    for case in CASES:
        unpack(case, bench.root)
        times = contest(bench, case)
        lines.append(report(bench, case, times))
    if not bench.quick:
        renew_table("training", "\n".join(lines) + "\n")


def measure_whole_program(bench: Bench) -> None:
    """What `tuiae run` takes besides its epochs, from the prompt to the prompt."""
    outside = []
    for _ in range(bench.rounds(ROUNDS)):
        began = time.perf_counter()
        words = [
            TUIAE_COMMAND,
            "run",
            "dense_64",
            "--json",
            "--set",
            "training.epochs=3",
            "--set",
            "training.device=cpu",
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
        ends = evaluation_times(RunPaths(Path(json.loads(done.stdout)["dir"])))
        outside.append(seconds - 3 * median(after - before for before, after in pairwise(ends)))
    bench.figure("tuiae run dense_64, outside its epochs", median(outside), "s", at_most=2.5)


def measure_jobs(bench: Bench) -> None:
    """A sweep one run after the other, and with as many workers as `--jobs auto` takes."""
    for preset, epochs in (("quickstart", 40), ("dense_64", 3)):
        times: dict[str, list[float]] = {"1": [], "auto": []}
        for turn in range(bench.rounds(ROUNDS)):
            for jobs in ("1", "auto"):
                file = bench.root / f"{preset}-{jobs}-{turn}.toml"
                file.write_text(SWEEP.format(name=file.stem, preset=preset, epochs=epochs))
                began = time.perf_counter()
                subprocess.run([TUIAE_COMMAND, "sweep", file, "--jobs", jobs], capture_output=True, check=True)
                times[jobs].append(time.perf_counter() - began)
        name = f"a sweep of four runs of {preset}, --jobs 1 / --jobs auto"
        bench.figure(name, median(times["1"]) / median(times["auto"]), "x")


def contest(bench: Bench, case: Case) -> dict[str, list[float]]:
    """Let them take turns, each round in the other order; seconds of every epoch after the first."""
    names = [TUIAE, *PEERS, BUSY, *([FLOOR] if case.work.startswith("dense") else [])]
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(bench.rounds(EPOCHS // case.epochs)):
        for name in names:
            own = name in (TUIAE, BUSY)
            times[name] += train_here(bench, case, name == BUSY) if own else train_there(bench, case, name)
        names.reverse()
    return times


def report(bench: Bench, case: Case, times: dict[str, list[float]]) -> str:
    """Print the figures of a case, and give them as a row of a table."""
    medians = {name: median(seconds) for name, seconds in times.items() if seconds}
    own = medians[TUIAE]
    for name, seconds in medians.items():
        bench.figure(f"{case.work}, {name}, an epoch", seconds, "s")
    keras = min((name for name in medians if name.startswith("Keras")), key=medians.__getitem__, default="")
    for name, target in zip((PEERS[0], PEERS[1], keras), case.at_least, strict=True):
        if name in medians:
            bench.figure(f"{case.work}, {name} / tuiae", medians[name] / own, "x", at_least=target)
    bench.figure(f"{case.work}, {BUSY} / alone", medians[BUSY] / own, "x", at_most=1.7)
    if FLOOR in medians:
        bench.figure(f"{case.work}, tuiae / {FLOOR}", own / medians[FLOOR], "x", at_most=1.6)
    cells = [f"{own:.3g} s ({min(times[TUIAE]):.3g} to {max(times[TUIAE]):.3g})"]
    cells += [f"{medians[name]:.3g} s, {medians[name] / own:.2g}x" if name in medians else "–" for name in PEERS]
    cells += [f"{medians[BUSY] / own:.2g}x", f"{own / medians[FLOOR]:.2g}x" if FLOOR in medians else "–"]
    return f"| {case.work} | " + " | ".join(cells) + " |"


def train_here(bench: Bench, case: Case, busy: bool) -> list[float]:
    """A worker as users have it; beside a process that does nothing but count, where that is asked for."""
    limits = {"data.train_limit": case.limits[0], "data.test_limit": case.limits[1]}
    settings = {"training.batch_size": BATCH, **limits, **dict(case.settings)}
    run = new_run(bench.config(case.preset, case.epochs + 1, **settings))
    beside = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        await_end(run, start_worker(run))
    finally:
        if beside is not None:
            beside.kill()
            beside.wait()
    return [after - before for before, after in pairwise(evaluation_times(run))]


def evaluation_times(run: RunPaths) -> list[float]:
    """When each epoch of a run was evaluated."""
    return [event["time"] for event in read_events(run) if event["kind"] == "metric" and event["split"] == "test"]


def train_there(bench: Bench, case: Case, peer: str) -> list[float]:
    """Another's process; nothing where its package is not installed, or fails."""
    limits = (5000, 1000) if bench.quick else case.limits
    asked = [peer, case.work, bench.root / "peers", case.dataset, *limits, case.epochs + 1]
    command = [sys.executable, "-m", "tests.benchmarks.peers", *map(str, asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        print(f"  {case.work}, {peer}: {last}")
        return []
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])["seconds"][1:]
    return seconds


def unpack(case: Case, root: Path) -> None:
    """Lay the images where torchvision looks for what it has downloaded, and as Keras downloads them."""
    name = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[case.dataset]
    raw = root / "peers" / name / "raw"
    if raw.exists():
        return
    raw.mkdir(parents=True)
    splits = prepare(case.dataset)
    arrays = {}
    for words, prefix, images, labels in (
        ("train", "train", splits.train_images, splits.train_labels),
        ("test", "t10k", splits.test_images, splits.test_labels),
    ):
        arrays[f"x_{words}"] = images[:, 0]
        sizes = b"".join(size.to_bytes(4, "big") for size in arrays[f"x_{words}"].shape)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + images.tobytes())
        head = b"\0\0\x08\x01" + len(labels).to_bytes(4, "big")
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.astype(np.uint8).tobytes())
    np.savez(root / "peers" / f"{case.dataset}.npz", **arrays)
