"""Keys one after the other: what is typed after a key that shows a field or a dialog goes there."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.message_pump import MessagePump

PATIENCE_SECONDS = 2.0  # a widget that goes takes along what was on its way through it: keys go on without an answer
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
        self._under_way: events.Event | None = None

    async def take(self, event: events.Event) -> None:
        """Deliver it, at once or in its turn."""
        if self._under_way is None:
            await self._give(event)
            return
        self._waiting.append(event)
        if event.time - self._under_way.time > PATIENCE_SECONDS:
            await self._go_on()

    async def _give(self, event: events.Event) -> None:
        first = self._focus
        await self._deliver(event)
        if isinstance(event, events.Key):
            self._under_way = event
            self._follow(event, first, 1)

    async def _go_on(self) -> None:
        self._under_way = None
        while self._waiting and self._under_way is None:
            await self._give(self._waiting.popleft())

    @property
    def _focus(self) -> DOMNode:
        """What a key goes to."""
        return self._app.focused or self._app.screen

    def _follow(self, key: events.Event, first: DOMNode, turn: int) -> None:
        way = [node for node in first.ancestors_with_self if node is not self._app]
        self._pass(way, lambda: self._arrived(key, first, turn))

    def _pass(self, way: Sequence[MessagePump], arrive: Callable[[], Awaitable[None]]) -> None:
        """To the next that still takes messages, and at last to the app."""
        for place, pump in enumerate(way):
            if pump.call_later(self._pass, way[place + 1 :], arrive):
                return
        self._app.call_later(arrive)

    async def _arrived(self, key: events.Event, first: DOMNode, turn: int) -> None:
        if key is not self._under_way:
            return  # it took too long
        now = self._focus
        if now is not first or turn < ROUNDS:
            self._follow(key, now, turn + 1)
        else:
            await self._go_on()
