"""A setting against a metric: for each of its values the final and best figures of the runs that have it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Any

from tuiae.config import short_keys
from tuiae.runs.labels import PRUNED
from tuiae.runs.snapshot import HIGHER_IS_BETTER
from tuiae.studies.compare import Comparison, Entry, metric_name, unranked
from tuiae.studies.labels import SettingDifference, telling

DECADE = 10.0
"""Largest by smallest from which an axis is logarithmic."""
CATEGORIES, LINEAR, LOG = "categories", "linear", "log"


@dataclass(frozen=True)
class Level:
    """One value of a setting and the runs that have it."""

    value: Any
    entries: tuple[Entry, ...]
    finals: tuple[float, ...]
    """The last figures of its runs, as far as they are finite numbers."""
    bests: tuple[float, ...]

    @property
    def final(self) -> float | None:
        """The median over its runs."""
        return median(self.finals) if self.finals else None

    @property
    def best(self) -> float | None:
        """The median over its runs."""
        return median(self.bests) if self.bests else None


@dataclass(frozen=True)
class SweepSummary:
    """One setting and its levels: numbers in increasing order, other values in the order of the runs."""

    key: str
    metric: str
    axis: str
    """`linear`, `log` or `categories`."""
    levels: tuple[Level, ...]
    also: tuple[str, ...]
    """Keys that differ besides this one, so that the setting alone does not explain the figures."""
    unranked: str
    """Why a better figure does not mean a better run, in a sentence; empty where it does."""

    @property
    def name(self) -> str:
        """The key without its section, where that is clear."""
        return self.names[self.key]

    @property
    def names(self) -> dict[str, str]:
        """The short names of all keys that differ; beside `noise.kind`, the level is not `noise` alone."""
        short = short_keys((self.key, *self.also))
        sections = {name.partition(".")[0] for name in short.values() if "." in name}
        return {key: key if name in sections else name for key, name in short.items()}

    @property
    def best_level(self) -> Level | None:
        """The value with the best median of final figures; None where they cannot be ranked."""
        known = [level for level in self.levels if level.finals]
        if self.unranked or not known:
            return None
        better = max if self.metric in HIGHER_IS_BETTER else min
        return better(known, key=lambda level: median(level.finals))


def sweep_summaries(comparison: Comparison, metric: str) -> tuple[SweepSummary, ...]:
    """One for every setting of which two values or more were measured, in the order of the config."""
    rows = telling(comparison.differences)
    found = []
    for row in rows:
        levels = _levels(row, comparison.entries, metric)
        if len(levels) > 1:
            also = tuple(other.key for other in rows if other.key != row.key)
            axis = _axis([level.value for level in levels])
            found.append(SweepSummary(row.key, metric, axis, levels, also, unranked(comparison, metric)))
    return tuple(found)


def without_summary(comparison: Comparison, metric: str) -> str:
    """The reason, in a sentence, why there is no summary."""
    if sum(entry.snapshot.config is not None for entry in comparison.entries) < 2:
        return "fewer than two configs are readable: nothing to set against the figures"
    if telling(comparison.differences):
        if pruned := sum(entry.snapshot.state == PRUNED for entry in comparison.entries):
            of = f"{pruned} of {len(comparison.entries)} runs were pruned, and do not count here"
            return f"{of}: among the others no setting has two values with a test {metric_name(metric)}"
        return f"no setting has two values with a test {metric_name(metric)} yet"
    seeds = " but their seeds or names" if comparison.differences else ""
    return f"the runs differ in nothing{seeds}: no setting to set against the {metric_name(metric)}"


def axis_number(value: Any) -> float | None:
    """A number, or a list of one, as the width of one hidden layer is; None for anything else."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def spans_a_decade(values: Sequence[float]) -> bool:
    """Returns whether values are better seen on a logarithmic axis: all above 0 and far apart."""
    return min(values) > 0 and max(values) > DECADE * min(values)


def _axis(values: Sequence[Any]) -> str:
    numbers = [number for value in values if (number := axis_number(value)) is not None]
    if len(numbers) < len(values):
        return CATEGORIES
    return LOG if spans_a_decade(numbers) else LINEAR


def _levels(row: SettingDifference, entries: Sequence[Entry], metric: str) -> tuple[Level, ...]:
    """The levels with measured figures; numbers in increasing order, others as they come."""
    by_value: dict[str, list[Entry]] = {}
    for entry, value in zip(entries, row.values, strict=True):
        if value is not None and entry.best(metric) is not None and entry.snapshot.state != PRUNED:
            by_value.setdefault(json.dumps(value), []).append(entry)
    levels = []
    for value, found in by_value.items():
        finals = [figure for entry in found if (figure := entry.final(metric)) is not None]
        bests = [figure for entry in found if (figure := entry.best_value(metric)) is not None]
        levels.append(Level(json.loads(value), tuple(found), tuple(finals), tuple(bests)))
    if all(axis_number(level.value) is not None for level in levels):
        levels.sort(key=lambda level: axis_number(level.value) or 0.0)
    return tuple(levels)


def summary_record(summary: SweepSummary) -> dict[str, Any]:
    """The summary for a JSON document: the values, their runs and medians, and the best value."""
    best, metric = summary.best_level, summary.metric
    values = [
        {
            "value": level.value,
            "runs": [
                {"run": entry.snapshot.id, "final": entry.final(metric), "best": entry.best_value(metric)}
                for entry in level.entries
            ],
            "final": _median_record(level.finals),
            "best": _median_record(level.bests),
        }
        for level in summary.levels
    ]
    return {
        "key": summary.key,
        "metric": metric,
        "axis": summary.axis,
        "also_differ": list(summary.also),
        "values": values,
        "best": {"value": best.value, "final": best.final} if best else None,
    }


def _median_record(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    return {"n": len(values), "median": median(values), "min": min(values), "max": max(values)}


def figures_of(summary: SweepSummary) -> tuple[float, ...]:
    """All final and best figures of a summary."""
    return tuple(chain.from_iterable((*level.finals, *level.bests) for level in summary.levels))
