"""The command line: each command a few lines, heavy imports inside it."""

import sys


def main() -> None:
    """Entry point; whatever it imports can be interrupted without a traceback."""
    try:
        from tuiae.cli.main import enter

        enter()
    except KeyboardInterrupt:
        sys.exit(130)  # ExitCode.INTERRUPTED, which may not be there yet; once Typer runs, it does the same
