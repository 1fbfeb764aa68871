"""What goes to the terminal: the cells that are not as they were, in as few bytes as they take.

Textual sends every line of a widget that was refreshed, each run of cells with all its colours and a reset behind it;
nearly all of it shows already. `ScreenDiff` remembers what every cell shows, as curses does, and writes the difference:
of a run with an epoch a second, on 120x40 cells, 530 bytes a second instead of 12,450, and 24 kB instead of 128 until
the dashboard stands still after it was opened.

Private names of Textual are used in this module and nowhere else. Each gives way to what Textual does of itself: where
a module or an attribute is missing, whole updates are sent, and styles are worked out as often as Textual does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from rich.cells import cell_len
from rich.color import Color, ColorType
from rich.console import Console, RenderableType
from rich.style import Style
from textual import events, on
from textual.app import App
from textual.css.stylesheet import Stylesheet
from textual.geometry import Size
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import AwaitMount, Widget

from tuiae.render.palette import GREYS
from tuiae.render.pixels import UPPER_HALF

try:
    from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
except ImportError:

    class CompositorUpdate:  # type: ignore[no-redef]
        """No update of this Textual is one: each goes to the terminal as it is."""

    ChopsUpdate = LayoutUpdate = CompositorUpdate  # type: ignore[misc, assignment]

# How cells are written: colours and attributes, and the shortest way from one to another.

ATTRIBUTES = {
    "bold": "1",
    "dim": "2",
    "italic": "3",
    "underline": "4",
    "blink": "5",
    "blink2": "6",
    "reverse": "7",
    "conceal": "8",
    "strike": "9",
    "underline2": "21",
    "frame": "51",
    "encircle": "52",
    "overline": "53",
}
"""Attribute of a Rich style -> its SGR code; the place of each is its bit in `CellStyle.attributes`."""
SEEN_ON_BLANKS = ("underline", "reverse", "strike", "underline2", "overline")
BLANK_MASK = sum(1 << place for place, name in enumerate(ATTRIBUTES) if name in SEEN_ON_BLANKS)


class CellStyle(NamedTuple):
    """How a cell is written: bits of SGR attributes, and parameters of the colours, empty for the terminal's own."""

    attributes: int = 0
    color: str | None = ""
    """None on a blank, where no colour shows."""
    background: str = ""
    link: str = ""


PLAIN = CellStyle()


@lru_cache(maxsize=16384)
def cell_styles(style: Style | None) -> tuple[CellStyle, CellStyle]:
    """How the characters of a Rich style are written, and how its blanks, where less shows and so less must change."""
    if style is None:
        return PLAIN, PLAIN._replace(color=None)
    attributes = sum(1 << place for place, name in enumerate(ATTRIBUTES) if getattr(style, name))
    cell = CellStyle(attributes, _parameters(style.color, True), _parameters(style.bgcolor, False), style.link or "")
    return cell, cell if attributes & BLANK_MASK or cell.link else CellStyle(0, None, cell.background)


def _parameters(color: Color | None, foreground: bool) -> str:
    if color is None or color.is_default:
        return ""
    triplet = color.triplet
    if color.type is ColorType.TRUECOLOR and triplet is not None and triplet.red == triplet.green == triplet.blue:
        number = _GREY_NUMBERS.get(triplet.red)
        # The same colour in half of the bytes.
        if number is not None:
            return f"{38 if foreground else 48};5;{number}"
    return ";".join(color.get_ansi_codes(foreground))


_GREY_NUMBERS = {level: 232 + place for place, level in enumerate(GREYS)} | {0: 16, 255: 231}
_CODES = tuple(ATTRIBUTES.values())


@lru_cache(maxsize=16384)
def style_change(before: CellStyle, after: CellStyle) -> str:
    """The shorter of two sequences that make one style of another: what differs, or everything after a reset."""
    fresh = _codes(PLAIN, after)
    choices = [["", *fresh] if fresh else [""]]
    if not before.attributes & ~after.attributes:
        choices.append(_codes(before, after))
    sequences = [f"\x1b[{';'.join(codes)}m" if codes else "" for codes in choices]
    return min(reversed(sequences), key=len)


