"""What goes to the terminal: the cells that are not as they were, in as few bytes as they take.

Textual sends every line of a widget that was refreshed, each run of cells with all its colours and a reset behind it;
nearly all of it shows already. `ScreenDiff` remembers what every cell shows, as curses does, and writes the difference:
on 120x40 cells 3 to 7 kB an epoch instead of 28 to 45, 0.6 kB instead of 40 when the focus moves on, and 40 kB instead
of 120 until the dashboard stands still after it was opened.

Private names of Textual are used in this module and nowhere else. Each gives way to what Textual does of itself: where
a module or an attribute is missing, whole updates are sent, and styles are worked out as often as Textual does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Generic, Self, TypeAlias, TypeVar

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.style import Style
from textual import events, on
from textual.app import App
from textual.binding import Binding
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.geometry import Size
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.strip import Strip
from textual.timer import Timer, TimerCallback
from textual.widget import AwaitMount
from textual.worker import WorkerFailed

from tuiae.ui.terminal.input import TerminalDriver

try:
    from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
except ImportError:

    class CompositorUpdate:  # type: ignore[no-redef]
        """No update of this Textual is one: each goes to the terminal as it is."""

    ChopsUpdate = LayoutUpdate = CompositorUpdate  # type: ignore[misc, assignment]

Cell: TypeAlias = tuple[str, Style]
"""What stands in a cell, and how; nothing in the second half of a wide character."""

NO_STYLE = Style.null()
_UNKNOWN: Cell = ("\0", NO_STYLE)
"""A cell of which nobody knows what it shows."""
_NEAR = 4
"""Unchanged cells that are rather written again than skipped: moving the cursor takes as many bytes."""


class Difference(CompositorUpdate):
    """What of an update changes the terminal; when it is rendered, the terminal is known to show it."""

    def __init__(self, parts: list[tuple[int, int, list[Cell]]], done: Callable[[], None]) -> None:
        """`parts` are column, row and cells of each part that changes."""
        self.parts, self._done = parts, done

    def render_segments(self, console: Console) -> str:
        self._done()
        written, current = [], NO_STYLE
        for x, y, cells in self.parts:
            written.append(f"\x1b[{y + 1};{x + 1}H")
            for text, style in cells:
                if style is not current:
                    written.append(_change(current, style))
                    current = style
                written.append(text)
        if current is not NO_STYLE:
            written.append(_change(current, NO_STYLE))
        return "".join(written)


@lru_cache(maxsize=16384)
def _change(before: Style, after: Style) -> str:
    """The sequence that makes one style of another: the colours that differ, or everything after a reset."""
    color, bgcolor = after.color, after.bgcolor
    reset = "\x1b[0m"
    if color and bgcolor and before.without_color == after.without_color:
        reset, after = "", Style(color=color if color != before.color else None)
        after += Style(bgcolor=bgcolor if bgcolor != before.bgcolor else None)
    return reset + after.render("\0").partition("\0")[0]


class ScreenDiff:
    """Takes Textual's updates of one terminal in their order, and gives what must be written for each."""

    def __init__(self) -> None:
        self._size = Size(0, 0)
        self._rows: list[list[Cell]] = []

    def forget(self) -> None:
        """Nobody knows any more what the terminal shows: the next update is written whole."""
        self._size = Size(0, 0)

    def difference(self, update: CompositorUpdate, size: Size) -> Difference | None:
        """What changes the terminal, of `size` cells, as an update says; it has no `parts` where nothing does.

        None for an update of a kind that is not known: it must be sent as it is.
        """
        try:
            strips = list(_strips(update))
        except (AttributeError, TypeError):
            self.forget()
            return None
        rows = self._rows if size == self._size else [[_UNKNOWN] * size.width for _ in range(size.height)]
        parts: list[tuple[int, int, list[Cell]]] = []
        for x, y, strip in strips:
            if 0 <= y < size.height and x < size.width:
                cells = cells_of(strip)[: size.width - x]
                changed = _changed(rows[y][x : x + len(cells)], cells)
                parts += [(x + start, y, cells[start:end]) for start, end in changed]

        def done() -> None:
            self._size, self._rows = size, rows
            for x, y, cells in parts:
                rows[y][x : x + len(cells)] = cells

        return Difference(parts, done)


