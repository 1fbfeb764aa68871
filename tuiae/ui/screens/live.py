"""The form, and the open run as it moves."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button

from tuiae.runs.diagnosis import Finding, diagnose
from tuiae.runs.edits import EDITABLE, Edit
from tuiae.runs.layout import LIVE_STATES
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.draft import Draft
from tuiae.ui.keys import LIVE
from tuiae.ui.launcher import WorkerWarm
from tuiae.ui.render.status import ending, own_pause, state_text, status_facts
from tuiae.ui.screens.acting import ActingScreen
from tuiae.ui.screens.configuring import ConfiguringScreen
from tuiae.ui.screens.watching import WatchingScreen
from tuiae.ui.session import Session
from tuiae.ui.widgets.config_panel import ConfigPanel
from tuiae.ui.widgets.facts import FactsPanel
from tuiae.ui.widgets.finding import FindingLine
from tuiae.ui.widgets.machine import MachinePanel
from tuiae.ui.widgets.run_view import RunView


class LiveScreen(WatchingScreen, ConfiguringScreen, ActingScreen):
    """Configure on the left, watch on the right."""

    MODE = "live"
    NAME = "a terminal laboratory for autoencoders"
    BINDINGS = [key.binding for key in LIVE]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._warm = "importing torch…"
        self._state = ""
        self._last: tuple[Snapshot, Sample | None] | None = None
        self._edits: tuple[Edit, ...] | None = None
        """Of the open run as they were last seen; None before its first snapshot."""
        self._paused_for = ""

    @property
    def AUTO_FOCUS(self) -> str:  # type: ignore[override]  # noqa: N802
        """Start while no run is open; beside one an Enter too many, as the help or a dialog goes, shall start none."""
        return "#start" if self.session.path is None else ""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield ConfigPanel(Draft(self.session.root), lambda: self.session.launcher.devices)
                yield FactsPanel("status", id="status")
                yield FindingLine(id="finding")
                yield MachinePanel(id="machine")
            yield RunView(id="right")
        yield FindingLine(id="finding-line")

    def on_mount(self) -> None:
        self._show_idle_status()

    @on(Button.Pressed)
    def _button(self, event: Button.Pressed) -> None:
        event.stop()
        {"start": self.action_start, "pause": self.action_pause, "stop": self.action_stop, "save": self.action_save}[
            event.button.id or ""
        ]()

    def command(self, command: str) -> bool:
        sent = super().command(command)
        if sent:
            self._form.recheck()
        return sent

    def action_machine(self) -> None:
        """Cores, memory and cards instead of the run's status, or beside it where there is room."""
        self.query_one("#left").toggle_class("-machine")

    # The open run

    def run_opened(self) -> None:
        self._state = self._paused_for = ""
        self._last = self._edits = None
        self._form.recheck()
        self._view.clear()
        self._say(())
        if isinstance(self.focused, Button):
            self.set_focus(None)  # a second Enter, or one too many, shall neither start nor pause anything

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        if self._last is not None and self._last[0] is snapshot and self._last[1] is sample:
            return  # back from a dialog or another screen: every panel still shows it
        self._last = (snapshot, sample)
        status = self.query_one("#status", FactsPanel)
        cause = own_pause(snapshot)
        status.set_title(f"status · {state_text(snapshot.status.state).plain}{' by itself' if cause else ''}")
        status.show(status_facts(snapshot))
        self._say(diagnose(snapshot, sample))
        self._view.show(snapshot, sample)
        self._form.show_controls(snapshot.status.state)
        self._form.offer_encoder(snapshot.id if snapshot.checkpoints else "")
        if self._state != snapshot.status.state:
            self._state_changed(snapshot)
        self._tell_news(snapshot, cause)

    def _say(self, findings: Sequence[Finding]) -> None:
        for line in self.query(FindingLine):
            line.show(findings)

    def _tell_news(self, snapshot: Snapshot, cause: str) -> None:
        """A pause that nobody asked for, and an edit that has come into force."""
        if cause and cause != self._paused_for:
            self.message.insist(f"it paused by itself: {cause} · p goes on, e changes it, x saves and stops", "caution")
        if self._paused_for and not cause:  # which may be known before or after the state is another one
            self.message.forget_trouble()
            self._form.recheck()
        self._paused_for = cause
        edits = self._edits
        self._edits = snapshot.edits
        if edits is not None and len(snapshot.edits) > len(edits) and snapshot.status.live:
            words = ", ".join(f"{EDITABLE[edit.key].label} is {edit.new:g}" for edit in snapshot.edits[len(edits) :])
            self.message.hint(f"{words} from step {snapshot.edits[-1].step:,} on", "good")

    def _state_changed(self, snapshot: Snapshot) -> None:
        before, self._state = self._state, snapshot.status.state
        if problem := ending(snapshot):
            self.message.complain(problem)
        elif snapshot.config is None:
            self.tell_damage(snapshot.id)
        elif snapshot.status.state == "stopped":
            self.message.insist("R goes on with this run from where it stopped, r starts a new one", "caution")
        if before and (before in LIVE_STATES) != snapshot.status.live:
            if snapshot.status.live:
                self.message.forget_trouble()
            self._form.recheck()  # which says what can be done now, in place of what was said of the run before

    def _show_idle_status(self) -> None:
        if self.session.path is None:
            facts = [("run", "none open", ""), ("worker", self._warm, ""), ("start", "r, or the button", "dim")]
            self.query_one("#status", FactsPanel).show(facts)
            self._form.show_controls("")

    def worker_warm(self, event: WorkerWarm) -> None:
        """Say what the standby found on this machine."""
        self._warm = f"warm · torch {event.torch.partition('+')[0]}" if event.devices else "will start cold"
        self._show_idle_status()
        if event.devices:
            self._form.show_devices(event.devices)
            self._form.recheck()
