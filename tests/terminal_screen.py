"""What a terminal does with bytes: draw them, answer the queries among them, remember what they switched."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import pyte
from pyte.screens import StaticDefaultDict

ALTERNATE_SCREEN = 1049

# Sequences that pyte would draw as text or stumble over: strings, private ones other than modes, intermediates.
UNKNOWN = re.compile(
    rb"\x1b[PX^_].*?\x1b\\|\x1b\[[<=>][0-?]*[ -/]*[@-~]|\x1b\[\?[0-9;]*(?![hl0-9;])[ -/]*[@-~]|\x1b\[[0-?]*[ -/]+[@-~]",
    re.DOTALL,
)
TORN = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[PX^_](?:(?!\x1b\\).)*)?\Z", re.DOTALL)

# Queries that programs wait for; XTVERSION goes unanswered, as in many terminals.
QUERIES = re.compile(
    rb"\x1b\[0?c|(?P<cursor>\x1b\[6n)|\x1b\[\?(?P<mode>\d+)\$p|\x1b\](?P<colour>1[01]);\?(?:\x07|\x1b\\)"
    rb"|(?P<kitty>\x1b\[\?u)|(?P<health>\x1b\[5n)|(?P<picture>\x1b_G[^\x1b]*a=q[^\x1b]*\x1b\\)"
)
LONGEST_QUERY = 64  # bytes

SWITCH = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
LEFT_ON = {
    ALTERNATE_SCREEN: "alternate screen",
    **dict.fromkeys((1000, 1002, 1003, 1006, 1015, 1016), "mouse"),
    1004: "focus events",
    2004: "bracketed paste",
    2026: "synchronized output",
    2048: "in-band resize",
}
LEFT_OFF = {25: "hidden cursor", 7: "no wrapping"}


class Screen(pyte.Screen):
    """pyte's screen with the alternate screen, which pyte leaves out, and deaf to what pyte does not understand."""

    def __init__(self, columns: int, rows: int) -> None:
        self._main: Any = None
        self._torn = b""
        super().__init__(columns, rows)
        self._stream = pyte.ByteStream(self)

    def take(self, chunk: bytes) -> None:
        """Draw a chunk, which may end inside a sequence."""
        data = self._torn + chunk
        torn = TORN.search(data)
        end = torn.start() if torn else len(data)
        self._torn = data[end:]
        self._stream.feed(UNKNOWN.sub(b"", data[:end]))

    def rows(self) -> list[str]:
        """What it shows, without trailing blanks."""
        # pyte's own `display` stumbles over the second half of a wide character whose first was written over.
        lines = (self.buffer[y] for y in range(self.lines))
        return ["".join(line[x].data for x in range(self.columns)).rstrip() for line in lines]

    def colours(self, region: tuple[int, int, int, int]) -> list[tuple[str, str]]:
        """Foreground and background of the cells from (left, top) to (right, bottom), both within."""
        left, top, right, bottom = region
        cells = (self.buffer[y][x] for y in range(top, bottom + 1) for x in range(left, right + 1))
        return [(cell.fg, cell.bg) for cell in cells]

    def set_mode(self, *modes: int, **options: Any) -> None:
        if options.get("private") and ALTERNATE_SCREEN in modes and self._main is None:
            self.save_cursor()
            self._main, self.buffer = self.buffer, defaultdict(lambda: StaticDefaultDict[int, Any](self.default_char))
        super().set_mode(*modes, **options)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        if options.get("private") and ALTERNATE_SCREEN in modes and self._main is not None:
            self._main, self.buffer = None, self._main
            self.restore_cursor()
        super().reset_mode(*modes, **options)


def answers(data: bytes, pictures: bool = False) -> tuple[list[bytes], bytes]:
    """Replies to the queries in `data`, and its end, which may hold the beginning of another.

    `pictures`: as a terminal that draws kitty's.
    """
    queries = list(QUERIES.finditer(data))
    done = queries[-1].end() if queries else 0
    return [_reply(query, pictures) for query in queries], data[max(done, len(data) - LONGEST_QUERY) :]


def _reply(query: re.Match[bytes], pictures: bool) -> bytes:
    """As an xterm with synchronized output and white on black would."""
    if query["mode"]:
        return b"\x1b[?%s;%d$y" % (query["mode"], 2 if query["mode"] == b"2026" else 0)
    if query["colour"]:
        return b"\x1b]%s;rgb:%s\x1b\\" % (query["colour"], b"ffff/ffff/ffff" if query["colour"] == b"10" else b"0/0/0")
    if query["kitty"]:
        return b"\x1b[?0u"
    if query["health"]:
        return b"\x1b[0n"
    if query["picture"]:
        number = re.search(rb"i=(\d+)", query["picture"])
        return b"\x1b_Gi=%s;OK\x1b\\" % number[1] if pictures and number else b""
    return b"\x1b[1;1R" if query["cursor"] else b"\x1b[?62;22c"


def left_on(raw: bytes) -> set[str]:
    """What these bytes switched and did not switch back, in words."""
    last = {int(mode): switch == b"h" for modes, switch in SWITCH.findall(raw) for mode in modes.split(b";") if mode}
    left = {name for mode, name in LEFT_ON.items() if last.get(mode, False)}
    left |= {name for mode, name in LEFT_OFF.items() if not last.get(mode, True)}
    if len(re.findall(rb"\x1b\[>\d*u", raw)) > len(re.findall(rb"\x1b\[<\d*u", raw)):
        left.add("kitty keyboard")
    return left
