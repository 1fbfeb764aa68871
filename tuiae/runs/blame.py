"""Whether it was an edit of the learning rate that spoiled a training, and where to go back to."""

from __future__ import annotations

import numpy as np

from tuiae.runs.edits import Edit
from tuiae.runs.symptoms import SETTLED, Symptoms

DOUBLED = 2.0  # times the best loss, on training images too: no longer a matter of unseen images
LOST = 0.1  # of what was learned: of 172 runs those that lost less mostly recovered, the 9 that lost more did not
HIGH_RATE = {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 3e-3, "sgd": 1.0}
"""Optimizer -> the learning rate above which a training that does not move is more likely thrown about than slow."""


def spoiled(seen: Symptoms) -> tuple[str, str] | None:
    """What the loss did since the learning rate was raised, and the way back; None where it did not jump, or recovered.

    Far above its best in every evaluation since, on training images too; or where none came before, above the loss of
    the untrained network.
    """
    for edit in seen.raises:
        after = seen.steps_measured > edit.step
        if after.sum() < SETTLED:
            continue
        test, before = seen.test_measured[after], seen.test_measured[~after]
        if not len(before):
            if seen.same_measure and np.all(test > seen.untrained):
                words = f"test loss is {test[-1]:.4g}, above that of the untrained network ({seen.untrained:.4g})"
                return f"{words}, since {named(edit)}", way_back(seen, edit)
            continue
        best, train = float(np.min(before)), seen.train_measured
        learned = max(before[0], np.nan_to_num(seen.untrained)) - best
        risen = np.all(test > max(DOUBLED * best, best + LOST * learned)) and best > 0
        if risen and np.all(train[after] > DOUBLED * np.min(train[~after])):
            words = f"test loss has risen to {test[-1]:.4g}, {test[-1] / best:.1f} times its best ({best:.4g})"
            return f"{words}, since {named(edit)}", way_back(seen, edit)
    return None


def wild_raise(seen: Symptoms) -> Edit | None:
    """The first edit that took the learning rate where trainings are thrown about; None without one."""
    high = HIGH_RATE[seen.config.training.optimizer]
    return next((edit for edit in seen.raises if edit.new > high), None)


def way_back(seen: Symptoms, edit: Edit) -> str:
    """Where a fork has to begin that leaves an edit out."""
    before = seen.steps_measured <= edit.step
    if not before.any():
        return "start again without that edit"
    if np.min(seen.test_measured[before]) <= np.min(seen.test_measured):
        return f"fork from weights/best, which is from before step {edit.step:,}"
    return f"fork from a checkpoint before step {edit.step:,}"


def blamed(seen: Symptoms, edit: Edit) -> str:
    """Advice that names the edit: where something is seen that does not say since when."""
    return f"{way_back(seen, edit)}: {named(edit)}"


def named(edit: Edit) -> str:
    """What an edit did, and when."""
    return f"{edit.key} went from {edit.old:g} to {edit.new:g} at step {edit.step:,}"
