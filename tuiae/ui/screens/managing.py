"""What people do to runs by a question: what they write on them, and how they stop, kill and delete them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import Key
from textual.widgets import Input, Static

from tuiae.config import counted
from tuiae.errors import TuiaeError
from tuiae.render import palette
from tuiae.render.runs import COLUMNS, FIRST, MARK, SETTINGS, USUAL
from tuiae.render.text import clean, duration, megabytes, shorten_middle
from tuiae.runs import control
from tuiae.runs.checkpoints import pointed, read_position
from tuiae.runs.labels import Label, check_label, check_tags, read_label, relabel, write_label
from tuiae.runs.listing import RunRow
from tuiae.runs.paths import RunPaths, undated
from tuiae.runs.reader import read_status
from tuiae.runs.removal import check_removable, delete_run, dependents, size_of
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.screens.dialogs import ChoiceDialog, Dialog, LineDialog, NoteDialog, in_front
from tuiae.ui.session import NothingToDoError
from tuiae.ui.widgets.tables import LineTable

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


def _called(row: RunRow) -> str:
    """A run as the list has it: by its name, else by its id without the date, behind what varies in its study."""
    own_id = undated(clean(row.id, 50))
    return clean(row.name, 50) or (f"{clean(row.varies, 50)} ({own_id})" if row.varies else own_id)


def ask_name(screen: BaseScreen, row: RunRow) -> None:
    """Ask what to call a run."""
    question = f"What to call {_called(row)}? Empty takes the name away."
    dialog = LineDialog("name", question, row.name, lambda text: check_label(Label(name=text)))
    screen.show_dialog(dialog, lambda text: change_labels(screen, [row], lambda run: relabel(run, name=text)))


def ask_note(screen: BaseScreen, row: RunRow) -> None:
    """Ask what to remember of a run."""
    question = f"About {_called(row)}."
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


# Which columns show.


class WordInput(Input):
    """A field for one word: blanks and arrows go to whoever it belongs to."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return key != "space" and super().check_consume_key(key, character)

    def on_key(self, event: Key) -> None:
        if event.key == "space":
            event.prevent_default()


class ColumnsDialog(Dialog[str]):
    """The columns that there are, those that show marked; the answer names these, and is empty for the usual ones."""

    BINDINGS = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("space", "choose", show=False),
    ]

    def __init__(self, names: Sequence[str], chosen: Sequence[str]) -> None:
        super().__init__()
        self._names, self._chosen = names, list(chosen)

    def compose(self) -> ComposeResult:
        with self.frame("columns", "columns", "space chooses · enter takes them · escape cancels"):
            yield WordInput(placeholder="type to find a setting or a metric", compact=True)
            yield LineTable("", id="names")
            yield Static(classes="wrong -fine")

    def on_mount(self) -> None:
        self.query_one(WordInput).focus()
        self._find()

    @property
    def _table(self) -> LineTable:
        return self.query_one(LineTable)

    @on(Input.Changed)
    def _find(self) -> None:
        word = self.query_one(WordInput).value.casefold().strip()
        found = [name for name in self._names if word in name or word in SETTINGS.get(name, "")]
        if word:
            found.sort(key=lambda name: (name != word, not name.startswith(word)))
        else:  # those that are chosen, in their order
            found.sort(key=lambda name: self._chosen.index(name) if name in self._chosen else len(self._chosen))
        self._table.show(found, self._draw)
        if word:
            self._table.move_to(0)
        usual = self._chosen == [column.name for column in USUAL if column.name not in FIRST]
        self.judge("the usual columns" if usual or not self._chosen else ", ".join(self._chosen), "-fine")

    def _draw(self, row: int, width: int) -> Text:
        name = self._table.keys[row]
        line = Text(end="", no_wrap=True).append(f" {MARK} " if name in self._chosen else "   ", f"bold {palette.SKY}")
        return line.append(f"{name:<20} ").append(SETTINGS.get(name, ""), "dim")

    def action_move(self, by: int) -> None:
        self._table.action_move(by)

    def action_choose(self) -> None:
        """Choose the column at the cursor, or leave it out."""
        if name := self._table.under:
            if name in self._chosen:
                self._chosen.remove(name)
            else:
                # Before the usual ones, and behind what was added before.
                added = [one for one in self._chosen if one not in COLUMNS]
                self._chosen.insert(len(added), name)
            self._empty()

    def _empty(self) -> None:
        """List all again."""
        with self.prevent(Input.Changed):
            self.query_one(WordInput).value = ""
        self._find()

    @on(Input.Submitted)
    def _take(self) -> None:
        """Choose what was typed; where nothing was, take the columns that are chosen."""
        if self.query_one(WordInput).value.strip():
            if self._table.under in self._chosen:
                self._empty()
            elif self._table.under:
                self.action_choose()
            else:
                self.judge("no setting and no metric has this in its name", "")
            return
        usual = [column.name for column in USUAL if column.name not in FIRST]
        self.dismiss("" if self._chosen == usual else ",".join(self._chosen))


# Stopping, and killing.


def stop_runs(screen: BaseScreen, rows: Sequence[RunRow], name: str) -> None:
    """Ask those of the runs that are live to save and stop; what a tracked one saves is up to its program.

    Raises:
        NothingToDoError: none of them is. UnknownRunError: one cannot be written.
    """
    live = [row for row in rows if read_status(RunPaths(row.path)).live]
    if not live:
        raise NothingToDoError(f"nothing to stop: {name} is not training")
    for row in live:
        control.send(RunPaths(row.path), "stop")
    which = live[0].title if len(live) == 1 else f"{len(live)} runs"
    own = all(row.status.tracked for row in live)
    screen.message.tell(f"asked {which} to {'stop' if own else 'save and stop · R goes on later'}", "good")


def ask_kill(screen: BaseScreen, run: RunPaths, title: str) -> None:
    """Kill the worker of a run, if the answer to what is lost with it is yes.

    Raises:
        NothingToDoError: it has none.
    """
    status = read_status(run)
    if not status.live:
        raise NothingToDoError(f"{title} is {status.state}: it has no worker")
    saved, asked = pointed(run, "last"), control.waited(run, "stop")
    kept = f"its checkpoint of epoch {read_position(run.weights / saved).epoch:g}" if saved else "the beginning"
    stop = f"It was asked to stop {duration(asked)} ago." if asked is not None else "x asks it to save and stop first."
    worker, lost = "worker", f"Killed, it loses what came after {kept}; R goes on from there."
    if status.tracked:
        stop = stop.replace("save and stop", "stop")
        worker, lost = "program", "Killed, it loses what it has not saved by itself, and all else that it does."
    where = f"process {status.pid} on {clean(status.host, 40)}"
    question = f"{clean(title, 60)} is {status.state}, its {worker} is {where}.\n{stop}\n\n{lost}"
    answers = [("cancel", "Leave it alone"), ("kill", f"Kill process {status.pid}")]

    def kill(_: str) -> None:
        control.end_worker(run, status)
        goes_on = "" if status.tracked else f" · R goes on from {kept}"
        screen.message.tell(f"the {worker} of {title} is killed{goes_on}", "caution")
        if screen.feed is not None:
            screen.feed.hurry()

    screen.show_dialog(ChoiceDialog("kill a worker", question, answers), kill)


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
    screen.message.tell(f"deleting {counted(len(rows), 'run')}…")
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
