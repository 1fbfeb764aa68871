"""Opening the dashboard, without what only the other commands need: it is to be seen within half a second."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from tuiae.errors import ConfigError


def show_dashboard(run: Path | None, colors: str, ascii_only: bool, theme: str, graphics: bool) -> int:
    """Open the dashboard, on a run when one is given; needs a terminal. Returns the exit code.

    Raises:
        ConfigError: no terminal, or none of those colours or themes.
    """
    # Until the first paint nothing becomes garbage, and looking for it takes a tenth of that time; the app ends this.
    gc.disable()
    from tuiae.console.output import is_terminal
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
        from tuiae.ui.terminal.graphics import with_graphics

        mode = with_graphics(mode, sys.stdin.fileno(), sys.stdout.fileno())
    from tuiae.ui.app import open_dashboard

    return open_dashboard(run, mode, theme)
