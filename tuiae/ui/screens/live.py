"""The form of the next run, and the open run as it moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Button

from tuiae.config import RunConfig
from tuiae.config.presets import check_preset_name
from tuiae.errors import TuiaeError
from tuiae.preflight import Checked
from tuiae.render.machine import cost_line
from tuiae.render.network import NO_HISTOGRAMS
from tuiae.render.pixels import Sheet
from tuiae.render.status import idle_facts, state_badge, status_facts
from tuiae.render.text import clean
from tuiae.runs.advice import Remedy
from tuiae.runs.diagnosis import Finding, nothing_found
from tuiae.runs.paths import RunPaths
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.source import UntrustedCodeError
from tuiae.ui.draft import OWN_PLACES, Draft, in_form_words, offered_datasets, summary, training_words
from tuiae.ui.keys import FORM_KEY, LIVE, argument, look_now
from tuiae.ui.screens.base import RunScreen
from tuiae.ui.screens.changes import EditDialog, TrackedEditDialog, ask_edit, ask_fork, ask_remedy
from tuiae.ui.screens.dialogs import ChoiceDialog, CostDialog, LineDialog, NetworkDialog, in_front, network_pages
from tuiae.ui.screens.managing import ask_kill
from tuiae.ui.screens.settings import SettingsDialog
from tuiae.ui.session import PreflightDone, Session, WorkerWarm
from tuiae.ui.terminal.app import TerminalApp
from tuiae.ui.widgets.chrome import FindingLine, standing, tell_news
from tuiae.ui.widgets.form import BRINGS_BACK, ConfigForm
from tuiae.ui.widgets.images import ImagesPanel
from tuiae.ui.widgets.left import LeftColumn, LogPanel
from tuiae.ui.widgets.run_view import ConfusionPanel, RunView

DATASETS_SECONDS = 5.0  # between looks at which datasets there are
WITH_FORM = 50  # lines of a screen from which the left column has room for open form, whole status and finding
ASKED = {"pause": "pause", "resume": "go on", "stop": "save and stop"}


class LiveScreen(RunScreen):
    """Configure on the left, watch on the right."""

    MODE = "live"
    NAME = "a terminal laboratory for autoencoders"
    BINDINGS = [*(key.binding for key in LIVE), Binding("enter", "name_start", show=False)]
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (110, "-wide"), (160, "-broad")]
    AUTO_FOCUS = ""  # an Enter would start what nobody asked for, and letters are keys

    app = getters.app(TerminalApp)
    form = getters.query_one(ConfigForm)
    view = getters.query_one(RunView)
    left = getters.query_one(LeftColumn)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.standby_note = "importing torch…"
        self._last: tuple[Snapshot, Sample | None] | None = None
        self._check_pressed = 0.0
        self._steps = False
        """Whether the last thing asked of the open run was a single step."""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="body"):
            form = ConfigForm(Draft(self.session.root), lambda: self.session.launcher.devices, FORM_KEY)
            yield LeftColumn(form, id="left")
            yield RunView(id="right")
        yield FindingLine("finding-line", most=2)

    def on_mount(self) -> None:
        self.query_one(ImagesPanel).enlarged = self.app.setting("pictures", 0)
        self.set_interval(DATASETS_SECONDS, self._look_around)

    @on(ConfigForm.Folded)
    def _place_findings(self) -> None:
        """While the form takes lines from the status, put what the curves say below both columns."""
        small, unfolded = self.size.height < WITH_FORM, not self.form.has_class("-folded")
        self.query(FindingLine).set_class(small and unfolded, "-moved")

    def on_resize(self) -> None:
        self._place_findings()
        self.call_after_refresh(self.left.fit, anew=True)

    def maximize(self, widget: Widget, container: bool = True) -> bool:
        for panel in (self.left.status, self.view.images):
            if panel is widget:  # else what is alone is first laid out as it was among others
                panel.styles.width = panel.styles.max_height = None
        return super().maximize(widget, container)

    def watch_maximized(self) -> None:
        for fit in (self.left.fit, self.view.share):
            # What had the screen alone is as wide as it was only after the next layout.
            self.call_after_refresh(fit) if self.maximized is None else fit()

    def is_enabled(self, action: str) -> bool:
        if (can := CAN.get(action)) is not None:
            return can(self)
        if action == "errors" and self.config is not None:
            return not self.config.is_classifier
        if self.form.is_entered and action.startswith(("walk(", "sample(")):
            return False  # they work, but the line is for the form's keys
        if action.startswith("walk("):
            return self.view.images.can_walk(argument(action))
        if action.startswith("resize_pictures("):
            return self.view.images.can_resize(argument(action))
        if action == "errors" or action.startswith("look("):
            return self.session.snapshot is not None
        return super().is_enabled(action)

    def name_of(self, action: str) -> str:
        if action.startswith("look('log"):  # the others need no look at the panels
            return look_now(action, self.view.look)
        if action == "histograms" and self.view.shows_histograms:
            return "Pictures"
        if action == "submit" and self.form.is_entered:
            return "Next"
        return super().name_of(action)

    @property
    def sheet(self) -> Sheet | None:
        return self.view.sheet

    # The open run

    def run_opened(self) -> None:
        self._last, self._steps = None, False
        self.form.open_run(self.session.path is not None)
        self.form.recheck()
        self.view.clear(self.session.opening or "no run is open: its curves show here")
        self.left.status.set_title("status")
        self._show_idle_status()
        self.left.buttons.show(None)
        for log in self.query(LogPanel):
            log.clear()
        self._show_findings(())
        if isinstance(self.focused, Button):
            self.set_focus(None)  # or a second Enter would start or pause something

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        before, self._last = self._last, (snapshot, sample)
        if before is not None and before[0] is snapshot and before[1] is sample:
            return  # back from a dialog or another screen: every panel still shows it
        self.left.status.set_title("status", badge=state_badge(snapshot))
        self.left.show(status_facts(snapshot))
        self._show_findings(self.session.findings)
        self.view.show(snapshot, sample)
        for log in self.query(LogPanel):
            log.follow(snapshot)
        self.left.buttons.show(None if self.session.discarded else snapshot.status)
        self.form.offer_encoder(snapshot.id if snapshot.checkpoints else "")
        if not snapshot.status.live and isinstance(self.app.screen, (EditDialog, TrackedEditDialog)):
            self.app.screen.run_ended()
        if before is None or standing(before[0]) != standing(snapshot):
            self.message.key_pressed()  # what was asked for is done
            if not self._hint_of_run() and before is None:
                self.form.recheck()  # its message waited for the run
        if tell_news(self.message, before[0] if before is not None else None, snapshot):
            self.form.recheck()

    def _show_findings(self, findings: Sequence[Finding]) -> None:
        for line in self.query(FindingLine):
            line.show(findings)

    def _show_idle_status(self) -> None:
        if self.session.opening:
            self.left.show([("run", self.session.opening, "")], anew=True)
        elif self.session.path is None:
            self.left.show(idle_facts(self.standby_note), anew=True)

    def worker_warm(self, event: WorkerWarm) -> None:
        """Say what the standby found on this machine."""
        self.standby_note = f"warm · torch {event.torch.partition('+')[0]}" if event.devices else "will start cold"
        self._show_idle_status()
        if event.updated:
            self.message.tell(event.updated, "caution")
        if event.devices:
            self.form.show_devices(event.devices)
            self.form.recheck()

    # Keys of the open run

    def command(self, command: str) -> bool:
        sent = super().command(command)
        self._steps = sent and command == "step"
        if sent and command in ASKED:
            own = command == "stop" and self.config is None  # a tracked run, which saves what its program does
            self.message.tell(f"asked to {command if own else ASKED[command]}, which it does after this step")
        return sent

    def action_step(self) -> None:
        """Let a paused run take one step, and show what that changed."""
        snapshot = self.session.snapshot
        if snapshot is not None and snapshot.status.state == "running" and not self._steps:
            self.message.tell("p pauses it first; then space takes one step")
        elif self.command("step"):  # also while the last one is taken: the worker counts them
            self.view.timeline.go(None)

    def action_stop(self) -> None:
        self.command("stop")

    def action_kill(self) -> None:
        """Kill the worker of the open run, which does not answer, after a question."""
        if (snapshot := self.session.snapshot) is not None:
            self.attempt(ask_kill, self, RunPaths(snapshot.path), snapshot.title)

    def action_save(self) -> None:
        """Write a checkpoint now, which stays."""
        if self.command("save"):
            self.message.tell("asked for a checkpoint of this moment; it is kept, and f offers it", "good")

    def action_resume(self) -> None:
        def resume(other_images: bool) -> None:
            self.session.resume(None, other_images)
            self.message.tell("a worker starts, to go on from the last checkpoint…")

        self.attempt(self.train_on, resume)

    def action_edit(self) -> None:
        self.attempt(ask_edit, self)

    def action_take_advice(self) -> None:
        """Fill in what the findings advise, or what is chosen of it: in an edit, in a fork, or in the form."""
        if any(finding.remedies for finding in self.session.findings):
            self.attempt(ask_remedy, self, self.session.findings, self._ask_anew)
        else:
            snapshot = self.session.snapshot
            self.message.remark(nothing_found(snapshot) if snapshot is not None else "no run is open: 1 lists them")

    def _ask_anew(self, run: RunPaths, config: RunConfig, remedy: Remedy) -> None:
        """Let the form ask for a run of a config with a remedy in it."""
        also = f"; {BRINGS_BACK}" if self.form.take(config, run.config) else ""
        self.form.change(remedy.changes)
        self.minimize()
        self.form.enter("start")
        self.message.tell(f"the form asks for this run anew, with {remedy.words}: r or enter starts it{also}", "good")

    def action_bring_back(self) -> None:
        """Let the form ask for what it did before it was filled anew, or for what filled it."""
        self.form.bring_back()

    def action_fork(self) -> None:
        """Go on from a checkpoint of the open run in a run of its own."""
        snapshot = self.session.snapshot
        if snapshot is None:
            self.message.tell("nothing to fork: open a run that has a checkpoint")
        else:
            self.attempt(ask_fork, self, RunPaths(snapshot.path))

    # Keys of what shows

    def action_machine(self) -> None:
        """Cores, memory and cards instead of the run's status, or beside it where there is room."""
        self.left.toggle_class("-machine")

    def action_next_metric(self) -> None:
        if words := self.view.next_metric():
            self.message.remark(words)

    def action_look(self, name: str) -> None:
        """Another smoothing, axis or split on all curves."""
        self.message.remark(self.view.cycle_look(name))

    def action_histograms(self) -> None:
        """How weights, gradients and codes are spread, in place of the pictures; or the pictures again."""
        if not self.view.toggle_histograms():
            self.message.remark(NO_HISTOGRAMS)

    def action_network(self) -> None:
        """The layers of the open run's network, and of the one that the form describes."""
        checked = self.form.checked
        if pages := network_pages(self.session.snapshot, checked.config if checked is not None else None):
            self.show_dialog(NetworkDialog(pages), lambda answer: None)
        else:
            self.message.tell("no network to show: no run is open, and the form says nothing that can run")

    def action_resize_pictures(self, steps: int) -> None:
        """Fewer and larger pictures, or more and smaller; the next time they are as large."""
        images = self.query_one(ImagesPanel)
        if images.resize_pictures(steps):
            self.app.remember(pictures=images.enlarged)
        else:
            self.message.remark(f"pictures cannot be {'larger' if steps > 0 else 'smaller'} here")

    def action_walk(self, steps: int) -> None:
        """The pictures before those that show, or after."""
        if words := self.query_one(ImagesPanel).walk(steps):
            self.message.remark(words)

    def action_spread(self) -> None:
        """The mean and the band of the run's other seeds behind its curves, or not."""
        self.message.remark(self.view.toggle_seeds())

    def action_errors(self) -> None:
        """The row of errors below the pictures, or not."""
        if not self.query_one(ImagesPanel).toggle_error():
            waits = self.config is not None and not self.config.is_classifier
            self.message.remark(f"no errors to show: {'no pictures yet' if waits else 'this run reconstructs nothing'}")

    def action_normalise(self) -> None:
        """The confusion matrix in counts, or in shares of each true class."""
        confusion = self.query_one(ConfusionPanel)
        confusion.shares = not confusion.shares
        words = "confusion in shares of each true class" if confusion.shares else "confusion in counts"
        if confusion.region.area and confusion.shows_shares != confusion.shares:
            words = "no room for counts here: z shows the matrix alone"
        is_classifier = self.view.has_class("-classifier")
        self.message.remark(words if is_classifier else "no confusion matrix: only classifiers have one")

    # The next run

    def _look_around(self) -> None:
        """See which datasets were fetched or imported meanwhile, and which child processes have ended."""
        self.form.show_datasets(offered_datasets())
        self.session.launcher.reap()

    @on(ConfigForm.Edited)
    def _edited(self) -> None:
        self.message.release()

    @on(ConfigForm.Answered)
    def _tell_answer(self, event: ConfigForm.Answered) -> None:
        self.message.tell(event.text, event.kind)

    @on(ConfigForm.CheckEnded)
    def _show_check(self, event: ConfigForm.CheckEnded) -> None:
        """Say what Start would do; of a run that trains, what it does, unless somebody is at the form."""
        if not self._hint_of_run():
            self.message.hint(event.text, event.kind)

    def on_descendant_focus(self) -> None:
        self._hint_of_run()  # somebody has left the form

    def _hint_of_run(self) -> bool:
        """Say what the open run does while it trains, or that it is being opened, unless somebody is at the form;
        returns whether that was said."""
        snapshot, words = self.session.snapshot, ""
        if not self.form.is_entered:
            words = training_words(snapshot) if snapshot is not None else self.session.opening
        if words:
            self.message.hint(words)
        return bool(words)

    def action_leave_form(self) -> None:
        """Leave the fields, which take the digits that are keys elsewhere."""
        if self.form.is_entered:
            self.main_panel.focus()

    def action_open_form(self) -> None:
        """Go to the first field of the form, which is one line while a run is open."""
        self.minimize()
        self.message.release()
        self.form.enter()

    def action_all_settings(self) -> None:
        """Change any setting of the next run."""
        self.attempt(self._ask_settings)

    def _ask_settings(self) -> None:
        self.message.release()
        config = self.form.ask({})
        dialog = SettingsDialog("all settings of the next run", config, self.form.draft.base, self.form.ask)
        self.show_dialog(dialog, self.form.change)

    @on(ConfigForm.PlaceWanted)
    def _ask_place(self, event: ConfigForm.PlaceWanted) -> None:
        def take(path: str) -> None:
            if path:
                self.form.choose_dataset(event.prefix + path.strip())
                self.form.post_message(ConfigForm.Edited())

        title, example = OWN_PLACES[event.prefix]
        question = f"{example} Enter takes it, escape goes back."
        self.show_dialog(LineDialog(title, question, "", lambda path: None), take)

    @on(Button.Pressed)
    async def _button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        await self.run_action(event.button.id or "")  # which is the name of an action

    def action_fill_form(self) -> None:
        """Put the open run's settings into the form."""
        self.attempt(self._fill_form)

    def _fill_form(self) -> None:
        self.session.need_open()
        snapshot = self.session.snapshot
        if snapshot is None:
            self.message.hint("no run is open whose settings could fill the form: 1 lists them", "caution")
        elif snapshot.tracked is not None:
            self.message.hint("this run was tracked: its settings are its own program's", "caution")
        elif snapshot.config is None:
            self.message.hint(f"the config of {snapshot.id} cannot be read", "caution")
        else:
            self.message.release()
            if self.form.take(snapshot.current_config or snapshot.config, RunPaths(snapshot.path).config):
                self.message.tell(BRINGS_BACK, "good")

    def action_copy_command(self) -> None:
        """Copy the line that starts the same without a screen."""
        self.attempt(lambda: self.copy(self.form.command()))

    def action_save_preset(self) -> None:
        """Keep what the form says as a preset of the user's own."""
        question = "Its name; it is offered among the presets as my/NAME, in place of one of that name."
        dialog = LineDialog("save as a preset", question, "", check_preset_name)
        self.show_dialog(dialog, lambda name: self.message.tell(f"kept as {self.form.save_preset(name)}", "good"))

    def action_auto_pause(self) -> None:
        """Let the next run pause by itself when training spoils what was learned, or not."""
        pauses = not self.form.ask({}).training.auto_pause
        self.form.change({"training.auto_pause": pauses})
        words = "will pause by itself when it diverges, overfits or is dead" if pauses else "goes on whatever happens"
        self.message.tell(f"a run that is started now {words}", "good")

    def action_name_start(self) -> None:
        """Start nothing on an Enter before anything is open, and say what does."""
        if self.session.path is None:
            self.message.remark(f"r starts what the form asks for · {FORM_KEY} goes into the form")

    def action_start(self) -> None:
        """Start what the form says; beside a live run only after a question."""
        if not self.attempt(self.session.need_open):
            return
        if not (beside := self._what_trains()):
            self._start()
            return
        if (checked := self._check_now(self.action_start)) is None:
            return
        question = f"{beside} this would start:\n{clean(summary(checked.config), 200)}"
        answers = [("start", "Start beside it"), ("cancel", "Cancel")]
        self.show_dialog(ChoiceDialog("start", question, answers), lambda answer: self._start())

    def _what_trains(self) -> str:
        """The beginning of a question: what a run that is started now would train beside; empty where nothing does."""
        snapshot = self.session.snapshot
        if snapshot is not None and snapshot.status.live:
            return f"{clean(snapshot.title, 60)} is still {snapshot.status.state}. Beside it"
        others = self.session.others_live()
        told = "Another run is live. Beside it" if others == 1 else f"{others} other runs are live. Beside them"
        return told if others else ""

    def _start(self) -> None:
        # Checked now: the last key may have changed a field since the check in the background.
        checked = self._check_now(self._start)
        if checked is not None and self.attempt(
            lambda: self.session.start(checked.config, self.form.label(), self.form.draft.preset)
        ):
            self.form.forget_name()
            self.action_leave_form()  # or its fields would take the digits that are keys

    def _check_now(self, then: Callable[[], object]) -> Checked | None:
        """The config of the form, if it can run; else the message says what is wrong with it. Where that is code that
        this user has not started, it is shown, and `then` is done once it may run."""
        try:
            return self.form.check_now()
        except UntrustedCodeError as error:
            self.ask_trust(error, then)
        except TuiaeError as error:
            self.app.bell()
            self.message.release()
            self.form.recheck()
            if self.form.has_class("-folded"):
                problem = in_form_words(str(error).replace("\n", " · "))
                self.message.tell(f"not started: {problem}; {FORM_KEY} opens the form", "bad")
        return None

    def action_check(self) -> None:
        """Try a few steps of what the form says, to see what a run of it costs."""
        if (checked := self._check_now(self.action_check)) is not None:
            self.message.tell("trying a few steps…")
            self._check_pressed = self.app.pressed
            self.session.launcher.preflight(checked.config)

    def action_sweep(self) -> None:
        """Ask which settings to vary around what the form says."""
        from tuiae.ui.screens.sweeping import ask_sweep, pace_beside  # the first paint need not wait for it

        if (checked := self._check_now(self.action_sweep)) is not None:
            config, pace = checked.config, pace_beside(self.session.snapshot, checked.config)
            self.attempt(
                lambda: ask_sweep(self, config, f"the form, {config.name}", pace, self.form.label().tags or ())
            )

    def show_cost(self, event: PreflightDone) -> None:
        """Say what the dry run found: in a dialog, or in the message where somebody has pressed something else since,
        which the dialog would take, or looks at something else."""
        self.message.release()
        checked = self.form.checked
        self.form.recheck()
        if checked is None or checked.config != event.config:
            return
        name, outcome = event.config.name, event.outcome
        if isinstance(outcome, TuiaeError):
            self.message.tell(str(outcome), "bad")
        elif self.app.pressed != self._check_pressed or not in_front(self):
            self.message.tell(f"{cost_line(name, outcome)}; c says more", "good")
        else:
            self.show_dialog(CostDialog(name, outcome), lambda answer: self.action_start())


CAN: Mapping[str, Callable[[LiveScreen], bool]] = {
    "histograms": lambda live: live.view.has_histograms,
    "spread": lambda live: live.view.has_seeds,
    "next_metric": lambda live: len(live.view.metrics) > 1,
    "bring_back": lambda live: live.form.draft.has_aside,
    "take_advice": lambda live: any(finding.remedies for finding in live.session.findings),
}
"""Whether some actions do something now."""
