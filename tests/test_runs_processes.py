"""Runs and processes: who lives, who holds a run, who is told what, and which run is meant."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.conftest import Laboratory, wait_until
from tuiae.cli.output import RunLines
from tuiae.config import RunConfig
from tuiae.errors import UnknownRunError
from tuiae.runs import control
from tuiae.runs.labels import relabel
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import RunLock, StandbyWorker, is_alive, is_held, process_start
from tuiae.runs.query import find_run
from tuiae.runs.reader import RunReader, read_status
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.checkpoint import save_checkpoint

HOLDER = """
import sys
from pathlib import Path
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import RunLock
lock = RunLock(RunPaths(Path(sys.argv[1])))
print("held" if lock.acquire() else "refused", flush=True)
sys.stdin.read()
"""


LOOKER = """
import sys
from pathlib import Path
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import is_held
run = RunPaths(Path(sys.argv[1]))
print("looking", flush=True)
while True:
    if is_held(run):
        print("held", flush=True)
"""


@pytest.fixture
def run(runs_root: Path) -> RunPaths:
    return create_run(RunConfig(name="mine"), runs_root, [])


@pytest.fixture
def bystander(workers: list[subprocess.Popen[Any]]) -> subprocess.Popen[Any]:
    """A process that lives until it is told otherwise."""
    workers.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    return workers[0]


def put_status(run: RunPaths, **fields: Any) -> None:
    known = {"state": "running", "host": socket.gethostname(), "heartbeat": time.time()}
    run.status.write_text(json.dumps({**known, **fields}))


# Alive or lost


def test_a_live_process_is_running_and_a_dead_one_lost(run: RunPaths, bystander: subprocess.Popen[Any]) -> None:
    put_status(run, pid=bystander.pid, process_start=process_start(bystander.pid), heartbeat=0)
    assert read_status(run).state == "running"
    bystander.kill()
    # Its parent has not looked yet, and it is dead all the same.
    wait_until(lambda: read_status(run).state == "lost")
    bystander.wait()
    assert read_status(run).state == "lost"


def test_a_worker_that_lives_and_writes_nothing_gives_no_sign_since_then(
    run: RunPaths, bystander: subprocess.Popen[Any]
) -> None:
    worker = {"pid": bystander.pid, "process_start": process_start(bystander.pid), "silent": 9}
    reader, lines = RunReader(run.root), RunLines()
    told: list[int] = []
    assert not list(lines.new(reader.poll()))
    for ago, minutes in ((0.0, 0), (150.0, 2), (7230.0, 120), (-3600.0, 0)):  # at last by a clock that was set back
        put_status(run, **worker, heartbeat=time.time() - ago)
        status = reader.poll().status
        assert (status.state, status.silent) == ("running", minutes)
        told.append(len(list(lines.new(reader.poll()))))
    assert told == [0, 1, 0, 0]  # who follows it is told once


def test_a_pid_that_went_to_another_process_is_lost(run: RunPaths) -> None:
    put_status(run, pid=os.getpid(), process_start="1")
    assert read_status(run).state == "lost"


def test_a_worker_that_an_older_version_recorded_by_a_date_lives_by_its_last_heartbeat(run: RunPaths) -> None:
    date = "So 29 Nov 09:50:23 2026"  # what `ps -o lstart` says on macOS with a German locale
    put_status(run, pid=os.getpid(), process_start=date)
    assert read_status(run).state == "running"
    put_status(run, pid=os.getpid(), process_start=date, heartbeat=psutil.Process().create_time() - 2)
    assert read_status(run).state == "lost"


@pytest.mark.skipif(not psutil.LINUX, reason="older versions recorded a date elsewhere")
def test_a_start_is_still_what_older_versions_recorded() -> None:
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    assert process_start(os.getpid()) == fields[19]


@pytest.mark.parametrize("started", ["1700000000.25", "1700000009.50", "1700000100.00"])
def test_where_starts_are_times_a_set_clock_makes_no_run_lost(monkeypatch: pytest.MonkeyPatch, started: str) -> None:
    monkeypatch.setattr("tuiae.runs.process.process_start", lambda pid: "1700000000.25")
    assert is_alive(os.getpid(), started, 0.0) == (started < "1700000060")


@pytest.mark.parametrize(
    "fields", [{"pid": os.getpid()}, {"pid": -1, "process_start": "5"}, {"pid": 0, "heartbeat": 0}]
)
def test_a_status_that_names_no_process_is_lost(run: RunPaths, fields: dict[str, Any]) -> None:
    put_status(run, **fields)
    assert read_status(run).state == "lost"


def test_a_run_on_another_host_lives_by_its_heartbeat(run: RunPaths) -> None:
    elsewhere = {"host": "some-other-host", "pid": 1, "process_start": "x"}
    put_status(run, **elsewhere)
    assert read_status(run).state == "running"
    put_status(run, **elsewhere, heartbeat=time.time() - 3600)
    assert read_status(run).state == "lost"


@pytest.mark.parametrize("state", ["finished", "stopped", "failed", "of-a-later-version"])
def test_a_run_that_ended_is_never_lost(run: RunPaths, state: str) -> None:
    put_status(run, state=state, pid=-1, heartbeat=0)
    assert read_status(run).state == state


def test_a_run_just_made_is_starting(run: RunPaths) -> None:
    assert read_status(run).state == "starting"


def test_a_live_writer_beats_and_its_last_word_stands(run: RunPaths) -> None:
    writer = RunWriter(run)
    writer.status(now=True, state="running")
    first = read_status(run).heartbeat
    wait_until(lambda: read_status(run).heartbeat > first)
    assert RunReader(run.root).poll().status.state == "running"
    writer.close("stopped")
    assert read_status(run).state == "stopped"


# The lock


def test_only_one_of_two_processes_holds_a_run_and_death_lets_go(
    run: RunPaths, workers: list[subprocess.Popen[Any]]
) -> None:
    def holder() -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        workers.append(subprocess.Popen([sys.executable, "-c", HOLDER, str(run.root)], **pipes))  # type: ignore[call-overload]
        return workers[-1]

    def said(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    assert not is_held(run)
    first = holder()
    assert said(first) == "held"
    assert said(holder()) == "refused"
    assert is_held(run)
    assert not RunLock(run).acquire()
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not is_held(run)
    assert said(holder()) == "held"


def test_looking_at_a_lock_takes_it_from_nobody(run: RunPaths, workers: list[subprocess.Popen[Any]]) -> None:
    for _ in range(2):
        command = [sys.executable, "-c", LOOKER, str(run.root)]
        workers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    assert [worker.stdout.readline() for worker in workers] == ["looking\n", "looking\n"]
    for _ in range(100):
        assert not is_held(run)
    for _ in range(20):
        lock = RunLock(run)
        assert lock.acquire()
        lock.close()
    for worker in workers:
        worker.kill()
        worker.wait()


# Commands


def test_commands_arrive_once_and_in_order(run: RunPaths) -> None:
    for command in ("pause", "save", "resume", "stop"):
        control.send(run, command, why="because")
    taken = control.take(run)
    assert [record["command"] for record in taken] == ["pause", "save", "resume", "stop"]
    assert taken[0]["why"] == "because"
    assert taken[0]["from"] == os.getpid()
    assert control.take(run) == []


def test_what_is_no_command_is_cleared_away_and_the_rest_obeyed(run: RunPaths) -> None:
    for name, text in (("1", "{"), ("2", "[]"), ("3", '{"command": "format"}'), ("4", '{"command": ["stop"]}')):
        (run.control / f"{name}.json").write_text(text)
    (run.control / "5.json").write_bytes(b"\xff\0")
    (run.control / "6.json").mkdir()
    (run.control / ".half.json").write_text('{"command": "stop"}')
    control.send(run, "pause")
    assert [record["command"] for record in control.take(run)] == ["pause"]
    assert sorted(os.listdir(run.control)) == [".half.json", "6.json"]
    run.control.joinpath("6.json").rmdir()
    run.control.joinpath(".half.json").unlink()
    run.control.rmdir()
    assert control.take(run) == []
    control.send(run, "stop")
    assert len(control.take(run)) == 1


def test_a_word_that_is_no_command_is_not_sent(run: RunPaths) -> None:
    with pytest.raises(ValueError, match="delete"):
        control.send(run, "delete")
    assert os.listdir(run.control) == []


# Finding

IDS = ("20260101-100000-conv_256-aaaa", "20260102-100000-conv_64-bbbb", "20260102-110000-dense-cccc")


@pytest.fixture
def three(runs_root: Path) -> Path:
    for name in IDS:
        create_run(RunConfig(), runs_root, []).root.rename(runs_root / name)
    return runs_root


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (IDS[0], 0),
        ("20260101", 0),
        ("20260102-10", 1),
        ("conv_2", 0),
        ("conv_64", 1),
        ("dense-cccc", 2),
        ("last", 2),
        ("{root}/" + IDS[1], 1),
        ("{root}/" + IDS[1] + "/", 1),
        ("{root}/nowhere/../" + IDS[1], 1),
    ],
)
def test_a_run_is_found_by_what_people_remember_of_it(three: Path, text: str, found: int) -> None:
    assert find_run(text.format(root=three), three) == RunPaths(three / IDS[found])


def test_a_run_is_found_from_inside_it_and_outside_the_runs(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(three / IDS[0])
    assert find_run(".", tmp_path / "other").id == IDS[0]
    assert find_run(f"../{IDS[1]}", tmp_path / "other").id == IDS[1]


@pytest.mark.parametrize(
    ("text", "found", "newest"),
    [("conv", (IDS[1], IDS[0]), "conv_64-bbbb"), ("20260102", (IDS[2], IDS[1]), "dense-cccc or last")],
)
def test_a_text_that_means_several_runs_names_them_and_a_way_to_the_newest(
    three: Path, text: str, found: tuple[str, str], newest: str
) -> None:
    with pytest.raises(UnknownRunError) as caught:
        find_run(text, three)
    assert ", ".join(f"{name} (starting)" for name in found) in caught.value.cause
    assert newest in caught.value.hint


def test_a_run_is_found_by_the_name_that_people_gave_it(three: Path) -> None:
    first, second, third = (RunPaths(three / name) for name in IDS)
    relabel(first, name="best so far")
    relabel(second, name="conv")
    assert find_run("best so far", three) == find_run("best", three) == first
    assert find_run("conv", three) == second  # its very name, although two ids begin so
    relabel(third, name="conv")
    with pytest.raises(UnknownRunError):
        find_run("conv", three)
    relabel(first, name="dense and best")
    with pytest.raises(UnknownRunError):
        find_run("dense", three)
    relabel(first, name=third.id)
    assert find_run(third.id, three) == third


@pytest.mark.parametrize("text", ["photo", "", "~nobody-of-that-name/x", "/nowhere/at/all", "x" * 5000, "a/b\0c"])
def test_a_text_that_means_no_run_says_so(three: Path, text: str) -> None:
    with pytest.raises(UnknownRunError):
        find_run(text, three)


def test_without_runs_the_answer_is_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownRunError) as caught:
        find_run("last", tmp_path / "nowhere")
    assert "tuiae run" in caught.value.hint


# The warm worker


@pytest.mark.usefixtures("cold")
def test_a_standby_says_what_it_has_trains_the_run_it_is_given_and_ends(
    lab: Laboratory, runs_root: Path, workers: list[subprocess.Popen[Any]]
) -> None:
    from tuiae.config import load_config

    standby = StandbyWorker()
    workers.append(standby.process)
    hello = standby.hello()
    assert hello["devices"][0] == "cpu"
    assert hello["pid"] == standby.process.pid
    run = create_run(load_config(Path(lab.preset()), {"training.epochs": 1}), runs_root, [])
    assert standby.give(run).wait(60) == 0
    assert read_status(run).state == "finished"
    assert read_status(run).pid == hello["pid"]


def test_a_standby_whose_parent_goes_away_goes_too(workers: list[subprocess.Popen[Any]]) -> None:
    standby = StandbyWorker()
    workers.append(standby.process)
    assert standby.hello()
    assert standby.usable
    assert standby.process.stdin is not None
    standby.process.stdin.close()
    assert standby.process.wait(60) == 0
    assert not standby.usable


# Deleted while it trains


def test_a_worker_ends_when_its_run_is_deleted(lab: Laboratory) -> None:
    following = lab.start("run", lab.preset(), "--epochs", "4000", "--set", "training.batch_size=500", "--plain")
    (run,) = wait_until(lambda: list_runs(lab.runs))
    wait_until(lambda: read_status(run).state == "running" and read_status(run).epoch)
    pid = read_status(run).pid
    run.config.unlink()  # as far as `rm -rf` has come
    run.status.unlink()
    _, stderr = following.communicate(timeout=60)
    assert following.returncode == 4
    assert run.id in stderr
    wait_until(lambda: not psutil.pid_exists(pid))
    assert not run.status.exists()


@pytest.mark.parametrize("moment", ["sample", "status", "checkpoint"])
def test_nothing_is_written_where_a_run_was(run: RunPaths, tmp_path: Path, moment: str) -> None:
    writer = RunWriter(run)
    run.root.rename(tmp_path / "elsewhere")
    if moment == "sample":
        with pytest.raises(UnknownRunError):
            writer.sample(1, inputs=np.zeros((1, 1, 2, 2), np.uint8))
    elif moment == "checkpoint":
        with pytest.raises(UnknownRunError):
            save_checkpoint(run, 5, 1.0, {}, ("last",))
    else:
        writer.status(now=True, state="running")
    writer.close("failed")
    assert not run.root.exists()
