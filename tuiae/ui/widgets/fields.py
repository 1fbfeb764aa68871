"""Fields of the form and of dialogs: numbers, and compact lists to choose from; and the form in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, OptionList, Select, Static

from tuiae.render.text import clean, shorten

ARROWS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
"""Key -> lines, and fields in a line."""


def follow_arrow(event: Key, fields: Iterable[Widget]) -> None:
    """Focus the field that the eye sees where an arrow points: the nearest one of the next line, the first line after
    the last, or the next one in the line, where a text has been left at its end."""
    there = [field for field in fields if field.focusable]
    focused = next((field for field in there if field.has_focus), None)
    if focused is None or event.key not in ARROWS:
        return
    lines, places = ARROWS[event.key]
    if lines:
        tops = sorted({field.region.y for field in there})
        top = tops[(tops.index(focused.region.y) + lines) % len(tops)]
        found = [field for field in there if field.region.y == top]
    elif isinstance(focused, Input) and (focused.suggester or focused.cursor_position != _end(focused, places)):
        return
    else:
        line = (field for field in there if field.region.y == focused.region.y)
        found = [field for field in line if (field.region.x - focused.region.x) * places > 0]
    if found:
        event.stop()
        event.prevent_default()
        min(found, key=lambda field: abs(field.region.x - focused.region.x)).focus()


def _end(field: Input, places: int) -> int:
    """Where the cursor stands at the end of a text that an arrow points to."""
    return len(field.value) if places > 0 else 0


IN_NUMBERS = "0123456789.eE-+_"
NAMED = "O"
"""The key for all settings, which the form names in its midst."""


class NumberInput(Input):
    """A field for a number: it takes the characters of numbers, refuses other letters (by which the lists beside it
    choose, so that people type them), and lets all other keys through to the screen.

    Without `keeps_letters` other letters go to the screen too, for a dialog that has keys among them."""

    @dataclass
    class Refused(Message):
        """A letter that is in no number was typed."""

        letter: str

    def __init__(self, field: str, keeps_letters: bool = True) -> None:
        super().__init__(id=field, compact=True, select_on_focus=True, classes="number")
        self._keeps_letters = keeps_letters

    def check_consume_key(self, key: str, character: str | None) -> bool:
        if character is None:
            return False
        return character in IN_NUMBERS or self._is_refused(character)

    def _is_refused(self, character: str) -> bool:
        return self._keeps_letters and character.isalpha() and character != NAMED

    def on_key(self, event: Key) -> None:
        # Input would insert every printable character; not stopped, other keys bubble to the bindings.
        if event.character is None or not event.is_printable or event.character in IN_NUMBERS:
            return
        event.prevent_default()
        if self._is_refused(event.character):
            event.stop()
            self.post_message(self.Refused(event.character))


class Choice(Select[str], inherit_bindings=False):
    """A compact list to choose from; arrows go on to the next field, as in the fields for numbers. A letter opens it
    and chooses, but the one for all settings."""

    BINDINGS = [Binding("enter,space", "show_overlay", "Show menu", show=False)]

    @dataclass
    class Chosen(Message):
        """Somebody chose an entry, perhaps the one that stood there: a preset that is chosen again brings its values
        back. Select.Changed tells of the first entry too, as soon as there is a list."""

        choice: Choice
        value: str

        @property
        def control(self) -> Choice:
            return self.choice

    def __init__(self, field: str, options: Sequence[tuple[Any, str]]) -> None:
        self._offered = tuple(options)
        super().__init__(self._offered, allow_blank=False, compact=True, id=field)

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return character is not None and character.isalpha() and character != NAMED

    def on_key(self, event: Key) -> None:
        if self.expanded or not self.check_consume_key(event.key, event.character):
            return
        event.stop()
        event.prevent_default()
        self.action_show_overlay()
        # Behind the focus, which goes to the list by the app's queue and empties what was typed to find an entry.
        self.app.call_later(self.query_one(OptionList).post_message, Key(event.key, event.character))

    def set_options(self, options: Iterable[tuple[Any, str]]) -> None:
        """Replace the options, each with its value."""
        self._offered = tuple(options)
        super().set_options(self._offered)

    def on_select_overlay_update_selection(self, event: Any) -> None:
        self.post_message(self.Chosen(self, self._offered[event.option_index][1]))

    def offer(self, options: Iterable[tuple[Any, str]], value: str) -> None:
        """Replace the options and choose one."""
        self.set_options(options)
        self.value = value
        self.mutate_reactive(Choice.value)  # type: ignore[misc]  # or the first option would go on showing its old words


class FoldedForm(Static):
    """The form in one line, while a run is open and the focus elsewhere; a click opens it."""

    _said = ("", "")

    def say(self, key: str, words: Iterable[str]) -> None:
        """Show the key that opens the form, and what it asks for."""
        self._said = key, " · ".join(clean(word, 60) for word in words)
        self.refresh()

    async def on_click(self) -> None:
        await self.run_action("screen.open_form")

    def render(self) -> Content:
        key, words = self._said
        room = max(0, self.content_size.width - len(key) - 2)
        wordy = f"next run: {words}"
        shown = wordy if cell_len(wordy) <= room else shorten(words, room)
        return Content.assemble((f"{key}  ", "bold $accent"), (shown, "$foreground 80%"))


def named(names: Iterable[str]) -> list[tuple[Any, str]]:
    """Options for a list of names. Text, because only in a Text does an open list find what is typed."""
    return [(Text(name), name) for name in names]
