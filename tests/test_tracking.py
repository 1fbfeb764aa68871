"""Loops of somebody's own: what they record, what is asked of them, and what no record may do to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import tuiae
from tests.conftest import Laboratory, wait_until
from tests.dashboard import open_desk
from tests.golden import Golden
from tuiae.errors import ConfigError, RunHeldError
from tuiae.files import replace_json
from tuiae.runs.diagnosis import diagnose
from tuiae.runs.listing import RunLister
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import is_held
from tuiae.runs.query import parse_query
from tuiae.runs.reader import RunReader, read_sample, read_status
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.runs.writer import RunWriter, create_tracked
from tuiae.tracking.run import RANKS

LOOP = """
import sys, tuiae
run = tuiae.track("alone", config={"epochs": 100})
print(run.id, flush=True)
step = 0
"""
CLASSES = ["circle", "square", "star"]


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)


def read(run: tuiae.TrackedRun) -> Snapshot:
    assert run.path is not None
    return RunReader(run.path).read_all()


def points(run: tuiae.TrackedRun, split: str, metric: str = "loss") -> list[tuple[int, float, float]]:
    """(step, epoch, value) of a curve."""
    series = read(run).series[split, metric]
    return [*zip(series.steps.tolist(), series.epochs.tolist(), series.values.tolist(), strict=True)]


def newest_sample(run: tuiae.TrackedRun) -> Sample:
    assert run.path is not None
    sample = read_sample(RunPaths(run.path), read(run).samples[-1])
    assert sample is not None
    return sample


# Where points stand


def counts_on(run: tuiae.TrackedRun) -> None:
    for epoch in range(3):
        for batch in range(10):
            run.log(step=10 * epoch + batch, epoch=epoch, loss=epoch)
        run.log(step=10 * epoch + 9, epoch=epoch, split="val", loss=epoch)


def counts_anew(run: tuiae.TrackedRun) -> None:
    for epoch in range(3):
        for batch in range(10):
            run.log(step=batch, epoch=epoch, loss=epoch)
        run.log(epoch=epoch, split="val", loss=epoch)


def counts_from_one(run: tuiae.TrackedRun) -> None:
    for epoch in range(1, 4):
        for batch in range(10):
            run.log(step=10 * epoch - 10 + batch, epoch=epoch, loss=epoch - 1)
        run.log(epoch=epoch, split="val", loss=epoch - 1)


def tells_every_fifth(run: tuiae.TrackedRun) -> None:
    for epoch in range(3):
        for batch in (0, 5):
            run.log(step=10 * epoch + batch, epoch=epoch, loss=epoch)
        run.log(step=10 * epoch + 9, epoch=epoch, split="val", loss=epoch)


def tells_fractions(run: tuiae.TrackedRun) -> None:
    for step in range(30):
        run.log(step=step, epoch=(step + 1) / 10, loss=step // 10)
        if step % 10 == 9:
            run.log(step=step, epoch=(step + 1) / 10, split="val", loss=step // 10)


@pytest.mark.parametrize("loop", [counts_on, counts_anew, counts_from_one, tells_every_fifth, tells_fractions])
def test_evaluations_and_means_stand_at_the_ends_of_epochs_however_a_loop_counts(
    loop: Callable[[tuiae.TrackedRun], None],
) -> None:
    with tuiae.track("loop") as run:
        loop(run)
    assert points(run, "test") == [(9, 1.0, 0.0), (19, 2.0, 1.0), (29, 3.0, 2.0)]
    assert [(epoch, value) for _, epoch, value in points(run, "train")] == [(1.0, 0.0), (2.0, 1.0), (3.0, 2.0)]
    live = read(run).series["live", "loss"]
    assert (np.diff(live.epochs) > 0).all()
    status = read_status(RunPaths(run.path or Path()))
    assert (status.state, status.epoch, status.step) == ("finished", 3, 29)


def test_values_of_whole_epochs_alone_make_the_same_curves() -> None:
    with tuiae.track("epochs") as run:
        for epoch in range(3):
            run.log(epoch=epoch, loss=epoch)
            run.log(epoch=epoch, split="test", loss=2 * epoch)
    assert [point[1:] for point in points(run, "train")] == [(1.0, 0.0), (2.0, 1.0), (3.0, 2.0)]
    assert [point[1:] for point in points(run, "test")] == [(1.0, 0.0), (2.0, 2.0), (3.0, 4.0)]


def test_a_loop_without_epochs_is_shown_by_its_steps() -> None:
    with tuiae.track("steps") as run:
        for step in range(1, 41):
            run.log(step=step, reward=step)
        run.log(step=40, split="eval", reward=7)
    assert points(run, "test", "reward") == [(40, 40.0, 7.0)]
    assert ("train", "reward") not in read(run).series
    assert points(run, "live", "reward")[-1][:2] == (40, 40.0)
    assert read(run).main_metric == "reward"


def test_a_second_evaluation_keeps_its_own_name() -> None:
    with tuiae.track("two") as run:
        run.log(epoch=0, split="val", loss=1)
        run.log(epoch=0, split="test", loss=2)
    assert points(run, "test")[0][2] == 1
    assert points(run, "test-set")[0][2] == 2


# What is handed over


def test_numbers_of_every_kind_are_recorded_and_others_are_said_and_left_out() -> None:
    grown = torch.tensor(2.0, requires_grad=True) * 1
    with warnings.catch_warnings(record=True) as said, tuiae.track("kinds") as run:
        warnings.simplefilter("always")
        run.log(epoch=0, split="test", a=1, b=np.float32(0.5), c=np.array(3), d=grown, e=torch.tensor([4.0]), g=None)
        grown.data += 1
        run.log(epoch=1, split="test", a="many", b=1.0)
        run.log(epoch=2, split="test", a=torch.ones(2), b=2.0)
    assert [read(run).series["test", name].values.tolist() for name in "abcde"] == [[1], [0.5, 1, 2], [3], [2], [4]]
    assert ["a is not recorded" in str(one.message) for one in said] == [True]  # each thing once


@pytest.mark.parametrize(
    "images",
    [
        np.ones((3, 8, 8), np.float32),
        np.full((3, 1, 8, 8), 255, np.uint8),
        torch.ones(3, 8, 8, dtype=torch.bfloat16),
        np.ones((3, 8, 8, 1)),
        torch.ones(3, 64, requires_grad=True),
        np.full((3, 8, 8), 300),
    ],
)
def test_images_of_every_layout_are_the_same_pictures(images: Any) -> None:
    with tuiae.track("pictures") as run:
        run.log(epoch=0, loss=1)
        run.images(images, images)
    sample = newest_sample(run)
    assert sample.inputs is not None
    assert sample.reconstructions is not None
    assert sample.inputs.shape == (3, 1, 8, 8)
    assert sample.inputs.dtype == np.uint8
    assert (sample.inputs == 255).all()


def test_a_sample_is_as_the_loop_had_it_when_it_was_handed_over() -> None:
    pictures, codes = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((5, 4))
    codes[:, 0] = np.arange(5)
    with tuiae.track("sample") as run:
        run.log(epoch=0, loss=1)
        run.images(pictures, labels=["star", "circle"], predictions=["star", "star"], classes=CLASSES)
        run.codes(codes, [0, 1, 2, 0, 1], classes=CLASSES)
        run.confusion(np.diag([3, 2, 1]), CLASSES)
        pictures += 9
        codes += 9
        run.log(epoch=0, split="test", loss=1)
    sample = newest_sample(run)
    assert sample.epoch == 1
    assert sample.inputs is not None
    assert sample.inputs.shape == (2, 3, 4, 4)
    assert not sample.inputs.any()
    assert sample.labels is not None
    assert sample.labels.tolist() == [2, 0]
    assert sample.classes == tuple(CLASSES)
    assert sample.codes is not None
    assert abs(sample.codes[:, 0]).tolist() == [2, 1, 0, 1, 2]
    assert sample.confusion is not None
    assert sample.confusion.tolist() == [[3, 0, 0], [0, 2, 0], [0, 0, 1]]


def test_what_is_no_picture_is_said_and_the_loop_goes_on() -> None:
    with warnings.catch_warnings(record=True) as said, tuiae.track("shapes") as run:
        warnings.simplefilter("always")
        run.images(np.zeros((2, 5, 4, 5)))
        run.images(np.zeros((2, 5, 4, 5)))
        run.confusion([[1, 2, 3]])
    assert ["(2, 5, 4, 5)" in str(one.message) for one in said] == [True, False]
    assert read(run).samples == ()


def test_a_config_of_any_kind_becomes_settings() -> None:
    config = SimpleNamespace(
        lr=0.1, model={"family": "mine", "sizes": (3, 4)}, device=torch.device("cpu"), bad=float("nan")
    )
    with tuiae.track("settings", config) as run:
        run.log(loss=1.0)
    known = {"lr": 0.1, "model.family": "mine", "model.sizes": [3, 4], "device": "cpu", "bad": "nan"}
    assert read(run).tracked == known
    (row,) = RunLister(run.path.parent).rows() if run.path else ()
    assert (row.model, row.settings["lr"], row.status.tracked) == ("mine", 0.1, True)
    assert parse_query("lr:>=0.1 model:mine", [row]).find([row]) == (row,)
    assert not diagnose(read(run))


def test_a_name_makes_another_run_each_time_and_may_have_any_characters(lab: Laboratory, tmp_path: Path) -> None:
    names = ["two words/", "two words"]
    for name in ("two words", "two words"):
        tuiae.track(name).finish()
    assert [tuiae.track(tmp_path / "mine").path.parent] == [tmp_path]  # type: ignore[union-attr]
    assert len(list_runs(lab.runs)) == 2
    assert all("two-words" in run.id for run in list_runs(lab.runs)), names
    with pytest.raises(ConfigError):
        tuiae.track("no/such/folder/run")
    with pytest.raises(ConfigError):
        tuiae.track("???")


# What is asked of it


@contextmanager
def endless(name: str = "endless") -> Iterator[tuiae.TrackedRun]:
    """A loop in a thread that goes on until somebody stops it."""
    run = tuiae.track(name, {"learning_rate": 0.1}, epochs=50, steps_per_epoch=100)

    def loop() -> None:
        rate, workers = 0.1, 2
        with run:
            step = 0
            while not run.should_stop():
                rate, workers = run.setting("learning_rate", rate), run.setting("workers", workers)
                run.log(step=step, epoch=step // 100, loss=rate)
                step += 1
                time.sleep(0.001)  # not to be waited for: a loop that leaves the core to the commands

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield run
    finally:
        (RunPaths(run.path or Path()).control / "9-end.json").write_text('{"command": "stop"}')
        thread.join(60)
    assert not thread.is_alive()


def test_commands_reach_the_loop(lab: Laboratory) -> None:
    with endless() as run:
        wait_until(lambda: read(run).status.settings)
        paused = lab("pause", run.id, "--json").document
        assert paused["state"] == "paused"
        assert lab("pause", run.id, "--step", "3", "--json").document["step"] == paused["step"] + 3
        assert lab("resume", run.id, "--epochs", "60", check=2).stdout == ""
        assert lab("resume", run.id, "--json").document["run"] == run.id  # and does not follow it
        lister = RunLister(lab.runs)
        listed = lister.rows()
        wait_until(lambda: read_status(RunPaths(run.path or Path())).state == "running")
        (made,) = lab("edit", run.id, "learning_rate=0.5", "--json").document
        assert (made["key"], made["old"], made["new"]) == ("learning_rate", 0.1, 0.5)
        wait_until(lambda: read(run).latest("live", "loss") == 0.5)
        wait_until(lambda: "learning_rate 0.5" in lab("show", run.id).stdout)
        (before,), (now,) = listed, lister.rows()
        assert (before.settings["learning_rate"], now.settings["learning_rate"]) == (0.1, 0.5)
        assert lab("edit", run.id, "workers=2.5", check=2).stdout == ""
        assert lab("edit", run.id, "momentum=1", check=2).stdout == ""
        assert lab("edit", run.id, "workers=3", "--json").document[0]["new"] == 3
        assert lab("delete", run.id, "--yes", check=6).stdout == ""
        with tuiae.track("endless"):
            pass
        lab("stop", "endless")  # of two runs the one that is live
    assert read(run).status.state == "stopped"
    assert [edit.key for edit in read(run).edits] == ["learning_rate", "workers"]
    lab("delete", run.id, "--yes")


def test_another_process_cannot_go_on_with_a_run_that_is_written() -> None:
    with tuiae.track("held") as run, pytest.raises(RunHeldError):
        tuiae.track(resume=run.path)


async def test_the_dashboard_pauses_edits_and_stops_the_loop(lab: Laboratory) -> None:
    with endless() as run:
        async with open_desk(RunPaths(run.path or Path())) as desk:
            await desk.shows("running", "learning_rate", "a program of its own")
            await desk.until(lambda: desk.offered == ["pause", "stop"])
            await desk.press("p")
            await desk.until(lambda: desk.state == "paused")
            await desk.press("e")
            await desk.type("edit-learning_rate", "0.25")
            await desk.shows("learning_rate becomes 0.25")
            await desk.press("enter")
            await desk.until(lambda: desk.app.session.snapshot.edits)
            for key in ("w", "R", "F"):
                await desk.press(key)
            await desk.press("p")
            await desk.until(lambda: read(run).latest("live", "loss") == 0.25)
            await desk.press("x")
            assert "save" not in desk.message  # which is up to its program
            await desk.until(lambda: desk.state == "stopped")
    assert not [note for note in read(run).notes if note.kind == "warning"]


async def test_the_list_of_runs_promises_no_more_than_the_loop_does(lab: Laboratory) -> None:
    with endless() as run:
        async with open_desk(RunPaths(run.path or Path())) as desk:
            await desk.until(lambda: desk.state == "running")
            await desk.press("1")
            await desk.shows("endless", "running")
            await desk.press("x")
            await desk.until(lambda: desk.message.endswith(" to stop"))


# What must not harm the loop


def alone(lab: Laboratory, code: str, **options: Any) -> subprocess.Popen[str]:
    """A program that tracks its loop, in a process of its own."""
    lab.root.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", LOOP + code],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": lab.environment, **options},
    )


def test_a_loop_that_is_killed_while_it_writes_is_lost_and_goes_on_with_its_curves(
    lab: Laboratory, workers: list[subprocess.Popen[Any]]
) -> None:
    process = alone(lab, "while True: run.log(step=step, epoch=step // 10, loss=step); step += 1")
    workers.append(process)
    assert process.stdout is not None
    run = lab.run(process.stdout.readline().strip())
    wait_until(lambda: read_status(run).epoch > 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read_status(run).state == "lost"
    with open(run.events, "ab") as file:
        file.write(b'{"v":1,"kind":"metric","split":"tr')
    with tuiae.track(resume=run.id) as again:
        again.log(step=15, epoch=1, loss=-1.0)
        again.log(step=15, epoch=1, split="test", loss=-2.0)
    snapshot = read(again)
    assert snapshot.series["live", "loss"].steps.max() == 15
    assert snapshot.series["live", "loss"].last == -1.0
    assert [resume.step for resume in snapshot.resumes] == [14]
    assert (snapshot.status.state, snapshot.status.step) == ("finished", 15)


@pytest.mark.parametrize(
    ("ending", "state", "words"),
    [
        ("", "finished", ""),
        ("run.finish(); run.log(loss=1)", "finished", ""),
        ("raise ValueError('no such\\nlayer')", "failed", "ValueError"),
        ("with run: raise KeyboardInterrupt", "stopped", ""),
        ("with run: sys.exit(3)", "failed", "SystemExit"),
        ("with run: sys.exit(0)", "finished", ""),
    ],
)
def test_the_end_of_a_program_is_the_end_of_its_run(lab: Laboratory, ending: str, state: str, words: str) -> None:
    process = alone(lab, f"run.log(epoch=0, loss=1)\n{ending}")
    printed, _ = process.communicate(timeout=60)
    status = read_status(lab.run(printed.split()[0]))
    assert status.state == state
    assert words in str((status.error or {}).get("cause", ""))
    assert not is_held(lab.run(printed.split()[0]))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_program_once_its_runs_say_so(lab: Laboratory, number: int) -> None:
    code = f"""
