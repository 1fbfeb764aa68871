"""What goes to the terminal: the cells that are not as they were, in as few bytes as they take.

Textual sends every line of a widget that was refreshed, each run of cells with all its colours and a reset behind it.
Over SSH that is most of what a live dashboard sends, and nearly all of it shows already. `Wire` remembers what every
cell shows, as curses does, and writes the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import Color, ColorType
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.css.stylesheet import Stylesheet
from textual.geometry import Size
from textual.strip import SGR_STYLES, Strip

from tuiae.render.palette import GREYS
from tuiae.render.pixels import UPPER_HALF

# How cells are written: colours and attributes, and the shortest way from one to another.

LINES = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 12
"""Attributes that show on a blank: underline, reverse, struck, double underline, overline; others do not."""


class Pen(NamedTuple):
    """How cells are written: bits of SGR attributes, and parameters of the colours, empty for the terminal's own."""

    attributes: int = 0
    color: str | None = ""
    """None on a blank, where no colour shows."""
    background: str = ""
    link: str = ""


PLAIN = Pen()


@lru_cache(maxsize=16384)
def pens_of(style: Style | None) -> tuple[Pen, Pen]:
    """The pen for characters of a style, and the one for blanks, where less shows and so less must be changed."""
    if style is None:
        return PLAIN, PLAIN._replace(color=None)
    attributes = style._attributes & style._set_attributes
    pen = Pen(attributes, _parameters(style.color, True), _parameters(style.bgcolor, False), style.link or "")
    return pen, pen if attributes & LINES or pen.link else Pen(0, None, pen.background)


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


@lru_cache(maxsize=16384)
def change(before: Pen, after: Pen) -> str:
    """The shorter of two sequences that make one pen of another: what differs, or everything after a reset."""
    fresh = _codes(PLAIN, after)
    ways = [["", *fresh] if fresh else [""]]
    if not before.attributes & ~after.attributes:
        ways.append(_codes(before, after))
    sequences = [f"\x1b[{';'.join(way)}m" if way else "" for way in ways]
    return min(reversed(sequences), key=len)


def _codes(before: Pen, after: Pen) -> list[str]:
    added = after.attributes & ~before.attributes
    codes = [code for bit, code in enumerate(SGR_STYLES) if added >> bit & 1]
    if after.color != before.color:
        codes.append(after.color or "39")
    if after.background != before.background:
        codes.append(after.background or "49")
    return codes


_NEAR = 4
"""Unchanged cells that are rather written again than skipped: moving the cursor takes as many bytes."""
_KNOWN = 1024
"""Strips of which the cells are kept; a screen of 60 rows has some 300."""
_UNKNOWN = "\0"
"""In a cell of which nobody knows what it shows."""


@dataclass
class Row:
    """One line of the terminal: the text and the pen of each cell; the second half of a wide character is empty."""

    texts: list[str]
    pens: list[Pen]
    odd: bool = False
    """Whether a character may be among them that is not one cell wide."""


class Wire:
    """Takes Textual's updates of one terminal in their order, and gives what must be written for each."""

    def __init__(self) -> None:
        self._size = Size(0, 0)
        self._rows: list[Row] = []
        self._known: dict[int, tuple[Strip, tuple[list[str], list[Pen], bool]]] = {}

    def forget(self) -> None:
        """Nobody knows any more what the terminal shows: the next update is written whole."""
        self._size = Size(0, 0)

    def difference(self, update: CompositorUpdate, size: Size) -> str | None:
        """What changes the terminal, of `size` cells, as the update says; empty where nothing does.

        None for an update of a kind that is not known: it must be written as it is.
        """
        if isinstance(update, LayoutUpdate):
            strips = _layout_strips(update)
        elif isinstance(update, ChopsUpdate):
            strips = _chop_strips(update)
        else:
            self.forget()
            return None
        if size != self._size:
            self._size = size
            self._rows = [Row([_UNKNOWN] * size.width, [PLAIN] * size.width) for _ in range(size.height)]
        writer = _Writer(size.width)
        for x, y, strip in strips:
            if 0 <= y < size.height and x < size.width:
                self._write(writer, x, y, strip)
        return writer.done()

    def _write(self, writer: _Writer, x: int, y: int, strip: Strip) -> None:
        row = self._rows[y]
        if any(control or "\x1b" in text for text, _, control in strip):
            self._write_raw(writer, x, y, strip)
            return
        texts, pens, odd = self._cells(strip)
        room = self._size.width - x
        if len(texts) > room:
            texts, pens = texts[:room], pens[:room]
        end = x + len(texts)
        if texts == row.texts[x:end] and pens == row.pens[x:end]:
            return
        # Where terminals disagree on how wide something is, only a line that is written from its start is right.
        odd = odd or (row.odd and any(len(text) != 1 for text in row.texts[x:end]))
        row.odd = row.odd or odd
        for start, stop in [(0, len(texts))] if odd else _changed(row, x, texts, pens):
            writer.write(x + start, y, texts[start:stop], pens[start:stop])
        if odd:
            writer.lose_place()
        row.texts[x:end], row.pens[x:end] = texts, pens

    def _cells(self, strip: Strip) -> tuple[list[str], list[Pen], bool]:
        """`cells_of`, or what it was: Textual gives the same strips again for lines that were not drawn anew."""
        known = self._known.get(id(strip))
        if known is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            known = self._known[id(strip)] = (strip, cells_of(strip))  # with the strip, so that its id stays its own
        return known[1]

    def _write_raw(self, writer: _Writer, x: int, y: int, strip: Strip) -> None:
        """Sequences of their own, such as pictures: sent once, and what they cover is not known afterwards."""
        raw = "".join(segment.text for segment in strip)
        row, end = self._rows[y], x + strip.cell_length
        if row.texts[x:end] != [raw] * len(row.texts[x:end]):
            writer.write_raw(x, y, raw)
            row.texts[x:end] = [raw] * len(row.texts[x:end])
            row.odd = True


