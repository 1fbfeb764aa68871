"""Disks that take nothing for a while, or never again; what is durable before what; and whom a run listens to."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Laboratory
from tests.endings import assert_same_end
from tuiae.cli.output import RunLines
from tuiae.config import RunConfig, load_config
from tuiae.errors import ExitCode, UnknownRunError
from tuiae.files import overwrite_json, read_json, replace_json
from tuiae.runs import control
from tuiae.runs.checkpoints import all_checkpoints, find_checkpoint, verify
from tuiae.runs.paths import RunPaths, find_obstacle
from tuiae.runs.process import RunLock, process_start
from tuiae.runs.reader import RunReader, describe_death, is_written_elsewhere, read_status
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.checkpoint import save_checkpoint
from tuiae.training.control import Mailbox
from tuiae.training.failure import explain
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up

STEPS = 15  # of an epoch of the small preset


@pytest.fixture
def run(runs_root: Path) -> RunPaths:
    return create_run(RunConfig(name="mine"), runs_root, [])


@pytest.fixture(autouse=True)
def _unlimited() -> Iterator[None]:
    """What a test that fails leaves is no limit for the next, nor for what pytest writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process gets larger: what a full disk is to its users, on any machine."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def train_with(lab: Laboratory, monkeypatch: pytest.MonkeyPatch, look: Callable[[int], object]) -> RunPaths:
    """Train the small preset; `look` is called with the step before each step."""
    monkeypatch.setattr("tuiae.training.control.MAIL_SECONDS", 0.0)
    monkeypatch.setattr("tuiae.training.loop.RETRY_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # which pytest has in a file
    run = create_run(load_config(Path(lab.preset())), lab.runs, [])
    writer = RunWriter(run)
    fit = Trainer(set_up(load_config(run.config)), writer, Mailbox(run, lambda: bool(look(fit.state.step))))
    try:
        writer.close(fit.run())
    except OSError as error:
        writer.close("failed", explain(error, run).record())
    return run


def records(run: RunPaths) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.events.read_bytes().splitlines()]


# A full disk


