"""The points of a long training: what is let go of, and what never is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tuiae.runs.reader import Points, thin
from tuiae.runs.snapshot import Best, Series


def test_a_long_curve_stays_small_and_loses_neither_its_extremes_nor_its_ends() -> None:
    points = Points(most=1000)
    values = np.sin(np.arange(20_000) / 7) + np.arange(20_000) / 20_000
    values[1234], values[4321] = -50, 50
    for step, value in enumerate(values):
        points.append(step, step / 10, value)
    series = points.series()
    assert len(series.values) <= 1000
    assert (series.values.min(), series.values.max()) == (-50, 50)
    assert (series.steps[0], series.steps[-1]) == (0, 19_999)
    assert (np.diff(series.steps) > 0).all()
    assert series.steps[-500:].tolist() == list(range(19_500, 20_000))


def test_a_curve_without_a_limit_keeps_every_point() -> None:
    points = Points()
    for step in range(5000):
        points.append(step, step, step)
    assert len(points.series().values) == 5000


def test_thinning_keeps_a_gap_only_where_there_is_nothing_else() -> None:
    values = [1, math.nan, 3, 2, *[math.nan] * 4, 5, 6]
    table = np.array([(step, step, value) for step, value in enumerate(values)])
    assert thin(table)[:, 0].tolist() == [0, 2, 4, 8, 9]


@pytest.mark.parametrize(
    ("values", "metric", "best"),
    [
        ([math.nan, 0.4, 0.2, 0.2], "loss", Best(0.2, 2)),
        ([0.3, math.nan, -math.inf, 0.5], "loss", Best(0.3, 0)),
        ([math.inf, 0.5, math.nan, 0.9], "accuracy", Best(0.9, 3)),
        ([math.nan, math.inf], "loss", None),
        ([], "loss", None),
    ],
)
def test_what_is_not_finite_is_never_the_best(values: list[float], metric: str, best: Best | None) -> None:
    places = np.arange(len(values))
    assert Series(places, places.astype(float), np.array(values)).best(metric) == best
