"""Sweeps that learn from their trials, by Optuna. They run where the extra is installed, which `make clusters` does."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from tests.conftest import Laboratory, wait_until
from tuiae.runs.labels import read_label
from tuiae.runs.paths import list_runs
from tuiae.runs.reader import read_status
from tuiae.studies.search import journal_path

pytestmark = pytest.mark.clusters

HEAD = 'name = "best"\npreset = "small.toml"\n'
SEARCH = """[set]
training.epochs = {epochs}
training.batch_size = 25
[search]
trials = {trials}
seed = 3
{more}
"""
LATENT = '"model.latent" = { low = 2, high = 30 }\n"training.learning_rate" = { low = 1e-3, high = 2e-2, log = true }'


@pytest.fixture
def optuna() -> Any:
    return pytest.importorskip("optuna", reason="the extra search is not installed")


def write(lab: Laboratory, more: str = LATENT, **values: int) -> None:
    lab.preset()
    (lab.root / "best.toml").write_text(HEAD + SEARCH.format(more=more, **{"epochs": 1, "trials": 6, **values}))


def trials(lab: Laboratory, optuna: Any) -> list[Any]:
    backend = optuna.storages.journal.JournalFileBackend(str(journal_path(lab.runs, "best")))
    return optuna.load_study(study_name="sweep:best", storage=optuna.storages.JournalStorage(backend)).trials


def test_without_optuna_the_extra_is_named(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    write(lab)
    assert "tuiae[search]" in lab("sweep", "best.toml", "--json", check=2).document["hint"]
    assert not list_runs(lab.runs)


def test_a_search_that_was_killed_goes_on_with_the_same_trials(lab: Laboratory, optuna: Any) -> None:
    write(lab, epochs=12)
    process = lab.start("sweep", "best.toml", "--json", "--jobs", "2")

    def states() -> list[str]:
        return [read_status(run).state for run in list_runs(lab.runs)]

    wait_until(lambda: "finished" in states() and "running" in states())
    process.kill()
    process.communicate()
    for run in list_runs(lab.runs):
        status = read_status(run)
        if status.live and status.pid:
            os.kill(status.pid, signal.SIGKILL)
    begun = {run.id for run in list_runs(lab.runs)}
    asked = {one.number: one.params for one in trials(lab, optuna)}
    assert 2 <= len(asked) < 6
    document = lab("sweep", "best.toml", "--json", "--jobs", "2").document
    found = trials(lab, optuna)
    assert [one.number for one in found] == list(range(6))
    assert {one.state.name for one in found} == {"COMPLETE"}
    assert {number: found[number].params for number in asked} == asked
    runs = {run["run"]: run for run in document["runs"]}
    assert {run["state"] for run in runs.values()} == {"finished"}
    assert begun <= runs.keys() == {run.id for run in list_runs(lab.runs)}
    figures = [run["metrics"]["test/loss"] for run in runs.values()]
    assert sorted(figures) == sorted({one.value for one in found})
    assert document["best"]["loss"]["mean"] == min(figures)
    again = lab("sweep", "best.toml", "--json").document
    assert again == document


def test_what_gets_nowhere_is_ended_early_and_everybody_says_so(lab: Laboratory, optuna: Any) -> None:
    write(lab, 'pruner = "asha"\n"training.learning_rate" = { choices = [2e-2, 1e-7, 2e-7, 3e-7] }', epochs=30)
    document = lab("sweep", "best.toml", "--json", "--jobs", "1").document
    names = {one.state.name for one in trials(lab, optuna)}
    assert names == {"COMPLETE", "PRUNED"}
    listed = lab("runs", "--filter", "state:pruned", "--json").document
    assert listed
    for run in (lab.run(one["run"]) for one in listed):
        status = read_status(run)
        assert (status.state, status.epoch < 30) == ("stopped", True)
        assert (run.weights / "last").exists()
        assert "asha" in read_label(run).note
    compared = lab("compare", "--tag", "sweep:best", "--json").document
    pruned = {one["run"] for one in listed}
    assert sum("pruned at epoch" in words for words in compared["cautions"]) == len(pruned)
    summarised = {run["run"] for summary in compared["summary"] for level in summary["values"] for run in level["runs"]}
    assert not summarised & pruned
    assert {run["run"] for run in document["runs"] if run["state"] == "pruned"} == pruned
    assert document["best"]["values"]["training.learning_rate"] == 2e-2
    assert {run["run"] for run in document["runs"]} == pruned | {
        run.id for run in list_runs(lab.runs) if read_status(run).state == "finished"
    }


def test_other_settings_are_another_search(lab: Laboratory, optuna: Any) -> None:
    write(lab, trials=1)
    lab("sweep", "best.toml", "--json")
    write(lab, trials=2)
    assert "1 of 2 trials" in lab("sweep", "best.toml", "--dry-run", "--plain").stdout
    write(lab, trials=2, epochs=2)
    lab("sweep", "best.toml", "--json", check=2)
    journal_path(lab.runs, "best").write_text("no journal\n")
    lab("sweep", "best.toml", "--json", check=2)
    assert len(list_runs(lab.runs)) == 1
