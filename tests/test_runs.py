"""The run directory: what a writer leaves, and what a reader makes of it when it is torn, damaged or foreign."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuiae.config import RunConfig
from tuiae.errors import UnknownRunError
from tuiae.files import replace_file
from tuiae.runs.events import CHUNK, Points, thin
from tuiae.runs.listing import summarise
from tuiae.runs.paths import LIVE_STATES, RESUMABLE, RunPaths, list_runs, new_run_id, undated
from tuiae.runs.process import process_start
from tuiae.runs.query import find_run
from tuiae.runs.reader import RunReader, read_config, read_sample, read_status
from tuiae.runs.snapshot import Best, Position, Series
from tuiae.runs.writer import RunWriter, create_run, live_interval, read_commit

FOREIGN_HOST = "some-other-host"


@pytest.fixture
def run(runs_root: Path) -> RunPaths:
    return create_run(RunConfig(name="mine"), runs_root, ["tuiae", "run"])


def write_history(run: RunPaths, epochs: int = 3) -> None:
    """What a training of so many epochs of ten steps leaves behind."""
    writer = RunWriter(run)
    writer.event("start", step=0, epoch=0, text="training from the first step")
    for epoch in range(1, epochs + 1):
        writer.event("metric", split="test", step=10 * epoch, epoch=epoch, values={"loss": 1 / epoch})
        writer.sample(epoch, inputs=np.full((2, 1, 4, 4), epoch, np.uint8), labels=np.array([0, 1]))
    writer.status(epoch=epochs, epochs=epochs, step=10 * epochs)
    writer.close("finished")


def add(run: RunPaths, *lines: bytes) -> None:
    with open(run.events, "ab") as file:
        file.write(b"".join(lines))


def metric(step: Any, loss: Any, **fields: Any) -> bytes:
    record = {"kind": "metric", "split": "test", "step": step, "epoch": 1, "values": {"loss": loss}, **fields}
    return json.dumps(record).encode() + b"\n"


def losses(run: RunPaths) -> list[float]:
    series = RunReader(run.root).read_all().series.get(("test", "loss"))
    return [] if series is None else series.values.tolist()


def put_status(run: RunPaths, **fields: Any) -> None:
    run.status.write_text(json.dumps(fields))


# Writing and reading


def test_what_a_writer_leaves_a_reader_finds(run: RunPaths) -> None:
    write_history(run)
    snapshot = RunReader(run.root).read_all()
    assert (snapshot.id, snapshot.config, snapshot.meta["argv"]) == (run.id, RunConfig(name="mine"), ["tuiae", "run"])
    assert (snapshot.status.state, snapshot.status.epoch, snapshot.status.host) == ("finished", 3, socket.gethostname())
    series = snapshot.series["test", "loss"]
    assert (series.steps.tolist(), series.epochs.tolist()) == ([10, 20, 30], [1, 2, 3])
    assert series.values.tolist() == [1, 1 / 2, 1 / 3]
    assert snapshot.samples == (1, 2, 3)
    sample = read_sample(run, 2)
    assert sample is not None
    np.testing.assert_array_equal(sample.inputs, np.full((2, 1, 4, 4), 2, np.uint8))
    assert sample.noisy is None


def test_events_are_numbered_through_a_resumption_and_each_is_a_line(run: RunPaths) -> None:
    write_history(run, 2)
    write_history(run, 2)
    records = [json.loads(line) for line in run.events.read_bytes().splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert {record["v"] for record in records} == {1}


def test_a_value_that_is_no_number_is_null_on_disk_and_a_gap_for_readers(run: RunPaths) -> None:
    writer = RunWriter(run)
    writer.event("metric", split="test", step=1, epoch=1, values={"loss": math.nan, "accuracy": math.inf})
    writer.close("failed")

    def not_json(word: str) -> None:
        pytest.fail(f"{word} is not JSON")

    for line in run.events.read_text().splitlines():
        json.loads(line, parse_constant=not_json)
    summary = summarise(RunReader(run.root).read_all())
    assert summary["metrics"] == {"test/loss": None, "test/accuracy": None}


def test_the_parts_that_a_resumed_worker_repeats_replace_the_old_ones(run: RunPaths) -> None:
    add(run, b'{"kind":"start","step":0}\n', metric(10, 1.0), metric(20, 0.5), metric(30, 0.4))
    reader = RunReader(run.root)
    reader.poll()
    add(run, b'{"kind":"start","step":20}\n', metric(30, 0.3), metric(40, 0.2))
    for snapshot in (reader.poll(), RunReader(run.root).read_all()):
        series = snapshot.series["test", "loss"]
        assert series.steps.tolist() == [10, 20, 30, 40]
        assert series.values.tolist() == [1.0, 0.5, 0.3, 0.2]


def test_a_status_that_lags_behind_the_history_is_not_believed(run: RunPaths) -> None:
    put_status(run, state="finished", epoch=1, step=10)
    reader = RunReader(run.root)

    def place() -> tuple[int, int]:
        status = reader.poll().status
        return status.epoch, status.step

    assert place() == (1, 10)
    add(run, metric(30, 0.5, epoch=3))
    assert place() == (3, 30)
    # The last point of the fourth epoch comes before that is evaluated, and thereby over.
    add(run, metric(35, 0.4, epoch=3.5, split="live"), metric(40, 0.4, epoch=4.0, split="live"))
    assert place() == (3, 40)
    put_status(run, state="finished", epoch=2, step=20)
    add(run, b'{"kind":"start","step":20,"epoch":2}\n')
    assert place() == (2, 20)


def test_a_worker_that_went_on_is_known_and_the_first_one_is_not_one_of_them(run: RunPaths) -> None:
    add(run, b'{"kind":"start","step":20,"epoch":2}\n', metric(30, 1.0), b'{"kind":"start","step":20,"epoch":2}\n')
    reader = RunReader(run.root)
    assert reader.poll().resumes == ()  # a fork that began twice where its parent left it
    add(run, b'{"kind":"start","step":25,"epoch":2.5}\n', b'{"kind":"start","step":40,"epoch":4}\n')
    assert reader.poll().resumes == (Position(25, 2.5), Position(40, 4.0))
    add(run, b'{"kind":"start","step":30,"epoch":3}\n')
    assert reader.poll().resumes == RunReader(run.root).read_all().resumes == (Position(25, 2.5), Position(30, 3.0))


def test_two_checkpoints_within_an_epoch_are_two_and_a_resumed_worker_drops_those_beyond_its_own(run: RunPaths) -> None:
    writer, reader = RunWriter(run), RunReader(run.root)
    for step in (300, 720):
        writer.event("checkpoint", step=step, epoch=1)
    assert reader.poll().checkpoints == (300, 720)
    writer.event("start", step=300, epoch=0.4)
    assert reader.poll().checkpoints == (300,)
    writer.close("stopped")


def test_a_snapshot_handed_out_does_not_change_when_the_run_goes_on(run: RunPaths) -> None:
    add(run, metric(10, 1.0))
    reader = RunReader(run.root)
    first = reader.poll()
    add(run, metric(20, 0.5))
    second = reader.poll()
    assert [len(snapshot.series["test", "loss"].values) for snapshot in (first, second)] == [1, 2]
    assert reader.poll() is second


def test_two_readers_of_one_run_see_the_same(run: RunPaths) -> None:
    early = RunReader(run.root)
    early.poll()
    add(run, metric(10, 1.0)[:15])
    early.poll()
    add(run, metric(10, 1.0)[15:], metric(20, 0.5))
    assert summarise(early.read_all()) == summarise(RunReader(run.root).read_all())
    assert losses(run) == [1.0, 0.5]


@pytest.mark.parametrize("seed", range(8))
def test_a_history_is_the_same_read_at_once_or_in_pieces(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("tuiae.runs.reader.LIVE_POINTS", 40)
    monkeypatch.setattr("tuiae.runs.events.LIVE_POINTS", 40)
    monkeypatch.setattr("tuiae.runs.events.OUTLINE_POINTS", 24)
    chance, step = random.Random(seed), 0
    for number in range(400):
        step += chance.randrange(3)
        values = {name: chance.choice((0.5, chance.random(), None)) for name in chance.choice((("a", "b"), ("b",)))}
        fields = {"step": step, "epoch": step / 10, "time": 1e9 + number * chance.random()}
        kind, more = chance.choice(
            [("metric", {"split": split, "values": values}) for split in ("live", "live", "test", "train")] * 4
            + [("start", {}), ("command", {"text": "paused at"}), ("checkpoint", {}), ("warning", {"text": "hm"})]
        )
        if kind == "start":
            step = fields["step"] = max(0, step - 15)
        add(run, json.dumps({"kind": kind, **fields, **more}).encode() + b"\n")
    whole = RunReader(run.root).read_all()
    monkeypatch.setattr("tuiae.runs.events.CHUNK", 300)
    pieces = RunReader(run.root).read_all()
    assert summarise(pieces) == summarise(whole)
    assert (pieces.checkpoints, pieces.resumes, pieces.notes) == (whole.checkpoints, whole.resumes, whole.notes)
    for key, series in {**whole.series, ("clock", ""): whole.clock}.items():
        found = {**pieces.series, ("clock", ""): pieces.clock}[key]
        np.testing.assert_array_equal([series.steps, series.values], [found.steps, found.values])
        if series.outline is not None and found.outline is not None:
            np.testing.assert_array_equal(series.outline.values, found.outline.values)


# Torn, damaged, foreign


def test_a_torn_last_line_waits_for_its_end(run: RunPaths) -> None:
    line = metric(20, 0.5)
    add(run, metric(10, 1.0), line[:20])
    reader = RunReader(run.root)
    assert reader.read_all().series["test", "loss"].values.tolist() == [1.0]
    add(run, line[20:])
    assert reader.read_all().series["test", "loss"].values.tolist() == [1.0, 0.5]


def test_a_writer_does_not_glue_its_first_line_to_a_torn_one(run: RunPaths) -> None:
    add(run, metric(10, 1.0), metric(20, 0.5)[:20])
    writer = RunWriter(run)
    writer.event("metric", split="test", step=20, epoch=2, values={"loss": 0.25})
    writer.close("finished")
    assert losses(run) == [1.0, 0.25]


HUGE = 10**400  # more than a float holds
GARBAGE = {
    "words": b"what is this\n",
    "NUL block": b"\0" * 5000 + b"\n",
    "not UTF-8": b"\xff\xfe\x80\n",
    "a number": b"5\n",
    "a list": b"[1,2]\n",
    "no kind": b'{"step":5}\n',
    "kind is a list": b'{"kind":["metric"]}\n',
    "deeply nested": b"[" * 100_000 + b"\n",
    "too many digits": b'{"kind":"metric","step":' + b"9" * 5000 + b"}\n",
    "empty lines": b"\n\n\r\n",
    "huge step": metric(HUGE, 0.7),
    "huge start": json.dumps({"kind": "start", "step": -HUGE}).encode() + b"\n",
    "huge epoch": metric(15, 0.7, epoch=HUGE),
    "endless epoch": metric(15, 0.7, epoch=math.inf),
    "step is a string": metric("15", 0.7),
    "step is a bool": metric(True, 0.7),
    "values is a list": metric(15, 0.7, values=[1]),
    "values is missing": b'{"kind":"metric","split":"test","step":15,"epoch":1}\n',
    "nothing but a kind": b'{"kind":"metric"}\n{"kind":"sample"}\n{"kind":"checkpoint"}\n{"kind":"start"}\n',
    "sample of a huge epoch": json.dumps({"kind": "sample", "epoch": HUGE}).encode() + b"\n",
    "a note at a huge time": json.dumps({"kind": "warning", "text": "hm", "time": HUGE}).encode() + b"\n",
    "a kind of a later version": b'{"v":9,"kind":"hologram","step":1,"epoch":1,"values":{"loss":3}}\n',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_between_events_costs_nothing_but_itself(run: RunPaths, garbage: bytes) -> None:
    add(run, metric(10, 1.0), garbage, metric(20, 0.5))
    snapshot = RunReader(run.root).read_all()
    assert snapshot.series["test", "loss"].values.tolist() == [1.0, 0.5]
    json.dumps(summarise(snapshot), allow_nan=False)


@pytest.mark.parametrize("value", [None, math.nan, "0.5", True, [1], HUGE, -math.inf])
def test_a_value_that_is_none_is_a_gap_at_its_step(run: RunPaths, value: Any) -> None:
    add(run, metric(10, 1.0), metric(20, value), metric(30, 0.5))
    found = losses(run)
    assert (found[0], math.isnan(found[1]), found[2]) == (1.0, True, 0.5)


def test_negative_and_large_numbers_are_kept_as_they_are(run: RunPaths) -> None:
    add(run, metric(10, -1e300), metric(2**40, 1e-300))
    series = RunReader(run.root).read_all().series["test", "loss"]
    assert (series.steps.tolist(), series.values.tolist()) == ([10, 2**40], [-1e300, 1e-300])


def test_a_block_of_nul_longer_than_one_poll_does_not_hide_what_follows(run: RunPaths) -> None:
    add(run, metric(10, 1.0), b"\0" * (2 * CHUNK + 5), b"\n", metric(20, 0.5))
    assert losses(run) == [1.0, 0.5]


def test_a_history_that_was_replaced_or_cut_is_read_anew(run: RunPaths) -> None:
    run.log.write_text("a word of the worker\n")
    add(run, metric(10, 1.0), metric(20, 0.5))
    reader = RunReader(run.root)
    reader.read_all()
    replace_file(run.events, lambda file: file.write(metric(10, 3.0) + metric(20, 2.0) + metric(30, 1.0)))
    assert reader.read_all().series["test", "loss"].values.tolist() == [3.0, 2.0, 1.0]
    os.truncate(run.events, len(metric(10, 3.0)))
    assert reader.read_all().series["test", "loss"].values.tolist() == [3.0]
    os.truncate(run.events, 0)
    snapshot = reader.read_all()
    assert snapshot.series == {}
    assert snapshot.log == ("a word of the worker",)
    run.events.unlink()
    assert reader.read_all().series == {}


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "NUL": lambda data: b"\0" * len(data),
    "binary": lambda data: b"\xff\xfe\x80" + data,
    "a list": lambda data: b"[1, 2]",
    "a number": lambda data: b"5",
    "nested": lambda data: b"a = " + b"[" * 100_000,
    "only braces": lambda data: b'{"a":' * 100_000,
}


@pytest.mark.parametrize("harm", [*DAMAGE.values(), None], ids=[*DAMAGE.keys(), "missing"])
@pytest.mark.parametrize("name", ["status.json", "meta.json", "config.toml", "events.jsonl", "worker.log"])
def test_no_damage_to_a_file_stops_a_reader(run: RunPaths, name: str, harm: Callable[[bytes], bytes] | None) -> None:
    write_history(run)
    path = run.root / name
    if harm is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(harm(path.read_bytes() if path.exists() else b"log"))
    snapshot = RunReader(run.root).read_all()
    json.dumps(summarise(snapshot), allow_nan=False)
    # What the other files say is still told.
    assert name == "status.json" or snapshot.status.state == "finished"
    assert name == "events.jsonl" or snapshot.samples == (1, 2, 3)
    assert name == "config.toml" or snapshot.config is not None
    assert name == "meta.json" or snapshot.meta["argv"] == ["tuiae", "run"]


@pytest.mark.parametrize("value", [None, "x", -5, HUGE, math.nan, math.inf, True, [1], {"a": [math.nan]}, 1.5, ""])
def test_no_value_in_a_status_stops_a_reader_or_leaves_its_kind(run: RunPaths, value: Any) -> None:
    write_history(run)
    known = json.loads(run.status.read_text())
    for key in [*known, "eta", "images_per_second", "memory", "elapsed", "error", "later"]:
        put_status(run, **{**known, key: value})
        status = read_status(run)
        assert isinstance(status.epoch, int), key
        assert isinstance(status.state, str), key
        assert all(n is None or math.isfinite(n) for n in (status.eta, status.memory, status.heartbeat)), key
        json.dumps(summarise(RunReader(run.root).read_all()), allow_nan=False)


def test_a_later_schema_is_read_for_what_is_known_of_it(run: RunPaths) -> None:
    write_history(run)
    for path in (run.status, run.meta):
        path.write_text(json.dumps({**json.loads(path.read_text()), "v": 99, "more": {"x": 1}}))
    run.config.write_text(run.config.read_text() + "\n[hologram]\ndepth = 3\n")
    add(run, metric(40, 0.1, v=99))
    snapshot = RunReader(run.root).read_all()
    assert snapshot.status.state == "finished"
    assert snapshot.config is None
    assert len(snapshot.series["test", "loss"].values) == 4


def test_a_sample_that_is_not_whole_is_no_sample(run: RunPaths) -> None:
    write_history(run, 1)
    whole = run.sample(1).read_bytes()
    dice = random.Random(0)
    broken = [whole[:cut] for cut in range(0, len(whole) - 1, 37)] + [b"", b"\0" * 500]
    for _ in range(300):
        harmed = bytearray(whole)
        for _ in range(dice.randint(1, 6)):
            harmed[dice.randrange(len(harmed))] = dice.randrange(256)
        broken.append(bytes(harmed))
    for data in broken:
        run.sample(2).write_bytes(data)
        found = read_sample(run, 2)
        assert found is None or data[:2] == b"PK"
    assert all(read_sample(run, epoch) is None for epoch in (3, -1, HUGE))


def test_an_array_file_of_another_kind_is_no_sample(run: RunPaths) -> None:
    with open(run.sample(1), "wb") as file:
        np.save(file, np.zeros(3))
    assert read_sample(run, 1) is None
    np.savez(run.sample(2), inputs=np.array([{"a": 1}], dtype=object))
    assert read_sample(run, 2) is None
    np.savez(run.sample(3), classes=np.array(5), epoch=np.array(7), inputs=np.zeros((1, 1, 2, 2), np.uint8))
    sample = read_sample(run, 3)
    assert sample is None or (sample.epoch, sample.classes) == (3, ())
    run.sample(4).mkdir()
    assert read_sample(run, 4) is None


def test_what_is_no_run_is_passed_over_among_the_runs(run: RunPaths, runs_root: Path) -> None:
    (runs_root / "README.md").write_text("about the runs")
    (runs_root / "zzz-photos").mkdir()
    (runs_root / "zzz-file").write_text("")
    (runs_root / "zzz-loop").symlink_to("zzz-loop")
    (runs_root / "zzz-gone").symlink_to("nowhere")
    shutil.copytree(run.root, runs_root / f".{run.id}.tmp")
    assert list_runs(runs_root) == [run]
    assert find_run("last", runs_root) == run
    assert list_runs(runs_root / "README.md") == list_runs(runs_root / "nowhere") == []


def test_of_several_runs_of_a_name_the_one_is_meant_that_a_command_can_act_on(runs_root: Path) -> None:
    made = {}
    for state in ("finished", "stopped", "running"):
        made[state] = create_run(RunConfig(name="same"), runs_root, [])
        RunWriter(made[state]).status(now=True, state=state)
    assert find_run("same", runs_root, LIVE_STATES) == made["running"]
    assert find_run("same", runs_root, RESUMABLE) == made["stopped"]
    with pytest.raises(UnknownRunError, match="3 runs"):
        find_run("same", runs_root)
    with pytest.raises(UnknownRunError, match="3 runs"):
        find_run("same", runs_root, ("finished", "stopped"))


def test_the_last_run_is_the_newest_that_can_be_read(run: RunPaths, runs_root: Path) -> None:
    damaged = RunPaths(runs_root / "99991231-235959-fake-0000")
    shutil.copytree(run.root, damaged.root)
    damaged.config.write_bytes(bytes(range(256)))
    assert find_run("last", runs_root) == damaged  # its status says where it stands
    damaged.status.write_text("{")
    assert find_run("last", runs_root) == run
    shutil.rmtree(run.root)
    assert find_run("last", runs_root) == damaged


def test_a_misspelt_run_is_guessed(run: RunPaths, runs_root: Path) -> None:
    name = undated(run.id)
    with pytest.raises(UnknownRunError) as caught:
        find_run(f"{name[:3]}{name[4:]}", runs_root)
    assert name in caught.value.cause


def test_a_file_that_could_not_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")

    def fail(file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError) as full:  # noqa: PT011
        replace_file(path, fail)
    assert full.value.errno == 28
    assert path.read_text() == "old"
    assert list(tmp_path.glob("*status*")) == [path]


# Creating


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_runs_directory_that_cannot_be_written_is_said_and_left_as_it_was(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UnknownRunError) as caught:
        create_run(RunConfig(), tmp_path / place, [])
    assert "TUIAE_RUNS_DIR" in caught.value.hint
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_while_a_run_is_made_leaves_no_half_of_one(runs_root: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from tuiae.config import RunConfig
from tuiae.runs.writer import create_run
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
create_run(RunConfig(), Path(sys.argv[1]), [])
"""
    done = subprocess.run([sys.executable, "-c", code, str(runs_root)], capture_output=True, text=True, check=False)
    assert "UnknownRunError: cannot write runs to" in done.stderr
    assert "File too large" in done.stderr
    assert list(runs_root.iterdir()) == []


