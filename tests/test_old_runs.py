"""Runs that earlier versions wrote, as files that are never made again: they are read, gone on with and evaluated."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Laboratory
from tuiae.runs.lineage import need_config
from tuiae.runs.listing import RunLister
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample

FORMAT_1 = Path(__file__).with_name("fixtures") / "run_v1"
ID = "20261129-103300-format_1-0001"
LOSSES = [0.15136462, 0.09805158, 0.08554719, 0.08101631]
"""On test images after each epoch, under the arithmetic of the machine that trained it."""


@pytest.fixture
def run(lab: Laboratory) -> RunPaths:
    """A copy of the run of format 1: four epochs of six steps, its learning rate edited at step 14."""
    shutil.copytree(FORMAT_1, lab.runs / ID)
    (lab.runs / ID / "control").mkdir()  # git keeps no empty folders
    return lab.run(ID)


def test_its_curves_edits_pictures_and_settings_are_read(lab: Laboratory, run: RunPaths) -> None:
    snapshot = RunReader(run.root).read_all()
    assert (snapshot.status.state, snapshot.status.epoch, snapshot.status.step) == ("finished", 4, 24)
    assert snapshot.series["test", "loss"].values.tolist() == pytest.approx(LOSSES, abs=1e-8)
    assert [(edit.step, edit.key, edit.old, edit.new) for edit in snapshot.edits] == [
        (14, "training.learning_rate", 0.02, 0.005)
    ]
    assert snapshot.config is not None
    assert (snapshot.config.model.hidden, snapshot.config.model.latent) == ((6,), 2)
    assert snapshot.samples == (0, 2, 4)
    for epoch in snapshot.samples:
        sample = read_sample(run, epoch)
        assert sample is not None
        assert sample.reconstructions is not None
        assert sample.reconstructions.shape == (4, 1, 8, 8)
        assert sample.codes is not None
        assert sample.codes.shape == (297, 2)
    (row,) = RunLister(lab.runs).rows(histories=True)
    assert (row.id, row.status.state, row.preset, row.tags) == (ID, "finished", "format_1", ("old",))


def test_the_commands_show_it(lab: Laboratory, run: RunPaths) -> None:
    (listed,) = lab("runs", "--json").document
    assert (listed["run"], listed["state"], listed["epoch"]) == (ID, "finished", 4)
    shown = lab("show", ID, "--json").document
    assert shown["history"]["test/loss"] == pytest.approx(LOSSES, abs=1e-8)
    assert [edit["new"] for edit in shown["edits"]] == [0.005]


def test_its_weights_are_worth_what_was_measured(lab: Laboratory, run: RunPaths) -> None:
    document = lab("eval", ID, "--device", "cpu", "--json").document
    assert document["metrics"]["test/loss"] == pytest.approx(LOSSES[-1], rel=1e-3)


def test_it_goes_on(lab: Laboratory, run: RunPaths) -> None:
    assert need_config(run).shards == 0  # its batches were computed whole
    document = lab("resume", ID, "--epochs", "6", "--json").document
    assert (document["state"], document["epochs"], document["steps"]) == ("finished", 6, 36)
    history = document["history"]["test/loss"]
    assert history[:4] == pytest.approx(LOSSES, abs=1e-8)
    assert 0 < history[5] < 1.1 * LOSSES[-1]
    assert [(place.epoch, place.step) for place in RunReader(run.root).read_all().resumes] == [(4, 24)]
