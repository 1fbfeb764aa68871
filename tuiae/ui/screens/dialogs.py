"""Small screens that ask something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.widgets import Button, Label

from tuiae.ui.render.preflight import cost_facts
from tuiae.ui.render.text import clean
from tuiae.ui.terminal.dialog import Dialog


class ChoiceDialog(Dialog[str]):
    """A question with a few answers, the first the default; dismissed with the answer, `` when escaped."""

    BINDINGS = [
        Binding("escape", "dismiss('')", "Cancel", show=False),
        Binding("up,left", "app.focus_previous", show=False),
        Binding("down,right", "app.focus_next", show=False),
    ]

    def __init__(self, title: str, question: str, answers: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._question, self._answers = title, question, answers

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "arrows choose · enter takes it · escape cancels"
            yield Label(Content(self._question), classes="question")
            for answer, words in self._answers:
                yield Button(Content(words), id=answer, compact=True)

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id or "")


class CostDialog(Dialog[str]):
    """What a run would cost, as a dry run found; dismissed with `start`, or nothing when escaped."""

    BINDINGS = [Binding("escape", "dismiss('')", "Cancel", show=False)]

    def __init__(self, name: str, cost: Mapping[str, Any]) -> None:
        super().__init__()
        self._run_name, self._cost = name, cost

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog cost") as dialog:
            dialog.border_title = Content(f"what {clean(self._run_name, 40)} costs")
            dialog.border_subtitle = "escape closes"
            facts = cost_facts(self._cost)
            with Grid(classes="facts"):
                for label, words, _ in facts:
                    yield Label(label, classes="label")
                    yield Label(Content(words))
            for warning in self._cost.get("warnings", ()):
                yield Label(Content(clean(warning, 300)), classes="warning")
            yield Button("Start it", id="start", compact=True)

    @on(Button.Pressed)
    def _start(self, event: Button.Pressed) -> None:
        self.dismiss("start")
