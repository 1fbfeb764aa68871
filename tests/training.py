"""A training in this process, that is told things at exact steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tuiae.config import load_config
from tuiae.runs import control
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import RunWriter
from tuiae.training.control import Mailbox
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up

Edits = Mapping[int, Sequence[tuple[str, Any]]]
"""Step -> keys and values that are asked for there."""


def train(run: RunPaths, edits: Edits | None = None, stop: int | None = None) -> Trainer:
    """Train a run as its worker would, to its end or until it is stopped after so many steps."""
    asked = dict(edits or {})

    def look() -> bool:
        for key, value in asked.pop(fit.state.step, ()):
            control.send(run, "set", key=key, value=value)
        return stop == fit.state.step

    writer = RunWriter(run)
    fit = Trainer(set_up(load_config(run.config)), writer, Mailbox(run, look))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuiae.training.control.MAIL_SECONDS", 0.0)  # at every step, not every tenth of a second
        state = fit.run()
    writer.close(state)
    assert state == ("finished" if stop is None else "stopped")
    return fit
