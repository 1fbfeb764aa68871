"""Runs with files that are damaged or lost: what is said of them, what is refused, and what still works."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Laboratory
from tests.dashboard import HOSTILE
from tuiae.config import load_config
from tuiae.config.document import parse_toml
from tuiae.errors import ConfigError, UnknownRunError
from tuiae.files import read_json, replace_json
from tuiae.runs.checkpoints import MODEL, STATE, pointed
from tuiae.runs.lineage import need_config
from tuiae.runs.listing import RunLister, summarise
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import start_worker
from tuiae.runs.reader import RunReader, read_config, read_sample, read_status
from tuiae.runs.snapshot import read_histograms
from tuiae.runs.writer import RunWriter
from tuiae.training.checkpoint import save_checkpoint

# A config that is not the one with which the run began


def cut(config: Path) -> None:
    """What is left is a config, of another training."""
    text = config.read_text()
    config.write_text(text[: text.index("learning_rate")])
    assert load_config(config)


def empty(config: Path) -> None:
    config.write_text("")
    assert load_config(config)


def edit(config: Path) -> None:
    config.write_text(config.read_text().replace("latent = 8", "latent = 9"))


@pytest.fixture
def run(lab: Laboratory, finished: RunPaths) -> RunPaths:
    return lab.copy(finished)


@pytest.mark.parametrize("damage", [cut, empty, edit])
def test_a_config_that_is_not_what_the_run_began_with_is_refused(
    lab: Laboratory, run: RunPaths, damage: Callable[[Path], None]
) -> None:
    before, status = read_config(run), read_status(run)
    assert before is not None
    damage(run.config)
    assert read_config(run) is None
    for command in (["eval"], ["resume", "--epochs", "9"], ["fork"], ["explore"]):
        told = lab(command[0], run.id, *command[1:], check=2).stderr
        assert f"cp {run.config_copy} {run.config}" in told
    assert f"cp {run.config_copy} {run.config}" in lab("show", run.id).stdout
    assert RunReader(run.root).read_all().config is None
    assert (read_status(run), list_runs(lab.runs)) == (status, [run])
    shutil.copyfile(run.config_copy, run.config)
    assert need_config(run) == before


def test_comments_and_blanks_of_a_config_do_not_count(run: RunPaths) -> None:
    before = read_config(run)
    run.config.write_text(f"# mine\n\n{run.config.read_text()}\n\n")
    assert before is not None
    assert read_config(run) == before


def test_a_changed_config_is_the_preset_of_a_run_of_its_own(lab: Laboratory, run: RunPaths) -> None:
    edit(run.config)
    told = lab("run", str(run.config), "--epochs", "1")
    assert f"note: {run.config} " in told.stderr
    assert need_config(list_runs(lab.runs)[0]).model.latent == 9


def test_a_run_of_an_older_version_goes_by_the_config_that_is_there(run: RunPaths) -> None:
    run.meta.unlink()
    run.config_copy.unlink()
    edit(run.config)
    assert need_config(run).model.latent == 9
    run.config.write_text("[model")
    with pytest.raises(ConfigError):
        need_config(run)


# Files that were lost


@pytest.mark.parametrize("lost", ["status", "meta", "events", "config"])
def test_a_run_that_has_lost_a_file_is_still_a_run(lab: Laboratory, run: RunPaths, lost: str) -> None:
    path: Path = getattr(run, lost)
    path.unlink()
    assert [row.id for row in RunLister(lab.runs).rows()] == [run.id]
    assert run.id in lab("show", "last").stdout
    if lost == "config":
        assert f"cp {run.config_copy} {run.config}" in lab("resume", run.id, "--epochs", "5", check=2).stderr
    else:
        assert lab("resume", run.id, "--epochs", "5", "--json").document["epochs"] == 5
        assert read_json(run.status)["state"] == "finished"
    lab("delete", run.id, "--yes")
    assert list_runs(lab.runs) == []


# What stands where a file belongs


def test_what_stands_in_the_place_of_a_pointer_is_moved_aside(run: RunPaths) -> None:
    for name in ("last", "best"):
        (run.weights / name).unlink()
        (run.weights / name).mkdir()
        (run.weights / name / "mine").touch()
    (run.weights / "step-000099").touch()
    save_checkpoint(run, 99, 5.0, {MODEL: b"", STATE: b""}, ("last", "best"))
    assert [pointed(run, name) for name in ("last", "best")] == ["step-000099"] * 2
    assert len(list(run.weights.glob("*.aside-*/mine"))) == 2


@pytest.mark.parametrize("part", ["log", "events"])
def test_a_pipe_in_the_place_of_a_file_that_is_written_holds_nobody_up(run: RunPaths, part: str) -> None:
    path: Path = getattr(run, part)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises((UnknownRunError, OSError)):
        start_worker(run) if part == "log" else RunWriter(run)


DAMAGED_ENDS = {"deep": "[" * 10_000, "infinite": '{"kind":"x","seq":1e999}', "no number": '{"kind":"x","seq":NaN}'}


@pytest.mark.parametrize("last", DAMAGED_ENDS.values(), ids=DAMAGED_ENDS)
def test_a_history_with_a_damaged_end_is_counted_on(run: RunPaths, last: str) -> None:
    known = json.loads(run.events.read_text().splitlines()[-1])["seq"]
    run.events.write_text(run.events.read_text() + last)
    writer = RunWriter(run)
    writer.event("x", text="more")
    writer.close("finished")
    assert [json.loads(line)["seq"] for line in run.events.read_text().splitlines()[-2:]] == [known + 1, known + 2]


# Values

EXTREME = (1e308, -1.7e308, 1e-320, None, 10**400, -1, 2**63, 1.8e18, "x", [], float("nan"), float("inf"))


@pytest.mark.parametrize("what", ["values", "epoch", "step", "time", "status"])
def test_values_out_of_their_range_are_shown_without_them(lab: Laboratory, run: RunPaths, what: str) -> None:
    records = [json.loads(line) for line in run.events.read_text().splitlines()]
    for number, record in enumerate(records):
        if what == "values" and "values" in record:
            record["values"] = {key: EXTREME[number % len(EXTREME)] for key in record["values"]}
        elif what in record:
            record[what] = EXTREME[number % len(EXTREME)]
    run.events.write_text("".join(json.dumps(record) + "\n" for record in records))
    if what == "status":
        status = read_json(run.status)
        values = dict(zip((*status, *status), EXTREME * 3, strict=False))
        run.status.write_text(json.dumps({**values, "state": status["state"]}))
    for command in (["show", "--plot"], ["status", "--once", "--plot"], ["attach"]):
        said = lab(command[0], run.id, *command[1:], check=None)
        assert "Traceback" not in said.stderr
    assert run.id in lab("runs").stdout
    json.dumps(summarise(RunReader(run.root).read_all()), allow_nan=False)


def test_a_packed_sample_and_arrays_of_other_kinds_are_none(run: RunPaths) -> None:
    with np.load(run.sample(4)) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(run.sample(4), **{**arrays, "inputs": arrays["inputs"].astype(float), "labels": arrays["labels"] + 10**9})
    sample = read_sample(run, 4)
    assert sample is not None
    assert (sample.inputs, sample.labels) == (None, None)
    assert sample.reconstructions is not None
    np.savez_compressed(run.sample(4), **arrays, more=np.zeros(1 << 24, np.uint8))
    assert read_sample(run, 4) is None


@pytest.mark.parametrize(
    "damaged",
    [
        {"counts": np.zeros((1, 300), int)},
        {"counts": np.zeros((2, 4), int)},
        {"counts": -np.ones((1, 4), int)},
        {"counts": np.ones((1, 4))},
        {"ranges": np.array([[1.0, 1.0]])},
        {"ranges": np.array([[0.0, np.inf]])},
        {"ranges": np.array([[0, 1]])},
        {"names": np.array([1])},
        {"names": np.array(["loss encoder.1"])},
        {"names": np.array(5.0)},
    ],
    ids=lambda damaged: "-".join(damaged),
)
def test_histograms_that_cannot_be_are_none(damaged: dict[str, Any]) -> None:
    whole = {"names": np.array(["weights a"]), "ranges": np.array([[0.0, 1.0]]), "counts": np.ones((1, 4), int)}
    arrays = {f"histogram_{name}": array for name, array in (whole | damaged).items()}
    assert read_histograms(arrays) == ()
    (good,) = read_histograms({f"histogram_{name}": array for name, array in whole.items()})
    assert (good.what, good.layer, good.low, good.high, good.counts.sum()) == ("weights", "a", 0.0, 1.0, 4)


# Words


def test_json_holds_nothing_that_a_terminal_would_obey(lab: Laboratory, run: RunPaths) -> None:
    replace_json(run.label, {"name": HOSTILE, "note": f"é \x7f \u2066{HOSTILE}"})
    for command in ("show", "runs"):
        printed = lab(command, *([run.id] if command == "show" else []), "--json")
        assert not {char for char in printed.stdout if unicodedata.category(char)[0] == "C"} - {"\n"}
        assert "é" in printed.stdout
        record = printed.document if command == "show" else printed.document[0]
        assert "\x9b5A" in record["note"]


LONG = "x" * 5000
TYPED = {
    "a sweep": ("sweep", LONG),
    "a work": ("reproduce", LONG),
    "a preset": ("run", f"./{LONG}"),
    "a value": ("run", "--set", f"name={LONG}"),
    "a number": ("run", "--set", f"training.epochs={'9' * 4400}"),
    "a list": ("run", "--set", f"model.hidden={'[' * 2000}{']' * 2000}"),
    "a folder": ("run", "--set", f"data.dataset=folder:{LONG}"),
    "a run": ("show", f"./{LONG}"),
}


@pytest.mark.parametrize("command", TYPED.values(), ids=TYPED)
def test_what_nobody_could_have_meant_gets_a_short_sentence(
    lab: Laboratory, run: RunPaths, command: tuple[str, ...]
) -> None:
    told = lab(*command, check=None)
    assert told.rc in (2, 3)
    assert told.stderr.startswith("error: ")
    assert len(told.stderr) < 1000
    assert list_runs(lab.runs) == [run]


HUGE_TOML = {
    "a key": "a." * 20_000 + "b = 1",
    "a number": f"x = {'9' * 4400}",
    "a list": f"x = {'[' * 2000}",
    "a key in a table": "x = {" + "a." * 9999,
}


@pytest.mark.parametrize("text", HUGE_TOML.values(), ids=HUGE_TOML)
def test_toml_that_would_take_gigabytes_is_refused(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        parse_toml(text)


def test_dots_in_comments_and_texts_are_no_long_key() -> None:
    assert parse_toml(f"# {'.' * 80} = 1\nx = '''\n{'.' * 80}\n'''\ny.z = 1")["y"] == {"z": 1}
