"""The command line as a user's shell and scripts see it: documents, exit codes, sentences."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import CHECKOUT, LONG, Laboratory, wait_until
from tests.dashboard import script
from tests.terminal import Terminal
from tuiae.cli.output import Output
from tuiae.cli.train import overrides_of
from tuiae.config import build_config, load_config
from tuiae.config.document import read_document
from tuiae.config.presets import find_preset
from tuiae.errors import ConfigError, ExitCode
from tuiae.files import read_json, replace_json
from tuiae.runs import control
from tuiae.runs.checkpoints import find_checkpoint
from tuiae.runs.listing import RunLister
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.reader import read_status
from tuiae.training.checkpoint import load_weights

SUMMARY = {"run", "dir", "state", "device", "epochs", "metrics", "history", "epoch_seconds"}  # promised to scripts
ESCAPE = "\x1b"


# Documents


def test_run_ends_with_one_document_and_show_prints_the_same(shared_lab: Laboratory, finished: RunPaths) -> None:
    document = shared_lab("show", finished.id, "--json").document
    assert document.keys() >= SUMMARY
    assert (document["run"], document["dir"], document["state"]) == (finished.id, str(finished.root), "finished")
    assert document["device"].startswith("cpu")
    assert document["epochs"] == 4
    for key in ("train/loss", "test/loss", "test/accuracy"):
        assert len(document["history"][key]) == 4
        assert document["metrics"][key] == document["history"][key][-1]
    assert len(document["epoch_seconds"]) == 4
    assert all(seconds > 0 for seconds in document["epoch_seconds"])


def test_every_point_of_a_run_is_a_line_of_csv(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    shutil.rmtree(run.samples)
    run.config.write_text("[data")
    run.meta.unlink()
    with open(run.events, "ab") as file:
        nothing = {"v": 1, "kind": "metric", "split": "test", "step": 75, "epoch": 5, "values": {"loss": None}}
        file.write(json.dumps(nothing).encode() + b'\n{"v":1,"kind":"met')
    printed = lab("show", run.id, "--csv")
    assert printed.stdout.splitlines()[0] == "run,split,epoch,step,time,metric,value"
    rows = list(csv.DictReader(io.StringIO(printed.stdout)))
    history = lab("show", str(finished.root), "--json").document["history"]["test/loss"]
    losses = [row for row in rows if (row["split"], row["metric"]) == ("test", "loss")]
    assert [row["value"] for row in losses] == [*map(repr, history), ""]
    assert [(row["epoch"], row["step"]) for row in losses[-2:]] == [("4", "60"), ("5", "75")]
    assert {row["run"] for row in rows} == {run.id}
    assert {row["split"] for row in rows} == {"train", "train-eval", "test", "code", "speed", "live"}
    assert lab("show", run.id, "--csv", "--json", check=2).document["exit_code"] == 2


def test_run_with_json_keeps_stdout_for_the_document(lab: Laboratory) -> None:
    result = lab("run", lab.preset(), "--epochs", "2", "--json")
    assert result.document.keys() >= SUMMARY
    assert result.document == lab("show", "last", "--json").document
    assert ESCAPE not in result.stdout + result.stderr


def test_run_without_json_prints_plain_lines(lab: Laboratory) -> None:
    preset = lab.preset()
    result = lab("run", preset, "--epochs", "2", "--name", "mine")
    (row,) = RunLister(lab.runs).rows()
    assert (row.preset, row.settings["name"]) == (load_config(Path(preset)).name, "mine")
    assert len(re.findall(r"^epoch [12]/2 .*", result.stderr, re.MULTILINE)) == 2
    assert ESCAPE not in result.stdout + result.stderr
    assert "\r" not in result.stdout + result.stderr


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that answers nobody."""
    for name in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.usefixtures("no_network")
def test_the_first_command_of_the_readme_needs_no_arguments_and_no_network(lab: Laboratory) -> None:
    document = lab.process("run", "--epochs", "3", "--json").document
    assert (document["state"], document["epochs"]) == ("finished", 3)
    assert "-quickstart-" in document["run"]


