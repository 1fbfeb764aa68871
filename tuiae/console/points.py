"""`tuiae show --csv`: the points of a run's curves, for pandas, gnuplot and spreadsheets."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from tuiae.console.output import AsciiStream, Output
from tuiae.errors import ConfigError
from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Snapshot
from tuiae.ui.render.text import clean

COLUMNS = ("run", "split", "epoch", "step", "metric", "value")


def show_points(path: Path, output: Output) -> None:
    """Print one line a point, curve after curve; of a run that is damaged, what can be read of it; of live points from
    more than an hour ago every second.

    Raises:
        ConfigError: JSON is asked for as well.
    """
    if output.json:
        raise ConfigError("--csv and --json are two documents", "give one of them")
    writer = csv.writer(AsciiStream(sys.stdout) if output.ascii else sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(RunReader(path).read_all()))


def _rows(snapshot: Snapshot) -> Iterator[tuple[str | int, ...]]:
    """The points by COLUMNS; the value of one that is no number is empty."""
    run = clean(snapshot.id)
    for (split, metric), series in sorted(snapshot.series.items()):
        names = clean(split), clean(metric)
        for step, epoch, value in zip(*(s.tolist() for s in (series.steps, series.epochs, series.values)), strict=True):
            yield run, names[0], f"{epoch:.10g}", step, names[1], repr(value) if math.isfinite(value) else ""
