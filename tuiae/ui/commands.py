"""The command palette: everything that has a key, on this screen and on the others, found by people's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from textual.app import App
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.widget import Widget

from tuiae.ui.keys import APP, HIDE, NAME, SCREENS, Key, find_key
from tuiae.ui.screens.base import BaseScreen

ON_PANEL, ABROAD = 0.8, 0.7
"""Weights of what belongs to a panel without the focus, and to another screen."""


@dataclass(frozen=True)
class PaletteCommand:
    """One thing that can be done."""

    title: str
    hint: str
    """Where it is done, and with which key."""
    do: Callable[[], Any]
    also: str = ""
    """Other words that it is found by."""
    weight: float = 1.0
    """What its score is multiplied by."""


def command_of(key: Key, do: Callable[[], Any], place: str = "", weight: float = 1.0) -> PaletteCommand:
    """What a key does at a place: a screen or panel as the help calls it, empty for the screen that is shown."""
    hint = f"{place} · key {key.printed}" if place else f"key {key.printed}"
    return PaletteCommand(f"{key.help[:1].upper()}{key.help[1:]}", hint, do, f"{key.name} {place} {key.also}", weight)


class Commands(Provider):
    """Offers what can be done on the screen below the palette and, unless a dialog is open, on the others."""

    async def discover(self) -> Hits:
        for command in self._here():
            yield DiscoveryHit(command.title, command.do, help=command.hint)

    async def search(self, query: str) -> Hits:
        """What all words of a query are found in, in whatever order they come."""
        whole, words = self.matcher(query), query.casefold().split()
        for command in chain(self._here(), self._on_panels(), self._elsewhere()):
            text = f"{command.title} {command.also}".casefold()
            # Textual's matcher takes scattered letters for a word as well: every second command has those of `theme`.
            if all(word in text for word in words):
                score = command.weight * sum(self.matcher(word).match(text) for word in words)
                yield Hit(score, whole.highlight(command.title), command.do, help=command.hint)

    def _here(self) -> Iterator[PaletteCommand]:
        """What has a key on the screen, on the focused panel, and everywhere; and of Textual's what has none."""
        for active in self.screen.active_bindings.values():
            key = find_key(active.binding)
            if key is not None and active.enabled and active.binding.key == key.key.partition(",")[0]:
                yield command_of(key, partial(self.app.run_action, key.action, active.node))
        for system in self.app.get_system_commands(self.screen):
            yield PaletteCommand(system.title, system.help, system.callback)

    def _on_panels(self) -> Iterator[PaletteCommand]:
        """What has a key on panels that are in sight without the focus."""
        mode = self.screen.MODE if isinstance(self.screen, BaseScreen) else ""
        for name, keys in SCREENS[mode].panels.items() if mode else ():
            panels = [one for one in self.screen.query("*") if keys[0].binding in one.BINDINGS and one.region.area]
            if panels and not any(panel.has_focus for panel in panels):
                for key in keys:
                    yield command_of(key, partial(_do_on_panel, self.app, panels[0], key.action), name, ON_PANEL)

    def _elsewhere(self) -> Iterator[PaletteCommand]:
        """What has a key on the other screens."""
        if not isinstance(self.screen, BaseScreen):
            return
        offered = {key.help for key in (*APP, *_own_keys(self.screen.MODE))}
        for mode in SCREENS:
            for key in _own_keys(mode):
                if key.help not in offered and key.afar != HIDE:
                    offered.add(key.help)
                    do = partial(_do_on_screen, self.app, mode, key)
                    yield command_of(key, do, f"on {mode.capitalize()}", ABROAD)


def _own_keys(mode: str) -> Iterator[Key]:
    return chain.from_iterable(SCREENS[mode].own.values())


async def _do_on_panel(app: App[Any], panel: Widget, action: str) -> None:
    panel.focus()
    await app.run_action(action, panel)


async def _do_on_screen(app: App[Any], mode: str, key: Key) -> None:
    """Go to a screen and press a key there, or only name it."""
    await app.switch_mode(mode)
    screen = app.screen_stack[0]
    assert isinstance(screen, BaseScreen)
    if key.afar == NAME:
        screen.message.tell(f"{key.printed} here: {key.help}")
    else:
        await app.run_action(key.action, screen)
