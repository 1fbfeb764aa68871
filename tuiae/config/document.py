"""Configs as TOML: reading and writing, overrides on top, and messages that a person can act on."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tuiae.config.schema import ARGUMENTS, CODE_WORDS, NAME_WORDS, RunConfig, Section, Setting, TrainingSection
from tuiae.errors import ConfigError, in_plain_words
from tuiae.files import read_bytes

SET = "--set"
SEED, NAME = "training.seed", "name"
QUIET = ("checkpoint.", "samples.")
"""Sections that leave the result as it is; they name a run only where nothing else does."""
ROUNDING = ("shards", "transposed", "subnormals")
"""Keys of [training] that change nothing but the last bits, and that nobody chooses by themselves."""
MOST_DOTS = 32
MOST_VALUE = 120  # characters of one in a message
_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY = re.compile(
    rf"^[ \t]*\[{{0,2}}[ \t]*{_PART}(?:[ \t]*\.[ \t]*{_PART}){{{MOST_DOTS}}}", re.MULTILINE | re.ASCII
)
_LOOSE_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
"""`.001`, `5.` and `01.5`, which are numbers everywhere but in TOML."""


def load_config(path: Path, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Read and validate a preset with overrides (dotted key -> value) on top."""
    return build_config(read_document(path), overrides, source=str(path))


_COMMANDS = {"preset": "run", "sweep": "sweep", "work": "reproduce"}
"""Kind of document -> the command that takes it."""


def read_document(path: Path, kind: str = "preset") -> dict[str, Any]:
    """Parse a TOML file without validating it; raises ConfigError with file and line, and for another kind of document
    than is wanted."""
    try:
        # A pipe is fine where somebody names it, as in `tuiae run <(sed ... preset.toml)`.
        content = path.read_bytes() if path.is_fifo() else read_bytes(path)
        document = parse_toml(content.decode("utf-8-sig"))  # some editors begin with a mark
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}", "mend that line") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a UTF-8 text file", "give a preset in TOML") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "`tuiae presets` lists the presets") from error
    _place_code(document.get("model"), path.parent)
    if (found := _kind_of(document)) not in ("", kind):
        raise ConfigError(f"{path} is a {found}, and no {kind}", f"tuiae {_COMMANDS[found]} {path}")
    return document


def _place_code(model: Any, folder: Path) -> None:
    """Give the file of a custom network, which lies beside its preset, its absolute path."""
    code = model.get("code") if isinstance(model, dict) else None
    if not isinstance(code, str):
        return
    file = code.rpartition(":")[0]
    if file.endswith(".py") and not file.startswith(("/", "~")) and os.path.isfile(folder / file):
        model["code"] = str((folder / code).absolute())


