"""What compared runs must not be taken for: other seeds, another measure, a setting that was not always in force."""

from __future__ import annotations

from tests.comparing import begin, end, read, settings, tell, two_sizes
from tests.conftest import Laboratory
from tests.dashboard import CLASSIFIER, Script
from tuiae.config import known_keys
from tuiae.files import read_json, replace_json
from tuiae.render.compare import compare_curves, compare_title, settings_table, values_and_seeds
from tuiae.render.sweeps import summary_words
from tuiae.runs.control import describe_edit
from tuiae.studies.compare import cautions
from tuiae.studies.labels import WHERE
from tuiae.studies.sweep_summary import sweep_summaries


def test_a_run_and_a_repeat_of_it_are_no_two_seeds(lab: Laboratory) -> None:
    study = two_sizes(lab)[:3]
    repeat = end(lab.runs, 60, [0.4, 0.3], settings(model__latent=4, training__seed=1))
    comparison = read(*study, repeat)
    assert [(group.key, [entry.key for entry in group.entries]) for group in comparison.groups] == [
        ("A", ["A1", "A2", "A3"]),
        ("B", ["B"]),
    ]
    names = [entry.label for entry in comparison.entries]
    assert names == ["denoise seed=0", "denoise seed=1 (0041)", "denoise seed=2", "denoise seed=1 (0060)"]
    pair = read(study[1], repeat)
    assert compare_title(pair, "loss", 80).plain.endswith("2 runs")
    assert "over seeds" not in values_and_seeds(pair, "loss", 100).plain
    test = compare_curves(pair, "loss").test
    assert len({curve.label for curve in test}) == len({curve.sign for curve in test}) == 2


def test_accuracy_of_pixels_and_of_images_is_not_the_same_wherever_it_shows(lab: Laboratory) -> None:
    comparison = read(end(lab.runs, 1, [0.2], settings()), end(lab.runs, 2, [0.1], settings(CLASSIFIER)))
    words = "accuracy is not the same measure in all (share of pixels / share of images)"
    assert words in cautions(comparison, "loss")
    assert cautions(comparison, "accuracy").count(words) == 1
    alike = read(*(end(lab.runs, number, [0.2], settings(model__latent=number)) for number in (3, 4)))
    assert cautions(alike, "loss") == ()


def edit(played: Script, epoch: float, old: float, new: float, key: str = "training.learning_rate") -> None:
    step = round(4 * epoch)
    played.writer.event("command", **describe_edit(key, old, new, step, epoch, "me@here"))
    played.writer.status(now=True, step=step)


def edited_run(lab: Laboratory, number: int, losses: list[float]) -> Script:
    """A run whose rate was raised half an epoch after its first."""
    played = begin(lab.runs, number, settings(training__learning_rate=0.002))
    tell(played, 1, losses[0])
    edit(played, 1.5, 0.002, 50.0)
    for epoch, loss in enumerate(losses[1:], 2):
        tell(played, epoch, loss)
    played.writer.status(now=True, step=4 * len(losses))
    return played


def test_a_setting_that_was_not_always_in_force_is_said(lab: Laboratory) -> None:
    played = edited_run(lab, 1, [0.2, 0.1])
    played.writer.close("finished")
    comparison = read(played, end(lab.runs, 2, [0.3], settings(training__learning_rate=0.002)))
    change = "learning_rate 0.002 → 50 at epoch 1.5"
    assert cautions(comparison, "loss") == (f"A was edited while it trained: {change}",)
    (summary,) = sweep_summaries(comparison, "loss")
    assert summary_words(summary)[0] == f"best: learning_rate 50, final loss 0.1000 (A edited: {change})"


def test_of_many_edits_the_first_are_told_and_those_to_come_are_not(lab: Laboratory) -> None:
    played = edited_run(lab, 1, [0.2, 0.1, 0.1, 0.1])
    for place in range(4):
        edit(played, 2 + place / 4, 50.0 + place, 51.0 + place)
    played.writer.event("command", **describe_edit("training.epochs", 6, 9, 40, 10.0, "me@here"))
    played.writer.close("finished")
    (said,) = cautions(read(played), "loss")
    assert said.endswith("51 → 52 at epoch 2.25 and 2 more")
    assert "epochs" not in said


def test_the_best_value_says_that_its_epochs_were_not_reached(lab: Laboratory) -> None:
    stopped = begin(lab.runs, 1, settings(training__epochs=3000))
    tell(stopped, 1, 0.1)
    stopped.writer.close("stopped")
    patient = begin(lab.runs, 3, settings(training__epochs=3000, training__patience=1))
    tell(patient, 2, 0.1)
    patient.writer.close("finished")
    comparison = read(stopped, end(lab.runs, 2, [0.3], settings()), patient)
    assert cautions(comparison, "loss") == ("A stopped at epoch 1", "C ended early at epoch 2")
    summary = sweep_summaries(comparison, "loss")[0]
    assert summary.key == "training.epochs"
    words = "best: epochs 3000, median final loss 0.1000 of 2 runs"
    assert summary_words(summary)[0] == f"{words} (A stopped at epoch 1; C ended early at epoch 2)"


def test_a_fork_says_since_when_its_settings_are_its_own(lab: Laboratory) -> None:
    parent = end(lab.runs, 1, [0.3], settings())
    forks = [end(lab.runs, number, [0.2], settings(training__learning_rate=0.01)) for number in (2, 3)]
    for fork, changed in zip(forks, (["training.learning_rate"], []), strict=True):
        origin = {"run": parent.run.id, "step": 4, "epoch": 1, "changed": changed}
        replace_json(fork.run.meta, {**read_json(fork.run.meta), "parent": origin})
    assert cautions(read(parent, *forks), "loss") == (
        "B was forked at epoch 1 of A (learning_rate changed)",
        "C was forked at epoch 1 of A",
    )
    assert f"A was forked at epoch 1 of {parent.run.id}" in cautions(read(forks[1]), "loss")


def test_settings_that_count_in_no_run_are_no_differences(lab: Laboratory) -> None:
    unused = {"model__encoder": "dense", "training__beta": 4.0, "model__kernel": 5, "training__seed": 1}
    runs = [end(lab.runs, 1, [0.3], settings()), end(lab.runs, 2, [0.2], settings(**unused))]
    comparison = read(*runs)
    assert [row.key for row in comparison.differences] == ["training.seed"]
    assert comparison.seeded
    variational = end(lab.runs, 3, [0.2], settings(model__family="vae", training__beta=2.0))
    found = {row.key: row.values for row in read(*runs, variational).differences}
    assert found == {
        "model.family": ("dense", "dense", "vae"),
        "training.beta": (None, None, 2.0),
        "training.seed": (0, 1, 0),
    }


def test_a_setting_that_does_not_count_in_a_run_has_no_value_there(lab: Laboratory) -> None:
    classifier = end(lab.runs, 2, [0.1], settings(CLASSIFIER, model__freeze=True))
    comparison = read(end(lab.runs, 1, [0.2], settings()), classifier)
    assert "encoder=" not in comparison.entries[0].label
    assert "encoder=dense" in comparison.entries[1].label
    (row,) = [line.split() for line in settings_table(comparison, 100).plain.splitlines() if "freeze" in line]
    assert row == ["model.freeze", "–", "true"]
    # One run alone says nothing of what a setting does.
    assert "model.freeze" not in [summary.key for summary in sweep_summaries(comparison, "loss")]


def test_every_setting_that_counts_only_somewhere_is_one() -> None:
    assert set(WHERE) <= set(known_keys())
