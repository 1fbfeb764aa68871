"""The form that knows where its settings come from, and says as one types whether they can run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual import on, work
from textual.message import Message
from textual.widgets import Button

from tuiae.config import RunConfig
from tuiae.errors import TuiaeError
from tuiae.preflight import Checked
from tuiae.preset_files import DEFAULT
from tuiae.runs.layout import LIVE_STATES
from tuiae.ui.draft import Draft, offered_datasets, readiness
from tuiae.ui.render.text import count
from tuiae.ui.terminal.mode import mode_of
from tuiae.ui.widgets.form import ConfigForm


class ConfigPanel(ConfigForm):
    """A draft, its fields, and a check of both in a thread after every change."""

    class Verdict(Message):
        """What Start would do, or why it can do nothing."""

        def __init__(self, text: str, kind: str) -> None:
            super().__init__()
            self.text = text
            self.kind = kind

    class Broken(Message):
        """A preset cannot be read; the form stays as it was."""

        def __init__(self, problem: str) -> None:
            super().__init__()
            self.problem = problem

    class _Ready(Message):
        """A check ended."""

        def __init__(self, number: int, checked: Checked | None, problem: str) -> None:
            super().__init__()
            self.number, self.checked, self.problem = number, checked, problem

    def __init__(self, draft: Draft, devices: Callable[[], list[str] | None]) -> None:
        super().__init__(draft.presets, offered_datasets())
        self._draft = draft
        self._known_devices = devices
        self._checks = 0
        self._asked: dict[str, Any] = {}
        self._found: tuple[dict[str, Any], Checked | None] = {}, None
        """What the fields said at the last check that ended, and what it found."""

    def on_mount(self) -> None:
        self.load_preset(DEFAULT)

    def load_preset(self, name: str) -> None:
        """Begin anew from a preset."""
        try:
            config = self._draft.load_preset(name)
        except TuiaeError as error:
            self.keep_preset()
            self.post_message(self.Broken(str(error)))
            return
        self.fill(config, name)
        self.post_message(self.Edited())

    def take(self, config: RunConfig, path: Path) -> None:
        """Begin anew from the config of a run, whose file lies at `path`."""
        self._draft.take(config, path)
        self.fill(config, config.name)
        self.post_message(self.Edited())

    def fill(self, config: RunConfig, preset: str = "") -> None:
        self._found = {}, None  # the same fields may stand on other settings now
        super().fill(config, preset)

    def show_controls(self, state: str) -> None:
        """Let those buttons be pressed that a run in this state takes; without colours the others are in brackets."""
        live, bare = state in LIVE_STATES, mode_of(self.app).colors == "none"
        words = {"pause": "Go on" if state == "paused" else "Pause", "stop": "Stop", "save": "Save"}
        for name, word in words.items():
            button = self.query_one(f"#{name}", Button)
            button.disabled = not live
            button.label = f"({word})" if bare and not live else word
            button.styles.line_pad = int(not bare or live)  # or the brackets have no room

    @property
    def checked(self) -> Checked | None:
        """What was found of the fields as they are; None where they cannot run, or were not checked yet."""
        asked, found = self._found
        return found if asked == self.overrides else None

    def check_now(self) -> Checked | None:
        """The config that the fields ask for at this moment, if it can run."""
        return self._draft.check(self.overrides, self._known_devices())[0]

    def command(self) -> str:
        """The `tuiae run` line that does what the fields say.

        Raises:
            ConfigError: they say nothing that can run.
        """
        return self._draft.command(self.overrides)

    def save_preset(self, name: str) -> str:
        """Keep what the fields say as a preset, choose it, and say what it is called.

        Raises:
            ConfigError: the fields or the name will not do.
        """
        preset = self._draft.save(self.overrides, name)
        self.offer_presets(self._draft.presets, preset.name)
        self._found = {}, None  # what was found has the name of the preset before
        self.recheck()
        return preset.name

    @on(ConfigForm.PresetChosen)
    def _load_chosen(self, event: ConfigForm.PresetChosen) -> None:
        event.stop()
        self.load_preset(event.name)

    @on(ConfigForm.Edited)
    def recheck(self) -> None:
        """Check again: a field was edited, or what there is to train on or with is not what it was."""
        self._checks += 1
        self._asked = self.overrides
        self._check(self._checks, self._asked)

    @work(thread=True, exclusive=True, group="check")
    def _check(self, number: int, overrides: dict[str, Any]) -> None:
        """Check in a thread: a folder of pictures may take its time to look through."""
        self.post_message(self._Ready(number, *self._draft.check(overrides, self._known_devices())))

    @on(_Ready)
    def _checked(self, event: _Ready) -> None:
        event.stop()
        if event.number != self._checks:
            return  # it was edited meanwhile
        self._found = self._asked, event.checked
        self.query_one("#start", Button).disabled = event.checked is None
        if event.checked is None:
            self.border_subtitle = "cannot start"
            self.post_message(self.Verdict(event.problem, "bad"))
            return
        parameters = event.checked.parameters
        self.border_subtitle = " · ".join(
            [f"{count(parameters)} parameters"] * (parameters is not None) + ["pauses itself"] * self.auto_pause
        )
        self.post_message(self.Verdict(*readiness(event.checked)))
