"""The form of the next run: filled, checked, kept, started."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.app import App

from tuiae.errors import TuiaeError
from tuiae.preset_files import check_preset_name
from tuiae.runs.layout import RunPaths
from tuiae.ui.draft import offered_datasets
from tuiae.ui.launcher import PreflightDone
from tuiae.ui.render.preflight import cost_line
from tuiae.ui.render.text import clean
from tuiae.ui.screens.ask import LineDialog, complaining
from tuiae.ui.screens.base import RunScreen
from tuiae.ui.screens.dialogs import ChoiceDialog, CostDialog
from tuiae.ui.session import Session
from tuiae.ui.terminal.app import TerminalApp
from tuiae.ui.terminal.dialog import in_front
from tuiae.ui.widgets.config_panel import ConfigPanel
from tuiae.ui.widgets.form import OWN_FOLDER, Choice, ConfigForm, NumberInput

DATASETS_SECONDS = 5.0


class ConfiguringScreen(RunScreen):
    """A screen with a ConfigPanel."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._tried = 0.0

    def on_mount(self) -> None:
        self.set_interval(DATASETS_SECONDS, self._look_around)

    @property
    def _form(self) -> ConfigPanel:
        return self.query_one(ConfigPanel)

    @on(ConfigForm.Edited)
    def _edited(self) -> None:
        self.message.forget_trouble()

    @on(ConfigPanel.Verdict)
    def _show_verdict(self, event: ConfigPanel.Verdict) -> None:
        self.message.hint(event.text, event.kind)

    @on(ConfigPanel.Broken)
    def _show_broken(self, event: ConfigPanel.Broken) -> None:
        self.message.complain(event.problem)

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
            self.message.complain(str(error))
        else:
            self.app.copy_to_clipboard(command)
            self.message.insist(f"copied: {command}", "good")

    def action_save_preset(self) -> None:
        """Keep what the form says as a preset of one's own."""

        def save(name: str | None) -> None:
            if name is not None:
                self.attempt(lambda: self.message.insist(f"kept as {self._form.save_preset(name)}", "good"))

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
        self.message.forget_trouble()
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
            self.message.insist("trying a few steps…", "quiet")
            self._tried = _last_press(self.app)
            self.session.launcher.preflight(checked.config)

    def show_cost(self, event: PreflightDone) -> None:
        """Say what the dry run found: in a dialog, or below where one has gone on to press something else meanwhile,
        which a dialog would take, or looks at something else."""
        self.message.forget_trouble()
        checked = self._form.checked  # looked through in a thread, as a folder of pictures may take its time
        self._form.recheck()
        if checked is None or checked.config != event.config:
            return
        if event.problem is not None:
            self.message.complain(str(event.problem))
        elif event.cost is not None and (_last_press(self.app) != self._tried or not in_front(self)):
            self.message.insist(f"{cost_line(event.config.name, event.cost)}; c says more", "good")
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
        self.message.insist(f"a run that is started now {words}", "good")
        self._form.recheck()


def _last_press(app: App[Any]) -> float:
    """When a key or a button of the mouse was last pressed."""
    return app.pressed if isinstance(app, TerminalApp) else 0.0
