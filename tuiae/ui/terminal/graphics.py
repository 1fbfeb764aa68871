"""Real pictures: which protocol the terminal understands, asked before the dashboard takes the terminal over."""

from __future__ import annotations

import logging
import os
import re
import select
import termios
import time
import tty
from dataclasses import replace

from tuiae.errors import TuiaeError
from tuiae.ui.terminal.mode import Graphics, TerminalMode

SECONDS = 2.0  # for the answers, which every terminal gives; over a slow line they take their time
_QUERY = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c\x1b[5n"
"""May I send a kitty picture; which terminal are you; are you well. Terminals answer in order, and the last always."""
_LAST = b"\x1b[0n"
_KITTY = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL = b"4"  # among the attributes of a terminal (DEC VT340 and after)


class GraphicsError(TuiaeError):
    """Pictures were asked for, and the extra or the terminal's support is not there."""


def with_graphics(mode: TerminalMode, input_fd: int, output_fd: int) -> TerminalMode:
    """The mode, with the protocol to draw pictures by.

    Raises:
        GraphicsError: textual-image is not installed, or the terminal knows neither protocol.
    """
    if mode.ascii or mode.colors != "truecolor":
        # Kitty's pictures are named by colours.
        raise GraphicsError("--graphics needs a terminal of all colours", "go without --graphics, --ascii and --colors")
    # It would say on the terminal what it could not find out.
    logging.getLogger("textual_image").addHandler(logging.NullHandler())
    try:
        # Now, because it asks the terminal as well while it is imported, and the dashboard would take the answers.
        import textual_image.widget  # noqa: F401
    except ImportError:
        raise GraphicsError(
            "--graphics needs textual-image", "pip install 'tuiae[graphics]', or go without --graphics"
        ) from None
    found = protocol_in(ask(input_fd, output_fd))
    if not found:
        raise GraphicsError(
            "this terminal says that it can draw neither kitty nor sixel pictures",
            "go without --graphics; tmux and screen pass none on",
        )
    return replace(mode, graphics=found)


def ask(input_fd: int, output_fd: int, seconds: float = SECONDS) -> bytes:
    """Everything that the terminal answers, up to the answer to the last question, so that nothing is left behind."""
    before = termios.tcgetattr(input_fd)
    answer, end = b"", time.monotonic() + seconds
    try:
        tty.setcbreak(input_fd, termios.TCSANOW)
        os.write(output_fd, _QUERY)
        while not answer.endswith(_LAST) and (left := end - time.monotonic()) > 0:
            if select.select([input_fd], [], [], left)[0]:
                answer += os.read(input_fd, 1024)
    finally:
        termios.tcsetattr(input_fd, termios.TCSANOW, before)
    return answer


def protocol_in(answer: bytes) -> Graphics:
    """What the answers say; kitty's pictures first, because they stay where text is drawn."""
    if _KITTY.search(answer):
        return "kitty"
    attributes = _ATTRIBUTES.search(answer)
    return "sixel" if attributes and _SIXEL in attributes[1].split(b";") else ""
