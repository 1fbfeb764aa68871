"""The other seeds of one run: the finished runs beside it that differ in nothing else, as a mean in a band."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuiae.config import RunConfig
from tuiae.runs.paths import RunPaths, list_names
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.snapshot import Series, Snapshot
from tuiae.studies.compare import Values, image_keys, mean_clock, seed_curve
from tuiae.studies.labels import recipe

MOST_SEEDS = 16
_NAME_AND_SEED = re.compile(rb"^(?:name|seed) *=.*$", re.MULTILINE)


@dataclass(frozen=True)
class SeedBand:
    """What came of the finished runs that differ from another run in nothing but the seed."""

    runs: int
    clock: Series
    curves: Mapping[tuple[str, str], tuple[Series, tuple[Values, Values]]]
    """(`train` or `test`, metric) -> the mean curve, and the edges of its band."""


class SeedReader:
    """Finds the finished runs beside one that has no parent and differs from them in its seed alone; reads each once.

    Of the other runs in the directory it reads the config as text, which is enough to pass nearly all of them over.
    """

    def __init__(self, path: Path) -> None:
        self._run = RunPaths(path)
        self._own = RunReader(path).poll()
        self._text = _without_seed(self._run)
        self._passed: set[str] = {path.name}
        self._read: dict[int, Snapshot] = {}
        self._band: SeedBand | None = None

    def poll(self) -> SeedBand | None:
        """The newest runs, at most MOST_SEEDS; the same object again when none was added."""
        config = self._own.config
        if config is None or self._own.parent is not None or not self._text:
            return None
        known = len(self._read)
        for name in list_names(self._run.root.parent):
            run = RunPaths(self._run.root.parent / name)
            if name in self._passed or len(self._read) == MOST_SEEDS:
                continue
            if _without_seed(run) != self._text:
                self._passed.add(name)
            elif read_status(run).state == "finished":
                self._passed.add(name)
                self._take(config, RunReader(run.root).read_all())
        if len(self._read) != known:
            self._band = _band_of([*self._read.values()])
        return self._band

    def _take(self, own: RunConfig, other: Snapshot) -> None:
        config = other.current_config
        images = len(set(image_keys([self._own, other])))
        same = config is not None and recipe(config) == recipe(own) and other.parent is None and images == 1
        if config is not None and same and config.training.seed != own.training.seed:
            self._read.setdefault(config.training.seed, other)


def _without_seed(run: RunPaths) -> bytes:
    """The config of a run as it was written, without name and seed; empty where it cannot be read."""
    try:
        return _NAME_AND_SEED.sub(b"", run.config.read_bytes())
    except OSError:
        return b""


def _band_of(runs: Sequence[Snapshot]) -> SeedBand:
    """The band of each curve that all of these runs have."""
    shared = set.intersection(*({key for key in one.series if key[0] in ("train", "test")} for one in runs))
    curves = {key: seed_curve([one.series[key] for one in runs]) for key in shared}
    return SeedBand(len(runs), mean_clock([one.clock for one in runs]), curves)
