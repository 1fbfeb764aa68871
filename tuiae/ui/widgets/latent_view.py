"""The body of the Latent screen: the map of codes, and beside it what stands at the cursor."""

from __future__ import annotations

from functools import partial

from textual.app import ComposeResult
from textual.containers import Horizontal

from tuiae.explore.answers import Answer, Codes, Opened, Place, Plane, Samples, Strip
from tuiae.runs.snapshot import Sample
from tuiae.ui.render.latent import draw_grid, draw_nearest, draw_place, draw_samples, draw_strip, grid_note
from tuiae.ui.render.text import number
from tuiae.ui.widgets.code_map import CodeMapPanel
from tuiae.ui.widgets.drawing import DrawingPanel
from tuiae.ui.widgets.views import ViewBar, Views


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


class LatentView(Horizontal):
    """The map on the left, its cursor's company on the right."""

    def __init__(self) -> None:
        super().__init__(id="body")
        self._names: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        yield CodeMapPanel("codes", id="map")
        yield LatentSide(id="side")

    @property
    def map(self) -> CodeMapPanel:
        return self.query_one(CodeMapPanel)

    @property
    def side(self) -> LatentSide:
        return self.query_one(LatentSide)

    def clear(self, message: str) -> None:
        """Forget what was shown, and say why there is nothing."""
        self.map.set_title("codes")
        self.map.clear(message)
        for panel in self.query(DrawingPanel):
            panel.clear()
        self.side.offer_more(False)

    def preview(self, sample: Sample, latent: int) -> None:
        """Codes that the training left, until the explorer has some of its own."""
        if sample.codes is None or sample.code_labels is None or sample.codes.shape[1:] != (2,):
            return
        kind, first = ("code", 0) if latent == 2 else ("principal component", 1)
        axes = (f"{kind} {first}", f"{kind} {first + 1}")
        self.map.show(sample.codes, sample.code_labels, sample.classes, axes)
        self.map.set_title("codes", f"epoch {sample.epoch} · loading, the cursor decodes nothing yet")

    def show_codes(self, codes: Codes, opened: Opened) -> None:
        """The map of a checkpoint."""
        self._names = opened.classes
        self.map.show(codes.points, codes.labels, opened.classes, codes.axes)
        epoch = f" · epoch {opened.epoch:g}" if opened.epoch is not None else ""
        self.map.set_title(f"codes of {len(codes.labels):,} test images", f"step {opened.step:,}{epoch}")

    def show_place(self, place: Place) -> None:
        """What stands at the cursor."""
        title = "decoded here" if place.image is not None else "classified here"
        self.query_one("#decoded", DrawingPanel).show(partial(draw_place, place, self._names), title=title)
        self.query_one("#nearest", DrawingPanel).show(partial(draw_nearest, place, self._names))

    def show_more(self, answer: Answer) -> None:
        """A way, samples, or a plane."""
        more = self.query_one("#more", DrawingPanel)
        if isinstance(answer, Strip):
            note = f"{number(answer.distance)} apart"
            more.show(partial(draw_strip, answer), note, "between the marks")
        elif isinstance(answer, Samples):
            more.show(partial(draw_samples, answer), f"seed {answer.seed} · n draws others", "drawn from the prior")
        elif isinstance(answer, Plane):
            more.show(partial(draw_grid, answer), grid_note(answer), "the plane, decoded")
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
            panel.mode = "ascii" if wanted else panel.terminal.pictures
