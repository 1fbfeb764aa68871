"""The entry to the command line: the dashboard without Typer, errors as sentences, streams that are closed or full."""

from __future__ import annotations

import codecs
import gc
import io
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from tuiae import __version__
from tuiae.errors import ConfigError, ExitCode, TuiaeError
from tuiae.machine import LEAVING, STOPPING, Interrupt

if TYPE_CHECKING:
    from tuiae.cli.output import Output


def enter() -> None:
    """Carry out the command line: errors become one sentence on stderr and the documented exit code."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if "--ascii" in arguments[1:]:  # belongs before the command, but people write it behind
        arguments = ["--ascii", *(argument for argument in arguments if argument != "--ascii")]
    prepare_streams()
    for number in (*STOPPING, *LEAVING):
        # What is half done is cleared away, and the terminal restored; who trains listens to signals in another way.
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        _run(arguments)
    except UnwritableError as error:
        _give_up_writing(error)
    except TuiaeError as error:
        _fail(error, arguments, debug)
    except BrokenPipeError:
        sys.exit(ExitCode.OK)
    except SystemExit as end:
        # `tuiae runs | head`: the reader has seen enough. Typer and Rich both turn that into an exit code of 1.
        if isinstance(end.__context__, BrokenPipeError):
            sys.exit(ExitCode.OK)
        raise
    except Exception as error:
        if _was_interrupted(error):
            sys.exit(ExitCode.INTERRUPTED)
        if (known := _explain_device(error)) is None:
            raise
        _fail(known, arguments, debug)


def _fail(error: TuiaeError, arguments: list[str], debug: bool) -> NoReturn:
    if debug:
        import traceback

        traceback.print_exc()
    _print_error(error, "--json" in arguments, "--ascii" in arguments or not knows_unicode())
    sys.exit(error.exit_code)


def _explain_device(error: Exception) -> TuiaeError | None:
    """What a card that is full or fails raises, in words; None for any other error."""
    if "torch" not in sys.modules:
        return None
    from tuiae.training.device import explain_cuda

    return explain_cuda(error)


def _was_interrupted(error: BaseException | None) -> bool:
    """Returns whether an error is what a library made of an interruption."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _run(arguments: list[str]) -> None:
    try:
        if not arguments:
            # Typer and the commands would take a tenth of the time to the first paint.
            sys.exit(ScreenOptions(ascii=not knows_unicode()).show_dashboard())
        if arguments == ["--version"]:
            print(f"tuiae {__version__}")  # Typer's imports would take three times as long as all the rest
            return
        from tuiae.cli.supplies import app

        app(arguments, prog_name="tuiae")
    finally:
        sys.stdout.flush()  # a full disk is noticed here, and not when Python ends


