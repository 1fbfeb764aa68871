"""Many runs at once: what a list shows of each, without reading its history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuiae.files import read_json
from tuiae.runs.layout import RunPaths, list_runs
from tuiae.runs.reader import read_config, read_status
from tuiae.runs.snapshot import Status
from tuiae.runs.tags import read_tags


@dataclass(frozen=True)
class RunRow:
    """One line of a list; empty words where the config cannot be read."""

    path: Path
    status: Status
    dataset: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()


class RunLister:
    """Lists the runs again and again; what cannot change any more is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[int, RunRow]] = {}

    def rows(self) -> tuple[RunRow, ...]:
        """Every run, newest first."""
        return tuple(self._row(run) for run in list_runs(self._root))

    def _row(self, run: RunPaths) -> RunRow:
        try:
            stamp = run.status.stat().st_mtime_ns
        except OSError:
            stamp = 0
        known = self._known.get(run.id)
        if known is not None and known[0] == stamp and not known[1].status.live:
            return known[1]
        config, status = read_config(run), read_status(run)
        names = (config.data.dataset, config.model.family) if config else ("", "")
        row = RunRow(run.root, status, *names, read_tags(read_json(run.meta)))
        self._known[run.id] = (stamp, row)
        return row
