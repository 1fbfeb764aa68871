"""Small screens that ask something, or say which key does what."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from tuiae.ui.keys import APP, ELSEWHERE, LIVE, RUNS


class ChoiceDialog(ModalScreen[str]):
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
            yield Label(Content(self._question), classes="question")
            for answer, words in self._answers:
                yield Button(Content(words), id=answer, compact=True)

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id or "")


class FolderDialog(ModalScreen[str]):
    """Asks for a folder of pictures; dismissed with its path, `` when escaped."""

    BINDINGS = [Binding("escape", "dismiss('')", "Cancel", show=False)]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "folder of pictures"
            yield Label("One sub-folder a class. Enter takes it, escape goes back.", classes="question")
            yield Input(placeholder="~/pictures")

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())


class HelpDialog(ModalScreen[None]):
    """Which key does what."""

    BINDINGS = [Binding("escape,question_mark,q,enter", "dismiss", "Close", show=False)]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "keys"
            dialog.border_subtitle = "escape closes"
            yield Static(self._text())

    def _text(self) -> Text:
        text = Text(no_wrap=True)
        groups = (("this run", LIVE), ("runs list", RUNS), ("everywhere", APP))
        rows = [(name, [(_shown(key.key), key.help) for key in keys]) for name, keys in groups]
        rows.append(("moving", list(ELSEWHERE)))
        for index, (name, lines) in enumerate(rows):
            text.append(f"{'' if index == 0 else chr(10)}{name}\n", "bold")
            for key, words in lines:
                text.append(f"  {key:<15}", "bold #56B4E9").append(f"{words}\n")
        text.rstrip()
        return text


def _shown(key: str) -> str:
    return {"question_mark": "?"}.get(key, key)
