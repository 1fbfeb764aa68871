"""An app that knows its terminal: how it draws there, in which theme, and that it sends no more than what changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import RenderableType
from textual import events
from textual._compositor import CompositorUpdate
from textual._time import get_time
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.color import Color
from textual.command import CommandPalette
from textual.filter import LineFilter, Monochrome, NoColor
from textual.screen import Screen
from textual.theme import Theme
from textual.widget import AwaitMount

from tuiae.ui.settings import Settings, load_settings, save_settings, settings_file
from tuiae.ui.terminal.dialog import Palette
from tuiae.ui.terminal.filters import filters_for
from tuiae.ui.terminal.garbage import IdleCollector
from tuiae.ui.terminal.mode import TerminalMode
from tuiae.ui.terminal.styles import SteadyStylesheet
from tuiae.ui.terminal.themes import DARK, LIGHT, choose_theme, drawn_colours
from tuiae.ui.terminal.turns import Turns
from tuiae.ui.terminal.wire import Differences, Wire

Result = TypeVar("Result")


class TerminalApp(App[Result], Generic[Result]):
    """What `App` is, on any terminal."""

    def __init__(self, mode: TerminalMode, theme: str = "", settings: Path | None = None) -> None:
        """`theme` is dark, light, auto, or empty for the one that was chosen last; that is kept in `settings`.

        Raises:
            ConfigError: there is no such theme.
        """
        super().__init__()
        self.terminal_mode = mode
        self._wire = Wire()
        self._settings_file = settings or settings_file()
        self._comes_back = False
        self._dialog_left = 0.0
        self._turns = Turns(self, self._obey)
        self.pressed = 0.0
        """When a key or a button of the mouse was last pressed, in Textual's clock."""
        self.garbage = IdleCollector(self)
        self._line_filters: tuple[Theme, Sequence[LineFilter]] | None = None
        for ours in (DARK, LIGHT):
            self.register_theme(ours)
        remembered = load_settings(self._settings_file).theme
        self.theme = choose_theme(theme, remembered if self.get_theme(remembered) else "", os.environ)
        self.set_class(mode.colors == "none", "-colourless")
        self._steady = self.stylesheet = SteadyStylesheet(variables=self.get_css_variables())

    # Styles

    def _invalidate_css(self) -> None:
        if self._running and not self._steady.has_variables(self.get_css_variables()):
            super()._invalidate_css()

    def refresh_css(self, animate: bool = True) -> None:
        """Textual's, where there is a reason: it also asks for it as the app begins, before anything has changed."""
        screen_is_styled = self._screen_stack and self.screen._css_update_count == self._css_update_count
        if not (screen_is_styled and self._steady.has_variables(self.get_css_variables())):
            super().refresh_css(animate)

    # Characters and colours

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, without its greys for NO_COLOR, and those of the terminal's mode in this theme."""
        theme = self.current_theme
        if self._line_filters is None or self._line_filters[0] is not theme:
            under = Color.parse(theme.to_color_system().generate()["background"]).rgb
            self._line_filters = (theme, filters_for(self.terminal_mode, drawn_colours(theme.dark), under))
        kept = (one for one in super().get_line_filters() if not isinstance(one, (Monochrome, NoColor)))
        return [*kept, *self._line_filters[1]]

    def remember_theme(self) -> None:
        """From now on a theme that is chosen is the one of the next time as well."""
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme.name))

    def _keep_theme(self, name: str) -> None:
        try:
            save_settings(Settings(theme=name), self._settings_file)
        except OSError as error:
            self.notify(f"the theme is not remembered: {error.strerror}", severity="warning", markup=False)

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
        self._dialog_left = get_time()
        return super().pop_screen()

    # What is sent

    def switch_mode(self, mode: str) -> AwaitMount:
        self._comes_back = mode in self._screen_stacks
        return super().switch_mode(mode)

    def delay_update(self, delay: float = 0.05) -> None:
        """Textual's, which keeps the old screen for as long when the mode changes; a screen that has been shown before
        is ready at once."""
        if not self._comes_back:
            super().delay_update(delay)

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if isinstance(renderable, CompositorUpdate) and self._writes:
            written = self._wire.difference(renderable, screen.outer_size)
            if written == "":
                self.post_display_hook()
                return
            renderable = renderable if written is None else Differences(written)
        super()._display(screen, renderable)

    @property
    def _writes(self) -> bool:
        """Whether an update goes to the terminal now."""
        return (
            self._running
            and not self._closed
            and not self._batch_count
            and not self.is_headless
            and not self.is_inline
            and self._driver is not None
        )

    def action_redraw(self) -> None:
        """Everything once more: something else has written on the terminal."""
        self._wire.forget()
        self.screen.refresh()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Resize):
            # Between two sizes a terminal loses lines or gains blank ones, also when it ends as it was.
            self.action_redraw()
        if isinstance(event, (events.InputEvent, events.Paste)):
            await (self._obey(event) if event.is_forwarded else self._turns.take(event))
        else:
            await super().on_event(event)

    async def _obey(self, event: events.Event) -> None:
        if event.time < self._dialog_left:
            return  # of the same burst as what ended the dialog, and not meant for the screen below it
        if isinstance(event, (events.Key, events.MouseDown)):
            self.pressed = event.time
            self.garbage.pressed()
        await super().on_event(event)

    def _resume_signal(self) -> None:
        self._wire.forget()
        super()._resume_signal()
