"""The form, and the open run as it moves."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Button, Footer, Static

from tuiae.errors import TuiaeError
from tuiae.runs import control
from tuiae.runs.layout import RunPaths
from tuiae.runs.process import is_held
from tuiae.runs.snapshot import Snapshot
from tuiae.ui.draft import Draft, offered_datasets
from tuiae.ui.feed import RunChanged, RunFeed
from tuiae.ui.keys import LIVE
from tuiae.ui.launcher import Launcher, WorkerWarm
from tuiae.ui.render.status import ending, state_text, status_facts, title_line
from tuiae.ui.render.text import clean
from tuiae.ui.screens.dialogs import ChoiceDialog, FolderDialog
from tuiae.ui.widgets.config_panel import ConfigPanel
from tuiae.ui.widgets.facts import FactsPanel
from tuiae.ui.widgets.form import OWN_FOLDER, ConfigForm
from tuiae.ui.widgets.log import LogPanel
from tuiae.ui.widgets.message import MessageLine
from tuiae.ui.widgets.panel import Panel
from tuiae.ui.widgets.run_view import RunView

DATASETS_SECONDS = 5.0


class LiveScreen(Screen[None]):
    """Configure on the left, watch on the right."""

    BINDINGS = [key.binding for key in LIVE]
    AUTO_FOCUS = "#start"

    def __init__(self, root: Path, launcher: Launcher, ascii_only: bool = False) -> None:
        super().__init__()
        self._root = root
        self._launcher = launcher
        self._ascii_only = ascii_only
        self._feed: RunFeed | None = None
        self._warm = "importing torch…"
        self.snapshot: Snapshot | None = None

    def compose(self) -> ComposeResult:
        yield Static(Text.assemble((" tuiae", "bold"), ("  a terminal laboratory for autoencoders", "dim")), id="title")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield ConfigPanel(Draft(self._root), lambda: self._launcher.devices)
                yield FactsPanel("status", id="status")
            yield RunView(id="right")
        yield MessageLine()
        yield Static("tuiae needs 60 columns and 20 rows", id="too-small")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._view.ascii_only = self._ascii_only
        self._show_idle_status()
        self.set_interval(DATASETS_SECONDS, self._look_around)

    def on_unmount(self) -> None:
        if self._feed is not None:
            self._feed.close()

    # The form

    @property
    def _form(self) -> ConfigPanel:
        return self.query_one(ConfigPanel)

    @on(ConfigForm.Edited)
    def _edited(self) -> None:
        self._message.forget_trouble()

    @on(ConfigPanel.Verdict)
    def _show_verdict(self, event: ConfigPanel.Verdict) -> None:
        if event.kind == "bad":
            self._message.say(event.text, event.kind)
        else:
            self._message.hint(event.text, event.kind)

    @on(ConfigForm.FolderWanted)
    def _ask_folder(self) -> None:
        def take(path: str | None) -> None:
            if path:
                self._form.choose_dataset(OWN_FOLDER + path)
                self._form.post_message(ConfigForm.Edited())

        self.app.push_screen(FolderDialog(), take)

    def _look_around(self) -> None:
        """Datasets that were fetched or imported meanwhile; children that have ended."""
        self._form.show_datasets(offered_datasets())
        self._launcher.reap()

    def action_fill_form(self) -> None:
        """Put the open run's settings into the form."""
        if self.snapshot is not None and self.snapshot.config is not None:
            self._form.take(self.snapshot.config)

    # Acting on runs

    @on(Button.Pressed)
    def _button(self, event: Button.Pressed) -> None:
        event.stop()
        {"start": self.action_start, "pause": self.action_pause, "stop": self.action_stop, "save": self.action_save}[
            event.button.id or ""
        ]()

    def action_start(self) -> None:
        """Start what the form says; beside a live run only when that is meant."""
        if self.snapshot is None or not self.snapshot.status.live:
            self._start("start")
            return
        question = f"{clean(self.snapshot.id)} is still {self.snapshot.status.state}."
        answers = [("start", "Start beside it"), ("cancel", "Cancel")]
        self.app.push_screen(ChoiceDialog("start", question, answers), self._start)

    def _start(self, answer: str | None) -> None:
        if answer != "start":
            return
        # Now, and not what the last check in the background saw: the last key may have changed a field.
        checked = self._form.check_now()
        if checked is None:
            self.app.bell()
            return
        try:
            run = self._launcher.start(checked.config)
        except TuiaeError as error:
            self._message.complain(str(error))
            return
        self.open_run(run.root)

    def action_pause(self) -> None:
        """Pause, or go on."""
        state = self.snapshot.status.state if self.snapshot else ""
        self._command("resume" if state == "paused" else "pause")

    def action_stop(self) -> None:
        """Save and stop."""
        self._command("stop")

    def action_save(self) -> None:
        """Write a checkpoint now."""
        self._command("save")

    def _command(self, command: str) -> None:
        if self.snapshot is None or not self.snapshot.status.live or self._feed is None:
            self._message.say("no run is live here; r starts one, 1 lists all", "quiet")
            return
        try:
            control.send(RunPaths(self.snapshot.path), command)
        except OSError as error:
            self._message.complain(f"{self.snapshot.id}: {error.strerror}")
            return
        self._feed.hurry()
        self._form.recheck()

    def action_resume(self) -> None:
        """Go on with the open run from its last checkpoint."""
        snapshot = self.snapshot
        try:
            if snapshot is None or snapshot.status.live or is_held(RunPaths(snapshot.path)):
                self._message.say("nothing to go on with: open a stopped run first", "quiet")
            elif snapshot.status.state == "finished":
                self._message.say(f"it has done its epochs; for more: tuiae resume {snapshot.id} --epochs N", "quiet")
            else:
                self._launcher.work_on(RunPaths(snapshot.path))
                self.open_run(snapshot.path)
        except OSError as error:
            # The directory was deleted while it was open, or is not ours to write.
            self._message.complain(f"cannot go on: {error.filename}: {error.strerror}")

    # The open run

    def open_run(self, path: Path) -> None:
        """Watch a run, live or finished: they are the same to a reader."""
        if self._feed is not None:
            self._feed.close()
        self.snapshot = None
        self._message.forget_trouble()
        self._form.recheck()
        self._view.clear()
        self._feed = RunFeed(path, self.post_message)

    @on(RunChanged)
    def _run_changed(self, event: RunChanged) -> None:
        snapshot, before = event.snapshot, self.snapshot
        if self._feed is None or snapshot.path != self._feed.path:
            return
        self.snapshot = snapshot
        self.query_one("#title", Static).update(title_line(snapshot, self.size.width))
        status = self.query_one("#status", FactsPanel)
        status.set_title(f"status · {state_text(snapshot.status.state).plain}")
        status.show(status_facts(snapshot))
        self._view.show(snapshot, event.sample)
        self._show_controls(snapshot.status.state)
        self._form.offer_encoder(snapshot.id if snapshot.checkpoints else "")
        if before is None or before.status.state != snapshot.status.state:
            self._state_changed(snapshot, before)

    def _state_changed(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        if problem := ending(snapshot):
            self._message.complain(problem)
        elif snapshot.status.state == "stopped":
            self._message.insist("R goes on with this run from where it stopped, r starts a new one", "caution")
        if not snapshot.status.live:
            # Only now, so that importing torch does not take its time from the training.
            self._launcher.warm_up()
        elif before is not None and not before.status.live:
            self._message.forget_trouble()
            self._form.recheck()

    def _show_controls(self, state: str) -> None:
        live = state in ("running", "paused", "starting")
        self.query_one("#pause", Button).label = "Go on" if state == "paused" else "Pause"
        for button in ("#pause", "#stop", "#save"):
            self.query_one(button, Button).disabled = not live

    def _show_idle_status(self) -> None:
        if self.snapshot is None and self._feed is None:
            facts = [("run", "none open", ""), ("worker", self._warm, ""), ("start", "r, or the button", "dim")]
            self.query_one("#status", FactsPanel).show(facts)
            self._show_controls("")

    @on(WorkerWarm)
    def _worker_warm(self, event: WorkerWarm) -> None:
        self._warm = f"warm · torch {event.torch.partition('+')[0]}" if event.devices else "will start cold"
        self._show_idle_status()
        if event.devices:
            self._form.show_devices(event.devices)
            self._form.recheck()

    # The screen

    @property
    def _view(self) -> RunView:
        return self.query_one(RunView)

    def action_next_view(self) -> None:
        """The next panel, where there is no room for all."""
        self._view.next_view()

    def action_next_metric(self) -> None:
        self._view.next_metric()

    def action_zoom(self) -> None:
        """The focused panel on the whole screen, or everything again."""
        if self.maximized is not None:
            self.minimize()
        else:
            panel = self.focused if isinstance(self.focused, (Panel, LogPanel)) else self._view.main_panel
            # Else the focus ends in a hidden field, which then takes the digits that are keys.
            panel.focus()
            self.maximize(panel)

    def action_pictures(self) -> None:
        """Half-block cells, or ASCII."""
        self._view.ascii_only = not self._view.ascii_only

    def on_resize(self) -> None:
        if self.snapshot is not None:
            self.query_one("#title", Static).update(title_line(self.snapshot, self.size.width))

    @property
    def _message(self) -> MessageLine:
        return self.query_one(MessageLine)

    def complain(self, text: str) -> None:
        """Say what went wrong."""
        self._message.complain(text)
