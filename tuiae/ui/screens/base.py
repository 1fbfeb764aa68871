"""What the screens have in common: a title, a body, a line of words, the keys; and the open run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from tuiae.config import RunConfig
from tuiae.errors import TuiaeError
from tuiae.explore.client import AGAIN, Ended, ExplorerError, Notice, Reply, Restarted
from tuiae.explore.protocol import Opened
from tuiae.render.status import title_line
from tuiae.runs.paths import RunPaths
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.keys import ON_RUN, run_takes
from tuiae.ui.screens.changes import ForkDialog
from tuiae.ui.session import NothingToDoError, Session, pause_word
from tuiae.ui.terminal.screen_diff import SteadyScreen
from tuiae.ui.widgets.chrome import FindingLine, KeyLine, MessageLine, ScreenTabs, ViewBar, Views, title_width
from tuiae.ui.widgets.form import ConfigForm
from tuiae.ui.widgets.panel import Panel, PicturePanel, toggle_ascii
from tuiae.ui.widgets.tables import LineTable, LogPanel, TablePanel

PANELS = (Panel, LogPanel, LineTable, TablePanel, ConfigForm, FindingLine)
"""What one can look at alone."""
ONE_AT_A_TIME = ("-narrow", "-short")
"""Sizes of a screen, one of which it has where the styles give the room to one panel."""
TOO_SMALL = ("-tiny", "-flat")
"""Sizes at which the styles show no panel but one that is alone."""

MOST_FORK_NAME = 43
"""Characters of a run's name that its fork's begins with: a name takes 48."""


def too_small(width: int, height: int) -> str:
    """What stands on a screen that has no room for anything else."""
    size = f"{width}x{height} is too small: tuiae needs 60x20."
    return f"{size}\nRuns go on meanwhile.\nz one panel alone · q quit"


class BaseScreen(SteadyScreen):
    """One line above the body, two below it; below the least size a sentence instead."""

    MODE = ""
    NAME = ""
    """What the title says of it while no run is open."""
    ALLOW_IN_MAXIMIZED_VIEW = "#head, MessageLine, KeyLine"
    HOME = "live"
    """The screen that one goes back to."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._facts: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        self.be_styled(*self.app.size)
        with Horizontal(id="head"):
            yield Static(Text.assemble((" tuiae", "bold"), (f"  {self.NAME}", "dim")), id="title")
            yield ScreenTabs(self.MODE, self.app.size.width)
        yield from self.compose_body()
        yield MessageLine()
        yield Static(too_small(*self.app.size), id="too-small")
        yield KeyLine(self.is_enabled)

    def compose_body(self) -> ComposeResult:
        """What stands between the title and the message; one widget with the id `body`."""
        raise NotImplementedError

    def on_resize(self) -> None:
        for part in self.query(ScreenTabs):
            part.fit(self.size.width)
        for words in self.query("#too-small").results(Static):
            words.update(too_small(*self.size))
        self.refresh_bindings()

    def on_key(self) -> None:
        self.message.key_pressed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a next panel where one shows at a time; where nothing shows, nothing is done."""
        if self.maximized is None and any(map(self.has_class, TOO_SMALL)) and action != "zoom":
            return False
        return action != "next_view" or any(map(self.has_class, ONE_AT_A_TIME))

    def is_enabled(self, action: str) -> bool:
        """Whether an action does something now; else the line of keys leaves it out, and its key says why not."""
        if action == "back":
            return self.maximized is None
        return action not in ("pause", f"show('{self.MODE}')")

    def keys_depend(self, *facts: object) -> None:
        """What `is_enabled` follows from: the line of keys is made again when any of it is not what it was."""
        if facts != self._facts:
            self._facts = facts
            self.refresh_bindings()

    @property
    def message(self) -> MessageLine:
        """The line above the keys."""
        return self.query_one(MessageLine)

    @property
    def main_panel(self) -> Widget:
        """What shows alone when no panel has the focus."""
        return self.query_one(Views).main_panel

    def action_next_view(self) -> None:
        """The next panel, where there is no room for all; its keys work at once."""
        views = self.query_one(Views)
        self.minimize()
        views.next_view()
        if views.query_one(ViewBar).display:
            self.call_after_refresh(lambda: self.main_panel.focus())

    def action_zoom(self) -> None:
        """The focused panel on the whole screen, or everything again."""
        if self.maximized is not None:
            self.minimize()
            return
        around = self.focused.ancestors_with_self if self.focused is not None else ()
        panel = next((node for node in around if isinstance(node, PANELS) and node.region.area), self.main_panel)
        # Else the focus ends in a hidden field, which then takes the digits that are keys.
        panel.focus()
        self.maximize(panel)

    def action_back(self) -> None:
        """Everything again, when one panel is alone on the screen; else the screen before."""
        if self.maximized is not None:
            self.minimize()
        else:
            self.app.switch_mode(self.HOME)

    def action_pause(self) -> None:
        """Pause the open run, or let it go on."""
        snapshot = self.session.snapshot
        word = pause_word(snapshot.status.state if snapshot is not None else "")
        if self.command(word) and snapshot is not None:
            self.asked_to(word, snapshot.title)

    def asked_to(self, word: str, name: str) -> None:
        """Say where the state of a run does not show that it was asked to pause, or to go on."""
        self.message.tell(f"asked {name} to {'go on' if word == 'resume' else word}", "good")

    def command(self, command: str) -> bool:
        """Ask something of the open run's worker; whether that could be done."""
        return self.attempt(self.session.send, command)

    def ask_fork(self, source: RunPaths, name: str) -> None:
        """Ask which checkpoint of a run a fork begins with and what it changes; start it, and show it."""

        def fork(chosen: tuple[str, RunConfig] | None) -> None:
            if chosen is not None and self.attempt(self.session.fork, source, *chosen):
                self.app.switch_mode("live")

        self.app.push_screen(ForkDialog(source, f"{name[:MOST_FORK_NAME]}-fork"), fork)

    def attempt(self, action: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
        """Do something that can fail, and say why it did; whether it was done."""
        try:
            action(*arguments, **named)
        except NothingToDoError as refusal:
            self.message.tell(str(refusal))
        except TuiaeError as error:
            self.message.tell(str(error), "bad")
        else:
            return True
        return False


class RunScreen(BaseScreen):
    """A screen about the open run, told of changes while it is shown, and of what it missed when it comes back."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._shown: Path | None = None
        self._composed = False

    def on_mount(self) -> None:
        self._composed = True
        self.catch_up()

    def on_screen_resume(self) -> None:
        self.catch_up()

    def catch_up(self) -> None:
        """Show the open run as it is now."""
        if not self._composed:
            return  # the app heard of the run before the screen was made
        if self.session.path != self._shown:
            self._shown = self.session.path
            self.message.release()
            self.run_opened()
        snapshot = self.session.snapshot
        if snapshot is not None:
            self.retitle()
            self.run_changed(snapshot, self.session.sample)
            self.keys_depend(snapshot.path, snapshot.status.state, bool(snapshot.checkpoints))

    def is_enabled(self, action: str) -> bool:
        if action not in ON_RUN:
            return super().is_enabled(action)
        snapshot = self.session.snapshot
        return snapshot is not None and run_takes(action, snapshot.status, bool(snapshot.checkpoints))

    @property
    def config(self) -> RunConfig | None:
        """What the open run trains, as far as that is known."""
        return self.session.snapshot.config if self.session.snapshot is not None else None

    def run_opened(self) -> None:
        """Another run is open: forget what was shown of the last one."""

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        """The open run is not what it was."""
        raise NotImplementedError

    def told(self, told: Reply | Notice) -> None:
        """What the explorer said while this screen is shown, to whichever screen."""

    def asked_to(self, word: str, name: str) -> None:
        """Nothing: the title says how the open run stands."""

    def retitle(self) -> None:
        """Say above what is open."""
        if self.session.snapshot is not None:
            for title in self.query("#title").results(Static):  # none while the screen is still being made
                title.update(title_line(self.session.snapshot, title_width(self.MODE, self.size.width)), layout=False)

    def on_resize(self) -> None:
        self.retitle()


# A screen about the open run that asks the explorer: it takes the newest weights while the run trains.

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
            self.message.hint(told.text, "caution")
        elif isinstance(told, Ended):
            self.message.tell(self.sentence(ExplorerError(told.text, AGAIN)), "bad")
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
        toggle_ascii(self.query(PicturePanel))
