"""The form, and the open run as it moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import on
from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button

from tuiae.config.presets import check_preset_name
from tuiae.errors import TuiaeError
from tuiae.render.status import cost_line, ending, own_pause, state_text, status_facts
from tuiae.render.text import clean
from tuiae.runs.checkpoints import all_checkpoints, no_checkpoint
from tuiae.runs.control import EDITABLE, Edit
from tuiae.runs.diagnosis import Finding
from tuiae.runs.paths import LIVE_STATES, RunPaths, need_run
from tuiae.runs.reader import NO_CONFIG
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.draft import Draft, offered_datasets
from tuiae.ui.keys import LIVE
from tuiae.ui.screens.base import RunScreen
from tuiae.ui.screens.changes import EditDialog
from tuiae.ui.screens.dialogs import ChoiceDialog, CostDialog, LineDialog, complaining, in_front
from tuiae.ui.session import PreflightDone, Session, WorkerWarm
from tuiae.ui.terminal.app import TerminalApp
from tuiae.ui.widgets.chrome import FindingLine
from tuiae.ui.widgets.form import OWN_FOLDER, Choice, ConfigForm, NumberInput
from tuiae.ui.widgets.images import ImagesPanel
from tuiae.ui.widgets.panel import FactsPanel, MachinePanel, PicturePanel, toggle_ascii
from tuiae.ui.widgets.run_view import ConfusionPanel, RunView
from tuiae.ui.widgets.timeline import TimelineBar

# What one can do with the open run, whichever screen shows it.


class ActingScreen(RunScreen):
    """A screen whose keys reach the open run's worker."""

    def action_stop(self) -> None:
        """Save and stop."""
        self.command("stop")

    def action_save(self) -> None:
        """Write a checkpoint now, which stays."""
        if self.command("save"):
            self.message.tell("asked for a checkpoint of this moment; it is kept, and f offers it", "good")

    def action_resume(self) -> None:
        """Go on with the open run from its last checkpoint."""
        self.attempt(self.session.resume)

    def action_edit(self) -> None:
        """Change the learning rate, the noise, beta, dropout or the epochs while it trains."""
        snapshot = self.session.snapshot
        if snapshot is None or not snapshot.status.live or snapshot.current_config is None:
            self.message.tell("no run is live here; f forks a stopped one with other settings")
            return

        def change(changes: dict[str, Any] | None) -> None:
            if changes and self.attempt(self.session.edit, changes):
                self.message.hint("asked: it counts from the next step on", "good")

        self.app.push_screen(EditDialog(snapshot.current_config, snapshot.status.epoch), change)

    def action_fork(self) -> None:
        """Go on from a checkpoint of the open run in a run of its own."""
        snapshot = self.session.snapshot
        if snapshot is None or snapshot.config is None:
            self.message.tell("nothing to fork: open a run that has a checkpoint")
        else:
            self.attempt(self._fork, RunPaths(snapshot.path), snapshot.config.name)

    def _fork(self, source: RunPaths, name: str) -> None:
        need_run(source)
        if not all_checkpoints(source):  # they are looked for now: somebody may have deleted those of the snapshot
            raise no_checkpoint(source)
        self.ask_fork(source, name)


# The form of the next run: filled, checked, kept, started.

DATASETS_SECONDS = 5.0


