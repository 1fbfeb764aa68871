"""Where no worker can be started, or none can do its work here: a sentence, and runs as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Laboratory, begin_with
from tuiae.cli.output import Output
from tuiae.cli.train import Overrides, StartOptions, resume_run, run_preset, start_fork
from tuiae.config import load_config
from tuiae.errors import DeviceError, TrainingError
from tuiae.runs.lineage import read_edits
from tuiae.runs.paths import CHANGED, RunPaths, list_runs
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.writer import RunWriter, create_run
from tuiae.studies.jobs import Job, StudyProgress, run_jobs
from tuiae.training.failure import explain


@pytest.fixture
def no_process(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses to start a worker."""
    monkeypatch.setattr("tuiae.runs.process.WORKER", [str(lab.root / "no-python")])


def stopped(lab: Laboratory, finished: RunPaths) -> RunPaths:
    """A run that has an epoch to go."""
    run = lab.copy(finished)
    begin_with(run, run.config.read_text().replace("epochs = 4", "epochs = 5"))
    RunWriter(run).close("stopped")
    return run


def run_new(lab: Laboratory, finished: RunPaths) -> None:
    run_preset(lab.preset(), Overrides({}, {}), StartOptions(detach=True), Output(plain=True))


def run_fork(lab: Laboratory, finished: RunPaths) -> None:
    start_fork(finished, "last", Overrides({"training.epochs": 5}, {}), StartOptions(detach=True), Output(plain=True))


@pytest.mark.parametrize("act", [run_new, run_fork])
@pytest.mark.usefixtures("no_process")
def test_a_run_that_no_worker_can_begin_goes_again(
    lab: Laboratory, finished: RunPaths, act: Callable[[Laboratory, RunPaths], None]
) -> None:
    with pytest.raises(TrainingError):
        act(lab, finished)
    assert {path.name for path in lab.runs.iterdir()} <= {CHANGED}


@pytest.mark.usefixtures("no_process")
def test_a_run_that_no_worker_can_go_on_with_is_as_it_was(lab: Laboratory, finished: RunPaths) -> None:
    run = stopped(lab, finished)
    with pytest.raises(TrainingError):
        resume_run(run, Overrides({"training.epochs": 9}, {}), StartOptions(detach=True), Output(plain=True))
    assert read_status(run).state == "stopped"
    assert read_edits(run) == ()


def test_a_worker_that_cannot_begin_is_no_success(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    run.events.unlink()
    run.events.mkdir()  # nobody can open it for writing, whoever runs this test
    for detached in ((), ("--detach",)):
        failed = lab("resume", run.id, "--epochs", "9", *detached, "--json", check=4)
        assert str(run.root) in failed.document["error"]
    assert read_status(run).state == "finished"


def test_more_epochs_are_noted_only_once_the_training_can_begin(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    begin_with(run, run.config.read_text().replace('"digits"', '"folder:/nowhere/at/all"'))
    lab("resume", run.id, "--epochs", "9", check=3)
    assert read_edits(run) == ()


@pytest.mark.usefixtures("no_process")
def test_jobs_that_no_worker_can_begin_fail_and_leave_nothing(lab: Laboratory) -> None:
    config = load_config(Path(lab.preset()))
    theirs = create_run(config, lab.runs, [], ("study",))
    RunWriter(theirs).close("stopped")
    told: list[StudyProgress] = []
    other = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 3})})
    with pytest.raises(TrainingError, match=r"(?s)old.*new"):
        run_jobs([Job("old", config), Job("new", other)], lab.runs, "study", tell=told.append)
    assert list_runs(lab.runs) == [theirs]
    assert {news.label: news.run for progress in told for news in progress.news} == {"old": theirs, "new": None}


def on_another_device(run: RunPaths) -> RunPaths:
    begin_with(run, run.config.read_text().replace('device = "cpu"', 'device = "cuda:99"'))
    return run


def test_a_run_of_another_machine_s_device_names_the_way_on_here(lab: Laboratory, finished: RunPaths) -> None:
    run = on_another_device(stopped(lab, finished))
    with pytest.raises(DeviceError) as refused:
        resume_run(run, Overrides({"training.epochs": 9}, {}), StartOptions(detach=True), Output(plain=True))
    assert refused.value.hint.endswith(f"tuiae resume {run.id} --device cpu")
    assert read_status(run).state == "stopped"
    assert read_edits(run) == ()


def test_a_worker_without_the_device_of_its_run_names_that_way_too(lab: Laboratory, finished: RunPaths) -> None:
    missing = DeviceError("this machine has cpu", "use --device auto")
    assert explain(missing, finished).hint.endswith(f"tuiae resume {finished.id} --device cpu")
    fresh = create_run(load_config(Path(lab.preset())), lab.runs, [])
    assert explain(missing, fresh) is missing


def test_a_run_of_another_machine_s_device_goes_on_with_one_of_this_machine(
    lab: Laboratory, finished: RunPaths
) -> None:
    run = on_another_device(stopped(lab, finished))
    assert "--device auto" in lab("resume", run.id, "--device", "cuda:98", "--json", check=2).document["hint"]
    lab("resume", run.id, "--device", "gpu", check=2)
    assert RunReader(run.root).read_all().notes[-1].text == "stopped"
    document = lab("resume", run.id, "--device", "cpu", "--json").document
    assert (document["state"], document["epochs"], document["device"]) == ("finished", 5, "cpu, 1 thread")
    notes = [note.text for note in RunReader(run.root).read_all().notes]
    assert "on cpu, 1 thread from here on; its config says cuda:99" in notes
    assert 'device = "cuda:99"' in run.config.read_text()
