"""Finding the run that somebody means."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tuiae.errors import UnknownRunError
from tuiae.files import read_json
from tuiae.runs.labels import read_label
from tuiae.runs.layout import RunPaths, check_runs_dir, is_run, list_runs, undated


def find_run(text: str, root: Path) -> RunPaths:
    """Resolve a path, `last`, an id, a display name, or a unique beginning of either (of an id with or without its
    date) to a run.

    Raises:
        UnknownRunError: none or several match.
    """
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
    """The first of runs, newest first and at least one, that says anything; damaged ones are passed over while there is
    another."""
    from tuiae.runs.reader import read_config  # only here: it takes numpy along

    return next((run for run in runs if read_json(run.status) or read_config(run) is not None), runs[0])


def _matches(text: str, runs: Sequence[RunPaths]) -> Iterator[list[RunPaths]]:
    """The runs that a text can mean, in the order in which it is taken for something; labels are read when it comes to
    them."""
    yield [run for run in runs if run.id == text]
    names = {run: read_label(run).name for run in runs}
    yield [run for run in runs if names[run] == text]
    yield [run for run in runs if run.id.startswith(text)]
    yield [run for run in runs if undated(run.id).startswith(text) or names[run].startswith(text)]


def _short(run: RunPaths, runs: Sequence[RunPaths]) -> str:
    """The id without its date, where that means this run alone."""
    short = undated(run.id)
    return short if next(filter(None, _matches(short, runs))) == [run] else run.id
