"""Which of a run's series make its curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tuiae.runs.snapshot import Series, Snapshot
from tuiae.ui.render import palette
from tuiae.ui.render.curve_legend import Mark
from tuiae.ui.render.curve_lines import Curve, train_and_test
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
_ARRAYS = ("steps", "epochs", "values")
NOTHING = Series(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def second_metrics(snapshot: Snapshot) -> tuple[str, ...]:
    """The metrics of a run that can stand beside its loss; accuracy while there is none yet."""
    found = tuple(name for name in SECOND if ("test", name) in snapshot.series)
    return found or (ACCURACY,)


def run_curves(snapshot: Snapshot, metric: str) -> tuple[Curve, Curve]:
    """Train and test of one metric; train ends in the live points of the epoch under way, so that it always moves."""
    train, test = train_series(snapshot, metric), snapshot.series.get(("test", metric), NOTHING)
    values = plotted(metric, train.values), plotted(metric, test.values)
    return train_and_test((train.epochs, test.epochs), values, (train.steps, test.steps))


def train_series(snapshot: Snapshot, metric: str) -> Series:
    """What was measured while training, with the live points of the epoch under way at its end."""
    live, train = (snapshot.series.get((split, metric), NOTHING) for split in ("live", "train"))
    tip = live.epochs > (train.epochs[-1] if len(train.epochs) else -1.0)
    return Series(*(np.concatenate([getattr(train, name), getattr(live, name)[tip]]) for name in _ARRAYS))


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
