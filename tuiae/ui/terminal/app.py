"""An app that knows its terminal and its user: colours, characters and theme, and keys that come in bursts."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from platformdirs import user_config_path, user_state_path
from textual import events
from textual.app import App, ScreenStackError
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.color import Color
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.filter import LineFilter, Monochrome, NoColor
from textual.geometry import Size
from textual.theme import Theme

from tuiae import __version__
from tuiae.files import read_json, replace_json
from tuiae.render.text import clean
from tuiae.ui.screens.dialogs import Palette
from tuiae.ui.terminal.input import BurstKey
from tuiae.ui.terminal.mode import DARK, LIGHT, ON_LIGHT, TerminalMode, choose_theme, filters_for
from tuiae.ui.terminal.screen_diff import SteadyApp, SteadyStylesheet


def settings_file() -> Path:
    """`settings.json` in the user's configuration directory (XDG_CONFIG_HOME): what the dashboard remembers."""
    return Path(user_config_path("tuiae")) / "settings.json"


def failure_log() -> Path:
    """`dashboard.log` in the user's state directory (XDG_STATE_HOME): errors that are tuiae's own."""
    return Path(user_state_path("tuiae")) / "dashboard.log"


MOST_SURVIVED = 100
"""Errors after which the app ends: something fails again and again."""


Setting = TypeVar("Setting", str, int, bool)


def load_setting(path: Path, name: str, otherwise: Setting) -> Setting:
    """What was chosen last, of the kind of `otherwise`; that where nothing was, or the file is missing or broken."""
    found = read_json(path).get(name)
    return found if type(found) is type(otherwise) else otherwise


# Keys one after the other: what is typed after a key that shows a field or a dialog goes there.

LEAVING = ("ctrl+c", "ctrl+q")  # wait for nothing: a key that comes to no end must not keep anybody here
ROUNDS = 2  # the second for what was posted while the first was on its way, such as that a field was submitted


