"""The runs of a study, found by their tag and their config."""

from __future__ import annotations

from pathlib import Path

from tuiae.config import RunConfig
from tuiae.runs.history import read_edits
from tuiae.runs.labels import tags_of
from tuiae.runs.layout import RunPaths, list_runs
from tuiae.runs.process import is_held
from tuiae.runs.reader import read_config, read_status


class Library:
    """Every run with one tag, looked for again at each question; what was read of a run once is kept."""

    def __init__(self, root: Path, tag: str) -> None:
        self._root, self._tag = root, tag
        self._configs: dict[str, RunConfig | None] = {}

    def find(self, config: RunConfig) -> RunPaths | None:
        """The run of this very config: a finished one first, then a live one, then the one that came furthest."""
        matches = [run for run in list_runs(self._root) if self._config_of(run) == config]
        return max(matches, key=_worth, default=None)

    def _config_of(self, run: RunPaths) -> RunConfig | None:
        """None for a run without the tag, or of a config that this version does not know, or that somebody edited."""
        if run.id not in self._configs:
            tagged = self._tag in tags_of(run)
            self._configs[run.id] = read_config(run) if tagged and not read_edits(run) else None
        return self._configs[run.id]


def is_finished(run: RunPaths) -> bool:
    """Whether a run has come to its end."""
    return read_status(run).state == "finished"


def is_busy(run: RunPaths) -> bool:
    """Whether somebody trains the run, or has not quite let go of it."""
    try:
        return read_status(run).live or is_held(run)
    except OSError:
        # Somebody else's, whose lock is not ours to look at: what the status says stands.
        return False


def _worth(run: RunPaths) -> tuple[bool, bool, int]:
    status = read_status(run)
    return status.state == "finished", status.live, status.step
