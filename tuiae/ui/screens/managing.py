"""What people write on runs from their list, and how they delete them there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tuiae.errors import TuiaeError
from tuiae.render.text import clean, megabytes, shorten_middle
from tuiae.runs.labels import Label, check_label, check_tags, read_label, relabel, write_label
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import RunPaths
from tuiae.runs.removal import check_removable, delete_run, dependents, size_of
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.screens.dialogs import ChoiceDialog, LineDialog, NoteDialog, in_front

NAMED = 6  # runs that the question about deleting names one by one
MISSED = 3  # and of the runs that were made from them, which take a line or two each


def change_labels(
    screen: BaseScreen, rows: Sequence[RunRow], change: Callable[[RunPaths], object], told: str = ""
) -> None:
    """Change the labels of runs, which the next look at the list shows, and tell of it."""
    if all(screen.attempt(change, RunPaths(row.path)) for row in rows) and told:
        screen.message.tell(told, "good")
    if screen.feed is not None:
        screen.feed.hurry()


def ask_name(screen: BaseScreen, row: RunRow) -> None:
    """Ask what to call a run."""
    question = f"What to call {clean(row.id, 50)}? Empty takes the name away."
    dialog = LineDialog("name", question, row.name, lambda text: check_label(Label(name=text)))
    screen.show_dialog(dialog, lambda text: change_labels(screen, [row], lambda run: relabel(run, name=text)))


def ask_note(screen: BaseScreen, row: RunRow) -> None:
    """Ask what to remember of a run."""
    question = f"About {clean(row.title, 50)}."
    dialog = NoteDialog("note", question, row.note, lambda text: check_label(Label(note=text)))
    screen.show_dialog(dialog, lambda text: change_labels(screen, [row], lambda run: relabel(run, note=text)))


def ask_tags(screen: BaseScreen, rows: Sequence[RunRow]) -> None:
    """Ask for all the tags of one run; of several runs for tags to add and, with a minus, to take away."""
    number = len(rows)

    def take(text: str) -> None:
        words = text.split()
        if number == 1:
            told = f"tags of 1 run: {' '.join(words)}" if words else "1 run has no tags now"
            change_labels(screen, rows, lambda run: write_label(run, replace(read_label(run), tags=tuple(words))), told)
            return
        less = [word[1:] for word in words if word.startswith("-")]
        more = [word for word in words if not word.startswith("-")]
        parts = [("set on", more), ("taken from", less)]
        told = " · ".join(f"{' '.join(tags)} {verb} {number} runs" for verb, tags in parts if tags)
        change_labels(screen, rows, lambda run: relabel(run, tag=more, untag=less), told)

    question, value = f"Tags to add to {number} runs; -TAG takes one away", ""
    if number == 1:
        question, value = f"Tags of {clean(rows[0].title, 50)}, words with blanks between", " ".join(rows[0].tags)

    def check(text: str) -> object:
        return check_tags([word.removeprefix("-") for word in text.split()])

    screen.show_dialog(LineDialog("tags", question, value, check, goes_on=True), take)


# Deleting: what is read and removed on the disk is done in a thread.


async def delete_after_question(screen: BaseScreen, rows: Sequence[RunRow], others: Sequence[RunRow]) -> None:
    """Delete runs, if they can be deleted and the answer to what would go is yes; tell what became of it. `others` are
    runs that may have been made from them."""
    root, runs = screen.session.root, [RunPaths(row.path) for row in rows]
    try:
        sizes = await asyncio.to_thread(_removable_sizes, runs, root)
    except TuiaeError as error:
        if in_front(screen):
            screen.message.tell(str(error), "bad")
        return
    if not in_front(screen):
        return  # somebody has gone on to something else meanwhile
    question = removal_question(rows, sizes, dependents({row.id for row in rows}, others))
    answers = [("cancel", "Keep"), ("delete", f"Delete, {megabytes(sum(sizes))}")]
    if await screen.app.push_screen_wait(ChoiceDialog("delete", question, answers)) != "delete":
        return
    screen.message.tell(f"deleting {len(rows)} {'run' if len(rows) == 1 else 'runs'}…")
    gone, problem = await asyncio.to_thread(_delete, runs, root)
    words = f"{gone} {'run is' if gone == 1 else 'runs are'} deleted" if gone else ""
    screen.message.tell("; ".join(filter(None, (words, problem))), "bad" if problem else "good")


def _removable_sizes(runs: Sequence[RunPaths], root: Path) -> list[int]:
    """Bytes that deleting each of the runs would free.

    Raises:
        TuiaeError: one of them cannot be deleted.
    """
    for run in runs:
        check_removable(run, root)
    return [size_of(run) for run in runs]


def _delete(runs: Sequence[RunPaths], root: Path) -> tuple[int, str]:
    """Delete runs up to the first that cannot be; returns how many are gone, and why that one is not."""
    for gone, run in enumerate(runs):
        try:
            delete_run(run, root)
        except TuiaeError as error:
            return gone, str(error)
    return len(runs), ""


def removal_question(rows: Sequence[RunRow], sizes: Sequence[int], missed: Sequence[str] = ()) -> str:
    """What would go, run by run while they are few, and in all; `missed` says which runs were made from them."""
    lines = [f"{_id_and_name(row)}  {megabytes(size)}" for row, size in zip(rows, sizes, strict=True)]
    needed = ["", *_first([clean(words, 120) for words in missed], MISSED)] if missed else []
    ending = "Delete it for good?" if len(lines) == 1 else f"Delete these {len(lines)} runs for good?"
    return "\n".join([*_first(lines, NAMED), *needed, "", ending])


def _first(lines: list[str], most: int) -> list[str]:
    return [*lines[:most], f"and {len(lines) - most} more"] if len(lines) > most else lines


def _id_and_name(row: RunRow) -> str:
    """The id, which no other run has, behind the name that people know it by."""
    run_id = shorten_middle(clean(row.id), 48)
    return f"{clean(row.name, 20)}, {run_id}" if row.name else run_id
