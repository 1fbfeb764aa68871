"""Which of a run's series make its curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tuiae.runs.snapshot import Series, Snapshot
from tuiae.ui.render import palette
from tuiae.ui.render.curve_legend import Mark
from tuiae.ui.render.curve_lines import Curve, bucket, train_and_test
from tuiae.ui.render.text import ACCURACY

SECOND = ("kl", "reconstruction", ACCURACY, "mse", "wrong_pixels", "wrong_pixels_max")
"""What can stand beside the loss, the first that a run has by default."""
TITLES = {
    ACCURACY: "accuracy, %",
    "kl": "KL term, nats",
    "reconstruction": "reconstruction term, nats",
    "wrong_pixels": "wrong pixels an image",
    "wrong_pixels_max": "wrong pixels, worst image",
}
MOST = 1024  # points of a line: twice what the widest terminal tells apart
LEAST_LIVE = 4  # live points an epoch: each is a mean over the batches before it and stands at their end
NOTHING = Series(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def second_metrics(snapshot: Snapshot) -> tuple[str, ...]:
    """The metrics of a run that can stand beside its loss; accuracy while there is none yet."""
    found = tuple(name for name in SECOND if ("test", name) in snapshot.series)
    return found or (ACCURACY,)


def run_curves(snapshot: Snapshot, metric: str) -> tuple[Curve, Curve]:
    """Train and test of one metric."""
    train, test = train_series(snapshot, metric), snapshot.series.get(("test", metric), NOTHING)
    values = plotted(metric, train.values), plotted(metric, test.values)
    trained, tested = train_and_test((train.epochs, test.epochs), values, (train.steps, test.steps))
    live, means = (snapshot.series.get((split, metric), NOTHING) for split in ("live", "train"))
    done = len(means.epochs) and (not len(live.epochs) or means.epochs[-1] >= live.epochs[-1])
    if done and np.isfinite(means.values[-1]):
        trained = replace(trained, latest=float(plotted(metric, means.values[-1:])[0]))
    return trained, tested


def train_series(snapshot: Snapshot, metric: str) -> Series:
    """What was measured while training: its live points, averaged where there are too many of them.

    Where epochs are too short for live points to tell more, it is their means. The two never share a line: the first
    mean beside the live points after it looks like a fall that there was not.
    """
    live, train = (snapshot.series.get((split, metric), NOTHING) for split in ("live", "train"))
    if len(train.values) > MOST or len(live.values) < LEAST_LIVE * len(train.values):
        return centred(train)
    return averaged(live)


def centred(train: Series) -> Series:
    """Means over epochs, each in the middle of the epoch that it is the mean of."""
    epochs = train.epochs - 0.5
    return Series(np.round(train.steps * epochs / np.maximum(train.epochs, 1)).astype(np.int64), epochs, train.values)


def averaged(series: Series, most: int = MOST) -> Series:
    """Means of so many neighbours, each in their middle, that at most `most` remain; gaps count for nothing.

    They are counted from the first point on, so that what is drawn of the past stays while points are added.
    """
    size = bucket(len(series.values), most)
    if size == 1:
        return series
    first = np.arange(0, len(series.values), size)
    known = np.isfinite(series.values)
    counts = np.add.reduceat(known, first, dtype=np.int64)
    sums = np.add.reduceat(np.where(known, series.values, 0.0), first)
    values = np.divide(sums, counts, out=np.full(len(first), np.nan), where=counts > 0)
    lengths = np.diff(first, append=len(known))
    steps, epochs = (np.add.reduceat(places, first) / lengths for places in (series.steps, series.epochs))
    return Series(np.round(steps).astype(np.int64), epochs, values)


def plotted(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values as a plot has them: an accuracy in per cent, as everywhere."""
    return 100 * values if metric == ACCURACY else values


def plot_title(metric: str) -> str:
    """What stands above a plot of a metric, with its unit where it has one."""
    return TITLES.get(metric, metric)


def parent_curves(parent: Snapshot, metric: str) -> tuple[Curve, ...]:
    """The curves of the run that one was forked from, to lie behind its own."""
    found = [curve for curve in run_curves(parent, metric) if len(curve.x)]
    return tuple(replace(curve, label=f"parent {curve.label}", color=palette.GREY, faint=True) for curve in found)


def _name(key: str) -> str:
    return key.rpartition(".")[2].replace("_", " ")


def run_marks(snapshot: Snapshot, at: int | None = None) -> tuple[Mark, ...]:
    """What happened to a run on its way, and the epoch `at` of which one looks at the pictures."""
    marks = [
        Mark(edit.epoch, "e", f"{_name(edit.key)} {edit.old} → {edit.new}", f"{_name(edit.key).split()[-1]} {edit.new}")
        for edit in snapshot.edits
    ]
    if snapshot.parent is not None:
        marks.append(Mark(snapshot.parent.epoch, "F", f"forked from {snapshot.parent.run}"))
    marks += [Mark(resume.epoch, "R", f"resumed at step {resume.step:,}") for resume in snapshot.resumes]
    return (*marks, *(() if at is None else (Mark(at, "▼", "these pictures"),)))