def _codes(before: CellStyle, after: CellStyle) -> list[str]:
    added = after.attributes & ~before.attributes
    codes = [code for bit, code in enumerate(_CODES) if added >> bit & 1]
    if after.color != before.color:
        codes.append(after.color or "39")
    if after.background != before.background:
        codes.append(after.background or "49")
    return codes


# The screen as it is known, and what has to be written to change it.

_NEAR = 4
"""Unchanged cells that are rather written again than skipped: moving the cursor takes as many bytes."""
_MOST_STRIPS = 1024  # of which the cells are kept; a screen of 60 rows has some 300
_UNKNOWN = "\0"
"""In a cell of which nobody knows what it shows."""


class Cells(NamedTuple):
    """A run of cells: text and style of each; the second half of a wide character is empty."""

    texts: list[str]
    styles: list[CellStyle]
    odd: bool
    """Whether a character may be among them that is not one cell wide."""


@dataclass
class _Change:
    """What cells of a row become once an update is written."""

    y: int
    x: int
    cells: Cells


class Difference(CompositorUpdate):
    """What of an update changes the terminal; when it is rendered, the terminal is known to show it."""

    def __init__(self, written: str, done: Callable[[], None]) -> None:
        self.written, self._done = written, done

    def render_segments(self, console: Console) -> str:
        self._done()
        return self.written


class ScreenDiff:
    """Takes Textual's updates of one terminal in their order, and gives what must be written for each."""

    def __init__(self) -> None:
        self._size = Size(0, 0)
        self._rows: list[Cells] = []
        self._known: dict[int, tuple[Strip, Cells]] = {}

    def forget(self) -> None:
        """Nobody knows any more what the terminal shows: the next update is written whole."""
        self._size = Size(0, 0)

    def difference(self, update: CompositorUpdate, size: Size) -> Difference | None:
        """What changes the terminal, of `size` cells, as an update says; its `written` is empty where nothing does.

        None for an update of a kind that is not known: it must be sent as it is.
        """
        try:
            strips = list(_strips(update))
        except (AttributeError, TypeError):
            self.forget()
            return None
        rows = self._rows
        if size != self._size:
            rows = [Cells([_UNKNOWN] * size.width, [PLAIN] * size.width, False) for _ in range(size.height)]
        writer, changes = _Writer(size.width), []
        for x, y, strip in strips:
            if 0 <= y < size.height and x < size.width:
                change = self._write(writer, rows[y], x, y, strip)
                changes += [change] if change else []

        def done() -> None:
            self._size, self._rows = size, rows
            for change in changes:
                row, end = rows[change.y], change.x + len(change.cells.texts)
                row.texts[change.x : end], row.styles[change.x : end] = change.cells.texts, change.cells.styles
                rows[change.y] = row._replace(odd=row.odd or change.cells.odd)

        return Difference(writer.done(), done)

    def _write(self, writer: _Writer, row: Cells, x: int, y: int, strip: Strip) -> _Change | None:
        room = len(row.texts) - x
        if any(control or "\x1b" in text for text, _, control in strip):
            return _write_raw(writer, row, x, y, strip)
        texts, styles, odd = self._cells(strip)
        texts, styles = texts[:room], styles[:room]
        end = x + len(texts)
        if texts == row.texts[x:end] and styles == row.styles[x:end]:
            return None
        # Where terminals disagree on how wide something is, only a line that is written from its start is right.
        odd = odd or (row.odd and any(len(text) != 1 for text in row.texts[x:end]))
        for start, stop in [(0, len(texts))] if odd else _changed(row, x, texts, styles):
            writer.write(x + start, y, texts[start:stop], styles[start:stop])
        if odd:
            writer.lose_place()
        return _Change(y, x, Cells(texts, styles, odd))

    def _cells(self, strip: Strip) -> Cells:
        """`cells_of`, or what it was: Textual gives the same strips again for lines that were not drawn anew."""
        known = self._known.get(id(strip))
        if known is None:
            if len(self._known) >= _MOST_STRIPS:
                self._known.clear()
            known = self._known[id(strip)] = (strip, cells_of(strip))  # with the strip, so that its id stays its own
        return known[1]


