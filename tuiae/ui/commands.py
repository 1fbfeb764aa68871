"""The command palette: everything that has a key, on this screen and on the others, found by people's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from textual.app import App
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.widget import Widget

from tuiae.ui.keys import APP, HIDE, NAME, SCREENS, Key, find_key
from tuiae.ui.screens.base import BaseScreen

TITLE, START, ELSEWHERE, ASIDE, ABROAD = 4.0, 2.0, 1.0, 2.5, 3.0
"""Scores: of a word that is found in the title, more where it begins a word there, and of one that is found elsewhere;
then what a command loses that belongs to a panel without the focus, or to another screen."""


@dataclass(frozen=True)
class Command:
    """One thing that can be done."""

    key: Key
    place: str
    """The screen or panel where it is done, as the help calls it; empty for the screen that is shown."""
    do: Callable[[], Any]
    handicap: float = 0.0
    """What its score loses for the place."""

    @property
    def title(self) -> str:
        return f"{self.key.help[:1].upper()}{self.key.help[1:]}"

    @property
    def hint(self) -> str:
        """Where it is done, and with which key."""
        where = f"{self.place} · " if self.place else ""
        return f"{where}key {self.key.printed}"

    def score(self, query: str) -> float:
        """How well what was typed fits; 0 when one of its words is not found."""
        title, others = _plain(self.title), _plain(f"{self.key.name} {self.place} {self.key.also}")
        found = [_found(word, title, others) for word in _plain(query).split()]
        if not found or not all(found):
            return 0.0
        return max(sum(found) / len(found) - self.handicap, 0.1)


def _plain(text: str) -> str:
    """Lower case, without what people may leave out: `t-SNE` is `tsne`."""
    return text.casefold().replace("-", "").replace(",", " ").replace(":", " ")


def _found(word: str, title: str, others: str) -> float:
    scores = [
        place + START * any(one.startswith(word) for one in words.split())
        for words, place in ((title, TITLE), (others, ELSEWHERE))
        if word in words
    ]
    return max(scores, default=0.0)


class Commands(Provider):
    """Offers what can be done on the screen below the palette and, unless a dialog is open, on the others."""

    async def discover(self) -> Hits:
        for command in self._here():
            yield DiscoveryHit(command.title, command.do, help=command.hint)
        for system in self.app.get_system_commands(self.screen):
            yield DiscoveryHit(system.title, system.callback, help=system.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in (*self._here(), *self._on_panels(), *self._elsewhere()):
            if score := command.score(query):
                yield Hit(score, self._highlighted(command.title, query), command.do, help=command.hint)
        for system in self.app.get_system_commands(self.screen):
            if matcher.match(system.title) > 0:
                yield Hit(ELSEWHERE, matcher.highlight(system.title), system.callback, help=system.help)

    def _highlighted(self, title: str, query: str) -> Content:
        """A title with the words that were typed set off."""
        content = Content(title)
        for word in query.casefold().split():
            start = title.casefold().find(word)
            if start >= 0 and self.match_style is not None:
                content = content.stylize(self.match_style, start, start + len(word))
        return content

    def _here(self) -> Iterator[Command]:
        """What has a key on the screen, on the focused panel, and everywhere."""
        for active in self.screen.active_bindings.values():
            key = find_key(active.binding)
            first = key is not None and active.binding.key == key.key.partition(",")[0]
            if key is not None and first and key.help and active.enabled:
                yield Command(key, "", partial(self.app.run_action, key.action, active.node))

    def _on_panels(self) -> Iterator[Command]:
        """What has a key on panels that are in sight without the focus."""
        mode = self.screen.MODE if isinstance(self.screen, BaseScreen) else ""
        for name, keys in SCREENS[mode].panels.items() if mode else ():
            panels = [one for one in self.screen.query("*") if keys[0].binding in one.BINDINGS and one.region.area]
            if panels and not any(panel.has_focus for panel in panels):
                for key in keys:
                    if key.help:
                        yield Command(key, name, partial(_do_on_panel, self.app, panels[0], key.action), ASIDE)

    def _elsewhere(self) -> Iterator[Command]:
        """What has a key on the other screens."""
        if not isinstance(self.screen, BaseScreen):
            return
        offered = {key.help for key in (*APP, *_own_keys(self.screen.MODE))}
        for mode in SCREENS:
            for key in _own_keys(mode):
                if key.help and key.help not in offered and key.afar != HIDE:
                    offered.add(key.help)
                    yield Command(key, f"on {mode.capitalize()}", partial(_do_on_screen, self.app, mode, key), ABROAD)


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
