"""What every panel is: a titled frame around one drawing, made again only when data or size change."""

from __future__ import annotations

from rich.text import Text
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tuiae.ui.render.text import clean
from tuiae.ui.terminal.mode import TerminalMode, mode_of

FRAME = """
    border: round $foreground 20%;
    border-title-color: $foreground 80%;
    border-title-style: bold;
    border-subtitle-color: $foreground 50%;
    padding: 0 1;
    width: 1fr;
    height: 1fr;
    &:focus {
        border: round $accent;
        border-title-color: $accent;
    }
"""
"""The look that panels share, whichever widget they grow from."""


class Panel(Widget, can_focus=True):
    """A frame around what `draw` returns."""

    DEFAULT_CSS = "Panel {" + FRAME + "}"

    version: reactive[int] = reactive(0)
    """Counts changes of the data; a change draws again."""

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._drawn: dict[tuple[int, ...], Content] = {}
        self.set_title(title)

    @property
    def terminal(self) -> TerminalMode:
        """What there is to draw with."""
        return mode_of(self.app)

    def set_title(self, title: str, note: str = "") -> None:
        """Put external words into the frame, above and below; they are never read as markup."""
        title = clean(title)
        self.border_title = Content(title) if title else None
        self.set_note(note)

    def set_note(self, note: str) -> None:
        """Other external words below, under the same title."""
        note = clean(note)
        self.border_subtitle = Content(note) if note else None

    def draw(self, width: int, height: int) -> Text:
        """The drawing for so many cells; panels override it."""
        raise NotImplementedError

    def render(self) -> Content:
        """The drawing of this version and size, from before if there is one; two sizes are kept, as `z` goes back."""
        key = (self.version, *self.content_size)
        if key not in self._drawn:
            before = [(old, drawn) for old, drawn in self._drawn.items() if old[0] == self.version]
            self._drawn = dict(before[-1:]) | {key: Content.from_rich_text(self.draw(*self.content_size))}
        return self._drawn[key]

    def changed(self) -> None:
        """Draw again at the next paint."""
        self.version += 1
