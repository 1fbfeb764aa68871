"""The keys that count now, in one line; a click on one presses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate, pairwise

from textual.app import App
from textual.binding import Binding
from textual.content import Content
from textual.dom import DOMNode
from textual.events import Click
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tuiae.ui.keys import KEPT, NEEDED, Key, find_key, shown
from tuiae.ui.render.key_line import ShownKey, fit_keys

ALWAYS, USUAL, PANEL, SCREEN, LATER = range(5)
"""Ranks: keys that are never left out, those of the screen and the first ones of the focused panel, then where there is
room the panel's others, the screen's, and the rest."""


class KeyLine(Widget):
    """What Textual's Footer shows, drawn as one text: the Footer makes its dozen widgets anew, 30 ms of work, with
    every step of the focus. It has as many keys as there is room for."""

    DEFAULT_CSS = """
        KeyLine {
            dock: bottom;
            width: 1fr;
            height: 1;
            background: $panel;
            text-wrap: nowrap;
        }
    """

    def __init__(self, counts: Callable[[str], bool]) -> None:
        """`counts` says of an action whether it does something now."""
        super().__init__()
        self._counts = counts
        self._keys: tuple[ShownKey, ...] = ()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if not screen.app.app_focus:
            return  # the keys stay in sight while the terminal has lost the focus
        seen: dict[str, tuple[int, ShownKey]] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.action == "submit" and isinstance(screen.focused, Input):
                done = ShownKey(binding.key, self.app.get_key_display(binding), "Done", rank=USUAL)
                seen[binding.action] = 0, done
            elif binding.show and binding.action not in seen and self._works_now(binding):
                rank = _rank(find_key(binding), active.node)
                face = self.app.get_key_display(binding)
                named = ShownKey(binding.key, face, binding.description, active.enabled, rank)
                placed = _place(binding.action, rank, active.node), named
                seen[binding.action] = _way_back(named) if _leads_back(screen, binding.action) else placed
        keys = tuple(named for _, named in sorted(seen.values(), key=lambda placed: placed[0]))
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def _works_now(self, binding: Binding) -> bool:
        """Whether a key does something now, and is not typed where the focus is."""
        focused = self.screen.focused
        # Textual asks the same, but knows the characters of some keys by other names than the keys have.
        face = shown(binding.key)
        typed = focused is not None and len(face) == 1 and focused.check_consume_key(binding.key, face)
        return not typed and self._counts(binding.action)

    @property
    def shown(self) -> tuple[ShownKey, ...]:
        """The keys that there is room for."""
        return fit_keys(self._keys, self.size.width)

    def render(self) -> Content:
        parts = []
        for key in self.shown:
            dim = "" if key.enabled else " dim"
            face, does = key.parts
            parts += [
                (face, f"bold $footer-key-foreground{dim}"),
                (does, f"$footer-description-foreground{dim}"),
            ]
        return Content.assemble(*parts)

    def on_click(self, event: Click) -> None:
        shown = self.shown
        ends = accumulate((key.width for key in shown), initial=0)
        for (first, end), key in zip(pairwise(ends), shown, strict=True):
            if first <= event.x < end:
                self.app.simulate_key(key.key) if key.enabled else self.app.bell()


def _rank(key: Key | None, node: DOMNode) -> int:
    """How soon a key is left out; one that is not of the table of keys is a usual one."""
    if key is None or key.label:
        return ALWAYS if key is not None and key.action in (*KEPT, *NEEDED) else USUAL
    if key.later or isinstance(node, App):
        return LATER
    return SCREEN if isinstance(node, Screen) else PANEL


def _place(action: str, rank: int, node: DOMNode) -> int:
    """Where in the line a key stands: those that come and go with the room in the middle, so that others keep their
    places."""
    if action in KEPT:
        return 2
    return int(isinstance(node, App) or rank not in (ALWAYS, USUAL, PANEL))


def _leads_back(screen: Screen[object], action: str) -> bool:
    """Whether this is how one panel that is alone makes room for the others again."""
    return action == "zoom" and screen.maximized is not None


def _way_back(shown: ShownKey) -> tuple[int, ShownKey]:
    """The key that led to one panel, before all others."""
    return -1, replace(shown, does="Back", rank=ALWAYS)
