"""The dashboard: wiring of screens, worker and terminal, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from textual import on
from textual.screen import Screen
from textual.widget import AwaitMount

from tuiae.machine import Interrupt
from tuiae.render.text import clean, wrap
from tuiae.runs.paths import runs_dir
from tuiae.ui.commands import Commands, HelpDialog
from tuiae.ui.feeds import FeedFailed, RunChanged
from tuiae.ui.keys import APP, SCREENS
from tuiae.ui.screens.base import BaseScreen, RunScreen
from tuiae.ui.screens.dialogs import ChoiceDialog, Dialog
from tuiae.ui.screens.live import LiveScreen
from tuiae.ui.session import ExplorerTold, PreflightDone, RunOpened, Session, WorkerWarm
from tuiae.ui.terminal.app import TerminalApp, failure_log
from tuiae.ui.terminal.mode import TerminalMode
from tuiae.ui.widgets.run_view import ConfusionPanel

FAREWELL_COLUMNS = 80
NOT_HANDLED = (
    *("SIGKILL", "SIGSTOP", "SIGHUP"),  # not possible; and handled otherwise
    *("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGINFO", "SIGTSTP", "SIGTTIN", "SIGTTOU"),  # which end nothing
    *("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"),  # Python would come back to what caused it, again and again
)
HANG_UP_SECONDS = 5.0  # to leave in good order when the terminal is gone


def screen_class(mode: str) -> type[BaseScreen]:
    """The class of the screen that a mode shows, from the module of that name."""
    found: type[BaseScreen] = getattr(import_module(f"tuiae.ui.screens.{mode}"), f"{mode.capitalize()}Screen")
    return found


class TuiaeApp(TerminalApp[str]):
    """Returns what to print once the terminal is restored."""

    TITLE = "tuiae"
    DEFAULT_MODE = "live"
    CSS_PATH = "dashboard.tcss"
    BINDINGS = [key.binding for key in APP]
    COMMANDS = {Commands}
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (20, "-short"), (34, "-tall")]

    def __init__(
        self,
        run: Path | None = None,
        root: Path | None = None,
        mode: TerminalMode | None = None,
        theme: str = "",
        failures: Path | None = None,
        interrupt: Interrupt | None = None,
    ) -> None:
        """Unexpected errors are noted in the file `failures`; without it they end the app. `interrupt` has
        listened to signals so far."""
        super().__init__(mode or TerminalMode(), theme)
        self._interrupt = interrupt or Interrupt()
        self._failures = failures
        self.session = Session(root or runs_dir(), self.post_message, run)
        self.live = LiveScreen(self.session)
        for name in SCREENS:
            self.add_mode(name, partial(self._make_screen, name))

    def _make_screen(self, mode: str) -> BaseScreen:
        return self.live if mode == "live" else screen_class(mode)(self.session)

    def on_mount(self) -> None:
        self.remember_theme()
        loop = asyncio.get_running_loop()
        for number in signal.valid_signals() - {getattr(signal, name, 0) for name in NOT_HANDLED}:
            # Unhandled, it leaves the alternate screen and the mouse on; the run itself goes on.
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, self._interrupt.note):
                loop.add_signal_handler(number, self.exit, "")
        signal.signal(signal.SIGHUP, partial(self._hung_up, loop))
        if self._interrupt.last == signal.SIGHUP:
            self._hung_up(loop)
        elif self._interrupt.count:
            self.exit("")
        self.call_after_refresh(self._begin)

    def on_unmount(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def _hung_up(self, loop: asyncio.AbstractEventLoop, *_: object) -> None:
        """Leave because the terminal hangs up, without writing to one that is gone.

        The system sends SIGCONT along, on which Textual would take the terminal again: its writer thread dies of the
        first error, and thirty writes later everything waits for that thread. So the signal is ignored, and what is
        still written goes nowhere; where that came too late the process ends by itself.
        """
        signal.signal(signal.SIGCONT, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (sys.__stdout__, sys.__stderr__):
            if descriptor is not None and not os.isatty(descriptor.fileno()):
                os.dup2(nowhere, descriptor.fileno())
        end = threading.Timer(HANG_UP_SECONDS, os._exit, [128 + signal.SIGHUP])
        end.daemon = True
        end.start()
        loop.call_soon_threadsafe(self.exit, "")

    def _begin(self) -> None:
        """Do what can wait until the first paint: open the run to come back to, or start the warm worker."""
        self.failure_log = self._failures
        if not self.session.begin():
            self.session.launcher.warm_up()
        # Imported now, so that the keys of the screens need not wait for it.
        threading.Thread(target=lambda: list(map(screen_class, SCREENS)), name="screens", daemon=True).start()
        if not gc.isenabled():
            gc.freeze()  # what there is now stays
            gc.enable()

    @on(RunChanged)
    def _run_changed(self, event: RunChanged) -> None:
        if self.session.take(event):
            self._catch_up()

    @on(FeedFailed)
    def _feed_failed(self, event: FeedFailed) -> None:
        raise event.error

    @on(RunOpened)
    def _catch_up(self) -> None:
        if isinstance(shown := self._shown_screen, RunScreen):
            shown.catch_up()  # the others do when they show again

    @on(ExplorerTold)
    def _pass_on(self, event: ExplorerTold) -> None:
        if isinstance(shown := self._shown_screen, RunScreen):
            shown.hear(event.told)

    @property
    def _shown_screen(self) -> Screen[Any] | None:
        """The screen that shows, or is below dialogs; None while the app is being left, its screens half gone."""
        return next(iter(self.screen_stack), None) if self.is_running else None

    @on(WorkerWarm)
    def _worker_warm(self, event: WorkerWarm) -> None:
        if self.is_running:
            self.live.worker_warm(event)

    @on(PreflightDone)
    def _preflight_done(self, event: PreflightDone) -> None:
        if self.is_running and not (isinstance(self.screen, Dialog) and self.screen.take_cost(event)):
            self.live.show_cost(event)

    async def _turn_to(self, mode: str) -> Any:
        """Show a screen, of a class that may not be imported yet; returns it."""
        await self.switch_mode(mode)
        return self.screen_stack[0]

    @on(ConfusionPanel.CellChosen)
    async def _show_confused(self, event: ConfusionPanel.CellChosen) -> None:
        (await self._turn_to("bench")).show_confused(event.true, event.predicted)

    async def action_find_run(self) -> None:
        """Go to the list of runs and type what to find there."""
        (await self._turn_to("runs")).action_find()

    def action_show(self, mode: str) -> None:
        self.switch_mode(mode)

    def switch_mode(self, mode: str) -> AwaitMount:
        if isinstance(shown := self._shown_screen, BaseScreen) and shown is not self.live:
            shown.message.release()  # it was about keys pressed before one went elsewhere
        return super().switch_mode(mode)

    def action_help(self) -> None:
        self.push_screen(HelpDialog(self.current_mode))

    def action_help_quit(self) -> None:
        """Ctrl-C: Textual would name a key that is not ours."""
        self.action_ask_quit()

    def action_ask_quit(self) -> None:
        """Leave; while a run is live, ask what becomes of it, once no other dialog is open."""
        snapshot = self.session.snapshot
        if snapshot is None or not snapshot.status.live:
            self.exit("")
            return
        if isinstance(self.screen, ChoiceDialog):
            self.bell()
            return
        state = "paused" if snapshot.status.state == "paused" else "running"
        answers = [("leave", f"Quit, and leave it {state}"), ("stop", "Save and stop it"), ("cancel", "Cancel")]
        others = self.session.others_live()
        beside = f" {others} more {'run goes' if others == 1 else 'runs go'} on in any case." if others else ""
        question = f"{clean(snapshot.title, 60)} is {snapshot.status.state}.{beside} What becomes of it when you quit?"
        shown = self.screen_stack[0]
        assert isinstance(shown, BaseScreen)
        shown.show_dialog(ChoiceDialog("quit", question, answers), self._quit)

    def _quit(self, answer: str) -> None:
        snapshot = self.session.snapshot
        if snapshot is None or not snapshot.status.live:
            self.exit("")  # it ended while the question stood
        elif answer == "leave":
            words = "stays paused" if snapshot.status.state == "paused" else "goes on"
            self.exit(farewell(snapshot.id, f"{words}; come back with:", "attach"))
        else:
            self.session.send("stop")
            self.exit(farewell(snapshot.id, "is saving and stopping; go on with:", "resume"))


def farewell(run_id: str, words: str, command: str) -> str:
    """What becomes of a run and, on a line of its own, the command to copy; in 80 columns."""
    # The beginning of an id finds the run as well: the longest lose a character or two.
    line = f"tuiae {command} {run_id}"[:FAREWELL_COLUMNS]
    return "\n".join([*wrap(f"{run_id} {words}", FAREWELL_COLUMNS, hyphens=False), line])


def open_dashboard(run: Path | None, mode: TerminalMode, theme: str, interrupt: Interrupt) -> int:
    """Show the dashboard until it is left, and return the exit code; the runs that were started go on. It is left at
    once where `interrupt` has noted a signal."""
    app = TuiaeApp(run, mode=mode, theme=theme, failures=failure_log(), interrupt=interrupt)
    try:
        words = app.run()
    finally:
        app.session.close()
    if words:
        sys.stdout.write(f"{words}\n")
    return app.return_code or 0
