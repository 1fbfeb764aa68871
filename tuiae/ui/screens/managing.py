"""A screen that is made of the runs there are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from textual import on
from textual.message import Message

from tuiae.errors import TuiaeError
from tuiae.render.text import clean, megabytes, shorten_middle
from tuiae.runs.checkpoints import all_checkpoints
from tuiae.runs.labels import Label, check_label, read_label, relabel, write_label
from tuiae.runs.lineage import repeat_line
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import RunPaths, need_run
from tuiae.runs.reader import read_status
from tuiae.runs.removal import check_removable, delete_run, dependents, size_of
from tuiae.ui.feeds import Feed
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.screens.dialogs import Check, ChoiceDialog, LineDialog, NoteDialog, complaining, in_front
from tuiae.ui.session import NothingToDoError, ask, pause_word
from tuiae.ui.widgets.tables import RunTable


class ListingScreen(BaseScreen):
    """Follows the runs while it is shown; nobody looks at a covered screen."""

    _feed: Feed

    def on_screen_resume(self) -> None:
        self._feed.resume()

    def on_screen_suspend(self) -> None:
        self._feed.pause()

    def on_unmount(self) -> None:
        self._feed.close()


# What people write on runs from their list: names, tags, notes, pins.


class Labelling(ListingScreen):
    """A screen that labels the runs that are meant."""

    @property
    def meant(self) -> tuple[RunRow, ...]:
        """The runs that an action is about."""
        raise NotImplementedError

    def _on_row(self, act: Callable[[RunRow], Any]) -> None:
        """Do something to the run under the cursor, if there is one."""
        raise NotImplementedError

    def action_rename(self) -> None:
        """Give the run under the cursor a name."""
        self._on_row(self._ask_name)

    def _ask_name(self, row: RunRow) -> None:
        question = f"What to call {clean(row.id, 50)}? Empty takes the name away."
        dialog = LineDialog("name", question, row.name, _checking(lambda text: Label(name=text)))
        self.app.push_screen(dialog, lambda name: self._label([row], name is not None, name=name))

    def action_note(self) -> None:
        """Write down what to remember of the run under the cursor."""
        self._on_row(self._ask_note)

    def _ask_note(self, row: RunRow) -> None:
        question = f"About {clean(row.title, 50)}."
        dialog = NoteDialog("note", question, row.note, _checking(lambda text: Label(note=text)))
        self.app.push_screen(dialog, lambda note: self._label([row], note is not None, note=note))

    def action_tags(self) -> None:
        """The tags of one run, or tags to add to and take from all that are selected."""
        rows = self.meant
        if not rows:
            return
        if len(rows) == 1:
            question, value = f"Tags of {clean(rows[0].title, 50)}, words with blanks between", " ".join(rows[0].tags)
        else:
            question, value = f"Tags to add to {len(rows)} runs; -TAG takes one away", ""
        check = _checking(lambda text: Label(tags=tuple(word.removeprefix("-") for word in text.split())))
        dialog = LineDialog("tags", question, value, check, goes_on=True)
        self.app.push_screen(dialog, lambda text: self._tag(rows, text))

    def _tag(self, rows: Sequence[RunRow], text: str | None) -> None:
        if text is None:
            return
        words = text.split()
        if len(rows) == 1:
            told = f"tags of 1 run: {' '.join(words)}" if words else "1 run has no tags now"
            done = self._change(rows, lambda run: write_label(run, replace(read_label(run), tags=tuple(words))))
        else:
            less = [word[1:] for word in words if word.startswith("-")]
            more = [word for word in words if not word.startswith("-")]
            parts = [("set on", more), ("taken from", less)]
            told = " · ".join(f"{' '.join(tags)} {verb} {len(rows)} runs" for verb, tags in parts if tags)
            done = self._change(rows, lambda run: relabel(run, tag=more, untag=less))
        if done and told:
            self.message.tell(told, "good")

    def action_pin(self) -> None:
        """Keep a run on top, or not any longer."""
        rows = self.meant
        if rows:
            self._label(rows, True, pinned=not all(row.pinned for row in rows))

    def _label(self, rows: Sequence[RunRow], wanted: bool, **changes: Any) -> None:
        if wanted:
            self._change(rows, lambda run: relabel(run, **changes))

    def _change(self, rows: Sequence[RunRow], change: Callable[[RunPaths], object]) -> bool:
        """Write labels, which the next look at the runs shows; whether all were written."""
        done = all(self.attempt(change, RunPaths(row.path)) for row in rows)
        self._feed.hurry()
        return done


def _checking(build: Callable[[str], Label]) -> Check:
    """What is wrong with words that are to go into a label."""
    return complaining(lambda text: check_label(build(text)))


# Deleting runs from their list: looked at and removed in a thread, with a question between.

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
        self.message.release()
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
            self.message.tell(event.problem, "bad")
            return
        missed = dependents({row.id for row in event.rows}, self.query_one(RunTable).rows)
        question = removal_question(event.rows, event.sizes, missed)
        answers = [("cancel", "Keep"), ("delete", f"Delete, {megabytes(sum(event.sizes))}")]
        self.app.push_screen(ChoiceDialog("delete", question, answers), lambda answer: self._go(answer, event.rows))

    def _go(self, answer: str | None, rows: Sequence[RunRow]) -> None:
        if answer == "delete":
            self.message.tell(f"deleting {len(rows)} {'run' if len(rows) == 1 else 'runs'}…")
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
            self.message.tell(f"{words}; {event.problem}" if event.count else event.problem, "bad")
        else:
            self.message.tell(words, "good")


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


# What becomes of a run of the list: it pauses, goes on, is forked or repeated.


class Steering(Labelling):
    """A screen that acts on the run under its cursor, open or not."""

    def action_pause(self) -> None:
        """Pause the run under the cursor, or let it go on."""
        self._on_row(self._pause)

    def _pause(self, row: RunRow) -> None:
        status = read_status(RunPaths(row.path))
        if not status.live:
            raise NothingToDoError(f"{row.title} is {status.state}: only a run that trains can pause")
        word = pause_word(status.state)
        ask(RunPaths(row.path), word)
        self.asked_to(word, row.title)
        self._feed.hurry()

    def action_resume(self) -> None:
        """Go on with the run under the cursor from its last checkpoint, and open it."""
        self._on_row(self._resume)

    def _resume(self, row: RunRow) -> None:
        if row.status.live:
            raise NothingToDoError(f"{row.title} is {row.status.state} already: Enter opens it")
        self.session.resume(row.path)
        self.app.switch_mode("live")

    def action_fork(self) -> None:
        """Go on from a checkpoint of the run under the cursor with changed settings."""
        self._on_row(self._fork)

    def _fork(self, row: RunRow) -> None:
        source = RunPaths(row.path)
        need_run(source)
        if not row.settings or not all_checkpoints(source):
            raise NothingToDoError(f"nothing to fork: {row.title} has no checkpoint to go on from")
        self.ask_fork(source, str(row.settings["name"]))

    def action_copy(self) -> None:
        """Copy the command that repeats the run under the cursor."""
        self._on_row(self._copy)

    def _copy(self, row: RunRow) -> None:
        line = repeat_line(RunPaths(row.path))
        self.app.copy_to_clipboard(line)
        self.message.tell(f"copied: {line}", "good")
