"""Small screens that ask for words."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Label, Static, TextArea

from tuiae.errors import TuiaeError
from tuiae.ui.render.text import clean
from tuiae.ui.terminal.dialog import Dialog

Check = Callable[[str], str]
"""The sentence that says what is wrong with an answer; empty when nothing is."""


def complaining(check: Callable[[str], object]) -> Check:
    """What a check that raises says, as a sentence."""

    def problem(text: str) -> str:
        try:
            check(text)
        except TuiaeError as error:
            return clean(str(error), 300)
        return ""

    return problem


class _Ask(Dialog[str | None]):
    """Dismissed with what was written, None when escaped; what cannot be taken is said below it and stays."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", show=False)]
    HINT = ""

    def __init__(self, title: str, question: str, value: str, check: Check) -> None:
        super().__init__()
        self._title, self._question, self._value, self._check = title, question, value, check

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog ask") as dialog:
            dialog.border_title, dialog.border_subtitle = Content(self._title), self.HINT
            yield Label(Content(self._question), classes="question")
            yield from self.compose_answer()
            yield Static(classes="wrong")

    def compose_answer(self) -> ComposeResult:
        """Where one writes."""
        raise NotImplementedError

    def offer(self, text: str) -> None:
        """Take the answer, or say why not."""
        problem = self._check(text)
        if problem:
            self.query_one(".wrong", Static).update(Content(problem))
        else:
            self.dismiss(text)


class LineDialog(_Ask):
    """One line: Enter takes it."""

    HINT = "enter takes it · escape cancels"

    def __init__(self, title: str, question: str, value: str, check: Check, *, goes_on: bool = False) -> None:
        """`goes_on`: what is typed stands behind the value, and not in its place."""
        super().__init__(title, question, f"{value} " if value and goes_on else value, check)
        self._goes_on = goes_on

    def compose_answer(self) -> ComposeResult:
        yield Input(self._value, compact=True, select_on_focus=not self._goes_on)

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        event.stop()
        self.offer(event.value)


class NoteDialog(_Ask):
    """Several lines: Ctrl-S takes them."""

    BINDINGS = [Binding("ctrl+s", "take", "Keep", show=False)]
    HINT = "ctrl+s keeps it · escape cancels"

    def compose_answer(self) -> ComposeResult:
        yield TextArea(self._value, compact=True)

    def action_take(self) -> None:
        """Take what is written."""
        self.offer(self.query_one(TextArea).text)
