"""A run as one JSON object: what `--json` prints for it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from tuiae.runs.labels import read_label, tags_of
from tuiae.runs.layout import RunPaths
from tuiae.runs.snapshot import Snapshot

SPLITS = ("train", "train-eval", "test", "speed")


def summarise(snapshot: Snapshot) -> dict[str, Any]:
    """`metrics` holds the values of the last epoch and `history` one list a metric, both keyed `split/metric`.

    `train` is measured while training, dropout and all; `train-eval` and `test` with dropout off. A value that is not
    finite is null, as JSON has no NaN.
    """
    series = {
        f"{split}/{name}": _plain(values.values)
        for (split, name), values in snapshot.series.items()
        if split in SPLITS and split != "speed"
    }
    seconds = snapshot.series.get(("speed", "epoch_seconds"))
    rates = snapshot.series.get(("speed", "images_per_second"))
    status, run = snapshot.status, RunPaths(snapshot.path)
    label = read_label(run)
    return {
        "run": snapshot.id,
        "dir": str(snapshot.path),
        "name": label.name,
        "note": label.note,
        "tags": list(tags_of(run, snapshot.meta, label)),
        "state": status.state,
        "device": status.device,
        "epochs": status.epoch,
        "steps": status.step,
        "metrics": {key: values[-1] for key, values in series.items() if values},
        "history": series,
        "epoch_seconds": _plain(seconds.values) if seconds else [],
        "images_per_second": _plain(rates.values) if rates else [],
        "parent": asdict(snapshot.parent) if snapshot.parent else None,
        "edits": [asdict(edit) for edit in snapshot.edits],
        "error": dict(status.error) if status.error else None,
    }


def _plain(values: Any) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