import os, signal, time
other = tuiae.track("other")
if not (child := os.fork()):
    assert signal.getsignal({number}) == signal.SIG_DFL
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
os.kill(os.getpid(), {number}); time.sleep(60)
"""
    process = alone(lab, code)
    process.communicate(timeout=60)
    assert process.returncode == -number
    for run in list_runs(lab.runs):
        assert read_status(run).state == "stopped"
        notes = RunReader(run.root).read_all().notes
        assert any(signal.Signals(number).name in note.text for note in notes)
    assert len(list_runs(lab.runs)) == 2


def test_a_signal_that_the_program_hears_is_its_own(lab: Laboratory) -> None:
    code = """
import os, signal
signal.signal(signal.SIGTERM, before := lambda *_: heard.append(1))
heard, other = [], tuiae.track("other")
os.kill(os.getpid(), signal.SIGTERM)
assert heard and signal.getsignal(signal.SIGTERM) is before
run.finish()
other.finish()
assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
"""
    process = alone(lab, code)
    assert process.wait(60) == 0, process.communicate()[1]


def test_a_full_disk_is_said_once_and_the_loop_goes_on(lab: Laboratory) -> None:
    code = """
import resource, numpy as np, time
run.log(epoch=0, loss=1)
while not (run.path / "events.jsonl").stat().st_size: time.sleep(0.01)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for epoch in range(40):
    run.log(epoch=epoch, loss=1); run.log(epoch=epoch, split="test", loss=1); run.images(np.zeros((2, 8, 8)))
    time.sleep(0.01)
