"""How soon a key is answered while a training works on the same cores and long curves are open."""

from __future__ import annotations

import time
from statistics import median, quantiles

from tests.benchmarks import history
from tests.benchmarks.bench import COLUMNS, ROWS, TUIAE, Bench, new_run, training
from tests.benchmarks.startup import is_painted
from tests.terminal import DOWN, LEFT, TAB, UP, Terminal
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import RunWriter

NEEDS_DATA = True
POINTS = 10_000  # of each curve
PAUSE_SECONDS = 0.35  # between keys: what the last one asked for is drawn
KEYS: tuple[tuple[str, str], ...] = (
    ("another metric", "m"),
    ("help", "?"),
    ("close help", "?"),
    ("runs", "1"),
    ("down the list", DOWN),
    ("up the list", UP),
    ("live", "2"),
    ("alone", "z"),
    ("cursor left", LEFT),
    ("cursor further left", LEFT),
    ("smoother", "s"),
    ("log scale", "y"),
    ("all panels", "z"),
    ("next panel", TAB),
    ("focus back", "\x1b[Z"),
)
"""What is pressed, round by round; each changes something on the screen. Escape is not among them: Textual waits 100 ms
for what may follow it, as arrow keys begin with the same byte."""


def measure(bench: Bench) -> None:
    with training(bench):
        answered = press(long_run(bench), bench.rounds(8))
    times = [1000 * taken for every in answered.values() for taken in every]
    for name, taken in answered.items():
        print(f"    {name:20}{1000 * median(taken):8.1f} ms, at most {1000 * max(taken):.1f}")
    where = f"keys beside a training, {POINTS:,} points a curve"
    bench.figure(f"{where}, median", median(times), "ms", at_most=40)
    bench.figure(f"{where}, 95th percentile", quantiles(times, n=20)[-1], "ms", at_most=90)


def long_run(bench: Bench) -> RunPaths:
    """A finished run with curves of so many epochs."""
    run = new_run(bench.config("dense_64", POINTS))
    writer = RunWriter(run)
    lasting = (record for record in history.records(writer) if record.get("split") != "live")
    history.append(run, lasting, 6 * POINTS)
    writer.close("finished")
    return run


def press(run: RunPaths, rounds: int) -> dict[str, list[float]]:
    """Seconds to the first output after each key, by what it does."""
    answered: dict[str, list[float]] = {name: [] for name, _ in KEYS}
    with Terminal([TUIAE, "attach", run.id], COLUMNS, ROWS) as terminal:
        terminal.wait_for(lambda text: is_painted(text) and "finished" in text, 60)
        time.sleep(5)
        for number in range(rounds + 1):
            for name, key in KEYS:
                time.sleep(PAUSE_SECONDS)
                taken = terminal.latency(key)
                if number:  # the first time a screen is made
                    answered[name].append(taken)
    return answered
