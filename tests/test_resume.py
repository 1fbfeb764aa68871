"""A run that was interrupted, by whatever, goes on and ends as if nobody had touched it: bit for bit on the CPU."""

from __future__ import annotations

import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import CHECKOUT, LONG, Laboratory, begin_with, record_edit, wait_until
from tests.endings import assert_same_end
from tests.training import train
from tuiae.cli.train import find_begun
from tuiae.config import CheckpointSection, load_config
from tuiae.errors import ConfigError
from tuiae.files import read_json, replace_json
from tuiae.runs import control
from tuiae.runs.checkpoints import all_checkpoints, find_checkpoint, need_checkpoint, verify
from tuiae.runs.labels import PRUNED, relabel, tags_of
from tuiae.runs.lineage import need_config, read_edits
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import RunLock, start_worker
from tuiae.runs.reader import RunReader, describe_death, read_sample, read_status, read_step_sample
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training import worker
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
    assert 0 < step < 2400
    assert load_state(find_checkpoint(run))["step"] == step  # type: ignore[arg-type]
    assert lab("attach", run.id, check=5).stderr.count(f"tuiae resume {run.id}") == 1
    relabel(run, tag=(PRUNED,))  # as if a search had stopped it
    # At once, while the worker is still leaving.
    assert lab("resume", run.id, "--json").document["state"] == "finished"
    assert PRUNED not in tags_of(run)
    assert_same_end(run, uninterrupted)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGHUP", "SIGXCPU"])
def test_what_schedulers_send_before_the_time_is_up_saves(lab: Laboratory, name: str) -> None:
    run = lab.detach(*LONG)
    wait_until(lambda: under_way(run))
    os.kill(pid_of(run), signal.Signals[name])
    wait_until(lambda: read_status(run).state == "stopped")
    assert load_state(need_checkpoint(run))["step"] == read_status(run).step > 0
    assert read_status(run).error is None


def test_a_worker_that_is_killed_is_lost_and_resume_ends_the_same(lab: Laboratory, uninterrupted: RunPaths) -> None:
    run = lab.detach(*LONG)
    wait_until(lambda: under_way(run))
    os.kill(pid_of(run), signal.SIGKILL)
    wait_until(lambda: read_status(run).state == "lost")
    assert lab("show", run.id, "--json").document["state"] == "lost"
    assert [row["state"] for row in lab("runs", "--json").document] == ["lost"]
    lab("attach", run.id, check=4)
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
    assert describe_death(run, -signal.SIGKILL) in stderr
    assert f"tuiae resume {run.id}" in stderr


def test_a_run_that_nobody_follows_any_more_goes_on(lab: Laboratory, workers: list[subprocess.Popen[Any]]) -> None:
    process = lab.start("run", lab.preset(), *LONG, start_new_session=True)
    workers.append(process)
    (run,) = wait_until(lambda: list_runs(lab.runs))
    pid_of(run)  # the worker is there
    # The terminal goes away: the whole foreground group gets the signal.
    os.killpg(process.pid, signal.SIGHUP)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGHUP
    assert f"`tuiae attach {run.id}`" in stderr
    wait_until(lambda: read_status(run).state == "finished")


@pytest.mark.usefixtures("cold")
def test_a_signal_that_comes_before_a_worker_listens_leaves_a_run_to_begin(
    lab: Laboratory, workers: list[subprocess.Popen[Any]]
) -> None:
    run = create_run(load_config(Path(lab.preset())), lab.runs, [])
    workers.append(start_worker(run))
    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM):
        workers[0].send_signal(number)
    assert workers[0].wait(60) == 5
    status = read_status(run)
    assert (status.state, status.step, status.error, find_checkpoint(run)) == ("stopped", 0, None, None)


# Killed


KILLS = int(os.environ.get("TUIAE_TEST_KILLS", "5"))