def test_ids_sort_by_time_carry_the_name_and_differ_within_a_second() -> None:
    now = 1_800_000_000.0  # in no hour that clocks put back
    ids = {new_run_id("mine", now) for _ in range(50)}
    assert len(ids) > 45  # four hexadecimal digits
    assert new_run_id("mine", now + 1) > max(ids)
    assert all("-mine-" in name for name in ids)


def test_the_config_of_a_run_repeats_it(run: RunPaths) -> None:
    assert read_config(run) == RunConfig(name="mine")


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_the_commit_is_that_of_git(tmp_path: Path) -> None:
    checkout, aside = tmp_path / "checkout", tmp_path / "aside"

    def git(*words: str) -> str:
        own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PATH": os.environ["PATH"]}
        who = ("-c", "user.name=me", "-c", "user.email=me@here")
        asked = ["git", *who, "-C", str(checkout), *words]
        return subprocess.run(asked, check=True, capture_output=True, text=True, env=own).stdout.strip()

    checkout.mkdir()
    assert read_commit(checkout) == ""
    git("init", "-q")
    assert read_commit(checkout) == ""
    git("commit", "-q", "--allow-empty", "-m", "first")
    first = git("rev-parse", "HEAD")
    assert read_commit(checkout) == first
    git("pack-refs", "--all")
    assert read_commit(checkout) == first
    git("worktree", "add", "-q", "-b", "other", str(aside))
    git("commit", "-q", "--allow-empty", "-m", "second")
    assert (read_commit(aside), read_commit(checkout)) == (first, git("rev-parse", "HEAD"))
    git("pack-refs", "--all")
    assert read_commit(aside) == first
    git("checkout", "-q", "--detach")
    assert read_commit(checkout) == git("rev-parse", "HEAD") != first