class ConfiguringScreen(RunScreen):
    """A screen with a ConfigForm."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._tried = 0.0

    def on_mount(self) -> None:
        self.set_interval(DATASETS_SECONDS, self._look_around)

    @property
    def _form(self) -> ConfigForm:
        return self.query_one(ConfigForm)

    @on(ConfigForm.Edited)
    def _edited(self) -> None:
        self.message.release()

    @on(ConfigForm.Verdict)
    def _show_verdict(self, event: ConfigForm.Verdict) -> None:
        self.message.hint(event.text, event.kind)

    @on(ConfigForm.Broken)
    def _show_broken(self, event: ConfigForm.Broken) -> None:
        self.message.tell(event.problem, "bad")

    @on(ConfigForm.FolderWanted)
    def _ask_folder(self) -> None:
        def take(path: str | None) -> None:
            if path:
                self._form.choose_dataset(OWN_FOLDER + path.strip())
                self._form.post_message(ConfigForm.Edited())

        question = "One sub-folder a class, such as ~/pictures. Enter takes it, escape goes back."
        self.app.push_screen(LineDialog("folder of pictures", question, "", lambda path: ""), take)

    def _look_around(self) -> None:
        """Datasets that were fetched or imported meanwhile; children that have ended."""
        self._form.show_datasets(offered_datasets())
        self.session.launcher.reap()

    def action_fill_form(self) -> None:
        """Put the open run's settings into the form."""
        snapshot = self.session.snapshot
        if snapshot is None:
            self.message.hint("no run is open whose settings could fill the form: 1 lists them", "caution")
        elif snapshot.config is None:
            self.message.hint(f"the config of {snapshot.id} cannot be read", "caution")
        else:
            self._form.take(snapshot.current_config or snapshot.config, RunPaths(snapshot.path).config)

    def action_copy_command(self) -> None:
        """Copy the line that starts the same without a screen."""
        try:
            command = self._form.command()
        except TuiaeError as error:
            self.message.tell(str(error), "bad")
        else:
            self.app.copy_to_clipboard(command)
            self.message.tell(f"copied: {command}", "good")

    def action_save_preset(self) -> None:
        """Keep what the form says as a preset of one's own."""

        def save(name: str | None) -> None:
            if name is not None:
                self.attempt(lambda: self.message.tell(f"kept as {self._form.save_preset(name)}", "good"))

        question = "Its name; it is offered among the presets as my/NAME, in place of one of that name."
        self.app.push_screen(LineDialog("save as a preset", question, "", complaining(check_preset_name)), save)

    def action_start(self) -> None:
        """Start what the form says; beside a live run only when that is meant."""
        snapshot = self.session.snapshot
        if snapshot is None or not snapshot.status.live:
            self._start("start")
            return
        question = f"{clean(snapshot.title, 60)} is still {snapshot.status.state}. Start another beside it?"
        answers = [("start", "Start beside it"), ("cancel", "Cancel")]
        self.app.push_screen(ChoiceDialog("start", question, answers), self._start)

    def _start(self, answer: str | None) -> None:
        if answer != "start":
            return
        # Now, and not what the last check in the background saw: the last key may have changed a field.
        checked = self._form.check_now()
        if checked is None:
            self._refuse()
        elif self.attempt(self.session.start, checked.config):
            self._leave_form()  # or its fields would take the digits that are keys

    def _refuse(self) -> None:
        """Say what is wrong with the form, in place of what was said of the open run."""
        self.app.bell()
        self.message.release()
        self._form.recheck()

    @on(ConfigForm.Left)
    def _leave_form(self) -> None:
        if isinstance(self.focused, (Choice, NumberInput)):
            self.main_panel.focus()

    def action_check(self) -> None:
        """Try a few steps of what the form says, and say what a run of it costs."""
        checked = self._form.check_now()
        if checked is None:
            self._refuse()
        else:
            self.message.tell("trying a few steps…")
            self._tried = _last_press(self.app)
            self.session.launcher.preflight(checked.config)

    def show_cost(self, event: PreflightDone) -> None:
        """Say what the dry run found: in a dialog, or below where one has gone on to press something else meanwhile,
        which a dialog would take, or looks at something else."""
        self.message.release()
        checked = self._form.checked  # looked through in a thread, as a folder of pictures may take its time
        self._form.recheck()
        if checked is None or checked.config != event.config:
            return
        if event.problem is not None:
            self.message.tell(str(event.problem), "bad")
        elif event.cost is not None and (_last_press(self.app) != self._tried or not in_front(self)):
            self.message.tell(f"{cost_line(event.config.name, event.cost)}; c says more", "good")
        elif event.cost is not None:
            self.app.push_screen(CostDialog(event.config.name, event.cost), self._cost_read)

    def _cost_read(self, answer: str | None) -> None:
        if answer == "start":
            self.action_start()  # which asks about a live run

    def action_auto_pause(self) -> None:
        """Let the next run pause by itself when training spoils what was learned, or not."""
        self._form.auto_pause = not self._form.auto_pause
        pauses = "will pause by itself when it diverges, overfits or is dead"
        words = pauses if self._form.auto_pause else "goes on whatever happens"
        self.message.tell(f"a run that is started now {words}", "good")
        self._form.recheck()


