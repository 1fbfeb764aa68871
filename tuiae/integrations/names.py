"""What others call a metric and a split, in the words of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SPLITS = {
    "train": ("train", "training", "tr"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "eval", "evaluation"),
}
_OF_WORD = {word: split for split, words in SPLITS.items() for word in words}


def split_and_metric(name: str) -> tuple[str, str]:
    """The split that a name begins or ends with, `train` without one, and the metric: ("val", "loss") of `val_loss`,
    `loss/val` and `validation/epoch_loss`. An accuracy of whatever kind is `accuracy`."""
    words = [word for word in re.split(r"[/_.\s]+", name.strip().lower()) if word not in ("epoch", "step")]
    split = "train"
    for place in (0, -1):
        if len(words) > 1 and words[place] in _OF_WORD:
            split = _OF_WORD[words.pop(place)]
            break
    metric = "_".join(words) or name
    return split, "accuracy" if metric in ("acc", "accuracy") or metric.endswith("_accuracy") else metric


def as_metrics(values: Mapping[str, Any], split: str) -> dict[str, Any]:
    """The values of a split, by metric; of one that is told for steps and for epochs, that of the epoch."""
    found = {}
    for name in sorted(values, key=lambda name: name.endswith("_epoch")):
        own, metric = split_and_metric(name)
        if own == split:
            found[metric] = values[name]
    return found