@dataclass(frozen=True)
class ScreenOptions:
    """How output and dashboard look: the options before a command."""

    ascii: bool
    colors: str = "auto"
    theme: str = ""
    graphics: bool = False

    def output(
        self,
        json: bool = False,
        plain: bool = False,
        plot: bool = False,
        x: str = "",
        log_x: bool = False,
        log_y: bool = False,
    ) -> Output:
        """The output of a command with these options of its own. Who asks for an axis asks for a plot."""
        from tuiae.cli.output import Output
        from tuiae.render.curves import Look

        plot = plot or bool(x) or log_x or log_y
        return Output(json, plain, self.ascii, self.colors, plot, Look(x or "epoch", log_x, log_y))

    def abilities(self) -> dict[str, Any]:
        """What a terminal can: `is_terminal`, `unicode`, `colors`, and with --graphics `graphics`, the protocol of its
        pictures."""
        from tuiae.ui.terminal.mode import ask, choose_mode, protocol_in

        found = {"is_terminal": is_terminal(sys.stdout), "unicode": knows_unicode(), "graphics": ""}
        if self.graphics and found["is_terminal"] and sys.stdin.isatty():  # some terminals print the question
            found["graphics"] = protocol_in(ask(sys.stdin.fileno(), sys.stdout.fileno()))
        return {**found, "colors": choose_mode(self.colors, self.ascii, os.environ).colors}

    def show_dashboard(self, run: Path | None = None) -> int:
        """Open the dashboard, on a run when one is given. Returns the exit code.

        Raises:
            ConfigError: there is no terminal. GraphicsError: the terminal draws no pictures.
        """
        # Until the first paint nothing becomes garbage, and looking for it takes a tenth of that time.
        gc.disable()  # the app ends this
        from tuiae.ui.terminal.mode import choose_mode, with_graphics

        if not (is_terminal(sys.stdout) and sys.stdin.isatty()):
            hint = "`tuiae run PRESET` trains without one, `tuiae --help` lists more"
            raise ConfigError("the dashboard needs a terminal", hint)
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)  # exported, they would fix the size: the terminal's own counts, and its changes
        # Milliseconds that Textual waits for what may follow an Escape; its 100 are felt. tmux and Vim wait 10 to 50.
        os.environ.setdefault("ESCDELAY", "40")
        # Paints a second at most. What comes just after one, as the answer to a key does, waits for the next.
        os.environ.setdefault("TEXTUAL_FPS", "120")
        mode = choose_mode(self.colors, self.ascii, os.environ)
        if self.graphics:
            mode = with_graphics(mode, sys.stdin.fileno(), sys.stdout.fileno())
        with (interrupt := Interrupt()).listening(*LEAVING):  # until the dashboard does so itself
            from tuiae.ui.app import open_dashboard

            return open_dashboard(run, mode, self.theme, interrupt)


_BEYOND = re.compile(r"\S{1000,}")
"""A word that is longer than any path that people have."""


def _print_error(error: TuiaeError, as_json: bool, as_ascii: bool) -> None:
    if as_json:
        import json

        print(json.dumps(error.document()))
    from tuiae.render.text import harmless, to_ascii

    words = _BEYOND.sub(lambda found: f"{found[0][:200]}…{found[0][-50:]}", harmless("\n".join(error.lines())))
    print(to_ascii(words) if as_ascii else words, file=sys.stderr)


def _give_up_writing(error: UnwritableError) -> None:
    error.stream.mute()
    try:
        _print_error(error, as_json=False, as_ascii=not knows_unicode())
    except UnwritableError as other:  # both on one disk
        other.stream.mute()
    sys.exit(error.exit_code)


# The standard streams as a command finds them: closed, full, or in an encoding that lacks its characters.


def prepare_streams() -> None:
    """Make all three streams usable: a closed one leads nowhere, and a character that cannot be written becomes `?`."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes this number, the lowest free one, before a file of a run does
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as we do
    for name, words in (("stdout", "standard output"), ("stderr", "standard error")):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # otherwise somebody collects what is printed
            stream.reconfigure(errors="replace")
            setattr(sys, name, CheckedStream(stream, words))


class CheckedStream:
    """A standard stream that raises UnwritableError when it takes nothing more, such as a file on a full disk."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self.name = name

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise self._unwritable(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> Exception:
        # A reader that has seen enough is no error; Typer and Rich know it by its kind.
        return error if isinstance(error, BrokenPipeError) else UnwritableError(self, error)

    def mute(self) -> None:
        """Send what is still to come, and what could not be written, nowhere."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class UnwritableError(TuiaeError):
    """A standard stream that results or progress cannot be written to."""

    def __init__(self, stream: CheckedStream, error: OSError) -> None:
        hint = "write somewhere else; `tuiae runs` lists what was trained, and live trainings go on"
        super().__init__(f"cannot write to {stream.name}: {error.strerror or error}", hint)
        self.stream = stream


def knows_unicode() -> bool:
    """Returns whether both streams can carry every character."""
    encodings = (getattr(stream, "encoding", None) for stream in (sys.stdout, sys.stderr))
    return all(codecs.lookup(encoding).name.startswith("utf") for encoding in encodings if encoding)


def is_terminal(stream: TextIO) -> bool:
    """Returns whether escape codes may be sent to the stream."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