def test_this_process_and_no_other_is_known_by_its_start() -> None:
    own = process_start(os.getpid())
    assert own
    assert own == process_start(os.getpid())
    assert process_start(2**22 + 1) == process_start(-1) == ""


def test_a_snapshot_keeps_its_curve_while_the_run_grows_and_starts_again(runs_root: Path) -> None:
    run = create_run(RunConfig(), runs_root, [])
    writer, reader = RunWriter(run), RunReader(run.root)

    def points(steps: range, value: float) -> None:
        for step in steps:
            writer.event("metric", step=step, epoch=step / 10, split="live", values={"loss": value})

    points(range(1, 101), 1.0)
    first = reader.poll().series[("live", "loss")]
    points(range(101, 201), 2.0)
    second = reader.poll().series[("live", "loss")]
    writer.event("start", step=50, epoch=5)
    points(range(51, 301), 3.0)
    third = reader.poll().series[("live", "loss")]
    writer.close("stopped")
    assert (len(first.values), set(first.values)) == (100, {1.0})
    assert (len(second.values), second.values[0], second.last) == (200, 1.0, 2.0)
    assert third.steps.tolist() == list(range(1, 301))
    assert (third.values[49], third.values[50], third.epochs[-1]) == (1.0, 3.0, 30.0)