print("done")
"""
    printed, said = alone(lab, code).communicate(timeout=60)
    assert printed.split()[-1] == "done"
    assert "RuntimeWarning: tuiae:" in said
    assert "Traceback" not in said
    assert said.count("tried again") <= 1


def test_a_run_that_cannot_be_made_lets_the_loop_run_untracked(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUIAE_RUNS_DIR", "/proc/none")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with tuiae.track("nowhere") as run:
            run.log(loss=1)
            run.images(np.zeros((1, 2, 2)))
            assert not run.should_stop()
            assert run.setting("rate", 0.1) == 0.1
    assert (run.id, run.path, len(said)) == ("", None, 1)


def test_a_run_that_is_deleted_lets_the_loop_go_on(lab: Laboratory) -> None:
    run = tuiae.track("gone")
    run.log(epoch=0, loss=1)
    os.rename(run.path or "", lab.root / "elsewhere")
    run.log(epoch=1, loss=1)
    with pytest.warns(RuntimeWarning, match="deleted"):
        run.finish()
    assert list_runs(lab.runs) == []


@pytest.mark.parametrize("name", RANKS)
def test_only_the_first_of_several_processes_records(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    with tuiae.track("many") as run:
        run.log(loss=1)
        assert not run.should_stop()
    assert run.id == ""
    assert list_runs(lab.runs) == []
    tuiae.track("many", rank=0).finish()
    assert len(list_runs(lab.runs)) == 1


def test_a_forked_process_writes_nothing_and_holds_nothing(lab: Laboratory) -> None:
    code = """
