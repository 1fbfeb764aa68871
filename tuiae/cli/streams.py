"""The three standard streams as a command finds them: closed, full, or in an encoding that lacks its characters."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any, TextIO, cast

from tuiae.errors import TuiaeError


class Outlet:
    """A standard stream that says in a sentence when it takes nothing more, such as a file on a full disk."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self.name = name

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise self._full(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise self._full(error) from error

    def _full(self, error: OSError) -> Exception:
        # A reader that has seen enough is no error; Typer and Rich know it by its kind.
        return error if isinstance(error, BrokenPipeError) else UnwritableError(self, error)

    def mute(self) -> None:
        """Let what is still to come, and what could not be written, go nowhere."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class UnwritableError(TuiaeError):
    """A standard stream that results or progress cannot be written to."""

    def __init__(self, outlet: Outlet, error: OSError) -> None:
        hint = "send it somewhere else; `tuiae runs` lists what was trained, and what still trains goes on"
        super().__init__(f"cannot write to {outlet.name}: {error.strerror or error}", hint)
        self.outlet = outlet


def settle() -> None:
    """Have all three streams, and let no character stop a command; what was closed goes nowhere."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes this number, the lowest free one, before a file of a run does
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as we do
    sys.stdout = _outlet(sys.stdout, "standard output")
    sys.stderr = _outlet(sys.stderr, "standard error")


def _outlet(stream: TextIO, name: str) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # not the system's: somebody collects what is said
    stream.reconfigure(errors="replace")
    return cast("TextIO", Outlet(stream, name))


def knows_unicode() -> bool:
    """Whether what is drawn can be written to both streams as it is."""
    encodings = (getattr(stream, "encoding", None) for stream in (sys.stdout, sys.stderr))
    return all(codecs.lookup(encoding).name.startswith("utf") for encoding in encodings if encoding)
