"""What one can do with the open run, whichever screen shows it."""

from __future__ import annotations

from typing import Any

from tuiae.runs.checkpoints import all_checkpoints, no_checkpoint
from tuiae.runs.layout import RunPaths, need_run
from tuiae.ui.screens.base import RunScreen
from tuiae.ui.screens.changes import EditDialog


class ActingScreen(RunScreen):
    """A screen whose keys reach the open run's worker."""

    def action_stop(self) -> None:
        """Save and stop."""
        self.command("stop")

    def action_save(self) -> None:
        """Write a checkpoint now, which stays."""
        if self.command("save"):
            self.message.insist("asked for a checkpoint of this moment; it is kept, and f offers it", "good")

    def action_resume(self) -> None:
        """Go on with the open run from its last checkpoint."""
        self.attempt(self.session.resume)

    def action_edit(self) -> None:
        """Change the learning rate, the noise, beta, dropout or the epochs while it trains."""
        snapshot = self.session.snapshot
        if snapshot is None or not snapshot.status.live or snapshot.current_config is None:
            self.message.say("no run is live here; f forks a stopped one with other settings", "quiet")
            return

        def change(changes: dict[str, Any] | None) -> None:
            if changes and self.attempt(self.session.edit, changes):
                self.message.hint("asked: it counts from the next step on", "good")

        self.app.push_screen(EditDialog(snapshot.current_config, snapshot.status.epoch), change)

    def action_fork(self) -> None:
        """Go on from a checkpoint of the open run in a run of its own."""
        snapshot = self.session.snapshot
        if snapshot is None or snapshot.config is None:
            self.message.say("nothing to fork: open a run that has a checkpoint", "quiet")
        else:
            self.attempt(self._fork, RunPaths(snapshot.path), snapshot.config.name)

    def _fork(self, source: RunPaths, name: str) -> None:
        need_run(source)
        if not all_checkpoints(source):  # they are looked for now: somebody may have deleted those of the snapshot
            raise no_checkpoint(source)
        self.ask_fork(source, name)
