"""The dashboard in a real terminal: started, hung up on, come back to; what it leaves and what it never loads."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from tests.conftest import CHECKOUT, Laboratory, wait_until
from tests.terminal import BACKTAB, COLD, CTRL_C, DOWN, ENTER, ESCAPE, RIGHT, TAB, UP, Terminal
from tests.test_input import ANSWERS
from tuiae.config import load_config
from tuiae.reproduce.state import find_process
from tuiae.runs.labels import read_label
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.reader import RunReader, read_status

EPOCHS = 150  # of quickstart
WARM = (sys.executable, "-m", "tuiae")
SLOW = 60.0  # seconds: torch is imported on cores that other tests use


def tuiae(
    lab: Laboratory,
    *arguments: str,
    columns: int = 120,
    rows: int = 40,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = WARM,
) -> Terminal:
    lab.root.mkdir(parents=True, exist_ok=True)
    return Terminal(
        [*command, *arguments],
        columns,
        rows,
        {**lab.environment, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})},
    )


def is_training(run: RunPaths) -> psutil.Process:
    """The run's worker, which must be alive."""
    process = psutil.Process(read_status(run).pid)
    assert process.is_running()
    assert process.status() != psutil.STATUS_ZOMBIE
    return process


def mapped(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_start_pause_leave_come_back_and_see_it_finish(lab: Laboratory) -> None:
    with tuiae(lab) as terminal:
        terminal.wait_for("warm · torch", SLOW)
        terminal.send("r")
        terminal.wait_for("━ train 0.", SLOW)
        (run,) = list_runs(lab.runs)
        terminal.send("p")
        terminal.wait_for("‖ paused", SLOW)
        wait_until(lambda: json.loads(run.status.read_text())["state"] == "paused")
        paused_at = read_status(run).step
        terminal.send("p")
        terminal.wait_for("● running", SLOW)
        wait_until(lambda: read_status(run).step > paused_at)
        # Held, so that it is still there for the second terminal.
        terminal.send("p")
        terminal.wait_for("‖ paused", SLOW)
        if sys.platform == "linux":
            assert "libtorch" in mapped(is_training(run).pid)
            assert "libtorch" not in mapped(terminal.pid)
        terminal.send("q")
        terminal.wait_for("leave it paused")
        terminal.send(ENTER)
        assert terminal.exit_code() == 0
        assert not terminal.left_on()
        assert f"tuiae attach {run.id}" in terminal.text()
        assert "Traceback" not in terminal.text()
        worker = is_training(run)
        with tuiae(lab, "attach", run.id, columns=80, rows=24) as second:
            second.wait_for("‖ paused", SLOW)
            second.send("p")
            second.wait_for("✓ finished", SLOW)
            second.wait_for(f"{EPOCHS}/{EPOCHS}")
            assert read_status(run).state == "finished"
            second.send("q")
            assert second.exit_code() == 0
            assert not second.left_on()
        wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.thorough
def test_no_end_of_a_dashboard_is_the_end_of_the_run(lab: Laboratory) -> None:
    run = lab.detach("--set", "training.epochs=900000")
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT, signal.SIGABRT):
            with tuiae(lab) as terminal:
                terminal.wait_for("━ train 0.", SLOW)
                assert {"alternate screen", "mouse"} <= terminal.left_on()
                terminal.signal(number)
                assert terminal.exit_code() == 0, number
                assert not terminal.left_on(), number
                assert "Traceback" not in terminal.text()
                goes_on(run)
        with tuiae(lab) as terminal:  # whose terminal goes away
            terminal.wait_for("━ train 0.", SLOW)
            terminal.hang_up()
            terminal.exit_code()
            goes_on(run)
    finally:
        psutil.Process(read_status(run).pid).kill()


def goes_on(run: RunPaths) -> None:
    step = read_status(run).step
    wait_until(lambda: read_status(run).step > step)


