"""Dialogs: a choice, what a run costs, a network, a line, a note."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.color import Color
from textual.command import CommandPalette
from textual.containers import Grid, Vertical, VerticalScroll
from textual.content import Content
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, Input, Label, Static, TextArea

from tuiae.config import RunConfig
from tuiae.errors import TuiaeError
from tuiae.images import ImageRecord
from tuiae.preflight import layers_on
from tuiae.render.machine import cost_facts
from tuiae.render.network import draw_network
from tuiae.render.text import clean, join_lines, wrapped
from tuiae.runs.paths import RunPaths
from tuiae.runs.snapshot import Snapshot
from tuiae.source import Source
from tuiae.ui.terminal.mode import mode_of
from tuiae.ui.terminal.screen_diff import Fitting

if TYPE_CHECKING:
    from tuiae.ui.session import PreflightDone

Answer = TypeVar("Answer")


def in_front(screen: Screen[Any]) -> bool:
    """Returns whether a screen is there and nothing stands before it."""
    return screen.app.screen_stack[-1:] == [screen]


class Shade(BackgroundScreen):
    """What shows of the screen behind a dialog. Textual mixes the colours of each of its segments anew, three times for
    each dialog; with pictures there are thousands, and a few hundred styles."""

    @classmethod
    def process_segments(cls, segments: Iterable[Segment], color: Color) -> Iterable[Segment]:
        return (part if part.control else Segment(part.text, _shaded(part.style, color)) for part in segments)


@lru_cache(maxsize=4096)
def _shaded(style: Style | None, color: Color) -> Style | None:
    (shaded,) = BackgroundScreen.process_segments([Segment(" ", style)], color)
    return shaded.style


class Dialog(Fitting, ModalScreen[Answer]):
    """A screen that takes one answer; it is None where somebody escapes.

    Keys and clicks wait in the queues of widgets: a second Enter can reach a dialog that has gone, and Textual would
    then dismiss the screen below it.
    """

    BINDINGS = [Binding("escape", "dismiss", "Cancel", show=False)]

    def frame(self, kind: str, title: str, hint: str) -> Vertical:
        """The frame around what a dialog of this kind asks, with its keys in the lower edge."""
        frame = Vertical(classes=f"dialog {kind}")
        frame.border_title, frame.border_subtitle = Content(title), hint
        return frame

    def render(self) -> RenderableType:
        behind = super().render()
        return Shade(behind.screen, behind.color) if isinstance(behind, BackgroundScreen) else behind

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Answer, unless the dialog has gone or another one stands before it."""
        return super().dismiss(result) if in_front(self) else AwaitComplete()

    def take_cost(self, event: PreflightDone) -> bool:
        """Take what a dry run found; returns False where the dialog did not ask for it."""
        return False

    def judge(self, words: str, kind: str = "") -> None:
        """Say below the fields what is wrong with them, or what they would do; that is `-fine` or `-doubtful`."""
        line = self.query_one(".wrong", Static)
        line.set_classes(f"wrong {kind}")
        line.update(Content(clean(words.replace("\n", " · "), 600)))


