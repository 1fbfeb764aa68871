"""The dashboard: wiring of screens, worker and terminal, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

from textual import on
from textual.app import App
from textual.message import Message
from textual.theme import Theme

from tuiae.runs import control
from tuiae.runs.layout import RunPaths, list_runs, runs_dir
from tuiae.runs.reader import read_status
from tuiae.ui.keys import APP
from tuiae.ui.launcher import Launcher
from tuiae.ui.render.text import clean
from tuiae.ui.screens.dialogs import ChoiceDialog, HelpDialog
from tuiae.ui.screens.live import LiveScreen
from tuiae.ui.screens.runs import RunsScreen

RECENT = 20  # runs looked at for a live one to come back to
HANG_UP_SECONDS = 5.0  # to leave in good order when the terminal is gone

THEME = Theme(
    name="tuiae",
    primary="#56B4E9",
    secondary="#8A93A0",
    accent="#56B4E9",
    success="#1DB88A",
    warning="#E69F00",
    error="#E8743B",
    foreground="#D8DEE6",
    background="#0E1116",
    surface="#161B22",
    panel="#1C232C",
    dark=True,
)


class TuiaeApp(App[str]):
    """Returns a line to print once the terminal is restored."""

    TITLE = "tuiae"
    CSS_PATH = "dashboard.tcss"
    BINDINGS = [key.binding for key in APP]
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (20, "-short"), (34, "-tall")]

    def __init__(self, run: Path | None = None, ascii_only: bool = False, root: Path | None = None) -> None:
        super().__init__()
        self._root = root or runs_dir()
        self._run = run
        self.launcher = Launcher(self._root, self._tell_live)
        self.live = LiveScreen(self._root, self.launcher, ascii_only)
        self.add_mode("live", lambda: self.live)
        self.add_mode("runs", lambda: RunsScreen(self._root))

    def on_mount(self) -> None:
        self.register_theme(THEME)
        self.theme = "tuiae"
        loop = asyncio.get_running_loop()
        # Unhandled, SIGTERM leaves the alternate screen and the mouse on; the run itself goes on.
        loop.add_signal_handler(signal.SIGTERM, self.exit, "")
        signal.signal(signal.SIGHUP, partial(self._hung_up, loop))
        self.switch_mode("live")
        self.call_after_refresh(self._begin)

    def on_unmount(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def _hung_up(self, loop: asyncio.AbstractEventLoop, *_: object) -> None:
        """The terminal is going: leave, and when it is gone already with nothing written to it any more.

        The system sends SIGCONT along. Textual would take the terminal again, on a writer that dies of the first error
        while thirty writes later everything waits for it; so that signal is not heard, what is still written goes
        nowhere, and where all of that came too late the process ends without a farewell.
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
        """What can wait until the first paint: a run to come back to, and the warm worker."""
        run = self._run or self._live_run()
        if run is not None:
            self.live.open_run(run)
        else:
            self.launcher.warm_up()

    def _live_run(self) -> Path | None:
        for run in list_runs(self._root)[:RECENT]:
            if read_status(run).live:
                return run.root
        return None

    def _tell_live(self, message: Message) -> None:
        self.live.post_message(message)

    @on(RunsScreen.Opened)
    def _open_run(self, event: RunsScreen.Opened) -> None:
        self.switch_mode("live")
        self.live.open_run(event.path)

    def action_show_runs(self) -> None:
        """All runs."""
        self.switch_mode("runs")

    def action_show_live(self) -> None:
        """The open run."""
        self.switch_mode("live")

    def action_help(self) -> None:
        """Which key does what."""
        self.push_screen(HelpDialog())

    def action_help_quit(self) -> None:
        """Ctrl-C: Textual would name a key that is not ours."""
        self.action_ask_quit()

    def action_ask_quit(self) -> None:
        """Leave; while a run is live, ask what becomes of it."""
        snapshot = self.live.snapshot
        if snapshot is None or not snapshot.status.live:
            self.exit("")
            return
        answers = [("leave", "Leave it running"), ("stop", "Stop and save"), ("cancel", "Cancel")]
        question = f"{clean(snapshot.id)} is {snapshot.status.state}."
        self.push_screen(ChoiceDialog("quit", question, answers), self._quit)

    def _quit(self, answer: str | None) -> None:
        snapshot = self.live.snapshot
        if answer not in ("leave", "stop") or snapshot is None:
            return
        if answer == "stop":
            try:
                control.send(RunPaths(snapshot.path), "stop")
            except OSError as error:
                # Somebody else's run, or its directory is gone.
                self.live.complain(f"cannot stop {snapshot.id}: {error.strerror}")
                return
            self.exit(f"{snapshot.id} is saving and stopping; go on with: tuiae resume {snapshot.id}")
        else:
            self.exit(f"{snapshot.id} goes on; come back with: tuiae attach {snapshot.id}")


def open_dashboard(run: Path | None, *, ascii_only: bool) -> int:
    """Show the dashboard until it is left; the runs that were started go on.

    Returns the exit code.
    """
    app = TuiaeApp(run, ascii_only)
    try:
        farewell = app.run()
    finally:
        app.launcher.close()
    if farewell:
        sys.stdout.write(farewell + "\n")
    return app.return_code or 0
