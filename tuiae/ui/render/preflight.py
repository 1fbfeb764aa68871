"""What a run would cost, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuiae.ui.render.facts import Fact
from tuiae.ui.render.text import clean, count, duration, megabytes

_LEAST_PER_IMAGE = 1e-9  # seconds; keeps a clock that stood still out of the division


def cost_facts(cost: Mapping[str, Any]) -> list[Fact]:
    """Of the fields of a dry run (training.dry_run.DryRun): all that is counted in seconds is an estimate."""
    steps, step = cost["steps_per_epoch"], cost["step_seconds"]
    rate = cost["batch_size"] / max(step, _LEAST_PER_IMAGE)
    facts: list[Fact] = [
        ("device", clean(cost["device"]), ""),
        ("parameters", _parameters(cost), ""),
        ("memory", _memory(cost), ""),
        ("a step", f"{seconds(step)} for {_many(cost['batch_size'], 'image')}, {count(round(rate))} images/s", ""),
        ("an epoch", f"about {seconds(cost['epoch_seconds'])}: {_many(steps, 'step')}, {_evaluation(cost)}", ""),
        ("in all", f"about {seconds(cost['total_seconds'])}: {_many(cost['epochs'], 'epoch')}, samples and saving", ""),
    ]
    return facts


def _many(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def cost_line(name: str, cost: Mapping[str, Any]) -> str:
    """The same in a line."""
    epoch, total = seconds(cost["epoch_seconds"]), seconds(cost["total_seconds"])
    return f"{clean(name, 40)}: about {epoch} an epoch, {total} in all, {megabytes(1e6 * cost['peak_mb'])} at the peak"


def _evaluation(cost: Mapping[str, Any]) -> str:
    return f"then {seconds(cost['evaluation_seconds'])} of evaluation"


def _parameters(cost: Mapping[str, Any]) -> str:
    parts = {clean(name).replace("_", "-"): number for name, number in cost["parameters"].items() if number}
    total = sum(parts.values())
    words = ", ".join(f"{name} {count(number)}" for name, number in parts.items())
    trained = "" if cost["trained"] == total else f"; {count(cost['trained'])} of them are trained"
    return f"{count(total)} ({words}){trained}"


def _memory(cost: Mapping[str, Any]) -> str:
    kept, peak = 1e6 * (cost["weights_mb"] + cost["state_mb"]), 1e6 * cost["peak_mb"]
    data = f", {megabytes(1e6 * cost['data_mb'])} of images" if cost["data_mb"] else ""
    return (
        f"{megabytes(kept)} for weights, gradients and optimizer{data}, about {megabytes(peak)} at the peak of a step"
    )


def seconds(value: float) -> str:
    """`5.2 ms`, `0.84 s`, `42 s`, and from two minutes on `2:05` or `1:02:33`."""
    if value < 0.1:
        return f"{1e3 * value:.2g} ms" if value < 0.01 else f"{1e3 * value:.0f} ms"
    return duration(value) if value >= 120 else f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
