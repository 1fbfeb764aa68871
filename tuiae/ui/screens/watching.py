"""The keys that act on what a run shows, and not on the run."""

from __future__ import annotations

from tuiae.runs.reader import NO_CONFIG
from tuiae.ui.screens.scrubbing import ScrubbingScreen
from tuiae.ui.widgets.confusion import ConfusionPanel
from tuiae.ui.widgets.images import ImagesPanel
from tuiae.ui.widgets.run_view import RunView

OF_WHAT_SHOWS = ("next_metric", "errors", "newest_sample")
"""Actions on what an open run shows."""


class WatchingScreen(ScrubbingScreen):
    """A screen with a RunView."""

    @property
    def _view(self) -> RunView:
        return self.query_one(RunView)

    def counts(self, action: str) -> bool:
        if action == "errors" and self.config is not None:
            return not self.config.is_classifier
        if action in OF_WHAT_SHOWS or action.startswith(("look(", "sample(")):
            return self.session.snapshot is not None
        return super().counts(action)

    def tell_damage(self, run_id: str) -> None:
        """Say that a run has no config to show it by."""
        self.message.complain(f"{run_id}: {NO_CONFIG}; 1 lists the others, D there deletes it")

    def action_next_metric(self) -> None:
        """Another metric beside the loss."""
        if not self._view.next_metric():
            self.message.answer("this run has no other metric beside its loss")

    def action_look(self, name: str) -> None:
        """Another smoothing, axis or split on all curves."""
        self.message.answer(self._view.cycle_look(name))

    def action_errors(self) -> None:
        """The row of errors below the pictures, or not."""
        if not self.query_one(ImagesPanel).toggle_error():
            self.message.answer("no errors to show: this run reconstructs nothing")

    def action_normalise(self) -> None:
        """The confusion matrix in counts, or in shares of each true class."""
        confusion = self.query_one(ConfusionPanel)
        confusion.shares = not confusion.shares
        if self._view.has_class("-classifier"):
            words = "shares of each true class" if confusion.shares else "counts"
            self.message.answer(f"confusion in {words}")
        else:
            self.message.answer("no confusion matrix: only classifiers have one")

    def action_pictures(self) -> None:
        """Half-block cells, or ASCII."""
        self._view.ascii_only = not self._view.ascii_only
