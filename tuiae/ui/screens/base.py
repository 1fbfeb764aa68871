"""What all screens have in common, what those about the open run have, and of these the ones that ask the explorer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.text import Text
from textual import getters, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Click
from textual.widget import Widget
from textual.widgets import Static

from tuiae.config import RunConfig
from tuiae.errors import OtherImagesError, TuiaeError
from tuiae.explore.client import AGAIN, Ended, Notice, Reply, Restarted
from tuiae.files import save_new
from tuiae.render.pixels import Sheet
from tuiae.render.status import title_line
from tuiae.render.text import clean, shorten
from tuiae.runs.lineage import check_code
from tuiae.runs.paths import OWN_PROGRAM, RunPaths
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.source import UntrustedCodeError, trust
from tuiae.ui.feeds import Feed
from tuiae.ui.keys import ON_RUN, argument, name_now, run_takes
from tuiae.ui.screens.dialogs import Answer, ChoiceDialog, Dialog, TrustDialog
from tuiae.ui.session import NothingToDoError, Session, pause_word
from tuiae.ui.terminal.screen_diff import SteadyScreen
from tuiae.ui.widgets.chrome import ONE_AT_A_TIME, FindingLine, KeyLine, MessageLine, ViewBar, Views, tabs, title_width
from tuiae.ui.widgets.form import ConfigForm
from tuiae.ui.widgets.left import LogPanel
from tuiae.ui.widgets.panel import Panel, PicturePanel, toggle_ascii
from tuiae.ui.widgets.tables import LineTable, TablePanel
from tuiae.ui.widgets.timeline import TimelineBar

if TYPE_CHECKING:
    from tuiae.ui.questions import Questions
    from tuiae.ui.widgets.bench_view import BenchView
    from tuiae.ui.widgets.latent_view import LatentView

ZOOMABLE = (Panel, LogPanel, LineTable, TablePanel, ConfigForm, FindingLine)
"""Widgets that can have the screen alone."""
TOO_SMALL = ("-tiny", "-flat")
"""Classes of a screen on which only a panel that is alone shows."""


def too_small(width: int, height: int) -> str:
    """The words of a screen that has no room for anything else."""
    size = f"{width}x{height} is too small: tuiae needs 60x20."
    return f"{size}\nRuns go on meanwhile.\nz one panel alone · q quit"


class BaseScreen(SteadyScreen):
    """A title above the body, a message and the keys below it."""

    MODE = ""
    NAME = ""
    """Its title while no run is open; empty for its mode."""
    HOME = "live"
    """The screen to which escape leads."""
    ALLOW_IN_MAXIMIZED_VIEW = "#head, MessageLine, KeyLine"

    message = getters.query_one(MessageLine)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.feed: Feed | None = None
        """Reads what the screen shows, while it shows."""

    def compose(self) -> ComposeResult:
        self.fit_classes()
        with Horizontal(id="head"):
            yield Static(Text.assemble((" tuiae", "bold"), (f"  {self.NAME or self.MODE}", "dim")), id="title")
            yield Static(tabs(self.MODE, self.app.size.width), id="screens")
        yield from self.compose_body()
        yield MessageLine(id="message")
        yield Static(too_small(*self.app.size), id="too-small")
        yield KeyLine(self.is_enabled, self.name_of)

    def compose_body(self) -> ComposeResult:
        """The widget between the title and the message, with the id `body`."""
        raise NotImplementedError

    @property
    def chosen(self) -> object:
        """The thing on which the cursor of the screen's list stands."""
        return None

    @property
    def main_panel(self) -> Widget:
        """The panel that z shows when none has the focus."""
        return self.query_one(Views).main_panel

    def set_title(self, draw: Callable[[int], Text]) -> None:
        """Show as the title what `draw` makes for the columns that there are."""
        for title in self.query("#title").results(Static):  # none while the screen is still being made
            title.update(draw(title_width(self.MODE, self.size.width)), layout=False)

    def on_resize(self) -> None:
        for screens in self.query("#screens").results(Static):
            screens.update(tabs(self.MODE, self.size.width))
        for words in self.query("#too-small").results(Static):
            words.update(too_small(*self.size))

    def on_screen_resume(self) -> None:
        if self.feed is not None:
            self.feed.resume()

    def on_screen_suspend(self) -> None:
        if self.feed is not None:
            self.feed.pause()

    def on_unmount(self) -> None:
        if self.feed is not None:
            self.feed.close()

    # Keys

    def on_idle(self) -> None:
        for line in self.children:  # a query asks every widget, and after a key there are seven idle moments
            if isinstance(line, KeyLine):
                line.follow()

    def on_key(self) -> None:
        self.message.key_pressed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No key works where nothing shows; the key for the next panel works where one shows at a time."""
        if self.maximized is None and any(map(self.has_class, TOO_SMALL)) and action != "zoom":
            return False
        return action != "next_view" or any(map(self.has_class, ONE_AT_A_TIME))

    def is_enabled(self, action: str) -> bool:
        """Returns whether an action does something now; else the footer leaves its key out, and the key says why."""
        if action == "back":
            return self.maximized is None
        return action not in ("pause", f"show('{self.MODE}')")

    def name_of(self, action: str) -> str:
        """The name of an action in the footer while it differs from the one in the table of keys; else empty."""
        return ""

    def action_next_view(self) -> None:
        """The next panel, where one shows at a time; its keys work at once."""
        views = self.query_one(Views)
        self.minimize()
        views.next_view()
        if views.query_one(ViewBar).display:
            self.focus_view()

    @on(Click, ".tab")
    def focus_view(self) -> None:
        """Give the focus to the panel that shows, where it has keys, else to the one that z shows; once it shows."""
        shown = self.query_one(Views).main_panel
        panel = shown if shown.BINDINGS else self.main_panel
        self.call_after_refresh(panel.focus)

    def action_zoom(self) -> None:
        """The focused panel on the whole screen, or everything again."""
        if self.maximized is not None:
            self.minimize()
            return
        around = self.focused.ancestors_with_self if self.focused is not None else ()
        panel = next((node for node in around if isinstance(node, ZOOMABLE) and node.region.area), self.main_panel)
        # Else the focus ends in a hidden field, which then takes the digits that are keys.
        panel.focus()
        self.maximize(panel)

    def action_back(self) -> None:
        """Everything again, when one panel is alone on the screen; else the screen before."""
        if self.maximized is not None:
            self.minimize()
        else:
            self.app.switch_mode(self.HOME)

    def action_pictures(self) -> None:
        """Half-block cells, or ASCII."""
        toggle_ascii(self.query(PicturePanel))

    def action_pause(self) -> None:
        """Pause the open run, or let it go on."""
        snapshot = self.session.snapshot
        word = pause_word(snapshot.status.state if snapshot is not None else "")
        if self.command(word) and snapshot is not None:
            self.tell_asked(word, snapshot.title)

    def tell_asked(self, word: str, name: str) -> None:
        """Say that a run was asked to pause or to go on, where its state is not in sight."""
        self.message.tell(f"asked {name} to {'go on' if word == 'resume' else word}", "good")

    def command(self, command: str) -> bool:
        """Ask something of the open run's worker; returns whether that could be done."""
        return self.attempt(self.session.send, command)

    def open_run(self, path: Path) -> None:
        """Open a run, and show it on Live."""
        self.session.open(path)
        self.app.switch_mode("live")

    def show_started(self, tag: str, words: str) -> None:
        """Say that the study of a tag was started here."""
        self.message.tell(words, "good")

    def copy(self, line: str) -> None:
        """Put a line into the terminal's clipboard."""
        self.app.copy_to_clipboard(line)
        self.message.tell(f"copied: {line}", "good")

    def show_dialog(self, dialog: Dialog[Answer], act: Callable[[Answer], object]) -> None:
        """Ask something; nothing is done where somebody escapes, and what is wrong with an answer is said."""

        def take(answer: Answer | None) -> None:
            if answer is not None:
                self.attempt(act, answer)

        self.app.push_screen(dialog, take)

    def train_on(self, act: Callable[[bool], object]) -> None:
        """Go on with what a run learned; with images that it did not train on only after a question. `act` takes
        whether they may be others."""
        try:
            act(False)
        except OtherImagesError as error:
            self.message.tell(str(error), "bad")
            answers = [("cancel", "Leave it as it is"), ("others", "Train on with these images")]
            dialog = ChoiceDialog("other images", clean(error.cause, 300), answers)
            self.show_dialog(dialog, lambda answer: act(True))

    def ask_trust(self, error: UntrustedCodeError, act: Callable[[], object]) -> None:
        """Show code that this user has not started, and do what would run it once that is allowed."""

        def allow(answer: str) -> None:
            trust(error.source)
            self.message.release()
            act()

        self.message.tell(error.cause, "caution")
        self.show_dialog(TrustDialog(error.source), allow)

    def attempt(self, action: Callable[..., Any], *arguments: Any) -> bool:
        """Do something that can fail, and say why it did; returns whether it was done. Where it would run code that
        this user has not started, that is shown first."""
        try:
            action(*arguments)
        except UntrustedCodeError as error:
            self.ask_trust(error, partial(action, *arguments))
        except NothingToDoError as refusal:
            self.message.tell(str(refusal))
        except TuiaeError as error:
            self.message.tell(str(error), "bad")
        else:
            return True
        return False


