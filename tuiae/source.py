"""The file of a user's own network: where it lies, what can be read of it without running it, and whether this user
trusts it.

Nothing here runs the file, nor imports torch: `models/custom.py` does.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import shlex
import sys
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from tuiae.config import ARGUMENTS, ModelSection, RunConfig, Setting, did_you_mean
from tuiae.errors import ConfigError
from tuiae.files import make_directory, read_bytes, replace_json, writable_advice

FOLDER = "code"
"""In a run directory: the copy of the file that made its network."""
LARGEST = 1 << 20  # bytes
OPTION = "--trust"
"""Runs the file of a run that this user has not started."""
GIVEN = "image_shape"
"""The argument that a class gets from tuiae, if it has one of that name: channels, height and width."""


@dataclass(frozen=True)
class Source:
    """A file as it was read, and the class in it that makes the network."""

    path: Path
    name: str
    content: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def file(self) -> str:
        return self.path.name

    @property
    def lines(self) -> int:
        return self.content.count(b"\n") + (not self.content.endswith(b"\n"))

    @property
    def text(self) -> str:
        """The file as Python reads it, for somebody who decides whether it may run: in the encoding that it names, with
        its lines where Python has them. What a terminal would not show is a sign."""
        try:
            encoding = tokenize.detect_encoding(io.BytesIO(self.content).readline)[0]
        except SyntaxError:
            encoding = "utf-8"
        text = self.content.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
        return "".join(one if one.isprintable() or one in "\n\t" else "�" for one in text)

    @cached_property
    def tree(self) -> ast.Module:
        """The file's syntax tree; raises ConfigError with the line of a mistake."""
        try:
            return ast.parse(self.content, self.file)
        except SyntaxError as error:
            raise ConfigError(f"{self.file}:{error.lineno}: {error.msg}", "mend that line") from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"{self.file} is no Python file: {error}", "give another one") from error


def split_code(code: str) -> tuple[str, str]:
    """`my_model.py:Net` as file, or module, and class."""
    file, _, name = code.rpartition(":")
    return file, name


def is_file(file: str) -> bool:
    """Returns whether the first half of a `model.code` is a path, and no package.module."""
    return file.endswith(".py") or "/" in file


def with_code(config: RunConfig, **changes: Any) -> RunConfig:
    """The config with other keys of its model."""
    return config.model_copy(update={"model": config.model.model_copy(update=changes)})


def with_absolute_code(config: RunConfig) -> RunConfig:
    """The config with the absolute path of its file; a module is looked for, and not imported. Raises ConfigError for
    a module that there is not."""
    if not config.model.is_custom or not config.model.code:
        return config
    file, name = split_code(config.model.code)
    try:
        path = Path(os.path.abspath(os.path.expanduser(file))) if is_file(file) else _find_module(file)
    except OSError as error:  # of a directory that was deleted since
        raise ConfigError(f"model.code: {file}: {error.strerror or error}", "give its whole path") from error
    return with_code(config, code=f"{path}:{name}")


def of_run(config: RunConfig, root: Path) -> RunConfig:
    """The config of the run in a directory with the path of the copy there, whatever path it names."""
    if not config.model.is_custom or not config.model.code:
        return config
    file, name = split_code(config.model.code)
    return with_code(config, code=f"{root.absolute() / FOLDER / Path(file).name}:{name}")


def _find_module(module: str) -> Path:
    """The file of a module, found without importing it or its packages."""
    where, places, origin = "", [os.getcwd(), *sys.path], None
    for part in module.split("."):
        found = PathFinder.find_spec(part, places) if part.isidentifier() else None
        if found is None:
            inside = f" in {where}" if where else ", neither in this directory nor installed"
            raise ConfigError(f"model.code: there is no module {part}{inside}", "write my_model.py:Net for a file")
        places, where, origin = list(found.submodule_search_locations or ()), part, found.origin
    if origin is None or not origin.endswith(".py"):
        raise ConfigError(f"model.code: {module} is no Python file", "name the module that has the class")
    return Path(origin)


