"""The body of the Latent screen: the map of codes, and beside it what stands at the cursor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tuiae.explore.protocol import Answer, Between, Codes, Opened, Place, Plane, Samples
from tuiae.render.chrome import missing_note, no_codes_note
from tuiae.render.code_map import MapView
from tuiae.render.explorer import draw_grid, draw_nearest, draw_place, draw_samples, draw_strip, grid_note
from tuiae.render.text import number
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.widgets.chrome import ViewBar, Views
from tuiae.ui.widgets.code_map import CodeMapPanel
from tuiae.ui.widgets.images import DrawingPanel
from tuiae.ui.widgets.timeline import TimelineBar

RESTING = "Decoding and nearest images need the weights, and those are of the newest checkpoint; > goes back to it."


class LatentSide(Views):
    """What stands at the cursor, which test images are near, and what else was asked for."""

    MAIN_PANELS = {"decoded": "#decoded", "nearest": "#nearest", "more": "#more"}

    def compose(self) -> ComposeResult:
        yield ViewBar(tuple(self.MAIN_PANELS))
        yield DrawingPanel("decoded", id="decoded")
        yield DrawingPanel("nearest test images", id="nearest")
        yield DrawingPanel("more", id="more")

    def on_mount(self) -> None:
        self.offer_more(False)

    def offer_more(self, wanted: bool) -> None:
        """Make room for what was asked for beside the cursor, or take it away."""
        bar = self.query_one(ViewBar)
        bar.offer("more", wanted)
        self.set_class(wanted, "-more-asked")
        if wanted:
            bar.view = "more"


class LatentView(Vertical):
    """The map on the left, its cursor's company on the right; the timeline below goes back through stored codes.

    What comes while one looks back shows when one returns, and the map is then looked at as it was left.
    """

    def __init__(self) -> None:
        super().__init__(id="body")
        self._opened: Opened | None = None
        self._latent = 2
        self._left: MapView | None = None
        """How the newest codes were looked at; None while one does not look back."""
        self._newest: Callable[[], None] | None = None
        """Shows the newest codes."""
        self._back_at: int | None = None
        """The epoch whose codes show instead."""
        self._empty = ""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield CodeMapPanel("codes", id="map")
            yield LatentSide(id="side")
        yield TimelineBar(id="timeline")

    @property
    def map(self) -> CodeMapPanel:
        return self.query_one(CodeMapPanel)

    @property
    def side(self) -> LatentSide:
        return self.query_one(LatentSide)

    @property
    def timeline(self) -> TimelineBar:
        """Where in its samples one looks at the run."""
        return self.query_one(TimelineBar)

    @property
    def looks_back(self) -> bool:
        """Whether the codes of an older epoch show."""
        return self._left is not None

    def clear(self, message: str) -> None:
        """Forget what was shown, and say why there is nothing."""
        self._left = self._newest = self._back_at = self._opened = None
        self._empty = message
        self.timeline.clear()
        self._rest("")
        self.map.set_title("codes")
        self.map.clear(message)
        for panel in self.query(DrawingPanel):
            panel.clear()
        self.side.offer_more(False)

    def explain(self, message: str) -> None:
        """What to say while there are no codes."""
        self._empty = message
        if not self.looks_back:
            self.map.explain(message)

    def preview(self, sample: Sample) -> None:
        """Codes that the training left, until the explorer has some of its own."""
        if sample.codes is not None:
            self._keep(partial(self._preview, sample))

    def _preview(self, sample: Sample) -> None:
        self._draw_sample(sample)
        self.map.set_title("codes", f"epoch {sample.epoch:,} · loading, the cursor decodes nothing yet")

    def _draw_sample(self, sample: Sample, hold: bool = False) -> None:
        if sample.codes is not None and sample.code_labels is not None:
            self.map.show(sample.codes, sample.code_labels, sample.classes, sample_axes(self._latent), hold)

    def _keep(self, newest: Callable[[], None]) -> None:
        """Show the newest codes, now or when one returns to them."""
        self._newest = newest
        if not self.looks_back:
            newest()

    # Looking back

    def follow(self, snapshot: Snapshot) -> None:
        """The samples that there are now."""
        if snapshot.config is not None:
            self._latent = snapshot.config.model.latent
        self.timeline.show(snapshot.path, snapshot.samples, snapshot.status.live)
        if self.looks_back and self._back_at is not None:
            self.map.set_note(self.timeline.note(self._back_at))

    def leave_newest(self) -> None:
        """One goes back: what needs the weights rests."""
        if self._left is None:
            self._left = self.map.view
            self._rest(RESTING)

    def show_sample(self, epoch: int, sample: Sample | None) -> None:
        """The codes of an older epoch, or why there are none."""
        self._back_at = epoch
        if sample is None or sample.codes is None:
            self.map.clear(missing_note(epoch, 200) if sample is None else no_codes_note(epoch))
            self.map.set_title("codes", self.timeline.note(epoch))
        else:
            self._draw_sample(sample, hold=True)
            self.map.set_title(f"codes of {len(sample.codes):,} test images", self.timeline.note(epoch))

    def return_to_newest(self) -> None:
        """The newest codes, looked at as they were left."""
        left, self._left, self._back_at = self._left, None, None
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

    # The newest

    def show_codes(self, codes: Codes, opened: Opened) -> None:
        """The map of a checkpoint."""
        self._keep(partial(self._draw_codes, codes, opened))

    def _draw_codes(self, codes: Codes, opened: Opened) -> None:
        self._opened = opened
        self.map.show(codes.points, codes.labels, opened.classes, codes.axes)
        self.map.set_title(f"codes of {len(codes.labels):,} test images", " · ".join(self._moment(codes)))

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
        """What stands at the cursor."""
        title = "decoded here" if place.image is not None else "classified here"
        self.query_one("#decoded", DrawingPanel).show(partial(draw_place, place, self._names), title=title)
        self.query_one("#nearest", DrawingPanel).show(partial(draw_nearest, place, self._names))

    def show_more(self, answer: Answer) -> None:
        """A way, samples, or a plane."""
        more = self.query_one("#more", DrawingPanel)
        if isinstance(answer, Between):
            note = " · ".join((*self._moment(answer), f"{number(answer.distance)} apart"))
            more.show(partial(draw_strip, answer), note, "between the marks")
        elif isinstance(answer, Samples):
            note = f"{self._moment(answer)[-1]} · seed {answer.seed} · n draws others"
            more.show(partial(draw_samples, answer), note, "drawn from the prior")
        elif isinstance(answer, Plane):
            more.show(
                partial(draw_grid, answer), f"{self._moment(answer)[-1]} · {grid_note(answer)}", "the plane, decoded"
            )
        if not self.side.has_class("-more-asked"):
            self.side.offer_more(True)

    @property
    def ascii_only(self) -> bool:
        """Whether everything is drawn without any character above 127."""
        return self.map.ascii_only

    @ascii_only.setter
    def ascii_only(self, wanted: bool) -> None:
        self.map.ascii_only = wanted
        for panel in self.query(DrawingPanel):
            panel.mode = "ascii" if wanted else panel.best


def sample_axes(latent: int) -> tuple[str, str]:
    """What stands on the axes of the codes that a sample holds, by the width of the code."""
    if latent == 1:
        return "code 0", "class"
    return ("code 0", "code 1") if latent == 2 else ("principal component 1", "principal component 2")
