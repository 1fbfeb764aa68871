"""`tuiae doctor`: what is found, its verdict, and what mends it."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Laboratory
from tuiae.cli import doctor
from tuiae.config import build_config
from tuiae.runs.writer import RunWriter, create_run

GONE = 2**22 + 1  # a process id that Linux never gives


def ask(lab: Laboratory) -> dict[str, list[dict[str, Any]]]:
    """The findings by their topics."""
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(lab("doctor", "--json").stdout):
        found.setdefault(finding["topic"], []).append(finding)
    return found


def test_every_line_has_a_verdict_and_what_is_bad_a_remedy(lab: Laboratory) -> None:
    (lab.data / "mine").mkdir(parents=True)
    (lab.data / "mine" / "manifest.json").write_text("{}")
    lost = create_run(build_config({}, {}), lab.runs, [])
    RunWriter(lost).status(now=True, state="running", pid=GONE, epochs_done=1.5)
    torn = create_run(build_config({}, {}), lab.runs, [])
    torn.config.write_text("[data")
    bare = create_run(build_config({}, {}), lab.runs, [])
    bare.config.unlink()
    bare.config_copy.unlink()
    mute = create_run(build_config({}, {}), lab.runs, [])
    mute.status.write_text("garbage")
    found = ask(lab)
    assert list(found) == ["versions", "training", "terminal", "session", "files", "datasets", "runs"]
    lacking = [one["remedy"] for one in found["versions"] if one["verdict"] != "good"]
    assert all(remedy.startswith(f"{sys.executable} -m pip install ") for remedy in lacking)
    bad = {
        finding["text"]: finding["remedy"]
        for topic in found.values()
        for finding in topic
        if finding["verdict"] == "bad"
    }
    assert all(bad.values())
    assert [remedy for text, remedy in bad.items() if "mine" in text] == [
        "`tuiae data import DIR --as mine --force` imports it again; only where it was a download, "
        "`tuiae data fetch mine --force` downloads it again"
    ]
    assert [remedy for text, remedy in bad.items() if lost.id in text] == [f"tuiae resume {lost.id}"]
    assert [remedy for text, remedy in bad.items() if mute.id in text] == [f"tuiae resume {mute.id}"]
    assert [remedy for text, remedy in bad.items() if torn.id in text] == [f"cp {torn.config_copy} {torn.config}"]
    assert [f"tuiae delete {bare.id}" in remedy for text, remedy in bad.items() if bare.id in text] == [True]
    assert any("a step of quickstart" in finding["text"] for finding in found["training"])
    plain = lab("doctor", "--plain").stdout
    assert f"tuiae resume {lost.id}" in plain
    assert f"{len(bad)} lines to mend" in plain


def test_a_place_without_rights_or_room_is_bad(
    lab: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TUIAE_RUNS_DIR", str(tmp_path / "file" / "runs"))
    monkeypatch.setenv("TUIAE_DATA_DIR", str(tmp_path / "data"))
    (runs, data) = doctor.look_at_places()
    assert (runs.verdict, data.verdict) == ("bad", "good")
    assert "TUIAE_RUNS_DIR" in runs.remedy
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(doctor, "LITTLE", 1e30)
    (_, data) = doctor.look_at_places()
    assert data.verdict == "bad"


@pytest.mark.parametrize(
    ("environ", "verdict"),
    [({}, "good"), ({"SSH_CONNECTION": "1"}, "note"), ({"SSH_CONNECTION": "1", "TMUX": "1"}, "good")],
    ids=str,
)
def test_a_session_that_can_be_cut_is_told(environ: dict[str, str], verdict: str) -> None:
    first, *_ = doctor.look_at_session(environ)
    assert first.verdict == verdict


@pytest.mark.parametrize(
    ("lingers", "ends", "verdict"), [(False, True, "bad"), (True, True, "good"), (False, False, "good")]
)
def test_a_system_that_ends_trainings_at_logout_is_told(
    lingers: bool, ends: bool, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "SYSTEMD", tmp_path)
    monkeypatch.setattr(doctor, "LINGERING", tmp_path)
    monkeypatch.setattr(doctor.getpass, "getuser", lambda: "ana")
    monkeypatch.setattr(doctor, "ends_processes", lambda: ends)
    if lingers:
        (tmp_path / "ana").touch()
    (last,) = [one for one in doctor.look_at_session({}) if "logout" in one.text]
    assert last.verdict == verdict
    assert ("enable-linger" in last.remedy) == (verdict == "bad")


def test_a_terminal_is_told_what_it_lacks() -> None:
    shown = {"is_terminal": True, "unicode": False, "colors": "256", "graphics": "kitty"}
    texts = [one.text for one in doctor.look_at_terminal(shown)]
    assert [any(word in text for text in texts) for word in ("ASCII", "256 colours", "--graphics")] == [True] * 3


def test_what_keeps_kernels_from_being_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, remedy in (("CC", "no-compiler", "install"), ("TUIAE_KERNELS", "off", "unset TUIAE_KERNELS")):
        monkeypatch.setenv(name, value)
        told = [one for one in islice(doctor.look_at_training(), 2) if one.remedy.startswith(remedy)]
        assert [(one.verdict, value in one.text) for one in told] == [("note", True)]


def test_extras_are_read_from_what_is_installed() -> None:
    assert doctor.packages_of("graphics") == ["textual-image"]
    assert "scikit-learn" in doctor.packages_of("studies")
    assert doctor.packages_of("nothing") == []
