"""What is imported, and when: torch costs 1.6 s and 660 MB, torchvision twice that, and a screen needs neither."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Laboratory

from tuiae.data.importing import import_directory

HEAVY = ["torch", "torchvision", "sklearn", "scipy"]

LOADED = """
import json, sys
def loaded():
    print(json.dumps([name for name in {names!r} if name in sys.modules]))
"""


def loaded(code: str, names: list[str] = HEAVY) -> list[str]:
    """Which of the modules a fresh Python has imported after `code`."""
    script = LOADED.format(names=names) + code + "\nloaded()\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "module",
    [
        "tuiae.cli",
        "tuiae.runs.reader",
        "tuiae.runs.writer",
        "tuiae.preflight",
        "tuiae.data.registry",
        "tuiae.explore.client",
        "tuiae.ui.app",
        "tuiae.ui.screens.runs, tuiae.ui.screens.latent, tuiae.ui.screens.bench",
        "tuiae.ui.screens.compare, tuiae.ui.screens.works",
    ],
)
def test_a_module_of_the_light_side_leaves_the_heavy_ones_out(module: str) -> None:
    assert loaded(f"import {module}") == []


@pytest.mark.parametrize("arguments", [["--help"], ["runs"], ["presets"], ["data", "list"], ["run", "--help"]])
def test_a_command_that_only_tells_leaves_the_heavy_ones_out(arguments: list[str]) -> None:
    code = f"""
import contextlib, io
import tuiae.cli
sys.argv = ["tuiae", *{arguments!r}]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    tuiae.cli.main()
"""
    assert loaded(code) == []


def test_help_does_not_even_import_the_dashboard() -> None:
    code = """
import contextlib, io
import tuiae.cli
sys.argv = ["tuiae", "--help"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    tuiae.cli.main()
"""
    assert loaded(code, ["textual", "numpy", "pydantic"]) == []


def write_set(directory: Path) -> Path:
    directory.mkdir()
    for split, count in (("train", 40), ("t10k", 20)):
        pixels = np.random.default_rng(0).integers(0, 256, count * 64).astype(np.uint8)
        sizes = b"".join(n.to_bytes(4, "big") for n in (count, 8, 8))
        (directory / f"{split}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + pixels.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
        (directory / f"{split}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + count.to_bytes(4, "big") + labels)
    return directory


def test_a_worker_that_trains_from_the_cache_never_imports_torchvision(
    lab: Laboratory, tmp_path: Path, data_root: Path
) -> None:
    import_directory(write_set(tmp_path / "mine"), root=data_root)
    run = lab.train("--dataset", "mine", "--epochs", "1")
    code = f"""
import tuiae.training.worker
run = {str(run.root)!r}
text = open(run + "/config.toml").read()
open(run + "/config.toml", "w").write(text.replace("epochs = 1", "epochs = 2"))
assert tuiae.training.worker.main([run]) == 0
"""
    assert loaded(code) == ["torch"]
    assert lab("show", run.id, "--json").document["epochs"] == 2


def test_the_dashboard_opens_without_what_only_commands_and_other_screens_need() -> None:
    others = ["typer", "matplotlib", "PIL", "tuiae.studies.compare", "tuiae.ui.screens.works"]
    assert loaded("import tuiae.cli, tuiae.cli.dashboard, tuiae.ui.app", others) == []
