"""The map of codes, and the body of the Latent screen: the map, and beside it what stands at its cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from rich.text import Text
from textual import events, getters
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message

from tuiae.explore.protocol import Answer, Between, Codes, OpenedRun, Place, Plane, Samples
from tuiae.render.chrome import missing_note, no_codes_note
from tuiae.render.code_map import (
    MARKS,
    Cell,
    LabelledPoints,
    Limits,
    MapLayout,
    MapView,
    Point,
    labelled_points,
    lay_out_map,
    with_room_for,
)
from tuiae.render.explorer import draw_between, draw_nearest, draw_place, epoch_words, plane_note
from tuiae.render.grid import fit_gallery, fit_plane
from tuiae.render.pixels import Sheet
from tuiae.render.text import centred, number
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.widgets.chrome import ViewBar, Views
from tuiae.ui.widgets.images import DrawingPanel
from tuiae.ui.widgets.panel import PointedPanel
from tuiae.ui.widgets.timeline import TimelineBar

LEGEND_PART = 8  # lines of the map for one of the legend: here the map matters most


class CodeMapPanel(PointedPanel):
    """Codes of test images on a plane; the cursor is moved by `move` and by the mouse."""

    @dataclass
    class Moved(Message):
        """The cursor stands elsewhere."""

        point: Point

    BORDER_TITLE = "codes"

    view = MapView()
    _codes: LabelledPoints | None = None
    _full: Limits | None = None
    _layout: MapLayout | None = None

    def show(self, codes: LabelledPoints, hold: bool = False) -> None:
        """Replace the codes; the view stays where it is while the axes stay the same, and with `hold` the limits too,
        as far as they have room for the codes."""
        before, old_axes = self._full if hold else None, self._codes.axes if self._codes is not None else ()
        if [axis.partition(" (")[0] for axis in codes.axes] != [axis.partition(" (")[0] for axis in old_axes]:
            self.view, before = MapView(only=self.view.only), None
        self._codes, self._full = codes, None
        if len(codes.points):
            self._full = with_room_for(codes.limits, before)
            x, y = np.median(codes.points, axis=0).tolist()
            self.view = self.view.moved(self.view.cursor or (x, y), self._full)
        self.changed()

    def clear(self, message: str = "") -> None:
        """Forget the codes, and say why there are none."""
        self.view, self._full, self._layout, self._codes = MapView(), None, None, None
        self.explain(message)

    def look(self, view: MapView) -> None:
        """Show the codes as an earlier view did, as far as they reach."""
        self.view = view.moved(view.cursor, self._full) if view.cursor is not None and self._full is not None else view
        self.changed()

    @property
    def has_codes(self) -> bool:
        return self._full is not None

    def draw(self, width: int, height: int) -> Text:
        self._layout = None
        if self._codes is not None:
            ascii_only = self.mode == "ascii"
            self._layout = lay_out_map(
                self._codes, width, height, ascii_only, self.view, self._full, legend_part=LEGEND_PART
            )
        return self._layout.draw(self.view) if self._layout is not None else centred(self._empty, width, height)

    # The view

    def move(self, columns: int, rows: int) -> None:
        """Move the cursor by cells to the right and down."""
        if self._layout is not None and self.view.cursor is not None:
            frame = self._layout.frame
            row, column = self._layout.cell(*self.view.cursor) or (frame.rows // 2, frame.columns // 2)
            self._go((row + rows, column + columns))

    def _go(self, cell: Cell) -> None:
        """Go to the middle of a cell; beyond the edge the view goes along."""
        if self._layout is None or self._full is None:
            return
        self.view = self.view.moved(self._layout.point(*cell), self._full)
        self.changed()
        if self.view.cursor is not None:
            self.post_message(self.Moved(self.view.cursor))

    def zoom(self, steps: int) -> None:
        """Zoom in around the cursor by steps; negative ones zoom out."""
        self.view = self.view.zoomed(steps)
        self.changed()

    def mark(self) -> tuple[Point, ...]:
        """Mark the place of the cursor; returns the marks that there are now."""
        self.view = self.view.marked()
        self.changed()
        return self.view.marks

    def next_class(self) -> str:
        """Show the next class alone, and after the last one all; returns the name of the class, empty for all."""
        codes = self._codes
        labels = np.unique(codes.labels).tolist() if codes is not None else []
        only = next((label for label in labels if label > self.view.only), -1)
        self.view = replace(self.view, only=only)
        self.changed()
        return codes.names[only] if codes is not None and only >= 0 else ""

    def pointed(self, event: events.MouseEvent) -> None:
        if self._layout is not None:
            offset, frame = event.get_content_offset_capture(self), self._layout.frame
            row = min(max(offset.y, 0), frame.rows - 1)
            self._go((row, min(max(offset.x - frame.left, 0), frame.columns - 1)))


LOOKING = "looking for the weights of this epoch…"
RESTING = "Decoding and nearest images rest: no weights of epoch {} are kept, only those of {}; > goes to the newest."


class LatentSide(Views):
    """What the code at the cursor decodes to, the nearest test images, and what else was asked for."""

    MAIN_PANELS = {"decoded": "#decoded", "nearest": "#nearest", "more": "#more"}

    def compose(self) -> ComposeResult:
        yield ViewBar(self.MAIN_PANELS)
        yield DrawingPanel("decoded", id="decoded")
        yield DrawingPanel("nearest test images", id="nearest")
        yield DrawingPanel("more", id="more")

    def on_mount(self) -> None:
        self.offer_more(False)

    def offer_more(self, wanted: bool) -> None:
        """Show the third panel, or hide it."""
        bar = self.query_one(ViewBar)
        bar.offer("more", wanted)
        self.set_class(wanted, "-more-asked")
        if wanted:
            bar.view = "more"


class LatentView(Vertical):
    """The map on the left, its cursor's company on the right; the timeline below goes back through stored codes.

    What comes while an older epoch shows is shown on return, in the view that was left.
    """

    timeline = getters.query_one(TimelineBar)
    """Which of its samples shows."""
    side = getters.query_one(LatentSide)
    map = getters.query_one(CodeMapPanel)

    _opened: OpenedRun | None = None
    _latent = 2
    _tracked = False
    _left: MapView | None = None
    """How the newest codes were looked at; None while one does not look back."""
    _newest: Callable[[], None] | None = None
    """Shows the newest codes."""
    _back_at: int | None = None
    """The epoch whose codes show instead."""
    _decodes_at: int | None = None
    """That epoch, once its weights are here and the codes are theirs."""
    _empty = ""
    _place: Place | None = None
    _more: Answer | None = None

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield CodeMapPanel(id="map")
            yield LatentSide(id="side")
        yield TimelineBar(id="timeline")

    @property
    def looks_back(self) -> bool:
        """Whether the codes of an older epoch show."""
        return self._left is not None

    def clear(self, message: str) -> None:
        """Forget what was shown, and say why there is nothing."""
        self._left = self._newest = self._back_at = self._decodes_at = self._opened = None
        self._empty = message
        self.timeline.clear()
        self._rest("")
        self.map.set_title("codes")
        self.map.clear(message)
        for panel in self.query(DrawingPanel):
            panel.clear()
        self._place = None
        self.leave_more()

    def explain(self, message: str) -> None:
        """Say why there are no codes yet, or no weights of the epoch that shows."""
        self._empty = message
        if not self.looks_back:
            self.map.explain(message)
        elif self._decodes_at is None:
            self._rest(message)

    def preview(self, sample: Sample, refusal: str = "") -> None:
        """Show codes that the training stored, until the explorer has some; the `refusal` says why it will not."""

        def draw() -> None:
            self._draw_sample(sample)
            words = "handed over by its program: nothing decodes them" if self._tracked else refusal or LOADING
            self.map.set_title("codes", f"epoch {sample.epoch:,} · {words}")

        if sample.codes is not None:
            self._keep(draw)

    def _draw_sample(self, sample: Sample, hold: bool = False) -> None:
        if sample.codes is not None and sample.code_labels is not None:
            axes = OWN_AXES if self._tracked else sample_axes(self._latent)
            self.map.show(labelled_points(sample.codes, sample.code_labels, sample.classes, axes), hold)

    def _keep(self, newest: Callable[[], None]) -> None:
        """Show the newest codes, now or when one returns to them."""
        self._newest = newest
        if not self.looks_back:
            newest()

    # Looking back

    def follow(self, snapshot: Snapshot) -> None:
        """Take the samples that the run has now."""
        self._tracked = snapshot.tracked is not None
        if snapshot.config is not None:
            self._latent = snapshot.config.model.latent
        self.timeline.show(snapshot.path, snapshot.samples, snapshot.status.live)
        if self.looks_back and self._back_at is not None:
            self.map.set_note(self._back_note(self._back_at))

    def _back_note(self, epoch: int) -> str:
        return f"{'weights of ' if epoch == self._decodes_at else ''}{self.timeline.note(epoch)}"

    def leave_newest(self) -> None:
        """Remember the view of the newest codes; what needs weights rests until those of the epoch are here."""
        self._decodes_at = None
        self._rest(LOOKING)
        if self._left is None:
            self._left = self.map.view

    def show_sample(self, epoch: int, sample: Sample | None) -> None:
        """Show the codes of an older epoch, or say why there are none."""
        self._back_at = epoch
        if epoch == self._decodes_at:
            return  # its weights were faster
        if sample is None or sample.codes is None:
            self.map.clear(missing_note(epoch) if sample is None else no_codes_note(epoch))
            self.map.set_title("codes", self.timeline.note(epoch))
        else:
            self._draw_sample(sample, hold=True)
            self.map.set_title(f"codes of {len(sample.codes):,} test images", self.timeline.note(epoch))

    def return_to_newest(self) -> None:
        """Show the newest codes again, in the view in which they were left."""
        left, self._left, self._back_at, self._decodes_at = self._left, None, None, None
        if left is None:
            return
        self._rest("")
        self.map.set_title("codes")
        if self._newest is None:
            self.map.clear(self._empty)
        else:
            self._newest()
            self.map.look(left)

    def _rest(self, message: str) -> None:
        for panel in self.query(DrawingPanel):
            panel.rest(message)

    # What the weights answer

    def show_opened(self, opened: OpenedRun) -> None:
        """Take the checkpoint from which answers come now; where it is not of the epoch that shows, say so."""
        if self.looks_back and opened.asked is not None and opened.kept:
            self._rest(RESTING.format(f"{opened.asked:,}", epoch_words(opened.kept)))

    def show_codes(self, codes: Codes, opened: OpenedRun) -> None:
        """Show the codes of a checkpoint, of the newest or of the epoch that shows."""
        at = opened.asked

        def draw() -> None:
            self._opened = opened
            self.map.show(labelled_points(codes.points, codes.labels, opened.classes, codes.axes), at is not None)
            note = " · ".join(self._moment(codes)) if at is None else self._back_note(at)
            self.map.set_title(f"codes of {len(codes.labels):,} test images", note)

        if at is None:
            self._keep(draw)
        elif self.looks_back:
            self._back_at = self._decodes_at = at
            self._rest("")
            draw()

    @property
    def _names(self) -> tuple[str, ...]:
        return self._opened.classes if self._opened is not None else ()

    def _moment(self, answer: Answer) -> tuple[str, ...]:
        """`step 720`, and `epoch 12` where that is known: of which weights an answer is."""
        step = f"step {int(answer.checkpoint.removeprefix('step-') or 0):,}"
        opened = self._opened
        if opened is None or opened.checkpoint != answer.checkpoint or opened.epoch is None:
            return (step,)
        return (step, f"epoch {opened.epoch:,g}")

    def show_place(self, place: Place) -> None:
        """Show what the code at the cursor decodes to, and the nearest test images."""
        self._place = place
        title = "decoded here" if place.image is not None else "classified here"
        self.query_one("#decoded", DrawingPanel).show(partial(draw_place, place, self._names), title=title)
        nearest = partial(draw_nearest, place, self._names)
        self.query_one("#nearest", DrawingPanel).show(nearest, "the distance below each")

    def show_more(self, answer: Answer) -> None:
        """Show an interpolation, samples of the prior, or a decoded plane in the third panel."""
        self._more = answer
        self.set_class(isinstance(answer, Plane), "-plane")
        more = self.query_one("#more", DrawingPanel)
        if isinstance(answer, Between):
            note = " · ".join((f"{number(answer.distance)} apart", *self._moment(answer)))
            first, second = (MARKS[self.map.mode == "ascii"][place] for place in (0, 1))
            more.show(partial(draw_between, answer), note, f"from {first} to {second}")
        elif isinstance(answer, Samples):
            note = f"{self._moment(answer)[-1]} · seed {answer.seed} · n draws others"
            more.show(partial(fit_gallery, answer.images), note, "drawn from the prior")
        elif isinstance(answer, Plane):
            note = f"{self._moment(answer)[-1]} · {plane_note(answer)}"
            more.show(partial(fit_plane, answer.images, answer.x, answer.y), note, "the plane, decoded")
        if not self.side.has_class("-more-asked"):
            self.side.offer_more(True)

    def show_extra(self) -> None:
        """Bring the third panel to the front, where it is there and others may show in its place."""
        if self.side.has_class("-more-asked"):
            self.side.reveal("more")

    def leave_more(self) -> None:
        """The map again without what was asked for beside it."""
        self._more = None
        self.remove_class("-plane")
        self.side.offer_more(False)

    @property
    def sheet(self) -> Sheet | None:
        """The pictures of the third panel; without it what the cursor decodes to, and its nearest test images."""
        more, place = self._more, self._place
        if isinstance(more, Plane):
            return Sheet(f"plane-{more.checkpoint}", list(more.images))
        if isinstance(more, Samples):
            return Sheet.of_many(f"prior-{more.checkpoint}-seed-{more.seed}", more.images)
        if isinstance(more, Between):
            return Sheet(f"between-{more.checkpoint}", [more.images])
        if place is None:
            return None
        decoded = [] if place.image is None else [place.image[None]]
        return Sheet(f"code-{place.checkpoint}", [*decoded, place.images])


LOADING = "loading, the cursor decodes nothing yet"
OWN_AXES = ("code 0, or component 1", "code 1, or component 2")
"""Of codes that a tracked run's program handed over, of whatever width."""


def sample_axes(latent: int) -> tuple[str, str]:
    """What stands on the axes of the codes that a sample holds, by the width of the code."""
    if latent == 1:
        return "code 0", "class"
    return ("code 0", "code 1") if latent == 2 else ("principal component 1", "principal component 2")
