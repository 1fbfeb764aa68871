"""Importing much at once."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Inside, nothing is looked through for garbage, of which imports make none; what is there at the end stays, and is
    not looked through later either.

    PyTorch leaves 300,000 objects. Importing it took 0.94 s instead of 1.16, and what a training or an answer paid for
    each look at them, a tenth of a second and more, is gone (two cores).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        # At the end of the process everything is looked through: nanobind writes about each function of its that stays.
        atexit.register(gc.unfreeze)
        if was_enabled:
            gc.enable()
