"""Words and numbers: external text made safe, numbers made short, ASCII in place of signs, drawings put together."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import takewhile, zip_longest
from statistics import fmean

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tuiae.render import palette

UNKNOWN = "?"

_SIGNS_LIKE = {
    # Of frames the double ones mark the focus, so that they are not drawn as the others are.
    "-": "─━╌┄┈╍┅┉╴╶╸╺⎯‐‑‒–—―−▔🮂↔⇔·",  # "·" parts two things that are said: a full stop would end the first
    "|": "│┃╎┆┊╏┇┋╵╷╹╻▏▕▎▊▌▐▍▋▉¦",
    "+": "✓✔┌┐└┘┏┓┗┛╭╮╰╯├┤┬┴┼┠┨┯┷┣┫┳┻╋╠╣╦╩╬┡┩┢┪▒▄▃±",
    "=": "═‖",
    "#": "║╔╗╚╝█▓■▇▆▅◼▮▪",
    ">": "→▶▸►⇒➜❯›»≥",
    "<": "←◀◂◄⇐❮‹«≤⏎↵",
    "^": "↑▲▴⇑△▵",
    "v": "↓▼▾⇓▽▿",
    "*": "●◉★✱◆",  # signs that tell curves apart differ here too
    "o": "○◌◯°◇□☐▢•øœ",
    "x": "✗✘✕✖×╳",
    "@": "◦",
    "%": "◧",
    "n": "✎",
    "~": "…⋯∼≈◐",
    ".": "░∙⋅․",
    "_": "▂▁⎽",
    "'": "‘’′‚",
    '"': "“”″„▀",
    "/": "╱÷∕",
    "\\": "╲",
    " ": "\u00a0",
    "a": "æ",
    "b": "β",
    "d": "đ",
    "i": "ı",
    "l": "ł",
    "L": "Ł",
    "O": "Ø",
    "s": "ß",
    "u": "µμ",
}
_LIKE = {sign: like for like, signs in _SIGNS_LIKE.items() for sign in signs}
_BRAILLE = range(0x2800, 0x2900)
_UPPER, _LOWER = 0b0001_1011, 0b1110_0100
"""Dots of the upper and of the lower two rows of a braille cell, by their bits."""


def to_ascii(text: str) -> str:
    """Every character by the ASCII character that looks like it, letters without their accents, the rest by `?`."""
    return text if text.isascii() else "".join(map(_like, text))


@lru_cache(maxsize=4096)
def _like(char: str) -> str:
    width = cell_len(char)
    if char.isascii():
        return char
    if char in _LIKE:
        return _LIKE[char] * width
    if ord(char) in _BRAILLE:
        return _braille(ord(char) - _BRAILLE.start)
    letters = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode("ascii").strip()
    return letters[:width].ljust(width) if letters.isprintable() and letters else UNKNOWN * width


def _braille(dots: int) -> str:
    upper, lower = (dots & _UPPER).bit_count(), (dots & _LOWER).bit_count()
    if not dots:
        return " "
    if upper and lower:
        return "#" if upper + lower > 6 else ":" if upper + lower < 4 else "*"
    return "'" if upper else "."


MISSING = "–"
FOREVER = 1e11  # seconds, three thousand years: a clock that was wrong
LEVELS, ASCII_LEVELS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
ACCURACY = "accuracy"
"""The metric that is written in per cent, in words and on axes."""

# CSI, OSC up to BEL or ST, and the two-byte escapes: what a log or a file name can smuggle in.
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")

_FOREIGN_BYTE = re.compile("[\udc80-\udcff]")
"""How Python holds a byte of a file name that is not UTF-8."""


def clean(text: object, limit: int | None = None) -> str:
    """External text as one harmless line: no escapes or control characters, single spaces, at most `limit` cells."""
    words = map(harmless, _ESCAPES.sub("", str(text)).split())
    safe = " ".join(word for word in words if word)
    return safe if limit is None else shorten(safe, limit)


def harmless(text: str) -> str:
    """A text that may hold external words, without escapes and control characters but with its lines and blanks."""
    # Category C: controls, the direction marks that reorder a line, lone surrogates.
    bare = _FOREIGN_BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", _ESCAPES.sub("", text))
    return "".join(char for char in bare if char in "\n\t" or unicodedata.category(char)[0] != "C")


def first_parts(parts: Iterable[str], width: int) -> str:
    """As many of the first parts, the empty ones passed over, as fit into so many cells with ` · ` between them."""
    first, *others = [part for part in parts if part] or [""]
    for part in others:
        if cell_len(longer := f"{first} · {part}") > width:
            break
        first = longer
    return first


def shorten(text: str, limit: int) -> str:
    """At most `limit` cells, the last an ellipsis when something was cut."""
    if cell_len(text) <= limit:
        return text
    return set_cell_size(text, limit - 1).rstrip() + "…" if limit > 1 else "…"[: max(limit, 0)]


def shorten_middle(text: str, limit: int) -> str:
    """At most `limit` cells, with both ends of it: an id begins with its time and ends with what tells it apart."""
    if cell_len(text) <= limit or limit < 5:
        return shorten(text, limit)
    tail = (limit - 1) // 2
    first, last = set_cell_size(text, limit - 1 - tail).rstrip(), set_cell_size(text[::-1], tail).rstrip()[::-1]
    return f"{first}…{last}"


def tell_apart(texts: Sequence[str], limit: int) -> list[str]:
    """Each in at most `limit` cells: whole where all fit, else without the words that all begin with, and cut in the
    middle where it is still too long."""
    if all(cell_len(text) <= limit for text in texts):
        return [*texts]
    words = [text.split(" ") for text in texts]
    alike = 0
    if len(set(texts)) > 1:
        same = takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
        alike = min(sum(1 for _ in same), min(map(len, words)) - 1)
    return [shorten_middle("…" * bool(alike) + " ".join(one[alike:]), limit) for one in words]


def fitted(text: str, width: int, right: bool = False) -> str:
    """Exactly `width` cells: shortened, or padded behind; `right` pads before."""
    text = shorten(text, width)
    pad = " " * (width - cell_len(text))
    return pad + text if right else text + pad


_DECIMAL = re.compile(r"(\d+)\.\d+")


def caption(text: str, limit: int) -> str:
    """Shortened without losing a closing tick or cross; a number is rounded, as long as something of it remains."""
    if text.endswith((" ✓", " ✗")) and limit >= 4:
        return shorten(text[:-2], limit - 2) + text[-2:]
    if len(text) > limit and (found := _DECIMAL.fullmatch(text)) and len(found[1]) <= limit:
        rounded = f"{float(text):.{max(limit - len(found[1]) - 1, 0)}f}"
        return rounded if float(rounded) and len(rounded) <= limit else shorten(text, limit)
    return shorten(text, limit)


def in_mode(text: Text, mode: str) -> Text:
    """A drawing without any character above 127 where the mode is `ascii`."""
    if mode == "ascii":
        text.plain = to_ascii(text.plain)
    return text


def number(value: float | None) -> str:
    """Four significant digits: `0.01234`, `1.230`, `123.4`, `1.234e-5`; `–` for None and NaN."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    exponent = int(f"{value:.3e}".partition("e")[2])
    if -4 < exponent < 6:
        return f"{value:.{max(3 - exponent, 0)}f}"
    return f"{value:.3e}".replace("e-0", "e-").replace("e+0", "e")


