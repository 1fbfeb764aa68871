"""The points of a long training: what is let go of, and what never is."""

from __future__ import annotations

import math

import numpy as np

from tuiae.runs.reader import Points, thin


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
