"""`tuiae bench`: how fast this machine trains each preset, beside recorded machines, and where the time goes."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from tuiae.cli.output import Output
from tuiae.config import load_config
from tuiae.config.presets import find_preset, list_presets, presets_dir
from tuiae.errors import ConfigError, DataError
from tuiae.machine import count_cores, processor
from tuiae.preflight import check
from tuiae.render.machine import seconds
from tuiae.render.text import MISSING, count
from tuiae.runs.paths import runs_dir
from tuiae.runs.process import StandbyWorker

Figures = dict[str, dict[str, Any]]
"""Preset -> what its dry run found."""


def measure_presets(names: Sequence[str], device: str, output: Output) -> None:
    """Try a few steps of each preset, of all whose images are on this machine without names, and show the figures.

    Raises:
        ConfigError, DataError: a preset that was named cannot be tried. TrainingError: a batch failed.
    """
    chosen = names or [preset.name for preset in list_presets()]
    found: Figures = {}
    lacking: dict[str, str] = {}
    with StandbyWorker() as worker:
        for name in chosen:
            config = load_config(find_preset(name), {"training.device": device})
            dataset = check(config, runs_dir()).dataset
            if not dataset.ready and names:
                hint = f"`tuiae data import DIR --as {dataset.name}` or `tuiae data fetch {dataset.name}`"
                raise DataError(f"{name} trains on {dataset.name}, which is not on this machine yet", hint)
            if not dataset.ready:
                lacking[name] = dataset.name
                continue
            output.note(f"measuring {name}")
            found[name] = worker.dry_run(config, runs_dir(), profiled=True)
    if not found:
        raise ConfigError("no preset has its images on this machine", "`tuiae data list` says how to get them")
    document = {"machine": describe(found), "presets": found, "not_measured": lacking}
    if output.json:
        output.document(document)
        return
    _show(document["machine"], found, output)
    for wanted in dict.fromkeys(lacking.values()):
        presets = ", ".join(name for name in lacking if lacking[name] == wanted)
        output.line(f"not measured: {presets}: {wanted} is not on this machine; `tuiae data list`", "yellow")


def describe(found: Figures) -> dict[str, Any]:
    """What the figures depend on, apart from the presets."""
    devices = dict.fromkeys(str(cost["device"]).partition(",")[0] for cost in found.values())
    return {
        "processor": processor(),
        "cores": count_cores(),
        "devices": [*devices],
        "torch": version("torch"),
        "system": f"{platform.system()} {platform.machine()}",
    }


def recorded() -> list[Mapping[str, Any]]:
    """The documents of `tuiae bench --json` from other machines that came with the package."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((presets_dir() / "speeds").glob("*.json"))]


def _show(machine: Mapping[str, Any], found: Figures, output: Output) -> None:
    others = recorded()
    letters = [chr(ord("A") + place) for place in range(len(others))]
    output.line(f"{machine['processor']}, {count(machine['cores'])} cores, torch {machine['torch']}", "bold")
    heads = ["preset", "device", "precision", "shards", "a step", "an epoch", "images/s", *letters]
    rows = [
        [
            name,
            str(cost["device"]).partition(",")[0],
            cost["precision"],
            str(cost["shards"] or MISSING),
            seconds(cost["step_seconds"]),
            seconds(cost["epoch_seconds"]),
            count(round(cost["batch_size"] / cost["step_seconds"])),
            *(_beside(cost, other["presets"].get(name)) for other in others),
        ]
        for name, cost in found.items()
    ]
    output.table(heads, rows, right={*heads[3:]})
    for letter, other in zip(letters, others, strict=True):
        words = other["machine"]
        devices = "" if words["devices"] == ["cpu"] else f", {', '.join(words['devices'])}"
        told = f"{words['processor']}, {count(words['cores'])} cores{devices}, torch {words['torch']}"
        output.line(f"{letter}: images a second, ours / those of {told}", "dim")
    _show_shares({name: cost for name, cost in found.items() if cost["shares"]}, output)
    whys: dict[str, list[str]] = {}
    for name, cost in found.items():
        whys.setdefault(f"{cost['precision']}: {cost['reason'] or 'the preset names it'}", []).append(name)
    for why, presets in whys.items():
        output.line(f"{', '.join(presets)} in {why}", "dim")
    output.line("Shards go by the network and the batch, so that every machine computes the same bits", "dim")


def _show_shares(found: Figures, output: Output) -> None:
    """Show where the time of presets on a CPU goes; a GPU computes while the CPU launches what comes next."""
    if not found:
        return
    output.line()
    output.line("Where a step's time on one core goes; what an epoch evaluates, and writes beside the training", "bold")
    parts = list(next(iter(found.values()))["shares"])
    shares = [
        [
            name,
            *(f"{share:.0%}" if share else MISSING for share in cost["shares"].values()),
            seconds(cost["evaluation_seconds"]),
            seconds(cost["writing_seconds"]),
        ]
        for name, cost in found.items()
    ]
    heads = ["preset", *("random" if part == "random numbers" else part for part in parts), "evaluation", "writing"]
    output.table(heads, shares, right={*heads[1:]})
    if any(not cost["shares"]["loss"] for cost in found.values()):
        output.line(f"loss {MISSING}: found on the way forward, in the same pass over memory", "dim")


def _beside(cost: Mapping[str, Any], other: Mapping[str, Any] | None) -> str:
    return f"{other['step_seconds'] / cost['step_seconds']:.2g}x" if other else MISSING