import os, time
run.log(epoch=0, loss=1)
read, write = os.pipe()
if not os.fork():
    run.log(epoch=0, loss=2); run.finish(); os.write(write, b"."); time.sleep(60); os._exit(0)
os.read(read, 1)
os.kill(os.getpid(), 9)
"""
    process = alone(lab, code, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    assert process.stdout is not None
    run = lab.run(process.stdout.readline().strip())
    try:
        process.wait(60)
        assert read_status(run).state == "lost"
        assert not is_held(run)
        assert 2.0 not in [
            *RunReader(run.root).read_all().series.get(("live", "loss"), SimpleNamespace(values=[])).values
        ]
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_threads_may_log_at_once() -> None:
    with tuiae.track("threads") as run:

        def loop() -> None:
            for _ in range(500):
                run.log(epoch=0, loss=2.0)

        threads = [threading.Thread(target=loop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert read(run).status.step == 2000
    assert points(run, "train")[0][2] == 2.0


# What is said of it


def tracked(lab: Laboratory) -> RunPaths:
    """A run as a loop leaves it, with fixed times."""
    settings = {"dataset": "shapes", "model.family": "unet", "model.width": 32, "lr": 0.1}
    run = create_tracked("shapes", lab.runs, ["train.py"], settings=settings, epochs=3, began=1_796_000_000.0)
    writer = RunWriter(run)
    writer.event("start", step=0, epoch=0, time=1_796_000_000.0, text="tracked: a program of its own trains")
    for epoch in (1, 2, 3):
        for split in ("train", "test"):
            values = {"dice": 1 - 0.5**epoch, "loss": 0.5**epoch}
            writer.event(
                "metric", split=split, step=10 * epoch, epoch=epoch, time=1_796_000_000.0 + epoch, values=values
            )
    known = {"test_loss": 0.125, "epoch": 3, "epochs": 3, "epochs_done": 3.0, "step": 30, "elapsed": 3.0}
    writer.status(settings={"lr": 0.1}, **known)
    writer.close("finished", heartbeat=1_796_000_003.0)
    lines = [line for line in run.events.read_text().splitlines() if '"end"' not in line]
    run.events.write_text("\n".join(lines) + "\n")
    return run


def test_what_commands_say_of_a_tracked_run(lab: Laboratory, golden: Golden) -> None:
    run = tracked(lab)
    golden.hide(run.id, "20261130-shapes-a3f9")
    golden.hide(run.id[16:], "shapes-a3f9")
    replace_json(run.label, {"v": 1, "name": "", "note": "", "pinned": False})
    refused = ("resume", "fork", "eval", "explore", "edit", "show --network", "show --histograms", "pause")
    golden.check(
        "tracked",
        lab.told("runs", "--columns", "dataset,lr,model.width,dice,epoch"),
        lab.told("show", run.id),
        lab.told("status", run.id, "--once"),
        *(lab.told(*words.split(), run.id, *["lr=1"][: words == "edit"], check=2) for words in refused),
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: run.tracked.write_bytes(b"\0garbage"),
        lambda run: run.tracked.write_text('{"settings": {"lr": {"a": 1}, "model": [{}, null], "": "\\u001b[2J"}}'),
        lambda run: run.status.write_text('{"state": "running", "settings": {"lr": "fast"}, "place": 7}'),
        lambda run: run.status.unlink(),
        lambda run: run.events.write_text(
            '{"kind":"command","own":true,"key":"x","step":1,"epoch":1,"old":-1,"new":1e99}\n'
        ),
    ],
)
def test_what_can_be_read_of_a_damaged_run_is_shown(lab: Laboratory, damage: Callable[[RunPaths], Any]) -> None:
    run = tracked(lab)
    damage(run)
    for command in (("runs",), ("runs", "--json"), ("show", run.id), ("status", run.id, "--once")):
        printed = lab(*command)
        assert "\x1b" not in printed.stdout
    lab("compare", run.id, tracked(lab).id)
    assert lab("resume", run.id, check=2).stdout == ""
    with tuiae.track(resume=run.root) as again:
        again.log(step=31, epoch=3, loss=1)
    assert read(again).status.state == "finished"


def test_importing_tuiae_imports_nothing_else() -> None:
    code = """
import sys, tuiae
assert not {"numpy", "pydantic", "torch", "textual"} & {*sys.modules}, "import"
tuiae.track
assert not {"torch", "textual", "typer", "rich"} & {*sys.modules}, "track"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
