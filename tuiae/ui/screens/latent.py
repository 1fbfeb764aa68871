"""The codes of the open run, while it trains: a map, a cursor that decodes, and ways between codes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual import on
from textual.app import ComposeResult

from tuiae.explore.client import AGAIN, Ended, Notice, Reply, Restarted
from tuiae.explore.protocol import Answer, Codes, Opened, Place
from tuiae.render.text import clean
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.feeds import SampleRead
from tuiae.ui.inquiry import EXTRA, SLOT, Inquiry
from tuiae.ui.keys import LATENT
from tuiae.ui.screens.base import AskingScreen
from tuiae.ui.screens.live import ScrubbingScreen
from tuiae.ui.session import Session
from tuiae.ui.widgets.latent_view import CodeMapPanel, LatentView
from tuiae.ui.widgets.timeline import TimelineBar

STEPS = 8  # images from one marked point to another
DRAWN = 16
GRID = 9  # images a side; every second, fourth or eighth one keeps the corners and the middle
HINT = "arrows move, b marks, a another plane, + closer, ? all keys"
BACK_HINT = ", and . go through the epochs, > to the newest; decoding rests"
NO_PRIOR = "has no prior to draw from: only a variational autoencoder has one (vae, conv-vae)"
NO_DECODER = "decodes nothing: take a run of an autoencoder"
NEED_WEIGHTS = ("plane", "axis", "mark", "prior", "decode_plane", "again")
"""Actions that ask the explorer, which has the newest weights."""
OF_THE_MAP = ("move(", "nearer(", "plane", "axis(", "mark", "prior", "decode_plane", "next_class", "sample('newest')")
"""Actions, or their beginnings, that need a run with codes."""


class LatentScreen(ScrubbingScreen, AskingScreen):
    """The map of codes."""

    MODE = "latent"
    NAME = "latent"
    SLOT = SLOT
    AGAIN_KEY = "enter"
    BINDINGS = [key.binding for key in LATENT]
    AUTO_FOCUS = "#map"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.inquiry: Inquiry = Inquiry(session.explorer, time.monotonic)

    def compose_body(self) -> ComposeResult:
        yield LatentView()

    @property
    def view(self) -> LatentView:
        return self.query_one(LatentView)

    @property
    def main_panel(self) -> CodeMapPanel:
        return self.view.map

    # The open run

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        self.view.follow(snapshot)
        waits = snapshot.status.live and not snapshot.checkpoints
        if self.inquiry.opened is None and sample is not None and not waits:
            self.view.preview(sample)
        # t-SNE takes seconds: it stays at its checkpoint until another plane is chosen.
        follows = self.inquiry.choice.by != "tsne"
        if not self.view.looks_back and (self._seen is None or follows):
            super().run_changed(snapshot, sample)

    # The stored samples

    @on(TimelineBar.Moved)
    def _scrubbed(self, event: TimelineBar.Moved) -> None:
        """To the codes of another epoch, which show when they are read; the newest show at once."""
        self.call_later(self.refresh_bindings)
        self.message.release()  # a question that was refused is about another place
        if event.at is not None:
            self.view.leave_newest()
            self.message.hint(BACK_HINT)
            return
        self.view.return_to_newest()
        self.message.hint(HINT)
        self._ask_beside()
        if self.session.snapshot is not None:
            self.run_changed(self.session.snapshot, self.session.sample)

    @on(SampleRead)
    def _sample_read(self, event: SampleRead) -> None:
        if self.view.looks_back:
            self.view.show_sample(event.epoch, event.sample)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # None greys the key out in the footer: there are no weights of an older epoch to ask.
        resting = action in NEED_WEIGHTS and self._composed and self.view.looks_back
        return None if resting else super().check_action(action, parameters)

    def is_enabled(self, action: str) -> bool:
        if not action.startswith(OF_THE_MAP):
            return super().is_enabled(action)
        config = self.config
        if config is None:
            return False
        if action.startswith("axis("):
            return config.model.latent > 2  # else there is no other number to take
        if action == "prior":
            return config.model.is_variational
        return action not in ("mark", "decode_plane") or not config.is_classifier

    # The explorer

    def told(self, told: Reply | Notice) -> None:
        # Of what comes every two seconds nothing is said, or the line would flicker.
        news = isinstance(told, (Restarted, Ended))
        known = self.inquiry.opened is not None and self.inquiry.choice.by != "tsne"
        if isinstance(told, Notice) and known and not news:
            return
        if isinstance(told, Notice) and not news:
            self.message.hint(f"explorer: {told.text}")
        super().told(told)

    def replied(self, reply: Reply) -> None:
        if reply.answer is not None:
            self._show(reply.answer)
        elif reply.error is not None:
            if reply.slot == EXTRA and reply.error.hint != AGAIN:
                self.inquiry.drop_extra()  # else it is asked again, and refused again, of each checkpoint
            self.explain(reply.error.cause)
            self.message.tell(self.sentence(reply.error), "bad")

    def _show(self, answer: Answer) -> None:
        inquiry = self.inquiry
        self.message.release()
        if isinstance(answer, Opened):
            if answer.run == str(self.session.path):
                inquiry.take(answer)
        elif inquiry.opened is None:
            return  # of the run that was open before
        elif isinstance(answer, Codes):
            inquiry.arrived()
            self.view.show_codes(answer, inquiry.opened)
            self._hint(HINT)
            self._ask_beside()
        elif isinstance(answer, Place):
            self.view.show_place(answer)
            self._hint(f"{answer.source}  ·  {HINT}" if answer.image is not None else HINT)
        else:
            self.view.show_more(answer)
            self._hint(HINT)

    def _hint(self, text: str) -> None:
        self.message.hint(BACK_HINT if self.view.looks_back else text)

    def _ask_beside(self) -> None:
        """Ask for what stands beside the map; of what one sees while one looks back, the explorer knows nothing."""
        if not self.view.looks_back:
            self.inquiry.place(self.view.map.view.cursor)
            self.inquiry.extra_again()

    # Keys

    @on(CodeMapPanel.Moved)
    def _moved(self, event: CodeMapPanel.Moved) -> None:
        if not self.view.looks_back:
            self.inquiry.place(event.point)

    def action_move(self, columns: int, rows: int) -> None:
        """The cursor, by so many cells."""
        if self._has_map():
            self.view.map.move(columns, rows)

    def action_nearer(self, steps: int) -> None:
        """Zoom into the map round the cursor, or out of it."""
        if self._has_map():
            self.view.map.zoom(steps)

    def _has_map(self) -> bool:
        """Whether there are codes on it; else it is said why not."""
        return self.view.map.has_codes or self.view.looks_back or not self.waits()

    def action_plane(self) -> None:
        """Another plane of the code."""
        if not self.waits():
            self._choose_plane()

    def action_axis(self, which: int) -> None:
        """Another number of the code on one axis."""
        if not self.waits():
            self._choose_plane(which)

    def _choose_plane(self, axis: int | None = None) -> None:
        choice = self.inquiry.choice
        if not self.inquiry.choose(choice.following() if axis is None else choice.turned(axis)):
            self.message.remark(f"this code has {choice.latent} numbers: there is no other")
        elif choice.by == "tsne":
            self.refresh_weights()

    def _lacks(self, what: str, has: Callable[[Opened], bool]) -> bool:
        """Whether this network, as far as it is known, has not what a key asks for; that is said then."""
        opened = self.inquiry.opened
        if opened is None or has(opened):
            return False
        self.message.tell(f"a {opened.family} network {what}", "caution")
        return True

    def action_mark(self) -> None:
        """Mark the place of the cursor; between two marks, the way from one to the other."""
        if not self._has_map() or self._lacks(NO_DECODER, lambda opened: opened.is_autoencoder):
            return
        marks = self.view.map.mark()
        if len(marks) == 2:
            self._ask_for("between", a=marks[0], b=marks[1], count=STEPS)
        elif marks:
            self.message.remark("marked: go elsewhere and mark the other end with b")

    def action_prior(self) -> None:
        """Samples of the prior, other ones each time."""
        if self._lacks(NO_PRIOR, lambda opened: opened.is_variational):
            return
        self.inquiry.seed += 1
        self._ask_for("prior", count=DRAWN, seed=self.inquiry.seed)

    def action_decode_plane(self) -> None:
        """The whole plane, decoded."""
        if not self._lacks(NO_DECODER, lambda opened: opened.is_autoencoder):
            self._ask_for("plane", count=GRID)

    def _ask_for(self, question: str, **arguments: Any) -> None:
        """Ask for what stands beside the map; while the weights are loaded it is kept, and answered then."""
        self.inquiry.extra(question, **arguments)
        self.waits("it comes when they are here")

    def action_next_class(self) -> None:
        """One class alone."""
        if not self._has_map():
            return
        name = self.view.map.next_class()
        self.message.remark(f"{clean(name)} alone; c the next" if name else HINT)

    def action_back(self) -> None:
        """Step by step: one panel alone, then the newest codes, then without what was asked for beside the map, then
        the open run."""
        if self.maximized is None and self.view.looks_back:
            self.timeline.go(None)
        elif self.maximized is None and self.view.side.has_class("-more-asked"):
            self.inquiry.drop_extra()
            self.view.side.offer_more(False)
        else:
            super().action_back()
