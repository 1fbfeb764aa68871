"""The keys that go back through the stored samples of a run."""

from __future__ import annotations

from tuiae.ui.screens.base import RunScreen
from tuiae.ui.widgets.timeline import TimelineBar


class ScrubbingScreen(RunScreen):
    """A screen with a TimelineBar, which stands where those of the other screens do."""

    def on_mount(self) -> None:
        self.watch(self.timeline, "at", self._remember, init=False)

    def _remember(self, at: int | None) -> None:
        self.session.at = at

    def catch_up(self) -> None:
        """Show the open run as it is now, at the epoch that was gone back to, here or elsewhere."""
        at = self.session.at
        super().catch_up()  # which goes to the newest where another run is open
        if self._composed and self.session.snapshot is not None:
            self.timeline.go(at)

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