def test_what_a_terminal_answers_presses_no_key(lab: Laboratory) -> None:
    run = lab.detach("--set", "training.epochs=900000")
    try:
        with tuiae(lab, command=COLD) as terminal:
            terminal.wait_for("━ train 0.", SLOW)
            for answer in ANSWERS.values():
                for part in (answer, answer[: len(answer) // 2], answer[len(answer) // 2 :], answer[:-1], answer):
                    terminal.send(part.decode())
            terminal.send("\x1b[200~a paste without an end, rx")
            terminal.send(CTRL_C)
            terminal.wait_for("leave it running")
            terminal.send(ESCAPE)
            terminal.wait_for(lambda text: "leave it running" not in text)
            assert "━ train 0." in terminal.text()  # still on Live, and no help or dialog in front of it
        assert list_runs(lab.runs) == [run]
        goes_on(run)
        assert read_status(run).state == "running"
    finally:
        os.kill(read_status(run).pid, signal.SIGKILL)


def test_the_size_is_the_terminals_and_not_that_of_exported_variables(lab: Laboratory) -> None:
    with tuiae(lab, columns=100, rows=30, env={"COLUMNS": "60", "LINES": "20"}, command=COLD) as terminal:
        terminal.wait_for(lambda text: any(len(line) > 90 for line in text.splitlines()), SLOW)
        terminal.resize(140, 40)
        terminal.wait_for(lambda text: any(len(line) > 130 for line in text.splitlines()))


def test_q_before_the_worker_is_warm_leaves_no_worker(lab: Laboratory) -> None:
    with tuiae(lab, columns=80, rows=24) as terminal:
        terminal.wait_for("importing torch")
        terminal.send("q")
        assert terminal.exit_code() == 0
        assert not terminal.left_on()
        wait_until(lambda: not [process for process in terminal.processes() if process.status() != "zombie"])


def test_without_a_terminal_there_is_a_sentence(lab: Laboratory) -> None:
    result = lab(check=2)
    assert result.stdout == ""
    assert str(CHECKOUT) not in result.stderr


def test_what_comes_in_one_write_behind_a_key_goes_to_what_the_key_shows(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    with tuiae(lab, "attach", run.id, command=COLD) as terminal:
        terminal.wait_for("✓ finished", SLOW)
        terminal.send("1")
        terminal.wait_for("runs · 1", SLOW)
        terminal.send("/politano" + ENTER + "p")
        terminal.wait_for("none of 1 runs")
        terminal.wait_for("politano")
        terminal.send(ESCAPE)
        terminal.wait_for(lambda text: "none of" not in text)
        for name in ("hello", "tt", "/"):
            terminal.send("N" + name + ENTER)
            wait_until(lambda name=name: read_label(run).name == name)
        terminal.send("4")
        terminal.wait_for("step ", SLOW)  # the weights are there
        terminal.send("/295" + ENTER)
        terminal.wait_for("test image 295", SLOW)
        terminal.send("q")
        assert terminal.exit_code() == 0
        assert "Traceback" not in terminal.text()
    assert not read_label(run).tags


def test_a_sitting_edits_scrubs_draws_leaves_and_comes_back(lab: Laboratory) -> None:
    run = lab.detach("--set", "training.epochs=900000")
    try:
        with tuiae(lab) as terminal:
            terminal.wait_for("━ train 0.", SLOW)
            terminal.send("e")
            terminal.wait_for("change the training")
            terminal.send("0.0005")
            terminal.wait_for("learning rate becomes 0.0005")
            terminal.send(ENTER)
            wait_until(lambda: RunReader(run.root).read_all().edits)
            terminal.send("<")
            terminal.wait_for("untrained · live is at", SLOW)
            terminal.send(".")
            terminal.wait_for("epoch 1 · live is at", SLOW)
            terminal.send(">")
            terminal.wait_for(lambda text: "live is at" not in text)
            terminal.send("4")
            terminal.wait_for("canvas", SLOW)
            terminal.wait_for("step ", SLOW)
            terminal.send("c" + " " + DOWN * 3)
            terminal.wait_for("pixels wrong", SLOW)
            terminal.send("q")
            terminal.wait_for("leave it running")
            terminal.send(ENTER)
            assert terminal.exit_code() == 0
            assert "Traceback" not in terminal.text()
        with tuiae(lab, "attach", run.id) as again:
            again.wait_for("● running", SLOW)
            again.wait_for("rate 0.0005", SLOW)
            again.send("x")
            again.wait_for("■ stopped", SLOW)
        (edit,) = RunReader(run.root).read_all().edits
        assert (edit.key, edit.old, edit.new) == ("training.learning_rate", 0.02, 0.0005)
    finally:
        if read_status(run).live:
            psutil.Process(read_status(run).pid).kill()


def act(terminal: Terminal, *steps: tuple[str, str]) -> None:
    """Press keys, and wait for what each of them shows before the next."""
    for keys, shown in steps:
        terminal.send(keys)
        terminal.wait_for(shown, SLOW)


def leave(terminal: Terminal, dialog: str, key: str) -> None:
    """Press a key that closes a dialog with this title, and wait until it has gone."""
    terminal.send(key)
    terminal.wait_for(lambda text: dialog not in text, SLOW)


def test_a_sitting_fills_the_form_finds_a_setting_starts_sweeps_and_kills(lab: Laboratory) -> None:
    with tuiae(lab) as terminal:
        terminal.wait_for("warm · torch", SLOW)
        act(
            terminal,
            ("o" + DOWN + "cl", "conv-vae"),  # a letter opens the list of models
            (ENTER, "starts classifier, code 12"),
            (DOWN + "6", "starts classifier, code 6"),
            (DOWN + "g", "fashion-mnist"),
            (ENTER, "takes all 32 training images"),
            (DOWN * 3 + "900000", "900000"),  # epochs
            (RIGHT + "8", "images of 7x5"),  # a batch, beside them
            ("O", "all settings of the next run"),
            ("schedule", "training.schedule"),
            (ENTER + "cos", "cosine"),
            (ENTER, "it was constant"),
        )
        leave(terminal, "all settings of the next run", ESCAPE)
        act(terminal, (ESCAPE, "r Start"), ("r", "● running"), ("p", "‖ paused"))
        (run,) = list_runs(lab.runs)
        config = load_config(run.config)
        assert (config.model.family, config.model.latent, config.data.dataset) == ("classifier", 6, "glyphs")
        assert (config.training.epochs, config.training.schedule) == (900_000, "cosine")
        sweep_and_stop(terminal, lab)
        act(terminal, ("2", "‖ paused"), ("K", "Kill process"))
        leave(terminal, "Kill process", ENTER)  # lets it alone
        worker = is_training(run)
        act(terminal, ("K", "Kill process"), (DOWN + ENTER, "lost"))
        wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
        terminal.send("q")
        assert terminal.exit_code() == 0
        assert not terminal.left_on()
        assert "Traceback" not in terminal.text()


def sweep_and_stop(terminal: Terminal, lab: Laboratory) -> None:
    """From Live: sweep around the form, watch the group until a run of it trains, and stop it there."""
    before = list_runs(lab.runs)
    act(
        terminal,
        ("W", "enter starts it"),
        (BACKTAB + "dropout", "model.dropout is 0.05 now"),
        (TAB + "0 0.1", "2 runs: dropout=0 to dropout=0.1 · about"),
        (TAB * 6 + "1" + ENTER, "starts: 2 runs"),  # one at a time
    )
    process = find_process(lab.runs, "sweep-classifier-dense-glyphs-sweep")
    assert process is not None
    terminal.wait_for("-sweep · 1 of 2", SLOW)
    (run,) = [run for run in list_runs(lab.runs) if run not in before]
    wait_until(lambda: read_status(run).state == "running")
    act(terminal, (UP, "x saves and stops it"), ("x", "saves and stops · R goes on with it"))
    wait_until(lambda: not process.alive)
    assert read_status(run).state == "stopped"
