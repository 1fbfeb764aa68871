"""What every panel is: a titled frame around one drawing, made again only when data or size change.

At the end one of them: histograms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text
from textual import events, on, work
from textual.content import Content
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import get_current_worker

from tuiae.render.network import Place, draw_histograms, layers_of, spread_epochs
from tuiae.render.text import centred, clean, first_parts
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import read_sample
from tuiae.runs.snapshot import Histogram
from tuiae.ui.feeds import FeedMessage
from tuiae.ui.keys import HISTOGRAMS
from tuiae.ui.terminal.mode import Pictures, TerminalMode, mode_of
from tuiae.ui.terminal.screen_diff import Lasting


def strip_of(line: Text, console: Console) -> Strip:
    """One line of a drawing as Textual shows it."""
    line.end = ""
    return Strip(line.render(console), line.cell_len)


FRAME = """
    border: round $foreground 35%;
    border-title-color: $foreground 80%;
    border-title-style: bold;
    border-subtitle-color: $foreground 65%;
    padding: 0 1;
    width: 1fr;
    height: 1fr;
    &:focus {
        border: round $accent;
        border-title-color: $accent;
    }
"""
"""The look that panels share, whichever widget they grow from."""

THIN_SCROLLBAR = """
    scrollbar-size: 0 1;
    scrollbar-color: $foreground 25%;
    scrollbar-color-hover: $foreground 45%;
    scrollbar-color-active: $accent;
    scrollbar-background: $background;
    scrollbar-background-hover: $background;
    scrollbar-background-active: $background;
