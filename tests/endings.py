"""Whether two runs ended alike: bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tuiae.runs.checkpoints import find_checkpoint
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample
from tuiae.training.checkpoint import load_state, load_weights


def same(one: Any, other: Any) -> bool:
    """Equality to the last bit, tensors included."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def assert_same_end(run: RunPaths, reference: RunPaths) -> None:
    """The same curves, weights, optimizer, random state and last pictures."""
    histories = [summarise(RunReader(path.root).read_all())["history"] for path in (run, reference)]
    assert histories[0] == histories[1]
    ours, theirs = find_checkpoint(run), find_checkpoint(reference)
    assert ours is not None
    assert theirs is not None
    assert ours.name == theirs.name
    assert same(load_weights(ours), load_weights(theirs))
    timing = ("seconds", "epoch_seconds")
    states = [{key: value for key, value in load_state(f).items() if key not in timing} for f in (ours, theirs)]
    assert same(*states)
    epochs = RunReader(reference.root).read_all().samples
    assert RunReader(run.root).read_all().samples == epochs
    samples = [read_sample(path, epochs[-1]) for path in (run, reference)]
    np.testing.assert_array_equal(samples[0].reconstructions, samples[1].reconstructions)  # type: ignore[union-attr]
    np.testing.assert_array_equal(samples[0].codes, samples[1].codes)  # type: ignore[union-attr]
