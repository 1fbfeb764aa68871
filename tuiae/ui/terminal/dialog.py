"""Dialogs that are answered once, whatever else was pressed in the same burst."""

from __future__ import annotations

from typing import Any, TypeVar

from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.screen import ModalScreen, Screen

Answer = TypeVar("Answer")


def in_front(screen: Screen[Any]) -> bool:
    """Whether nothing stands before it, and it has not gone."""
    return screen.app.screen_stack[-1:] == [screen]


class Dialog(ModalScreen[Answer]):
    """A screen that asks something; the first answer counts, and one that comes while it is not in front does not.

    Keys and clicks wait in the queues of widgets, so that a second Enter can reach a dialog that has gone already; of
    itself Textual would then take the screen below away.
    """

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Answer, unless that was done before."""
        return super().dismiss(result) if in_front(self) else AwaitComplete()


class Palette(CommandPalette):
    """Textual's: a click beside it and an Escape close it once."""

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Close it, unless that was done before."""
        return super().dismiss(result) if in_front(self) else AwaitComplete()
