"""A training in this process, that is told things at exact steps; and weights that nobody trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from safetensors.torch import save

from tuiae.config import load_config
from tuiae.runs import control
from tuiae.runs.checkpoints import MODEL, STATE
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import RunWriter
from tuiae.training.checkpoint import save_checkpoint
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


def save_whole_weights(run: RunPaths, step: int = 24, **rows: Sequence[Sequence[int]]) -> RunPaths:
    """Give a run a checkpoint whose weights are 0, but for `rows` of whole numbers by the name of their tensor, with
    `__` for its dots: what they make of the 0 and 1 of glyphs is the same to the last bit on every machine."""
    tensors = {name: torch.zeros_like(one) for name, one in set_up(load_config(run.config)).model.state_dict().items()}
    tensors |= {name.replace("__", "."): torch.tensor(values, dtype=torch.float32) for name, values in rows.items()}
    save_checkpoint(run, step, step / 4, {MODEL: save(tensors), STATE: b""}, ("last", "best"))
    return run
