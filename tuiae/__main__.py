"""The command `tuiae`, also as `python -m tuiae`."""

import sys


def main() -> None:
    """Carry out the command line; Ctrl-C during the imports ends without a traceback."""
    try:
        from tuiae.cli.main import enter

        enter()
    except KeyboardInterrupt:
        sys.exit(130)  # ExitCode.INTERRUPTED, which may not be imported yet; once Typer runs, it does the same


if __name__ == "__main__":
    main()
