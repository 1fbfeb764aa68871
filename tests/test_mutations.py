"""Run directories that were damaged at random: no reader ends in a traceback, hangs or fills the memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import CHECKOUT, FOREIGN

COUNT = int(os.environ.get("TUIAE_TEST_MUTATIONS", "160"))
EVALUATED = ["20"] if COUNT > 1000 else []  # of so many one, where torch is worth its import
PARTS = 2 if COUNT > 1000 else 1  # each imports what readers need, which takes as long as reading 20 directories


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_runs_are_borne_by_every_reader(part: int) -> None:
    command = [sys.executable, "-m", "tests.mutations", str(COUNT // PARTS), str(part * COUNT), *EVALUATED]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_what_asks_for_more_of_a_test_reaches_it() -> None:
    names = re.findall(r"TUIAE_\w+(?==)", (CHECKOUT / "Makefile").read_text())
    assert names
    assert not [name for name in names if FOREIGN.fullmatch(name)]
