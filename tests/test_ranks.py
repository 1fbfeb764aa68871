"""Processes that share the batches of a run: what one process trains, told at the same steps; deaths, and torchrun."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from tests.conftest import CHECKOUT, SMALL, Laboratory, wait_until
from tests.training import train
from tuiae.config import build_config
from tuiae.config.document import parse_toml
from tuiae.errors import ConfigError, DeviceError, ExitCode
from tuiae.files import temporary_folder
from tuiae.machine import Gpu, Interrupt, freest_together, suggest_workers
from tuiae.preflight import check, check_cards
from tuiae.runs import control
from tuiae.runs.checkpoints import find_checkpoint
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import start_worker
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.writer import create_run
from tuiae.training.checkpoint import load_weights
from tuiae.training.worker import Wanted, work

TOLERANCE = 1e-3
"""Of a loss after some epochs, relative: sums of float32 are added in another order, and the difference grows."""
# Everything that is drawn; three shards for two ranks, and a last batch of two images, which leaves one shard empty.
DRAWN = {
    "model.family": "vae",
    "training.flip": True,
    "training.shift": 1,
    "training.shards": 3,
    "training.clip_norm": 5.0,
    "training.epochs": 3,
    "training.batch_size": 107,
}
EDITS = {20: [("training.learning_rate", 1e-2), ("noise.level", 0.1)]}


def make_run(lab: Laboratory, **settings: Any) -> RunPaths:
    return create_run(build_config(parse_toml(SMALL), {**DRAWN, **settings}), lab.runs, [])


def begin_paused(run: RunPaths, workers: list[Any], steps: int = 20) -> tuple[Any, psutil.Process]:
    """Start the worker of a run, which pauses after so many steps; its process, and rank 1."""
    if steps:
        control.send(run, "step", steps=steps)
    worker = start_worker(run)
    workers.append(worker)
    wait_until(lambda: read_status(run).state in ("paused", "failed"))
    assert read_status(run).state == "paused", run.log.read_text()
    (other,) = psutil.Process(worker.pid).children()
    return worker, other


def losses(run: RunPaths) -> dict[str, Sequence[float]]:
    series = RunReader(run.root).read_all().series
    return {split: series[split, "loss"].values for split in ("train", "test")}


def assert_like(run: RunPaths, reference: RunPaths) -> None:
    """The same curves, within the tolerance."""
    ours, theirs = losses(run), losses(reference)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=TOLERANCE)
        assert len(ours[name]) == 3


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """The run of one process that the others are compared with. Look, do not touch."""
    run = make_run(Laboratory(tmp_path_factory.mktemp("alone")))
    train(run, EDITS)
    return run


def test_two_ranks_train_what_one_process_does_and_are_told_at_the_same_step(
    lab: Laboratory, workers: list[Any], alone: RunPaths
) -> None:
    run = make_run(lab, **{"training.devices": 2})
    worker, _ = begin_paused(run, workers)
    for key, value in EDITS[20]:
        control.send(run, "set", key=key, value=value)
    control.send(run, "resume")
    assert worker.wait() == ExitCode.OK
    assert_like(run, alone)
    one, other = (load_weights(find_checkpoint(path)) for path in (run, alone))  # type: ignore[arg-type]
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0.01, atol=1e-3)
    assert read_status(run).device == "2 devices, each cpu, 1 thread"


def test_a_killed_rank_ends_the_run_which_goes_on_from_its_checkpoint_with_fewer(
    lab: Laboratory, workers: list[Any], alone: RunPaths
) -> None:
    run = make_run(lab, **{"training.devices": 2})
    for key, value in EDITS[20]:
        control.send(run, "set", key=key, value=value)  # at the first step, and so at each
    worker, other = begin_paused(run, workers)
    other.kill()  # while it pauses: nobody resumes it
    assert worker.wait() == ExitCode.TRAINING
    error = read_status(run).error
    assert error is not None
    assert "rank 1 of 2" in error["cause"]
    assert f"tuiae resume {run.id}" in error["hint"]
    assert work(run, Interrupt(), Wanted(devices=1)) == ExitCode.OK
    again = make_run(lab)
    train(again, {0: EDITS[20]})
    assert_like(run, again)


def test_a_signal_to_any_rank_stops_the_run_and_none_outlives_rank_0(lab: Laboratory, workers: list[Any]) -> None:
    run = make_run(lab, **{"training.devices": 2, "training.epochs": 5000})
    worker, other = begin_paused(run, workers)
    other.send_signal(signal.SIGTERM)
    assert worker.wait() == ExitCode.STOPPED
    assert read_status(run).state == "stopped"
    lost = start_worker(run)
    workers.append(lost)
    wait_until(lambda: read_status(run).state == "running")
    (other,) = psutil.Process(lost.pid).children()
    lost.kill()
    lost.wait()
    wait_until(lambda: not other.is_running() or other.status() == psutil.STATUS_ZOMBIE)


def test_what_ranks_leave_that_were_all_killed_at_once_goes_and_nothing_that_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, other, pipe = tmp_path / "ranks-1-a", tmp_path / "other-1-a", tmp_path / "ranks-1-b"
    os.mkfifo(pipe)
    left.mkdir()
    other.mkdir()
    for old in (left, other, pipe):
        os.utime(old, (0, 0))
    with temporary_folder("ranks-") as used:
        assert not left.exists()
        os.utime(used, (0, 0))
        with temporary_folder("ranks-") as young:
            assert {*tmp_path.iterdir()} == {used, young, other, pipe}
    assert {*tmp_path.iterdir()} == {other, pipe}


def torchrun(lab: Laboratory, *command: str, restarts: int = 0) -> Any:
    """torchrun with two processes of a command; what they print goes to a file."""
    options = ["--nproc-per-node", "2", "--max-restarts", str(restarts), "--monitor-interval", "0.1", "-m", "tuiae"]
    with open(lab.root / "torchrun.log", "ab") as log:
        return lab.start(*options, *command, module="torch.distributed.run", stdout=log, stderr=log)


def ranks_of(process: Any) -> list[psutil.Process]:
    """The processes that torchrun has started, rank 0 first."""
    return sorted(psutil.Process(process.pid).children(), key=lambda child: int(child.environ()["RANK"]))


@pytest.mark.thorough
def test_torchrun_starts_ranks_and_starts_them_again_on_the_same_run(lab: Laboratory, workers: list[Any]) -> None:
    preset = lab.preset(SMALL.replace("epochs = 4", "epochs = 5000\nshards = 2"))
    process = torchrun(lab, "run", preset, restarts=1)
    workers.append(process)
    wait_until(lambda: any(find_checkpoint(run) for run in list_runs(lab.runs)))
    (run,) = list_runs(lab.runs)
    first = read_status(run).pid
    assert ranks_of(process)[0].pid == first
    second = torchrun(lab, "resume", run.id)
    workers.append(second)
    assert second.wait() == 1
    assert "is still running" in (lab.root / "torchrun.log").read_text()
    ranks_of(process)[1].kill()
    wait_until(lambda: read_status(run).state == "running" and read_status(run).pid != first)
    control.send(run, "set", key="training.epochs", value=int(read_status(run).epoch) + 50)
    process.communicate()
    assert process.returncode == 0
    assert list_runs(lab.runs) == [run]
    assert read_status(run).state == "finished"
    assert run.events.read_text().count("resumed at epoch") == 1


@pytest.mark.thorough
def test_a_stop_ends_a_run_under_torchrun_for_good_and_it_goes_on_there(lab: Laboratory, workers: list[Any]) -> None:
    run = make_run(lab, **{"training.epochs": 5000})
    process = torchrun(lab, "resume", run.id, restarts=3)
    workers.append(process)
    wait_until(lambda: find_checkpoint(run))
    control.send(run, "stop")
    process.communicate()
    assert process.returncode == 0
    assert read_status(run).state == "stopped"
    assert read_status(run).device == "2 devices, each cpu, 1 thread"


RANK = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29555"}


@pytest.mark.parametrize(
    ("changed", "arguments"),
    [
        ({"MASTER_PORT": None}, ()),
        ({"WORLD_SIZE": None}, ()),
        ({"RANK": "2"}, ()),
        ({"WORLD_SIZE": "two"}, ()),
        ({}, ("--devices", "3")),
    ],
)
def test_an_environment_that_is_not_torchruns_is_refused(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], arguments: tuple[str, ...]
) -> None:
    for name, value in {**RANK, **changed}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    lab("run", lab.preset(), *arguments, check=ExitCode.USAGE)
    assert not lab.runs.exists() or list_runs(lab.runs) == []


def test_a_run_that_its_worker_refuses_under_torchrun_leaves_nothing(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in RANK.items():
        monkeypatch.setenv(name, value)
    whole = SMALL.replace("epochs = 4", "epochs = 4\nshards = 0").replace('device = "cpu"', 'device = "auto"')
    process = lab.start("run", lab.preset(whole))
    assert "needs whole batches on a CPU" in process.communicate()[1]
    assert process.returncode == ExitCode.USAGE
    assert list_runs(lab.runs) == []


@pytest.mark.parametrize("command", [("sweep", "code_size"), ("reproduce",)])
def test_a_study_is_not_carried_out_by_each_process_of_torchrun(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    for name, value in RANK.items():
        monkeypatch.setenv(name, value)
    assert "torchrun" in lab(*command, "--json", check=ExitCode.USAGE).document["error"]
    assert not lab.runs.exists() or list_runs(lab.runs) == []


def test_workers_share_a_machine_with_the_processes_of_each() -> None:
    alone = suggest_workers(on_cards=False)
    assert suggest_workers(on_cards=False, devices=2) == max(1, alone // 2)


@pytest.mark.parametrize(
    ("settings", "devices"),
    [
        ({"training.devices": 2, "training.shards": 1}, None),
        ({"training.devices": 2, "training.shards": 0}, None),
        ({"training.devices": 2, "model.family": "conv-vae", "model.norm": "batch"}, None),
        ({"training.devices": 2, "model.family": "custom", "model.code": f"{CHECKOUT}/presets/my_model.py:Net"}, None),
        ({"training.devices": 2, "training.device": "cuda:1"}, ["cpu", "cuda:0 one", "cuda:1 two"]),
        ({"training.devices": 3, "training.device": "auto"}, ["cpu", "cuda:0 one", "cuda:1 two"]),
        ({"training.devices": 2, "training.device": "auto"}, ["cpu", "mps"]),
        ({"training.devices": 2, "training.device": "mps"}, ["cpu", "mps"]),
    ],
)
def test_batches_that_cannot_be_shared_are_refused_before_a_run_exists(
    lab: Laboratory, settings: dict[str, Any], devices: list[str] | None
) -> None:
    config = build_config(parse_toml(SMALL), {**DRAWN, **settings})
    with pytest.raises((ConfigError, DeviceError), match=r"training\.devices"):
        check(config, lab.runs, devices)


@pytest.mark.parametrize("devices", [0, 33, 65])
def test_a_number_of_devices_that_nobody_can_use_is_no_config(devices: int) -> None:
    with pytest.raises(ConfigError, match=r"training\.devices"):
        build_config(parse_toml(SMALL), {**DRAWN, "training.devices": devices, "training.batch_size": 32})


def test_cards_are_chosen_each_once_and_must_be_enough() -> None:
    cards = [Gpu(index, f"cuda:{index}", "one", used, 80.0, uuid=str(index)) for index, used in enumerate((40, 0, 20))]
    assert [card.index for card in freest_together(cards, 2)] == [1, 2]
    assert len(freest_together(cards, 5)) == 3
    with pytest.raises(DeviceError, match="3 GPUs"):
        check_cards(5, 3)