def _write_raw(writer: _Writer, row: Cells, x: int, y: int, strip: Strip) -> _Change | None:
    """Sequences of their own, such as pictures: sent once, and what they cover is not known afterwards."""
    raw = "".join(segment.text for segment in strip)
    before = row.texts[x : x + strip.cell_length]
    if before == [raw] * len(before):
        return None
    writer.write_raw(x, y, raw)
    return _Change(y, x, Cells([raw] * len(before), [PLAIN] * len(before), True))


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


def cells_of(strip: Strip) -> Cells:
    """The cells of a strip."""
    texts: list[str] = []
    styles: list[CellStyle] = []
    odd = False
    for text, style, control in strip:
        if control or not text:
            continue
        full, blank = cell_styles(style)
        if text[0] == UPPER_HALF and full.color and full.color[1:] == full.background[1:]:
            text = " " * len(text)  # two equal pixels are the background alone, without a third byte a cell
        if text.isascii() or _is_even(text):
            texts.extend(text)
            styles.extend([blank if char == " " else full for char in text] if " " in text else [full] * len(text))
            continue
        odd = True
        for char in text:
            if char == "\0":
                continue
            width = cell_len(char)
            if width:
                texts += [char, *[""] * (width - 1)]
                styles += [full] * width
            elif texts:
                texts[-1] += char
    return Cells(texts, styles, odd)


@lru_cache(maxsize=8192)
def _is_even(text: str) -> bool:
    """Whether each character takes one cell."""
    return all(cell_len(char) == 1 for char in set(text))


def _changed(row: Cells, x: int, texts: list[str], styles: list[CellStyle]) -> list[tuple[int, int]]:
    """From where to where a strip at `x` differs from the row; near parts of one style as one."""
    parts: list[tuple[int, int]] = []
    for index, (text, style) in enumerate(zip(texts, styles, strict=True)):
        if text == row.texts[x + index] and style == row.styles[x + index]:
            continue
        if parts:
            start, stop = parts[-1]
            if index - stop <= _NEAR and all(between == styles[stop - 1] for between in styles[stop:index]):
                parts[-1] = (start, index + 1)
                continue
        parts.append((index, index + 1))
    return parts


class _Writer:
    """Puts one update together; it begins and ends with a plain style."""

    def __init__(self, width: int) -> None:
        self._parts: list[str] = []
        self._style = PLAIN
        self._width = width
        self._x = self._y = -1

    def write(self, x: int, y: int, texts: list[str], styles: list[CellStyle]) -> None:
        """Cells from (x, y) on."""
        self._move(x, y)
        for text, style in zip(texts, styles, strict=True):
            if style is not self._style:
                self._take(style)
            self._parts.append(text)
        self._x = x + len(texts)
        if self._x >= self._width:
            self.lose_place()  # terminals disagree on where the cursor stands behind the last column

    def write_raw(self, x: int, y: int, raw: str) -> None:
        """Something that leaves the cursor nobody knows where."""
        self._take(PLAIN)
        self._move(x, y)
        self._parts.append(raw)
        self.lose_place()

    def lose_place(self) -> None:
        """Where the cursor is now is not sure."""
        self._y = -1

    def done(self) -> str:
        self._take(PLAIN)
        return "".join(self._parts)

    def _move(self, x: int, y: int) -> None:
        if (x, y) == (self._x, self._y):
            return
        if y == self._y and x > self._x:
            distance = x - self._x
            self._parts.append(f"\x1b[{distance if distance > 1 else ''}C")
        else:
            self._parts.append(f"\x1b[{y + 1};{x + 1}H")
        self._x, self._y = x, y

    def _take(self, style: CellStyle) -> None:
        if style.color is None:
            kept = 0 if self._style.attributes & BLANK_MASK else self._style.attributes
            style = CellStyle(kept, self._style.color, style.background)
        before, self._style = self._style, style
        if style.link or before.link:
            if style.link != before.link:
                self._parts.append(f"\x1b]8;;{style.link}\x1b\\")
            before, style = before._replace(link=""), style._replace(link="")
        self._parts.append(style_change(before, style))


