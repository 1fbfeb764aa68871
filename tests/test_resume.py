"""A run that was interrupted, by whatever, goes on and ends as if nobody had touched it: bit for bit on the CPU."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LONG, Laboratory, begin_with, wait_until
from tests.endings import assert_same_end
from tests.training import train
from tuiae.config import CheckpointSection, load_config
from tuiae.errors import ConfigError
from tuiae.files import read_json, replace_json
from tuiae.runs import control
from tuiae.runs.checkpoints import all_checkpoints, find_checkpoint, need_checkpoint
from tuiae.runs.lineage import need_config, read_edits
from tuiae.runs.paths import RunPaths, list_runs, unwritable
from tuiae.runs.process import RunLock
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.checkpoint import load_state
from tuiae.training.control import Mailbox
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up


def under_way(run: RunPaths, checkpoints: int = 2) -> bool:
    return len(RunReader(run.root).read_all().checkpoints) >= checkpoints


def pid_of(run: RunPaths) -> int:
    return wait_until(lambda: read_status(run).pid)


# In this process: stopped at an exact step


@pytest.mark.parametrize("stops", [[0], [1, 2], [22], [15, 30], [59], [7, 8, 44]], ids=str)
def test_a_training_stopped_at_any_step_ends_the_same(lab: Laboratory, finished: RunPaths, stops: list[int]) -> None:
    run = create_run(load_config(Path(lab.preset())), lab.runs, [])
    for stop in [*stops, None]:
        writer = RunWriter(run)
        fit = Trainer(set_up(load_config(run.config)), writer, Mailbox(run, lambda: stop == fit.state.step))  # noqa: B023
        state = fit.run()
        writer.close(state)
        assert state == ("finished" if stop is None else "stopped")
        assert fit.state.step == (60 if stop is None else stop)
    assert_same_end(run, finished)


@pytest.mark.parametrize(("stop", "spent"), [(30, False), (37, True)], ids=["between epochs", "within one"])
def test_the_time_of_an_epoch_is_counted_once(lab: Laboratory, stop: int, spent: bool) -> None:
    run = create_run(load_config(Path(lab.preset())), lab.runs, [])
    train(run, stop=stop)
    # What the last checkpoint holds of the epoch that it is in the middle of, or at the end of.
    writer = RunWriter(run)
    fit = Trainer(set_up(load_config(run.config)), writer, Mailbox(run, lambda: True))
    writer.close("stopped")
    assert (fit.state.epoch_seconds > 0) == spent
    assert fit.state.seconds > fit.state.epoch_seconds


# In processes of their own: ended as people and machines end them


def test_stop_saves_mid_way_and_resume_ends_the_same(lab: Laboratory, uninterrupted: RunPaths) -> None:
    run = lab.detach(*LONG)
    wait_until(lambda: under_way(run))
    assert lab("stop", run.id, "--json").document["state"] == "stopped"
    step = read_status(run).step
    assert 0 < step < 3600
    assert load_state(find_checkpoint(run))["step"] == step  # type: ignore[arg-type]
    assert lab("attach", run.id, check=5).stderr.count(f"tuiae resume {run.id}") == 1
    # At once, while the worker is still leaving.
    assert lab("resume", run.id, "--json").document["state"] == "finished"
    assert_same_end(run, uninterrupted)


def test_a_worker_that_is_terminated_saves_and_resume_ends_the_same(lab: Laboratory, uninterrupted: RunPaths) -> None:
    run = lab.detach(*LONG)
    wait_until(lambda: under_way(run))
    os.kill(pid_of(run), signal.SIGTERM)
    wait_until(lambda: read_status(run).state == "stopped")
    assert "so far: epoch" in lab("resume", run.id).stderr
    assert_same_end(run, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP, signal.SIGXCPU], ids=lambda number: number.name)
def test_what_schedulers_send_before_the_time_is_up_saves(lab: Laboratory, number: signal.Signals) -> None:
    run = lab.detach(*LONG)
    wait_until(lambda: under_way(run))
    os.kill(pid_of(run), number)
    wait_until(lambda: read_status(run).state == "stopped")
    assert find_checkpoint(run) is not None
    assert read_status(run).error is None


def test_a_worker_that_is_killed_is_lost_and_resume_ends_the_same(lab: Laboratory, uninterrupted: RunPaths) -> None:
    run = lab.detach(*LONG)
    wait_until(lambda: under_way(run))
    os.kill(pid_of(run), signal.SIGKILL)
    wait_until(lambda: read_status(run).state == "lost")
    assert lab("show", run.id, "--json").document["state"] == "lost"
    assert [row["state"] for row in lab("runs", "--json").document] == ["lost"]
    assert "the worker died" in lab("attach", run.id, check=4).stderr
    # A killed writer leaves half a line.
    with open(run.events, "ab") as file:
        file.write(b'{"v":1,"seq":99999,"kind":"metr')
    lab("resume", run.id)
    assert_same_end(run, uninterrupted)


def test_ctrl_c_saves_exits_5_with_the_way_on_and_resume_ends_the_same(
    lab: Laboratory, uninterrupted: RunPaths, workers: list[subprocess.Popen[Any]]
) -> None:
    process = lab.start("run", lab.preset(), *LONG, "--json")
    workers.append(process)
    (run,) = wait_until(lambda: list_runs(lab.runs))
    wait_until(lambda: under_way(run))
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 5, stderr
    assert '"state": "stopped"' in stdout
    assert f"tuiae resume {run.id}" in stderr
    assert "Traceback" not in stderr
    lab("resume", run.id)
    assert_same_end(run, uninterrupted)


def test_a_run_whose_worker_is_killed_while_it_is_followed_says_how_it_died(
    lab: Laboratory, workers: list[subprocess.Popen[Any]]
) -> None:
    process = lab.start("run", lab.preset(), *LONG)
    workers.append(process)
    (run,) = wait_until(lambda: list_runs(lab.runs))
    os.kill(pid_of(run), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    assert f"{run.id}: the worker died (signal 9)" in stderr
    assert f"tuiae resume {run.id}" in stderr
    assert "Traceback" not in stderr


def test_a_run_that_nobody_follows_any_more_goes_on(lab: Laboratory, workers: list[subprocess.Popen[Any]]) -> None:
    process = lab.start("run", lab.preset(), *LONG, start_new_session=True)
    workers.append(process)
    (run,) = wait_until(lambda: list_runs(lab.runs))
    pid_of(run)  # the worker is there
    # The terminal goes away: the whole foreground group gets the signal.
    os.killpg(process.pid, signal.SIGHUP)
    process.communicate(timeout=60)
    wait_until(lambda: read_status(run).state == "finished")


# Commands to a run under way


def test_a_pause_holds_a_run_still_until_it_is_told_to_go_on(lab: Laboratory, uninterrupted: RunPaths) -> None:
    run = lab.detach(*LONG)
    wait_until(lambda: under_way(run))
    control.send(run, "pause")
    step = wait_until(lambda: read_status(run).state == "paused" and read_status(run).step)
    control.send(run, "save")
    saved = wait_until(lambda: find_checkpoint(run) == run.weights / f"step-{step:06d}" and find_checkpoint(run))
    wait_until(lambda: read_status(run).state == "paused")
    assert load_state(saved)["step"] == read_status(run).step == step
    assert "state: paused" in _plain_show(lab, run)
    control.send(run, "resume")
    assert lab("attach", run.id, "--json").document["state"] == "finished"
    assert_same_end(run, uninterrupted)
    # What somebody asked for outlives those that come by themselves.
    keep = CheckpointSection().keep
    assert saved not in all_checkpoints(run)[:keep]
    assert all_checkpoints(run)[keep:] == [saved]
    assert need_checkpoint(run, str(step)) == saved


def test_resume_lets_a_paused_run_go_on_and_followers_are_told(
    lab: Laboratory, workers: list[subprocess.Popen[Any]]
) -> None:
    run = lab.detach("--epochs", "8")
    control.send(run, "pause")  # heard before the first step
    wait_until(lambda: read_status(run).state == "paused")
    assert f"tuiae edit {run.id} training.epochs=9" in lab("resume", run.id, "--epochs", "9", check=6).stderr
    assert f"tuiae stop {run.id}`, then" in lab("resume", run.id, "--device", "auto", check=6).stderr
    follower = lab.start("attach", run.id, "--plain")
    workers.append(follower)
    assert follower.stderr is not None
    assert any(f"paused at step 0; `tuiae resume {run.id}` continues it" in line for line in follower.stderr)
    assert lab("resume", run.id, "--json").document["state"] == "finished"
    assert "running again\n" in follower.communicate(timeout=60)[1]


def _plain_show(lab: Laboratory, run: RunPaths) -> str:
    first = lab("show", run.id, "--plain").stdout.splitlines()[0]
    return f"state: {first.split()[-1]}"


def test_a_run_can_be_stopped_out_of_a_pause(lab: Laboratory) -> None:
    run = lab.detach(*LONG)
    control.send(run, "pause")  # heard before the first step
    wait_until(lambda: read_status(run).state == "paused")
    assert lab("stop", run.id, "--json").document["state"] == "stopped"
    assert find_checkpoint(run) is not None


def test_a_stop_before_the_first_step_stops_the_run(lab: Laboratory) -> None:
    run = lab.detach(*LONG)
    assert lab("stop", run.id, "--json").document["state"] == "stopped"
    assert read_status(run).epoch < 60


# Resuming


@pytest.mark.thorough
def test_a_run_that_is_held_is_not_resumed(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.detach(*LONG)
    pid_of(run)
    before = run.config.read_bytes()
    result = lab("resume", run.id, "--epochs", "99", "--json", check=6)
    assert "is still running" in result.document["error"]
    assert f"tuiae attach {run.id}" in result.stderr
    assert run.config.read_bytes() == before
    lab("stop", run.id)
    copy = lab.copy(finished)
    lock = RunLock(copy)
    assert lock.acquire()
    # A node that shares the directory holds it: the status alone does not tell.
    lab("resume", copy.id, "--epochs", "9", check=6)
    lock.close()


def test_a_run_that_cannot_be_resumed_is_not_deleted_for_it(lab: Laboratory) -> None:
    config = load_config(Path(lab.preset()), {"data.dataset": "folder:/nowhere/at/all"})
    run = create_run(config, lab.runs, [])
    assert "/nowhere/at/all" in lab("resume", run.id, check=3).stderr
    assert list_runs(lab.runs) == [run]


@pytest.mark.parametrize("epochs", [(), ("--epochs", "4"), ("--epochs", "2")])
def test_a_run_that_has_done_its_epochs_is_told_how_to_get_more(
    lab: Laboratory, finished: RunPaths, epochs: tuple[str, ...]
) -> None:
    run = lab.copy(finished)
    result = lab("resume", run.id, *epochs, check=2)
    assert f"{run.id} has done its 4 epochs" in result.stderr
    assert f"tuiae resume {run.id} --epochs 8" in result.stderr
    assert load_config(run.config).training.epochs == 4


def test_epochs_that_are_behind_a_run_are_no_way_on(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    begin_with(run, run.config.read_text().replace("epochs = 4", "epochs = 9"))
    result = lab("resume", run.id, "--epochs", "3", check=2)
    assert f"{run.id} has done 4 epochs already: nothing is left up to epoch 3" in result.stderr
    assert f"`tuiae resume {run.id}` continues to epoch 9" in result.stderr


def test_a_run_whose_last_save_failed_is_resumed_from_the_one_before(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    shutil.rmtree(run.weights / "step-000060")
    shutil.rmtree(run.samples)  # to have space again
    replace_json(run.status, {**read_json(run.status), "state": "failed", "error": {"cause": "no space left"}})
    assert read_status(run).epoch == 4
    assert lab("resume", run.id, "--json").document["state"] == "finished"
    assert_same_end(run, finished)


@pytest.mark.parametrize("epochs", ["0", "-3", "1000001"])
def test_a_number_of_epochs_that_cannot_be_leaves_the_run_as_it_was(
    lab: Laboratory, finished: RunPaths, epochs: str
) -> None:
    run = lab.copy(finished)
    lab("resume", run.id, "--epochs", epochs, check=2)
    assert load_config(run.config).training.epochs == 4


@pytest.mark.parametrize("part", ["lock", "log"])
def test_a_run_that_is_not_ours_to_write_is_told_and_left(lab: Laboratory, finished: RunPaths, part: str) -> None:
    run = lab.copy(finished)
    path: Path = getattr(run, part)
    path.unlink()
    path.mkdir()  # nobody can open it for writing, whoever runs this test
    result = lab("resume", run.id, "--epochs", "9", check=2)
    assert f"cannot write to {run.root}: Is a directory" in result.stderr
    assert "Traceback" not in result.stderr
    assert read_status(run).state == "finished"
    assert read_edits(run) == ()


def test_another_user_s_run_names_the_user_to_be(finished: RunPaths) -> None:
    assert "resume it as the user who started it" in str(unwritable(finished, PermissionError(13, "no"), "resume"))


def test_a_stop_that_came_too_late_does_not_stop_the_resumed_run(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    control.send(run, "stop")
    assert lab("resume", run.id, "--epochs", "5", "--json").document["state"] == "finished"


def test_a_run_resumed_in_the_background_can_be_stopped_at_once(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    assert lab("resume", run.id, "--epochs", "900000", "--detach", "--json").document["run"] == run.id
    assert read_status(run).live
    assert lab("stop", run.id, "--json").document["state"] == "stopped"
    lab("resume", run.id, "--epochs", "4", check=2)


def test_a_config_that_was_lost_is_said(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    with pytest.raises(ConfigError, match="No such file"):
        need_config(RunPaths(lab.root))
    run.config.write_text("[data")
    for command in (("resume", run.id, "--epochs", "9"), ("eval", run.id)):
        result = lab(*command, check=2)
        assert f"{run.config} is damaged" in result.stderr
        assert "Traceback" not in result.stderr
