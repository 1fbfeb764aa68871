"""How soon the network answers at the terminal: decoding where the cursor stands, and what becomes of a drawing."""

from __future__ import annotations

import time
from statistics import median, quantiles

from tests.benchmarks.bench import TUIAE, Bench, await_end, new_run, training
from tests.benchmarks.startup import await_silence, is_painted
from tests.terminal import LEFT, RIGHT, Terminal
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import start_worker

NEEDS_DATA = True
PAUSE_SECONDS = 0.5  # between questions: what the last one asked for is drawn
PRESS, RELEASE = "\x1b[<0;{x};{y}M", "\x1b[<0;{x};{y}m"
Region = tuple[int, int, int, int]


def measure(bench: Bench) -> None:
    run = new_run(bench.config("dense_64", 1))
    await_end(run, start_worker(run))
    ask(bench, run, "alone")
    with training(bench):
        ask(bench, run, "beside a training")


def ask(bench: Bench, run: RunPaths, where: str) -> None:
    """Of a finished run, whose answers change with nothing else than what was asked."""
    count = bench.rounds(40)
    with Terminal([TUIAE, "attach", run.id]) as terminal:
        terminal.wait_for(lambda text: is_painted(text) and "finished" in text, 60)
        report(bench, f"cursor to decoded picture, {where}", move(terminal, count), 60)
        report(bench, f"drawing to reconstruction, {where}", draw(terminal, count), 100)


def report(bench: Bench, name: str, times: list[float], at_most: float) -> None:
    bench.figure(f"{name}, median", 1000 * median(times), "ms", at_most=at_most)
    if len(times) > 1:
        bench.figure(f"{name}, 95th percentile", 1000 * quantiles(times, n=20)[-1], "ms")


def move(terminal: Terminal, count: int) -> list[float]:
    """Seconds from an arrow key on the map of codes to the picture that the code under the cursor gives."""
    terminal.send("3")
    terminal.wait_for("decoded here", 60)
    await_silence(terminal, silence=2.0, deadline=60.0)
    panel, times = frame(terminal, "decoded here"), []
    for number in range(count):
        times.append(terminal.latency_to((RIGHT, LEFT)[number // 8 % 2], lambda screen: screen.colours(panel)))
        time.sleep(PAUSE_SECONDS)
    return times


def draw(terminal: Terminal, count: int) -> list[float]:
    """Seconds from a dot on the canvas to the picture that the network makes of it."""
    terminal.send("4")
    terminal.wait_for("reconstruction", 60)
    await_silence(terminal, silence=2.0, deadline=60.0)
    (left, top, right, bottom), panel, times = frame(terminal, "canvas"), frame(terminal, "reconstruction"), []
    for number in range(count):
        spot = {"x": left + 12 + number % 5 * (right - left) // 9, "y": top + 6 + number // 5 * (bottom - top) // 16}
        times.append(terminal.latency_to(PRESS.format(**spot), lambda screen: screen.colours(panel)))
        terminal.send(RELEASE.format(**spot))
        time.sleep(PAUSE_SECONDS)
    return times


def frame(terminal: Terminal, title: str) -> Region:
    """What a panel with such a title has within its frame: (left, top, right, bottom)."""
    lines = terminal.lines()
    top = next(row for row, line in enumerate(lines) if f" {title}" in line and "╭" in line)
    left = lines[top].rindex("╭", 0, lines[top].index(f" {title}"))
    right = lines[top].index("╮", left)
    bottom = next(row for row in range(top, len(lines)) if lines[row][left : left + 1] == "╰")
    return left + 1, top + 1, right - 1, bottom - 1
