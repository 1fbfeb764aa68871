"""Deleting runs from their list: looked at and removed in a thread, with a question between."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from textual import on
from textual.message import Message

from tuiae.errors import TuiaeError
from tuiae.runs.layout import RunPaths
from tuiae.runs.listing import RunRow
from tuiae.runs.removal import check_removable, delete_run, missed_by, size_of
from tuiae.ui.render.text import clean, megabytes, shorten_middle
from tuiae.ui.screens.dialogs import ChoiceDialog
from tuiae.ui.screens.listing import ListingScreen
from tuiae.ui.terminal.dialog import in_front
from tuiae.ui.widgets.run_table import RunTable

NAMED = 6  # runs that the question names one by one
MISSED = 3  # and of those that were made from them, which take a line or two each


class Weighed(Message):
    """What deleting some runs would free, in bytes; or why that cannot be."""

    def __init__(self, rows: Sequence[RunRow], sizes: Sequence[int], problem: str) -> None:
        super().__init__()
        self.rows, self.sizes, self.problem = rows, sizes, problem


class Deleted(Message):
    """So many runs are gone; or why the next one is not."""

    def __init__(self, count: int, problem: str) -> None:
        super().__init__()
        self.count, self.problem = count, problem


class Removing(ListingScreen):
    """A screen that deletes the runs that are meant."""

    _weighing = False

    @property
    def meant(self) -> tuple[RunRow, ...]:
        """The runs that an action is about."""
        raise NotImplementedError

    def action_delete(self) -> None:
        """Delete the selected runs, or the one under the cursor, after a question."""
        self.message.forget_trouble()
        if (rows := self.meant) and not self._weighing:
            self._weighing = True
            threading.Thread(target=self._weigh, args=(rows,), name="weigh", daemon=True).start()

    def _weigh(self, rows: Sequence[RunRow]) -> None:
        sizes, problem = [], ""
        try:
            for row in rows:
                check_removable(RunPaths(row.path), self.session.root)
                sizes.append(size_of(RunPaths(row.path)))
        except TuiaeError as error:
            problem = str(error)
        self.post_message(Weighed(rows, sizes, problem))

    @on(Weighed)
    def _ask(self, event: Weighed) -> None:
        self._weighing = False
        if not in_front(self):
            return  # one has gone on to something else meanwhile
        if event.problem:
            self.message.complain(event.problem)
            return
        missed = missed_by({row.id for row in event.rows}, self.query_one(RunTable).rows)
        question = removal_question(event.rows, event.sizes, missed)
        answers = [("cancel", "Keep"), ("delete", f"Delete, {megabytes(sum(event.sizes))}")]
        self.app.push_screen(ChoiceDialog("delete", question, answers), lambda answer: self._go(answer, event.rows))

    def _go(self, answer: str | None, rows: Sequence[RunRow]) -> None:
        if answer == "delete":
            self.message.say(f"deleting {len(rows)} {'run' if len(rows) == 1 else 'runs'}…", "quiet")
            threading.Thread(target=self._delete, args=(rows,), name="delete", daemon=True).start()

    def _delete(self, rows: Sequence[RunRow]) -> None:
        gone, problem = 0, ""
        try:
            for row in rows:
                delete_run(RunPaths(row.path), self.session.root)
                gone += 1
        except TuiaeError as error:
            problem = str(error)
        self.post_message(Deleted(gone, problem))

    @on(Deleted)
    def _deleted(self, event: Deleted) -> None:
        self._feed.hurry()
        words = f"{event.count} {'run is' if event.count == 1 else 'runs are'} deleted"
        if event.problem:
            self.message.complain(f"{words}; {event.problem}" if event.count else event.problem)
        else:
            self.message.insist(words, "good")


def removal_question(rows: Sequence[RunRow], sizes: Sequence[int], missed: Sequence[str] = ()) -> str:
    """What would go, run by run while they are few, and in all; and which runs would miss it."""
    lines = [f"{_named(row)}  {megabytes(size)}" for row, size in zip(rows, sizes, strict=True)]
    needed = ["", *_first([clean(words, 120) for words in missed], MISSED)] if missed else []
    ending = "Delete it for good?" if len(lines) == 1 else f"Delete these {len(lines)} runs for good?"
    return "\n".join([*_first(lines, NAMED), *needed, "", ending])


def _first(lines: list[str], most: int) -> list[str]:
    return [*lines[:most], f"and {len(lines) - most} more"] if len(lines) > most else lines


def _named(row: RunRow) -> str:
    """The id, as no other run has it, behind the name that people know it by."""
    run_id = shorten_middle(clean(row.id), 48)
    return f"{clean(row.name, 20)}, {run_id}" if row.name else run_id
