"""The three standard streams as a command finds them: closed, full, or in an encoding that lacks its characters."""

from __future__ import annotations

import codecs
import gc
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO, cast

from tuiae.errors import ConfigError, ExitCode, TuiaeError


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


# Opening the dashboard, without what only the other commands need: it is to be seen within half a second.


def show_dashboard(run: Path | None, colors: str, ascii_only: bool, theme: str, graphics: bool) -> int:
    """Open the dashboard, on a run when one is given; needs a terminal. Returns the exit code.

    Raises:
        ConfigError: no terminal, or none of those colours or themes.
    """
    # Until the first paint nothing becomes garbage, and looking for it takes a tenth of that time; the app ends this.
    gc.disable()
    from tuiae.cli.output import is_terminal
    from tuiae.ui.terminal.mode import choose_mode

    if not (is_terminal(sys.stdout) and sys.stdin.isatty()):
        raise ConfigError(
            "the dashboard needs a terminal", "`tuiae run PRESET` trains without one, `tuiae --help` lists more"
        )
    # Milliseconds that Textual waits for what may follow an Escape; its 100 are felt. tmux and Vim wait 10 to 50.
    os.environ.setdefault("ESCDELAY", "40")
    # Paints a second at most. What comes just after one, as the answer to a key does, waits for the next.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    mode = choose_mode(colors, ascii_only, os.environ)
    if graphics:
        from tuiae.ui.terminal.mode import with_graphics

        mode = with_graphics(mode, sys.stdin.fileno(), sys.stdout.fileno())
    from tuiae.ui.app import open_dashboard

    return open_dashboard(run, mode, theme)


# What happens to a command as a whole: its streams, its errors, its exit code.


def enter() -> None:
    """Carry out the command line: errors become one sentence on stderr and the documented exit code."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if "--ascii" in arguments[1:]:  # stands before a command, and people put it behind
        arguments = ["--ascii", *(argument for argument in arguments if argument != "--ascii")]
    settle()
    try:
        _obey(arguments)
    except UnwritableError as error:
        _give_up_writing(error)
    except TuiaeError as error:
        if debug:
            import traceback

            traceback.print_exc()
        _tell(error, "--json" in arguments, "--ascii" in arguments or not knows_unicode())
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(ExitCode.OK)
    except SystemExit as end:
        # `tuiae runs | head`: the reader has seen enough. Typer and Rich both make an exit code of 1 of it.
        if isinstance(end.__context__, BrokenPipeError):
            sys.exit(ExitCode.OK)
        raise


def _obey(arguments: list[str]) -> None:
    try:
        if not arguments:
            # Without Typer and the commands, which take a tenth of the time to the first paint.

            sys.exit(show_dashboard(None, "auto", not knows_unicode(), "", False))
        from tuiae.cli import data, runs, studies  # noqa: F401 - they put their commands into the app
        from tuiae.cli.app import app

        app(arguments, prog_name="tuiae")
    finally:
        sys.stdout.flush()  # a disk that is full says so here, and not when Python ends


def _give_up_writing(error: UnwritableError) -> None:
    error.outlet.mute()
    try:
        _tell(error, as_json=False, as_ascii=not knows_unicode())
    except UnwritableError as other:  # both on one disk
        other.outlet.mute()
    sys.exit(error.exit_code)


def _tell(error: TuiaeError, as_json: bool, as_ascii: bool) -> None:
    if as_json:
        import json

        print(json.dumps(error.document()))
    from tuiae.render.text import harmless

    words = harmless("\n".join(error.lines()))
    if as_ascii:
        from tuiae.render.text import to_ascii

        words = to_ascii(words)
    print(words, file=sys.stderr)
