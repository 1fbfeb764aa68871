"""Seconds an epoch: the loop that people write today against tuiae's own path, in one process, taking turns.

An epoch of the loop trains on every image and evaluates on the test split. An epoch of tuiae does that as well, and
also measures as many training images with dropout off, stores a sample and a checkpoint, and records its events.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets
from torchvision.transforms import ToTensor

from tests.benchmarks.bench import Bench, new_run, real_data
from tuiae.runs.reader import RunReader
from tuiae.runs.writer import RunWriter
from tuiae.training.control import Mailbox
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up

NEEDS_DATA = True
BATCH = 1000

Contestant = Callable[[int], tuple[float, float]]
"""Trains so many epochs from fresh weights; gives the seconds of one, and the test loss at the end."""


@dataclass(frozen=True)
class Case:
    """A network as people write it, and the preset that is the same."""

    title: str
    preset: str
    network: Callable[[], nn.Module]
    dataset: type[datasets.MNIST]
    source: str
    workers: tuple[int, ...]
    rounds: int
    epochs: int
    at_least: float


def dense() -> nn.Module:
    """politano-2020: 784-64-784."""
    encoder = (nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Dropout(0.1))
    return nn.Sequential(*encoder, nn.Linear(64, 784), nn.ReLU(), nn.Unflatten(1, (1, 28, 28)))


def conv() -> nn.Module:
    """pacheco-2023, n = 256."""
    encoder = (
        *(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Dropout(0.2), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Dropout(0.2), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Dropout(0.2)),
    )
    decoder = (
        *(nn.Linear(256, 800), nn.ReLU(), nn.Dropout(0.2), nn.Unflatten(1, (32, 5, 5))),
        *(nn.ConvTranspose2d(32, 16, 5, 2), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.ConvTranspose2d(16, 1, 4, 2), nn.Sigmoid(), nn.Dropout(0.2)),
    )
    return nn.Sequential(*encoder, *decoder)


CASES = (
    Case("dense 784-64-784, MNIST", "dense_64", dense, datasets.MNIST, "mnist", (0, 2), 5, 2, 6.0),
    # Loading is a small part of this one, and an epoch takes half a minute: no second contestant, no warm-up.
    Case("conv n=256, Fashion-MNIST", "conv_256", conv, datasets.FashionMNIST, "fashion-mnist", (0,), 2, 1, 1.0),
)


def measure(bench: Bench) -> None:
    for case in CASES:
        unpack(case, bench.root)
        contestants = {
            f"loop, {workers} workers": partial(users_loop, bench, case, workers) for workers in case.workers
        }
        report(bench, case, contest({**contestants, "tuiae": partial(own_path, bench, case)}, bench, case))


def contest(
    contestants: dict[str, Contestant], bench: Bench, case: Case
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Let them take turns, each round in the other order; seconds an epoch, and the last test losses."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    losses: dict[str, float] = {}
    names = list(contestants)
    if case.rounds > 2:
        for name in names:
            contestants[name](1)
    for _ in range(bench.rounds(case.rounds)):
        for name in names:
            seconds, losses[name] = contestants[name](case.epochs)
            times[name].append(seconds)
        names.reverse()
    return times, losses


def report(bench: Bench, case: Case, result: tuple[dict[str, list[float]], dict[str, float]]) -> None:
    times, losses = result
    medians = {name: median(seconds) for name, seconds in times.items()}
    own = medians.pop("tuiae")
    for name, seconds in medians.items():
        bench.figure(f"{case.title}, {name}, an epoch", seconds, "s")
    bench.figure(f"{case.title}, tuiae, an epoch", own, "s")
    first, best = next(iter(medians)), min(medians, key=medians.__getitem__)
    for name in dict.fromkeys((first, best)):
        bench.figure(f"{case.title}, {name} / tuiae", medians[name] / own, "x", at_least=case.at_least)
    for name in (first, "tuiae"):
        bench.figure(f"{case.title}, {name}, test loss at epoch {case.epochs}", losses[name])


def users_loop(bench: Bench, case: Case, workers: int, epochs: int) -> tuple[float, float]:
    """torchvision's set, ToTensor, a DataLoader, plain layers, and the loss read at every step."""
    sets = [images(bench, case, train) for train in (True, False)]
    train, test = (DataLoader(part, batch_size=BATCH, shuffle=part is sets[0], num_workers=workers) for part in sets)
    torch.manual_seed(0)
    model, criterion = case.network(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    began = time.perf_counter()
    for _ in range(epochs):
        model.train()
        running = total = 0.0
        for inputs, _ in train:
            optimizer.zero_grad()
            loss = criterion(model(inputs), inputs)
            loss.backward()
            optimizer.step()
            running += loss.item()
        model.eval()
        with torch.no_grad():
            for inputs, _ in test:
                total += criterion(model(inputs), inputs).item() * len(inputs)
    return (time.perf_counter() - began) / epochs, total / len(sets[1])


def images(bench: Bench, case: Case, train: bool) -> Dataset:
    found = case.dataset(bench.root / "torchvision", train=train, download=False, transform=ToTensor())
    return Subset(found, range(5000 if train else 1000)) if bench.quick else found


def own_path(bench: Bench, case: Case, epochs: int) -> tuple[float, float]:
    """What a worker does between its set-up and its end."""
    config = bench.config(case.preset, epochs, **{"training.batch_size": BATCH})
    run, parts = new_run(config), set_up(config)
    writer = RunWriter(run)
    with open(run.log, "a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        fit = Trainer(parts, writer, Mailbox(run, lambda: False))
        began = time.perf_counter()
        state = fit.run()
        seconds = time.perf_counter() - began
    writer.close(state)
    return seconds / epochs, RunReader(run.root).read_all().latest("test", "loss") or 0.0


def unpack(case: Case, root: Path) -> None:
    """Lay the idx files where torchvision looks for what it has downloaded."""
    source, raw = real_data(), root / "torchvision" / case.dataset.__name__ / "raw"
    assert source is not None
    raw.mkdir(parents=True, exist_ok=True)
    for path in sorted((source / case.source).iterdir()):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as packed, open(raw / path.name.removesuffix(".gz"), "wb") as plain:
            shutil.copyfileobj(packed, plain)
