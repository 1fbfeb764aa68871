"""The keys that go back through the stored samples of a run."""

from __future__ import annotations

from tuiae.ui.screens.base import RunScreen
from tuiae.ui.widgets.timeline import TimelineBar


class ScrubbingScreen(RunScreen):
    """A screen with a TimelineBar."""

    @property
    def timeline(self) -> TimelineBar:
        """Where in its samples one looks at the run."""
        return self.query_one(TimelineBar)

    def action_sample(self, steps: int) -> None:
        """So many samples on, or back."""
        self.timeline.step(steps)

    def action_first_sample(self) -> None:
        """The sample before the first step of training."""
        self.timeline.first()

    def action_newest_sample(self) -> None:
        """Back to what the run shows now."""
        self.timeline.go(None)