def work_in_a_fork(run: RunPaths, kill_at: int = 0, count_to: Path | None = None) -> int:
    """Be the run's worker in a process that has torch already; returns its pid. It is killed at its `kill_at`-th look
    at, or change of, a file; how many it had is written to `count_to`."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        seen = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event == "open" or event.startswith("os."):
                seen += 1
                if seen == kill_at:
                    signal.raise_signal(signal.SIGKILL)

        output = os.open(run.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.addaudithook(count)
        code = worker.main([str(run.root)])
        if count_to is not None:
            count_to.write_text(str(seen))
    finally:
        os._exit(code)


def killed(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def cut_short(run: RunPaths, pid: int) -> bool:
    """Returns whether a worker was killed, and not after it had written down its end."""
    return killed(pid) and read_status(run).state != "finished"


def assert_goes_on_to(run: RunPaths, finished: RunPaths) -> bool:
    """Goes on with a run that was killed, and checks its end; returns whether that was in the middle of a save."""
    assert read_status(run).state == "lost" or not read_status(run).pid
    saves = [*run.weights.glob(".*"), *(path for path in run.weights.glob("step-*") if not verify(path))]
    assert not killed(work_in_a_fork(run))
    assert_same_end(run, finished)
    assert not [*run.weights.glob(".*"), *run.root.glob(".*.tmp")]
    return bool(saves)


def test_a_worker_that_is_killed_at_any_file_goes_on_to_the_same_bits(lab: Laboratory, finished: RunPaths) -> None:
    config, count = load_config(Path(lab.preset())), lab.root / "count"
    whole = create_run(config, lab.runs, [])
    assert not killed(work_in_a_fork(whole, count_to=count))
    assert_same_end(whole, finished)
    rng, times, saves = random.Random(KILLS), 0, 0
    while times < KILLS:
        run = create_run(config, lab.runs, [])
        if cut_short(run, work_in_a_fork(run, rng.randint(1, int(count.read_text())))):
            times, saves = times + 1, saves + assert_goes_on_to(run, finished)
        shutil.rmtree(run.root)
    assert saves >= KILLS // 20  # some of them were in the middle of a save


@pytest.mark.thorough
def test_a_worker_that_is_killed_at_any_moment_goes_on_to_the_same_bits(lab: Laboratory, finished: RunPaths) -> None:
    config = load_config(Path(lab.preset()))
    began = time.monotonic()
    assert not killed(work_in_a_fork(create_run(config, lab.runs, [])))
    rng, seconds, times, saves = random.Random(KILLS), time.monotonic() - began, 0, 0
    while times < KILLS:
        run = create_run(config, lab.runs, [])
        pid = work_in_a_fork(run)
        select.select([os.pidfd_open(pid)], [], [], rng.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
        if cut_short(run, pid):
            times, saves = times + 1, saves + assert_goes_on_to(run, finished)
        shutil.rmtree(run.root)
    assert saves >= KILLS // 100  # it saves for a short part of its time


# Under a scheduler


def script_of_the_documents(lab: Laboratory, tmp_path: Path) -> Path:
    """The sbatch script of docs/servers.md, with the small preset."""
    page = (CHECKOUT / "docs/servers.md").read_text()
    text, *_ = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", page, re.DOTALL)
    command = "tuiae run conv_256 "
    assert text.count(command) == 1
    script = tmp_path / "job.sh"
    script.write_text(text.replace(command, f"tuiae run {lab.preset()} {' '.join(LONG)} "))
    for name, body in (
        ("tuiae", f'exec {sys.executable} -m tuiae "$@"'),
        ("scontrol", f'echo "$@" >> {tmp_path}/asked'),
    ):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    return script


def test_a_job_that_is_warned_saves_is_requeued_and_ends_the_same(
    lab: Laboratory, uninterrupted: RunPaths, tmp_path: Path, workers: list[subprocess.Popen[Any]]
) -> None:
    script = script_of_the_documents(lab, tmp_path)
    environment = {**lab.environment, "SLURM_JOB_ID": "77", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    options = {
        "env": environment,
        "cwd": lab.root,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    workers.append(subprocess.Popen(["bash", script], **options))
    (run,) = wait_until(lambda: list_runs(lab.runs))
    wait_until(lambda: under_way(run))
    workers[0].send_signal(signal.SIGUSR1)  # as `--signal=B:USR1@120` has it
    output = workers[0].communicate(timeout=120)[0]
    assert workers[0].returncode == 5, output
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    assert "SLURM job 77: `scontrol requeue 77`" in output
    workers.append(subprocess.Popen(["bash", script], **options))  # as SLURM does then
    output = workers[1].communicate(timeout=120)[0]
    assert workers[1].returncode == 0, output
    assert list_runs(lab.runs) == [run]
    assert_same_end(run, uninterrupted)


def test_the_same_command_goes_on_with_its_run_and_with_no_other(lab: Laboratory, finished: RunPaths) -> None:
    run, config = lab.copy(finished), load_config(finished.config)
    assert lab("run", lab.preset(), "--continue", "--json").document["run"] == run.id
    assert list_runs(lab.runs) == [run]
    assert find_begun(config, ["other"], lab.runs) is None
    assert find_begun(load_config(Path(lab.preset()), {"training.epochs": 5}), (), lab.runs) is None
    assert find_begun(load_config(finished.config, {"training.subnormals": "kept"}), (), lab.runs) == run
    record_edit(run, "training.learning_rate", 2e-2, 1e-3, 30, 2.0)
    assert find_begun(config, (), lab.runs) == run
    stopped = create_run(config, lab.runs, [], ["job-7"])
    assert find_begun(config, ["job-7"], lab.runs) == stopped
    assert find_begun(config, (), lab.runs) == run
    replace_json(run.meta, {**read_json(run.meta), "replay": {}})
    assert find_begun(config, (), lab.runs) == stopped
    lab("run", lab.preset(), "--continue", "--replay", run.id, check=2)


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


def test_a_paused_run_takes_single_steps_and_ends_as_if_nobody_had_stopped_it(
    lab: Laboratory, finished: RunPaths
) -> None:
    run = lab.detach()
    control.send(run, "pause")  # heard before the first step
    paused = lab("pause", run.id, "--step", "2", "--json").document
    assert (paused["state"], paused["step"]) == ("paused", 2)
    seen = RunReader(run.root).read_all()
    assert (seen.stepped, seen.samples, seen.series["live", "loss"].steps[-1]) == (2, (0,), 2)
    pictures, first = read_step_sample(run, 2, 0), read_sample(run, 0)
    assert pictures is not None
    assert first is not None
    assert pictures.step == 2
    np.testing.assert_array_equal(pictures.noisy, first.noisy)
    assert not np.array_equal(pictures.reconstructions, first.reconstructions)
    assert lab("pause", run.id, "--step", "12", "--json").document["step"] == 14
    assert lab("pause", run.id, "--step", "1", "--json").document["step"] == 15  # and with it the epoch
    seen = RunReader(run.root).read_all()
    assert (seen.stepped, seen.samples, seen.status.epoch, seen.status.state) == (None, (0, 1), 1, "paused")
    assert lab("pause", run.id, "--json").document == {**paused, "step": 15, "live_loss": seen.latest("live", "loss")}
    assert lab("resume", run.id, "--json").document["state"] == "finished"
    assert_same_end(run, finished)
    notes = [note.text for note in RunReader(run.root).read_all().notes]
    assert sum(text.startswith("paused at") for text in notes) == 1  # steps fill no history
    assert "resumed at step 15" in notes
    assert "no training to pause" in lab("pause", run.id, check=2).stderr


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
    assert any(f"`tuiae resume {run.id}`" in line for line in follower.stderr)
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
    assert read_status(run).epoch < 40


# Resuming


@pytest.mark.thorough
def test_a_run_that_is_held_is_not_resumed(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.detach(*LONG)
    wait_until(lambda: read_status(run).step)  # until then the worker may write its precision into the config
    before = run.config.read_bytes()
    result = lab("resume", run.id, "--epochs", "99", "--json", check=6)
    assert result.document["exit_code"] == 6
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
    lab("resume", run.id, check=3)
    assert list_runs(lab.runs) == [run]


@pytest.mark.parametrize("epochs", [(), ("--epochs", "4"), ("--epochs", "2")])
def test_a_run_that_has_done_its_epochs_is_told_how_to_get_more(
    lab: Laboratory, finished: RunPaths, epochs: tuple[str, ...]
) -> None:
    run = lab.copy(finished)
    assert "--epochs 8" in lab("resume", run.id, *epochs, "--json", check=2).document["hint"]
    assert load_config(run.config).training.epochs == 4


def test_epochs_that_are_behind_a_run_are_no_way_on(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    begin_with(run, run.config.read_text().replace("epochs = 4", "epochs = 9"))
    lab("resume", run.id, "--epochs", "3", check=2)
    assert read_status(run).state == "finished"


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
    lab("resume", run.id, "--epochs", "9", check=2)
    assert read_status(run).state == "finished"
    assert read_edits(run) == ()


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
    with pytest.raises(ConfigError):
        need_config(RunPaths(lab.root))
    run.config.write_text("[data")
    for command in (("resume", run.id, "--epochs", "9"), ("eval", run.id)):
        assert str(run.config) in lab(*command, "--json", check=2).document["error"]
