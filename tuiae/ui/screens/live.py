"""The form, and the open run as it moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Button, Footer, Static

from tuiae.config import RunConfig, build_config, read_document
from tuiae.data.registry import list_datasets
from tuiae.errors import TuiaeError
from tuiae.preflight import Checked, check
from tuiae.preset_files import DEFAULT, list_presets
from tuiae.runs import control
from tuiae.runs.layout import RunPaths
from tuiae.runs.process import is_held
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.feed import RunChanged, RunFeed
from tuiae.ui.keys import LIVE
from tuiae.ui.launcher import Launcher, WorkerWarm
from tuiae.ui.render.curves import EMPTY, train_and_test
from tuiae.ui.render.sample import sample_captions, sample_rows
from tuiae.ui.render.status import ending, log_lines, state_text, status_facts, title_line
from tuiae.ui.render.text import clean, count
from tuiae.ui.screens.dialogs import ChoiceDialog, FolderDialog
from tuiae.ui.widgets.confusion import ConfusionPanel
from tuiae.ui.widgets.curves import CurvesPanel
from tuiae.ui.widgets.facts import FactsPanel
from tuiae.ui.widgets.form import OWN_FOLDER, ConfigForm
from tuiae.ui.widgets.images import ImagesPanel
from tuiae.ui.widgets.log import LogPanel
from tuiae.ui.widgets.panel import Panel
from tuiae.ui.widgets.views import VIEWS, ViewBar

DATASETS_SECONDS = 5.0
ZOOMED = {"curves": "#loss", "pictures": "#images", "confusion": "#confusion", "log": "#log"}


class ConfigChecked(Message):
    """The form was checked: a config that can run, or why it cannot."""

    def __init__(self, checked: Checked | None, problem: str) -> None:
        super().__init__()
        self.checked = checked
        self.problem = problem


class LiveScreen(Screen[None]):
    """Configure on the left, watch on the right."""

    BINDINGS = [key.binding for key in LIVE]
    AUTO_FOCUS = "#start"

    def __init__(self, root: Path, launcher: Launcher, ascii_only: bool = False) -> None:
        super().__init__()
        self._root = root
        self._launcher = launcher
        self._ascii_only = ascii_only
        self._presets = {preset.name: preset for preset in list_presets()}
        self._document: dict[str, Any] = {}
        self._checked: Checked | None = None
        self._feed: RunFeed | None = None
        self._warm = "importing torch…"
        self.snapshot: Snapshot | None = None

    def compose(self) -> ComposeResult:
        yield Static(Text.assemble((" tuiae", "bold"), ("  a terminal laboratory for autoencoders", "dim")), id="title")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield ConfigForm(list(self._presets), list_datasets())
                yield FactsPanel("status", id="status")
            with Vertical(id="right"):
                yield ViewBar()
                with Horizontal(id="curves"):
                    yield CurvesPanel("loss", id="loss")
                    yield CurvesPanel("accuracy", id="accuracy")
                with Horizontal(id="pictures"):
                    yield ImagesPanel(
                        empty="r starts what the form says  ·  1 lists all runs  ·  ? shows the keys", id="images"
                    )
                    yield ConfusionPanel(id="confusion")
                yield LogPanel(empty="what the worker says shows here", id="log")
        yield Static(id="message")
        yield Static("tuiae needs 60 columns and 20 rows", id="too-small")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(ViewBar).offer("confusion", False)
        if self._ascii_only:
            self._draw_ascii(True)
        self.load_preset(DEFAULT)
        self._show_idle_status()
        self.set_interval(DATASETS_SECONDS, self._look_around)

    def on_unmount(self) -> None:
        if self._feed is not None:
            self._feed.close()

    # The form

    def load_preset(self, name: str) -> None:
        """Fill the form from a preset."""
        try:
            self._document = read_document(self._presets[name].path)
            config = build_config(self._document, source=name)
        except TuiaeError as error:
            self._say(str(error), "bad")
            return
        self._form.fill(config, name)
        self._check_form()

    @property
    def _form(self) -> ConfigForm:
        return self.query_one(ConfigForm)

    @on(ConfigForm.PresetChosen)
    def _preset_chosen(self, event: ConfigForm.PresetChosen) -> None:
        self.load_preset(event.name)

    @on(ConfigForm.Edited)
    def _check_form(self) -> None:
        self._check(dict(self._document), self._form.overrides)

    @work(thread=True, exclusive=True, group="check")
    def _check(self, document: dict[str, Any], overrides: dict[str, Any]) -> None:
        """Check in a thread: a folder of pictures may take its time to look through."""
        try:
            config = build_config(document, overrides, source="preset", asker="")
            checked, problem = check(config, self._root, self._launcher.devices), ""
        except TuiaeError as error:
            checked, problem = None, str(error).replace("\n", " · ")
        self.post_message(ConfigChecked(checked, problem))

    @on(ConfigChecked)
    def _form_checked(self, event: ConfigChecked) -> None:
        self._checked = event.checked
        self.query_one("#start", Button).disabled = event.checked is None
        if event.checked is None:
            self._form.border_subtitle = "cannot start"
            self._say(event.problem, "bad")
            return
        parameters = event.checked.parameters
        self._form.border_subtitle = f"{count(parameters)} parameters" if parameters is not None else ""
        self._say(*_readiness(event.checked))

    @on(ConfigForm.FolderWanted)
    def _ask_folder(self) -> None:
        def take(path: str | None) -> None:
            if path:
                self._form.choose_dataset(OWN_FOLDER + path)
                self._check_form()

        self.app.push_screen(FolderDialog(), take)

    def _look_around(self) -> None:
        """Datasets that were fetched or imported meanwhile; children that have ended."""
        self._form.show_datasets(list_datasets())
        self._launcher.reap()

    def action_fill_form(self) -> None:
        """Put the open run's settings into the form."""
        if self.snapshot is not None and self.snapshot.config is not None:
            self._take_config(self.snapshot.config)

    def _take_config(self, config: RunConfig) -> None:
        self._document = config.model_dump(mode="json")
        self._form.fill(config, config.name)
        self._check_form()

    # Acting on runs

    @on(Button.Pressed)
    def _button(self, event: Button.Pressed) -> None:
        event.stop()
        {"start": self.action_start, "pause": self.action_pause, "stop": self.action_stop, "save": self.action_save}[
            event.button.id or ""
        ]()

    def action_start(self) -> None:
        """Start what the form says; beside a live run only when that is meant."""
        if self._checked is None:
            self.app.bell()
            return
        if self.snapshot is None or not self.snapshot.status.live:
            self._start("start")
            return
        question = f"{clean(self.snapshot.id)} is still {self.snapshot.status.state}."
        answers = [("start", "Start beside it"), ("", "Cancel")]
        self.app.push_screen(ChoiceDialog("start", question, answers), self._start)

    def _start(self, answer: str | None) -> None:
        if answer != "start" or self._checked is None:
            return
        try:
            run = self._launcher.start(self._checked.config)
        except TuiaeError as error:
            self._say(str(error), "bad")
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
            self._say("no run is live here; r starts one, 1 lists all", "quiet")
            return
        try:
            control.send(RunPaths(self.snapshot.path), command)
        except OSError as error:
            self._say(f"{self.snapshot.id}: {error.strerror}", "bad")
            return
        self._feed.hurry()

    def action_resume(self) -> None:
        """Go on with the open run from its last checkpoint."""
        snapshot = self.snapshot
        if snapshot is None or snapshot.status.live or is_held(RunPaths(snapshot.path)):
            self._say("nothing to go on with: open a stopped run first", "quiet")
        elif snapshot.status.state == "finished":
            self._say(f"it has done its epochs; for more: tuiae resume {snapshot.id} --epochs N", "quiet")
        else:
            self._launcher.work_on(RunPaths(snapshot.path))
            self.open_run(snapshot.path)

    # The open run

    def open_run(self, path: Path) -> None:
        """Watch a run, live or finished: they are the same to a reader."""
        if self._feed is not None:
            self._feed.close()
        self.snapshot = None
        self._shown_sample: Sample | None = None
        for panel in ("#loss", "#accuracy"):
            self.query_one(panel, CurvesPanel).show(())
            self.query_one(panel, CurvesPanel).set_empty(EMPTY)
        self.query_one(ImagesPanel).show([])
        self.query_one(ConfusionPanel).show(np.zeros((0, 0), np.int64), ())
        self.query_one(LogPanel).clear()
        self._logged: tuple[str, ...] = ()
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
        self._show_curves(snapshot)
        self._show_sample(event.sample)
        self._show_log(log_lines(snapshot))
        self._show_controls(snapshot.status.state)
        if before is None or before.status.state != snapshot.status.state:
            self._state_changed(snapshot, before)

    def _state_changed(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        classifier = snapshot.config is not None and snapshot.config.is_classifier
        self.set_class(classifier, "-classifier")
        self.query_one(ViewBar).offer("confusion", classifier)
        self.query_one(ImagesPanel).rename("predictions" if classifier else "reconstructions")
        self.query_one(ImagesPanel).set_empty(snapshot.status.phase or "no pictures in this run")
        if problem := ending(snapshot):
            self._say(problem, "bad")
        if not snapshot.status.live:
            # Only now, so that importing torch does not take its time from the training.
            self._launcher.warm_up()
        elif before is not None and not before.status.live:
            self._check_form()

    def _show_curves(self, snapshot: Snapshot) -> None:
        for metric in ("loss", "accuracy"):
            splits = [snapshot.series.get((split, metric)) for split in ("live", "train", "test")]
            live, train, test = splits
            # Until the first epoch is done the live points are all there is; later they would hide the test curve.
            left = train if train is not None and len(train.values) > 1 else live or train
            empty = np.zeros(0)
            pairs = [(s.epochs, s.values) if s is not None else (empty, empty) for s in (left, test)]
            curves = train_and_test(*zip(*pairs, strict=True))
            self.query_one(f"#{metric}", CurvesPanel).show(curves)

    def _show_sample(self, sample: Sample | None) -> None:
        if sample is None or sample is self._shown_sample:
            return
        self._shown_sample = sample
        note = f"epoch {sample.epoch}" if sample.epoch else "untrained"
        self.query_one(ImagesPanel).show(sample_rows(sample), sample_captions(sample), note)
        if sample.confusion is not None:
            self.query_one(ConfusionPanel).show(sample.confusion, sample.classes)

    def _show_log(self, lines: tuple[str, ...]) -> None:
        if lines == self._logged:
            return
        panel = self.query_one(LogPanel)
        if lines[: len(self._logged)] == self._logged:
            panel.append(lines[len(self._logged) :])
        else:
            panel.clear()
            panel.append(lines)
        self._logged = lines

    def _show_controls(self, state: str) -> None:
        live = state in ("running", "paused", "starting")
        self.query_one("#pause", Button).label = "Go on" if state == "paused" else "Pause"
        for button in ("#pause", "#stop", "#save"):
            self.query_one(button, Button).disabled = not live

    def _show_idle_status(self) -> None:
        if self.snapshot is None and self._feed is None:
            facts = [("run", "none open", ""), ("worker", self._warm, ""), ("start", "r, or the button", "dim")]
            self.query_one("#status", FactsPanel).show(facts)
            for panel in self.query(CurvesPanel):
                panel.set_empty(f"no run open: its {panel.id} shows here")
            self._show_controls("")

    @on(WorkerWarm)
    def _worker_warm(self, event: WorkerWarm) -> None:
        self._warm = f"warm · torch {event.torch}" if event.devices else "will start cold"
        self._show_idle_status()
        if event.devices:
            self._form.show_devices(event.devices)
            self._check_form()

    # The screen

    @on(ViewBar.Chosen)
    def _view_chosen(self, event: ViewBar.Chosen) -> None:
        right = self.query_one("#right")
        for view in VIEWS:
            right.set_class(view == event.view, f"-{view}")

    def action_next_view(self) -> None:
        """The next panel, where there is no room for all."""
        self.query_one(ViewBar).next()

    def action_zoom(self) -> None:
        """The focused panel on the whole screen, or everything again."""
        if self.maximized is not None:
            self.minimize()
        elif isinstance(self.focused, (Panel, LogPanel)):
            self.maximize(self.focused)
        else:
            self.maximize(self.query_one(ZOOMED[self.query_one(ViewBar).view]))

    def action_pictures(self) -> None:
        """Half-block cells, or ASCII."""
        self._draw_ascii(self.query_one(ImagesPanel).mode == "blocks")

    def _draw_ascii(self, wanted: bool) -> None:
        self.query_one(ImagesPanel).mode = "ascii" if wanted else "blocks"
        self.query_one(ConfusionPanel).ascii_only = wanted

    def on_resize(self) -> None:
        if self.snapshot is not None:
            self.query_one("#title", Static).update(title_line(self.snapshot, self.size.width))

    def _say(self, text: str, kind: str) -> None:
        """The line above the keys: what is wrong, or what would start."""
        message = self.query_one("#message", Static)
        message.set_classes(f"-{kind}")
        message.update(Content(clean(text)))


def _readiness(checked: Checked) -> tuple[str, str]:
    info, config = checked.dataset, checked.config
    if checked.warnings:
        return f"r starts, but {checked.warnings[0]}", "caution"
    if not info.ready:
        return f"r starts with a download: {info.name} is not on this machine yet", "caution"
    size = config.data.image_size or (f"{info.shape[1]}x{info.shape[2]}" if info.shape else "their own size")
    images = f"{count(info.train)} + {count(info.test)} images of {size if info.shape else 'their own size'}"
    return f"r starts {config.model.family}, code {config.model.latent}, on {images}", "good"
