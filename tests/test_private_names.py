"""Private names of Textual: used in one module, and where they are missing the dashboard works all the same."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import textual
from textual.message_pump import MessagePump
from textual.widget import Widget

import tuiae.ui
from tests.conftest import Laboratory
from tests.dashboard import script
from tests.terminal import ESCAPE, Terminal
from tuiae.ui.terminal import screen_diff

UI = Path(tuiae.ui.__file__).parent
NOT_TEXTUALS = {"_exit", "_replace"}

RENAMED = r"""
import importlib.machinery, importlib.util, re, sys

PRIVATE = re.compile(
    r"\b(_display|_css_update_count|_invalidate_css|_parse_cache|_compositor|XTermParser"
    r"|_dispatch_message|_handle_exception|_modal_binding_chain|_skip)\b"
)
seen = set()

class Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, name):
        source = self.get_source(name)
        seen.update(PRIVATE.findall(source))
        return compile(PRIVATE.sub(r"\1_renamed", source), self.path, "exec")

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "textual._compositor":
            raise ModuleNotFoundError(name)
        if name.partition(".")[0] != "textual":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name.removesuffix("_renamed"), path)
        if spec is None:
            return None
        return importlib.util.spec_from_file_location(
            name, spec.origin, loader=Loader(name, spec.origin),
            submodule_search_locations=spec.submodule_search_locations,
        )

sys.meta_path.insert(0, Finder)
import tuiae.ui.app
assert seen == set(PRIVATE.pattern[3:-3].split("|")), seen
from tuiae.__main__ import main
main()
"""
"""Opens the dashboard on a Textual in which every private name that tuiae uses is called something else."""


def private_names(path: Path) -> Iterator[str]:
    """Private modules that a file imports, and private attributes of anything but `self` that it uses."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and "._" in (node.module or ""):
            yield str(node.module)
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield from [] if isinstance(node.value, ast.Name) and node.value.id == "self" else [node.attr]


def test_one_module_uses_private_names_of_textual() -> None:
    found = {path.name: set(private_names(path)) - NOT_TEXTUALS for path in UI.rglob("*.py")}
    assert [name for name, names in found.items() if names] == ["screen_diff.py"]


def classes() -> Iterator[type]:
    """Every class of the dashboard that grows from one of Textual's."""
    for path in UI.rglob("*.py"):
        module = import_module(".".join(("tuiae.ui", *path.relative_to(UI).with_suffix("").parts)).removesuffix("init"))
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, MessagePump) and found.__module__ == module.__name__:
                yield found


def test_no_other_module_redefines_a_private_name_of_textual() -> None:
    class Plain(Widget):
        """What Textual puts into every class."""

    for found in classes():
        if found.__module__ == screen_diff.__name__:
            continue
        own = {name for name in vars(found) if name.startswith("_") and not name.startswith("__")} - set(vars(Plain))
        theirs = {name for base in found.__mro__ if base.__module__.startswith("textual") for name in vars(base)}
        assert own & theirs == set(), found


def test_the_dashboard_works_where_textual_has_none_of_the_private_names(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(3)
    played.writer.close("finished")
    command = [sys.executable, "-c", RENAMED, "attach", played.run.id]
    same_textual = f"{Path(textual.__file__).parents[1]}:{lab.environment['PYTHONPATH']}"
    with Terminal(command, env={**lab.environment, "PYTHONPATH": same_textual}) as terminal:
        terminal.wait_for("finished", 60)
        terminal.send("?")
        terminal.wait_for("write a checkpoint")
        terminal.send(ESCAPE)
        terminal.wait_for(lambda text: "write a checkpoint" not in text)
        terminal.send("1")
        terminal.wait_for("runs · 1")
        terminal.send("z2")
        terminal.wait_for("reconstructions")
        terminal.send("q")
        assert terminal.exit_code() == 0
        assert not terminal.left_on()
