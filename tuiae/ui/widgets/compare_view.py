"""Everything that a comparison shows: curves, values, settings, what a setting does, pictures."""

from __future__ import annotations

import operator
from functools import partial

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tuiae.render.compare import compare_curves, settings_table, shared_grid, values_and_seeds
from tuiae.render.curves import on_one_axis
from tuiae.render.legend import plot_title
from tuiae.render.sweeps import draw_nothing, draw_summary, summary_notes
from tuiae.runs.snapshot import Sample
from tuiae.studies.compare import Comparison, shows_means
from tuiae.studies.shared_images import SharedImages, shared_images
from tuiae.studies.sweep_summary import SweepSummary, sweep_summaries, without_summary
from tuiae.ui.widgets.chrome import ViewBar, Views
from tuiae.ui.widgets.curves import CurvesPanel, cycle_look, follow_look
from tuiae.ui.widgets.images import PixelPanel
from tuiae.ui.widgets.panel import PicturePanel
from tuiae.ui.widgets.tables import TablePanel


class SharedImagesPanel(PixelPanel):
    """The inputs once, then what each network made of them."""

    BORDER_TITLE = "the same test images"

    _shared: SharedImages | None = None

    def show(self, shared: SharedImages) -> None:
        """Replace the pictures."""
        self._shared = shared
        self.changed()

    def drawing(self, width: int, height: int) -> Text:
        return Text() if self._shared is None else shared_grid(self._shared, width, height, self.mode)


class SweepPanel(PicturePanel):
    """The values of a setting against a figure; a sentence while there is nothing to plot."""

    BORDER_TITLE = "summary"

    _summaries: tuple[SweepSummary, ...] = ()
    _key = ""

    @property
    def summary(self) -> SweepSummary | None:
        """The summary that shows: of the chosen setting as long as it differs, else of the first one."""
        chosen = (summary for summary in self._summaries if summary.key == self._key)
        return next(chosen, self._summaries[0] if self._summaries else None)

    def show(self, comparison: Comparison, metric: str) -> None:
        """Replace the summaries; the chosen setting stays."""
        self._summaries = sweep_summaries(comparison, metric)
        self._empty = "" if self._summaries else without_summary(comparison, metric)
        self.set_class(not self._summaries, "-empty")
        self._retitle()

    def next_setting(self) -> bool:
        """Show the next setting; returns whether there is another one."""
        if self.summary is None or len(self._summaries) < 2:
            return False
        place = self._summaries.index(self.summary)
        self._key = self._summaries[(place + 1) % len(self._summaries)].key
        self._retitle()
        return True

    def _retitle(self) -> None:
        summary, count = self.summary, len(self._summaries)
        if summary is None:
            self.set_title(self.BORDER_TITLE)
        else:
            notes = [summary_notes(summary)]
            notes.append(f"{self._summaries.index(summary) + 1} of {count}, k next" if count > 1 else "")
            self.set_title(f"test {summary.metric} by {summary.name}", " · ".join(note for note in notes if note))
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        if self.summary is None:
            return draw_nothing(self._empty, width, height)
        return draw_summary(self.summary, width, height, self.terminal.ascii)


class CompareView(Views):
    """Curves, values, settings, summary, pictures; on a small screen one of them at a time."""

    MAIN_PANELS = {
        "curves": "#test-curves",
        "values": "#values",
        "settings": "#settings",
        "summary": "#sweep",
        "pictures": "#same-images",
    }

    _shown: tuple[object, ...] = ()
    _samples: tuple[Sample | None, ...] = ()
    means: bool | None = None
    """Whether groups are shown by their means; None as it is best for the runs."""

    def compose(self) -> ComposeResult:
        yield ViewBar(self.MAIN_PANELS)
        with Horizontal(id="compare-curves"):
            yield CurvesPanel("train", id="train-curves")
            yield CurvesPanel("test", id="test-curves")
            yield SweepPanel(id="sweep")
        with Horizontal(id="compare-rest"):
            with Vertical(id="compare-tables"):
                yield TablePanel("values", id="values")
                yield TablePanel("what differs", id="settings")
            yield SharedImagesPanel(id="same-images")

    def on_mount(self) -> None:
        for panel in self.query(CurvesPanel):
            panel.explain("no points to compare yet")

    def show(self, comparison: Comparison, metric: str) -> str:
        """Show runs as they are now; returns what curves show where it is not every run, empty where it is."""
        means = self.means
        overlay = compare_curves(comparison, metric, means)
        train, test = on_one_axis(overlay.train, overlay.test)
        self.query_one("#train-curves", CurvesPanel).show(train, f"{overlay.train_split} {plot_title(metric)}")
        self.query_one("#test-curves", CurvesPanel).show(test, f"test {plot_title(metric)}")
        self.query_one("#values", TablePanel).show(partial(values_and_seeds, comparison, metric, means=means))
        self.query_one("#settings", TablePanel).show(partial(settings_table, comparison))
        self.query_one(SweepPanel).show(comparison, metric)
        labels = tuple(entry.label for entry in comparison.entries)
        samples = tuple(entry.sample for entry in comparison.entries)
        one_a_group = self.shows_means(comparison)
        shown = (*labels, one_a_group)
        if shown != self._shown or not all(map(operator.is_, samples, self._samples)):
            self._shown, self._samples = shown, samples
            pictures = self.query_one(SharedImagesPanel)
            pictures.set_note("one run a group" if one_a_group else "")
            pictures.show(shared_images(comparison, one_a_group))
        return overlay.note

    def shows_means(self, comparison: Comparison) -> bool:
        """Whether each group of seeds is shown by its mean, and one of its runs."""
        return comparison.seeded and (shows_means(comparison) if self.means is None else self.means)

    def toggle_means(self, comparison: Comparison) -> bool:
        """Show the means of groups, or each run; returns which."""
        self.means = not self.shows_means(comparison)
        return self.means

    @on(CurvesPanel.Looked)
    def _looked(self, event: CurvesPanel.Looked) -> None:
        follow_look(self.query(CurvesPanel), event)

    def cycle_look(self, name: str) -> str:
        """Change how all curves look; `name` is in LOOKS. Returns it in words."""
        return cycle_look(self.query(CurvesPanel), name)

    def next_setting(self) -> bool:
        """Show the next setting in the summary; returns whether there is another one."""
        return self.query_one(SweepPanel).next_setting()
