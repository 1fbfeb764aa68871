"""What the live screen shows of one run: curves, pictures, confusion matrix, log and timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text
from textual import events, getters, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.reactive import reactive

from tuiae.render.chrome import missing_note, place_note
from tuiae.render.confusion import EMPTY as NO_PREDICTIONS
from tuiae.render.confusion import (
    Cell,
    Counts,
    MatrixLayout,
    MatrixLook,
    draw_confusion,
    drawable,
    known_names,
    place,
    whole_width,
)
from tuiae.render.curves import EMPTY, Curve, Look, on_one_axis
from tuiae.render.legend import (
    only_metric,
    parent_curves,
    plot_title,
    run_curves,
    run_marks,
    second_metrics,
    seed_curves,
)
from tuiae.render.pixels import Sheet, error_row, sample_captions, sample_rows
from tuiae.render.text import centred, count
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.feeds import Feed, ParentRead, SeedsRead, follow_parent, follow_seeds
from tuiae.ui.keys import CONFUSION
from tuiae.ui.widgets.chrome import ONE_AT_A_TIME, MessageLine, ViewBar, Views
from tuiae.ui.widgets.curves import CurvesPanel, cycle_look, follow_look
from tuiae.ui.widgets.images import ImagesPanel
from tuiae.ui.widgets.left import FRAME_LINES, LogPanel
from tuiae.ui.widgets.panel import HistogramPanel, PicturePanel
from tuiae.ui.widgets.timeline import SampleRead, TimelineBar

if TYPE_CHECKING:
    from tuiae.studies.seeds import SeedBand

TIMELINE = 1
MATRIX_WORDS = 3
"""Lines of a matrix beside its rows: heads, an empty line, words."""


class ConfusionPanel(PicturePanel):
    """The confusion matrix of a classifier; a cursor goes through the cells and asks for their images."""

    BINDINGS = [key.binding for key in CONFUSION]

    shares: reactive[bool] = reactive(False)
    """Whether cells show per cents of each true class instead of counts."""
    cursor: reactive[Cell | None] = reactive(None)
    """(true, predicted) class of the cell that it stands on; None while it does not show."""

    @dataclass
    class CellChosen(Message):
        """Somebody wants to see the images of a cell."""

        true: int
        predicted: int
        images: int
        """How many the matrix counts there."""

    BORDER_TITLE = "confusion · true ↓ predicted →"

    _empty = NO_PREDICTIONS
    _note = ""
    _counts: Counts = np.zeros((0, 0), np.int64)
    _names: Sequence[str] = ()

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.changed())

    def show(self, counts: Counts, classes: Sequence[str], note: str = "") -> None:
        """Replace the counts: (k, k), rows true, columns predicted; `note` goes into the lower frame."""
        self._counts, self._names, self._note = np.asarray(counts), classes, note
        if self.cursor is not None and max(self.cursor) >= len(counts):
            self.cursor = None
        self._show_again()

    def _show_again(self) -> None:
        self._retitle()
        self.changed()

    watch_shares = watch_cursor = _show_again

    @property
    def wanted(self) -> tuple[int, int]:
        """The columns and lines of the whole matrix, with its heads and words; 0 without one."""
        if not drawable(self._counts):
            return 0, 0
        columns = whole_width(self._counts, known_names(self._counts, self._names))
        return columns, len(self._counts) + MATRIX_WORDS

    @property
    def shows_shares(self) -> bool:
        """Whether cells show per cents, as somebody wants it or for want of room for counts."""
        placed = self._placed()
        return self.shares if placed is None else placed.shares

    def _retitle(self) -> None:
        """Say in the frame what the cells say, and of when."""
        placed = self._placed()
        what = "% of each true class" if self.shows_shares else "counts"
        if placed is not None and not placed.digits:
            what = "shades of each true class"
        title = self.BORDER_TITLE
        if self.terminal.ascii:  # whose arrows are a v and a >
            title = title.replace("↓", "down,").replace("→", "across")
        self.set_title(title, " · ".join(words for words in (what, self._note) if words and drawable(self._counts)))

    on_resize = _retitle

    def _placed(self) -> MatrixLayout | None:
        """Where the table stands; None without one."""
        if not drawable(self._counts):
            return None
        names = known_names(self._counts, self._names)
        return place(self._counts, names, *self.content_size, self._look)

    def draw(self, width: int, height: int) -> Text:
        if not drawable(self._counts):
            return centred(self._empty, width, height)
        return draw_confusion(self._counts, self._names, width, height, self._look, self.cursor)

    @property
    def _look(self) -> MatrixLook:
        light, bare = not self.app.current_theme.dark, self.terminal.colors == "none"
        return MatrixLook(self.mode == "ascii", self.shares, margins=True, light=light, bare=bare)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape and Enter belong to the screen while there is no cursor."""
        return self.cursor is not None if action in ("leave_cursor", "choose_cell") else True

    def action_move(self, down: int, right: int) -> None:
        """Move the cursor by cells; at first it shows on the most frequent mistake."""
        if not drawable(self._counts):
            return
        last = len(self._counts) - 1
        if self.cursor is None:
            wrong = self._counts - np.diag(np.diag(self._counts))
            true, predicted = divmod(int(wrong.argmax()), len(self._counts))
            self.cursor = true, predicted
        else:
            self.cursor = min(max(self.cursor[0] + down, 0), last), min(max(self.cursor[1] + right, 0), last)

    def action_leave_cursor(self) -> None:
        """Hide the cursor: the summary shows again."""
        self.cursor = None

    def action_choose_cell(self) -> None:
        """Ask for the images of the cell."""
        if self.cursor is not None:
            self.post_message(self.CellChosen(*self.cursor, int(self._counts[self.cursor])))

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the cell; where it stands there already, ask for its images."""
        cell = self._cell_at(event)
        if cell is not None:
            if cell == self.cursor:
                self.action_choose_cell()
            self.cursor = cell

    def _cell_at(self, event: events.MouseEvent) -> Cell | None:
        offset = event.get_content_offset(self)
        placed = self._placed()
        return None if placed is None or offset is None else placed.cell_at(*offset, len(self._counts))


HISTOGRAMS = "histograms"  # the view that takes the place of the pictures on a large screen


LEAST_IMAGES = 30  # columns beside a confusion matrix
LEAST_CURVES, WANTED_CURVES = 16, 19
"""Lines of the curves beside the pictures, their frame included: at least, and where one sample has its own size."""
WELCOME = "r starts what the form says  ·  1 lists all runs  ·  ? shows the keys"


class RunView(Views):
    """Curves, pictures, confusion matrix and log; on a small screen one of them at a time.

    The timeline below them goes back through the stored samples, which a thread reads; the newest is kept meanwhile.
    """

    MAIN_PANELS = {
        "curves": "#loss",
        "pictures": "#images",
        "confusion": "#confusion",
        "log": "#log",
        HISTOGRAMS: "#histograms",
    }

    images = getters.query_one(ImagesPanel)
    confusion = getters.query_one(ConfusionPanel)
    timeline = getters.query_one(TimelineBar)
    """Which of its samples shows."""

    _newest: Sample | None = None
    _shown: tuple[Sample | None, str] = None, ""
    _snapshot: Snapshot | None = None
    _origin: Snapshot | None = None
    _child: Path | None = None
    _feeds: tuple[Feed, ...] = ()
    """What is read beside the run: its parent, its other seeds."""
    _seeds: SeedBand | None = None
    _shows_seeds = True
    _second = ""

    def compose(self) -> ComposeResult:
        yield ViewBar(self.MAIN_PANELS)
        with Horizontal(id="curves"):
            yield CurvesPanel("loss", id="loss")
            yield CurvesPanel("accuracy", id="second")
        with Horizontal(id="pictures"):
            yield ImagesPanel(id="images")
            yield ConfusionPanel(id="confusion")
        yield HistogramPanel(id="histograms")
        yield LogPanel(id="log")
        yield TimelineBar(id="timeline")

    def on_mount(self) -> None:
        self.watch(self.images, "error", self.share, init=False)
        self.watch(self.images, "enlarged", self.share, init=False)
        self.query_one(ViewBar).offer("confusion", False)
        self.query_one(ViewBar).offer(HISTOGRAMS, False)
        self.images.explain(WELCOME)

    def explain(self, words: str) -> None:
        """Say why there are no curves."""
        for panel in self.query(CurvesPanel):
            panel.explain(words)

    def clear(self, words: str) -> None:
        """Forget the run that was shown, and say what comes."""
        self._newest, self._shown, self._second = None, (None, ""), ""
        self._snapshot = self._origin = self._child = self._seeds = None
        self._leave_family()
        self.timeline.clear()
        for panel in self.query(CurvesPanel):
            panel.show(())
        self.explain(words)
        self.images.show([])
        self.confusion.show(np.zeros((0, 0), np.int64), ())
        self.confusion.explain(NO_PREDICTIONS)
        self.query_one(HistogramPanel).clear()

    def show(self, snapshot: Snapshot, sample: Sample | None) -> None:
        """Show a run as it is now."""
        self._show_family(snapshot, sample)
        self._snapshot, self._newest = snapshot, sample
        drawn = sample.epoch if sample is not None and sample.step is None else None
        self.timeline.show(snapshot.path, snapshot.samples, snapshot.status.live, drawn)
        self._look_for_family(snapshot)
        self._show_curves(snapshot)
        self._show_samples()
        self._read_histograms()

    def _show_curves(self, snapshot: Snapshot) -> None:
        offered, marks = second_metrics(snapshot), run_marks(snapshot, self.timeline.at)
        metric = self._second if self._second in offered else offered[0]
        main = snapshot.main_metric
        loss, second = on_one_axis(self._curves(snapshot, main), self._curves(snapshot, metric))
        self.query_one("#loss", CurvesPanel).show(loss, plot_title(main), marks)
        self.query_one("#second", CurvesPanel).show(second, plot_title(metric), marks)

    def _curves(self, snapshot: Snapshot, metric: str) -> tuple[Curve, ...]:
        """The curves of the parent and of other seeds, behind the run's own."""
        own = run_curves(snapshot, metric)
        seeds = seed_curves(self._seeds, metric, own) if self._seeds is not None and self._shows_seeds else ()
        parent = parent_curves(self._origin, metric) if self._origin is not None else ()
        return (*seeds, *parent, *own)

    @on(CurvesPanel.Looked)
    def _looked(self, event: CurvesPanel.Looked) -> None:
        follow_look(self.query(CurvesPanel), event)

    def _look_for_family(self, snapshot: Snapshot) -> None:
        """Have a fork's parent read, and followed while it trains, and the other seeds of a run that is no fork; where
        there are none, the run shows alone."""
        if self._child == snapshot.path:
            return
        self._leave_family()
        self._child = snapshot.path
        if (parent := snapshot.parent) is None:
            self._feeds = (Feed(follow_seeds(snapshot.path), self.post_message, "seeds"),)
        elif Path(parent.run).name == parent.run:
            looks = follow_parent(snapshot.path, snapshot.path.parent / parent.run)
            self._feeds = (Feed(looks, self.post_message, "parent"),)
        for feed in self._feeds:
            feed.hurry()

    def _leave_family(self) -> None:
        for feed in self._feeds:
            feed.close()
        self._feeds = ()

    on_unmount = _leave_family

    @property
    def has_seeds(self) -> bool:
        """Whether the run has other seeds."""
        return self._seeds is not None

    def toggle_seeds(self) -> str:
        """Show the other seeds of the run, or not; returns in words what shows."""
        if self._seeds is None or self._snapshot is None:
            return "no finished run differs from this one in nothing but the seed"
        self._shows_seeds = not self._shows_seeds
        self._show_curves(self._snapshot)
        shown = "behind the curves: the mean of its other seeds, in a band from the lowest to the highest"
        return shown if self._shows_seeds else "the run without its other seeds"

    @on(SeedsRead)
    def _seeds_read(self, event: SeedsRead) -> None:
        event.stop()
        if event.path == self._child and self._snapshot is not None:
            self._seeds = event.band
            self._show_curves(self._snapshot)

    @on(ParentRead)
    def _parent_read(self, event: ParentRead) -> None:
        event.stop()
        if event.child == self._child and self._snapshot is not None:
            self._origin = event.parent
            self._show_curves(self._snapshot)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What can stand beside the loss."""
        return second_metrics(self._snapshot) if self._snapshot is not None else ()

    def next_metric(self) -> str:
        """Show the next metric beside the loss; returns in words what there is where that is all."""
        offered = self.metrics
        if self._snapshot is None or len(offered) < 2:
            return only_metric(self._snapshot) if self._snapshot is not None else "no run is open"
        shown = self._second if self._second in offered else offered[0]
        self._second = offered[(offered.index(shown) + 1) % len(offered)]
        self._show_curves(self._snapshot)
        return ""

    # Histograms

    @property
    def has_histograms(self) -> bool:
        """Whether the run keeps histograms."""
        config = self._snapshot.current_config if self._snapshot is not None else None
        return config is not None and config.samples.histograms

    @property
    def shows_histograms(self) -> bool:
        """Whether histograms show in place of the pictures."""
        return self.has_class(f"-{HISTOGRAMS}")

    def toggle_histograms(self) -> bool:
        """Show histograms in place of the pictures, or the pictures again; returns whether the run has any."""
        bar = self.query_one(ViewBar)
        if self.shows_histograms:
            bar.view = "pictures"
        elif self.has_histograms:
            bar.view = HISTOGRAMS
            self.query_one(HistogramPanel).focus()
        return self.has_histograms

    def show_view(self, chosen: str) -> None:
        super().show_view(chosen)
        self._read_histograms()

    def _read_histograms(self) -> None:
        """Have histograms read while they show; nobody else needs them."""
        if self._snapshot is not None and self.shows_histograms:
            self.query_one(HistogramPanel).follow(self._snapshot.path, self._snapshot.samples)

    def _show_family(self, snapshot: Snapshot, sample: Sample | None) -> None:
        config, own = snapshot.config, sample if snapshot.tracked is not None else None
        classifier = config.is_classifier if config is not None else own is not None and own.confusion is not None
        self.query_one(ViewBar).offer(HISTOGRAMS, config is not None and config.samples.histograms)
        if self.timeline.at is None:
            self.images.explain(snapshot.status.phase if snapshot.status.live else "no pictures in this run")
        self.explain(EMPTY if snapshot.status.live else "no points in this run")
        if classifier != self.has_class("-classifier"):
            self.set_class(classifier, "-classifier")
            self.query_one(ViewBar).offer("confusion", classifier)
            made = own is not None and own.reconstructions is not None
            self.images.rename("predictions" if classifier and not made else "reconstructions")

    # Room

    def share(self) -> None:
        """Give the pictures as many lines as they take, and the curves all others; where one panel shows at a time it
        has them all."""
        if self.screen.maximized not in (None, self.images):
            return
        alone = any(map(self.screen.has_class, ONE_AT_A_TIME)) or self.screen.maximized is self.images
        room = self.size.height - TIMELINE - FRAME_LINES
        most = 0 if alone else max(room - WANTED_CURVES, min(self.images.own_lines, room - LEAST_CURVES))
        columns, lines = self.confusion.wanted if self.has_class("-classifier") else (0, 0)
        width = self.size.width
        if columns and not alone:
            width = max(min(width - columns - FRAME_LINES, 3 * width // 8), LEAST_IMAGES)
        self.images.styles.width = width if columns and not alone else None
        taken = max(self.images.lay_out(width - self.images.gutter.width, most), min(lines, most))
        self.query_one("#pictures").styles.height = taken + FRAME_LINES if most > 0 and taken else None

    on_resize = share

    # Samples

    @property
    def sample(self) -> Sample | None:
        """The sample that shows; None while there is none."""
        return self._shown[0]

    @property
    def sheet(self) -> Sheet | None:
        """All pictures of the sample that shows, a kind a row."""
        images, sample = self.query_one(ImagesPanel), self.sample
        if sample is None or not images.rows:
            return None
        return Sheet(f"epoch-{sample.epoch}", [pictures for _, pictures in images.rows])

    def _show_samples(self) -> None:
        """The newest sample, or what is said of the one that shows instead of it."""
        at = self.timeline.at
        if at is None and self._newest is not None:
            step = self._newest.step
            self._show_sample(self._newest, place_note(self._newest.epoch) if step is None else f"step {count(step)}")
        elif at is not None and self.sample is not None:
            self._show_sample(self.sample, self.timeline.note(self.sample.epoch))

    def _show_sample(self, sample: Sample, note: str) -> None:
        if self._shown[0] is sample and self._shown[1] == note:
            return
        self._shown = sample, note
        self.images.show(sample_rows(sample), sample_captions(sample), note, error_row(sample))
        if sample.confusion is not None:
            self.confusion.show(sample.confusion, sample.classes, note)
        if sample.step is None:
            self.query_one(HistogramPanel).show(sample.histograms, sample.epoch, note)
        self.share()

    @on(TimelineBar.Moved)
    def _moved(self, event: TimelineBar.Moved) -> None:
        """Go to another sample; it shows when it is read, and its place on the curves at once."""
        event.stop()
        if self._snapshot is None:
            return
        self._show_curves(self._snapshot)
        if event.at is None:
            self._show_samples()

    @on(SampleRead)
    def _sample_read(self, event: SampleRead) -> None:
        event.stop()
        note = self.timeline.note(event.epoch)
        if event.sample is not None:
            self._show_sample(event.sample, note)
            return
        self._shown = None, ""
        self.images.show([], note=note)
        self.confusion.show(np.zeros((0, 0), np.int64), ())
        for panel in (self.images, self.confusion):
            panel.explain(missing_note(event.epoch))

    @on(ConfusionPanel.CellChosen)
    def _cell_chosen(self, event: ConfusionPanel.CellChosen) -> None:
        """Keep an empty cell from leading to Bench, which has nothing to show of it."""
        if not event.images:
            event.stop()
            self.screen.query_one(MessageLine).remark("the cell is empty: no test image is taken so")

    @property
    def look(self) -> Look:
        """How all curves look."""
        return next((panel.look for panel in self.query(CurvesPanel)), Look())

    def cycle_look(self, name: str) -> str:
        """Change how all curves look; `name` is in LOOKS. Returns it in words."""
        return cycle_look(self.query(CurvesPanel), name)
