"""Cards that only count, for a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from filelock import FileLock

from tests.conftest import SharedLaboratory
from tests.cuda.cards import Cards, build, obstacle


@pytest.fixture(scope="session")
def cards(shared_lab: SharedLaboratory) -> Iterator[Cards]:
    """Processes on cards that only count; skips where there can be none."""
    if why := obstacle():
        pytest.skip(why)
    folder = shared_lab.root / "cards"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "libnvidia-ml.so.1").exists():
            build(folder)
    made = Cards(folder)
    yield made
    made.close()