def read_source(model: ModelSection) -> Source:
    """The file of a network whose path is absolute. Raises ConfigError where it cannot be read, or is not the one that
    the config was made with."""
    file, name = split_code(model.code)
    path = Path(file)
    try:
        content = read_bytes(path)
    except OSError as error:
        raise ConfigError(
            f"model.code: {path}: {error.strerror or error}", "is it there, and yours to read?"
        ) from error
    if len(content) > LARGEST:
        raise ConfigError(f"model.code: {path} has {len(content):,} bytes", f"{LARGEST:,} are the most")
    source, wanted = Source(path, name, content), model.code_sha256
    if wanted and source.digest != wanted:
        cause = f"{path} is not the file that this config was made with: its digest is {source.digest[:12]}"
        raise ConfigError(cause, f"bring that back ({wanted[:12]}), or leave out model.code_sha256")
    return source


def kept(config: RunConfig) -> RunConfig:
    """The config as its run will say it: with the copy of the file, and its digest. Raises ConfigError as
    `read_source`."""
    if not config.model.is_custom or not config.model.code:
        return config
    source = read_source(config.model)
    return with_code(config, code=f"{FOLDER}/{source.file}:{source.name}", code_sha256=source.digest)


# What can be read of it.


@dataclass(frozen=True)
class Outline:
    """What a class says of itself."""

    defaults: Mapping[str, Any]
    """Argument -> its default; `...` where it has none, None where that is no plain value."""
    open: bool
    """Whether it takes arguments of any name, or what it takes stands elsewhere."""


