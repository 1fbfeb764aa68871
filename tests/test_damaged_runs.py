"""Runs with files that are damaged or lost: what is said of them, what is refused, and what still works."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Laboratory
from tuiae.config import load_config
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.runs.lineage import need_config
from tuiae.runs.listing import RunLister
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.reader import RunReader, read_config, read_status

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
        assert f"error: {run.config} is damaged" in told
        assert f"cp {run.config_copy} {run.config}" in told
    assert f"{run.config} is damaged" in lab("show", run.id).stdout
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
    assert f"note: {run.config} is not what {run.id} began with" in told.stderr
    assert need_config(list_runs(lab.runs)[0]).model.latent == 9


def test_a_run_of_an_older_version_goes_by_the_config_that_is_there(run: RunPaths) -> None:
    run.meta.unlink()
    run.config_copy.unlink()
    edit(run.config)
    assert need_config(run).model.latent == 9
    run.config.write_text("[model")
    with pytest.raises(ConfigError, match="is damaged"):
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
