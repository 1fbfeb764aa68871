"""What is wrong with a document, in words a person can act on."""

from __future__ import annotations

import difflib
import re
from typing import Any

from pydantic import ValidationError

from tuiae.config.schema import NAME_WORDS, RunConfig, Section


def explain(error: ValidationError, source: str, askers: dict[str, str]) -> str:
    """One line a mistake: where, key, value, what is allowed."""
    lines: list[str] = []
    for item in error.errors(include_url=False):
        parts = [str(part) for part in item["loc"]]
        # Unions add the name of each member to the location; the key ends before it.
        key = ".".join(parts[: 2 if parts and parts[0] in RunConfig.model_fields else 1])
        # A mistake between keys has no key of its own: with overrides in play the file may be innocent.
        asked = [asker for name, asker in askers.items() if name == key or name.startswith(f"{key}.")]
        prefix = asked[0] if asked else source if key or not askers else ""
        line = f"{prefix}: {_reason(key, item)}" if prefix else _reason(key, item)
        if not any(line.partition(" = ")[0] == seen.partition(" = ")[0] for seen in lines):
            lines.append(line)
    return "\n".join(lines)


def _reason(key: str, item: Any) -> str:
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key '{key}'{_meant_key(key)}"
    if kind == "model_type":
        return f"{key} = {value!r}: should be a table of keys"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error" and key != "data.validation":
        allowed = re.findall(r"'([^']+)'", context["expected"])
        return f"{key} = {value!r}: allowed: {', '.join(allowed)}{did_you_mean(str(value), allowed)}"
    if kind == "string_pattern_mismatch":
        return f"{key} = {value!r}: allowed: {_PATTERN_WORDS.get(key, context['pattern'])}"
    return f"{key} = {value!r}: {_ALLOWED.get(key, item['msg'].lower().replace('input ', ''))}"


_PATTERN_WORDS = {
    "training.device": "auto, cpu, cuda, cuda:N, mps",
    "name": NAME_WORDS,
}
_ALLOWED = {"data.validation": 'should be "test" or a fraction between 0 and 1'}


_SHORT = {
    "lr": "training.learning_rate",
    "bs": "training.batch_size",
    "wd": "training.weight_decay",
    "optim": "training.optimizer",
}
"""What people call keys elsewhere, which no spelling is near."""


def _meant_key(key: str) -> str:
    """A key of the same section before one of another; a section is never what a key was meant to be."""
    section, dot, leaf = key.partition(".")
    keys = known_keys()
    if meant := _SHORT.get(key.rpartition(".")[2]):
        return f" (did you mean '{meant}'?)"
    if not dot:
        return did_you_mean(key, keys)
    dotted = [name for name in keys if "." in name]
    for group in ([name for name in dotted if name.startswith(f"{section}.")], dotted):
        leaves = {name.rpartition(".")[2]: name for name in reversed(group)}
        near = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.6)
        if near:
            return f" (did you mean '{leaves[near[0]]}'?)"
    return ""


def known_keys() -> list[str]:
    """Every dotted key of the document."""
    keys = ["name"]
    for section, field in RunConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys += [section, *(f"{section}.{key}" for key in field.annotation.model_fields)]
    return keys


def did_you_mean(word: str, allowed: list[str]) -> str:
    """` (did you mean 'x'?)`, or nothing when no allowed word is near."""
    if (meant := _SHORT.get(word.rpartition(".")[2])) in allowed:
        return f" (did you mean '{meant}'?)"
    tails = {name.rpartition(".")[2]: name for name in reversed(allowed)}
    if meant := tails.get(word.rpartition(".")[2]):
        return f" (did you mean '{meant}'?)"  # of another section
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    if not near:
        near = [tails[tail] for tail in difflib.get_close_matches(word.rpartition(".")[2], tails, n=1, cutoff=0.6)]
    return f" (did you mean '{near[0]}'?)" if near else ""
