"""Where a forked run comes from, as its meta.json says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuiae.runs.values import as_number, is_count


@dataclass(frozen=True)
class Parent:
    """The run and the moment that a fork began from."""

    run: str
    """Its id; the run itself may be gone."""
    step: int
    epoch: float
    """Epochs done, the one under way as a fraction."""
    changed: tuple[str, ...] = ()
    """The dotted keys in which the fork differs from what was in force there."""


def read_parent(meta: Mapping[str, Any]) -> Parent | None:
    """The parent in a meta.json; None for a run that is no fork, and for what is no parent."""
    found = meta.get("parent")
    if not isinstance(found, dict):
        return None
    run, step, epoch, changed = found.get("run"), found.get("step"), as_number(found.get("epoch")), found.get("changed")
    if not isinstance(run, str) or not is_count(step) or epoch is None:
        return None
    keys = changed if isinstance(changed, list) else []
    return Parent(run, step, epoch, tuple(key for key in keys if isinstance(key, str)))
