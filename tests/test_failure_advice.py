"""What a failed training advises: nothing that its run does not have, and nothing that would fail again."""

from __future__ import annotations

import errno
import shlex
import shutil
from pathlib import Path

from tests.conftest import Laboratory, record_edit
from tuiae.config import load_config
from tuiae.errors import TrainingError
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import create_run
from tuiae.training.worker import explain

CAUSE = "the loss is no longer a number at step 59 (epoch 4)"
RATE = "training.learning_rate"
EXPLOSIVE = {
    "model.activation": "identity",
    "model.code_activation": "identity",
    "model.output": "identity",
    "training.optimizer": "sgd",
    RATE: 0.01,
    "training.batch_size": 1500,  # one step an epoch
    "training.epochs": 50,
}
"""Nothing keeps such a network from growing without bounds."""


def said(run: RunPaths) -> str:
    return str(explain(TrainingError(CAUSE), run))


def test_what_to_do_about_a_divergence_depends_on_what_the_run_has(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    fork = f"tuiae fork {run.id} --from"
    assert said(run).endswith(f"{fork} last --set {RATE}=0.002")
    record_edit(run, RATE, 0.02, 3.0, 31, 2.1)
    assert said(run).startswith(
        f"{CAUSE}, after {RATE} went from 0.02 to 3 at step 31; it kept no checkpoint from before"
    )
    assert said(run).endswith(f"{fork} last --set {RATE}=0.02")
    for key, old, new in ((RATE, 3.0, 5.0), (RATE, 5.0, 4.0), ("training.epochs", 4, 9)):
        record_edit(run, key, old, new, 50, 3.3)
    assert said(run).startswith(f"{CAUSE}, after {RATE} went from 3 to 5 at step 50; go back to before that edit")
    assert said(run).endswith(f"{fork} 45 --set {RATE}=3.0")
    shutil.rmtree(run.weights)
    assert said(run).endswith(f"begin again without that edit, tuiae run {run.config}")
    run.events.unlink()
    assert "lower training.learning_rate (now 0.02)" in said(run)


def test_a_full_disk_advises_what_the_run_has(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    shutil.rmtree(run.weights)
    full = explain(OSError(errno.ENOSPC, "No space left on device"), run)
    assert "begin again at the first step" in full.hint
    assert "checkpoint is kept" not in full.hint


def test_a_training_that_an_edit_blew_up_names_it_and_a_way_back_that_works(lab: Laboratory) -> None:
    run = create_run(load_config(Path(lab.preset()), EXPLOSIVE), lab.runs, [])
    record_edit(run, RATE, 0.01, 1e3, 5, 5.0)
    failed = lab("resume", run.id, "--json", check=4)
    edit = f"after {RATE} went from 0.01 to 1000 at step 5"
    assert failed.document["error"].startswith("the loss is no longer a number at step ")
    assert failed.document["error"].endswith(edit)
    for command in (("status", run.id, "--once"), ("show", run.id)):
        words = " ".join(lab(*command).stdout.split())
        assert edit in words
        assert "weights/best, which is from before step 5" in words
    _, _, command = failed.document["hint"].partition(", tuiae ")
    assert command == f"fork {run.id} --from best --set {RATE}=0.01"
    assert lab(*shlex.split(command), "--epochs", "12", "--json").document["state"] == "finished"
