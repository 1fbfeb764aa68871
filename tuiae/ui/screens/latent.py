"""The codes of the open run while it trains: a map, a cursor that decodes, and paths between codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import getters, on
from textual.app import ComposeResult

from tuiae.explore.client import AGAIN, Notice, Reply
from tuiae.explore.protocol import Answer, Codes, OpenedRun, Place
from tuiae.render.text import clean
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.keys import LATENT
from tuiae.ui.questions import LatentQuestions
from tuiae.ui.screens.base import ExplorerScreen
from tuiae.ui.session import Session
from tuiae.ui.widgets.latent_view import CodeMapPanel, LatentView
from tuiae.ui.widgets.timeline import SampleRead, TimelineBar

PATH_IMAGES = 8  # from one marked point to another
PRIOR_IMAGES = 16
GRID = 13  # images a side; every second, third, fourth or sixth one keeps the corners
HINT = "arrows move, b marks, a another plane, + closer, ? all keys"
EMBEDDING = "computing t-SNE…"
BACK_HINT = ", and . go through the epochs, > to the newest"
NO_PRIOR = "has no prior to draw from: only a variational autoencoder has one (vae, conv-vae)"
NO_DECODER = "decodes nothing: take a run of an autoencoder"
ASKING = ("plane", "mark", "prior", "decode_plane")
"""Actions that ask the explorer."""
ON_MAP = ("move(", "nearer(", "plane", "mark", "prior", "decode_plane", "next_class")
"""Actions, or their beginnings, that need a run with codes."""


class LatentScreen(ExplorerScreen):
    """The map of codes."""

    MODE = "latent"
    BINDINGS = [key.binding for key in LATENT]
    AUTO_FOCUS = "#map"
    AGAIN_KEY = "enter"

    view = getters.query_one(LatentView)
    main_panel = getters.query_one(CodeMapPanel)
    questions: LatentQuestions

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.questions = LatentQuestions(session, self.MODE, self.set_timer)

    def compose_body(self) -> ComposeResult:
        yield LatentView(id="body")

    # The open run

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        self.view.follow(snapshot)
        lacks_weights = snapshot.status.live and not snapshot.checkpoints
        shows = snapshot.tracked is not None or not lacks_weights
        if snapshot.tracked is not None and sample is not None and sample.codes is not None:
            self.message.hint("the codes that its program handed over: arrows move, + closer, c one class alone")
        elif self.questions.follows:
            self.follow(snapshot)
        if self.questions.opened is None and sample is not None and shows:
            self.view.preview(sample, self.refusal)

    # The stored samples

    @on(TimelineBar.Moved)
    def _timeline_moved(self, event: TimelineBar.Moved) -> None:
        """Go to the codes of another epoch, which show when they are read; the newest show at once."""
        self.message.release()  # a question that was refused is about another place
        if event.at is not None:
            self.view.leave_newest()
        else:
            self.view.return_to_newest()
        self._hint(HINT)
        opened = self.questions.opened
        if opened is not None and self.questions.answers_now:
            self._show(opened)  # the weights of that epoch were here before its codes
        if self.session.snapshot is not None:
            self.run_changed(self.session.snapshot, self.session.sample)

    @on(SampleRead)
    def _sample_read(self, event: SampleRead) -> None:
        if self.view.looks_back:
            self.view.show_sample(event.epoch, event.sample)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # None greys the key out in the footer: there are no weights of that epoch to ask.
        resting = action in ASKING and self._composed and self._rests
        return None if resting else super().check_action(action, parameters)

    @property
    def _rests(self) -> bool:
        """Whether the codes that show are those of an epoch whose weights are not here."""
        return self.view.looks_back and not self.questions.is_settled

    def is_enabled(self, action: str) -> bool:
        if not action.startswith(ON_MAP):
            return super().is_enabled(action)
        config, snapshot = self.config, self.session.snapshot
        if config is None:
            drawn = snapshot is not None and snapshot.tracked is not None and self.view.map.has_codes
            return drawn and action.startswith(("move(", "nearer(1)", "next_class"))
        opened = self.questions.opened
        if opened is not None and not opened.has_code:
            return False
        if action.startswith("plane("):
            return config.model.latent > 2  # else there is no other number to take
        if action == "prior":
            return config.model.is_variational
        if action == "nearer(-1)":
            return self.view.map.view.zoom > 0
        return action not in ("mark", "decode_plane") or not config.is_classifier

    # The explorer

    def hear(self, told: Reply | Notice) -> None:
        # Of a training that is followed it says every two seconds what it does: the line would flicker.
        if isinstance(told, Notice) and (self.questions.opened is None or self.questions.choice.by == "tsne"):
            self.message.hint(f"{told.text}…")
        super().hear(told)

    def replied(self, reply: Reply) -> None:
        if reply.answer is not None:
            self._show(reply.answer)
        elif reply.error is not None:
            if reply.slot == self.questions.slot("extra") and reply.error.hint != AGAIN:
                self.questions.extra = None  # else it is asked, and refused, again with every checkpoint
            self.view.explain(reply.error.cause)
            self.complain(str(reply.error))

    def _show(self, answer: Answer) -> None:
        self.message.answered()
        opened = self.questions.opened
        if isinstance(answer, OpenedRun):
            if self.questions.take(answer):
                self.view.show_opened(answer)
        elif opened is None:
            return  # of the run that was open before
        elif isinstance(answer, Codes):
            if (answer.checkpoint, opened.asked) != (opened.checkpoint, self.session.at):
                return  # others are on their way
            self.questions.codes_arrived()
            self.view.show_codes(answer, opened)
            self._hint(HINT)
            self._ask_beside()
        elif isinstance(answer, Place):
            self.view.show_place(answer)
            self._hint(f"{answer.source}  ·  {HINT}" if answer.image is not None else HINT)
        else:
            self.view.show_more(answer)
            self._hint(HINT)

    def _hint(self, text: str) -> None:
        if self.view.looks_back:
            self.message.hint(BACK_HINT)
        elif self.questions.embeds:
            self.message.hint(EMBEDDING)
        else:
            self.hint_of_run(text)

    def _ask_beside(self) -> None:
        """Ask for what stands beside the map, of the weights that show there."""
        if not self._rests:
            self.questions.ask_place(self.view.map.view.cursor)
            self.questions.ask_extra()

    @on(CodeMapPanel.Moved)
    def _cursor_moved(self, event: CodeMapPanel.Moved) -> None:
        if not self._rests:
            self.questions.ask_place(event.point)

    # Keys

    def _has_map(self) -> bool:
        """Returns whether there are codes on the map; else says what is missing."""
        return self.view.map.has_codes or self.view.looks_back or self.can_ask()

    def _lacks(self, what: str, has: Callable[[OpenedRun], bool]) -> bool:
        """Returns whether the network is known and has not what a key asks for; then says so."""
        opened = self.questions.opened
        if opened is None or has(opened):
            return False
        self.message.tell(f"a {opened.family} network {what}", "caution")
        return True

    def action_move(self, columns: int, rows: int) -> None:
        if self._has_map():
            self.view.map.move(columns, rows)

    def action_nearer(self, steps: int) -> None:
        """Zoom into the map round the cursor, or out of it."""
        if self._has_map():
            self.view.map.zoom(steps)

    def action_plane(self, axis: int | None = None) -> None:
        """Another plane of the code; another number of it across (0) or up (1)."""
        if not self.can_ask():
            return
        choice, marks = self.questions.choice, self.view.map.view.marks
        if not self.questions.choose(choice.next_plane() if axis is None else choice.next_number(axis)):
            self.message.remark(f"this code has {choice.latent} numbers: there is no other")
        elif choice.by == "tsne":
            self.questions.refresh()
        if marks and choice != self.questions.choice:
            self.message.remark("another plane: what was marked is no place of it")
        if self.questions.embeds:
            self.message.hint(EMBEDDING)

    def action_mark(self) -> None:
        """Mark the place of the cursor; between two marks, show the path from one to the other."""
        if not self._has_map() or self._lacks(NO_DECODER, lambda opened: opened.is_autoencoder):
            return
        marks = self.view.map.mark()
        if len(marks) == 2:
            self._ask_extra("between", a=marks[0], b=marks[1], count=PATH_IMAGES)
        elif marks:
            self.message.remark("marked: go elsewhere and mark the other end with b")

    def action_prior(self) -> None:
        """Samples of the prior, other ones each time."""
        if not self._lacks(NO_PRIOR, lambda opened: opened.is_variational):
            self.questions.seed += 1
            self._ask_extra("prior", count=PRIOR_IMAGES, seed=self.questions.seed)

    def action_decode_plane(self) -> None:
        if not self._lacks(NO_DECODER, lambda opened: opened.is_autoencoder):
            self._ask_extra("plane", count=GRID)

    def _ask_extra(self, question: str, **arguments: Any) -> None:
        """Ask for what stands beside the map; while the weights load the question is kept, and answered then."""
        self.questions.extra = (question, arguments)
        self.view.show_extra()
        self.questions.ask_extra()
        self.can_ask("it comes when they are here")

    def action_next_class(self) -> None:
        if self._has_map():
            name = self.view.map.next_class()
            self.message.remark(f"class {clean(name)} alone · c shows the next" if name else HINT)

    def action_back(self) -> None:
        """One step back: all panels, the newest codes, the map without what was asked for beside it, then Live."""
        if self.maximized is None and self.view.looks_back:
            self.view.timeline.go(None)
        elif self.maximized is None and self.view.side.has_class("-more-asked"):
            self.questions.extra = None
            self.view.leave_more()
        else:
            super().action_back()
