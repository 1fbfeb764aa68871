"""Ways on the dots of a plot: kept in sight, thinned, broken into dashes; where their signs stand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuiae.render.ticks import Dots

ACROSS, DOWN = 2, 4
"""Braille dots in a cell."""
DASH = 3  # cells: two drawn, one left out
SIGN_CELLS = 16  # between two signs of one line


def bounded(x: Dots, y: Dots, last: int) -> tuple[Dots, Dots]:
    """A way with a point wherever it crosses -last or 2 * last, and with those beyond brought there: what is out of
    sight bends none of what shows."""
    ends = np.array([-last, 2 * last])
    if not len(y) or (y.min() >= ends[0] and y.max() <= ends[1]):
        return x, y
    rise = np.diff(y)[:, None]
    shares = (ends - y[:-1, None]) / np.where(rise, rise, 1)
    at, end = np.nonzero((shares > 0) & (shares < 1) & (rise != 0))
    share = shares[at, end]
    order = np.argsort(np.concatenate([np.arange(len(x)), at + share]), kind="stable")
    crossed = np.rint(x[at] + share * np.diff(x)[at]).astype(np.int64)
    return np.append(x, crossed)[order], np.append(np.clip(y, *ends), ends[end])[order]


def thin(x: Dots, y: Dots, width: int) -> tuple[Dots, Dots]:
    """A lowest and a highest point of each `width` neighbouring places of x, in order of x, between the two ends."""
    if len(x) < 4:
        return x, y
    starts = np.flatnonzero(np.diff(x // width, prepend=np.iinfo(np.int64).min // 2))
    part = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(x)))
    kept = [np.array([0, len(x) - 1])]
    for extreme in (np.minimum, np.maximum):
        found = np.flatnonzero(y == extreme.reduceat(y, starts)[part])
        kept.append(found[np.diff(part[found], prepend=-1) > 0])  # the first of equals
    places = np.unique(np.concatenate(kept))
    x, y = x[places], y[places]
    bends = np.ones(len(x), bool)
    bends[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])  # of a level way its ends are enough
    return x[bends], y[bends]


def dashes(x: Dots, y: Dots) -> tuple[Dots, Dots, NDArray[np.bool_]]:
    """A broken line of two cells of every three: its points, and whether each is joined to the one before."""
    drawn, period = (DASH - 1) * ACROSS - 1, DASH * ACROSS
    ends = np.arange(x[0] - x[0] % period, x[-1] + 1, period)
    ends = np.concatenate([ends, ends + drawn])
    ends = ends[(ends > x[0]) & (ends < x[-1]) & ~np.isin(ends, x)]
    levels = np.rint(np.interp(ends, x, y)).astype(np.int64)
    x, y = np.append(x, ends), np.append(y, levels)
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    inside = x % period <= drawn
    x, y = x[inside], y[inside]
    return x, y, np.diff(x // period, prepend=-1) == 0


def dots_between(x: Dots, y: Dots, step: int) -> tuple[Dots, Dots]:
    """Points on every so-and-so-many-th place of x of the way through these."""
    if len(x) < 2:
        return x, y
    places = np.arange(-(-x[0] // step) * step, x[-1] + 1, step)
    return (places, np.rint(np.interp(places, x, y)).astype(np.int64)) if len(places) else (x[:1], y[:1])


def signs(x: Dots, y: Dots, shift: float) -> tuple[Dots, Dots]:
    """Where a line bears its sign: a few places at equal distances, moved by a share of the distance; one at least."""
    step = SIGN_CELLS * ACROSS
    places = np.arange(round(shift * step), x[-1] + 1, step)
    places = places[places >= x[0]]
    if not len(places):
        places = np.array([(x[0] + x[-1]) // 2])
    return places, np.rint(np.interp(places, x, y)).astype(np.int64)