def outline(source: Source) -> Outline | None:
    """What stands in the file of its class; None where the class comes from elsewhere. Raises ConfigError for a mistake
    in the file, and for a class that nobody could find in it."""
    classes = {node.name: node for node in source.tree.body if isinstance(node, ast.ClassDef)}
    if (found := classes.get(source.name)) is None:
        names = {name for node in ast.walk(source.tree) for name in _bound(node)}
        if source.name in names or "*" in names:
            return None
        near = did_you_mean(source.name, [*classes])
        raise ConfigError(f"model.code: {source.file} has no class {source.name}{near}", "name a class of that file")
    functions = {node.name: node for node in found.body if isinstance(node, ast.FunctionDef)}
    if (made := functions.get("__init__")) is None:
        plain = all(ast.unparse(base) in ("nn.Module", "torch.nn.Module", "Module") for base in found.bases)
        return Outline({}, not plain or bool(found.decorator_list))
    arguments = made.args
    named = [*arguments.posonlyargs, *arguments.args][1:]
    told = [*[None] * len(named), *arguments.defaults][len(arguments.defaults) :]
    pairs = [*zip(named, told, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    defaults = {argument.arg: ... if default is None else _plain(default) for argument, default in pairs}
    return Outline(defaults, arguments.kwarg is not None)


def _bound(node: ast.AST) -> list[str]:
    """The names that a statement gives to something."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []


def _plain(default: ast.expr) -> Any:
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return None
    return list(value) if isinstance(value, tuple) else value


def check_source(config: RunConfig) -> tuple[str, ...]:
    """Check the file of a config without running it; returns warnings.

    Raises:
        ConfigError: it cannot be read, has a mistake or no such class, or imports what its copy will not have beside
            it; the class takes no such argument, or lacks one. Or it is the file of a run that this user has not
            started.
    """
    check_trust(config)
    source = read_source(config.model)
    warnings = (*_check_imports(source), *_unused(config))
    found = outline(source)
    if found is None:
        return warnings
    given = config.model.arguments
    for name in given:
        if not found.open and name not in found.defaults:
            key = f"{ARGUMENTS}.{name}"
            has = ", ".join(found.defaults) or "none"
            near = did_you_mean(name, [*found.defaults])
            none = "" if near else f"; --set '{ARGUMENTS}={{}}' gives it none"
            raise ConfigError(f"{key}: {source.name} has no such argument{near}", f"its arguments: {has}{none}")
    lacking = [name for name, default in found.defaults.items() if default is ... and name not in (*given, GIVEN)]
    if lacking:
        asked = f"{ARGUMENTS}.{lacking[0]}"
        raise ConfigError(f"{source.name} of {source.file} needs its argument {lacking[0]}", f"give {asked} a value")
    return warnings


def _unused(config: RunConfig) -> list[str]:
    """A warning about keys of other networks that were set for this one."""
    model, usual = config.model, type(config.model).model_fields
    others = ("hidden", "channels", "kernel", "stride", "norm", "activation", "code_activation", "initialisation")
    heads = () if config.is_classifier else ("dropout", "output_dropout")
    names = [f"model.{key}" for key in (*others, *heads) if getattr(model, key) != usual[key].default]
    which = f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect on a custom network"
    return [f"{which}: {ARGUMENTS} are its settings"] if names else []


def _check_imports(source: Source) -> list[str]:
    """Refuse an import of a file that lies beside this one, since the run keeps a copy of this one alone; warnings of
    imports from its own package, which has to stay as it is."""
    folder, warnings = source.path.parent, []
    packages = {place.name for place in source.path.parents if (place / "__init__.py").is_file()}
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        for module in names if isinstance(node, ast.Import) else ["." * node.level + (node.module or "")]:
            first, where = module.partition(".")[0], f"{source.file}:{node.lineno}: imports {module}"
            if not first or (folder / f"{first}.py").is_file() or (folder / first / "__init__.py").is_file():
                cause = f"{where}, which lies beside it"
                raise ConfigError(cause, f"put it into {source.file}: a run keeps a copy of one file")
            if first in packages:
                warnings.append(f"{where}, of which the run keeps no copy: it goes on as long as that stays")
    return warnings


def argument_settings(config: RunConfig) -> tuple[Setting, ...]:
    """The arguments of a config's class as settings, and those that the config gives; none of another network. Raises
    nothing: whether the file is fit to use is for `check_source` to say."""
    if not config.model.is_custom or not config.model.code:
        return ()
    try:
        source = read_source(with_absolute_code(config).model)
        found = outline(source)
    except ConfigError:
        return tuple(_as_setting(name, None, config.model.code) for name in config.model.arguments)
    defaults = {} if found is None else {name: value for name, value in found.defaults.items() if name != GIVEN}
    known = {**dict.fromkeys(config.model.arguments), **defaults}
    return tuple(_as_setting(name, default, f"{source.name} of {source.file}") for name, default in known.items())


def _as_setting(name: str, default: Any, made: str) -> Setting:
    plain = None if default is ... else default
    choices, kind = (("true", "false"), bool) if isinstance(plain, bool) else ((), type(plain))
    many = isinstance(plain, list)
    sentence = f"An argument of {made}."
    return Setting(f"{ARGUMENTS}.{name}", sentence, plain, choices, type(plain[0]) if many and plain else kind, many)


class UntrustedCodeError(ConfigError):
    """Code of a custom network that this user has not started."""

    def __init__(self, cause: str, hint: str, source: Source) -> None:
        super().__init__(cause, hint)
        self.source = source


# Trust: the files that this user has started a training with, by their digests, in the user's state directory. So it
# holds wherever that home directory is seen, and a file that was changed is another one.


def _record(digest: str) -> Path:
    from platformdirs import user_state_path

    return Path(user_state_path("tuiae")) / "trusted" / f"{digest}.json"


def is_trusted(source: Source) -> bool:
    """Returns whether this user has started a training with this very file, or said that it may run."""
    return _record(source.digest).is_file()


def trust(source: Source) -> None:
    """Remember that this user lets this very file run. Raises ConfigError where that cannot be written."""
    path = _record(source.digest)
    if path.is_file():
        return
    try:
        make_directory(path.parent)
        replace_json(path, {"file": str(source.path), "class": source.name})
    except OSError as error:
        cause = f"cannot write {path}: {error.strerror or error}"
        raise ConfigError(cause, writable_advice(error, "XDG_STATE_HOME")) from error


def need_trust(source: Source, command: str = "") -> None:
    """Raises UntrustedCodeError, which says what would run, for a file that this user has not started; `command` is
    what would run it then, by default what explores its run."""
    if not is_trusted(source):
        folder = source.path.parent
        command = command or (f"tuiae explore {shlex.quote(str(folder.parent))}" if folder.name == FOLDER else "")
        what = f"{source.path} ({source.lines:,} lines, sha256 {source.digest[:12]})"
        again = f": {command} {OPTION}" if command else f", with {OPTION}"
        cause = f"this would run code that you have not started: {what}"
        raise UntrustedCodeError(cause, f"read it, and let it run{again}", source)


def check_trust(config: RunConfig, command: str = "") -> None:
    """Raises as `need_trust` where the network of a config is the file of a run, and as `read_source`; its path is
    absolute."""
    if config.model.is_custom and config.model.code and is_kept(config.model):
        need_trust(read_source(config.model), command)


def is_kept(model: ModelSection) -> bool:
    """Returns whether the file of a network, whose path is absolute, is the copy of a run, or comes with its digest as
    such a copy does: it may be somebody else's."""
    path = Path(split_code(model.code)[0])
    return bool(model.code_sha256) or (path.parent.name == FOLDER and (path.parents[1] / "config.toml").exists())
