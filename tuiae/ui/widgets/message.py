"""The line above the keys: what is wrong, or what would start."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from tuiae.ui.render.text import clean


class MessageLine(Static):
    """One thing at a time; what went wrong stays until something is edited or another run opened, what was done until
    the next key."""

    def __init__(self) -> None:
        super().__init__(id="message")
        self.long = False
        """Whether all that is said may take several lines, and not only what is bad."""
        self._trouble = ""
        """The kind of what a hint does not take away; empty where there is nothing like it."""
        self._said = ("", "")

    def say(self, text: str, kind: str) -> None:
        """Say something: `good`, `caution`, `bad` or `quiet`."""
        if (text, kind) == self._said:
            return
        self._said = (text, kind)
        self.set_classes(f"-{kind} -long" if self.long else f"-{kind}")
        self.update(Content(clean(text)), layout=self.long or kind == "bad")

    def hint(self, text: str, kind: str) -> None:
        """Say something, unless there is trouble to read."""
        if not self._trouble:
            self.say(text, kind)

    def answer(self, text: str) -> None:
        """Say what a key has done, unless something is wrong."""
        if self._trouble != "bad":
            self.forget_trouble()
            self.say(text, "quiet")

    def complain(self, text: str) -> None:
        """Say what went wrong, in words that a hint does not take away."""
        self.insist(text, "bad")

    def insist(self, text: str, kind: str) -> None:
        """Say something that a hint does not take away."""
        self._trouble = kind
        self.say(text, kind)

    def forget_trouble(self) -> None:
        """From now on hints are said again."""
        self._trouble = ""

    def key_pressed(self) -> None:
        """From now on hints take away what was only told of a key before."""
        if self._trouble in ("good", "quiet"):
            self.forget_trouble()
