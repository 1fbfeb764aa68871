"""Cards that only count, for a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cuda.cards import Cards, build, obstacle


@pytest.fixture(scope="session")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cards]:
    """Processes on cards that only count; skips where there can be none."""
    if why := obstacle():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("cards")
    build(folder)
    made = Cards(folder)
    yield made
    made.close()