def test_runs_lists_the_newest_first(shared_lab: Laboratory, finished: RunPaths, classified: RunPaths) -> None:
    rows = {row["run"]: row for row in shared_lab("runs", "--json").document}
    assert list(rows) == sorted(rows, reverse=True)
    row = rows[finished.id]
    assert (row["state"], row["dataset"], row["epoch"], row["epochs"]) == ("finished", "digits", 4, 4)
    shown = shared_lab("runs").stdout
    assert finished.id in shown
    assert classified.id in shown
    assert ESCAPE not in shown


def test_without_runs_the_list_is_an_empty_document(lab: Laboratory) -> None:
    assert lab("runs", "--json").document == []
    assert "tuiae run" in lab("runs").stdout


@pytest.mark.thorough
def test_eval_measures_what_training_measured(shared_lab: Laboratory, classified: RunPaths, finished: RunPaths) -> None:
    for run in (finished, classified):
        trained = shared_lab("show", run.id, "--json").document["metrics"]
        document = shared_lab("eval", run.id, "--json", "--device", "cpu").document
        assert document["metrics"].keys() >= {f"{s}/{m}" for s in ("train", "test") for m in ("loss", "accuracy")}
        assert document["metrics"]["test/loss"] == pytest.approx(trained["test/loss"], rel=1e-5)
    assert sum(map(sum, document["confusion"])) == 297
    assert document["classes"] == [str(digit) for digit in range(10)]


@pytest.mark.thorough
def test_eval_takes_other_weights_and_another_noise(shared_lab: Laboratory, finished: RunPaths) -> None:
    def loss(*arguments: str) -> float:
        return shared_lab("eval", finished.id, "--json", *arguments).document["metrics"]["test/loss"]

    history = shared_lab("show", finished.id, "--json").document["history"]["test/loss"]
    assert loss("--weights", "45") == pytest.approx(history[2], rel=1e-5)
    assert loss("--noise", "gaussian:0.8") > loss() > loss("--noise", "none")
    assert "45" in shared_lab("eval", finished.id, "--weights", "15", "--json", check=2).document["hint"]


def test_presets_lists_what_is_there_with_what_it_teaches(lab: Laboratory) -> None:
    rows = lab("presets", "--json").document
    plain, best = ((CHECKOUT / "presets" / folder).glob("*.toml") for folder in ("", "best"))
    assert {row["name"] for row in rows} == {*(path.stem for path in plain), *(f"best/{path.stem}" for path in best)}
    assert all(Path(row["path"]).is_file() and row["teaches"] for row in rows)


def test_show_prints_the_layers_of_a_network(shared_lab: Laboratory, finished: RunPaths, classified: RunPaths) -> None:
    document = shared_lab("show", finished.id, "--network", "--json").document
    assert document["input"] == [1, 8, 8]
    sizes = {layer["name"]: layer["parameters"] for layer in document["layers"] if layer["parameters"]}
    weights = load_weights(find_checkpoint(finished))  # type: ignore[arg-type]
    assert {f"{name}.{kind}" for name in sizes for kind in ("weight", "bias")} == {*weights}
    assert sum(sizes.values()) == sum(tensor.numel() for tensor in weights.values())
    assert "the encoder is frozen" in shared_lab("show", classified.id, "--network").stdout
    assert shared_lab("presets", "--network", "conv_256", "--json").document["input"] == [1, 28, 28]
    assert shared_lab("presets", "--network", "conv_256", "--plain").stdout.isascii()


def test_show_prints_histograms_where_a_run_keeps_them(
    shared_lab: Laboratory, finished: RunPaths, spread: RunPaths
) -> None:
    epochs = shared_lab("show", spread.id, "--histograms", "--json").document["epochs"]
    assert [one["epoch"] for one in epochs] == [0, 1, 2, 3, 4]
    kinds = {(one["what"], one["layer"]) for one in epochs[4]["histograms"]}
    assert {("weights", "encoder.1"), ("gradients", "decoder.2"), ("code", "")} <= kinds
    shown = shared_lab("show", spread.id, "--histograms").stdout
    assert "gradients of encoder.3 by epoch" in shown
    assert shown.isascii()
    assert "samples.histograms=true" in shared_lab("show", finished.id, "--histograms", check=2).stderr
    assert "give one of them" in shared_lab("show", finished.id, "--histograms", "--network", check=2).stderr


