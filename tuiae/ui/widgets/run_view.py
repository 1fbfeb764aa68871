"""The right side of the live screen: everything that one run shows."""

from __future__ import annotations

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal

from tuiae.runs.snapshot import Note, Sample, Snapshot
from tuiae.ui.render.curves import EMPTY
from tuiae.ui.render.run_curves import TITLES, run_curves, second_metrics
from tuiae.ui.render.sample import sample_captions, sample_rows
from tuiae.ui.render.status import added, note_line
from tuiae.ui.widgets.confusion import ConfusionPanel
from tuiae.ui.widgets.curves import CurvesPanel
from tuiae.ui.widgets.images import ImagesPanel
from tuiae.ui.widgets.log import LogPanel
from tuiae.ui.widgets.views import ViewBar, Views

WELCOME = "r starts what the form says  ·  1 lists all runs  ·  ? shows the keys"


class RunView(Views):
    """Curves, pictures, confusion matrix and log; on a small screen one of them at a time."""

    MAIN_PANELS = {
        "curves": "#loss",
        "pictures": "#images",
        "confusion": "#confusion",
        "log": "#log",
    }

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._sample: Sample | None = None
        self._notes: tuple[Note, ...] = ()
        self._logged: tuple[str, ...] = ()
        self._snapshot: Snapshot | None = None
        self._second = ""

    def compose(self) -> ComposeResult:
        yield ViewBar(tuple(self.MAIN_PANELS))
        with Horizontal(id="curves"):
            yield CurvesPanel("loss", id="loss")
            yield CurvesPanel("accuracy", id="second")
        with Horizontal(id="pictures"):
            yield ImagesPanel(empty=WELCOME, id="images")
            yield ConfusionPanel(id="confusion")
        yield LogPanel(empty="what the worker says shows here", id="log")

    def on_mount(self) -> None:
        self.query_one(ViewBar).offer("confusion", False)
        for panel in self.query(CurvesPanel):
            panel.set_empty("no run open: its curves show here")

    def clear(self) -> None:
        """Forget the run that was shown; another one is about to."""
        self._sample, self._notes, self._logged, self._second = None, (), (), ""
        for panel in self.query(CurvesPanel):
            panel.show(())
            panel.set_empty(EMPTY)
        self.query_one(ImagesPanel).show([])
        self.query_one(ConfusionPanel).show(np.zeros((0, 0), np.int64), ())
        self.query_one(LogPanel).clear()

    def show(self, snapshot: Snapshot, sample: Sample | None) -> None:
        """Show a run as it is now."""
        self._show_family(snapshot)
        self._snapshot = snapshot
        self.query_one("#loss", CurvesPanel).show(run_curves(snapshot, "loss"))
        self._show_second(snapshot)
        if sample is not None and sample is not self._sample:
            self._show_sample(sample)
        self._show_log(snapshot)

    def _show_second(self, snapshot: Snapshot) -> None:
        offered = second_metrics(snapshot)
        metric = self._second if self._second in offered else offered[0]
        self.query_one("#second", CurvesPanel).show(run_curves(snapshot, metric), TITLES.get(metric, metric))

    def next_metric(self) -> None:
        """Another metric of the run beside its loss."""
        if self._snapshot is not None:
            offered = second_metrics(self._snapshot)
            shown = self._second if self._second in offered else offered[0]
            self._second = offered[(offered.index(shown) + 1) % len(offered)]
            self._show_second(self._snapshot)

    def _show_family(self, snapshot: Snapshot) -> None:
        classifier = snapshot.config is not None and snapshot.config.is_classifier
        images = self.query_one(ImagesPanel)
        images.set_empty(snapshot.status.phase if snapshot.status.live else "no pictures in this run")
        if classifier != self.has_class("-classifier"):
            self.set_class(classifier, "-classifier")
            self.query_one(ViewBar).offer("confusion", classifier)
            images.rename("predictions" if classifier else "reconstructions")

    def _show_sample(self, sample: Sample) -> None:
        self._sample = sample
        note = f"epoch {sample.epoch}" if sample.epoch else "untrained"
        self.query_one(ImagesPanel).show(sample_rows(sample), sample_captions(sample), note)
        if sample.confusion is not None:
            self.query_one(ConfusionPanel).show(sample.confusion, sample.classes)

    def _show_log(self, snapshot: Snapshot) -> None:
        """What happened and what the worker printed, in the order in which it is seen; appended, so that one may
        scroll up and read on."""
        notes, lines = added(self._notes, snapshot.notes), added(self._logged, snapshot.log)
        if notes or lines:
            # The worker prints without the time; how it ended is all that surely came after its lines.
            ends = notes[-1:] if notes and notes[-1].kind == "end" else ()
            before = notes[: len(notes) - len(ends)]
            self.query_one(LogPanel).append((*map(note_line, before), *lines, *map(note_line, ends)))
        self._notes, self._logged = snapshot.notes, snapshot.log

    @property
    def ascii_only(self) -> bool:
        """Whether pictures are drawn without any character above 127."""
        return self.query_one(ImagesPanel).mode == "ascii"

    @ascii_only.setter
    def ascii_only(self, wanted: bool) -> None:
        images = self.query_one(ImagesPanel)
        images.mode = "ascii" if wanted else images.best
        self.query_one(ConfusionPanel).ascii_only = wanted