def _kind_of(document: Mapping[str, Any]) -> str:
    """What a document is by its tables; empty where they do not tell."""
    if {"run", "claim"} <= document.keys():
        return "work"
    if "preset" in document:
        return "sweep" if {"grid", "list", "random", "search"} & document.keys() else ""
    return "preset" if {"data", "model", "training"} & document.keys() else ""


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML, whatever it holds.

    Raises:
        TOMLDecodeError: it is no TOML, or has a number of thousands of digits or values nested by the hundred.
    """
    if _LONG_KEY.search(text):
        raise tomllib.TOMLDecodeError(f"a key of more than {MOST_DOTS} parts")  # takes gigabytes of tomllib
    try:
        document = tomllib.loads(text)
        _check_numbers(document)
        return document
    except tomllib.TOMLDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        cause = "values nested too deeply" if isinstance(error, RecursionError) else str(error)
        cause = "a number of thousands of digits" if "digits" in cause else cause
        raise tomllib.TOMLDecodeError(cause) from error


_LINE = re.compile(r"^(?=\w+ = )", re.MULTILINE | re.ASCII)
_NUMBER_LINE = re.compile(r"(\w+) = ((?:0|[1-9]\d*)\.\d+(?:e-?\d\d)?)", re.ASCII)
_NO_ARGUMENTS = f"\n[{ARGUMENTS}]"
LARGEST_ALIKE = 1 << 14  # characters; a config has a tenth of that


def read_alike(text: str) -> tuple[RunConfig, dict[str, Any], str]:
    """`build_config`, `settings_of` and `fingerprint` of what `dump_config` wrote, for the configs of many runs: a
    table or a line that several share is parsed and checked once. A run with a learning rate of its own takes 60 us of
    CPU, and 600 as a whole. Raises TOMLDecodeError and ConfigError."""
    try:
        if len(text) < LARGEST_ALIKE and (found := _of_tables(text)) is not None:
            return found
    except (tomllib.TOMLDecodeError, ValidationError):
        pass  # said of the whole, or a line in a text, perhaps, that looks like the head of a table
    document = parse_toml(text)
    config = build_config(document)
    return config, settings_of(config), fingerprint(document)


def _of_tables(text: str) -> tuple[RunConfig, dict[str, Any], str] | None:
    """`read_alike` of a document whose tables stand behind empty lines; None where it has to be read as a whole. Raises
    TOMLDecodeError and ValidationError."""
    head, *others = text.replace(f"\n{_NO_ARGUMENTS}\n", f"{_NO_ARGUMENTS}\n").split("\n\n[")
    (values, words), tables = _parse_line(head), [*map(_read_table, others)]
    sections = {table.name: table.section for table in tables}
    if len(sections) < len(tables) or values.keys() != {NAME} or "" in sections:
        return None
    config = RunConfig.model_validate(values | sections)
    if config.training is not sections.get("training"):
        return None  # its shards were settled
    settings = _default_settings() | values if len(sections) < len(_sections()) else dict(values)
    for table in tables:
        settings.update(table.settings)
    return config, settings, _digest(f"{{{', '.join(sorted((words, *(table.words for table in tables))))}}}")


@dataclass(frozen=True)
class _Table:
    """A table of a config; without a name where it cannot be read by itself."""

    name: str = ""
    section: Section | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""
    """As they stand in what a fingerprint is made of."""


@lru_cache(maxsize=1024)
def _read_table(text: str) -> _Table:
    """The table of a text, whose first bracket is missing; raises TOMLDecodeError and ValidationError."""
    name, _, rest = text.partition("]\n")
    body = rest.rstrip("\n").removesuffix(_NO_ARGUMENTS)
    kind = _sections().get(name)
    if kind is None or "\n[" in f"\n{body}":
        return _Table()
    lines = _LINE.split(body) if "\n]" in body else body.split("\n")
    if len(body) < len(rest.rstrip("\n")):
        lines.append(f"{ARGUMENTS.partition('.')[2]} = {{}}")
    values: dict[str, Any] = {}
    words = []
    for found, said in map(_parse_line, lines):
        if said:
            values |= found
            words.append(said)
    if len(values) < len(words):
        return _Table()  # a key comes twice: a mistake, or a table in parts
    if name == "training":
        _keep_old_rules(values)
    section = kind.model_validate(values)
    known = vars(section)  # of a section all but tuples are as JSON has them
    settings = {key: _plain(known[leaf]) for leaf, key in _keys_in(name).items()}
    return _Table(name, section, settings, f'"{name}": {{{", ".join(sorted(words))}}}')


def _plain(value: Any) -> Any:
    return [*value] if isinstance(value, tuple) else value


@lru_cache(maxsize=4096)
def _parse_line(text: str) -> tuple[dict[str, Any], str]:
    """The key of a line with its value, and the words of both for a fingerprint."""
    if (number := _NUMBER_LINE.fullmatch(text)) is not None:  # a learning rate that no other run has
        key, value = number[1], float(number[2])
        return {key: value}, f'"{key}": {value!r}'
    values = parse_toml(text)
    return values, _in_order(values)[1:-1]


@cache
def _keys_in(section: str) -> dict[str, str]:
    """The keys of a section, dotted: thousands of runs share these words."""
    return {leaf: key for key, (name, leaf) in _leaves().items() if name == section and key != ARGUMENTS}


@cache
def _sections() -> dict[str, type[Section]]:
    """The tables of a config, by name."""
    found = {name: one.annotation for name, one in RunConfig.model_fields.items()}
    return {name: kind for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, Section)}


@cache
def _default_settings() -> dict[str, Any]:
    return settings_of(RunConfig())


def _check_numbers(value: Any) -> None:
    """Raise TOMLDecodeError for a whole number of more than 64 bits, which no message could show."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_numbers(item)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise tomllib.TOMLDecodeError("a whole number of more than 64 bits")


def build_config(
    document: dict[str, Any],
    overrides: dict[str, Any] | None = None,
    source: str = "config",
    asker: str | Mapping[str, str] = SET,
) -> RunConfig:
    """Validate a parsed document with overrides on top; raises ConfigError with source, key, value and what is allowed.

    Messages about the document begin with `source`, those about an override with `asker`, which may be one for each
    key; those that it leaves out were asked for by `--set`.
    """
    merged: dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    _keep_old_rules(merged.get("training"))
    for key, value in (overrides or {}).items():
        _put(merged, key, value)
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        askers = {key: asker if isinstance(asker, str) else asker.get(key, SET) for key in overrides or {}}
        raise ConfigError(explain(error, source, askers), "") from error


_EARLIER = TrainingSection.model_fields.keys() - {"auto_pause", "step_from", "devices", *ROUNDING}
"""Keys of [training] that the documents of every version have: all but those that came later."""


