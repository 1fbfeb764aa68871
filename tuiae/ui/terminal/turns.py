"""Keys one after the other: what is typed after a key that shows a field or a dialog goes there."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.message_pump import MessagePump

ROUNDS = 2  # the second for what was posted while the first was on its way, such as that a field was submitted


class Turns:
    """Hands events to the app, and holds back what comes behind a key until that key has done all it does.

    A key goes through the queue of each widget from the focused one up to the app, where its binding shows a field or
    a dialog, and the focus follows later still. Of itself Textual hands every key of a burst to what has the focus as
    the first of them comes. Here a callback goes the same way behind the key, again as long as the focus changes.
    """

    def __init__(self, app: App[Any], deliver: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app, self._deliver = app, deliver
        self._waiting: deque[events.Event] = deque()
        self._under_way = False

    async def take(self, event: events.Event) -> None:
        """Deliver it, at once or in its turn."""
        if self._under_way:
            self._waiting.append(event)
            return
        first = self._focus
        await self._deliver(event)
        if isinstance(event, events.Key):
            self._under_way = True
            self._follow(first, 1)

    @property
    def _focus(self) -> DOMNode:
        """What a key goes to."""
        return self._app.focused or self._app.screen

    def _follow(self, first: DOMNode, turn: int) -> None:
        way = [node for node in first.ancestors_with_self if node is not self._app]
        self._pass(way, lambda: self._arrived(first, turn))

    def _pass(self, way: Sequence[MessagePump], arrive: Callable[[], Awaitable[None]]) -> None:
        """To the next that still takes messages, and at last to the app."""
        for place, pump in enumerate(way):
            if pump.call_later(self._pass, way[place + 1 :], arrive):
                return
        self._app.call_later(arrive)

    async def _arrived(self, first: DOMNode, turn: int) -> None:
        now = self._focus
        if now is not first or turn < ROUNDS:
            self._follow(now, turn + 1)
            return
        self._under_way = False
        while self._waiting and not self._under_way:
            await self.take(self._waiting.popleft())
