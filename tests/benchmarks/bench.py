"""What the benchmarks share: where they work, what they train, how they print."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tuiae.config import RunConfig, load_config
from tuiae.config.presets import find_preset
from tuiae.data.importing import import_directory
from tuiae.machine import count_cores, processor
from tuiae.runs.events import parse_event
from tuiae.runs.paths import RunPaths, runs_dir
from tuiae.runs.process import start_worker
from tuiae.runs.reader import read_status
from tuiae.runs.writer import create_run

COLUMNS, ROWS = 120, 40
TUIAE = str(Path(sys.executable).with_name("tuiae"))
REAL_SETS = ("mnist", "fashion-mnist")
DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
ENDLESS = 1_000_000  # epochs: more than any measurement lasts


@dataclass(frozen=True)
class Bench:
    """One run of the benchmarks."""

    root: Path
    quick: bool
    presets: tuple[str, ...] = ()
    """The only ones that are asked for; all where it is empty."""

    def figure(
        self, name: str, value: float, unit: str = "", *, at_most: float | None = None, at_least: float | None = None
    ) -> str:
        """Print one row: name, measured, target, and whether it was met; returns it as a row of a table."""
        limit, sign = (at_most, "<=") if at_most is not None else (at_least, ">=")
        target = f"{sign} {limit:g} {unit}".rstrip() if limit is not None else ""
        met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        verdict = "" if limit is None else "ok" if met else "MISSED"
        print(f"  {name:58}{_number(value):>12} {unit:9}{target:18}{verdict}".rstrip(), flush=True)
        return f"| {name} | {_number(value)} {unit} | {target} |"

    def rounds(self, count: int) -> int:
        return 1 if self.quick else count

    def config(self, preset: str, epochs: int, **settings: Any) -> RunConfig:
        """A preset on the CPU; a quick try takes a fraction of the images."""
        overrides = {"training.epochs": epochs, "training.device": "cpu", **settings}
        if self.quick:
            overrides |= {"data.train_limit": 5000, "data.test_limit": 1000}
        return load_config(find_preset(preset), overrides)


def new_run(config: RunConfig) -> RunPaths:
    return create_run(config, runs_dir(), ["benchmarks"])


@contextmanager
def training(bench: Bench) -> Iterator[RunPaths]:
    """A training of dense_64 on MNIST that has its first epoch behind it and goes on all the while."""
    run = new_run(bench.config("dense_64", ENDLESS))
    process = start_worker(run)
    try:
        while process.poll() is None and not read_status(run).epoch:
            time.sleep(0.05)
        yield run
        if process.poll() is not None:
            raise RuntimeError(f"the worker ended with {process.returncode}:\n{run.log.read_text()}")
    finally:
        process.kill()
        process.wait()


def await_end(run: RunPaths, process: subprocess.Popen[bytes]) -> None:
    """Wait until a training is done; say with what it ended where it did not end well."""
    if process.wait():
        raise RuntimeError(f"the worker ended with {process.returncode}:\n{run.log.read_text()}")


def read_events(run: RunPaths) -> list[dict[str, Any]]:
    """What the worker has recorded so far; a torn last line is not there yet."""
    try:
        lines = run.events.read_bytes().splitlines()
    except OSError:
        return []
    return [record for record in map(parse_event, lines) if record is not None]


def renew_table(benchmark: str, table: str) -> None:
    """Put the table of a benchmark where its last one stands in the document."""
    before, _, after = _around_table(benchmark)
    DOCUMENT.write_text(f"{before}{table}{after}", encoding="utf-8")


def read_rows(benchmark: str) -> dict[str, str]:
    """The rows of the table of a benchmark as it stands in the document, by their first cell."""
    rows = [line for line in _around_table(benchmark)[1].splitlines() if line.startswith("| ")][1:]
    return {row.split("|")[1].strip(): row for row in rows}


def _around_table(benchmark: str) -> tuple[str, str, str]:
    """The document before, in and after the table of a benchmark."""
    text = DOCUMENT.read_text(encoding="utf-8")
    begin, end = f"<!-- written by python -m tests.benchmarks {benchmark} -->\n", "<!-- end -->\n"
    before, rest = text.split(begin)
    table, after = rest.split(end, 1)
    return before + begin, table, end + after


def _number(value: float) -> str:
    """Three significant digits, and all digits of large numbers."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def describe_machine() -> str:
    """Cores, processor, versions, and how busy it is already."""
    load = os.getloadavg()[0]
    parts = [f"{count_cores()} cores", processor(), platform.system(), f"Python {platform.python_version()}"]
    parts += [f"torch {version('torch')}", f"textual {version('textual')}", f"load {load:.2f}"]
    return ", ".join(filter(None, parts)) + (" (busy: figures will be high)" if load > 0.5 else "")


def real_data() -> Path | None:
    """The folder that holds `mnist/` and `fashion-mnist/` as idx files, if there is one."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    source = Path(os.environ.get("TUIAE_TEST_DATA") or beside)
    return source if all((source / name).is_dir() for name in REAL_SETS) else None


def import_real_data(source: Path) -> None:
    for name in REAL_SETS:
        import_directory(source / name, name)
