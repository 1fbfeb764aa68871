"""What is changed while a run trains: told, refused, made again after a stop, and repeated by a replay."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.conftest import LONG, SMALL, Laboratory, wait_until
from tests.endings import assert_same_end
from tests.training import train
from tuiae.config import RunConfig, build_config, load_config
from tuiae.errors import ConfigError
from tuiae.files import read_json, replace_json
from tuiae.models.activations import Dropout
from tuiae.render.runs import column_of, find_columns
from tuiae.render.status import draw_details
from tuiae.runs import control
from tuiae.runs.control import EDITABLE, Edit, as_plan, offered, propose
from tuiae.runs.lineage import config_at, plan_replay, replay_run
from tuiae.runs.listing import RunLister
from tuiae.runs.paths import RunPaths
from tuiae.runs.query import parse_query
from tuiae.runs.reader import RunReader, read_sample, read_status
from tuiae.runs.snapshot import Snapshot
from tuiae.runs.writer import RunWriter, create_run
from tuiae.studies.library import Library
from tuiae.training.control import Mailbox
from tuiae.training.evaluate import evaluate
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up

GLYPHS = """
name = "drawn"
[data]
dataset = "glyphs"
[model]
family = "vae"
hidden = [16]
latent = 3
dropout = 0.1
[training]
epochs = 12
batch_size = 8
loss = "bce"
beta_warmup = 4
schedule = "cosine"
device = "cpu"
"""
EVERYTHING = {
    7: [("training.learning_rate", 5e-3)],
    15: [("noise.level", 0.4), ("model.dropout", 0.3)],
    22: [("training.epochs", 5), ("training.learning_rate", 1e-3)],
    60: [("noise.level", 0.1)],
}
"""Within an epoch, at its end, two at once, and past the step that was once the last."""


def snapshot_of(run: RunPaths) -> Snapshot:
    return RunReader(run.root).read_all()


def short(edits: tuple[Edit, ...]) -> list[tuple[int, str, Any, Any]]:
    return [(edit.step, edit.key.rpartition(".")[2], edit.old, edit.new) for edit in edits]


def new_run(lab: Laboratory, text: str = SMALL, **options: Any) -> RunPaths:
    return create_run(load_config(Path(lab.preset(text))), lab.runs, [], **options)


def texts(run: RunPaths, kind: str) -> list[str]:
    return [note.text for note in snapshot_of(run).notes if note.kind == kind]


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """The small run with EVERYTHING done to it. Look, do not touch."""
    lab = Laboratory(tmp_path_factory.mktemp("edited"))
    run = new_run(lab)
    train(run, EVERYTHING)
    return run


# Which edits there are


def test_what_is_offered_depends_on_what_the_run_is() -> None:
    always = ("training.learning_rate", "model.dropout", "training.epochs")
    assert offered(RunConfig()) == always
    noisy = build_config({"noise": {"kind": "mask", "level": 0.1}, "model": {"family": "conv-vae"}})
    assert offered(noisy) == tuple(EDITABLE)
    shallow = build_config({"model": {"family": "vae"}})
    assert offered(shallow) == ("training.learning_rate", "training.beta", "training.epochs")
    frozen = build_config({"model": {"family": "classifier", "freeze": True}})
    assert "model.dropout" not in offered(frozen)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("training.learning_rate", -1, "training.learning_rate = -1: should be greater than 0"),
        ("training.learning_rate", "fast", "training.learning_rate = 'fast': should be a number"),
        ("training.learning_rate", float("nan"), "should be a finite number"),
        ("noise.level", 1.5, "noise.level = 1.5: mask noise takes 0 to 1"),
        ("model.dropout", True, "model.dropout = True: should be a number"),
        ("model.dropout", 1, "should be less than 1"),
        ("training.epochs", 3, "training.epochs = 3: 3 are done; give 4 or more"),
        ("training.epochs", 5.5, "training.epochs = 5.5: should be a whole number"),
        ("training.beta", 2, "a dense model has no KL term; these can be changed: training.learning_rate, noise"),
        ("training.lr", 2, "cannot be changed while a run trains (did you mean 'training.learning_rate'?)"),
        ("training.dropout", 2, "cannot be changed while a run trains (did you mean 'model.dropout'?)"),
        ("training.bta", 2, "cannot be changed while a run trains (did you mean 'training.beta'?)"),
        ("model.latent", 2, "model.latent cannot be changed while a run trains; these can: training.learning_rate"),
    ],
)
def test_an_edit_that_cannot_be_is_refused_as_the_command_line_would(key: str, value: Any, sentence: str) -> None:
    config = build_config({"noise": {"kind": "mask", "level": 0.1}})
    with pytest.raises(ConfigError) as caught:
        propose(config, key, value, done=3)
    assert sentence in str(caught.value)


# While it trains


def test_edits_are_recorded_and_in_force_from_their_step_on(edited: RunPaths) -> None:
    snapshot = snapshot_of(edited)
    assert short(snapshot.edits) == [
        (7, "learning_rate", 2e-2, 5e-3),
        (15, "level", 0.2, 0.4),
        (15, "dropout", 0.05, 0.3),
        (22, "epochs", 4, 5),
        (22, "learning_rate", 5e-3, 1e-3),
        (60, "level", 0.4, 0.1),
    ]
    assert snapshot.edits[3].epoch == pytest.approx(22 / 15)
    assert "@" in snapshot.edits[0].by
    assert snapshot.edits[0].time > 0
    assert "at step 7," in texts(edited, "command")[0]
    assert (snapshot.status.epochs, snapshot.status.epoch, snapshot.status.step) == (5, 5, 75)
    # What it began with stays what it was; what is in force follows.
    assert snapshot.config == load_config(edited.config)
    assert snapshot.config is not None
    assert snapshot.config.training.epochs == 4
    current = snapshot.current_config
    assert current is not None
    assert (current.training.learning_rate, current.noise.level, current.model.dropout) == (1e-3, 0.1, 0.3)
    earlier = config_at(edited, 14)
    assert earlier is not None
    assert (earlier.training.learning_rate, earlier.noise.level) == (5e-3, 0.2)


def test_lists_show_what_is_in_force_and_say_that_it_was_edited(edited: RunPaths) -> None:
    (row,) = rows = RunLister(edited.root.parent).rows()
    assert row.settings["training.learning_rate"] == 2e-2
    assert column_of("learning_rate").words(row, 0.0) == "0.001"
    assert len(parse_query("rate:0.001 level:0.1 dropout:>0.2 training.epochs:5", rows).find(rows)) == 1
    assert not parse_query("rate:>=0.02", rows).find(rows)
    assert parse_query("rate:>0", rows).ranges == ("learning_rate",)
    assert find_columns(["rate"], rows)[-1].name == "learning_rate"
    details = " ".join(draw_details(row, 80, 40, now=0.0).plain.split())
    assert "edited rate 0.02 → 0.001, noise 0.2 → 0.1, dropout 0.05 → 0.3" in details
    assert "rate 0.001" in details.partition("optim")[2]


def test_a_resumed_worker_keeps_the_edits_that_its_checkpoint_knows(lab: Laboratory) -> None:
    run = new_run(lab)
    train(run, {7: [("training.learning_rate", 5e-3)]}, stop=20)
    replace_json(run.status, {key: value for key, value in read_json(run.status).items() if key != "edited"})
    train(run)
    assert read_status(run).edited == {"training.learning_rate": 5e-3}


def test_everything_that_a_key_reaches_follows_an_edit(lab: Laboratory, edited: RunPaths) -> None:
    run = new_run(lab)
    fit = train(run, EVERYTHING)
    layers = [layer for layer in fit.parts.model.modules() if isinstance(layer, Dropout)]
    assert layers
    assert {layer.p for layer in layers} == {0.3}
    assert {group["lr"] for group in fit.state.optimizer.param_groups} == {1e-3}
    # The last evaluation had the last noise, not the first.
    loss = snapshot_of(run).latest("test", "loss")
    assert loss == evaluate(fit.parts, fit.parts.test).metrics["loss"]
    assert loss != evaluate(set_up(load_config(run.config)), fit.parts.test).metrics["loss"]
    assert_same_end(run, edited)


def test_beta_and_the_schedule_follow_in_a_variational_run(lab: Laboratory) -> None:
    run = new_run(lab, GLYPHS)
    fit = train(run, {6: [("training.beta", 3.0)], 9: [("training.epochs", 20)]})
    series = {name: snapshot_of(run).series["test", name].values for name in ("loss", "reconstruction", "kl")}
    betas = (series["loss"] - series["reconstruction"]) / series["kl"]
    assert betas[0] == pytest.approx(1, rel=1e-3)
    assert betas[-1] == pytest.approx(3, rel=1e-3)
    # The best is looked for anew, because another beta makes another loss.
    assert fit.state.best == series["loss"][1:].min()
    assert fit.state.epoch == 20
    assert fit.state.optimizer.param_groups[0]["lr"] < 1e-4  # the cosine falls to 0 at the new last epoch


@pytest.mark.parametrize(
    "command",
    [
        {"key": "training.learning_rate", "value": 0},
        {"key": "training.learning_rate", "value": {"a": [1]}},
        {"key": "training.epochs", "value": 1},
        {"key": "training.beta", "value": 2},
        {"key": ["model.latent"], "value": 2},
        {"value": 2},
        {},
    ],
)
def test_a_bad_edit_becomes_a_warning_and_training_goes_on(
    lab: Laboratory, finished: RunPaths, command: dict[str, Any]
) -> None:
    run = new_run(lab)
    train(run, stop=20)
    replace_json(run.status, {**read_json(run.status), "state": "starting"})
    replace_json(run.control / "1.json", {"command": "set", **command})
    train(run)
    (warning,) = texts(run, "warning")
    assert warning.startswith("not changed: ")
    assert snapshot_of(run).edits == ()
    assert_same_end(run, finished)


def test_a_value_that_is_there_already_is_said_and_is_no_edit(lab: Laboratory) -> None:
    run = new_run(lab)
    train(run, {3: [("noise.level", 0.2)]})
    assert texts(run, "command") == ["noise level is 0.2 already"]
    assert snapshot_of(run).edits == ()


def test_a_run_that_is_paused_takes_edits_and_stays_paused(lab: Laboratory) -> None:
    run = lab.detach(*LONG)
    control.send(run, "pause")
    step = wait_until(lambda: read_status(run).state == "paused" and (read_status(run).step + 1)) - 1
    control.send(run, "set", key="training.epochs", value=7)
    assert wait_until(lambda: snapshot_of(run).edits)[0].step == step
    assert wait_until(lambda: read_status(run).epochs == 7)
    assert read_status(run).state == "paused"
    control.send(run, "resume")
    assert lab("attach", run.id, "--json").document["epochs"] == 7


@pytest.mark.parametrize(("also", "state", "epoch"), [([], "finished", 6), (["stop"], "stopped", 4)])
def test_a_run_in_its_last_evaluation_takes_more_epochs(
    lab: Laboratory, also: list[str], state: str, epoch: int
) -> None:
    run = new_run(lab)

    class Asking(Trainer):
        def step(self, order: Tensor) -> None:
            super().step(order)
            if self.state.step == 60:  # the last one: no boundary before the end follows
                control.send(run, "set", key="training.epochs", value=6)
                for command in also:
                    control.send(run, command)

    writer = RunWriter(run)
    fit = Asking(set_up(load_config(run.config)), writer, Mailbox(run, lambda: False))
    assert fit.run() == state
    writer.close(state)
    assert short(snapshot_of(run).edits) == [(60, "epochs", 4, 6)]
    assert (read_status(run).epoch, read_status(run).epochs) == (epoch, 6)


# After a stop


@pytest.mark.parametrize("stops", [[0], [7], [10, 20], [15], [22, 23], [59, 61]], ids=str)
def test_a_run_with_edits_stopped_at_any_step_ends_the_same(
    lab: Laboratory, edited: RunPaths, stops: list[int]
) -> None:
    run = new_run(lab, meta={"replay": {"run": edited.id, "edits": as_plan(snapshot_of(edited).edits)}})
    for stop in [*stops, None]:
        train(run, stop=stop)
    assert short(snapshot_of(run).edits) == short(snapshot_of(edited).edits)
    assert_same_end(run, edited)


def test_edits_after_the_newest_checkpoint_are_made_again_once(lab: Laboratory, edited: RunPaths) -> None:
    run = lab.copy(edited)
    # As a worker that was killed in its second epoch leaves it: the edits are known, the steps are lost.
    for folder in run.weights.glob("step-*"):
        folder.rename(folder.with_name(f"{folder.name}.gone"))
    made = snapshot_of(run).edits
    train(run)
    assert snapshot_of(run).edits == made
    assert any("again from step 7 on" in text for text in texts(run, "command"))
    assert_same_end(run, edited)


def test_a_run_that_was_edited_and_killed_goes_on_and_its_replay_ends_the_same(lab: Laboratory) -> None:
    run = lab.detach()
    control.send(run, "pause")  # heard before the first step
    lab("pause", run.id, "--step", "22")
    control.send(run, "set", key="training.learning_rate", value=0.004)
    control.send(run, "set", key="model.dropout", value=0.2)
    wait_until(lambda: len(snapshot_of(run).edits) == 2)
    os.kill(read_status(run).pid, signal.SIGKILL)
    wait_until(lambda: read_status(run).state == "lost")
    lab("resume", run.id, "--epochs", "6")
    assert [(place.epoch, place.step) for place in snapshot_of(run).resumes] == [(1, 15)]  # and makes them again
    document = lab("run", str(run.config), "--replay", run.id, "--json").document
    replay = lab.run(document["run"])
    assert [edit["key"] for edit in document["edits"]] == [edit.key for edit in snapshot_of(run).edits]
    assert {"training.learning_rate", "model.dropout", "training.epochs"} == {e["key"] for e in document["edits"]}
    assert document["epochs"] == 6
    assert_same_end(replay, run)


def test_more_epochs_on_resuming_are_an_edit_and_the_config_stays(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    before = run.config.read_bytes()
    lab("resume", run.id, "--epochs", "5")
    lab("resume", run.id, "--epochs", "6")
    assert run.config.read_bytes() == before
    assert short(snapshot_of(run).edits) == [(60, "epochs", 4, 5), (75, "epochs", 5, 6)]
    again = replay_run(plan_replay(run, load_config(run.config)), load_config(run.config), lab.runs, [])
    train(again)
    assert_same_end(again, run)


@pytest.mark.thorough
def test_more_epochs_than_a_cosine_had_are_told_to_lift_the_rate_again(lab: Laboratory) -> None:
    run = lab.train("--epochs", "2", "--set", "training.schedule=cosine")
    for command in (("resume", run.id, "--epochs", "4"), ("fork", run.id, "--from", "last", "--epochs", "6")):
        assert "\nnote: " in f"\n{lab(*command).stderr}"


def test_the_command_changes_a_live_run_and_refuses_what_cannot_be(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.detach("--set", "training.epochs=900000")
    wait_until(lambda: read_status(run).state == "running")
    lab("edit", run.id, "model.latent=3", check=2)
    assert "training.learning_rate" in lab("edit", run.id, "training.learning_rate=-1", check=2).stderr
    done = lab("edit", run.id, "training.learning_rate=0.004", "--json")
    (edit,) = done.document
    assert (edit["key"], edit["old"], edit["new"]) == ("training.learning_rate", 0.02, 0.004)
    assert "note: " not in done.stderr
    wild = lab("edit", run.id, "training.learning_rate=5")
    assert wild.stderr.startswith("note: ")
    assert wild.stdout.startswith("training.learning_rate: ")
    lab("stop", run.id)
    lab("edit", run.id, "training.epochs=9", check=2)


# Replay


def test_a_replay_of_a_stopped_replay_repeats_what_was_still_to_come(lab: Laboratory, edited: RunPaths) -> None:
    config = load_config(edited.config)
    first = replay_run(plan_replay(edited, config), config, lab.runs, [])
    train(first, stop=10)
    assert short(snapshot_of(first).edits) == [(7, "learning_rate", 2e-2, 5e-3)]
    second = replay_run(plan_replay(first, config), config, lab.runs, [])
    train(second)
    assert_same_end(second, edited)
    train(first)
    assert_same_end(first, edited)


def test_a_variational_run_on_glyphs_is_replayed_bit_for_bit(lab: Laboratory) -> None:
    run = new_run(lab, GLYPHS)
    train(run, {5: [("training.beta", 0.2)], 11: [("model.dropout", 0.0)], 30: [("training.learning_rate", 0.01)]})
    again = lab("run", str(run.config), "--replay", run.id, "--json").document
    assert again["state"] == "finished"
    assert_same_end(lab.run(again["run"]), run)


def test_a_replay_under_another_config_is_warned_of_or_refused(lab: Laboratory, edited: RunPaths) -> None:
    config = load_config(edited.config)
    renamed = build_config(config.model_dump(mode="json"), {"name": "again", "samples.every": 2})
    assert plan_replay(edited, renamed).warnings == ()
    other = build_config(config.model_dump(mode="json"), {"training.batch_size": 50})
    (warning,) = plan_replay(edited, other).warnings
    assert f"training.batch_size differ from {edited.id}" in warning
    quiet = build_config(config.model_dump(mode="json"), {"noise.kind": "none"})
    with pytest.raises(ConfigError, match=r"15.*noise\.level"):
        plan_replay(edited, quiet)
    lab("run", "quickstart", "--replay", "nowhere", check=2)


# What others make of it


def test_a_study_does_not_take_a_run_that_was_edited_for_its_own(lab: Laboratory) -> None:
    run = new_run(lab, tags=["study"])
    config = load_config(run.config)
    assert Library(lab.runs, "study").find(config) == run
    train(run, {5: [("training.learning_rate", 0.5)]})
    assert Library(lab.runs, "study").find(config) is None


DAMAGED: list[Any] = [
    {"key": "training.learning_rate", "old": "a", "new": 1, "step": 1, "epoch": 1},
    {"key": "training.learning_rate", "old": 1, "new": [], "step": 1, "epoch": 1},
    {"key": "training.learning_rate", "old": 1, "new": -5, "step": -1, "epoch": 0},
    {"key": "training.epochs", "old": 1, "new": 10**400, "step": 1, "epoch": 1},
    {"key": "model.latent", "old": 1, "new": 1, "step": 1, "epoch": 1},
    {"key": ["x"], "old": 1, "new": 1, "step": 10**400, "epoch": None},
    {"key": "noise.level", "old": 0.2, "new": 0.3, "step": 2, "epoch": 0.1, "by": 7, "plan": "x", "time": "now"},
]


def test_readers_pass_over_what_is_no_edit(lab: Laboratory, edited: RunPaths) -> None:
    run = lab.copy(edited)
    with open(run.events, "a") as file:
        file.writelines(json.dumps({"kind": "command", **record}) + "\n" for record in DAMAGED)
        file.write('{"kind":"command","key":"noise.level","ol')
    snapshot = snapshot_of(run)
    good = snapshot_of(edited)
    assert snapshot.edits[: len(good.edits)] == good.edits
    assert snapshot.edits[-1].by == ""
    assert snapshot.current_config is not None
    assert snapshot.current_config.noise.level == 0.1  # of a later step
    for meta in ({"replay": 5}, {"replay": {"edits": 5}}, {"replay": {"edits": [5, {}, *DAMAGED]}}, {"parent": [1]}):
        replace_json(run.meta, meta)
        assert RunReader(run.root).read_all().parent is None
        assert plan_replay(run, load_config(run.config)).edits
    run.config.write_text("[")
    assert snapshot_of(run).current_config is None
    assert config_at(run) is None


def test_a_sample_whose_codes_are_damaged_loses_them_alone(lab: Laboratory, finished: RunPaths) -> None:
    import numpy as np

    run = lab.copy(finished)
    with np.load(run.sample(4)) as file:
        arrays = {name: file[name] for name in file.files}
    for damage in ({"codes": np.zeros((4, 3))}, {"code_labels": np.zeros(3)}, {"codes": np.full((297, 2), "x")}):
        np.savez(run.sample(4), **{**arrays, **damage, "unit_kl": np.zeros((2, 2))})  # type: ignore[arg-type]
        sample = read_sample(run, 4)
        assert sample is not None
        assert sample.inputs is not None
        assert sample.codes is None
        assert sample.unit_kl is None
