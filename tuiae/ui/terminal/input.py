"""What a terminal sends, cut into keys, mouse reports and pastes, so that no answer of the terminal acts as a key.

Textual types what it does not know letter by letter: the version report of tmux (`DCS > | tmux 3.4 ST`), come late,
pressed `t`, `m`, `u` and `x`. Here the bytes are first cut into whole sequences, as ECMA-48 defines them: strings (DCS,
OSC, APC, PM, SOS) up to their ST, and CSI with its parameters up to its final byte. Strings are dropped. Of the other
sequences Textual gets those of which it makes a message at once.
"""

from __future__ import annotations

import os
import re
import selectors
import time
from codecs import getincrementaldecoder
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from textual import constants, events
from textual.drivers import linux_driver
from textual.message import Message

XTermParser: Any = getattr(linux_driver, "XTermParser", None)
"""Textual's parser, which it keeps to itself: where it is missing, Textual reads its input in its own way."""
PATIENCE_SECONDS = 1.0
"""How long the rest of a sequence or of a paste is waited for; then a sequence is dropped, and a paste has ended."""
LONGEST_SECONDS = 5.0
"""How long a sequence may take that comes byte by byte; and for how long after one was dropped its rest may come."""
QUICK_SECONDS = 0.25
"""Between two bytes of one sequence. Somebody who presses keys because nothing happens is slower."""
BURST = 12
"""Characters in one read that somebody may have typed, over a slow line; more are text, as if pasted."""
LONGEST_CSI = 64

