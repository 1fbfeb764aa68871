"""What a failed training advises: nothing that its run does not have, and nothing that would fail again."""

from __future__ import annotations

import errno
import shutil

from tests.conftest import Laboratory, record_edit
from tuiae.runs.layout import RunPaths
from tuiae.training.ways_on import after_divergence
from tuiae.training.worker import explain


def test_what_to_do_about_a_divergence_depends_on_what_the_run_has(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    assert f"tuiae fork {run.id} --from last --set training.learning_rate=0.002" in after_divergence(run)
    for key, old, new in (("training.learning_rate", 0.02, 5.0), ("training.epochs", 4, 9)):
        record_edit(run, key, old, new, 45, 3.0)
    assert after_divergence(run).endswith(f"tuiae fork {run.id} --from last --set training.learning_rate=0.02")
    shutil.rmtree(run.weights)
    assert after_divergence(run).startswith("lower training.learning_rate (now 5)")
    full = explain(OSError(errno.ENOSPC, "No space left on device"), run)
    assert "begin again at the first step" in full.hint
    assert "checkpoint is kept" not in full.hint
