"""`tuiae status`: how a run stands in plain words, for a phone or a screen reader."""

from __future__ import annotations

import math
import os
import socket
import time

import pytest

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, HOSTILE, new_run, script
from tuiae.cli.status import spoken, status_lines
from tuiae.config import RunConfig
from tuiae.files import replace_json
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import process_start
from tuiae.runs.reader import RunReader
from tuiae.runs.writer import create_run

FRAMES = set("─│┌┐└┘├┤┬┴┼━█▀▄░▒▓") | {chr(code) for code in range(0x2800, 0x2900)}


def lines_of(run: RunPaths) -> list[str]:
    return status_lines(RunReader(run.root).read_all())


def fits(lines: list[str]) -> bool:
    return len(lines) <= 24 and all(len(line) <= 80 for line in lines)


def test_a_live_run_is_said_without_frames(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    lines = lines_of(played.run)
    assert fits(lines)
    assert not FRAMES & set("".join(lines))
    played.writer.close("finished")


def test_of_a_run_that_has_not_begun_nothing_is_known(lab: Laboratory) -> None:
    run = new_run(lab.runs)
    assert fits(lines_of(run))
    document = lab("status", run.id, "--json").document
    assert (document["state"], document["best"], document["live_loss"]) == ("starting", None, None)


def test_the_first_epoch_says_its_live_loss(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.begin()
    played.writer.event("metric", split="live", step=2, epoch=0.5, values={"loss": 0.25, "accuracy": 0.5})
    assert lab("status", played.run.id, "--json").document["live_loss"] == 0.25
    played.writer.close("stopped")


def test_a_failed_run_names_the_cause_and_the_next_step(lab: Laboratory) -> None:
    played = script(lab.runs, CLASSIFIER)
    played.play(1)
    played.writer.close("failed", {"cause": "the loss is no longer a number", "hint": "lower the rate"})
    lines = lines_of(played.run)
    finding = next(line for line in lines if line.startswith("finding: "))
    assert finding in lab("show", played.run.id).stdout


@pytest.mark.parametrize("state", ["stopped", "paused", "running"])
def test_a_run_that_stands_still_names_the_command_that_goes_on(lab: Laboratory, state: str) -> None:
    run = create_run(RunConfig(), lab.runs, [])
    record = {"state": state, "process_start": process_start(os.getpid()), "host": socket.gethostname()}
    worker = {"pid": os.getpid(), "heartbeat": time.time()} if state == "paused" else {"pid": 0, "heartbeat": 1.0}
    replace_json(run.status, {**record, **worker})
    for command in (["status", run.id, "--once"], ["show", run.id]):
        said = " ".join(lab(*command).stdout.split())
        assert f"`tuiae resume {run.id}`" in said


def test_hostile_names_and_long_logs_stay_within_the_screenful(lab: Laboratory) -> None:
    document = {**AUTOENCODER, "name": "n" * 48}
    played = script(lab.runs, document)
    played.play(1)
    with open(played.run.log, "a", encoding="utf-8") as log:
        log.write((HOSTILE + "日本語" * 300 + "\n") * 100)
    played.writer.close("failed", {"cause": HOSTILE * 20, "hint": ""})
    lines = lines_of(played.run)
    assert fits(lines)
    assert all(char.isprintable() for char in "".join(lines))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (61, "1 minute 1 second"),
        (7384, "2 hours 3 minutes"),
        (90000, "1 day 1 hour"),
    ],
)
def test_times_are_said_in_words(seconds: float, words: str) -> None:
    assert spoken(seconds) == words


def test_the_command_prints_one_screenful_without_escape_codes(tuiae: Laboratory, finished: RunPaths) -> None:
    result = tuiae("status", str(finished.root), "--once")
    assert "\x1b" not in result.stdout
    assert fits(result.stdout.splitlines())
    assert result.stdout == tuiae("status", str(finished.root)).stdout


def test_json_is_one_document(tuiae: Laboratory, finished: RunPaths) -> None:
    document = tuiae("status", str(finished.root), "--json").document
    assert document["state"] == "finished"
    assert document["best"]["test/loss"] <= document["metrics"]["test/loss"]
    assert document["epochs"] == document["epochs_planned"]


def test_without_once_it_follows_to_the_end(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(1)
    with lab.start("status", played.run.id) as process:
        assert process.stdout is not None
        said = iter(process.stdout.readline, "")
        assert any(line.startswith("progress: epoch 1 of 6") for line in said)
        played.epoch(2)
        assert any(line.startswith("progress: epoch 2 of 6") for line in said)
        played.writer.close("finished")
        assert any(line.startswith("state: finished") for line in said)
        process.stdout.read()
        assert process.wait() == 0


def test_a_first_loss_that_is_no_number_is_not_the_best(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.begin()
    for epoch, loss in ((1, math.nan), (2, 0.25), (3, 0.5)):
        played.writer.event("metric", split="test", step=4 * epoch, epoch=epoch, values={"loss": loss})
    played.writer.close("stopped")
    assert lab("status", played.run.id, "--json").document["best"] == {"test/loss": 0.25, "epoch": 2.0}
    assert "0.2500" in lab("show", played.run.id).stdout
