"""What happens to a command as a whole: its streams, its errors, its exit code."""

from __future__ import annotations

import sys

from tuiae.cli.streams import UnwritableError, knows_unicode, settle
from tuiae.errors import ExitCode, TuiaeError


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
            from tuiae.cli.dashboard import show_dashboard

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
    from tuiae.ui.render.text import harmless

    words = harmless("\n".join(error.lines()))
    if as_ascii:
        from tuiae.ui.render.ascii import to_ascii

        words = to_ascii(words)
    print(words, file=sys.stderr)