def count(value: int | None) -> str:
    """`12,345`, and from a million on `1.2M`."""
    if value is None:
        return MISSING
    if abs(value) >= 10**15:
        return f"{value:.3g}"
    for unit, size in (("G", 10**9), ("M", 10**6)):
        if abs(value) >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:,}"


def rate(value: float | None, unit: str = "images/s") -> str:
    """`12,345 images/s`; empty where none was measured."""
    return f"{count(round(value))} {unit}" if value and math.isfinite(value) else ""


def of_epochs(epoch: int, epochs: int | None) -> str:
    """`1,271/40,000`, or `1,271/?` while nobody knows of how many."""
    return f"{epoch:,}/{epochs:,}" if epochs else f"{epoch:,}/?"


def megabytes(size: float) -> str:
    """Bytes as `under 0.1 MB`, `3.9 MB`, `412 MB`, `1.2 GB`."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    if 0 < size < 5e4:
        return "under 0.1 MB"
    return f"{size / 1e6:.1f} MB" if size < 1e7 else f"{size / 1e6:.0f} MB"


def duration(seconds: float | None) -> str:
    """`0:42`, `1:02:33`."""
    if seconds is None or not 0 <= seconds < FOREVER:
        return MISSING
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 as `88.3%`."""
    if share is None or not math.isfinite(share):
        return MISSING
    return f"{100 * share:.{digits}f}%"


def figure(metric: str, value: float | None) -> str:
    """The value of a metric: an accuracy as `95.17%`, of ten thousand images to the last one, all else as a number."""
    return percent(value, 2) if metric == ACCURACY else number(value)


def figures(metric: str, values: Sequence[float | None]) -> list[str]:
    """The values of a column, in one form: `0.000366` beside `0.001617`, as long as two digits of it are left."""
    words = [figure(metric, value) for value in values]
    decimals = max((len(word.partition(".")[2]) for word in words if re.fullmatch(r"-?\d+\.\d+", word)), default=0)
    return [
        f"{value:.{decimals}f}" if value and "e-" in word and abs(value) * 10**decimals >= 9.5 else word
        for value, word in zip(values, words, strict=True)
    ]


