"""Several runs beside each other, live or finished: the screen, and the panels of which it is made."""

from __future__ import annotations

import operator
from functools import partial
from pathlib import Path

from rich.text import Text
from textual import getters, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tuiae.render.compare import (
    compare_curves,
    compare_title,
    settings_table,
    shared_grid,
    values_and_seeds,
    words_below,
)
from tuiae.render.curves import Look, on_one_axis
from tuiae.render.legend import plot_title
from tuiae.render.sweeps import draw_nothing, draw_summary, summary_notes
from tuiae.runs.snapshot import Sample
from tuiae.studies.compare import Comparison, cautions, metric_name, shows_means
from tuiae.studies.shared_images import SharedImages, shared_images
from tuiae.studies.sweep_summary import SweepSummary, sweep_summaries, without_summary
from tuiae.ui.feeds import CompareChanged, Feed, follow_comparison
from tuiae.ui.keys import COMPARE, look_now
from tuiae.ui.screens.base import ONE_AT_A_TIME, BaseScreen
from tuiae.ui.session import Session
from tuiae.ui.widgets.chrome import ViewBar, Views
from tuiae.ui.widgets.curves import CurvesPanel, cycle_look, follow_look
from tuiae.ui.widgets.images import PixelPanel
from tuiae.ui.widgets.panel import PicturePanel
from tuiae.ui.widgets.tables import TablePanel


class SharedImagesPanel(PixelPanel):
    """The inputs once, then what each network made of them."""

    BORDER_TITLE = "the same test images"

    _shared: SharedImages | None = None

    def show(self, shared: SharedImages | None) -> None:
        """Replace the pictures; None shows none."""
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

    def clear(self) -> None:
        """Show nothing of a comparison."""
        self._summaries, self._key, self._empty = (), "", ""
        self._retitle()

    def show(self, comparison: Comparison, metric: str) -> None:
        """Replace the summaries; the chosen setting stays."""
        self._summaries = sweep_summaries(comparison, metric)
        self._empty = "" if self._summaries else without_summary(comparison, metric)
        self.set_class(not self._summaries, "-empty")
        self._retitle()

    @property
    def count(self) -> int:
        """How many settings there are to show."""
        return len(self._summaries)

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
            which = f"the {count} with two values" if count <= len(summary.also) else f"{count}"
            notes.append(f"{self._summaries.index(summary) + 1} of {which}, k next" if count > 1 else "")
            title = f"test {metric_name(summary.metric)} by {summary.name}"
            self.set_title(title, " · ".join(note for note in notes if note))
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
        self.clear("no points to compare yet")

    def clear(self, words: str) -> None:
        """Show nothing of any comparison, and say why."""
        self.means, self._shown, self._samples = None, (), ()
        for panel in self.query(CurvesPanel):
            panel.show(())
            panel.explain(words)
        for table in self.query(TablePanel):
            table.show(None)
        self.query_one(SweepPanel).clear()
        pictures = self.query_one(SharedImagesPanel)
        pictures.set_note("")
        pictures.show(None)

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
        """Returns whether each group of seeds is shown by its mean, and one of its runs."""
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

    @property
    def look(self) -> Look:
        """How all curves look."""
        return next((panel.look for panel in self.query(CurvesPanel)), Look())

    @property
    def has_settings(self) -> bool:
        """Whether the summary can be by another setting."""
        return any(panel.count > 1 for panel in self.query(SweepPanel))

    def next_setting(self) -> bool:
        """Show the next setting in the summary; returns whether there is another one."""
        return self.query_one(SweepPanel).next_setting()


