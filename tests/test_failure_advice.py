"""What a failed training advises: nothing that its run does not have, and nothing that would fail again."""

from __future__ import annotations

import errno
import shlex
import shutil
from pathlib import Path

from tests.conftest import Laboratory, record_edit
from tuiae.config import load_config
from tuiae.errors import TrainingError
from tuiae.files import read_json, replace_json
from tuiae.runs.checkpoints import no_checkpoint
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import create_run
from tuiae.training.failure import explain

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
    assert said(run).startswith(f"{CAUSE}, after {RATE} went from 0.02 to 3 at step 31; ")
    assert said(run).endswith(f"{fork} last --set {RATE}=0.02")
    for key, old, new in ((RATE, 3.0, 5.0), (RATE, 5.0, 4.0), ("training.epochs", 4, 9)):
        record_edit(run, key, old, new, 50, 3.3)
    assert said(run).startswith(f"{CAUSE}, after {RATE} went from 3 to 5 at step 50; ")
    assert said(run).endswith(f"{fork} 45 --set {RATE}=3.0")
    shutil.rmtree(run.weights)
    assert said(run).endswith(f"begin again without that edit, tuiae run {run.config}")
    run.events.unlink()
    assert "lower training.learning_rate (now 0.02)" in said(run)


def test_a_bound_that_is_there_is_named_and_a_higher_beta_is_suspected(lab: Laboratory) -> None:
    run = create_run(load_config(Path(lab.preset()), {"training.clip_norm": 2.5}), lab.runs, [])
    assert "lower training.learning_rate (now 0.02), or lower training.clip_norm (now 2.5)" in said(run)
    record_edit(run, "training.beta", 1.0, 9.0, 5, 0.3)  # of a family that has one
    assert "after training.beta went from 1 to 9" in said(run)


def test_a_run_that_was_moved_is_not_said_to_lack_a_checkpoint(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    run.root.rename(lab.root / "elsewhere")
    for error in (FileNotFoundError(errno.ENOENT, "No such file", str(run.status)), TrainingError(CAUSE)):
        assert explain(error, run).cause == f"{run.id} is gone"


def test_a_run_whose_worker_died_is_told_to_train_on_only_where_that_helps(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    replace_json(run.status, {**read_json(run.status), "state": "running", "pid": 2**22, "process_start": "1"})
    assert "continues from its newest checkpoint" in lab("show", run.id).stdout
    shutil.rmtree(run.weights)
    run.weights.mkdir()
    assert "trains it from the first step" in lab("show", run.id).stdout
    assert no_checkpoint(run).hint == f"train it from the first step: tuiae resume {run.id}"


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
