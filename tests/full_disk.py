"""Trains in a small file system of its own that is filled on the way, and goes on once there is space again.

python -m tests.full_disk ROOT EPOCH LEFT    # from EPOCH on, LEFT kB are free
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.conftest import LONG, Laboratory, wait_until
from tests.endings import assert_same_end
from tuiae.runs.checkpoints import all_checkpoints, find_checkpoint, verify
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.reader import read_status


def fill(path: Path, left: int) -> None:
    """Leave so many kB."""
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(max(file.tell() - left * 1024, 0))


def main(root: Path, epoch: int, left: int) -> None:
    lab, filler = Laboratory(root), root / "filler"
    following = lab.start("run", lab.preset(), *LONG, "--plain")
    (run,) = wait_until(lambda: list_runs(lab.runs))
    wait_until(lambda: read_status(run).epoch >= epoch if epoch else True)
    fill(filler, left)
    _, stderr = following.communicate()
    assert following.returncode == 4, (following.returncode, stderr)
    assert "no space left" in stderr.lower(), stderr
    assert "Traceback" not in stderr + run.log.read_text(), stderr
    assert read_status(run).state in ("failed", "lost")
    assert all(verify(folder) for folder in all_checkpoints(run))
    assert find_checkpoint(run) is not None or epoch == 0
    filler.unlink()
    lab.process("resume", run.id)
    assert_same_end(run, RunPaths(Path(os.environ["TUIAE_TEST_REFERENCE"])))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
