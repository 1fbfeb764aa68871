"""The published works and their claims."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tuiae.ui.keys import WORKS
from tuiae.ui.screens.base import BaseScreen


class WorksScreen(BaseScreen):
    """Works, claims, verdicts."""

    NAME = "works"
    BINDINGS = [key.binding for key in WORKS]

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            yield Static("tuiae reproduce")

    def action_back(self) -> None:
        """Back to the open run."""
        self.app.switch_mode("live")