def _last_press(app: App[Any]) -> float:
    """When a key or a button of the mouse was last pressed."""
    return app.pressed if isinstance(app, TerminalApp) else 0.0


# The keys that go back through the stored samples of a run.


class ScrubbingScreen(RunScreen):
    """A screen with a TimelineBar, which stands where those of the other screens do."""

    def on_mount(self) -> None:
        self.watch(self.timeline, "at", self._remember, init=False)

    def _remember(self, at: int | None) -> None:
        self.session.at = at

    def catch_up(self) -> None:
        """Show the open run as it is now, at the epoch that was gone back to, here or elsewhere."""
        at = self.session.at
        super().catch_up()  # which goes to the newest where another run is open
        if self._composed and self.session.snapshot is not None:
            self.timeline.go(at)

    @property
    def timeline(self) -> TimelineBar:
        """Where in its samples one looks at the run."""
        return self.query_one(TimelineBar)

    def action_sample(self, where: int | str) -> None:
        """So many samples on, or back; to the `first`, or back to the `newest`."""
        if where == "first":
            self.timeline.first()
        elif where == "newest":
            self.timeline.go(None)
        else:
            self.timeline.step(int(where))


# The keys that act on what a run shows, and not on the run.

OF_WHAT_SHOWS = ("next_metric", "errors")
"""Actions on what an open run shows."""


class WatchingScreen(ScrubbingScreen):
    """A screen with a RunView."""

    @property
    def _view(self) -> RunView:
        return self.query_one(RunView)

    def is_enabled(self, action: str) -> bool:
        if action == "errors" and self.config is not None:
            return not self.config.is_classifier
        if action in OF_WHAT_SHOWS or action.startswith(("look(", "sample(")):
            return self.session.snapshot is not None
        return super().is_enabled(action)

    def tell_damage(self, run_id: str) -> None:
        """Say that a run has no config to show it by."""
        self.message.tell(f"{run_id}: {NO_CONFIG}; 1 lists the others, D there deletes it", "bad")

    def action_next_metric(self) -> None:
        """Another metric beside the loss."""
        if not self._view.next_metric():
            self.message.remark("this run has no other metric beside its loss")

    def action_look(self, name: str) -> None:
        """Another smoothing, axis or split on all curves."""
        self.message.remark(self._view.cycle_look(name))

    def action_errors(self) -> None:
        """The row of errors below the pictures, or not."""
        if not self.query_one(ImagesPanel).toggle_error():
            self.message.remark("no errors to show: this run reconstructs nothing")

    def action_normalise(self) -> None:
        """The confusion matrix in counts, or in shares of each true class."""
        confusion = self.query_one(ConfusionPanel)
        confusion.shares = not confusion.shares
        if self._view.has_class("-classifier"):
            words = "shares of each true class" if confusion.shares else "counts"
            self.message.remark(f"confusion in {words}")
        else:
            self.message.remark("no confusion matrix: only classifiers have one")

    def action_pictures(self) -> None:
        """Half-block cells, or ASCII."""
        toggle_ascii(self.query(PicturePanel))


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
                yield ConfigForm(Draft(self.session.root), lambda: self.session.launcher.devices)
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
        self._say(self.session.findings)
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
            self.message.tell(f"it paused by itself: {cause} · p goes on, e changes it, x saves and stops", "caution")
        if self._paused_for and not cause:  # which may be known before or after the state is another one
            self.message.release()
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
            self.message.tell(problem, "bad")
        elif snapshot.config is None:
            self.tell_damage(snapshot.id)
        elif snapshot.status.state == "stopped":
            self.message.tell("R goes on with this run from where it stopped, r starts a new one", "caution")
        if before and (before in LIVE_STATES) != snapshot.status.live:
            if snapshot.status.live:
                self.message.release()
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