"""
"""Of panels that scroll."""

AROUND_NOTE = 6  # columns of the lower frame that words there leave


class Panel(Lasting, Widget, can_focus=True):
    """A frame around what `draw` returns."""

    DEFAULT_CSS = "Panel {" + FRAME + "}"

    _below = ""
    """The words below, whole."""
    version: reactive[int] = reactive(0)
    """Counts changes of the data; a change draws again."""

    def __init__(self, title: str = "", *, id: str | None = None) -> None:  # noqa: A002
        """`title` stands in place of the BORDER_TITLE of the class."""
        super().__init__(id=id)
        self.set_title(title or self.BORDER_TITLE)

    @property
    def terminal(self) -> TerminalMode:
        """What this terminal can show."""
        return mode_of(self.app)

    @property
    def title_margin(self) -> str:
        """What stands around a title in the frame besides what Textual puts there."""
        return ""

    def set_title(self, title: str, note: str = "", badge: tuple[str, str] | None = None) -> None:
        """Put words from outside into the frame, above and below; they are never read as markup. A `badge`, of words
        and their style, stands behind the title."""
        margin = self.title_margin
        words = f"{margin}{clean(title)}{margin}"
        self.border_title = Content.assemble(words, *((" ", badge) if badge else ())) if title else None
        self.set_note(note)

    def set_note(self, note: str) -> None:
        """Put other words below, under the same title; of parts between ` · ` the first that the frame has room for."""
        self._below = clean(note)
        self._fit_note()

    def _fit_note(self) -> None:
        room = self.outer_size.width - AROUND_NOTE
        note = first_parts(self._below.split(" · "), room) if room > 0 else self._below
        self.border_subtitle = Content(f"{self.title_margin}{note}{self.title_margin}") if note else None

    def on_resize(self) -> None:
        if " · " in self._below:  # what has no parts stays as it is, and draws nothing anew
            self._fit_note()

    def draw(self, width: int, height: int) -> Text:
        """The drawing for `width` x `height` cells; panels override it."""
        raise NotImplementedError

    def drawn(self) -> Text:
        """The drawing for the cells that there are; a sentence where that fails, and the app survives it."""
        try:
            return self.draw(*self.content_size)
        except Exception as error:
            if not self.app.survives(error):  # type: ignore[attr-defined]
                raise
            return centred("this cannot be drawn", *self.content_size)

    def render(self) -> Content:
        return Content.from_rich_text(self.drawn())

    def changed(self) -> None:
        """Draw again at the next paint."""
        self.version += 1


class PicturePanel(Panel):
    """A panel of curves or pictures, in which nothing can be selected.

    Its lines are made here: Textual notes the place of each cell of what `render` returns for the sake of a selection,
    by which pictures of 196x56 cells take 0.6 s instead of 0.1.
    """

    ALLOW_SELECT = False

    mode: reactive[Pictures] = reactive("blocks")
    """What pictures are made of; `ascii` where no character above 127 is wanted."""
    _empty = ""
    _drawn_for: tuple[object, ...] = ()
    _strips: Sequence[Strip] = ()

    def on_mount(self) -> None:
        self.mode = self.best

    @property
    def best(self) -> Pictures:
        """What shows pictures best on this terminal."""
        return self.terminal.pictures

    def watch_mode(self) -> None:
        self.changed()

    def explain(self, message: str) -> None:
        """Say why there is nothing to show."""
        self._empty = clean(message)
        self.changed()

    def render_lines(self, crop: Region) -> list[Strip]:
        ground = self.rich_style
        drawn_for = (self.version, self.content_size, ground)
        if drawn_for != self._drawn_for:
            lines = self.drawn().split("\n", allow_blank=True)
            self._strips = [strip_of(line, self.app.console).apply_style(ground) for line in lines]
            self._drawn_for = drawn_for
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.content_size.width, self.rich_style)


class PointedPanel(PicturePanel):
    """A panel on which the mouse points at something, also while it is dragged."""

    def pointed(self, event: events.MouseEvent) -> None:
        """The mouse points here; panels override it."""
        raise NotImplementedError

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self.pointed(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button:
            self.pointed(event)

    def on_mouse_up(self) -> None:
        self.release_mouse()


@dataclass
class HistogramsRead(FeedMessage):
    """Histograms of epochs of the run at `path`, none of an epoch that has none."""

    path: Path
    found: Mapping[int, Sequence[Histogram]]


class HistogramPanel(PicturePanel):
    """How weights, gradients and codes are spread: of every layer after one epoch, and of one layer after many, which a
    thread reads."""

    BINDINGS = [key.binding for key in HISTOGRAMS]
    BORDER_TITLE = "weights, gradients, code"

    cursor: reactive[Place] = reactive((0, 0))

    _shown: tuple[Histogram, ...] = ()
    _epoch = 0
    _path: Path | None = None
    _wanted: tuple[int, ...] = ()
    _history: Mapping[int, Sequence[Histogram]] = {}

    def watch_cursor(self) -> None:
        self.changed()

    def show(self, histograms: tuple[Histogram, ...], epoch: int, note: str) -> None:
        """Show those of another epoch; `note` goes into the lower frame."""
        self.set_note(note)
        if histograms is not self._shown:
            self._shown, self._epoch = histograms, epoch
            self.changed()

    def clear(self) -> None:
        """Forget the run."""
        self._path, self._wanted, self._history, self.cursor = None, (), {}, (0, 0)
        self.show((), 0, "")

    def follow(self, path: Path, epochs: Sequence[int]) -> None:
        """Have the histograms of a run read, of some of its `epochs` where those are many."""
        wanted = spread_epochs(epochs)
        if (path, wanted) != (self._path, self._wanted):
            self._history = {epoch: self._history[epoch] for epoch in wanted if epoch in self._history}
            self._path, self._wanted = path, wanted
            self._read(path, tuple(epoch for epoch in wanted if epoch not in self._history))

    @work(thread=True, exclusive=True)
    def _read(self, path: Path, epochs: Sequence[int]) -> None:
        found = {}
        for epoch in epochs:
            if get_current_worker().is_cancelled:
                return  # a newer one reads these as well
            sample = read_sample(RunPaths(path), epoch)
            found[epoch] = () if sample is None else sample.histograms
        self.post_message(HistogramsRead(path, found))

    @on(HistogramsRead)
    def _take(self, event: HistogramsRead) -> None:
        event.stop()
        if event.path != self._path:
            return
        self._history = {**self._history, **event.found}
        newest = max((epoch for epoch, found in self._history.items() if found), default=None)
        if newest is not None and not self._shown:
            # What shows is the picture of a single step, of which there are no histograms.
            self.show(tuple(self._history[newest]), newest, f"epoch {newest:,}")
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        ascii_only = self.mode == "ascii"
        return draw_histograms(self._shown, self._history, self.cursor, self._epoch, width, height, ascii_only)

    def action_move(self, down: int, right: int) -> None:
        """Another layer, or its gradients instead of its weights."""
        last = max(len(layers_of(self._shown)) - 1, 0)
        self.cursor = min(max(self.cursor[0] + down, 0), last), min(max(self.cursor[1] + right, 0), 1)


def toggle_ascii(panels: Iterable[PicturePanel]) -> None:
    """Draw pictures without any character above 127, or as well as this terminal can again."""
    shown = list(panels)
    is_ascii = all(panel.mode == "ascii" for panel in shown)
    for panel in shown:
        panel.mode = panel.best if is_ascii else "ascii"