def _keep_old_rules(training: Any) -> None:
    """Let a run of an earlier version go on, or be repeated, as it began: its document names every key there was, its
    steps were counted from the first epoch, its batches were computed whole, transposed convolutions directly, and the
    smallest numbers were kept."""
    if not isinstance(training, dict) or not training.keys() >= _EARLIER:
        return
    training.setdefault("shards", 0)
    training.setdefault("transposed", "direct")
    training.setdefault("subnormals", "kept")
    if training["schedule"] == "step" and training["warmup"]:
        training.setdefault("step_from", "start")


def parse_override(text: str) -> tuple[str, Any]:
    """Split `training.epochs=5` into a dotted key and a value; raises ConfigError without an equals sign."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{SET} {text}: not KEY=VALUE", f"write e.g. {SET} training.epochs=5")
    return key.strip(), parse_value(value)


def parse_value(text: str) -> Any:
    """The value that a text is in TOML; a bare word is a string, but for `.5`."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        word = text.strip()
        return float(word) if _LOOSE_NUMBER.fullmatch(word) else word


def read_value(setting: Setting, text: str) -> Any:
    """What somebody typed as the value of a setting: words as they are, the items of a list with commas or blanks
    between them, the rest as TOML; whether the setting may have that value is for `build_config` to say."""
    text = text.strip()
    if setting.many:
        items = text.strip("[]()").split(",") if setting.kind is str else text.strip("[]()").replace(",", " ").split()
        return [read_value(replace(setting, many=False), item) for item in items if item.strip()]
    if setting.kind is str or (setting.choices and setting.kind is not bool):
        return text
    return parse_value(text)


def typed(value: Any) -> str:
    """A value as somebody would type it; read again it is the very same, else one that nobody touched would change."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(typed, value))
    if value is None:
        return ""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def find_settings(settings: Sequence[Setting], words: str) -> list[Setting]:
    """The settings in whose key, sentence or choices all of these words stand, or what people call a key elsewhere,
    such as `lr`."""
    short = {key: name for name, key in _SHORT.items()}

    def plain(text: str) -> str:
        return text.casefold().replace("-", "").replace("_", "")

    def said(setting: Setting) -> str:
        return plain(" ".join((setting.key, setting.sentence, *setting.choices, short.get(setting.key, ""))))

    asked = plain(words).split()
    return [setting for setting in settings if all(word in said(setting) for word in asked)]


def dump_config(config: RunConfig) -> str:
    """The complete TOML document of a config; `build_config` of it gives the same config back."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json"))


def fingerprint(document: Mapping[str, Any]) -> str:
    """The digest of what a parsed document says: comments, blanks and the order of keys do not count."""
    return _digest(_in_order(document))


def _in_order(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


def settings_of(config: RunConfig) -> dict[str, Any]:
    """Every dotted key of a config with its value, `model.arguments.NAME` among them."""
    known = config.model_dump(mode="json")
    found = {NAME: known[NAME], **{key: known[section][leaf] for key, (section, leaf) in _leaves().items()}}
    arguments = found.pop(ARGUMENTS)
    return found | {f"{ARGUMENTS}.{name}": value for name, value in arguments.items()} if arguments else found


@cache
def _leaves() -> dict[str, list[str]]:
    """Each dotted key with its two parts: thousands of runs share these words."""
    return {key: key.split(".", 1) for key in dotted_keys()}


def value_text(value: Any, key: str = "") -> str:
    """A value as a preset writes it, without quotes; no list of classes, where the `key` says that it is one, is all
    of them."""
    if key == "data.classes" and value == []:
        return "all"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{','.join(value_text(item) for item in value)}]"
    return "–" if value is None else str(value)