class KeyQueue:
    """Hands events to the app, and holds back what comes behind a key until that key has done all it does.

    Of itself Textual hands every key of a burst to what has the focus as the first of them comes: of `/mnist`, typed
    over a slow line, `mnist` would press five other keys. A key goes through the queue of each widget from the focused
    one up to the app, where its binding shows a field or a dialog, and the focus follows later still. Here a callback
    goes the same way behind the key, again as long as the focus changes. It is waited for as long as it takes: a screen
    that a key shows for the first time may need seconds on a machine that is busy.
    """

    def __init__(self, app: App[Any], deliver: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app, self._deliver = app, deliver
        self._waiting: deque[events.Event] = deque()
        self._follower: asyncio.Task[None] | None = None
        """Follows the key that is on its way."""

    async def take(self, event: events.Event) -> None:
        """Deliver an event, at once or in its turn."""
        if isinstance(event, events.Key) and event.key in LEAVING:
            await self._deliver(event)
            return
        self._waiting.append(event)
        if self._follower is None:
            await self._go_on()

    async def _go_on(self) -> None:
        self._follower = None
        while self._waiting and self._follower is None:
            event, first = self._waiting.popleft(), self._focus
            await self._deliver(event)
            if isinstance(event, events.Key):
                self._follower = asyncio.create_task(self._follow(first))

    @property
    def _focus(self) -> DOMNode:
        """What a key goes to."""
        return self._app.focused or self._app.screen

    async def _follow(self, focus: DOMNode) -> None:
        with suppress(ScreenStackError):  # the app may end meanwhile
            for number in count(1):
                for node in focus.ancestors_with_self:
                    await self._pass(node)
                before, focus = focus, self._focus
                if focus is before and number >= ROUNDS:
                    break
        self._app.call_later(self._go_on)

    async def _pass(self, node: DOMNode) -> None:
        """Wait until a node has done all that came before; one that ends takes along what was on its way through it."""
        passed = asyncio.get_running_loop().create_future()
        if node.call_later(passed.set_result, None):  # else it takes no messages any more
            ends = () if node is self._app else (node.task,)
            await asyncio.wait((passed, *ends), return_when=asyncio.FIRST_COMPLETED)


TRAINING_ACTIONS = ("start", "stop", "resume", "run")
"""What starts or ends a training."""

Result = TypeVar("Result")


class TerminalApp(SteadyApp[Result], Generic[Result]):
    """An app in the colours, characters and theme of its terminal."""

    def __init__(self, mode: TerminalMode, theme: str = "", settings: Path | None = None) -> None:
        """`theme` is dark, light, auto, or empty for the one that was chosen last; that is kept in `settings`.

        Raises:
            ConfigError: there is no such theme.
        """
        super().__init__()
        self.terminal_mode = mode
        self._settings_file = settings or settings_file()
        self.failure_log: Path | None = None
        """Where unexpected errors are noted, after which the app goes on; None ends it with the first."""
        self._survived: list[list[str]] = []
        self._dialog_left = 0.0
        self._key_queue = KeyQueue(self, self._deliver)
        self.pressed = 0.0
        """When a key or a button of the mouse was last pressed, by `time.monotonic`, as Textual times events."""
        self._in_burst = False
        """Whether that key came with others in one read."""
        self._line_filters: tuple[Theme, Sequence[LineFilter]] | None = None
        for ours in (DARK, LIGHT):
            self.register_theme(ours)
        remembered = self.setting("theme", "")
        self.theme = choose_theme(theme, remembered if self.get_theme(remembered) else "", os.environ)
        self.set_class(mode.colors == "none", "-colourless")
        self.stylesheet = SteadyStylesheet(variables=self.get_css_variables())

    def get_key_display(self, binding: Binding) -> str:
        """The key as it is printed; in ASCII Enter by its name: the sign for it would become `<`, which is a key."""
        face = super().get_key_display(binding)
        return binding.key if self.terminal_mode.ascii and not face.isascii() else face

    # Errors

    def survives(self, error: Exception) -> bool:
        """Say that something failed, once for each place, and note the traceback."""
        if self.failure_log is None or not self.is_running or len(self._survived) >= MOST_SURVIVED:
            return False
        lines = traceback.format_exception(error)
        is_new = lines[-2:] not in [known[-2:] for known in self._survived]
        self._survived.append(lines)
        if is_new:
            where = f"the traceback is in {self.failure_log}"
            try:
                self.failure_log.parent.mkdir(parents=True, exist_ok=True)
                with open(self.failure_log, "a", encoding="utf-8") as file:
                    file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} tuiae {__version__}\n{''.join(lines)}\n")
            except OSError as unwritable:
                where = f"its traceback cannot be written to {self.failure_log}: {unwritable.strerror}"
            words = f"{clean(lines[-1], 200)}: this went wrong in tuiae itself; runs go on, and {where}"
            self.notify(words, severity="error", timeout=15, markup=False)
        return True

    # Characters and colours

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, without its greys for NO_COLOR, and those of the terminal's mode in this theme."""
        theme = self.current_theme
        if self._line_filters is None or self._line_filters[0] is not theme:
            under = Color.parse(theme.to_color_system().generate()["background"]).rgb
            self._line_filters = (theme, filters_for(self.terminal_mode, {} if theme.dark else ON_LIGHT, under))
        kept = (one for one in super().get_line_filters() if not isinstance(one, (Monochrome, NoColor)))
        return [*kept, *self._line_filters[1]]

    def remember_theme(self) -> None:
        """From now on a theme that is chosen is the one of the next time as well."""
        self.theme_changed_signal.subscribe(self, lambda theme: self.remember(theme=theme.name))

    def setting(self, name: str, otherwise: Setting) -> Setting:
        """What was chosen last in any dashboard of this user."""
        return load_setting(self._settings_file, name, otherwise)

    def remember(self, **chosen: str | int) -> None:
        """Keep what was chosen for the next time."""
        try:
            self._settings_file.parent.mkdir(parents=True, exist_ok=True)
            replace_json(self._settings_file, read_json(self._settings_file) | chosen)
        except OSError as error:
            words = f"{', '.join(chosen)}: not remembered, {error.strerror}"
            self.notify(words, severity="warning", markup=False)

    def action_other_theme(self) -> None:
        """Dark, or light."""
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name

    # Dialogs

    def action_command_palette(self) -> None:
        """Textual's, which is closed once."""
        if self.use_command_palette and not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette(id="--command-palette"))

    async def action_quit(self) -> None:
        """Ctrl-Q: as Ctrl-C, where Textual would leave at once."""
        self.action_help_quit()

    def pop_screen(self) -> AwaitComplete:
        """Textual's; when it was is remembered."""
        self._dialog_left = time.monotonic()
        return super().pop_screen()

    # Events

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Resize):
            if not self.is_headless:
                # A signal comes within the handling of another: who read the size first may tell it last.
                event.size = event.virtual_size = Size(*shutil.get_terminal_size())
            # Between two sizes a terminal loses lines or gains blank ones, also when it ends as it was.
            self.action_redraw()
        if isinstance(event, (events.InputEvent, events.Paste)):
            await (self._deliver(event) if event.is_forwarded else self._key_queue.take(event))
        else:
            await super().on_event(event)

    async def _deliver(self, event: events.Event) -> None:
        if event.time < self._dialog_left:
            return  # of the same burst as what ended the dialog, and not meant for the screen below it
        if isinstance(event, (events.Key, events.MouseDown)):
            self.pressed, self._in_burst = event.time, isinstance(event, BurstKey)
        with suppress(ScreenStackError):  # the app may end while a widget holds a key back
            await super().on_event(event)

    async def run_action(
        self,
        action: str | tuple[str, str, tuple[object, ...]],
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Textual's; a letter that came with others, and may belong to some text, starts and ends no training."""
        if self._in_burst and action in TRAINING_ACTIONS:
            self.notify(f"{action}: its key came together with others, press it alone", markup=False)
            return True
        return await super().run_action(action, default_namespace, namespaces)