# The points of a long training: what is let go of, and what never is


def test_the_live_points_of_a_long_training_do_not_fill_the_disk() -> None:
    seconds, points = 0.0, 0
    while seconds < 24 * 3600:
        seconds, points = seconds + live_interval(seconds), points + 1
    assert points < 30_000
    assert live_interval(0) == 0.2
    assert live_interval(365 * 24 * 3600) == 10


def test_a_long_curve_stays_small_and_loses_neither_its_extremes_nor_its_ends() -> None:
    points = Points(most=1000)
    values = np.sin(np.arange(20_000) / 7) + np.arange(20_000) / 20_000
    values[1234], values[4321] = -50, 50
    for step, value in enumerate(values):
        points.append(step, step / 10, value)
    series = points.series()
    assert len(series.values) <= 1000
    assert (series.values.min(), series.values.max()) == (-50, 50)
    assert (series.steps[0], series.steps[-1]) == (0, 19_999)
    assert (np.diff(series.steps) > 0).all()
    assert series.steps[-500:].tolist() == list(range(19_500, 20_000))


def test_a_curve_without_a_limit_keeps_every_point() -> None:
    points = Points()
    for step in range(5000):
        points.append(step, step, step)
    assert len(points.series().values) == 5000


def test_thinning_keeps_a_gap_only_where_there_is_nothing_else() -> None:
    values = [1, math.nan, 3, 2, *[math.nan] * 4, 5, 6]
    table = np.array([(step, step, value) for step, value in enumerate(values)])
    assert thin(table)[:, 0].tolist() == [0, 2, 4, 8, 9]


@pytest.mark.parametrize(
    ("values", "metric", "best"),
    [
        ([math.nan, 0.4, 0.2, 0.2], "loss", Best(0.2, 2)),
        ([0.3, math.nan, -math.inf, 0.5], "loss", Best(0.3, 0)),
        ([math.inf, 0.5, math.nan, 0.9], "accuracy", Best(0.9, 3)),
        ([math.nan, math.inf], "loss", None),
        ([], "loss", None),
    ],
)
def test_what_is_not_finite_is_never_the_best(values: list[float], metric: str, best: Best | None) -> None:
    places = np.arange(len(values))
    assert Series(places, places.astype(float), np.array(values)).best(metric) == best