def _layout_strips(update: LayoutUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, line in enumerate(update.strips, update.region.y):
        x = update.region.x
        for strip in line:
            yield x, y, strip
            x += strip.cell_length


def _chop_strips(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, left, right in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is None or x > right or end <= left:
                continue
            yield x, y, strip if end <= right else strip.crop(0, right - x)


def cells_of(strip: Strip) -> tuple[list[str], list[Pen], bool]:
    """Text and pen of each cell, and whether a character among them is not one cell wide."""
    texts: list[str] = []
    pens: list[Pen] = []
    odd = False
    for text, style, control in strip:
        if control or not text:
            continue
        pen, blank = pens_of(style)
        if text[0] == UPPER_HALF and pen.color and pen.color[1:] == pen.background[1:]:
            text = " " * len(text)  # two equal pixels are the background alone, without a third byte a cell
        if text.isascii() or _is_even(text):
            texts.extend(text)
            pens.extend([blank if char == " " else pen for char in text] if " " in text else [pen] * len(text))
            continue
        odd = True
        for char in text:
            if char == "\0":
                continue
            width = cell_len(char)
            if width:
                texts += [char, *[""] * (width - 1)]
                pens += [pen] * width
            elif texts:
                texts[-1] += char
    return texts, pens, odd


@lru_cache(maxsize=8192)
def _is_even(text: str) -> bool:
    """Whether each character takes one cell."""
    return all(cell_len(char) == 1 for char in set(text))


def _changed(row: Row, x: int, texts: list[str], pens: list[Pen]) -> list[tuple[int, int]]:
    """From where to where a strip at `x` differs from the row; near parts of one pen as one."""
    parts: list[tuple[int, int]] = []
    for index, (text, pen) in enumerate(zip(texts, pens, strict=True)):
        if text == row.texts[x + index] and pen == row.pens[x + index]:
            continue
        if parts:
            start, stop = parts[-1]
            if index - stop <= _NEAR and all(between == pens[stop - 1] for between in pens[stop:index]):
                parts[-1] = (start, index + 1)
                continue
        parts.append((index, index + 1))
    return parts


class _Writer:
    """Puts one update together; it begins and ends with a plain pen."""

    def __init__(self, width: int) -> None:
        self._parts: list[str] = []
        self._pen = PLAIN
        self._width = width
        self._x = self._y = -1

    def write(self, x: int, y: int, texts: list[str], pens: list[Pen]) -> None:
        """Cells from (x, y) on."""
        self._move(x, y)
        for text, pen in zip(texts, pens, strict=True):
            if pen is not self._pen:
                self._take(pen)
            self._parts.append(text)
        self._x = x + len(texts)
        if self._x >= self._width:
            self.lose_place()  # terminals disagree on where the cursor stands behind the last column

    def write_raw(self, x: int, y: int, raw: str) -> None:
        """Something that leaves pen and cursor nobody knows where."""
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

    def _take(self, pen: Pen) -> None:
        if pen.color is None:
            kept = 0 if self._pen.attributes & LINES else self._pen.attributes
            pen = Pen(kept, self._pen.color, pen.background)
        before = self._pen
        self._pen = pen
        if pen.link or before.link:
            if pen.link != before.link:
                self._parts.append(f"\x1b]8;;{pen.link}\x1b\\")
            before, pen = before._replace(link=""), pen._replace(link="")
        self._parts.append(change(before, pen))


class Differences(CompositorUpdate):
    """An update that is only what `Wire` made of another."""

    def __init__(self, written: str) -> None:
        self._written = written

    def render_segments(self, console: Console) -> str:
        return self._written


# Styles that are parsed once: Textual parses all of them anew whenever it is not sure.

SOURCES = 1024
"""Parsed sources kept. Textual keeps 64, the dashboard has more, and then each new widget parses all of them again."""


class SteadyStylesheet(Stylesheet):
    """What `Stylesheet` is; the parsed rules stay until the variables change."""

    def __init__(self, *, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._parse_cache.grow(SOURCES)
        self._outdated = False

    def has_variables(self, variables: dict[str, str]) -> bool:
        """Whether the rules were parsed with these."""
        return variables == self._variables

    def set_variables(self, variables: dict[str, str]) -> None:
        if not self.has_variables(variables):
            super().set_variables(variables)
            self._outdated = True

    def reparse(self) -> None:
        if self._outdated:
            self._outdated = False
            super().reparse()