ESC, CTRL_C = "\x1b", "\x03"
_CONTROLS = {0xDC80 + byte: chr(0x80 + byte) if byte < 0x20 else None for byte in range(0x80)}
"""Bytes that are no UTF-8: control characters of 8 bits, or nothing."""
_TOKEN = re.compile(
    r"""
    (?P<string> (?: \x1b[P\]_^X] | [\x90\x98\x9d-\x9f] ) [^\x03\x07\x18\x1a\x1b\x9c]*
                (?: \x1b\\ | [\x07\x18\x1a\x9c] | \x1b (?= \x1b ) | (?= \x03 | \x1b[^\x1b\\] ) ) )
  | (?P<pasted> [^\x1b\x80-\x9f]+ (?: \x1b\[ | \x9b ) 201~ )
  | (?P<ending> [^\x03\x07\x1b\x80-\x9f]+ (?: \x1b\\ | [\x07\x9c] ) | \x1b\\ )
  | (?P<csi>    (?: \x1b\[ | \x9b ) (?: M.{3} | \[. | [0-?]+[ -/]*[@-~] | [ -/]*[@-LN-Z\\-~] ) )
  | (?P<ss3>    (?: \x1bO | \x8f ) [ -~] )
  | (?P<alt>    \x1b [^\x1bP\]_^XO\[\\\x80-\x9f] )
  | (?P<text>   [^\x1b\x80-\x9f]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_BEGUN = re.compile(
    r"(?: \x1b[P\]_^X] | [\x90\x98\x9d-\x9f] ) .* | (?: \x1b\[ | \x9b ) (?: M.{0,2} | \[ | [ -?]* ) | \x1bO? | \x8f",
    re.VERBOSE | re.DOTALL,
)
"""A token of which more is to come."""
_CERTAIN = re.compile(
    r"\x1b (?: \[ [0-?] | \] [\dlL] | P [\d>!$+=|] | _G | O [A-DF-S] | [X^] . )", re.VERBOSE | re.DOTALL
)
"""An ESC and two bytes that nobody presses one after the other."""
_BROKEN = re.compile(r"(?: \x1b\[ | \x9b ) (?: M[^\x1b]{0,2} | [ -?]* ) | .", re.VERBOSE | re.DOTALL)
"""The beginning of a sequence that something else interrupts."""
_PASTE_BEGINS, _PASTE_ENDS = re.compile(r"(?:\x1b\[|\x9b)200~"), re.compile(r"(?:\x1b\[|\x9b)201~")
_FOR_TEXTUAL = re.compile(r"\x1b\[(?: <[\d;-]+[mM] | \?\d+;\d\$y )", re.VERBOSE)
"""Mouse reports, and answers about modes that Textual asks for: all that counts of CSI with a private prefix."""
_KEY = re.compile(
    r"""
    \x1b (?: O . | \[ (?: \[ . | (?: 1? ; [\d:]+ )? [A-HPQSZ] | [IORa-d] | \d [\d;:]* [~^@u] | 48; [\d;:]* t ) )
    """,
    re.VERBOSE,
)
"""Sequences of keys, of the focus, and the size that Textual asks for. A report of the cursor ends like the key F3."""
_CUT_REPORT = re.compile(r"[<=>?]?[\d:;]*[;$][\d:;$]*[@-~]")
"""A report whose beginning went elsewhere, such as `62;22c` of `CSI ? 62;22c`."""
_SHORT_REPORT = re.compile(r"[<=>?]?\d+[ $]?[@-~]")
"""A report as short as `0n` of `CSI 0n`, which somebody may also type."""


class TerminalInput:
    """Makes messages of what a terminal sends."""

    def __init__(self, started: float = 0.0) -> None:
        """`started`: when this program began to read, perhaps in the middle of an answer to another one."""
        # What is no UTF-8 can be a control character of 8 bits.
        self._decode = getincrementaldecoder("utf-8")("surrogateescape").decode
        self._parser = XTermParser()
        self._begun = ""
        """The beginning of a sequence."""
        self._doubtful = False
        """Whether it can also be two keys, of which the first was Escape."""
        self._paste: str | None = None
        self._since = self._deadline = 0.0
        """When the sequence began, and until when the rest is waited for."""
        self._started, self._last = started, -PATIENCE_SECONDS
        self._escaped = -PATIENCE_SECONDS
        """When an ESC was taken for the key."""
        self._overdue = -PATIENCE_SECONDS
        """Until when the rest of what was dropped may come."""

    def wait(self, now: float, at_most: float) -> float:
        """The seconds until `tick` has something to do."""
        return max(0.0, min(at_most, self._deadline - now)) if self._waits else at_most

    @property
    def _waits(self) -> bool:
        return bool(self._begun) or self._paste is not None

    def tick(self, now: float) -> list[Message]:
        """What no longer waits for its rest."""
        if now < self._deadline or not self._waits:
            return []
        begun, self._begun = self._begun, ""
        if self._paste is not None:
            paste, self._paste = self._paste, None
            return [events.Paste(paste)]
        if self._doubtful:
            self._doubtful = False
            return list(self._messages(begun[1:]))
        if begun == ESC:
            self._escaped = now
            return [events.Key("escape", ESC)]
        self._overdue = self._deadline + LONGEST_SECONDS
        return []

    def feed(self, data: bytes, now: float) -> list[Message]:
        """What came in one read."""
        new = self._decode(data).translate(_CONTROLS)
        if not new:
            self._last = now
            return []
        # Something comes again and again, and it is no rest: this process is not late.
        messages = self.tick(now) if now < self._last + PATIENCE_SECONDS else []
        if self._doubtful and not _CERTAIN.match(self._begun + new):
            messages += self._messages(self._begun[1:])
            self._begun = ""
        self._doubtful = False
        if not self._waits and now < self._escaped + PATIENCE_SECONDS and _BEGUN.fullmatch(ESC + new[:1]):
            if new[1:]:
                new = ESC + new  # the rest of what was taken for the key
            elif now < self._escaped + QUICK_SECONDS:
                new, self._doubtful = ESC + new, True
        if CTRL_C in new:  # which nobody pastes: it must work whatever was lost
            self._begun, self._paste, new = "", None, new[new.index(CTRL_C) :]
        self._prolong(new, now)
        rest = not self._waits and self._is_rest(new, now)
        self._last = now
        text, self._begun = self._begun + new, ""
        if not rest:
            messages += self._messages(text)
        if self._begun == ESC:
            self._deadline = now + constants.ESCAPE_DELAY
        elif self._doubtful:
            self._deadline = now + QUICK_SECONDS
        return messages

    def _prolong(self, new: str, now: float) -> None:
        """Wait longer for the rest of what began, where `new` looks like a part of it."""
        if not self._waits:
            self._since, self._deadline = now, now + PATIENCE_SECONDS
        elif self._paste is not None:
            # What a terminal sends by itself is in no paste: the end of that got lost.
            if len(new) > 1 and not new.startswith(ESC):
                self._deadline = now + PATIENCE_SECONDS
        elif len(new) > 1 or now < self._last + QUICK_SECONDS or self._begun == ESC or "0" <= new <= "?":
            # A letter alone may be a key that is pressed because nothing happens.
            self._deadline = min(now, self._since + LONGEST_SECONDS - PATIENCE_SECONDS) + PATIENCE_SECONDS

    def _is_rest(self, new: str, now: float) -> bool:
        """Returns whether this is the end of an answer whose beginning went elsewhere, or was dropped."""
        if _CUT_REPORT.fullmatch(new):
            return True
        if now < self._started + PATIENCE_SECONDS and _SHORT_REPORT.fullmatch(new):
            return True
        return now < self._overdue and len(new) > 1 and new.isprintable()

    def _messages(self, text: str) -> Iterator[Message]:
        while text:
            if self._paste is not None:
                # Of what was searched before, the beginning of its end at most is of use.
                searched = max(0, len(self._paste) - 5)
                self._paste += text
                if (end := _PASTE_ENDS.search(self._paste, searched)) is None:
                    return
                paste, text, self._paste = self._paste[: end.start()], self._paste[end.end() :], None
                yield events.Paste(paste)
            elif (token := _TOKEN.match(text)) is not None:
                text = text[token.end() :]
                yield from self._of_token(token[0], token.lastgroup)
            elif _BEGUN.fullmatch(text) and (text[1:2] != "[" or len(text) < LONGEST_CSI):
                # Of a string only where it begins counts.
                self._begun = text if text[1:2] == "[" or len(text) < 3 else text[:2] + ESC * text.endswith(ESC)
                return
            else:
                if text.startswith(ESC + ESC):
                    yield events.Key("escape", ESC)
                text = _BROKEN.sub("", text, count=1)

    def _of_token(self, token: str, kind: str | None) -> Iterator[Message]:
        if kind == "pasted":
            yield events.Paste(_PASTE_ENDS.sub("", token))
        elif kind == "text" and len(token) > BURST:
            yield events.Paste(token)
        elif kind == "text":
            together = len(token) > 1 or self._last < self._overdue
            for key in self._parser.feed(token):
                yield BurstKey(key.key, key.character) if isinstance(key, events.Key) and together else key
        elif kind == "alt":
            for key in self._parser.feed(token[1]):
                if isinstance(key, events.Key):
                    yield events.Key(f"alt+{key.key}", key.character)
        elif kind in ("csi", "ss3"):
            token = token.replace("\x9b", "\x1b[").replace("\x8f", "\x1bO")
            if _PASTE_BEGINS.fullmatch(token):
                self._paste = ""
            elif len(token) <= LONGEST_CSI and (_FOR_TEXTUAL.fullmatch(token) or _is_key(token)):
                yield from self._parser.feed(token)


@lru_cache(maxsize=1024)
def _is_key(sequence: str) -> bool:
    """Returns whether Textual makes a message of a sequence at once; it would type any other letter by letter."""
    try:
        return _KEY.fullmatch(sequence) is not None and any(True for _ in XTermParser().feed(sequence))
    except (ValueError, OverflowError):  # of numbers that are no character
        return False


class BurstKey(events.Key):
    """A key that came with others in one read: it may be a letter of some text."""


BurstKey.handler_name = events.Key.handler_name


class TerminalDriver(linux_driver.LinuxDriver):
    """Textual's, which reads its input in our way."""

    def run_input_thread(self) -> None:
        """Read until the app ends or the terminal is gone."""
        if XTermParser is None:
            super().run_input_thread()
            return
        terminal_input = TerminalInput(time.monotonic())
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(terminal_input.wait(time.monotonic(), 0.1)):
                    data = os.read(self.fileno, 4096)
                    if not data:
                        return
                    messages = terminal_input.feed(data, time.monotonic())
                else:  # nothing is waiting: this process may have been late, and not the terminal
                    messages = terminal_input.tick(time.monotonic())
                for message in messages:
                    self.process_message(message)