# Styles that are worked out once: Textual does so anew whenever it is not sure.

PARSED_SOURCES = (
    1024  # kept; Textual keeps 64, the dashboard has more, and each new widget would parse all of them again
)


class SteadyStylesheet(Stylesheet):
    """A style sheet whose parsed rules stay until the variables change."""

    def __init__(self, *, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._of_theme = variables
        self._outdated = False
        if (cache := getattr(self, "_parse_cache", None)) is not None:
            cache.grow(PARSED_SOURCES)

    def has_variables(self, variables: dict[str, str]) -> bool:
        """Whether the rules were parsed with these."""
        return variables == self._of_theme

    def set_variables(self, variables: dict[str, str]) -> None:
        if not self.has_variables(variables):
            super().set_variables(variables)
            self._of_theme = variables
            self._outdated = True

    def reparse(self) -> None:
        if self._outdated:
            self._outdated = False
            super().reparse()


def is_styled(screen: Screen[Any]) -> bool:
    """Whether the widgets of a screen have the styles of today; False where Textual does not say."""
    counts = [getattr(node, "_css_update_count", None) for node in (screen, screen.app)]
    return counts[0] is not None and counts[0] == counts[1]


class SteadyScreen(Screen[None]):
    """A screen that is styled once for each theme: doing it again takes a tenth of a second beside a training."""

    def be_styled(self, width: int, height: int) -> None:
        """Have this size and today's styles before there are widgets, which would then be styled a second time."""
        if hasattr(self.app, "_css_update_count"):
            self._css_update_count = self.app._css_update_count
        for size, breakpoints in ((width, self.app.HORIZONTAL_BREAKPOINTS), (height, self.app.VERTICAL_BREAKPOINTS)):
            if passed := [(least, name) for least, name in breakpoints or () if least <= size]:
                self.add_class(max(passed)[1], update=False)

    @on(events.ScreenResume)
    def _say_whether_styled(self, event: events.ScreenResume) -> None:
        # Textual styles a whole screen anew each time it shows, although only another theme would change anything.
        event.refresh_styles = not is_styled(self)

    def _watch_maximized(self, before: Widget | None, now: Widget | None) -> None:
        # Textual styles each widget anew; these classes mean something to the screen and to that one widget alone.
        self.set_class(now is not None, "-maximized-view", update=False)
        self.app.stylesheet.update_nodes([self])
        if before is not None:
            before.remove_class("-maximized")
        if now is not None:
            now.add_class("-maximized")
        self.refresh_bindings()


Result = TypeVar("Result")


class SteadyApp(App[Result], Generic[Result]):
    """An app that sends what changed, and works out styles when there is a reason."""

    def __init__(self) -> None:
        super().__init__()
        self._diff = ScreenDiff()
        self._modes_shown: set[str] = set()

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, lambda app: self._diff.forget(), immediate=True)

    def keep_styles(self) -> None:
        """From now on rules stay parsed until the theme changes."""
        self.stylesheet = SteadyStylesheet(variables=self.get_css_variables())

    @property
    def _has_styles(self) -> bool:
        sheet = self.stylesheet
        return isinstance(sheet, SteadyStylesheet) and sheet.has_variables(self.get_css_variables())

    def _invalidate_css(self) -> None:
        if self.is_running and not self._has_styles:
            super()._invalidate_css()

    def refresh_css(self, animate: bool = True) -> None:
        """Textual's, where there is a reason: it also asks for it as the app begins, before anything has changed."""
        if not (self.screen_stack and is_styled(self.screen) and self._has_styles):
            super().refresh_css(animate)

    def switch_mode(self, mode: str) -> AwaitMount:
        self._comes_back = mode in self._modes_shown
        self._modes_shown |= {self.current_mode, mode}
        return super().switch_mode(mode)

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
            if difference is not None and not difference.written:
                self.post_display_hook()
                return
            renderable = difference or renderable
        super()._display(screen, renderable)
