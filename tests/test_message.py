"""The message line: short words keep to it, what has to be read wraps, and hints never move the panels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from tuiae.ui import app as dashboard
from tuiae.ui.widgets.chrome import MessageLine

LONG = " ".join(["a refusal with a next step that no line of eighty cells can hold"] * 2)


class _Desk(App[None]):
    CSS_PATH = Path(dashboard.__file__).with_name("dashboard.tcss")

    def compose(self) -> ComposeResult:
        yield Static(id="body")
        yield MessageLine(id="message")


@pytest.mark.parametrize(("said", "lines"), [
    (lambda line, text: line.tell(text, "bad"), 2),
    (lambda line, text: line.remark(text), 2),
    (lambda line, text: line.tell(text), 2),
    (lambda line, text: line.hint(text, "caution"), 2),
    (lambda line, text: line.hint(text), 1),
])  # fmt: skip
async def test_what_has_to_be_read_wraps_and_hints_do_not(said: Callable[[MessageLine, str], None], lines: int) -> None:
    async with _Desk().run_test(size=(80, 24)) as pilot:
        line = pilot.app.query_one(MessageLine)
        said(line, "short")
        await pilot.pause()
        assert line.size.height == 1
        said(line, LONG)
        await pilot.pause()
        assert line.size.height == lines
        await pilot.resize_terminal(200, 24)
        await pilot.pause()
        assert line.size.height == 1
        await pilot.resize_terminal(60, 24)
        await pilot.pause()
        assert line.size.height == (3 if lines > 1 else 1)
        line.release()
        line.hint("short again")
        await pilot.pause()
        assert line.size.height == 1
