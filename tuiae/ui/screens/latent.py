"""The codes of the open run."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.keys import LATENT
from tuiae.ui.screens.base import RunScreen


class LatentScreen(RunScreen):
    """The map of codes."""

    NAME = "codes"
    BINDINGS = [key.binding for key in LATENT]

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            yield Static("no run is open: 1 lists them")

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        pass

    def action_back(self) -> None:
        """Back to the open run."""
        self.app.switch_mode("live")