def _strips(update: CompositorUpdate) -> Iterator[tuple[int, int, Strip]]:
    """Column, row and strip of everything in an update.

    Raises:
        TypeError, AttributeError: it is of no kind that is known.
    """
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in line:
                yield x, y, strip
                x += strip.cell_length
    elif isinstance(update, ChopsUpdate):
        for y, left, right in update.spans:
            for end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if chop is not None and x <= right and end > left:
                    yield x, y, chop if end <= right else chop.crop(0, right - x)
    else:
        raise TypeError(type(update))


def cells_of(strip: Strip) -> list[Cell]:
    """The cells of a strip; sequences of their own, such as pictures, stand in the first of those that they cover."""
    if any(control or "\x1b" in text for text, _, control in strip):
        raw = "".join(segment.text for segment in strip)
        return [(raw, NO_STYLE), *[("", NO_STYLE)] * (strip.cell_length - 1)]
    cells: list[Cell] = []
    for text, whole_style, _ in strip:
        style = _visible(whole_style)
        if text.isascii() and text.isprintable():
            cells += [(char, style) for char in text]
            continue
        for char in text:
            if width := cell_len(char):
                cells += [(char, style), *[("", style)] * (width - 1)]
            elif cells and char != "\0":
                cells[-1] = (cells[-1][0] + char, style)
    return cells


@lru_cache(maxsize=16384)
def _visible(style: Style | None) -> Style:
    """A style without what Textual notes in it, such as what a click does."""
    if style is None:
        return NO_STYLE
    return style.clear_meta_and_links() if style.meta else style


def _changed(before: list[Cell], cells: list[Cell]) -> list[tuple[int, int]]:
    """From where to where cells differ, near parts as one."""
    if cells == before:
        return []
    if any(len(text) != 1 for text, _ in (*before, *cells)):
        # Where terminals disagree on how wide something is, only a line that is written from its start is right.
        return [(0, len(cells))]
    parts: list[tuple[int, int]] = []
    for place, (old, new) in enumerate(zip(before, cells, strict=True)):
        if old != new:
            start = parts.pop()[0] if parts and place - parts[-1][1] <= _NEAR else place
            parts.append((start, place + 1))
    return parts


# Styles that are worked out once: Textual does so anew whenever it is not sure.

PARSED_SOURCES = 1024
"""Textual keeps 64; the dashboard has more, and each new widget would parse all of them again."""


