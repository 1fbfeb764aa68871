"""What a run's own files say of its config as it changed."""

from __future__ import annotations

from pathlib import Path

from tuiae.config import RunConfig
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.runs.edits import Edit, apply_edits, as_edit, read_plan
from tuiae.runs.layout import RunPaths
from tuiae.runs.reader import read_config
from tuiae.runs.snapshot import Status
from tuiae.runs.tail import parse_event


def read_edits(run: RunPaths) -> tuple[Edit, ...]:
    """The edits that a run's history records, in order."""
    try:
        with open(run.events, "rb") as file:
            # Most lines are live points: looking for two words is cheaper than parsing them.
            lines = [line for line in file if b'"command"' in line and b'"key"' in line]
    except OSError:
        return ()
    records = (record for line in lines if (record := parse_event(line)) and record["kind"] == "command")
    return tuple(edit for record in records if (edit := as_edit(record)))


def read_script(run: RunPaths) -> tuple[Edit, ...]:
    """Every edit that belongs to a run: those it made, and as a replay those that are still to come; by step."""
    made = read_edits(run)
    done = {edit.plan for edit in made}
    coming = [edit for edit in read_plan(read_json(run.meta)) if edit.plan not in done]
    return tuple(sorted((*made, *coming), key=lambda edit: edit.step))


def config_at(run: RunPaths, step: int | None = None) -> RunConfig | None:
    """The config in force once so many steps are done, or with every edit; None where there is no config to read."""
    config = read_config(run)
    if config is None:
        return None
    return apply_edits(config, (edit for edit in read_edits(run) if step is None or edit.step <= step))


def need_config(run: RunPaths, step: int | None = None) -> RunConfig:
    """`config_at`, for who cannot do without one.

    Raises:
        ConfigError: the config is missing, not ours to read, torn, or of another version.
    """
    config = config_at(run, step)
    if config is None:
        try:
            run.config.read_bytes()
        except OSError as error:
            raise ConfigError(f"{run.config}: {error.strerror or error}", "is it there, and yours to read?") from error
        raise ConfigError(f"{run.config}: not a config of this version", "start the run again from its preset")
    return config


class EditedRuns:
    """Which runs were edited; a history is read again only when the run's status has changed since."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Status, bool]] = {}

    def has(self, path: Path, status: Status) -> bool:
        """Whether the run of a directory, which has this status, records any edit."""
        known = self._known.get(path)
        if known is None or (known[0] != status and not known[1]):
            known = self._known[path] = (status, bool(read_edits(RunPaths(path))))
        return known[1]
