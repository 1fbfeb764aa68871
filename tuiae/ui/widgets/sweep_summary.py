"""What a setting does to the figures, one setting at a time."""

from __future__ import annotations

from rich.text import Text

from tuiae.studies.compare import Comparison
from tuiae.studies.sweep_summary import SweepSummary, sweep_summaries, without_summary
from tuiae.ui.render.sweep_summary import draw_nothing, draw_summary, summary_notes
from tuiae.ui.widgets.panel import PicturePanel


class SweepPanel(PicturePanel):
    """The values of a setting against a figure; small and in words while there is nothing to set against it."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__("summary", id=id)
        self._summaries: tuple[SweepSummary, ...] = ()
        self._key = ""
        self._empty = ""

    @property
    def summary(self) -> SweepSummary | None:
        """The one that shows: of the setting that was chosen, while it differs."""
        chosen = (summary for summary in self._summaries if summary.key == self._key)
        return next(chosen, self._summaries[0] if self._summaries else None)

    def show(self, comparison: Comparison, metric: str) -> None:
        """Replace what is summed up; the same setting stays."""
        self._summaries = sweep_summaries(comparison, metric)
        self._empty = "" if self._summaries else without_summary(comparison, metric)
        self.set_class(not self._summaries, "-empty")
        self._retitle()

    def next_setting(self) -> bool:
        """Another setting; whether there is one."""
        if self.summary is None or len(self._summaries) < 2:
            return False
        place = self._summaries.index(self.summary)
        self._key = self._summaries[(place + 1) % len(self._summaries)].key
        self._retitle()
        return True

    def _retitle(self) -> None:
        summary, count = self.summary, len(self._summaries)
        if summary is None:
            self.set_title("summary")
        else:
            notes = [summary_notes(summary)]
            notes.append(f"{self._summaries.index(summary) + 1} of {count}, k next" if count > 1 else "")
            self.set_title(f"test {summary.metric} by {summary.name}", " · ".join(note for note in notes if note))
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        if self.summary is None:
            return draw_nothing(self._empty, width, height)
        return draw_summary(self.summary, width, height, self.terminal.ascii)
