"""Values from files that anybody may have damaged: what is not of the kind it should be is no value."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

MAX_COUNT = 2**53  # steps and epochs stay exact in the float64 tables of a series


def as_number(value: Any) -> float | None:
    """A finite number, or None; a JSON integer can be too large for a float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def is_count(value: Any) -> TypeGuard[int]:
    """Whether it is a whole number that a float64 holds exactly."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_COUNT