def test_data_list_says_what_is_ready_with_no_network(lab: Laboratory) -> None:
    ready = {row["name"]: row["ready"] for row in lab("data", "list", "--json").document}
    assert ready["digits"]
    assert ready["glyphs"]
    assert not ready["mnist"]
    listed = {line.split()[0]: line for line in lab("data", "list").stdout.splitlines() if line}
    assert "8x8 " in listed["digits"]
    assert ["in colour" in listed[name] for name in ("digits", "cifar10")] == [False, True]


def test_attach_and_stop_of_a_finished_run_only_say_so(shared_lab: Laboratory, finished: RunPaths) -> None:
    before = finished.status.read_bytes()
    for command in ("attach", "stop"):
        document = shared_lab(command, finished.id, "--json").document
        assert document.keys() >= SUMMARY
        assert document["state"] == "finished"
    assert finished.status.read_bytes() == before
    assert os.listdir(finished.control) == []


def test_a_follower_hears_where_a_run_trains_and_of_a_warning_while_it_trains(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.begin()
    follower = lab.start("attach", played.run.id)
    assert follower.stderr is not None
    assert follower.stderr.readline() == "training on cpu\n"
    played.writer.event("warning", text="the driver is too old")
    assert follower.stderr.readline() == "note: the driver is too old\n"
    played.epoch(1)
    played.writer.close("finished")
    assert "note" not in follower.communicate()[1]
    assert follower.returncode == ExitCode.OK


def test_detach_returns_while_the_run_goes_on_behind_all_else(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUIAE_NICE", "7")
    document = lab("run", lab.preset(), "--epochs", "900000", "--detach", "--json").document
    run = lab.run(document["run"])
    assert document["dir"] == str(run.root)
    assert read_status(run).live
    # Ctrl-C at an `attach` ends the watching alone.
    watcher = lab.start("attach", run.id, "--json")
    assert watcher.stderr is not None
    assert watcher.stderr.readline()
    pid = read_status(run).pid
    wait_until(lambda: psutil.Process(pid).nice() == max(7, os.nice(0)))
    assert os.getsid(pid) == pid
    session = Path(f"/proc/{pid}/autogroup")
    if session.exists() and session.read_text().strip():  # a kernel that shares out the cores among sessions
        wait_until(lambda: session.read_text().endswith(" nice 7\n"))
    watcher.send_signal(2)
    assert "left running" in watcher.communicate()[1]
    assert watcher.returncode == 0
    step = read_status(run).step
    wait_until(lambda: read_status(run).step > step)
    assert lab("stop", run.id, "--json").document["state"] == "stopped"


def test_options_before_a_command_hold_for_its_output(lab: Laboratory) -> None:
    script(lab.runs).play(2)
    command = [sys.executable, "-m", "tuiae", "--ascii", "--colors", "none", "runs"]
    with Terminal(command, 120, 40, lab.environment) as terminal:
        assert terminal.exit_code() == 0
        assert terminal.raw.isascii()
        assert b"\x1b[3" not in terminal.raw
        terminal.wait_for("running")
    assert "●" in lab("runs").stdout


# Exit codes and sentences


def test_with_json_a_mistake_is_the_document(lab: Laboratory) -> None:
    result = lab("run", "quikstart", "--json", check=2)
    assert result.document["exit_code"] == 2
    error, hint = result.document["error"], result.document["hint"]
    assert result.stderr == f"error: {error}\n  try: {hint}\n"


def test_what_is_no_number_is_null_in_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    Output(json=True).document({"never": math.inf, "lost": {"values": [math.nan, 1.5]}, "pair": (1, -math.inf)})
    written = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert written == {"never": None, "lost": {"values": [None, 1.5]}, "pair": [1, None]}


def test_debug_shows_where_an_error_came_from(lab: Laboratory) -> None:
    assert "Traceback" in lab("run", "quikstart", "--debug", check=None).stderr


def test_a_command_that_is_none_is_a_usage_error(lab: Laboratory) -> None:
    for arguments in (["trian"], ["run", "--epoch"], ["run", "--epochs", "many"], ["show"] * 3):
        assert "Traceback" not in lab(*arguments, check=2).stderr


@pytest.mark.usefixtures("no_network")
def test_a_set_that_is_not_here_is_exit_3_with_the_three_ways_on(lab: Laboratory) -> None:
    lab("run", lab.preset(), "--dataset", "mnist", check=3)
    assert list_runs(lab.runs) == []


def test_what_stands_where_commands_belong_keeps_none_from_arriving(lab: Laboratory) -> None:
    run = lab.detach(*LONG)
    wait_until(lambda: read_status(run).pid)
    run.control.rename(run.root / "elsewhere")
    run.control.write_text("in the way")
    assert lab("stop", run.id, "--json").document["state"] == "stopped"


def test_attach_to_a_failed_run_says_why_and_leaves_it_there(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    shutil.rmtree(run.weights)
    error = {"cause": "no such thing", "hint": "get one", "exit_code": 3}
    run.status.write_text(json.dumps({**json.loads(run.status.read_text()), "state": "failed", "error": error}))
    result = lab("attach", run.id, check=3)
    assert result.stderr.endswith("error: no such thing\n  try: get one\n")
    assert list_runs(lab.runs) == [run]


def test_a_run_that_failed_or_died_instead_of_stopping_is_no_success(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.begin()
    stopping = lab.start("stop", played.run.id)
    wait_until(lambda: control.take(played.run))
    error = {"cause": "no space left", "hint": "free some", "exit_code": 4}
    played.writer.close("failed", error)
    assert stopping.communicate()[1] == f"error: {error['cause']}\n  try: {error['hint']}\n"
    assert stopping.returncode == 4
    replace_json(played.run.status, {**read_json(played.run.status), "state": "running", "process_start": "1"})
    lab("stop", played.run.id, check=4)


def test_the_name_of_a_folder_does_nothing_to_the_terminal(lab: Laboratory, finished: RunPaths) -> None:
    name = "[bold]x[] \x1b[2J\x9b5A\u202efdp"
    lab.copy(finished).root.rename(lab.runs / name)
    for command in (["show"], ["attach"], ["label"], ["stop"], ["resume"], ["fork"], ["edit", "training.epochs=9"]):
        result = lab(command[0], name, *command[1:], check=None)
        assert "[bold]x[] fdp" in result.stdout + result.stderr
        assert not {"\x1b", "\x9b", "\u202e"} & set(result.stdout + result.stderr)
    assert "'abc'" in lab("show", "a\x1b[31mbc", check=2).stderr


def test_a_run_whose_status_cannot_be_read_has_not_died(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    run.status.write_text('{"state": "fini')
    for command in ("stop", "attach"):
        assert lab(command, run.id, "--json", check=2).document["exit_code"] == ExitCode.USAGE  # and not TRAINING


@pytest.mark.parametrize("record", ["null", "5", '{"exit_code": "x"}', '{"exit_code": [3], "cause": 5}'])
def test_a_failure_whose_record_is_damaged_is_still_a_failure(lab: Laboratory, finished: RunPaths, record: str) -> None:
    run = lab.copy(finished)
    run.status.write_text(f'{{"state": "failed", "error": {record}}}')
    for command in ("show", "runs"):
        lab(command, "--json")
    assert "Traceback" not in lab("attach", run.id, check=4).stderr


def test_a_message_names_the_flag_that_asked_and_set_where_it_has_the_last_word() -> None:
    flags = {"training.epochs": 0, "model.latent": 0, "training.seed": -1, "data.dataset": None}
    overrides = overrides_of(flags, None, ["training.epochs=-3"])
    with pytest.raises(ConfigError) as caught:
        build_config(read_document(find_preset("quickstart")), overrides.values, asker=overrides.askers)
    wanted = ["--set: training.epochs = -3", "--latent: model.latent = 0", "--seed: training.seed = -1"]
    assert sorted(line.rpartition(":")[0] for line in str(caught.value).splitlines()) == sorted(wanted)


def test_flags_reach_the_config_and_set_wins(lab: Laboratory) -> None:
    flags = ["--epochs", "1", "--latent", "3", "--seed", "7", "--noise", "mask:0.25", "--device", "cpu"]
    run = lab.train(*flags, "--set", "model.latent=5", "--set", "name=mine")
    config = load_config(run.config)
    assert (config.training.epochs, config.model.latent, config.training.seed) == (1, 5, 7)
    assert (config.noise.kind, config.noise.level, config.name) == ("mask", 0.25, "mine")
    assert "-mine-" in run.id


def test_help_names_the_commands_and_the_exit_codes(lab: Laboratory) -> None:
    shown = lab("--help").stdout
    for command in ("run", "resume", "attach", "pause", "stop", "runs", "show", "eval", "presets", "data"):
        assert re.search(rf"^\s+{command}\s", shown, re.MULTILINE), command
    for code in ("0 done", "2 usage", "3 data", "4 training failed", "5 stopped", "6 run held"):
        assert code in " ".join(shown.split())
    assert ESCAPE not in shown


def test_a_reader_that_has_seen_enough_is_no_error(shared_lab: Laboratory, finished: RunPaths) -> None:
    for arguments in (["show", finished.id, "--json"], ["show", finished.id, "--csv"], ["runs"], ["presets", "--json"]):
        process = shared_lab.start(*arguments)
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        assert process.communicate()[1] == ""
        assert process.returncode == 0


def test_fashion_mnist_carried_to_a_machine_without_network_trains(lab: Laboratory, real_data: Path) -> None:
    imported = lab("data", "import", str(real_data / "fashion-mnist"), "--json").document
    assert (imported["dataset"], imported["train"], imported["test"]) == ("fashion-mnist", 60_000, 10_000)
    small = ["--set", "data.train_limit=2000", "--set", "data.test_limit=500", "--set", "training.batch_size=250"]
    document = lab("run", "conv_64", "--epochs", "1", *small, "--json").document
    assert (document["state"], document["steps"]) == ("finished", 8)
    assert 0 < document["metrics"]["test/loss"] < 0.2
    assert "fashion-mnist" in lab("show", "last").stdout


@pytest.mark.thorough
def test_a_terminal_gets_a_bar_and_plain_or_dumb_does_not(lab: Laboratory) -> None:
    def errors_on_a_terminal(*arguments: str, term: str = "xterm-256color") -> str:
        master, slave = os.openpty()
        environment = {**lab.environment, "TERM": term}
        process = lab.start("run", lab.preset(), "--epochs", "1", *arguments, stderr=slave, env=environment)
        os.close(slave)
        received = b""
        while chunk := _read(master):
            received += chunk
        os.close(master)
        process.communicate()
        assert process.returncode == 0, received
        return received.decode()

    assert ESCAPE in errors_on_a_terminal()
    assert ESCAPE not in errors_on_a_terminal("--plain")
    assert ESCAPE not in errors_on_a_terminal(term="dumb")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 4096)
    except OSError:  # Linux answers with EIO once the other side is closed
        return b""


def test_version_is_printed(lab: Laboratory) -> None:
    assert re.fullmatch(r"tuiae \d+\.\d+\.\S+\n", lab("--version").stdout)


@pytest.mark.thorough
def test_two_runs_at_once_keep_apart(lab: Laboratory, workers: list[subprocess.Popen[Any]]) -> None:
    started = [lab.start("run", lab.preset(), "--epochs", "2", "--seed", seed, "--json") for seed in ("1", "2")]
    workers.extend(started)
    documents = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert documents[0]["run"] != documents[1]["run"]
    assert {document["state"] for document in documents} == {"finished"}
    assert documents[0]["metrics"] != documents[1]["metrics"]


@pytest.mark.parametrize("flag", ["--latent", "--epochs", "--seed"])
def test_what_is_no_number_is_refused_in_plain_words(lab: Laboratory, flag: str) -> None:
    told = lab("run", flag, "abc", check=2).stderr
    assert f"{flag}': should be a whole number" in told
    assert "parse" not in told
