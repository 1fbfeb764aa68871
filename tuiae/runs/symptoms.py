"""The part of a run's curves that findings are made from."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from tuiae.config import RunConfig
from tuiae.runs.edits import MEASURED, Edit
from tuiae.runs.snapshot import Snapshot

DIVERGED = "the loss is no longer a number"
"""How the worker begins the sentence of a training that diverged."""
SETTLED = 3  # evaluations in a row that have to agree: the first ones of a training say little, and one may be a spike


@dataclass(frozen=True)
class Symptoms:
    """Evaluations since the last edit of a setting: what was measured before was measured of something else.

    `test` and `train` are losses with dropout off at `epochs`, each (evaluations,), without those that are no number;
    `train` is of training images and may hold NaN. `live` are the losses of batches while training.
    """

    config: RunConfig
    epochs: np.ndarray
    test: np.ndarray
    train: np.ndarray
    live: np.ndarray
    kl: np.ndarray
    """Of the test images, nats an image."""
    untrained: float
    """Training loss of the first batches; NaN when the weights came from elsewhere."""
    last_train: float
    """Training loss of the last epoch, dropout on as in `untrained`."""
    dead: float | None
    collapsed: float | None
    """Shares of the code's units that were so in each of the last evaluations; None when nobody looked."""
    rate: float
    raises: tuple[Edit, ...]
    """Edits that raised the learning rate, while the loss was measured as it is now."""
    same_measure: bool
    """Whether no edit changed what the loss measures."""
    steps_measured: np.ndarray
    """Of all evaluations that measured as the last one did, also from before those edits; with `test_measured` and
    `train_measured`."""
    test_measured: np.ndarray
    train_measured: np.ndarray
    beta: float
    live_now: bool
    failed_with: str


def read_symptoms(snapshot: Snapshot, config: RunConfig) -> Symptoms:
    """Take from a snapshot what the findings look at."""
    since, alike = _last_edit(snapshot), _last_edit(snapshot, MEASURED)
    steps, epochs, test = _points(snapshot, "test", "loss", since)
    measured, _, losses = _points(snapshot, "test", "loss", alike)
    error = snapshot.status.error or {}
    last_train = snapshot.latest("train", "loss")
    return Symptoms(
        config=config,
        epochs=epochs,
        test=test,
        train=_train_at(snapshot, steps),
        live=_live(snapshot, config, since),
        kl=_points(snapshot, "test", "kl", since)[2],
        untrained=_untrained(snapshot, config),
        last_train=math.nan if last_train is None else last_train,
        dead=_settled(snapshot, "dead", since),
        collapsed=_settled(snapshot, "collapsed", since),
        rate=config.training.learning_rate,
        raises=tuple(
            edit
            for edit in sorted(snapshot.edits, key=lambda edit: edit.step)
            if edit.key == "training.learning_rate" and edit.new > edit.old and alike < edit.step
        ),
        same_measure=alike < 0,
        steps_measured=measured,
        test_measured=losses,
        train_measured=_train_at(snapshot, measured),
        beta=config.training.beta,
        live_now=snapshot.status.live,
        failed_with=str(error.get("cause", "")) if snapshot.status.state == "failed" else "",
    )


def _points(snapshot: Snapshot, split: str, metric: str, since: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, epochs and values after a step; gaps left out."""
    series = snapshot.series.get((split, metric))
    if series is None:
        return np.empty(0), np.empty(0), np.empty(0)
    kept = (series.steps > since) & np.isfinite(series.values)
    return series.steps[kept], series.epochs[kept], series.values[kept]


def _live(snapshot: Snapshot, config: RunConfig, since: int) -> np.ndarray:
    """Losses of batches; none while beta rises and takes the loss along."""
    return np.empty(0) if config.training.beta_warmup else _points(snapshot, "live", "loss", since)[2]


def _untrained(snapshot: Snapshot, config: RunConfig) -> float:
    values = _points(snapshot, "live", "loss", -1)[2]
    if snapshot.meta.get("parent") or config.model.encoder_run or config.training.beta_warmup or not len(values):
        return math.nan
    return float(values[0])


def _settled(snapshot: Snapshot, metric: str, since: int) -> float | None:
    """The lowest share of the last evaluations, once there are enough of them."""
    values = _points(snapshot, "code", metric, since)[2]
    return float(np.min(values[-SETTLED:])) if len(values) >= SETTLED else None


def _last_edit(snapshot: Snapshot, keys: Collection[str] = ()) -> int:
    """The step of the last edit of one of these keys; without any, of what changes how it is measured or trained."""
    found = (edit for edit in snapshot.edits if (edit.key in keys if keys else edit.key != "training.epochs"))
    return max((edit.step for edit in found), default=-1)


def _train_at(snapshot: Snapshot, steps: np.ndarray) -> np.ndarray:
    """Losses of training images with dropout off at these steps; NaN where nobody looked."""
    train = dict(zip(*_points(snapshot, "train-eval", "loss", -1)[::2], strict=True))
    return np.array([train.get(step, math.nan) for step in steps], dtype=float)
