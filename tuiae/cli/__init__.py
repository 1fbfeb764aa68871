"""The command line: each command a few lines, heavy imports inside it."""

from __future__ import annotations

import sys

from tuiae.errors import ExitCode, TuiaeError


def main() -> None:
    """Entry point: errors become one sentence on stderr and the documented exit code."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        _obey(arguments)
    except TuiaeError as error:
        if debug:
            raise
        _tell(error, "--json" in arguments, "--ascii" in arguments)
        sys.exit(error.exit_code)
    except SystemExit as end:
        # `tuiae runs | head`: the reader has seen enough. Typer and Rich both make an exit code of 1 of it.
        if isinstance(end.__context__, BrokenPipeError):
            sys.exit(ExitCode.OK)
        raise


def _obey(arguments: list[str]) -> None:
    if not arguments:
        # Without Typer and the commands, which take a tenth of the time to the first paint.
        from tuiae.cli.dashboard import show_dashboard

        sys.exit(show_dashboard(None, "auto", False, "", False))
    from tuiae.cli import data, runs, studies  # noqa: F401 - they put their commands into the app
    from tuiae.cli.app import app

    app(arguments, prog_name="tuiae")


def _tell(error: TuiaeError, as_json: bool, as_ascii: bool) -> None:
    if as_json:
        import json

        print(json.dumps(error.document()))
    words = "\n".join(error.lines())
    if as_ascii:
        from tuiae.ui.render.ascii import to_ascii

        words = to_ascii(words)
    print(words, file=sys.stderr)
