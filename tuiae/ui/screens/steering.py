"""What becomes of a run of the list: it pauses, goes on, is forked or repeated."""

from __future__ import annotations

from tuiae.runs.checkpoints import all_checkpoints
from tuiae.runs.layout import RunPaths, need_run
from tuiae.runs.listing import RunRow
from tuiae.runs.reader import read_status
from tuiae.runs.repeat import repeat_line
from tuiae.ui.screens.labelling import Labelling
from tuiae.ui.session import NothingToDoError, ask, pause_word


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
        self.message.insist(f"copied: {line}", "good")