class CompareScreen(BaseScreen):
    """Curves, values, settings and pictures of the runs that were selected."""

    MODE = "compare"
    HOME = "runs"
    BINDINGS = [key.binding for key in COMPARE]
    AUTO_FOCUS = "#values"

    view = getters.query_one(CompareView)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._paths: tuple[Path, ...] = ()
        self._study = ""
        self._metric = "loss"
        self.comparison: Comparison | None = None
        self._note = ""
        """Which curves are drawn, where not each run has one."""

    def on_mount(self) -> None:
        self.message.long = True  # it names the groups of runs that letters stand for
        self.watch(self.query_one(ViewBar), "view", self._say, init=False)

    def compose_body(self) -> ComposeResult:
        yield CompareView(id="body")

    def on_screen_resume(self) -> None:
        if (self.session.compared, self.session.compared_study) != (self._paths, self._study):
            if self.feed is not None:
                self.feed.close()
            self._paths, self.comparison, self._metric = self.session.compared, None, "loss"
            reads = f"reading {len(self._paths)} runs…"
            self.view.clear(reads)
            self.set_title(lambda width: Text.assemble((" tuiae", "bold"), (f"  {self.MODE}", "dim")))
            self.message.hint(reads)
            self._study = self.session.compared_study
            looks = follow_comparison(self._paths, self._study)
            self.feed = Feed(looks, self.post_message, "compare")
        if self.feed is None:
            words = "nothing to compare yet: 1 lists the runs, space selects some, c compares them"
            self.message.hint(words, "caution")
        self._show()

    @on(CompareChanged)
    def _changed(self, event: CompareChanged) -> None:
        if event.paths != self._paths:
            return  # of a comparison that is no longer shown
        self.comparison = event.comparison
        self._show()

    def _show(self) -> None:
        comparison = self.comparison
        if comparison is None:
            return
        self._note = self.view.show(comparison, self._metric)
        self.set_title(lambda width: compare_title(comparison, self._metric, width))
        self._say()

    def _say(self) -> None:
        """Say below the panels what they do not say: the panel of values has the cautions, where it shows."""
        if self.comparison is None:
            return
        alone = any(map(self.has_class, ONE_AT_A_TIME)) and not self.view.has_class("-values")
        said = cautions(self.comparison, self._metric) if alone else ()
        width = self.message.content_size.width or self.size.width - 2
        self.message.hint(words_below(self.comparison, self._note, said, width))

    def is_enabled(self, action: str) -> bool:
        if action == "spread":
            return self.comparison is not None and self.comparison.seeded
        if action == "next_metric":
            return self.comparison is not None and len(self.comparison.metrics) > 1
        if action == "next_setting":
            return self.view.has_settings
        if action.startswith("look("):
            return self.comparison is not None
        return super().is_enabled(action)

    def name_of(self, action: str) -> str:
        if action == "spread" and self.comparison is not None:
            return "Each run" if self.view.shows_means(self.comparison) else "Means"
        return look_now(action, self.view.look) if action.startswith("look('log") else ""

    def on_resize(self) -> None:
        self._show()

    def action_next_metric(self) -> None:
        """The next of what was measured on test images."""
        if self.comparison is not None and self.comparison.metrics:
            names = self.comparison.metrics
            place = names.index(self._metric) if self._metric in names else -1
            self._metric = names[(place + 1) % len(names)]
            self.message.release()
            self._show()

    def action_next_setting(self) -> None:
        """The next of what differs, against the figures."""
        if self.comparison is None:
            return
        if self.view.next_setting():
            self.message.remark(f"summary: {self.query_one('#sweep').border_title}")
        else:
            self.message.remark("the runs do not differ in a second setting")

    def action_spread(self) -> None:
        """Groups of seeds as means with a band, or each run by itself."""
        if self.comparison is None or not self.comparison.seeded:
            self.message.remark("no two of these runs differ in nothing but their seeds")
        else:
            means = self.view.toggle_means(self.comparison)
            self._show()
            words = "means over seeds, in bands from the lowest to the highest"
            self.message.remark(words if means else self._note or "each run by itself")

    def action_look(self, name: str) -> None:
        """Another smoothing or axis on all curves."""
        self.message.remark(self.view.cycle_look(name))
