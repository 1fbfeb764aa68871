"""A run that goes on from a checkpoint of another one, with other settings."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL, Laboratory
from tests.endings import same
from tests.training import train
from tuiae.cli.status import status_lines
from tuiae.config import load_config
from tuiae.errors import ConfigError, TrainingError
from tuiae.files import read_json, replace_json
from tuiae.render.status import title_line
from tuiae.runs.checkpoints import (
    MODEL,
    STATE,
    all_checkpoints,
    need_checkpoint,
    pointed,
    read_position,
    verify,
)
from tuiae.runs.lineage import fork_config, fork_run, plan_replay, repeat_line, replay_run
from tuiae.runs.listing import RunLister
from tuiae.runs.paths import CHANGED, RunPaths, list_runs
from tuiae.runs.reader import RunReader, read_config, read_status
from tuiae.runs.snapshot import Parent, Snapshot
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.checkpoint import load_state, load_weights
from tuiae.training.control import Mailbox
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up

KEPT = SMALL.replace("keep = 2", "keep = 9")


def snapshot_of(run: RunPaths) -> Snapshot:
    return RunReader(run.root).read_all()


def opening(run: RunPaths) -> str:
    return next(note.text for note in snapshot_of(run).notes if note.kind == "start")


def fork(source: RunPaths, root: Path, start: str = "last", **overrides: Any) -> RunPaths:
    """A fork that nobody trains yet; a double underscore stands for the dot."""
    checkpoint = need_checkpoint(source, start)
    settings = {key.replace("__", "."): value for key, value in overrides.items()}
    return fork_run(source, checkpoint, fork_config(source, checkpoint, settings), root, ["test"])


def weights(run: RunPaths, name: str = "last") -> dict[str, torch.Tensor]:
    return load_weights(need_checkpoint(run, name))


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """The small run with every checkpoint kept, its learning rate edited in its third epoch. Look, do not touch."""
    lab = Laboratory(tmp_path_factory.mktemp("parent"))
    run = create_run(load_config(Path(lab.preset(KEPT))), lab.runs, [])
    train(run, {33: [("training.learning_rate", 0.004)]})
    return run


def test_a_fork_knows_the_highest_rate_that_its_weights_have_seen(lab: Laboratory, parent: RunPaths) -> None:
    child = fork(lab.copy(parent), lab.runs, training__learning_rate=1e-4, training__epochs=40)
    grandchild = fork(child, lab.runs, "parent", training__learning_rate=1e-3)
    for run in (child, grandchild):
        origin = snapshot_of(run).parent
        assert origin is not None
        assert origin.highest_rate == load_config(parent.config).training.learning_rate  # lowered by an edit since


def test_the_command_goes_on_from_a_checkpoint_and_leaves_the_parent_as_it_is(
    lab: Laboratory, parent: RunPaths
) -> None:
    source = lab.copy(parent)
    before = sorted((path, path.stat().st_mtime_ns) for path in source.root.rglob("*") if path.is_file())
    words = ("--from", "30", "--set", "training.learning_rate=0.05", "--set", "noise.level=0.3", "--name", "child")
    words += ("--epochs", "5")
    document = lab("fork", source.id, *words, "--json").document
    run = lab.run(document["run"])
    assert run.id.split("-")[2] == "child"
    assert (document["state"], document["epochs"], document["steps"]) == ("finished", 5, 75)
    assert document["parent"]["run"] == source.id
    assert set(document["parent"]["changed"]) == {"name", "training.learning_rate", "training.epochs", "noise.level"}
    rate = load_config(source.config).training.learning_rate  # the edit came later
    assert snapshot_of(run).parent == Parent(source.id, 30, 2.0, tuple(document["parent"]["changed"]), rate)
    assert snapshot_of(source).parent is None
    (row,) = (row for row in RunLister(lab.runs).rows() if row.id == run.id)
    assert (row.preset, row.settings["name"]) == (load_config(source.config).name, "child")
    assert opening(run) == f"forked from {source.id} at epoch 2, step 30"
    # Its own three epochs, and a picture of where it began.
    assert snapshot_of(run).series["test", "loss"].steps.tolist() == [45, 60, 75]
    assert snapshot_of(run).samples == (2, 3, 4, 5)
    assert {verify(folder) for folder in all_checkpoints(run)} == {True}
    assert sorted((path, path.stat().st_mtime_ns) for path in source.root.rglob("*") if path.is_file()) == before


def test_the_command_of_a_fork_repeats_it(lab: Laboratory, parent: RunPaths) -> None:
    source = lab.copy(parent)
    run = fork(source, lab.runs, "30", training__learning_rate=0.05, name="child")
    line = repeat_line(run)
    words = "--set name=child --set training.learning_rate=0.05"
    assert line == f"tuiae fork {source.id} --from 30 {words}"
    again = lab.run(lab(*shlex.split(line)[1:], "--detach", "--json").document["run"])
    assert read_config(again) == read_config(run)
    assert snapshot_of(again).parent == snapshot_of(run).parent
    shutil.rmtree(need_checkpoint(source, "30"))
    assert repeat_line(run) == f"tuiae run {run.config} --replay {run.id}"


def test_a_fork_that_changes_nothing_ends_as_its_parent_did(lab: Laboratory, parent: RunPaths) -> None:
    # The edit came in the third epoch: the checkpoint of the last step but one epoch has it in force.
    run = fork(parent, lab.runs, "45")
    assert read_config(run) == snapshot_of(parent).current_config
    train(run)
    assert same(weights(run), weights(parent))
    assert snapshot_of(run).latest("test", "loss") == snapshot_of(parent).latest("test", "loss")


def test_edits_made_after_the_checkpoint_are_not_the_childs(lab: Laboratory, parent: RunPaths) -> None:
    rates = {start: _rate(fork(parent, lab.runs, start, training__epochs=9)) for start in ("15", "30", "45", "last")}
    assert rates == {"15": 0.02, "30": 0.02, "45": 0.004, "last": 0.004}


def _rate(run: RunPaths) -> float:
    config = read_config(run)
    assert config is not None
    return config.training.learning_rate


@pytest.mark.parametrize(("start", "setting"), [("30", "model.latent=4"), ("31", "training.learning_rate=1")])
def test_what_a_fork_cannot_do_leaves_nothing(lab: Laboratory, parent: RunPaths, start: str, setting: str) -> None:
    lab.copy(parent)
    assert lab("fork", "last", "--from", start, "--set", setting, check=2).stdout == ""
    assert [run.id for run in list_runs(lab.runs)] == [parent.id]


def test_another_seed_is_refused_where_it_would_draw_other_images(lab: Laboratory, parent: RunPaths) -> None:
    fork(parent, lab.runs, "30", training__seed=3)
    run = create_run(load_config(Path(lab.preset(KEPT)), {"data.validation": 0.2}), lab.runs, [])
    train(run, stop=13)
    with pytest.raises(ConfigError, match=r"training\.seed"):
        fork(run, lab.runs, "13", training__seed=3)


def test_forks_of_other_seeds_part(lab: Laboratory, parent: RunPaths) -> None:
    runs = [fork(parent, lab.runs, "45", training__seed=seed) for seed in (1, 2)]
    for run in runs:
        train(run)
    assert not same(weights(runs[0]), weights(runs[1]))


def test_another_optimizer_begins_with_a_state_of_its_own_and_says_so(lab: Laboratory, parent: RunPaths) -> None:
    run = fork(parent, lab.runs, "45", training__optimizer="sgd", training__momentum=0.9)
    fit = train(run)
    assert opening(run).endswith("; sgd begins with a state of its own, its parent had another optimizer")
    assert fit.state.optimizer.param_groups[0]["momentum"] == 0.9
    # Stopped and resumed it is an ordinary run.
    stopped = fork(parent, lab.runs, "45", training__optimizer="sgd", training__momentum=0.9)
    for stop in (45, 50, None):
        train(stopped, stop=stop)
    assert same(load_state(need_checkpoint(stopped))["optimizer"], load_state(need_checkpoint(run))["optimizer"])
    assert same(weights(stopped), weights(run))


def test_the_same_optimizer_keeps_its_state_under_the_new_settings(lab: Laboratory, parent: RunPaths) -> None:
    run = fork(parent, lab.runs, "45", training__weight_decay=0.5, training__learning_rate=0.001)
    fit = train(run, stop=46)
    (group,) = fit.state.optimizer.param_groups
    assert (group["weight_decay"], group["lr"]) == (0.5, 0.001)
    assert {float(state["step"]) for state in fit.state.optimizer.state.values()} == {46.0}
    plain = fork(parent, lab.runs, "45", training__learning_rate=0.001)
    train(plain, stop=46)
    assert not same(weights(run), weights(plain))


def test_rmsprop_takes_up_a_momentum_that_its_parent_did_not_have(lab: Laboratory) -> None:
    text = KEPT.replace("learning_rate = 2e-2", 'learning_rate = 1e-3\noptimizer = "rmsprop"')
    source = create_run(load_config(Path(lab.preset(text))), lab.runs, [])
    train(source, stop=20)
    run = fork(source, lab.runs, "20", training__momentum=0.9)
    fit = train(run)
    assert all(state["momentum_buffer"].any() for state in fit.state.optimizer.state.values())


def test_batches_of_another_size_in_the_middle_of_an_epoch(lab: Laboratory) -> None:
    source = create_run(load_config(Path(lab.preset(KEPT))), lab.runs, [])
    train(source, stop=20)
    run = fork(source, lab.runs, training__batch_size=250)
    assert (read_status(run).epoch, read_status(run).step) == (1, 20)
    fit = train(run)
    # 1000 images of the second epoch were left, and two epochs of 1500.
    assert fit.state.step == 20 + 4 + 6 + 6
    assert read_status(run).eta == 0.0
    parent = snapshot_of(run).parent
    assert parent is not None
    assert parent.epoch == pytest.approx(1 + 1 / 3)


def test_how_far_a_fork_is_follows_from_its_epochs_and_not_from_the_steps_of_its_parent(
    lab: Laboratory, parent: RunPaths
) -> None:
    run = fork(parent, lab.runs, "15", training__batch_size=750)
    train(run, stop=18)  # 15 of the first epoch, 3 of half an epoch each
    snapshot = snapshot_of(run)
    assert snapshot.status.share == (1 + 1.5) / 4
    assert "progress: epoch 2 of 4, step 18, 62% done" in status_lines(snapshot)
    assert " 62%" in title_line(snapshot, 80).plain
    record = read_json(run.status)
    replace_json(run.status, {key: value for key, value in record.items() if key != "epochs_done"})
    assert read_status(run).share == 2 / 4  # as a version wrote it that counted whole epochs alone
    assert 0.5 <= (snapshot_of(run).status.share or 0) <= 0.625


def test_the_best_of_a_fork_is_its_own(lab: Laboratory, parent: RunPaths) -> None:
    # So much noise that no epoch comes near what the parent reached.
    run = fork(parent, lab.runs, "30", noise__level=5.0)
    train(run)
    assert pointed(run, "best") in ("step-000045", "step-000060")
    assert need_checkpoint(run, "best")


def test_what_a_fork_began_from_is_kept_and_its_replay_begins_there_too(lab: Laboratory, parent: RunPaths) -> None:
    run = fork(parent, lab.runs, "30", training__epochs=8, checkpoint__keep=1)
    train(run, {50: [("noise.level", 0.5)], 77: [("training.learning_rate", 0.01)]}, stop=100)
    train(run)
    kept = {int(folder.name[5:]) for folder in all_checkpoints(run)}
    assert {30, 120} <= kept
    assert len(kept) <= 3
    assert read_position(need_checkpoint(run, "parent")).epoch == 2.0
    config = load_config(run.config)
    again = replay_run(plan_replay(run, config), config, lab.runs, [])
    train(again)
    assert same(weights(again), weights(run))
    assert snapshot_of(again).parent == snapshot_of(run).parent
    assert [(e.step, e.key, e.new) for e in snapshot_of(again).edits] == [
        (e.step, e.key, e.new) for e in snapshot_of(run).edits
    ]


def test_the_time_of_a_fork_is_its_own(lab: Laboratory, parent: RunPaths) -> None:
    run = fork(parent, lab.runs, "45")
    writers = [RunWriter(run), RunWriter(lab.copy(parent))]
    seconds = []
    for writer in writers:
        fit = Trainer(set_up(load_config(run.config)), writer, Mailbox(writer.run, lambda: True))
        seconds.append(fit.state.seconds)
        writer.close("stopped")
    assert seconds[0] == 0.0 < seconds[1]


def test_a_fork_of_a_fork(lab: Laboratory, parent: RunPaths) -> None:
    child = fork(parent, lab.runs, "30", noise__level=0.3)
    train(child)
    grandchild = fork(child, lab.runs, "45", training__learning_rate=0.001)
    train(grandchild)
    found = snapshot_of(grandchild).parent
    assert found is not None
    assert (found.run, found.step, found.changed) == (child.id, 45, ("training.learning_rate",))
    assert opening(grandchild) == f"forked from {child.id} at epoch 3, step 45"


def test_a_checkpoint_is_copied_where_it_cannot_be_shared(
    lab: Laboratory, parent: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = fork(parent, lab.runs, "45")
    assert (need_checkpoint(shared) / MODEL).samefile(need_checkpoint(parent, "45") / MODEL)

    def refuse(*paths: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    copied = fork(parent, lab.runs, "45")
    assert not (need_checkpoint(copied) / MODEL).samefile(need_checkpoint(parent, "45") / MODEL)
    assert verify(need_checkpoint(copied))


def test_a_checkpoint_that_is_damaged_makes_no_run(lab: Laboratory, parent: RunPaths) -> None:
    source = lab.copy(parent)
    checkpoint = need_checkpoint(source, "45")
    config = fork_config(source, checkpoint, {})
    for damage in (lambda path: path.write_bytes(b"other"), lambda path: path.unlink()):
        damage(checkpoint / STATE)  # type: ignore[no-untyped-call]
        with pytest.raises(TrainingError):
            fork_run(source, checkpoint, config, lab.runs, [])
    assert {path.name for path in lab.runs.iterdir()} - {CHANGED} == {source.id}


@pytest.mark.parametrize(
    "damage",
    [None, [], {"run": 5, "step": 1, "epoch": 1}, {"run": "x", "step": "1", "epoch": 1}, {"run": "x", "step": 10**400}],
)
def test_readers_pass_over_what_is_no_parent(lab: Laboratory, parent: RunPaths, damage: Any) -> None:
    run = lab.copy(parent)
    replace_json(run.meta, {**read_json(run.meta), "parent": damage})
    assert snapshot_of(run).parent is None


def test_a_run_without_a_checkpoint_or_a_config_cannot_be_forked(lab: Laboratory, parent: RunPaths) -> None:
    fresh = create_run(load_config(Path(lab.preset(KEPT))), lab.runs, [])
    lab("fork", fresh.id, check=2)
    replace_json(fresh.status, {**read_json(fresh.status), "state": "failed"})
    told = lab("fork", fresh.id, check=2).stderr
    assert told.endswith(f"tuiae resume {fresh.id}\n")
    run = lab.copy(parent)
    best = pointed(run, "best")
    shutil.rmtree(run.weights / best)
    told = lab("fork", run.id, "--from", "best", check=2).stderr
    assert best in told
    run.config.write_text("[")
    assert str(run.config) in lab("fork", run.id, "--from", "30", "--json", check=2).document["error"]
