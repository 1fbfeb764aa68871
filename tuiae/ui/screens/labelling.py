"""What people write on runs from their list: names, tags, notes, pins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tuiae.runs.labels import Label, check_label, read_label, relabel, write_label
from tuiae.runs.layout import RunPaths
from tuiae.runs.listing import RunRow
from tuiae.ui.render.text import clean
from tuiae.ui.screens.ask import Check, LineDialog, NoteDialog, complaining
from tuiae.ui.screens.listing import ListingScreen


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
            self.message.insist(told, "good")

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