class SteadyStylesheet(Stylesheet):
    """A style sheet whose parsed rules stay until the variables change: parsing takes a fifth of a second a screen."""

    def __init__(self, *, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._of_theme = variables
        self._outdated = False
        if (cache := getattr(self, "_parse_cache", None)) is not None:
            cache.grow(PARSED_SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables != self._of_theme:
            super().set_variables(variables)
            self._of_theme = variables
            self._outdated = True

    def reparse(self) -> None:
        if self._outdated:
            self._outdated = False
            super().reparse()


# Unexpected errors: where a handler fails, Textual ends the app.


class Lasting(MessagePump):
    """A part of an app that goes on when one of its handlers fails, where the app `survives` that."""

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as error:
            if not self.app.survives(error):  # type: ignore[attr-defined]
                raise

    def set_timer(
        self, delay: float, callback: TimerCallback | None = None, *, name: str | None = None, pause: bool = False
    ) -> Timer:
        """Textual's, but late instead of never: between two looks at the clock a busy machine may take longer than the
        delay, and Textual leaves out a time that has passed, also an only one. The app then waited for its timer, and
        followed the terminal's size no more."""
        timer = super().set_timer(delay, callback, name=name, pause=pause)
        timer._skip = False
        return timer


def bound_keys(screen: Screen[object]) -> list[tuple[DOMNode, Binding]] | None:
    """Every key that is bound where the focus is, the nearest node first, whether or not it does something now. None
    where Textual has no such list: its `active_bindings` ask each action, and copy the list of every node before."""
    chain = getattr(screen, "_modal_binding_chain", None)
    return chain and [(node, binding) for node, bindings in chain for _, binding in bindings]


class Fitting(Lasting):
    """A screen that has the size of the terminal. Textual's tells itself each size that it was laid out for: where that
    came behind the terminal's next one, the screen went back and stayed so, or went to and fro for ever."""

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Resize):
            event.size = self.app.size
        await super().on_event(event)


class SteadyScreen(Fitting, Screen[None]):
    """A screen that is styled once for each theme: doing it again takes a tenth of a second beside a training."""

    def on_mount(self) -> None:
        self._css_update_count = getattr(self.app, "_css_update_count", -1)  # every widget was styled as it came

    def fit_classes(self) -> None:
        """Take the classes of the breakpoints while there are no widgets: the first layout would style them again."""
        app = self.app
        across = self.HORIZONTAL_BREAKPOINTS or app.HORIZONTAL_BREAKPOINTS or []
        down = self.VERTICAL_BREAKPOINTS or app.VERTICAL_BREAKPOINTS or []
        for breakpoints, size in ((across, app.size.width), (down, app.size.height)):
            reached = [name for least, name in sorted(breakpoints) if size >= least]
            self.add_class(*reached[-1:], update=False)

    @on(events.ScreenResume)
    def _say_whether_styled(self, event: events.ScreenResume) -> None:
        # Textual styles a whole screen anew each time it shows, although only another theme would change anything.
        counts = [getattr(node, "_css_update_count", None) for node in (self, self.app)]
        event.refresh_styles = counts[0] is None or counts[0] != counts[1]

    def set_class(self, add: bool, *class_names: str, update: bool = True) -> Self:
        """Textual's, which styles all widgets anew when one of them gets the screen alone; here it styles the screen,
        and that widget by a class of its own. Beside a training a panel alone took a tenth of a second."""
        alone = class_names == ("-maximized-view",)
        super().set_class(add, *class_names, update=update and not alone)
        if alone and update:
            self.app.stylesheet.update_nodes([self])
        return self


Result = TypeVar("Result")


class SteadyApp(Lasting, App[Result], Generic[Result]):
    """An app that sends what changed, and that goes on after errors that it survives."""

    def __init__(self) -> None:
        super().__init__(driver_class=TerminalDriver)
        self._diff = ScreenDiff()
        self._modes_shown: set[str] = set()

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, lambda app: self._diff.forget(), immediate=True)

    def switch_mode(self, mode: str) -> AwaitMount:
        self._comes_back = mode in self._modes_shown
        self._modes_shown |= {self.current_mode, mode}
        return super().switch_mode(mode)

    def survives(self, error: Exception) -> bool:
        """Say what went wrong, for the app to go on; False to end with it. An app of its own decides."""
        return False

    def _handle_exception(self, error: Exception) -> None:
        """End with an error of a timer, a worker, or a widget of Textual's, unless it is survived."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        if not (isinstance(cause, Exception) and self.survives(cause)):
            super()._handle_exception(error)

    _comes_back = False

    def delay_update(self, delay: float = 0.05) -> None:
        """Textual's, which keeps the old screen for as long when the mode changes; a screen that has been shown before
        is ready at once."""
        if not self._comes_back:
            super().delay_update(delay)

    def action_redraw(self) -> None:
        """Everything once more: something else has written on the terminal."""
        self._diff.forget()
        self.screen.refresh()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if isinstance(renderable, CompositorUpdate) and not (self.is_headless or self.is_inline):
            difference = self._diff.difference(renderable, screen.outer_size)
            if difference is not None and not difference.parts:
                self.post_display_hook()
                return
            renderable = difference or renderable
        super()._display(screen, renderable)