S = TypeVar("S", bound=BaseScreen)


def on_chosen(act: Callable[[S, Any], object]) -> Callable[[S], None]:
    """Makes an action of a method that does something to what the cursor of its screen stands on: it says what is wrong
    with that, and does nothing without it."""

    def action(screen: S) -> None:
        if screen.chosen is not None:
            screen.message.release()
            screen.attempt(act, screen, screen.chosen)

    return action


class RunScreen(BaseScreen):
    """A screen about the open run: told of changes while it shows, and of what it missed when it shows again."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._shown: tuple[bool, Path | None] | None = None
        self._composed = False
        self._timelines: tuple[TimelineBar, ...] = ()

    def run_opened(self) -> None:
        """Another run is open, or none: forget what was shown of the last one."""
        raise NotImplementedError

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        """Show the open run as it is now, with the newest of its samples that was read."""
        raise NotImplementedError

    def hear(self, told: Reply | Notice) -> None:
        """Take what the explorer says while this screen shows, to whichever screen."""

    def catch_up(self) -> None:
        """Show the open run as it is now, at the epoch to which somebody went back, here or on another screen."""
        if not self._composed:
            return  # the app heard of the run before the screen was made
        at = self.session.at  # None where another run is open; forgetting the last one goes to the newest
        if self._shown != (now := (self.session.begun, self.session.path)):
            self._shown = now
            self.message.release()
            words = self.session.opening or self.NAME or self.MODE
            self.set_title(lambda width: Text.assemble((" tuiae", "bold"), (f"  {shorten(words, width - 8)}", "dim")))
            self.run_opened()
        snapshot = self.session.snapshot
        if snapshot is not None:
            self.set_title(lambda width: title_line(snapshot, width))
            self.run_changed(snapshot, self.session.sample)
            for timeline in self.query(TimelineBar):
                timeline.go(at)

    def on_mount(self) -> None:
        self._timelines = tuple(self.query(TimelineBar))
        for timeline in self._timelines:
            self.watch(timeline, "at", self._remember_place, init=False)
        self._composed = True
        self.catch_up()

    def _remember_place(self, at: int | None) -> None:
        self.session.at = at

    def on_screen_resume(self) -> None:
        self.catch_up()

    def on_resize(self) -> None:
        if (snapshot := self.session.snapshot) is not None:
            self.set_title(lambda width: title_line(snapshot, width))

    @property
    def config(self) -> RunConfig | None:
        """What the open run trains, as far as that is known."""
        return self.session.snapshot.config if self.session.snapshot is not None else None

    def is_enabled(self, action: str) -> bool:
        snapshot = self.session.snapshot
        if action.startswith("sample("):
            return any(timeline.can_move(argument(action)) for timeline in self._timelines)
        if action == "save_sheet":
            return snapshot is not None
        if action not in ON_RUN:
            return super().is_enabled(action)
        if action == "resume" and self.session.discarded:
            return False
        return snapshot is not None and run_takes(action, snapshot.status, bool(snapshot.checkpoints))

    def name_of(self, action: str) -> str:
        return name_now(action, self.session.snapshot.status.state if self.session.snapshot is not None else "")

    @property
    def sheet(self) -> Sheet | None:
        """The pictures that show; None while there are none."""
        return None

    def action_save_sheet(self) -> None:
        """Save the pictures that show as a PNG, in the folder from which the dashboard was started."""
        self.attempt(self._save_sheet)

    def _save_sheet(self) -> None:
        sheet, run = self.sheet, self.session.path
        if sheet is None or run is None:
            raise NothingToDoError("no pictures to save: there are none here yet")
        path = save_new(Path.cwd() / f"{run.name}-{sheet.name}.png", sheet.png)
        self.message.tell(f"{sheet.count:,} pictures are in {clean(path)}", "good")

    def action_sample(self, where: int | str) -> None:
        """Go on by samples, or back; or to the `first` or the `newest`."""
        self.query_one(TimelineBar).move(where)

    def tell_asked(self, word: str, name: str) -> None:
        """Say nothing: the title shows how the open run stands."""


NO_RUN = "no run is open: 1 lists them, 2 starts one"
NO_CHECKPOINT = "no checkpoint yet: the first comes with the first epoch"
OPENING = "opening the weights…"
NO_WEIGHTS = f"this run was tracked: {OWN_PROGRAM}"


class ExplorerScreen(RunScreen):
    """A screen that asks the explorer about the open run, and shows what it answers in its view."""

    AGAIN_KEY = ""
    """The key that asks again."""
    questions: Questions

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._may_run: bool | None = None
        """Whether the code of the open run may run; None before somebody looked."""

    @property
    def view(self) -> BenchView | LatentView:
        """The body of the screen."""
        raise NotImplementedError

    @property
    def sheet(self) -> Sheet | None:
        return self.view.sheet

    def replied(self, reply: Reply) -> None:
        """Show the reply to one of the questions."""
        raise NotImplementedError

    def on_screen_suspend(self) -> None:
        self.questions.pause()

    def run_opened(self) -> None:
        self._may_run = None
        self.questions.forget()
        self.view.clear(self.session.opening or NO_RUN)

    def follow(self, snapshot: Snapshot) -> None:
        """Ask a run's newest checkpoint, once there is one."""
        if snapshot.tracked is not None:
            self.view.explain(NO_WEIGHTS)
        elif snapshot.status.live and not snapshot.checkpoints:
            self.view.explain(NO_CHECKPOINT)
        elif self._allowed(RunPaths(snapshot.path)):
            if self.questions.opened is None and not self.questions.has_looked:
                self.view.explain(OPENING)  # what was said before may be of a run without a checkpoint
                self.message.hint(OPENING)
            self.questions.follow(snapshot.checkpoints)

    def _allowed(self, run: RunPaths) -> bool:
        """Returns whether the explorer may build the network of a run. Code that this user has not started is shown
        once, and again with the key that asks again."""
        if self._may_run is None:
            self._may_run = True
            try:
                check_code(run)
            except UntrustedCodeError as error:
                self._may_run = False
                self.view.explain(f"{error.cause}; {self.AGAIN_KEY} shows it, and asks")
                self.ask_trust(error, self.action_again)
            except TuiaeError:
                pass  # the explorer says what is wrong with it
        return self._may_run

    @property
    def refusal(self) -> str:
        """Why nothing answers as long as nobody allows it; empty where that is not so."""
        return "" if self._may_run is not False else f"its code was not allowed to run: {self.AGAIN_KEY} asks again"

    def hear(self, told: Reply | Notice) -> None:
        if isinstance(told, Ended):
            self.complain(f"{told.text}; {AGAIN}")
        elif isinstance(told, Restarted):
            self.message.hint(told.text, "caution")
        if isinstance(told, Notice):
            self.view.explain(f"{told.text}…")
        elif self.questions.asked_for(told):
            self.questions.due.discard(told.slot)
            self.replied(told)

    def complain(self, trouble: str) -> None:
        """Say what went wrong, with the key that asks again where that helps."""
        self.message.tell(trouble.replace(AGAIN, f"{self.AGAIN_KEY} asks again"), "bad")

    def hint_of_run(self, text: str) -> None:
        """Say what could be done now; where the images are not those that the run trained on, say that instead."""
        opened = self.questions.opened
        words = opened.caution if opened is not None else ""
        self.message.hint(words or text, "caution" if words else "quiet")

    def can_ask(self, otherwise: str = "press it again in a moment") -> bool:
        """Returns whether there are weights to ask; else says what is missing, and what to do while they load."""
        if self.questions.opened is not None:
            return True
        snapshot = self.session.snapshot
        lacks = snapshot is not None and snapshot.status.live and not snapshot.checkpoints
        missing = self.refusal or (NO_CHECKPOINT if lacks else f"still loading the weights: {otherwise}")
        if snapshot is not None and snapshot.tracked is not None:
            missing = NO_WEIGHTS
        self.message.hint(missing if self.session.path is not None else NO_RUN, "caution")
        return False

    def action_again(self) -> None:
        """Start an explorer that went away, and ask everything again."""
        if self._may_run is False:
            self._may_run = None
            self.catch_up()
        else:
            self.questions.retry()
