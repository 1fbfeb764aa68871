"""Finding runs by typed words: words and `key:value` for many, an id or a name for one."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuiae.config import did_you_mean, dotted_keys, keys_named
from tuiae.errors import UnknownRunError
from tuiae.files import read_json
from tuiae.runs.labels import read_label, tags_of
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import LIVE_STATES, RunPaths, check_runs_dir, is_run, list_runs, undated
from tuiae.runs.reader import read_config, read_status
from tuiae.runs.snapshot import ago

Ask = Callable[[RunRow], Any]
Test = Callable[[RunRow], bool]
HELP = "words, key:value, latent:>=16, accuracy:>93, NOT word, a OR b, (a OR b) c"
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
    "speed": lambda row: row.status.images_per_second,
    "time": lambda row: row.status.elapsed,
    "age": lambda row: max(time.time() - row.status.heartbeat, 0.0) if row.status.heartbeat else None,
}
TIMES = ("time", "age")
"""The fields in seconds, of which people say `1:30`, `20min`, `2h` or `3d`."""
NUMBERS = ("epoch", "epochs", "step", "loss", "best", "accuracy", "speed", *TIMES)
ALSO = {"rate": "learning_rate", "lr": "learning_rate", "batch": "batch_size"}
"""What people call a setting elsewhere -> its key."""
PERCENT = ("accuracy",)
"""The fields that lists print in per cent: a number from 1 on is meant so, a smaller one as a share, as JSON has it."""
STATES = (*LIVE_STATES, "finished", "stopped", "pruned", "failed", "lost")
_TEXT = ("name", "state", "dataset", "model", "device", "tag", "note")
"""The fields in which a word without a key is looked for."""
_FREE = ("name", "id", "note")
"""The fields whose values are always looked for in parts."""
_TERM = re.compile(
    r"""(?P<bracket>-?\(|\)) | (?P<minus>-(?=\S))?
    (?P<word>(?:(?P<key>[^\s":()<>=!]+)(?::|\s*(?=[<>=]|!=)))? (?P<value>(?:(?:[<>]=?|!?=)\s*)?(?:"[^"]*"?|[^\s()]*)))
    """,
    re.VERBOSE,
)
_SIGNS = "<>=!"
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
    "!=": lambda value, bound: not math.isclose(value, bound, rel_tol=SAME),
    ">": lambda value, bound: value > bound,
    "<": lambda value, bound: value < bound,
    "=": lambda value, bound: math.isclose(value, bound, rel_tol=SAME),
}


def _joined(join: Callable[[Iterable[bool]], bool], tests: Iterable[Test | None]) -> Test | None:
    """One test of several, by `all` or `any`; None where there is none."""
    kept = [test for test in tests if test is not None]
    return (lambda row: join(test(row) for test in kept)) if kept else None


@dataclass(frozen=True)
class Query:
    """A parsed query; without a test it finds every run."""

    test: Test | None = None
    problem: str = ""
    """A sentence about a part that means nothing; the others hold all the same."""
    ranges: tuple[str, ...] = ()
    """The keys of which a range of values is asked for, such as `latent` in `latent:>=16`."""

    def find(self, rows: Iterable[RunRow]) -> tuple[RunRow, ...]:
        """The rows that match, in their order."""
        return tuple(filter(self.test, rows) if self.test is not None else rows)


def parse_query(text: str, rows: Sequence[RunRow] = ()) -> Query:
    """Parse a query; never fails, because people see results while they type.

    Terms beside each other must all hold. `OR` binds less, `NOT` and `-` bind more, and parentheses group. `rows` say
    which words are tags, and which are whole values: `dataset:mnist` is not `fashion-mnist` where some run has the one,
    and a part of the other where none has.
    """
    return _Parser(text, rows).parse()


class _Parser:
    """Takes the terms of a query from left to right. What means nothing, or is still being typed, has no test."""

    def __init__(self, text: str, rows: Sequence[RunRow]) -> None:
        self._terms = [match for match in _TERM.finditer(text) if match[0].strip()]
        self._rows = rows
        self._problem = ""
        self._ranges: list[str] = []

    def parse(self) -> Query:
        test = self._alternatives()
        while self._terms:
            self._terms.pop(0)
            self._complain("a parenthesis is closed that was never opened")
            test = _joined(all, [test, self._alternatives()])
        return Query(test, self._problem, tuple(self._ranges))

    def _complain(self, problem: str) -> None:
        self._problem = self._problem or problem

    @property
    def _ends(self) -> bool:
        """Whether no term follows that belongs to the ones before it."""
        return not self._terms or self._next in (")", "OR")

    @property
    def _next(self) -> str:
        """The next term; `or` is OR, and only `"or"` is a word to find."""
        words: str = self._terms[0][0].strip()
        return words.upper() if words.upper() in ("AND", "OR", "NOT") else words

    def _alternatives(self) -> Test | None:
        tests = [self._together()]
        while self._terms and self._next == "OR":
            self._terms.pop(0)
            if tests[-1] is None or self._ends:
                self._complain("OR needs a term on both sides: latent:8 OR latent:16")
            tests.append(self._together())
        return _joined(any, tests)

    def _together(self) -> Test | None:
        tests = []
        while not self._ends:
            tests.append(self._one())
        return _joined(all, tests)

    def _one(self) -> Test | None:
        """A term, a group or what `NOT` leaves of one."""
        word, term = self._next, self._terms.pop(0)
        outside = bool(term["minus"]) or word in ("NOT", "-(")
        if word == "AND":
            return None  # as it is without
        if word == "NOT":
            if self._ends:
                self._complain("NOT needs a term behind it: NOT state:failed")
            test = None if self._ends else self._one()
        elif term["bracket"]:
            test = self._alternatives()
            if self._terms:
                self._terms.pop(0)
            else:
                self._complain("a parenthesis is never closed")
        else:
            test = self._test(term["key"] or "", term["value"].replace('"', ""), term["word"])
        return (lambda row: not test(row)) if outside and test is not None else test

    def _test(self, key: str, value: str, word: str) -> Test | None:
        ask = _field(key, self._rows) if key else None
        if ask is None:
            # Studies tag their runs `work:NAME`: such a word is no key.
            if key and not any(tag.startswith(word) for row in self._rows for tag in row.tags):
                self._complain(f"unknown key '{key}'{did_you_mean(key, [*FIELDS, *dotted_keys()])}")
                return None
            return _contains(word.replace('"', ""))
        if not value.lstrip(_SIGNS).strip():
            self._complain(f"{word} needs a value")
            return None
        if wrong := _mistake(key, value, self._rows, ask):
            self._complain(wrong)
            return None
        if value.startswith(("<", ">", "!")):
            own = any(key in row.settings for row in self._rows)  # of a tracked run, which may call one of its own so
            self._ranges.append(key if own else ALSO.get(key, key))
        exact = key not in _FREE and any(value.casefold() in _texts(ask(row)) for row in self._rows)
        return _compares(ask, value, exact, key)


def _mistake(key: str, value: str, rows: Sequence[RunRow], ask: Ask) -> str:
    """The mistake in a value, in words; empty where some run may have it."""
    bare = value.lstrip(_SIGNS).strip()
    is_number = key in NUMBERS or value.startswith(("<", ">"))
    if not is_number and key not in FIELDS and (found := [known for row in rows if (known := ask(row)) is not None]):
        is_number = all(isinstance(known, (int, float)) and not isinstance(known, bool) for known in found)
    if is_number and _number(bare, key) is None:
        low, dots, high = bare.partition("..")
        both = f"; write {key}:>={low} {key}:<={high}" if dots and low and high else ""
        return f"{key}:{value}: '{bare}' is no number{both}"
    if key == "state":
        states = dict.fromkeys((*STATES, *(row.status.state for row in rows)))
        if not any(bare.casefold() in state for state in states):
            return f"no run is ever '{bare}'{did_you_mean(bare, list(states))}: it is {', '.join(STATES)}"
    return ""


def _field(key: str, rows: Sequence[RunRow]) -> Ask | None:
    """The field that a key names: one of the list, a dotted key of a config or a tracked run, or its end, or a metric
    that some run has."""
    if key in FIELDS:
        return FIELDS[key]
    own = (name for row in rows if row.status.tracked for name in row.settings if f".{name}".endswith(f".{key}"))
    if not (matches := list(dict.fromkeys((*keys_named(ALSO.get(key, key)), *own)))):
        measured = any(key in row.metrics for row in rows)
        return (lambda row: row.metrics.get(key)) if measured else None
    return lambda row: next((row.settings_now[name] for name in matches if name in row.settings_now), None)


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


def _compares(ask: Ask, value: str, exact: bool, key: str) -> Test:
    sign = next((sign for sign in _OPERATORS if value.startswith(sign)), "")
    rest = value.removeprefix(sign).strip()
    bound, folded, holds = _number(rest, key), rest.casefold(), _OPERATORS[sign or "="]

    def test(row: RunRow) -> bool:
        found = ask(row)
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            return bound is not None and holds(found, bound)
        texts = _texts(found)
        if sign == "!=":
            return bool(texts) and folded not in texts
        return folded in texts if exact or sign == "=" else not sign and any(folded in text for text in texts)

    return test


_UNITS = {"": 1, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}


def _number(text: str, key: str = "") -> float | None:
    """The number in `0.01`, `1e-3` or `97%`, and for the TIMES in `1:30` or `2h`; None for anything else. Of the
    PERCENT, 97 is 97% as well."""
    found = re.fullmatch(r"([\d.:]+)\s*([a-z]*)", text) if key in TIMES else None
    if key in TIMES and (found is None or found[2] not in _UNITS):
        return None
    try:
        if found is not None:
            parts = [float(part) for part in found[1].split(":")]
            return sum(part * 60**place for place, part in enumerate(reversed(parts))) * _UNITS[found[2]]
        number = float(text.removesuffix("%"))
    except ValueError:
        return None
    return number / 100 if text.endswith("%") or (key in PERCENT and number >= 1) else number


def find_tagged(tag: str, root: Path) -> list[RunPaths]:
    """Every run that carries a tag, oldest first; raises UnknownRunError where none does."""
    if found := [run for run in reversed(list_runs(root)) if tag in tags_of(run)]:
        return found
    raise UnknownRunError(f"no run in {root} carries the tag '{tag}'", "`tuiae sweep` tags the runs that it makes")


def find_run(text: str, root: Path, states: Collection[str] = ()) -> RunPaths:
    """The run of a path, `last`, an id, a display name, or a unique beginning of either (of an id with or without its
    date); of several the one that is in one of these `states`, if only one is. Raises UnknownRunError where none or
    several match."""
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
        names = [*(undated(run.id) for run in reversed(runs)), *filter(None, (read_label(run).name for run in runs))]
        cause = f"no run matches '{text}' in {root}{did_you_mean(text, names)}"
        raise UnknownRunError(cause, "`tuiae runs` lists them")
    if states and len(meant := [run for run in matches if read_status(run).state in states]) == 1:
        return meant[0]
    shown = ", ".join(map(_id_and_state, matches[:3])) + (", ..." if len(matches) > 3 else "")
    newest = _short(matches[0], runs) + (" or last" if matches[0] == runs[0] else "")
    raise UnknownRunError(f"'{text}' matches {len(matches)} runs: {shown}", f"the newest of them is {newest}")


def _id_and_state(run: RunPaths) -> str:
    """`20261120-100000-denoise-a3f9 (finished 2 h ago)`, `(running)`."""
    status = read_status(run)
    since = f" {ago(time.time() - status.heartbeat)} ago" if status.heartbeat and not status.live else ""
    return f"{run.id} ({status.state}{since})"


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
