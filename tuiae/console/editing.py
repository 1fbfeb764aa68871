"""`tuiae edit`: change a training while it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tuiae.config import RunConfig, parse_override
from tuiae.console.output import Output
from tuiae.errors import ConfigError, ExitCode, TrainingError
from tuiae.preflight_warnings import warn_of_change
from tuiae.runs import control
from tuiae.runs.edits import Edit, propose
from tuiae.runs.layout import RunPaths, unwritable
from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Snapshot

ANSWER_SECONDS = 120.0  # a step of the slowest model here takes seconds
POLL_SECONDS = 0.05


def edit(run: RunPaths, settings: Sequence[str], output: Output) -> ExitCode:
    """Ask a live run's worker for each `key=value`, and wait until all are in force.

    Raises:
        ConfigError: the run is not live, or a setting that cannot be changed so; nothing was asked then.
        TrainingError: the worker did not answer in time. UnknownRunError: somebody else's run.
    """
    reader = RunReader(run.root)
    snapshot = reader.read_all()
    config = snapshot.current_config
    if config is None or not snapshot.status.live:
        raise ConfigError(f"{run.id} is {snapshot.status.state}: there is no training to change", "see `tuiae fork`")
    before, changes = config, dict(parse_override(setting) for setting in settings)
    for key, value in changes.items():
        config = propose(config, key, value, snapshot.status.epoch)
    known = len(snapshot.edits)
    for key, value in changes.items():
        try:
            control.send(run, "set", key=key, value=value)
        except OSError as error:
            raise unwritable(run, error, "edit") from error
    for warning in warn_of_change(before, config):
        output.note(f"note: {warning}", "yellow")
    made = _await_edits(reader, known, config, len(changes))
    if output.json:
        output.document([{"key": one.key, "old": one.old, "new": one.new, "step": one.step} for one in made])
    for one in made:
        output.line(f"{one.key}: {one.old} -> {one.new} at step {one.step}")
    return ExitCode.OK


def _await_edits(reader: RunReader, known: int, config: RunConfig, asked: int) -> tuple[Edit, ...]:
    """The edits that the worker made since, once the config in force is the one that was asked for."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        snapshot: Snapshot = reader.poll()
        made = snapshot.edits[known:]
        if len(made) >= asked or snapshot.current_config == config:
            return made
        if not snapshot.status.live:
            raise TrainingError(f"{snapshot.id} ended before it was changed", "go on with it: `tuiae resume`")
        if time.monotonic() > deadline:
            raise TrainingError(f"{snapshot.id} has not answered for {ANSWER_SECONDS:.0f} s", "is it still alive?")
        time.sleep(POLL_SECONDS)
