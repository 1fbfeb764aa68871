"""The line above the keys: what is wrong, or what would start."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from tuiae.ui.render.text import clean


class MessageLine(Static):
    """One thing at a time; what went wrong stays until something is edited or another run opened, what was done until
    the next key."""

    def __init__(self) -> None:
        super().__init__(id="message")
        self.long = False
        """Whether quiet hints too may take several lines, though panels move for them."""
        self._trouble = ""
        """The kind of what a hint does not take away; empty where there is nothing like it."""
        self._said, self._whole = ("", ""), False

    def say(self, text: str, kind: str, whole: bool = False) -> None:
        """Say something: `good`, `caution`, `bad` or `quiet`; what is quiet is cut unless it has to be read `whole`."""
        if (text, kind) == self._said:
            return
        self._said, self._whole = (text, kind), whole or self.long or kind != "quiet"
        wraps = self._wraps()
        self.set_classes(f"-{kind} -long" if wraps else f"-{kind}")
        self.update(Content(clean(text)), layout=wraps)

    def _wraps(self) -> bool:
        """Whether what is said takes several lines, for which the panels above make room."""
        return self._whole and cell_len(clean(self._said[0])) > self.content_size.width > 0

    def on_resize(self) -> None:
        self.set_class(self._wraps(), "-long")

    def hint(self, text: str, kind: str) -> None:
        """Say something, unless there is trouble to read."""
        if not self._trouble:
            self.say(text, kind)

    def answer(self, text: str) -> None:
        """Say what a key has done, unless something is wrong."""
        if self._trouble != "bad":
            self.forget_trouble()
            self.say(text, "quiet", whole=True)

    def complain(self, text: str) -> None:
        """Say what went wrong, in words that a hint does not take away."""
        self.insist(text, "bad")

    def insist(self, text: str, kind: str) -> None:
        """Say something that a hint does not take away."""
        self._trouble = kind
        self.say(text, kind, whole=True)

    def forget_trouble(self) -> None:
        """From now on hints are said again."""
        self._trouble = ""

    def key_pressed(self) -> None:
        """From now on hints take away what was only told of a key before."""
        if self._trouble in ("good", "quiet"):
            self.forget_trouble()
