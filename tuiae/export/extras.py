"""Libraries that only some results need."""

from __future__ import annotations

from importlib.util import find_spec

from tuiae.errors import ConfigError

FIGURES_NEED = "the figures of a report need matplotlib"


def need(module: str, what: str) -> None:
    """Say before anything starts that a library is missing.

    Raises:
        ConfigError: `what`, and how to install it.
    """
    if find_spec(module) is None:
        raise ConfigError(what, "pip install 'tuiae[studies]'")
