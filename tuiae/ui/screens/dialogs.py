"""Small screens that ask something, or say which key does what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Grid, Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Label, Static

from tuiae.ui.keys import (
    APP,
    BENCH,
    CANVAS,
    COMPARE,
    CONFUSION,
    CURVES,
    ELSEWHERE,
    LATENT,
    LIVE,
    RUNS,
    SLIDER,
    STRIP,
    WORKS,
    Key,
    shown,
)
from tuiae.ui.render import palette
from tuiae.ui.render.preflight import cost_facts
from tuiae.ui.render.text import clean

OWN: dict[str, tuple[tuple[str, Sequence[Key]], ...]] = {
    "runs": (("list of runs", RUNS),),
    "live": (("this run", LIVE),),
    "latent": (("codes", LATENT),),
    "bench": (("the bench", BENCH), ("canvas", CANVAS), ("noise", SLIDER), ("pictures", STRIP)),
    "compare": (("comparison", COMPARE),),
    "works": (("works", WORKS),),
}
"""Mode -> the groups of keys that are its own."""
PANELS: dict[str, tuple[tuple[str, Sequence[Key]], ...]] = {
    "live": (("curves", CURVES), ("confusion", CONFUSION)),
    "compare": (("curves", CURVES),),
}
"""Mode -> the keys of its panels while one of them has the focus."""


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


class CostDialog(ModalScreen[str]):
    """What a run would cost, as a dry run found; dismissed with `start`, or nothing when escaped."""

    BINDINGS = [Binding("escape", "dismiss('')", "Cancel", show=False)]

    def __init__(self, name: str, cost: Mapping[str, Any]) -> None:
        super().__init__()
        self._name, self._cost = name, cost

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog cost") as dialog:
            dialog.border_title = Content(f"what {clean(self._name, 40)} costs")
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


class HelpDialog(ModalScreen[None]):
    """Which key does what on the screen below, and everywhere."""

    BINDINGS = [Binding("escape,question_mark,q,enter", "dismiss", "Close", show=False)]

    def __init__(self, mode: str = "") -> None:
        super().__init__()
        self._own, self._panels = OWN.get(mode, ()), PANELS.get(mode, ())

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "keys"
            dialog.border_subtitle = "escape closes"
            with Horizontal():
                yield Static(_table([(name, _rows(keys)) for name, keys in self._own]), classes="keys")
                panels = [(name, _rows(keys)) for name, keys in self._panels]
                rest = [("everywhere", _rows(APP)), *panels, ("moving", list(ELSEWHERE))]
                yield Static(_table(rest), classes="keys")


def _rows(keys: Sequence[Key]) -> list[tuple[str, str]]:
    """Keys and what they do; the many that move a cursor are one line."""
    rows = [(shown(key.key), key.help) for key in keys if key.help and not key.action.startswith("move(")]
    moves = any(key.action.startswith("move(") for key in keys)
    return [("arrows", "cursor; shift, ctrl: farther"), *rows] if moves else rows


def _table(groups: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> Text:
    text = Text(no_wrap=True)
    for name, rows in groups:
        text.append(f"{chr(10) if text else ''}{name}\n", "bold")
        for key, words in rows:
            text.append(f"{key:>6}  ", f"bold {palette.SKY}").append(f"{words}\n")
    text.rstrip()
    return text
