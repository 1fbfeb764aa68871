"""What is imported, and when: torch costs 1.6 s and 660 MB, torchvision twice that, and a screen needs neither."""

from __future__ import annotations

import ast
import gc
import json
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from tests.conftest import Laboratory
from tuiae.cli.supplies import app
from tuiae.data.importing import import_directory
from tuiae.machine import lasting_imports

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


LIGHT = [
    *("tuiae.cli.supplies", "tuiae.runs.reader", "tuiae.runs.writer", "tuiae.preflight", "tuiae.data.registry"),
    *("tuiae.explore.client", "tuiae.ui.app", "tuiae.ui.screens.runs", "tuiae.ui.screens.latent"),
    *("tuiae.tracking.run", "tuiae.integrations.old_runs"),
    *("tuiae.ui.screens.bench", "tuiae.ui.screens.compare", "tuiae.ui.screens.works"),
    *(f"tuiae.reproduce.{name}" for name in ("state", "verdicts", "measures", "work")),
]


def test_the_modules_of_the_light_side_leave_the_heavy_ones_out() -> None:
    code = f"""
import importlib
for name in {LIGHT}:
    importlib.import_module(name)
    assert not {{*{HEAVY}}} & {{*sys.modules}}, name
"""
    assert loaded(code) == []


def loaded_by(arguments: list[str], names: list[str] = HEAVY) -> list[str]:
    """Which of the modules a command has imported when it ends."""
    code = f"""
import contextlib, io
import tuiae.__main__
sys.argv = ["tuiae", *{arguments!r}]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    tuiae.__main__.main()
"""
    return loaded(code, names)


@pytest.mark.parametrize("arguments", [["runs"], ["presets"], ["data", "list"]])
def test_a_command_that_only_tells_leaves_the_heavy_ones_out(arguments: list[str]) -> None:
    assert loaded_by(arguments) == []


def test_help_does_not_even_import_the_dashboard() -> None:
    assert loaded_by(["--help"], ["textual", "numpy", "pydantic"]) == []


@pytest.mark.parametrize("command", ["run", "status", "explore", "data"])
def test_the_help_of_a_command_imports_nothing_of_what_the_command_does(command: str) -> None:
    others = ["numpy", "rich", "tuiae.config", "tuiae.runs", "tuiae.cli.output", "tuiae.cli.train", "tuiae.cli.follow"]
    assert loaded_by([command, "--help"], [*HEAVY, *others]) == []


def write_set(directory: Path) -> Path:
    directory.mkdir()
    for split, count in (("train", 40), ("t10k", 20)):
        pixels = np.random.default_rng(0).integers(0, 256, count * 64).astype(np.uint8)
        sizes = b"".join(n.to_bytes(4, "big") for n in (count, 8, 8))
        (directory / f"{split}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + pixels.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
        (directory / f"{split}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + count.to_bytes(4, "big") + labels)
    return directory


def test_a_worker_that_trains_from_the_cache_imports_neither_torchvision_nor_the_compiler(
    lab: Laboratory, tmp_path: Path, data_root: Path
) -> None:
    import_directory(write_set(tmp_path / "mine"), root=data_root)
    run = lab.train("--dataset", "mine", "--epochs", "1")
    code = f"""
import tuiae.training.worker
assert tuiae.training.worker.main([{str(run.root)!r}, "--epochs", "2"]) == 0
"""
    assert loaded(code, [*HEAVY, "torch._dynamo"]) == ["torch"]
    assert lab("show", run.id, "--json").document["epochs"] == 2


def test_the_dashboard_opens_without_what_only_commands_and_other_screens_need() -> None:
    others = ["typer", "matplotlib", "PIL", "tuiae.studies.compare", "tuiae.ui.screens.works"]
    assert loaded("import tuiae.__main__, tuiae.cli.main, tuiae.ui.app", others) == []


def defined_names(module: Path) -> set[str]:
    """The functions, classes and values of a module, and the methods of its classes as `Class.method`."""
    names: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{one.name}" for one in node.body if hasattr(one, "name")}
    return names


def test_what_the_architecture_names_is_there() -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+\.py):([\w.]+)", page))
    named |= {(file, name) for name, file in re.findall(r"`(\w+)` (?:in|of) `([\w/]+\.py)`", page)}
    assert len(named) > 40
    missing = [f"{file}:{name}" for file, name in named if name not in defined_names(root / "tuiae" / file)]
    assert missing == []


def test_every_promise_names_a_test_that_is_there() -> None:
    root = Path(__file__).parents[1]
    named = set(re.findall(r"`(\w+\.py):(\w+)`", (root / "docs" / "reliability.md").read_text(encoding="utf-8")))
    assert len(named) > 30
    assert [(file, name) for file, name in named if name not in defined_names(root / "tests" / file)] == []


def test_commands_in_the_documents_have_the_options_named_with_them() -> None:
    root = Path(__file__).parents[1]
    known = {name: command.params for name, command in get_command(app).commands.items()}  # type: ignore[attr-defined]
    given = 0
    for page in (root / "README.md", *(root / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"`tuiae ([a-z]+)", text)) <= {*known}, page
        for name, rest in re.findall(r"tuiae ([a-z]+)\b([^`\n]*)", text):
            asked = set(re.findall(r"(?<![\w-])--[a-z-]+", rest.partition("#")[0])) if name in known else set()
            given += len(asked)
            assert asked <= {option for param in known[name] for option in param.opts} | {"--help"} if asked else True
    assert given > 30


class Ring:
    """Garbage, once nobody holds it, that only looking for it frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collecting() -> Iterator[None]:
    """As Python begins, also afterwards."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


def test_what_was_there_after_imports_is_not_looked_through_again(collecting: None) -> None:
    with lasting_imports():
        ring = weakref.ref(Ring())
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.collect()
    assert ring() is not None
    gc.unfreeze()
    gc.collect()
    assert ring() is None


def test_a_process_that_imported_torch_ends_without_a_word() -> None:
    code = "from tuiae.training.worker import _import_torch\n_import_torch()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
