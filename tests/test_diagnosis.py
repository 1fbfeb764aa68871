"""What the curves say: every finding on a training that really has it, none on one that goes well; and the pause."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Laboratory, wait_until
from tests.training import Edits
from tests.training import train as train_with_edits
from tuiae.config import build_config, load_config
from tuiae.errors import TrainingError
from tuiae.runs import control
from tuiae.runs.control import Edit
from tuiae.runs.diagnosis import NAMED, WINDOW, Finding, Severity, diagnose
from tuiae.runs.events import OUTLINE_POINTS, Points
from tuiae.runs.evidence import Evidence
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample, read_status
from tuiae.runs.snapshot import Sample, Series, Snapshot
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.control import Mailbox
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up

RARELY = {"samples": {"every": 1000}, "checkpoint": {"every": 1000}}
FEW = {"dataset": "digits", "train_limit": 60}

GOOD = {
    "model": {"family": "dense", "hidden": [48], "latent": 12, "code_activation": "leaky-relu"},
    "training": {"epochs": 40, "batch_size": 100, "learning_rate": 2e-3},
}
OVERFIT = {
    "data": FEW,
    "model": {"family": "dense", "hidden": [128], "latent": 32},
    "training": {"epochs": 400, "batch_size": 60, "learning_rate": 5e-3, "evaluate_every": 10},
}
OVERFIT_CLASSIFIER = {
    "data": FEW,
    "model": {"family": "classifier", "encoder": "dense", "hidden": [64], "latent": 16},
    "training": {"epochs": 300, "batch_size": 20, "learning_rate": 5e-3, "evaluate_every": 10},
}
PLATEAU = {
    "model": {"family": "dense", "latent": 2, "code_activation": "identity", "output": "identity"},
    "training": {"epochs": 200, "batch_size": 300, "learning_rate": 2e-2, "evaluate_every": 5},
}
SLOW = {
    "model": {"family": "dense", "latent": 12},
    "training": {"epochs": 10, "batch_size": 100, "optimizer": "sgd", "learning_rate": 1e-3},
}
WILD = {
    "model": {"family": "dense", "hidden": [48], "latent": 12},
    "training": {"epochs": 30, "batch_size": 100, "learning_rate": 0.5},
}
FLUNG = {
    "model": {"family": "dense", "hidden": [48], "latent": 12, "code_activation": "identity"},
    "training": {"epochs": 5, "batch_size": 100, "learning_rate": 3.0},
}
COLLAPSED = {
    "model": {"family": "vae", "hidden": [48], "latent": 4},
    "training": {"epochs": 6, "batch_size": 100, "learning_rate": 2e-3, "beta": 100.0},
}
DIVERGING = {
    "model": {"family": "dense", "hidden": [48], "latent": 12},
    "training": {"epochs": 60, "batch_size": 100, "learning_rate": 4.0, "warmup": 400.0},
}
NOT_A_NUMBER = {
    "model": {"family": "dense", "hidden": [48], "latent": 12, "output": "identity"},
    "training": {"epochs": 20, "batch_size": 100, "optimizer": "sgd", "learning_rate": 1e6},
}
DYING = {
    "model": {"family": "dense", "hidden": [32, 32], "latent": 16},
    "training": {"epochs": 4, "batch_size": 100, "learning_rate": 0.2},
}
BLIND = {
    "model": {"family": "classifier", "encoder": "dense", "hidden": [32], "latent": 16, "head": "relu-dropout"},
    "training": {"epochs": 6, "batch_size": 50, "learning_rate": 0.1},
}


THROWN = {
    "model": {"family": "dense", "hidden": [48], "latent": 12, "code_activation": "leaky-relu"},
    "training": {"epochs": 20, "batch_size": 100, "learning_rate": 5.0},
    "samples": {"every": 1},
}
RECORDED = Path(__file__).with_name("fixtures") / "curves"
"""What was measured of trainings that end elsewhere under the arithmetic of another processor, without times."""


@pytest.fixture
def recorded(runs_root: Path) -> Callable[[str, dict[str, Any]], Snapshot]:
    """The run of a document that ended long ago, on another machine."""

    def of(name: str, document: dict[str, Any]) -> Snapshot:
        run = create_run(build_config({"data": {"dataset": "digits"}, **RARELY, **document}), runs_root, [])
        shutil.copyfile(RECORDED / f"{name}.jsonl", run.events)
        writer = RunWriter(run)
        writer.event("checkpoint", epoch=1, step=1)
        writer.close("finished")
        return RunReader(run.root).read_all()

    return of


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], tuple[Snapshot, Trainer]]:
    """Train a document in this process, each one once; what its reader sees, and what trained it."""

    @cache
    def of(text: str) -> tuple[Snapshot, Trainer]:
        document = {"data": {"dataset": "digits"}, **RARELY, **json.loads(text)}
        document["training"]["device"] = "cpu"
        config = build_config(document)
        root = tmp_path_factory.mktemp("runs")
        run = create_run(config, root, [])
        writer = RunWriter(run)
        fit = Trainer(set_up(config, root), writer, Mailbox(run, lambda: False))
        try:
            state, error = fit.run(), None
        except TrainingError as failure:
            state, error = "failed", failure.record()
        writer.close(state, error)
        return RunReader(run.root).read_all(), fit

    return lambda document: of(json.dumps(document))


def moments(snapshot: Snapshot) -> list[Snapshot]:
    """The run as it stood after each of its evaluations, while it was running."""
    found = []
    for step in snapshot.series["test", "loss"].steps:
        series = {}
        for key, whole in snapshot.series.items():
            kept = whole.steps <= step
            if kept.any():
                series[key] = Series(whole.steps[kept], whole.epochs[kept], whole.values[kept])
        found.append(replace(snapshot, series=series, status=replace(snapshot.status, state="running", error=None)))
    return found


def kinds(snapshot: Snapshot) -> list[str]:
    return [finding.kind for finding in diagnose(snapshot)]


def only(snapshot: Snapshot, kind: str) -> Finding:
    """The one finding there is, of this kind, and a sentence with a next step."""
    (finding,) = diagnose(snapshot)
    assert finding.kind == kind
    assert str(finding) == f"{finding.sentence}: {finding.advice}"
    assert not finding.sentence.endswith(".")
    return finding


Train = Callable[[dict[str, Any]], tuple[Snapshot, Trainer]]
Recorded = Callable[[str, dict[str, Any]], Snapshot]


def test_nothing_is_said_of_a_training_that_goes_well_at_any_moment(train: Train) -> None:
    snapshot, _ = train(GOOD)
    assert [kinds(moment) for moment in moments(snapshot)] == [[]] * 40
    assert set(kinds(snapshot)) <= {"unfinished"}


def test_a_run_without_curves_or_without_a_config_says_nothing(train: Train) -> None:
    snapshot, _ = train(GOOD)
    assert diagnose(replace(snapshot, series={})) == ()
    assert diagnose(replace(snapshot, config=None)) == ()


@pytest.mark.parametrize(
    ("name", "document"),
    [("overfit", OVERFIT), ("overfit_classifier", OVERFIT_CLASSIFIER)],
    ids=["autoencoder", "classifier"],
)
def test_overfitting_is_seen_and_is_serious(recorded: Recorded, name: str, document: dict[str, Any]) -> None:
    snapshot = recorded(name, document)
    finding = only(snapshot, "overfitting")
    test = snapshot.series["test", "loss"]
    best = int(np.argmin(test.values))
    assert finding.severity == Severity.SERIOUS
    assert f"({test.values[best]:.4g} at epoch {test.epochs[best]:g})" in finding.sentence
    assert finding.advice.startswith("weights/best ")
    assert only(moments(snapshot)[-1], "overfitting").advice.startswith("stop, weights/best is the better network, or")
    before = moments(snapshot)[: best + 1]
    assert [kinds(moment) for moment in before] == [[]] * len(before)


def test_a_plateau_is_a_note_while_the_training_goes_on_and_nothing_afterwards(recorded: Recorded) -> None:
    snapshot = recorded("plateau", PLATEAU)
    finding = only(moments(snapshot)[-1], "plateau")
    assert finding.severity == Severity.NOTE
    assert diagnose(snapshot) == ()
    assert all(not kinds(moment) for moment in moments(snapshot)[:WINDOW])


def test_sgd_with_a_small_rate_is_told_to_hurry(train: Train) -> None:
    snapshot, _ = train(SLOW)
    assert only(moments(snapshot)[-1], "stuck").advice.startswith("raise training.learning_rate")


def test_adam_with_a_large_rate_is_told_to_slow_down(train: Train) -> None:
    snapshot, _ = train(WILD)
    findings = diagnose(moments(snapshot)[-1])
    assert findings
    assert all("lower training.learning_rate" in finding.advice for finding in findings)


def test_a_finished_training_that_gives_one_picture_for_all_images_is_told_so(train: Train) -> None:
    for document, advice in (
        (FLUNG, "start again with a lower training.learning_rate (now 3)"),
        (SLOW, "raise training.learning_rate"),
    ):
        snapshot, _ = train(document)
        (finding,) = diagnose(snapshot, sample_of(snapshot))
        assert (finding.kind, finding.severity) == ("one-picture", Severity.WARNING)
        assert finding.advice.startswith(advice)
    snapshot, _ = train(GOOD)
    assert {finding.kind for finding in diagnose(snapshot, sample_of(snapshot))} <= {"unfinished"}


def test_just_after_an_edit_nothing_counts_as_flat_yet(recorded: Recorded) -> None:
    snapshot = recorded("plateau", PLATEAU)
    last = moments(snapshot)[-1]
    assert kinds(last) == ["plateau"]
    assert last.config is not None
    longer = build_config(last.config.model_dump(mode="json"), {"training.epochs": 40_000})
    assert kinds(replace(last, config=longer)) == []


def test_a_collapsed_posterior_is_seen(train: Train) -> None:
    snapshot, _ = train(COLLAPSED)
    assert only(snapshot, "collapse").severity == Severity.WARNING


def test_a_loss_that_rises_on_training_images_too_is_serious(recorded: Recorded) -> None:
    snapshot = recorded("diverging", DIVERGING)
    found = [finding for moment in moments(snapshot) for finding in diagnose(moment)]
    finding = next(one for one in found if one.severity == Severity.SERIOUS)
    assert finding.kind == "divergence"
    assert finding.severity == Severity.SERIOUS


def test_a_loss_that_is_no_number_says_where_and_what_to_lower(train: Train) -> None:
    snapshot, _ = train(NOT_A_NUMBER)
    assert snapshot.status.state == "failed"
    assert only(snapshot, "divergence").advice.startswith("lower training.learning_rate")


def test_units_that_are_the_same_for_every_image_are_counted(train: Train) -> None:
    snapshot, fit = train(DYING)
    codes = fit.parts.model.eval().encode(fit.parts.test.span(0, 297)[0]).detach().numpy()
    constant = int(np.sum(np.ptp(codes, axis=0) <= 1e-6 * np.abs(codes).max()))
    assert constant > 4
    assert snapshot.latest("code", "dead") == pytest.approx(constant / 16)
    finding = next(found for found in diagnose(snapshot) if found.kind == "dead-units")
    assert finding.sentence.startswith(f"{constant} of 16 units of the code are dead")
    assert "leaky-relu" in finding.advice
    lowered = edited(snapshot, "training.learning_rate", 0.2, 0.002)
    finding = next(found for found in diagnose(lowered) if found.kind == "dead-units")
    assert finding.advice.startswith("start again with training.learning_rate 0.002 (it began with 0.2)")
    assert finding.remedies[0].changes == {"training.learning_rate": 0.002}


def test_a_long_history_is_not_looked_at_whole_and_says_the_same(train: Train) -> None:
    snapshot, _ = train(GOOD)
    evaluations = 100_000
    test, train_eval = Points(), Points()
    for number in range(evaluations):
        loss = 0.1 if number == 70_001 else 0.2 + 0.8 / (1 + number)
        test.append(number, number, loss)
        train_eval.append(number, number, 1 / (1 + number))
    curves = {("test", "loss"): test.series(), ("train-eval", "loss"): train_eval.series()}
    long = replace(snapshot, series=curves)
    assert long.config is not None
    seen = Evidence(long, long.config)
    looked_at = [seen.recent.test, seen.recent.train, seen.comparable.test, seen.live, seen.kl]
    assert max(map(len, looked_at)) <= OUTLINE_POINTS
    assert seen.recent.count == evaluations
    whole = {key: replace(series, outline=None) for key, series in curves.items()}
    assert kinds(replace(long, series=whole)) == ["overfitting"]
    assert only(long, "overfitting").sentence.startswith("test loss has risen 100% from its best (0.1 at epoch 70001)")


# Classes


def sample_of(snapshot: Snapshot) -> Sample:
    sample = read_sample(RunPaths(snapshot.path), snapshot.samples[-1])
    assert sample is not None
    return sample


def test_classes_that_a_classifier_never_predicts_are_named(train: Train) -> None:
    snapshot, _ = train(BLIND)
    sample = sample_of(snapshot)
    assert sample.confusion is not None
    missing = np.flatnonzero(sample.confusion.sum(axis=0) == 0)
    assert len(missing)
    finding = next(found for found in diagnose(snapshot, sample) if found.kind == "missing-classes")
    assert finding.sentence.startswith(f"no test image is taken for {len(missing)} of 10 classes ({missing[0]}")
    assert finding.sentence.endswith(", ...)") == (len(missing) > NAMED)
    assert "model.head" in finding.advice


def test_a_classifier_that_knows_all_classes_is_not_told_so(train: Train) -> None:
    document = {**OVERFIT_CLASSIFIER, "data": {"dataset": "digits"}}
    document["training"] = {"epochs": 5, "batch_size": 100, "learning_rate": 5e-3}
    snapshot, _ = train(document)
    assert {found.kind for found in diagnose(snapshot, sample_of(snapshot))} <= {"unfinished"}


# What a worker does about it

PAUSING = """
name = "pausing"
[data]
dataset = "digits"
[model]
family = "dense"
hidden = [48]
latent = 12
code_activation = "leaky-relu"
[training]
epochs = 20
batch_size = 100
learning_rate = 5.0
auto_pause = true
device = "cpu"
[samples]
every = 1
[checkpoint]
every = 1000
"""


def test_a_worker_pauses_once_says_why_and_goes_on_to_the_same_end(lab: Laboratory, train: Train) -> None:
    run = lab.run(lab("run", lab.preset(PAUSING), "--detach", "--json").document["run"])
    wait_until(lambda: read_status(run).state == "paused")
    wait_until(lambda: "paused at step" in RunReader(run.root).read_all().notes[-1].text)
    notes = [note.text for note in RunReader(run.root).read_all().notes]
    why = next(text for text in notes if text.startswith("auto-pause, one-picture: "))
    assert notes.index(why) == len(notes) - 2  # then the pause itself
    control.send(run, "resume")
    wait_until(lambda: read_status(run).state == "finished")
    snapshot = RunReader(run.root).read_all()
    assert sum("auto-pause" in note.text for note in snapshot.notes) == 1
    whole, _ = train(THROWN)
    np.testing.assert_array_equal(snapshot.series["test", "loss"].values, whole.series["test", "loss"].values)


def test_without_the_key_nothing_pauses(lab: Laboratory) -> None:
    assert load_config(Path(lab.preset(PAUSING))).training.auto_pause
    run = lab.run(lab("run", lab.preset(PAUSING), "--set", "training.auto_pause=false", "--json").document["run"])
    assert not any("pause" in note.text for note in RunReader(run.root).read_all().notes)


# Advice that names nothing that is done already


def with_settings(snapshot: Snapshot, **settings: Any) -> Snapshot:
    """The same curves under another config; a double underscore stands for the dot."""
    assert snapshot.config is not None
    changes = {key.replace("__", "."): value for key, value in settings.items()}
    return replace(snapshot, config=build_config(snapshot.config.model_dump(mode="json"), changes))


def edited(snapshot: Snapshot, key: str, old: float, new: float) -> Snapshot:
    """The same run, with an edit before its first step."""
    return replace(snapshot, edits=(Edit(0.0, 0, 0.0, key, old, new),))


def test_advice_for_a_collapse_names_a_warm_up_that_is_there(train: Train) -> None:
    snapshot, _ = train(COLLAPSED)
    assert only(snapshot, "collapse").advice.endswith("or let it rise slowly (training.beta_warmup)")
    warming = with_settings(snapshot, training__beta_warmup=3)
    assert only(warming, "collapse").advice.endswith("or let it rise over more epochs (training.beta_warmup, now 3)")
    raised = edited(snapshot, "training.beta", 1.0, 100.0)
    assert only(raised, "collapse").advice == "take an edit back: training.beta went from 1 to 100 at step 0"


def test_advice_for_overfitting_names_a_dropout_that_does_something(recorded: Recorded) -> None:
    snapshot = recorded("overfit", OVERFIT)

    def advice(**settings: Any) -> str:
        return only(with_settings(snapshot, **settings), "overfitting").advice.partition("next time ")[2]

    dropout, more, decay = "model.dropout (now 0.2)", "data.train_limit (now 60)", "training.weight_decay (now 0)"
    assert advice(model__dropout=0.2) == f"raise {dropout}, {more} or {decay}"
    assert advice(model__dropout=0.5) == f"raise {more} or {decay}"
    assert advice(data__train_limit=0, model__dropout=0.7) == f"raise {decay}"
    everything = {"data__train_limit": 0, "model__dropout": 0.7, "training__weight_decay": 10.0}
    assert advice(**everything) == "train on more images"
    vae = {"model__family": "vae", "model__hidden": []}
    assert advice(**vae) == f"raise {more} or {decay}"
    lowered = edited(with_settings(snapshot, model__dropout=0.1), DROPOUT, 0.4, 0.1)
    assert "take an edit back: model.dropout went from 0.4 to 0.1 at step 0" in only(lowered, "overfitting").advice


def test_advice_for_a_divergence_names_a_bound_that_is_there(train: Train) -> None:
    snapshot = with_settings(train(NOT_A_NUMBER)[0], training__clip_norm=2.5)
    assert only(snapshot, "divergence").advice.endswith("or lower training.clip_norm (now 2.5)")


def test_nothing_is_called_stuck_or_flat_while_it_warms_up(train: Train, recorded: Recorded) -> None:
    for snapshot, kind in ((train(SLOW)[0], "stuck"), (recorded("plateau", PLATEAU), "plateau")):
        last = moments(snapshot)[-1]
        assert kinds(last) == [kind]
        assert kinds(with_settings(last, training__warmup=last.series["test", "loss"].epochs[-1])) == []


# Edits that spoil a training, and a dead network that pauses itself

STEPS = 15  # an epoch of the digits
RATE, DROPOUT = "training.learning_rate", "model.dropout"


def edited_run(
    root: Path, rate: float = 2e-3, epochs: int = 12, auto_pause: bool = False, schedule: str = "constant"
) -> RunPaths:
    document = {
        "data": {"dataset": "digits"},
        "model": {"family": "dense", "hidden": [48], "latent": 12, "code_activation": "leaky-relu"},
        "training": {
            "epochs": epochs, "batch_size": 100, "learning_rate": rate, "device": "cpu", "auto_pause": auto_pause,
            "schedule": schedule,
        },
        "samples": {"every": 1},
        "checkpoint": {"every": 1000},
    }  # fmt: skip
    return create_run(build_config(document), root, [])


def findings(run: RunPaths) -> tuple[Finding, ...]:
    snapshot = RunReader(run.root).read_all()
    return diagnose(snapshot, read_sample(run, snapshot.samples[-1]))


def after(lab: Laboratory, edits: Edits) -> tuple[Finding, ...]:
    run = edited_run(lab.runs)
    train_with_edits(run, edits)
    return findings(run)


def test_an_edit_that_threw_the_network_away_is_named_although_it_was_taken_back(lab: Laboratory) -> None:
    (finding,) = after(lab, {6 * STEPS: [(RATE, 5.0)], 7 * STEPS: [(RATE, 5e-4)]})
    assert (finding.kind, finding.severity) == ("divergence", Severity.SERIOUS)
    assert f"since {RATE} went from 0.002 to 5 at step {6 * STEPS}" in finding.sentence
    assert finding.advice == f"fork from weights/best, which is from before step {6 * STEPS}"


def test_an_edit_before_the_first_evaluation_leaves_nothing_to_go_back_to(lab: Laboratory) -> None:
    (finding,) = after(lab, {5: [(RATE, 5.0)], 2 * STEPS: [(RATE, 5e-4)]})
    assert f"{RATE} went from 0.002 to 5 at step 5" in str(finding)
    assert "start again without that edit" in finding.advice
    assert "raise" not in str(finding)


@pytest.mark.parametrize("rate", [1e-3, 4e-3])
def test_an_edit_that_does_no_harm_is_not_spoken_of(lab: Laboratory, rate: float) -> None:
    assert {found.kind for found in after(lab, {6 * STEPS: [(RATE, rate)]})} <= {"unfinished"}


def test_a_dropout_that_doubles_the_loss_is_named(lab: Laboratory) -> None:
    run = edited_run(lab.runs, rate=1e-2, epochs=17)
    train_with_edits(run, {14 * STEPS: [(DROPOUT, 0.8)]})
    (finding,) = findings(run)
    assert (finding.kind, finding.severity) == ("divergence", Severity.SERIOUS)
    assert f"since {DROPOUT} went from 0 to 0.8 at step {14 * STEPS}" in finding.sentence
    assert finding.advice == f"fork from weights/best, which is from before step {14 * STEPS}"


def test_epochs_that_drew_a_cosine_anew_are_among_what_can_do_harm(lab: Laboratory) -> None:
    run = edited_run(lab.runs, epochs=4, schedule="cosine")
    train_with_edits(run, {STEPS: [("training.epochs", 2)], 2 * STEPS - 1: [("training.epochs", 4)]})
    snapshot = RunReader(run.root).read_all()
    assert snapshot.current_config is not None
    (suspect,) = Evidence(snapshot, snapshot.current_config).suspects
    assert (suspect.key, suspect.old, suspect.new) == ("training.epochs", 2, 4)


def test_a_training_whose_network_is_dead_pauses_itself(lab: Laboratory) -> None:
    run = edited_run(lab.runs, rate=5.0, epochs=20, auto_pause=True)
    train_with_edits(run, stop=WINDOW * STEPS)  # where it pauses: nobody would wake it
    notes = [note.text for note in RunReader(run.root).read_all().notes]
    (why,) = [text for text in notes if text.startswith("auto-pause")]
    assert why.startswith("auto-pause, one-picture: it gives much the same picture for every image")
    assert "lower training.learning_rate (now 5)" in why
