"""What stands before a command, or behind it: characters, colours, theme."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import Laboratory
from tests.terminal import Terminal
from tuiae.__main__ import main
from tuiae.cli.commands import app
from tuiae.errors import ExitCode
from tuiae.runs.labels import Label, write_label
from tuiae.runs.paths import RunPaths

NAME = "años ≥ 3"


@pytest.fixture
def named(lab: Laboratory, finished: RunPaths) -> RunPaths:
    """A finished run with a name beyond ASCII."""
    run = lab.copy(finished)
    write_label(run, Label(name=NAME))
    return run


def say(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.usefixtures("named")
def test_a_command_looks_as_it_was_asked_to_and_the_next_one_does_not() -> None:
    assert say("--ascii", "--colors", "none", "runs").stdout.isascii()
    assert NAME in say("runs").stdout


@pytest.mark.usefixtures("named")
def test_json_in_ascii_says_the_same() -> None:
    told, plain = say("--ascii", "runs", "--json").stdout, say("runs", "--json").stdout
    assert told.isascii()
    assert [{**row, "age_seconds": 0} for row in json.loads(told)] == [
        {**row, "age_seconds": 0} for row in json.loads(plain)
    ]


def test_a_run_is_followed_in_ascii_whichever_side_of_the_command_it_stands(named: RunPaths) -> None:
    words = ("attach", named.id, "--plain")
    assert not say(*words).output.isascii()
    assert say(*words, "--ascii").output.isascii()
    assert say("--ascii", *words).output.isascii()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.usefixtures("named")
def test_a_mistake_in_ascii_is_told_in_ascii(
    before: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--ascii", "attach", "x≥"] if before else ["attach", "x≥", "--ascii"]
    monkeypatch.setattr(sys, "argv", ["tuiae", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: no run matches")
    assert told.isascii()


@pytest.mark.parametrize("words", [("--theme", "pink", "runs"), ("attach", "--theme", "pink")])
def test_a_theme_that_is_not_known_is_refused_before_anything_else(words: tuple[str, ...]) -> None:
    refused = say(*words)
    assert refused.exit_code == ExitCode.USAGE
    assert all(theme in refused.stderr for theme in ("pink", "auto", "dark", "light"))


def test_colours_that_were_asked_for_count_before_no_color(lab: Laboratory, named: RunPaths) -> None:
    environment = {**lab.environment, "TERM": "xterm-256color", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "tuiae", "--colors", "truecolor", "show", named.id]
    with Terminal(command, 120, 40, environment) as terminal:
        assert terminal.exit_code() == 0
        assert b"\x1b[3" in terminal.raw
