"""The codes of the open run, while it trains: a map, a cursor that decodes, and ways between codes."""

from __future__ import annotations

import time

from textual import on
from textual.app import ComposeResult
from textual.timer import Timer

from tuiae.explore.answers import Answer, Codes, Opened, Place
from tuiae.explore.client import Notice, Reply
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.inquiry import SLOT, Inquiry
from tuiae.ui.keys import LATENT
from tuiae.ui.render.text import clean
from tuiae.ui.screens.acting import ActingScreen
from tuiae.ui.session import Session
from tuiae.ui.widgets.code_map import CodeMapPanel
from tuiae.ui.widgets.latent_view import LatentView
from tuiae.ui.widgets.panel import Panel

STEPS = 8  # images from one marked point to another
DRAWN = 16
GRID = 9  # images a side; every second, fourth or eighth one keeps the corners and the middle
NO_RUN = "no run is open: 1 lists them, 2 starts one"
NO_CHECKPOINT = "no checkpoint yet: the first comes with the first epoch"
HINT = "arrows move, b marks, a another plane, + nearer, ? all keys"


class LatentScreen(ActingScreen):
    """The map of codes."""

    MODE = "latent"
    NAME = "codes"
    BINDINGS = [key.binding for key in LATENT]
    AUTO_FOCUS = "#map"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._inquiry = Inquiry(session.explorer, time.monotonic)
        self._seen: tuple[int, ...] | None = None
        self._later: Timer | None = None

    def compose_body(self) -> ComposeResult:
        yield LatentView()

    @property
    def view(self) -> LatentView:
        return self.query_one(LatentView)

    # The open run

    def on_mount(self) -> None:
        self.view.clear(NO_RUN)

    def on_screen_suspend(self) -> None:
        # Nobody looks: when the screen shows again it asks anew.
        self._seen = None
        if self._later is not None:
            self._later.stop()
            self._later = None

    def run_opened(self) -> None:
        self._inquiry.forget()
        self._seen = None
        self.view.clear(NO_RUN if self.session.path is None else "reading the run")

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        if snapshot.status.live and not snapshot.checkpoints:
            self.view.map.explain(NO_CHECKPOINT)
            return
        if self._inquiry.opened is None and sample is not None and snapshot.config is not None:
            self.view.preview(sample, snapshot.config.model.latent)
        # t-SNE takes seconds: it stays at its checkpoint until another plane is chosen.
        follows = self._inquiry.choice.by != "tsne"
        if self._seen is None or (follows and snapshot.checkpoints != self._seen):
            self._refresh()

    def _refresh(self) -> None:
        """Ask for the newest checkpoint, now or when it is time for it."""
        path, snapshot = self.session.path, self.session.snapshot
        if path is None or snapshot is None or self._later is not None:
            return
        if wait := self._inquiry.wait:
            self._later = self.set_timer(wait, self._refresh_late)
            return
        self._seen = snapshot.checkpoints
        self._inquiry.open(path)

    def _refresh_late(self) -> None:
        self._later = None
        self._refresh()

    # The explorer

    def told(self, told: Reply | Notice) -> None:
        if isinstance(told, Notice):
            # Of what comes every two seconds nothing is said, or the line would flicker.
            if self._inquiry.opened is None or self._inquiry.choice.by == "tsne":
                self.message.hint(f"explorer: {told.text}", "quiet")
                self.view.map.explain(f"{told.text}…")
        elif told.slot.startswith(SLOT):
            if told.answer is not None:
                self._show(told.answer)
            elif told.error is not None:
                self.view.map.explain(told.error.cause)
                self.message.complain(str(told.error))

    def _show(self, answer: Answer) -> None:
        inquiry = self._inquiry
        self.message.forget_trouble()
        if isinstance(answer, Opened):
            if answer.run == str(self.session.path):
                inquiry.take(answer)
        elif inquiry.opened is None:
            return  # of the run that was open before
        elif isinstance(answer, Codes):
            inquiry.arrived()
            self.view.show_codes(answer, inquiry.opened)
            self.message.say(HINT, "quiet")
            inquiry.place(self.view.map.view.cursor)
            inquiry.extra_again()
        elif isinstance(answer, Place):
            self.view.show_place(answer)
            self.message.say(f"{answer.source}  ·  {HINT}" if answer.image is not None else HINT, "quiet")
        else:
            self.view.show_more(answer)
            self.message.say(HINT, "quiet")

    # Keys

    @on(CodeMapPanel.Moved)
    def _moved(self, event: CodeMapPanel.Moved) -> None:
        self._inquiry.place(event.point)

    def action_move(self, columns: int, rows: int) -> None:
        """The cursor, by so many cells."""
        self.view.map.move(columns, rows)

    def action_nearer(self, steps: int) -> None:
        """Zoom into the map round the cursor, or out of it."""
        self.view.map.zoom(steps)

    def action_plane(self) -> None:
        """Another plane of the code."""
        self._choose_plane()

    def action_axis(self, which: int) -> None:
        """Another number of the code on one axis."""
        self._choose_plane(which)

    def _choose_plane(self, axis: int | None = None) -> None:
        choice = self._inquiry.choice
        if not self._inquiry.choose(choice.following() if axis is None else choice.turned(axis)):
            self.message.say(f"this code has {choice.latent} numbers: there is no other", "quiet")
        elif choice.by == "tsne":
            self._refresh()

    def action_mark(self) -> None:
        """Mark the place of the cursor; between two marks, the way from one to the other."""
        marks = self.view.map.mark()
        if len(marks) == 2:
            self._inquiry.extra("between", a=marks[0], b=marks[1], count=STEPS)
        elif marks:
            self.message.say("marked: go elsewhere and mark the other end with b", "quiet")

    def action_prior(self) -> None:
        """Samples of the prior, other ones each time."""
        self._inquiry.seed += 1
        self._inquiry.extra("prior", count=DRAWN, seed=self._inquiry.seed)

    def action_decode_plane(self) -> None:
        """The whole plane, decoded."""
        self._inquiry.extra("plane", count=GRID)

    def action_next_class(self) -> None:
        """One class alone."""
        name = self.view.map.next_class()
        self.message.say(f"{clean(name)} alone; c the next" if name else HINT, "quiet")

    def action_again(self) -> None:
        """Start an explorer that went away, and look again."""
        self._inquiry.try_again()
        self._refresh()

    # The screen

    def action_next_view(self) -> None:
        """The next panel beside the map, where there is no room for all."""
        self.view.side.next_view()

    def action_zoom(self) -> None:
        """The focused panel on the whole screen, or everything again."""
        if self.maximized is not None:
            self.minimize()
        else:
            panel = self.focused if isinstance(self.focused, Panel) else self.view.map
            panel.focus()
            self.maximize(panel)

    def action_pictures(self) -> None:
        """Half-block cells, or ASCII."""
        self.view.ascii_only = not self.view.ascii_only

    def action_back(self) -> None:
        """Step by step: one panel alone, then what was asked for beside the map, then the open run."""
        if self.maximized is not None:
            self.minimize()
        elif self.view.side.has_class("-more-asked"):
            self._inquiry.drop_extra()
            self.view.side.offer_more(False)
        else:
            self.app.switch_mode("live")