class Palette(CommandPalette):
    """Textual's command palette, which a click beside it and an Escape in one burst close once."""

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Close it, unless it has gone."""
        return super().dismiss(result) if in_front(self) else AwaitComplete()


class ChoiceDialog(Dialog[str]):
    """A question with a few answers, the first the default; the answer `cancel` means none."""

    BINDINGS = [
        Binding("up,left", "app.focus_previous", show=False),
        Binding("down,right", "app.focus_next", show=False),
    ]

    def __init__(self, title: str, question: str, answers: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._question, self._answers = title, question, answers

    def compose(self) -> ComposeResult:
        with self.frame("choice", self._title, "arrows choose · enter takes it · escape cancels"):
            yield Label(Content(self._question), classes="question")
            for answer, words in self._answers:
                yield Button(Content(words), id=answer, compact=True)

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id if event.button.id != "cancel" else None)


class TrustDialog(Dialog[str]):
    """A file that this user has not started, to be read before it runs; the only answer is `trust`."""

    BINDINGS = [
        Binding("up", "scroll_code('up')", show=False, priority=True),
        Binding("down", "scroll_code('down')", show=False, priority=True),
        Binding("pageup", "scroll_code('page_up')", show=False, priority=True),
        Binding("pagedown", "scroll_code('page_down')", show=False, priority=True),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def compose(self) -> ComposeResult:
        source = self._source
        with self.frame("trust", "code of this run's network", "↑↓ read it · ←→ choose · enter takes it · esc cancels"):
            what = f"{clean(source.path)}, {source.lines:,} lines, sha256 {source.digest[:12]}"
            question = f"You have not started this code, and it may do whatever you may:\n{what}"
            yield Label(Content(question), classes="question")
            code = TextArea(source.text, read_only=True, show_line_numbers=True, soft_wrap=True, compact=True)
            code.can_focus = False
            yield code
            yield Button("Leave it", id="cancel", compact=True)
            yield Button("Let this very file run, now and later", id="trust", compact=True)

    def action_scroll_code(self, way: str) -> None:
        """Read on, or back."""
        getattr(self.query_one(TextArea), f"scroll_{way}")(animate=False)

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        self.dismiss("trust" if event.button.id == "trust" else None)


class CostDialog(Dialog[str]):
    """What a run would cost, as a dry run found; the only answer is `start`."""

    BINDINGS = [Binding("r", "dismiss('start')", "Start", show=False)]

    def __init__(self, name: str, cost: Mapping[str, Any]) -> None:
        super().__init__()
        self._run_name, self._cost = name, cost

    def compose(self) -> ComposeResult:
        title = f"what {clean(self._run_name, 40)} costs"
        with self.frame("cost", title, "r or enter starts it · escape closes"):
            with Grid(classes="facts"):
                for label, words, _ in cost_facts(self._cost):
                    yield Label(label, classes="label")
                    yield Label(Content(words))
            for warning in self._cost.get("warnings", ()):
                yield Label(Content(clean(warning, 300)), classes="warning")
            yield Button("Start it", id="start", compact=True)

    @on(Button.Pressed)
    def _start(self) -> None:
        self.dismiss("start")


Page = Callable[[int, bool], Sequence[Text]]
"""Draws the lines of a page for a number of columns, in ASCII or not."""


def network_page(config: RunConfig, images: ImageRecord | None, run: RunPaths | None = None) -> Page:
    """Draws the layers of the network of a config, that of a `run` or of none yet, on these images or on those that are
    here; else says why not."""
    try:
        shape, layers = layers_on(config, images, run)
    except TuiaeError as error:
        words = clean(error, 300)
        return lambda width, ascii_only: wrapped(words, width)
    frozen = config.is_classifier and config.model.freeze
    return lambda width, ascii_only: draw_network(layers, shape, width, frozen=frozen, ascii_only=ascii_only)


def network_pages(snapshot: Snapshot | None, following: RunConfig | None) -> list[tuple[str, Page]]:
    """Titles and pages of the networks that there are: of the open run, and of the one `following` it."""
    pages = []
    if snapshot is not None and (config := snapshot.current_config) is not None:
        pages.append((clean(snapshot.title, 40), network_page(config, snapshot.images, RunPaths(snapshot.path))))
    if following is not None:
        pages.append(("the next run", network_page(following, None)))
    return pages


class NetworkDialog(Dialog[str]):
    """The layers of networks under their titles, one network at a time."""

    BINDINGS = [Binding("N,tab", "other", "Other", show=False)]
    AROUND, WIDEST = 8, 104
    """Columns around the lines, and the most that these take."""

    def __init__(self, pages: Sequence[tuple[str, Page]]) -> None:
        super().__init__()
        self._pages, self._place = pages, 0

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog network"):
            yield Static()

    def on_resize(self) -> None:
        """Draw the page for the columns that there are."""
        dialog, (title, draw) = self.query_one(VerticalScroll), self._pages[self._place]
        dialog.border_title = Content(f"network · {title}")
        others = [name for place, (name, _) in enumerate(self._pages) if place != self._place]
        dialog.border_subtitle = Content(" · ".join([*(f"N {name}" for name in others), "escape closes"]))
        width = min(9 * self.size.width // 10 - self.AROUND, self.WIDEST)
        ascii_only = mode_of(self.app).ascii
        self.query_one(Static).update(Content.from_rich_text(join_lines(draw(width, ascii_only))))

    def action_other(self) -> None:
        """The next page, and after the last the first."""
        self._place = (self._place + 1) % len(self._pages)
        self.on_resize()


class LineDialog(Dialog[str]):
    """Its answer is the line that was written, which Enter takes; below it stands what is wrong with that."""

    HINT = "enter takes it · escape cancels"

    def __init__(
        self, title: str, question: str, value: str, check: Callable[[str], object], *, goes_on: bool = False
    ) -> None:
        """`check` raises a TuiaeError that says what is wrong with an answer. `goes_on`: what is typed is added to the
        value, and does not replace it."""
        super().__init__()
        self._title, self._question, self._check = title, question, check
        self._value, self._goes_on = f"{value} " if value and goes_on else value, goes_on

    def compose(self) -> ComposeResult:
        with self.frame("ask", self._title, self.HINT):
            yield Label(Content(self._question), classes="question")
            yield from self.compose_answer()
            yield Static(classes="wrong")

    def compose_answer(self) -> ComposeResult:
        """The widget in which the answer is written."""
        yield Input(self._value, compact=True, select_on_focus=not self._goes_on)

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        event.stop()
        self.offer(event.value)

    def offer(self, text: str) -> None:
        """Take the answer, or say why not."""
        try:
            self._check(text)
        except TuiaeError as error:
            self.judge(str(error))
        else:
            self.dismiss(text)


class NoteDialog(LineDialog):
    """A LineDialog for several lines: Ctrl-S takes them."""

    BINDINGS = [Binding("ctrl+s", "take", "Keep", show=False)]
    HINT = "ctrl+s keeps it · escape cancels"

    def compose_answer(self) -> ComposeResult:
        yield TextArea(self._value, compact=True)

    def action_take(self) -> None:
        self.offer(self.query_one(TextArea).text)
