"""The entry point of the command line where something is odd about the streams, or somebody is in a hurry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Laboratory
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
        result = shared_lab(*command, stdout=full, check=2)
    assert result.stderr.startswith("error: cannot write to standard output: No space left on device\n")
    assert result.stderr.count("\n") == 2


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_progress_that_finds_no_space_ends_the_command_and_not_the_run(lab: Laboratory) -> None:
    with FULL.open("w") as full:
        assert lab("run", lab.preset(), "--epochs", "1", stderr=full, check=2).stdout == ""


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_both_streams_on_a_full_disk_end_with_the_same_code(lab: Laboratory) -> None:
    with FULL.open("w") as full:
        lab("presets", stdout=full, stderr=full, check=2)
        lab("presets", "--bogus", stdout=full, stderr=full, check=2)


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
    for command in (["runs"], ["show", "last"], ["status", "--once"], ["run", lab.preset(), "--epochs", "1"]):
        assert "Traceback" not in lab(*command, env=environment, encoding=encoding).stderr
    assert lab("show", "Ä", env=environment, encoding=encoding, check=2).stderr.startswith("error: ")
    assert json.loads(lab("runs", "--json", env=environment, encoding=encoding).stdout)[-1]["name"] == "Übung ▁▂"
