"""The same test images through several networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuiae.images import size_words
from tuiae.runs.snapshot import Sample
from tuiae.studies.compare import Comparison, Entry


@dataclass(frozen=True)
class SharedImages:
    """The runs whose newest samples hold the same images, and the reason why each other run is left out.

    `inputs` and `noisy` are uint8 (N, C, H, W) as in a Sample, None where there is nothing or where it is not the same
    for all.
    """

    entries: tuple[Entry, ...]
    inputs: np.ndarray | None
    noisy: np.ndarray | None
    left_out: tuple[tuple[str, str], ...]
    """Key of a run, and why it is not there."""

    @property
    def sentence(self) -> str:
        """`left out: C, D (other images: mnist 28x28), E (no pictures yet)`; empty when none is."""
        reasons: dict[str, list[str]] = {}
        for key, why in self.left_out:
            reasons.setdefault(why, []).append(key)
        parts = [f"{', '.join(keys)} ({why})" for why, keys in reasons.items()]
        return f"left out: {', '.join(parts)}" if parts else ""


def shared_images(comparison: Comparison, one_a_group: bool = False) -> SharedImages:
    """The largest set of runs that show the same images, the first among equals; with `one_a_group` of the first run
    with pictures of each group."""
    entries = comparison.entries
    if one_a_group:
        ranked = (sorted(group.entries, key=lambda entry: not _usable(entry.sample)) for group in comparison.groups)
        entries = tuple(members[0] for members in ranked)
    usable = [entry for entry in entries if _usable(entry.sample)]
    kept = max(([other for other in usable if _same(one, other)] for one in usable), key=len, default=[])
    left_out = tuple((entry.key, _why(entry, kept)) for entry in entries if entry not in kept)
    if not kept:
        return SharedImages((), None, None, left_out)
    number = min(len(_inputs(entry)) for entry in kept)
    noisy = [entry.sample.noisy for entry in kept if entry.sample is not None]
    return SharedImages(tuple(kept), _inputs(kept[0])[:number], _common(noisy, number), left_out)


def _usable(sample: Sample | None) -> bool:
    if sample is None or sample.inputs is None or not sample.inputs.size:
        return False
    outputs = sample.reconstructions
    return sample.predictions is not None or (outputs is not None and outputs.shape == sample.inputs.shape)


def _inputs(entry: Entry) -> np.ndarray:
    assert entry.sample is not None
    assert entry.sample.inputs is not None
    return entry.sample.inputs


def _same(one: Entry, other: Entry) -> bool:
    """Returns whether two samples begin with the same images; one may hold more than the other."""
    number = min(len(_inputs(one)), len(_inputs(other)))
    return np.array_equal(_inputs(one)[:number], _inputs(other)[:number])


def _common(arrays: Sequence[np.ndarray | None], number: int) -> np.ndarray | None:
    """The array that all samples share, or None."""
    first = arrays[0]
    if first is None or any(other is None or not np.array_equal(other[:number], first[:number]) for other in arrays):
        return None
    return first[:number]


def _why(entry: Entry, kept: Sequence[Entry]) -> str:
    if entry.sample is None or entry.sample.inputs is None:
        return "no pictures yet" if entry.snapshot.status.live else "no pictures"
    if not _usable(entry.sample):
        return "pictures not readable"
    mine, theirs = _described(entry), _described(kept[0]) if kept else ""
    return f"other images: {mine}" if mine != theirs else "other images of the same set"


def _described(entry: Entry) -> str:
    channels, height, width = _inputs(entry).shape[1:]
    dataset = entry.snapshot.config.data.dataset if entry.snapshot.config else "unknown set"
    return f"{dataset} {size_words((channels, height, width))}"
