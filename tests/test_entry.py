"""The entry to the command line: odd streams, somebody in a hurry, and the options that stand before a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import Laboratory
from tests.terminal import Terminal
from tuiae.__main__ import main
from tuiae.cli.supplies import app
from tuiae.errors import ConfigError
from tuiae.runs.labels import Label, write_label
from tuiae.runs.paths import RunPaths, list_runs

FULL = Path("/dev/full")

HURRY = """
import os, signal, sys
class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Impatient())
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore it
import tuiae.__main__
sys.argv = ["tuiae", "data", "list"]
tuiae.__main__.main()
"""


@pytest.mark.parametrize("module", ["tuiae.errors", "tuiae.cli.data"])
def test_ctrl_c_during_the_imports_ends_without_a_traceback(lab: Laboratory, module: str) -> None:
    code = HURRY.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=lab.environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ascii_may_stand_anywhere(lab: Laboratory, finished: RunPaths) -> None:
    write_label(lab.copy(finished), Label(name="Übung"))
    before, behind = lab("--ascii", "runs"), lab("runs", "--ascii", "--plain")
    assert "?bung" in before.stdout or "Ubung" in before.stdout
    assert before.stdout.split()[:15] == behind.stdout.split()[:15]
    assert (before.stdout + behind.stdout).isascii()


def test_debug_keeps_the_exit_code(lab: Laboratory) -> None:
    for command in (("show", "nothing"), ("data", "import", str(lab.root))):
        plain, debugged = lab(*command, check=None), lab(*command, "--debug", check=None)
        assert plain.rc == debugged.rc != 1
        assert "Traceback" in debugged.stderr
        assert debugged.stderr.endswith(plain.stderr)


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(
    "command", [("runs",), ("show", "last", "--json"), ("show", "--csv"), ("presets", "--plain")], ids=" ".join
)
def test_results_that_find_no_space_are_one_sentence(
    shared_lab: Laboratory, finished: RunPaths, command: tuple[str, ...]
) -> None:
    with FULL.open("w") as full:
        result = shared_lab.process(*command, stdout=full, check=2)
    assert result.stderr.startswith("error: cannot write to standard output: No space left on device\n")
    assert result.stderr.count("\n") == 2


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_progress_that_finds_no_space_ends_the_command_and_not_the_run(lab: Laboratory) -> None:
    with FULL.open("w") as full:
        assert lab.process("run", lab.preset(), "--epochs", "1", stderr=full, check=2).stdout == ""


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_both_streams_on_a_full_disk_end_with_the_same_code(lab: Laboratory) -> None:
    with FULL.open("w") as full:
        lab.process("presets", stdout=full, stderr=full, check=2)
        lab.process("presets", "--bogus", stdout=full, stderr=full, check=2)


def test_closed_streams_do_not_keep_a_run_from_training(lab: Laboratory) -> None:
    command = f"{sys.executable} -m tuiae run {lab.preset()} --epochs 1"
    for tail in ("--json >&-", "--plain 2>&-", "--detach <&- >&- 2>&-"):
        done = subprocess.run(
            ["sh", "-c", f"{command} {tail}"], capture_output=True, text=True, check=False, env=lab.environment
        )
        assert done.returncode == 0, done.stderr
    assert len(list_runs(lab.runs)) == 3
    lab("attach", "last", "--json")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_an_encoding_that_lacks_characters_stops_nothing(lab: Laboratory, finished: RunPaths, encoding: str) -> None:
    run = lab.copy(finished)
    write_label(run, Label(name="Übung ▁▂"))
    environment = {**os.environ, **lab.environment, "PYTHONIOENCODING": encoding}
    follow = ["run", lab.preset(), "--epochs", "1"] if encoding == "ascii" else ["attach", "last"]
    for command in (["runs"], ["show", "last"], ["status", "--once"], follow):
        assert "Traceback" not in lab.process(*command, env=environment, encoding=encoding).stderr
    assert lab.process("show", "Ä", env=environment, encoding=encoding, check=2).stderr.startswith("error: ")
    assert (
        json.loads(lab.process("runs", "--json", env=environment, encoding=encoding).stdout)[-1]["name"] == "Übung ▁▂"
    )


# Options before a command, or behind it: characters, colours, theme.

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
    with pytest.raises(ConfigError, match="auto, dark, light"):
        say(*words)


def test_colours_that_were_asked_for_count_before_no_color(lab: Laboratory, named: RunPaths) -> None:
    environment = {**lab.environment, "TERM": "xterm-256color", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "tuiae", "--colors", "truecolor", "show", named.id]
    with Terminal(command, 120, 40, environment) as terminal:
        assert terminal.exit_code() == 0
        assert b"\x1b[3" in terminal.raw
