"""A screen about the open run that asks the explorer: it takes the newest weights while the run trains."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from textual.timer import Timer

from tuiae.explore.answers import Opened
from tuiae.explore.client import AGAIN, Ended, ExplorerError, Notice, Reply, Restarted
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.screens.base import RunScreen

NO_RUN = "no run is open: 1 lists them, 2 starts one"
NO_CHECKPOINT = "no checkpoint yet: the first comes with the first epoch"
LOADING = "still loading the weights"


class Asking(Protocol):
    """What such a screen asks with."""

    @property
    def opened(self) -> Opened | None:
        """The checkpoint that answers; None while there is none."""

    @property
    def wait(self) -> float:
        """Seconds until the run may be looked at again; 0 when it may be now."""

    def open(self, path: Path) -> None:
        """Ask for the newest checkpoint."""

    def forget(self) -> None:
        """Another run is to be asked about."""

    def try_again(self) -> None:
        """Start an explorer that went away, and forget what it was asked."""


class Answers(Protocol):
    """Where such a screen shows what it hears."""

    ascii_only: bool

    def explain(self, message: str) -> None:
        """Why there is nothing to see yet."""

    def clear(self, message: str) -> None:
        """Forget what was shown of a run, and say why there is nothing."""


class AskingScreen(RunScreen):
    """Opens the run in the explorer when the screen shows, and again when there is another checkpoint."""

    SLOT = ""
    """Before the slots of its questions."""
    AGAIN_KEY = "ctrl+r"
    """Starts an explorer that stays away."""

    inquiry: Asking
    _seen: tuple[int, ...] | None = None
    _later: Timer | None = None

    @property
    def view(self) -> Answers:
        """The body."""
        raise NotImplementedError

    def explain(self, message: str) -> None:
        """Why there is nothing to see yet."""
        self.view.explain(message)

    def clear(self, message: str) -> None:
        """Forget what was shown of a run, and say why there is nothing."""
        self.view.clear(message)

    def replied(self, reply: Reply) -> None:
        """A question of this screen was answered, or cannot be."""
        raise NotImplementedError

    # The open run

    def on_mount(self) -> None:
        self.clear(NO_RUN)

    def on_screen_suspend(self) -> None:
        # Nobody looks: when the screen shows again it asks anew.
        self._seen = None
        if self._later is not None:
            self._later.stop()
            self._later = None

    def run_opened(self) -> None:
        self.inquiry.forget()
        self._seen = None
        self.clear(NO_RUN if self.session.path is None else "reading the run")

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        if snapshot.status.live and not snapshot.checkpoints:
            self.explain(NO_CHECKPOINT)
        elif snapshot.checkpoints != self._seen or self._seen is None:
            self.refresh_weights()

    def refresh_weights(self) -> None:
        """Ask for the newest checkpoint, now or when it is time for it."""
        path, snapshot = self.session.path, self.session.snapshot
        if path is None or snapshot is None or self._later is not None:
            return
        if wait := self.inquiry.wait:
            self._later = self.set_timer(wait, self._refresh_late)
            return
        self._seen = snapshot.checkpoints
        self.inquiry.open(path)

    def _refresh_late(self) -> None:
        self._later = None
        self.refresh_weights()

    def told(self, told: Reply | Notice) -> None:
        if isinstance(told, Restarted):
            self.message.say(told.text, "caution")
        elif isinstance(told, Ended):
            self.message.complain(self.sentence(ExplorerError(told.text, AGAIN)))
        if isinstance(told, Notice):
            self.explain(f"{told.text}…")
        elif told.slot.startswith(self.SLOT):
            self.replied(told)

    def sentence(self, error: ExplorerError) -> str:
        """What went wrong, with the key that tries again where that helps."""
        return f"{error.cause}; {self.AGAIN_KEY} asks again" if error.hint == AGAIN else str(error)

    # Keys

    def waits(self, later: str = "") -> bool:
        """Whether there are no weights to ask yet; that is said then, and `later`, what becomes of the key."""
        if self.inquiry.opened is not None:
            return False
        snapshot = self.session.snapshot
        if self.session.path is None:
            self.message.hint(NO_RUN, "caution")
        elif snapshot is None or not snapshot.checkpoints:
            self.message.hint(NO_CHECKPOINT, "caution")
        else:
            self.message.hint(f"{LOADING}: {later or 'press it again in a moment'}", "caution")
        return True

    def action_again(self) -> None:
        """Start an explorer that went away, and ask everything again."""
        self.inquiry.try_again()
        self.refresh_weights()

    def action_pictures(self) -> None:
        """Half-block cells, or ASCII."""
        self.view.ascii_only = not self.view.ascii_only
