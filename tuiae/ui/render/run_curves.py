"""Which of a run's series make its curves."""

from __future__ import annotations

import numpy as np

from tuiae.runs.snapshot import Series, Snapshot
from tuiae.ui.render.curves import Curve, train_and_test

SECOND = ("kl", "reconstruction", "accuracy", "mse", "wrong_pixels", "wrong_pixels_max")
"""What can stand beside the loss, the first that a run has by default."""
TITLES = {
    "kl": "KL term, nats",
    "reconstruction": "reconstruction term, nats",
    "wrong_pixels": "wrong pixels an image",
    "wrong_pixels_max": "wrong pixels, worst image",
}
NOTHING = Series(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def second_metrics(snapshot: Snapshot) -> tuple[str, ...]:
    """The metrics of a run that can stand beside its loss; accuracy while there is none yet."""
    found = tuple(name for name in SECOND if ("test", name) in snapshot.series)
    return found or ("accuracy",)


def run_curves(snapshot: Snapshot, metric: str) -> tuple[Curve, Curve]:
    """Train and test of one metric; train ends in the live points of the epoch under way, so that it always moves."""
    live, train, test = (snapshot.series.get((split, metric), NOTHING) for split in ("live", "train", "test"))
    tip = live.epochs > (train.epochs[-1] if len(train.epochs) else -1.0)
    epochs = np.concatenate([train.epochs, live.epochs[tip]])
    values = np.concatenate([train.values, live.values[tip]])
    return train_and_test((epochs, test.epochs), (values, test.values))