def counted(count: int, noun: str) -> str:
    """`1 run`, `1,400 runs`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


_CLEAR = ("data", "model", ARGUMENTS, "training")
"""Sections whose keys say by themselves what they are."""
_WORDS = {"noise.level": "noise"}


def short_key(key: str) -> str:
    """A dotted key in the shortest word that a reader understands: `latent`, `noise`, `checkpoint.every`."""
    section, _, leaf = key.rpartition(".")
    return _WORDS.get(key) or (leaf if section in _CLEAR else key)


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """The shortest word of each dotted key, whole where another of these has the same word."""
    count = Counter(map(short_key, keys))
    return {key: word if count[word := short_key(key)] == 1 else key for key in keys}


def _put(document: dict[str, Any], dotted: str, value: Any) -> None:
    section, dot, key = dotted.partition(".")
    if not dot:
        document[section] = value
        return
    table = document.setdefault(section, {})
    if not isinstance(table, dict):
        tables = dict.fromkeys(name.partition(".")[0] for name in dotted_keys())
        hint = f"the tables are {', '.join(tables)}: [training] in a file, training.epochs=5 for --set"
        raise ConfigError(f"{dotted}: '{section}' is not a table", hint)
    name, dot, argument = key.partition(".")
    if dot and f"{section}.{name}" == ARGUMENTS and isinstance(table.get(name, {}), dict):
        table[name] = {**table.get(name, {}), argument: value}
    else:
        table[key] = value


# What is wrong with a document.


def explain(error: ValidationError, source: str, askers: dict[str, str]) -> str:
    """One line a mistake: where, key, value, what is allowed."""
    lines: list[str] = []
    for item in error.errors(include_url=False):
        parts = [str(part) for part in item["loc"]]
        # Unions add the name of each member to the location; the key ends before it.
        depth = 3 if parts[:2] == ARGUMENTS.split(".") else 2 if parts and parts[0] in RunConfig.model_fields else 1
        key = ".".join(parts[:depth])
        # A mistake between keys has no key of its own: with overrides in play the file may be innocent.
        asked = [asker for name, asker in askers.items() if name == key or name.startswith(f"{key}.")]
        prefix = asked[0] if asked else source if key or not askers else ""
        line = f"{prefix}: {_reason(key, item)}" if prefix else _reason(key, item)
        if not any(line.partition(" = ")[0] == seen.partition(" = ")[0] for seen in lines):
            lines.append(line)
    return "\n".join(lines)


def _reason(key: str, item: Any) -> str:
    kind, context, value = item["type"], item.get("ctx", {}), _brief(item["input"])
    if kind == "extra_forbidden":
        return f"unknown key '{key}'{_meant_key(key)}"
    if key.startswith(f"{ARGUMENTS}."):
        return f"{key} = {value}: a number, a word, true or false, or a list of them, under the name of an argument"
    if kind == "model_type":
        return f"{key} = {value}: should be a table of keys"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error" and key != "data.validation":
        allowed = re.findall(r"'([^']+)'", context["expected"])
        return f"{key} = {value}: allowed: {', '.join(allowed)}{did_you_mean(str(item['input'])[:MOST_VALUE], allowed)}"
    return f"{key} = {value}: {_ALLOWED.get(key, in_plain_words(item['msg']))}"


def _brief(value: Any) -> str:
    """A value as Python writes it, the middle of a long one left out."""
    text = repr(value)
    return text if len(text) <= MOST_VALUE else f"{text[: MOST_VALUE - 20]}…{text[-19:]}"


_ALLOWED = {
    "name": f"allowed: {NAME_WORDS}",
    "model.code": f"should be {CODE_WORDS}",
    ARGUMENTS: "should be a table, as { width = 32 }",
    "training.device": "allowed: auto, cpu, cuda, cuda:N, mps",
    "data.validation": 'should be "test", "val" or a fraction between 0 and 1',
}

_SHORT = {
    "lr": "training.learning_rate",
    "bs": "training.batch_size",
    "wd": "training.weight_decay",
    "optim": "training.optimizer",
}
"""What people call keys elsewhere, which no spelling is near."""


def _meant_key(key: str) -> str:
    """` (did you mean 'x'?)` with the nearest key, one of the same section first; empty when none is near."""
    section, dot, _ = key.partition(".")
    if not dot:
        return did_you_mean(key, known_keys())
    own = [name for name in dotted_keys() if name.startswith(f"{section}.")]
    return did_you_mean(key, own) or did_you_mean(key, dotted_keys())


def known_keys() -> list[str]:
    """Every dotted key of the document."""
    keys = ["name"]
    for section, kind in _sections().items():
        keys += [section, *(f"{section}.{key}" for key in kind.model_fields)]
    return keys


def dotted_keys() -> list[str]:
    """Every key that stands in a section."""
    return [key for key in known_keys() if "." in key]


def keys_named(word: str) -> list[str]:
    """The dotted keys that a word names: their own, their shortest, or one without its section; an argument's own."""
    if word.startswith(f"{ARGUMENTS}."):
        return [word]
    return [key for key in dotted_keys() if word in (key, key.partition(".")[2], short_key(key))]


def did_you_mean(word: str, allowed: list[str]) -> str:
    """Returns ` (did you mean 'x'?)`, or nothing where no allowed word is near; dotted words go by their ends."""
    leaf = word.rpartition(".")[2]
    leaves = {name.rpartition(".")[2]: name for name in reversed(allowed)}
    near = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.6)
    meant = _SHORT[leaf] if _SHORT.get(leaf) in allowed else leaves[near[0]] if near else ""
    return f" (did you mean '{meant}'?)" if meant else ""
