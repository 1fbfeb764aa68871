"""The keys that count now, in one line; a click on one presses it."""

from __future__ import annotations

from itertools import accumulate, pairwise

from textual.content import Content
from textual.events import Click
from textual.screen import Screen
from textual.widget import Widget

Shown = tuple[str, str, str, bool]
"""A key as Textual knows it, as people do, what it does, and whether it can do it now."""


class KeyLine(Widget):
    """What Textual's Footer shows, drawn as one text: the Footer makes its dozen widgets anew, 30 ms of work, with
    every step of the focus."""

    DEFAULT_CSS = """
        KeyLine {
            dock: bottom;
            width: 1fr;
            height: 1;
            background: $panel;
            text-wrap: nowrap;
            text-overflow: ellipsis;
        }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: tuple[Shown, ...] = ()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if not screen.app.app_focus:
            return  # the keys stay in sight while the terminal has lost the focus
        seen: dict[str, Shown] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.show and binding.action not in seen:
                seen[binding.action] = (
                    binding.key,
                    self.app.get_key_display(binding),
                    binding.description,
                    active.enabled,
                )
        if tuple(seen.values()) != self._keys:
            self._keys = tuple(seen.values())
            self.refresh()

    def render(self) -> Content:
        parts = []
        for _, key, does, enabled in self._keys:
            dim = "" if enabled else " dim"
            parts += [
                (f" {key} ", f"bold $footer-key-foreground{dim}"),
                (f"{does} ", f"$footer-description-foreground{dim}"),
            ]
        return Content.assemble(*parts)

    def on_click(self, event: Click) -> None:
        ends = accumulate((len(f" {key} {does} ") for _, key, does, _ in self._keys), initial=0)
        for (first, end), (key, _, _, enabled) in zip(pairwise(ends), self._keys, strict=True):
            if first <= event.x < end:
                self.app.simulate_key(key) if enabled else self.app.bell()
