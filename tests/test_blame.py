"""An edit that spoils a training is named, with the way back; and a training whose network is dead pauses itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Laboratory
from tests.training import Edits, train
from tuiae.config import build_config
from tuiae.runs.diagnosis import WINDOW, Finding, Severity, diagnose
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.writer import create_run

STEPS = 15  # an epoch of the digits
RATE = "training.learning_rate"


def new_run(root: Path, rate: float = 2e-3, epochs: int = 12, auto_pause: bool = False) -> RunPaths:
    document = {
        "data": {"dataset": "digits"},
        "model": {"family": "dense", "hidden": [48], "latent": 12, "code_activation": "leaky-relu"},
        "training": {
            "epochs": epochs, "batch_size": 100, "learning_rate": rate, "device": "cpu", "auto_pause": auto_pause,
        },
        "samples": {"every": 1},
        "checkpoint": {"every": 1000},
    }  # fmt: skip
    return create_run(build_config(document), root, [])


def findings(run: RunPaths) -> tuple[Finding, ...]:
    snapshot = RunReader(run.root).read_all()
    return diagnose(snapshot, read_sample(run, snapshot.samples[-1]))


def after(lab: Laboratory, edits: Edits) -> tuple[Finding, ...]:
    run = new_run(lab.runs)
    train(run, edits)
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
    assert after(lab, {6 * STEPS: [(RATE, rate)]}) == ()


def test_a_training_whose_network_is_dead_pauses_itself(lab: Laboratory) -> None:
    run = new_run(lab.runs, rate=5.0, epochs=20, auto_pause=True)
    train(run, stop=WINDOW * STEPS)  # where it pauses: nobody would wake it
    notes = [note.text for note in RunReader(run.root).read_all().notes]
    (why,) = [text for text in notes if text.startswith("auto-pause")]
    assert why.startswith("auto-pause, one-picture: it gives much the same picture for every image")
    assert "lower training.learning_rate (now 5)" in why
