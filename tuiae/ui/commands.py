"""What the command palette offers: everything that has a key, on this screen and on the others, by people's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from textual.app import App
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tuiae.ui.keys import APP, Key, find_key, shown
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.screens.help import OWN, PANELS

ALSO: Mapping[str, str] = {
    "start": "run train begin launch new",
    "check": "preflight cost dry try estimate memory parameters time",
    "auto_pause": "automatic divergence overfitting watch",
    "fill_form": "copy settings config",
    "save_preset": "save settings config form",
    "copy_command": "command line cli clipboard shell",
    "pause": "hold continue wait",
    "stop": "end cancel quit kill abort",
    "save": "checkpoint weights store",
    "edit": "learning rate lr noise level beta dropout epochs hot set settings parameters",
    "fork": "branch clone from checkpoint with other settings",
    "resume": "continue restart again",
    "next_view": "tab switch layout",
    "zoom": "zoom maximise maximize full screen fullscreen enlarge",
    "next_metric": "accuracy loss kl error curve plot",
    "look('smoothing')": "smooth ema average curve plot",
    "look('log_scale')": "log scale y axis curve plot",
    "look('split')": "apart together overlay validation curve plot",
    "machine": "gpu cpu ram hardware device usage",
    "errors": "difference residual pictures images",
    "normalise": "normalise normalize percent rows matrix",
    "pictures": "half blocks characters images",
    "sample(-1)": "scrub timeline back previous epoch history",
    "sample(1)": "scrub timeline forward next epoch history",
    "first_sample": "scrub timeline beginning epoch history",
    "newest_sample": "scrub timeline live now epoch history",
    "find": "search filter query",
    "app.find_run": "search filter query",
    "compare": "overlay beside diff",
    "rename": "rename label title",
    "tags": "label group",
    "note": "comment remember",
    "pin": "favourite favorite star top",
    "delete": "remove erase trash",
    "copy": "command line cli clipboard shell reproduce",
    "plane": "pca t-sne tsne projection principal components map",
    "mark": "interpolation interpolate between points morph",
    "prior": "generate sample random vae",
    "decode_plane": "manifold grid vae generate",
    "next_class": "filter label digit",
    "again": "retry reload refresh weights",
    "test(1)": "digit picture next",
    "random_test": "random digit picture",
    "jump": "go index digit picture",
    "kind": "corruption gaussian salt pepper mask",
    "level(1)": "corruption stronger",
    "level(-1)": "corruption weaker",
    "draw_noise": "corruption seed random",
    "tool('clear')": "erase empty draw new",
    "tool('eraser')": "draw pen rubber",
    "tool('brush')": "draw pen thick thin",
    "tool('invert')": "negative colours colors",
    "worst": "error hardest mistakes",
    "next_setting": "sweep hyperparameter key",
    "run": "reproduce train start paper",
    "ask_quit": "quit exit close bye detach",
    "help": "keys shortcuts bindings manual",
    "other_theme": "theme colours colors light dark mode",
    "redraw": "refresh repaint screen",
    "zoom_x(0.5)": "zoom in closer plot",
    "zoom_x(2)": "zoom out plot",
    "zoom_all": "zoom reset whole plot",
    "move(-1)": "read value point plot",
    "choose_cell": "mistakes pictures drill",
    "show('live')": "training dashboard curves form",
    "show('latent')": "latent space codes map pca t-sne",
    "show('bench')": "draw digit noise canvas play",
    "show('works')": "papers reproduce claims verdicts",
    "show('compare')": "overlay diff sweep",
    "show('runs')": "list table history experiments",
}
"""Action -> words that people look for it by, beside those of its key in the footer and in the help."""
HERE_ONLY = ("back", "next_view", "zoom", "pictures", "again")
"""Actions about what shows: on other screens they mean nothing yet."""
ROWS = ("runs", "works")
"""Screens whose keys act on a row."""
FORM = ("start", "save_preset", "copy_command")
"""Actions on the form."""
WHOLE = ("find", "compare", "sort", "reverse")
"""Actions on the whole list."""
WIDGETS = {
    "on curves": "CurvesPanel",
    "on the confusion matrix": "ConfusionPanel",
    "on the canvas": "CanvasPanel",
    "on the noise": "Slider",
    "on the strip of pictures": "StripPanel",
}
"""What the help calls a panel -> its widget."""
TITLE, START, ELSEWHERE, ASIDE, ABROAD = 4.0, 2.0, 1.0, 2.5, 3.0
"""What a word counts that is found in the title, that begins a word, or is one of the others; and what a command loses
that is of a panel without the focus, or of another screen."""


@dataclass(frozen=True)
class Command:
    """One thing that can be done, and how well it answers to words."""

    key: Key
    place: str
    """The screen or panel where it is done, as people know it; empty for the one that is shown."""
    do: Callable[[], Any]

    @property
    def title(self) -> str:
        return f"{self.key.help[:1].upper()}{self.key.help[1:]}"

    @property
    def hint(self) -> str:
        """Where it is done, and with which key."""
        where = f"{self.place} · " if self.place else ""
        return f"{where}key {self.key.face or shown(self.key.key)}"

    def score(self, query: str) -> float:
        """How well what was typed means this; 0 when a word of it is not found."""
        title, others = _plain(self.title), _plain(f"{self.key.name} {self.place} {ALSO.get(self.key.action, '')}")
        found = [_found(word, title, others) for word in _plain(query).split()]
        if not found or not all(found):
            return 0.0
        lost = ASIDE if self.place in WIDGETS else ABROAD if self.place else 0.0
        return max(sum(found) / len(found) - lost, 0.1)


def _plain(text: str) -> str:
    """In one case, and without what is typed or left out: `t-SNE` is `tsne`."""
    return text.casefold().replace("-", "").replace(",", " ").replace(":", " ")


def _found(word: str, title: str, others: str) -> float:
    scores = [
        place + START * any(one.startswith(word) for one in words.split())
        for words, place in ((title, TITLE), (others, ELSEWHERE))
        if word in words
    ]
    return max(scores, default=0.0)


class Commands(Provider):
    """Of the screen below the palette; of the others as well, unless a question stands on top."""

    async def discover(self) -> Hits:
        for command in self._here():
            yield DiscoveryHit(command.title, command.do, help=command.hint)
        for words in self.app.get_system_commands(self.screen):
            yield DiscoveryHit(words.title, words.callback, help=words.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in (*self._here(), *self._panels(), *self._elsewhere()):
            if score := command.score(query):
                yield Hit(score, self._lit(command.title, query), command.do, help=command.hint)
        for words in self.app.get_system_commands(self.screen):
            if matcher.match(words.title) > 0:
                yield Hit(ELSEWHERE, matcher.highlight(words.title), words.callback, help=words.help)

    def _lit(self, title: str, query: str) -> Content:
        """A title, what was typed set off in it."""
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

    def _panels(self) -> Iterator[Command]:
        """What has a key on panels that show and have no focus."""
        mode = self.screen.MODE if isinstance(self.screen, BaseScreen) else ""
        for name, keys in PANELS.get(mode, ()):
            panels = [panel for panel in self.screen.query(WIDGETS[name]) if panel.region.area]
            if not panels or any(panel.has_focus for panel in panels):
                continue
            for key in keys:
                if key.help:
                    yield Command(key, name, partial(_on_panel, self.app, panels[0], key.action))

    def _elsewhere(self) -> Iterator[Command]:
        """What has a key on the other screens."""
        if not isinstance(self.screen, BaseScreen):
            return
        said = {key.help for key in (*APP, *_keys_of(self.screen.MODE))}
        for mode in OWN:
            for key in _keys_of(mode):
                if key.help and key.help not in said and not key.action.startswith((*HERE_ONLY, "move(")):
                    said.add(key.help)
                    yield Command(key, f"on {mode.capitalize()}", partial(_on_screen, self.app, mode, key))


def _keys_of(mode: str) -> Iterator[Key]:
    return (key for _, keys in OWN[mode] for key in keys)


async def _on_panel(app: App[Any], panel: Any, action: str) -> None:
    panel.focus()
    await app.run_action(action, panel)


async def _on_screen(app: App[Any], mode: str, key: Key) -> None:
    """Go to a screen and do it there; of what is done to a row or the form only say the key: one has to see which."""
    await app.switch_mode(mode)
    screen = app.screen_stack[0]
    assert isinstance(screen, BaseScreen)
    if (mode in ROWS and key.action not in WHOLE) or key.action in FORM:
        screen.message.insist(f"{shown(key.key)} here: {key.help}", "quiet")
    else:
        await app.run_action(key.action, screen)
