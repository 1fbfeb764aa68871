"""Following several runs at once, live or finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tuiae.runs.labels import tags_of
from tuiae.runs.layout import RunPaths, list_runs
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.studies.compare import Comparison, compare

PICTURE_SECONDS = 2.0  # between samples of a live run: reading and drawing them costs the most


class CompareReader:
    """Polls several runs; every poll reads only what is new."""

    def __init__(self, paths: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._runs = [_Followed(path, clock) for path in paths]
        self._moments: list[tuple[Snapshot, Sample | None]] = []
        self._comparison: Comparison | None = None

    def poll(self) -> Comparison:
        """The runs as they are now; the same object again when nothing changed."""
        return self._compare([run.poll() for run in self._runs])

    def read_all(self) -> Comparison:
        """The whole history of every run."""
        return self._compare([run.read_all() for run in self._runs])

    def _compare(self, moments: list[tuple[Snapshot, Sample | None]]) -> Comparison:
        same = len(moments) == len(self._moments) and all(
            new[0] is old[0] and new[1] is old[1] for new, old in zip(moments, self._moments, strict=True)
        )
        if self._comparison is None or not same:
            self._comparison = compare(moments)
        self._moments = moments
        return self._comparison


class _Followed:
    """One run and its newest readable sample."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._reader = RunReader(path)
        self._clock = clock
        self._sample: Sample | None = None
        self._looked = -PICTURE_SECONDS

    def poll(self) -> tuple[Snapshot, Sample | None]:
        snapshot = self._reader.poll()
        if not snapshot.status.live or self._clock() - self._looked >= PICTURE_SECONDS:
            self._refresh(snapshot)
        return snapshot, self._sample

    def read_all(self) -> tuple[Snapshot, Sample | None]:
        snapshot = self._reader.read_all()
        self._refresh(snapshot)
        return snapshot, self._sample

    def _refresh(self, snapshot: Snapshot) -> None:
        newest = snapshot.samples[-1] if snapshot.samples else None
        if newest is None or (self._sample is not None and self._sample.epoch == newest):
            return
        self._looked = self._clock()
        self._sample = read_sample(self._reader.run, newest) or self._sample


def tagged_runs(root: Path, tag: str) -> list[RunPaths]:
    """Every run that carries a tag, oldest first."""
    return [run for run in reversed(list_runs(root)) if tag in tags_of(run)]