@pytest.mark.parametrize("size", [0, 2000, 15_000], ids=["nothing", "a few events", "all but checkpoints"])
def test_what_was_measured_while_a_disk_was_full_is_there_once_it_is_not(
    lab: Laboratory, finished: RunPaths, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    full = largest_file(size)
    acts = {STEPS - 5: full.__enter__, 3 * STEPS - 5: lambda: full.__exit__(None, None, None)}
    run = train_with(lab, monkeypatch, lambda step: acts.pop(step, lambda: None)())
    events = records(run)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert_same_end(run, finished)
    assert sorted(path.name for path in run.samples.iterdir()) == [f"{epoch:06d}.npz" for epoch in range(5)]
    said = [event["text"] for event in events if event["kind"] == "warning"]
    assert len(said) == 2
    assert read_json(run.status)["trouble"] == ""


def test_three_checkpoints_that_cannot_be_written_fail_the_run_and_leave_the_one_before(
    lab: Laboratory, finished: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = largest_file(2000)  # enough for a status
    acts = {2 * STEPS + 5: full.__enter__}
    run = train_with(lab, monkeypatch, lambda step: acts.pop(step, lambda: None)())
    full.__exit__(None, None, None)
    status = read_status(run)
    assert status.state == "failed"
    assert status.error is not None
    assert str(run.root) in status.error["cause"]
    assert f"tuiae resume {run.id}" in status.error["hint"]
    assert status.error["exit_code"] == ExitCode.TRAINING
    assert find_checkpoint(run) in (run.weights / "step-000015", run.weights / "step-000030")  # as far as it had come
    assert [path.name for path in run.weights.glob(".*")] == []
    assert lab("resume", run.id, "--json").document["state"] == "finished"
    assert_same_end(run, finished)


def test_events_wait_for_space_and_no_line_is_cut_or_lost(run: RunPaths) -> None:
    writer = RunWriter(run)
    writer.event("metric", split="test", step=10, epoch=1, values={"loss": 1.0})
    with largest_file(run.events.stat().st_size + 20):
        for step in range(20, 50, 10):
            writer.event("metric", split="test", step=step, epoch=1, values={"loss": 1 / step})
        assert len(run.events.read_bytes().splitlines()) == 2
        with pytest.raises(OSError) as full:  # noqa: PT011 - its number says more than words
            writer.sync()
        assert full.value.errno == errno.EFBIG
    writer.close("stopped")
    assert [event.get("step") for event in records(run)] == [10, 20, 30, 40, None]


def test_a_status_is_written_over_only_where_it_has_the_space(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    replace_json(path, {"state": "running", "more": "x" * 300})
    if not path.stat().st_blocks:
        pytest.skip("this file system keeps small files beside its blocks")
    overwrite_json(path, {"state": "failed"})
    assert read_json(path) == {"state": "failed"}
    with pytest.raises(OSError) as full:  # noqa: PT011
        overwrite_json(path, {"state": "x" * 512 * (path.stat().st_blocks + 1)})
    assert full.value.errno == errno.ENOSPC
    assert read_json(path) == {"state": "failed"}


def test_looking_for_an_obstacle_leaves_nothing_behind(run: RunPaths) -> None:
    with largest_file(1000):
        assert find_obstacle(run) != ""
    assert find_obstacle(run) == ""
    assert list(run.root.glob(".*.tmp")) == []


def test_what_a_worker_could_not_say_is_read_from_the_end_of_its_log(lab: Laboratory, run: RunPaths) -> None:
    dying = "import faulthandler, os, signal; faulthandler.enable(2); os.kill(os.getpid(), signal.SIGBUS)"
    with open(run.log, "wb") as log:
        log.write(b"epoch 1\n")
        log.flush()
        worker = subprocess.run([sys.executable, "-c", dying], stderr=log, check=False)
    gone = {"state": "running", "pid": 1, "process_start": "1", "host": socket.gethostname()}
    replace_json(run.status, {**read_json(run.status), **gone})
    status = read_status(run)
    assert (status.state, worker.returncode) == ("lost", -signal.SIGBUS)
    said = "the worker died: Bus error: a file that it had open, such as the prepared images, became shorter"
    assert str((status.error or {})["cause"]).startswith(said)
    assert describe_death(run, None).startswith(said)
    assert f"error: {said}" in lab("show", run.id).stdout
    replace_json(run.status, {**read_json(run.status), "heartbeat": time.time() + 60})
    assert read_status(run).error is None  # a later worker lived on
    replace_json(run.status, {**read_json(run.status), "heartbeat": time.time()})
    with open(run.log, "a") as log:
        log.write("epoch 2\n")
    assert read_status(run).error is None
    with open(run.log, "a") as log:
        log.write("error: 3 checkpoints in a row could not be written\n/runs/x: Permission denied\n")
    assert (read_status(run).error or {})["cause"] == "the worker died: 3 checkpoints in a row could not be written"
    with open(run.log, "a") as log:
        log.write("epoch 3\n")
    assert read_status(run).error is None


TMPFS = 'mount -t tmpfs -o size=3m tmpfs "$1" && shift && exec "$@"'


@pytest.mark.thorough
@pytest.mark.parametrize(("left", "epoch"), [(0, 0), (8, 0), (0, 1), (4, 3), (20, 3), (60, 3)])
def test_a_disk_that_is_full_from_any_moment_on_is_told_and_costs_nothing(
    lab: Laboratory, uninterrupted: RunPaths, left: int, epoch: int
) -> None:
    lab.root.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.full_disk", str(lab.root), str(epoch), str(left)]
    mount = ["unshare", "-m", "sh", "-c", TMPFS, "sh", str(lab.root), *command]
    if os.geteuid():
        mount[1] = "-rm"
    environment = {**lab.environment, "TUIAE_TEST_REFERENCE": str(uninterrupted.root)}
    done = subprocess.run(mount, capture_output=True, text=True, env=environment, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no disk of one's own: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr


# What is durable before what


def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every fsync and rename of this process from now on, with the names of what they are about."""
    calls: list[str] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def note_fsync(descriptor: int) -> None:
        fsync(descriptor)
        calls.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")

    def note(kind: str, call: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def move(source: Any, target: Any) -> None:
            call(source, target)
            calls.append(f"{kind} {Path(target).name}")

        return move

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note("replace", replace))
    monkeypatch.setattr(os, "rename", note("rename", rename))
    return calls


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the name of an open file is read from /proc")
def test_a_checkpoint_is_durable_before_it_has_its_name_and_the_events_before_it(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RunWriter(run)
    writer.event("metric", split="test", step=5, epoch=1, values={"loss": 1.0})
    calls = traced(monkeypatch)
    writer.sync()
    save_checkpoint(run, 5, 1.0, {"model.safetensors": b"m", "state.pt": b"s"}, ("last", "best"))
    calls = [call for call in calls if "status.json" not in call]
    monkeypatch.undo()
    writer.close("stopped")
    files = ("model.safetensors", "state.pt", "manifest.json")
    draft = f".step-000005.{os.getpid()}.tmp"
    assert [call for call in calls if ".tmp" not in call or draft in call] == [
        "fsync events.jsonl",
        "fsync samples",
        *(f"replace {name}" for name in files),
        f"fsync {draft}",
        "rename step-000005",
        "fsync weights",
        "replace last",
        "replace best",
        "fsync weights",
    ]
    for name in (*files, "last", "best"):
        (place,) = [index for index, call in enumerate(calls) if call == f"replace {name}"]
        assert calls[place - 1].startswith(f"fsync .{name}.")


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_the_system_calls_of_a_worker_come_in_that_order(lab: Laboratory, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    run = create_run(load_config(Path(lab.preset()), {"training.epochs": 2}), lab.runs, [])
    worker = [sys.executable, "-m", "tuiae.training.worker", str(run.root)]
    trace = ["strace", "-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2,unlinkat,rmdir", "-o", str(log)]
    done = subprocess.run([*trace, *worker], env=lab.environment, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    calls = [line for line in log.read_text().splitlines() if "weights" in line or "events.jsonl" in line]
    for step in (STEPS, 2 * STEPS):
        (named,) = [
            n for n, line in enumerate(calls) if "rename" in line and f'/step-{step:06d}"' in line.split(", ")[-1]
        ]
        before = [line.partition(" ")[2].strip() for line in calls[:named]]
        assert before[-1].startswith("fsync(")
        assert f".step-{step:06d}." in before[-1]
        assert any(line.startswith("fsync(") and "events.jsonl" in line for line in before[-12:])
        assert "manifest.json" in [line for line in before if "rename" in line][-1]
        assert "fsync(" in calls[named + 1]
        assert calls[named + 1].rstrip().endswith("= 0")


# Drafts, permissions, other users


def test_drafts_of_a_killed_worker_go_and_young_ones_of_others_stay(run: RunPaths) -> None:
    (run.weights / ".step-000001.7.tmp").mkdir()
    for draft in ("weights/.last.7-ab.tmp", "weights/.best.7-ab.tmp", "samples/.000001.npz.7-ab.tmp"):
        (run.root / draft).write_text("half")
    for draft in (".label.json.7-ab.tmp", "control/.1.json.7-ab.tmp", "control/.old.7-ab.tmp"):
        (run.root / draft).write_text("half")
    for name in ("status.json", "data.json", "meta.json", "config.toml", ".config.toml"):
        (run.root / f".{name}.7-ab.tmp").write_text("half")
    os.utime(run.control / ".old.7-ab.tmp", (0, 0))
    RunWriter(run).close("stopped")
    left = sorted(str(path.relative_to(run.root)) for path in run.root.rglob(".*.tmp"))
    assert left == [".label.json.7-ab.tmp", "control/.1.json.7-ab.tmp"]


def test_what_killed_commands_left_of_runs_goes_with_the_next_run_and_nothing_else(runs_root: Path) -> None:
    names = (
        ".20260101-000000-a-0000.tmp",
        ".20260101-000000-b-0000.12ab.deleted",
        ".mine.tmp",
        ".20990101-000000-c.tmp",
    )
    for name in names:
        (runs_root / name).mkdir(parents=True)
        os.utime(runs_root / name, (0, 0))
    os.utime(runs_root / names[3])
    run = create_run(RunConfig(), runs_root, [])
    assert sorted(path.name for path in runs_root.iterdir()) == sorted([names[2], names[3], run.id])


def test_a_run_is_for_its_user_alone(run: RunPaths) -> None:
    assert stat.S_IMODE(run.root.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_commands_of_another_user_are_removed_and_not_obeyed(run: RunPaths) -> None:
    control.send(run, "stop")
    (command,) = run.control.iterdir()
    os.chown(command, 4711, 4711)
    control.send(run, "pause")
    assert [record["command"] for record in control.take(run)] == ["pause"]
    assert list(run.control.iterdir()) == []


def test_who_is_not_heard_is_told(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuiae.runs.control._is_ours", lambda *_: False)
    with pytest.raises(UnknownRunError):
        control.send(run, "stop")
    assert list(run.control.iterdir()) == []


@pytest.mark.parametrize("its_own", [True, False])
def test_a_stop_that_cannot_be_written_is_a_signal_to_the_run_s_own_worker(
    run: RunPaths, workers: list[subprocess.Popen[Any]], its_own: bool
) -> None:
    with open(run.lock if its_own else os.devnull, "a") as lock:
        worker = subprocess.Popen(["sleep", "60"], stdin=lock)
    workers.append(worker)
    named = {"pid": worker.pid, "process_start": process_start(worker.pid), "host": socket.gethostname()}
    replace_json(run.status, {**read_json(run.status), **named})
    if its_own:
        with largest_file(0):
            control.send(run, "stop")
        assert worker.wait(60) == -signal.SIGTERM
    else:
        with largest_file(0), pytest.raises(UnknownRunError, match="File too large"):
            control.send(run, "stop")
        assert worker.poll() is None


# Two workers


@pytest.mark.parametrize("lock", ["there", "deleted"])
def test_a_run_whose_worker_lives_is_left_to_it_whatever_became_of_the_lock(
    lab: Laboratory, finished: RunPaths, lock: str
) -> None:
    run = lab.copy(finished)
    alive = {"state": "running", "pid": os.getpid(), "process_start": process_start(os.getpid())}
    replace_json(run.status, {**read_json(run.status), **alive, "host": socket.gethostname()})
    before = run.events.read_bytes()
    if lock == "deleted":
        run.lock.unlink()
    worker = lab.start(str(run.root), module="tuiae.training.worker")
    assert "is held by another process" in worker.communicate()[1]
    assert worker.returncode == ExitCode.HELD
    assert run.events.read_bytes() == before


@pytest.mark.parametrize(("age", "held"), [(5, True), (-5, True), (3600, False), (-3e8, False)])
def test_a_lock_of_another_host_is_judged_by_its_heartbeat(run: RunPaths, age: float, held: bool) -> None:
    replace_json(run.status, {"state": "running", "pid": 7, "host": "elsewhere", "heartbeat": time.time() - age})
    assert is_written_elsewhere(run) is held
    assert (read_status(run).state == "lost") is not held


def test_a_lock_that_was_deleted_before_it_was_taken_is_not_taken(run: RunPaths) -> None:
    late, early = RunLock(run), RunLock(run)
    run.lock.unlink()
    assert early.acquire()
    assert not late.acquire()
    early.close()
    late.close()


# Clocks, and runs that go


@pytest.mark.parametrize("jump", [3e8, -3e8], ids=["ten years forward", "ten years back"])
def test_a_clock_that_jumps_by_years_changes_nothing_of_a_training(
    lab: Laboratory, finished: RunPaths, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    now = time.time

    def look(step: int) -> None:
        if step == 2 * STEPS + 5:
            monkeypatch.setattr(time, "time", lambda: now() + jump)

    run = train_with(lab, monkeypatch, look)
    monkeypatch.setattr(time, "time", now)
    assert_same_end(run, finished)
    snapshot = RunReader(run.root).read_all()
    assert snapshot.status.state == "finished"
    assert snapshot.status.elapsed is not None
    assert 0 < snapshot.status.elapsed < 600
    assert (np.diff(snapshot.clock.values) >= 0).all()


def test_a_run_that_was_moved_is_gone_whatever_failed_for_it(run: RunPaths, tmp_path: Path) -> None:
    run.root.rename(tmp_path / "elsewhere")
    assert "is gone" in str(explain(FileNotFoundError(errno.ENOENT, "No such file or directory"), run))


def test_the_last_good_checkpoint_outlives_one_that_cannot_be_written(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    for size in range(0, 20_000, 1500):
        with largest_file(size), pytest.raises(OSError):  # noqa: PT011
            save_checkpoint(run, 75, 5.0, {"model.safetensors": bytes(20_000), "state.pt": b"s"}, ("last",))
        assert find_checkpoint(run) == run.weights / "step-000060"
        assert all(verify(folder) for folder in all_checkpoints(run))


def test_a_follower_is_told_once_what_waits_for_space(run: RunPaths) -> None:
    writer, lines = RunWriter(run), RunLines()
    writer.status(now=True, state="running")
    writer.note_unwritten("events", OSError(errno.ENOSPC, "No space left on device"))
    writer.status(now=True)
    told = [line for _ in range(2) for line in lines.new(RunReader(run.root).poll())]
    assert told == [RunReader(run.root).poll().status.trouble] != [""]
    writer.note_unwritten("events", None)
    writer.status(now=True)
    assert list(lines.new(RunReader(run.root).poll())) == []
    writer.close("stopped")
