"""Finding runs by typed words: words and `key:value` for many, an id or a name for one."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuiae.config import did_you_mean, known_keys
from tuiae.errors import UnknownRunError
from tuiae.files import read_json
from tuiae.runs.labels import read_label
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import LIVE_STATES, RunPaths, check_runs_dir, is_run, list_runs, undated
from tuiae.runs.reader import read_config

Ask = Callable[[RunRow], Any]
HELP = "words, or key:value as in state:running dataset:mnist tag:x latent:8 loss:<0.01 epochs:>10; -word leaves out"
SAME = 1e-3  # relative: `loss:0.0115` finds what is shown as 0.01151

FIELDS: dict[str, Ask] = {
    "state": lambda row: row.status.state,
    "name": lambda row: (row.name, row.preset, row.id),
    "id": lambda row: row.id,
    "preset": lambda row: row.preset,
    "dataset": lambda row: row.dataset,
    "model": lambda row: row.model,
    "device": lambda row: row.status.device,
    "host": lambda row: row.host,
    "tag": lambda row: row.tags,
    "note": lambda row: row.note,
    "parent": lambda row: row.parent,
    "pinned": lambda row: row.pinned,
    "epoch": lambda row: row.status.epoch,
    "epochs": lambda row: row.status.epochs,
    "step": lambda row: row.status.step,
    "loss": lambda row: row.status.test_loss,
    "best": lambda row: row.best,
    "accuracy": lambda row: row.status.test_accuracy,
}
NUMBERS = ("epoch", "epochs", "step", "loss", "best", "accuracy")
STATES = (*LIVE_STATES, "finished", "stopped", "failed", "lost")
_TEXT = ("name", "state", "dataset", "model", "device", "tag", "note")
"""Where a word without a key is looked for."""
_FREE = ("name", "id", "note")
"""Whose values are always looked for in parts."""
_DOTTED = [key for key in known_keys() if "." in key]
_TERM = re.compile(r'-?(?:[^\s":]+:)?(?:"[^"]*"?|\S+)|\S+')
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    "<": lambda value, bound: value < bound,
    "=": lambda value, bound: math.isclose(value, bound, rel_tol=SAME),
}


@dataclass(frozen=True)
class Query:
    """A parsed query: a run matches when every test holds."""

    tests: tuple[Callable[[RunRow], bool], ...] = ()
    problem: str = ""
    """A sentence about a term that means nothing; the others hold all the same."""

    def find(self, rows: Iterable[RunRow]) -> tuple[RunRow, ...]:
        """The rows that match, in their order."""
        return tuple(row for row in rows if all(test(row) for test in self.tests))


def parse_query(text: str, rows: Sequence[RunRow] = ()) -> Query:
    """Parse a query; never fails, because people see results while they type.

    `rows` say which words are tags, and which are whole values: `dataset:mnist` is not `fashion-mnist` where some run
    has the one, and a part of the other where none has.
    """
    tests, problem = [], ""
    for term in _TERM.findall(text):
        outside = term.startswith("-") and len(term) > 1
        word = term[1:] if outside else term
        key, colon, value = word.partition(":")
        value = value.strip('"')
        ask = _field(key) if colon and key else None
        # Studies tag their runs `work:NAME`: such a word is no key.
        is_tag = any(tag.startswith(word) for row in rows for tag in row.tags)
        if ask is None and colon and key and not is_tag:
            known = [*FIELDS, *_DOTTED, *(name.partition(".")[2] for name in _DOTTED)]
            problem = problem or f"unknown key '{key}'{did_you_mean(key, known)}"
            continue
        if ask is not None and not value.lstrip("<>="):
            continue  # still being typed
        if ask is not None and (wrong := _mistake(key, value, rows)):
            problem = problem or wrong
            continue
        if ask is None:
            test = _contains(word.strip('"'))
        else:
            exact = key not in _FREE and any(value.casefold() in _texts(ask(row)) for row in rows)
            test = _compares(ask, value, exact)
        tests.append((lambda row, test=test: not test(row)) if outside else test)
    return Query(tuple(tests), problem)


def _mistake(key: str, value: str, rows: Iterable[RunRow]) -> str:
    """The mistake in a value, in words; empty where some run may have it."""
    bare = value.lstrip("<>=")
    if (key in NUMBERS or value.startswith(("<", ">"))) and _number(bare) is None:
        return f"{key}:{value}: '{bare}' is no number"
    if key == "state":
        states = dict.fromkeys((*STATES, *(row.status.state for row in rows)))
        if not any(bare.casefold() in state for state in states):
            return f"no run is ever '{bare}'{did_you_mean(bare, list(states))}: it is {', '.join(STATES)}"
    return ""


def _field(key: str) -> Ask | None:
    """The field that a key names: one of the list, a dotted key of the config, or the end of one."""
    if key in FIELDS:
        return FIELDS[key]
    matches = [name for name in _DOTTED if key in (name, name.partition(".")[2])]
    if not matches:
        return None
    return lambda row: next((row.settings[name] for name in matches if name in row.settings), None)


def _contains(word: str) -> Callable[[RunRow], bool]:
    folded = word.casefold()
    return lambda row: any(folded in text for name in _TEXT for text in _texts(FIELDS[name](row)))


def _texts(value: Any) -> tuple[str, ...]:
    """The words that may be typed for a value, in lower case."""
    if value is None:
        return ()
    if isinstance(value, tuple):
        return tuple(str(item).casefold() for item in value)
    if isinstance(value, list):
        return (",".join(str(item) for item in value).casefold(),)
    return (f"{value:g}" if isinstance(value, float) else str(value).casefold(),)


def _compares(ask: Ask, value: str, exact: bool) -> Callable[[RunRow], bool]:
    sign = next((sign for sign in _OPERATORS if value.startswith(sign)), "")
    rest = value.removeprefix(sign)
    bound, folded, holds = _number(rest), rest.casefold(), _OPERATORS[sign or "="]

    def test(row: RunRow) -> bool:
        found = ask(row)
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            return bound is not None and holds(found, bound)
        texts = _texts(found)
        return folded in texts if exact or sign == "=" else not sign and any(folded in text for text in texts)

    return test


def _number(text: str) -> float | None:
    """The number in `0.01`, `1e-3` or `97%`; None for anything else."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def find_run(text: str, root: Path) -> RunPaths:
    """The run of a path, `last`, an id, a display name, or a unique beginning of either (of an id with or without its
    date); raises UnknownRunError where none or several match."""
    path = Path(os.path.abspath(os.path.expanduser(text)))
    if (os.sep in text or text == ".") and is_run(path):
        return RunPaths(path)
    runs = list_runs(root)
    if not runs:
        check_runs_dir(root)
        raise UnknownRunError(f"no runs in {root}", "start one with `tuiae run`")
    if text == "last":
        return last_run(runs)
    matches = next(filter(None, _matches(text, runs)), []) if text else []
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise UnknownRunError(f"no run matches '{text}' in {root}", "`tuiae runs` lists them")
    shown = ", ".join(run.id for run in matches[:3]) + (", ..." if len(matches) > 3 else "")
    newest = _short(matches[0], runs) + (" or last" if matches[0] == runs[0] else "")
    raise UnknownRunError(f"'{text}' matches {len(matches)} runs: {shown}", f"the newest of them is {newest}")


def last_run(runs: Sequence[RunPaths]) -> RunPaths:
    """The first of one or more runs, newest first, that is not damaged; the first of all where every one is."""
    return next((run for run in runs if read_json(run.status) or read_config(run) is not None), runs[0])


def _matches(text: str, runs: Sequence[RunPaths]) -> Iterator[list[RunPaths]]:
    """The runs that a text can mean, the most literal reading first; labels are read only when needed."""
    yield [run for run in runs if run.id == text]
    names = {run: read_label(run).name for run in runs}
    yield [run for run in runs if names[run] == text]
    yield [run for run in runs if run.id.startswith(text)]
    yield [run for run in runs if undated(run.id).startswith(text) or names[run].startswith(text)]


def _short(run: RunPaths, runs: Sequence[RunPaths]) -> str:
    """The id without its date, where that means this run alone."""
    short = undated(run.id)
    return short if next(filter(None, _matches(short, runs))) == [run] else run.id
