"""The part of a run's curves that findings are made from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tuiae.config import RunConfig
from tuiae.runs.snapshot import Snapshot

DIVERGED = "the loss is no longer a number"
"""How the worker begins the sentence of a training that diverged."""
SETTLED = 3  # evaluations that must agree on dead or collapsed units


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
    beta: float
    live_now: bool
    failed_with: str


def read_symptoms(snapshot: Snapshot, config: RunConfig) -> Symptoms:
    """Take from a snapshot what the findings look at."""
    since = _last_edit(snapshot)
    steps, epochs, test = _points(snapshot, "test", "loss", since)
    train = dict(zip(*_points(snapshot, "train-eval", "loss", since)[::2], strict=True))
    error = snapshot.status.error or {}
    last_train = snapshot.latest("train", "loss")
    return Symptoms(
        config=config,
        epochs=epochs,
        test=test,
        train=np.array([train.get(step, math.nan) for step in steps], dtype=float),
        live=_live(snapshot, config, since),
        kl=_points(snapshot, "test", "kl", since)[2],
        untrained=_untrained(snapshot, config),
        last_train=math.nan if last_train is None else last_train,
        dead=_settled(snapshot, "dead", since),
        collapsed=_settled(snapshot, "collapsed", since),
        rate=config.training.learning_rate,
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


def _last_edit(snapshot: Snapshot) -> int:
    """The step of the last edit that changes what is measured or how it is trained."""
    return max((edit.step for edit in snapshot.edits if edit.key != "training.epochs"), default=-1)
