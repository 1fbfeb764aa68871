"""What the diagnosis of a run looks at: its evaluations in a row, shares of its code, and the edits that can harm."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from tuiae.config import RunConfig, learning_rate
from tuiae.runs.control import MEASURED, Edit
from tuiae.runs.snapshot import Series, Snapshot

SETTLED = 3  # evaluations in a row that have to agree: the first ones of a training say little, and one may be a spike
HIGH_RATE = {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 3e-3, "sgd": 1.0}
"""Optimizer -> the learning rate above which a training that does not move is more likely thrown about than slow."""

SLOW_SGD = 0.1
"""Learning rate over (1 - momentum) below which SGD on a mean over pixels learns next to nothing: on MNIST 0.001 ended
at 0.232 after 50 epochs and 0.05 at 0.092, where the mean image has 0.067 (docs/reproduction.md,
andruskiewitsch-2020)."""


def slow_rate(config: RunConfig) -> float:
    """The learning rate below which SGD learns next to nothing; 0 where nothing is known of that."""
    training, is_mean = config.training, not (config.is_classifier or config.model.is_variational)
    if training.optimizer != "sgd" or training.loss == "sse" or not is_mean:
        return 0.0
    return SLOW_SGD * (1 - training.momentum)


@dataclass(frozen=True)
class Evaluations:
    """Evaluations in a row with a finite test loss; each array (kept,). Losses are those with dropout off.

    Of a long history old ones are left out, but never the first, the lowest and the highest.
    """

    steps: np.ndarray
    epochs: np.ndarray
    test: np.ndarray
    train: np.ndarray
    """The newest loss of training images by then; NaN before the first."""
    numbers: np.ndarray
    """Which evaluation each is, from 0."""
    count: int
    """How many there were, those that are left out included."""

    @property
    def best(self) -> int:
        """The index of the lowest test loss; 0 where there is none."""
        return int(np.argmin(self.test)) if len(self.test) else 0

    @property
    def after_best(self) -> int:
        """The number of evaluations kept after the best one; -1 without any."""
        return len(self.test) - 1 - self.best


class Evidence:
    """What a snapshot holds for the checks; `config` is the one in force."""

    def __init__(self, snapshot: Snapshot, config: RunConfig) -> None:
        # Longer than other functions: a list of what the checks look at.
        self.config, self.rate = config, config.training.learning_rate
        self.is_live, self.steps = snapshot.status.live, snapshot.status.step
        self.is_complete = snapshot.status.state == "finished" and snapshot.status.epoch >= config.training.epochs
        self.has_weights = bool(snapshot.checkpoints)
        failed = snapshot.status.error if snapshot.status.state == "failed" else None
        self.failure = str((failed or {}).get("cause", ""))

        # Since the last edit of a setting: what was measured before was measured of something else.
        since = _last_edit(snapshot, {edit.key for edit in snapshot.edits} - {"training.epochs"})
        # While beta rises, so does the loss that is measured at its end.
        risen = _last_step(snapshot, config.training.beta_warmup if config.model.is_variational else 0.0)
        self.recent = _evaluations(snapshot, max(since, risen))
        self.first_step = int(min(_curve(snapshot, "test", "loss").steps, default=0))  # of all evaluations
        self.kl = _finite(snapshot, "test", "kl", since)  # nats an image
        # Shares of the code's units that were so in each of the last evaluations; None when nobody looked.
        self.dead = _lowest_share(snapshot, "dead", since)
        self.collapsed = _lowest_share(snapshot, "collapsed", since)

        # Since the last edit that changed what the loss measures, from before other edits too.
        measured_since = _last_edit(snapshot, MEASURED)
        self.same_measure = measured_since < 0
        self.comparable = _evaluations(snapshot, max(measured_since, risen))
        self.suspects = sorted((edit for edit in snapshot.edits if _can_harm(edit, config)), key=lambda edit: edit.step)
        """Edits that can have done harm, in their order."""
        # Those after which the loss measured what it does now.
        self.comparable_suspects = [edit for edit in self.suspects if edit.step > measured_since]
        self.rate_raises = [edit for edit in self.comparable_suspects if edit.key == "training.learning_rate"]

        before_fork = snapshot.parent.highest_rate if snapshot.parent else None
        rates = sorted((edit.step, edit.old) for edit in snapshot.edits if edit.key == "training.learning_rate")
        self.first_rate = max(rates[0][1] if rates else self.rate, before_fork or 0.0)
        """The learning rate at which it began; of a fork the highest one before it, if that is higher."""
        self.high_rate = HIGH_RATE[config.training.optimizer]
        self.is_lowered = self.rate <= self.high_rate < self.first_rate  # out of the range of `HIGH_RATE`

        # Losses while training, dropout on: of batches since the last edit, of the first batches, of the last epoch. A
        # beta that rises takes them along, and weights from elsewhere were trained: then there is no untrained loss.
        rising, trained = config.training.beta_warmup > 0, snapshot.meta.get("parent") or config.model.encoder_run
        first, last = _finite(snapshot, "live", "loss", -1), snapshot.latest("train", "loss")
        self.live = np.empty(0) if rising else _finite(snapshot, "live", "loss", since)
        self.untrained = math.nan if trained or rising or not len(first) else float(first[0])
        self.last_train = math.nan if last is None else last


def _can_harm(edit: Edit, config: RunConfig) -> bool:
    """Returns whether an edit is of a kind that can spoil a training: a higher learning rate, by itself or because a
    cosine is drawn anew, more noise, a higher beta, and another dropout, which asks for another network."""
    if edit.key == "training.epochs":
        rates = (
            learning_rate(config.training.model_copy(update={"epochs": epochs}), edit.epoch)
            for epochs in (edit.old, edit.new)
        )
        return next(rates) < next(rates)
    return edit.new > edit.old or (edit.key == "model.dropout" and edit.new != edit.old)


def _last_step(snapshot: Snapshot, epochs: float) -> int:
    """The step of the last evaluation before that many `epochs` were done; -1 without one."""
    test = _curve(snapshot, "test", "loss")
    return int(max(test.steps[test.epochs < epochs], default=-1))


def _last_edit(snapshot: Snapshot, keys: Collection[str]) -> int:
    """The step of the last edit of one of these keys; -1 without one."""
    return max((edit.step for edit in snapshot.edits if edit.key in keys), default=-1)


def _curve(snapshot: Snapshot, split: str, metric: str) -> Series:
    """A curve, or what is kept of a long one."""
    series = snapshot.series.get((split, metric))
    if series is None:
        return Series(np.empty(0), np.empty(0), np.empty(0))
    return series.outline or series


def _finite(snapshot: Snapshot, split: str, metric: str, since: int) -> np.ndarray:
    """The finite values of a curve after a step."""
    series = _curve(snapshot, split, metric)
    return series.values[(series.steps > since) & np.isfinite(series.values)]


def _lowest_share(snapshot: Snapshot, metric: str, since: int) -> float | None:
    """The lowest value of a share in the last evaluations; None while there are too few."""
    values = _finite(snapshot, "code", metric, since)
    return float(np.min(values[-SETTLED:])) if len(values) >= SETTLED else None


def _evaluations(snapshot: Snapshot, since: int) -> Evaluations:
    """The evaluations after a step."""
    test, train = _curve(snapshot, "test", "loss"), _curve(snapshot, "train-eval", "loss")
    kept = (test.steps > since) & np.isfinite(test.values)
    steps = test.steps[kept]
    measured = np.isfinite(train.values)
    losses = np.concatenate([[math.nan], train.values[measured]])
    whole = snapshot.series.get(("test", "loss"), test).steps
    first = int(np.searchsorted(whole, since, side="right"))
    return Evaluations(
        steps=steps,
        epochs=test.epochs[kept],
        test=test.values[kept],
        train=losses[np.searchsorted(train.steps[measured], steps, side="right")],
        numbers=np.searchsorted(whole, steps) - first,
        count=len(whole) - first,
    )


# Edits that can harm.

DIVERGING_KEYS = ("training.learning_rate", "training.beta", "training.epochs")
"""Keys whose increase can make a training diverge, that of epochs where a cosine is drawn anew."""


def raises_of(config: RunConfig, edits: Iterable[Edit]) -> list[Edit]:
    """The edits that can have made the training of a config diverge."""
    return [edit for edit in edits if edit.key in DIVERGING_KEYS and _can_harm(edit, config)]
