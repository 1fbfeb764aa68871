"""The keys that act on what a run shows, and not on the run."""

from __future__ import annotations

from tuiae.ui.screens.scrubbing import ScrubbingScreen
from tuiae.ui.widgets.confusion import ConfusionPanel
from tuiae.ui.widgets.images import ImagesPanel
from tuiae.ui.widgets.run_view import RunView


class WatchingScreen(ScrubbingScreen):
    """A screen with a RunView."""

    @property
    def _view(self) -> RunView:
        return self.query_one(RunView)

    def action_next_metric(self) -> None:
        """Another metric beside the loss."""
        if not self._view.next_metric():
            self.message.hint("this run has no other metric beside its loss", "quiet")

    def action_look(self, name: str) -> None:
        """Another smoothing, axis or split on all curves."""
        self.message.hint(self._view.cycle_look(name), "quiet")

    def action_errors(self) -> None:
        """The row of errors below the pictures, or not."""
        if not self.query_one(ImagesPanel).toggle_error():
            self.message.hint("no errors to show: this run reconstructs nothing", "quiet")

    def action_normalise(self) -> None:
        """The confusion matrix in counts, or in shares of each true class."""
        confusion = self.query_one(ConfusionPanel)
        confusion.shares = not confusion.shares
        if self._view.has_class("-classifier"):
            words = "shares of each true class" if confusion.shares else "counts"
            self.message.hint(f"confusion in {words}", "quiet")
        else:
            self.message.hint("no confusion matrix: only classifiers have one", "quiet")

    def action_pictures(self) -> None:
        """Half-block cells, or ASCII."""
        self._view.ascii_only = not self._view.ascii_only