def centred(message: str, width: int, height: int, style: str = "dim") -> Text:
    """A message in the middle of an area, each line centred, on as many lines as it needs and the area has."""
    lines = wrapped(message, width, style, max(height, 0))
    for line in lines:
        line.pad_left((width - line.cell_len) // 2)
    return join_lines([Text()] * ((height - len(lines)) // 2) + lines)


def wrap(words: str, width: int, hanging: str = "", hyphens: bool = True) -> list[str]:
    """A sentence on lines of at most `width` cells, from the second on behind `hanging`. Breaks come at blanks and
    `hyphens`, and within words that are longer than a line or hold wide letters, which need no blanks."""
    if all(cell_len(char) == 1 for char in words):
        return textwrap.wrap(words, width, subsequent_indent=hanging, break_on_hyphens=hyphens)
    lines, line = list[str](), ""
    for word in words.split():
        size = cell_len(word)
        if line and cell_len(line) + 1 + size <= width:
            line += f" {word}"
        elif size <= width - len(hanging) and all(cell_len(char) < 2 for char in word):
            lines += [line] if line else []
            line = (hanging if lines else "") + word
        else:
            line += " " if line else ""
            for char in word:
                if cell_len(line + char) > width and line.strip():
                    lines.append(line.rstrip())
                    line = hanging
                line += char
    return [*lines, line] if line else lines


def wrapped(message: str, width: int, style: str = "", most: int | None = None) -> list[Text]:
    """A sentence on lines of `width` cells, at most `most` of them, the last with an ellipsis where something is cut;
    no line where there is no width."""
    lines = wrap(message, width) if width > 0 else []
    kept = lines[:most]
    if kept and len(kept) < len(lines):
        kept[-1] = f"{kept[-1]} {lines[len(kept)]}"
    return [Text(shorten(line, width), style, end="") for line in kept]


def progress_bar(share: float, cells: int, ascii_only: bool = False, style: str = palette.SKY) -> Text:
    """`━━━━━━━━━━`, coloured up to a share, 0 to 1, of its cells; beyond, it is empty or full."""
    full, rest = ("#", ".") if ascii_only else ("━", "━")
    done = round(min(max(share, 0.0), 1.0) * cells)
    return Text(end="").append(full * done, style).append(rest * (cells - done), "dim")


def levels(shares: Iterable[float], ascii_only: bool = False) -> str:
    """A block for each share, 0 to 1, as high as the share; in ASCII the more ink, the higher."""
    signs = ASCII_LEVELS if ascii_only else LEVELS
    return "".join(signs[round(share * (len(signs) - 1))] for share in shares)


HUGE = 1e300  # beyond it, differences of floats overflow


def spark(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """A line of blocks, one for each value or for the mean of several; logarithmic where all are above zero."""
    if not values or width <= 0:
        return ""
    size = max(1, -(-len(values) // width))
    bounded = [min(max(value, -HUGE), HUGE) for value in values]
    means = [fmean(bounded[start : start + size]) for start in range(0, len(values), size)]
    scaled = [math.log(value) for value in means] if min(means) > 0 else means
    low, high = min(scaled), max(scaled)
    return levels([(value - low) / ((high - low) or 1.0) for value in scaled], ascii_only)


def join_lines(lines: Sequence[Text]) -> Text:
    """Lines as one Text that is never wrapped."""
    text = Text("\n", end="").join(lines)
    text.no_wrap = True
    return text


def lines_of(drawing: Text) -> list[Text]:
    """The lines of a drawing, empty ones too."""
    return list(drawing.split("\n", allow_blank=True))


def in_the_middle(lines: Sequence[Text], width: int, height: int) -> Text:
    """A block of lines in the middle of an area."""
    left = " " * max((width - max(line.cell_len for line in lines)) // 2, 0)
    placed = [Text(left, end="").append_text(line) if line.plain else line for line in lines]
    return join_lines([Text()] * ((height - len(lines)) // 2) + placed)


def beside(left: Text, right: Text, width: int, level: bool = False) -> Text:
    """Two drawings beside each other, the left one `width` cells wide; with `level` their middles are level where the
    right one has fewer lines."""
    first, second = lines_of(left), lines_of(right)
    if level:
        second = [Text()] * ((len(first) - len(second)) // 2) + second
    joined = []
    for one, other in zip_longest(first, second, fillvalue=Text()):
        line = Text(end="", no_wrap=True).append_text(one)
        joined.append(line.append(" " * (width - one.cell_len)).append_text(other) if other.plain else line)
    return join_lines(joined)
