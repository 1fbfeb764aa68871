"""A terminal laboratory for autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuiae.tracking.run import TrackedRun, track

__version__ = "0.1.0"
__all__ = ["TrackedRun", "__version__", "track"]


def __getattr__(name: str) -> Any:
    """What is imported once somebody asks for it: `import tuiae` alone imports nothing."""
    if name in ("TrackedRun", "track"):
        from tuiae.tracking import run

        return getattr(run, name)
    raise AttributeError(f"module 'tuiae' has no attribute {name!r}")
